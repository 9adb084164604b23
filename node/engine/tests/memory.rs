//! Memory: what one more peer and one more network cost a node.

mod harness;

use std::time::Duration;

use harness::authority::Authority;
use harness::{Net, somebody};
use zt_engine::Role;
use zt_engine::interface::{Command, Reply};
use zt_wire::{Mac, NetworkId};

const CONTROLLER: u8 = 250;
/// Most that a peer may cost, bytes.
const PER_PEER: i64 = 4 * 1024;
/// What AES-GCM keeps for the two keys of a session, bytes. The allocator of Rust does not see it: the library has its own.
const AES_KEYS: i64 = 2 * 592;
/// Most that a joined network may cost, bytes.
const PER_NETWORK: i64 = 64 * 1024;

/// A supernode, a controller with `networks` networks, and `leaves` leaves that have joined the first of them; the first leaf is watched.
fn world(networks: u32, leaves: u8) -> (Net, Vec<usize>, Vec<NetworkId>) {
    // The promise is for one worker; each further one knows every peer, too, and opens with no key twice.
    let mut net = Net::with_workers(1, 1, 1);
    let controller = net.add(CONTROLLER, Role::Controller, false);
    let mut authority = Authority::new(somebody(CONTROLLER).0);
    let ids: Vec<NetworkId> = (1..=networks)
        .map(|n| NetworkId::new(net.address(controller), n).expect("a small number"))
        .collect();
    for id in &ids {
        authority.create(*id, true);
    }
    net.hosts[controller].authority = Some(authority);
    let leaves: Vec<usize> = (0..leaves)
        .map(|n| net.add(10 + n, Role::Leaf, false))
        .collect();
    net.run(Duration::from_millis(200));
    for &leaf in &leaves {
        join(&mut net, leaf, ids[0]);
    }
    net.run(Duration::from_secs(10));
    (net, leaves, ids)
}

fn join(net: &mut Net, leaf: usize, network: NetworkId) {
    let reply = net.ask(
        leaf,
        Command::Join {
            network,
            fingerprint: Some(somebody(CONTROLLER).1.key()),
            token: None,
        },
    );
    assert!(matches!(reply, Reply::Done), "{reply:?}");
}

/// The watched leaf's heap after it has met `wanted` others and their keys were renewed twice.
fn heap_with(net: &mut Net, leaves: &[usize], network: NetworkId, wanted: usize) -> i64 {
    let hub = leaves[0];
    let [to, from] = [leaves[wanted], hub].map(|n| net.address(n));
    assert_ne!(to, from);
    for _ in 0..50 {
        for &leaf in &leaves[1..=wanted] {
            let frame = [
                &Mac::of(net.address(leaf), network).to_bytes()[..],
                &Mac::of(net.address(hub), network).to_bytes(),
                &[0x81, 0x37, 1, 2, 3, 4],
            ]
            .concat();
            net.tap(hub, network, &frame);
        }
        net.run(Duration::from_secs(6));
    }
    let met = leaves[1..=wanted]
        .iter()
        .filter(|leaf| !net.hosts[**leaf].delivered.is_empty())
        .count();
    assert_eq!(met, wanted, "everybody was met");
    net.heap
}

#[test]
fn a_peer_costs_at_most_four_kibibytes() {
    let (mut net, leaves, networks) = world(1, 130);
    net.watched = Some(leaves[0]);
    let few = heap_with(&mut net, &leaves, networks[0], 1);
    let many = heap_with(&mut net, &leaves, networks[0], 129);
    let each = (many - few) / 128 + AES_KEYS;
    println!("one more peer costs {each} bytes");
    assert!((1..=PER_PEER).contains(&each), "{each} bytes each");
}

#[test]
fn a_network_costs_at_most_64_kibibytes() {
    let (mut net, leaves, networks) = world(17, 2);
    net.watched = Some(leaves[0]);
    for &network in &networks[1..] {
        join(&mut net, leaves[0], network);
    }
    net.run(Duration::from_secs(30));
    let Reply::Networks(joined) = net.ask(leaves[0], Command::Networks) else {
        panic!("no networks");
    };
    assert_eq!(joined.len(), 17);
    let each = net.heap / 16;
    println!("one more network costs {each} bytes");
    assert!((1..=PER_NETWORK).contains(&each), "{each} bytes each");
}
