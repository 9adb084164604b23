//! Which counters of a session have been opened: the last 8,192, one bit each.
//!
//! Owner: a session's receiving half. In: counters, `commit` only after the tag was right.
//! Out: fresh or not. Never: an allocation, a counter accepted twice.

/// Counters remembered behind the highest one, in bits (SPEC §5.4).
pub const WINDOW: u64 = 8192;

const WORDS: usize = 128;
const _: () = assert!(WORDS as u64 * 64 == WINDOW);

/// The replay window of one receiving key: 1 KiB.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    /// One more than the highest counter committed; 0 before the first.
    next: u64,
    /// Bit `counter % WINDOW` says whether `counter` was committed, for the counters in the window.
    seen: [u64; WORDS],
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
            seen: [0; WORDS],
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
        if self.seen[word] & bit == 0 {
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
            self.forget_until(counter);
            self.next = counter + 1;
        }
        let (word, bit) = place(counter);
        self.seen[word] |= bit;
    }

    /// One more than the highest counter committed; 0 before the first.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Clears the places of the counters `next..=counter`, which the counters one window before them occupied.
    fn forget_until(&mut self, counter: u64) {
        if counter - self.next >= WINDOW {
            self.seen = [0; WORDS];
            return;
        }
        let mut at = self.next;
        while at <= counter {
            let (word, bit) = place(at);
            if at.is_multiple_of(64) && counter - at >= 63 {
                self.seen[word] = 0;
                at += 64;
            } else {
                self.seen[word] &= !bit;
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
