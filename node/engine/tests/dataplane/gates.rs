//! Who may send and receive.

use zt_crypto::Suites;
use zt_engine::counters::DropReason;
use zt_engine::shard::{Member, Note, Path, Sent, TapFrame, Update};
use zt_wire::{KeyId, Mac};

use crate::harness::{Host, OTHER, Pair, at, frame, network, receive, shake};

#[test]
fn a_member_cut_off_gets_nothing_and_gives_nothing() {
    let mut pair = Pair::new();
    let (address, ab, ba) = (
        pair.b.address(),
        pair.frame_ab(b"to"),
        pair.frame_ba(b"fro"),
    );
    pair.a.shard.apply(Update::MemberOut {
        network: network(),
        address,
    });
    assert!(pair.a_to_b(at(1), TapFrame::plain(&ab)).is_empty());
    assert_eq!(pair.batch.len(), 0, "not even sealed");
    assert!(pair.b_to_a(at(1), TapFrame::plain(&ba)).is_empty());
    assert_eq!(pair.a.shard.counters().dropped(DropReason::NotMember), 1);
    assert!(pair.a.notes.contains(&Note::Uncertified {
        peer: OTHER,
        network: network()
    }));
    let broadcast = frame(Mac::BROADCAST, pair.a.mac(), b"all");
    assert!(pair.a_to_b(at(1), TapFrame::plain(&broadcast)).is_empty());
}

#[test]
fn a_listed_member_without_session_is_reported_and_served_later() {
    let mut pair = Pair::new();
    let third = Host::new(3, false);
    pair.a.shard.apply(Update::Listed {
        network: network(),
        address: third.address(),
        ips: vec![],
        bridge: false,
        replicator: false,
    });
    let sent = frame(third.mac(), pair.a.mac(), b"wait");
    pair.batch.clear();
    let outcome = pair.a.shard.tx(
        at(1),
        network(),
        TapFrame::plain(&sent),
        &mut pair.batch,
        &mut pair.a.notes,
    );
    assert!(matches!(outcome, Sent::Unready));
    assert_eq!(
        pair.a.notes,
        [Note::Unready {
            network: network(),
            address: third.address()
        }]
    );
    let mut third = third;
    third.network_up(false, 1_500);
    third.meet(OTHER, &pair.a, false);
    third.admit(&pair.a, 0);
    let handle = zt_engine::shard::PeerHandle(9);
    pair.a.meet(handle, &third, false);
    pair.a.admit(&third, 0);
    shake(
        &mut pair.a,
        &mut third,
        (handle, OTHER),
        at(2),
        Suites::LEAST,
    );
    let to = (network(), third.address());
    pair.a
        .shard
        .transmit(
            at(2),
            to,
            TapFrame::plain(&sent),
            &mut pair.batch,
            &mut pair.a.notes,
        )
        .unwrap();
    let arrived = receive(&mut third, pair.a.at, at(2), &mut pair.batch);
    assert_eq!(arrived[0].frame, sent);
}

#[test]
fn a_session_of_another_key_under_a_members_address_is_not_the_member() {
    let mut pair = Pair::new();
    let member = Member {
        address: pair.b.address(),
        key: KeyId::from_bytes([9; 32]),
        mac: pair.b.mac(),
        rights: 0,
        ips: vec![],
        tags: vec![],
    };
    pair.a.shard.apply(Update::Member {
        network: network(),
        member,
    });
    let (ab, ba) = (pair.frame_ab(b"to"), pair.frame_ba(b"fro"));
    assert!(pair.a_to_b(at(1), TapFrame::plain(&ab)).is_empty());
    assert!(pair.b_to_a(at(1), TapFrame::plain(&ba)).is_empty());
}

#[test]
fn a_forged_source_mac_stops_at_both_ends() {
    let mut pair = Pair::new();
    let foreign = Mac::from_bytes([0x52, 0x54, 0, 1, 2, 3]);
    let sent = frame(pair.b.mac(), foreign, b"not me");
    assert!(pair.a_to_b(at(1), TapFrame::plain(&sent)).is_empty());
    assert_eq!(pair.a.shard.counters().dropped(DropReason::SourceMac), 1);
    // A sender that does not check itself is checked by the receiver.
    pair.a.network_up(true, 1_500);
    assert!(pair.a_to_b(at(1), TapFrame::plain(&sent)).is_empty());
    assert_eq!(pair.b.shard.counters().dropped(DropReason::SourceMac), 1);
}

#[test]
fn stations_behind_a_bridge_are_reached_both_ways() {
    let mut pair = Pair::new();
    let station = Mac::from_bytes([0x52, 0x54, 0, 1, 2, 3]);
    let a = Host::new(1, false);
    pair.a.network_up(true, 1_500);
    pair.b.admit(&a, 1);
    let sent = frame(Mac::BROADCAST, station, b"who is there");
    assert_eq!(pair.a_to_b(at(1), TapFrame::plain(&sent)).len(), 1);
    let back = frame(station, pair.b.mac(), b"me");
    assert_eq!(pair.b_to_a(at(1), TapFrame::plain(&back))[0].frame, back);
    assert_eq!(pair.b.shard.learned(network()), 1);
}

#[test]
fn without_a_path_frames_wait() {
    let mut pair = Pair::new();
    pair.a.path(OTHER, None, 1_200);
    let sent = pair.frame_ab(b"where to");
    pair.batch.clear();
    let outcome = pair.a.shard.tx(
        at(1),
        network(),
        TapFrame::plain(&sent),
        &mut pair.batch,
        &mut pair.a.notes,
    );
    assert!(matches!(outcome, Sent::Unready));
    pair.a.path(OTHER, Some(Path::Direct(pair.b.at)), 1_200);
    assert_eq!(pair.a_to_b(at(1), TapFrame::plain(&sent)).len(), 1);
}

#[test]
fn a_network_that_is_down_takes_no_frame() {
    let mut pair = Pair::new();
    pair.b.shard.apply(Update::NetworkDown(network()));
    let (ab, ba) = (pair.frame_ab(b"to"), pair.frame_ba(b"fro"));
    assert!(pair.a_to_b(at(1), TapFrame::plain(&ab)).is_empty());
    assert!(pair.b_to_a(at(1), TapFrame::plain(&ba)).is_empty());
    assert_eq!(
        pair.b.shard.counters().dropped(DropReason::UnknownNetwork),
        2
    );
}
