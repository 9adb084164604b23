//! Path MTU: paths of every width, black holes during a transfer, interfaces that shrink, links that repeat and reorder.

use core::time::Duration;

use zt_engine::Mono;
use zt_engine::interface::PathKind;
use zt_sim::{Behaviour, HostId, Internet, Kind, Lan, Weather};

const SECOND: Duration = Duration::from_secs(1);
/// Bytes of IPv4 and UDP header.
const HEADERS: usize = 28;

/// Whether a path MTU is what the link carries, to a few bytes.
fn fits(found: u16, width: usize) -> bool {
    (width - 3..=width).contains(&usize::from(found))
}

#[test]
fn every_width_from_1124_to_9000_is_found_within_three_seconds() {
    let mut lan = Lan::public(41, 1);
    lan.world.net.weather.mtu = 9_000 - HEADERS;
    let hub = lan.join(Internet::PUBLIC);
    lan.world.net.interface(hub, 9_000 - HEADERS);
    assert!(lan.wait_up(hub, 20 * SECOND).is_some());
    let usual = [
        1_125, 1_280, 1_400, 1_420, 1_480, 1_492, 1_500, 4_352, 8_999, 9_000,
    ];
    let widths: Vec<usize> = (1_124..9_000).step_by(271).chain(usual).collect();
    let mut slowest = Duration::ZERO;
    for ip in widths {
        let width = ip - HEADERS;
        let host = lan.join_behind(Behaviour::FULL_CONE);
        lan.world.net.interface(host, 9_000 - HEADERS);
        lan.world.net.width(hub, host, width);
        assert!(lan.wait_up(host, 20 * SECOND).is_some());
        lan.world.run_for(SECOND);
        assert!(lan.wait_direct(hub, host, 5 * SECOND).is_some(), "{ip}");
        let direct = lan.world.now().mono;
        while !fits(lan.path(hub, host).unwrap().mtu, width)
            || !fits(lan.path(host, hub).unwrap().mtu, width)
        {
            lan.world.run_for(Duration::from_millis(20));
            let took = lan.world.now().mono.since(direct);
            let found = lan.path(hub, host).unwrap().mtu;
            assert!(took < 3 * SECOND, "{ip}: {found} after {took:?}");
        }
        slowest = slowest.max(lan.world.now().mono.since(direct));
        // Frames of every size arrive, whole, and none twice.
        let sizes = [8, 600, 1_100, 1_300, 1_450, 1_500];
        let sent: Vec<_> = sizes
            .into_iter()
            .flat_map(|size| [(hub, host, size), (host, hub, size)])
            .filter_map(|(from, to, size)| {
                let frame = lan
                    .world
                    .send(lan.network, from, to, Kind::Experimental, size);
                Some((to, frame?))
            })
            .collect();
        lan.world.run_for(SECOND);
        assert_eq!((sent.len(), lan.missing(&sent)), (12, 0), "{ip}");
    }
    println!("slowest: {slowest:?} after the path was direct");
    lan.world.check();
}

/// A transfer: frames of full size one way, small ones back, every 2 ms.
struct Transfer {
    from: HostId,
    to: HostId,
    sent: Vec<(Mono, HostId, Vec<u8>)>,
}

impl Transfer {
    const fn new(from: HostId, to: HostId) -> Self {
        Self {
            from,
            to,
            sent: Vec::new(),
        }
    }

    fn run(&mut self, lan: &mut Lan, span: Duration) {
        let end = lan.world.now().mono + span;
        while lan.world.now().mono < end {
            let now = lan.world.now().mono;
            for (from, to, size) in [(self.from, self.to, 1_400), (self.to, self.from, 60)] {
                let frame = lan
                    .world
                    .send(lan.network, from, to, Kind::Experimental, size);
                self.sent.push((now, to, frame.unwrap()));
            }
            lan.world.run_for(Duration::from_millis(2));
        }
    }

    /// The longest time in which none of the large frames sent arrived.
    fn longest_gap(&self, lan: &Lan) -> Duration {
        let mut last = self.sent[0].0;
        let mut longest = Duration::ZERO;
        for (at, to, frame) in &self.sent {
            if *to == self.to && lan.world.model.has_got(*to, frame) {
                longest = longest.max(at.since(last));
                last = *at;
            }
        }
        longest.max(lan.world.now().mono.since(last).saturating_sub(SECOND))
    }
}

/// Lets a link take other sizes during a transfer; how long until the path MTU is right again, and the longest gap.
fn holes(lan: &mut Lan, pair: [HostId; 2], link: (HostId, HostId), less: usize) -> Vec<Duration> {
    let mut gaps = Vec::new();
    let [one, two] = pair;
    let mut transfer = Transfer::new(one, two);
    transfer.run(lan, 3 * SECOND);
    for ip in [1_400, 1_280, 576, 1_500] {
        lan.world.net.width(link.0, link.1, ip - HEADERS);
        transfer.sent.clear();
        let changed = lan.world.now().mono;
        let width = ip - HEADERS - less;
        while less == 0 && !fits(lan.path(one, two).unwrap().mtu, width) {
            transfer.run(lan, Duration::from_millis(20));
            let took = lan.world.now().mono.since(changed);
            let found = lan.path(one, two).unwrap().mtu;
            assert!(
                took < 2 * SECOND,
                "seed {} to {ip}: {found}",
                lan.world.seed()
            );
        }
        let took = lan.world.now().mono.since(changed);
        transfer.run(lan, 4 * SECOND);
        lan.world.run_for(SECOND);
        let gap = transfer.longest_gap(lan);
        println!("to {ip}: found after {took:?}, longest gap {gap:?}");
        assert!(
            gap < 2 * SECOND,
            "seed {} to {ip}: {gap:?}",
            lan.world.seed()
        );
        gaps.push(gap);
        let late = transfer.sent.iter().rev().take(500);
        let lost = late.filter(|(_, to, frame)| !lan.world.model.has_got(*to, frame));
        assert!(lost.count() <= 500 * lan.world.net.weather.loss as usize / 100);
    }
    lan.world.check();
    gaps
}

#[test]
fn a_path_that_falls_and_rises_during_a_transfer_is_measured_again_within_two_seconds() {
    for seed in 0..6 {
        let mut lan = Lan::private(seed, 1);
        let [one, two] = lan.pair_behind(Behaviour::FULL_CONE, Behaviour::PORT_RESTRICTED);
        assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
        if seed > 3 {
            lan.world.net.weather.loss = 10;
        }
        holes(&mut lan, [one, two], (one, two), 0);
    }
}

#[test]
fn a_relayed_path_that_falls_on_either_side_carries_again_within_two_seconds() {
    for (seed, far) in [(1, false), (2, true)] {
        let mut lan = Lan::private(seed, 1);
        let [one, two] = lan.pair_behind(Behaviour::SYMMETRIC, Behaviour::SYMMETRIC);
        assert!(lan.reach(one, two, 2 * SECOND).is_some());
        lan.world.run_for(5 * SECOND);
        let link = (HostId(0), if far { two } else { one });
        assert_eq!(lan.path(one, two).unwrap().kind, PathKind::Relay);
        holes(&mut lan, [one, two], link, 41);
        let mtu = lan.path(one, two).unwrap().mtu;
        assert_eq!(mtu, 1_472 - 41, "what the relay takes for others");
    }
}

#[test]
fn an_interface_that_shrinks_is_believed_at_once_and_what_it_refuses_is_counted() {
    let mut lan = Lan::private(3, 1);
    let [one, two] = lan.pair_behind(Behaviour::FULL_CONE, Behaviour::FULL_CONE);
    assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
    let mut transfer = Transfer::new(one, two);
    transfer.run(&mut lan, 2 * SECOND);
    assert_eq!(lan.path(one, two).unwrap().mtu, 1_472);
    for width in [1_400 - HEADERS, 600] {
        lan.world.net.interface(one, width);
        transfer.sent.clear();
        transfer.run(&mut lan, SECOND);
        assert!(fits(lan.path(one, two).unwrap().mtu, width));
        lan.world.run_for(SECOND);
        let lost = transfer
            .sent
            .iter()
            .filter(|(_, to, frame)| !lan.world.model.has_got(*to, frame));
        let lost = lost.count();
        assert!((1..=6).contains(&lost), "{lost} frames lost");
    }
    assert!(lan.world.counters()["drops.too-large"] >= 2);
    lan.world.check();
}

#[test]
fn rekeying_goes_on_over_a_path_of_576_bytes() {
    let mut lan = Lan::private(4, 1);
    let [one, two] = lan.pair_behind(Behaviour::FULL_CONE, Behaviour::FULL_CONE);
    assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
    lan.world.net.width(one, two, 576 - HEADERS);
    let before = lan.world.counters()["handshakes.rekeys"];
    let mut sent = Vec::new();
    for _ in 0..60 {
        for (from, to) in [(one, two), (two, one)] {
            let frame = lan
                .world
                .send(lan.network, from, to, Kind::Experimental, 1_400);
            sent.push((to, frame.unwrap()));
        }
        lan.world.run_for(10 * SECOND);
    }
    assert!(lan.is_direct(one, two) && lan.is_direct(two, one));
    assert!(lan.world.counters()["handshakes.rekeys"] >= before + 6);
    assert!(lan.missing(&sent[10..]) == 0, "{}", lan.missing(&sent));
    lan.world.check();
}

#[test]
fn an_idle_path_that_narrows_is_rekeyed_all_the_same() {
    let mut lan = Lan::private(5, 1);
    let [one, two] = lan.pair_behind(Behaviour::FULL_CONE, Behaviour::FULL_CONE);
    assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
    lan.world.net.width(one, two, 576 - HEADERS);
    lan.world.run_for(Duration::from_mins(8));
    assert!(lan.is_direct(one, two) && lan.is_direct(two, one));
    assert!(lan.reach(one, two, SECOND).is_some() && lan.reach(two, one, SECOND).is_some());
    lan.world.check();
}

/// Sends numbered frames and says how far any arrived behind a later one, by the time they were sent.
fn disorder(seed: u64, weather: Weather, payload: usize) -> (usize, Duration) {
    let mut lan = Lan::private(seed, 1);
    let [one, two] = lan.pair_behind(Behaviour::FULL_CONE, Behaviour::FULL_CONE);
    assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
    lan.world.run_for(2 * SECOND);
    lan.world.net.weather = weather;
    lan.world.run_for(Duration::from_millis(200));
    lan.world.host_mut(two).keep_frames();
    let mut sent = Vec::new();
    for _ in 0..500 {
        let at = lan.world.now().mono;
        let frame = lan
            .world
            .send(lan.network, one, two, Kind::Experimental, payload);
        sent.push((frame.unwrap(), at));
        lan.world.run_for(Duration::from_millis(3));
    }
    lan.world.run_for(SECOND);
    let got = lan.world.host_mut(two).kept_frames();
    let when = |frame: &Vec<u8>| {
        sent.iter()
            .find(|(sent, _)| sent == frame)
            .map(|(_, at)| *at)
    };
    let mut latest = Mono::ZERO;
    let mut worst = Duration::ZERO;
    for at in got.iter().filter_map(when) {
        worst = worst.max(latest.since(at.min(latest)));
        latest = latest.max(at);
    }
    lan.world.check();
    (got.len(), worst)
}

#[test]
fn links_that_repeat_and_reorder_are_not_made_worse_by_fragments() {
    // What is held back arrives at most 30 ms late, so no frame may arrive behind one that was sent 30 ms after it.
    let weather = Weather {
        loss: 0,
        duplicate: 150,
        reorder: 300,
        mtu: 1_472,
    };
    for seed in 0..4 {
        for (payload, mtu) in [
            (100, 1_472),
            (1_400, 1_472),
            (1_500, 1_472),
            (1_500, 1_100),
            (1_500, 548),
        ] {
            let (got, worst) = disorder(seed, Weather { mtu, ..weather }, payload);
            assert!(
                worst <= Duration::from_millis(30),
                "{payload} on {mtu}: {worst:?}"
            );
            // The first frames after a link has narrowed are lost; none because of repetition or order.
            let lost = if mtu == 1_472 { 0 } else { 250 };
            assert!(
                got + lost >= 500,
                "seed {seed}, {payload} on {mtu}: {got} of 500"
            );
        }
    }
    let (got, worst) = disorder(9, Weather::FAIR, 1_500);
    assert_eq!((got, worst), (500, Duration::ZERO));
}
