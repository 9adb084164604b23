//! The API about itself: alive, ready, counters, its description.
//!
//! In: requests without a token. Out: nothing that is anybody's secret. Never: a name of a network or member.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::Api;
use super::failure::Failure;
use crate::limits;
use crate::model::Counts;
use crate::store::{Store, StoreError};

pub(super) async fn health() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(api): State<Arc<Api>>) -> Result<&'static str, Failure> {
    let answer = tokio::time::timeout(
        limits::READY_PATIENCE,
        api.desk.read(|controller| controller.store().ready()),
    );
    let Ok(answer) = answer.await else {
        let error = "the database does not answer in time";
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, error));
    };
    answer.ok_or_else(Failure::gone)??;
    Ok("ready\n")
}

pub(super) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Result<impl IntoResponse, Failure> {
    let totals = api.desk.read(|controller| totals(controller.store())).await;
    let (networks, counts) = totals.ok_or_else(Failure::gone)??;
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let mut text = String::new();
    for (name, help, kind, rows) in [
        (
            "zt_master_networks",
            "Networks.",
            "gauge",
            vec![("", networks)],
        ),
        (
            "zt_master_members",
            "Members by status.",
            "gauge",
            vec![
                ("{status=\"pending\"}", counts.pending),
                ("{status=\"authorized\"}", counts.authorized),
                ("{status=\"denied\"}", counts.denied),
            ],
        ),
        (
            "zt_master_api_answers_total",
            "Answers of the API.",
            "counter",
            vec![
                ("{result=\"good\"}", load(&api.answers.good)),
                ("{result=\"refused\"}", load(&api.answers.refused)),
                ("{result=\"failed\"}", load(&api.answers.failed)),
            ],
        ),
    ] {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in rows {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}

fn totals(store: &dyn Store) -> Result<(u64, Counts), StoreError> {
    let (mut networks, mut all, mut after) = (0, Counts::default(), None);
    loop {
        let page = store.networks(after, limits::PAGE_MOST)?;
        let Some(last) = page.last() else {
            return Ok((networks, all));
        };
        after = Some(last.id);
        for network in &page {
            let counts = store.counts(network.id)?;
            all.pending += counts.pending;
            all.authorized += counts.authorized;
            all.denied += counts.denied;
            networks += 1;
        }
    }
}

/// The description of the API; a test holds it against the routes and the types.
pub(super) const OPENAPI: &str = include_str!("openapi.json");
