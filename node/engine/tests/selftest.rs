//! Every kind of frame between two members, as frames of their devices and as a selftest tries them.

mod harness;

use std::net::Ipv4Addr;
use std::time::Duration;

use harness::authority::Authority;
use harness::{Net, somebody};
use zt_engine::Role;
use zt_engine::interface::{Command, Consent, Failure, Reply, SelftestReport, Verdict};
use zt_frames::{End, Ends, Policy};
use zt_wire::message::{Announced, List, Message, Selftest, SelftestStep};
use zt_wire::{Mac, NetworkId};

const SECOND: Duration = Duration::from_secs(1);
const CONTROLLER: u8 = 100;
const RUN: [u8; 6] = [1, 2, 3, 4, 5, 6];

/// A supernode, a controller with one network, and two members of it that have met.
struct Two {
    net: Net,
    controller: usize,
    first: usize,
    second: usize,
    network: NetworkId,
}

impl Two {
    fn new(nat: bool) -> Self {
        Self::over(nat, 1_472)
    }

    /// Over an underlay with UDP payloads of this size at most.
    fn over(nat: bool, mtu: usize) -> Self {
        let mut net = Net::new(1);
        net.mtu = mtu;
        let controller = net.add(CONTROLLER, Role::Controller, false);
        let network = NetworkId::new(net.address(controller), 1).unwrap();
        let (secret, who) = somebody(CONTROLLER);
        let mut authority = Authority::new(secret);
        authority.create(network, true);
        net.hosts[controller].authority = Some(authority);
        let (one, two) = (net.add(10, Role::Leaf, nat), net.add(11, Role::Leaf, nat));
        net.run(Duration::from_millis(200));
        for n in [one, two] {
            let join = Command::Join {
                network,
                fingerprint: Some(who.key()),
                token: None,
            };
            assert!(matches!(net.ask(n, join), Reply::Done));
        }
        net.run(2 * SECOND);
        Self {
            net,
            controller,
            first: one,
            second: two,
            network,
        }
    }

    fn agree(&mut self, n: usize, selftest: bool) {
        let consent = Consent {
            selftest,
            ..Consent::default()
        };
        let reply = self.net.ask(n, Command::Set(self.network, consent));
        assert!(matches!(reply, Reply::Done));
    }

    fn bridges(&mut self) {
        for n in [self.first, self.second] {
            let (network, address) = (self.network, self.net.address(n));
            let authority = self.net.hosts[self.controller].authority.as_mut().unwrap();
            for (to, message) in authority.bridge(network, address, true) {
                let push = Command::Push { to, message };
                self.net.command(self.controller, push);
            }
        }
        self.net.run(2 * SECOND);
    }

    fn end(&self, n: usize) -> End {
        let plan = &self.net.hosts[n].taps[&self.network];
        let ip = plan.addresses.iter().find_map(|(ip, _)| match ip {
            std::net::IpAddr::V4(ip) => Some(*ip),
            std::net::IpAddr::V6(_) => None,
        });
        End {
            mac: Mac::of(self.net.address(n), self.network).to_bytes(),
            ip: ip.unwrap_or(Ipv4Addr::UNSPECIFIED),
        }
    }

    fn ends(&self) -> Ends {
        Ends {
            from: self.end(self.first),
            to: self.end(self.second),
            directed: Ipv4Addr::new(10, 0, 0, 255),
            mtu: 1_500,
        }
    }

    fn test(&mut self, both: bool, limit: Duration) -> Reply {
        let (network, with) = (self.network, self.net.address(self.second));
        let command = Command::Selftest {
            network,
            with,
            both,
            limit,
        };
        let id = self.net.command(self.first, command);
        self.net.run(limit + SECOND);
        let replies = &mut self.net.hosts[self.first].replies;
        replies.remove(&id).expect("every test is replied to")
    }

    fn report(&mut self, both: bool) -> SelftestReport {
        match self.test(both, 15 * SECOND) {
            Reply::Selftest(report) => *report,
            other => panic!("{other:?}"),
        }
    }

    fn forget_frames(&mut self) {
        for host in &mut self.net.hosts {
            host.delivered.clear();
        }
    }

    /// Every kind from `from` to `to`, as frames of its device; what arrived has to be what may, in order, once.
    fn every_kind(&mut self, (from, to): (usize, usize), ends: &Ends, policy: Policy) {
        self.forget_frames();
        let (mut expected, mut sent) = (Vec::new(), Vec::new());
        for (kind, frame) in zt_frames::all(ends, RUN) {
            self.net.tap(from, self.network, &frame);
            self.net.run(Duration::from_millis(20));
            sent.push(frame.clone());
            if kind.needs.met(&policy) {
                expected.push((kind.name, frame));
            }
        }
        self.net.run(SECOND);
        let arrived: Vec<Vec<u8>> = std::mem::take(&mut self.net.hosts[to].delivered)
            .into_iter()
            .map(|(_, frame)| frame)
            // A bridge's switch puts probes of its own on the device.
            .filter(|frame| sent.contains(frame) || zt_frames::Mark::find(RUN, frame).is_some())
            .collect();
        for (name, frame) in &expected {
            assert!(arrived.contains(frame), "{name} did not cross");
        }
        let expected: Vec<Vec<u8>> = expected.into_iter().map(|(_, frame)| frame).collect();
        assert_eq!(arrived.len(), expected.len(), "something more than that");
        assert!(arrived == expected, "in another order");
    }
}

fn verdicts(report: &SelftestReport, wanted: Verdict) -> Vec<Vec<&str>> {
    report
        .ways
        .iter()
        .map(|way| {
            let frames = way.frames.iter().filter(|frame| frame.verdict == wanted);
            frames.map(|frame| frame.kind.as_str()).collect()
        })
        .collect()
}

#[test]
fn every_kind_crosses_both_ways_whole_once_and_in_order() {
    for nat in [false, true] {
        let mut two = Two::new(nat);
        let ends = two.ends();
        // A first frame makes them meet, so that no path changes underneath the others.
        let hello = zt_frames::burst(&ends, RUN, (1, 60)).remove(0);
        two.net.tap(two.first, two.network, &hello);
        two.net.run(4 * SECOND);
        let plain = Policy {
            listed: true,
            ..Policy::default()
        };
        two.every_kind((two.first, two.second), &ends, plain);
        two.every_kind((two.second, two.first), &ends.turned(), plain);
        two.bridges();
        let bridging = Policy {
            from_bridges: true,
            to_bridges: true,
            ..plain
        };
        two.every_kind((two.first, two.second), &ends, bridging);
        two.every_kind((two.second, two.first), &ends.turned(), bridging);
    }
}

#[test]
fn every_kind_crosses_a_path_at_the_floor() {
    let mut two = Two::over(false, 1_200);
    let ends = two.ends();
    let hello = zt_frames::burst(&ends, RUN, (1, 60)).remove(0);
    two.net.tap(two.first, two.network, &hello);
    two.net.run(6 * SECOND);
    let plain = Policy {
        listed: true,
        ..Policy::default()
    };
    two.every_kind((two.first, two.second), &ends, plain);
    two.every_kind((two.second, two.first), &ends.turned(), plain);
}

#[test]
fn a_selftest_tells_what_crossed_and_the_devices_hear_none_of_it() {
    let mut two = Two::new(true);
    two.agree(two.second, true);
    two.forget_frames();
    let report = two.report(true);
    assert!(report.whole, "the way back is there");
    assert_eq!(report.ways.len(), 2);
    let stopped = [
        "ARP request for a listed member",
        "ARP from a bridged host",
        "DHCP offer",
        "IPv6 router advertisement",
        "unknown unicast",
        "unicast from a bridged host",
        "spanning tree BPDU",
        "LLDP",
        "LACP",
        "EAPOL",
    ];
    for way in verdicts(&report, Verdict::Stopped) {
        assert_eq!(way, stopped);
    }
    for way in verdicts(&report, Verdict::Crossed) {
        assert_eq!(way.len() + stopped.len(), zt_frames::kinds(1_500).count());
    }
    for host in &two.net.hosts {
        assert!(host.delivered.is_empty(), "a device heard a test's frame");
    }
    // With the right, what needs a bridge crosses, too, and a second test finds nothing left of the first.
    two.bridges();
    let report = two.report(true);
    for way in verdicts(&report, Verdict::Stopped) {
        assert_eq!(way.len(), stopped.len() - 4, "{way:?}");
    }
    for bad in [
        Verdict::Lost,
        Verdict::Changed,
        Verdict::Repeated,
        Verdict::Reordered,
    ] {
        assert!(verdicts(&report, bad).iter().all(Vec::is_empty), "{bad:?}");
    }
}

#[test]
fn without_consent_no_frame_is_sent_and_consent_outlives_a_restart() {
    let mut two = Two::new(false);
    let reply = two.test(true, 5 * SECOND);
    assert!(
        matches!(reply, Reply::Failed(Failure::NotAgreed)),
        "{reply:?}"
    );
    two.agree(two.second, true);
    let saved = two.net.hosts[two.second].saved.last().cloned().unwrap();
    two.net.restart(two.second, 11, Role::Leaf);
    let restored = zt_engine::interface::Input::Restored(saved);
    two.net.input(two.second, restored);
    two.net.run(3 * SECOND);
    let report = two.report(false);
    assert_eq!(report.ways.len(), 1);
    assert!(verdicts(&report, Verdict::Lost)[0].is_empty());
    two.agree(two.second, false);
    let reply = two.test(false, 5 * SECOND);
    assert!(
        matches!(reply, Reply::Failed(Failure::NotAgreed)),
        "{reply:?}"
    );
}

#[test]
fn who_is_no_member_not_joined_or_not_there_is_told_apart() {
    let mut two = Two::new(false);
    let stranger = two.net.add(30, Role::Leaf, false);
    two.net.run(SECOND);
    let (member, network) = (two.second, two.network);
    two.second = stranger;
    let reply = two.test(true, 4 * SECOND);
    assert!(
        matches!(reply, Reply::Failed(Failure::NotMember)),
        "{reply:?}"
    );
    two.second = member;
    two.network = NetworkId::new(two.net.address(two.controller), 2).unwrap();
    let reply = two.test(true, SECOND);
    assert!(
        matches!(reply, Reply::Failed(Failure::NoSuchNetwork)),
        "{reply:?}"
    );
    two.network = network;
    two.net.hosts[member].up = false;
    let reply = two.test(true, 4 * SECOND);
    assert!(
        matches!(
            reply,
            Reply::Failed(Failure::TimedOut | Failure::NoSuchPeer | Failure::NotMember)
        ),
        "{reply:?}"
    );
}

#[test]
fn what_the_underlay_loses_is_told_as_lost() {
    let mut two = Two::new(false);
    two.agree(two.second, true);
    assert!(verdicts(&two.report(false), Verdict::Lost)[0].is_empty());
    two.net.loss = 20;
    let report = two.report(false);
    let lost = verdicts(&report, Verdict::Lost)[0].len();
    let crossed = verdicts(&report, Verdict::Crossed)[0].len();
    assert!(lost > 3 && crossed > 20, "{lost} lost, {crossed} crossed");
}

#[test]
fn only_announced_frames_are_kept_from_the_device_and_only_for_a_while() {
    let mut two = Two::new(false);
    two.agree(two.second, true);
    let ends = two.ends();
    let frames = zt_frames::burst(&ends, RUN, (2, 100));
    two.net.tap(two.first, two.network, &frames[1]);
    two.net.run(4 * SECOND);
    two.forget_frames();
    // A run that its sender never ends.
    let hash = zt_crypto::hash256(&frames[0]);
    let (count, bytes) = List::encode([Announced {
        fingerprint: *hash.first_chunk().unwrap(),
        length: 100,
        name: "a test",
    }]);
    let begin = Message::Selftest(Selftest {
        network: two.network,
        run: [9; 6],
        step: SelftestStep::Begin(List::of((count, &bytes)).unwrap()),
    });
    let to = two.net.address(two.second);
    let message = begin.to_vec();
    two.net.command(two.first, Command::Push { to, message });
    two.net.run(SECOND);
    for frame in &frames {
        two.net.tap(two.first, two.network, frame);
    }
    two.net.run(SECOND);
    let heard = |two: &mut Two| -> Vec<Vec<u8>> {
        let frames = std::mem::take(&mut two.net.hosts[two.second].delivered);
        frames.into_iter().map(|(_, frame)| frame).collect()
    };
    assert_eq!(heard(&mut two), [frames[1].clone()]);
    two.net.run(20 * SECOND);
    two.net.tap(two.first, two.network, &frames[0]);
    two.net.run(SECOND);
    assert_eq!(heard(&mut two), [frames[0].clone()]);
}
