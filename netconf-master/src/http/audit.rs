//! `/api/v1/networks/ID/audit`: who did what.
//!
//! In: requests. Out: lines of the log, those of deleted networks too. Never: a line changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use zt_api::master::Audit;

use super::Api;
use super::failure::Failure;
use super::input::{Page, name};

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(network): Path<String>,
    page: Page,
) -> Result<Json<Vec<Audit>>, Failure> {
    let network = name(&network, "network")?;
    let (after, limit) = (page.after()?.unwrap_or(0), page.limit);
    let answer = api
        .desk
        .read(move |controller| controller.store().log(Some(network), after, limit))
        .await;
    Ok(Json(answer.ok_or_else(Failure::gone)??))
}
