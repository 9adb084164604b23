//! One broadcast as each segment is to see it: the same packet from another source.
//!
//! Owner: nobody; plain functions. In: a frame that the kernel routed to LAN mode's device. Out: an IPv4 packet.
//! Never: a packet for one host, IGMP or DHCP; a byte changed besides the source and the checksums over it.

use std::net::Ipv4Addr;

use crate::tap::checksum;

/// A packet for a broadcast or group address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// The MAC it goes to.
    pub to: [u8; 6],
    /// How far it is meant to go.
    pub kind: Kind,
    packet: &'a [u8],
    header: usize,
}

/// Whom a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 255.255.255.255.
    Broadcast,
    /// A group.
    Multicast,
}

impl<'a> Outgoing<'a> {
    /// The packet in a frame, if it is one to be copied.
    pub fn of(frame: &'a [u8]) -> Option<Self> {
        let (head, rest) = frame.split_first_chunk::<ETHERNET>()?;
        let [a, b, c, d, e, f, .., kind_high, kind_low] = *head;
        if [kind_high, kind_low] != IPV4 {
            return None;
        }
        let (fixed, _) = rest.split_first_chunk::<SHORTEST>()?;
        let header = usize::from(fixed[0] & 0xf) * 4;
        let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if fixed[0] >> 4 != 4 || header < SHORTEST || length < header {
            return None;
        }
        let packet = rest.get(..length)?;
        let destination = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
        let kind = if destination.is_broadcast() {
            Kind::Broadcast
        } else if destination.is_multicast() {
            Kind::Multicast
        } else {
            return None;
        };
        let outgoing = Self {
            to: [a, b, c, d, e, f],
            kind,
            packet,
            header,
        };
        // The kernel itself says on each device which groups it listens to; a lease belongs to one device.
        (fixed[PROTOCOL] != IGMP && !outgoing.is_dhcp()).then_some(outgoing)
    }

    /// The packet from `source`, written over what `out` held.
    pub fn from(&self, source: Ipv4Addr, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.packet);
        let new = source.octets();
        let mut old = [0; 4];
        old.copy_from_slice(&self.packet[SOURCE..SOURCE + 4]);
        out[SOURCE..SOURCE + 4].copy_from_slice(&new);
        let sum = adjusted(word(out, CHECKSUM), old, new);
        out[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
        // A later fragment has no transport header; its datagram's sum is in the first.
        let place = self.header + UDP_CHECKSUM;
        if !self.carries_ports() || out.len() < place + 2 {
            return;
        }
        let sum = word(out, place);
        if sum != 0 {
            let sum = match adjusted(sum, old, new) {
                0 => 0xffff,
                sum => sum,
            };
            out[place..place + 2].copy_from_slice(&sum.to_be_bytes());
        }
    }

    fn carries_ports(&self) -> bool {
        let first = word(self.packet, FRAGMENT) & OFFSET == 0;
        first && matches!(self.packet[PROTOCOL], UDP | UDP_LITE)
    }

    fn is_dhcp(&self) -> bool {
        let to = self.header + 2;
        self.carries_ports()
            && self.packet.len() >= to + 2
            && matches!(word(self.packet, to), DHCP_SERVER | DHCP_CLIENT)
    }
}

/// A checksum after four of the bytes under it have changed (RFC 1624, equation 3).
fn adjusted(sum: u16, old: [u8; 4], new: [u8; 4]) -> u16 {
    let without = old.map(|byte| !byte);
    !checksum::fold(u64::from(!sum) + checksum::sum(&without) + checksum::sum(&new))
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// The `EtherType` of IPv4.
const IPV4: [u8; 2] = [8, 0];
/// Bytes of an IPv4 header without options (RFC 791).
const SHORTEST: usize = 20;
/// Places in an IPv4 header.
const FRAGMENT: usize = 6;
const PROTOCOL: usize = 9;
const CHECKSUM: usize = 10;
const SOURCE: usize = 12;
/// The bits of a fragment's place.
const OFFSET: u16 = 0x1fff;
/// Protocols.
const IGMP: u8 = 2;
const UDP: u8 = 17;
const UDP_LITE: u8 = 136;
/// The place of the checksum in a UDP header.
const UDP_CHECKSUM: usize = 6;
/// Ports of DHCP (RFC 2131).
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;

#[cfg(test)]
mod tests {
    use super::*;

    /// A sum over everything, the slow and plain way (RFC 1071).
    fn plain_sum(parts: &[&[u8]]) -> u16 {
        let bytes: Vec<u8> = parts.concat();
        let mut total = 0_u32;
        for pair in bytes.chunks(2) {
            total += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        while total >> 16 != 0 {
            total = (total & 0xffff) + (total >> 16);
        }
        !u16::try_from(total).unwrap()
    }

    fn holds(packet: &[u8]) -> bool {
        let header = usize::from(packet[0] & 0xf) * 4;
        let udp = &packet[header..];
        let length = u16::try_from(udp.len()).unwrap().to_be_bytes();
        let pseudo = [&packet[12..20], &[0, packet[9], length[0], length[1]]].concat();
        plain_sum(&[&packet[..header]]) == 0
            && (word(udp, UDP_CHECKSUM) == 0 || plain_sum(&[&pseudo, udp]) == 0)
    }

    struct Make {
        to: [u8; 4],
        options: usize,
        protocol: u8,
        fragment: u16,
        port: u16,
        data: Vec<u8>,
        summed: bool,
    }

    impl Default for Make {
        fn default() -> Self {
            Self {
                to: [255; 4],
                options: 0,
                protocol: UDP,
                fragment: 0,
                port: 27_015,
                data: b"who is there?".to_vec(),
                summed: true,
            }
        }
    }

    impl Make {
        fn packet(&self) -> Vec<u8> {
            let header = SHORTEST + self.options;
            let mut udp = vec![0x12, 0x34];
            udp.extend(self.port.to_be_bytes());
            let length = u16::try_from(8 + self.data.len()).unwrap();
            udp.extend(length.to_be_bytes());
            udp.extend([0, 0]);
            udp.extend(&self.data);
            let total = u16::try_from(header + udp.len()).unwrap().to_be_bytes();
            let first = 0x40 | u8::try_from(header / 4).unwrap();
            let mut packet = vec![first, 0, total[0], total[1], 0, 7];
            packet.extend(self.fragment.to_be_bytes());
            packet.extend([1, self.protocol, 0, 0, 10, 20, 0, 1]);
            packet.extend(self.to);
            packet.extend(vec![1; self.options]);
            let sum = plain_sum(&[&packet]).to_be_bytes();
            packet[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum);
            if self.summed {
                let pseudo = [&packet[12..20], &[0, self.protocol], &length.to_be_bytes()].concat();
                let sum = match plain_sum(&[&pseudo, &udp]) {
                    0 => 0xffff,
                    sum => sum,
                };
                udp[6..8].copy_from_slice(&sum.to_be_bytes());
            }
            packet.extend(udp);
            packet
        }

        fn frame(&self) -> Vec<u8> {
            let mut frame = vec![0xff; 6];
            frame.extend([2, 0, 0, 0, 0, 1, 8, 0]);
            frame.extend(self.packet());
            frame
        }
    }

    fn rewritten(make: &Make, source: [u8; 4]) -> Option<Vec<u8>> {
        let frame = make.frame();
        let mut out = vec![9; 3];
        Outgoing::of(&frame)?.from(source.into(), &mut out);
        Some(out)
    }

    #[test]
    fn only_the_source_and_the_sums_over_it_change() {
        for (options, source) in [
            (0, [192, 168, 50, 1]),
            (8, [10, 20, 0, 1]),
            (40, [1, 2, 3, 4]),
        ] {
            let make = Make {
                options,
                ..Make::default()
            };
            let before = make.packet();
            let mut after = rewritten(&make, source).unwrap();
            assert!(holds(&before) && holds(&after));
            assert_eq!(after[SOURCE..SOURCE + 4], source);
            let udp = SHORTEST + options + UDP_CHECKSUM;
            for place in [CHECKSUM..CHECKSUM + 2, SOURCE..SOURCE + 4, udp..udp + 2] {
                after[place.clone()].copy_from_slice(&before[place]);
            }
            assert_eq!(after, before);
        }
    }

    #[test]
    fn every_sum_holds_whatever_the_bytes_under_it() {
        for last in 0..=u8::MAX {
            let make = Make {
                data: vec![last, 0xff, last.wrapping_mul(31), 0xfe, last],
                ..Make::default()
            };
            let after = rewritten(&make, [255, 254, last, !last]).unwrap();
            assert!(holds(&after), "{last}");
        }
    }

    #[test]
    fn a_datagram_without_a_sum_stays_without_one() {
        let make = Make {
            summed: false,
            ..Make::default()
        };
        let after = rewritten(&make, [192, 168, 50, 1]).unwrap();
        assert_eq!(word(&after, SHORTEST + UDP_CHECKSUM), 0);
        assert!(holds(&after));
    }

    #[test]
    fn a_later_fragments_data_is_not_taken_for_a_header() {
        let make = Make {
            fragment: 0x20b9,
            port: 67,
            ..Make::default()
        };
        let before = make.packet();
        let after = rewritten(&make, [192, 168, 50, 1]).unwrap();
        assert_eq!(after[SHORTEST..], before[SHORTEST..]);
        assert_eq!(plain_sum(&[&after[..SHORTEST]]), 0);
    }

    #[test]
    fn other_protocols_keep_every_byte_behind_the_header() {
        let make = Make {
            protocol: 1,
            ..Make::default()
        };
        let after = rewritten(&make, [192, 168, 50, 1]).unwrap();
        assert_eq!(after[SHORTEST..], make.packet()[SHORTEST..]);
    }

    #[test]
    fn padding_behind_the_packet_is_not_part_of_it() {
        let make = Make {
            data: vec![7],
            ..Make::default()
        };
        let mut frame = make.frame();
        frame.resize(60, 0);
        let mut out = Vec::new();
        Outgoing::of(&frame)
            .unwrap()
            .from([10, 0, 0, 1].into(), &mut out);
        assert_eq!(out.len(), make.packet().len());
    }

    #[test]
    fn a_group_is_told_from_a_broadcast() {
        let kind = |to| {
            let frame = Make {
                to,
                ..Make::default()
            };
            Outgoing::of(&frame.frame()).map(|outgoing| outgoing.kind)
        };
        assert_eq!(kind([255; 4]), Some(Kind::Broadcast));
        assert_eq!(kind([239, 255, 255, 250]), Some(Kind::Multicast));
        assert_eq!(kind([192, 168, 50, 255]), None, "somebody's own broadcast");
        assert_eq!(kind([10, 20, 0, 2]), None);
    }

    #[test]
    fn dhcp_igmp_and_other_kinds_of_frame_are_left_alone() {
        for port in [67, 68] {
            let make = Make {
                port,
                ..Make::default()
            };
            assert_eq!(Outgoing::of(&make.frame()), None, "{port}");
        }
        let igmp = Make {
            protocol: IGMP,
            to: [224, 0, 0, 22],
            ..Make::default()
        };
        assert_eq!(Outgoing::of(&igmp.frame()), None);
        let mut ipv6 = Make::default().frame();
        ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
        assert_eq!(Outgoing::of(&ipv6), None);
    }

    #[test]
    fn a_cut_or_lying_frame_is_none() {
        let frame = Make::default().frame();
        for length in 0..frame.len() {
            assert_eq!(Outgoing::of(&frame[..length]), None, "{length}");
        }
        for (place, byte) in [(14, 0x65), (14, 0x44), (14, 0x4f), (16, 0xff), (17, 19)] {
            let mut bad = frame.clone();
            bad[place] = byte;
            let Some(outgoing) = Outgoing::of(&bad) else {
                continue;
            };
            // A header that claims options it may have: nothing is read past the packet.
            outgoing.from([10, 0, 0, 1].into(), &mut Vec::new());
        }
    }
}
