//! The networks this node has joined: asking, configuration, certificates, members, revocations.
//!
//! Owner: the engine, which feeds it and carries out its `Action`s. In: commands, opened control messages, time.
//! Out: actions. Never: a socket, a session, a frame; anything from a controller other than the pinned one.

mod action;
mod asking;
mod ends;
mod groups;
mod joined;
mod loops;
mod members;
mod plan;
mod policy;
mod replicators;
mod revocations;
mod saved;
mod timers;

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::string::ToString;
use std::vec::Vec;

use zt_crypto::Verified;
use zt_crypto::sign::BadSignature;
use zt_wire::message::{Hint, NetconfAnswer};
use zt_wire::{
    Address, Certificate, KeyId, Message, MessageType, NetworkId, Record, Revocation, Signed,
};

pub use self::action::{Action, Actions};
use self::joined::Joined;
use self::members::Weight;
use self::timers::{Timer, Timers};
use crate::interface::{Consent, Failure, NetworkInfo};
use crate::limits;
use crate::proofs::{Claim, Proofs};
use crate::time::{Mono, Now};

/// All networks joined.
#[derive(Debug)]
pub struct Networks {
    joined: BTreeMap<NetworkId, Joined>,
    around: Around,
}

/// What all networks share: who we are, who we have sessions with, the underlay, timers and chance.
#[derive(Debug)]
struct Around {
    me: Address,
    key: KeyId,
    sessions: BTreeMap<Address, Verified>,
    underlay: Vec<IpAddr>,
    timers: Timers,
    chance: u64,
    secret: [u8; 32],
    tokens: u64,
    /// What was checked of the message at hand.
    proofs: Proofs,
}

/// How to join.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// The controller's key; `None` pins on first use.
    pub fingerprint: Option<KeyId>,
    /// An invite's secret.
    pub token: Option<[u8; 16]>,
}

impl Networks {
    /// No network yet. `chance` seeds the jitter and the loop guard's tokens.
    pub fn new(me: Address, key: KeyId, chance: [u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = zt_crypto::hash256(&chance);
        let around = Around {
            me,
            key,
            sessions: BTreeMap::new(),
            underlay: Vec::new(),
            timers: Timers::default(),
            chance: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            secret: chance,
            tokens: 0,
            proofs: Proofs::default(),
        };
        Self {
            joined: BTreeMap::new(),
            around,
        }
    }

    /// Joins; joining again changes the token and asks again.
    ///
    /// # Errors
    /// [`Failure::Pinned`] when another key is pinned, [`Failure::Full`] when too many are joined.
    pub fn join(
        &mut self,
        now: Now,
        network: NetworkId,
        with: Join,
        out: &mut Actions,
    ) -> Result<(), Failure> {
        if let Some(joined) = self.joined.get_mut(&network) {
            return joined.again(&mut self.around, now.mono, with, out);
        }
        if self.joined.len() >= limits::NETWORKS {
            return Err(Failure::Full);
        }
        let mut joined = Joined::new(network, with.fingerprint, with.token);
        joined.save(out);
        joined.start(&mut self.around, now.mono, out);
        self.joined.insert(network, joined);
        Ok(())
    }

    /// Leaves and forgets everything about the network.
    ///
    /// # Errors
    /// [`Failure::NoSuchNetwork`].
    pub fn leave(
        &mut self,
        _now: Now,
        network: NetworkId,
        out: &mut Actions,
    ) -> Result<(), Failure> {
        let mut joined = self.joined.remove(&network).ok_or(Failure::NoSuchNetwork)?;
        joined.down(&mut self.around, out);
        self.around.timers.clear(Timer::Ask(network));
        out.push(Action::Unsave(network));
        Ok(())
    }

    /// Changes what the network may do to this machine.
    ///
    /// # Errors
    /// [`Failure::NoSuchNetwork`].
    pub fn set(
        &mut self,
        _now: Now,
        network: NetworkId,
        consent: Consent,
        out: &mut Actions,
    ) -> Result<(), Failure> {
        let joined = self
            .joined
            .get_mut(&network)
            .ok_or(Failure::NoSuchNetwork)?;
        joined.consent(&self.around, consent, out);
        Ok(())
    }

    /// What was saved under `Saved::Network` in an earlier run. Bytes that are not ours are no network.
    pub fn restored(&mut self, now: Now, network: NetworkId, saved: &[u8], out: &mut Actions) {
        if self.joined.contains_key(&network) || self.joined.len() >= limits::NETWORKS {
            return;
        }
        let Ok(mut joined) = saved::decode(network, saved, &self.around) else {
            return;
        };
        joined.resume(&mut self.around, now.mono, out);
        self.joined.insert(network, joined);
    }

    /// The signatures that a message of this sender depends on: what is news and has to be checked before it is believed.
    pub fn claims(&self, from: (Address, KeyId), message: &Message<'_>) -> Vec<Claim> {
        let claim = match message {
            Message::Credential(signed) => self.claim_of_credential(from, signed),
            Message::Revocation(signed) => self.claim_of_revocation(signed),
            Message::NetconfAnswer(answer) => {
                let joined = self.joined.get(&answer.network);
                return joined.map_or_else(Vec::new, |joined| {
                    joined.claims_of(&self.around, from, answer)
                });
            }
            _ => None,
        };
        claim.into_iter().collect()
    }

    fn claim_of_credential(&self, from: (Address, KeyId), signed: &Signed<'_>) -> Option<Claim> {
        let certificate: Certificate = signed.decode().ok()?;
        let joined = self.joined.get(&certificate.network)?;
        let weight = joined.weigh(self.around.me, from, signed, &certificate);
        (weight == Weight::News).then(|| joined.claim::<Certificate>(signed))?
    }

    fn claim_of_revocation(&self, signed: &Signed<'_>) -> Option<Claim> {
        let revocation: Revocation = signed.decode().ok()?;
        let joined = self.joined.get(&revocation.network)?;
        let news = joined.is_news(&revocation);
        news.then(|| joined.claim::<Revocation>(signed))?
    }

    /// What was checked of the message that comes next.
    pub fn believe(&mut self, proofs: Proofs) {
        self.around.proofs = proofs;
    }

    /// A `NETCONF_ANSWER`'s payload from the session of this address and key.
    pub fn answer(&mut self, now: Now, from: (Address, KeyId), payload: &[u8], out: &mut Actions) {
        let Ok(answer) = NetconfAnswer::parse(payload) else {
            return;
        };
        if let Some(joined) = self.joined.get_mut(&answer.network) {
            joined.answer(&mut self.around, now.mono, from, &answer, out);
        }
    }

    /// A CREDENTIAL's payload.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn credential(
        &mut self,
        now: Now,
        from: (Address, KeyId),
        payload: &[u8],
        out: &mut Actions,
    ) -> Result<(), BadSignature> {
        let Ok(signed) = Signed::parse(payload) else {
            return Ok(());
        };
        let Ok(certificate) = Certificate::decode(signed.body) else {
            return Ok(());
        };
        match self.joined.get_mut(&certificate.network) {
            Some(joined) => {
                joined.credential(&mut self.around, now.mono, from, (signed, certificate), out)
            }
            None => Ok(()),
        }
    }

    /// A REVOCATION's payload; from whom does not matter, it proves itself.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn revocation(
        &mut self,
        now: Now,
        from: (Address, KeyId),
        payload: &[u8],
        out: &mut Actions,
    ) -> Result<(), BadSignature> {
        let Ok(signed) = Signed::parse(payload) else {
            return Ok(());
        };
        let Ok(revocation) = Revocation::decode(signed.body) else {
            return Ok(());
        };
        match self.joined.get_mut(&revocation.network) {
            Some(joined) => {
                joined.revocation(&mut self.around, now.mono, from, (signed, revocation), out)
            }
            None => Ok(()),
        }
    }

    /// A HINT's payload.
    pub fn hint(&mut self, now: Now, from: (Address, KeyId), payload: &[u8], out: &mut Actions) {
        let Ok(Message::Hint(Hint { network, revision })) = Message::of(MessageType::Hint, payload)
        else {
            return;
        };
        if let Some(joined) = self.joined.get_mut(&network) {
            joined.hint(&mut self.around, now.mono, from, revision, out);
        }
    }

    /// The peer wrote ERROR "need credential" about this network.
    pub fn wanted(
        &mut self,
        now: Now,
        from: (Address, KeyId),
        network: NetworkId,
        out: &mut Actions,
    ) {
        if let Some(joined) = self.joined.get_mut(&network) {
            joined.wanted(&self.around, now.mono, from, out);
        }
    }

    /// A session with this peer is up: after each handshake outside a session, not after a rekey inside one.
    pub fn session_up(&mut self, now: Now, peer: &Verified, out: &mut Actions) {
        self.around.sessions.insert(peer.address(), *peer);
        for joined in self.joined.values_mut() {
            if joined.controller_address() == peer.address() {
                joined.controller_up(&mut self.around, now.mono, peer, out);
            }
            joined.peer_up(
                &mut self.around,
                now.mono,
                (peer.address(), peer.key()),
                out,
            );
        }
    }

    /// Messages to this peer take another way from now on.
    pub fn way_changed(&mut self, now: Now, address: Address, out: &mut Actions) {
        for joined in self.joined.values_mut() {
            joined.way_changed(&self.around, now.mono, address, out);
        }
    }

    /// The last session with this peer is gone.
    pub fn session_down(&mut self, now: Now, address: Address, out: &mut Actions) {
        let _ = now;
        self.around.sessions.remove(&address);
        for joined in self.joined.values_mut() {
            joined.peer_down(&mut self.around, address, out);
        }
    }

    /// Connecting to this address was given up: nobody knows it, or it does not answer.
    pub fn unreachable(&mut self, now: Now, address: Address, out: &mut Actions) {
        for joined in self.joined.values_mut() {
            if joined.controller_address() == address {
                joined.silent(out);
            }
            joined.peer_down(&mut self.around, address, out);
            joined.shun(&mut self.around, now.mono, address);
            out.push(Action::Discard(joined.id(), address));
        }
    }

    /// No supernode answers (`false`), or one does again (`true`): then everything that waits for an answer asks at once.
    pub fn online(&mut self, now: Now, online: bool, out: &mut Actions) {
        for joined in self.joined.values_mut() {
            if online {
                joined.online(&mut self.around, now.mono, out);
            }
        }
    }

    /// `Note::Unready`: a frame waits for this member.
    pub fn unready(&mut self, now: Now, network: NetworkId, address: Address, out: &mut Actions) {
        if let Some(joined) = self.joined.get_mut(&network) {
            joined.unready(&mut self.around, now.mono, address, out);
        }
    }

    /// `Note::Uncertified`: this peer sent a frame, its certificate is not known here.
    pub fn uncertified(
        &mut self,
        now: Now,
        peer: (Address, KeyId),
        network: NetworkId,
        out: &mut Actions,
    ) {
        let _ = now;
        if let Some(joined) = self.joined.get_mut(&network) {
            joined.uncertified(peer, out);
        }
    }

    /// The device is up under this name.
    pub fn tap_up(&mut self, now: Now, network: NetworkId, name: &str, out: &mut Actions) {
        let _ = now;
        if let Some(joined) = self.joined.get_mut(&network) {
            joined.device(Ok(name.to_string()), out);
        }
    }

    /// The device could not be made.
    pub fn tap_failed(&mut self, now: Now, network: NetworkId, why: &str, out: &mut Actions) {
        let _ = now;
        if let Some(joined) = self.joined.get_mut(&network) {
            joined.device(Err(why.to_string()), out);
        }
    }

    /// The addresses that the underlay needs: our own, the supernodes'. No network may route them away unasked.
    pub fn underlay(&mut self, now: Now, addresses: Vec<IpAddr>, out: &mut Actions) {
        let _ = now;
        if self.around.underlay == addresses {
            return;
        }
        self.around.underlay = addresses;
        for joined in self.joined.values_mut() {
            joined.replan(&self.around, out);
        }
    }

    /// Fires every deadline up to now.
    pub fn advance(&mut self, now: Now, out: &mut Actions) {
        while let Some(timer) = self.around.timers.pop(now.mono) {
            match timer {
                Timer::Ask(network) => {
                    if let Some(joined) = self.joined.get_mut(&network) {
                        joined.ask_due(&mut self.around, now.mono, out);
                    }
                }
                Timer::Member(network, address) => {
                    if let Some(joined) = self.joined.get_mut(&network) {
                        joined.member_due(&mut self.around, now.mono, address, out);
                    }
                }
                Timer::Loop(network) => {
                    if let Some(joined) = self.joined.get_mut(&network) {
                        joined.loops_due(&mut self.around, now.mono, out);
                    }
                }
                Timer::Groups(network) => {
                    if let Some(joined) = self.joined.get_mut(&network) {
                        joined.groups_due(&mut self.around, now.mono, out);
                    }
                }
                Timer::Replicators(network) => {
                    if let Some(joined) = self.joined.get_mut(&network) {
                        joined.keep_replicators(&mut self.around, now.mono, out);
                    }
                }
                Timer::Vouch(network, address) => {
                    if let Some(joined) = self.joined.get_mut(&network) {
                        joined.vouch_due(&mut self.around, now.mono, address, out);
                    }
                }
                Timer::Subscribe(network, address) => {
                    if let Some(joined) = self.joined.get_mut(&network) {
                        joined.subscribe_due(&mut self.around, now.mono, address, out);
                    }
                }
            }
        }
    }

    /// The next moment `advance` has something to do.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.around.timers.next()
    }

    /// For `zt-cli networks`.
    pub fn info(&self) -> Vec<NetworkInfo> {
        self.joined
            .values()
            .map(|joined| joined.info(&self.around))
            .collect()
    }

    /// Whether this address is the controller of a joined network.
    pub fn is_controller(&self, address: Address) -> bool {
        self.joined
            .values()
            .any(|joined| joined.controller_address() == address)
    }

    /// Whether this is the controller of a network of ours, under the key that is pinned.
    pub fn is_pinned_controller(&self, who: (Address, KeyId)) -> bool {
        self.joined.values().any(|joined| joined.is_controller(who))
    }

    /// Whether this address is a member with a valid certificate on any joined network.
    pub fn is_member(&self, address: Address) -> bool {
        self.joined.values().any(|joined| joined.is_member(address))
    }
}

impl Around {
    /// A number that nobody can guess, whatever others have been seen.
    fn token(&mut self) -> u64 {
        self.tokens += 1;
        let input = [&self.secret[..], &self.tokens.to_be_bytes()].concat();
        let [a, b, c, d, e, f, g, h, ..] = zt_crypto::hash256(&input);
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// A span below `most`, evenly spread (`SplitMix64`).
    fn jitter(&mut self, most: core::time::Duration) -> core::time::Duration {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX).max(1);
        core::time::Duration::from_nanos(mixed % nanos)
    }
}

#[cfg(test)]
mod tests;
