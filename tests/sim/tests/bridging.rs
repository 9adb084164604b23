//! Real Ethernet behind members: stations that move, LANs that are connected twice, storms, and strangers who would cut them.

use core::time::Duration;

use zt_api::master::MemberSettings;
use zt_engine::interface::{Event, LoopInfo, PathKind, Trouble};
use zt_sim::{HostId, Internet, Lan, SegmentId};
use zt_wire::{Address, Mac, NetworkId, ProbeFrame};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const X: SegmentId = SegmentId(0);
const Y: SegmentId = SegmentId(1);
const Z: SegmentId = SegmentId(2);

/// Two members that bridge segments X and Y, the smaller address first, and a third without the right on segment Z.
struct Offices {
    lan: Lan,
    smaller: HostId,
    larger: HostId,
    third: HostId,
    serial: u32,
}

impl Offices {
    fn new(seed: u64) -> Self {
        let mut lan = Lan::private(seed, 1);
        let hosts = lan.members(&[Internet::PUBLIC; 3]);
        let bridge = MemberSettings {
            bridge: Some(true),
            ..MemberSettings::default()
        };
        for host in &hosts[..2] {
            lan.give(*host, &bridge);
        }
        let address = |host: HostId| lan.world.host(host).overlay();
        let (smaller, larger) = if address(hosts[0]) < address(hosts[1]) {
            (hosts[0], hosts[1])
        } else {
            (hosts[1], hosts[0])
        };
        for (host, segment) in [(smaller, X), (larger, Y), (hosts[2], Z)] {
            lan.world.segments.plug(host, segment);
        }
        let mut offices = Self {
            lan,
            smaller,
            larger,
            third: hosts[2],
            serial: 0,
        };
        // Everybody has spoken once, so everybody has met.
        for (segment, number) in [(X, 1), (Y, 2)] {
            offices.speak(segment, Mac::BROADCAST, station(number));
        }
        let third = offices.mac(hosts[2]);
        offices.speak(Z, Mac::BROADCAST, third);
        offices.lan.world.run_for(2 * SECOND);
        offices.drain();
        offices
    }

    fn network(&self) -> NetworkId {
        self.lan.network
    }

    fn address(&self, host: HostId) -> Address {
        self.lan.world.host(host).overlay()
    }

    fn mac(&self, host: HostId) -> Mac {
        Mac::of(self.address(host), self.network())
    }

    /// Puts a frame on a segment; no two are alike.
    fn speak(&mut self, segment: SegmentId, to: Mac, from: Mac) -> Vec<u8> {
        self.serial += 1;
        let frame = [
            &to.to_bytes()[..],
            &from.to_bytes(),
            &[0x88, 0xb5],
            &self.serial.to_be_bytes(),
            &[0x5a; 60],
        ]
        .concat();
        let network = self.network();
        self.lan.world.station(network, segment, &frame);
        frame
    }

    /// How often a frame is heard on each segment within a while.
    fn heard(&mut self, frame: &[u8], within: Duration) -> [usize; 3] {
        self.lan.world.run_for(within);
        [X, Y, Z].map(|segment| {
            let heard = self.lan.world.segments.heard(segment);
            heard.iter().filter(|(_, bytes)| bytes == frame).count()
        })
    }

    fn drain(&mut self) {
        for segment in [X, Y, Z] {
            self.lan.world.segments.heard(segment);
        }
    }

    fn looped(&mut self, host: HostId) -> Option<LoopInfo> {
        self.lan.info(host).unwrap().looped
    }

    /// Lets time pass until a host says so of its loop; how long it took.
    fn wait(
        &mut self,
        host: HostId,
        within: Duration,
        so: impl Fn(Option<LoopInfo>) -> bool,
    ) -> Duration {
        let start = self.lan.world.now().mono;
        loop {
            let looped = self.looped(host);
            let took = self.lan.world.now().mono.since(start);
            if so(looped) {
                return took;
            }
            assert!(took < within, "after {took:?}: {looped:?}");
            self.lan.world.run_for(50 * MS);
        }
    }

    fn troubles(&self, host: HostId) -> Vec<(Address, Trouble)> {
        let events = self.lan.world.host(host).events().iter();
        let troubles = events.filter_map(|(_, event)| match event {
            Event::Trouble(_, member, trouble) => Some((*member, *trouble)),
            _ => None,
        });
        troubles.collect()
    }
}

fn station(number: u8) -> Mac {
    Mac::from_bytes([0x52, 0x54, 0, 0, 0, number])
}

fn probes(heard: &[(zt_engine::Mono, Vec<u8>)], of: Address) -> Vec<Vec<u8>> {
    let of = |frame: &&Vec<u8>| ProbeFrame::parse(frame).is_some_and(|probe| probe.member == of);
    heard
        .iter()
        .map(|(_, frame)| frame)
        .filter(of)
        .cloned()
        .collect()
}

#[test]
fn a_cable_between_two_bridged_lans_is_found_one_side_is_cut_off_and_comes_back() {
    let mut longest = [Duration::ZERO; 2];
    for seed in 0..5 {
        let mut offices = Offices::new(seed);
        let (smaller, larger) = (offices.smaller, offices.larger);
        let frame = offices.speak(X, Mac::BROADCAST, station(1));
        assert_eq!(offices.heard(&frame, SECOND), [1, 1, 1], "seed {seed}");
        offices.lan.world.segments.cable(X, Y, true);
        // A broadcast is caught in the loop before the guard has found it.
        offices.speak(X, Mac::BROADCAST, station(1));
        let found = offices.wait(larger, 3 * SECOND, |looped| {
            looped.is_some_and(|looped| looped.cut_off)
        });
        let with = offices.looped(smaller).expect("both ends know");
        assert_eq!(
            (with.with, with.cut_off),
            (Some(offices.address(larger)), false)
        );
        let with = offices.looped(larger).unwrap();
        assert_eq!(with.with, Some(offices.address(smaller)));
        assert_eq!(offices.looped(offices.third), None);
        offices.lan.world.run_for(SECOND);
        offices.drain();
        let before = offices.lan.world.segments.frames;
        let frame = offices.speak(Y, Mac::BROADCAST, station(2));
        assert_eq!(offices.heard(&frame, SECOND), [1, 1, 1], "seed {seed}");
        // That frame on X and Z, its copy from the overlay never; the rest are probes.
        let frames = offices.lan.world.segments.frames - before;
        assert!(frames < 10, "seed {seed}: {frames} frames in a second");
        // A station behind the cable is found through the side that is left.
        let third = offices.mac(offices.third);
        let frame = offices.speak(Z, station(2), third);
        assert_eq!(offices.heard(&frame, SECOND), [1, 1, 1], "seed {seed}");
        offices.lan.world.segments.cable(X, Y, false);
        let back = offices.wait(larger, 8 * SECOND, |looped| looped.is_none());
        offices.wait(smaller, 2 * SECOND, |looped| looped.is_none());
        let frame = offices.speak(Y, Mac::BROADCAST, station(2));
        assert_eq!(offices.heard(&frame, SECOND), [1, 1, 1], "seed {seed}");
        longest = [longest[0].max(found), longest[1].max(back)];
    }
    println!(
        "found within {:?}, back within {:?}",
        longest[0], longest[1]
    );
}

#[test]
fn of_two_members_on_one_lan_one_stands_by_and_takes_over() {
    for seed in 10..13 {
        let mut offices = Offices::new(seed);
        let (smaller, larger) = (offices.smaller, offices.larger);
        offices.lan.world.segments.plug(larger, X);
        offices.speak(X, Mac::BROADCAST, station(1));
        offices.wait(larger, 3 * SECOND, |looped| {
            looped.is_some_and(|looped| looped.cut_off)
        });
        offices.lan.world.kill(smaller);
        offices.wait(larger, 8 * SECOND, |looped| looped.is_none());
        offices.drain();
        let frame = offices.speak(X, Mac::BROADCAST, station(1));
        assert_eq!(offices.heard(&frame, SECOND), [1, 0, 1], "seed {seed}");
    }
}

#[test]
fn strangers_on_the_lans_can_neither_make_a_loop_up_nor_replay_one() {
    let mut offices = Offices::new(20);
    let (smaller, larger) = (offices.smaller, offices.larger);
    offices.lan.world.run_for(3 * SECOND);
    let heard = offices.lan.world.segments.heard(X);
    let old = probes(&heard, offices.address(smaller));
    assert!(old.len() >= 2, "it probes once a second: {}", old.len());
    let network = offices.network();
    let made_up = (0..50).map(|token| {
        let member = offices.address(smaller);
        let probe = ProbeFrame {
            network,
            member,
            token,
        };
        probe.to_bytes().to_vec()
    });
    let made_up: Vec<Vec<u8>> = made_up.collect();
    offices.lan.world.run_for(4 * SECOND);
    for frame in old.iter().chain(&made_up) {
        offices.lan.world.station(network, Y, frame);
        offices.lan.world.run_for(100 * MS);
    }
    offices.lan.world.run_for(2 * SECOND);
    assert_eq!(offices.looped(smaller), None);
    assert_eq!(offices.looped(larger), None);
    let frame = offices.speak(X, Mac::BROADCAST, station(1));
    assert_eq!(offices.heard(&frame, SECOND), [1, 1, 1]);
}

#[test]
fn a_lan_that_leads_back_to_itself_is_cut_off_while_it_does() {
    let mut offices = Offices::new(21);
    let host = offices.smaller;
    let (network, address) = (offices.network(), offices.address(host));
    offices.drain();
    for _ in 0..30 {
        offices.lan.world.run_for(100 * MS);
        let heard = offices.lan.world.segments.heard(X);
        for probe in probes(&heard, address).into_iter().take(1) {
            offices.lan.world.station(network, X, &probe);
        }
    }
    let looped = offices.looped(host).expect("a loop");
    assert_eq!((looped.with, looped.cut_off), (None, true));
    offices.wait(host, 8 * SECOND, |looped| looped.is_none());
}

#[test]
fn who_has_no_station_behind_the_device_never_probes() {
    let mut lan = Lan::private(22, 1);
    let hosts = lan.members(&[Internet::PUBLIC; 2]);
    let bridge = MemberSettings {
        bridge: Some(true),
        ..MemberSettings::default()
    };
    lan.give(hosts[0], &bridge);
    lan.world.segments.plug(hosts[0], X);
    lan.world.run_for(60 * SECOND);
    let frames = lan.world.segments.heard(X);
    assert!(frames.is_empty(), "{} frames", frames.len());
}

#[test]
fn a_station_that_moves_is_reached_after_one_frame() {
    for seed in 30..33 {
        let mut offices = Offices::new(seed);
        let third = offices.mac(offices.third);
        for (segment, expected) in [(X, [1, 0, 1]), (Y, [0, 1, 1]), (X, [1, 0, 1])] {
            let network = offices.network();
            // One frame, to anybody elsewhere: here to the third member.
            let frame = offices.speak(segment, third, station(9));
            assert_eq!(offices.heard(&frame, 100 * MS)[2], 1, "seed {seed}");
            let frame = offices.speak(Z, station(9), third);
            assert_eq!(offices.heard(&frame, 100 * MS), expected, "seed {seed}");
            let learned = |host| {
                let node = offices.lan.world.host(host).node().unwrap();
                node.shard().learned(network)
            };
            assert!(learned(offices.third) >= 1);
        }
    }
}

#[test]
fn a_station_that_flaps_is_held_counted_and_named() {
    let mut offices = Offices::new(40);
    let third = offices.mac(offices.third);
    for _ in 0..10 {
        for segment in [X, Y] {
            offices.speak(segment, third, station(9));
            offices.lan.world.run_for(50 * MS);
        }
    }
    let counters = offices.lan.world.host(offices.third).node().unwrap();
    let counters = counters.counters().groups();
    assert!(counters["drops"]["flapping"] >= 5, "{counters:?}");
    let named = offices.troubles(offices.third);
    let flapping = |told: &&(Address, Trouble)| told.1 == Trouble::Flapping(station(9));
    assert_eq!(named.iter().filter(flapping).count(), 1, "{named:?}");
    // It comes to rest, and is found where it rests.
    offices.lan.world.run_for(11 * SECOND);
    offices.speak(Y, third, station(9));
    offices.lan.world.run_for(100 * MS);
    offices.drain();
    let frame = offices.speak(Z, station(9), third);
    assert_eq!(offices.heard(&frame, 100 * MS), [0, 1, 1]);
}

#[test]
fn a_storm_stays_within_its_budget_and_leaves_unicast_alone() {
    let mut offices = Offices::new(50);
    let third = offices.mac(offices.third);
    offices.speak(X, third, station(1));
    offices.lan.world.run_for(SECOND);
    offices.drain();
    let mut count = [0; 2];
    let mut listen = |offices: &mut Offices| {
        for (_, frame) in offices.lan.world.segments.heard(Z) {
            let one = !frame.starts_with(&Mac::BROADCAST.to_bytes());
            count[usize::from(one)] += 1;
        }
        offices.drain();
    };
    for round in 0..4_000 {
        for _ in 0..10 {
            offices.speak(X, Mac::BROADCAST, station(1));
        }
        if round % 20 == 0 {
            offices.speak(X, third, station(1));
        }
        offices.lan.world.run_for(MS);
        listen(&mut offices);
    }
    offices.lan.world.run_for(SECOND);
    listen(&mut offices);
    let [storm, others] = count;
    assert!(
        (11_500..=12_100).contains(&storm),
        "2,000 a second, and 4,000: {storm}"
    );
    assert_eq!(others, 200, "to one receiver");
    let drops = offices.lan.world.host(offices.smaller).node().unwrap();
    let drops = drops.counters().groups()["drops"]["storm"];
    assert!(drops > 27_000, "{drops}");
    let told = offices.troubles(offices.smaller);
    let once = [(offices.address(offices.smaller), Trouble::Storm)];
    assert_eq!(told, once);
}

#[test]
fn a_mac_without_the_right_is_named_once_by_whom_and_where() {
    let mut offices = Offices::new(60);
    for _ in 0..50 {
        offices.speak(Z, Mac::BROADCAST, station(7));
        offices.lan.world.run_for(100 * MS);
    }
    let named = offices.troubles(offices.third);
    let once = [(offices.address(offices.third), Trouble::Claim(station(7)))];
    assert_eq!(named, once);
    let heard = offices.lan.world.segments.heard(X);
    assert!(
        heard
            .iter()
            .all(|(_, frame)| ProbeFrame::parse(frame).is_some())
    );
}

#[test]
fn a_path_that_leads_through_the_network_itself_is_given_up() {
    let mut offices = Offices::new(70);
    let (one, other) = (offices.smaller, offices.larger);
    let network = offices.network();
    assert!(offices.lan.is_direct(one, other));
    let [from, to] = [one, other].map(|host| offices.lan.world.net.address(host));
    let (std::net::SocketAddr::V4(from), std::net::SocketAddr::V4(to)) = (from, to) else {
        panic!("the simulator speaks IPv4");
    };
    // What the kernel does when the peer's address is found behind the bridge that the device is a port of.
    let mut frame = [
        &station(2).to_bytes()[..],
        &station(1).to_bytes(),
        &[0x08, 0, 0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0],
        &from.ip().octets(),
        &to.ip().octets(),
        &from.port().to_be_bytes(),
        &to.port().to_be_bytes(),
        &[0, 40, 0, 0],
    ]
    .concat();
    frame.resize(74, 4);
    offices.lan.world.station(network, X, &frame);
    assert_eq!(
        offices.heard(&frame, 10 * MS),
        [1, 0, 0],
        "it goes no further"
    );
    let path = offices.lan.path(one, other).unwrap();
    assert_eq!(path.kind, PathKind::Relay);
    let counters = offices.lan.world.counters();
    assert_eq!(counters["drops.tunnel"], 1);
    let told = |(_, event): &&(zt_engine::Mono, Event)| matches!(event, Event::Tunnel(..));
    assert!(
        offices
            .lan
            .world
            .host(one)
            .events()
            .iter()
            .any(|event| told(&event))
    );
    let frame = offices.speak(X, Mac::BROADCAST, station(1));
    assert_eq!(
        offices.heard(&frame, SECOND),
        [1, 1, 1],
        "the relay carries it"
    );
    // The other's probes are authentic, and yet the endpoint rests for a minute.
    offices.speak(Y, Mac::BROADCAST, station(2));
    offices.lan.world.run_for(20 * SECOND);
    let path = offices.lan.path(one, other).unwrap();
    assert_eq!(path.kind, PathKind::Relay);
}
