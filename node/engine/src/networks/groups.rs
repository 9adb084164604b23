//! Who listens to which multicast groups: what we tell the members, and what they tell us.
//!
//! Owner: one joined network. In: the kernel's list, IGMP and MLD of our device, SUBSCRIBE. Out: SUBSCRIBE, updates for the shard.
//! Never: a list before the kernel's is known; a list from a member without a valid certificate.

use std::collections::BTreeMap;
use std::vec::Vec;

use zt_wire::membership::{Membership, is_announced};
use zt_wire::message::{Subscribe, Subscribed};
use zt_wire::{Address, KeyId, Mac, Message, NetworkId};

use super::action::{Action, Actions};
use super::joined::Joined;
use super::timers::Timer;
use super::{Around, Networks};
use crate::interface::Listening;
use crate::limits;
use crate::shard::Update;
use crate::time::{Mono, Now};

/// What our side of a network listens to.
#[derive(Debug, Default)]
pub(super) struct Groups {
    kernel: Option<Listening>,
    learned: BTreeMap<Mac, Learned>,
    /// When a router last asked who listens.
    queried: Option<Mono>,
    looked: Option<Mono>,
    list: List,
    serial: u32,
    told: Option<Mono>,
}

/// What we say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    all: bool,
    groups: Vec<[u8; Mac::LEN]>,
}

/// A group that a report named.
#[derive(Clone, Copy, Debug)]
struct Learned {
    heard: Mono,
    /// When a router first asked since.
    asked: Option<Mono>,
    /// A station has left it; it goes then unless another reports.
    gone: Option<Mono>,
}

/// What was said to one member and by it, in the present session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exchange {
    /// The serial of its last list; zero: none.
    theirs: u32,
    /// Our present list has come.
    acknowledged: bool,
    tries: u8,
}

impl Groups {
    /// The device is gone. Members keep their sessions, so the lists are counted on.
    pub(super) fn down(&mut self) {
        *self = Self {
            serial: self.serial,
            ..Self::default()
        };
    }

    /// Takes what a report says.
    fn heard(&mut self, now: Mono, group: Mac, joins: bool) {
        if joins {
            if self.learned.len() < Subscribe::MAX || self.learned.contains_key(&group) {
                let learned = Learned {
                    heard: now,
                    asked: None,
                    gone: None,
                };
                self.learned.insert(group, learned);
            }
        } else if self.is_queried(now)
            && let Some(learned) = self.learned.get_mut(&group)
        {
            learned.gone = Some(now + limits::GROUP_LEFT_AFTER);
        }
    }

    /// A router asks; whoever listens answers within ten seconds.
    fn asked(&mut self, now: Mono) {
        self.queried = Some(now);
        for learned in self.learned.values_mut() {
            learned.asked.get_or_insert(now);
        }
    }

    fn is_queried(&self, now: Mono) -> bool {
        self.queried
            .is_some_and(|at| now.since(at) < limits::GROUP_HEARD_FOR)
    }

    /// Forgets what is too old; when the next one is.
    fn age(&mut self, now: Mono, bridges: bool) -> Option<Mono> {
        let ends = |learned: &Learned| {
            let aged = if bridges {
                // Nobody repeats a report that nobody asked for.
                learned.asked.map(|at| {
                    let answered = at + limits::GROUP_UNCONFIRMED_FOR;
                    answered.max(learned.heard + limits::GROUP_HEARD_FOR)
                })
            } else {
                Some(learned.heard + limits::GROUP_UNCONFIRMED_FOR)
            };
            [aged, learned.gone].into_iter().flatten().min()
        };
        self.learned
            .retain(|_, learned| ends(learned).is_none_or(|at| at > now));
        self.learned.values().filter_map(ends).min()
    }

    /// What to say; `None` before the kernel's list is known.
    fn list(&self, bridges: bool) -> Option<List> {
        let kernel = match self.kernel.as_ref()? {
            Listening::Everything => &[][..],
            Listening::Only(groups) => groups,
        };
        let all = bridges
            || self.kernel == Some(Listening::Everything)
            || self.learned.len() >= Subscribe::MAX;
        let mut groups: Vec<[u8; Mac::LEN]> = self
            .learned
            .keys()
            .chain(kernel)
            .filter(|group| is_announced(**group))
            .map(|group| group.to_bytes())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let all = all || groups.len() > Subscribe::MAX;
        groups.truncate(Subscribe::MAX);
        Some(List { all, groups })
    }
}

impl Networks {
    /// What the device of a network listens to.
    pub fn listens(
        &mut self,
        now: Now,
        network: NetworkId,
        listening: Listening,
        out: &mut Actions,
    ) {
        if let Some(joined) = self
            .joined
            .get_mut(&network)
            .filter(|joined| joined.is_up())
        {
            joined.groups.kernel = Some(listening);
            if !joined.may_bridge() {
                // The kernel was asked after each report.
                joined.groups.learned.clear();
            }
            joined.regroup(&mut self.around, now.mono, out);
        }
    }

    /// IGMP or MLD left our device.
    pub fn membership(&mut self, now: Now, network: NetworkId, frame: &[u8], out: &mut Actions) {
        if let (Some(joined), Some(said)) = (
            self.joined
                .get_mut(&network)
                .filter(|joined| joined.is_up()),
            Membership::of(frame),
        ) {
            joined.said(&mut self.around, now.mono, said, out);
        }
    }

    /// SUBSCRIBE: what a member listens to.
    pub fn subscribe(
        &mut self,
        _now: Now,
        from: (Address, KeyId),
        list: &Subscribe<'_>,
        out: &mut Actions,
    ) {
        if let Some(joined) = self.joined.get_mut(&list.network) {
            joined.listed(from, list, out);
        }
    }

    /// SUBSCRIBED: our list has come.
    pub fn subscribed(&mut self, from: (Address, KeyId), told: Subscribed) {
        if let Some(joined) = self.joined.get_mut(&told.network)
            && let Some(contact) = joined.contacts.get_mut(&from.0)
        {
            contact.groups.acknowledged |= told.serial == joined.groups.serial;
            if contact.groups.acknowledged {
                self.around
                    .timers
                    .clear(Timer::Subscribe(told.network, from.0));
            }
        }
    }
}

impl Joined {
    /// Works out what we listen to and tells everybody when that has changed.
    pub(super) fn regroup(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        if !self.is_up() {
            return;
        }
        let timer = Timer::Groups(self.id);
        let bridges = self.may_bridge();
        let ages = self.groups.age(now, bridges);
        if let Some(at) = ages {
            around.timers.set_earlier(timer, at);
        }
        let Some(list) = self.groups.list(bridges) else {
            return;
        };
        if self.groups.told.is_some() && list == self.groups.list {
            return;
        }
        let soonest = self.groups.told.map(|at| at + limits::SUBSCRIBE_EVERY);
        if let Some(soonest) = soonest.filter(|at| *at > now) {
            around.timers.set_earlier(timer, soonest);
            return;
        }
        self.groups.list = list;
        self.groups.told = Some(now);
        self.groups.serial += 1;
        for contact in self.contacts.values_mut() {
            (contact.groups.acknowledged, contact.groups.tries) = (false, 0);
        }
        let everybody: Vec<Address> = self.contacts.keys().copied().collect();
        for address in everybody {
            self.subscribe(around, now, address, out);
        }
    }

    /// The list may have changed or something in it is too old, or the kernel is to be asked again.
    pub(super) fn groups_due(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        if self.is_up() {
            self.look(around, now, out);
            self.regroup(around, now, out);
        }
    }

    /// Tells one member what we listen to, if it is to know and does not.
    pub(super) fn subscribe(
        &mut self,
        around: &mut Around,
        now: Mono,
        address: Address,
        out: &mut Actions,
    ) {
        let serial = self.groups.serial;
        let session = around.sessions.get(&address).map(zt_crypto::Verified::key);
        let Some(contact) = self.contacts.get_mut(&address) else {
            return;
        };
        let theirs = contact.theirs.as_ref().map(|theirs| theirs.1.key);
        let ready = contact.valid && contact.ours_sent && session.is_some() && theirs == session;
        let exchange = &mut contact.groups;
        if self.groups.told.is_none() || !ready || exchange.acknowledged {
            return;
        }
        let wait = (limits::SUBSCRIBE_FIRST_WAIT * (1 << exchange.tries.min(8)))
            .min(limits::SUBSCRIBE_LONGEST_WAIT);
        exchange.tries = exchange.tries.saturating_add(1);
        around
            .timers
            .set(Timer::Subscribe(self.id, address), now + wait);
        let message = Message::Subscribe(Subscribe {
            network: self.id,
            all: self.groups.list.all,
            serial,
            groups: &self.groups.list.groups,
        });
        out.push(Action::SendIfUp(address, message.to_vec()));
    }

    /// Nobody has said that our list came.
    pub(super) fn subscribe_due(
        &mut self,
        around: &mut Around,
        now: Mono,
        address: Address,
        out: &mut Actions,
    ) {
        if self.is_up() {
            self.subscribe(around, now, address, out);
        }
    }

    /// A member's list is not valid any more: it gets everything.
    pub(super) fn forget_groups(&self, address: Address, out: &mut Actions) {
        if self.is_up() {
            out.push(Action::Update(Update::Groups {
                network: self.id,
                address,
                groups: None,
            }));
        }
    }

    /// A station behind our device, or our own kernel, tells or asks who listens.
    fn said(&mut self, around: &mut Around, now: Mono, said: Membership<'_>, out: &mut Actions) {
        match said {
            Membership::Query => self.groups.asked(now),
            Membership::Report(changes) => {
                for change in changes {
                    self.groups.heard(now, change.group, change.joins);
                }
                self.look(around, now, out);
            }
        }
        self.regroup(around, now, out);
    }

    /// Asks the kernel for its list, not too often.
    fn look(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        let soonest = self
            .groups
            .looked
            .map_or(now, |at| at + limits::GROUPS_LOOK_EVERY);
        if soonest > now {
            around.timers.set_earlier(Timer::Groups(self.id), soonest);
        } else {
            self.groups.looked = Some(now);
            out.push(Action::Groups(self.id));
        }
    }

    /// A member's list.
    fn listed(&mut self, from: (Address, KeyId), list: &Subscribe<'_>, out: &mut Actions) {
        let (address, key) = from;
        let up = self.is_up();
        let Some(contact) = self.contacts.get_mut(&address) else {
            return;
        };
        let theirs = contact.theirs.as_ref().map(|theirs| theirs.1.key);
        if !up || !contact.valid || theirs != Some(key) {
            return;
        }
        let told = Subscribed {
            network: self.id,
            serial: list.serial,
        };
        out.push(Action::SendIfUp(
            address,
            Message::Subscribed(told).to_vec(),
        ));
        if list.serial <= contact.groups.theirs {
            return;
        }
        contact.groups.theirs = list.serial;
        out.push(Action::Update(Update::Groups {
            network: self.id,
            address,
            groups: (!list.all).then(|| list.macs().collect()),
        }));
    }
}
