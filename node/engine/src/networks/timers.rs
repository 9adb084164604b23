//! When the networks room has something to do.
//!
//! Owner: the networks. In: deadlines by name. Out: the earliest, one after another.
//! Never: a clock; two deadlines under one name.

use std::collections::{BTreeMap, BTreeSet};

use zt_wire::{Address, NetworkId};

use crate::time::Mono;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Ask the controller, or judge that it does not answer.
    Ask(NetworkId),
    /// A member's certificate is still missing.
    Member(NetworkId, Address),
    /// The loop guard's next probe.
    Loop(NetworkId),
    /// What we listen to may have changed.
    Groups(NetworkId),
    /// Sessions with replicators are looked after.
    Replicators(NetworkId),
    /// A certificate that a replicator was asked for has not come.
    Vouch(NetworkId, Address),
    /// A member has not said that our list of groups came.
    Subscribe(NetworkId, Address),
}

/// Deadlines by name and by time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Mono, Timer)>,
    by_name: BTreeMap<Timer, Mono>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Mono) {
        if let Some(old) = self.by_name.insert(timer, at) {
            self.by_time.remove(&(old, timer));
        }
        self.by_time.insert((at, timer));
    }

    /// Sets unless it is due earlier already.
    pub(super) fn set_earlier(&mut self, timer: Timer, at: Mono) {
        if self.by_name.get(&timer).is_none_or(|&old| at < old) {
            self.set(timer, at);
        }
    }

    pub(super) fn has(&self, timer: Timer) -> bool {
        self.by_name.contains_key(&timer)
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(old) = self.by_name.remove(&timer) {
            self.by_time.remove(&(old, timer));
        }
    }

    pub(super) fn pop(&mut self, now: Mono) -> Option<Timer> {
        let &(at, timer) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }

    pub(super) fn next(&self) -> Option<Mono> {
        self.by_time.first().map(|&(at, _)| at)
    }
}
