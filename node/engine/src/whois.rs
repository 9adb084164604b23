//! Who has an address: questions to the supernodes, repeated, compared.
//!
//! Owner: the engine. In: the wish to reach an address, IDENTITY answers. Out: peers that can be reached, or "nobody".
//! Never: an identity believed before its proof of work shows that very address.

use core::time::Duration;
use std::collections::BTreeMap;

use zt_crypto::Verified;
use zt_wire::message::{IdentityAnswer, Message};
use zt_wire::{Address, KeyId};

use crate::counters::DropReason;
use crate::deadlines::Timer;
use crate::engine::{Engine, Purpose};
use crate::interface::{Event, PeerRole};
use crate::limits;
use crate::outbox::Outbox;
use crate::shard::PeerHandle;
use crate::time::Now;

/// Open questions.
#[derive(Debug, Default)]
pub struct Whois {
    open: BTreeMap<Address, Question>,
}

/// One question.
#[derive(Debug)]
struct Question {
    tries: u8,
    wait: Duration,
    /// The key that was told first; later answers are compared with it.
    answered: Option<KeyId>,
    /// Answers "nobody" in this try.
    nobody: usize,
    /// Asked in this try.
    asked: usize,
}

impl Engine {
    /// Makes a session with whoever has this address.
    pub(crate) fn connect(&mut self, now: Now, address: Address, out: &mut Outbox) {
        if let Some(handle) = self.peers.by_address(address).map(|peer| peer.handle) {
            self.reach(now, handle, out);
            return;
        }
        if self.whois.open.contains_key(&address) || address == self.me.address() {
            return;
        }
        if self.whois.open.len() >= limits::WHOIS_OPEN {
            self.drop(DropReason::TableFull);
            return;
        }
        let question = Question {
            tries: 0,
            wait: limits::WHOIS_FIRST_WAIT,
            answered: None,
            nobody: 0,
            asked: 0,
        };
        self.whois.open.insert(address, question);
        self.whois_again(now, address, out);
    }

    /// Asks, or asks again, or gives up.
    pub(crate) fn whois_again(&mut self, now: Now, address: Address, out: &mut Outbox) {
        let online = self.supernodes.online_handles();
        let Some(question) = self.whois.open.get_mut(&address) else {
            return;
        };
        if question.answered.is_some() {
            self.whois.open.remove(&address);
            return;
        }
        if question.tries >= limits::WHOIS_TRIES {
            self.whois.open.remove(&address);
            self.unreachable(now, address, out);
            return;
        }
        question.tries += 1;
        question.nobody = 0;
        question.asked = online.len();
        let wait = question.wait;
        question.wait *= 2;
        self.deadlines.set(Timer::Whois(address), now.mono + wait);
        for supernode in online {
            out.say(supernode, &Message::Whois(address));
        }
    }

    /// A supernode came online: questions that could not be asked are asked.
    pub(crate) fn whois_now(&mut self, now: Now, out: &mut Outbox) {
        let waiting: Vec<Address> = self
            .whois
            .open
            .iter()
            .filter(|(_, question)| question.asked == 0)
            .map(|(address, _)| *address)
            .collect();
        for address in waiting {
            if let Some(question) = self.whois.open.get_mut(&address) {
                question.tries = 0;
                question.wait = limits::WHOIS_FIRST_WAIT;
            }
            self.whois_again(now, address, out);
        }
    }

    /// IDENTITY: an answer, for us or (at a supernode) for somebody who asked us.
    pub(crate) fn identity(
        &mut self,
        now: Now,
        from: PeerHandle,
        answer: &IdentityAnswer,
        out: &mut Outbox,
    ) {
        if self
            .peers
            .get(from)
            .is_none_or(|peer| peer.role != PeerRole::Supernode)
        {
            self.drop(DropReason::NotAllowed);
            return;
        }
        if self.config.role.keeps_registry() {
            self.sibling_answered(answer, out);
        }
        let Some(question) = self.whois.open.get_mut(&answer.address) else {
            if !self.config.role.keeps_registry() {
                self.drop(DropReason::Unasked);
            }
            return;
        };
        let Some(identity) = answer.identity else {
            question.nobody += 1;
            if question.nobody >= question.asked
                && question.answered.is_none()
                && question.tries > 1
            {
                self.whois.open.remove(&answer.address);
                self.deadlines.clear(Timer::Whois(answer.address));
                self.unreachable(now, answer.address, out);
            }
            return;
        };
        let key = zt_crypto::key_id(&identity);
        match question.answered {
            None => {
                self.verify(identity, Purpose::Whois(answer.address), out);
            }
            Some(first) if first != key => out.event(Event::Disagreement(answer.address)),
            Some(_) => {}
        }
    }

    /// Work is done: the identity that was told has done its work, or not.
    pub(crate) fn whois_verified(
        &mut self,
        now: Now,
        address: Address,
        who: Option<&Verified>,
        out: &mut Outbox,
    ) {
        let Some(who) = who.filter(|who| who.address() == address) else {
            self.drop(DropReason::Identity);
            return;
        };
        if let Some(question) = self.whois.open.get_mut(&address) {
            // Several supernodes answer within one round trip of each other: the first is used, the others compared.
            match question.answered.replace(who.key()) {
                Some(first) if first != who.key() => {
                    question.answered = Some(first);
                    out.event(Event::Disagreement(address));
                    return;
                }
                Some(_) => return,
                None => {}
            }
        }
        if let Some(handle) = self.meet(now, who, out) {
            self.adopt_outgoing(now, handle, out);
            self.reach(now, handle, out);
        }
    }

    /// Connecting was given up: whoever waits for this address hears it.
    pub(crate) fn unreachable(&mut self, now: Now, address: Address, out: &mut Outbox) {
        self.outgoing.remove(&address);
        self.networks.unreachable(now, address, &mut self.actions);
        self.commands_unreachable(address, out);
    }
}
