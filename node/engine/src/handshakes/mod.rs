//! Handshakes under way: our own attempts, cookies, half-received initiations, answers being computed.
//!
//! Owner: the engine. In: INIT, COOKIE, RESPONSE and their counterparts inside sessions. Out: sessions for the shard.
//! Never: memory for somebody whose cookie is not proven; a session replaced before the other end has the keys.

mod answered;
mod buckets;
mod initiate;
mod install;
mod origin;
mod parts;
mod respond;

use core::time::Duration;
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::vec::Vec;

use zt_crypto::cookie::Jar;
use zt_crypto::{Initiator, Label};

use crate::limits;
use crate::shard::{Path, PeerHandle};
use crate::time::Mono;

pub use answered::Answered;
pub(crate) use answered::{Question, Repeat};
pub use buckets::Buckets;
pub use parts::{PartKey, Parts};

/// Handshakes under way.
#[derive(Debug)]
pub struct Handshakes {
    pub(crate) jar: Jar,
    pub(crate) buckets: Buckets,
    pub(crate) parts: Parts,
    pub(crate) answered: Answered,
    pub(crate) attempts: BTreeMap<PeerHandle, Attempt>,
    pub(crate) indices: BTreeMap<u32, PeerHandle>,
    pub(crate) responding: usize,
    live: BTreeSet<u32>,
    deaths: VecDeque<(Mono, u32)>,
}

/// Our own handshake with one peer.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Our index in it.
    pub(crate) index: u32,
    /// Outside or inside the session.
    pub(crate) label: Label,
    /// How far it is.
    pub(crate) stage: Stage,
    /// Noise message 1, once made.
    pub(crate) message: Vec<u8>,
    /// Tries that left.
    pub(crate) tries: u8,
    /// Wait before the next try.
    pub(crate) wait: Duration,
    /// The ways of the last try; an answer from elsewhere is nobody's.
    pub(crate) ways: Vec<Path>,
    /// The way that gave a cookie in this try, and the cookie.
    pub(crate) cookie: Option<(Path, [u8; 16])>,
    /// The way the response came.
    pub(crate) answered: Option<Path>,
}

/// How far an attempt is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The first message is being made.
    Starting,
    /// It has left, or waits for a way.
    Waiting(Box<Initiator>),
    /// The second message is being opened.
    Finishing,
}

/// A first message being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    /// Where it came from.
    pub(crate) path: Path,
    /// The initiator's index as the datagram says.
    pub(crate) sender: u32,
    /// Our index.
    pub(crate) local: u32,
    /// The peer of the session it came in; `None` for an INIT.
    pub(crate) inside: Option<PeerHandle>,
    /// The first message's name.
    pub(crate) question: Question,
}

impl Handshakes {
    /// None under way; `seed` is the cookies' secret.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            jar: Jar::new(seed),
            buckets: Buckets::default(),
            parts: Parts::default(),
            answered: Answered::default(),
            attempts: BTreeMap::new(),
            indices: BTreeMap::new(),
            responding: 0,
            live: BTreeSet::new(),
            deaths: VecDeque::new(),
        }
    }

    /// A session of ours has this index until its keys die.
    pub(crate) fn lives(&mut self, now: Mono, index: u32) {
        while let Some(&(dies, old)) = self.deaths.front()
            && dies <= now
        {
            self.deaths.pop_front();
            self.live.remove(&old);
        }
        if self.live.insert(index) {
            self.deaths.push_back((now + limits::KEYS_DIE_AFTER, index));
        }
    }

    /// Whether an attempt or a session has this index.
    pub(crate) fn taken(&self, index: u32) -> bool {
        self.indices.contains_key(&index) || self.live.contains(&index)
    }

    /// Ends an attempt.
    pub(crate) fn end(&mut self, peer: PeerHandle) -> Option<Attempt> {
        let attempt = self.attempts.remove(&peer)?;
        self.indices.remove(&attempt.index);
        Some(attempt)
    }
}
