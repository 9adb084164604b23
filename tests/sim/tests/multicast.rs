//! Broadcast and multicast: each member exactly once, nobody waits for one who is gone, and who does not listen is left alone.

use core::net::Ipv4Addr;
use core::time::Duration;

use zt_sim::{Behaviour, HostId, Internet, Lan};

const SECOND: Duration = Duration::from_secs(1);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const OTHER: Ipv4Addr = Ipv4Addr::new(239, 9, 9, 9);

/// Who of these has got the bytes after a second.
fn got(lan: &mut Lan, hosts: &[HostId], bytes: &[u8]) -> Vec<HostId> {
    lan.world.run_for(SECOND);
    let model = &lan.world.model;
    let mut got = hosts.to_vec();
    got.retain(|host| model.has_got(*host, bytes));
    got
}

fn multicast(lan: &mut Lan, from: HostId, group: Ipv4Addr) -> Vec<u8> {
    lan.world
        .multicast(lan.network, from, group, 100)
        .expect("a device")
}

#[test]
fn after_the_first_packet_only_listeners_get_a_group_and_a_join_counts_within_a_second() {
    for seed in 0..3 {
        let mut lan = Lan::private(seed, 1);
        let homes: Vec<_> = (0..4)
            .map(|_| lan.world.net.site(Behaviour::PORT_RESTRICTED))
            .collect();
        let hosts = lan.members(&homes);
        let (sender, others) = (hosts[0], &hosts[1..]);
        lan.world.listen(lan.network, hosts[1], GROUP, true);
        // Who has not said what it listens to gets everything: nobody may miss a packet before.
        let first = multicast(&mut lan, sender, GROUP);
        lan.world.run_for(2 * SECOND);
        assert_eq!(got(&mut lan, others, &first), others, "seed {seed}");
        let second = multicast(&mut lan, sender, GROUP);
        assert_eq!(got(&mut lan, others, &second), [hosts[1]], "seed {seed}");

        lan.world.listen(lan.network, hosts[2], GROUP, true);
        lan.world.run_for(SECOND);
        let third = multicast(&mut lan, sender, GROUP);
        assert_eq!(
            got(&mut lan, others, &third),
            [hosts[1], hosts[2]],
            "seed {seed}"
        );

        lan.world.listen(lan.network, hosts[1], GROUP, false);
        lan.world.run_for(SECOND);
        let fourth = multicast(&mut lan, sender, GROUP);
        assert_eq!(got(&mut lan, others, &fourth), [hosts[2]], "seed {seed}");

        // What no listener announces still goes to everybody.
        for group in [Ipv4Addr::new(224, 0, 0, 251), Ipv4Addr::new(239, 0, 0, 7)] {
            let bytes = multicast(&mut lan, sender, group);
            assert_eq!(got(&mut lan, others, &bytes), others, "seed {seed} {group}");
        }
        let all = lan.world.broadcast(lan.network, sender, 100).unwrap();
        assert_eq!(got(&mut lan, others, &all), others, "seed {seed}");
        lan.world.check();
    }
}

#[test]
fn a_join_is_told_although_datagrams_are_lost() {
    let mut lan = Lan::private(11, 1);
    let hosts = lan.members(&[Internet::PUBLIC; 3]);
    let others = &hosts[1..];
    for host in others {
        lan.reach(hosts[0], *host, SECOND).expect("a session");
    }
    lan.world.run_for(2 * SECOND);
    let narrowed = multicast(&mut lan, hosts[0], OTHER);
    assert!(got(&mut lan, others, &narrowed).is_empty());
    lan.world.net.weather.loss = 500;
    lan.world.listen(lan.network, hosts[1], OTHER, true);
    lan.world.run_for(10 * SECOND);
    lan.world.net.weather.loss = 0;
    let heard = multicast(&mut lan, hosts[0], OTHER);
    assert_eq!(got(&mut lan, others, &heard), [hosts[1]]);
    lan.world.check();
}

#[test]
fn a_bridge_is_never_counted_out() {
    let mut lan = Lan::private(12, 1);
    let hosts = lan.members(&[Internet::PUBLIC; 3]);
    lan.bridge(hosts[2]);
    lan.world.run_for(2 * SECOND);
    let others = &hosts[1..];
    let first = multicast(&mut lan, hosts[0], GROUP);
    assert_eq!(got(&mut lan, others, &first), others);
    let second = multicast(&mut lan, hosts[0], GROUP);
    assert_eq!(got(&mut lan, others, &second), [hosts[2]]);
    lan.world.check();
}

#[test]
fn a_dead_member_does_not_hold_up_the_others_and_nothing_is_missing_after_a_quarter_of_an_hour() {
    let mut lan = Lan::private(13, 1);
    let hosts = lan.members(&[Internet::PUBLIC; 6]);
    let others = &hosts[1..];
    let first = lan.world.broadcast(lan.network, hosts[0], 200).unwrap();
    assert_eq!(got(&mut lan, others, &first), others);
    let (dead, alive) = (hosts[3], [hosts[1], hosts[2], hosts[4], hosts[5]]);
    lan.world.kill(dead);
    for _ in 0..30 {
        let bytes = lan.world.broadcast(lan.network, hosts[0], 200).unwrap();
        let within = Duration::from_millis(300);
        let reached = lan.world.run_until(within, |world| {
            alive.iter().all(|host| world.model.has_got(*host, &bytes))
        });
        assert!(reached.is_some(), "one unreachable member stops others");
        lan.world.run_for(Duration::from_millis(700));
    }
    // The sessions lapse meanwhile.
    lan.world.run_for(Duration::from_mins(15));
    for _ in 0..3 {
        let bytes = lan.world.broadcast(lan.network, hosts[0], 1_400).unwrap();
        lan.world.run_for(Duration::from_millis(20));
        assert!(lan.world.model.receivers(&bytes) <= alive.len());
    }
    let last = lan.world.broadcast(lan.network, hosts[0], 1_400).unwrap();
    assert_eq!(got(&mut lan, &alive, &last), alive);
    lan.world.check();
}
