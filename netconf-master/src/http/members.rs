//! `/api/v1/networks/ID/members`: listed, let in, put out, changed, deleted.
//!
//! In: requests. Out: what `admin` says to them. Never: a decision.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use zt_api::master::{Member, MemberSettings};

use super::Api;
use super::failure::Failure;
use super::input::{Body, Page, name};
use crate::admin::Absent;

type Shared = State<Arc<Api>>;
type Place = Path<(String, String)>;

pub(super) async fn list(
    State(api): Shared,
    Path(network): Path<String>,
    page: Page,
) -> Result<Json<Vec<Member>>, Failure> {
    let network = name(&network, "network")?;
    let (after, limit) = (page.after()?, page.limit);
    let answer = api
        .desk
        .read(move |controller| controller.members(network, after, limit))
        .await;
    Ok(Json(answer.ok_or_else(Failure::gone)??))
}

pub(super) async fn show(
    State(api): Shared,
    Path((network, address)): Place,
) -> Result<Json<Member>, Failure> {
    let (network, address) = (name(&network, "network")?, name(&address, "address")?);
    let answer = api
        .desk
        .read(move |controller| controller.member(network, address))
        .await;
    Ok(Json(answer.ok_or_else(Failure::gone)??))
}

pub(super) async fn put(
    State(api): Shared,
    Path(place): Place,
    Body(settings): Body<MemberSettings>,
) -> Result<Json<Member>, Failure> {
    replace(&api, &place, settings, Absent::Make).await
}

pub(super) async fn change(
    State(api): Shared,
    Path(place): Place,
    Body(settings): Body<MemberSettings>,
) -> Result<Json<Member>, Failure> {
    replace(&api, &place, settings, Absent::Refuse).await
}

async fn replace(
    api: &Api,
    (network, address): &(String, String),
    settings: MemberSettings,
    absent: Absent,
) -> Result<Json<Member>, Failure> {
    let (network, address) = (name(network, "network")?, name(address, "address")?);
    let changed = api
        .desk
        .act(move |controller, now| {
            controller.change_member(network, address, &settings, absent, now)
        })
        .await;
    Ok(Json(changed.ok_or_else(Failure::gone)??))
}

pub(super) async fn delete(
    State(api): Shared,
    Path((network, address)): Place,
) -> Result<StatusCode, Failure> {
    let (network, address) = (name(&network, "network")?, name(&address, "address")?);
    let deleted = api
        .desk
        .act(move |controller, now| controller.delete_member(network, address, now))
        .await;
    deleted.ok_or_else(Failure::gone)??;
    Ok(StatusCode::NO_CONTENT)
}
