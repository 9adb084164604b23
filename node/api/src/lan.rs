//! The JSON of LAN mode, and the question about it.
//!
//! In: what a person asks. Out: what the node copies and where to. Never: a guess about the kernel's routes.

use core::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use zt_wire::NetworkId;

use crate::error::ApiError;
use crate::node::NodeClient;
use crate::text;

/// `GET /v1/lan`: what LAN mode is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lan {
    /// The networks in LAN mode.
    pub networks: Vec<LanNetwork>,
    /// The device that broadcasts are routed to; `null` while there is nothing to copy.
    pub device: Option<String>,
    /// The routing table with the routes to it.
    pub table: u32,
    /// The routing rules that lead there, as `ip rule` writes them.
    pub rules: Vec<String>,
    /// Where 255.255.255.255 goes besides the overlays; `null` for nowhere.
    pub broadcast: Option<LanWay>,
    /// Where multicast goes besides the overlays, and where it is listened to; `null` for nowhere.
    pub multicast: Option<LanWay>,
    /// The groups of programs that are listened to on all of these devices.
    pub groups: Vec<Ipv4Addr>,
    /// Packets copied, each counted once.
    pub packets: u64,
    /// Copies that the kernel did not take.
    pub lost: u64,
    /// Why it does not work.
    pub trouble: Option<String>,
}

/// A network in LAN mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanNetwork {
    /// Its id.
    #[serde(with = "text")]
    pub id: NetworkId,
    /// Its device.
    pub device: String,
    /// The source of the copies there.
    pub source: Option<Ipv4Addr>,
    /// `on`; `no-device` and `no-address` wait; `bridged` is reached through the bridge that broadcasts leave by.
    pub state: String,
}

/// A device and this machine's address there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanWay {
    /// The device.
    pub device: String,
    /// The source of the copies there.
    pub source: Ipv4Addr,
}

impl NodeClient {
    /// What LAN mode is doing.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn lan(&self) -> Result<Lan, ApiError> {
        self.http().get("/v1/lan").await
    }
}
