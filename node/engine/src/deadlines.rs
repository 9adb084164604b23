//! What is to happen when: one deadline per reason.
//!
//! Owner: the engine. In: `set`, `clear`. Out: the next moment and its reason, due reasons in order.
//! Never: two deadlines for one reason; a search over peers.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use zt_wire::{Address, KeyId};

use crate::shard::PeerHandle;
use crate::time::Mono;

/// Why the engine wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The world is entered: its supernodes are verified and attached to.
    World,
    /// A handshake's next try.
    Handshake(PeerHandle),
    /// Probes of a peer's candidates.
    Probe(PeerHandle),
    /// The answer to a check of the path in use.
    Check(PeerHandle),
    /// A peer is looked after: silence, age of keys, lapse.
    Tend(PeerHandle),
    /// A path MTU probe.
    Mtu(PeerHandle),
    /// The next step of the trial of trains on a path.
    Canary(PeerHandle),
    /// A supernode is tried again.
    Attach(KeyId),
    /// A claim is repeated.
    Claim(PeerHandle),
    /// A WHOIS question is repeated.
    Whois(Address),
    /// Supernode: the siblings did not answer a WHOIS.
    Sibling(Address),
    /// A command's patience ends.
    Command(u64),
    /// The next step of a selftest that we send.
    SelftestSends,
    /// The end of a selftest that we hear.
    SelftestHears,
    /// Half-received initiations are dropped.
    Parts,
    /// Frames held for peers that never became ready.
    Held,
    /// The saved peers are written.
    SavePeers,
    /// The networks' own deadline.
    Networks,
}

/// The engine's deadlines.
#[derive(Debug, Default)]
pub struct Deadlines {
    queue: BTreeSet<(Mono, Timer)>,
    at: HashMap<Timer, Mono, foldhash::fast::FixedState>,
}

impl Deadlines {
    /// Sets or moves the deadline of `timer`.
    pub fn set(&mut self, timer: Timer, at: Mono) {
        if let Some(before) = self.at.insert(timer, at) {
            self.queue.remove(&(before, timer));
        }
        self.queue.insert((at, timer));
    }

    /// Sets the deadline of `timer` unless an earlier one stands.
    pub fn set_earlier(&mut self, timer: Timer, at: Mono) {
        if self.at.get(&timer).is_none_or(|stands| *stands > at) {
            self.set(timer, at);
        }
    }

    /// Removes the deadline of `timer`.
    pub fn clear(&mut self, timer: Timer) {
        if let Some(before) = self.at.remove(&timer) {
            self.queue.remove(&(before, timer));
        }
    }

    /// Takes the earliest reason whose time has come.
    pub fn due(&mut self, now: Mono) -> Option<Timer> {
        let &(at, timer) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.at.remove(&timer);
        Some(timer)
    }

    /// The next deadline and its reason.
    pub fn next(&self) -> Option<(Mono, Timer)> {
        self.queue.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_deadline_fires_once_at_its_new_time() {
        let mut deadlines = Deadlines::default();
        deadlines.set(Timer::Parts, Mono::from_nanos(5));
        deadlines.set(Timer::Parts, Mono::from_nanos(9));
        assert_eq!(deadlines.due(Mono::from_nanos(5)), None);
        assert_eq!(deadlines.due(Mono::from_nanos(9)), Some(Timer::Parts));
        assert_eq!(deadlines.due(Mono::from_nanos(99)), None);
    }

    #[test]
    fn deadlines_fire_in_order_of_time() {
        let mut deadlines = Deadlines::default();
        deadlines.set(Timer::Held, Mono::from_nanos(7));
        deadlines.set(Timer::Parts, Mono::from_nanos(3));
        deadlines.set_earlier(Timer::Parts, Mono::from_nanos(8));
        assert_eq!(deadlines.next(), Some((Mono::from_nanos(3), Timer::Parts)));
        assert_eq!(deadlines.due(Mono::from_nanos(10)), Some(Timer::Parts));
        assert_eq!(deadlines.due(Mono::from_nanos(10)), Some(Timer::Held));
        assert_eq!(deadlines.next(), None);
    }
}
