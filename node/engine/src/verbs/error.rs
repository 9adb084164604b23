//! ERROR: something we sent could not be served.
//!
//! Owner: nobody. In: the message. Out: a certificate sent again, a relay given up.
//! Never: an answer to it; anything beyond its own subject.

use zt_wire::Address;
use zt_wire::message::{ErrorCode, Problem};

use crate::counters::DropReason;
use crate::engine::Engine;
use crate::interface::PeerRole;
use crate::limits;
use crate::outbox::Outbox;
use crate::shard::{Path, PeerHandle};
use crate::time::Now;

impl Engine {
    /// ERROR.
    pub(crate) fn problem(
        &mut self,
        now: Now,
        handle: PeerHandle,
        problem: &Problem,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        let (who, role) = ((peer.address(), peer.key()), peer.role);
        match problem.code {
            ErrorCode::NeedCredential | ErrorCode::NotAMember => match problem.detail_network() {
                Some(network) => self.networks.wanted(now, who, network, &mut self.actions),
                None => self.drop(DropReason::Malformed),
            },
            ErrorCode::NoSuchPeer => {
                let far = problem
                    .detail_address()
                    .filter(|_| role == PeerRole::Supernode);
                let far = far.and_then(|address| self.peers.by_address(address));
                if let Some(far) = far.map(|peer| peer.handle) {
                    self.relay_lacks(now, who.0, far, out);
                }
            }
            ErrorCode::Quota | ErrorCode::Unsupported => {}
        }
    }
    /// That relay does not have the peer: another one may.
    fn relay_lacks(&mut self, now: Now, relay: Address, far: PeerHandle, out: &mut Outbox) {
        self.try_other_relays(now, far, out);
        let Some(peer) = self.peers.get_mut(far) else {
            return;
        };
        let carries = matches!(peer.paths.active, Some(Path::Relay { via, .. }) if via == relay);
        let known = peer.paths.deaf_relays.contains(&relay);
        if carries && !known && peer.paths.deaf_relays.len() < limits::SUPERNODES {
            peer.paths.deaf_relays.push(relay);
            self.choose(now, far, out);
        }
    }
}
