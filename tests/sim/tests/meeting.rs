//! Members meet: through relays at once, directly where their routers let them, without a lost frame.

use core::time::Duration;

use zt_engine::interface::PathKind;
use zt_sim::{Behaviour, HostId, Internet, Kind, Lan};

const SECOND: Duration = Duration::from_secs(1);

const NATS: [Behaviour; 5] = [
    Behaviour::FULL_CONE,
    Behaviour::RESTRICTED,
    Behaviour::PORT_RESTRICTED,
    Behaviour::PRESERVING,
    Behaviour::SYMMETRIC,
];

#[test]
fn two_members_on_the_internet_reach_each_other() {
    let mut lan = Lan::private(1, 1);
    let [one, two] = lan.pair(Internet::PUBLIC, Internet::PUBLIC);
    assert!(lan.reach(one, two, SECOND).is_some());
    assert!(lan.reach(two, one, SECOND).is_some());
    lan.world.check();
}

#[test]
fn the_same_seed_makes_the_same_run_and_another_seed_another() {
    let run = |seed| {
        let mut lan = Lan::public(seed, 2);
        let hosts: Vec<HostId> = (0..6)
            .map(|_| lan.join_behind(Behaviour::PORT_RESTRICTED))
            .collect();
        lan.world.run_for(5 * SECOND);
        for pair in hosts.windows(2) {
            lan.reach(pair[0], pair[1], 5 * SECOND);
        }
        lan.world.check();
        (lan.world.trace(), lan.world.counts())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn members_behind_each_pair_of_nats_lose_no_frame_and_go_direct_where_it_is_possible() {
    for (at, one) in (0..).zip(NATS) {
        for (other, two) in (0..).zip(NATS) {
            meet_behind(one, two, 100 + at * 10 + other);
        }
    }
}

fn meet_behind(one: Behaviour, two: Behaviour, seed: u64) {
    let mut lan = Lan::private(seed, 1);
    let [a, b] = lan.pair_behind(one, two);
    let mut sent = Vec::new();
    for _ in 0..100 {
        for (from, to) in [(a, b), (b, a)] {
            let frame = lan
                .world
                .send(lan.network, from, to, Kind::Experimental, 200);
            sent.push((to, frame.unwrap()));
        }
        lan.world.run_for(Duration::from_millis(50));
    }
    lan.world.run_for(SECOND);
    let lost = lan.missing(&sent);
    assert_eq!(
        lost,
        0,
        "of {} frames while {one:?} meets {two:?}",
        sent.len()
    );
    assert_eq!(
        lan.is_direct(a, b),
        one.can_meet(two),
        "{one:?} meets {two:?}"
    );
    lan.world.check();
}

#[test]
fn members_in_one_home_meet_on_its_lan() {
    let mut lan = Lan::private(2, 1);
    let home = lan.world.net.site(Behaviour::SYMMETRIC);
    let [one, two] = lan.pair(home, home);
    assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
    let there = lan.world.net.address(two);
    assert_eq!(lan.path(one, two).unwrap().endpoint, Some(there));
    lan.world.check();
}

#[test]
fn frames_of_every_kind_and_size_arrive_as_they_left_directly_and_relayed() {
    for (behaviour, kind) in [
        (Behaviour::FULL_CONE, PathKind::Direct),
        (Behaviour::SYMMETRIC, PathKind::Relay),
    ] {
        let mut lan = Lan::private(3, 1);
        let [one, two] = lan.pair_behind(behaviour, behaviour);
        lan.wait_direct(one, two, 3 * SECOND);
        assert_eq!(lan.path(one, two).unwrap().kind, kind);
        let mut sent = Vec::new();
        for encapsulation in Kind::ALL {
            let most = 1502 - encapsulation.head();
            for payload in [8, 46, 100, 1000, 1180, 1400, most - 1, most] {
                for (from, to) in [(one, two), (two, one)] {
                    let frame = lan
                        .world
                        .send(lan.network, from, to, encapsulation, payload);
                    sent.push((to, frame.unwrap()));
                }
                lan.world.run_for(Duration::from_millis(10));
            }
        }
        lan.world.run_for(SECOND);
        assert_eq!(lan.missing(&sent), 0, "of {} over {kind:?}", sent.len());
        lan.world.check();
    }
}

#[test]
fn a_broadcast_reaches_every_member_once() {
    let mut lan = Lan::public(4, 2);
    let sites: Vec<_> = (0..10).map(|at| lan.world.net.site(NATS[at % 5])).collect();
    let hosts = lan.members(&sites);
    for round in 0..3 {
        let frame = lan.world.broadcast(lan.network, hosts[round], 300).unwrap();
        lan.world.run_for(3 * SECOND);
        assert_eq!(
            lan.world.model.receivers(&frame),
            hosts.len() - 1,
            "round {round}"
        );
    }
    lan.world.check();
}

#[test]
fn frames_in_order_stay_in_order_over_a_fair_network() {
    let mut lan = Lan::private(5, 1);
    let [one, two] = lan.pair_behind(Behaviour::PRESERVING, Behaviour::FULL_CONE);
    assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
    lan.world.host_mut(two).keep_frames();
    let sent: Vec<Vec<u8>> = (0..200)
        .map(|at| {
            let frame = lan.world.send(
                lan.network,
                one,
                two,
                Kind::Experimental,
                100 + 7 * (at % 200),
            );
            lan.world.run_for(Duration::from_micros(300));
            frame.unwrap()
        })
        .collect();
    lan.world.run_for(SECOND);
    assert_eq!(lan.world.host_mut(two).kept_frames(), sent);
    lan.world.check();
}

#[test]
fn two_members_far_apart_in_time_meet_again_after_their_sessions_lapsed() {
    let mut lan = Lan::private(6, 1);
    let [one, two] = lan.pair_behind(Behaviour::PORT_RESTRICTED, Behaviour::PORT_RESTRICTED);
    assert!(lan.reach(one, two, SECOND).is_some());
    lan.world.run_for(Duration::from_mins(30));
    assert!(lan.reach(one, two, 2 * SECOND).is_some());
    assert!(lan.reach(two, one, 2 * SECOND).is_some());
    lan.world.check();
}
