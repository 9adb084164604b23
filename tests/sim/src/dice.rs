//! Chance as a function: the same seed and question, the same answer, whatever was asked before.
//!
//! Owner: nobody. In: a seed and who asks. Out: numbers. Never: state that one question leaves for another.

use core::time::Duration;

/// Answers that follow from a seed.
#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a run.
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// Other dice that follow from these, for one purpose, pair or datagram.
    #[must_use]
    pub const fn on(self, what: u64) -> Self {
        Self(mix(self.0 ^ mix(what)))
    }

    /// A number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// A number below `end`, which is not zero.
    pub const fn below(self, end: u64) -> u64 {
        self.0 % end
    }

    /// True in `per_mille` of 1,000 cases.
    pub const fn hits(self, per_mille: u32) -> bool {
        self.0 % 1000 < per_mille as u64
    }

    /// A span between two.
    pub fn span(self, least: Duration, most: Duration) -> Duration {
        let width = most.saturating_sub(least).as_nanos().max(1);
        // Spans of the simulator are far below 2^64 ns.
        least + Duration::from_nanos(self.below(u64::try_from(width).unwrap_or(u64::MAX)))
    }

    /// 32 bytes, for a node that needs a seed of its own.
    pub fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (at, chunk) in (0..).zip(bytes.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&self.on(at).number().to_le_bytes());
        }
        bytes
    }
}

/// The finalizer of `SplitMix64`.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_has_the_same_answer() {
        assert_eq!(Dice::new(7).on(3).number(), Dice::new(7).on(3).number());
        assert_ne!(Dice::new(7).on(3).number(), Dice::new(8).on(3).number());
        assert_ne!(Dice::new(7).on(3).number(), Dice::new(7).on(4).number());
    }

    #[test]
    fn a_tenth_is_about_a_tenth() {
        let hits = (0..10_000)
            .filter(|at| Dice::new(1).on(*at).hits(100))
            .count();
        assert!((900..1100).contains(&hits), "{hits}");
    }
}
