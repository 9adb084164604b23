//! Rules and guards: what a network lets pass between two members, at either end.
//!
//! Owner: the tests. In: frames of one end's device. Out: frames of the other's, counted drops.

use core::net::{IpAddr, Ipv6Addr};

use allocation_counter::measure;
use zt_engine::counters::DropReason;
use zt_engine::shard::{Path, Policy, TapFrame};
use zt_wire::{Mac, Rights};

use super::harness::{Host, OTHER, Pair, at, network, receive, shake};

/// A UDP datagram in IPv4 from `10.0.0.source` to `10.0.0.2`.
fn udp(to: Mac, from: Mac, source: u8, ports: (u16, u16)) -> Vec<u8> {
    let mut frame = [&to.to_bytes()[..], &from.to_bytes(), &[8, 0]].concat();
    frame.extend([0x45, 0, 0, 46, 0, 1, 0, 0, 64, 17, 0, 0]);
    frame.extend([10, 0, 0, source, 10, 0, 0, 2]);
    frame.extend(ports.0.to_be_bytes());
    frame.extend(ports.1.to_be_bytes());
    frame.extend([0, 26, 0, 0]);
    frame.extend([7; 18]);
    frame
}

/// An `ICMPv6` message of `kind` about `target`.
fn icmp6(to: Mac, from: Mac, source: Ipv6Addr, kind: u8, target: Ipv6Addr) -> Vec<u8> {
    let mut frame = [&to.to_bytes()[..], &from.to_bytes(), &[0x86, 0xdd]].concat();
    frame.extend([0x60, 0, 0, 0, 0, 24, 58, 255]);
    frame.extend(source.octets());
    frame.extend("ff02::1".parse::<Ipv6Addr>().unwrap().octets());
    frame.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
    frame.extend(target.octets());
    frame
}

fn arp(to: Mac, from: Mac, sender: u8) -> Vec<u8> {
    let mut frame = [&to.to_bytes()[..], &from.to_bytes(), &[8, 6]].concat();
    frame.extend([0, 1, 8, 0, 6, 4, 0, 2]);
    frame.extend(from.to_bytes());
    frame.extend([10, 0, 0, sender]);
    frame.extend(to.to_bytes());
    frame.extend([10, 0, 0, 2]);
    frame
}

/// The same policy at both ends but for who they are, changed by `change` (which is told 1 or 2).
fn with(change: impl Fn(u8, &mut Policy)) -> Pair {
    let mut pair = Pair::new();
    impose(&mut pair, change);
    pair
}

fn impose(pair: &mut Pair, change: impl Fn(u8, &mut Policy)) {
    let (mut one, mut two) = (pair.a.policy(1), pair.b.policy(2));
    change(1, &mut one);
    change(2, &mut two);
    pair.a.admit_as(&pair.b, &two);
    pair.b.admit_as(&pair.a, &one);
    pair.a.impose(one);
    pair.b.impose(two);
}

fn rules(text: &str) -> Pair {
    with(|_, policy| policy.rules = zt_rules::compile(text).unwrap())
}

fn passes(pair: &mut Pair, frame: &[u8]) -> bool {
    !pair.a_to_b(at(1), TapFrame::plain(frame)).is_empty()
}

/// The same frame from an end that does not guard itself: judged by the receiver alone.
fn enters(pair: &mut Pair, frame: &[u8]) -> bool {
    let mut careless = pair.a.policy(1);
    careless.rights = Rights::from_bits(31).unwrap();
    pair.a.impose(careless);
    passes(pair, frame)
}

fn drops(host: &Host, reason: DropReason) -> u64 {
    host.shard.counters().dropped(reason)
}

#[test]
fn a_rule_stops_a_frame_at_the_sender_and_again_at_the_receiver() {
    let mut pair = rules("drop if udp and port-to 53; accept;");
    let (to, from) = (pair.b.mac(), pair.a.mac());
    assert!(passes(&mut pair, &udp(to, from, 1, (9, 54))));
    assert!(!passes(&mut pair, &udp(to, from, 1, (9, 53))));
    assert_eq!(drops(&pair.a, DropReason::RuleTx), 1);
    assert!(!enters(&mut pair, &udp(to, from, 1, (9, 53))));
    assert_eq!(drops(&pair.b, DropReason::RuleRx), 1);
}

#[test]
fn rules_ask_for_the_tags_of_both_certificates() {
    let text = "tag team = 1;\naccept if tag team equal;\ndrop;";
    for (mine, yours, expected) in [(5, 5, true), (5, 6, false)] {
        let mut pair = with(|end, policy| {
            policy.rules = zt_rules::compile(text).unwrap();
            policy.tags = vec![(1, if end == 1 { mine } else { yours })];
        });
        let frame = pair.frame_ab(b"ipx");
        assert_eq!(passes(&mut pair, &frame), expected);
        assert_eq!(enters(&mut pair, &frame), expected);
    }
}

#[test]
fn a_capability_of_the_sender_opens_what_the_rules_leave_closed() {
    let text = "capability admin = 3 { accept if udp and port-to 22; }\naccept if arp;\n";
    let mut pair = with(|end, policy| {
        policy.rules = zt_rules::compile(text).unwrap();
        if end == 1 {
            policy.tags = vec![(zt_rules::decide::CAPABILITY_BIT | 3, 1)];
        }
    });
    let (a, b) = (pair.a.mac(), pair.b.mac());
    assert!(passes(&mut pair, &udp(b, a, 1, (9, 22))));
    assert!(!passes(&mut pair, &udp(b, a, 1, (9, 23))));
    let back = udp(a, b, 2, (9, 22));
    assert!(pair.b_to_a(at(2), TapFrame::plain(&back)).is_empty());
}

#[test]
fn a_priority_is_set_where_a_tag_has_room_for_it() {
    let mut pair = rules("priority 5 if udp; accept;");
    let plain = udp(pair.b.mac(), pair.a.mac(), 1, (1, 2));
    let mut tagged = plain.clone();
    tagged.splice(12..12, [0x81, 0x00, 0x20, 0x07]);
    let arrived = pair.a_to_b(at(1), TapFrame::plain(&plain));
    assert_eq!(arrived[0].frame, plain);
    let arrived = pair.a_to_b(at(1), TapFrame::plain(&tagged));
    assert_eq!(arrived[0].frame[12..16], [0x81, 0x00, 0xa0, 0x07]);
    assert_eq!(arrived[0].frame[16..], tagged[16..]);
}

/// A third member beside the pair's two, known to the first.
fn third(pair: &mut Pair) -> Host {
    let mut third = Host::new(3, false);
    let handle = zt_engine::shard::PeerHandle(7);
    third.network_up(false, 1_500);
    pair.a.meet(handle, &third, false);
    third.meet(OTHER, &pair.a, false);
    shake(
        &mut pair.a,
        &mut third,
        (handle, OTHER),
        at(0),
        zt_crypto::Suites::LEAST,
    );
    let policies = (pair.a.policy(1), third.policy(3));
    pair.a.admit_as(&third, &policies.1);
    third.admit_as(&pair.a, &policies.0);
    third
}

/// Sends a frame of the first and tells what the second and the third got.
fn send(pair: &mut Pair, third: &mut Host, frame: &[u8]) -> [Vec<Vec<u8>>; 2] {
    pair.batch.clear();
    let frame = TapFrame::plain(frame);
    pair.a
        .shard
        .tx(at(1), network(), frame, &mut pair.batch, &mut pair.a.notes);
    let mut got = [vec![], vec![]];
    let from = pair.a.at;
    for index in 0..pair.batch.len() {
        let (to, bytes) = pair.batch.get(index);
        let (host, place) = if to == pair.b.at {
            (&mut pair.b, 0)
        } else {
            assert_eq!(to, third.at);
            (&mut *third, 1)
        };
        let verdict = host
            .shard
            .rx(at(1), Path::Direct(from), bytes, &mut host.notes);
        if let zt_engine::shard::Verdict::Deliver { frame, .. } = verdict {
            got[place].push(frame.bytes.to_vec());
        }
    }
    got
}

/// Three members under one text, in which `THIRD` stands for the third.
fn three(text: &str) -> (Pair, Host) {
    let mut pair = Pair::new();
    let mut last = third(&mut pair);
    let text = text.replace("THIRD", &last.address().to_string());
    let compiled = zt_rules::compile(&text).unwrap();
    impose(&mut pair, |_, policy| policy.rules = compiled.clone());
    let mut policy = last.policy(3);
    policy.rules = compiled;
    last.impose(policy);
    last.shard.apply(zt_engine::shard::Update::Listed {
        network: network(),
        address: pair.b.address(),
        ips: vec![],
        bridge: false,
        replicator: false,
    });
    (pair, last)
}

#[test]
fn a_tee_gives_a_third_member_the_first_bytes_too() {
    let (mut pair, mut third) = three("tee THIRD 40 if udp; accept;");
    let frame = udp(pair.b.mac(), pair.a.mac(), 1, (1, 2));
    let [second, copy] = send(&mut pair, &mut third, &frame);
    assert_eq!(second, std::slice::from_ref(&frame));
    assert_eq!(copy, [frame[..40].to_vec()]);
}

#[test]
fn a_redirected_frame_goes_to_the_named_member_only_and_is_let_in_there() {
    let second = Host::new(2, false).address();
    let text = format!("redirect THIRD if udp and member-to {second}; accept if arp;");
    let (mut pair, mut third) = three(&text);
    let frame = udp(pair.b.mac(), pair.a.mac(), 1, (1, 2));
    let [second, instead] = send(&mut pair, &mut third, &frame);
    assert_eq!((second, instead), (vec![], vec![frame]));
}

#[test]
fn a_broadcast_is_judged_for_each_receiver_and_a_tee_gives_nobody_two() {
    let second = Host::new(2, false).address();
    let text = format!("tee THIRD 65535; drop if member-to {second}; accept;");
    let (mut pair, mut third) = three(&text);
    let frame = udp(Mac::BROADCAST, pair.a.mac(), 1, (1, 2));
    let [second, other] = send(&mut pair, &mut third, &frame);
    assert_eq!((second, other), (vec![], vec![frame]));
    assert_eq!(drops(&pair.a, DropReason::RuleTx), 1);
}

#[test]
fn an_ip_or_arp_sender_must_be_an_address_of_the_certificate() {
    for (right, lifted) in [
        (Rights::NONE, false),
        (Rights::ANY_SOURCE_IP, true),
        (Rights::BRIDGE, true),
    ] {
        let mut pair = with(|end, policy| {
            if end == 1 {
                policy.rights = right;
            }
        });
        let (to, from) = (pair.b.mac(), pair.a.mac());
        for (frame, own) in [
            (udp(to, from, 1, (1, 2)), true),
            (udp(to, from, 9, (1, 2)), false),
            (arp(to, from, 1), true),
            (arp(to, from, 9), false),
        ] {
            assert_eq!(passes(&mut pair, &frame), own || lifted, "{right:?}");
            let mut judged = with(|end, policy| {
                if end == 1 {
                    policy.rights = right;
                }
            });
            assert_eq!(enters(&mut judged, &frame), own || lifted, "{right:?}");
            assert_eq!(
                drops(&judged.b, DropReason::SourceIp),
                u64::from(!own && !lifted)
            );
        }
    }
}

#[test]
fn a_member_that_is_a_route_s_gateway_may_send_what_comes_from_behind_it() {
    let mut pair = with(|_, policy| {
        policy.routes = vec![(
            zt_wire::Cidr::new([10, 0, 0, 128].into(), 25).unwrap(),
            IpAddr::from([10, 0, 0, 1]),
        )];
    });
    let (to, from) = (pair.b.mac(), pair.a.mac());
    assert!(passes(&mut pair, &udp(to, from, 200, (1, 2))));
    assert!(!passes(&mut pair, &udp(to, from, 100, (1, 2))));
    assert!(!passes(&mut pair, &arp(to, from, 200)), "nobody claims it");
}

#[test]
fn a_neighbor_advertisement_is_about_oneself() {
    let mut pair = with(|_, _| {});
    let (to, from) = (pair.b.mac(), pair.a.mac());
    let own = network().ipv6_of(pair.a.address());
    let foreign = network().ipv6_of(pair.b.address());
    let local = "fe80::1".parse().unwrap();
    assert!(passes(&mut pair, &icmp6(to, from, own, 136, own)));
    assert!(passes(&mut pair, &icmp6(to, from, local, 136, local)));
    assert!(!passes(&mut pair, &icmp6(to, from, own, 136, foreign)));
    assert!(!passes(&mut pair, &icmp6(to, from, foreign, 128, own)));
    assert!(
        passes(&mut pair, &icmp6(to, from, own, 135, foreign)),
        "it asks"
    );
    let nobody = Ipv6Addr::UNSPECIFIED;
    assert!(
        !passes(&mut pair, &icmp6(to, from, nobody, 135, foreign)),
        "it claims"
    );
}

/// A right, what its lack is counted as, and the frame that needs it.
type Guarded = (Rights, DropReason, fn(&Pair) -> Vec<u8>);

#[test]
fn only_members_with_the_right_answer_dhcp_or_advertise_a_router() {
    let local: Ipv6Addr = "fe80::1".parse().unwrap();
    let cases: [Guarded; 2] = [
        (Rights::DHCP_SERVER, DropReason::DhcpServer, |pair| {
            udp(pair.b.mac(), pair.a.mac(), 1, (67, 68))
        }),
        (
            Rights::ROUTER_ADVERTISEMENT,
            DropReason::RouterAdvertisement,
            |pair| {
                let local = "fe80::1".parse().unwrap();
                icmp6(pair.b.mac(), pair.a.mac(), local, 134, local)
            },
        ),
    ];
    for (right, reason, frame) in cases {
        let mut with_right = with(|_, policy| policy.rights = right);
        let frame_of = frame(&with_right);
        assert!(passes(&mut with_right, &frame_of));
        // Bridging lifts nothing here: a bridge is how such a server gets in.
        let mut without = with(|_, policy| policy.rights = Rights::BRIDGE);
        assert!(!passes(&mut without, &frame_of));
        assert_eq!(drops(&without.a, reason), 1);
        assert!(!enters(&mut without, &frame_of));
        assert_eq!(drops(&without.b, reason), 1);
    }
    let mut pair = with(|_, _| {});
    let mut far = icmp6(pair.b.mac(), pair.a.mac(), local, 134, local);
    // Ten empty hop-by-hop headers before it.
    far[20] = 0;
    for _ in 0..10 {
        far.splice(54..54, [0, 0, 1, 4, 0, 0, 0, 0]);
    }
    assert!(!passes(&mut pair, &far), "hidden behind headers");
}

#[test]
fn link_layer_control_passes_only_where_the_network_asks_for_it() {
    let lldp = Mac::from_bytes([0x01, 0x80, 0xc2, 0, 0, 0x0e]);
    for asked in [false, true] {
        let mut pair = with(|_, policy| policy.link_local_groups = asked);
        let frame = super::harness::frame(lldp, pair.a.mac(), b"lldp");
        assert_eq!(passes(&mut pair, &frame), asked);
        let tree = Mac::from_bytes([0x01, 0x80, 0xc2, 0, 0, 0]);
        let frame = super::harness::frame(tree, pair.a.mac(), b"bpdu");
        assert!(!passes(&mut pair, &frame), "between bridges only");
    }
}

#[test]
fn a_sender_that_follows_no_rules_and_no_guards_is_stopped_by_the_receiver() {
    let text = "capability admin = 3 { accept if udp and port-to 22; }\n\
                drop if udp and port-to 53;\n\
                redirect 89abcdef01 if udp and port-to 54;\n\
                break if udp and port-to 22;\n\
                accept if arp or ipv4 or ipv6;\n";
    let mut pair = rules(text);
    let (to, from) = (pair.b.mac(), pair.a.mac());
    let stopped = [
        (udp(to, from, 1, (9, 53)), DropReason::RuleRx),
        (udp(to, from, 1, (9, 54)), DropReason::RuleRx),
        (udp(to, from, 1, (9, 22)), DropReason::RuleRx),
        (pair.frame_ab(b"ipx"), DropReason::RuleRx),
        (udp(to, from, 9, (9, 9)), DropReason::SourceIp),
        (arp(to, from, 9), DropReason::SourceIp),
        (udp(to, from, 1, (1067, 68)), DropReason::DhcpServer),
    ];
    for (frame, reason) in stopped {
        let before = drops(&pair.b, reason);
        assert!(!enters(&mut pair, &frame), "{reason:?}");
        assert_eq!(drops(&pair.b, reason), before + 1, "{reason:?}");
        assert_eq!(drops(&pair.a, reason), 0, "its own end lets all pass");
    }
    assert!(
        enters(&mut pair, &udp(to, from, 1, (9, 9))),
        "what may pass"
    );
}

#[test]
fn a_member_that_takes_itself_for_a_bridge_is_stopped_by_the_receiver() {
    let mut pair = with(|_, _| {});
    pair.a.network_up(true, 1_500);
    let mut bridge = pair.b.policy(2);
    bridge.rights = Rights::BRIDGE;
    pair.a.admit_as(&pair.b, &bridge);
    let (to, third) = (pair.b.mac(), Host::new(3, false));
    let station = Mac::from_bytes([2, 0, 0, 0, 0, 0x99]);
    let tree = Mac::from_bytes([0x01, 0x80, 0xc2, 0, 0, 0]);
    let claims = super::harness::frame(to, station, b"not mine");
    let forges = super::harness::frame(to, third.mac(), b"another's");
    let bpdu = super::harness::frame(tree, pair.a.mac(), b"bpdu");
    for (frame, reason) in [
        (claims, DropReason::SourceMac),
        (forges, DropReason::SourceMac),
        (bpdu, DropReason::ReservedGroup),
    ] {
        let before = drops(&pair.b, reason);
        assert!(!enters(&mut pair, &frame));
        assert_eq!(drops(&pair.b, reason), before + 1, "{reason:?}");
    }
}

#[test]
fn rules_and_guards_allocate_nothing() {
    let text = "tag team = 1 { red = 1; default red; }\ncapability admin = 3 { accept; }\n\
                drop if tcp and port-to 445; break if tag team bits 2; accept if udp;";
    let mut pair = rules(text);
    let frame = udp(pair.b.mac(), pair.a.mac(), 1, (1, 2));
    let round = |pair: &mut Pair| {
        pair.batch.clear();
        let frame = TapFrame::plain(&frame);
        pair.a
            .shard
            .tx(at(2), network(), frame, &mut pair.batch, &mut pair.a.notes);
        let (_, bytes) = pair.batch.get(0);
        let from = Path::Direct(pair.a.at);
        pair.b.shard.rx(at(2), from, bytes, &mut pair.b.notes);
    };
    // The replay windows widen once.
    for _ in 0..200 {
        round(&mut pair);
    }
    let spent = measure(|| {
        for _ in 0..1_000 {
            round(&mut pair);
        }
    });
    assert_eq!(spent.count_total, 0);
    assert!(receive(&mut pair.b, pair.a.at, at(3), &mut pair.batch).is_empty());
}
