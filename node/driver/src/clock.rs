//! The driver's clock: the only place where the present comes from.
//!
//! Owner: nobody. In: the kernel's clocks. Out: `Now`.
//! Never: a clock that stands still while the machine sleeps (keys and NAT mappings age then, too).

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};
use zt_engine::{Mono, Now, Unix};

/// The present.
pub fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        mono: mono(),
        unix: Unix(since_epoch.map_or(0, |span| span.as_secs())),
    }
}

/// The present on `CLOCK_BOOTTIME`.
pub fn mono() -> Mono {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(tv_sec).unwrap_or(0);
    let nanos = u64::try_from(tv_nsec).unwrap_or(0);
    Mono::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// A moment as the kernel's timers take it.
pub fn timespec(moment: Mono) -> Timespec {
    let nanos = moment.as_nanos();
    Timespec {
        tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
        // A remainder of 10^9 always fits.
        tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_run_backwards() {
        let before = mono();
        let after = mono();
        assert!(after >= before);
        assert!(before > Mono::ZERO);
    }

    #[test]
    fn a_moment_keeps_its_nanoseconds() {
        let spec = timespec(Mono::from_nanos(3_000_000_007));
        assert_eq!((spec.tv_sec, spec.tv_nsec), (3, 7));
    }
}
