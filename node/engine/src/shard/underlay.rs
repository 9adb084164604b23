//! No tunnel in the tunnel: frames that are datagrams of our own underlay (SPEC §10.13).
//!
//! Owner: the shard. In: this machine's sockets, facts of frames. Out: whether a frame is one; a note where it would have gone.
//! Never: a look at what a datagram carries.

use core::net::SocketAddr;
use std::vec::Vec;

use zt_rules::Facts;
use zt_wire::{Mac, NetworkId};

use super::verdict::{Note, Notes};
use crate::limits;
use crate::time::Mono;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Our own sockets, as others reach them on this machine's interfaces.
#[derive(Clone, Debug, Default)]
pub(super) struct Underlay {
    sockets: Vec<SocketAddr>,
    told: Option<(SocketAddr, Mono)>,
}

impl Underlay {
    pub(super) fn set(&mut self, sockets: Vec<SocketAddr>) {
        self.sockets = sockets;
    }

    /// Whether a frame of our own device is a datagram that we sent: then the underlay would run through this network.
    pub(super) fn sends(
        &mut self,
        now: Mono,
        network: (NetworkId, Mac),
        facts: &Facts,
        notes: &mut Notes,
    ) -> bool {
        let Some((from, to)) = ends(facts) else {
            return false;
        };
        let (network, mac) = network;
        // From the device's own MAC this machine speaks itself, whatever address the kernel chose.
        let ours = self.sockets.iter().any(|socket| {
            socket.port() == from.port() && (socket.ip() == from.ip() || facts.from == mac)
        });
        let known = self
            .told
            .is_some_and(|(told, at)| told == to && now.since(at) < limits::TUNNEL_EVERY);
        if ours && !known {
            self.told = Some((to, now));
            notes.push(Note::Tunnel { network, to });
        }
        ours
    }

    /// Whether a member's frame is a datagram for one of our sockets: its underlay would run through this network.
    pub(super) fn is_for(&self, frame: &[u8]) -> bool {
        may_be_udp(frame)
            && Facts::of(frame)
                .and_then(|facts| ends(&facts))
                .is_some_and(|(_, to)| self.sockets.contains(&to))
    }
}

/// What most frames are is not UDP at first sight: TCP, untagged, without options.
fn may_be_udp(frame: &[u8]) -> bool {
    match frame.get(12..24) {
        Some([0x08, 0x00, 0x45, .., protocol]) => *protocol == UDP,
        Some([0x86, 0xdd, _, _, _, _, _, _, next, ..]) => *next != TCP,
        Some(_) => true,
        None => false,
    }
}

/// Source and destination of a UDP datagram.
fn ends(facts: &Facts) -> Option<(SocketAddr, SocketAddr)> {
    let (from, to) = facts.ports.filter(|_| facts.protocol == Some(UDP))?;
    Some((
        SocketAddr::new(facts.ip_from?, from),
        SocketAddr::new(facts.ip_to?, to),
    ))
}
