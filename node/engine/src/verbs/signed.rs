//! CREDENTIAL, REVOCATION: what a controller has signed, and anybody may bring.
//!
//! Owner: nobody. In: the message, within its bringer's budget. Out: a call; patience with who brought it.
//! Never: a second look at one that brought a bad signature a moment ago.

use zt_wire::message::Message;

use super::payload;
use crate::counters::DropReason;
use crate::engine::Engine;
use crate::shard::PeerHandle;
use crate::time::Now;

impl Engine {
    /// A message whose signature counts.
    pub(crate) fn signed(&mut self, now: Now, handle: PeerHandle, message: &Message<'_>) {
        let Some(who) = self.label(handle) else {
            return;
        };
        let bytes = payload(message);
        let taken = if matches!(message, Message::Credential(_)) {
            self.networks
                .credential(now, who, &bytes, &mut self.actions)
        } else {
            self.networks
                .revocation(now, who, &bytes, &mut self.actions)
        };
        if taken.is_ok() {
            return;
        }
        self.drop(DropReason::Signature);
        if let Some(peer) = self.peers.get_mut(handle) {
            peer.distrust(now.mono);
        }
    }
}
