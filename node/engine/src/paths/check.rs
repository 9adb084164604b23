//! Whether the path in use still carries: two probes, then it is dead.
//!
//! Owner: the engine's paths. In: the shard's "sent and nothing heard", answers, time. Out: a verdict on one path.
//! Never: a path judged by silence alone: a probe must have gone unanswered twice.

use zt_wire::message::{Message, Probe};

use crate::counters::DropReason;
use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::interface::PeerRole;
use crate::limits;
use crate::outbox::{Out, Outbox};
use crate::shard::{Path, PeerHandle, To};
use crate::time::{Mono, Now};
use zt_crypto::Label;

/// A check of the path in use.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    path: Path,
    tries: u8,
    token: u64,
    sent: Mono,
}

impl Engine {
    /// `Note::Waiting`: something was sent; whether anything comes back shows in a while.
    pub(crate) fn waiting(handle: PeerHandle, out: &mut Outbox) {
        out.push(Out::Ask(handle));
    }

    /// Begins a check of the path in use, unless one runs.
    pub(crate) fn start_check(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        let Some(path) = peer.paths.active else {
            return;
        };
        if peer.paths.check.is_some_and(|check| check.path == path) || !peer.ready() {
            return;
        }
        self.send_check(now, handle, path, 1, out);
    }

    /// No answer to the last probe of a check.
    pub(crate) fn check_unanswered(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let Some(check) = peer.paths.check.take() else {
            return;
        };
        if peer.paths.active != Some(check.path) {
            return;
        }
        if check.tries < limits::PROBE_CHECKS {
            self.send_check(now, handle, check.path, check.tries + 1, out);
            return;
        }
        match check.path {
            Path::Direct(_) => self.direct_died(now, handle, out),
            Path::Relay { via, .. } => self.relay_died(now, handle, via, out),
        }
    }

    /// `PROBE_ANSWER`: what it proves depends on whose token it carries.
    pub(crate) fn probe_answer(
        &mut self,
        now: Now,
        handle: PeerHandle,
        from: Path,
        answer: &zt_wire::message::ProbeAnswer,
        out: &mut Outbox,
    ) {
        self.reflected(now, handle, answer.observed, out);
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if let Some(check) = peer.paths.check.filter(|check| check.token == answer.token) {
            self.check_passed(now, handle, check);
            return;
        }
        if self.mtu_answered(now, handle, (answer.token, answer.size), out) {
            return;
        }
        if self.canary_answered(handle, answer.token) {
            return;
        }
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let answered = peer.paths.candidates.iter_mut().find_map(|candidate| {
            candidate
                .answer(now.mono, answer.token)
                .map(|_| (candidate.at, candidate.source.name()))
        });
        let Some((at, kind)) = answered else {
            self.drop(DropReason::Unasked);
            return;
        };
        peer.paths.note(now.mono, at, kind, "answered");
        self.candidate_answered(now, handle, at, from, out);
    }

    fn send_check(
        &mut self,
        now: Now,
        handle: PeerHandle,
        path: Path,
        tries: u8,
        out: &mut Outbox,
    ) {
        let token = self.chance.number();
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        peer.paths.check = Some(Check {
            path,
            tries,
            token,
            sent: now.mono,
        });
        let body = Message::Probe(Probe {
            token,
            mtu: false,
            padding: 0,
        })
        .to_vec();
        out.push(Out::Message {
            to: To {
                peer: handle,
                path: Some(path),
                whole: true,
            },
            body,
        });
        self.deadlines
            .set(Timer::Check(handle), now.mono + limits::PROBE_CHECK_WAIT);
    }

    fn check_passed(&mut self, now: Now, handle: PeerHandle, check: Check) {
        self.deadlines.clear(Timer::Check(handle));
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        peer.paths.check = None;
        let rtt = now.mono.since(check.sent);
        match check.path {
            Path::Direct(at) => {
                if let Some(candidate) = peer.paths.find_mut(at) {
                    candidate.rtt = Some(rtt);
                    candidate.answered = Some(now.mono);
                }
            }
            Path::Relay { .. } => peer.paths.relay_rtt = Some(rtt),
        }
    }

    fn direct_died(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let role = peer.role;
        let Some(Path::Direct(at)) = peer.paths.active else {
            return;
        };
        let source = peer
            .paths
            .find(at)
            .map_or("heard", |candidate| candidate.source.name());
        peer.paths.note(now.mono, at, source, "silent");
        if let Some(candidate) = peer.paths.find_mut(at) {
            candidate.died();
        }
        let others = peer
            .paths
            .candidates
            .iter()
            .any(|candidate| candidate.answered.is_some());
        if role == PeerRole::Supernode && !others {
            self.session_down(now, handle, out);
            return;
        }
        if !self.config.role.punches() && !others {
            // A supernode has no other way to a leaf: it stays until the leaf is heard elsewhere or its keys die.
            return;
        }
        if let Some(peer) = self.peers.get_mut(handle) {
            peer.paths.active = None;
            peer.paths.rounds = 0;
        }
        self.choose(now, handle, out);
        self.probe_all(now, handle, out);
        if role != PeerRole::Supernode {
            // Our router may have given us another port: the supernodes see it, and the peer has to know it.
            self.ping_supernodes(now, out);
            self.tell_paths(handle, out);
            // It may have restarted: then only a handshake brings it back, and a relay is asked at the same time.
            self.begin_again(now, handle, out);
        }
    }

    /// A handshake although there is a session, unless the last one has just been given up.
    fn begin_again(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let rests = self
            .peers
            .get(handle)
            .is_some_and(|peer| peer.rest_until > now.mono);
        if !rests {
            self.initiate(now, handle, Label::Init, out);
        }
    }

    fn relay_died(
        &mut self,
        now: Now,
        handle: PeerHandle,
        via: zt_wire::Address,
        out: &mut Outbox,
    ) {
        if let Some(relay) = self.supernodes.handle_of(via) {
            self.start_check(now, relay, out);
        }
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if peer.paths.deaf_relays.len() < limits::SUPERNODES {
            peer.paths.deaf_relays.push(via);
        }
        peer.paths.active = None;
        self.choose(now, handle, out);
        self.probe_all(now, handle, out);
        self.begin_again(now, handle, out);
    }
}
