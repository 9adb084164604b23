//! The search for the path MTU against paths of every size, with and without losses.
//!
//! In: `Search`. Out: pass or fail. Never: an engine, a clock.

use super::*;

/// A path: what passes, what our kernel refuses, and which probes get lost.
struct Line {
    mtu: u16,
    refuses: u16,
    loss: u64,
    dice: u64,
    rtt: Duration,
    bytes: usize,
    volleys: usize,
    took: Duration,
}

impl Line {
    fn new(mtu: u16) -> Self {
        Self {
            mtu,
            refuses: u16::MAX,
            loss: 0,
            dice: 1,
            rtt: Duration::from_millis(100),
            bytes: 0,
            volleys: 0,
            took: Duration::ZERO,
        }
    }

    fn lost(&mut self) -> bool {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % 1_000 < self.loss
    }

    /// Runs a search to its end.
    fn run(&mut self, (mut search, mut sizes): (Search, Vec<u16>)) -> (Search, Told) {
        let mut now = Mono::from_nanos(1);
        let mut token = 0;
        loop {
            let mut out = Vec::new();
            search.fire(now, sizes, |size| {
                token += 1;
                out.push((token, size));
                token
            });
            self.volleys += 1;
            assert!(
                out.len() <= limits::MTU_LADDER.len() + 2,
                "a volley of {}",
                out.len()
            );
            let back = now + self.rtt;
            for (token, size) in out {
                if size >= self.refuses {
                    search.refused(now, size);
                    continue;
                }
                self.bytes += usize::from(size.max(49));
                if size <= self.mtu && !self.lost() && !self.lost() {
                    search.answered(back, token, size.max(49));
                }
            }
            let due = search.due();
            self.took += due.since(now);
            now = due;
            let told;
            (told, sizes) = search.judge();
            if told != Told::Next {
                return (search, told);
            }
        }
    }
}

fn v4() -> SocketAddr {
    ([192, 0, 2, 1], 9).into()
}

const RTT: Option<Duration> = Some(Duration::from_millis(100));

#[test]
fn every_size_is_found_to_a_few_bytes_within_two_seconds() {
    for mtu in (limits::MTU_FLOOR..=8_972).step_by(7) {
        let mut line = Line::new(mtu);
        let (search, told) = line.run(Search::fresh(v4(), limits::MTU_FLOOR, RTT));
        assert_eq!(told, Told::Over);
        let found = search.passes();
        assert!(
            found <= mtu && mtu - found < limits::MTU_STEP,
            "{mtu}: {found}"
        );
        assert!(line.took < Duration::from_secs(2), "{mtu}: {:?}", line.took);
        assert!(line.bytes < 400_000, "{mtu}: {} bytes", line.bytes);
    }
}

#[test]
fn an_ordinary_path_costs_three_volleys_and_no_jumbo_frame() {
    let mut line = Line::new(1_472);
    line.refuses = 1_473;
    let (search, _) = line.run(Search::fresh(v4(), limits::MTU_HANDSHAKE, RTT));
    assert_eq!(search.passes(), 1_472);
    assert!(
        line.volleys <= 3 && line.bytes < 3_000,
        "{} {}",
        line.volleys,
        line.bytes
    );
}

#[test]
fn jumbo_frames_at_home_and_none_outside_cost_little() {
    let mut line = Line::new(1_472);
    let (search, _) = line.run(Search::fresh(v4(), limits::MTU_HANDSHAKE, RTT));
    assert_eq!(search.passes(), 1_472);
    assert!(line.bytes < 20_000, "{} bytes", line.bytes);
}

#[test]
fn a_lost_probe_in_ten_hides_a_size_seldom() {
    let mut wrong = 0;
    for seed in 0..500 {
        let mtu = 1_096 + u16::try_from(seed).unwrap();
        let mut line = Line::new(mtu);
        (line.loss, line.dice, line.refuses) = (100, seed, 1_700);
        let (search, _) = line.run(Search::fresh(v4(), limits::MTU_FLOOR, RTT));
        assert!(search.passes() <= mtu);
        wrong += usize::from(mtu - search.passes() >= limits::MTU_STEP);
    }
    assert!(wrong < 75, "{wrong} of 500");
}

#[test]
fn a_hole_is_found_after_two_round_trips_and_measured_soon() {
    for (from, to) in [
        (1_472, 1_372),
        (1_372, 1_252),
        (1_252, 548),
        (8_972, 1_472),
        (1_472, 508),
    ] {
        let mut line = Line::new(to);
        let (search, _) = line.run(Search::check(v4(), from, from, RTT));
        assert!(search.passes() <= to && to - search.passes() < limits::MTU_STEP);
        assert!(search.fails() <= from);
        assert!(line.took < Duration::from_millis(1_500), "{:?}", line.took);
    }
}

#[test]
fn a_check_that_passes_is_over_at_once() {
    let mut line = Line::new(1_472);
    let (search, told) = line.run(Search::check(v4(), 1_472, 1_472, RTT));
    assert_eq!(
        (search.passes(), told, line.volleys),
        (1_472, Told::Over, 1)
    );
    assert!(search.fails() > 1_472);
}

#[test]
fn a_single_lost_check_takes_nothing_away() {
    for seed in 0..200 {
        let mut line = Line::new(1_472);
        (line.loss, line.dice) = (30, seed);
        let (search, _) = line.run(Search::check(v4(), 1_472, 1_472, RTT));
        // Both probes of the size lost, twice 6 %: once in 300.
        if search.passes() != 1_472 {
            assert!(search.fails() > 1_472 || line.volleys > 2, "seed {seed}");
        }
    }
}

#[test]
fn a_path_that_is_wide_again_is_found_in_one_volley_and_one_that_is_not_costs_one() {
    let mut line = Line::new(1_472);
    let (search, _) = line.run(Search::raise(v4(), 548, 1_472, RTT));
    assert_eq!((search.passes(), line.volleys), (1_472, 1));
    let mut line = Line::new(548);
    let (search, told) = line.run(Search::raise(v4(), 548, 1_472, RTT));
    assert_eq!((search.passes(), told, line.volleys), (548, Told::Over, 1));
    let mut line = Line::new(1_372);
    let (search, _) = line.run(Search::raise(v4(), 548, 1_472, RTT));
    assert!((1_369..=1_372).contains(&search.passes()));
}

#[test]
fn a_size_that_our_kernel_refuses_is_left_without_waiting() {
    let mut line = Line::new(8_972);
    line.refuses = 1_373;
    let (search, _) = line.run(Search::below(v4(), 1_472, RTT));
    assert_eq!(search.passes(), 1_372);
}

#[test]
fn silence_ends_the_search_without_a_verdict() {
    let mut line = Line::new(1_472);
    line.loss = 1_000;
    let (search, told) = line.run(Search::check(v4(), 1_472, 1_472, RTT));
    assert_eq!(told, Told::Silent);
    assert!(search.fails() > 1_472, "nothing is known to fail");
    assert_eq!(line.volleys, usize::from(limits::MTU_SILENT));
}

#[test]
fn an_answer_to_somebody_else_or_too_short_proves_nothing() {
    let (mut search, sizes) = Search::check(v4(), 1_472, 1_472, RTT);
    search.fire(Mono::from_nanos(1), sizes, u64::from);
    assert!(!search.answered(Mono::from_nanos(2), 7, 1_472));
    assert!(search.answered(Mono::from_nanos(2), 1_472, 1_000));
    assert_eq!(search.passes(), limits::MTU_FLOOR);
}

#[test]
fn ipv6_leaves_twenty_bytes_more() {
    let at: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
    assert_eq!(top(at), 8_952);
    assert_eq!(step_below(at, 1_473), 1_452);
    let mut line = Line::new(1_452);
    line.refuses = 1_453;
    let (search, _) = line.run(Search::fresh(at, limits::MTU_HANDSHAKE, RTT));
    assert_eq!(search.passes(), 1_452);
}
