//! The network under the overlay: sites with and without NAT, and links that delay, lose, repeat and reorder.
//!
//! Owner: the world. In: datagrams with source and destination. Out: who gets them, when, and from whom they seem to be.
//! Never: a look into a datagram; chance that is not a function of (seed, pair, number).

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;

use zt_engine::Mono;

use crate::dice::Dice;
use crate::nat::{Behaviour, Nat};

/// Names a host; its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u32);

/// Names a site; its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub u32);

/// What the links of the Internet do to datagrams just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Lost, per mille.
    pub loss: u32,
    /// Delivered twice, per mille.
    pub duplicate: u32,
    /// Held back so that later ones overtake, per mille.
    pub reorder: u32,
    /// Largest UDP payload that passes.
    pub mtu: usize,
}

impl Weather {
    /// Nothing goes wrong.
    pub const FAIR: Self = Self {
        loss: 0,
        duplicate: 0,
        reorder: 0,
        mtu: 1472,
    };
    /// A bad day.
    pub const STORM: Self = Self {
        loss: 50,
        duplicate: 20,
        reorder: 50,
        mtu: 1472,
    };
}

/// A datagram that will arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// At whom.
    pub host: HostId,
    /// When.
    pub at: Mono,
    /// From where it seems to come.
    pub from: SocketAddr,
}

/// Sites, their NATs, the hosts' places, the links.
#[derive(Debug)]
pub struct Internet {
    dice: Dice,
    sites: Vec<Site>,
    hosts: Vec<Place>,
    public: BTreeMap<IpAddr, Owner>,
    sent: BTreeMap<(u32, u32), u64>,
    widths: BTreeMap<(u32, u32), usize>,
    settled: u32,
    /// What the links do.
    pub weather: Weather,
    /// Datagrams that went nowhere.
    pub lost: u64,
}

#[derive(Debug)]
struct Site {
    nat: Option<Nat>,
    hosts: u8,
    inner: BTreeMap<SocketAddr, HostId>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    site: SiteId,
    address: SocketAddr,
    up: bool,
    interface: usize,
}

#[derive(Clone, Copy, Debug)]
enum Owner {
    Host(HostId),
    Nat(SiteId),
}

impl Internet {
    /// An Internet without anybody. Site 0 is the public one.
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed).on(0x1e7),
            sites: vec![Site {
                nat: None,
                hosts: 0,
                inner: BTreeMap::new(),
            }],
            hosts: Vec::new(),
            public: BTreeMap::new(),
            sent: BTreeMap::new(),
            widths: BTreeMap::new(),
            settled: 0,
            weather: Weather::FAIR,
            lost: 0,
        }
    }

    /// The site where hosts have public addresses.
    pub const PUBLIC: SiteId = SiteId(0);

    /// A site behind a NAT.
    pub fn site(&mut self, behaviour: Behaviour) -> SiteId {
        let id = SiteId(number(self.sites.len()));
        let [_, b, c, d] = id.0.to_be_bytes();
        let outer = IpAddr::V4(Ipv4Addr::new(100, b, c, d));
        let first =
            20_000 + u16::try_from(self.dice.on(u64::from(id.0)).below(20_000)).unwrap_or(0);
        self.sites.push(Site {
            nat: Some(Nat::new(behaviour, outer, first)),
            hosts: 0,
            inner: BTreeMap::new(),
        });
        self.public.insert(outer, Owner::Nat(id));
        id
    }

    /// Places a host; it listens on port 9993.
    pub fn host(&mut self, site: SiteId) -> HostId {
        let id = HostId(number(self.hosts.len()));
        self.hosts.push(Place {
            site,
            address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            up: true,
            interface: Weather::FAIR.mtu,
        });
        self.settle(id, site);
        id
    }

    /// Moves a host to another site; it has another address from now on.
    pub fn roam(&mut self, host: HostId, site: SiteId) {
        let Place {
            site: old, address, ..
        } = self.hosts[index(host.0)];
        self.sites[index(old.0)].inner.remove(&address);
        self.public.remove(&address.ip());
        self.settle(host, site);
    }

    fn settle(&mut self, host: HostId, site: SiteId) {
        let place = &mut self.sites[index(site.0)];
        let ip = if place.nat.is_some() {
            place.hosts += 1;
            Ipv4Addr::new(10, 0, 0, place.hosts)
        } else {
            // Never one that was used before, so that roaming within the public site changes it.
            self.settled += 1;
            let ip = Ipv4Addr::from_bits(Ipv4Addr::new(44, 0, 0, 0).to_bits() + self.settled);
            self.public.insert(ip.into(), Owner::Host(host));
            ip
        };
        let address = SocketAddr::new(ip.into(), 9993);
        place.inner.insert(address, host);
        let before = self.hosts[index(host.0)];
        self.hosts[index(host.0)] = Place {
            site,
            address,
            ..before
        };
    }

    /// Where a host is, as it sees itself.
    pub fn address(&self, host: HostId) -> SocketAddr {
        self.hosts[index(host.0)].address
    }

    /// Where a host is, as the registry's quota sees it.
    pub fn outer_ip(&self, host: HostId) -> IpAddr {
        let place = self.hosts[index(host.0)];
        self.sites[index(place.site.0)]
            .nat
            .as_ref()
            .map_or(place.address.ip(), Nat::outer)
    }

    /// The largest UDP payload that a host's own interface takes; 1,472 unless told otherwise.
    pub fn interface(&mut self, host: HostId, most: usize) {
        self.hosts[index(host.0)].interface = most;
    }

    /// The largest UDP payload that passes between two hosts, whatever the weather; more vanishes without a word.
    pub fn width(&mut self, one: HostId, other: HostId, most: usize) {
        self.widths
            .insert((one.0.min(other.0), one.0.max(other.0)), most);
    }

    /// Whether a host's own kernel refuses a datagram of this size.
    pub fn refuses(&self, host: HostId, len: usize) -> bool {
        len > self.hosts[index(host.0)].interface
    }

    /// Takes a host from the network, or puts it back.
    pub fn set_up(&mut self, host: HostId, up: bool) {
        self.hosts[index(host.0)].up = up;
    }

    /// Makes a site's NAT forget everything.
    pub fn rebind(&mut self, site: SiteId) {
        if let Some(nat) = &mut self.sites[index(site.0)].nat {
            nat.rebind();
        }
    }

    /// Which site a host is in.
    pub fn site_of(&self, host: HostId) -> SiteId {
        self.hosts[index(host.0)].site
    }

    /// What becomes of a datagram: it arrives never, once or twice.
    pub fn send(
        &mut self,
        host: HostId,
        to: SocketAddr,
        len: usize,
        now: Mono,
    ) -> [Option<Arrival>; 2] {
        let place = self.hosts[index(host.0)];
        let Some((at, from)) = self.route(place, to, now).filter(|_| place.up) else {
            self.lost += 1;
            return [None, None];
        };
        let there = self.hosts[index(at.0)];
        if !there.up {
            self.lost += 1;
            return [None, None];
        }
        if there.site == place.site && place.site != Self::PUBLIC {
            let lan = Arrival {
                host: at,
                at: now + Duration::from_micros(200),
                from,
            };
            return [Some(lan), None];
        }
        self.cross(host, at, len, now).map(|when| {
            when.map(|when| Arrival {
                host: at,
                at: when,
                from,
            })
        })
    }

    /// Who gets a datagram, and from whom it seems to be.
    fn route(&mut self, place: Place, to: SocketAddr, now: Mono) -> Option<(HostId, SocketAddr)> {
        let site = &mut self.sites[index(place.site.0)];
        if is_inner(to.ip()) {
            return Some((*site.inner.get(&to)?, place.address));
        }
        let from = match &mut site.nat {
            None => place.address,
            Some(nat) => {
                let hairpin = nat.outer() == to.ip();
                if hairpin && !nat.behaviour().hairpin {
                    return None;
                }
                nat.out(place.address, to, now)
            }
        };
        match *self.public.get(&to.ip())? {
            Owner::Host(host) => (self.hosts[index(host.0)].address == to).then_some((host, from)),
            Owner::Nat(id) => {
                let site = &mut self.sites[index(id.0)];
                let inner = site.nat.as_mut()?.r#in(from, to.port(), now)?;
                Some((*site.inner.get(&inner)?, from))
            }
        }
    }

    /// When a datagram arrives over the link between two hosts' sites.
    fn cross(&mut self, from: HostId, to: HostId, len: usize, now: Mono) -> [Option<Mono>; 2] {
        let (low, high) = (from.0.min(to.0), from.0.max(to.0));
        let pair = self.dice.on(u64::from(low) << 32 | u64::from(high));
        let base = pair.span(Duration::from_millis(4), Duration::from_millis(60));
        let count = self.sent.entry((from.0, to.0)).or_default();
        *count += 1;
        let dice = pair.on(u64::from(from.0)).on(*count);
        let weather = self.weather;
        let width = self.widths.get(&(low, high)).copied();
        if len > width.unwrap_or(weather.mtu) || dice.on(1).hits(weather.loss) {
            self.lost += 1;
            return [None, None];
        }
        let late = |dice: Dice| {
            if dice.hits(weather.reorder) {
                dice.on(9).span(Duration::ZERO, Duration::from_millis(30))
            } else {
                Duration::ZERO
            }
        };
        let first = now + base + late(dice.on(2));
        let again = dice
            .on(3)
            .hits(weather.duplicate)
            .then(|| now + base + late(dice.on(4)));
        [Some(first), again]
    }
}

fn is_inner(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10)
}

fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn index(number: u32) -> usize {
    // The simulator runs on machines with at least 32 bits.
    number as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Mono = Mono::ZERO;

    #[test]
    fn a_private_address_leads_nowhere_from_elsewhere() {
        let mut net = Internet::new(1);
        let home = net.site(Behaviour::PORT_RESTRICTED);
        let inside = net.host(home);
        let outside = net.host(Internet::PUBLIC);
        assert_eq!(net.send(outside, net.address(inside), 100, T), [None, None]);
    }

    #[test]
    fn neighbours_meet_in_their_home() {
        let mut net = Internet::new(1);
        let home = net.site(Behaviour::PORT_RESTRICTED);
        let (one, two) = (net.host(home), net.host(home));
        let [arrival, _] = net.send(one, net.address(two), 100, T);
        assert_eq!(
            arrival.map(|arrival| (arrival.host, arrival.from)),
            Some((two, net.address(one)))
        );
    }

    #[test]
    fn an_answer_through_a_nat_comes_back() {
        let mut net = Internet::new(1);
        let home = net.site(Behaviour::SYMMETRIC);
        let (inside, outside) = (net.host(home), net.host(Internet::PUBLIC));
        let [there, _] = net.send(inside, net.address(outside), 100, T);
        let there = there.unwrap();
        assert_eq!(there.host, outside);
        let [back, _] = net.send(outside, there.from, 100, there.at);
        assert_eq!(back.unwrap().host, inside);
    }

    #[test]
    fn what_is_too_large_for_the_link_is_lost() {
        let mut net = Internet::new(1);
        let (one, two) = (net.host(Internet::PUBLIC), net.host(Internet::PUBLIC));
        assert!(net.send(one, net.address(two), 1472, T)[0].is_some());
        assert!(net.send(one, net.address(two), 1473, T)[0].is_none());
    }

    #[test]
    fn a_host_that_roams_has_another_address() {
        let mut net = Internet::new(1);
        let host = net.host(Internet::PUBLIC);
        let before = net.address(host);
        net.roam(host, Internet::PUBLIC);
        assert_ne!(net.address(host), before);
        let other = net.host(Internet::PUBLIC);
        assert_eq!(net.send(other, before, 10, T), [None, None]);
        assert!(net.send(other, net.address(host), 10, T)[0].is_some());
    }
}
