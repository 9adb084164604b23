//! Nodes that meet: through a supernode first, straight soon after, and again after trouble.

mod harness;

use std::time::Duration;

use harness::{Net, somebody};
use zt_engine::Role;
use zt_engine::interface::{Command, Event, PathKind, Reply};

const SECOND: Duration = Duration::from_secs(1);

fn direct(net: &mut Net, n: usize, peer: usize) -> bool {
    let address = net.address(peer);
    let Reply::Peers(peers) = net.ask(n, Command::Peers) else {
        panic!("peers")
    };
    let peer = peers
        .iter()
        .find(|info| info.address == address)
        .expect("known");
    peer.path.is_some_and(|path| path.kind == PathKind::Direct)
}

#[test]
fn a_leaf_comes_online_within_a_few_round_trips() {
    let mut net = Net::new(1);
    let leaf = net.add(10, Role::Leaf, true);
    net.run(Duration::from_millis(100));
    assert!(
        matches!(net.hosts[leaf].events.as_slice(), [Event::Online(_)]),
        "{:?}",
        net.hosts[leaf].events
    );
    let Reply::Info(info) = net.ask(leaf, Command::Info) else {
        panic!("info")
    };
    assert!(info.online);
    assert_eq!(info.observed, [net.hosts[leaf].public]);
}

#[test]
fn two_leaves_behind_routers_meet_by_relay_and_go_direct() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, true);
    let two = net.add(11, Role::Leaf, true);
    net.run(Duration::from_millis(100));
    let reply = net.ping(one, two, SECOND * 2);
    let Reply::Pong(rtt, _) = reply else {
        panic!("{reply:?}")
    };
    assert!(rtt <= Duration::from_millis(25), "{rtt:?}");
    net.run(SECOND);
    assert!(
        direct(&mut net, one, two),
        "{:?}",
        net.ask(one, Command::Why(net.address(two)))
    );
    assert!(direct(&mut net, two, one));
    assert!(
        matches!(net.ping(two, one, SECOND), Reply::Pong(rtt, PathKind::Direct) if rtt <= Duration::from_millis(11))
    );
}

#[test]
fn cold_nodes_ping_within_a_fraction_of_a_second() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, false);
    let two = net.add(11, Role::Leaf, false);
    let began = net.now;
    assert!(matches!(net.ping(one, two, SECOND * 2), Reply::Pong(..)));
    let took = net.now.since(began);
    assert!(took < Duration::from_millis(250), "{took:?}");
}

#[test]
fn an_unknown_address_is_told_as_such() {
    let mut net = Net::new(2);
    let one = net.add(10, Role::Leaf, false);
    net.run(SECOND);
    let (_, nobody) = somebody(200);
    let id = net.command(
        one,
        Command::Ping {
            to: nobody.address(),
            limit: SECOND * 20,
        },
    );
    net.run(SECOND * 20);
    let reply = net.hosts[one].replies.remove(&id);
    assert!(
        matches!(
            reply,
            Some(Reply::Failed(zt_engine::interface::Failure::NoSuchPeer))
        ),
        "{reply:?}"
    );
}

#[test]
fn a_dead_direct_path_falls_back_to_the_relay_within_three_seconds_of_traffic() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, true);
    let two = net.add(11, Role::Leaf, true);
    net.run(Duration::from_millis(100));
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    net.run(SECOND * 2);
    assert!(direct(&mut net, one, two));
    net.cut.insert((one, two));
    net.cut.insert((two, one));
    let began = net.now;
    while !matches!(
        net.ping(one, two, SECOND / 2),
        Reply::Pong(_, PathKind::Relay)
    ) {
        assert!(
            net.now.since(began) < SECOND * 4,
            "no relay after {:?}",
            net.now.since(began)
        );
    }
    // Both ends have to notice; the slower one decides.
    assert!(
        net.now.since(began) <= Duration::from_millis(3_500),
        "{:?}",
        net.now.since(began)
    );
}

#[test]
fn a_router_that_gives_another_port_is_followed() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, true);
    let two = net.add(11, Role::Leaf, true);
    net.run(Duration::from_millis(100));
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    net.run(SECOND * 2);
    net.rebind(one);
    let began = net.now;
    while !matches!(net.ping(one, two, SECOND / 2), Reply::Pong(..)) {
        assert!(net.now.since(began) < SECOND * 5, "not recovered");
    }
    net.run(SECOND * 15);
    assert!(matches!(
        net.ping(two, one, SECOND),
        Reply::Pong(_, PathKind::Direct)
    ));
    assert!(matches!(
        net.ping(one, two, SECOND),
        Reply::Pong(_, PathKind::Direct)
    ));
}

#[test]
fn when_a_supernode_dies_the_other_carries() {
    let mut net = Net::new(2);
    let one = net.add(10, Role::Leaf, true);
    let two = net.add(11, Role::Leaf, true);
    net.cut.insert((one, two));
    net.cut.insert((two, one));
    net.run(SECOND);
    assert!(matches!(
        net.ping(one, two, SECOND),
        Reply::Pong(_, PathKind::Relay)
    ));
    for dead in 0..2 {
        net.hosts[dead].up = false;
        let began = net.now;
        while !matches!(net.ping(one, two, SECOND / 2), Reply::Pong(..)) {
            assert!(
                net.now.since(began) < SECOND * 5,
                "supernode {dead} dead, not recovered"
            );
        }
        net.restart(dead, u8::try_from(dead + 1).expect("few"), Role::Supernode);
        net.run(SECOND * 60);
        let Reply::Info(info) = net.ask(one, Command::Info) else {
            panic!("info")
        };
        assert_eq!(
            info.supernodes
                .iter()
                .filter(|supernode| supernode.rtt.is_some())
                .count(),
            2,
            "both are back"
        );
    }
}

#[test]
fn a_peer_that_restarted_is_reached_again() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, false);
    let two = net.add(11, Role::Leaf, false);
    net.run(SECOND);
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    net.restart(two, 11, Role::Leaf);
    let began = net.now;
    while !matches!(net.ping(one, two, SECOND / 2), Reply::Pong(..)) {
        assert!(net.now.since(began) < SECOND * 8, "not recovered");
    }
}

#[test]
fn sessions_outlive_their_keys() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, true);
    let two = net.add(11, Role::Leaf, true);
    net.run(SECOND);
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    for _ in 0..50 {
        net.run(SECOND * 11);
        assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    }
    let Reply::Counters(counters) = net.ask(one, Command::Counters) else {
        panic!("counters")
    };
    assert!(counters.count(zt_engine::counters::Count::Rekeys) >= 6);
    assert_eq!(
        counters.count(zt_engine::counters::Count::HandshakesFailed),
        0
    );
}

#[test]
fn an_idle_node_with_one_direct_peer_is_nearly_silent() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, true);
    let two = net.add(11, Role::Leaf, true);
    net.run(SECOND);
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    net.run(SECOND * 30);
    assert!(direct(&mut net, one, two));
    let before = [net.hosts[one].sent, net.hosts[two].sent];
    net.run(SECOND * 500);
    for (n, before) in [one, two].into_iter().zip(before) {
        let sent = net.hosts[n].sent - before;
        assert!(sent < 50, "host {n} sent {sent} datagrams in 500 s");
    }
}

#[test]
fn both_may_begin_at_once() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, false);
    let two = net.add(11, Role::Leaf, false);
    net.run(SECOND);
    let (a, b) = (net.address(one), net.address(two));
    let first = net.command(
        one,
        Command::Ping {
            to: b,
            limit: SECOND,
        },
    );
    let second = net.command(
        two,
        Command::Ping {
            to: a,
            limit: SECOND,
        },
    );
    net.run(SECOND);
    assert!(matches!(net.hosts[one].replies[&first], Reply::Pong(..)));
    assert!(matches!(net.hosts[two].replies[&second], Reply::Pong(..)));
}

#[test]
fn the_newcomer_of_a_collision_is_told() {
    let mut net = Net::new(1);
    let leaf = net.add(10, Role::Leaf, false);
    net.run(SECOND);
    // Somebody else of the registry's opinion: the same address under another key.
    let address = net.address(leaf);
    net.hosts[0].usurp(address, *somebody(99).1.identity());
    net.restart(leaf, 10, Role::Leaf);
    net.run(SECOND);
    assert!(
        net.hosts[leaf].events.contains(&Event::Collision(address)),
        "{:?}",
        net.hosts[leaf].events
    );
    let Reply::Info(info) = net.ask(leaf, Command::Info) else {
        panic!("info")
    };
    assert!(info.collision && !info.online);
}

#[test]
fn a_newer_world_spreads_and_is_saved() {
    let mut net = Net::new(2);
    let leaf = net.add(10, Role::Leaf, true);
    net.run(SECOND);
    net.world.serial = 2;
    net.world.name = "newer".into();
    let signed = net.signing.sign(&net.world);
    assert!(matches!(
        net.ask(0, Command::AdoptWorld(signed.clone())),
        Reply::Done
    ));
    net.run(SECOND);
    for n in [0, 1, leaf] {
        assert!(
            net.hosts[n].events.contains(&Event::WorldAdopted(2)),
            "host {n}"
        );
        assert!(
            net.hosts[n]
                .saved
                .contains(&zt_engine::interface::Saved::World(signed.clone()))
        );
    }
    assert!(matches!(
        net.ask(0, Command::AdoptWorld(signed)),
        Reply::Failed(_)
    ));
}

#[test]
fn the_same_seeds_make_the_same_run() {
    let run = || {
        let mut net = Net::new(2);
        let one = net.add(10, Role::Leaf, true);
        let two = net.add(11, Role::Leaf, true);
        net.run(SECOND);
        net.ping(one, two, SECOND);
        net.run(SECOND * 200);
        net.hosts
            .iter()
            .map(|host| (host.sent, host.node.counters().groups()))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_node_that_moves_to_another_network_keeps_its_peers() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, true);
    let two = net.add(11, Role::Leaf, true);
    net.run(SECOND);
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    net.run(SECOND * 5);
    assert!(direct(&mut net, one, two));
    net.move_to(one, [203, 0, 113, 77], [10, 77, 0, 2]);
    let began = net.now;
    while !matches!(net.ping(one, two, SECOND / 2), Reply::Pong(..)) {
        assert!(net.now.since(began) < SECOND * 3, "not recovered");
    }
    net.run(SECOND * 5);
    assert!(matches!(
        net.ping(one, two, SECOND),
        Reply::Pong(_, PathKind::Direct)
    ));
    assert!(matches!(
        net.ping(two, one, SECOND),
        Reply::Pong(_, PathKind::Direct)
    ));
    let Reply::Info(info) = net.ask(one, Command::Info) else {
        panic!("info")
    };
    assert_eq!(info.observed, [net.hosts[one].public]);
}

#[test]
fn a_narrow_path_is_measured_to_a_few_bytes_and_an_idle_one_is_left_alone() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, true);
    let two = net.add(11, Role::Leaf, true);
    net.run(SECOND);
    net.mtu = 1_096;
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    net.run(SECOND * 3);
    let mtu = |net: &mut Net| {
        let to = net.address(two);
        let Reply::Paths(paths) = net.ask(one, Command::Paths(to)) else {
            panic!("paths")
        };
        paths.iter().find(|path| path.in_use).map(|path| path.mtu)
    };
    let found = mtu(&mut net).expect("a path");
    assert!((1_093..=1_096).contains(&found), "{found}");
    // Nothing large is sent, so nobody looks: what passes is of no interest now.
    net.run(SECOND * 10);
    net.mtu = 548;
    let before = net.hosts[one].sent;
    net.run(SECOND * 20);
    assert!(net.hosts[one].sent - before < 5);
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
}

#[test]
fn a_supernode_that_stays_dead_does_not_keep_strangers_apart() {
    let mut net = Net::new(2);
    net.run(SECOND);
    let one = net.add(10, Role::Leaf, true);
    net.run(SECOND);
    net.hosts[0].up = false;
    let two = net.add(11, Role::Leaf, true);
    net.run(SECOND);
    let reply = net.ping(two, one, SECOND * 5);
    assert!(matches!(reply, Reply::Pong(..)), "{reply:?}");
}

#[test]
fn a_restarted_node_is_relayed_to_at_once() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, true);
    let two = net.add(11, Role::Leaf, true);
    net.run(SECOND);
    let before = net.hosts[0].node.counters();
    // Restarts under its own key: still the one its address leads to.
    net.restart(two, 11, Role::Leaf);
    net.run(SECOND);
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    let after = net.hosts[0].node.counters();
    let unknown = zt_engine::counters::DropReason::RelayUnknown;
    assert_eq!(after.dropped(unknown), before.dropped(unknown));
}

#[test]
fn one_datagram_in_ten_lost_delays_and_does_not_prevent() {
    for seed in 1..40 {
        let mut net = Net::new(2);
        net.reseed(seed);
        net.loss = 10;
        let one = net.add(10, Role::Leaf, true);
        let two = net.add(11, Role::Leaf, true);
        let began = net.now;
        while !matches!(net.ping(one, two, SECOND), Reply::Pong(..)) {
            assert!(net.now.since(began) < SECOND * 15, "seed {seed}: not met");
        }
        for _ in 0..60 {
            let _ = net.ping(one, two, SECOND);
            let _ = net.ping(two, one, SECOND);
            net.run(SECOND * 3);
        }
        net.loss = 0;
        net.run(SECOND * 30);
        for _ in 0..3 {
            let _ = net.ping(one, two, SECOND);
            let _ = net.ping(two, one, SECOND);
            net.run(SECOND * 5);
        }
        assert!(
            matches!(net.ping(one, two, SECOND), Reply::Pong(..)),
            "seed {seed}"
        );
        assert!(
            matches!(net.ping(two, one, SECOND), Reply::Pong(..)),
            "seed {seed}"
        );
        assert!(
            direct(&mut net, one, two),
            "seed {seed}: {:?}",
            net.ask(one, Command::Why(net.address(two)))
        );
    }
}

#[test]
fn both_beginning_at_once_under_loss_end_with_one_working_session() {
    for seed in 1..60 {
        let mut net = Net::new(1);
        let one = net.add(10, Role::Leaf, true);
        let two = net.add(11, Role::Leaf, true);
        net.run(SECOND);
        net.reseed(seed);
        net.loss = 40;
        let (a, b) = (net.address(one), net.address(two));
        net.command(
            one,
            Command::Ping {
                to: b,
                limit: SECOND,
            },
        );
        net.command(
            two,
            Command::Ping {
                to: a,
                limit: SECOND,
            },
        );
        net.run(SECOND * 3);
        net.loss = 0;
        net.run(SECOND * 10);
        assert!(
            matches!(net.ping(one, two, SECOND * 10), Reply::Pong(..)),
            "seed {seed}"
        );
        assert!(
            matches!(net.ping(two, one, SECOND * 10), Reply::Pong(..)),
            "seed {seed}"
        );
    }
}
