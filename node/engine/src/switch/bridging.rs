//! What bridging asks of a frame besides its receivers: where its source is, probes of the loop guard, budgets, who is to hear.
//!
//! Owner: a network's table. In: frames on their way in or out. Out: their receivers, or the reason to drop; notes.
//! Never: the loop guard's decision, which is the engine's; a note per frame.

use core::time::Duration;
use std::collections::BTreeMap;

use zt_rules::Facts;
use zt_wire::{Address, KeyId, Mac, ProbeFrame};

use super::learned::Place;
use super::storm::Budget;
use super::{ETHERNET, Network, Receivers, macs};
use crate::counters::DropReason;
use crate::limits;
use crate::shard::{Note, Notes};
use crate::time::Mono;
use crate::trouble::{Told, Trouble};

/// What a network's table keeps for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Bridging {
    /// Our device is cut off because of a loop.
    cut: bool,
    own: Budget,
    /// Of members that have sent something to everybody.
    budgets: BTreeMap<Address, Budget>,
    told: Told,
    next_station: Mono,
    probes: (Mono, u8),
}

impl Bridging {
    /// The member is gone.
    pub(super) fn forget(&mut self, member: Address) {
        self.budgets.remove(&member);
    }
}

impl Network {
    /// Who gets a frame of our own device, once it has passed everything but the rules.
    ///
    /// # Errors
    /// The reason to drop it.
    pub(crate) fn leaving(
        &mut self,
        now: Mono,
        frame: &[u8],
        facts: &Facts,
        notes: &mut Notes,
    ) -> Result<Receivers, DropReason> {
        let receivers = self.sort(now, frame, notes).and_then(|receivers| {
            self.may_leave(facts)?;
            Ok(receivers)
        });
        if let Err(reason) = receivers {
            self.tell(now, None, (reason, frame), notes);
        }
        receivers
    }

    /// Whether a member may have sent this frame: its gates, its budget, its guards, the rules.
    ///
    /// # Errors
    /// The reason to drop it.
    pub(crate) fn entering(
        &mut self,
        now: Mono,
        sender: (Address, KeyId),
        frame: &mut [u8],
        notes: &mut Notes,
    ) -> Result<(), DropReason> {
        let taken = self
            .accept(now, sender, frame, notes)
            .and_then(|()| self.may_enter(sender.0, frame));
        if let Err(reason) = taken {
            self.tell(now, Some(sender.0), (reason, frame), notes);
        }
        taken
    }

    /// Our device is cut off, or connected again: either way what was learned is not true any more.
    pub(crate) fn cut(&mut self, cut: bool) {
        self.bridging.cut = cut;
        self.learned.clear();
    }

    /// Nothing is behind this member any more.
    pub(crate) fn unlearn(&mut self, member: Address) {
        self.learned.forget(Place::Behind(member));
    }

    /// A member's frame that passed the gates: probes end here, storms stay within their budget, stations are learned.
    pub(super) fn take_in(
        &mut self,
        now: Mono,
        sender: Address,
        station: Option<Mac>,
        frame: &[u8],
        notes: &mut Notes,
    ) -> Result<(), DropReason> {
        let (to, _) = macs(frame).ok_or(DropReason::FrameSize)?;
        if self.bridging.cut {
            return Err(DropReason::CutOff);
        }
        if self.probe(frame).is_some() {
            return Err(DropReason::LoopProbe);
        }
        // What is for somebody whose place is known is no flood: us, a member (a tee's copy), a station behind us.
        let known = to == self.up.mac
            || !self.up.bridge
            || self.is_member(to)
            || self.learned.find(now, to) == Some(Place::Here);
        if to.is_group() || !known {
            // Bounded by the members: the sender is one.
            let budget = self.bridging.budgets.entry(sender).or_default();
            if !budget.take(now, 1, frame.len()) {
                return Err(DropReason::Storm);
            }
        }
        match station {
            Some(mac) => self.learn(now, mac, Place::Behind(sender), notes),
            None => Ok(()),
        }
    }

    /// Another worker has seen a station.
    pub(crate) fn station(&mut self, now: Mono, mac: Mac, behind: Option<Address>) {
        if !self.bridging.cut {
            self.learned
                .hear(now, mac, behind.map_or(Place::Here, Place::Behind));
        }
    }

    fn learn(
        &mut self,
        now: Mono,
        mac: Mac,
        place: Place,
        notes: &mut Notes,
    ) -> Result<(), DropReason> {
        let learned = self.learned.learn(now, mac, place);
        if learned.map_err(|_| DropReason::Flapping)? {
            let network = self.up.network;
            let behind = match place {
                Place::Here => None,
                Place::Behind(member) => Some(member),
            };
            notes.push(Note::Station {
                network,
                mac,
                behind,
            });
        }
        Ok(())
    }

    fn sort(
        &mut self,
        now: Mono,
        frame: &[u8],
        notes: &mut Notes,
    ) -> Result<Receivers, DropReason> {
        let (to, from) = macs(frame).ok_or(DropReason::FrameSize)?;
        if let Some(probe) = self.probe(frame) {
            self.heard(now, probe, notes);
            return Err(DropReason::LoopProbe);
        }
        let station = from != self.up.mac && self.up.bridge;
        if station && now >= self.bridging.next_station {
            self.bridging.next_station = now + limits::BRIDGING_EVERY;
            let network = self.up.network;
            notes.push(Note::Bridging { network });
        }
        if self.bridging.cut {
            return Err(DropReason::CutOff);
        }
        let receivers = self.receivers(now, frame)?;
        if station {
            self.learn(now, from, Place::Here, notes)?;
        }
        if to.is_group() || receivers == Receivers::Bridges {
            let largest = ETHERNET + limits::TAG_BYTES + usize::from(self.up.mtu);
            let frames = frame.len().div_ceil(largest) as u64;
            if !self.bridging.own.take(now, frames, frame.len()) {
                return Err(DropReason::Storm);
            }
        }
        Ok(receivers)
    }

    /// A probe of this network's loop guard.
    fn probe(&self, frame: &[u8]) -> Option<ProbeFrame> {
        ProbeFrame::parse(frame).filter(|probe| probe.network == self.up.network)
    }

    /// A probe came in through our device: the engine hears of it, though not of each in a flood of them.
    fn heard(&mut self, now: Mono, probe: ProbeFrame, notes: &mut Notes) {
        let (since, count) = &mut self.bridging.probes;
        if now.since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        if self.up.bridge && *count < limits::LOOP_PROBES_PER_SECOND {
            *count += 1;
            notes.push(Note::LoopProbe {
                network: probe.network,
                member: probe.member,
                token: probe.token,
            });
        }
    }

    fn tell(
        &mut self,
        now: Mono,
        member: Option<Address>,
        drop: (DropReason, &[u8]),
        notes: &mut Notes,
    ) {
        let (reason, frame) = drop;
        let Some((_, from)) = macs(frame) else { return };
        let Some(trouble) = Trouble::of(reason, from, self.is_member(from)) else {
            return;
        };
        if self.bridging.told.is_news(now, member, reason) {
            notes.push(Note::Trouble {
                network: self.up.network,
                member,
                trouble,
            });
        }
    }
}
