//! A relay that has more to do than it can: the heaviest sources give way, nobody else notices (max-min fairness).
//!
//! Owner: the shard of a supernode. In: bytes to be relayed, news that the kernel had to drop. Out: pass or give way.
//! Never: a limit while everything fits; a drop for a source below `limits::RELAY_SHARE_LEAST`.

use crate::limits;
use crate::time::Mono;

/// How much one source may pass in a window while there is too much to do.
#[derive(Debug, Default)]
pub(super) struct Fair {
    /// Bytes per source and window; `None`: no limit.
    line: Option<u64>,
    until: Mono,
    number: u32,
    heaviest: u64,
    overloaded: bool,
}

/// What a source has sent in the present window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    window: u32,
    bytes: u32,
}

impl Fair {
    /// The kernel has dropped datagrams that nobody had time to read.
    pub(super) const fn overloaded(&mut self) {
        self.overloaded = true;
    }

    /// Whether `len` bytes of a source may pass; counts them for it either way.
    pub(super) fn passes(&mut self, now: Mono, share: &mut Share, len: usize) -> bool {
        if now >= self.until {
            self.turn(now);
        }
        if share.window != self.number {
            *share = Share {
                window: self.number,
                bytes: 0,
            };
        }
        share.bytes = share
            .bytes
            .saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        let bytes = u64::from(share.bytes);
        self.heaviest = self.heaviest.max(bytes);
        self.line.is_none_or(|line| bytes <= line)
    }

    /// A new window: the line falls by an eighth after an overload, from what the heaviest source has sent; it rises by a
    /// sixteenth otherwise, until nobody reaches half of it.
    fn turn(&mut self, now: Mono) {
        self.line = match (self.overloaded, self.line) {
            (true, line) => {
                let reached = line.map_or(self.heaviest, |line| line.min(self.heaviest));
                Some((reached - reached / 8).max(limits::RELAY_SHARE_LEAST))
            }
            (false, Some(line)) if line / 2 < self.heaviest => Some(line + line / 16),
            (false, _) => None,
        };
        self.until = now + limits::RELAY_WINDOW;
        self.number = self.number.wrapping_add(1);
        self.heaviest = 0;
        self.overloaded = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nanoseconds.
    const WINDOW: u64 = 5_000_000;

    /// A heavy and a light source over windows; the relay carries `room` bytes per window. What each got through.
    fn contend(windows: u64, room: u64) -> (u64, u64) {
        let mut fair = Fair::default();
        let (mut heavy, mut light) = (Share::default(), Share::default());
        let (mut through, mut lost) = (0, 0);
        for window in 1..=windows {
            let mut carried = 0;
            for step in 0..100 {
                let now = Mono::from_nanos(window * WINDOW + step * WINDOW / 100);
                for _ in 0..10 {
                    if fair.passes(now, &mut heavy, 1_400) {
                        carried += 1_400;
                    }
                }
                if step % 20 == 0 && !fair.passes(now, &mut light, 1_400) {
                    lost += 1;
                }
            }
            if carried > room {
                fair.overloaded();
            }
            if window > windows / 2 {
                through += carried;
            }
        }
        (through / (windows - windows / 2), lost)
    }

    #[test]
    fn the_heaviest_source_gives_way_and_a_light_one_loses_nothing() {
        let (through, lost) = contend(400, 400_000);
        assert_eq!(lost, 0);
        assert!((330_000..420_000).contains(&through), "{through}");
    }

    #[test]
    fn without_overload_there_is_no_limit() {
        let (through, lost) = contend(50, u64::MAX);
        assert_eq!((through, lost), (1_400_000, 0));
    }

    #[test]
    fn the_limit_goes_when_the_overload_does() {
        let mut fair = Fair::default();
        let mut share = Share::default();
        let mut through = 0;
        for window in 1..=200 {
            for step in 0..100 {
                let now = Mono::from_nanos(window * WINDOW + step);
                let passes = fair.passes(now, &mut share, 14_000);
                through = if step == 0 { 0 } else { through } + u64::from(passes);
            }
            if window < 20 {
                fair.overloaded();
            }
        }
        assert_eq!(through, 100);
    }
}
