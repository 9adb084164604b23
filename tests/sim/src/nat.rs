//! Home routers: what RFC 4787 says a NAT may do to UDP.
//!
//! Owner: a site. In: datagrams out and in, the present. Out: translated endpoints, or nothing.
//! Never: a datagram's content.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;

use zt_engine::Mono;

/// On what a mapping or a filter depends (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depends {
    /// On nothing: one mapping for all destinations; everybody may send to it.
    Endpoint,
    /// On the other end's IP address.
    Address,
    /// On the other end's IP address and port.
    AddressAndPort,
}

/// How a NAT behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// When a new mapping is made.
    pub mapping: Depends,
    /// Who may send to a mapping.
    pub filtering: Depends,
    /// Keeps the inner port where it is free.
    pub preserves_port: bool,
    /// Lets inner hosts meet at outer endpoints.
    pub hairpin: bool,
    /// Silence after which a mapping is forgotten.
    pub expiry: Duration,
}

impl Behaviour {
    /// Full cone: the kindest.
    pub const FULL_CONE: Self = Self {
        mapping: Depends::Endpoint,
        filtering: Depends::Endpoint,
        preserves_port: true,
        hairpin: true,
        expiry: Duration::from_mins(2),
    };
    /// Restricted cone.
    pub const RESTRICTED: Self = Self {
        filtering: Depends::Address,
        preserves_port: false,
        ..Self::FULL_CONE
    };
    /// Port-restricted cone: what most homes have.
    pub const PORT_RESTRICTED: Self = Self {
        filtering: Depends::AddressAndPort,
        hairpin: false,
        preserves_port: false,
        ..Self::FULL_CONE
    };
    /// Linux's masquerade: depends on everything, but keeps the port, which makes it look like a cone.
    pub const PRESERVING: Self = Self {
        mapping: Depends::AddressAndPort,
        filtering: Depends::AddressAndPort,
        preserves_port: true,
        hairpin: false,
        expiry: Duration::from_secs(30),
    };
    /// Symmetric with a new port for each destination: no direct path to another of its kind.
    pub const SYMMETRIC: Self = Self {
        preserves_port: false,
        ..Self::PRESERVING
    };

    /// Whether two hosts behind these can meet directly by ordinary hole punching.
    pub fn can_meet(self, other: Self) -> bool {
        let stable = |nat: Self| nat.mapping == Depends::Endpoint || nat.preserves_port;
        // A stable side learns the unstable one's port from its first datagram, if its filter lets that in.
        let lets_unknown_port = |nat: Self| nat.filtering != Depends::AddressAndPort;
        match (stable(self), stable(other)) {
            (true, true) => true,
            (true, false) => lets_unknown_port(self),
            (false, true) => lets_unknown_port(other),
            (false, false) => false,
        }
    }
}

/// A NAT with its mappings.
#[derive(Clone, Debug)]
pub struct Nat {
    behaviour: Behaviour,
    outer: IpAddr,
    mappings: BTreeMap<Key, Mapping>,
    ports: BTreeMap<u16, Key>,
    next_port: u16,
}

/// What a mapping is found by on the way out: the inner end, and as much of the other as it depends on.
type Key = (SocketAddr, Option<IpAddr>, Option<u16>);

#[derive(Clone, Debug)]
struct Mapping {
    port: u16,
    used: Mono,
    sent_to: BTreeMap<SocketAddr, Mono>,
}

impl Nat {
    /// A NAT without mappings.
    pub fn new(behaviour: Behaviour, outer: IpAddr, first_port: u16) -> Self {
        Self {
            behaviour,
            outer,
            mappings: BTreeMap::new(),
            ports: BTreeMap::new(),
            next_port: first_port,
        }
    }

    /// Its address on the Internet.
    pub const fn outer(&self) -> IpAddr {
        self.outer
    }

    /// How it behaves.
    pub const fn behaviour(&self) -> Behaviour {
        self.behaviour
    }

    /// A datagram from inside: the source it gets.
    pub fn out(&mut self, from: SocketAddr, to: SocketAddr, now: Mono) -> SocketAddr {
        self.expire(now);
        let key = match self.behaviour.mapping {
            Depends::Endpoint => (from, None, None),
            Depends::Address => (from, Some(to.ip()), None),
            Depends::AddressAndPort => (from, Some(to.ip()), Some(to.port())),
        };
        if !self.mappings.contains_key(&key) {
            let port = self.free_port(key);
            self.ports.entry(port).or_insert(key);
            self.mappings.insert(
                key,
                Mapping {
                    port,
                    used: now,
                    sent_to: BTreeMap::new(),
                },
            );
        }
        let outer = self.outer;
        let port = self.mappings.get_mut(&key).map_or(0, |mapping| {
            mapping.used = now;
            mapping.sent_to.insert(to, now);
            mapping.port
        });
        SocketAddr::new(outer, port)
    }

    /// A datagram from outside to one of its ports: the inner host it is for.
    pub fn r#in(&mut self, from: SocketAddr, port: u16, now: Mono) -> Option<SocketAddr> {
        self.expire(now);
        let fits = |mapping: &&Mapping| match self.behaviour.filtering {
            Depends::Endpoint => true,
            Depends::Address => mapping.sent_to.keys().any(|to| to.ip() == from.ip()),
            Depends::AddressAndPort => mapping.sent_to.contains_key(&from),
        };
        // With preserved ports, mappings to different destinations share one port.
        let sharing = self
            .mappings
            .iter()
            .filter(|(_, mapping)| mapping.port == port);
        sharing
            .filter(|(_, mapping)| fits(mapping))
            .map(|(key, _)| key.0)
            .next()
    }

    /// Forgets everything, as a router does that restarts; ports start elsewhere.
    pub fn rebind(&mut self) {
        self.mappings.clear();
        self.ports.clear();
        self.next_port = self.next_port.wrapping_add(5000) | 1024;
        self.behaviour.preserves_port = false;
    }

    fn expire(&mut self, now: Mono) {
        let expiry = self.behaviour.expiry;
        let before = self.mappings.len();
        self.mappings
            .retain(|_, mapping| now.since(mapping.used) < expiry);
        if self.mappings.len() < before {
            let mappings = &self.mappings;
            self.ports.retain(|_, key| mappings.contains_key(key));
        }
    }

    fn free_port(&mut self, key: Key) -> u16 {
        let inner = key.0;
        let taken_by_another = |holder: &Key| holder.0 != inner;
        if self.behaviour.preserves_port
            && !self.ports.get(&inner.port()).is_some_and(taken_by_another)
        {
            return inner.port();
        }
        loop {
            self.next_port = self.next_port.wrapping_add(1) | 1024;
            if !self.ports.contains_key(&self.next_port) {
                return self.next_port;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Mono = Mono::ZERO;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn nat(behaviour: Behaviour) -> Nat {
        Nat::new(behaviour, "192.0.2.1".parse().unwrap(), 20_000)
    }

    #[test]
    fn an_endpoint_independent_mapping_is_one_for_all() {
        let mut nat = nat(Behaviour::PORT_RESTRICTED);
        let one = nat.out(at("10.0.0.1:9993"), at("198.51.100.1:1"), T);
        assert_eq!(nat.out(at("10.0.0.1:9993"), at("198.51.100.2:2"), T), one);
        assert_eq!(
            nat.r#in(at("198.51.100.2:2"), one.port(), T),
            Some(at("10.0.0.1:9993"))
        );
        assert_eq!(
            nat.r#in(at("198.51.100.2:3"), one.port(), T),
            None,
            "another port is filtered"
        );
    }

    #[test]
    fn a_symmetric_mapping_is_another_for_each_destination() {
        let mut nat = nat(Behaviour::SYMMETRIC);
        let one = nat.out(at("10.0.0.1:9993"), at("198.51.100.1:1"), T);
        assert_ne!(nat.out(at("10.0.0.1:9993"), at("198.51.100.1:2"), T), one);
        assert_eq!(nat.r#in(at("198.51.100.1:2"), one.port(), T), None);
    }

    #[test]
    fn a_preserving_nat_keeps_the_port_unless_another_host_has_it() {
        let mut nat = nat(Behaviour::PRESERVING);
        assert_eq!(
            nat.out(at("10.0.0.1:9993"), at("198.51.100.1:1"), T).port(),
            9993
        );
        assert_eq!(
            nat.out(at("10.0.0.1:9993"), at("198.51.100.2:1"), T).port(),
            9993
        );
        assert_ne!(
            nat.out(at("10.0.0.2:9993"), at("198.51.100.1:1"), T).port(),
            9993
        );
    }

    #[test]
    fn a_silent_mapping_is_forgotten() {
        let mut nat = nat(Behaviour::PRESERVING);
        let outer = nat.out(at("10.0.0.1:9993"), at("198.51.100.1:1"), T);
        assert!(
            nat.r#in(
                at("198.51.100.1:1"),
                outer.port(),
                T + Duration::from_secs(29)
            )
            .is_some()
        );
        assert_eq!(
            nat.r#in(
                at("198.51.100.1:1"),
                outer.port(),
                T + Duration::from_secs(31)
            ),
            None
        );
    }

    #[test]
    fn a_restricted_cone_lets_in_whoever_was_sent_to_from_any_port() {
        let mut nat = nat(Behaviour::RESTRICTED);
        let outer = nat.out(at("10.0.0.1:9993"), at("198.51.100.1:1"), T);
        assert!(nat.r#in(at("198.51.100.1:7"), outer.port(), T).is_some());
        assert!(nat.r#in(at("198.51.100.2:1"), outer.port(), T).is_none());
    }

    #[test]
    fn after_a_rebinding_the_outer_port_is_another() {
        let mut nat = nat(Behaviour::PRESERVING);
        let before = nat.out(at("10.0.0.1:9993"), at("198.51.100.1:1"), T);
        nat.rebind();
        assert_eq!(nat.r#in(at("198.51.100.1:1"), before.port(), T), None);
        assert_ne!(
            nat.out(at("10.0.0.1:9993"), at("198.51.100.1:1"), T),
            before
        );
    }
}
