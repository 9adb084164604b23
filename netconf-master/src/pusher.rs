//! Who has to be told what, and who has heard it: hints and revocations until the member has asked.
//!
//! Owner: the program or the simulator. In: pushes, members' requests, time. Out: messages to send, the next deadline.
//! Never: a store, a socket, a clock. A member that stays silent is left alone until it asks by itself.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zt_engine::Mono;
use zt_wire::message::Hint;
use zt_wire::{Address, Message, NetworkId, Signed};

use crate::controller::Push;
use crate::limits;

/// The members that may have to be told something.
#[derive(Debug, Default)]
pub struct Pusher {
    networks: BTreeMap<NetworkId, Told>,
    members: BTreeMap<(NetworkId, Address), Listener>,
    deadlines: BTreeSet<(Mono, NetworkId, Option<Address>)>,
}

/// What a network's members were told last.
#[derive(Debug, Default)]
struct Told {
    /// Not before this may all of them be told again.
    quiet_until: Mono,
    /// What they are told then.
    waiting: Option<Announcement>,
    /// How many members are known.
    members: u32,
}

#[derive(Clone, Copy, Debug)]
struct Announcement {
    revision: u64,
    except: Option<Address>,
}

/// One member.
#[derive(Debug, Default)]
struct Listener {
    /// The newest revision that it should have.
    wanted: u64,
    /// The revision that it has.
    pulled: u64,
    /// How often it was told of the wanted one.
    told: usize,
    /// When it is told again; `None`: it has heard, or is left alone.
    due: Option<Mono>,
    /// What it has to know before it asks.
    revocations: Vec<Arc<[u8]>>,
    /// The last message did not reach it.
    silent: bool,
}

/// Messages for one member, each encoded with its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// In which network.
    pub network: NetworkId,
    /// Whom.
    pub to: Address,
    /// What.
    pub messages: Vec<Vec<u8>>,
}

impl Pusher {
    /// Nobody is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// A member of which nothing was heard yet: after a restart, from the store.
    pub fn know(&mut self, network: NetworkId, member: Address) {
        self.listener(network, member);
    }

    /// A member has asked and has `revision` now. `None`: it is no member.
    pub fn pulled(&mut self, network: NetworkId, member: Address, revision: Option<u64>) {
        let Some(revision) = revision else {
            self.forget(network, member);
            return;
        };
        let Some(listener) = self.listener(network, member) else {
            return;
        };
        listener.silent = false;
        listener.pulled = revision;
        if listener.pulled >= listener.wanted {
            listener.revocations.clear();
            listener.told = 0;
            if let Some(due) = listener.due.take() {
                self.deadlines.remove(&(due, network, Some(member)));
            }
        }
    }

    /// A message did not reach a member: until it asks, it is told only what is about itself or a revocation.
    pub fn unreachable(&mut self, network: NetworkId, member: Address) {
        if let Some(listener) = self.members.get_mut(&(network, member)) {
            listener.silent = true;
        }
    }

    /// Something has to be told; [`Pusher::due`] says to whom.
    pub fn push(&mut self, push: Push, now: Mono) {
        match push {
            Push::HintOne {
                network,
                to,
                revision,
            } => {
                self.want(network, to, revision, None, now);
            }
            Push::HintAll {
                network,
                except,
                revision,
            } => {
                self.announce(network, Announcement { revision, except }, now);
            }
            Push::RevokeAll {
                network,
                revision,
                signed,
            } => {
                for member in self.members_of(network) {
                    self.want(network, member, revision, Some(&signed), now);
                }
            }
        }
    }

    /// The next member to be told now.
    pub fn due(&mut self, now: Mono) -> Option<Telling> {
        loop {
            let (at, network, member) = self.deadlines.first().copied()?;
            if at > now {
                return None;
            }
            self.deadlines.pop_first();
            match member {
                None => {
                    let waiting = self
                        .networks
                        .get_mut(&network)
                        .and_then(|told| told.waiting.take());
                    if let Some(announcement) = waiting {
                        self.announce(network, announcement, now);
                    }
                }
                Some(to) => {
                    if let Some(telling) = self.tell(network, to, now) {
                        return Some(telling);
                    }
                }
            }
        }
    }

    /// When [`Pusher::due`] has something next.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadlines.first().map(|(at, _, _)| *at)
    }

    /// Tells all members now, or once the last announcement is long enough ago: a thousand joins are not a million hints.
    fn announce(&mut self, network: NetworkId, announcement: Announcement, now: Mono) {
        let told = self.networks.entry(network).or_default();
        if now < told.quiet_until {
            let before = told.waiting.replace(Announcement {
                revision: announcement
                    .revision
                    .max(told.waiting.map_or(0, |w| w.revision)),
                // Who was left out of one may have to hear the other.
                except: told.waiting.map_or(announcement.except, |w| {
                    w.except
                        .filter(|member| announcement.except == Some(*member))
                }),
            });
            if before.is_none() {
                self.deadlines.insert((told.quiet_until, network, None));
            }
            return;
        }
        let pause = SPACING + SPACING_PER_MEMBER * told.members;
        told.quiet_until = now + pause.min(SPACING_LONGEST);
        for member in self.members_of(network) {
            let silent = self
                .members
                .get(&(network, member))
                .is_none_or(|listener| listener.silent);
            if announcement.except != Some(member) && !silent {
                self.want(network, member, announcement.revision, None, now);
            }
        }
    }

    fn want(
        &mut self,
        network: NetworkId,
        member: Address,
        revision: u64,
        revocation: Option<&Arc<[u8]>>,
        now: Mono,
    ) {
        let Some(listener) = self.listener(network, member) else {
            return;
        };
        if revision <= listener.pulled {
            return;
        }
        listener.wanted = listener.wanted.max(revision);
        listener.told = 0;
        listener.revocations.extend(revocation.cloned());
        let old = listener.due.replace(now);
        if let Some(old) = old {
            self.deadlines.remove(&(old, network, Some(member)));
        }
        self.deadlines.insert((now, network, Some(member)));
    }

    fn tell(&mut self, network: NetworkId, to: Address, now: Mono) -> Option<Telling> {
        let listener = self.members.get_mut(&(network, to))?;
        listener.due = None;
        let mut messages: Vec<Vec<u8>> = listener
            .revocations
            .iter()
            .filter_map(|signed| Signed::parse(signed).ok())
            .map(|signed| Message::Revocation(signed).to_vec())
            .collect();
        let hint = Hint {
            network,
            revision: listener.wanted,
        };
        messages.push(Message::Hint(hint).to_vec());
        if let Some(pause) = REPEATS.get(listener.told) {
            listener.told += 1;
            let next = now + *pause;
            listener.due = Some(next);
            self.deadlines.insert((next, network, Some(to)));
        } else {
            // Told often enough: it gets everything with its next own request.
            listener.told = 0;
            listener.revocations.clear();
        }
        Some(Telling {
            network,
            to,
            messages,
        })
    }

    fn members_of(&self, network: NetworkId) -> Vec<Address> {
        let all = self.members.range((network, LOWEST)..);
        all.take_while(|((of, _), _)| *of == network)
            .map(|((_, member), _)| *member)
            .collect()
    }

    fn listener(&mut self, network: NetworkId, member: Address) -> Option<&mut Listener> {
        let full = self.members.len() >= limits::PUSHED_MEMBERS;
        match self.members.entry((network, member)) {
            std::collections::btree_map::Entry::Occupied(entry) => Some(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(_) if full => None,
            std::collections::btree_map::Entry::Vacant(entry) => {
                self.networks.entry(network).or_default().members += 1;
                Some(entry.insert(Listener::default()))
            }
        }
    }

    fn forget(&mut self, network: NetworkId, member: Address) {
        let Some(listener) = self.members.remove(&(network, member)) else {
            return;
        };
        if let Some(due) = listener.due {
            self.deadlines.remove(&(due, network, Some(member)));
        }
        if let Some(told) = self.networks.get_mut(&network) {
            told.members -= 1;
        }
    }
}

/// Below every address that a member can have: `00000000 01`.
const LOWEST: Address = match Address::from_bytes([0, 0, 0, 0, 1]) {
    Ok(address) => address,
    Err(_) => unreachable!(),
};

/// Pauses between tellings of one member: a lost datagram is made good well within the 5 s that a revocation may take.
const REPEATS: [Duration; 4] = [
    Duration::from_millis(700),
    Duration::from_millis(1300),
    Duration::from_secs(2),
    Duration::from_secs(6),
];
/// Pause between announcements to all, for a small network.
const SPACING: Duration = Duration::from_millis(50);
/// What each member adds to it: an answer costs the controller about half of this.
const SPACING_PER_MEMBER: Duration = Duration::from_millis(1);
/// The longest.
const SPACING_LONGEST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> NetworkId {
        "0123456789000001".parse().unwrap()
    }

    fn member(number: u8) -> Address {
        Address::from_bytes([1, 0, 0, 0, number]).unwrap()
    }

    fn at(millis: u64) -> Mono {
        Mono::ZERO + Duration::from_millis(millis)
    }

    fn hint_all(revision: u64, except: Option<Address>) -> Push {
        Push::HintAll {
            network: network(),
            except,
            revision,
        }
    }

    /// Everything told up to `until`, as (millis, member).
    fn told(pusher: &mut Pusher, until: u64) -> Vec<(u64, Address)> {
        let mut all = Vec::new();
        while let Some(next) = pusher.next_deadline().filter(|next| *next <= at(until)) {
            while let Some(telling) = pusher.due(next) {
                all.push((
                    u64::try_from(next.since(Mono::ZERO).as_millis()).unwrap(),
                    telling.to,
                ));
            }
        }
        all
    }

    #[test]
    fn a_member_is_told_until_it_has_asked() {
        let mut pusher = Pusher::new();
        pusher.push(
            Push::HintOne {
                network: network(),
                to: member(1),
                revision: 5,
            },
            at(0),
        );
        assert_eq!(told(&mut pusher, 800), [(0, member(1)), (700, member(1))]);
        pusher.pulled(network(), member(1), Some(5));
        assert_eq!(told(&mut pusher, 60_000), []);
    }

    #[test]
    fn a_member_that_asked_with_an_older_revision_is_told_on() {
        let mut pusher = Pusher::new();
        pusher.push(
            Push::HintOne {
                network: network(),
                to: member(1),
                revision: 5,
            },
            at(0),
        );
        assert_eq!(told(&mut pusher, 0).len(), 1);
        pusher.pulled(network(), member(1), Some(4));
        assert_eq!(told(&mut pusher, 700).len(), 1);
    }

    #[test]
    fn a_member_that_never_answers_is_left_alone_after_five_tellings() {
        let mut pusher = Pusher::new();
        pusher.push(
            Push::HintOne {
                network: network(),
                to: member(1),
                revision: 5,
            },
            at(0),
        );
        assert_eq!(told(&mut pusher, 3_600_000).len(), 5);
        assert_eq!(pusher.next_deadline(), None);
    }

    #[test]
    fn an_announcement_reaches_all_but_the_one_who_knows() {
        let mut pusher = Pusher::new();
        for number in 1..=3 {
            pusher.pulled(network(), member(number), Some(1));
        }
        pusher.push(hint_all(2, Some(member(2))), at(0));
        assert_eq!(told(&mut pusher, 0), [(0, member(1)), (0, member(3))]);
    }

    #[test]
    fn announcements_in_quick_succession_are_one_and_leave_nobody_out() {
        let mut pusher = Pusher::new();
        for number in 1..=3 {
            pusher.pulled(network(), member(number), Some(1));
        }
        pusher.push(hint_all(2, None), at(0));
        assert_eq!(told(&mut pusher, 0).len(), 3);
        for number in 1..=3 {
            pusher.pulled(network(), member(number), Some(2));
        }
        pusher.push(hint_all(3, Some(member(1))), at(1));
        pusher.push(hint_all(4, Some(member(2))), at(2));
        let after = told(&mut pusher, 100);
        assert_eq!(after.len(), 3, "{after:?}");
        assert!(after.iter().all(|(when, _)| *when == 53), "{after:?}");
    }

    #[test]
    fn a_revocation_is_repeated_until_heard_even_to_the_silent() {
        let mut pusher = Pusher::new();
        pusher.pulled(network(), member(1), Some(1));
        pusher.unreachable(network(), member(1));
        pusher.push(hint_all(2, None), at(0));
        assert_eq!(told(&mut pusher, 0), [], "a hint waits until it asks");
        let signed: Arc<[u8]> = Arc::from([7; 100]);
        pusher.push(
            Push::RevokeAll {
                network: network(),
                revision: 3,
                signed,
            },
            at(1),
        );
        let first = pusher.due(at(1)).unwrap();
        assert_eq!(first.messages.len(), 2, "the revocation and a hint");
        let again = pusher.due(at(701)).unwrap();
        assert_eq!(again.messages, first.messages);
        pusher.pulled(network(), member(1), Some(3));
        assert_eq!(pusher.next_deadline(), None);
    }

    #[test]
    fn who_is_no_member_any_more_is_forgotten() {
        let mut pusher = Pusher::new();
        pusher.pulled(network(), member(1), Some(1));
        pusher.push(hint_all(2, None), at(0));
        pusher.pulled(network(), member(1), None);
        assert_eq!(told(&mut pusher, 60_000), []);
    }
}
