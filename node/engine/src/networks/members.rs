//! The other members: whose certificates we have, who has ours, who is cut off.
//!
//! Owner: one joined network. In: certificates, revocations, sessions coming and going. Out: gates for the shard.
//! Never: a member without a certificate in the window, signed by the pinned controller, of the key that speaks.

use std::boxed::Box;
use std::vec::Vec;

use zt_crypto::sign::BadSignature;
use zt_wire::message::{ErrorCode, Problem};
use zt_wire::{Address, Certificate, KeyId, Mac, Message, MessageType, Record, Revocation, Signed};

use super::Around;
use super::action::{Action, Actions};
use super::groups::Exchange;
use super::joined::{Joined, Revoked, Stage};
use super::policy::tags;
use super::timers::Timer;
use crate::limits;
use crate::shard::{Member, Update};
use crate::time::Mono;

/// What we have exchanged with a member.
#[derive(Debug, Default)]
pub(super) struct Contact {
    pub(super) theirs: Option<Box<(Vec<u8>, Certificate)>>,
    pub(super) valid: bool,
    /// Our certificate went over the present session.
    pub(super) ours_sent: bool,
    /// When it last did; zero: never.
    ours_at: Mono,
    tries: u8,
    pub(super) groups: Exchange,
}

impl Joined {
    /// A session with somebody is up: a member gets our certificate before any frame.
    pub(super) fn peer_up(
        &mut self,
        around: &mut Around,
        now: Mono,
        peer: (Address, KeyId),
        out: &mut Actions,
    ) {
        let (address, key) = peer;
        if !self.is_up()
            || !(self.listed.contains_key(&address) || self.contacts.contains_key(&address))
        {
            return;
        }
        let id = self.id;
        let Some(contact) = self.contact(address) else {
            return;
        };
        contact.ours_sent = false;
        contact.tries = 0;
        contact.groups = Exchange::default();
        let known = contact
            .theirs
            .as_ref()
            .is_some_and(|theirs| theirs.1.key == key);
        let ready = contact.valid && known;
        self.exchange(around, now, address, out);
        self.forget_groups(address, out);
        if ready {
            self.subscribe(around, now, address, out);
            out.push(Action::Flush(id, address));
            self.replicator_ready(address, out);
        }
    }

    pub(super) fn peer_down(&mut self, around: &mut Around, address: Address, out: &mut Actions) {
        if let Some(contact) = self.contacts.get_mut(&address) {
            contact.ours_sent = false;
            contact.groups = Exchange::default();
            around.timers.clear(Timer::Member(self.id, address));
            around.timers.clear(Timer::Subscribe(self.id, address));
            self.forget_groups(address, out);
        }
    }

    /// A member's certificate.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub(super) fn credential(
        &mut self,
        around: &mut Around,
        now: Mono,
        from: (Address, KeyId),
        credential: (Signed<'_>, Certificate),
        out: &mut Actions,
    ) -> Result<(), BadSignature> {
        let (signed, mut certificate) = credential;
        let address = certificate.address;
        let its_own = (address, certificate.key) == from || self.is_asked_for(&certificate);
        if !its_own
            || certificate.mac != Mac::of(address, self.id)
            || address == around.me
            || self.is_revoked(certificate.key, certificate.serial)
        {
            return Ok(());
        }
        let bytes = signed.to_vec();
        let known = self
            .contacts
            .get(&address)
            .and_then(|contact| contact.theirs.as_deref());
        let same = known.is_some_and(|known| known.0 == bytes);
        let older = known.is_some_and(|known| {
            known.1.key == certificate.key && certificate.serial < known.1.serial
        });
        if older || (!same && !self.signed::<Certificate>(&signed)?) {
            return Ok(());
        }
        if certificate.epoch > self.epoch {
            self.epoch = certificate.epoch;
            self.recheck(around, out);
        }
        if !self.in_window(certificate.epoch) {
            return Ok(());
        }
        let known = self.knows(address);
        let Some(contact) = self.contact(address) else {
            return Ok(());
        };
        let was_valid = core::mem::replace(&mut contact.valid, true);
        // Kept for long, in thousands: without the room to grow that reading left.
        certificate.ips.shrink_to_fit();
        certificate.tags.shrink_to_fit();
        contact.theirs = Some(Box::new((bytes, certificate)));
        contact.tries = 0;
        let ours_sent = contact.ours_sent;
        around.timers.clear(Timer::Member(self.id, address));
        if !self.is_up() {
            return Ok(());
        }
        if !was_valid || !same {
            self.admit(address, out);
        }
        if !known {
            out.push(Action::Entered(self.id, address));
        }
        if !ours_sent {
            self.exchange(around, now, address, out);
        }
        if around.sessions.contains_key(&address) {
            // Without a session the certificate came by a replicator: what waits goes on waiting.
            self.subscribe(around, now, address, out);
            out.push(Action::Flush(self.id, address));
            self.replicator_ready(address, out);
        }
        self.vouched(around, address, out);
        Ok(())
    }

    /// A peer asks for our certificate.
    pub(super) fn wanted(
        &mut self,
        around: &Around,
        now: Mono,
        from: (Address, KeyId),
        out: &mut Actions,
    ) {
        let (address, _) = from;
        if !(self.listed.contains_key(&address) || self.contacts.contains_key(&address)) {
            return;
        }
        let Some(contact) = self.contact(address) else {
            return;
        };
        let at = contact.ours_at;
        if at != Mono::ZERO && now.since(at) < limits::CREDENTIAL_EVERY {
            return;
        }
        self.offer(around, now, address, out);
    }

    /// Frames may overtake, on a quicker way, the certificate that left on another a moment ago: it goes ahead of them there too.
    pub(super) fn way_changed(
        &mut self,
        around: &Around,
        now: Mono,
        address: Address,
        out: &mut Actions,
    ) {
        let sent = self
            .contacts
            .get(&address)
            .map(|contact| contact.ours_at)
            .filter(|at| *at != Mono::ZERO);
        if sent.is_some_and(|at| now.since(at) < limits::CREDENTIAL_UNDERWAY) {
            self.offer(around, now, address, out);
        }
    }

    /// A frame waits for this member.
    pub(super) fn unready(
        &mut self,
        around: &mut Around,
        now: Mono,
        address: Address,
        out: &mut Actions,
    ) {
        let id = self.id;
        if !self.is_up() || !self.own_valid() || address == around.me {
            out.push(Action::Discard(id, address));
            return;
        }
        let session = around.sessions.get(&address).map(zt_crypto::Verified::key);
        let cut = session.is_some_and(|key| self.revoked.contains_key(&key));
        let Some(contact) = self.contact(address) else {
            return;
        };
        let valid = contact.valid && contact.theirs.as_ref().map(|theirs| theirs.1.key) == session;
        if cut && !valid {
            // A member cut off gets no frame later; with a new certificate it is met anew.
            out.push(Action::Discard(id, address));
        }
        match session {
            Some(_) if valid => out.push(Action::Flush(id, address)),
            Some(_) if around.timers.has(Timer::Member(id, address)) => {}
            Some(_) => {
                contact.tries = 0;
                self.exchange(around, now, address, out);
            }
            None => out.push(Action::Connect(address)),
        }
    }

    /// A peer sent a frame without a certificate that counts here: it is told.
    pub(super) fn uncertified(&mut self, peer: (Address, KeyId), out: &mut Actions) {
        if !self.is_up() {
            return;
        }
        let code = if self.revoked.contains_key(&peer.1) {
            ErrorCode::NotAMember
        } else {
            ErrorCode::NeedCredential
        };
        let problem = Problem::network(code, MessageType::Frame, self.id);
        out.push(Action::SendIfUp(peer.0, Message::Error(problem).to_vec()));
    }

    /// A member's certificate is still missing.
    pub(super) fn member_due(
        &mut self,
        around: &mut Around,
        now: Mono,
        address: Address,
        out: &mut Actions,
    ) {
        let Some(contact) = self.contacts.get_mut(&address) else {
            return;
        };
        if contact.valid || !around.sessions.contains_key(&address) {
            return;
        }
        if contact.tries >= limits::CREDENTIAL_TRIES {
            out.push(Action::Discard(self.id, address));
            return;
        }
        self.exchange(around, now, address, out);
    }

    /// Somebody says that the controller revoked a key.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub(super) fn revocation(
        &mut self,
        around: &mut Around,
        now: Mono,
        from: (Address, KeyId),
        revocation: (Signed<'_>, Revocation),
        out: &mut Actions,
    ) -> Result<(), BadSignature> {
        let (signed, revocation) = revocation;
        if !self.take_revocation(signed)? {
            return Ok(());
        }
        let message = Message::Revocation(signed).to_vec();
        // Whoever is cut off by it hears of it too: its own device goes down.
        for &address in around.sessions.keys() {
            let member = self.listed.contains_key(&address) || self.contacts.contains_key(&address);
            if member && address != from.0 && address != self.controller_address() {
                out.push(Action::SendIfUp(address, message.clone()));
            }
        }
        self.recheck(around, out);
        let ours = revocation.key == around.key;
        if ours && self.stage == Stage::Member && !self.own_valid() {
            self.lost(around, Stage::Denied, out);
            self.start(around, now, out);
        } else {
            self.save(out);
        }
        Ok(())
    }

    /// Remembers a revocation that the pinned controller has signed. Tells whether it is news.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub(super) fn take_revocation(&mut self, signed: Signed<'_>) -> Result<bool, BadSignature> {
        let Ok(revocation) = Revocation::decode(signed.body) else {
            return Ok(false);
        };
        let known = self
            .revoked
            .get(&revocation.key)
            .is_some_and(|known| known.minimum >= revocation.minimum);
        if revocation.network != self.id || known {
            return Ok(false);
        }
        if !self.signed::<Revocation>(&signed)? {
            return Ok(false);
        }
        self.epoch = self.epoch.max(revocation.epoch);
        if self.revoked.len() >= limits::REVOCATIONS {
            // What was issued before a revocation older than the window is dead by its epoch.
            let window = self
                .shared
                .as_ref()
                .map_or(0, |shared| u64::from(shared.config.window));
            let newest = self.epoch;
            self.revoked
                .retain(|_, revoked| newest.saturating_sub(revoked.epoch) <= window);
        }
        if self.revoked.len() < limits::REVOCATIONS {
            let Revocation { minimum, epoch, .. } = revocation;
            self.revoked.insert(
                revocation.key,
                Revoked {
                    minimum,
                    epoch,
                    signed: signed.to_vec(),
                },
            );
        }
        Ok(true)
    }

    /// Looks again at every member: epochs and revocations have moved.
    pub(super) fn recheck(&mut self, around: &mut Around, out: &mut Actions) {
        let dead = |contact: &Contact| {
            contact.theirs.as_ref().is_some_and(|theirs| {
                let certificate = &theirs.1;
                !self.in_window(certificate.epoch)
                    || self.is_revoked(certificate.key, certificate.serial)
            })
        };
        let gone: Vec<Address> = self
            .contacts
            .iter()
            .filter(|(_, contact)| dead(contact))
            .map(|(&address, _)| address)
            .collect();
        for address in gone {
            self.cut_off(around, address, out);
        }
    }

    /// This member gets nothing and gives nothing any more.
    pub(super) fn cut_off(&mut self, around: &mut Around, address: Address, out: &mut Actions) {
        let Some(contact) = self.contacts.remove(&address) else {
            return;
        };
        around.timers.clear(Timer::Member(self.id, address));
        around.timers.clear(Timer::Subscribe(self.id, address));
        if contact.valid && self.is_up() {
            out.push(Action::Update(Update::MemberOut {
                network: self.id,
                address,
            }));
        }
        out.push(Action::Discard(self.id, address));
    }

    /// Our certificate changed: everybody we talk to gets the new one.
    pub(super) fn offer_all(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        let talking: Vec<Address> = around
            .sessions
            .keys()
            .copied()
            .filter(|address| {
                self.listed.contains_key(address) || self.contacts.contains_key(address)
            })
            .collect();
        for address in talking {
            if self
                .contacts
                .get(&address)
                .is_none_or(|contact| !contact.ours_sent)
            {
                self.exchange(around, now, address, out);
            }
        }
    }

    /// The network has come up at the shard: tell it the members known already.
    pub(super) fn contacts_up(&mut self, out: &mut Actions) {
        let known: Vec<Address> = self
            .contacts
            .iter()
            .filter(|(_, contact)| contact.valid)
            .map(|(&address, _)| address)
            .collect();
        for address in known {
            self.admit(address, out);
        }
    }

    pub(super) fn contacts_down(&mut self, around: &mut Around, out: &mut Actions) {
        for address in core::mem::take(&mut self.contacts).into_keys() {
            around.timers.clear(Timer::Member(self.id, address));
            around.timers.clear(Timer::Subscribe(self.id, address));
            out.push(Action::Discard(self.id, address));
        }
    }

    pub(super) fn members_heard(&self) -> u32 {
        u32::try_from(
            self.contacts
                .values()
                .filter(|contact| contact.valid)
                .count(),
        )
        .unwrap_or(u32::MAX)
    }

    pub(super) fn is_member(&self, address: Address) -> bool {
        self.contacts
            .get(&address)
            .is_some_and(|contact| contact.valid)
    }

    /// Whether frames to groups go to this member: it is listed, or its certificate is here.
    pub(super) fn knows(&self, address: Address) -> bool {
        self.listed.contains_key(&address) || self.is_member(address)
    }

    /// Sends our certificate, and asks for theirs again as long as it is missing.
    fn exchange(&mut self, around: &mut Around, now: Mono, address: Address, out: &mut Actions) {
        let id = self.id;
        self.offer(around, now, address, out);
        let Some(contact) = self.contacts.get_mut(&address) else {
            return;
        };
        if contact.valid || !around.sessions.contains_key(&address) {
            return;
        }
        if contact.tries > 0 {
            let problem = Problem::network(ErrorCode::NeedCredential, MessageType::Credential, id);
            out.push(Action::SendIfUp(address, Message::Error(problem).to_vec()));
        }
        let wait = limits::CREDENTIAL_FIRST_WAIT * (1 << contact.tries.min(8));
        contact.tries += 1;
        around.timers.set(Timer::Member(id, address), now + wait);
    }

    /// Sends our certificate if there is a session and it counts.
    fn offer(&mut self, around: &Around, now: Mono, address: Address, out: &mut Actions) {
        if !self.own_valid() || !around.sessions.contains_key(&address) {
            return;
        }
        let Some(own) = &self.own else { return };
        let Ok(signed) = Signed::parse(&own.signed) else {
            return;
        };
        let message = Message::Credential(signed).to_vec();
        let Some(contact) = self.contact(address) else {
            return;
        };
        contact.ours_sent = true;
        contact.ours_at = now;
        out.push(Action::SendIfUp(address, message));
    }

    /// Tells the shard of a valid member.
    fn admit(&mut self, address: Address, out: &mut Actions) {
        let Some(theirs) = self
            .contacts
            .get(&address)
            .and_then(|contact| contact.theirs.as_deref())
        else {
            return;
        };
        let certificate = &theirs.1;
        let member = Member {
            address,
            key: certificate.key,
            mac: certificate.mac,
            rights: certificate.rights.bits(),
            ips: certificate.ips.iter().map(zt_wire::Cidr::ip).collect(),
            tags: tags(certificate),
        };
        out.push(Action::Update(Update::Member {
            network: self.id,
            member,
        }));
    }

    fn contact(&mut self, address: Address) -> Option<&mut Contact> {
        let full =
            self.contacts.len() >= limits::CERTIFICATES && !self.contacts.contains_key(&address);
        (!full).then(|| self.contacts.entry(address).or_default())
    }
}
