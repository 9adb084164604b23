//! One peer: who it is, the session with it, the paths to it, what waits for it.
//!
//! Owner: `Peers`. In: what the engine's rooms learn. Out: facts.
//! Never: keys of sessions (the shard has them), frames (`held.rs` has them).

use std::collections::VecDeque;
use std::vec::Vec;

use zt_crypto::{Suite, Verified};
use zt_wire::{Address, Identity, KeyId};

use crate::interface::PeerRole;
use crate::limits;
use crate::paths::Paths;
use crate::shard::{PeerHandle, Traffic};
use crate::time::Mono;

/// A peer.
#[derive(Debug)]
pub struct Peer {
    /// What the shard calls it.
    pub handle: PeerHandle,
    /// What it is.
    pub role: PeerRole,
    /// The session, once there is one.
    pub session: Option<Session>,
    /// Its next session belongs to another worker than this one.
    pub moves: bool,
    /// Keys that wait for the other end's first datagram, and whether they renew a session from inside.
    pub next: Option<(Session, bool)>,
    /// Whether the shard knows the handle.
    pub announced: bool,
    /// The ways to it.
    pub paths: Paths,
    /// When something of ours last wanted it.
    pub wanted: Mono,
    /// When it became known.
    pub since: Mono,
    /// What the shard last told.
    pub traffic: Traffic,
    /// A measuring ping that is out, and when it left.
    pub pinged: Option<(u64, Mono)>,
    /// The second whose WHOIS questions are being counted, and how many there were.
    pub questions: (Mono, u32),
    /// Not to be tried again before this.
    pub rest_until: Mono,
    /// Up to when it has used its budget of signed messages.
    proven: Mono,
    who: Verified,
    waiting: VecDeque<Vec<u8>>,
}

/// A session as the engine sees it.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Our index.
    pub local: u32,
    /// How it is sealed.
    pub suite: Suite,
    /// We began the handshake; so we renew the keys.
    pub initiator: bool,
    /// Both ends are known to have the keys, so we may send.
    pub confirmed: bool,
    /// When the keys were made.
    pub since: Mono,
}

impl Peer {
    /// A peer just met.
    pub fn new(now: Mono, handle: PeerHandle, who: Verified, role: PeerRole) -> Self {
        Self {
            handle,
            role,
            session: None,
            moves: false,
            next: None,
            announced: false,
            paths: Paths::default(),
            wanted: now,
            since: now,
            traffic: Traffic::default(),
            pinged: None,
            questions: (Mono::ZERO, 0),
            rest_until: Mono::ZERO,
            proven: Mono::ZERO,
            who,
            waiting: VecDeque::new(),
        }
    }

    /// Keeps messages until there is a session; false when too many wait.
    pub fn hold(&mut self, body: Vec<u8>) -> bool {
        let room = self.waiting.len() < limits::HELD_MESSAGES;
        if room {
            self.waiting.push_back(body);
        }
        room
    }

    /// Takes the first message that waited.
    pub fn unhold(&mut self) -> Option<Vec<u8>> {
        self.waiting.pop_front()
    }

    /// Counts a WHOIS question; false when this second has had enough.
    pub fn may_ask(&mut self, now: Mono) -> bool {
        let (since, asked) = &mut self.questions;
        if now.since(*since) >= core::time::Duration::from_secs(1) {
            (*since, *asked) = (now, 0);
        }
        *asked += 1;
        *asked <= limits::WHOIS_PER_SECOND
    }

    /// Counts a message whose signature costs us public-key work; false when the budget is used up.
    pub fn may_prove(&mut self, now: Mono) -> bool {
        let used = self.proven.max(now);
        if used.since(now) >= limits::SIGNED_AHEAD {
            return false;
        }
        self.proven = used + limits::SIGNED_EVERY;
        true
    }

    /// It brought a signature that does not hold, which no honest peer does.
    pub fn distrust(&mut self, now: Mono) {
        self.proven = now + limits::SIGNED_AHEAD + limits::BAD_SIGNATURE_REST;
    }

    /// Its proven identity.
    pub const fn who(&self) -> &Verified {
        &self.who
    }

    /// Its identity.
    pub fn identity(&self) -> Identity {
        *self.who.identity()
    }

    /// Its key.
    pub fn key(&self) -> KeyId {
        self.who.key()
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.who.address()
    }

    /// Whether we may send in a session.
    pub fn ready(&self) -> bool {
        self.session.is_some_and(|session| session.confirmed)
    }
}
