//! Stations behind bridging members, learned from the frames they send.
//!
//! Owner: a network's table. In: source MACs of frames that passed the gates. Out: the member to send to.
//! Never: more than the limits say, one member's share included; an entry past its age.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use zt_wire::{Address, Mac};

use crate::limits;
use crate::time::Mono;

/// Which member a station is behind.
#[derive(Debug)]
pub(super) struct Learned {
    stations: HashMap<Mac, (Address, Mono), FixedState>,
    per_member: HashMap<Address, usize, FixedState>,
    swept: Mono,
}

impl Learned {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            stations: HashMap::with_hasher(FixedState::with_seed(seed)),
            per_member: HashMap::with_hasher(FixedState::with_seed(seed)),
            swept: Mono::ZERO,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.stations.len()
    }

    /// A frame from this station came from this member: it is there now, wherever it was before.
    pub(super) fn learn(&mut self, now: Mono, station: Mac, member: Address) {
        if let Some(found) = self.stations.get_mut(&station) {
            let former = core::mem::replace(found, (member, now)).0;
            if former != member {
                self.less(former);
                *self.per_member.entry(member).or_insert(0) += 1;
            }
            return;
        }
        let share = self.per_member.get(&member).copied().unwrap_or(0);
        if (self.stations.len() >= limits::LEARNED || share >= limits::LEARNED_PER_MEMBER)
            && !self.sweep(now)
        {
            return;
        }
        self.stations.insert(station, (member, now));
        *self.per_member.entry(member).or_insert(0) += 1;
    }

    /// The member this station was last seen behind.
    pub(super) fn find(&self, now: Mono, station: Mac) -> Option<Address> {
        let &(member, seen) = self.stations.get(&station)?;
        (now.since(seen) < limits::LEARNED_FOR).then_some(member)
    }

    pub(super) fn forget(&mut self, member: Address) {
        if self.per_member.remove(&member).is_some() {
            self.stations.retain(|_, (behind, _)| *behind != member);
        }
    }

    /// Drops what is too old, at most once a second; tells whether there was any.
    fn sweep(&mut self, now: Mono) -> bool {
        if now.since(self.swept) < core::time::Duration::from_secs(1) {
            return false;
        }
        self.swept = now;
        let before = self.stations.len();
        let per_member = &mut self.per_member;
        self.stations.retain(|_, (member, seen)| {
            let keep = now.since(*seen) < limits::LEARNED_FOR;
            if !keep && let Some(count) = per_member.get_mut(member) {
                *count -= 1;
            }
            keep
        });
        self.stations.len() < before
    }

    fn less(&mut self, member: Address) {
        if let Some(count) = self.per_member.get_mut(&member) {
            *count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn station(number: u32) -> Mac {
        let [a, b, c, d] = number.to_be_bytes();
        Mac::from_bytes([0x52, 0x54, a, b, c, d])
    }

    fn member(number: u64) -> Address {
        let [_, _, _, a, b, c, d, e] = (0x10_0000_0000 + number).to_be_bytes();
        Address::from_bytes([a, b, c, d, e]).unwrap()
    }

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_station_that_moves_is_found_at_its_new_place() {
        let mut learned = Learned::new(1);
        learned.learn(at(0), station(1), member(1));
        learned.learn(at(1), station(1), member(2));
        assert_eq!(learned.find(at(2), station(1)), Some(member(2)));
        learned.forget(member(1));
        assert_eq!(learned.find(at(2), station(1)), Some(member(2)));
    }

    #[test]
    fn a_silent_station_is_forgotten() {
        let mut learned = Learned::new(1);
        learned.learn(at(0), station(1), member(1));
        assert_eq!(learned.find(at(299), station(1)), Some(member(1)));
        assert_eq!(learned.find(at(300), station(1)), None);
    }

    #[test]
    fn one_member_cannot_fill_the_table() {
        let mut learned = Learned::new(1);
        for number in 0..20_000 {
            learned.learn(at(5), station(number), member(1));
        }
        assert_eq!(learned.len(), limits::LEARNED_PER_MEMBER);
        learned.learn(at(5), station(30_000), member(2));
        assert_eq!(learned.find(at(5), station(30_000)), Some(member(2)));
    }
}
