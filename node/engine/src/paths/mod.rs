//! The ways to one peer: candidates, what was tried, what is in use.
//!
//! Owner: the peer. In: endpoints heard of, probes sent and answered. Out: what to probe, the best way.
//! Never: a way in use that no challenge has proven; a candidate without a bound.

mod canary;
mod candidate;
mod check;
mod choose;
mod mtu;
mod probing;
mod reflection;
mod search;
mod tunnel;

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::vec::Vec;

use zt_wire::Address;

use crate::interface::Tried;
use crate::limits;
use crate::shard::Path;
use crate::time::Mono;

pub use candidate::{Candidate, Source};
pub use mtu::Wide;
pub use reflection::{Nat, Reflections};

/// The ways to one peer.
#[derive(Debug, Default)]
pub struct Paths {
    /// Endpoints tried or to be tried.
    pub(crate) candidates: Vec<Candidate>,
    /// The way in use.
    pub(crate) active: Option<Path>,
    /// The way and path MTU that the shard was told.
    pub(crate) told: Option<(Option<Path>, u16)>,
    /// A check of the path in use.
    pub(crate) check: Option<check::Check>,
    /// The search for the path MTU.
    pub(crate) mtu: Option<Box<mtu::PathMtu>>,
    /// The trial of trains on the path in use.
    pub(crate) canary: Option<Box<canary::Canary>>,
    /// Relays that did not carry lately.
    pub(crate) deaf_relays: Vec<Address>,
    /// Rounds of probes since the last success.
    pub(crate) rounds: u32,
    /// When the next round of probes begins.
    pub(crate) next_round: Option<Mono>,
    /// When the last rendezvous made a round.
    pub(crate) met: Option<Mono>,
    /// The round trip of the relay.
    pub(crate) relay_rtt: Option<core::time::Duration>,
    /// What the peer's NAT seems to be, from its endpoints and where it is heard.
    pub(crate) their_nat: Nat,
    tried: VecDeque<Tried>,
}

impl Paths {
    /// Adds an endpoint to try. Known ones stay as they are; with a full table the least promising goes.
    /// True when it is new.
    pub(crate) fn learn(&mut self, now: Mono, at: SocketAddr, source: Source) -> bool {
        if let Some(known) = self.find_mut(at) {
            return known.revive(now, source);
        }
        if !worth_trying(at) {
            return false;
        }
        if self.candidates.len() >= limits::CANDIDATES {
            let active = self.active;
            let worst = self
                .candidates
                .iter()
                .enumerate()
                .filter(|(_, candidate)| active != Some(Path::Direct(candidate.at)))
                .min_by_key(|(_, candidate)| (candidate.answered, candidate.since))
                .map(|(index, _)| index);
            let Some(worst) = worst else { return false };
            self.candidates.swap_remove(worst);
        }
        // Most peers have two or three: no room for more is taken before there are.
        self.candidates.reserve_exact(1);
        self.candidates.push(Candidate::new(now, at, source));
        true
    }

    /// The candidate at this endpoint.
    pub(crate) fn find(&self, at: SocketAddr) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.at == at)
    }

    /// The candidate at this endpoint, to change it.
    pub(crate) fn find_mut(&mut self, at: SocketAddr) -> Option<&mut Candidate> {
        self.candidates
            .iter_mut()
            .find(|candidate| candidate.at == at)
    }

    /// The candidate of the direct path in use.
    pub(crate) fn active_candidate(&self) -> Option<&Candidate> {
        match self.active {
            Some(Path::Direct(at)) => self.find(at),
            Some(Path::Relay { .. }) | None => None,
        }
    }

    /// Whether a direct path is in use.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.active, Some(Path::Direct(_)))
    }

    /// A new session: nobody knows what became of the paths since the former one measured them.
    pub(crate) fn measure_again(&mut self) {
        self.mtu = None;
        for candidate in &mut self.candidates {
            candidate.measured = false;
            candidate.mtu = limits::MTU_FLOOR;
        }
    }

    /// Notes an attempt or its result for `why`.
    pub(crate) fn note(
        &mut self,
        now: Mono,
        endpoint: SocketAddr,
        kind: &'static str,
        result: &'static str,
    ) {
        if let Some(before) = self
            .tried
            .iter_mut()
            .find(|tried| tried.endpoint == endpoint)
        {
            before.result = result;
            before.at = now;
            return;
        }
        if self.tried.len() >= limits::TRIED {
            self.tried.pop_front();
        }
        self.tried.reserve_exact(1);
        self.tried.push_back(Tried {
            endpoint,
            kind,
            result,
            at: now,
        });
    }

    /// What was tried, oldest first.
    pub(crate) fn tried(&self) -> Vec<Tried> {
        let mut tried: Vec<Tried> = self.tried.iter().cloned().collect();
        tried.sort_by_key(|tried| tried.at);
        tried
    }
}

/// Whether an endpoint somebody named can be a way at all: no broadcast, multicast, unspecified address, port zero.
pub(crate) fn worth_trying(at: SocketAddr) -> bool {
    let ip = at.ip().to_canonical();
    let odd = match ip {
        core::net::IpAddr::V4(ip) => {
            ip.is_broadcast() || ip.octets()[0] >= 224 || ip.octets()[0] == 0
        }
        core::net::IpAddr::V6(_) => false,
    };
    at.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !odd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an endpoint")
    }

    #[test]
    fn endpoints_nobody_can_have_are_not_tried() {
        for text in [
            "0.0.0.0:1",
            "255.255.255.255:1",
            "224.0.0.1:1",
            "192.0.2.1:0",
            "[ff02::1]:1",
            "[::]:1",
        ] {
            assert!(!worth_trying(at(text)), "{text}");
        }
        assert!(worth_trying(at("192.0.2.1:1")) && worth_trying(at("[2001:db8::1]:1")));
    }

    #[test]
    fn a_flood_of_candidates_never_removes_the_path_in_use() {
        let mut paths = Paths::default();
        assert!(paths.learn(Mono::ZERO, at("192.0.2.1:1"), Source::Heard));
        paths.active = Some(Path::Direct(at("192.0.2.1:1")));
        for port in 2..200 {
            paths.learn(
                Mono::ZERO,
                SocketAddr::from(([192, 0, 2, 1], port)),
                Source::Told,
            );
        }
        assert_eq!(paths.candidates.len(), limits::CANDIDATES);
        assert!(paths.active_candidate().is_some());
    }
}
