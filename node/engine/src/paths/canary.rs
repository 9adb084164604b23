//! Whether datagrams that leave in one train get through as they do one by one: some kernels and cards corrupt trains.
//!
//! Owner: the engine's paths. In: a path just chosen, answers, time. Out: probes, and `Effect::Trains` for the driver.
//! Never: a verdict by one loss, or on a path that loses single datagrams just as well.

use core::net::SocketAddr;
use std::boxed::Box;

use zt_wire::message::{Message, Probe};

use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::interface::{Effect, PeerRole};
use crate::limits;
use crate::outbox::{Out, Outbox};
use crate::shard::{Path, PeerHandle, To};
use crate::time::Now;

/// A trial: trains against single probes, round by round.
#[derive(Debug)]
pub struct Canary {
    at: SocketAddr,
    rounds: usize,
    /// Single probes of this round that were sent; `None` while its train is out.
    alone: Option<usize>,
    /// Probes of this step; zero: answered.
    tokens: [u64; limits::CANARY_TRAIN],
    /// Answers so far, to trains and to single probes.
    answered: [usize; 2],
}

impl Canary {
    fn new(at: SocketAddr) -> Self {
        Self {
            at,
            rounds: 0,
            alone: None,
            tokens: [0; limits::CANARY_TRAIN],
            answered: [0; 2],
        }
    }

    /// Counts an answer; says whether it was one to this trial.
    fn answer(&mut self, token: u64) -> bool {
        let place = self.tokens.iter_mut().find(|own| **own == token);
        let Some(place) = place.filter(|_| token != 0) else {
            return false;
        };
        *place = 0;
        self.answered[usize::from(self.alone.is_some())] += 1;
        true
    }

    /// Whether the first train came back whole: nothing more is to be learned then.
    const fn is_whole(&self) -> bool {
        self.rounds == 0 && self.alone.is_none() && self.answered[0] == limits::CANARY_TRAIN
    }

    /// Whether trains lose more than single datagrams do, by far more than chance.
    const fn loses(&self) -> bool {
        let [trains, alone] = self.answered;
        alone >= trains + limits::CANARY_MORE
    }
}

impl Engine {
    /// Plans a trial of the direct path in use, unless this endpoint has had one.
    pub(crate) fn start_canary(&mut self, now: Now, handle: PeerHandle) {
        if self.config.role.relays() {
            // What a supernode sends in trains is relayed from trains that have come through already.
            return;
        }
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let Some(Path::Direct(at)) = peer.paths.active else {
            return;
        };
        let tried = peer
            .paths
            .find(at)
            .is_some_and(|candidate| candidate.trains_tried);
        if peer.role == PeerRole::Controller || tried {
            return;
        }
        peer.paths.canary = None;
        self.deadlines
            .set(Timer::Canary(handle), now.mono + limits::CANARY_AFTER);
    }

    /// The next step of a trial, or the trial again after trains were given up.
    pub(crate) fn canary_due(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let before = peer.paths.canary.take();
        let Some(Path::Direct(at)) = peer.paths.active.filter(|_| peer.ready()) else {
            return;
        };
        let fits = |candidate: &super::Candidate| candidate.mtu >= limits::MTU_HANDSHAKE;
        if !peer.paths.find(at).is_some_and(fits) {
            // Neither trains nor single ones of that size pass.
            return;
        }
        let canary = match before {
            Some(canary) if canary.at != at => return,
            Some(canary) => canary,
            None => {
                if let Some(candidate) = peer.paths.find_mut(at) {
                    candidate.trains_tried = true;
                }
                // An earlier trial may have ended otherwise.
                out.effect(Effect::Trains(at, true));
                return self.canary_train(now, handle, Box::new(Canary::new(at)), out);
            }
        };
        match canary.alone {
            None => self.canary_alone(now, handle, canary, 0, out),
            Some(sent) if sent < limits::CANARY_TRAIN => {
                self.canary_alone(now, handle, canary, sent, out);
            }
            Some(_) => self.canary_round(now, handle, canary, out),
        }
    }

    /// `PROBE_ANSWER`: true when it is one of a trial.
    pub(crate) fn canary_answered(&mut self, handle: PeerHandle, token: u64) -> bool {
        let Some(peer) = self.peers.get_mut(handle) else {
            return false;
        };
        let Some(canary) = peer.paths.canary.as_mut() else {
            return false;
        };
        if !canary.answer(token) {
            return false;
        }
        if canary.is_whole() {
            peer.paths.canary = None;
            self.deadlines.clear(Timer::Canary(handle));
        }
        true
    }

    /// A round is over: another one, or the verdict.
    fn canary_round(
        &mut self,
        now: Now,
        handle: PeerHandle,
        mut canary: Box<Canary>,
        out: &mut Outbox,
    ) {
        canary.rounds += 1;
        canary.alone = None;
        if canary.rounds < limits::CANARY_ROUNDS {
            return self.canary_train(now, handle, canary, out);
        }
        if !canary.loses() {
            return;
        }
        out.effect(Effect::Trains(canary.at, false));
        self.deadlines
            .set(Timer::Canary(handle), now.mono + limits::CANARY_AGAIN);
    }

    /// Probes of one size back to back: the driver sends them as one train, if it sends trains at all.
    fn canary_train(
        &mut self,
        now: Now,
        handle: PeerHandle,
        mut canary: Box<Canary>,
        out: &mut Outbox,
    ) {
        for index in 0..limits::CANARY_TRAIN {
            canary.tokens[index] = self.canary_probe(handle, canary.at, out);
        }
        self.canary_waits(handle, canary);
        self.deadlines
            .set(Timer::Canary(handle), now.mono + limits::CANARY_WAIT);
    }

    /// One probe by itself.
    fn canary_alone(
        &mut self,
        now: Now,
        handle: PeerHandle,
        mut canary: Box<Canary>,
        sent: usize,
        out: &mut Outbox,
    ) {
        if sent == 0 {
            canary.tokens = [0; limits::CANARY_TRAIN];
        }
        canary.tokens[sent] = self.canary_probe(handle, canary.at, out);
        canary.alone = Some(sent + 1);
        let pause = if sent + 1 < limits::CANARY_TRAIN {
            limits::CANARY_GAP
        } else {
            limits::CANARY_WAIT
        };
        self.canary_waits(handle, canary);
        self.deadlines.set(Timer::Canary(handle), now.mono + pause);
    }

    fn canary_probe(&mut self, handle: PeerHandle, at: SocketAddr, out: &mut Outbox) -> u64 {
        let token = self.chance.number();
        let body = Message::Probe(Probe {
            token,
            mtu: true,
            padding: super::mtu::padding(limits::MTU_HANDSHAKE),
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
        token
    }

    fn canary_waits(&mut self, handle: PeerHandle, canary: Box<Canary>) {
        if let Some(peer) = self.peers.get_mut(handle) {
            peer.paths.canary = Some(canary);
        }
    }
}
