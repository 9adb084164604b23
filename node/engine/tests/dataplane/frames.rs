//! What a frame looks like when it arrives.

use zt_crypto::Suites;
use zt_engine::counters::{Count, DropReason};
use zt_engine::segment::checksum;
use zt_engine::shard::{Offload, Sent, TapFrame, Update};
use zt_wire::Mac;

use crate::harness::{Host, OTHER, Pair, at, frame, network, receive, shake};

#[test]
fn frames_of_every_kind_arrive_byte_identical() {
    for suites in [Suites::LEAST, Suites::ALL] {
        let mut pair = Pair::with(suites, 1_500);
        let [to, from] = [pair.b.mac().to_bytes(), pair.a.mac().to_bytes()];
        let tails: [Vec<u8>; 8] = [
            [&[0x81, 0x37][..], &[0xff; 46]].concat(),
            // 802.3 raw: a length, IPX without checksum, padding behind it.
            [&[0x00, 0x1e, 0xff, 0xff][..], &[1; 28], &[0; 16]].concat(),
            // 802.2: DSAP and SSAP e0.
            [&[0x00, 0x21, 0xe0, 0xe0, 0x03][..], &[2; 30]].concat(),
            // SNAP.
            [
                &[0x00, 0x26, 0xaa, 0xaa, 0x03, 0, 0, 0, 0x81, 0x37][..],
                &[3; 30],
            ]
            .concat(),
            vec![0x08, 0x00],
            [&[0x08, 0x00][..], &[4; 1_500]].concat(),
            [&[0x81, 0x00, 0x00, 0x05, 0x08, 0x00][..], &[5; 1_500]].concat(),
            [
                &[0x88, 0xa8, 0, 1, 0x81, 0x00, 0x00, 0x05, 0x08, 0x00][..],
                &[6; 1_500],
            ]
            .concat(),
        ];
        for tail in tails {
            let sent = [&to[..], &from, &tail].concat();
            let arrived = pair.a_to_b(at(1), TapFrame::plain(&sent));
            assert_eq!(arrived.len(), 1, "{} bytes", sent.len());
            assert_eq!(arrived[0].frame, sent);
            assert_eq!(arrived[0].offload, Offload::None);
        }
        assert_eq!(pair.b.shard.counters().dropped_in_all(), 0);
    }
}

#[test]
fn a_full_frame_takes_two_fragments_and_a_small_one_none() {
    let mut pair = Pair::new();
    let full = pair.frame_ab(&[7; 1_500]);
    assert_eq!(pair.a_to_b(at(1), TapFrame::plain(&full))[0].frame, full);
    assert_eq!(pair.batch.len(), 2);
    assert!(pair.batch.lengths().iter().all(|&len| len <= 1_472));
    let small = pair.frame_ab(&[7; 1_400]);
    assert_eq!(pair.a_to_b(at(1), TapFrame::plain(&small))[0].frame, small);
    assert_eq!(pair.batch.len(), 1);
}

#[test]
fn a_frame_costs_the_wire_44_bytes_less_the_macs() {
    let mut pair = Pair::new();
    let sent = pair.frame_ab(&[7; 100]);
    pair.a_to_b(at(1), TapFrame::plain(&sent));
    assert_eq!(pair.batch.lengths(), [sent.len() + 32 + 12 - 12]);
    let broadcast = frame(Mac::BROADCAST, pair.a.mac(), &[7; 100]);
    pair.a_to_b(at(1), TapFrame::plain(&broadcast));
    assert_eq!(pair.batch.lengths(), [broadcast.len() + 32 + 12]);
}

#[test]
fn jumbo_frames_pass_where_the_network_allows_them() {
    let mut pair = Pair::with(Suites::LEAST, 9_000);
    let jumbo = pair.frame_ab(&[9; 9_000]);
    pair.a.path(
        OTHER,
        Some(zt_engine::shard::Path::Direct(pair.b.at)),
        1_200,
    );
    assert_eq!(pair.a_to_b(at(1), TapFrame::plain(&jumbo))[0].frame, jumbo);
    assert!(pair.batch.len() <= 16);
    let mut narrow = Pair::new();
    let jumbo = narrow.frame_ab(&[9; 9_000]);
    assert!(narrow.a_to_b(at(1), TapFrame::plain(&jumbo)).is_empty());
    assert_eq!(narrow.a.shard.counters().dropped(DropReason::FrameSize), 1);
}

#[test]
fn frames_too_short_for_a_header_are_dropped_counted() {
    let mut pair = Pair::new();
    let whole = pair.frame_ab(&[]);
    for end in 0..14 {
        assert!(
            pair.a_to_b(at(1), TapFrame::plain(&whole[..end]))
                .is_empty()
        );
    }
    assert_eq!(pair.a.shard.counters().dropped(DropReason::FrameSize), 14);
}

#[test]
fn nothing_of_a_frame_is_to_be_seen_on_the_wire() {
    let mut pair = Pair::new();
    let sent = frame(
        Mac::BROADCAST,
        pair.a.mac(),
        b"a secret that nobody should read",
    );
    pair.a_to_b(at(1), TapFrame::plain(&sent));
    let wire = pair.batch.all().concat();
    let opened = &mut pair.batch;
    assert_eq!(opened.len(), 1);
    // The batch was opened in place by the receiver; seal the same again and look before it is received.
    opened.clear();
    pair.a.shard.tx(
        at(2),
        network(),
        TapFrame::plain(&sent),
        &mut pair.batch,
        &mut pair.a.notes,
    );
    let sealed = pair.batch.all().concat();
    for secret in [
        &b"secret"[..],
        &network().to_bytes(),
        &pair.a.address().to_bytes(),
        &pair.a.mac().to_bytes(),
    ] {
        assert!(!sealed.windows(secret.len()).any(|window| window == secret));
    }
    assert!(
        wire.windows(6).any(|window| window == b"secret"),
        "the search finds what is in clear"
    );
}

#[test]
fn order_is_kept_and_each_frame_comes_once() {
    let mut pair = Pair::new();
    for number in 0..200_u32 {
        let len = if number % 3 == 0 { 1_500 } else { 64 };
        let mut payload = vec![0; len];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        let sent = pair.frame_ab(&payload);
        let arrived = pair.a_to_b(at(1), TapFrame::plain(&sent));
        assert_eq!(
            arrived
                .iter()
                .map(|arrived| &arrived.frame)
                .collect::<Vec<_>>(),
            [&sent]
        );
    }
}

#[test]
fn a_partial_checksum_travels_with_its_frame() {
    let mut pair = Pair::new();
    let sent = tcp(&pair, &[5; 300]);
    let offload = Offload::Checksum {
        start: 34,
        offset: 16,
    };
    let arrived = pair.a_to_b(
        at(1),
        TapFrame {
            bytes: &sent,
            offload,
        },
    );
    assert_eq!(
        (arrived[0].frame.as_slice(), arrived[0].offload),
        (sent.as_slice(), offload)
    );
}

#[test]
fn a_partial_checksum_of_something_else_is_completed_before_the_device() {
    let mut pair = Pair::new();
    let sent = pair.frame_ab(&[5; 100]);
    let offload = Offload::Checksum {
        start: 20,
        offset: 4,
    };
    let arrived = pair.a_to_b(
        at(1),
        TapFrame {
            bytes: &sent,
            offload,
        },
    );
    let mut completed = sent.clone();
    checksum::complete(&mut completed, 20, 4).unwrap();
    assert_eq!(
        (&arrived[0].frame, arrived[0].offload),
        (&completed, Offload::None)
    );
}

#[test]
fn a_super_frame_arrives_as_segments_that_need_no_fragment() {
    let mut pair = Pair::new();
    let payload: Vec<u8> = (0..60_000_u32)
        .map(|number| number.to_le_bytes()[1])
        .collect();
    let sent = tcp(&pair, &payload);
    let offload = Offload::Tcp { segment: 1_460 };
    let arrived = pair.a_to_b(
        at(1),
        TapFrame {
            bytes: &sent,
            offload,
        },
    );
    let together: Vec<u8> = arrived
        .iter()
        .flat_map(|arrived| arrived.frame[54..].to_vec())
        .collect();
    assert_eq!(together, payload);
    assert_eq!(pair.a.shard.counters().count(Count::FragmentsTx), 0);
    assert_eq!(pair.batch.len(), arrived.len());
    for segment in &arrived {
        assert!(segment.frame.len() <= 1_514);
        assert_eq!(
            segment.offload,
            Offload::Checksum {
                start: 34,
                offset: 16
            }
        );
        let mut frame = segment.frame.clone();
        checksum::complete(&mut frame, 34, 16).unwrap();
        let pseudo = checksum::pseudo(&frame[26..34], 6, frame.len() - 34);
        assert_eq!(checksum::finish(checksum::add(pseudo, &frame[34..])), 0);
    }
}

#[test]
fn a_connection_begins_with_segments_that_need_no_fragment() {
    let mut pair = Pair::new();
    let mut syn = tcp(&pair, &[2, 4, 0x05, 0xb4]);
    syn[46] = 0x60;
    syn[47] = 0x02;
    let arrived = pair.a_to_b(at(1), TapFrame::plain(&syn)).remove(0).frame;
    let mss = usize::from(u16::from_be_bytes([arrived[56], arrived[57]]));
    assert!(mss < 1_460);
    assert_eq!(arrived[..50], syn[..50]);
    let offload = Offload::Checksum {
        start: 34,
        offset: 16,
    };
    let full = tcp(&pair, &vec![1; mss]);
    pair.a_to_b(
        at(1),
        TapFrame {
            bytes: &full,
            offload,
        },
    );
    assert_eq!(pair.batch.lengths(), [1_472]);
}

#[test]
fn a_super_frame_that_lies_about_itself_is_dropped() {
    let mut pair = Pair::new();
    let sent = pair.frame_ab(&[1; 3_000]);
    let offload = Offload::Tcp { segment: 1_460 };
    assert!(
        pair.a_to_b(
            at(1),
            TapFrame {
                bytes: &sent,
                offload
            }
        )
        .is_empty()
    );
    assert_eq!(pair.a.shard.counters().dropped(DropReason::BadOffload), 1);
}

#[test]
fn a_broadcast_is_sealed_once_for_each_member() {
    let mut pair = Pair::new();
    let mut third = Host::new(3, false);
    let handle = zt_engine::shard::PeerHandle(7);
    third.network_up(false, 1_500);
    third.meet(OTHER, &pair.a, false);
    third.admit(&pair.a, 0);
    pair.a.meet(handle, &third, false);
    pair.a.admit(&third, 0);
    shake(
        &mut pair.a,
        &mut third,
        (handle, OTHER),
        at(0),
        Suites::LEAST,
    );
    let sent = frame(Mac::BROADCAST, pair.a.mac(), b"to all");
    pair.batch.clear();
    let outcome = pair.a.shard.tx(
        at(1),
        network(),
        TapFrame::plain(&sent),
        &mut pair.batch,
        &mut pair.a.notes,
    );
    assert!(matches!(outcome, Sent::Done));
    assert_eq!(pair.batch.len(), 2);
    let to: Vec<_> = (0..2).map(|index| pair.batch.get(index).0).collect();
    assert!(to.contains(&pair.b.at) && to.contains(&third.at));
}

#[test]
fn an_arp_question_is_answered_without_a_datagram() {
    let mut pair = Pair::new();
    let (address, mac) = (pair.b.address(), pair.a.mac().to_bytes());
    let ips = vec![[10, 0, 0, 2].into()];
    pair.a.shard.apply(Update::Listed {
        network: network(),
        address,
        ips,
        bridge: false,
        replicator: false,
    });
    let ask = [
        &[0xff; 6][..],
        &mac,
        &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1],
        &mac,
        &[10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2],
    ]
    .concat();
    pair.batch.clear();
    let b = pair.b.mac().to_bytes();
    match pair.a.shard.tx(
        at(1),
        network(),
        TapFrame::plain(&ask),
        &mut pair.batch,
        &mut pair.a.notes,
    ) {
        Sent::Answer(answer) => assert_eq!(answer[22..28], b),
        other => panic!("{other:?}"),
    }
    assert_eq!(pair.batch.len(), 0);
}

#[test]
fn damaged_datagrams_never_panic_and_are_counted_each() {
    let mut pair = Pair::new();
    let sent = pair.frame_ab(&[3; 80]);
    let mut chance = 88_172_645_463_325_252_u64;
    let mut damaged = 0;
    for round in 0..20_000_u64 {
        pair.batch.clear();
        pair.a.shard.tx(
            at(1),
            network(),
            TapFrame::plain(&sent),
            &mut pair.batch,
            &mut pair.a.notes,
        );
        let (_, bytes) = pair.batch.get(0);
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let len = bytes.len();
        let place = usize::try_from(chance % len as u64).unwrap();
        bytes[place] ^= 1 << (round % 8);
        damaged += 1;
        assert!(receive(&mut pair.b, pair.a.at, at(1), &mut pair.batch).is_empty());
    }
    let counters = pair.b.shard.counters();
    // A damaged type byte makes it look like a handshake: that is for the engine to drop.
    assert!(counters.dropped_in_all() > damaged * 9 / 10);
}

fn tcp(pair: &Pair, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(40 + payload.len()).unwrap().to_be_bytes();
    let mut frame = [
        &pair.b.mac().to_bytes()[..],
        &pair.a.mac().to_bytes(),
        &[0x08, 0x00, 0x45, 0],
    ]
    .concat();
    frame.extend_from_slice(&total);
    frame.extend_from_slice(&[0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend_from_slice(&[
        0, 80, 0, 81, 0, 0, 0, 9, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0x12, 0x34, 0, 0,
    ]);
    frame.extend_from_slice(payload);
    frame
}
