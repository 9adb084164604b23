//! What only a supernode does: claims, WHOIS answers, introductions. The durable registry itself is the host program's.
//!
//! Owner: the engine. In: CLAIM, WHOIS, the shard's word of relayed pairs. Out: questions to the host, answers to peers.
//! Never: an acknowledgement before the host says the claim is durable; an introduction more often than allowed.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

use zt_crypto::Verified;
use zt_wire::message::{Claim, ClaimAnswer, IdentityAnswer, Message, Rendezvous};
use zt_wire::{Address, Endpoint, EndpointKind, Endpoints, Identity};

use crate::counters::DropReason;
use crate::deadlines::Timer;
use crate::engine::{Asked, Engine, Purpose};
use crate::interface::{ClaimResult, HostRequest, PeerRole};
use crate::limits;
use crate::outbox::Outbox;
use crate::paths::Source;
use crate::shard::{Flow, Path, PeerHandle, Update};
use crate::time::{Mono, Now};

/// What a supernode remembers besides its registry.
#[derive(Debug, Default)]
pub struct Registry {
    /// Pairs introduced: when last, and the pause before the next time.
    pairs: BTreeMap<(PeerHandle, PeerHandle), (Mono, Duration)>,
    pair_order: VecDeque<(PeerHandle, PeerHandle)>,
    /// Addresses asked of the siblings, and who wants to know.
    forwarded: BTreeMap<Address, Forwarded>,
}

#[derive(Debug, Default)]
struct Forwarded {
    askers: Vec<PeerHandle>,
    outstanding: usize,
}

impl Registry {
    /// Whether this pair may be introduced now; pauses double while it does not help.
    fn may_introduce(&mut self, now: Mono, one: PeerHandle, two: PeerHandle) -> bool {
        let pair = (one.min(two), one.max(two));
        if let Some((last, pause)) = self.pairs.get_mut(&pair) {
            if now.since(*last) < *pause {
                return false;
            }
            // Long after the last time it is a new meeting.
            let fresh = now.since(*last) > limits::RENDEZVOUS_LONGEST * 2;
            *pause = if fresh {
                limits::RENDEZVOUS_EVERY
            } else {
                (*pause * 2).min(limits::RENDEZVOUS_LONGEST)
            };
            *last = now;
            return true;
        }
        if self.pair_order.len() >= limits::RENDEZVOUS_PAIRS
            && let Some(oldest) = self.pair_order.pop_front()
        {
            self.pairs.remove(&oldest);
        }
        self.pair_order.push_back(pair);
        self.pairs.insert(pair, (now, limits::RENDEZVOUS_EVERY));
        true
    }
}

impl Engine {
    /// CLAIM: a peer's own, or one that a sibling passes on.
    pub(crate) fn claimed(
        &mut self,
        handle: PeerHandle,
        from: Path,
        claim: &Claim,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        if !self.config.role.keeps_registry() {
            self.drop(DropReason::NotAllowed);
            return;
        }
        if let Some(identity) = claim.passed_on {
            if peer.role == PeerRole::Supernode {
                self.verify(identity, Purpose::PassedOn(identity), out);
            } else {
                self.drop(DropReason::NotAllowed);
            }
            return;
        }
        let ip = match from {
            Path::Direct(at) => Some(at.ip()),
            Path::Relay { .. } => None,
        };
        let request = HostRequest::Claim {
            identity: peer.identity(),
            key: peer.key(),
            address: peer.address(),
            from: ip,
        };
        self.ask_host(Asked::Claim(handle), request, out);
    }

    /// The host has decided on a claim, durably.
    pub(crate) fn claim_decided(
        &mut self,
        handle: PeerHandle,
        result: ClaimResult,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        let attached = peer.announced && peer.role != PeerRole::Supernode;
        let (address, key, identity) = (peer.address(), peer.key(), peer.identity());
        let result = match result {
            ClaimResult::Granted => zt_wire::message::ClaimResult::Granted,
            ClaimResult::Taken => zt_wire::message::ClaimResult::Taken,
            ClaimResult::Full => zt_wire::message::ClaimResult::Full,
            ClaimResult::Quota => zt_wire::message::ClaimResult::Quota,
        };
        out.say(
            handle,
            &Message::ClaimAnswer(ClaimAnswer { address, result }),
        );
        if result == zt_wire::message::ClaimResult::Granted {
            // The address is this key's: what is relayed to it goes here, whoever used the name before.
            if attached {
                out.update(Update::Peer {
                    peer: handle,
                    address,
                    key,
                    supernode: false,
                    // It is known already, with the figures it has.
                    flow: Flow::default(),
                });
            }
            for sibling in self.supernodes.online_handles() {
                out.say(
                    sibling,
                    &Message::Claim(Claim {
                        passed_on: Some(identity),
                    }),
                );
            }
        }
    }

    /// Work is done: a claim that was passed on names a real identity.
    pub(crate) fn passed_on_verified(
        &mut self,
        identity: &Identity,
        who: Option<&Verified>,
        out: &mut Outbox,
    ) {
        let Some(who) = who else {
            self.drop(DropReason::Identity);
            return;
        };
        let request = HostRequest::Claim {
            identity: *identity,
            key: who.key(),
            address: who.address(),
            from: None,
        };
        self.ask_host(Asked::PassedOn, request, out);
    }

    /// WHOIS: answered from the world, else from the registry.
    pub(crate) fn whois_asked(
        &mut self,
        now: Now,
        handle: PeerHandle,
        address: Address,
        out: &mut Outbox,
    ) {
        if !self.config.role.keeps_registry() {
            self.drop(DropReason::NotAllowed);
            return;
        }
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        // A sibling asks for all of its own.
        if peer.role != PeerRole::Supernode && !peer.may_ask(now.mono) {
            self.drop(DropReason::ControlRate);
            return;
        }
        let known = if address == self.me.address() {
            Some(*self.me.identity())
        } else {
            let sibling = self
                .supernodes
                .handle_of(address)
                .and_then(|handle| self.peers.get(handle));
            sibling.map(crate::peers::Peer::identity)
        };
        if known.is_some() {
            out.say(
                handle,
                &Message::Identity(IdentityAnswer {
                    address,
                    identity: known,
                }),
            );
            return;
        }
        self.ask_host(
            Asked::Whois(handle, address),
            HostRequest::Whois(address),
            out,
        );
    }

    /// The registry's answer; what it does not know, the siblings may.
    pub(crate) fn whois_answered_by_host(
        &mut self,
        now: Now,
        asker: PeerHandle,
        address: Address,
        identity: Option<Identity>,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get(asker) else {
            return;
        };
        let siblings = self.supernodes.online_handles();
        // A sibling asks because it does not know: asking back would go in circles.
        let passes_on =
            identity.is_none() && peer.role != PeerRole::Supernode && !siblings.is_empty();
        if !passes_on || self.registry.forwarded.len() >= limits::WHOIS_OPEN {
            out.say(
                asker,
                &Message::Identity(IdentityAnswer { address, identity }),
            );
            return;
        }
        let forwarded = self.registry.forwarded.entry(address).or_default();
        if forwarded.askers.len() < limits::WHOIS_WAITERS && !forwarded.askers.contains(&asker) {
            forwarded.askers.push(asker);
        }
        if forwarded.outstanding > 0 {
            return;
        }
        forwarded.outstanding = siblings.len();
        self.deadlines
            .set(Timer::Sibling(address), now.mono + limits::SIBLING_WAIT);
        for sibling in siblings {
            out.say(sibling, &Message::Whois(address));
        }
    }

    /// A sibling's IDENTITY, for somebody who asked us.
    pub(crate) fn sibling_answered(&mut self, answer: &IdentityAnswer, out: &mut Outbox) {
        let Some(forwarded) = self.registry.forwarded.get_mut(&answer.address) else {
            return;
        };
        forwarded.outstanding = forwarded.outstanding.saturating_sub(1);
        if answer.identity.is_some() || forwarded.outstanding == 0 {
            self.answer_askers(answer, out);
        }
    }

    /// The siblings did not all answer: nobody known.
    pub(crate) fn siblings_silent(&mut self, address: Address, out: &mut Outbox) {
        self.answer_askers(
            &IdentityAnswer {
                address,
                identity: None,
            },
            out,
        );
    }

    fn answer_askers(&mut self, answer: &IdentityAnswer, out: &mut Outbox) {
        self.deadlines.clear(Timer::Sibling(answer.address));
        let Some(forwarded) = self.registry.forwarded.remove(&answer.address) else {
            return;
        };
        for asker in forwarded.askers {
            // The asker verifies the identity itself.
            out.say(asker, &Message::Identity(*answer));
        }
    }

    /// `Note::Relayed`: two peers talk through us; tell each where the other is.
    pub(crate) fn introduce(
        &mut self,
        now: Now,
        one: PeerHandle,
        two: PeerHandle,
        out: &mut Outbox,
    ) {
        if !self.config.role.relays() || !self.registry.may_introduce(now.mono, one, two) {
            return;
        }
        for (whom, about) in [(one, two), (two, one)] {
            let Some(peer) = self.peers.get(about) else {
                return;
            };
            if peer.role == PeerRole::Supernode {
                return;
            }
            let endpoints = whereabouts(peer);
            let meeting = Rendezvous {
                peer: peer.address(),
                endpoints: Endpoints::of(&endpoints),
            };
            out.say(whom, &Message::Rendezvous(meeting));
        }
    }
}

/// Where a node that is attached to us may be found: where we hear it, and what it says itself.
fn whereabouts(peer: &crate::peers::Peer) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    if let Some(Path::Direct(at)) = peer.paths.active {
        endpoints.push(Endpoint {
            kind: EndpointKind::Reflexive,
            socket: at,
        });
    }
    for candidate in &peer.paths.candidates {
        let kind = match candidate.source {
            Source::Local => EndpointKind::Local,
            Source::Reflexive => EndpointKind::Reflexive,
            Source::World | Source::Told | Source::Heard | Source::Saved | Source::Inside => {
                continue;
            }
        };
        if endpoints
            .iter()
            .all(|endpoint| endpoint.socket != candidate.at)
        {
            endpoints.push(Endpoint {
                kind,
                socket: candidate.at,
            });
        }
    }
    endpoints.truncate(limits::ENDPOINTS);
    endpoints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_introduced_with_growing_pauses() {
        let mut registry = Registry::default();
        let (one, two) = (PeerHandle(1), PeerHandle(2));
        let at = |s| Mono::ZERO + Duration::from_secs(s);
        assert!(registry.may_introduce(at(0), one, two));
        assert!(
            !registry.may_introduce(at(1), two, one),
            "one pair, whoever speaks"
        );
        assert!(registry.may_introduce(at(10), two, one));
        assert!(!registry.may_introduce(at(20), one, two));
        assert!(registry.may_introduce(at(30), one, two));
        assert!(registry.may_introduce(at(5_000), one, two));
        assert!(
            registry.may_introduce(at(5_010), one, two),
            "a new meeting starts from the first pause"
        );
    }

    #[test]
    fn the_table_of_pairs_is_bounded() {
        let mut registry = Registry::default();
        for n in (0..).take(limits::RENDEZVOUS_PAIRS + 10) {
            registry.may_introduce(Mono::ZERO, PeerHandle(n), PeerHandle(u32::MAX));
        }
        assert_eq!(registry.pairs.len(), limits::RENDEZVOUS_PAIRS);
    }
}
