//! Where stations are that are no members: behind our own device, or behind a bridging member.
//!
//! Owner: a network's table. In: source MACs of frames that passed the gates. Out: the place, or that a station flaps.
//! Never: more than the limits say, one place's share included; an entry past its age.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use zt_wire::{Address, Mac};

use crate::limits;
use crate::time::Mono;

/// Where a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// Behind our own device.
    Here,
    /// Behind this member.
    Behind(Address),
}

/// The station has moved too often and is held elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flaps;

/// Which station is where.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    /// Other workers want to know where stations are.
    pub(super) tells: bool,
    stations: HashMap<Mac, Station, FixedState>,
    shares: HashMap<Place, usize, FixedState>,
    swept: Mono,
}

#[derive(Clone, Debug)]
struct Station {
    place: Place,
    seen: Mono,
    /// When the other workers last heard of it.
    told: Mono,
    /// Moves since then.
    moves: u8,
    since: Mono,
    /// Stays where it is until then.
    held: Mono,
}

impl Learned {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            tells: false,
            stations: HashMap::with_hasher(FixedState::with_seed(seed)),
            shares: HashMap::with_hasher(FixedState::with_seed(seed)),
            swept: Mono::ZERO,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.stations.len()
    }

    /// A frame from this station came from this place: it is there now, wherever it was before. Returns whether the
    /// other workers are to be told.
    ///
    /// # Errors
    /// [`Flaps`]: it is held where it was, and this frame comes from elsewhere.
    pub(super) fn learn(&mut self, now: Mono, mac: Mac, place: Place) -> Result<bool, Flaps> {
        if let Some(station) = self.stations.get_mut(&mac) {
            let former = station.place;
            if former == place {
                station.seen = now;
                return Ok(self.tells && station.retold(now));
            }
            station.move_to(now, place)?;
            station.told = now;
            self.less(former);
            *self.shares.entry(place).or_insert(0) += 1;
            return Ok(self.tells);
        }
        Ok(self.add(now, mac, place) && self.tells)
    }

    /// Another worker has seen this station there.
    pub(super) fn hear(&mut self, now: Mono, mac: Mac, place: Place) {
        let Some(station) = self.stations.get_mut(&mac) else {
            self.add(now, mac, place);
            return;
        };
        let former = core::mem::replace(&mut station.place, place);
        (station.seen, station.told) = (now, now);
        if former != place {
            self.less(former);
            *self.shares.entry(place).or_insert(0) += 1;
        }
    }

    /// A station not known before; whether there was room.
    fn add(&mut self, now: Mono, mac: Mac, place: Place) -> bool {
        let share = self.shares.get(&place).copied().unwrap_or(0);
        if (self.stations.len() >= limits::LEARNED || share >= limits::LEARNED_PER_MEMBER)
            && !self.sweep(now)
        {
            return false;
        }
        self.stations.insert(mac, Station::new(now, place));
        *self.shares.entry(place).or_insert(0) += 1;
        true
    }

    /// Where this station was last seen.
    pub(super) fn find(&self, now: Mono, mac: Mac) -> Option<Place> {
        let station = self.stations.get(&mac)?;
        (now.since(station.seen) < limits::LEARNED_FOR).then_some(station.place)
    }

    /// Nothing is at this place any more.
    pub(super) fn forget(&mut self, place: Place) {
        if self.shares.remove(&place).is_some() {
            self.stations.retain(|_, station| station.place != place);
        }
    }

    /// Nothing is known any more.
    pub(super) fn clear(&mut self) {
        self.stations.clear();
        self.shares.clear();
    }

    /// Drops what is too old, at most once a second; tells whether there was any.
    fn sweep(&mut self, now: Mono) -> bool {
        if now.since(self.swept) < core::time::Duration::from_secs(1) {
            return false;
        }
        self.swept = now;
        let before = self.stations.len();
        let shares = &mut self.shares;
        self.stations.retain(|_, station| {
            let keep = now.since(station.seen) < limits::LEARNED_FOR;
            if !keep && let Some(count) = shares.get_mut(&station.place) {
                *count -= 1;
            }
            keep
        });
        self.stations.len() < before
    }

    fn less(&mut self, place: Place) {
        if let Some(count) = self.shares.get_mut(&place) {
            *count -= 1;
        }
    }
}

impl Station {
    const fn new(now: Mono, place: Place) -> Self {
        Self {
            place,
            seen: now,
            told: now,
            moves: 0,
            since: now,
            held: Mono::ZERO,
        }
    }

    /// Whether the other workers are to hear again that it is still there, before they forget it.
    fn retold(&mut self, now: Mono) -> bool {
        let due = now.since(self.told) >= limits::LEARNED_FOR / 4;
        if due {
            self.told = now;
        }
        due
    }

    fn move_to(&mut self, now: Mono, place: Place) -> Result<(), Flaps> {
        if now < self.held {
            return Err(Flaps);
        }
        if now.since(self.since) >= limits::FLAP_WITHIN {
            self.since = now;
            self.moves = 0;
        }
        self.moves += 1;
        if self.moves > limits::FLAP_MOVES {
            self.held = now + limits::FLAP_HOLD;
            self.moves = 0;
            return Err(Flaps);
        }
        self.place = place;
        self.seen = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn station(number: u32) -> Mac {
        let [a, b, c, d] = number.to_be_bytes();
        Mac::from_bytes([0x52, 0x54, a, b, c, d])
    }

    fn member(number: u64) -> Place {
        let [_, _, _, a, b, c, d, e] = (0x10_0000_0000 + number).to_be_bytes();
        Place::Behind(Address::from_bytes([a, b, c, d, e]).unwrap())
    }

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn one_frame_is_enough_for_a_station_to_be_found_at_its_new_place() {
        let mut learned = Learned::new(1);
        for (second, place) in [(0, member(1)), (1, member(2)), (2, Place::Here)] {
            assert_eq!(learned.learn(at(second), station(1), place), Ok(false));
            assert_eq!(learned.find(at(second), station(1)), Some(place));
        }
        learned.forget(member(1));
        learned.forget(member(2));
        assert_eq!(learned.find(at(2), station(1)), Some(Place::Here));
    }

    #[test]
    fn a_silent_station_is_forgotten() {
        let mut learned = Learned::new(1);
        learned.learn(at(0), station(1), member(1)).unwrap();
        assert_eq!(learned.find(at(299), station(1)), Some(member(1)));
        assert_eq!(learned.find(at(300), station(1)), None);
    }

    #[test]
    fn one_member_cannot_fill_the_table() {
        let mut learned = Learned::new(1);
        for number in 0..20_000 {
            learned.learn(at(5), station(number), member(1)).unwrap();
        }
        assert_eq!(learned.len(), limits::LEARNED_PER_MEMBER);
        learned.learn(at(5), station(30_000), member(2)).unwrap();
        assert_eq!(learned.find(at(5), station(30_000)), Some(member(2)));
    }

    #[test]
    fn a_station_that_flaps_is_held_where_it_is_and_then_moves_again() {
        let mut learned = Learned::new(1);
        learned.learn(at(0), station(1), member(0)).unwrap();
        for number in 1..=5 {
            assert_eq!(learned.learn(at(1), station(1), member(number)), Ok(false));
        }
        assert_eq!(learned.learn(at(2), station(1), member(6)), Err(Flaps));
        assert_eq!(learned.find(at(2), station(1)), Some(member(5)));
        assert_eq!(learned.learn(at(3), station(1), member(5)), Ok(false));
        assert_eq!(learned.learn(at(11), station(1), member(7)), Err(Flaps));
        assert_eq!(learned.learn(at(12), station(1), member(7)), Ok(false));
        assert_eq!(learned.find(at(12), station(1)), Some(member(7)));
    }

    #[test]
    fn a_station_that_moves_now_and_then_is_never_held() {
        let mut learned = Learned::new(1);
        for number in 0..100 {
            let moved = learned.learn(at(3 * number), station(1), member(number));
            assert_eq!(
                moved,
                Ok(false),
                "after {number} moves, one in three seconds"
            );
        }
    }

    #[test]
    fn other_workers_hear_of_what_is_new_moved_or_long_untold() {
        let mut learned = Learned::new(1);
        learned.tells = true;
        assert_eq!(learned.learn(at(0), station(1), member(1)), Ok(true));
        assert_eq!(learned.learn(at(1), station(1), member(1)), Ok(false));
        assert_eq!(learned.learn(at(2), station(1), member(2)), Ok(true));
        assert_eq!(learned.learn(at(76), station(1), member(2)), Ok(false));
        assert_eq!(learned.learn(at(77), station(1), member(2)), Ok(true));
        learned.hear(at(100), station(1), Place::Here);
        assert_eq!(learned.find(at(100), station(1)), Some(Place::Here));
        assert_eq!(learned.learn(at(174), station(1), Place::Here), Ok(false));
        learned.forget(Place::Here);
        assert_eq!(learned.len(), 0);
    }

    #[test]
    fn a_place_that_is_forgotten_holds_nobody() {
        let mut learned = Learned::new(1);
        for number in 0..7 {
            let _ = learned.learn(at(1), station(1), member(number));
        }
        assert_eq!(learned.learn(at(2), station(1), Place::Here), Err(Flaps));
        learned.forget(member(5));
        assert_eq!(learned.learn(at(2), station(1), Place::Here), Ok(false));
    }
}
