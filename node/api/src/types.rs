//! The JSON of a node's control API, field by field as scripts read it.
//!
//! Owner: nobody; plain values. In: JSON. Out: JSON. Never: a field renamed; more may be added.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zt_wire::{Address, Cidr, KeyId, Mac, NetworkId};

use crate::text;

/// `GET /v1/info`: who this node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// Its address.
    #[serde(with = "text")]
    pub address: Address,
    /// Its key.
    #[serde(with = "text")]
    pub fingerprint: KeyId,
    /// The program's version.
    pub version: String,
    /// Whether a supernode acknowledged its claim and answers.
    pub online: bool,
    /// Whether another key holds its address; it can reach nobody then.
    #[serde(default)]
    pub collision: bool,
    /// The world it is in.
    pub world: World,
    /// The supernodes of that world.
    pub supernodes: Vec<Supernode>,
    /// The endpoints it listens on.
    pub listen: Vec<SocketAddr>,
    /// Its endpoints as others see them.
    #[serde(default)]
    pub observed: Vec<SocketAddr>,
}

/// The world a node is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// Its name.
    pub name: String,
    /// Its serial.
    pub serial: u64,
}

/// One supernode in [`Info`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Supernode {
    /// Its address.
    #[serde(with = "text")]
    pub address: Address,
    /// Where it answers, or its first endpoint.
    pub endpoint: Option<SocketAddr>,
    /// Round trip in milliseconds; `null` while it does not answer.
    pub rtt_ms: Option<f64>,
}

/// One of `GET /v1/networks`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its id.
    #[serde(with = "text")]
    pub id: NetworkId,
    /// Its name, once known.
    pub name: String,
    /// Where joining stands.
    pub status: Status,
    /// The device, once up.
    pub device: Option<String>,
    /// What the system said when the device could not be made.
    #[serde(default)]
    pub device_error: Option<String>,
    /// The member's MAC there.
    #[serde(with = "text")]
    pub mac: Mac,
    /// Its MTU.
    pub mtu: u16,
    /// The member's managed addresses.
    pub addresses: Vec<Cidr>,
    /// Managed routes.
    pub routes: Vec<Route>,
    /// Whether the member may bridge.
    pub bridge: bool,
    /// The loop that the device is part of; `null`: none.
    #[serde(default, rename = "loop")]
    pub looped: Option<Loop>,
    /// Members with whom valid certificates were exchanged.
    pub members_heard: u32,
    /// The controller's key as pinned; `null` before it was met.
    #[serde(default, with = "text::option")]
    pub pinned: Option<KeyId>,
    /// Whether that key was pinned on first use rather than given.
    #[serde(default)]
    pub pinned_on_first_use: bool,
    /// What the member allows the network to do to its machine.
    #[serde(default)]
    pub settings: Settings,
}

/// Another way between the LAN behind a device and the LAN behind another member, or a LAN that leads back to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loop {
    /// The other member; `null`: the LAN behind the device leads back to itself.
    #[serde(with = "text::option")]
    pub with: Option<Address>,
    /// Whether it is this device that is cut off.
    pub cut_off: bool,
    /// Since when, in seconds.
    pub since_s: u64,
}

impl Network {
    /// Whether joining has come to an end: the device is up, or something needs a person.
    ///
    /// `GET /v1/networks/ID?wait_ms=N` answers with the network as soon as this is true, or after N milliseconds.
    pub fn settled(&self) -> bool {
        match self.status {
            Status::Ok => self.device.is_some(),
            Status::Denied | Status::NotFound | Status::DeviceError => true,
            Status::Requesting | Status::Unreachable => false,
        }
    }
}

/// Where joining a network stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Asked; no decision yet, or waiting for authorization.
    Requesting,
    /// A member.
    Ok,
    /// The controller said no, or its key is not the pinned one.
    Denied,
    /// The controller has no such network.
    NotFound,
    /// The controller does not answer.
    Unreachable,
    /// A member, but the device could not be made.
    DeviceError,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Requesting => "requesting",
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Unreachable => "unreachable",
            Self::DeviceError => "device-error",
        })
    }
}

/// A managed route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where to.
    pub target: Cidr,
    /// The gateway on the network; `null` for a route onto the device itself.
    pub via: Option<IpAddr>,
}

/// What a member allows a network to do to its machine, as `zt-cli set` names it.
// Independent switches are what the interface says.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// Set managed addresses and private routes.
    pub allow_managed: bool,
    /// Set public addresses and routes.
    pub allow_global: bool,
    /// Set a default route.
    pub allow_default: bool,
    /// Set DNS.
    pub allow_dns: bool,
    /// Members may test with this one which frames cross.
    #[serde(default)]
    pub allow_selftest: bool,
    /// Let programs that name no device reach the network with broadcasts and multicast, besides the LAN.
    #[serde(default)]
    pub lan_mode: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_managed: true,
            allow_global: false,
            allow_default: false,
            allow_dns: false,
            allow_selftest: false,
            lan_mode: false,
        }
    }
}

/// `PATCH /v1/networks/ID`: the settings to change; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SettingsChange {
    /// Set managed addresses and private routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_managed: Option<bool>,
    /// Set public addresses and routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_global: Option<bool>,
    /// Set a default route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_default: Option<bool>,
    /// Set DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_dns: Option<bool>,
    /// Members may test with this one which frames cross.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_selftest: Option<bool>,
    /// LAN mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lan_mode: Option<bool>,
}

impl SettingsChange {
    /// The settings after this change.
    #[must_use]
    pub fn on(self, old: Settings) -> Settings {
        Settings {
            allow_managed: self.allow_managed.unwrap_or(old.allow_managed),
            allow_global: self.allow_global.unwrap_or(old.allow_global),
            allow_default: self.allow_default.unwrap_or(old.allow_default),
            allow_dns: self.allow_dns.unwrap_or(old.allow_dns),
            allow_selftest: self.allow_selftest.unwrap_or(old.allow_selftest),
            lan_mode: self.lan_mode.unwrap_or(old.lan_mode),
        }
    }
}

/// `PUT /v1/networks/ID`: joins a network, or joins again with another token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The controller's key; `null` pins on first use.
    #[serde(
        default,
        with = "text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub fingerprint: Option<KeyId>,
    /// An invite's secret, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The whole invite, when there is one: the node takes a newer serial of its world from it and refuses an
    /// invite into another world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
}

/// One of `GET /v1/peers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its address.
    #[serde(with = "text")]
    pub address: Address,
    /// Its key, once known.
    #[serde(with = "text::option")]
    pub fingerprint: Option<KeyId>,
    /// What it is to this node.
    pub role: Role,
    /// The path in use.
    pub path: Path,
    /// The session's suite; `null` without a session.
    pub suite: Option<String>,
    /// Age of the session's keys in seconds; `null` without a session.
    pub session_age_s: Option<u64>,
    /// Bytes of sealed datagrams received.
    pub rx_bytes: u64,
    /// Bytes of sealed datagrams sent.
    pub tx_bytes: u64,
}

/// What a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An ordinary node.
    Leaf,
    /// In the world file.
    Supernode,
    /// The controller of a network of this node.
    Controller,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Leaf => "leaf",
            Self::Supernode => "supernode",
            Self::Controller => "controller",
        })
    }
}

/// A path to a peer; also one of `GET /v1/peers/ADDRESS/paths`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// Its kind.
    pub kind: PathKind,
    /// The peer's endpoint, or the relay's.
    pub endpoint: Option<SocketAddr>,
    /// The relay's address.
    #[serde(default, with = "text::option")]
    pub via: Option<Address>,
    /// Last measured round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Largest UDP payload known to pass, bytes.
    pub mtu: Option<u16>,
    /// Whether frames take it now.
    #[serde(default)]
    pub in_use: bool,
    /// Whether challenge and response have proven it.
    #[serde(default)]
    pub validated: bool,
}

impl Path {
    /// No path at all.
    pub const NONE: Self = Self {
        kind: PathKind::None,
        endpoint: None,
        via: None,
        rtt_ms: None,
        mtu: None,
        in_use: false,
        validated: false,
    };
}

/// The kinds of path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// UDP straight to the peer.
    Direct,
    /// Through a supernode.
    Relay,
    /// Through a supernode over TCP.
    Tcp,
    /// None known.
    None,
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Tcp => "tcp",
            Self::None => "none",
        })
    }
}

/// `GET /v1/peers/ADDRESS/why`: why the path to a peer is what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// Whom it is about.
    #[serde(with = "text")]
    pub address: Address,
    /// The path in use.
    pub path: Path,
    /// One sentence for a person.
    pub because: String,
    /// What was tried, newest last.
    pub tried: Vec<Tried>,
    /// The NATs at both ends.
    pub nat: Nat,
}

/// One attempt in [`Why`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Where.
    pub endpoint: SocketAddr,
    /// How the endpoint was learned: `local`, `reflexive`, `rendezvous`, `heard`.
    pub kind: String,
    /// `probing`, `answered` or `silent`.
    pub result: String,
    /// When, in milliseconds since the daemon started.
    pub at_ms: u64,
}

/// What the NATs at both ends seem to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nat {
    /// Ours: `none`, `endpoint-independent`, `endpoint-dependent`, `unknown`.
    pub mine: String,
    /// Theirs.
    pub theirs: String,
}

/// `POST /v1/peers/ADDRESS/ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PingRequest {
    /// How long to wait for the answer, in milliseconds.
    pub limit_ms: u64,
}

/// The answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PingReply {
    /// Round trip in milliseconds.
    pub rtt_ms: f64,
    /// The kind of path it took.
    pub path: PathKind,
}

/// `GET /v1/counters`: every counter by group and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// What went no further, by reason.
    pub drops: BTreeMap<String, u64>,
    /// Ethernet frames.
    pub frames: BTreeMap<String, u64>,
    /// UDP datagrams.
    pub datagrams: BTreeMap<String, u64>,
    /// Handshakes.
    pub handshakes: BTreeMap<String, u64>,
    /// Overlay fragments.
    pub fragments: BTreeMap<String, u64>,
    /// Groups added later.
    #[serde(flatten)]
    pub more: BTreeMap<String, BTreeMap<String, u64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_reads_as_the_interface_says() {
        let json = r#"{"id":"0123456789000001","name":"home","status":"not-found","device":null,
            "mac":"02:00:00:00:00:01","mtu":1500,"addresses":["10.1.2.3/24"],
            "routes":[{"target":"10.1.2.0/24","via":null}],"bridge":false,"members_heard":2}"#;
        let network: Network = serde_json::from_str(json).unwrap();
        assert_eq!(network.status, Status::NotFound);
        let back = serde_json::to_value(&network).unwrap();
        assert_eq!(back["status"], "not-found");
        assert_eq!(back["addresses"][0], "10.1.2.3/24");
        assert_eq!(back["settings"]["allow-managed"], true);
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let change: SettingsChange = serde_json::from_str(r#"{"allow-dns":true}"#).unwrap();
        let after = change.on(Settings {
            allow_managed: false,
            ..Settings::default()
        });
        assert!(after.allow_dns && !after.allow_managed);
    }

    #[test]
    fn counters_of_a_newer_daemon_are_kept() {
        let json = r#"{"drops":{"replay":1},"frames":{},"datagrams":{},"handshakes":{},"fragments":{},"tcp":{"rx":3}}"#;
        let counters: Counters = serde_json::from_str(json).unwrap();
        assert_eq!(counters.more["tcp"]["rx"], 3);
    }
}
