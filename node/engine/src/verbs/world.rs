//! `WORLD_GET`: somebody wants the world that was offered.
//!
//! Owner: nobody. In: the message. Out: the signed world, which proves itself.
//! Never: an unsigned word about the world.

use zt_wire::Signed;
use zt_wire::message::Message;

use crate::engine::Engine;
use crate::outbox::Outbox;
use crate::shard::PeerHandle;

impl Engine {
    /// `WORLD_GET`.
    pub(crate) fn world_wanted(&mut self, handle: PeerHandle, out: &mut Outbox) {
        if let Ok(signed) = Signed::parse(self.world.bytes()) {
            out.say(handle, &Message::World(signed));
        }
    }
}
