//! The world as the engine sees it: slots to fill, devices to deliver to, effects to ask for.
//!
//! Owner: the worker. In: what the engine says. Out: a batch per round, effects in their order.
//! Never: a call back into the engine.

use std::collections::VecDeque;
use std::net::SocketAddr;

use zt_engine::Io;
use zt_engine::interface::Effect;
use zt_engine::shard::{SendBuf, TapFrame};
use zt_wire::NetworkId;

use super::ipx::{Ipx, Side};
use super::taps::Taps;
use crate::offload::Offloads;
use crate::udp::{Batch, Sockets};

/// Sockets, devices and the effects not yet carried out.
#[derive(Debug)]
pub struct Outside {
    /// Datagrams to be sent.
    pub batch: Batch,
    /// Devices by network.
    pub taps: Taps,
    /// IPX on those devices.
    pub ipx: Ipx,
    effects: VecDeque<Effect>,
}

impl Outside {
    /// Sockets, and no device yet.
    pub fn new(sockets: Sockets, offloads: Offloads) -> Self {
        Self {
            batch: Batch::new(sockets),
            taps: Taps::new(offloads),
            ipx: Ipx::default(),
            effects: VecDeque::new(),
        }
    }

    /// The next effect to be carried out.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Hands over everything that waits for the end of a round.
    pub fn flush(&mut self) {
        self.taps.flush();
        self.batch.flush();
    }
}

impl SendBuf for Outside {
    fn slot(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        self.batch.slot(to, len)
    }
}

impl Io for Outside {
    fn deliver(&mut self, network: NetworkId, frame: TapFrame<'_>) {
        self.ipx.pass(network, Side::Overlay, frame.bytes);
        self.taps.deliver(network, frame);
    }

    fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }
}
