//! Asking the controller: when, how often, and what its answers change.
//!
//! Owner: one joined network. In: sessions, answers, hints, time. Out: questions, and the network's stages.
//! Never: an answer from anybody but the pinned key; a question more often than the back-off allows.

use zt_crypto::Verified;
use zt_wire::message::{DirectoryDelta, NetconfAnswer, NetconfPart, NetconfRequest, NetconfStatus};
use zt_wire::{Address, Certificate, KeyId, Message, Revocation, SharedConfig};

use super::Around;
use super::action::{Action, Actions};
use super::joined::{Asking, Joined, Listing, Stage};
use super::timers::Timer;
use crate::interface::Event;
use crate::limits;
use crate::proofs::Claim;
use crate::shard::Update;
use crate::time::Mono;

impl Joined {
    /// Begins a new question, over a session that is up or one to be made.
    pub(super) fn start(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        let request = self.asking.request.wrapping_add(1);
        let hinted = self.asking.hinted;
        self.asking = Asking {
            request,
            open: true,
            since: Some(now),
            wait: limits::NETCONF_FIRST_WAIT,
            hinted,
        };
        if let Some(controller) = around.sessions.get(&self.controller_address()).copied() {
            self.controller_up(around, now, &controller, out);
        } else {
            out.push(Action::Connect(self.controller_address()));
            self.ask_later(around, now);
        }
    }

    /// There is a session with the controller's address: is it the pinned key?
    pub(super) fn controller_up(
        &mut self,
        around: &mut Around,
        now: Mono,
        peer: &Verified,
        out: &mut Actions,
    ) {
        if self.pin.is_some_and(|pin| pin != peer.key()) {
            if self.stage != Stage::Member {
                self.asking.open = false;
                self.stage = Stage::Denied;
                self.tell(out);
                around
                    .timers
                    .set(Timer::Ask(self.id), now + limits::NETCONF_DENIED);
            }
            return;
        }
        if self.pin.is_none() {
            self.pin = Some(peer.key());
            self.pinned_on_first_use = true;
            out.push(Action::Event(Event::Pinned(self.id, peer.key())));
        }
        if self.controller.is_none() {
            self.controller = Some(*peer.identity());
            self.save(out);
        }
        if self.asking.open || self.stage != Stage::Member {
            self.asking.wait = limits::NETCONF_FIRST_WAIT;
            self.ask(around, now, out);
        }
    }

    /// The question's time has come, or its answer did not.
    pub(super) fn ask_due(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        if !self.asking.open {
            self.start(around, now, out);
            return;
        }
        if self
            .asking
            .since
            .is_some_and(|since| now.since(since) >= limits::NETCONF_UNREACHABLE)
        {
            self.silent(out);
        }
        let controller = self.controller_address();
        match around.sessions.get(&controller) {
            Some(peer) if Some(peer.key()) == self.pin => self.ask(around, now, out),
            Some(_) | None => {
                out.push(Action::Connect(controller));
                self.ask_later(around, now);
            }
        }
    }

    /// Nobody answers.
    pub(super) fn silent(&mut self, out: &mut Actions) {
        if self.stage == Stage::Asking {
            self.stage = Stage::Silent;
            self.tell(out);
        }
    }

    /// A supernode is there again.
    pub(super) fn online(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        if self.asking.open {
            self.start(around, now, out);
        }
    }

    /// The controller says that there is something new.
    pub(super) fn hint(
        &mut self,
        around: &mut Around,
        now: Mono,
        from: (Address, KeyId),
        revision: u64,
        out: &mut Actions,
    ) {
        if !self.is_controller(from) {
            return;
        }
        if self.asking.open {
            self.asking.hinted = self.asking.hinted.max(revision);
            return;
        }
        if self.stage != Stage::Member || revision == 0 {
            self.start(around, now, out);
            return;
        }
        if revision > self.directory {
            // A thousand members spread over a second; a handful asks at once.
            let members = u32::try_from(self.listed.len()).unwrap_or(u32::MAX);
            let most = limits::HINT_JITTER.min(limits::HINT_PER_MEMBER.saturating_mul(members));
            let at = now + around.jitter(most);
            around.timers.set_earlier(Timer::Ask(self.id), at);
        }
    }

    /// The controller's answer.
    pub(super) fn answer(
        &mut self,
        around: &mut Around,
        now: Mono,
        from: (Address, KeyId),
        answer: &NetconfAnswer<'_>,
        out: &mut Actions,
    ) {
        if !self.is_answer(from, answer) {
            return;
        }
        self.asking.open = false;
        self.asking.since = None;
        let asked = core::time::Duration::from_secs(u64::from(answer.retry_after));
        let (stage, again) = match answer.status {
            NetconfStatus::Ok => {
                self.accepted(around, now, answer, out);
                return;
            }
            NetconfStatus::Pending => (Stage::Asking, limits::NETCONF_PENDING),
            NetconfStatus::Denied => (Stage::Denied, limits::NETCONF_DENIED),
            NetconfStatus::NotFound => (Stage::NotFound, limits::NETCONF_DENIED),
        };
        for part in answer.parts.iter() {
            if let NetconfPart::Revocation(signed) = part {
                // A bad one changes nothing.
                let _ = self.take_revocation(signed, &around.proofs);
            }
        }
        if self.stage == Stage::Member {
            self.lost(around, stage, out);
        }
        self.stage = stage;
        self.tell(out);
        if core::mem::take(&mut self.asking.hinted) > 0 {
            self.start(around, now, out);
            return;
        }
        let again = if asked.is_zero() {
            again
        } else {
            asked.min(limits::NETCONF_REFRESH)
        };
        let at = now + again + around.jitter(again / 8);
        around.timers.set(Timer::Ask(self.id), at);
    }

    fn is_answer(&self, from: (Address, KeyId), answer: &NetconfAnswer<'_>) -> bool {
        self.is_controller(from) && self.asking.open && answer.request == self.asking.request
    }

    /// What of an answer has to be checked before it is believed.
    pub(super) fn claims_of(
        &self,
        around: &Around,
        from: (Address, KeyId),
        answer: &NetconfAnswer<'_>,
    ) -> Vec<Claim> {
        if !self.is_answer(from, answer) {
            return Vec::new();
        }
        let me = (around.me, around.key);
        let parts = answer.parts.iter();
        let claims = parts.filter_map(|part| match part {
            NetconfPart::Shared(signed) => {
                let config = signed.decode().ok()?;
                self.may_follow(&config)
                    .then(|| self.claim::<SharedConfig>(&signed))?
            }
            NetconfPart::Certificate(signed) => {
                let certificate = signed.decode().ok()?;
                self.is_ours(me, &certificate)
                    .then(|| self.claim::<Certificate>(&signed))?
            }
            NetconfPart::Revocation(signed) => {
                let revocation = signed.decode().ok()?;
                self.is_news(&revocation)
                    .then(|| self.claim::<Revocation>(&signed))?
            }
            NetconfPart::Directory(_) => None,
        });
        claims.collect()
    }

    fn accepted(
        &mut self,
        around: &mut Around,
        now: Mono,
        answer: &NetconfAnswer<'_>,
        out: &mut Actions,
    ) {
        let epoch = self.epoch;
        let mut fresh_own = false;
        let mut follow = Follow::Done;
        for part in answer.parts.iter() {
            match part {
                NetconfPart::Shared(signed) => {
                    self.take_shared(signed, &around.proofs);
                }
                NetconfPart::Certificate(signed) => {
                    fresh_own |= self.take_own((around.me, around.key), signed, &around.proofs);
                }
                NetconfPart::Revocation(signed) => {
                    let _ = self.take_revocation(signed, &around.proofs);
                }
                NetconfPart::Directory(bytes) => {
                    if let Ok(delta) = DirectoryDelta::decode(bytes) {
                        follow = self.take_directory(around, delta, out);
                    }
                }
            }
        }
        if self.shared.is_none() || !self.own_valid() {
            // "Yes" without what makes a member: nothing to work with, ask again later.
            self.asking.open = true;
            self.asking.since = Some(now);
            self.ask_later(around, now);
            return;
        }
        self.come_up(around, out);
        self.regroup(around, now, out);
        self.keep_replicators(around, now, out);
        if self.epoch != epoch || !self.revoked.is_empty() {
            self.recheck(around, out);
        }
        if fresh_own {
            self.offer_all(around, now, out);
        }
        let behind = core::mem::take(&mut self.asking.hinted) > self.directory;
        if follow == Follow::More || behind {
            self.start(around, now, out);
        } else {
            let at = now + limits::NETCONF_REFRESH + around.jitter(limits::NETCONF_REFRESH / 8);
            around.timers.set(Timer::Ask(self.id), at);
        }
        self.save(out);
    }

    /// Takes a part of the directory.
    fn take_directory(
        &mut self,
        around: &mut Around,
        delta: DirectoryDelta,
        out: &mut Actions,
    ) -> Follow {
        if delta.from == 0 && self.directory != 0 {
            let all: Vec<Address> = self.listed.keys().copied().collect();
            for address in all {
                self.unlist(around, address, false, out);
            }
        } else if delta.from != self.directory {
            // Not the step that comes next: begin anew.
            self.directory = 0;
            return Follow::More;
        }
        for entry in delta.entries {
            if entry.removed {
                self.unlist(around, entry.address, true, out);
                continue;
            }
            if entry.address == around.me || self.listed.len() >= limits::MEMBERS {
                continue;
            }
            let listing = Listing {
                ips: entry.ips,
                bridge: entry.bridge,
                replicator: entry.replicator,
            };
            if self.listed.get(&entry.address) != Some(&listing) {
                let known = self.knows(entry.address);
                if self.is_up() {
                    out.push(self.listing(entry.address, &listing));
                }
                self.listed.insert(entry.address, listing);
                if self.is_up() && !known {
                    out.push(Action::Entered(self.id, entry.address));
                }
            }
        }
        self.directory = delta.to;
        if delta.more {
            Follow::More
        } else {
            Follow::Done
        }
    }

    fn unlist(&mut self, around: &mut Around, address: Address, removed: bool, out: &mut Actions) {
        if self.listed.remove(&address).is_some() && self.is_up() {
            out.push(Action::Update(Update::Unlisted {
                network: self.id,
                address,
            }));
        }
        if removed {
            self.cut_off(around, address, out);
        }
    }

    fn ask(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        if !self.asking.open {
            self.asking.request = self.asking.request.wrapping_add(1);
            self.asking.open = true;
        }
        self.asking.since.get_or_insert(now);
        let request = NetconfRequest {
            request: self.asking.request,
            network: self.id,
            token: self.token.unwrap_or_default(),
            shared_hash: self.shared.as_ref().map_or([0; 32], |shared| shared.hash),
            serial: self.own.as_ref().map_or(0, |own| own.certificate.serial),
            directory: self.directory,
        };
        out.push(Action::SendTo(
            self.controller_address(),
            Message::NetconfRequest(request).to_vec(),
        ));
        self.ask_later(around, now);
    }

    /// The next look at an open question: after the back-off, or when silence becomes worth telling.
    fn ask_later(&mut self, around: &mut Around, now: Mono) {
        let wait = self.asking.wait;
        self.asking.wait = (wait * 2).min(limits::NETCONF_LONGEST_WAIT);
        let mut at = now + wait + around.jitter(wait / 8);
        if let (Stage::Asking, Some(since)) = (self.stage, self.asking.since) {
            let tell = since + limits::NETCONF_UNREACHABLE;
            if tell > now {
                at = at.min(tell);
            }
        }
        around.timers.set(Timer::Ask(self.id), at);
    }

    pub(super) fn is_controller(&self, from: (Address, KeyId)) -> bool {
        from.0 == self.controller_address() && Some(from.1) == self.pin && self.controller.is_some()
    }
}

/// Whether the directory has more to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follow {
    Done,
    More,
}
