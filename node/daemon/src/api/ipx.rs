//! The routes of IPX on a network.
//!
//! In: paths and bodies. Out: hosts heard, answers to a ping, a server opened or closed.
//! Never: an answer twice from one host.

use core::time::Duration;
use std::io;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use zt_api::{Ipx, IpxClient, IpxEcho, IpxHost, IpxPingRequest, IpxServe, Trouble};
use zt_driver::runtime::Echo;
use zt_wire::NetworkId;

use super::routes::{LONGEST_WAIT_MS, Refusal, body_of, one_network, parsed};
use super::{Node, convert};

/// What is known.
pub async fn look(State(node): State<Node>, Path(id): Path<String>) -> Result<Json<Ipx>, Refusal> {
    let id = known(&node, &id).await?;
    let line = node.handle.ipx(id).await;
    Ok(Json(Ipx {
        hosts: line
            .hosts
            .into_iter()
            .map(|(host, ago)| IpxHost {
                node: zt_wire::Mac::from_bytes(host.node),
                mac: host.mac,
                network: network_number(host.network),
                framing: host.framing.to_string(),
                packets: host.packets,
                heard_ms_ago: u64::try_from(ago.as_millis()).unwrap_or(u64::MAX),
            })
            .collect(),
        ipxnet: line.server,
        ipxnet_error: line.trouble,
        clients: line
            .clients
            .into_iter()
            .map(|(endpoint, node)| IpxClient { endpoint, node })
            .collect(),
    }))
}

/// Opens or closes the server.
pub async fn serve(
    State(node): State<Node>,
    Path(id): Path<String>,
    body: Result<Json<IpxServe>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let id = known(&node, &id).await?;
    let wanted = body_of(body)?.ipxnet;
    match (node.handle.ipxnet(id, wanted).await, wanted) {
        (Ok(()), _) => Ok(Json(json!({}))),
        (Err(error), Some(address)) => {
            let trouble = match error.kind() {
                io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Trouble::InUse,
                _ => Trouble::Refused,
            };
            let why = format!("ipxnet cannot be served at {address}: {error}");
            Err(Refusal::trouble(trouble, &why))
        }
        (Err(error), None) => Err(Refusal::trouble(Trouble::Refused, &error.to_string())),
    }
}

/// Asks all, or waits for one.
pub async fn ping(
    State(node): State<Node>,
    Path(id): Path<String>,
    body: Result<Json<IpxPingRequest>, JsonRejection>,
) -> Result<Json<Vec<IpxEcho>>, Refusal> {
    let id = known(&node, &id).await?;
    let request = body_of(body)?;
    let until = Instant::now() + Duration::from_millis(request.limit_ms.min(LONGEST_WAIT_MS));
    let Some(mut heard) = node.handle.ipx_ping(id).await else {
        let why = "this network's device is not up; `zt-cli networks` says why";
        return Err(Refusal::trouble(Trouble::TimedOut, why));
    };
    let mut echoes: Vec<Echo> = Vec::new();
    while let Ok(Some(echo)) = timeout_at(until, heard.recv()).await {
        let wanted = request.node.is_none_or(|node| node == echo.node);
        if wanted && echoes.iter().all(|known| known.node != echo.node) {
            echoes.push(echo);
        }
        if request.node.is_some() && wanted {
            break;
        }
    }
    Ok(Json(echoes.into_iter().map(said).collect()))
}

async fn known(node: &Node, id: &str) -> Result<NetworkId, Refusal> {
    let id = parsed("network", id)?;
    one_network(node, id).await.map(|network| network.id)
}

fn said(echo: Echo) -> IpxEcho {
    IpxEcho {
        node: echo.node,
        network: network_number(echo.network),
        framing: echo
            .framing
            .map_or_else(|| "ipxnet".to_owned(), |framing| framing.to_string()),
        rtt_ms: convert::milliseconds(echo.after),
    }
}

fn network_number(number: u32) -> String {
    format!("{number:08x}")
}
