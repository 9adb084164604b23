//! What a person could notice, as log lines.
//!
//! Owner: nobody. In: events. Out: one line each.
//! Never: a line per packet.

use zt_engine::interface::{Event, Status};

/// Logs an event.
pub fn log(event: &Event) {
    match event {
        Event::Online(supernode) => tracing::info!(%supernode, "online"),
        Event::Offline => tracing::warn!("no supernode answers; trying on"),
        Event::Collision(address) => {
            tracing::error!(%address, "this address belongs to another key; only another identity helps");
        }
        Event::NetworkStatus(network, status) => {
            tracing::info!(%network, status = name(*status), "network");
        }
        Event::Pinned(network, fingerprint) => {
            tracing::info!(%network, %fingerprint, "controller's key pinned on first use");
        }
        Event::PathChanged(peer, kind, endpoint) => {
            tracing::debug!(%peer, ?kind, ?endpoint, "path changed");
        }
        Event::WorldAdopted(serial) => tracing::info!(serial, "newer world adopted"),
        Event::Disagreement(address) => {
            tracing::warn!(%address, "supernodes tell different keys for one address; the proven one is used");
        }
    }
}

const fn name(status: Status) -> &'static str {
    match status {
        Status::Requesting => "requesting",
        Status::Ok => "ok",
        Status::Denied => "denied",
        Status::NotFound => "not-found",
        Status::Unreachable => "unreachable",
        Status::DeviceError => "device-error",
    }
}
