//! A selftest at the shard: frames that are tried with one member only, and frames that are taken note of instead of delivered.
//!
//! Owner: the shard. In: frames of a run. Out: why one could not be sent; how often, in which place and how each came.
//! Never: another frame than those announced kept from the device; anything done while no run is on.

use std::string::String;
use std::vec::Vec;

use zt_wire::message::FINGERPRINT;
use zt_wire::{Address, NetworkId};

use super::Shard;
use super::extras::Extras;
use super::seal::Sender;
use super::tx::{Cut, to_member};
use super::verdict::{Notes, PeerHandle, SendBuf, TapFrame};
use crate::counters::DropReason;
use crate::selftest::Arrived;
use crate::switch;
use crate::time::Now;

/// What the engine wants to be heard.
#[derive(Clone, Debug)]
pub struct Listen {
    /// On which network.
    pub network: NetworkId,
    /// From whom.
    pub peer: PeerHandle,
    /// Which run: the first bytes of its frames' marks.
    pub run: [u8; 6],
    /// Its frames.
    pub frames: Vec<[u8; FINGERPRINT]>,
}

/// A run that is being heard.
#[derive(Debug)]
pub(super) struct Listening {
    what: Listen,
    arrived: Vec<Arrived>,
    next: u16,
}

/// What a frame is known by.
pub(crate) fn fingerprint(frame: &[u8]) -> [u8; FINGERPRINT] {
    let [a, b, c, d, e, f, g, h, ..] = zt_crypto::hash256(frame);
    [a, b, c, d, e, f, g, h]
}

impl Listening {
    pub(super) fn new(what: Listen) -> Self {
        Self {
            arrived: what.frames.iter().map(|_| Arrived::default()).collect(),
            what,
            next: 0,
        }
    }

    /// Whether this is a frame of the run, whatever the gates said; it is taken note of then.
    pub(super) fn takes(
        &mut self,
        from: (NetworkId, PeerHandle),
        frame: &[u8],
        gates: Result<(), DropReason>,
    ) -> bool {
        if from != (self.what.network, self.what.peer) {
            return false;
        }
        let print = fingerprint(frame);
        let whole = self.what.frames.iter().position(|known| *known == print);
        let marked = || zt_frames::Mark::find(self.what.run, frame).map(usize::from);
        let Some(at) = whole.or_else(marked) else {
            return false;
        };
        let Some(arrived) = self.arrived.get_mut(at) else {
            return false;
        };
        arrived.times = arrived.times.saturating_add(1);
        arrived.changed |= whole.is_none();
        if let Err(reason) = gates {
            arrived.reason = String::from(reason.name());
        }
        if arrived.place.is_none() {
            arrived.place = Some(self.next);
            self.next = self.next.saturating_add(1);
        }
        true
    }
}

impl Shard {
    /// What was heard of the run; nothing is listened for any more.
    pub fn heard(&mut self) -> Vec<Arrived> {
        let listening = self.listening.take();
        listening.map_or_else(Vec::new, |listening| listening.arrived)
    }

    /// Sends a frame as if it came from the device, yet to nobody but this member.
    ///
    /// # Errors
    /// Why it did not go: a reason of SPEC §12.2, or `answered`.
    pub fn try_frame(
        &mut self,
        now: Now,
        (network, address): (NetworkId, Address),
        frame: &[u8],
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Result<(), &'static str> {
        let tried = self.tried(now, (network, address), frame, out, notes);
        if let Err(reason) = tried {
            if let Some(reason) = reason {
                self.counters.drop(reason);
            }
            return Err(reason.map_or("answered", DropReason::name));
        }
        Ok(())
    }

    fn tried(
        &mut self,
        now: Now,
        (network, address): (NetworkId, Address),
        frame: &[u8],
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Result<(), Option<DropReason>> {
        let table = self.switch.get(network).ok_or(DropReason::UnknownNetwork)?;
        let cut = Cut::of(TapFrame::plain(frame), table)?;
        let receivers = table.receivers(now.mono, frame)?;
        table.may_leave(&cut.facts)?;
        if switch::answer(table, frame, &mut self.answer) {
            return Err(None);
        }
        if !table.each(receivers).any(|receiver| receiver == address) {
            return Err(Some(DropReason::NoReceiver));
        }
        let mut sender = Sender {
            now: now.mono,
            sessions: &mut self.sessions,
            counters: &mut self.counters,
            notes,
            out,
        };
        // What the rules copy to others stays here: a test is between two.
        let went = to_member(&mut sender, table, address, &cut, &mut Extras::default());
        went.map_err(|miss| Some(miss.reason()))
    }
}
