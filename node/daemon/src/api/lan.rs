//! The route of LAN mode, and its switch.
//!
//! In: a network, on or off. Out: what LAN mode does, or why it cannot. Never: a setting that did not take hold.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use zt_api::{Lan, LanNetwork, LanWay, Trouble};
use zt_driver::runtime::{LAN_TABLE, LanLine};
use zt_wire::NetworkId;

use super::Node;
use super::routes::{Refusal, refusal};

/// What it is doing.
pub async fn look(State(node): State<Node>) -> Json<Lan> {
    let line = node.handle.lan().await;
    let way = |way: Option<(String, core::net::Ipv4Addr)>| {
        way.map(|(device, source)| LanWay { device, source })
    };
    Json(Lan {
        networks: line
            .networks
            .into_iter()
            .map(|network| LanNetwork {
                id: network.network,
                device: network.device,
                source: network.source,
                state: network.state.to_owned(),
            })
            .collect(),
        device: line.device,
        table: LAN_TABLE,
        rules: line.rules,
        broadcast: way(line.broadcast),
        multicast: way(line.multicast),
        groups: line.groups,
        packets: line.packets,
        lost: line.lost,
        trouble: line.trouble,
    })
}

/// Whether a network is in LAN mode.
pub fn has(line: &LanLine, network: NetworkId) -> bool {
    line.networks.iter().any(|it| it.network == network)
}

/// Puts a network into LAN mode, or takes it out.
pub async fn set(node: &Node, network: NetworkId, on: bool) -> Result<(), Refusal> {
    node.handle.lan_mode(network, on).await.map_err(|no| {
        let why = format!("LAN mode cannot be set: {no}");
        if no.in_use() {
            Refusal::trouble(Trouble::InUse, &why)
        } else {
            refusal(StatusCode::NOT_IMPLEMENTED, &why)
        }
    })
}
