//! The frames that people ask about, as bytes.
//!
//! In: arguments, both ends. Out: a frame as it would be sent. Never: a checksum; rules do not look at one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zt_wire::Mac;

use super::args::Explain;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;
const ECHO: u8 = 8;
const ECHO6: u8 = 128;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
/// To all nodes of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// A link-local address, as routers advertise from; anybody may have it.
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// SYN alone, behind ports, numbers and the header's length: a new connection.
const SYN: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff];
const SHORTEST: usize = 60;

/// MACs and IP addresses of both ends.
pub struct Ends {
    /// Sender's and receiver's MAC.
    pub macs: [Mac; 2],
    /// Sender's and receiver's IP address.
    pub ips: [IpAddr; 2],
}

/// The frame that is asked about.
pub fn build(asked: &Explain, ends: &Ends) -> Vec<u8> {
    let frame = &asked.frame;
    if let Some(bytes) = &frame.bytes {
        return bytes.0.clone();
    }
    let to = if asked.broadcast {
        Mac::BROADCAST
    } else {
        ends.macs[1]
    };
    let to = asked.mac_to.unwrap_or(to);
    let from = asked.mac_from.unwrap_or(ends.macs[0]);
    let mut bytes = [to.to_bytes(), from.to_bytes()].concat();
    let ports = |port: u16| [asked.source_port.to_be_bytes(), port.to_be_bytes()].concat();
    if let Some(port) = frame.tcp {
        packet(
            &mut bytes,
            ends.ips,
            TCP,
            &[&ports(port)[..], &SYN, &[0; 4]].concat(),
        );
    } else if let Some(port) = frame.udp {
        packet(
            &mut bytes,
            ends.ips,
            UDP,
            &[&ports(port)[..], &[0, 8, 0, 0]].concat(),
        );
    } else if frame.icmp {
        let (protocol, kind) = if ends.ips[0].is_ipv4() {
            (ICMP, ECHO)
        } else {
            (ICMP6, ECHO6)
        };
        packet(&mut bytes, ends.ips, protocol, &[kind, 0, 0, 0, 0, 1, 0, 1]);
    } else if let Some(target) = frame.nd {
        let segment = [
            &[NEIGHBOR_ADVERTISEMENT, 0, 0, 0, 0x20, 0, 0, 0][..],
            &target.octets(),
        ]
        .concat();
        let source = asked.ip_from.unwrap_or(target.into());
        packet(&mut bytes, [source, ALL_NODES.into()], ICMP6, &segment);
    } else if frame.ra {
        let segment = [ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0, 0x07, 0x08];
        let source = asked.ip_from.unwrap_or(ROUTER.into());
        packet(&mut bytes, [source, ALL_NODES.into()], ICMP6, &segment);
    } else if frame.arp {
        bytes.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
        bytes.extend(from.to_bytes());
        bytes.extend(ipv4(ends.ips[0]).octets());
        bytes.extend([0; 6]);
        bytes.extend(ipv4(ends.ips[1]).octets());
    } else if frame.ipx {
        bytes.extend([0x81, 0x37, 0xff, 0xff, 0, 30]);
    } else if let Some(kind) = frame.ethertype {
        bytes.extend(kind.to_be_bytes());
    }
    bytes.resize(bytes.len().max(SHORTEST), 0);
    bytes
}

fn packet(bytes: &mut Vec<u8>, ips: [IpAddr; 2], protocol: u8, segment: &[u8]) {
    let length = u16::try_from(segment.len()).unwrap_or(0);
    match (ips[0], ips[1]) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            bytes.extend(length.to_be_bytes());
            bytes.extend([protocol, 64]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
        }
        (from, to) => {
            bytes.extend([0x08, 0x00, 0x45, 0]);
            bytes.extend((20 + length).to_be_bytes());
            bytes.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
            bytes.extend(ipv4(from).octets());
            bytes.extend(ipv4(to).octets());
        }
    }
    bytes.extend(segment);
}

const fn ipv4(ip: IpAddr) -> Ipv4Addr {
    match ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}
