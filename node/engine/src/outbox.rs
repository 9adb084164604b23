//! What a call of the engine caused, in order: news for the shard, messages, datagrams, frames, effects.
//!
//! Owner: the caller; the engine only adds. In: decisions. Out: `Out` items, first in, first out.
//! Never: anything left inside the engine to be fetched by a second call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::vec::Vec;

use zt_wire::{Address, Message, NetworkId};

use crate::held::Stranger;
use crate::interface::{Effect, Event};
use crate::shard::{Offload, Path, PeerHandle, To, Update};

/// One thing to do.
#[derive(Debug)]
pub enum Out {
    /// Give this to the shard.
    Update(Update),
    /// Seal these messages in the peer's session.
    Message {
        /// To whom and how.
        to: To,
        /// One or several messages with their headers.
        body: Vec<u8>,
    },
    /// A handshake datagram, outside any session.
    Datagram {
        /// Which way.
        path: Path,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// A frame that was held for a member.
    Frame {
        /// On which network.
        network: NetworkId,
        /// For whom.
        address: Address,
        /// The frame.
        frame: HeldFrame,
    },
    /// A frame of our own for the device of a network.
    Deliver {
        /// Which network's.
        network: NetworkId,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Try a frame of a selftest with one member; `Engine::selftest_stopped` when it cannot go.
    SelftestFrame {
        /// On which network.
        network: NetworkId,
        /// With whom.
        address: Address,
        /// Its number in the run.
        index: u16,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// Tell the engine what was heard of a selftest: `Engine::selftest_heard`.
    SelftestHeard,
    /// A frame that was held for replicators.
    Share {
        /// On which network.
        network: NetworkId,
        /// The frame.
        frame: HeldFrame,
    },
    /// A frame that was held for its origin's certificate.
    Enter(Stranger),
    /// Tell the engine the peer's traffic: `Engine::traffic`.
    Ask(PeerHandle),
    /// A control message of this peer is being checked: frames behind it may need what it says.
    Proving(PeerHandle),
    /// All its control messages are dealt with.
    Proven(PeerHandle),
    /// For the driver.
    Effect(Effect),
}

/// A frame kept for later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFrame {
    /// From the destination MAC on.
    pub bytes: Arc<[u8]>,
    /// What is left to do in it.
    pub offload: Offload,
    /// Whose it is, when we pass it on.
    pub origin: Option<Address>,
}

/// What a call caused, in order.
#[derive(Debug, Default)]
pub struct Outbox(VecDeque<Out>);

impl Outbox {
    /// Adds anything.
    pub fn push(&mut self, out: Out) {
        self.0.push_back(out);
    }

    /// Adds news for the shard.
    pub fn update(&mut self, update: Update) {
        self.push(Out::Update(update));
    }

    /// Adds an effect.
    pub fn effect(&mut self, effect: Effect) {
        self.push(Out::Effect(effect));
    }

    /// Adds an event.
    pub fn event(&mut self, event: Event) {
        self.effect(Effect::Event(event));
    }

    /// Adds one message over the path in use.
    pub fn say(&mut self, peer: PeerHandle, message: &Message<'_>) {
        self.message(peer, message.to_vec());
    }

    /// Adds messages over the path in use.
    pub fn message(&mut self, peer: PeerHandle, body: Vec<u8>) {
        self.push(Out::Message {
            to: To {
                peer,
                path: None,
                whole: false,
            },
            body,
        });
    }

    /// Adds messages over this path.
    pub fn message_on(&mut self, peer: PeerHandle, path: Path, body: Vec<u8>) {
        self.push(Out::Message {
            to: To {
                peer,
                path: Some(path),
                whole: false,
            },
            body,
        });
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<Out> {
        let out = self.0.pop_front();
        // A thousand peers that are due in one moment leave no room behind that only they needed.
        if self.0.is_empty() && self.0.capacity() > KEPT {
            self.0.shrink_to(KEPT);
        }
        out
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Room for so many is kept.
const KEPT: usize = 64;
