//! Endpoints that lead into one of our own networks: no way to a peer, for a while (SPEC §10.13).
//!
//! Owner: the engine's paths. In: the shard's word that a datagram of ours came out of a device. Out: another way.
//! Never: an endpoint of a supernode given up for it: it may be the only one there is.

use core::net::SocketAddr;

use zt_wire::NetworkId;

use crate::engine::Engine;
use crate::interface::{Event, PeerRole};
use crate::outbox::Outbox;
use crate::shard::Path;
use crate::time::Now;

impl Engine {
    /// `Note::Tunnel`: what we send to this endpoint comes out of a network's device.
    pub(crate) fn tunnel(
        &mut self,
        now: Now,
        network: NetworkId,
        at: SocketAddr,
        out: &mut Outbox,
    ) {
        let mut known = false;
        for handle in self.peers.handles() {
            let Some(peer) = self.peers.get_mut(handle) else {
                continue;
            };
            if peer.role == PeerRole::Supernode {
                continue;
            }
            let Some(candidate) = peer.paths.find_mut(at) else {
                continue;
            };
            candidate.ban(now.mono);
            known = true;
            if peer.paths.active == Some(Path::Direct(at)) {
                peer.paths.active = None;
                self.choose(now, handle, out);
                self.probe_all(now, handle, out);
            }
        }
        // A peer's endpoint is told once per ban; a supernode's would be told each time, so a network tells it in turn.
        if known || self.networks.tell_tunnel(now, network) {
            out.event(Event::Tunnel(network, at));
        }
    }
}
