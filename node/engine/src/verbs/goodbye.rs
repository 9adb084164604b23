//! GOODBYE: the peer ends the session.
//!
//! Owner: nobody. In: the message. Out: the session dropped; it is made again when something wants it.
//! Never: the peer's identity forgotten, a local key touched.

use zt_wire::message::Goodbye;

use crate::engine::Engine;
use crate::outbox::Outbox;
use crate::shard::PeerHandle;
use crate::time::Now;

impl Engine {
    /// GOODBYE, sealed in the session, so it is the peer's own word.
    pub(crate) fn goodbye(&mut self, now: Now, peer: PeerHandle, why: Goodbye, out: &mut Outbox) {
        match why {
            Goodbye::Stopping | Goodbye::Idle | Goodbye::Full => self.session_down(now, peer, out),
        }
    }
}
