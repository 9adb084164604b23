//! CREDENTIAL, REVOCATION, WORLD: what a third party has signed, and anybody may bring.
//!
//! Owner: nobody. In: the message. Out: a call; patience with who brought it.
//! Never: public-key work beyond a peer's budget, or for one that brought a bad signature a moment ago.

use zt_crypto::BadWorld;
use zt_wire::message::Message;

use super::payload;
use crate::counters::DropReason;
use crate::engine::Engine;
use crate::outbox::Outbox;
use crate::shard::PeerHandle;
use crate::time::Now;

impl Engine {
    /// A message whose signature is checked here, between packets.
    pub(crate) fn signed(
        &mut self,
        now: Now,
        handle: PeerHandle,
        message: &Message<'_>,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let who = (peer.address(), peer.key());
        // A controller may have thousands of members to revoke at once, and its word is what counts on its network.
        if !self.networks.is_pinned_controller(who) && !peer.may_prove(now.mono) {
            self.drop(DropReason::ControlRate);
            return;
        }
        let bytes = payload(message);
        let forged = match message {
            Message::Credential(_) => {
                let taken = self
                    .networks
                    .credential(now, who, &bytes, &mut self.actions);
                taken.is_err()
            }
            Message::Revocation(_) => {
                let taken = self
                    .networks
                    .revocation(now, who, &bytes, &mut self.actions);
                taken.is_err()
            }
            _ => self.world_offered(now, &bytes, out) == Err(BadWorld::Signature),
        };
        if !forged {
            return;
        }
        if !matches!(message, Message::World(_)) {
            self.drop(DropReason::Signature);
        }
        if let Some(peer) = self.peers.get_mut(handle) {
            peer.distrust(now.mono);
        }
    }
}
