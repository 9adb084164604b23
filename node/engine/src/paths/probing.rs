//! The search for direct ways: endpoints exchanged, probes sent at both ends, answers judged.
//!
//! Owner: the engine's paths. In: PATHS, RENDEZVOUS, PROBE, authentic datagrams from elsewhere, new local addresses. Out: probes.
//! Never: a way used before its probe came back; a probe to more than `limits::CANDIDATES` endpoints.

use core::net::SocketAddr;
use std::vec::Vec;

use zt_wire::message::{Message, Probe, ProbeAnswer, Rendezvous};
use zt_wire::{Endpoint, EndpointKind, Endpoints};

use super::candidate::Step;
use super::{Nat, Source};
use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::interface::PeerRole;
use crate::limits;
use crate::outbox::{Out, Outbox};
use crate::shard::{Path, PeerHandle, To, Update};
use crate::time::Now;

impl Engine {
    /// Says where we may be found, or just that we are here.
    pub(crate) fn tell_paths(&mut self, handle: PeerHandle, out: &mut Outbox) {
        let endpoints = self.endpoints();
        if endpoints.is_empty() || !self.config.role.punches() || self.config.relay_only {
            let token = self.chance.number();
            out.say(handle, &Message::Ping(token));
            return;
        }
        out.say(handle, &Message::Paths(Endpoints::of(&endpoints)));
    }

    /// PATHS: where the peer may be found.
    pub(crate) fn peer_paths(
        &mut self,
        now: Now,
        handle: PeerHandle,
        endpoints: Endpoints<'_>,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if peer.role == PeerRole::Supernode {
            return;
        }
        let (mut local, mut reflexive) = (Vec::new(), Vec::new());
        for endpoint in endpoints.iter().take(limits::ENDPOINTS) {
            let source = match endpoint.kind {
                EndpointKind::Local => {
                    local.push(endpoint.socket);
                    Source::Local
                }
                EndpointKind::Reflexive | EndpointKind::Mapped => {
                    reflexive.push(endpoint.socket);
                    Source::Reflexive
                }
            };
            peer.paths.learn(now.mono, endpoint.socket, source);
        }
        peer.paths.their_nat = judge(&local, &reflexive);
        self.probe_all(now, handle, out);
    }

    /// RENDEZVOUS: a supernode says where somebody is who wants to meet us.
    pub(crate) fn rendezvous(
        &mut self,
        now: Now,
        from: PeerHandle,
        meeting: &Rendezvous<'_>,
        out: &mut Outbox,
    ) {
        if self
            .peers
            .get(from)
            .is_none_or(|peer| peer.role != PeerRole::Supernode)
        {
            self.drop(crate::counters::DropReason::NotAllowed);
            return;
        }
        let Some(handle) = self.peers.by_address(meeting.peer).map(|peer| peer.handle) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if peer
            .paths
            .met
            .is_some_and(|met| now.mono.since(met) < limits::RENDEZVOUS_EVERY / 2)
        {
            return;
        }
        peer.paths.met = Some(now.mono);
        for endpoint in meeting.endpoints.iter().take(limits::ENDPOINTS) {
            peer.paths.learn(now.mono, endpoint.socket, Source::Told);
        }
        self.probe_all(now, handle, out);
    }

    /// Starts a round of probes to every candidate that is not proven, if there is a session to seal them in.
    pub(crate) fn probe_all(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(address) = self.peers.get(handle).map(crate::peers::Peer::address) else {
            return;
        };
        // A controller is spoken to seldom: the relay carries it, and no path to it has to be kept warm.
        let looks = self.looks_for_direct() && !self.networks.is_controller(address);
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if !peer.ready() || (!looks && peer.role != PeerRole::Supernode) {
            return;
        }
        for candidate in &mut peer.paths.candidates {
            if candidate.answered.is_none() {
                candidate.start_round(now.mono);
            }
        }
        self.probe_due(now, handle, out);
    }

    /// `Note::Heard`: an authentic datagram came over a way that is not in use.
    pub(crate) fn heard(&mut self, now: Now, handle: PeerHandle, from: Path, out: &mut Outbox) {
        match from {
            Path::Relay { .. } => {
                self.choose(now, handle, out);
                if self
                    .peers
                    .get(handle)
                    .is_some_and(|peer| peer.paths.is_direct())
                {
                    self.start_check(now, handle, out);
                }
            }
            Path::Direct(at) => {
                if self.config.relay_only && !self.config.role.relays() {
                    return;
                }
                let Some(peer) = self.peers.get_mut(handle) else {
                    return;
                };
                peer.paths.learn(now.mono, at, Source::Heard);
                if let Some(candidate) = peer.paths.find_mut(at) {
                    candidate.heard = Some(now.mono);
                    candidate.start_round(now.mono);
                }
                let leads = self
                    .peers
                    .get(handle)
                    .is_some_and(|peer| !self.follows(peer));
                if leads
                    && self
                        .peers
                        .get(handle)
                        .is_some_and(|peer| peer.paths.is_direct())
                {
                    // It uses another way: ours may be dead.
                    self.start_check(now, handle, out);
                }
                self.probe_due(now, handle, out);
            }
        }
    }

    /// PROBE: answered on the way it came; and it shows that the way is open towards us.
    pub(crate) fn probed(
        &mut self,
        now: Now,
        handle: PeerHandle,
        from: Path,
        probe: (u64, usize),
        out: &mut Outbox,
    ) {
        let (token, size) = probe;
        let observed = match from {
            Path::Direct(at) => Some(at),
            Path::Relay { .. } => None,
        };
        let size = u16::try_from(size).unwrap_or(u16::MAX);
        let answer = Message::ProbeAnswer(ProbeAnswer {
            token,
            size,
            observed,
        });
        out.push(Out::Message {
            to: To {
                peer: handle,
                path: Some(from),
                whole: false,
            },
            body: answer.to_vec(),
        });
        let looks = self.looks_for_direct() || self.config.role.relays();
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if let Some(at) = observed
            && looks
            && peer.ready()
        {
            peer.paths.learn(now.mono, at, Source::Heard);
            if let Some(candidate) = peer.paths.find_mut(at)
                && candidate.answered.is_none()
            {
                candidate.start_round(now.mono);
            }
            self.probe_due(now, handle, out);
        }
    }

    /// Sends the probes that are due and plans the next.
    pub(crate) fn probe_due(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if !peer.ready() {
            return;
        }
        if peer.paths.next_round.is_some_and(|at| at <= now.mono) {
            peer.paths.next_round = None;
            for candidate in peer
                .paths
                .candidates
                .iter_mut()
                .filter(|candidate| candidate.answered.is_none())
            {
                candidate.start_round(now.mono);
            }
        }
        let mut silent = false;
        for index in 0..peer.paths.candidates.len() {
            let candidate = &mut peer.paths.candidates[index];
            let (at, kind) = (candidate.at, candidate.source.name());
            match candidate.step(now.mono) {
                Step::Wait => {}
                Step::Probe => {
                    let token = self.chance.number();
                    candidate.sent(now.mono, token);
                    peer.paths.note(now.mono, at, kind, "probing");
                    let body = Message::Probe(Probe {
                        token,
                        mtu: false,
                        padding: 0,
                    })
                    .to_vec();
                    out.push(Out::Message {
                        to: To {
                            peer: handle,
                            path: Some(Path::Direct(at)),
                            whole: true,
                        },
                        body,
                    });
                }
                Step::Silent => {
                    silent = true;
                    if peer.paths.candidates[index].answered.is_none() {
                        peer.paths.note(now.mono, at, kind, "silent");
                    }
                }
            }
        }
        if silent {
            self.plan_round(now, handle);
        }
        self.plan_probe(handle);
    }

    /// A candidate's probe came back: the way is proven.
    pub(crate) fn candidate_answered(
        &mut self,
        now: Now,
        handle: PeerHandle,
        at: SocketAddr,
        _from: Path,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        let fresh = peer.paths.find(at).and_then(|candidate| candidate.heard);
        let recently = fresh.is_some_and(|heard| now.mono.since(heard) < limits::RENDEZVOUS_EVERY);
        if recently && self.follows(peer) && peer.paths.is_direct() {
            self.switch_to(now, handle, at, out);
        } else {
            self.choose(now, handle, out);
        }
        self.plan_probe(handle);
        self.plan_tend(now, handle);
    }

    /// Our addresses are others now: say so everywhere, and look again.
    pub(crate) fn moved(&mut self, now: Now, mut addresses: Vec<SocketAddr>, out: &mut Outbox) {
        addresses.sort_unstable();
        addresses.dedup();
        if addresses == self.local {
            // Perhaps another network that gives the same addresses: the supernodes see whether we look another way.
            self.ping_supernodes(now, out);
            return;
        }
        let first = self.local.is_empty();
        self.local = addresses;
        out.update(Update::Underlay(self.local.clone()));
        self.tell_underlay(now);
        self.reflections.clear();
        for handle in self.peers.handles() {
            let Some(peer) = self.peers.get_mut(handle) else {
                continue;
            };
            if !peer.ready() {
                continue;
            }
            if !first {
                for candidate in &mut peer.paths.candidates {
                    candidate.start_round(now.mono);
                }
            }
            let relay = self
                .peers
                .get(handle)
                .filter(|peer| peer.paths.is_direct())
                .and_then(|peer| self.any_relay(peer));
            self.tell_paths(handle, out);
            let token = self.chance.number();
            out.say(handle, &Message::Ping(token));
            if let Some(path) = relay {
                let endpoints = self.endpoints();
                out.message_on(
                    handle,
                    path,
                    Message::Paths(Endpoints::of(&endpoints)).to_vec(),
                );
            }
            self.start_check(now, handle, out);
            self.probe_due(now, handle, out);
        }
        self.attach_all(now);
    }

    /// PONG and `PROBE_ANSWER` of a supernode say how we look from outside.
    pub(crate) fn reflected(
        &mut self,
        _now: Now,
        handle: PeerHandle,
        observed: Option<SocketAddr>,
        out: &mut Outbox,
    ) {
        let (Some(at), Some(peer)) = (observed, self.peers.get(handle)) else {
            return;
        };
        if peer.role != PeerRole::Supernode
            || !super::worth_trying(at)
            || !self.reflections.saw(peer.address(), at)
        {
            return;
        }
        let listeners: Vec<PeerHandle> = self
            .peers
            .iter()
            .filter(|peer| peer.ready())
            .map(|peer| peer.handle)
            .collect();
        if self.config.role.punches() && !self.config.relay_only {
            for listener in listeners {
                self.tell_paths(listener, out);
            }
        }
    }

    /// Tells the networks room what no network may route away: our own addresses and the supernodes'.
    pub(crate) fn tell_underlay(&mut self, now: Now) {
        let supernodes = &self.world.world().supernodes;
        let endpoints = supernodes.iter().flat_map(|supernode| &supernode.endpoints);
        let mut underlay: Vec<_> = self
            .local
            .iter()
            .chain(endpoints)
            .map(SocketAddr::ip)
            .collect();
        underlay.sort_unstable();
        underlay.dedup();
        self.networks.underlay(now, underlay, &mut self.actions);
    }

    /// Where we may be found.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let local = self.local.iter().map(|socket| Endpoint {
            kind: EndpointKind::Local,
            socket: *socket,
        });
        let seen = self.reflections.endpoints();
        let reflexive = seen
            .iter()
            .filter(|at| !self.local.contains(at))
            .map(|socket| Endpoint {
                kind: EndpointKind::Reflexive,
                socket: *socket,
            });
        reflexive
            .chain(local)
            .filter(|endpoint| super::worth_trying(endpoint.socket))
            .take(limits::ENDPOINTS)
            .collect()
    }

    fn looks_for_direct(&self) -> bool {
        self.config.role.punches() && !self.config.relay_only
    }

    fn any_relay(&self, peer: &crate::peers::Peer) -> Option<Path> {
        if peer.role == PeerRole::Supernode {
            return None;
        }
        let via = self.supernodes.online().first().copied()?;
        Some(Path::Relay {
            via,
            peer: peer.address(),
        })
    }

    /// Another round later, while somebody uses the peer through a relay.
    fn plan_round(&mut self, now: Now, handle: PeerHandle) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let used = peer
            .traffic
            .frame
            .is_some_and(|at| now.mono.since(at) < limits::PROBE_WHILE_USED)
            || now.mono.since(peer.wanted) < limits::PROBE_WHILE_USED;
        if peer.paths.is_direct() || peer.paths.next_round.is_some() || !used {
            return;
        }
        let pause = limits::PROBE_ROUND_FIRST * 2_u32.saturating_pow(peer.paths.rounds.min(10));
        peer.paths.rounds += 1;
        peer.paths.next_round = Some(now.mono + pause.min(limits::PROBE_ROUND_LONGEST));
    }

    fn plan_probe(&mut self, handle: PeerHandle) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        let steps = peer
            .paths
            .candidates
            .iter()
            .filter_map(super::Candidate::next_at)
            .min();
        match steps.into_iter().chain(peer.paths.next_round).min() {
            Some(at) => self.deadlines.set(Timer::Probe(handle), at),
            None => self.deadlines.clear(Timer::Probe(handle)),
        }
    }
}

/// What the endpoints a peer names say about its NAT.
fn judge(local: &[SocketAddr], reflexive: &[SocketAddr]) -> Nat {
    let v4: Vec<&SocketAddr> = reflexive.iter().filter(|at| at.is_ipv4()).collect();
    match v4.as_slice() {
        [] if local.is_empty() => Nat::Unknown,
        [] => Nat::Open,
        [_] => Nat::Independent,
        [first, rest @ ..] if rest.iter().all(|at| at == first) => Nat::Independent,
        [_, ..] => Nat::Dependent,
    }
}
