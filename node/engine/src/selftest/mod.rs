//! Selftests: which kinds of frames cross to a member and back, tried with its operator's consent (SPEC §6.8).
//!
//! Owner: the engine. In: a command, the messages of both ends, what the shard sent and heard. Out: frames, messages, one report.
//! Never: two runs at once in one direction; a run without an end; a frame of a run on the receiver's device.

mod hearing;
mod report;
mod sending;

use std::string::String;
use std::vec::Vec;

use zt_wire::message::{Message, Selftest, SelftestStep};
use zt_wire::{Address, NetworkId};

use self::hearing::Hearing;
use self::sending::Sending;
use crate::engine::Engine;
use crate::outbox::Outbox;
use crate::shard::PeerHandle;
use crate::time::Now;

/// The run that we send and the one that we hear.
#[derive(Debug, Default)]
pub struct Selftests {
    sending: Option<Sending>,
    hearing: Option<Hearing>,
}

/// What names a run: where, with whom, which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    network: NetworkId,
    with: Address,
    id: [u8; 6],
}

/// A frame of a run as its receiver knows it.
#[derive(Clone, Debug)]
struct Expected {
    name: String,
    length: u16,
}

/// What became of one frame at the receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// How often it came.
    pub times: u8,
    /// Its place among those that came; `None` when it never did.
    pub place: Option<u16>,
    /// It came with other bytes.
    pub changed: bool,
    /// Why the switch dropped it; empty when it did not.
    pub reason: String,
}

impl Engine {
    /// SELFTEST from a peer.
    pub(crate) fn selftest(
        &mut self,
        now: Now,
        peer: PeerHandle,
        message: &Selftest<'_>,
        out: &mut Outbox,
    ) {
        let Some((with, _)) = self.label(peer) else {
            return;
        };
        let run = Run {
            network: message.network,
            with,
            id: message.run,
        };
        match message.step {
            SelftestStep::Begin(frames) => self.selftest_begins(now, peer, run, &frames, out),
            SelftestStep::End(stopped) => {
                let stopped: Vec<(u16, String)> = stopped
                    .iter()
                    .map(|one| (one.index, String::from(one.reason)))
                    .collect();
                self.selftest_ends(now, peer, run, stopped, out);
            }
            SelftestStep::Return => self.selftest_returns(now, run),
        }
    }
}

impl Run {
    /// A message about it.
    fn says(&self, step: SelftestStep<'_>) -> Vec<u8> {
        let (network, run) = (self.network, self.id);
        Message::Selftest(Selftest { network, run, step }).to_vec()
    }
}
