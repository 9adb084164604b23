//! ERROR: something we sent could not be served.
//!
//! Owner: nobody. In: the message. Out: a certificate sent again, a relay given up.
//! Never: an answer to it; anything beyond its own subject.

use zt_wire::message::{ErrorCode, Problem};

use crate::counters::DropReason;
use crate::engine::Engine;
use crate::interface::PeerRole;
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
                let Some(far) = far.and_then(|address| self.peers.by_address(address)) else {
                    return;
                };
                // That relay does not have it: another one may.
                let via = match far.paths.active {
                    Some(Path::Relay { via, .. }) if via == who.0 => via,
                    Some(Path::Relay { .. } | Path::Direct(_)) | None => return,
                };
                let far = far.handle;
                if let Some(far) = self.peers.get_mut(far)
                    && !far.paths.deaf_relays.contains(&via)
                    && far.paths.deaf_relays.len() < crate::limits::SUPERNODES
                {
                    far.paths.deaf_relays.push(via);
                }
                self.choose(now, far, out);
            }
            ErrorCode::Quota | ErrorCode::Unsupported => {}
        }
    }
}
