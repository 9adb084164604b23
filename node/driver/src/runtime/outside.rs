//! The world as the engine sees it: slots to fill, devices to deliver to, effects to ask for.
//!
//! Owner: the worker. In: what the engine says. Out: a batch per round, effects in their order.
//! Never: a call back into the engine.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use zt_engine::Io;
use zt_engine::interface::Effect;
use zt_engine::lane::Order;
use zt_engine::shard::{Path, SendBuf, TapFrame};
use zt_wire::NetworkId;

use super::handle::Post;
use super::ipx::{Ipx, Side};
use super::lane::LaneMessage;
use super::strays::{BUNDLES, Strays};
use super::wires::Links;

/// Sockets, devices, the other workers and the effects not yet carried out.
#[derive(Debug)]
pub struct Outside {
    /// Sockets and devices.
    pub links: Links,
    /// IPX on those devices.
    pub ipx: Ipx,
    effects: VecDeque<Effect>,
    lanes: Arc<[Post<LaneMessage>]>,
    strays: Strays,
}

impl Outside {
    /// Sockets, and no device yet.
    pub fn new(links: Links, lanes: Arc<[Post<LaneMessage>]>) -> Self {
        Self {
            links,
            ipx: Ipx::default(),
            effects: VecDeque::new(),
            lanes,
            strays: Strays::default(),
        }
    }

    /// Tells a lane something.
    pub fn tell(&self, lane: usize, message: LaneMessage) {
        if let Some(post) = lane.checked_sub(1).and_then(|at| self.lanes.get(at)) {
            post.send(message);
        }
    }

    /// Datagrams for lanes that had no time for them.
    pub const fn lost_strays(&self) -> u64 {
        self.strays.lost()
    }

    /// The next effect to be carried out.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Hands over everything that waits for the end of a round.
    pub fn flush(&mut self) {
        self.links.flush();
        let Self { strays, lanes, .. } = self;
        strays.flush(|worker, bundle| {
            let post = worker.checked_sub(1).and_then(|at| lanes.get(at));
            post.is_some_and(|post| post.send_within(BUNDLES, LaneMessage::Strays(bundle)))
        });
    }
}

impl SendBuf for Outside {
    fn slot(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        self.links.batch.slot(to, len)
    }
}

impl Io for Outside {
    fn deliver(&mut self, network: NetworkId, frame: TapFrame<'_>) {
        self.ipx.pass(network, Side::Overlay, frame.bytes);
        self.links.taps.deliver(network, frame);
    }

    fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    fn order(&mut self, lane: usize, order: Order) {
        self.tell(lane, LaneMessage::Order(Box::new(order)));
    }

    fn stray(&mut self, lane: usize, from: Path, datagram: &[u8]) {
        self.strays.add(lane, from, datagram);
    }
}
