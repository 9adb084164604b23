//! `/api/v1/networks`: made, listed, changed, deleted.
//!
//! In: requests. Out: what `admin` says to them. Never: a decision.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use zt_api::master::{Network, NetworkRules, NetworkSettings};

use super::Api;
use super::failure::Failure;
use super::input::{Body, Page, name};
use crate::model::Actor;

type Shared = State<Arc<Api>>;

pub(super) async fn list(State(api): Shared, page: Page) -> Result<Json<Vec<Network>>, Failure> {
    let (after, limit) = (page.after()?, page.limit);
    let answer = api
        .desk
        .read(move |controller| controller.networks(after, limit))
        .await;
    Ok(Json(answer.ok_or_else(Failure::gone)??))
}

pub(super) async fn create(
    State(api): Shared,
    Body(settings): Body<NetworkSettings>,
) -> Result<impl IntoResponse, Failure> {
    let chance = super::invites::chance()?;
    let made = api
        .desk
        .act(move |controller, now| controller.create_network(&settings, chance, now))
        .await;
    let network = made.ok_or_else(Failure::gone)??;
    let place = format!("/api/v1/networks/{}", network.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, place)],
        Json(network),
    ))
}

pub(super) async fn show(
    State(api): Shared,
    Path(network): Path<String>,
) -> Result<Json<Network>, Failure> {
    let id = name(&network, "network")?;
    let answer = api
        .desk
        .read(move |controller| controller.network(id))
        .await;
    Ok(Json(answer.ok_or_else(Failure::gone)??))
}

pub(super) async fn rules(
    State(api): Shared,
    Path(network): Path<String>,
) -> Result<Json<NetworkRules>, Failure> {
    let id = name(&network, "network")?;
    let answer = api.desk.read(move |controller| controller.rules(id)).await;
    Ok(Json(answer.ok_or_else(Failure::gone)??))
}

pub(super) async fn change(
    State(api): Shared,
    Path(network): Path<String>,
    Body(settings): Body<NetworkSettings>,
) -> Result<Json<Network>, Failure> {
    let id = name(&network, "network")?;
    let changed = api
        .desk
        .act(move |controller, now| controller.change_network(id, &settings, now))
        .await;
    Ok(Json(changed.ok_or_else(Failure::gone)??))
}

pub(super) async fn delete(
    State(api): Shared,
    Path(network): Path<String>,
) -> Result<StatusCode, Failure> {
    let id = name(&network, "network")?;
    let deleted = api
        .desk
        .act(move |controller, now| controller.delete_network(id, now))
        .await;
    deleted.ok_or_else(Failure::gone)??;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn advance_epoch(
    State(api): Shared,
    Path(network): Path<String>,
) -> Result<Json<Network>, Failure> {
    let id = name(&network, "network")?;
    let advanced = api
        .desk
        .act(move |controller, now| controller.advance_epoch(id, Actor::Admin, now))
        .await;
    Ok(Json(advanced.ok_or_else(Failure::gone)??))
}
