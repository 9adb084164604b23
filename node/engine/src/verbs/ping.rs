//! PING and PONG: is somebody there, how long does it take, how do we look from there.
//!
//! Owner: nobody. In: both messages. Out: the answer, round trips, reflections.
//! Never: an answer to an answer.

use zt_wire::message::{Message, Pong};

use crate::engine::Engine;
use crate::interface::PeerRole;
use crate::outbox::Outbox;
use crate::shard::{Path, PeerHandle};
use crate::time::Now;

impl Engine {
    /// PING: answered on the way it came.
    pub(crate) fn ping(peer: PeerHandle, from: Path, token: u64, out: &mut Outbox) {
        let observed = match from {
            Path::Direct(at) => Some(at),
            Path::Relay { .. } => None,
        };
        out.message_on(peer, from, Message::Pong(Pong { token, observed }).to_vec());
    }

    /// PONG: the answer to a keepalive, a measurement or a person's ping.
    pub(crate) fn pong(&mut self, now: Now, handle: PeerHandle, pong: &Pong, out: &mut Outbox) {
        self.reflected(now, handle, pong.observed, out);
        self.command_pong(now, handle, pong.token, out);
        self.selftest_pong(pong.token);
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if let Some((_, sent)) = peer.pinged.take_if(|(token, _)| *token == pong.token) {
            let (key, role) = (peer.key(), peer.role);
            let rtt = now.mono.since(sent);
            if let Some(Path::Direct(at)) = peer.paths.active
                && let Some(candidate) = peer.paths.find_mut(at)
            {
                candidate.rtt = Some(rtt);
            }
            if role == PeerRole::Supernode {
                self.supernode_rtt(now, key, rtt, out);
            }
        }
    }
}
