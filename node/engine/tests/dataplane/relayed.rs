//! Through a supernode: sealed end to end, wrapped in the sessions with it.

use zt_crypto::Suites;
use zt_engine::counters::{Count, DropReason};
use zt_engine::shard::{Note, Path, PeerHandle, Punt, ShardConfig, TapFrame, To, Verdict};
use zt_wire::{Address, Message};

use crate::harness::{Arrived, Batch, Host, OTHER, Pair, RELAY, at, network, shake};

/// A pair that only reaches each other through a supernode.
pub struct Trio {
    pub pair: Pair,
    pub relay: Host,
    pub second: Batch,
    /// Milliseconds.
    pub now: u64,
}

const A: PeerHandle = PeerHandle(0);
const B: PeerHandle = PeerHandle(1);

impl Trio {
    pub fn new() -> Self {
        let mut pair = Pair::new();
        let mut relay = Host::new(9, true);
        relay.meet(A, &pair.a, false);
        relay.meet(B, &pair.b, false);
        pair.a.meet(RELAY, &relay, true);
        pair.b.meet(RELAY, &relay, true);
        shake(&mut pair.a, &mut relay, (RELAY, A), at(0), Suites::LEAST);
        shake(&mut pair.b, &mut relay, (RELAY, B), at(0), Suites::LEAST);
        let via = relay.address();
        let path = |peer: Address| Some(Path::Relay { via, peer });
        pair.a.path(OTHER, path(pair.b.address()), 1_472);
        pair.b.path(OTHER, path(pair.a.address()), 1_472);
        let mut trio = Self {
            pair,
            relay,
            second: Batch::new(),
            now: 1,
        };
        for host in [&mut trio.pair.a, &mut trio.pair.b] {
            trio.second.clear();
            let ping = Message::Ping(1).to_vec();
            let to = To {
                peer: RELAY,
                path: None,
                whole: false,
            };
            host.shard
                .send(at(0), to, &ping, &mut trio.second, &mut host.notes)
                .unwrap();
            let (_, bytes) = trio.second.get(0);
            let verdict =
                trio.relay
                    .shard
                    .rx(at(0), Path::Direct(host.at), bytes, &mut trio.relay.notes);
            assert!(matches!(verdict, Verdict::Punt(Punt::Control { .. })));
        }
        trio.relay.notes.clear();
        trio
    }

    /// What stands in the pair's batch goes through the relay to `b`.
    pub fn pass(&mut self) -> Vec<Arrived> {
        let mut arrived = Vec::new();
        self.pass_with(|frame| arrived.push(frame));
        arrived
    }

    fn pass_with(&mut self, mut take: impl FnMut(Arrived)) {
        self.second.clear();
        let from = Path::Direct(self.pair.a.at);
        for index in 0..self.pair.batch.len() {
            let (to, bytes) = self.pair.batch.get(index);
            assert_eq!(to, self.relay.at);
            if let Verdict::Relay(forward) =
                self.relay
                    .shard
                    .rx(at(self.now), from, bytes, &mut self.relay.notes)
            {
                self.relay.shard.forward(
                    at(self.now),
                    &forward,
                    bytes,
                    &mut self.second,
                    &mut self.relay.notes,
                );
            }
        }
        let from = Path::Direct(self.relay.at);
        for index in 0..self.second.len() {
            let (to, bytes) = self.second.get(index);
            assert_eq!(to, self.pair.b.at);
            if let Verdict::Deliver { frame, .. } =
                self.pair
                    .b
                    .shard
                    .rx(at(self.now), from, bytes, &mut self.pair.b.notes)
            {
                take(Arrived {
                    frame: frame.bytes.to_vec(),
                    offload: frame.offload,
                });
            }
        }
    }

    pub fn send(&mut self, frame: &[u8]) {
        self.pair.batch.clear();
        let Pair { a, batch, .. } = &mut self.pair;
        a.shard.tx(
            at(self.now),
            network(),
            TapFrame::plain(frame),
            batch,
            &mut a.notes,
        );
    }
}

#[test]
fn frames_of_every_size_pass_a_relay_byte_identical() {
    let mut trio = Trio::new();
    for len in [0_usize, 46, 1_000, 1_360, 1_400, 1_420, 1_500] {
        let frame = trio.pair.frame_ab(&vec![len.to_be_bytes()[7]; len]);
        trio.send(&frame);
        assert!(trio.pair.batch.lengths().iter().all(|&len| len <= 1_472));
        let arrived = trio.pass();
        assert_eq!(arrived.len(), 1, "{len} bytes");
        assert_eq!(arrived[0].frame, frame);
    }
    assert_eq!(trio.relay.shard.counters().dropped_in_all(), 0);
}

#[test]
fn the_first_datagram_between_a_pair_introduces_them_and_the_next_does_not() {
    let mut trio = Trio::new();
    let frame = trio.pair.frame_ab(b"hello");
    for _ in 0..5 {
        trio.send(&frame);
        trio.pass();
    }
    assert_eq!(trio.relay.notes, [Note::Relayed { from: A, to: B }]);
    assert_eq!(
        trio.relay.shard.counters().count(Count::DatagramsRelayed),
        5
    );
}

#[test]
fn a_relay_sees_nothing_of_what_it_passes_on() {
    let mut trio = Trio::new();
    let frame = trio.pair.frame_ab(b"not for the relay");
    trio.send(&frame);
    let (_, bytes) = trio.pair.batch.get(0);
    let from = Path::Direct(trio.pair.a.at);
    assert!(matches!(
        trio.relay
            .shard
            .rx(at(1), from, bytes, &mut trio.relay.notes),
        Verdict::Relay(_)
    ));
    assert!(!bytes.windows(9).any(|window| window == b"the relay"));
}

#[test]
fn a_handshake_passes_a_relay_with_its_source() {
    let mut trio = Trio::new();
    let init = [&[1, 1, 0, 0, 0, 0, 0, 0][..], &[7; 1_192]].concat();
    let (via, peer, source) = (
        trio.relay.address(),
        trio.pair.b.address(),
        trio.pair.a.address(),
    );
    for mtu in [1_472, 1_200] {
        trio.pair.batch.clear();
        let Pair { a, batch, .. } = &mut trio.pair;
        a.path(RELAY, Some(Path::Direct(trio.relay.at)), mtu);
        a.shard
            .send_handshake(at(1), Path::Relay { via, peer }, &init, batch, &mut a.notes)
            .unwrap();
        assert!(batch.lengths().iter().all(|&len| len <= usize::from(mtu)));
        let mut found = None;
        trio.second.clear();
        for index in 0..trio.pair.batch.len() {
            let (_, bytes) = trio.pair.batch.get(index);
            let from = Path::Direct(trio.pair.a.at);
            if let Verdict::Relay(forward) =
                trio.relay
                    .shard
                    .rx(at(1), from, bytes, &mut trio.relay.notes)
            {
                trio.relay.path(B, Some(Path::Direct(trio.pair.b.at)), mtu);
                trio.relay.shard.forward(
                    at(1),
                    &forward,
                    bytes,
                    &mut trio.second,
                    &mut trio.relay.notes,
                );
            }
        }
        for index in 0..trio.second.len() {
            let (_, bytes) = trio.second.get(index);
            let from = Path::Direct(trio.relay.at);
            let b = &mut trio.pair.b;
            if let Verdict::Punt(Punt::Handshake { from, datagram }) =
                b.shard.rx(at(1), from, bytes, &mut b.notes)
            {
                found = Some((from, datagram.to_vec()));
            }
        }
        assert_eq!(
            found,
            Some((Path::Relay { via, peer: source }, init.clone())),
            "path of {mtu}"
        );
    }
}

#[test]
fn a_destination_without_session_is_refused_and_told() {
    let mut trio = Trio::new();
    let nobody = Host::new(77, false).address();
    let (via, init) = (trio.relay.address(), [1; 1_200]);
    trio.pair.batch.clear();
    let Pair { a, batch, .. } = &mut trio.pair;
    a.shard
        .send_handshake(
            at(1),
            Path::Relay { via, peer: nobody },
            &init,
            batch,
            &mut a.notes,
        )
        .unwrap();
    trio.pass();
    assert_eq!(
        trio.relay
            .shard
            .counters()
            .dropped(DropReason::RelayUnknown),
        1
    );
    assert_eq!(
        trio.relay.notes,
        [Note::NoRoute {
            from: A,
            to: nobody
        }]
    );
}

#[test]
fn a_leaf_relays_for_nobody() {
    let mut pair = Pair::new();
    let (via, init) = (pair.b.address(), [1; 1_200]);
    pair.batch.clear();
    let path = Path::Relay {
        via,
        peer: Host::new(5, false).address(),
    };
    pair.a
        .shard
        .send_handshake(at(1), path, &init, &mut pair.batch, &mut pair.a.notes)
        .unwrap();
    let (_, bytes) = pair.batch.get(0);
    let verdict = pair
        .b
        .shard
        .rx(at(1), Path::Direct(pair.a.at), bytes, &mut pair.b.notes);
    assert!(matches!(verdict, Verdict::Drop(DropReason::RelayRefused)));
}

#[test]
fn a_relayed_message_from_a_leaf_is_refused() {
    let mut pair = Pair::new();
    let datagram = [4; 64];
    let source = Host::new(5, false).address();
    let message = Message::Relayed(zt_wire::message::Relayed {
        source,
        hops: 2,
        datagram: &datagram,
    })
    .to_vec();
    pair.batch.clear();
    let to = To {
        peer: OTHER,
        path: None,
        whole: false,
    };
    pair.a
        .shard
        .send(at(1), to, &message, &mut pair.batch, &mut pair.a.notes)
        .unwrap();
    let (_, bytes) = pair.batch.get(0);
    let verdict = pair
        .b
        .shard
        .rx(at(1), Path::Direct(pair.a.at), bytes, &mut pair.b.notes);
    assert!(matches!(verdict, Verdict::Drop(DropReason::NotAllowed)));
}

#[test]
fn a_relay_inside_a_relayed_datagram_is_refused() {
    let mut trio = Trio::new();
    let datagram = [4; 64];
    let destination = trio.pair.b.address();
    let message = Message::Relay(zt_wire::message::Relay {
        destination,
        hops: 3,
        datagram: &datagram,
    })
    .to_vec();
    trio.pair.batch.clear();
    let to = To {
        peer: OTHER,
        path: None,
        whole: false,
    };
    let Pair { a, batch, .. } = &mut trio.pair;
    a.shard
        .send(at(1), to, &message, batch, &mut a.notes)
        .unwrap();
    trio.pass();
    assert_eq!(
        trio.pair
            .b
            .shard
            .counters()
            .dropped(DropReason::RelayNested),
        1
    );
}

#[test]
fn no_hop_left_is_the_end() {
    let mut trio = Trio::new();
    let datagram = [4; 64];
    let destination = trio.pair.b.address();
    let message = Message::Relay(zt_wire::message::Relay {
        destination,
        hops: 0,
        datagram: &datagram,
    })
    .to_vec();
    trio.pair.batch.clear();
    let to = To {
        peer: RELAY,
        path: None,
        whole: false,
    };
    let Pair { a, batch, .. } = &mut trio.pair;
    a.shard
        .send(at(1), to, &message, batch, &mut a.notes)
        .unwrap();
    trio.pass();
    assert_eq!(
        trio.relay.shard.counters().dropped(DropReason::RelayHops),
        1
    );
}

#[test]
fn a_source_past_its_quota_is_dropped_and_later_served_again() {
    let mut trio = Trio::new();
    let config = ShardConfig {
        relays: true,
        relay_rate: 20_000,
        ..ShardConfig::default()
    };
    let mut slow = Host::new(9, true);
    slow.shard = zt_engine::shard::Shard::new(slow.address(), config);
    slow.meet(A, &trio.pair.a, false);
    slow.meet(B, &trio.pair.b, false);
    shake(
        &mut trio.pair.a,
        &mut slow,
        (RELAY, A),
        at(0),
        Suites::LEAST,
    );
    shake(
        &mut slow,
        &mut trio.pair.b,
        (B, RELAY),
        at(0),
        Suites::LEAST,
    );
    trio.relay = slow;
    let frame = trio.pair.frame_ab(&[1; 1_000]);
    for _ in 0..50 {
        trio.send(&frame);
        trio.pass();
    }
    let quota = trio.relay.shard.counters().dropped(DropReason::RelayQuota);
    assert!((25..40).contains(&quota), "{quota} of 50 past 20,000 bytes");
}

#[test]
fn an_overloaded_relay_makes_its_heaviest_source_give_way_and_only_then() {
    let mut trio = Trio::new();
    let frame = trio.pair.frame_ab(&[1; 1_000]);
    let share = |trio: &Trio| trio.relay.shard.counters().dropped(DropReason::RelayShare);
    let burst = |trio: &mut Trio| {
        for _ in 0..100 {
            trio.send(&frame);
            trio.pass();
        }
    };
    burst(&mut trio);
    assert_eq!(share(&trio), 0);
    // The next window begins with what the last one saw: 100 kB from one source, more than could be read.
    trio.relay.shard.overloaded();
    trio.now += 5;
    burst(&mut trio);
    let gave_way = share(&trio);
    assert!((5..30).contains(&gave_way), "{gave_way} of 100 gave way");
    trio.now += 1_000;
    trio.send(&frame);
    trio.pass();
    trio.now += 5;
    burst(&mut trio);
    assert_eq!(share(&trio), gave_way);
}
