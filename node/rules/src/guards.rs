//! Guards: what a member may put into a frame, by its certificate and the network's settings, before any rule.
//!
//! In: facts of a frame, what a certificate says, settings. Out: nothing to say, or the guard that stands against it.
//! Never: a table of members, an allocation. SPEC §10.3 and §10.4 lead; both ends and `explain` try this code.

use core::net::IpAddr;

use zt_wire::{Address, Cidr, Mac, NetworkId, Rights};

use crate::facts::Facts;

const ARP: u16 = 0x0806;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
/// Where a DHCP client listens: only servers and relays send there (RFC 2131 §4.1, RFC 8415 §7.2). Whatever port
/// they send from, as clients take any.
const DHCP_CLIENTS: [u16; 2] = [68, 546];
/// Router advertisement and redirect: what only routers send (RFC 4861 §4.2, §4.5).
const ROUTERS_SAY: [u8; 2] = [134, 137];
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// What stands against a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// Its source MAC is not its sender's.
    SourceMac,
    /// It is a bridge's (01:80:c2:00:00:00), and not both ends bridge.
    SpanningTree,
    /// Its destination is a group that bridges keep to themselves (01:80:c2:00:00:01 to 0f).
    LinkLocalGroup,
    /// Its IP source is not its sender's.
    IpSource,
    /// The address that it claims by ARP is not its sender's.
    ArpSender,
    /// The address that it claims by neighbor discovery is not its sender's.
    NdTarget,
    /// It is what a DHCP server sends.
    DhcpServer,
    /// It is what a router sends, or hides what it is behind headers.
    RouterAdvertisement,
}

/// What lifts a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lift {
    /// This right in the sender's certificate.
    Right(Rights),
    /// This right in both ends' certificates.
    RightOfBoth(Rights),
    /// The network's setting for link-local groups.
    LinkLocalGroups,
}

impl Guard {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::SourceMac,
        Self::SpanningTree,
        Self::LinkLocalGroup,
        Self::IpSource,
        Self::ArpSender,
        Self::NdTarget,
        Self::DhcpServer,
        Self::RouterAdvertisement,
    ];

    /// Its name for people and scripts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SourceMac => "source-mac",
            Self::SpanningTree => "spanning-tree",
            Self::LinkLocalGroup => "link-local-group",
            Self::IpSource => "ip-source",
            Self::ArpSender => "arp-sender",
            Self::NdTarget => "nd-target",
            Self::DhcpServer => "dhcp-server",
            Self::RouterAdvertisement => "router-advertisement",
        }
    }

    /// The counter of `zt-cli counters` under which a drop for it is found (SPEC §12.2).
    pub const fn counted(self) -> &'static str {
        match self {
            Self::SourceMac => "source-mac",
            Self::SpanningTree | Self::LinkLocalGroup => "reserved-group",
            Self::IpSource | Self::ArpSender | Self::NdTarget => "source-ip",
            Self::DhcpServer => "dhcp-server",
            Self::RouterAdvertisement => "router-advertisement",
        }
    }

    /// What lifts it. Those about IP addresses are lifted by the right to bridge, too.
    pub const fn lifted_by(self) -> Lift {
        match self {
            Self::SourceMac => Lift::Right(Rights::BRIDGE),
            Self::SpanningTree => Lift::RightOfBoth(Rights::BRIDGE),
            Self::LinkLocalGroup => Lift::LinkLocalGroups,
            Self::IpSource | Self::ArpSender | Self::NdTarget => Lift::Right(Rights::ANY_SOURCE_IP),
            Self::DhcpServer => Lift::Right(Rights::DHCP_SERVER),
            Self::RouterAdvertisement => Lift::Right(Rights::ROUTER_ADVERTISEMENT),
        }
    }
}

/// A network as guards see it.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// Which.
    pub network: NetworkId,
    /// It gives IPv4 addresses, so nobody has others.
    pub manages_v4: bool,
    /// It computes IPv6 addresses, so nobody has others.
    pub computes_v6: bool,
    /// Networks behind members: what is in one may come from the member with that address.
    pub routes: &'a [(Cidr, IpAddr)],
}

/// A frame's sender as its certificate describes it.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// Who.
    pub address: Address,
    /// What it may do.
    pub rights: Rights,
    /// Its managed addresses.
    pub ips: &'a [IpAddr],
}

/// The last byte of 01:80:C2:00:00:00 to 0F, the groups that bridges do not forward (IEEE 802.1Q table 8-1).
pub const fn reserved(to: Mac) -> Option<u8> {
    match to.to_bytes() {
        [0x01, 0x80, 0xc2, 0, 0, last] if last < 0x10 => Some(last),
        _ => None,
    }
}

/// A frame to a reserved group: spanning tree is for bridges among themselves, the rest as the network says.
///
/// # Errors
/// The guard that stands against it.
pub const fn group(to: Mac, both_bridge: bool, link_local_groups: bool) -> Result<(), Guard> {
    match reserved(to) {
        None => Ok(()),
        Some(0) if both_bridge => Ok(()),
        Some(0) => Err(Guard::SpanningTree),
        Some(_) if link_local_groups => Ok(()),
        Some(_) => Err(Guard::LinkLocalGroup),
    }
}

/// A frame's source MAC: the sender's `own`; behind a bridge any station's, yet never another member's, nor a group.
///
/// # Errors
/// [`Guard::SourceMac`].
pub fn source_mac(
    from: Mac,
    own: Mac,
    bridges: bool,
    another_member: impl FnOnce() -> bool,
) -> Result<(), Guard> {
    if from == own || (bridges && !from.is_group() && !another_member()) {
        Ok(())
    } else {
        Err(Guard::SourceMac)
    }
}

/// What a frame says about IP, by its sender's certificate.
///
/// # Errors
/// The guard that stands against it.
pub fn content(ground: &Ground<'_>, facts: &Facts, holder: &Holder<'_>) -> Result<(), Guard> {
    let serves_dhcp = facts.protocol == Some(UDP)
        && facts
            .ports
            .is_some_and(|(_, to)| DHCP_CLIENTS.contains(&to));
    if serves_dhcp && !holder.rights.has(Rights::DHCP_SERVER) {
        return Err(Guard::DhcpServer);
    }
    let icmp6 = facts
        .icmp
        .filter(|_| facts.protocol == Some(ICMP6))
        .map(|(kind, _)| kind);
    let routes = facts.hidden || icmp6.is_some_and(|kind| ROUTERS_SAY.contains(&kind));
    if routes && !holder.rights.has(Rights::ROUTER_ADVERTISEMENT) {
        return Err(Guard::RouterAdvertisement);
    }
    if holder.rights.has(Rights::BRIDGE) || holder.rights.has(Rights::ANY_SOURCE_IP) {
        return Ok(());
    }
    let arp = facts.ethertype == Some(ARP);
    if !facts
        .ip_from
        .is_none_or(|ip| is_its_own(ground, holder, ip, arp))
    {
        return Err(if arp {
            Guard::ArpSender
        } else {
            Guard::IpSource
        });
    }
    // Asking about an address from the unspecified one is claiming it (RFC 4862 §5.4).
    let claims = match icmp6 {
        Some(ADVERTISEMENT) => true,
        Some(SOLICITATION) => facts.ip_from.is_some_and(|ip| ip.is_unspecified()),
        Some(_) | None => false,
    };
    let own = facts
        .nd_target
        .filter(|_| claims)
        .is_none_or(|target| is_its_own(ground, holder, target.into(), true));
    if own { Ok(()) } else { Err(Guard::NdTarget) }
}

/// Whether a member may say that this is its address. Where the network leaves a family alone, everything is.
/// `claimed`: the frame says so by ARP or neighbor discovery; otherwise it may come from a network behind the member.
fn is_its_own(ground: &Ground<'_>, holder: &Holder<'_>, ip: IpAddr, claimed: bool) -> bool {
    if ip.is_unspecified() || holder.ips.contains(&ip) {
        return true;
    }
    let managed = match ip {
        IpAddr::V4(_) => ground.manages_v4,
        // Every host makes itself a link-local address, and no certificate carries it.
        IpAddr::V6(ip) => ground.computes_v6 && !ip.is_unicast_link_local(),
    };
    if !managed {
        return true;
    }
    if let IpAddr::V6(ip) = ip
        && ground.network.member_of_ipv6(ip) == Some(holder.address)
    {
        return true;
    }
    !claimed
        && ground
            .routes
            .iter()
            .any(|(target, via)| target.contains(ip) && holder.ips.contains(via))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::ipv4_frame;

    fn member() -> Address {
        "89abcdef01".parse().unwrap()
    }

    fn verdict(frame: &[u8], rights: Rights) -> Result<(), Guard> {
        let network = NetworkId::new(member(), 1).unwrap();
        let ground = Ground {
            network,
            manages_v4: true,
            computes_v6: true,
            routes: &[],
        };
        let holder = Holder {
            address: member(),
            rights,
            ips: &[IpAddr::from([10, 0, 0, 1])],
        };
        content(&ground, &Facts::of(frame).unwrap(), &holder)
    }

    #[test]
    fn a_dhcp_answer_is_known_by_where_it_goes_whatever_port_it_comes_from() {
        for from in [67, 1067] {
            let frame = ipv4_frame(UDP, (from, 68), 0);
            assert_eq!(verdict(&frame, Rights::NONE), Err(Guard::DhcpServer));
            assert_eq!(verdict(&frame, Rights::DHCP_SERVER), Ok(()));
        }
        assert_eq!(
            verdict(&ipv4_frame(UDP, (68, 67), 0), Rights::NONE),
            Ok(()),
            "a client asks"
        );
    }

    #[test]
    fn the_right_that_a_guard_names_lifts_it() {
        let mut foreign = ipv4_frame(UDP, (1, 2), 0);
        foreign[26..30].copy_from_slice(&[10, 0, 0, 9]);
        let mut arp = vec![0xff; 12];
        arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 9]);
        arp.extend([0; 10]);
        for (frame, guard) in [
            (foreign, Guard::IpSource),
            (arp, Guard::ArpSender),
            (ipv4_frame(UDP, (67, 68), 0), Guard::DhcpServer),
        ] {
            assert_eq!(verdict(&frame, Rights::NONE), Err(guard));
            let Lift::Right(right) = guard.lifted_by() else {
                panic!("{guard:?} is lifted by a right");
            };
            assert_eq!(verdict(&frame, right), Ok(()), "{guard:?}");
        }
    }

    #[test]
    fn a_bridge_speaks_for_stations_but_not_for_members_or_groups() {
        let (own, station) = (
            Mac::from_bytes([2, 0, 0, 0, 0, 1]),
            Mac::from_bytes([2, 0, 0, 0, 0, 9]),
        );
        assert_eq!(source_mac(own, own, false, || true), Ok(()));
        assert_eq!(source_mac(station, own, true, || false), Ok(()));
        for (from, bridges, another) in [
            (station, false, false),
            (station, true, true),
            (Mac::BROADCAST, true, false),
        ] {
            let said = source_mac(from, own, bridges, || another);
            assert_eq!(said, Err(Guard::SourceMac));
        }
    }

    #[test]
    fn reserved_groups_pass_between_bridges_or_where_the_network_wants_them() {
        let to = |last| Mac::from_bytes([0x01, 0x80, 0xc2, 0, 0, last]);
        assert_eq!(group(to(0), true, false), Ok(()));
        assert_eq!(group(to(0), false, true), Err(Guard::SpanningTree));
        assert_eq!(group(to(14), true, false), Err(Guard::LinkLocalGroup));
        assert_eq!(group(to(14), false, true), Ok(()));
        assert_eq!(group(to(16), false, false), Ok(()), "not one of them");
    }
}
