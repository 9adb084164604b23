//! Frames put together field by field: headers with right lengths and checksums, a mark, padding that is not zero.
//!
//! Owner: one call of `Kind::frame`. In: ends and a mark. Out: bytes.
//! Never: a field that a real stack would refuse, where the protocol is one that real stacks answer.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::{BROADCAST, ETHERNET, Ends, Mac, Mark, SHORTEST};

/// One frame to be made.
pub(crate) struct Draft<'a> {
    pub(crate) ends: &'a Ends,
    pub(crate) mark: Mark,
}

/// The four ways IPX has been put into Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Ethernet II, type 0x8137.
    EthernetII,
    /// 802.3 with the IPX checksum 0xFFFF right behind the length.
    Raw8023,
    /// 802.2 LLC with SAP E0.
    Llc8022,
    /// SNAP with type 0x8137.
    Snap,
}

impl Framing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EthernetII, Self::Raw8023, Self::Llc8022, Self::Snap];
}

/// An IPX packet from a game's socket (0x869c) to the same in a frame of this framing, with what follows it as padding.
pub fn ipx(to: Mac, from: Mac, framing: Framing, data: &[u8], padding: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xff, 0xff];
    packet.extend_from_slice(&short(30 + data.len()));
    // Hops 0, type 4 (packet exchange), network 0: this one.
    packet.extend_from_slice(&[0, 4, 0, 0, 0, 0]);
    packet.extend_from_slice(&to);
    packet.extend_from_slice(&[0x86, 0x9c, 0, 0, 0, 0]);
    packet.extend_from_slice(&from);
    packet.extend_from_slice(&[0x86, 0x9c]);
    packet.extend_from_slice(data);
    let mut frame = [to, from].concat();
    match framing {
        Framing::EthernetII => frame.extend_from_slice(&[0x81, 0x37]),
        Framing::Raw8023 => frame.extend_from_slice(&short(packet.len())),
        Framing::Llc8022 => {
            frame.extend_from_slice(&short(packet.len() + 3));
            frame.extend_from_slice(&[0xe0, 0xe0, 0x03]);
        }
        Framing::Snap => {
            frame.extend_from_slice(&short(packet.len() + 8));
            frame.extend_from_slice(&[0xaa, 0xaa, 0x03, 0, 0, 0, 0x81, 0x37]);
        }
    }
    frame.extend_from_slice(&packet);
    frame.extend_from_slice(padding);
    frame
}

impl Draft<'_> {
    /// Bytes that start with the mark, as far as it fits, and go on with a pattern without zeros.
    pub(crate) fn fill(&self, len: usize) -> Vec<u8> {
        let mark = self.mark.to_bytes();
        let [.., seed] = mark;
        let mut bytes: Vec<u8> = if len >= Mark::LEN {
            mark.to_vec()
        } else {
            Vec::new()
        };
        let rest = (bytes.len()..len).zip((0..=u8::MAX).cycle());
        let pattern = rest.map(|(_, at)| at.wrapping_mul(31).wrapping_add(seed) | 1);
        bytes.extend(pattern.collect::<Vec<_>>());
        bytes
    }

    /// A frame of the sender's with everything behind the MACs given, then mark and padding up to the shortest length.
    pub(crate) fn frame(&self, to: Mac, parts: &[&[u8]]) -> Vec<u8> {
        self.frame_of(to, self.ends.from.mac, parts)
    }

    /// The same with somebody else's MAC as its source.
    pub(crate) fn frame_of(&self, to: Mac, from: Mac, parts: &[&[u8]]) -> Vec<u8> {
        let mut frame = [to, from].concat();
        frame.extend_from_slice(&parts.concat());
        let padding = SHORTEST.saturating_sub(frame.len()).max(Mark::LEN);
        frame.extend(self.fill(padding));
        frame
    }

    /// An 802.3 frame: length, LLC header and payload, which the length counts; then mark and padding, which it does not.
    pub(crate) fn llc(&self, to: Mac, parts: &[&[u8]]) -> Vec<u8> {
        let counted = parts.concat();
        self.frame(to, &[&short(counted.len()), &counted])
    }

    /// A frame to the other end, of this length in all, under an `EtherType` kept for experiments.
    pub(crate) fn size(&self, length: usize) -> Vec<u8> {
        self.tagged(&[], length)
    }

    /// The same behind tags.
    pub(crate) fn tagged(&self, tags: &[u8], length: usize) -> Vec<u8> {
        let mut frame = [self.ends.to.mac, self.ends.from.mac].concat();
        frame.extend_from_slice(tags);
        frame.extend_from_slice(&EXPERIMENTAL);
        let rest = length - frame.len();
        frame.extend(self.fill(rest));
        frame
    }

    /// IPX with data, and padding behind what IPX counts.
    pub(crate) fn ipx(&self, to: Mac, framing: Framing) -> Vec<u8> {
        ipx(to, self.ends.from.mac, framing, &self.fill(20), &[0x5a; 17])
    }

    /// ARP: operation, sender, target.
    pub(crate) fn arp(
        &self,
        to: Mac,
        operation: u8,
        sender: (Mac, Ipv4Addr),
        target: (Mac, Ipv4Addr),
    ) -> Vec<u8> {
        let head = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation];
        let (mac, ip) = (sender.0, sender.1.octets());
        let (their_mac, their_ip) = (target.0, target.1.octets());
        self.frame_of(to, mac, &[&head, &mac, &ip, &their_mac, &their_ip])
    }

    /// UDP in IPv4; mark and padding are the end of its data, so that the datagram has `least` bytes of data at least.
    pub(crate) fn udp4(&self, to: Mac, ip: Ipv4Addr, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
        let data = [data, &self.fill(24)].concat();
        let udp = datagram(ports, &data);
        self.ip4(to, (self.ends.from.ip, ip), UDP, &[], &udp)
    }

    /// IPv4 with this protocol, options and payload. Datagrams of UDP get their checksum.
    pub(crate) fn ip4(
        &self,
        to: Mac,
        (source, target): (Ipv4Addr, Ipv4Addr),
        protocol: u8,
        options: &[u8],
        payload: &[u8],
    ) -> Vec<u8> {
        let packet = ip4((source, target), (protocol, true), options, payload);
        let mut frame = [to, self.ends.from.mac].concat();
        frame.extend_from_slice(&[0x08, 0x00]);
        frame.extend_from_slice(&packet);
        let short = SHORTEST.saturating_sub(frame.len());
        if short > 0 {
            frame.extend(self.fill(short.max(Mark::LEN)));
        }
        frame
    }

    /// An IPv4 datagram of 1,500 bytes to the other end, with or without leave to be fragmented.
    pub(crate) fn full4(&self, whole: bool) -> Vec<u8> {
        let udp = datagram((DISCARD, DISCARD), &self.fill(1_472));
        let ends = (self.ends.from.ip, self.ends.to.ip);
        let packet = ip4(ends, (UDP, whole), &[], &udp);
        let mut frame = [self.ends.to.mac, self.ends.from.mac].concat();
        frame.extend_from_slice(&[0x08, 0x00]);
        frame.extend_from_slice(&packet);
        frame
    }

    /// IPv6 from the sender's link-local address, with this next header and extension in front of the payload, whose checksum stands at `sum`.
    pub(crate) fn ip6(
        &self,
        to: (Mac, Ipv6Addr),
        next: u8,
        extension: &[u8],
        payload: &[u8],
        sum: usize,
    ) -> Vec<u8> {
        let source = self.ends.from.link_local();
        let upper = if extension.is_empty() {
            next
        } else {
            extension[0]
        };
        let mut payload = payload.to_vec();
        let pseudo = [
            &source.octets()[..],
            &to.1.octets(),
            &long(payload.len()),
            &[0, 0, 0, upper],
            &payload,
        ]
        .concat();
        payload[sum..sum + 2].copy_from_slice(&checksum(&pseudo));
        let head = [
            &[0x86, 0xdd, 0x60, 0, 0, 0][..],
            &short(extension.len() + payload.len()),
            &[next, 255],
            &source.octets(),
            &to.1.octets(),
        ]
        .concat();
        self.frame(to.0, &[&head, extension, &payload])
    }

    /// An `ICMPv6` message of neighbor or router discovery with the sender's MAC as its option.
    pub(crate) fn discovery(&self, to: (Mac, Ipv6Addr), body: &[u8], option: u8) -> Vec<u8> {
        let link = [&[option, 1][..], &self.ends.from.mac].concat();
        self.ip6(to, ICMP6, &[], &[body, &link].concat(), 2)
    }

    /// What BOOTP and DHCP begin with: operation, transaction, whose address, then options.
    pub(crate) fn dhcp(&self, operation: u8, yours: Ipv4Addr, options: &[u8]) -> Vec<u8> {
        let mut packet = vec![operation, 1, 6, 0];
        packet.extend_from_slice(&self.mark.run[..4]);
        packet.extend_from_slice(&[0; 8]);
        packet.extend_from_slice(&yours.octets());
        packet.extend_from_slice(&[0; 8]);
        packet.extend_from_slice(&self.ends.from.mac);
        packet.resize(236, 0);
        packet.extend_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        packet.extend_from_slice(options);
        packet.push(0xff);
        packet
    }
}

/// A UDP datagram whose checksum `ip4` fills in.
fn datagram((from, to): (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut udp = [from.to_be_bytes(), to.to_be_bytes()].concat();
    udp.extend_from_slice(&short(8 + data.len()));
    udp.extend_from_slice(&[0, 0]);
    udp.extend_from_slice(data);
    udp
}

fn ip4(
    (source, target): (Ipv4Addr, Ipv4Addr),
    (protocol, whole): (u8, bool),
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    let mut packet = vec![0x40 | u8::try_from(header / 4).unwrap_or(5), 0];
    packet.extend_from_slice(&short(header + payload.len()));
    packet.extend_from_slice(&[
        0x7a,
        0x74,
        if whole { 0x40 } else { 0 },
        0,
        64,
        protocol,
        0,
        0,
    ]);
    packet.extend_from_slice(&source.octets());
    packet.extend_from_slice(&target.octets());
    packet.extend_from_slice(options);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    packet.extend_from_slice(payload);
    if protocol == UDP {
        let pseudo = [
            &source.octets()[..],
            &target.octets(),
            &[0, UDP],
            &short(payload.len()),
            payload,
        ]
        .concat();
        packet[header + 6..header + 8].copy_from_slice(&checksum(&pseudo));
    }
    packet
}

/// The Internet checksum (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = bytes.chunks(2).fold(0_u32, |sum, pair| match pair {
        [high, low] => sum + u32::from(u16::from_be_bytes([*high, *low])),
        [high] => sum + (u32::from(*high) << 8),
        _ => sum,
    });
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Below 2^16 by the loop.
    (!u16::try_from(sum).unwrap_or(0)).to_be_bytes()
}

/// A length in two bytes; no frame here is longer than 9,022.
pub(crate) fn short(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

fn long(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

/// Where multicast to an IPv4 group goes (RFC 1112 §6.4).
pub(crate) const fn group4(ip: Ipv4Addr) -> Mac {
    let [_, b, c, d] = ip.octets();
    [0x01, 0x00, 0x5e, b & 0x7f, c, d]
}

/// Where multicast to an IPv6 group goes (RFC 2464 §7).
pub(crate) const fn group6(ip: Ipv6Addr) -> Mac {
    let [.., c, d, e, f] = ip.octets();
    [0x33, 0x33, c, d, e, f]
}

/// IEEE 802, local experimental `EtherType` 1.
pub(crate) const EXPERIMENTAL: [u8; 2] = [0x88, 0xb5];
pub(crate) const UDP: u8 = 17;
pub(crate) const IGMP: u8 = 2;
pub(crate) const ICMP6: u8 = 58;
pub(crate) const DISCARD: u16 = 9;

const _: () = assert!(SHORTEST > ETHERNET + Mark::LEN && BROADCAST[0] & 1 == 1);
