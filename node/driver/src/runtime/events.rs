//! What a person could notice, as log lines.
//!
//! Owner: nobody. In: events. Out: one line each.
//! Never: a line per packet.

use zt_engine::interface::{Event, LoopInfo, Status, Trouble};
use zt_wire::{Address, NetworkId};

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
        Event::LoopFound(network, found) => looped(*network, found),
        Event::LoopGone(network, with) => match with {
            Some(member) => {
                tracing::info!(%network, %member, "the loop is gone");
            }
            None => {
                tracing::info!(%network, "the LAN behind the device leads back to itself no more");
            }
        },
        Event::Tunnel(network, endpoint) => {
            tracing::warn!(%network, %endpoint, "datagrams to this endpoint would run through the network that they carry: dropped, and the endpoint is not used for a while");
        }
        Event::Trouble(network, member, trouble) => frames(*network, *member, *trouble),
        Event::Disagreement(address) => {
            tracing::warn!(%address, "supernodes tell different keys for one address; the proven one is used");
        }
    }
}

fn looped(network: NetworkId, found: &LoopInfo) {
    match (found.with, found.cut_off) {
        (Some(member), true) => {
            tracing::warn!(%network, %member, "loop: the LAN behind this device is connected with the one behind that member by another way, too; this device is cut off until that way is gone");
        }
        (Some(member), false) => {
            tracing::warn!(%network, %member, "loop: the LAN behind this device is connected with the one behind that member by another way, too; that member is cut off until that way is gone");
        }
        (None, _) => {
            tracing::warn!(%network, "loop: the LAN behind this device leads back to itself; the device is cut off until that ends");
        }
    }
}

/// Frames that are dropped, of whom, why, and what helps.
fn frames(network: NetworkId, member: Address, trouble: Trouble) {
    let set = |right: &str| format!("zt-cli member set {network} {member} {right}=true");
    match trouble {
        Trouble::Claim(mac) => {
            tracing::warn!(%network, %member, %mac, "frames with a MAC that the member has no right to are dropped; if it is to bridge: {}", set("bridge"));
        }
        Trouble::Forged(mac) => {
            tracing::warn!(%network, %member, %mac, "frames with the MAC of another member are dropped: a loop, or a forgery");
        }
        Trouble::Storm => {
            tracing::warn!(%network, %member, "more broadcast, multicast and unknown unicast than the budget allows: what exceeds it is dropped");
        }
        Trouble::Flapping(mac) => {
            tracing::warn!(%network, %member, %mac, "a station changes its place too often: it is held where it was, its frames from elsewhere are dropped; look for a loop or a MAC used twice");
        }
        Trouble::DhcpServer(mac) => {
            tracing::warn!(%network, %member, %mac, "answers of a DHCP server are dropped; if it is to be one: {}", set("dhcp-server"));
        }
        Trouble::SourceIp(mac) => {
            tracing::warn!(%network, %member, %mac, "frames from IP addresses that are not the member's are dropped; if it may use others: {}", set("any-source-ip"));
        }
        Trouble::ReservedGroup => {
            // Programs like lldpd say such frames on every device, so it is no warning.
            tracing::info!(%network, %member, "frames to a group that bridges keep to themselves are dropped; for all but spanning tree: zt-cli network set {network} link-local-groups=true");
        }
        Trouble::RouterAdvertisement(mac) => {
            tracing::warn!(%network, %member, %mac, "router advertisements are dropped; if it is to be a router: {}", set("router-advertisement"));
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
