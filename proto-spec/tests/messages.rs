//! Messages: what is written is read again, and every length rule of SPEC §6 holds.
//!
//! In: made-up messages. Out: assertions. Never: a key.

mod common;

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use zt_wire::message::{
    Announced, Claim, ClaimAnswer, ClaimResult, DirectoryDelta, DirectoryEntry, ErrorCode,
    FRAME_OVERHEAD, Fragment, Frame, Goodbye, Heard, Hint, IdentityAnswer, List, LoopProbe,
    LoopWord, NetconfAnswer, NetconfPart, NetconfRequest, NetconfStatus, Parts, Pong, Probe,
    ProbeAnswer, Problem, RELAY_OVERHEAD, Relay, Relayed, Rendezvous, Replicate, Selftest,
    SelftestResult, SelftestStatus, SelftestStep, Stopped, Subscribe, Subscribed, Vouch,
    WorldOffer,
};
use zt_wire::{Body, Endpoints, Malformed, Message, MessageType, Put, Signed, Slot};

use common::{address, directory, endpoint, identity, network, socket};

fn survives(message: &Message<'_>) {
    let bytes = message.to_vec();
    assert_eq!(Message::parse(&bytes), Ok(*message));
    let alone: Vec<_> = Body::new(&bytes).collect();
    assert_eq!(alone, [Ok(*message)]);
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(Message::parse(&longer).is_err(), "one byte too many");
    assert!(
        Message::parse(&bytes[..bytes.len() - 1]).is_err(),
        "one too few"
    );
    let mut exact = vec![0; bytes.len()];
    let mut slot = Slot::new(&mut exact);
    assert_eq!(message.encode(&mut slot), bytes.len());
    assert_eq!(slot.finish(), Some(bytes.len()));
    assert_eq!(exact, bytes);
}

proptest! {
    #[test]
    fn traffic_survives(
        network in network(), who in address(), bytes in vec(any::<u8>(), 32..1600),
        flags in any::<(bool, bool)>(), id in any::<u32>(), index in 0..8_u8, hops in 0..=3_u8,
    ) {
        let checksum = flags.1.then_some((34, 10));
        let bytes = if flags.1 { &[&bytes[..], &[0; 40]].concat() } else { &bytes };
        let origin = None;
        survives(&Message::Frame(Frame { network, elided: flags.0, checksum, origin, bytes }));
        survives(&Message::Frame(Frame { network, elided: false, checksum, origin: Some(who), bytes }));
        survives(&Message::Replicate(Replicate { network, checksum, members: &[who.to_bytes()], bytes }));
        survives(&Message::Fragment(Fragment { id, index, count: 8, bytes }));
        survives(&Message::Relay(Relay { destination: who, hops, datagram: bytes }));
        survives(&Message::Relayed(Relayed { source: who, hops, datagram: bytes }));
        survives(&Message::RekeyInit(bytes));
        survives(&Message::RekeyResponse(bytes));
    }

    #[test]
    fn meeting_survives(
        who in address(), identity in proptest::option::of(identity()), token in any::<u64>(),
        endpoints in vec(endpoint(), 0..=32), observed in proptest::option::of(socket()),
        size in any::<u16>(), padding in 0..1500_usize,
    ) {
        survives(&Message::Whois(who));
        survives(&Message::Identity(IdentityAnswer { address: who, identity }));
        let endpoints = Endpoints::of(&endpoints);
        survives(&Message::Rendezvous(Rendezvous { peer: who, endpoints }));
        survives(&Message::Paths(endpoints));
        survives(&Message::Probe(Probe { token, mtu: padding > 0, padding }));
        survives(&Message::ProbeAnswer(ProbeAnswer { token, size, observed }));
        survives(&Message::Ping(token));
        survives(&Message::Pong(Pong { token, observed }));
        survives(&Message::Claim(Claim { passed_on: identity }));
        for result in [ClaimResult::Granted, ClaimResult::Taken, ClaimResult::Full, ClaimResult::Quota] {
            survives(&Message::ClaimAnswer(ClaimAnswer { address: who, result }));
        }
    }

    #[test]
    fn network_messages_survive(
        network in network(), who in address(), numbers in any::<(u32, u64, u64, u16, [u8; 16], [u8; 32])>(),
        signed in vec(any::<u8>(), 65..400), delta in directory(), groups in vec(any::<[u8; 6]>(), 0..20),
    ) {
        let (request, serial, revision, retry_after, token, hash) = numbers;
        survives(&Message::NetconfRequest(NetconfRequest {
            request, network, token, shared_hash: hash, serial, directory: revision,
        }));
        let signed = Signed::parse(&signed).unwrap();
        let delta_bytes = delta.encode();
        prop_assert_eq!(DirectoryDelta::decode(&delta_bytes), Ok(delta.clone()));
        let sizes: usize = delta.entries.iter().map(DirectoryEntry::encoded_len).sum();
        prop_assert_eq!(delta_bytes.len(), 17 + sizes);
        let sent = [
            NetconfPart::Shared(signed), NetconfPart::Certificate(signed),
            NetconfPart::Directory(&delta_bytes), NetconfPart::Revocation(signed),
        ];
        let mut bytes = Vec::new();
        for part in &sent {
            part.write(&mut bytes);
        }
        let parts = Parts::parse(&bytes).unwrap();
        prop_assert_eq!(parts.iter().collect::<Vec<_>>(), sent);
        survives(&Message::NetconfAnswer(NetconfAnswer {
            request, network, status: NetconfStatus::Pending, retry_after, parts,
        }));
        survives(&Message::Credential(signed));
        survives(&Message::Revocation(signed));
        survives(&Message::World(signed));
        let groups: Vec<_> = groups.into_iter().map(|mut mac| { mac[0] |= 1; mac }).collect();
        survives(&Message::Subscribe(Subscribe { network, all: groups.is_empty(), serial: request, groups: &groups }));
        survives(&Message::Subscribed(Subscribed { network, serial: request }));
        survives(&Message::Vouch(Vouch { network, member: who }));
        survives(&Message::Error(Problem::network(ErrorCode::NotAMember, MessageType::Frame, network)));
        survives(&Message::Error(Problem::address(ErrorCode::NoSuchPeer, MessageType::Relay, who)));
        survives(&Message::WorldOffer(WorldOffer { serial, hash }));
        survives(&Message::WorldGet(serial));
        survives(&Message::Hint(Hint { network, revision }));
        for word in [LoopWord::Heard, LoopWord::Confirmed, LoopWord::Forget] {
            survives(&Message::LoopProbe(LoopProbe { network, word, token: revision }));
        }
        for goodbye in [Goodbye::Stopping, Goodbye::Idle, Goodbye::Full] {
            survives(&Message::Goodbye(goodbye));
        }
    }

    #[test]
    fn selftests_survive(
        network in network(), run in any::<[u8; 6]>(),
        frames in vec((any::<[u8; 8]>(), any::<u16>(), "[ -~]{0,40}"), 0..100),
        heard in vec((any::<u8>(), any::<u16>(), any::<bool>(), "[a-z-]{0,20}"), 0..100),
    ) {
        let announced = List::encode(frames.iter().map(|(fingerprint, length, name)| Announced {
            fingerprint: *fingerprint, length: *length, name,
        }));
        let list: List<'_, Announced<'_>> = List::of((announced.0, &announced.1)).unwrap();
        prop_assert_eq!(list.len(), frames.len());
        prop_assert!(list.iter().zip(&frames).all(|(one, (_, _, name))| one.name == name));
        survives(&Message::Selftest(Selftest { network, run, step: SelftestStep::Begin(list) }));
        let stopped = List::encode(heard.iter().map(|(_, index, _, reason)| Stopped { index: *index, reason }));
        let step = SelftestStep::End(List::of((stopped.0, &stopped.1)).unwrap());
        survives(&Message::Selftest(Selftest { network, run, step }));
        survives(&Message::Selftest(Selftest { network, run, step: SelftestStep::Return }));
        let heard = List::encode(heard.iter().map(|(times, place, changed, reason)| Heard {
            times: *times, place: *place, changed: *changed, reason,
        }));
        let heard = List::of((heard.0, &heard.1)).unwrap();
        survives(&Message::SelftestResult(SelftestResult { network, run, status: SelftestStatus::Done, heard }));
    }

    #[test]
    fn what_is_read_is_written_the_same(kind in 0..=0x22_u8, payload in vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![kind, 0, u8::try_from(payload.len()).unwrap()];
        bytes.extend_from_slice(&payload);
        match Message::parse(&bytes) {
            // A probe's padding is not looked at, so it comes back as zeros.
            Ok(Message::Probe(probe)) => prop_assert_eq!(probe.padding + Probe::LEN, bytes.len()),
            Ok(message) => prop_assert_eq!(message.to_vec(), bytes),
            Err(_) => {}
        }
    }
}

#[test]
fn a_message_that_stands_alone_has_no_company() {
    let ping = Message::Ping(1).to_vec();
    let frame = Message::Frame(Frame {
        network: "0123456789000001".parse().unwrap(),
        elided: false,
        checksum: None,
        origin: None,
        bytes: &[0; 14],
    })
    .to_vec();
    let before = [&ping[..], &frame].concat();
    let items: Vec<_> = Body::new(&before).collect();
    assert_eq!(items, [Ok(Message::Ping(1)), Err(Malformed::NotAlone)]);
    let behind = [&frame[..], &ping].concat();
    let items: Vec<_> = Body::new(&behind).collect();
    assert_eq!(items, [Err(Malformed::NotAlone)]);
}

#[test]
fn an_unknown_message_is_stepped_over() {
    let body = [&[0x7f, 0, 2, 9, 9][..], &Message::Ping(5).to_vec()].concat();
    let items: Vec<_> = Body::new(&body).collect();
    assert_eq!(items, [Err(Malformed::Type(0x7f)), Ok(Message::Ping(5))]);
}

#[test]
fn a_length_past_the_end_ends_the_body() {
    let mut body = Message::Ping(5).to_vec();
    body.extend_from_slice(&[0x11, 0, 9, 0]);
    let items: Vec<_> = Body::new(&body).collect();
    assert_eq!(items, [Ok(Message::Ping(5)), Err(Malformed::Short)]);
}

#[test]
fn an_empty_body_has_no_messages() {
    assert_eq!(Body::new(&[]).count(), 0);
}

#[test]
fn every_code_leads_to_its_type_and_back() {
    assert!(MessageType::ALL.is_sorted(), "in order of their codes");
    for code in 0..=u8::MAX {
        let known = MessageType::ALL
            .into_iter()
            .find(|kind| *kind as u8 == code);
        assert_eq!(
            MessageType::from_code(code),
            known.ok_or(Malformed::Type(code))
        );
    }
}

fn refused(kind: MessageType, payload: &[u8], because: Malformed) {
    assert_eq!(
        Message::of(kind, payload),
        Err(because),
        "{kind:?} {payload:02x?}"
    );
}

#[test]
fn a_run_of_more_frames_than_256_is_refused() {
    let network = [1, 2, 3, 4, 5, 0, 0, 1];
    let run = |count: u16| {
        let one = [&[7_u8; 8][..], &[0, 60, 1, b'x']].concat();
        let many = one.repeat(usize::from(count));
        [&network[..], &[0; 6], &[0], &count.to_be_bytes(), &many].concat()
    };
    assert!(Message::of(MessageType::Selftest, &run(256)).is_ok());
    refused(MessageType::Selftest, &run(257), Malformed::Count);
    refused(
        MessageType::Selftest,
        &[&network[..], &[0; 6], &[3]].concat(),
        Malformed::Code,
    );
}

#[test]
fn frames_have_their_limits() {
    let network = [1, 2, 3, 4, 5, 0, 0, 1];
    let frame = |flags: u8, len: usize| [&network[..], &[flags], &vec![0; len]].concat();
    refused(MessageType::Frame, &frame(0, 13), Malformed::Length);
    refused(MessageType::Frame, &frame(1, 1), Malformed::Length);
    refused(MessageType::Frame, &frame(0, 9023), Malformed::Length);
    refused(MessageType::Frame, &frame(8, 60), Malformed::Reserved);
    refused(MessageType::Frame, &frame(4, 60), Malformed::Name);
    refused(MessageType::Frame, &[0; 40], Malformed::Name);
    assert!(Message::of(MessageType::Frame, &frame(1, 2)).is_ok());
    assert!(Message::of(MessageType::Frame, &frame(0, 9022)).is_ok());
}

#[test]
fn a_partial_checksum_lies_inside_its_frame() {
    let frame = |start: u16, offset: u16| {
        let mut payload = vec![1, 2, 3, 4, 5, 0, 0, 1, 2];
        payload.u16(start);
        payload.u16(offset);
        payload.extend_from_slice(&[0; 60]);
        payload
    };
    assert!(Message::of(MessageType::Frame, &frame(34, 24)).is_ok());
    refused(MessageType::Frame, &frame(34, 25), Malformed::Length);
    refused(MessageType::Frame, &frame(13, 2), Malformed::Length);
    refused(
        MessageType::Frame,
        &frame(u16::MAX, u16::MAX),
        Malformed::Length,
    );
}

#[test]
fn fragments_have_their_limits() {
    let fragment = |index, count| [0, 0, 0, 1, index, count, 7];
    refused(MessageType::Fragment, &fragment(0, 1), Malformed::Count);
    refused(MessageType::Fragment, &fragment(0, 65), Malformed::Count);
    refused(MessageType::Fragment, &fragment(2, 2), Malformed::Index);
    refused(
        MessageType::Fragment,
        &fragment(0, 2)[..6],
        Malformed::Length,
    );
}

#[test]
fn a_relay_has_hops_and_something_to_relay() {
    let mut payload = vec![1, 2, 3, 4, 5, 4];
    payload.extend_from_slice(&[0; 32]);
    refused(MessageType::Relay, &payload, Malformed::Code);
    payload[5] = 3;
    assert!(Message::of(MessageType::Relayed, &payload).is_ok());
    refused(MessageType::Relayed, &payload[..37], Malformed::Length);
}

#[test]
fn lists_have_their_limits() {
    refused(MessageType::Paths, &[33], Malformed::Count);
    refused(MessageType::Paths, &[1], Malformed::Short);
    refused(MessageType::Paths, &[1, 3], Malformed::Code);
    refused(MessageType::Paths, &[1, 0, 5], Malformed::Family(5));
    refused(MessageType::Paths, &[0, 0], Malformed::Trailing);
    let subscribe = [
        1, 2, 3, 4, 5, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 2, 0, 0, 0, 0, 1,
    ];
    refused(MessageType::Subscribe, &subscribe, Malformed::Name);
}

#[test]
fn overheads_are_what_the_layouts_add() {
    let network = "0123456789000001".parse().unwrap();
    let frame = Frame {
        network,
        elided: false,
        checksum: None,
        origin: None,
        bytes: &[0; 100],
    };
    assert_eq!(Message::Frame(frame).to_vec().len(), FRAME_OVERHEAD + 100);
    let relay = Relay {
        destination: network.controller(),
        hops: 3,
        datagram: &[0; 100],
    };
    assert_eq!(Message::Relay(relay).to_vec().len(), RELAY_OVERHEAD + 100);
    let probe = Probe {
        token: 1,
        mtu: true,
        padding: 100,
    };
    assert_eq!(Message::Probe(probe).to_vec().len(), Probe::LEN + 100);
}

#[test]
fn unknown_parts_of_an_answer_are_stepped_over() {
    let bytes = [9, 0, 1, 0xff, 3, 0, 0];
    let parts = Parts::parse(&bytes).unwrap();
    assert_eq!(
        parts.iter().collect::<Vec<_>>(),
        [NetconfPart::Directory(&[])]
    );
    assert_eq!(Parts::parse(&[3, 0, 1]), Err(Malformed::Short));
    assert_eq!(Parts::parse(&[1, 0, 0]), Err(Malformed::Short));
}

#[test]
fn over_a_relay_nothing_is_observed() {
    let pong = Message::Pong(Pong {
        token: 1,
        observed: None,
    });
    assert_eq!(pong.to_vec().len(), 3 + 9);
    let seen = SocketAddr::new(IpAddr::from([192, 0, 2, 1]), 9993);
    let pong = Message::Pong(Pong {
        token: 1,
        observed: Some(seen),
    });
    assert_eq!(pong.to_vec().len(), 3 + 15);
}
