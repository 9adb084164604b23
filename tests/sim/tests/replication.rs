//! Broadcasts in networks of two to a thousand members, with replicators and without: each member exactly once.

use core::time::Duration;

use zt_sim::{HostId, Internet, Lan};

const SECOND: Duration = Duration::from_secs(1);

/// Members on the Internet, of which the first `replicators` after the sender may replicate.
fn network(seed: u64, members: usize, replicators: usize) -> (Lan, Vec<HostId>) {
    let mut lan = Lan::public(seed, 2);
    let mut hosts = Vec::new();
    for _ in 0..members {
        hosts.push(lan.join(Internet::PUBLIC));
        lan.world.run_for(Duration::from_millis(5));
    }
    let id = lan.network;
    let up = lan.world.run_until(Duration::from_mins(1), |world| {
        hosts
            .iter()
            .all(|host| world.host(*host).tap_plan(id).is_some())
    });
    assert!(up.is_some(), "{members} members do not come up");
    for host in &hosts[1..=replicators] {
        lan.replicator(*host);
    }
    lan.world.run_for(10 * SECOND);
    (lan, hosts)
}

/// Sends a broadcast and waits until these have got it; how long it took.
fn reaches(lan: &mut Lan, from: HostId, to: &[HostId], payload: usize) -> Option<Duration> {
    let bytes = lan.world.broadcast(lan.network, from, payload)?;
    let took = lan.world.run_until(5 * SECOND, |world| {
        world.model.receivers(&bytes) >= to.len()
            && to.iter().all(|host| world.model.has_got(*host, &bytes))
    });
    if took.is_none() {
        let got = lan.world.model.receivers(&bytes);
        println!("{got} of {} got it", to.len());
    }
    took
}

fn replicated(lan: &Lan) -> u64 {
    lan.world.counters()["frames.tx-replicated"]
}

fn copies(lan: &Lan, host: HostId) -> u64 {
    let node = lan.world.host(host).node().expect("a running node");
    node.counters()
        .count(zt_engine::counters::Count::FrameCopies)
}

/// First contact, then several frames, then one after a quarter of an idle hour.
fn story(members: usize, replicators: usize) {
    let (mut lan, hosts) = network(members as u64, members, replicators);
    let (sender, others) = (hosts[0], &hosts[1..]);
    for payload in [100, 1_400] {
        let took = reaches(&mut lan, sender, others, payload);
        assert!(
            took.is_some(),
            "{members} members, {replicators} replicators"
        );
    }
    let before = (copies(&lan, sender), replicated(&lan));
    let took = reaches(&mut lan, sender, others, 1_400).expect("everybody");
    let own = copies(&lan, sender) - before.0;
    let passed = replicated(&lan) - before.1;
    println!(
        "{members} members, {replicators} replicators: {own} copies of its own, {passed} passed on, {took:?}"
    );
    if replicators > 0 && members > 33 {
        // Replicators get their own copy from the sender, too.
        let most = 32 + replicators as u64;
        assert!((32..=most).contains(&own), "{own} copies");
        assert_eq!(own + passed, members as u64 - 1);
    } else {
        assert_eq!((own, passed), (members as u64 - 1, 0));
    }
    lan.world.run_for(Duration::from_mins(15));
    let took = reaches(&mut lan, sender, others, 1_000);
    assert!(
        took.is_some(),
        "after idling: {members} members, {replicators} replicators"
    );
    lan.world.run_for(6 * SECOND);
    lan.world.check();
}

#[test]
fn two_and_thirty_three_members_hear_each_broadcast_once() {
    story(2, 0);
    story(33, 0);
}

#[test]
fn a_hundred_members_hear_each_broadcast_once_without_replicators() {
    story(100, 0);
}

#[test]
fn a_hundred_members_hear_each_broadcast_once_over_replicators() {
    story(100, 3);
}

#[test]
fn a_thousand_members_hear_each_broadcast_once_without_replicators() {
    story(1_000, 0);
}

#[test]
fn a_thousand_members_hear_each_broadcast_once_over_replicators() {
    story(1_000, 4);
}

#[test]
fn a_dead_replicator_s_share_goes_to_others_within_a_second() {
    let (mut lan, hosts) = network(7, 60, 3);
    let (sender, others) = (hosts[0], &hosts[1..]);
    assert!(reaches(&mut lan, sender, others, 500).is_some());
    let dead = hosts[2];
    lan.world.kill(dead);
    let alive: Vec<HostId> = others
        .iter()
        .copied()
        .filter(|host| *host != dead)
        .collect();
    // What was in flight when it died may be lost, until its silence is noticed.
    let mut frames = Vec::new();
    for _ in 0..20 {
        frames.push(lan.world.broadcast(lan.network, sender, 500).unwrap());
        lan.world.run_for(Duration::from_millis(100));
    }
    lan.world.run_for(SECOND);
    let missing = |bytes: &Vec<u8>| {
        alive
            .iter()
            .filter(|host| !lan.world.model.has_got(**host, bytes))
            .count()
    };
    let lost: Vec<usize> = frames.iter().map(missing).collect();
    assert!(lost[7..].iter().all(|lost| *lost == 0), "{lost:?}");
    // All replicators gone: the sender does it alone.
    for host in [hosts[1], hosts[3]] {
        lan.world.kill(host);
    }
    let alive: Vec<HostId> = hosts[4..].to_vec();
    lan.world.run_for(SECOND);
    for _ in 0..10 {
        lan.world.broadcast(lan.network, sender, 500);
        lan.world.run_for(Duration::from_millis(200));
    }
    let took = reaches(&mut lan, sender, &alive, 500).expect("everybody left");
    assert!(took < 4 * SECOND, "{took:?}");
    lan.world.check();
}

#[test]
fn each_of_sixty_sends_and_everybody_hears_all_although_they_have_never_met() {
    let (mut lan, hosts) = network(8, 60, 2);
    let frames: Vec<(HostId, Vec<u8>)> = hosts
        .iter()
        .map(|host| (*host, lan.world.broadcast(lan.network, *host, 300).unwrap()))
        .collect();
    lan.world.run_for(6 * SECOND);
    let lost = frames
        .iter()
        .filter(|(_, bytes)| lan.world.model.receivers(bytes) != 59)
        .count();
    let drops = lan.world.counters().into_iter();
    let drops: Vec<_> = drops
        .filter(|(name, count)| name.starts_with("drops") && *count > 0)
        .collect();
    assert_eq!(lost, 0, "of 60 are not everywhere: {drops:?}");
    lan.world.check();
}
