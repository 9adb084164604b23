//! Things go wrong: links, routers, supernodes, attackers. What may never happen does not, and afterwards all is well.

use core::time::Duration;

use zt_crypto::pow::{Params, verify};
use zt_crypto::{SecretIdentity, Verified};
use zt_engine::interface::{Command, Event, Info, Reply};
use zt_sim::{Behaviour, HostId, Internet, Kind, Lan, Recorded, Weather, World};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn lost_repeated_and_reordered_datagrams_make_no_frame_come_twice_or_changed() {
    let mut lan = Lan::private(1, 2);
    let sites: Vec<_> = (0..4)
        .map(|_| lan.world.net.site(Behaviour::PORT_RESTRICTED))
        .collect();
    let hosts = lan.members(&sites);
    lan.world.net.weather = Weather {
        loss: 100,
        duplicate: 100,
        reorder: 200,
        mtu: 1472,
    };
    let mut sent = Vec::new();
    for round in 0..200 {
        let (from, to) = (hosts[round % 4], hosts[(round / 4 + round + 1) % 4]);
        if from != to {
            let frame = lan
                .world
                .send(lan.network, from, to, Kind::Experimental, 8 + round * 7);
            sent.push((to, frame.unwrap()));
        }
        lan.world.run_for(Duration::from_millis(40));
    }
    lan.world.run_for(5 * SECOND);
    let lost = lan.missing(&sent);
    // A tenth of the datagrams is lost, frames of two fragments or over a relay twice as often.
    assert!(lost * 2 < sent.len(), "{lost} of {} lost", sent.len());
    lan.world.check();
    lan.world.net.weather = Weather::FAIR;
    lan.world.run_for(5 * SECOND);
    for pair in hosts.windows(2) {
        assert!(lan.reach(pair[0], pair[1], 2 * SECOND).is_some());
    }
    lan.world.check();
}

#[test]
fn members_join_and_meet_in_a_storm() {
    let mut lan = Lan::public(2, 2);
    lan.world.net.weather = Weather {
        loss: 200,
        ..Weather::STORM
    };
    let hosts: Vec<HostId> = (0..5)
        .map(|_| lan.join_behind(Behaviour::PORT_RESTRICTED))
        .collect();
    for host in &hosts {
        assert!(
            lan.wait_up(*host, Duration::from_mins(1)).is_some(),
            "{host:?}"
        );
    }
    lan.world.run_for(5 * SECOND);
    for pair in hosts.windows(2) {
        assert!(
            lan.reach_again(pair[0], pair[1], Duration::from_secs(30))
                .is_some()
        );
    }
    lan.world.check();
}

#[test]
fn a_member_that_roams_is_reached_again_within_five_seconds() {
    for seed in 0..5 {
        let mut lan = Lan::private(seed, 1);
        let [one, two] = lan.pair_behind(Behaviour::PORT_RESTRICTED, Behaviour::FULL_CONE);
        assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
        let elsewhere = lan.world.net.site(Behaviour::RESTRICTED);
        lan.world.roam(one, elsewhere);
        assert!(
            lan.reach_again(one, two, 5 * SECOND).is_some(),
            "seed {seed}"
        );
        assert!(
            lan.reach_again(two, one, 5 * SECOND).is_some(),
            "seed {seed}"
        );
        assert!(
            lan.wait_direct(one, two, Duration::from_secs(20)).is_some(),
            "seed {seed}"
        );
        lan.world.check();
    }
}

#[test]
fn a_router_that_forgets_its_mappings_is_survived() {
    for (seed, behaviour) in [
        (1, Behaviour::PORT_RESTRICTED),
        (2, Behaviour::FULL_CONE),
        (3, Behaviour::PRESERVING),
    ] {
        let mut lan = Lan::private(seed, 1);
        let [one, two] = lan.pair_behind(behaviour, Behaviour::FULL_CONE);
        assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
        let site = lan.world.net.site_of(one);
        lan.world.net.rebind(site);
        // Nobody can reach it before it speaks; it does within a keepalive.
        assert!(
            lan.reach_again(two, one, Duration::from_secs(27)).is_some(),
            "seed {seed}"
        );
        assert!(lan.reach_again(one, two, SECOND).is_some(), "seed {seed}");
        assert!(
            lan.wait_direct(one, two, 5 * SECOND).is_some(),
            "seed {seed}"
        );
        // When it speaks first, the others know at once.
        lan.world.net.rebind(site);
        assert!(
            lan.reach_again(one, two, 5 * SECOND).is_some(),
            "seed {seed}"
        );
        assert!(
            lan.reach_again(two, one, 5 * SECOND).is_some(),
            "seed {seed}"
        );
        assert!(
            lan.wait_direct(one, two, Duration::from_secs(10)).is_some(),
            "seed {seed}"
        );
        lan.world.check();
    }
}

#[test]
fn a_silent_members_mapping_is_kept_open_or_made_again() {
    let mut lan = Lan::private(4, 1);
    let [one, two] = lan.pair_behind(Behaviour::PRESERVING, Behaviour::PORT_RESTRICTED);
    assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
    for _ in 0..20 {
        lan.world.run_for(Duration::from_secs(97));
        assert!(lan.reach(two, one, SECOND).is_some());
        assert!(lan.reach(one, two, SECOND).is_some());
    }
    lan.world.check();
}

#[test]
fn members_keep_meeting_when_a_supernode_dies() {
    let mut lan = Lan::private(5, 2);
    let [one, two] = lan.pair_behind(Behaviour::SYMMETRIC, Behaviour::SYMMETRIC);
    assert!(lan.reach(one, two, 2 * SECOND).is_some());
    for (dead, alive) in [(HostId(0), HostId(1)), (HostId(1), HostId(0))] {
        lan.world.start_if_dead(alive);
        lan.world.run_for(Duration::from_secs(30));
        lan.world.kill(dead);
        assert!(lan.reach_again(one, two, Duration::from_secs(15)).is_some());
        assert!(lan.reach_again(two, one, Duration::from_secs(15)).is_some());
        let late = lan.join_behind(Behaviour::SYMMETRIC);
        lan.authorize(late);
        assert!(lan.wait_up(late, Duration::from_secs(30)).is_some());
        lan.world.run_for(2 * SECOND);
        assert!(
            lan.reach_again(late, one, Duration::from_secs(15))
                .is_some()
        );
    }
    lan.world.check();
}

#[test]
fn direct_members_stay_together_without_any_supernode() {
    let mut lan = Lan::private(6, 1);
    let [one, two] = lan.pair_behind(Behaviour::PORT_RESTRICTED, Behaviour::PORT_RESTRICTED);
    assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
    lan.world.kill(HostId(0));
    for _ in 0..10 {
        lan.world.run_for(Duration::from_mins(1));
        assert!(lan.reach(one, two, SECOND).is_some());
        assert!(lan.reach(two, one, SECOND).is_some());
    }
    lan.world.start(HostId(0));
    lan.world.run_for(Duration::from_secs(30));
    let late = lan.join(Internet::PUBLIC);
    lan.authorize(late);
    assert!(
        lan.wait_up(late, Duration::from_secs(20)).is_some(),
        "all is as before"
    );
    lan.world.check();
}

#[test]
fn a_recording_played_back_delivers_nothing_again() {
    let mut lan = Lan::private(7, 1);
    let [one, two] = lan.pair_behind(Behaviour::FULL_CONE, Behaviour::SYMMETRIC);
    lan.world.record();
    for _ in 0..50 {
        lan.reach(one, two, SECOND);
        lan.reach(two, one, SECOND);
    }
    let tape = lan.world.recorded();
    let delivered = lan.world.model.delivered();
    for elsewhere in [false, true] {
        for datagram in &tape {
            let from = if elsewhere {
                "198.51.100.66:6666".parse().unwrap()
            } else {
                datagram.from
            };
            lan.world.inject(Recorded {
                from,
                ..datagram.clone()
            });
        }
        lan.world.run_for(SECOND);
    }
    assert_eq!(lan.world.model.delivered(), delivered);
    assert!(lan.world.counters()["drops.replayed"] > 0);
    assert!(lan.reach(one, two, SECOND).is_some(), "and harms nothing");
    assert!(lan.reach(two, one, SECOND).is_some(), "and harms nothing");
    lan.world.check();
}

#[test]
fn changed_datagrams_are_dropped_and_harm_nothing() {
    let mut lan = Lan::private(8, 1);
    let [one, two] = lan.pair(Internet::PUBLIC, Internet::PUBLIC);
    lan.world.record();
    for _ in 0..20 {
        lan.reach(one, two, SECOND);
    }
    let tape = lan.world.recorded();
    let delivered = lan.world.model.delivered();
    for (at, datagram) in tape.iter().cycle().take(3000).enumerate() {
        let mut changed = datagram.clone();
        let len = changed.bytes.len();
        changed.bytes[at * 31 % len] ^= 1 << (at % 8);
        if at % 5 == 0 {
            changed.bytes.truncate(at % len);
        }
        lan.world.inject(changed);
    }
    lan.world.run_for(SECOND);
    assert_eq!(lan.world.model.delivered(), delivered);
    assert!(lan.reach(one, two, SECOND).is_some());
    assert!(lan.reach(two, one, SECOND).is_some());
    lan.world.check();
}

/// Two keys whose proof of work leads to one address, found by looking at four million identities.
fn twins() -> [(SecretIdentity, Verified); 2] {
    let make = |(seed, nonce): (u8, u64)| {
        let secret = SecretIdentity::from_seed(&[seed; 32], nonce);
        let verified = verify(secret.public(), &Params::WEAK).unwrap();
        (secret, verified)
    };
    TWINS.map(make)
}

const TWINS: [(u8, u64); 2] = [(1, 1_271_551), (2, 138_021)];

#[test]
fn of_two_keys_with_one_address_the_first_keeps_it_and_the_second_is_told() {
    let mut lan = Lan::public(9, 2);
    let [first, second] = twins();
    assert_eq!(first.1.address(), second.1.address());
    assert_ne!(first.1.key(), second.1.key());
    let first = lan.world.leaf_with(first, Internet::PUBLIC);
    lan.ask_to_join(first);
    assert!(lan.wait_up(first, 5 * SECOND).is_some());
    let other = lan.join(Internet::PUBLIC);
    let second = lan.world.leaf_with(second, Internet::PUBLIC);
    let fingerprint = None;
    lan.world.ask(
        second,
        Command::Join {
            network: lan.network,
            fingerprint,
            token: None,
        },
        SECOND,
    );
    assert!(lan.wait_up(other, 5 * SECOND).is_some());
    lan.world.run_for(10 * SECOND);
    let collided = |world: &World, host| {
        world
            .host(host)
            .events()
            .iter()
            .any(|(_, event)| matches!(event, Event::Collision(_)))
    };
    assert!(collided(&lan.world, second));
    assert!(!collided(&lan.world, first));
    assert!(
        info(&mut lan.world, second).collision,
        "it keeps running and says so"
    );
    assert!(lan.reach(other, first, 2 * SECOND).is_some());
    assert!(lan.reach(first, other, 2 * SECOND).is_some());
    lan.world.check();
}

fn info(world: &mut World, host: HostId) -> Info {
    match world.ask(host, Command::Info, SECOND) {
        Some(Reply::Info(info)) => info,
        other => panic!("expected info, found {other:?}"),
    }
}

#[test]
fn a_newer_world_told_to_one_supernode_reaches_every_node() {
    let mut lan = Lan::public(10, 2);
    let hosts: Vec<HostId> = (0..4)
        .map(|_| lan.join_behind(Behaviour::PORT_RESTRICTED))
        .collect();
    lan.world.run_for(5 * SECOND);
    let newer = lan.world.next_world(|world| world.name = "renamed".into());
    assert!(matches!(
        lan.world
            .ask(HostId(0), Command::AdoptWorld(newer.clone()), SECOND),
        Some(Reply::Done)
    ));
    lan.world.run_for(Duration::from_mins(1));
    for host in hosts {
        assert_eq!(info(&mut lan.world, host).world_serial, 2, "{host:?}");
    }
    let again = lan.world.ask(HostId(0), Command::AdoptWorld(newer), SECOND);
    assert!(
        matches!(again, Some(Reply::Failed(_))),
        "it is not newer any more"
    );
    lan.world.check();
}

#[test]
fn a_narrow_link_is_measured_and_frames_pass_it_in_fragments() {
    let mut lan = Lan::private(11, 1);
    lan.world.net.weather.mtu = 1300;
    let [one, two] = lan.pair_behind(Behaviour::FULL_CONE, Behaviour::FULL_CONE);
    assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
    lan.world.run_for(10 * SECOND);
    let mut sent = Vec::new();
    for _ in 0..50 {
        sent.push((
            two,
            lan.world
                .send(lan.network, one, two, Kind::Experimental, 1500)
                .unwrap(),
        ));
        lan.world.run_for(Duration::from_millis(20));
    }
    lan.world.run_for(SECOND);
    assert_eq!(lan.missing(&sent), 0);
    let mtu = lan.path(one, two).unwrap().mtu;
    assert!((1200..=1300).contains(&mtu), "{mtu}");
    // The link becomes narrower still: a black hole, found and gone around.
    lan.world.net.weather.mtu = 1220;
    assert!(lan.reach_again(one, two, 15 * SECOND).is_some());
    let wide = lan
        .world
        .send(lan.network, one, two, Kind::Experimental, 1500)
        .unwrap();
    lan.world.run_for(Duration::from_secs(20));
    let late = lan
        .world
        .send(lan.network, one, two, Kind::Experimental, 1500)
        .unwrap();
    lan.world.run_for(SECOND);
    assert!(lan.world.model.has_got(two, &wide) || lan.world.model.has_got(two, &late));
    lan.world.check();
}
