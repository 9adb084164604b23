//! The catalog holds what it says: lengths, names, marks, checksums.
//!
//! In: two ends. Out: assertions. Never: a network.

use std::collections::BTreeSet;

use super::*;

fn ends(mtu: u16) -> Ends {
    let end = |n: u8| End {
        mac: [0x02, 0x11, 0x22, 0x33, 0x44, n],
        ip: Ipv4Addr::new(10, 77, 0, n),
    };
    Ends {
        from: end(1),
        to: end(2),
        directed: Ipv4Addr::new(10, 77, 0, 255),
        mtu,
    }
}

const RUN: [u8; 6] = [9, 8, 7, 6, 5, 4];

#[test]
fn every_kind_has_its_own_name_of_forty_bytes_at_most() {
    let names: BTreeSet<_> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), KINDS.len());
    for name in names {
        assert!(name.is_ascii() && name.len() <= 40, "{name}");
    }
}

#[test]
fn every_frame_differs_from_every_other_and_says_which_it_is() {
    for mtu in [1_500, 9_000] {
        let frames = all(&ends(mtu), RUN);
        let distinct: BTreeSet<_> = frames.iter().map(|(_, frame)| frame.clone()).collect();
        assert_eq!(distinct.len(), frames.len());
        for (index, (kind, frame)) in (0..).zip(&frames) {
            let most = ETHERNET + 4 + usize::from(mtu);
            assert!((ETHERNET..=most).contains(&frame.len()), "{}", kind.name);
            // Two frames have no room to say it.
            let said = Mark::find(RUN, frame);
            let room = frame.len() >= ETHERNET + Mark::LEN;
            assert_eq!(said, room.then_some(index), "{}", kind.name);
        }
    }
}

#[test]
fn sizes_are_those_that_their_names_say() {
    for (kind, frame) in all(&ends(9_000), RUN) {
        let said = kind.name.strip_suffix(" bytes");
        let said = said.map(|said| said.replace("802.1Q of ", "").replace(',', ""));
        if let Some(Ok(length)) = said.map(|said| said.parse::<usize>()) {
            assert_eq!(frame.len(), length, "{}", kind.name);
        }
    }
    let small = kinds(1_500).count();
    assert_eq!(kinds(9_000).count(), small + 6);
    assert!(small >= 57, "{small} kinds");
}

#[test]
fn ip_headers_lengths_and_checksums_are_right() {
    for (kind, frame) in all(&ends(1_500), RUN) {
        let udp = match frame[12..14] {
            [0x08, 0x00] => {
                let header = usize::from(frame[14] & 0x0f) * 4;
                assert_eq!(
                    draft::checksum(&frame[14..14 + header]),
                    [0, 0],
                    "{}",
                    kind.name
                );
                let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
                assert!(14 + total <= frame.len(), "{}", kind.name);
                let packet = &frame[14..14 + total];
                let pseudo = [
                    &packet[12..20],
                    &[0, packet[9]],
                    &draft::short(total - header),
                ]
                .concat();
                (packet[9] == draft::UDP).then(|| [&pseudo, &packet[header..]].concat())
            }
            [0x86, 0xdd] => {
                let length = usize::from(u16::from_be_bytes([frame[18], frame[19]]));
                let payload = &frame[54..54 + length];
                let (upper, payload) = match frame[20] {
                    0 => (payload[0], &payload[8..]),
                    next => (next, payload),
                };
                let pseudo = [
                    &frame[22..54],
                    &[0, 0],
                    &draft::short(payload.len()),
                    &[0, 0, 0, upper],
                ]
                .concat();
                Some([&pseudo, payload].concat())
            }
            _ => None,
        };
        if let Some(udp) = udp {
            assert_eq!(draft::checksum(&udp), [0, 0], "{}", kind.name);
        }
    }
}

#[test]
fn an_802_3_length_counts_what_follows_but_not_the_padding() {
    let mut seen = 0;
    for (kind, frame) in all(&ends(1_500), RUN) {
        let length = usize::from(u16::from_be_bytes([frame[12], frame[13]]));
        if length < 0x600 {
            seen += 1;
            assert!(14 + length <= frame.len(), "{}", kind.name);
        }
    }
    // IPX in three framings twice, NetBEUI twice, AppleTalk twice, IS-IS, spanning tree.
    assert_eq!(seen, 12);
}

#[test]
fn padding_is_kept_visible() {
    for framing in Framing::ALL {
        let frame = ipx(
            BROADCAST,
            ends(1_500).from.mac,
            framing,
            b"data",
            &[1, 2, 3],
        );
        assert!(frame.ends_with(&[1, 2, 3]));
    }
}

#[test]
fn a_need_excuses_its_own_reason_only() {
    assert!(Needs::LinkLocalGroups.excuses("reserved-group"));
    assert!(!Needs::Nothing.excuses("reserved-group"));
    assert!(!Needs::DhcpServer.excuses("forged"));
    assert!(Needs::Nothing.excuses("rule-rx"), "rules may stop anything");
    for kind in KINDS {
        let unlisted = Policy::default();
        let everything = Policy {
            from_bridges: true,
            to_bridges: true,
            link_local_groups: true,
            dhcp_server: true,
            router: true,
            listed: false,
        };
        assert!(kind.needs.met(&everything), "{}", kind.name);
        let free = matches!(kind.needs, Needs::Nothing | Needs::Unlisted);
        assert_eq!(kind.needs.met(&unlisted), free, "{}", kind.name);
    }
}

#[test]
fn bursts_are_numbered() {
    let frames = burst(&ends(1_500), RUN, SMALL);
    assert_eq!((frames.len(), frames[0].len()), (2_000, 200));
    assert_eq!(Mark::find(RUN, &frames[1_999]), Some(1_999));
    assert_eq!(burst(&ends(1_500), RUN, LARGE)[499].len(), 1_400);
}
