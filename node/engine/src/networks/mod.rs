//! The networks this node has joined: asking, configuration, certificates, members, revocations.
//!
//! Owner: the engine, which feeds it and carries out its `Action`s. In: commands, opened control messages, time.
//! Out: actions. Never: a socket, a session, a frame; anything from a controller other than the pinned one.

pub mod action;

use core::time::Duration;
use std::vec::Vec;

use zt_wire::{Address, KeyId, NetworkId};

pub use self::action::{Action, Actions};
use crate::interface::{Consent, Failure, NetworkInfo};
use crate::time::{Mono, Now};

/// All networks joined.
#[derive(Debug)]
pub struct Networks {
    me: Address,
    key: KeyId,
}

impl Networks {
    /// No network yet. `chance` seeds the jitter.
    pub fn new(me: Address, key: KeyId, chance: u64) -> Self {
        let _ = chance;
        Self { me, key }
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
        let _ = (now, network, with, out);
        Ok(())
    }

    /// Leaves and forgets everything about the network.
    ///
    /// # Errors
    /// [`Failure::NoSuchNetwork`].
    pub fn leave(
        &mut self,
        now: Now,
        network: NetworkId,
        out: &mut Actions,
    ) -> Result<(), Failure> {
        let _ = (now, network, out);
        Ok(())
    }

    /// Changes what the network may do to this machine.
    ///
    /// # Errors
    /// [`Failure::NoSuchNetwork`].
    pub fn set(
        &mut self,
        now: Now,
        network: NetworkId,
        consent: Consent,
        out: &mut Actions,
    ) -> Result<(), Failure> {
        let _ = (now, network, consent, out);
        Ok(())
    }

    /// What was saved under `Saved::Network` in an earlier run.
    pub fn restored(&mut self, now: Now, network: NetworkId, saved: &[u8], out: &mut Actions) {
        let _ = (now, network, saved, out);
    }

    /// A NETCONF_ANSWER's payload from the session of this address and key.
    pub fn answer(&mut self, now: Now, from: (Address, KeyId), payload: &[u8], out: &mut Actions) {
        let _ = (now, from, payload, out);
    }

    /// A CREDENTIAL's payload.
    pub fn credential(
        &mut self,
        now: Now,
        from: (Address, KeyId),
        payload: &[u8],
        out: &mut Actions,
    ) {
        let _ = (now, from, payload, out);
    }

    /// A REVOCATION's payload; from whom does not matter, it proves itself.
    pub fn revocation(
        &mut self,
        now: Now,
        from: (Address, KeyId),
        payload: &[u8],
        out: &mut Actions,
    ) {
        let _ = (now, from, payload, out);
    }

    /// A HINT's payload.
    pub fn hint(&mut self, now: Now, from: (Address, KeyId), payload: &[u8], out: &mut Actions) {
        let _ = (now, from, payload, out);
    }

    /// The peer wrote ERROR "need credential" (or "not a member") about this network.
    pub fn wanted(
        &mut self,
        now: Now,
        from: (Address, KeyId),
        network: NetworkId,
        out: &mut Actions,
    ) {
        let _ = (now, from, network, out);
    }

    /// A session with this peer is confirmed (also after each full handshake, not after a rekey inside a session).
    pub fn session_up(&mut self, now: Now, peer: (Address, KeyId), out: &mut Actions) {
        let _ = (now, peer, out);
    }

    /// The last session with this peer is gone.
    pub fn session_down(&mut self, now: Now, address: Address, out: &mut Actions) {
        let _ = (now, address, out);
    }

    /// Connecting to this address was given up: nobody knows it, or it does not answer.
    pub fn unreachable(&mut self, now: Now, address: Address, out: &mut Actions) {
        let _ = (now, address, out);
    }

    /// No supernode answers (`false`), or one does again (`true`).
    pub fn online(&mut self, now: Now, online: bool, out: &mut Actions) {
        let _ = (now, online, out);
    }

    /// `Note::Unready`: a frame waits for this member.
    pub fn unready(&mut self, now: Now, network: NetworkId, address: Address, out: &mut Actions) {
        let _ = (now, network, address, out);
    }

    /// `Note::Uncertified`: this peer sent a frame, its certificate is not known here.
    pub fn uncertified(
        &mut self,
        now: Now,
        peer: (Address, KeyId),
        network: NetworkId,
        out: &mut Actions,
    ) {
        let _ = (now, peer, network, out);
    }

    /// The device is up under this name.
    pub fn tap_up(&mut self, now: Now, network: NetworkId, name: &str, out: &mut Actions) {
        let _ = (now, network, name, out);
    }

    /// The device could not be made.
    pub fn tap_failed(&mut self, now: Now, network: NetworkId, why: &str, out: &mut Actions) {
        let _ = (now, network, why, out);
    }

    /// Fires every deadline up to now.
    pub fn advance(&mut self, now: Now, out: &mut Actions) {
        let _ = (now, out);
    }

    /// The next moment `advance` has something to do.
    pub fn next_deadline(&self) -> Option<Mono> {
        None
    }

    /// For `zt-cli networks`.
    pub fn info(&self) -> Vec<NetworkInfo> {
        Vec::new()
    }

    /// Whether this address is the controller of a joined network.
    pub fn is_controller(&self, address: Address) -> bool {
        let _ = (address, self.me, self.key);
        false
    }

    /// Whether this address is a member with a valid certificate on any joined network.
    pub fn is_member(&self, address: Address) -> bool {
        let _ = address;
        false
    }
}

/// How to join.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// The controller's key; `None` pins on first use.
    pub fingerprint: Option<KeyId>,
    /// An invite's secret.
    pub token: Option<[u8; 16]>,
}

/// Until then a network without an answer counts as unreachable.
pub const UNREACHABLE_AFTER: Duration = Duration::from_secs(4);
