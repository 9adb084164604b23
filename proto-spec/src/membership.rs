//! IGMP and MLD: which multicast groups a station says it listens to (SPEC §10.14; RFC 1112, 2236, 3376, 2710, 3810).
//!
//! Owner: nobody; views of the caller's bytes. In: a frame. Out: queries, and groups joined and left, as MACs.
//! Never: an allocation, a checksum, a source filter: whoever wants one source wants the group.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::cursor::Reader;
use crate::error::Malformed;
use crate::frame::{EtherKind, Ethernet, IPV6};
use crate::ids::Mac;

const IPV4: u16 = 0x0800;
const IGMP: u8 = 2;
const HOP_BY_HOP: u8 = 0;
const ICMPV6: u8 = 58;

/// What a frame says about listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership<'a> {
    /// A router asks who listens, to anything or to one group.
    Query,
    /// A station tells.
    Report(Changes<'a>),
}

/// The groups of a report, one after another. Records that are cut short end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes<'a> {
    rest: Reader<'a>,
    layout: Layout,
}

/// What a station says of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The group's MAC (RFC 1112 §6.4, RFC 2464 §7).
    pub group: Mac,
    /// It listens from now on; else it does no longer.
    pub joins: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// One IPv4 group.
    Four {
        joins: bool,
    },
    /// One IPv6 group.
    Six {
        joins: bool,
    },
    /// Records of IGMP version 3, this many.
    Records4(u16),
    /// Records of MLD version 2, this many.
    Records6(u16),
    Done,
}

impl<'a> Membership<'a> {
    /// What an untagged or tagged frame says; `None` for every other frame, and for one that is cut short.
    pub fn of(frame: &'a [u8]) -> Option<Self> {
        let ethernet = Ethernet::parse(frame).ok()?;
        if !ethernet.destination().is_group() {
            return None;
        }
        match ethernet.payload().ok()? {
            (EtherKind::Type(IPV4), packet) => igmp(packet).ok()?,
            (EtherKind::Type(IPV6), packet) => mld(packet).ok()?,
            (EtherKind::Type(_) | EtherKind::Length(_), _) => None,
        }
    }
}

fn igmp(packet: &[u8]) -> Result<Option<Membership<'_>>, Malformed> {
    let mut r = Reader::new(packet);
    let head = r.array::<20>()?;
    let header = usize::from(head[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let fragment = u16::from_be_bytes([head[6], head[7]]) & 0x3fff;
    if head[0] >> 4 != 4 || head[9] != IGMP || fragment != 0 {
        return Ok(None);
    }
    let message = packet.get(header.max(20)..total).ok_or(Malformed::Short)?;
    let mut r = Reader::new(message);
    let kind = r.u8()?;
    r.take(3)?;
    let layout = match kind {
        0x11 => return Ok(Some(Membership::Query)),
        0x12 | 0x16 => Layout::Four { joins: true },
        0x17 => Layout::Four { joins: false },
        0x22 => {
            r.u16()?;
            Layout::Records4(r.u16()?)
        }
        _ => return Ok(None),
    };
    Ok(Some(Membership::Report(Changes { rest: r, layout })))
}

fn mld(packet: &[u8]) -> Result<Option<Membership<'_>>, Malformed> {
    let mut r = Reader::new(packet);
    let head = r.array::<8>()?;
    let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
    if head[0] >> 4 != 6 || head[6] != HOP_BY_HOP {
        // MLD always carries a router alert (RFC 2710 §3).
        return Ok(None);
    }
    r.take(32)?;
    let mut r = Reader::new(r.take(length)?);
    let [next, words] = r.array()?;
    r.take(6 + usize::from(words) * 8)?;
    if next != ICMPV6 {
        return Ok(None);
    }
    let kind = r.u8()?;
    r.take(3)?;
    let layout = match kind {
        130 => return Ok(Some(Membership::Query)),
        131 | 132 => {
            r.u32()?;
            Layout::Six { joins: kind == 131 }
        }
        143 => {
            r.u16()?;
            Layout::Records6(r.u16()?)
        }
        _ => return Ok(None),
    };
    Ok(Some(Membership::Report(Changes { rest: r, layout })))
}

impl Iterator for Changes<'_> {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        loop {
            let next = self.step();
            match next {
                Ok(Some(change)) => return Some(change),
                Ok(None) if self.layout != Layout::Done => {}
                Ok(None) | Err(_) => {
                    self.layout = Layout::Done;
                    return None;
                }
            }
        }
    }
}

impl Changes<'_> {
    /// The next group; `None` for a record that changes nothing.
    fn step(&mut self) -> Result<Option<Change>, Malformed> {
        match self.layout {
            Layout::Four { joins } => {
                self.layout = Layout::Done;
                let group = Ipv4Addr::from(self.rest.array::<4>()?);
                Ok(four(group).map(|group| Change { group, joins }))
            }
            Layout::Six { joins } => {
                self.layout = Layout::Done;
                let group = Ipv6Addr::from(self.rest.array::<16>()?);
                Ok(six(group).map(|group| Change { group, joins }))
            }
            Layout::Records4(0) | Layout::Records6(0) | Layout::Done => {
                self.layout = Layout::Done;
                Ok(None)
            }
            Layout::Records4(left) => {
                self.layout = Layout::Records4(left - 1);
                let (verdict, words, sources) = self.record()?;
                let group = four(Ipv4Addr::from(self.rest.array::<4>()?));
                self.rest.take(sources * 4 + words * 4)?;
                Ok(change(group, verdict))
            }
            Layout::Records6(left) => {
                self.layout = Layout::Records6(left - 1);
                let (verdict, words, sources) = self.record()?;
                let group = six(Ipv6Addr::from(self.rest.array::<16>()?));
                self.rest.take(sources * 16 + words * 4)?;
                Ok(change(group, verdict))
            }
        }
    }

    /// A record's head: whether it joins or leaves, words of auxiliary data, number of sources.
    fn record(&mut self) -> Result<(Option<bool>, usize, usize), Malformed> {
        let [kind, words] = self.rest.array()?;
        let sources = usize::from(self.rest.u16()?);
        let verdict = match (kind, sources) {
            // Including nothing is leaving, excluding anything is listening.
            (1 | 3, 0) => Some(false),
            (1..=5, _) => Some(true),
            // Blocking sources leaves others.
            _ => None,
        };
        Ok((verdict, usize::from(words), sources))
    }
}

fn change(group: Option<Mac>, joins: Option<bool>) -> Option<Change> {
    Some(Change {
        group: group?,
        joins: joins?,
    })
}

fn four(group: Ipv4Addr) -> Option<Mac> {
    let [_, b, c, d] = group.octets();
    let mac = Mac::from_bytes([0x01, 0x00, 0x5e, b & 0x7f, c, d]);
    group.is_multicast().then_some(mac)
}

fn six(group: Ipv6Addr) -> Option<Mac> {
    let [.., a, b, c, d] = group.octets();
    let mac = Mac::from_bytes([0x33, 0x33, a, b, c, d]);
    group.is_multicast().then_some(mac)
}

/// Whether frames to this MAC may be kept from who has not asked for them: groups of IP that stations announce.
/// Those of the link itself (224.0.0.0/24 and what shares its MACs, `ff02::1` to `ff02::ff`) are everybody's.
pub const fn is_announced(group: Mac) -> bool {
    match group.to_bytes() {
        [0x01, 0x00, 0x5e, b, c, _] => b < 0x80 && b | c != 0,
        [0x33, 0x33, a, b, c, _] => a | b | c != 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn ipv4(message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x01, 0, 0x5e, 0, 0, 0x16, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
        // Version 4 and six words: with a router alert, as IGMP has.
        frame.extend([0x46, 0xc0, 0, 24 + u8::try_from(message.len()).unwrap()]);
        frame.extend([0, 0, 0x40, 0, 1, IGMP, 0, 0, 10, 0, 0, 1, 224, 0, 0, 22]);
        frame.extend([0x94, 4, 0, 0]);
        frame.extend(message);
        // Ethernet pads short frames.
        frame.resize(frame.len().max(60), 0);
        frame
    }

    fn ipv6(message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x33, 0x33, 0, 0, 0, 0x16, 2, 0, 0, 0, 0, 1];
        // Behind an 802.1Q tag.
        frame.extend([0x81, 0, 0, 7, 0x86, 0xdd]);
        frame.extend([0x60, 0, 0, 0, 0, 8 + u8::try_from(message.len()).unwrap()]);
        frame.extend([HOP_BY_HOP, 1]);
        frame.extend([0xfe; 32]);
        frame.extend([ICMPV6, 0, 5, 2, 0, 0, 1, 0]);
        frame.extend(message);
        frame
    }

    fn changes(frame: &[u8]) -> Vec<(Mac, bool)> {
        match Membership::of(frame) {
            Some(Membership::Report(changes)) => {
                changes.map(|change| (change.group, change.joins)).collect()
            }
            other => panic!("{other:?} is no report"),
        }
    }

    fn mac(text: &str) -> Mac {
        text.parse().unwrap()
    }

    #[test]
    fn reports_of_igmp_one_and_two_join_and_a_leave_leaves() {
        let group = mac("01:00:5e:7f:00:01");
        for (kind, joins) in [(0x12, true), (0x16, true), (0x17, false)] {
            let frame = ipv4(&[kind, 0, 0, 0, 239, 255, 0, 1]);
            assert_eq!(changes(&frame), [(group, joins)], "{kind:#x}");
        }
    }

    #[test]
    fn records_of_igmp_three_join_leave_or_change_nothing() {
        let mut message = vec![0x22, 0, 0, 0, 0, 0, 0, 5];
        for (kind, last, sources) in [(4, 1, 0), (3, 2, 0), (1, 3, 2), (6, 4, 1), (5, 5, 1)] {
            message.extend([kind, 1, 0, sources, 239, 0, 1, last]);
            message.extend(vec![9; usize::from(sources) * 4 + 4]);
        }
        assert_eq!(
            changes(&ipv4(&message)),
            [
                (mac("01:00:5e:00:01:01"), true),
                (mac("01:00:5e:00:01:02"), false),
                (mac("01:00:5e:00:01:03"), true),
                (mac("01:00:5e:00:01:05"), true),
            ]
        );
    }

    #[test]
    fn mld_of_both_versions_is_read_behind_a_tag() {
        let mut group = [0; 16];
        group[0] = 0xff;
        group[15] = 0x77;
        for (kind, joins) in [(131, true), (132, false)] {
            let message = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &group].concat();
            let expected = [(mac("33:33:00:00:00:77"), joins)];
            assert_eq!(changes(&ipv6(&message)), expected);
        }
        let records = [
            &[143, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 1][..],
            &group,
            &[1; 16],
        ]
        .concat();
        assert_eq!(changes(&ipv6(&records)), [(mac("33:33:00:00:00:77"), true)]);
    }

    #[test]
    fn queries_are_told_from_reports() {
        assert_eq!(
            Membership::of(&ipv4(&[0x11, 100, 0, 0, 0, 0, 0, 0])),
            Some(Membership::Query)
        );
        let query = [&[130, 0, 0, 0][..], &[0; 20]].concat();
        assert_eq!(Membership::of(&ipv6(&query)), Some(Membership::Query));
    }

    #[test]
    fn what_is_cut_short_or_lies_about_its_length_says_no_more_than_it_holds() {
        let mut message = vec![0x22, 0, 0, 0, 0, 0, 0xff, 0xff, 4, 0, 0, 0, 239, 1, 1, 1];
        assert_eq!(changes(&ipv4(&message)).len(), 1, "65,535 records claimed");
        message[10] = 0xff;
        assert!(
            changes(&ipv4(&message)).is_empty(),
            "65,280 sources claimed"
        );
        let whole = ipv4(&[0x16, 0, 0, 0, 239, 1, 1, 1]);
        for length in 0..46 {
            let cut = Membership::of(&whole[..length]);
            assert!(cut.is_none(), "{length} bytes");
        }
        let mut fragment = whole;
        fragment[20] = 0x20;
        assert_eq!(Membership::of(&fragment), None);
    }

    /// A bounded fuzz: whatever stands in the bytes, reading ends, in bounds, with groups only.
    #[test]
    fn any_bytes_behind_a_right_beginning_are_read_to_an_end() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut chance = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut found = 0;
        for round in 0..200_000_u32 {
            let len = usize::try_from(chance() % 120).unwrap();
            let mut message: Vec<u8> = (0..len).map(|_| chance().to_be_bytes()[7]).collect();
            let kinds = [0x11, 0x12, 0x16, 0x17, 0x22, 130, 131, 132, 143];
            if let Some(first) = message.first_mut() {
                *first = kinds[round as usize % kinds.len()];
            }
            let mut frame = if round % 2 == 0 {
                ipv4(&message)
            } else {
                ipv6(&message)
            };
            if round % 3 == 0 {
                let at = usize::try_from(chance()).unwrap_or(0) % frame.len();
                frame[at] = chance().to_be_bytes()[7];
            }
            if let Some(Membership::Report(changes)) = Membership::of(&frame) {
                let groups: Vec<_> = changes.collect();
                assert!(groups.len() <= frame.len() / 8 + 1, "more than it holds");
                assert!(groups.iter().all(|change| change.group.is_group()));
                found += groups.len();
            }
        }
        assert!(found > 1_000, "only {found} groups: the fuzz is blunt");
    }

    #[test]
    fn groups_of_the_link_are_everybodys() {
        for everybodys in [
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:fb",
            "33:33:00:00:00:01",
            "01:80:c2:00:00:0e",
            "03:00:00:00:00:01",
            "01:00:5e:80:00:01",
            "01:0e:cf:00:00:00",
        ] {
            assert!(!is_announced(mac(everybodys)), "{everybodys}");
        }
        for announced in [
            "01:00:5e:7f:ff:fa",
            "01:00:5e:00:01:00",
            "01:00:5e:01:00:00",
            "33:33:ff:00:00:01",
            "33:33:00:01:00:02",
        ] {
            assert!(is_announced(mac(announced)), "{announced}");
        }
    }
}
