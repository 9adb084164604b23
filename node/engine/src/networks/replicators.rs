//! Replicators: which ones we keep sessions with, and certificates of members whose frames they pass on.
//!
//! Owner: one joined network. In: the directory, sessions, frames of strangers, VOUCH. Out: connections, VOUCH, certificates.
//! Never: a certificate that was not asked for from anybody but its subject; one that displaces another key's.

use core::ops::Bound::{Excluded, Unbounded};
use std::collections::BTreeMap;
use std::vec::Vec;

use zt_wire::message::Vouch;
use zt_wire::{Address, Certificate, KeyId, Message, NetworkId, Rights, Signed};

use super::action::{Action, Actions};
use super::joined::Joined;
use super::timers::Timer;
use super::{Around, Networks};
use crate::limits;
use crate::time::{Mono, Now};

/// What we know of a network's replicators besides that they are members.
#[derive(Debug, Default)]
pub(super) struct Replicators {
    /// Those that could not be reached, and when.
    shunned: BTreeMap<Address, Mono>,
    /// Certificates asked for: from whom, how often.
    asked: BTreeMap<Address, (Address, u8)>,
    /// The second whose certificates told to others are being counted, and how many there were.
    told: (Mono, u32),
}

impl Networks {
    /// `Note::Unshared`: a frame waits for a replicator.
    pub fn unshared(&mut self, now: Now, network: NetworkId, out: &mut Actions) {
        if let Some(joined) = self.joined.get_mut(&network) {
            joined.keep_replicators(&mut self.around, now.mono, out);
        }
    }

    /// A peer passed on a frame of a member whose certificate is not here.
    pub fn unvouched(
        &mut self,
        now: Now,
        via: (Address, KeyId),
        (network, origin): (NetworkId, Address),
        out: &mut Actions,
    ) {
        let Some(joined) = self
            .joined
            .get_mut(&network)
            .filter(|joined| joined.is_up())
        else {
            return;
        };
        let known = joined.contacts.get(&origin);
        if known.is_some_and(|contact| contact.valid) {
            // It came while the worker that took the frame had not heard of it yet.
            out.push(Action::Welcome(network, origin));
        } else if !joined.replicators.asked.contains_key(&origin)
            && joined.replicators.asked.len() < limits::SHARES_HELD
        {
            joined.replicators.asked.insert(origin, (via.0, 0));
            joined.vouch_due(&mut self.around, now.mono, origin, out);
        }
    }

    /// VOUCH: a member asks for another's certificate.
    pub fn vouch(&mut self, now: Now, from: (Address, KeyId), wanted: Vouch, out: &mut Actions) {
        let Some(joined) = self.joined.get_mut(&wanted.network) else {
            return;
        };
        let asks = joined.contacts.get(&from.0).is_some_and(|contact| {
            contact.valid && contact.theirs.as_ref().map(|theirs| theirs.1.key) == Some(from.1)
        });
        let (since, told) = &mut joined.replicators.told;
        if now.mono.since(*since) >= core::time::Duration::from_secs(1) {
            (*since, *told) = (now.mono, 0);
        }
        *told += 1;
        if !asks || *told > limits::VOUCHES_PER_SECOND {
            return;
        }
        let known = joined.contacts.get(&wanted.member);
        if let Some(contact) = known.filter(|contact| contact.valid)
            && let Some(theirs) = &contact.theirs
            && let Ok(signed) = Signed::parse(&theirs.0)
        {
            out.push(Action::SendIfUp(
                from.0,
                Message::Credential(signed).to_vec(),
            ));
        }
    }
}

impl Joined {
    /// Keeps sessions with some of the replicators where the network has more members than its limit.
    pub(super) fn keep_replicators(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        let limit = self
            .shared
            .as_ref()
            .map_or(u16::MAX, |shared| shared.config.multicast_limit);
        let ours = self.own.as_ref();
        let replicates = ours.is_some_and(|own| own.certificate.rights.has(Rights::REPLICATOR));
        let me = around.me;
        let listed = self
            .listed
            .range((Excluded(me), Unbounded))
            .chain(self.listed.range(..me))
            .filter(|(_, listing)| listing.replicator);
        let away = |address: &Address| {
            self.replicators
                .shunned
                .get(address)
                .is_some_and(|at| now.since(*at) < limits::REPLICATORS_MISSED_FOR)
        };
        let some: Vec<Address> = listed
            .map(|(&address, _)| address)
            .filter(|address| !away(address))
            .take(limits::REPLICATORS_KEPT)
            .collect();
        let none = !self.listed.values().any(|listing| listing.replicator);
        if !self.is_up() || replicates || none || self.listed.len() <= usize::from(limit) {
            around.timers.clear(Timer::Replicators(self.id));
            return;
        }
        for address in some {
            if !around.sessions.contains_key(&address) {
                out.push(Action::Connect(address));
            }
        }
        let at = now + limits::REPLICATORS_KEPT_EVERY;
        around.timers.set(Timer::Replicators(self.id), at);
    }

    /// The device is gone, and with it whoever waited.
    pub(super) fn replicators_down(&mut self, around: &mut Around) {
        around.timers.clear(Timer::Replicators(self.id));
        for origin in core::mem::take(&mut self.replicators).asked.into_keys() {
            around.timers.clear(Timer::Vouch(self.id, origin));
        }
    }

    /// This member could not be reached: another replicator is kept instead of it for a while.
    pub(super) fn shun(&mut self, around: &mut Around, now: Mono, address: Address) {
        let replicates = self
            .listed
            .get(&address)
            .is_some_and(|listing| listing.replicator);
        if replicates {
            self.replicators.shunned.insert(address, now);
            if around.timers.has(Timer::Replicators(self.id)) {
                around.timers.set(Timer::Replicators(self.id), now);
            }
        }
    }

    /// A session and certificates are there: if it is a replicator, frames may have waited for it.
    pub(super) fn replicator_ready(&mut self, address: Address, out: &mut Actions) {
        let contact = self.contacts.get(&address);
        let theirs = contact.and_then(|contact| contact.theirs.as_ref());
        if theirs.is_some_and(|theirs| theirs.1.rights.has(Rights::REPLICATOR)) {
            self.replicators.shunned.remove(&address);
            out.push(Action::FlushShares(self.id));
        }
    }

    /// Asks for a member's certificate, or gives up.
    pub(super) fn vouch_due(
        &mut self,
        around: &mut Around,
        now: Mono,
        origin: Address,
        out: &mut Actions,
    ) {
        let Some((via, tries)) = self.replicators.asked.get_mut(&origin) else {
            return;
        };
        if *tries >= limits::VOUCH_TRIES {
            self.replicators.asked.remove(&origin);
            return;
        }
        let wait = limits::VOUCH_FIRST_WAIT * (1 << *tries);
        *tries += 1;
        around.timers.set(Timer::Vouch(self.id, origin), now + wait);
        let message = Message::Vouch(Vouch {
            network: self.id,
            member: origin,
        });
        out.push(Action::SendIfUp(*via, message.to_vec()));
    }

    /// Whether a certificate that another than its subject sends was asked for, and no other key of the address is known.
    pub(super) fn is_asked_for(&self, certificate: &Certificate) -> bool {
        let known = self.contacts.get(&certificate.address);
        let theirs = known.and_then(|contact| contact.theirs.as_ref());
        self.replicators.asked.contains_key(&certificate.address)
            && theirs.is_none_or(|theirs| theirs.1.key == certificate.key)
    }

    /// A member's certificate is here: frames passed on for it may enter.
    pub(super) fn vouched(&mut self, around: &mut Around, origin: Address, out: &mut Actions) {
        if self.replicators.asked.remove(&origin).is_some() {
            around.timers.clear(Timer::Vouch(self.id, origin));
            out.push(Action::Welcome(self.id, origin));
        }
    }
}
