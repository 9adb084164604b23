//! What went to and came from a peer, and when the engine has to hear of it.
//!
//! Owner: the shard, one per peer; the figures are those of all workers. In: each datagram sealed or opened. Out: facts for timers, `Note`s at a bounded rate.
//! Never: a decision about a path.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::Arc;

use super::fair::Share;
use super::verdict::{Note, Notes, Path, PeerHandle};
use crate::limits;
use crate::time::Mono;

/// Facts about the traffic with one peer, at one moment. `None`: never.
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
}

/// The traffic with one peer as all workers see it together: one may send what another hears the answer to. Each
/// figure stands for itself, so no order between them is asked of the processor.
#[derive(Clone, Debug, Default)]
pub struct Flow(Arc<Figures>);

#[derive(Debug, Default)]
struct Figures {
    heard: Moment,
    sent: Moment,
    sent_direct: Moment,
    frame: Moment,
    waiting: Moment,
    rx_bytes: AtomicU64,
    tx_bytes: AtomicU64,
    fragment: AtomicU32,
}

/// A moment or never: nanoseconds and one, so that zero is never.
#[derive(Debug, Default)]
struct Moment(AtomicU64);

impl Moment {
    fn get(&self) -> Option<Mono> {
        self.0.load(Relaxed).checked_sub(1).map(Mono::from_nanos)
    }

    fn set(&self, at: Mono) {
        self.0.store(at.as_nanos().saturating_add(1), Relaxed);
    }

    fn clear(&self) {
        self.0.store(0, Relaxed);
    }
}

impl Flow {
    /// What it is now.
    pub fn traffic(&self) -> Traffic {
        let figures = &*self.0;
        Traffic {
            heard: figures.heard.get(),
            sent: figures.sent.get(),
            sent_direct: figures.sent_direct.get(),
            frame: figures.frame.get(),
            waiting: figures.waiting.get(),
            rx_bytes: figures.rx_bytes.load(Relaxed),
            tx_bytes: figures.tx_bytes.load(Relaxed),
        }
    }

    /// Since when something is sent and nothing heard.
    pub(super) fn waiting(&self) -> Option<Mono> {
        self.0.waiting.get()
    }

    /// A frame went to it or came from it.
    pub(super) fn frame(&self, now: Mono) {
        self.0.frame.set(now);
    }

    /// The number of the next message that goes to it in fragments.
    pub(super) fn next_fragment(&self) -> u32 {
        self.0.fragment.fetch_add(1, Relaxed)
    }

    /// A datagram of `len` bytes to the peer was sealed.
    pub(super) fn sealed(&self, now: Mono, direct: bool, len: usize) {
        self.0.sent.set(now);
        if direct {
            self.0.sent_direct.set(now);
        }
        self.0.tx_bytes.fetch_add(len as u64, Relaxed);
    }

    /// A datagram for somebody else went through this supernode.
    pub(super) fn carried(&self, now: Mono, len: usize) {
        self.sealed(now, true, len);
    }

    /// Whether the peer is to see now that we are there: nothing else went to it lately.
    pub(super) fn shows_itself(&self, now: Mono) -> bool {
        let sent = self.0.sent.get();
        sent.is_none_or(|at| now.since(at) >= limits::REPLICATOR_SHOWS_EVERY)
    }

    fn opened(&self, now: Mono, len: usize) {
        self.0.heard.set(now);
        self.0.waiting.clear();
        self.0.rx_bytes.fetch_add(len as u64, Relaxed);
    }

    fn expects(&self, now: Mono) {
        if self.0.waiting.get().is_none() {
            self.0.waiting.set(now);
        }
    }
}

/// What one worker keeps of the traffic with a peer: when it told the engine what, and what a relay lets pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    next_heard: Mono,
    noted: Option<Path>,
    next_waiting: Mono,
    next_uncertified: Mono,
    quota: u64,
    quota_at: Mono,
    pub(super) share: Share,
}

impl Watch {
    /// A datagram of `len` bytes from the peer was opened; `in_use` is the path we send on.
    pub(super) fn opened(
        &mut self,
        flow: &Flow,
        (now, len): (Mono, usize),
        came: (Path, Option<Path>),
        peer: PeerHandle,
        notes: &mut Notes,
    ) {
        let (from, in_use) = came;
        flow.opened(now, len);
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

    /// What was sealed lets us expect something back.
    pub(super) fn expect(&mut self, flow: &Flow, now: Mono, peer: PeerHandle, notes: &mut Notes) {
        flow.expects(now);
        // Also when waiting began during the pause: that silence must not go unnoticed.
        if now >= self.next_waiting {
            self.next_waiting = now + limits::WAITING_EVERY;
            notes.push(Note::Waiting { peer });
        }
    }

    /// Whether the engine is to hear now that this peer's certificate is missing.
    pub(super) fn tell_uncertified(&mut self, now: Mono) -> bool {
        if now < self.next_uncertified {
            return false;
        }
        self.next_uncertified = now + limits::UNCERTIFIED_EVERY;
        true
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
