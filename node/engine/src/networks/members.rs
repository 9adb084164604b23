//! The other members: whose certificates we have, who has ours, who is cut off.
//!
//! Owner: one joined network. In: certificates, sessions coming and going. Out: gates for the shard.
//! Never: a member without a certificate in the window, signed by the pinned controller, of the key that speaks.

use std::boxed::Box;
use std::vec::Vec;

use zt_crypto::sign::BadSignature;
use zt_wire::message::{ErrorCode, Problem};
use zt_wire::{Address, Certificate, KeyId, Mac, Message, MessageType, Signed};

use super::Around;
use super::action::{Action, Actions};
use super::groups::Exchange;
use super::joined::Joined;
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

/// What a certificate that somebody brings is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Nothing changes by it.
    Nothing,
    /// We have it, checked.
    Same,
    /// It counts once its signature is checked.
    News,
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

    /// What a certificate that somebody brings is to us, before its signature is looked at.
    pub(super) fn weigh(
        &self,
        me: Address,
        from: (Address, KeyId),
        signed: &Signed<'_>,
        certificate: &Certificate,
    ) -> Weight {
        let address = certificate.address;
        let its_own = (address, certificate.key) == from || self.is_asked_for(certificate);
        if !its_own
            || certificate.mac != Mac::of(address, self.id)
            || address == me
            || self.is_revoked(certificate.key, certificate.serial)
        {
            return Weight::Nothing;
        }
        let contact = self.contacts.get(&address);
        let Some(known) = contact.and_then(|contact| contact.theirs.as_deref()) else {
            return Weight::News;
        };
        let (bytes, theirs) = known;
        if bytes.strip_prefix(signed.body) == Some(&signed.signature[..]) {
            Weight::Same
        } else if theirs.key == certificate.key && certificate.serial < theirs.serial {
            Weight::Nothing
        } else {
            Weight::News
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
        let weight = self.weigh(around.me, from, &signed, &certificate);
        let same = weight == Weight::Same;
        if weight == Weight::Nothing
            || (!same && !self.signed::<Certificate>(&signed, &around.proofs)?)
        {
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
        contact.theirs = Some(Box::new((signed.to_vec(), certificate)));
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
