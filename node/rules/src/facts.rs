//! What a frame is, read once for all rules: addresses, VLAN, type, IP, ports, flags, size.
//!
//! In: a whole Ethernet frame. Out: `Facts`. Never: an allocation, a panic, a guess: a header that is cut
//! short or lies about its length yields no fact, and a rule that asks for one does not hold.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zt_wire::Mac;

/// What rules can ask of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Source MAC.
    pub from: Mac,
    /// Destination MAC.
    pub to: Mac,
    /// The outer VLAN tag's control information (priority, DEI, id).
    pub vlan: Option<u16>,
    /// The type after all VLAN tags, or SNAP's for an RFC 1042 header.
    pub ethertype: Option<u16>,
    /// How the frame says its protocol.
    pub framing: Framing,
    /// The LLC destination service access point of an 802.2 frame.
    pub sap: Option<u8>,
    /// IP source or ARP sender.
    pub ip_from: Option<IpAddr>,
    /// IP destination or ARP target.
    pub ip_to: Option<IpAddr>,
    /// IP protocol after extension headers.
    pub protocol: Option<u8>,
    /// Source and destination port; none for a fragment but the first.
    pub ports: Option<(u16, u16)>,
    /// ICMP type and code.
    pub icmp: Option<(u8, u8)>,
    /// The low eight TCP flags (CWR ECE URG ACK PSH RST SYN FIN).
    pub tcp_flags: Option<u8>,
    /// What ARP for IPv4 says: 1 asks, 2 answers.
    pub arp: Option<u16>,
    /// The address that a neighbor solicitation or advertisement is about.
    pub nd_target: Option<Ipv6Addr>,
    /// IPv6 headers follow that were not walked to their end: cut short, or more than anybody needs.
    pub hidden: bool,
    /// Bytes of the frame.
    pub size: u16,
}

/// How a frame says its protocol (IEEE 802.3 clause 3.2.6, 802.2, RFC 1042; Novell's raw 802.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Framing {
    /// By a type of at least 0x0600.
    EthernetII,
    /// Novell's raw 802.3: a length, then 0xFFFF.
    Raw,
    /// 802.2 LLC.
    Llc,
    /// 802.2 SNAP.
    Snap,
}

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPX: u16 = 0x8137;
const IPV6: u16 = 0x86dd;
const IPX_SAP: u8 = 0xe0;
const ICMP6: u8 = 58;
/// More VLAN tags than this are not looked behind.
const TAGS: usize = 4;
/// More IPv6 extension headers than this are not looked behind (RFC 8200 §4.1 recommends fewer).
const EXTENSIONS: usize = 8;

impl Facts {
    /// Reads a frame; `None` under 14 bytes.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let (header, mut rest) = frame.split_first_chunk::<14>()?;
        let mut facts = Self {
            from: Mac::from_bytes(*header[6..].first_chunk()?),
            to: Mac::from_bytes(*header.first_chunk()?),
            vlan: None,
            ethertype: None,
            framing: Framing::EthernetII,
            sap: None,
            ip_from: None,
            ip_to: None,
            protocol: None,
            ports: None,
            icmp: None,
            tcp_flags: None,
            arp: None,
            nd_target: None,
            hidden: false,
            size: u16::try_from(frame.len()).unwrap_or(u16::MAX),
        };
        let mut kind = u16::from_be_bytes([header[12], header[13]]);
        for _ in 0..TAGS {
            if !matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
                break;
            }
            let Some((tag, behind)) = rest.split_first_chunk::<4>() else {
                return Some(facts);
            };
            facts.vlan = facts.vlan.or(Some(u16::from_be_bytes([tag[0], tag[1]])));
            kind = u16::from_be_bytes([tag[2], tag[3]]);
            rest = behind;
        }
        if kind < 0x0600 {
            facts.length_frame(rest);
        } else {
            facts.ethertype = Some(kind);
        }
        match facts.ethertype {
            Some(IPV4) => facts.ipv4(facts.network_layer(rest)),
            Some(IPV6) => facts.ipv6(facts.network_layer(rest)),
            Some(ARP) => facts.arp(facts.network_layer(rest)),
            Some(_) | None => {}
        }
        Some(facts)
    }

    /// Whether it is IPX, in whichever framing.
    pub fn is_ipx(&self) -> bool {
        self.ethertype == Some(IPX)
            || self.framing == Framing::Raw
            || (self.framing == Framing::Llc && self.sap == Some(IPX_SAP))
    }

    fn length_frame(&mut self, rest: &[u8]) {
        self.framing = Framing::Llc;
        match *rest {
            [0xff, 0xff, ..] => self.framing = Framing::Raw,
            [0xaa, 0xaa, 0x03, 0, 0, 0, a, b, ..] => {
                self.framing = Framing::Snap;
                self.ethertype = Some(u16::from_be_bytes([a, b]));
            }
            [0xaa, 0xaa, 0x03, ..] => self.framing = Framing::Snap,
            [sap, ..] => self.sap = Some(sap),
            [] => {}
        }
    }

    fn network_layer<'a>(&self, rest: &'a [u8]) -> &'a [u8] {
        let skip = if self.framing == Framing::Snap { 8 } else { 0 };
        rest.get(skip..).unwrap_or_default()
    }

    fn arp(&mut self, packet: &[u8]) {
        // Ethernet and IPv4 with their lengths (RFC 826).
        if let Some([0, 1, 0x08, 0, 6, 4, a, b, ..]) = packet.get(..28) {
            self.arp = Some(u16::from_be_bytes([*a, *b]));
            self.ip_from = packet[14..]
                .first_chunk::<4>()
                .map(|ip| Ipv4Addr::from(*ip).into());
            self.ip_to = packet[24..]
                .first_chunk::<4>()
                .map(|ip| Ipv4Addr::from(*ip).into());
        }
    }

    fn ipv4(&mut self, packet: &[u8]) {
        let Some(header) = packet.first_chunk::<20>() else {
            return;
        };
        let length = usize::from(header[0] & 0x0f) * 4;
        if header[0] >> 4 != 4 || length < 20 || packet.len() < length {
            return;
        }
        let [.., a, b, c, d, e, f, g, h] = *header;
        self.ip_from = Some(Ipv4Addr::new(a, b, c, d).into());
        self.ip_to = Some(Ipv4Addr::new(e, f, g, h).into());
        self.protocol = Some(header[9]);
        let offset = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
        if offset == 0 {
            self.transport(header[9], &packet[length..]);
        }
    }

    fn ipv6(&mut self, packet: &[u8]) {
        let Some((header, mut rest)) = packet.split_first_chunk::<40>() else {
            return;
        };
        if header[0] >> 4 != 6 {
            return;
        }
        self.ip_from = header[8..]
            .first_chunk::<16>()
            .map(|ip| Ipv6Addr::from(*ip).into());
        self.ip_to = header[24..]
            .first_chunk::<16>()
            .map(|ip| Ipv6Addr::from(*ip).into());
        let mut next = header[6];
        for _ in 0..EXTENSIONS {
            let (skip, first) = match (next, rest) {
                // Hop-by-hop, routing, destination options, mobility, HIP, shim6 (RFC 7045).
                (0 | 43 | 60 | 135 | 139 | 140, [_, length, ..]) => {
                    (8 + usize::from(*length) * 8, true)
                }
                (51, [_, length, ..]) => (8 + usize::from(*length) * 4, true),
                (44, [_, _, a, b, ..]) => (8, u16::from_be_bytes([*a, *b]) & 0xfff8 == 0),
                _ => break,
            };
            next = rest[0];
            if !first {
                self.protocol = Some(next);
                return;
            }
            let Some(behind) = rest.get(skip..) else {
                self.hidden = true;
                return;
            };
            rest = behind;
        }
        // ICMPv6 cut off before its type is hidden, too: the next fragment would bring it (RFC 7112 §5).
        self.hidden = matches!(next, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140)
            || (next == ICMP6 && rest.is_empty());
        self.protocol = Some(next);
        self.transport(next, rest);
    }

    fn transport(&mut self, protocol: u8, segment: &[u8]) {
        match (protocol, segment) {
            (1 | 58, [kind, code, ..]) => {
                self.icmp = Some((*kind, *code));
                if protocol == 58 && matches!(kind, 135 | 136) {
                    self.nd_target = segment
                        .get(8..)
                        .and_then(|rest| rest.first_chunk::<16>())
                        .map(|ip| Ipv6Addr::from(*ip));
                }
            }
            // TCP, UDP, DCCP, SCTP, UDP-Lite
            (6 | 17 | 33 | 132 | 136, [a, b, c, d, ..]) => {
                self.ports = Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])));
                if protocol == 6 {
                    self.tcp_flags = segment.get(13).copied();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A TCP or UDP frame over IPv4 for the tests of this crate.
    pub(crate) fn ipv4_frame(protocol: u8, ports: (u16, u16), flags: u8) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([
            0x45, 0, 0, 60, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]);
        frame.extend(ports.0.to_be_bytes());
        frame.extend(ports.1.to_be_bytes());
        frame.extend([0; 9]);
        frame.push(flags);
        frame.extend([0; 26]);
        frame
    }

    #[test]
    fn ports_are_read_behind_two_vlan_tags_and_ipv6_extensions() {
        let mut frame = vec![
            2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xa8, 0x60, 7, 0x81, 0, 0, 9, 0x86, 0xdd,
        ];
        frame.extend([0x60, 0, 0, 0, 0, 24, 0, 64]);
        frame.extend([0xfd; 32]);
        frame.extend([17, 0, 0, 0, 0, 0, 0, 0]);
        frame.extend([0x12, 0x34, 0x56, 0x78, 0, 8, 0, 0]);
        let facts = Facts::of(&frame).unwrap();
        assert_eq!(facts.vlan, Some(0x6007));
        assert_eq!(facts.protocol, Some(17));
        assert_eq!(facts.ports, Some((0x1234, 0x5678)));
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut frame = ipv4_frame(17, (1, 2), 0);
        frame[14 + 7] = 1;
        let facts = Facts::of(&frame).unwrap();
        assert_eq!((facts.protocol, facts.ports), (Some(17), None));
    }

    #[test]
    fn ipx_is_known_in_all_four_framings() {
        let head = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1];
        for tail in [
            &[0x81, 0x37, 0xff, 0xff][..],
            &[0, 30, 0xff, 0xff, 0, 30],
            &[0, 33, 0xe0, 0xe0, 3, 0xff, 0xff],
            &[0, 38, 0xaa, 0xaa, 3, 0, 0, 0, 0x81, 0x37],
        ] {
            let frame = [&head[..], tail].concat();
            assert!(Facts::of(&frame).unwrap().is_ipx(), "{tail:02x?}");
        }
        let netbeui = [&head[..], &[0, 30, 0xf0, 0xf0, 3]].concat();
        assert!(!Facts::of(&netbeui).unwrap().is_ipx());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Facts::of(&frame);
        }
    }
}
