//! Who is cut off before his certificate's time is over.
//!
//! Owner: one joined network. In: revocations that anybody brings. Out: members cut off, the word passed on.
//! Never: a revocation that the pinned controller did not sign; more of them than the limit.

use std::vec::Vec;

use zt_crypto::sign::BadSignature;
use zt_wire::{Address, KeyId, Message, Record, Revocation, Signed};

use super::Around;
use super::action::{Action, Actions};
use super::joined::{Joined, Stage};
use super::members::Contact;
use crate::limits;
use crate::proofs::Proofs;
use crate::time::Mono;

/// A revocation, as signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Revoked {
    pub(super) minimum: u64,
    pub(super) epoch: u64,
    pub(super) signed: Vec<u8>,
}

impl Joined {
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
        if !self.take_revocation(signed, &around.proofs)? {
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

    /// Whether a revocation is about this network and revokes more than we know of.
    pub(super) fn is_news(&self, revocation: &Revocation) -> bool {
        let known = self.revoked.get(&revocation.key);
        let known = known.is_some_and(|known| known.minimum >= revocation.minimum);
        revocation.network == self.id && !known
    }

    /// Remembers a revocation that the pinned controller has signed. Tells whether it is news.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub(super) fn take_revocation(
        &mut self,
        signed: Signed<'_>,
        proofs: &Proofs,
    ) -> Result<bool, BadSignature> {
        let Ok(revocation) = Revocation::decode(signed.body) else {
            return Ok(false);
        };
        if !self.is_news(&revocation) || !self.signed::<Revocation>(&signed, proofs)? {
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

    /// Whether a certificate of this key and serial is revoked.
    pub(super) fn is_revoked(&self, key: KeyId, serial: u64) -> bool {
        self.revoked
            .get(&key)
            .is_some_and(|revoked| serial < revoked.minimum)
    }
}
