//! What a selftest has to know of a network and of two of its members.
//!
//! Owner: the networks room. In: certificates in force. Out: MACs, addresses, the MTU, whether the operator agreed.
//! Never: an end without a valid certificate.

use core::net::{IpAddr, Ipv4Addr};

use zt_frames::{End, Ends};
use zt_wire::{Address, Certificate, NetworkId};

use super::Networks;

impl Networks {
    /// The two ends of a test from us to a member; `None` until both certificates are in force here.
    pub fn ends(&self, network: NetworkId, member: Address) -> Option<Ends> {
        let joined = self.joined.get(&network).filter(|joined| joined.is_up())?;
        let own = &joined.own.as_ref()?.certificate;
        let contact = joined
            .contacts
            .get(&member)
            .filter(|contact| contact.valid)?;
        let theirs = &contact.theirs.as_ref()?.1;
        Some(Ends {
            from: end(own),
            to: end(theirs),
            directed: directed(own),
            mtu: joined.shared.as_ref()?.config.mtu,
        })
    }

    /// Whether this network is up here.
    pub fn is_up(&self, network: NetworkId) -> bool {
        self.joined
            .get(&network)
            .is_some_and(super::joined::Joined::is_up)
    }

    /// Whether this address is a member of this network with a valid certificate.
    pub fn has_member(&self, network: NetworkId, address: Address) -> bool {
        let joined = self.joined.get(&network);
        joined.is_some_and(|joined| joined.is_up() && joined.is_member(address))
    }

    /// Whether this machine's operator lets members of this network test with it.
    pub fn agrees_to_selftests(&self, network: NetworkId) -> bool {
        let joined = self.joined.get(&network);
        joined.is_some_and(|joined| joined.consent.selftest)
    }
}

fn end(certificate: &Certificate) -> End {
    End {
        mac: certificate.mac.to_bytes(),
        ip: address(certificate).map_or(Ipv4Addr::UNSPECIFIED, |(ip, _)| ip),
    }
}

/// The broadcast address of the first IPv4 subnet.
fn directed(certificate: &Certificate) -> Ipv4Addr {
    address(certificate).map_or(Ipv4Addr::BROADCAST, |(ip, prefix)| {
        let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        Ipv4Addr::from(u32::from(ip) | hosts)
    })
}

fn address(certificate: &Certificate) -> Option<(Ipv4Addr, u8)> {
    certificate.ips.iter().find_map(|cidr| match cidr.ip() {
        IpAddr::V4(ip) => Some((ip, cidr.prefix())),
        IpAddr::V6(_) => None,
    })
}
