//! What is measured of one contender, and how.
//!
//! In: a contender that runs. Out: its figures, each the median of the repeats. Never: a figure guessed where a measurement failed.

use std::{process::Command, time::Duration};

use serde::Serialize;

use super::{
    contender::Running,
    ground::{Ground, busy, largest},
    load::{self, End, Flow},
};
use crate::{Failed, Outcome, packages};

/// One row of the table; what could not be measured is absent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// TCP, one stream, Mbit/s.
    pub tcp_one: Option<f64>,
    /// TCP, four streams, sum of Mbit/s.
    pub tcp_four: Option<f64>,
    /// TCP, one stream in each direction at once, sum of Mbit/s.
    pub tcp_both: Option<f64>,
    /// UDP of 1,400 bytes at under 0.5 % loss, Mbit/s.
    pub udp_1400: Option<f64>,
    /// UDP of 64 bytes, received per second when flooded.
    pub udp_64: Option<f64>,
    /// What of it was lost, percent.
    pub udp_64_loss: Option<f64>,
    /// UDP of 1,350 bytes that the sender gives in trains (USO), received Mbit/s when flooded.
    pub udp_uso: Option<f64>,
    /// Round trip, half of them below, microseconds.
    pub trip_p50: Option<f64>,
    /// Round trip, all but one percent below, microseconds.
    pub trip_p99: Option<f64>,
    /// The same beside 200 Mbit/s of UDP.
    pub busy_p50: Option<f64>,
    /// The same beside 200 Mbit/s of UDP.
    pub busy_p99: Option<f64>,
    /// Processor seconds of the whole machine per gigabyte of one TCP stream.
    pub cpu_per_gb: Option<f64>,
    /// System calls of both ends' programs per megabyte of one TCP stream.
    pub calls_per_mb: Option<f64>,
    /// Resident memory of the larger end after all that, MiB.
    pub rss_mib: Option<f64>,
    /// From the start of both ends to the first answer, ms.
    pub first_ping_ms: Option<f64>,
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Seconds of one measurement.
    pub duration: Duration,
    /// Repeats, of which the median counts.
    pub repeats: usize,
}

/// Measures everything. What fails is said to `complain` and left out.
pub fn measure(
    ground: &Ground,
    running: &Running,
    effort: Effort,
    complain: &mut impl FnMut(&str),
) -> Figures {
    let bench = Bench {
        a: End {
            host: &ground.a,
            ip: running.a,
        },
        b: End {
            host: &ground.b,
            ip: running.b,
        },
        effort,
    };
    let mut note = |what: &str, result: Result<f64, Failed>| match result {
        Ok(figure) => Some(figure),
        Err(failed) => {
            complain(&format!("{what}: {failed}"));
            None
        }
    };
    let mut figures = Figures {
        first_ping_ms: Some(running.first_ping.as_secs_f64() * 1e3),
        ..Figures::default()
    };
    let (one, cpu) = bench.one_stream();
    figures.tcp_one = note("TCP one stream", one);
    figures.cpu_per_gb = note("CPU", cpu);
    figures.tcp_four = note("TCP four streams", bench.streams(4, 0));
    figures.tcp_both = note("TCP both directions", bench.streams(1, 1));
    let idle = bench.trips(|| load::trips(bench.a, bench.b, 500, Duration::from_millis(2)));
    figures.trip_p50 = note("round trips", idle.clone_figure(|trips| trips.p50));
    figures.trip_p99 = idle.ok().map(|trips| trips.p99);
    let loaded = bench.trips(|| bench.trips_beside_bulk());
    figures.busy_p50 = note(
        "round trips beside bulk",
        loaded.clone_figure(|trips| trips.p50),
    );
    figures.busy_p99 = loaded.ok().map(|trips| trips.p99);
    figures.udp_1400 = note("UDP 1400", bench.large());
    let small = bench.flood(64, false);
    figures.udp_64 = note("UDP 64", small.clone_figure(|small| small.rate));
    figures.udp_64_loss = small.ok().map(|small| small.loss);
    let trains = bench.flood(USO_SIZE, true);
    figures.udp_uso = note(
        "UDP trains",
        trains.clone_figure(|got| mbit(got.rate, USO_SIZE)),
    );
    if let Ok(pids) = ground.programs()
        && !pids.is_empty()
    {
        figures.rss_mib = Some(mib(largest(&pids)));
        figures.calls_per_mb = note("system calls", bench.calls(&pids));
    }
    figures
}

struct Bench<'a> {
    a: End<'a>,
    b: End<'a>,
    effort: Effort,
}

impl Bench<'_> {
    /// Mbit/s, and processor seconds per gigabyte.
    fn one_stream(&self) -> (Result<f64, Failed>, Result<f64, Failed>) {
        let mut rates = Vec::new();
        let mut costs = Vec::new();
        for _ in 0..self.effort.repeats {
            let run = || -> Result<(f64, f64), Failed> {
                let before = busy()?;
                let rate = load::streams(&[(self.a, self.b)], self.effort.duration)?;
                let spent = busy()? - before;
                Ok((
                    rate,
                    spent / (rate / 8e9 * self.effort.duration.as_secs_f64()),
                ))
            };
            match run() {
                Ok((rate, cost)) => {
                    rates.push(rate / 1e6);
                    costs.push(cost);
                }
                Err(failed) => return (Err(failed.clone()), Err(failed)),
            }
        }
        (Ok(median(&mut rates)), Ok(median(&mut costs)))
    }

    fn streams(&self, there: usize, back: usize) -> Result<f64, Failed> {
        let mut pairs = vec![(self.a, self.b); there];
        pairs.extend(vec![(self.b, self.a); back]);
        let mut rates = Vec::new();
        for _ in 0..self.effort.repeats {
            rates.push(load::streams(&pairs, self.effort.duration)? / 1e6);
        }
        Ok(median(&mut rates))
    }

    fn large(&self) -> Result<f64, Failed> {
        let mut rates = Vec::new();
        for _ in 0..self.effort.repeats {
            let best = load::highest(self.a, self.b, LARGE, self.effort.duration / 4)?;
            rates.push(mbit(best.rate, LARGE));
        }
        Ok(median(&mut rates))
    }

    fn flood(&self, size: usize, trains: bool) -> Result<load::Datagrams, Failed> {
        let mut all = Vec::new();
        for _ in 0..self.effort.repeats {
            let flow = Flow {
                size,
                rate: None,
                trains,
                duration: self.effort.duration / 2,
            };
            all.push(load::datagrams(self.a, self.b, flow)?);
        }
        all.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        all.get(all.len() / 2)
            .copied()
            .ok_or_else(|| Failed::new("no repeats"))
    }

    /// The median of each figure, as one late wake-up in a second is the machine's.
    fn trips(&self, once: impl Fn() -> Result<load::Trips, Failed>) -> Result<load::Trips, Failed> {
        let (mut middle, mut late) = (Vec::new(), Vec::new());
        for _ in 0..self.effort.repeats {
            let load::Trips { p50, p99 } = once()?;
            middle.push(p50);
            late.push(p99);
        }
        let (p50, p99) = (median(&mut middle), median(&mut late));
        Ok(load::Trips { p50, p99 })
    }

    fn trips_beside_bulk(&self) -> Result<load::Trips, Failed> {
        let flow = Flow {
            size: LARGE,
            rate: Some(200e6 / 8.0 / 1400.0),
            trains: false,
            duration: Duration::from_secs(3),
        };
        std::thread::scope(|scope| {
            let bulk = scope.spawn(|| load::datagrams(self.a, self.b, flow));
            let trips = load::trips(self.a, self.b, 500, Duration::from_millis(5));
            bulk.join()
                .unwrap_or_else(|_| Err(Failed::new("the bulk flow panicked")))?;
            trips
        })
    }

    /// Counted by `perf` in the kernel, which slows nothing down noticeably, over one more stream.
    fn calls(&self, pids: &[u32]) -> Result<f64, Failed> {
        if !packages::is_installed("perf") {
            return Err(Failed::new("perf is not installed (Debian: linux-perf)"));
        }
        let list: Vec<String> = pids.iter().map(ToString::to_string).collect();
        let seconds = self.effort.duration.as_secs_f64();
        let mut perf = Command::new("perf");
        perf.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p"])
            .arg(list.join(","))
            .args(["sleep", &format!("{:.1}", seconds + 0.4)]);
        std::thread::scope(|scope| {
            let count = scope.spawn(move || Outcome::of(&mut perf, Duration::from_secs(30)));
            std::thread::sleep(Duration::from_millis(200));
            let rate = load::streams(&[(self.a, self.b)], self.effort.duration)?;
            let said = count
                .join()
                .unwrap_or_else(|_| Err(Failed::new("perf panicked")))?
                .good()?;
            let calls: f64 = said
                .stderr
                .lines()
                .find_map(|line| line.split(',').next()?.parse().ok())
                .ok_or_else(|| Failed::new(format!("perf said {}", said.stderr)))?;
            Ok(calls / (rate / 8e6 * seconds))
        })
    }
}

/// Looks into a result without taking it.
trait CloneFigure<T> {
    fn clone_figure(&self, look: impl FnOnce(&T) -> f64) -> Result<f64, Failed>;
}

impl<T> CloneFigure<T> for Result<T, Failed> {
    fn clone_figure(&self, look: impl FnOnce(&T) -> f64) -> Result<f64, Failed> {
        self.as_ref().map(look).map_err(Clone::clone)
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn mbit(rate: f64, size: usize) -> f64 {
    rate * size as f64 * 8.0 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Payload of the large datagrams.
const LARGE: usize = 1400;
/// Payload of datagrams in trains: what QUIC usually sends.
const USO_SIZE: usize = 1350;
