//! The two times the engine knows, both given from outside.
//!
//! Owner: nobody; plain values. In: the driver's or the simulator's clock. Out: comparisons and sums.
//! Never: a clock.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment on the monotonic clock that counts suspended time (`CLOCK_BOOTTIME`), in nanoseconds since its start. One more
/// is kept, so that the many `Option<Mono>` of a peer take no more room than a `Mono`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(NonZeroU64);

impl Mono {
    /// The start of the clock.
    pub const ZERO: Self = Self(NonZeroU64::MIN);

    /// The moment `nanos` nanoseconds after the clock's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Mono {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self::from_nanos(self.as_nanos().saturating_sub(span))
    }
}

impl fmt::Debug for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:09}s",
            self.as_nanos() / 1_000_000_000,
            self.as_nanos() % 1_000_000_000
        )
    }
}

/// Seconds since 1970-01-01 UTC. For people and logs only: nothing in the protocol depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Unix(pub u64);

/// The present, as the driver or the simulator says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// The monotonic clock.
    pub mono: Mono,
    /// The wall clock.
    pub unix: Unix,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_count_from_zero_and_stop_at_both_ends() {
        let second = Duration::from_secs(1);
        assert_eq!(Mono::ZERO.as_nanos(), 0);
        assert_eq!(Mono::from_nanos(7).as_nanos(), 7);
        assert_eq!((Mono::ZERO + second).since(Mono::ZERO), second);
        assert_eq!(Mono::from_nanos(7) - second, Mono::ZERO);
        assert_eq!(
            Mono::from_nanos(u64::MAX) + second,
            Mono::from_nanos(u64::MAX)
        );
        assert_eq!(size_of::<Option<Mono>>(), size_of::<Mono>());
    }
}
