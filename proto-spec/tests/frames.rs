//! Frames: what the switch and its guards see, and the answers to ARP and neighbor questions (SPEC §10).
//!
//! In: frames byte by byte. Out: assertions. Never: a switch.

use proptest::collection::vec;
use proptest::prelude::*;
use zt_wire::frame::EtherKind;
use zt_wire::neighbor::{Arp, Solicitation};
use zt_wire::{Ethernet, Mac};

const TO: [u8; 6] = [0xff; 6];
const FROM: [u8; 6] = [2, 0, 0, 0, 0, 7];

fn frame(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&TO[..], &FROM, &kind.to_be_bytes(), payload].concat()
}

fn ipv6(next: u8, above: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 255];
    packet.extend_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    packet.extend_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8]);
    packet.extend_from_slice(above);
    packet
}

#[test]
fn bytes_below_0x0600_are_a_length_and_never_a_type() {
    for (value, kind) in [
        (0x05ff, EtherKind::Length(0x05ff)),
        (0x0600, EtherKind::Type(0x0600)),
        (0x8137, EtherKind::Type(0x8137)),
        (0, EtherKind::Length(0)),
    ] {
        let bytes = frame(value, &[0xff; 46]);
        let ethernet = Ethernet::parse(&bytes).unwrap();
        assert_eq!(ethernet.kind(), kind);
        assert_eq!(ethernet.payload().unwrap().1.len(), 46, "padding stays");
    }
}

#[test]
fn addresses_stand_where_they_stand() {
    let bytes = frame(0x0800, &[]);
    let ethernet = Ethernet::parse(&bytes).unwrap();
    assert_eq!(ethernet.destination(), Mac::BROADCAST);
    assert_eq!(ethernet.source(), Mac::from_bytes(FROM));
    assert!(Ethernet::parse(&bytes[..13]).is_err());
}

fn arp_question() -> Vec<u8> {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend_from_slice(&FROM);
    arp.extend_from_slice(&[10, 0, 0, 7, 0, 0, 0, 0, 0, 0, 10, 0, 0, 8]);
    arp.extend_from_slice(&[0; 18]);
    frame(0x0806, &arp)
}

#[test]
fn an_arp_question_is_answered_to_its_asker() {
    let bytes = arp_question();
    let question = Arp::question(&Ethernet::parse(&bytes).unwrap()).unwrap();
    let mac = Mac::from_bytes([2, 0, 0, 0, 0, 8]);
    let answer = question.answer(mac);
    let ethernet = Ethernet::parse(&answer).unwrap();
    assert_eq!(
        (ethernet.destination(), ethernet.source()),
        (Mac::from_bytes(FROM), mac)
    );
    let arp = Arp::parse(ethernet.payload().unwrap().1).unwrap();
    assert_eq!(arp.operation, 2);
    assert_eq!((arp.sender, arp.sender_mac), ([10, 0, 0, 8].into(), mac));
    assert_eq!(
        (arp.target, arp.target_mac),
        ([10, 0, 0, 7].into(), Mac::from_bytes(FROM))
    );
    assert_eq!(Arp::question(&ethernet), None, "an answer is no question");
}

#[test]
fn a_probe_is_answered_an_announcement_is_not() {
    let mut probe = arp_question();
    probe[28..32].fill(0);
    assert!(Arp::question(&Ethernet::parse(&probe).unwrap()).is_some());
    let mut announcement = arp_question();
    announcement[41] = 7;
    assert_eq!(
        Arp::question(&Ethernet::parse(&announcement).unwrap()),
        None
    );
}

#[test]
fn a_question_in_somebody_elses_name_is_not_answered() {
    let mut other = arp_question();
    other[22] ^= 2;
    assert_eq!(Arp::question(&Ethernet::parse(&other).unwrap()), None);
}

#[test]
fn tags_are_looked_behind_and_stay() {
    let tagged = [0x00, 0x0a, 0x81, 0x00, 0x20, 0x14, 0x08, 0x00, 1, 2, 3];
    let bytes = frame(0x88a8, &tagged);
    let ethernet = Ethernet::parse(&bytes).unwrap();
    assert_eq!(ethernet.kind(), EtherKind::Type(0x88a8));
    assert_eq!(ethernet.tag(), Some(10));
    assert_eq!(
        ethernet.payload(),
        Ok((EtherKind::Type(0x0800), &[1, 2, 3][..]))
    );
    assert_eq!(ethernet.bytes(), bytes);
    let cut = frame(0x8100, &[0, 1]);
    assert!(Ethernet::parse(&cut).unwrap().payload().is_err());
}

#[test]
fn a_neighbor_question_is_answered_with_a_right_checksum() {
    let mut above = vec![135, 0, 0, 0, 0, 0, 0, 0];
    above.extend_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8]);
    let bytes = frame(0x86dd, &ipv6(58, &above));
    let question = Solicitation::question(&Ethernet::parse(&bytes).unwrap()).unwrap();
    let mac = Mac::from_bytes([2, 0, 0, 0, 0, 8]);
    let answer = question.answer(mac);
    let ethernet = Ethernet::parse(&answer).unwrap();
    assert_eq!(
        (ethernet.destination(), ethernet.source()),
        (Mac::from_bytes(FROM), mac)
    );
    assert_eq!(answer[22..38], question.target.octets(), "from its holder");
    assert_eq!(answer[62..78], question.target.octets(), "about its holder");
    // RFC 1071: with its checksum in place the sum over everything is all ones.
    let sum = answer[22..].chunks(2).fold(32 + 58, |sum: u32, word| {
        sum + u32::from(u16::from_be_bytes([word[0], word[1]]))
    });
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
}

#[test]
fn duplicate_address_detection_is_not_answered() {
    let mut packet = ipv6(58, &[135, 0, 0, 0, 0, 0, 0, 0]);
    packet.extend_from_slice(&[0xfd; 16]);
    packet[8..24].fill(0);
    let bytes = frame(0x86dd, &packet);
    assert_eq!(
        Solicitation::question(&Ethernet::parse(&bytes).unwrap()),
        None
    );
}

proptest! {
    #[test]
    fn any_frame_can_be_looked_at(
        kind in prop_oneof![Just(0x0800_u16), Just(0x86dd), Just(0x0806), Just(0x8100), any::<u16>()],
        payload in vec(any::<u8>(), 0..120),
    ) {
        let bytes = frame(kind, &payload);
        let ethernet = Ethernet::parse(&bytes).unwrap();
        let _ = (ethernet.tag(), ethernet.payload());
        let _ = (Arp::question(&ethernet), Solicitation::question(&ethernet));
    }
}
