//! Where LAN mode copies to, decided from what the kernel says.
//!
//! Owner: nobody; plain values. In: devices, addresses, the ways that packets take without LAN mode. Out: a plan.
//! Never: a second copy onto a segment that another copy reaches through a bridge of this machine.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use zt_wire::NetworkId;

use super::rewrite::Kind;

/// A device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub up: bool,
    /// Its MTU.
    pub mtu: u32,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
    /// Its first IPv4 address.
    pub address: Option<Ipv4Addr>,
}

/// Out of which device, from which address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// The device's number.
    pub device: u32,
    /// The source.
    pub source: Ipv4Addr,
}

/// What the kernel says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The devices.
    pub links: Vec<Link>,
    /// How 255.255.255.255 leaves without LAN mode.
    pub broadcast: Option<Way>,
    /// How a group leaves without LAN mode, and where a join without a device lands.
    pub multicast: Option<Way>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Each overlay that gets a copy.
    pub overlays: BTreeSet<Way>,
    /// The source that programs see: the first overlay's.
    pub source: Option<Ipv4Addr>,
    /// Where a broadcast goes besides.
    pub broadcast: Option<Way>,
    /// Where multicast goes besides.
    pub multicast: Option<Way>,
    /// The smallest MTU of all of them.
    pub mtu: u32,
    /// Each network with LAN mode, and how it fares.
    pub networks: Vec<(NetworkId, Fares)>,
}

/// How a network with LAN mode fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fares {
    /// It gets copies.
    On(Way),
    /// Its device is not there or not up.
    NoDevice,
    /// Its device has no IPv4 address to send from.
    NoAddress,
    /// Its device is a port of the bridge that broadcasts leave by without any help.
    Bridged,
}

impl Plan {
    /// The plan for the networks `wanted`, whose devices `name` names.
    pub fn of(
        wanted: &BTreeSet<NetworkId>,
        name: impl Fn(NetworkId) -> String,
        facts: &Facts,
    ) -> Self {
        let mut plan = Self {
            mtu: LARGEST,
            ..Self::default()
        };
        let mut members = BTreeSet::new();
        for network in wanted {
            let device = name(*network);
            let link = facts.links.iter().find(|link| link.name == device);
            members.extend(link.map(|link| link.index));
            let fares = facts.fares(link);
            if let (Fares::On(way), Some(link)) = (fares, link) {
                plan.source.get_or_insert(way.source);
                plan.overlays.insert(way);
                plan.mtu = plan.mtu.min(link.mtu);
            }
            plan.networks.push((*network, fares));
        }
        // A way that is an overlay's anyhow is no further copy.
        plan.broadcast = facts.broadcast.filter(|way| !members.contains(&way.device));
        plan.multicast = facts.multicast.filter(|way| !members.contains(&way.device));
        for way in [plan.broadcast, plan.multicast].into_iter().flatten() {
            let link = facts.links.iter().find(|link| link.index == way.device);
            plan.mtu = plan.mtu.min(link.map_or(LARGEST, |link| link.mtu));
        }
        plan
    }

    /// Where a packet of this kind goes.
    pub fn ways(&self, kind: Kind) -> impl Iterator<Item = Way> {
        let besides = match kind {
            Kind::Broadcast => self.broadcast,
            Kind::Multicast => self.multicast,
        };
        self.overlays.iter().copied().chain(besides)
    }
}

impl Facts {
    fn fares(&self, link: Option<&Link>) -> Fares {
        let Some(link) = link.filter(|link| link.up) else {
            return Fares::NoDevice;
        };
        let natural = [self.broadcast, self.multicast].into_iter().flatten();
        let mut natural = natural.map(|way| way.device);
        if link
            .master
            .is_some_and(|bridge| natural.any(|way| way == bridge))
        {
            return Fares::Bridged;
        }
        let bridge = self.links.iter().find(|it| Some(it.index) == link.master);
        // A port of a bridge is spoken for by the bridge.
        let source = link.address.or_else(|| bridge.and_then(|it| it.address));
        source.map_or(Fares::NoAddress, |source| {
            Fares::On(Way {
                device: link.index,
                source,
            })
        })
    }
}

/// Larger than any MTU.
const LARGEST: u32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, address: &str) -> Link {
        Link {
            index,
            name: name.to_owned(),
            up: true,
            mtu: 1500,
            master: None,
            address: address.parse().ok(),
        }
    }

    fn way(device: u32, source: &str) -> Way {
        Way {
            device,
            source: source.parse().unwrap(),
        }
    }

    fn networks() -> (BTreeSet<NetworkId>, impl Fn(NetworkId) -> String) {
        let ids = ["89abcdef01000001", "89abcdef01000002"];
        let wanted = ids.iter().map(|id| id.parse().unwrap()).collect();
        let name = |network: NetworkId| format!("zt{}", &network.to_string()[15..]);
        (wanted, name)
    }

    fn facts() -> Facts {
        let mut facts = Facts {
            links: vec![
                link(2, "eth0", "192.168.50.1"),
                link(7, "zt1", "10.20.0.1"),
                link(8, "zt2", "10.30.0.1"),
            ],
            broadcast: Some(way(2, "192.168.50.1")),
            multicast: Some(way(2, "192.168.50.1")),
        };
        facts.links[1].mtu = 1400;
        facts
    }

    #[test]
    fn every_overlay_and_the_natural_way_get_one_copy_each() {
        let (wanted, name) = networks();
        let plan = Plan::of(&wanted, name, &facts());
        let expected = [
            way(7, "10.20.0.1"),
            way(8, "10.30.0.1"),
            way(2, "192.168.50.1"),
        ];
        assert_eq!(plan.ways(Kind::Broadcast).collect::<Vec<_>>(), expected);
        assert_eq!(plan.ways(Kind::Multicast).collect::<Vec<_>>(), expected);
        assert_eq!(plan.source, "10.20.0.1".parse().ok(), "the first network's");
        assert_eq!(plan.mtu, 1400, "what fits everywhere");
    }

    #[test]
    fn a_bridge_of_this_machine_carries_the_one_copy() {
        let (wanted, name) = networks();
        let mut facts = facts();
        facts.links.push(link(9, "br0", "192.168.50.1"));
        facts.links[1].master = Some(9);
        facts.broadcast = Some(way(9, "192.168.50.1"));
        facts.multicast = facts.broadcast;
        let plan = Plan::of(&wanted, name, &facts);
        assert_eq!(plan.networks[0].1, Fares::Bridged);
        let expected = [way(8, "10.30.0.1"), way(9, "192.168.50.1")];
        assert_eq!(plan.ways(Kind::Broadcast).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_bridge_that_is_not_the_natural_way_only_lends_its_address() {
        let (wanted, name) = networks();
        let mut facts = facts();
        facts.links.push(link(9, "br0", "10.20.0.7"));
        facts.links[1].master = Some(9);
        facts.links[1].address = None;
        let plan = Plan::of(&wanted, name, &facts);
        assert_eq!(plan.networks[0].1, Fares::On(way(7, "10.20.0.7")));
    }

    #[test]
    fn a_natural_way_that_is_an_overlay_is_not_served_twice() {
        let (wanted, name) = networks();
        let mut facts = facts();
        facts.broadcast = Some(way(7, "10.20.0.1"));
        let plan = Plan::of(&wanted, name, &facts);
        let expected = [way(7, "10.20.0.1"), way(8, "10.30.0.1")];
        assert_eq!(plan.ways(Kind::Broadcast).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn without_an_overlay_that_could_take_a_copy_nothing_is_done() {
        let (wanted, name) = networks();
        let mut facts = facts();
        facts.links[1].up = false;
        facts.links[2].address = None;
        let plan = Plan::of(&wanted, name, &facts);
        assert_eq!(plan.source, None);
        assert_eq!(plan.networks[0].1, Fares::NoDevice);
        assert_eq!(plan.networks[1].1, Fares::NoAddress);
    }

    #[test]
    fn a_machine_without_a_lan_still_reaches_its_overlays() {
        let (wanted, name) = networks();
        let mut facts = facts();
        facts.broadcast = None;
        let plan = Plan::of(&wanted, name, &facts);
        assert_eq!(plan.ways(Kind::Broadcast).count(), 2);
        assert_eq!(plan.ways(Kind::Multicast).count(), 3);
    }
}
