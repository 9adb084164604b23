//! What went to and came from a peer, and when the engine has to hear of it.
//!
//! Owner: the shard, one per peer. In: each datagram sealed or opened. Out: facts for timers, `Note`s at a bounded rate.
//! Never: a decision about a path.

use super::fair::Share;
use super::verdict::{Note, Notes, Path, PeerHandle};
use crate::limits;
use crate::time::Mono;

/// Facts about the traffic with one peer. `None`: never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Last authentic datagram from it, any way.
    pub heard: Option<Mono>,
    /// Last datagram sealed for it.
    pub sent: Option<Mono>,
    /// Last datagram sent straight to it, or for a supernode also one relayed through it.
    pub sent_direct: Option<Mono>,
    /// Last frame to or from it.
    pub frame: Option<Mono>,
    /// Since when something is sent and nothing heard; `None` when heard since.
    pub waiting: Option<Mono>,
    /// Bytes of sealed datagrams received.
    pub rx_bytes: u64,
    /// Bytes of sealed datagrams sent.
    pub tx_bytes: u64,
    next_heard: Mono,
    noted: Option<Path>,
    next_waiting: Mono,
    next_uncertified: Mono,
    quota: u64,
    quota_at: Mono,
    pub(super) share: Share,
}

impl Traffic {
    /// A datagram of `len` bytes from the peer was opened; `in_use` is the path we send on.
    pub(super) fn opened(
        &mut self,
        now: Mono,
        came: (Path, Option<Path>),
        len: usize,
        peer: PeerHandle,
        notes: &mut Notes,
    ) {
        let (from, in_use) = came;
        self.heard = Some(now);
        self.waiting = None;
        self.rx_bytes += len as u64;
        match from {
            Path::Direct(_) => {
                if in_use != Some(from) && self.is_news(from, now) {
                    notes.push(Note::Heard { peer, from });
                }
            }
            Path::Relay { .. } => {
                // Either there is no path yet, or the peer has given up the direct one that is in use here.
                let news = in_use.is_none_or(|path| !path.is_relay());
                if news && self.is_news(from, now) {
                    notes.push(Note::Heard { peer, from });
                }
            }
        }
    }

    /// Whether this way is another than the last one told of, or that was a while ago.
    fn is_news(&mut self, from: Path, now: Mono) -> bool {
        if self.noted == Some(from) && now < self.next_heard {
            return false;
        }
        self.noted = Some(from);
        self.next_heard = now + limits::HEARD_EVERY;
        true
    }

    /// A datagram of `len` bytes to the peer was sealed.
    pub(super) const fn sealed(&mut self, now: Mono, direct: bool, len: usize) {
        self.sent = Some(now);
        if direct {
            self.sent_direct = Some(now);
        }
        self.tx_bytes += len as u64;
    }

    /// What was sealed lets us expect something back.
    pub(super) fn expect(&mut self, now: Mono, peer: PeerHandle, notes: &mut Notes) {
        if self.waiting.is_none() {
            self.waiting = Some(now);
        }
        // Also when waiting began during the pause: that silence must not go unnoticed.
        if now >= self.next_waiting {
            self.next_waiting = now + limits::WAITING_EVERY;
            notes.push(Note::Waiting { peer });
        }
    }

    /// A datagram for somebody else went through this supernode.
    pub(super) fn carried(&mut self, now: Mono, len: usize) {
        self.sent = Some(now);
        self.sent_direct = Some(now);
        self.tx_bytes += len as u64;
    }

    /// Whether the engine is to hear now that this peer's certificate is missing.
    pub(super) fn tell_uncertified(&mut self, now: Mono) -> bool {
        if now < self.next_uncertified {
            return false;
        }
        self.next_uncertified = now + limits::UNCERTIFIED_EVERY;
        true
    }

    /// Whether the peer is to see now that we are there: nothing else went to it lately.
    pub(super) fn shows_itself(&self, now: Mono) -> bool {
        self.sent
            .is_none_or(|at| now.since(at) >= limits::REPLICATOR_SHOWS_EVERY)
    }

    /// Takes `len` bytes from the peer's relay quota, which fills at `rate` bytes per second.
    pub(super) fn take_quota(&mut self, now: Mono, rate: u64, len: usize) -> bool {
        let burst = limits::RELAY_BURST.min(rate);
        if self.quota_at == Mono::ZERO {
            self.quota = burst;
        } else {
            let micros = u64::try_from(now.since(self.quota_at).as_micros()).unwrap_or(u64::MAX);
            let earned = micros.saturating_mul(rate) / 1_000_000;
            self.quota = self.quota.saturating_add(earned).min(burst);
        }
        self.quota_at = now;
        match self.quota.checked_sub(len as u64) {
            Some(rest) => {
                self.quota = rest;
                true
            }
            None => false,
        }
    }
}

/// The sizes of what leaves straight for a peer. Not part of [`Traffic`], which the engine keeps a copy of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Width {
    next: Mono,
    bytes: u32,
    widest: u16,
}

impl Width {
    /// A datagram of `len` bytes leaves: whether its size passes is of interest.
    pub(super) fn filled(&mut self, now: Mono, len: usize, peer: PeerHandle, notes: &mut Notes) {
        // A datagram has at most 65,507 bytes.
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        self.bytes = self.bytes.saturating_add(u32::from(len));
        if len <= limits::MTU_WIDE {
            return;
        }
        self.widest = self.widest.max(len);
        if now < self.next {
            return;
        }
        notes.push(Note::Wide {
            peer,
            widest: self.widest,
            bytes: self.bytes,
        });
        *self = Self {
            next: now + limits::WIDE_EVERY,
            bytes: 0,
            widest: 0,
        };
    }
}
