//! How many frames for everybody one member may cause: a budget of frames and bytes per second.
//!
//! Owner: whoever the budget is for. In: the time, a frame's length. Out: whether it still fits.
//! Never: a frame with one known receiver.

use crate::limits;
use crate::time::Mono;

/// One budget: when each of its two parts would be whole again, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    frames: u64,
    bytes: u64,
}

const SECOND: u64 = 1_000_000_000;
const PER_FRAME: u64 = SECOND / limits::STORM_FRAMES;
const PER_BYTE: u64 = SECOND / limits::STORM_BYTES;
const SAVED: u64 = limits::STORM_SAVED * SECOND;

impl Budget {
    /// Takes `frames` of `bytes` in all; `false`: they are too much, and nothing was taken.
    pub(super) fn take(&mut self, now: Mono, frames: u64, bytes: usize) -> bool {
        let now = now.as_nanos();
        let after = |part: u64, cost: u64| part.max(now).saturating_add(cost);
        let frames = after(self.frames, frames * PER_FRAME);
        let bytes = after(self.bytes, bytes as u64 * PER_BYTE);
        if frames.max(bytes) - now > SAVED {
            return false;
        }
        *self = Self { frames, bytes };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(span: u64, each: u64, len: usize) -> u64 {
        let mut budget = Budget::default();
        let sent = (0..span * SECOND).step_by(usize::try_from(each).unwrap());
        sent.map(|at| u64::from(budget.take(Mono::from_nanos(SECOND + at), 1, len)))
            .sum()
    }

    #[test]
    fn a_storm_of_small_frames_stays_within_the_frames() {
        // 20,000 a second for 10 s: what was saved up, and 2,000 a second.
        let passed = passed(10, 50_000, 60);
        assert!((23_900..=24_100).contains(&passed), "{passed}");
    }

    #[test]
    fn a_storm_of_large_frames_stays_within_the_bytes() {
        let passed = passed(10, 50_000, 1_500) * 1_500;
        assert!((29_900_000..=30_100_000).contains(&passed), "{passed}");
    }

    #[test]
    fn what_is_within_the_budget_never_waits() {
        assert_eq!(passed(20, 500_000, 1_200), 40_000);
    }

    #[test]
    fn a_burst_of_two_seconds_passes_whole() {
        let mut budget = Budget::default();
        let now = Mono::from_nanos(7 * SECOND);
        assert!((0..4_000).all(|_| budget.take(now, 1, 200)));
        assert!(!budget.take(now, 1, 200));
    }
}
