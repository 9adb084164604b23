//! What is measured of one contender, and how.
//!
//! In: a contender that runs. Out: its figures, each measured once. Never: a figure guessed where a measurement failed.

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

impl Figures {
    /// The median of each figure, of those rounds in which it could be measured.
    pub fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> Option<f64>| median(rounds.iter().filter_map(figure));
        Self {
            tcp_one: of(|round| round.tcp_one),
            tcp_four: of(|round| round.tcp_four),
            tcp_both: of(|round| round.tcp_both),
            udp_1400: of(|round| round.udp_1400),
            udp_64: of(|round| round.udp_64),
            udp_64_loss: of(|round| round.udp_64_loss),
            udp_uso: of(|round| round.udp_uso),
            trip_p50: of(|round| round.trip_p50),
            trip_p99: of(|round| round.trip_p99),
            busy_p50: of(|round| round.busy_p50),
            busy_p99: of(|round| round.busy_p99),
            cpu_per_gb: of(|round| round.cpu_per_gb),
            calls_per_mb: of(|round| round.calls_per_mb),
            rss_mib: of(|round| round.rss_mib),
            first_ping_ms: of(|round| round.first_ping_ms),
        }
    }
}

/// The one in the middle, the upper one of two.
pub fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// Measures everything once, each for about `duration`. What fails is said to `complain` and left out.
pub fn measure(
    ground: &Ground,
    running: &Running,
    duration: Duration,
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
        duration,
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
    let one = bench.one_stream();
    figures.cpu_per_gb = one.as_ref().ok().map(|(_, cost)| *cost);
    figures.tcp_one = note("TCP one stream", one.map(|(rate, _)| rate));
    figures.tcp_four = note("TCP four streams", bench.streams(4, 0));
    figures.tcp_both = note("TCP both directions", bench.streams(1, 1));
    let idle = load::trips(bench.a, bench.b, 500, Duration::from_millis(2));
    figures.trip_p50 = note("round trips", idle.clone_figure(|trips| trips.p50));
    figures.trip_p99 = idle.ok().map(|trips| trips.p99);
    let loaded = bench.trips_beside_bulk();
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
    duration: Duration,
}

impl Bench<'_> {
    /// Mbit/s, and processor seconds per gigabyte.
    fn one_stream(&self) -> Result<(f64, f64), Failed> {
        let before = busy()?;
        let rate = load::streams(&[(self.a, self.b)], self.duration)?;
        let spent = busy()? - before;
        let gigabytes = rate / 8e9 * self.duration.as_secs_f64();
        Ok((rate / 1e6, spent / gigabytes))
    }

    fn streams(&self, there: usize, back: usize) -> Result<f64, Failed> {
        let mut pairs = vec![(self.a, self.b); there];
        pairs.extend(vec![(self.b, self.a); back]);
        Ok(load::streams(&pairs, self.duration)? / 1e6)
    }

    fn large(&self) -> Result<f64, Failed> {
        let best = load::highest(self.a, self.b, LARGE, self.duration / 4)?;
        Ok(mbit(best.rate, LARGE))
    }

    fn flood(&self, size: usize, trains: bool) -> Result<load::Datagrams, Failed> {
        let flow = Flow {
            size,
            rate: None,
            trains,
            duration: self.duration / 2,
        };
        load::datagrams(self.a, self.b, flow)
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
        let seconds = self.duration.as_secs_f64();
        let mut perf = Command::new("perf");
        perf.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p"])
            .arg(list.join(","))
            .args(["sleep", &format!("{:.1}", seconds + 0.4)]);
        std::thread::scope(|scope| {
            let count = scope.spawn(move || Outcome::of(&mut perf, Duration::from_secs(30)));
            std::thread::sleep(Duration::from_millis(200));
            let rate = load::streams(&[(self.a, self.b)], self.duration)?;
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
