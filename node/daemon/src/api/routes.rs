//! One function per route: ask the node, answer with its words.
//!
//! In: paths and bodies. Out: JSON, or `{"error": ...}` with a status that fits.
//! Never: a panic for anything that can be typed.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};
use zt_api::{ErrorBody, JoinRequest, PingReply, PingRequest, SettingsChange};
use zt_engine::interface::{Command, Failure, NetworkInfo, Reply};
use zt_wire::{Address, Invite, NetworkId, Signed, World};

use super::{Node, convert, ipx, lan, selftest};

/// All routes.
pub fn routes(node: Node) -> Router {
    Router::new()
        .route("/v1/info", get(info))
        .route("/v1/networks", get(networks))
        .route(
            "/v1/networks/{id}",
            get(network).put(join).delete(leave).patch(set),
        )
        .route("/v1/networks/{id}/ipx", get(ipx::look).put(ipx::serve))
        .route("/v1/networks/{id}/ipx/ping", post(ipx::ping))
        .route("/v1/networks/{id}/selftest", post(selftest::selftest))
        .route("/v1/lan", get(lan::look))
        .route("/v1/peers", get(peers))
        .route("/v1/peers/{address}/paths", get(paths))
        .route("/v1/peers/{address}/why", get(why))
        .route("/v1/peers/{address}/ping", post(ping))
        .route("/v1/counters", get(counters))
        .route("/v1/dump", get(dump))
        .fallback(async || refusal(StatusCode::NOT_FOUND, "no such route"))
        .method_not_allowed_fallback(async || {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
        })
        .with_state(node)
}

/// An error answer without a trouble code.
pub fn refusal(status: StatusCode, error: &str) -> Refusal {
    Refusal {
        status,
        body: ErrorBody {
            error: error.to_owned(),
            field: None,
            trouble: None,
        },
    }
}

/// An error answer.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    body: ErrorBody,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let (trouble, error) = convert::failure(failure);
        Self {
            status: StatusCode::from_u16(trouble.status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: ErrorBody {
                error,
                field: None,
                trouble: Some(trouble),
            },
        }
    }
}

impl Refusal {
    /// For a reason that a program can tell from others.
    pub fn trouble(trouble: zt_api::Trouble, error: &str) -> Self {
        let status = StatusCode::from_u16(trouble.status());
        let mut refusal = refusal(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error);
        refusal.body.trouble = Some(trouble);
        refusal
    }

    fn field(field: &str, error: impl fmt::Display) -> Self {
        let mut refusal = refusal(StatusCode::BAD_REQUEST, &error.to_string());
        refusal.body.field = Some(field.to_owned());
        refusal.body.trouble = Some(zt_api::Trouble::Malformed);
        refusal
    }

    /// For a reply of another kind than the command has.
    pub fn odd(reply: &Reply) -> Self {
        if let Reply::Failed(failure) = reply {
            return (*failure).into();
        }
        tracing::error!("the node gave another kind of reply than was asked for");
        refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the node gave another kind of reply",
        )
    }
}

#[derive(Debug, Default, Deserialize)]
struct Wait {
    wait_ms: Option<u64>,
}

async fn info(State(node): State<Node>) -> Result<Json<zt_api::Info>, Refusal> {
    match node.handle.command(Command::Info).await {
        Reply::Info(info) => Ok(Json(convert::info(info, node.handle.listen()))),
        other => Err(Refusal::odd(&other)),
    }
}

async fn networks(State(node): State<Node>) -> Result<Json<Vec<zt_api::Network>>, Refusal> {
    let all = all_networks(&node).await?;
    let lan = node.handle.lan().await;
    let now = zt_driver::clock::mono();
    let said = |info: NetworkInfo| {
        let lan_mode = lan::has(&lan, info.id);
        convert::network(info, lan_mode, now)
    };
    Ok(Json(all.into_iter().map(said).collect()))
}

/// One network; with `wait_ms`, as soon as joining it has come to an end or when the time is over.
async fn network(
    State(node): State<Node>,
    Path(id): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<zt_api::Network>, Refusal> {
    let id: NetworkId = parsed("network", &id)?;
    let wait = wait.map_err(|bad| Refusal::field("wait_ms", bad.body_text()))?;
    let limit = Duration::from_millis(wait.wait_ms.unwrap_or(0).min(LONGEST_WAIT_MS));
    let until = Instant::now() + limit;
    // Listening begins before the first look, so that nothing is missed between the two.
    let mut events = node.handle.events();
    loop {
        let found = one_network(&node, id).await?;
        let lan_mode = lan::has(&node.handle.lan().await, id);
        let found = convert::network(found, lan_mode, zt_driver::clock::mono());
        if found.settled() {
            return Ok(Json(found));
        }
        match timeout_at(until, events.recv()).await {
            Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
            Ok(Err(RecvError::Closed)) | Err(_) => return Ok(Json(found)),
        }
    }
}

async fn join(
    State(node): State<Node>,
    Path(id): Path<String>,
    body: Result<Json<JoinRequest>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let id: NetworkId = parsed("network", &id)?;
    let request = body_of(body)?;
    let mut token = match request.token.as_deref() {
        Some(text) => Some(token_of(text)?),
        None => None,
    };
    let mut fingerprint = request.fingerprint;
    if let Some(text) = request.invite.as_deref() {
        let invite: Invite = parsed("invite", text)?;
        if invite.network != id {
            return Err(Refusal::field(
                "invite",
                "the invite is for another network",
            ));
        }
        adopt(&node, &invite).await?;
        token = token.or(Some(invite.token));
        fingerprint = fingerprint.or(Some(invite.controller_key));
    }
    done(
        &node,
        Command::Join {
            network: id,
            fingerprint,
            token,
        },
    )
    .await
}

async fn leave(State(node): State<Node>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let id = parsed("network", &id)?;
    done(&node, Command::Leave(id)).await
}

async fn set(
    State(node): State<Node>,
    Path(id): Path<String>,
    body: Result<Json<SettingsChange>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let id = parsed("network", &id)?;
    let change = body_of(body)?;
    let before = one_network(&node, id).await?;
    let lan_mode = lan::has(&node.handle.lan().await, id);
    let before = convert::settings(before.consent, lan_mode);
    let after = change.on(before);
    if let Some(on) = change.lan_mode {
        lan::set(&node, id, on).await?;
    }
    done(&node, Command::Set(id, convert::consent(after))).await
}

async fn peers(State(node): State<Node>) -> Result<Json<Vec<zt_api::Peer>>, Refusal> {
    match node.handle.command(Command::Peers).await {
        Reply::Peers(peers) => {
            let now = zt_driver::clock::mono();
            Ok(Json(
                peers.iter().map(|peer| convert::peer(peer, now)).collect(),
            ))
        }
        other => Err(Refusal::odd(&other)),
    }
}

async fn paths(
    State(node): State<Node>,
    Path(address): Path<String>,
) -> Result<Json<Vec<zt_api::Path>>, Refusal> {
    let address = parsed("address", &address)?;
    match node.handle.command(Command::Paths(address)).await {
        Reply::Paths(paths) => Ok(Json(paths.into_iter().map(convert::path).collect())),
        other => Err(Refusal::odd(&other)),
    }
}

async fn why(
    State(node): State<Node>,
    Path(address): Path<String>,
) -> Result<Json<zt_api::Why>, Refusal> {
    let address = parsed("address", &address)?;
    match node.handle.command(Command::Why(address)).await {
        Reply::Why(why) => Ok(Json(convert::why(*why, node.since))),
        other => Err(Refusal::odd(&other)),
    }
}

async fn ping(
    State(node): State<Node>,
    Path(address): Path<String>,
    body: Result<Json<PingRequest>, JsonRejection>,
) -> Result<Json<PingReply>, Refusal> {
    let to: Address = parsed("address", &address)?;
    let request = body_of(body)?;
    let limit = Duration::from_millis(request.limit_ms.min(LONGEST_WAIT_MS));
    match node.handle.command(Command::Ping { to, limit }).await {
        Reply::Pong(rtt, kind) => Ok(Json(PingReply {
            rtt_ms: convert::milliseconds(rtt),
            path: convert::path_kind(kind),
        })),
        other => Err(Refusal::odd(&other)),
    }
}

async fn counters(State(node): State<Node>) -> Json<Value> {
    Json(json!(node.handle.counters().await))
}

/// Everything in one answer, for a report. Tokens and secret keys are in none of its parts.
async fn dump(State(node): State<Node>) -> Result<Json<Value>, Refusal> {
    let Json(info) = info(State(node.clone())).await?;
    let Json(networks) = networks(State(node.clone())).await?;
    let Json(peers) = peers(State(node.clone())).await?;
    let Json(lan) = lan::look(State(node.clone())).await;
    let mut whys = Vec::with_capacity(peers.len());
    for peer in &peers {
        // A peer may have gone between the two questions.
        if let Reply::Why(why) = node.handle.command(Command::Why(peer.address)).await {
            whys.push(convert::why(*why, node.since));
        }
    }
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(Json(json!({
        "info": info,
        "networks": networks,
        "peers": peers,
        "why": whys,
        "counters": node.handle.counters().await,
        "lan": lan,
        "kernel": kernel.trim(),
        "up_s": zt_driver::clock::mono().since(node.since).as_secs(),
    })))
}

async fn all_networks(node: &Node) -> Result<Vec<NetworkInfo>, Refusal> {
    match node.handle.command(Command::Networks).await {
        Reply::Networks(networks) => Ok(networks),
        other => Err(Refusal::odd(&other)),
    }
}

/// A network that is joined.
pub async fn one_network(node: &Node, id: NetworkId) -> Result<NetworkInfo, Refusal> {
    let all = all_networks(node).await?;
    all.into_iter()
        .find(|network| network.id == id)
        .ok_or_else(|| Failure::NoSuchNetwork.into())
}

/// Takes a newer serial of our world from an invite; refuses one into another world.
async fn adopt(node: &Node, invite: &Invite) -> Result<(), Refusal> {
    let world: World = Signed::parse(&invite.world)
        .and_then(|signed| signed.decode())
        .map_err(|bad| Refusal::field("invite", bad))?;
    if world.id != node.world {
        let mut refused = Refusal::from(Failure::Refused);
        refused.body.error = format!(
            "the invite is for another world, `{}`; start a node in that world (zt-node run --invite)",
            world.name
        );
        return Err(refused);
    }
    let known = match node.handle.command(Command::Info).await {
        Reply::Info(info) => info.world_serial,
        other => return Err(Refusal::odd(&other)),
    };
    if world.serial > known {
        done(node, Command::AdoptWorld(invite.world.clone()))
            .await
            .map(drop)?;
    }
    Ok(())
}

async fn done(node: &Node, command: Command) -> Result<Json<Value>, Refusal> {
    match node.handle.command(command).await {
        Reply::Done => Ok(Json(json!({}))),
        other => Err(Refusal::odd(&other)),
    }
}

/// A value of the path.
pub fn parsed<T: FromStr<Err: fmt::Display>>(field: &str, text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|bad| Refusal::field(field, bad))
}

/// A body.
pub fn body_of<T: DeserializeOwned>(body: Result<Json<T>, JsonRejection>) -> Result<T, Refusal> {
    body.map(|Json(value)| value)
        .map_err(|bad| Refusal::field("body", bad.body_text()))
}

fn token_of(text: &str) -> Result<[u8; 16], Refusal> {
    let bad = || Refusal::field("token", "expected 32 hex digits");
    if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(bad());
    }
    u128::from_str_radix(text, 16)
        .map(u128::to_be_bytes)
        .map_err(|_| bad())
}

/// Longest wait that a request may ask for: an hour, in milliseconds.
pub const LONGEST_WAIT_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_32_hex_digits_and_nothing_else() {
        assert_eq!(
            token_of("000102030405060708090a0b0c0d0e0f").unwrap()[15],
            15
        );
        for text in [
            "",
            "0",
            "+00102030405060708090a0b0c0d0e0f",
            "é00102030405060708090a0b0c0d0e0",
        ] {
            assert_eq!(
                token_of(text).unwrap_err().status,
                StatusCode::BAD_REQUEST,
                "{text}"
            );
        }
    }

    #[test]
    fn a_wrong_name_in_a_path_names_its_field() {
        let refused = parsed::<NetworkId>("network", "zz").unwrap_err();
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert_eq!(refused.body.field.as_deref(), Some("network"));
    }
}
