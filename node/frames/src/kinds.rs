//! The list itself: one entry for each kind, in the order in which a run sends them.
//!
//! Owner: nobody. In: a draft with two ends and a mark. Out: a frame of the kind.
//! Never: two kinds with one name; a frame that could harm a machine that hears it.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::draft::{DISCARD, Draft, Framing, ICMP6, IGMP, group4, group6};
use crate::{BROADCAST, Kind, Needs};

/// Every kind of frame.
pub const KINDS: &[Kind] = &[
    // --- IPX: four framings, with padding behind what the length counts ---
    Kind::new("IPX Ethernet II broadcast", Needs::Nothing, |d| {
        d.ipx(BROADCAST, Framing::EthernetII)
    }),
    Kind::new("IPX Ethernet II unicast", Needs::Nothing, |d| {
        d.ipx(d.ends.to.mac, Framing::EthernetII)
    }),
    Kind::new("IPX raw 802.3 broadcast", Needs::Nothing, |d| {
        d.ipx(BROADCAST, Framing::Raw8023)
    }),
    Kind::new("IPX raw 802.3 unicast", Needs::Nothing, |d| {
        d.ipx(d.ends.to.mac, Framing::Raw8023)
    }),
    Kind::new("IPX 802.2 broadcast", Needs::Nothing, |d| {
        d.ipx(BROADCAST, Framing::Llc8022)
    }),
    Kind::new("IPX 802.2 unicast", Needs::Nothing, |d| {
        d.ipx(d.ends.to.mac, Framing::Llc8022)
    }),
    Kind::new("IPX SNAP broadcast", Needs::Nothing, |d| {
        d.ipx(BROADCAST, Framing::Snap)
    }),
    Kind::new("IPX SNAP unicast", Needs::Nothing, |d| {
        d.ipx(d.ends.to.mac, Framing::Snap)
    }),
    // --- Other old LANs ---
    Kind::new("NetBEUI to 03:00:00:00:00:01", Needs::Nothing, |d| {
        d.llc(NETBIOS, &[&[0xf0, 0xf0, 0x03], &NETBEUI])
    }),
    Kind::new("NetBEUI unicast", Needs::Nothing, |d| {
        d.llc(d.ends.to.mac, &[&[0xf0, 0xf0, 0x03], &NETBEUI])
    }),
    Kind::new("AppleTalk SNAP", Needs::Nothing, |d| {
        let snap = [0xaa, 0xaa, 0x03, 0x08, 0x00, 0x07, 0x80, 0x9b];
        // A DDP packet of an unassigned type from node 1 to all: length 13, no checksum.
        let ddp = [0, 13, 0, 0, 0, 0, 0, 1, 0xff, 1, 0xf0, 0xf0, 0x7a];
        d.llc(APPLETALK, &[&snap, &ddp])
    }),
    Kind::new("AppleTalk AARP", Needs::Nothing, |d| {
        let snap = [0xaa, 0xaa, 0x03, 0x00, 0x00, 0x00, 0x80, 0xf3];
        let probe = [0, 1, 0x80, 0x9b, 6, 4, 0, 3];
        let from = d.ends.from.mac;
        d.llc(
            APPLETALK,
            &[&snap, &probe, &from, &[0, 0, 1, 1], &[0; 6], &[0, 0, 1, 2]],
        )
    }),
    // --- ARP ---
    Kind::new("ARP request", Needs::Nothing, |d| {
        let from = (d.ends.from.mac, d.ends.from.ip);
        d.arp(BROADCAST, 1, from, ([0; 6], NOBODY))
    }),
    Kind::new("ARP request for a listed member", Needs::Unlisted, |d| {
        let from = (d.ends.from.mac, d.ends.from.ip);
        d.arp(BROADCAST, 1, from, ([0; 6], d.ends.to.ip))
    }),
    Kind::new("ARP reply", Needs::Nothing, |d| {
        let from = (d.ends.from.mac, d.ends.from.ip);
        let to = (d.ends.to.mac, d.ends.to.ip);
        d.arp(d.ends.to.mac, 2, from, to)
    }),
    Kind::new("ARP announcement", Needs::Nothing, |d| {
        let (mac, ip) = (d.ends.from.mac, d.ends.from.ip);
        d.arp(BROADCAST, 1, (mac, ip), ([0; 6], ip))
    }),
    Kind::new("ARP from a bridged host", Needs::BridgeFrom, |d| {
        let host = (d.ends.from.behind(), BEHIND);
        d.arp(BROADCAST, 1, host, ([0; 6], NOBODY))
    }),
    // --- IPv4: broadcast, DHCP, multicast ---
    Kind::new("UDP to 255.255.255.255", Needs::Nothing, |d| {
        d.udp4(BROADCAST, Ipv4Addr::BROADCAST, GAME, b"zt")
    }),
    Kind::new("UDP to the directed broadcast", Needs::Nothing, |d| {
        d.udp4(BROADCAST, d.ends.directed, GAME, b"zt")
    }),
    Kind::new("UDP to a foreign directed broadcast", Needs::Nothing, |d| {
        d.udp4(BROADCAST, Ipv4Addr::new(198, 51, 100, 255), GAME, b"zt")
    }),
    Kind::new("DHCP discover", Needs::Nothing, |d| {
        let packet = d.dhcp(1, Ipv4Addr::UNSPECIFIED, &[53, 1, 1]);
        let ends = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
        let udp = [&[0, 68, 0, 67, 1, 24, 0, 0][..], &padded(d, packet)].concat();
        d.ip4(BROADCAST, ends, 17, &[], &udp)
    }),
    Kind::new("DHCP offer", Needs::DhcpServer, |d| {
        let packet = d.dhcp(2, NOBODY, &[53, 1, 2]);
        let ends = (d.ends.from.ip, Ipv4Addr::BROADCAST);
        let udp = [&[0, 67, 0, 68, 1, 24, 0, 0][..], &padded(d, packet)].concat();
        d.ip4(BROADCAST, ends, 17, &[], &udp)
    }),
    Kind::new("mDNS", Needs::Nothing, |d| {
        let group = Ipv4Addr::new(224, 0, 0, 251);
        d.udp4(group4(group), group, (5353, 5353), MDNS)
    }),
    Kind::new("SSDP", Needs::Nothing, |d| {
        let group = Ipv4Addr::new(239, 255, 255, 250);
        d.udp4(group4(group), group, (1900, 1900), SSDP)
    }),
    Kind::new("IPv4 multicast", Needs::Nothing, |d| {
        d.udp4(group4(GROUP4), GROUP4, GAME, b"zt")
    }),
    Kind::new("IGMP report", Needs::Nothing, |d| {
        let mut report = vec![0x16, 0, 0, 0];
        report.extend_from_slice(&GROUP4.octets());
        let sum = crate::draft::checksum(&report);
        report[2..4].copy_from_slice(&sum);
        // Router alert (RFC 2236 §2).
        let alert = [0x94, 4, 0, 0];
        d.ip4(
            group4(GROUP4),
            (d.ends.from.ip, GROUP4),
            IGMP,
            &alert,
            &report,
        )
    }),
    Kind::new("multicast that is not IP", Needs::Nothing, |d| {
        d.frame([0x01, 0x55, 0xaa, 0x00, 0x7a, 0x74], &[&[0x88, 0xb6]])
    }),
    Kind::new("IPv4 of 1,500 bytes with DF", Needs::Nothing, |d| {
        d.full4(true)
    }),
    Kind::new("IPv4 of 1,500 bytes without DF", Needs::Nothing, |d| {
        d.full4(false)
    }),
    // --- IPv6 ---
    Kind::new("IPv6 neighbor solicitation", Needs::Nothing, |d| {
        let target = d.ends.to.link_local();
        let [.., a, b, c] = target.octets();
        let group = Ipv6Addr::new(
            0xff02,
            0,
            0,
            0,
            0,
            1,
            0xff00 | u16::from(a),
            u16::from_be_bytes([b, c]),
        );
        let body = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &target.octets()].concat();
        d.discovery((group6(group), group), &body, 1)
    }),
    Kind::new("IPv6 neighbor advertisement", Needs::Nothing, |d| {
        let own = d.ends.from.link_local().octets();
        let body = [&[136, 0, 0, 0, 0x20, 0, 0, 0][..], &own].concat();
        d.discovery((group6(ALL_NODES), ALL_NODES), &body, 2)
    }),
    Kind::new("IPv6 router solicitation", Needs::Nothing, |d| {
        d.discovery(
            (group6(ALL_ROUTERS), ALL_ROUTERS),
            &[133, 0, 0, 0, 0, 0, 0, 0],
            1,
        )
    }),
    Kind::new("IPv6 router advertisement", Needs::Router, |d| {
        // A router's lifetime of zero: nobody takes it for its way out.
        let body = [134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        d.discovery((group6(ALL_NODES), ALL_NODES), &body, 1)
    }),
    Kind::new("MLD report", Needs::Nothing, |d| {
        let record = [
            &[143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0][..],
            &GROUP6.octets(),
        ]
        .concat();
        // Hop-by-hop options: router alert (RFC 2711), then two bytes of padding.
        let alert = [ICMP6, 0, 5, 2, 0, 0, 1, 0];
        d.ip6((group6(MLD_ROUTERS), MLD_ROUTERS), 0, &alert, &record, 2)
    }),
    Kind::new("IPv6 multicast", Needs::Nothing, |d| {
        let udp = [&[0x6d, 0x38, 0x6d, 0x38, 0, 16, 0, 0][..], &d.fill(8)].concat();
        d.ip6((group6(GROUP6), GROUP6), 17, &[], &udp, 6)
    }),
    // --- Stations behind bridges ---
    Kind::new("unknown unicast", Needs::BridgeTo, |d| {
        d.frame(d.ends.to.behind(), &[&[0x88, 0xb5]])
    }),
    Kind::new("unicast from a bridged host", Needs::BridgeFrom, |d| {
        d.frame_of(d.ends.to.mac, d.ends.from.behind(), &[&[0x88, 0xb5]])
    }),
    // --- Tags ---
    Kind::new("802.1Q, priority 5", Needs::Nothing, |d| {
        d.tagged(&[0x81, 0x00, 0xa0, 0x07], 100)
    }),
    Kind::new("802.1Q, VID 0, priority 6", Needs::Nothing, |d| {
        d.tagged(&[0x81, 0x00, 0xc0, 0x00], 100)
    }),
    Kind::new("802.1ad Q-in-Q", Needs::Nothing, |d| {
        d.tagged(&[0x88, 0xa8, 0x20, 0x64, 0x81, 0x00, 0x60, 0x07], 100)
    }),
    Kind::new("802.1Q of 1,518 bytes", Needs::Nothing, |d| {
        d.tagged(&[0x81, 0x00, 0x20, 0x07], 1_518)
    }),
    // --- Other types ---
    Kind::new("PPPoE discovery", Needs::Nothing, |d| {
        d.frame(
            BROADCAST,
            &[&[0x88, 0x63, 0x11, 0x09, 0, 0, 0, 4, 0x01, 0x01, 0, 0]],
        )
    }),
    Kind::new("PPPoE session", Needs::Nothing, |d| {
        d.frame(
            d.ends.to.mac,
            &[&[0x88, 0x64, 0x11, 0, 0, 7, 0, 4, 0xc0, 0x21, 9, 1]],
        )
    }),
    Kind::new("Wake-on-LAN", Needs::Nothing, |d| {
        // The made-up station: no machine wakes.
        let wake = [&[0xff; 6][..], &d.ends.to.behind().repeat(16)].concat();
        d.frame(BROADCAST, &[&[0x08, 0x42], &wake])
    }),
    Kind::new("ATA over Ethernet", Needs::Nothing, |d| {
        let query = [0x88, 0xa2, 0x10, 0, 0xff, 0xff, 0xff, 1, 0, 0, 0, 1];
        d.frame(BROADCAST, &[&query, &[0; 8]])
    }),
    Kind::new("MPLS", Needs::Nothing, |d| {
        d.frame(d.ends.to.mac, &[&[0x88, 0x47, 0, 0x06, 0x41, 64]])
    }),
    Kind::new("experimental 88b5", Needs::Nothing, |d| d.size(120)),
    Kind::new("PROFINET to 01:0e:cf:00:00:00", Needs::Nothing, |d| {
        let identify = [
            0x88, 0x92, 0xfe, 0xfe, 5, 0, 0, 0, 0, 1, 0, 1, 0, 4, 0xff, 0xff, 0, 0,
        ];
        d.frame([0x01, 0x0e, 0xcf, 0, 0, 0], &[&identify])
    }),
    Kind::new("IS-IS, 802.3 of length 1,500", Needs::Nothing, |d| {
        let hello = [0xfe, 0xfe, 0x03, 0x83, 27, 1, 0, 15, 1, 0, 0];
        let rest = d.fill(1_500 - hello.len());
        let mut frame = [ISIS, d.ends.from.mac].concat();
        frame.extend_from_slice(&[&crate::draft::short(1_500)[..], &hello, &rest].concat());
        frame
    }),
    // --- What bridges keep to themselves ---
    Kind::new("spanning tree BPDU", Needs::Bridges, |d| {
        // A configuration message of the lowest possible priority, so that no bridge takes it for its root.
        let identity = [&[0xff, 0xff][..], &d.ends.from.mac].concat();
        let body = [
            &[0x42, 0x42, 0x03, 0, 0, 0, 0, 0][..],
            &identity,
            &[0, 0, 0, 0],
            &identity,
            &[0x80, 0x01, 0, 0, 20, 0, 2, 0, 15, 0],
        ]
        .concat();
        d.llc([0x01, 0x80, 0xc2, 0, 0, 0], &[&body])
    }),
    Kind::new("LLDP", Needs::LinkLocalGroups, |d| {
        let mac = d.ends.from.mac;
        let chassis = [&[0x88, 0xcc, 0x02, 7, 4][..], &mac].concat();
        let port = [&[0x04, 7, 3][..], &mac].concat();
        d.frame(
            [0x01, 0x80, 0xc2, 0, 0, 0x0e],
            &[&chassis, &port, &[0x06, 2, 0, 120, 0, 0]],
        )
    }),
    Kind::new("LACP", Needs::LinkLocalGroups, |d| {
        let actor = [&[1, 20, 0xff, 0xff][..], &d.ends.from.mac, &[0; 10]].concat();
        let partner = [&[2, 20][..], &[0; 18]].concat();
        let rest = [&[3, 16][..], &[0; 14], &[0; 52]].concat();
        d.frame(
            [0x01, 0x80, 0xc2, 0, 0, 0x02],
            &[&[0x88, 0x09, 1, 1], &actor, &partner, &rest],
        )
    }),
    Kind::new("EAPOL", Needs::LinkLocalGroups, |d| {
        d.frame([0x01, 0x80, 0xc2, 0, 0, 0x03], &[&[0x88, 0x8e, 2, 1, 0, 0]])
    }),
    // --- Sizes ---
    Kind::new("14 bytes", Needs::Nothing, |d| d.size(14)),
    Kind::new("15 bytes", Needs::Nothing, |d| d.size(15)),
    Kind::new("59 bytes", Needs::Nothing, |d| d.size(59)),
    Kind::new("60 bytes", Needs::Nothing, |d| d.size(60)),
    Kind::new("61 bytes", Needs::Nothing, |d| d.size(61)),
    Kind::new("1,294 bytes", Needs::Nothing, |d| d.size(1_294)),
    Kind::new("1,414 bytes", Needs::Nothing, |d| d.size(1_414)),
    Kind::new("1,513 bytes", Needs::Nothing, |d| d.size(1_513)),
    Kind::new("1,514 bytes", Needs::Nothing, |d| d.size(1_514)),
    Kind::large("2,014 bytes", 2_000, |d| d.size(2_014)),
    Kind::large("4,014 bytes", 4_000, |d| d.size(4_014)),
    Kind::large("6,014 bytes", 6_000, |d| d.size(6_014)),
    Kind::large("8,014 bytes", 8_000, |d| d.size(8_014)),
    Kind::large("9,013 bytes", 9_000, |d| d.size(9_013)),
    Kind::large("9,014 bytes", 9_000, |d| d.size(9_014)),
];

/// The IP groups that frames of the catalog go to and that are not every host's or router's.
pub const GROUPS: ([Ipv4Addr; 3], Ipv6Addr) = (
    [
        Ipv4Addr::new(224, 0, 0, 251),
        Ipv4Addr::new(239, 255, 255, 250),
        GROUP4,
    ],
    GROUP6,
);

/// DHCP with mark and padding up to 272 bytes of UDP data.
fn padded(d: &Draft<'_>, mut packet: Vec<u8>) -> Vec<u8> {
    let rest = d.fill(272 - packet.len());
    packet.extend(rest);
    packet
}

const NETBIOS: [u8; 6] = [0x03, 0, 0, 0, 0, 0x01];
const APPLETALK: [u8; 6] = [0x09, 0x00, 0x07, 0xff, 0xff, 0xff];
/// All intermediate systems of level 1.
const ISIS: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x14];
/// A `NetBIOS` datagram's header: length 44, delimiter, command 8.
const NETBEUI: [u8; 8] = [0x2c, 0x00, 0xff, 0xef, 0x08, 0, 0, 0];
/// TEST-NET-2 (RFC 5737): nobody has it, no directory lists it.
const NOBODY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
/// The address of the made-up bridged host.
const BEHIND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// Ports of a game that nobody plays: a closed UDP port answers nothing to a broadcast.
const GAME: (u16, u16) = (27_960, DISCARD);
const GROUP4: Ipv4Addr = Ipv4Addr::new(239, 195, 122, 116);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x7a74, 0x6d63);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const MLD_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// A question for `_zt-selftest._udp.local`.
const MDNS: &[u8] = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x0c_zt-selftest\x04_udp\x05local\0\0\x0c\0\x01";
const SSDP: &[u8] = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: urn:zt:selftest\r\n\r\n";
