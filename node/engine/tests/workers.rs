//! Nodes with several workers keep every promise of those with one, whichever worker a datagram or frame comes to.
//!
//! The other tests of this folder do so, too, with `ZT_TEST_WORKERS=3` in the environment; `cargo lab test` runs them.

mod harness;

use std::collections::BTreeSet;
use std::time::Duration;

use harness::authority::Authority;
use harness::{LATENCY, Net, somebody};
use zt_engine::Role;
use zt_engine::interface::{Command, PathKind, Reply};
use zt_wire::datagram::Transport;
use zt_wire::{Mac, NetworkId};

const SECOND: Duration = Duration::from_secs(1);
const CONTROLLER: u8 = 250;

/// A supernode, a controller with one network, and leaves that have joined it; `workers` each.
fn joined(workers: usize, most: usize, leaves: u8) -> (Net, Vec<usize>, NetworkId) {
    let mut net = Net::with_workers(1, workers, most);
    let controller = net.add(CONTROLLER, Role::Controller, false);
    let network = NetworkId::new(net.address(controller), 1).expect("a small number");
    let mut authority = Authority::new(somebody(CONTROLLER).0);
    authority.create(network, true);
    net.hosts[controller].authority = Some(authority);
    let leaves: Vec<usize> = (0..leaves)
        .map(|n| net.add(10 + n, Role::Leaf, n % 2 == 0))
        .collect();
    net.run(SECOND / 5);
    for &leaf in &leaves {
        let join = Command::Join {
            network,
            fingerprint: Some(somebody(CONTROLLER).1.key()),
            token: None,
        };
        assert!(matches!(net.ask(leaf, join), Reply::Done));
    }
    net.run(10 * SECOND);
    (net, leaves, network)
}

fn frame(
    net: &Net,
    to: usize,
    from: usize,
    network: NetworkId,
    number: u32,
    len: usize,
) -> Vec<u8> {
    let mut frame = [
        &Mac::of(net.address(to), network).to_bytes()[..],
        &Mac::of(net.address(from), network).to_bytes(),
        &[0x88, 0xb5],
        &number.to_be_bytes(),
    ]
    .concat();
    frame.resize(len, 0x5a);
    frame
}

fn numbers(net: &Net, n: usize) -> Vec<u32> {
    let frames = net.hosts[n].delivered.iter();
    let marked = frames.filter(|(_, frame)| frame[12..14] == [0x88, 0xb5]);
    marked
        .map(|(_, frame)| u32::from_be_bytes(frame[14..18].try_into().expect("four bytes")))
        .collect()
}

/// Everybody sends everybody frames of several sizes for two renewals of the keys.
fn talk(net: &mut Net, leaves: &[usize], network: NetworkId, rounds: u32) {
    for number in 0..rounds {
        for &from in leaves {
            for &to in leaves.iter().filter(|to| **to != from) {
                let len = [60, 700, 1_514][number as usize % 3];
                let frame = frame(net, to, from, network, number, len);
                net.tap(from, network, &frame);
            }
        }
        net.run(SECOND * 2);
    }
}

#[test]
fn every_frame_crosses_once_and_no_counter_is_used_twice() {
    let (mut net, leaves, network) = joined(3, 3, 5);
    net.tapped = Some(Vec::new());
    talk(&mut net, &leaves, network, 150);
    for &leaf in &leaves {
        let mut came = numbers(&net, leaf);
        came.sort_unstable();
        let each: Vec<u32> = (0..150).flat_map(|n| [n; 4]).collect();
        assert_eq!(came, each, "at host {leaf}");
    }
    assert!(net.strayed > 100, "{} went astray", net.strayed);
    let mut seen = BTreeSet::new();
    let tapped = net.tapped.take().expect("asked for");
    let mut workers = BTreeSet::new();
    for (to, _, bytes) in &tapped {
        if let Ok(header) = Transport::parse(bytes) {
            assert!(seen.insert((*to, header.receiver, header.counter)));
            workers.insert(header.receiver % 16);
        }
    }
    assert_eq!(workers, BTreeSet::from([0, 1, 2]));
    for &leaf in &leaves {
        for &peer in leaves.iter().filter(|peer| **peer != leaf) {
            let pong = net.ping(leaf, peer, SECOND);
            assert!(
                matches!(pong, Reply::Pong(_, PathKind::Direct)),
                "{pong:?} from {leaf} to {peer}"
            );
        }
    }
}

/// A node that is busy verifies a certificate while frames that left right behind it are at another worker already.
#[test]
fn first_frames_wait_for_a_certificate_that_the_node_has_not_come_to() {
    let (mut net, leaves, network) = joined(3, 3, 4);
    for &leaf in &leaves[1..] {
        net.hosts[leaf].report_lag = 4 * LATENCY * u32::try_from(leaf).expect("few");
    }
    for &from in &leaves {
        for &to in leaves.iter().filter(|to| **to > from) {
            for number in 0..30 {
                for (from, to) in [(from, to), (to, from)] {
                    let frame = frame(&net, to, from, network, number, 200);
                    net.tap(from, network, &frame);
                }
                net.run(LATENCY / 2);
            }
        }
    }
    net.run(SECOND);
    for &leaf in &leaves {
        let mut came = numbers(&net, leaf);
        let dropped = net.hosts[leaf].counters().groups()["drops"]["not-member"];
        assert_eq!(dropped, 0, "at host {leaf}");
        came.sort_unstable();
        let each: Vec<u32> = (0..30).flat_map(|n| [n; 3]).collect();
        assert_eq!(came, each, "at host {leaf}");
    }
}

#[test]
fn what_comes_through_a_relay_is_opened_where_its_session_is() {
    let (mut net, leaves, network) = joined(4, 4, 4);
    for &one in &leaves {
        for &two in &leaves {
            net.cut.insert((one, two));
        }
    }
    talk(&mut net, &leaves, network, 20);
    for &leaf in &leaves {
        net.hosts[leaf].delivered.clear();
    }
    talk(&mut net, &leaves, network, 20);
    for &leaf in &leaves {
        let mut came = numbers(&net, leaf);
        came.sort_unstable();
        assert_eq!(came, (0..20).flat_map(|n| [n; 3]).collect::<Vec<_>>());
    }
}

#[test]
fn sessions_move_to_a_new_worker_and_back_without_a_frame_lost() {
    let (mut net, leaves, network) = joined(1, 4, 4);
    talk(&mut net, &leaves, network, 5);
    let indices = |net: &mut Net| {
        net.tapped = Some(Vec::new());
        talk(net, &leaves, network, 5);
        let tapped = net.tapped.take().expect("asked for");
        let hub = tapped.into_iter().filter(|(to, ..)| *to == leaves[0]);
        hub.filter_map(|(_, _, bytes)| Some(Transport::parse(&bytes).ok()?.receiver % 16))
            .collect::<BTreeSet<u32>>()
    };
    assert_eq!(indices(&mut net), BTreeSet::from([0]));
    net.spread(leaves[0], 4);
    talk(&mut net, &leaves, network, 5);
    let spread = indices(&mut net);
    assert!(spread.len() > 1, "{spread:?}");
    net.spread(leaves[0], 1);
    talk(&mut net, &leaves, network, 5);
    assert_eq!(indices(&mut net), BTreeSet::from([0]));
    let mut came = numbers(&net, leaves[0]);
    came.sort_unstable();
    let each: Vec<u32> = (0..5).flat_map(|n| [n; 3 * 6]).collect();
    assert_eq!(came, each);
}
