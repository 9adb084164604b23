//! One node of the harness with its workers, and what they give out.
//!
//! Owner: the harness. In: calls of the node and its lanes. Out: datagrams, frames, effects caught; words between workers carried.
//! Never: the wire.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use zt_crypto::Verified;
use zt_engine::counters::Counters;
use zt_engine::interface::{ClaimResult, Effect, Event, Input, Reply, Saved, TapPlan, WorkId};
use zt_engine::lane::{Order, Report};
use zt_engine::shard::{Path, SendBuf, TapFrame};
use zt_engine::{Io, Lane, LaneIo, Mono, Node, Now, Work};
use zt_wire::{Address, Identity, NetworkId};

use super::authority;

/// A node with what it has given out.
pub struct Host {
    pub node: Node,
    /// Its workers besides the node itself.
    pub lanes: Vec<Lane>,
    pub who: Verified,
    pub local: SocketAddr,
    pub public: SocketAddr,
    pub nat: bool,
    pub up: bool,
    pub replies: BTreeMap<u64, Reply>,
    pub events: Vec<Event>,
    pub delivered: Vec<(NetworkId, Vec<u8>)>,
    pub saved: Vec<Saved>,
    pub sent: u64,
    /// Where trains were given up or taken up again, in order.
    pub trains: Vec<(SocketAddr, bool)>,
    pub authority: Option<authority::Authority>,
    /// The devices that are up, with their addresses.
    pub taps: BTreeMap<NetworkId, TapPlan>,
    /// How long the node takes to come to what its lanes tell it, however quick the wire is.
    pub report_lag: Duration,
    /// What its lanes have told the node and it has had no time for, with when it will.
    pub(super) told: VecDeque<(Mono, usize, Report)>,
    /// How long its pool takes for a piece of work.
    pub work_lag: Duration,
    /// What its pool is at, with when it will be done.
    pub(super) jobs: VecDeque<(Mono, WorkId, Work)>,
    pub(super) opened: BTreeSet<SocketAddr>,
    pub(super) registry: BTreeMap<Address, Identity>,
}

/// What was put off and is to go on.
pub(super) enum Late {
    Done(Input),
    Told(usize, Report),
}

#[derive(Default)]
pub(super) struct Caught {
    pub(super) datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) frames: Vec<(NetworkId, Vec<u8>)>,
    pub(super) effects: VecDeque<Effect>,
    orders: VecDeque<(usize, Order)>,
    reports: VecDeque<(usize, Report)>,
    /// The worker that acts.
    pub(super) speaker: usize,
    strays: VecDeque<(usize, Path, Vec<u8>)>,
}

impl SendBuf for Caught {
    fn slot(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        self.datagrams.push((to, vec![0; len]));
        self.datagrams
            .last_mut()
            .map(|(_, bytes)| bytes.as_mut_slice())
    }
}

impl Io for Caught {
    fn deliver(&mut self, network: NetworkId, frame: TapFrame<'_>) {
        self.frames.push((network, frame.bytes.to_vec()));
    }
    fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }
    fn order(&mut self, lane: usize, order: Order) {
        self.orders.push_back((lane, order));
    }
    fn stray(&mut self, lane: usize, from: Path, datagram: &[u8]) {
        self.strays.push_back((lane, from, datagram.to_vec()));
    }
}

impl LaneIo for Caught {
    fn deliver(&mut self, network: NetworkId, frame: TapFrame<'_>) {
        self.frames.push((network, frame.bytes.to_vec()));
    }
    fn report(&mut self, report: Report) -> bool {
        self.reports.push_back((self.speaker, report));
        true
    }
    fn stray(&mut self, worker: usize, from: Path, datagram: &[u8]) {
        self.strays.push_back((worker, from, datagram.to_vec()));
    }
}

/// One worker of a node.
pub(super) enum Plane<'a> {
    Node(&'a mut Node),
    Lane(&'a mut Lane),
}

impl Host {
    /// What all its workers have counted.
    pub fn counters(&self) -> Counters {
        let mut counters = self.node.counters();
        for lane in &self.lanes {
            counters.merge(lane.counters());
        }
        counters
    }

    /// The first claim of an address holds.
    pub(super) fn claim(&mut self, address: Address, identity: Identity) -> ClaimResult {
        if *self.registry.entry(address).or_insert(identity) == identity {
            ClaimResult::Granted
        } else {
            ClaimResult::Taken
        }
    }

    /// Lets one worker act.
    pub(super) fn act(
        &mut self,
        now: Now,
        worker: usize,
        act: impl FnOnce(Plane<'_>, Now, &mut Caught),
    ) -> Caught {
        let mut caught = Caught {
            speaker: worker,
            ..Caught::default()
        };
        let plane = match worker {
            0 => Plane::Node(&mut self.node),
            lane => Plane::Lane(&mut self.lanes[lane - 1]),
        };
        act(plane, now, &mut caught);
        caught
    }

    /// Carries what the workers say to each other, orders first as the driver does.
    pub(super) fn between_workers(&mut self, now: Now, caught: &mut Caught) {
        loop {
            if let Some((lane, order)) = caught.orders.pop_front() {
                caught.speaker = lane;
                self.lanes[lane - 1].order(now, order, caught);
            } else if let Some((worker, from, mut bytes)) = caught.strays.pop_front() {
                caught.speaker = worker;
                match worker {
                    0 => self.node.stray(now, from, &mut bytes, caught),
                    lane => self.lanes[lane - 1].stray(now, from, &mut bytes, caught),
                }
            } else if let Some((lane, report)) = caught.reports.pop_front() {
                if !self.report_lag.is_zero() {
                    self.told
                        .push_back((now.mono + self.report_lag, lane, report));
                    continue;
                }
                caught.speaker = 0;
                self.node.report(now, lane, report, caught);
            } else {
                return;
            }
        }
    }

    /// When it goes on with what it has put off.
    pub(super) fn next_late(&self) -> Option<Mono> {
        let told = self.told.front().map(|(at, ..)| *at);
        let jobs = self.jobs.front().map(|(at, ..)| *at);
        told.into_iter().chain(jobs).min()
    }

    /// Takes the first of that.
    pub(super) fn take_late(&mut self) -> Option<Late> {
        let job = self.jobs.front().map(|(at, ..)| *at);
        if job.is_some() && job == self.next_late() {
            let (_, id, work) = self.jobs.pop_front()?;
            return Some(Late::Done(Input::WorkDone(id, work.run())));
        }
        let (_, lane, report) = self.told.pop_front()?;
        Some(Late::Told(lane, report))
    }

    pub(super) fn sends_trains(&self, to: SocketAddr) -> bool {
        let last = self.trains.iter().rev().find(|(at, _)| *at == to);
        last.is_none_or(|(_, may)| *may)
    }

    /// The registry's opinion of an address, changed from outside.
    pub fn usurp(&mut self, address: Address, identity: Identity) {
        self.registry.insert(address, identity);
    }
}
