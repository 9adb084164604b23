//! Peers met in earlier runs: saved now and then, verified again after a restart.
//!
//! Owner: the engine. In: peers with sessions, saved bytes. Out: `Saved::Peers`, peers with endpoints to try.
//! Never: a supernode's endpoints (the world has them).

use core::net::SocketAddr;
use std::vec::Vec;

use zt_crypto::Verified;
use zt_wire::Identity;

use crate::counters::DropReason;
use crate::engine::{Engine, Purpose};
use crate::interface::{Effect, PeerRole, Saved};
use crate::limits;
use crate::outbox::Outbox;
use crate::paths::Source;
use crate::peers;
use crate::time::Now;

impl Engine {
    /// Writes the peers a restart would want to know at once.
    pub(crate) fn save_peers(&mut self, out: &mut Outbox) {
        if self.config.role.relays() {
            // Those come by themselves, and are many.
            return;
        }
        let mut known: Vec<&peers::Peer> = self
            .peers
            .iter()
            .filter(|peer| peer.role != PeerRole::Supernode)
            .collect();
        known.sort_by_key(|peer| core::cmp::Reverse((peer.session.is_some(), peer.wanted)));
        let rows: Vec<(Identity, Vec<SocketAddr>)> = known
            .into_iter()
            .take(limits::PEERS_SAVED)
            .map(|peer| {
                let proven = peer
                    .paths
                    .candidates
                    .iter()
                    .filter(|candidate| candidate.answered.is_some());
                (
                    peer.identity(),
                    proven.map(|candidate| candidate.at).collect(),
                )
            })
            .collect();
        let bytes = peers::encode(&rows);
        if self.saved_peers == bytes {
            return;
        }
        self.saved_peers.clone_from(&bytes);
        out.effect(Effect::Save(Saved::Peers(bytes)));
    }

    /// Takes what an earlier run saved.
    pub(crate) fn restore_peers(&mut self, bytes: &[u8], out: &mut Outbox) {
        for (identity, endpoints) in peers::decode(bytes) {
            self.verify(identity, Purpose::Saved(endpoints), out);
        }
    }

    /// Work is done: a saved identity holds.
    pub(crate) fn saved_verified(
        &mut self,
        now: Now,
        endpoints: &[SocketAddr],
        who: Option<&Verified>,
        out: &mut Outbox,
    ) {
        let Some(who) = who else {
            self.drop(DropReason::Identity);
            return;
        };
        let Some(handle) = self.meet(now, who, out) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(handle) {
            for endpoint in endpoints {
                peer.paths.learn(now.mono, *endpoint, Source::Saved);
            }
        }
        self.adopt_outgoing(now, handle, out);
    }
}
