//! Bridging members at the shard: what is learned, held, budgeted, guarded and cut off.
//!
//! In: frames of two shards. Out: assertions. Never: an engine.

use core::net::SocketAddr;

use zt_engine::counters::DropReason;
use zt_engine::shard::{Note, Policy, TapFrame, Update};
use zt_engine::trouble::Trouble;
use zt_wire::{Mac, ProbeFrame, Rights};

use super::harness::*;

const STATION: Mac = Mac::from_bytes([0x52, 0x54, 0, 1, 2, 3]);
const ELSEWHERE: Mac = Mac::from_bytes([0x52, 0x54, 0, 9, 9, 9]);
const RIGHT_BRIDGE: u32 = 1;

/// A bridges, B does too.
fn bridges() -> Pair {
    let mut pair = Pair::new();
    let (a, b) = (Host::new(1, false), Host::new(2, false));
    pair.a.network_up(true, 1_500);
    pair.b.network_up(true, 1_500);
    pair.a.admit(&b, RIGHT_BRIDGE);
    pair.b.admit(&a, RIGHT_BRIDGE);
    pair
}

fn crosses(pair: &mut Pair, second: u64, frame: &[u8]) -> bool {
    !pair
        .a_to_b(at(second * 1_000), TapFrame::plain(frame))
        .is_empty()
}

fn ip4_udp(to: Mac, from: Mac, ends: (SocketAddr, SocketAddr)) -> Vec<u8> {
    let ip = |end: SocketAddr| match end {
        SocketAddr::V4(end) => end.ip().octets(),
        SocketAddr::V6(_) => panic!("IPv4 only"),
    };
    let mut bytes = [
        &to.to_bytes()[..],
        &from.to_bytes(),
        &[0x08, 0, 0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0],
        &ip(ends.0),
        &ip(ends.1),
        &ends.0.port().to_be_bytes(),
        &ends.1.port().to_be_bytes(),
        &[0, 40, 0, 0],
    ]
    .concat();
    bytes.resize(74, 7);
    bytes
}

#[test]
fn a_claim_without_the_right_is_noted_once_with_member_and_mac_at_both_ends() {
    let mut pair = Pair::new();
    let claim = frame(Mac::BROADCAST, STATION, b"not me");
    let trouble = |member| Note::Trouble {
        network: network(),
        member,
        trouble: Trouble::Claim(STATION),
    };
    for second in 1..5 {
        assert!(!crosses(&mut pair, second, &claim));
    }
    assert_eq!(pair.a.notes, [trouble(None)]);
    // A sender that does not check itself.
    pair.a.network_up(true, 1_500);
    for second in 5..9 {
        assert!(!crosses(&mut pair, second, &claim));
    }
    let from = Some(pair.a.address());
    let told = pair.b.notes.iter().filter(|note| **note == trouble(from));
    assert_eq!(told.count(), 1);
    assert_eq!(pair.b.shard.counters().dropped(DropReason::SourceMac), 4);
}

#[test]
fn another_member_s_mac_from_behind_the_device_is_a_loop_or_a_forgery() {
    let mut pair = bridges();
    let forged = frame(Mac::BROADCAST, pair.b.mac(), b"as if from b");
    assert!(!crosses(&mut pair, 1, &forged));
    assert_eq!(pair.a.shard.counters().dropped(DropReason::SourceMac), 1);
}

#[test]
fn what_is_for_a_station_on_the_same_side_stays_there() {
    let mut pair = bridges();
    let hello = frame(Mac::BROADCAST, STATION, b"here");
    assert!(crosses(&mut pair, 1, &hello));
    let local = frame(STATION, ELSEWHERE, b"neighbours");
    assert!(!crosses(&mut pair, 2, &local));
    assert_eq!(pair.a.shard.counters().dropped(DropReason::SameSide), 1);
    // One frame from the other side, and it is there.
    let moved = frame(Mac::BROADCAST, STATION, b"moved");
    assert_eq!(pair.b_to_a(at(3_000), TapFrame::plain(&moved)).len(), 1);
    assert!(crosses(&mut pair, 4, &local));
}

#[test]
fn a_storm_is_held_at_the_sender_and_again_at_the_receiver() {
    let mut pair = bridges();
    let storm = frame(Mac::BROADCAST, pair.a.mac(), &[1; 40]);
    let passed = (0..5_000).filter(|_| crosses(&mut pair, 1, &storm)).count();
    assert_eq!(passed, 4_000, "two seconds' budget");
    assert_eq!(pair.a.shard.counters().dropped(DropReason::Storm), 1_000);
    let unicast = pair.frame_ab(b"to one");
    assert!(crosses(&mut pair, 1, &unicast), "does not count");
    // Unknown unicast counts; once the station has spoken it does not.
    let unknown = frame(ELSEWHERE, pair.a.mac(), &[1; 40]);
    assert!(!crosses(&mut pair, 1, &unknown));
    let hello = frame(pair.a.mac(), ELSEWHERE, b"here");
    assert_eq!(pair.b_to_a(at(1_000), TapFrame::plain(&hello)).len(), 1);
    assert!(crosses(&mut pair, 1, &unknown));
}

#[test]
fn a_sender_that_keeps_no_budget_is_kept_to_it_by_the_receiver() {
    let mut pair = bridges();
    let mut passed = 0;
    for round in 0..3 {
        // A fresh table at the sender each time: nothing of its own holds it back.
        pair.a.shard.apply(Update::NetworkDown(network()));
        pair.a.network_up(true, 1_500);
        let b = Host::new(2, false);
        pair.a.admit(&b, RIGHT_BRIDGE);
        let storm = frame(Mac::BROADCAST, pair.a.mac(), &[round; 40]);
        passed += (0..3_000).filter(|_| crosses(&mut pair, 1, &storm)).count();
    }
    assert_eq!(passed, 4_000);
    assert_eq!(pair.b.shard.counters().dropped(DropReason::Storm), 5_000);
}

#[test]
fn a_probe_is_told_to_the_engine_and_goes_no_further() {
    let mut pair = bridges();
    let probe = ProbeFrame {
        network: network(),
        member: pair.b.address(),
        token: 77,
    };
    assert!(!crosses(&mut pair, 1, &probe.to_bytes()));
    let heard = Note::LoopProbe {
        network: network(),
        member: pair.b.address(),
        token: 77,
    };
    assert_eq!(pair.a.notes, [heard]);
    for token in 0..100 {
        let probe = ProbeFrame { token, ..probe };
        assert!(!crosses(&mut pair, 1, &probe.to_bytes()));
    }
    assert_eq!(pair.a.notes.len(), 8, "a flood of them is not told");
    // Another network's is a frame like any other.
    let other = ProbeFrame {
        network: "fedcba9876543210".parse().unwrap(),
        ..probe
    };
    assert!(crosses(&mut pair, 1, &other.to_bytes()));
}

#[test]
fn a_device_that_is_cut_off_takes_and_gives_nothing_and_forgets() {
    let mut pair = bridges();
    let hello = frame(Mac::BROADCAST, STATION, b"here");
    assert!(crosses(&mut pair, 1, &hello));
    let cut = |cut| Update::Cut {
        network: network(),
        cut,
    };
    pair.a.shard.apply(cut(true));
    assert_eq!(pair.a.shard.learned(network()), 0);
    assert!(!crosses(&mut pair, 2, &hello));
    let back = frame(Mac::BROADCAST, pair.b.mac(), b"hello");
    assert!(pair.b_to_a(at(2_000), TapFrame::plain(&back)).is_empty());
    assert_eq!(pair.a.shard.counters().dropped(DropReason::CutOff), 2);
    pair.b.shard.apply(Update::Unlearn {
        network: network(),
        address: pair.a.address(),
    });
    assert_eq!(pair.b.shard.learned(network()), 0);
    pair.a.shard.apply(cut(false));
    assert!(crosses(&mut pair, 3, &hello));
}

#[test]
fn the_underlay_never_runs_through_the_network() {
    let mut pair = bridges();
    let inside: SocketAddr = "10.20.0.1:9993".parse().unwrap();
    let (ours, theirs) = (pair.a.at, pair.b.at);
    pair.a.shard.apply(Update::Underlay(vec![ours]));
    // From a bridge's MAC with the machine's address, tagged too, and from the device's own MAC with another address.
    let bridged = ip4_udp(ELSEWHERE, STATION, (ours, theirs));
    let mut tagged = bridged.clone();
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
    let routed = ip4_udp(pair.b.mac(), pair.a.mac(), (inside, theirs));
    for sent in [&bridged, &tagged, &routed] {
        assert!(!crosses(&mut pair, 1, sent));
    }
    assert_eq!(pair.a.shard.counters().dropped(DropReason::Tunnel), 3);
    let told = Note::Tunnel {
        network: network(),
        to: theirs,
    };
    assert_eq!(pair.a.notes.iter().filter(|note| **note == told).count(), 1);
    // A neighbour's node on the same port is no concern of ours, nor is another program of this machine.
    let neighbour = ip4_udp(ELSEWHERE, STATION, (inside, theirs));
    let program = ip4_udp(
        ELSEWHERE,
        STATION,
        (SocketAddr::new(ours.ip(), 5_000), theirs),
    );
    assert!(crosses(&mut pair, 2, &neighbour));
    assert!(crosses(&mut pair, 2, &program));
    // And nobody reaches our sockets through it.
    pair.b.shard.apply(Update::Underlay(vec![theirs]));
    assert!(!crosses(&mut pair, 3, &neighbour));
    assert!(!crosses(&mut pair, 3, &program));
    assert_eq!(pair.b.shard.counters().dropped(DropReason::Tunnel), 2);
}

#[test]
fn the_bridge_right_alone_lets_nobody_behind_it_lease_or_route() {
    let mut pair = bridges();
    let server = "10.0.0.1:67".parse().unwrap();
    let client = "255.255.255.255:68".parse().unwrap();
    let offer = ip4_udp(Mac::BROADCAST, STATION, (server, client));
    let request = ip4_udp(Mac::BROADCAST, STATION, (client, server));
    let mut advertisement = frame(Mac::from_bytes([0x33, 0x33, 0, 0, 0, 1]), STATION, &[]);
    advertisement.truncate(12);
    advertisement.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 16, 58, 255]);
    advertisement.extend_from_slice(&[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    advertisement.extend_from_slice(&[0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    advertisement.extend_from_slice(&[134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    // (rights of a, what passes)
    for (rights, leases, routes) in [
        (1, false, false),
        (1 | 2, true, false),
        (1 | 4, false, true),
    ] {
        // Whether the sender checks itself or not, the receiver does.
        for checks in [true, false] {
            impose(&mut pair, rights, checks);
            let second = 1 + u64::from(rights);
            assert_eq!(crosses(&mut pair, second, &offer), leases, "{rights}");
            assert_eq!(
                crosses(&mut pair, second, &advertisement),
                routes,
                "{rights}"
            );
            assert!(crosses(&mut pair, second, &request), "a client may ask");
        }
    }
    let told = |notes: &[Note], wanted: Trouble| {
        let told =
            |note: &&Note| matches!(note, Note::Trouble { trouble, .. } if *trouble == wanted);
        notes.iter().filter(told).count()
    };
    for notes in [&pair.a.notes, &pair.b.notes] {
        assert_eq!(told(notes, Trouble::DhcpServer(STATION)), 1);
        assert_eq!(told(notes, Trouble::RouterAdvertisement(STATION)), 1);
    }
}

/// Gives A these rights, in B's eyes and (`checks`) in its own.
fn impose(pair: &mut Pair, rights: u32, checks: bool) {
    let mut own = pair.a.policy(1);
    own.rights = Rights::from_bits(if checks { rights } else { 31 }).unwrap();
    pair.b.admit_as(
        &pair.a,
        &Policy {
            rights: Rights::from_bits(rights).unwrap(),
            ..own.clone()
        },
    );
    pair.a.impose(own);
    let other = pair.b.policy(2);
    pair.b.impose(other);
}

#[test]
fn stations_behind_the_device_are_told_of_now_and_then() {
    let mut pair = bridges();
    let hello = frame(Mac::BROADCAST, STATION, b"here");
    for second in 1..=61 {
        crosses(&mut pair, second, &hello);
    }
    let told = Note::Bridging { network: network() };
    assert_eq!(pair.a.notes.iter().filter(|note| **note == told).count(), 3);
}
