//! The engine's answers in the words of `zt-api`.
//!
//! In: replies. Out: the values that become JSON. Never: a field left out because it looked unimportant.

use core::time::Duration;
use std::net::IpAddr;

use zt_api as api;
use zt_engine::Mono;
use zt_engine::interface::{
    Consent, Failure, Info, NetworkInfo, PathInfo, PathKind, PeerInfo, PeerRole, Route, Status, Why,
};
use zt_wire::Cidr;

/// `info`.
pub fn info(info: Info, listen: &[std::net::SocketAddr]) -> api::Info {
    api::Info {
        address: info.address,
        fingerprint: info.fingerprint,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        online: info.online,
        collision: info.collision,
        world: api::World {
            name: info.world_name,
            serial: info.world_serial,
        },
        supernodes: info
            .supernodes
            .into_iter()
            .map(|supernode| api::Supernode {
                address: supernode.address,
                endpoint: supernode.endpoint,
                rtt_ms: supernode.rtt.map(milliseconds),
            })
            .collect(),
        listen: listen.to_vec(),
        observed: info.observed,
    }
}

/// One of `networks`, and whether it is in LAN mode.
pub fn network(network: NetworkInfo, lan_mode: bool, now: Mono) -> api::Network {
    api::Network {
        id: network.id,
        name: network.name,
        status: status(network.status),
        device: network.device,
        device_error: network.device_error,
        mac: network.mac,
        mtu: network.mtu,
        addresses: network.addresses.into_iter().filter_map(cidr).collect(),
        routes: network.routes.into_iter().filter_map(route).collect(),
        bridge: network.bridge,
        looped: network.looped.map(|found| api::Loop {
            with: found.with,
            cut_off: found.cut_off,
            since_s: now.since(found.since).as_secs(),
        }),
        members_heard: network.members_heard,
        pinned: network.pinned,
        pinned_on_first_use: network.pinned_on_first_use,
        settings: settings(network.consent, lan_mode),
    }
}

/// One of `peers`.
pub fn peer(peer: &PeerInfo, now: Mono) -> api::Peer {
    api::Peer {
        address: peer.address,
        fingerprint: peer.fingerprint,
        role: match peer.role {
            PeerRole::Leaf => api::Role::Leaf,
            PeerRole::Supernode => api::Role::Supernode,
            PeerRole::Controller => api::Role::Controller,
        },
        path: peer.path.map_or(api::Path::NONE, path),
        suite: peer.suite.map(str::to_owned),
        session_age_s: peer.session_since.map(|since| now.since(since).as_secs()),
        rx_bytes: peer.rx_bytes,
        tx_bytes: peer.tx_bytes,
    }
}

/// One of `paths`.
pub fn path(path: PathInfo) -> api::Path {
    api::Path {
        kind: path_kind(path.kind),
        endpoint: path.endpoint,
        via: path.via,
        rtt_ms: path.rtt.map(milliseconds),
        mtu: Some(path.mtu).filter(|mtu| *mtu > 0),
        in_use: path.in_use,
        validated: path.validated,
    }
}

/// `why`; moments are counted from `since`, the daemon's start.
pub fn why(why: Why, since: Mono) -> api::Why {
    api::Why {
        address: why.address,
        path: why.path.map_or(api::Path::NONE, path),
        because: why.because,
        tried: why
            .tried
            .into_iter()
            .map(|tried| api::Tried {
                endpoint: tried.endpoint,
                kind: tried.kind.to_owned(),
                result: tried.result.to_owned(),
                at_ms: u64::try_from(tried.at.since(since).as_millis()).unwrap_or(u64::MAX),
            })
            .collect(),
        nat: api::Nat {
            mine: why.nat_mine.to_owned(),
            theirs: why.nat_theirs.to_owned(),
        },
    }
}

/// The kind of a path.
pub const fn path_kind(kind: PathKind) -> api::PathKind {
    match kind {
        PathKind::Direct => api::PathKind::Direct,
        PathKind::Relay => api::PathKind::Relay,
    }
}

/// What the member allows.
pub const fn settings(consent: Consent, lan_mode: bool) -> api::Settings {
    api::Settings {
        allow_managed: consent.managed,
        allow_global: consent.global,
        allow_default: consent.default_route,
        allow_dns: consent.dns,
        allow_selftest: consent.selftest,
        lan_mode,
    }
}

/// The same, the other way; LAN mode is no affair of the engine.
pub const fn consent(settings: api::Settings) -> Consent {
    Consent {
        managed: settings.allow_managed,
        global: settings.allow_global,
        default_route: settings.allow_default,
        dns: settings.allow_dns,
        selftest: settings.allow_selftest,
    }
}

/// Why a command failed, for programs and for people.
pub fn failure(failure: Failure) -> (api::Trouble, String) {
    match failure {
        Failure::NoSuchNetwork => (
            api::Trouble::NoSuchNetwork,
            "this network is not joined".into(),
        ),
        Failure::NoSuchPeer => (api::Trouble::NoSuchPeer, "no such peer is known".into()),
        Failure::TimedOut => (api::Trouble::TimedOut, "no answer in time".into()),
        Failure::Pinned(key) => (
            api::Trouble::Pinned,
            format!(
                "the network's controller is pinned to another key, {key}; leave the network first to pin anew"
            ),
        ),
        Failure::Full => (api::Trouble::Full, "a table is full".into()),
        Failure::Malformed => (
            api::Trouble::Malformed,
            "the request is not what it should be".into(),
        ),
        Failure::Refused => (
            api::Trouble::Refused,
            "the signature or serial does not allow it".into(),
        ),
        Failure::NotAgreed => (
            api::Trouble::NotAgreed,
            "the member has not agreed to selftests (allow-selftest)".into(),
        ),
        Failure::NotMember => (
            api::Trouble::NotMember,
            "no member of this network, or its certificate did not come".into(),
        ),
        Failure::Busy => (api::Trouble::Busy, "another selftest is on".into()),
        Failure::Unsupported => (
            api::Trouble::Unsupported,
            "the other end answers, but is too old to know what was asked".into(),
        ),
    }
}

const fn status(status: Status) -> api::Status {
    match status {
        Status::Requesting => api::Status::Requesting,
        Status::Ok => api::Status::Ok,
        Status::Denied => api::Status::Denied,
        Status::NotFound => api::Status::NotFound,
        Status::Unreachable => api::Status::Unreachable,
        Status::DeviceError => api::Status::DeviceError,
    }
}

fn cidr((ip, prefix): (IpAddr, u8)) -> Option<Cidr> {
    // The engine has checked the prefix; one that is none cannot be said.
    Cidr::new(ip, prefix).ok()
}

fn route(route: Route) -> Option<api::Route> {
    Some(api::Route {
        target: cidr((route.target, route.prefix))?,
        via: route.via,
    })
}

/// A span as people read it.
pub fn milliseconds(span: Duration) -> f64 {
    // Microseconds are exact enough, and the number stays short.
    (span.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
