//! Who is a member, who is not any more, and how fast everybody knows.

use core::time::Duration;

use zt_engine::interface::{Command, Failure, Reply, Status};
use zt_sim::lan::make_network;
use zt_sim::{Behaviour, Internet, Kind, Lan};
use zt_wire::{KeyId, NetworkId};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_waiting_member_is_up_within_a_second_of_its_authorization() {
    for seed in 0..10 {
        let mut lan = Lan::private(seed, 1);
        let host = lan.join_behind(Behaviour::PORT_RESTRICTED);
        lan.world.run_for(3 * SECOND);
        assert_eq!(lan.status(host), Some(Status::Requesting));
        lan.authorize(host);
        let took = lan.wait_up(host, SECOND);
        assert!(took.is_some(), "seed {seed}");
        lan.world.check();
    }
}

#[test]
fn a_member_that_waited_for_an_hour_is_up_within_a_second_of_its_authorization() {
    let mut lan = Lan::private(11, 1);
    let host = lan.join_behind(Behaviour::PRESERVING);
    lan.world.run_for(Duration::from_hours(1));
    lan.authorize(host);
    assert!(lan.wait_up(host, SECOND).is_some());
    lan.world.check();
}

#[test]
fn a_member_put_out_is_cut_off_in_both_directions_within_five_seconds() {
    for (seed, behaviour) in [
        (1, Behaviour::FULL_CONE),
        (2, Behaviour::SYMMETRIC),
        (3, Behaviour::PORT_RESTRICTED),
    ] {
        let mut lan = Lan::private(seed, 1);
        let sites: Vec<_> = (0..4).map(|_| lan.world.net.site(behaviour)).collect();
        let hosts = lan.members(&sites);
        for other in &hosts[1..] {
            assert!(lan.reach(hosts[0], *other, 2 * SECOND).is_some());
        }
        lan.deauthorize(hosts[0]);
        // The model tells of each frame that passes five seconds after this.
        for _ in 0..100 {
            for other in &hosts[1..] {
                lan.world
                    .send(lan.network, hosts[0], *other, Kind::Experimental, 60);
                lan.world
                    .send(lan.network, *other, hosts[0], Kind::Experimental, 60);
            }
            lan.world.broadcast(lan.network, hosts[1], 60);
            lan.world.run_for(Duration::from_millis(100));
        }
        lan.world.check();
        assert!(
            lan.reach(hosts[1], hosts[2], 2 * SECOND).is_some(),
            "the others stay together"
        );
        lan.world.check();
    }
}

#[test]
fn who_was_put_out_and_let_in_again_is_back() {
    let mut lan = Lan::private(4, 1);
    let [one, two] = lan.pair_behind(Behaviour::FULL_CONE, Behaviour::PORT_RESTRICTED);
    assert!(lan.reach(one, two, 2 * SECOND).is_some());
    lan.deauthorize(one);
    lan.world.run_for(10 * SECOND);
    assert_eq!(lan.reach(two, one, 2 * SECOND), None);
    lan.authorize(one);
    assert!(lan.wait_up(one, 5 * SECOND).is_some());
    lan.world.run_for(SECOND);
    assert!(lan.reach(one, two, 2 * SECOND).is_some());
    assert!(lan.reach(two, one, 2 * SECOND).is_some());
    lan.world.check();
}

#[test]
fn a_revocation_spreads_among_members_while_the_controller_is_away() {
    let mut lan = Lan::private(5, 1);
    let hosts = lan.members(&[Internet::PUBLIC; 3]);
    let [witness, absent, outcast] = hosts[..] else {
        unreachable!()
    };
    for (one, other) in [(witness, absent), (witness, outcast), (absent, outcast)] {
        assert!(lan.reach(one, other, 2 * SECOND).is_some());
        assert!(lan.reach(other, one, 2 * SECOND).is_some());
    }
    lan.world.kill(absent);
    lan.deauthorize(outcast);
    lan.world.run_for(2 * SECOND);
    lan.world.kill(lan.controller);
    lan.world.start(absent);
    lan.world.run_for(3 * SECOND);
    assert!(lan.reach_again(absent, witness, 10 * SECOND).is_some());
    lan.world.run_for(5 * SECOND);
    assert_eq!(lan.reach_again(outcast, absent, 5 * SECOND), None);
    assert_eq!(lan.reach_again(absent, outcast, 5 * SECOND), None);
    lan.world.check();
}

#[test]
fn who_is_not_authorized_neither_gets_nor_gives_a_frame() {
    let mut lan = Lan::private(6, 1);
    let [one, two] = lan.pair(Internet::PUBLIC, Internet::PUBLIC);
    let stranger = lan.join(Internet::PUBLIC);
    lan.world.run_for(3 * SECOND);
    assert_eq!(lan.status(stranger), Some(Status::Requesting));
    assert_eq!(lan.reach(stranger, one, SECOND), None);
    lan.world.broadcast(lan.network, one, 60);
    assert!(lan.reach(one, two, SECOND).is_some());
    lan.world.run_for(2 * SECOND);
    lan.world.check();
}

#[test]
fn a_wrong_fingerprint_is_denied_and_an_unknown_network_is_not_found() {
    let mut lan = Lan::public(7, 1);
    let host = lan.world.leaf(Internet::PUBLIC);
    let fingerprint = Some(KeyId::from_bytes([7; 32]));
    let join = Command::Join {
        network: lan.network,
        fingerprint,
        token: None,
    };
    lan.world.ask(host, join, SECOND);
    lan.world.run_for(5 * SECOND);
    assert_eq!(lan.status(host), Some(Status::Denied));

    let unknown = NetworkId::new(lan.network.controller(), lan.network.number() ^ 1).unwrap();
    lan.world.ask(
        host,
        Command::Join {
            network: unknown,
            fingerprint: None,
            token: None,
        },
        SECOND,
    );
    lan.world.run_for(5 * SECOND);
    lan.network = unknown;
    assert_eq!(lan.status(host), Some(Status::NotFound));
    lan.world.check();
}

#[test]
fn a_member_that_restarts_while_the_controller_is_down_is_back_at_once() {
    let mut lan = Lan::private(8, 1);
    let [one, two] = lan.pair_behind(Behaviour::PORT_RESTRICTED, Behaviour::PRESERVING);
    assert!(lan.reach(one, two, 2 * SECOND).is_some());
    lan.world.kill(lan.controller);
    lan.world.kill(one);
    lan.world.run_for(5 * SECOND);
    lan.world.start(one);
    assert!(lan.wait_up(one, SECOND).is_some(), "from its disk alone");
    assert!(lan.reach_again(one, two, 10 * SECOND).is_some());
    assert!(lan.reach_again(two, one, 10 * SECOND).is_some());
    lan.world.check();
}

#[test]
fn a_controller_that_is_away_for_a_day_leaves_members_together_and_a_new_one_waiting() {
    let mut lan = Lan::private(9, 1);
    let [one, two] = lan.pair_behind(Behaviour::FULL_CONE, Behaviour::FULL_CONE);
    lan.world.kill(lan.controller);
    let late = lan.join(Internet::PUBLIC);
    for _ in 0..24 {
        lan.world.run_for(Duration::from_hours(1));
        assert!(lan.reach(one, two, 2 * SECOND).is_some());
    }
    assert_eq!(lan.status(late), Some(Status::Unreachable));
    lan.world.start(lan.controller);
    lan.authorize(late);
    assert!(lan.wait_up(late, Duration::from_mins(2)).is_some());
    lan.world.run_for(2 * SECOND);
    assert!(lan.reach(late, one, 2 * SECOND).is_some());
    lan.world.check();
}

#[test]
fn two_networks_of_one_host_do_not_mix() {
    let mut lan = Lan::public(10, 1);
    let [one, two] = lan.pair(Internet::PUBLIC, Internet::PUBLIC);
    let other_controller = lan.world.controller(Internet::PUBLIC);
    lan.world.run_for(SECOND);
    let first = lan.network;
    lan.network = make_network(&mut lan.world, other_controller, true);
    let controller = core::mem::replace(&mut lan.controller, other_controller);
    let third = lan.join(Internet::PUBLIC);
    lan.ask_to_join(one);
    assert!(lan.wait_up(third, 5 * SECOND).is_some());
    assert!(lan.wait_up(one, 5 * SECOND).is_some());
    lan.world.run_for(SECOND);
    assert!(lan.reach(one, third, 2 * SECOND).is_some());
    lan.world.broadcast(lan.network, one, 60);
    lan.world.broadcast(first, one, 60);
    (lan.network, lan.controller) = (first, controller);
    assert!(lan.reach(one, two, 2 * SECOND).is_some());
    assert_eq!(lan.reach(two, third, SECOND), None, "they share no network");
    lan.world.run_for(SECOND);
    lan.world.check();
}

#[test]
fn who_leaves_is_gone_from_the_network() {
    let mut lan = Lan::public(12, 1);
    let [one, two] = lan.pair(Internet::PUBLIC, Internet::PUBLIC);
    assert!(lan.reach(one, two, SECOND).is_some());
    assert!(matches!(
        lan.world.ask(two, Command::Leave(lan.network), SECOND),
        Some(Reply::Done)
    ));
    assert_eq!(lan.world.host(two).tap_plan(lan.network), None);
    assert_eq!(lan.reach(one, two, 2 * SECOND), None);
    let again = lan.world.ask(two, Command::Leave(lan.network), SECOND);
    assert!(matches!(again, Some(Reply::Failed(Failure::NoSuchNetwork))));
    lan.world.check();
}

#[test]
fn epochs_pass_and_members_stay() {
    let mut lan = Lan::private(13, 1);
    let [one, two] = lan.pair_behind(Behaviour::PORT_RESTRICTED, Behaviour::FULL_CONE);
    for epoch in 0..6 {
        lan.advance_epoch();
        lan.world.run_for(Duration::from_secs(30));
        assert!(
            lan.reach(one, two, 2 * SECOND).is_some(),
            "after {epoch} epochs"
        );
        assert!(
            lan.reach(two, one, 2 * SECOND).is_some(),
            "after {epoch} epochs"
        );
    }
    lan.world.check();
}
