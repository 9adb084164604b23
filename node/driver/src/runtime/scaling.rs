//! How many workers share the sessions: one, until more have been measured to move more.
//!
//! Owner: the node's worker. In: once a second, how busy the workers and the machine are and what was moved. Out: a number.
//! Never: a worker kept that brought nothing; a trial while the machine has nothing to spare.

use std::time::Duration;

use zt_engine::Mono;

/// What was measured since the last look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// When.
    pub now: Mono,
    /// Processors that the workers with sessions have kept busy, on average.
    pub busy: f64,
    /// Processors of the machine that had nothing to do, on average.
    pub idle: f64,
    /// Bytes moved per second.
    pub rate: f64,
}

/// Decides.
#[derive(Debug)]
pub struct Scaling {
    most: usize,
    workers: usize,
    stage: Stage,
    rest: Duration,
    rest_until: Mono,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Busy looks in a row, and what they moved together.
    Steady(u32, f64),
    /// One more worker than before, which moved this much: looks since then, and what the counted ones moved.
    Trial(f64, u32, f64),
}

impl Scaling {
    /// From `first` workers up to `most`.
    pub const fn new(first: usize, most: usize) -> Self {
        Self {
            most,
            workers: first,
            stage: Stage::Steady(0, 0.0),
            rest: REST,
            rest_until: Mono::ZERO,
        }
    }

    /// Whether it ever decides anything.
    pub const fn is_open(&self) -> bool {
        self.workers < self.most || matches!(self.stage, Stage::Trial(..))
    }

    /// The workers that share the sessions from now on, when that changes.
    pub fn look(&mut self, look: Look) -> Option<usize> {
        match self.stage {
            Stage::Steady(looks, moved) => {
                let workers = u32::try_from(self.workers).unwrap_or(u32::MAX);
                let full = look.busy >= f64::from(workers) * BUSY && look.idle >= IDLE;
                if !full || self.workers >= self.most || look.now < self.rest_until {
                    self.stage = Stage::Steady(0, 0.0);
                    return None;
                }
                let (looks, moved) = (looks + 1, moved + look.rate);
                if looks < LOOKS {
                    self.stage = Stage::Steady(looks, moved);
                    return None;
                }
                self.stage = Stage::Trial(moved / f64::from(looks), 0, 0.0);
                self.workers += 1;
                Some(self.workers)
            }
            Stage::Trial(before, looks, moved) => {
                let looks = looks + 1;
                // Sessions move during the first looks.
                let moved = moved + if looks > SETTLING { look.rate } else { 0.0 };
                if looks < SETTLING + LOOKS {
                    self.stage = Stage::Trial(before, looks, moved);
                    return None;
                }
                self.stage = Stage::Steady(0, 0.0);
                if moved / f64::from(LOOKS) >= before * GAIN {
                    self.rest = REST;
                    return None;
                }
                self.workers -= 1;
                self.rest_until = look.now + self.rest;
                self.rest = (self.rest * 2).min(LONGEST_REST);
                Some(self.workers)
            }
        }
    }
}

/// A worker is busy when it has this much of a processor.
const BUSY: f64 = 0.85;
/// Processors that must be idle for another worker to be tried.
const IDLE: f64 = 0.6;
/// Looks, a second apart, that are measured before and in a trial.
const LOOKS: u32 = 5;
/// Looks of a trial that do not count.
const SETTLING: u32 = 4;
/// What a trial must move, compared with before.
const GAIN: f64 = 1.15;
/// How long nothing is tried after a trial that brought nothing, at first and at most.
const REST: Duration = Duration::from_mins(10);
const LONGEST_REST: Duration = Duration::from_hours(8);

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second at a machine where `workers` move `rate(workers)`; the numbers said, with their second.
    fn run(most: usize, seconds: u64, idle: f64, rate: impl Fn(usize) -> f64) -> Vec<(u64, usize)> {
        let mut scaling = Scaling::new(1, most);
        let (mut workers, mut said) = (1_usize, Vec::new());
        for second in 1..=seconds {
            let look = Look {
                now: Mono::ZERO + Duration::from_secs(second),
                busy: f64::from(u32::try_from(workers).unwrap()) * 0.95,
                idle,
                rate: rate(workers),
            };
            if let Some(number) = scaling.look(look) {
                workers = number;
                said.push((second, number));
            }
        }
        said
    }

    #[test]
    fn workers_are_added_while_each_moves_more() {
        let said = run(4, 100, 3.0, |workers| match workers {
            1 => 100.0,
            2 => 180.0,
            3 => 250.0,
            _ => 255.0,
        });
        assert_eq!(said, [(5, 2), (19, 3), (33, 4), (42, 3)]);
    }

    #[test]
    fn what_brings_nothing_is_given_up_and_tried_again_ever_later() {
        let said = run(2, 4_000, 1.0, |_| 100.0);
        let tries: Vec<u64> = said
            .iter()
            .filter(|(_, n)| *n == 2)
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(tries, [5, 618, 1_831]);
        assert_eq!(said.last().map(|(_, workers)| *workers), Some(1));
    }

    #[test]
    fn a_machine_with_nothing_to_spare_is_left_alone() {
        assert_eq!(
            run(8, 1_000, 0.2, |workers| if workers > 1 { 9.0 } else { 1.0 }),
            []
        );
    }

    #[test]
    fn a_worker_with_time_left_gets_no_help() {
        let mut scaling = Scaling::new(1, 4);
        for second in 1..100 {
            let look = Look {
                now: Mono::ZERO + Duration::from_secs(second),
                busy: if second % 4 == 0 { 0.5 } else { 0.99 },
                idle: 3.0,
                rate: 1.0,
            };
            assert_eq!(scaling.look(look), None);
        }
    }
}
