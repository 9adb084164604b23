//! How others see us: observed endpoints, and what our NAT seems to be.
//!
//! Owner: the engine. In: what PONG and `PROBE_ANSWER` say. Out: our reflexive endpoints, the NAT's kind.
//! Never: an endpoint taken for ours because a peer invented it: they are only candidates for others to probe.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::vec::Vec;

use zt_wire::Address;

use crate::limits;

/// What a NAT does with ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nat {
    /// Not enough seen.
    #[default]
    Unknown,
    /// None: others see an address of our own interfaces.
    Open,
    /// The same endpoint for every destination.
    Independent,
    /// Another endpoint for each destination.
    Dependent,
}

impl Nat {
    /// Its name in `why`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Open => "none",
            Self::Independent => "endpoint-independent",
            Self::Dependent => "endpoint-dependent",
        }
    }
}

/// Who saw us where.
#[derive(Debug, Default)]
pub struct Reflections {
    seen: BTreeMap<(Address, bool), SocketAddr>,
}

impl Reflections {
    /// `by`, a supernode, sees us at `at`. True when that is news.
    pub fn saw(&mut self, by: Address, at: SocketAddr) -> bool {
        let key = (by, at.is_ipv4());
        if self.seen.len() >= limits::REFLECTIONS && !self.seen.contains_key(&key) {
            return false;
        }
        self.seen.insert(key, at) != Some(at)
    }

    /// Our addresses changed: what was seen is history.
    pub fn clear(&mut self) {
        self.seen.clear();
    }

    /// Our endpoints as others see them, each once.
    pub fn endpoints(&self) -> Vec<SocketAddr> {
        let mut endpoints: Vec<SocketAddr> = self.seen.values().copied().collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        endpoints
    }

    /// What our NAT seems to be, by IPv4 where there is any (IPv6 is seldom translated).
    pub fn nat(&self, local: &[SocketAddr]) -> Nat {
        let v4: Vec<SocketAddr> = self
            .seen
            .values()
            .copied()
            .filter(SocketAddr::is_ipv4)
            .collect();
        let seen = if v4.is_empty() {
            self.seen.values().copied().collect()
        } else {
            v4
        };
        match seen.as_slice() {
            [] => Nat::Unknown,
            all if all.iter().all(|at| local.contains(at)) => Nat::Open,
            [_] => Nat::Unknown,
            [first, rest @ ..] if rest.iter().all(|at| at == first) => Nat::Independent,
            _ => Nat::Dependent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nat_is_judged_by_what_two_supernodes_see() {
        let by = |n| Address::from_bytes([1, 0, 0, 0, n]).expect("an address");
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let mut seen = Reflections::default();
        assert_eq!(seen.nat(&[]), Nat::Unknown);
        assert!(seen.saw(by(1), at(1)));
        assert!(!seen.saw(by(1), at(1)));
        assert_eq!(seen.nat(&[]), Nat::Unknown);
        assert_eq!(seen.nat(&[at(1)]), Nat::Open);
        seen.saw(by(2), at(1));
        assert_eq!(seen.nat(&[]), Nat::Independent);
        seen.saw(by(2), at(2));
        assert_eq!(seen.nat(&[]), Nat::Dependent);
        assert_eq!(seen.endpoints(), [at(1), at(2)]);
    }
}
