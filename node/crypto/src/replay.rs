//! Which counters of a session have been opened: the last 8,192, one bit each.
//!
//! Owner: a session's receiving half. In: counters, `commit` only after the tag was right.
//! Out: fresh or not. Never: an allocation but one per key, when it leaves the first few counters; a counter accepted twice.

/// Counters remembered behind the highest one, in bits (SPEC §5.4).
pub const WINDOW: u64 = 8192;

const WORDS: usize = 128;
const _: () = assert!(WORDS as u64 * 64 == WINDOW);

/// Counters that a key may reach before its window takes its whole room. Most keys of a node that has many peers end before.
const FEW: u64 = 128;

/// The replay window of one receiving key: 1 KiB, once more than [`FEW`] counters were used.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    /// One more than the highest counter committed; 0 before the first.
    next: u64,
    /// Bit `counter % WINDOW` says whether `counter` was committed, for the counters in the window.
    seen: Seen,
}

#[derive(Clone, Debug)]
enum Seen {
    /// `next` is at most [`FEW`].
    Few([u64; (FEW / 64) as usize]),
    All(Box<[u64; WORDS]>),
}

impl Seen {
    #[inline]
    fn words(&self) -> &[u64] {
        match self {
            Self::Few(words) => words,
            Self::All(words) => words.as_slice(),
        }
    }

    #[inline]
    fn words_mut(&mut self) -> &mut [u64] {
        match self {
            Self::Few(words) => words,
            Self::All(words) => words.as_mut_slice(),
        }
    }

    #[cold]
    fn widen(&mut self) {
        if let Self::Few(few) = self {
            let mut words = Box::new([0; WORDS]);
            words[..few.len()].copy_from_slice(few);
            *self = Self::All(words);
        }
    }
}

/// Why a counter is not fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// It was committed before.
    Replayed,
    /// It lies behind the window, where nothing is remembered.
    TooOld,
    /// No sender ever gets so far: keys end after 2^48 datagrams.
    Exhausted,
}

impl core::fmt::Display for Stale {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Replayed => "the counter was used before",
            Self::TooOld => "the counter lies behind the replay window",
            Self::Exhausted => "the counter is beyond what one key may seal",
        })
    }
}

impl core::error::Error for Stale {}

impl ReplayWindow {
    /// A window that has seen nothing.
    pub const fn new() -> Self {
        Self {
            next: 0,
            seen: Seen::Few([0; (FEW / 64) as usize]),
        }
    }

    /// Whether `counter` may be opened; changes nothing, so it can run before the tag is known to be right.
    ///
    /// # Errors
    /// [`Stale`] for a counter that was committed or that cannot be told from one.
    #[inline]
    pub fn check(&self, counter: u64) -> Result<(), Stale> {
        if counter >= super::suites::MOST_DATAGRAMS {
            return Err(Stale::Exhausted);
        }
        if counter >= self.next {
            return Ok(());
        }
        if self.next - counter > WINDOW {
            return Err(Stale::TooOld);
        }
        let (word, bit) = place(counter);
        if self.seen.words()[word] & bit == 0 {
            Ok(())
        } else {
            Err(Stale::Replayed)
        }
    }

    /// Remembers `counter` as used. To be called once its datagram has been opened.
    #[inline]
    pub fn commit(&mut self, counter: u64) {
        debug_assert_eq!(self.check(counter), Ok(()), "commit follows check");
        if counter >= self.next {
            if counter >= FEW {
                self.seen.widen();
            }
            self.forget_until(counter);
            self.next = counter + 1;
        }
        let (word, bit) = place(counter);
        self.seen.words_mut()[word] |= bit;
    }

    /// One more than the highest counter committed; 0 before the first.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Clears the places of the counters `next..=counter`, which the counters one window before them occupied.
    fn forget_until(&mut self, counter: u64) {
        let mut at = self.next;
        let seen = self.seen.words_mut();
        if counter - at >= WINDOW {
            seen.fill(0);
            return;
        }
        while at <= counter {
            let (word, bit) = place(at);
            if at.is_multiple_of(64) && counter - at >= 63 {
                seen[word] = 0;
                at += 64;
            } else {
                seen[word] &= !bit;
                at += 1;
            }
        }
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

const fn place(counter: u64) -> (usize, u64) {
    let index = counter % WINDOW;
    ((index / 64) as usize, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_counter_is_fresh_once() {
        let mut window = ReplayWindow::new();
        assert_eq!(window.check(0), Ok(()));
        window.commit(0);
        assert_eq!(window.check(0), Err(Stale::Replayed));
        assert_eq!(window.check(1), Ok(()));
    }

    #[test]
    fn what_was_used_before_the_window_took_its_room_stays_used() {
        let mut window = ReplayWindow::new();
        window.commit(3);
        window.commit(FEW - 1);
        window.commit(FEW);
        assert_eq!(window.check(3), Err(Stale::Replayed));
        assert_eq!(window.check(FEW - 1), Err(Stale::Replayed));
        assert_eq!(window.check(4), Ok(()));
    }

    #[test]
    fn the_window_is_exactly_8192_wide() {
        let mut window = ReplayWindow::new();
        window.commit(20_000);
        assert_eq!(window.check(20_000 - 8191), Ok(()));
        assert_eq!(window.check(20_000 - 8192), Err(Stale::TooOld));
    }

    #[test]
    fn a_jump_by_one_window_forgets_what_shared_its_place() {
        let mut window = ReplayWindow::new();
        window.commit(5);
        window.commit(5 + 8191);
        assert_eq!(window.check(5), Err(Stale::Replayed));
        window.commit(5 + 8192);
        assert_eq!(window.check(5), Err(Stale::TooOld));
        assert_eq!(window.check(6), Ok(()));
    }

    #[test]
    fn a_counter_that_no_key_reaches_is_refused() {
        assert_eq!(ReplayWindow::new().check(u64::MAX), Err(Stale::Exhausted));
        assert_eq!(ReplayWindow::new().check(1 << 48), Err(Stale::Exhausted));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_all_counters(
            steps in prop::collection::vec((0u64..40_000, prop_oneof![Just(1u64), Just(64), Just(8191), Just(8192), 0u64..9000]), 1..300)
        ) {
            let mut window = ReplayWindow::new();
            let mut all = BTreeSet::new();
            let mut base = 0;
            for (spread, advance) in steps {
                base += advance;
                for counter in [base, base.saturating_sub(spread), base + spread % 70] {
                    let fresh = !all.contains(&counter)
                        && all.last().is_none_or(|highest| counter + WINDOW > *highest);
                    prop_assert_eq!(window.check(counter).is_ok(), fresh, "counter {}", counter);
                    if fresh {
                        window.commit(counter);
                        all.insert(counter);
                    }
                }
            }
        }
    }
}
