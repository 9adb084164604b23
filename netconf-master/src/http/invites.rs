//! `/api/v1/networks/ID/invites`: made, listed, taken back.
//!
//! In: requests. Out: what `admin` says to them; the text of an invite once. Never: a decision.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use zt_api::master::{Invite, InviteSettings};

use super::Api;
use super::failure::Failure;
use super::input::{Body, Page, name};

type Shared = State<Arc<Api>>;
type Place = Path<(String, String)>;

pub(super) async fn list(
    State(api): Shared,
    Path(network): Path<String>,
    page: Page,
) -> Result<Json<Vec<Invite>>, Failure> {
    let network = name(&network, "network")?;
    let (after, limit) = (page.after()?, page.limit);
    let answer = api
        .desk
        .read(move |controller| controller.invites(network, after, limit))
        .await;
    Ok(Json(answer.ok_or_else(Failure::gone)??))
}

pub(super) async fn create(
    State(api): Shared,
    Path(network): Path<String>,
    Body(settings): Body<InviteSettings>,
) -> Result<impl IntoResponse, Failure> {
    let network = name(&network, "network")?;
    let chance = chance()?;
    let made = api
        .desk
        .act(move |controller, now| controller.create_invite(network, &settings, chance, now))
        .await;
    let invite = made.ok_or_else(Failure::gone)??;
    let place = format!("/api/v1/networks/{network}/invites/{}", invite.record.id);
    // The text is a secret: no cache may keep it.
    let headers = [
        (header::LOCATION, place),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((StatusCode::CREATED, headers, Json(invite)))
}

pub(super) async fn show(
    State(api): Shared,
    Path((network, invite)): Place,
) -> Result<Json<Invite>, Failure> {
    let (network, id) = (name(&network, "network")?, name(&invite, "invite")?);
    let answer = api
        .desk
        .read(move |controller| controller.invite(network, id))
        .await;
    Ok(Json(answer.ok_or_else(Failure::gone)??))
}

pub(super) async fn revoke(
    State(api): Shared,
    Path((network, invite)): Place,
) -> Result<StatusCode, Failure> {
    let (network, id) = (name(&network, "network")?, name(&invite, "invite")?);
    let revoked = api
        .desk
        .act(move |controller, now| controller.revoke_invite(network, id, now))
        .await;
    revoked.ok_or_else(Failure::gone)??;
    Ok(StatusCode::NO_CONTENT)
}

/// 32 bytes nobody can guess, from the kernel.
pub(super) fn chance() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the kernel gives no random bytes");
        Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the kernel gives no random bytes",
        )
    })?;
    Ok(bytes)
}
