//! A few nodes, home routers and a wire in memory: enough to hold the engine to its promises.
//!
//! Owner: the tests. In: nodes, commands, cuts. Out: what was delivered, replied and counted.
//! Never: the simulator (`tests/sim` has the real NAT models); chance.

#![allow(dead_code)]

pub mod authority;
mod host;
pub mod lan;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use zt_crypto::pow::Search;
use zt_crypto::{Params, SecretIdentity, SigningSecret, Verified, VerifiedWorld};
use zt_engine::interface::{Command, CommandId, Effect, HostAnswer, HostRequest, Input, Reply};
use zt_engine::shard::{TapFrame, owner};
use zt_engine::{Config, Mono, Node, Now, Role, Unix};
use zt_wire::{Address, NetworkId, ProofOfWork, World, WorldSupernode};

pub use host::Host;
use host::{Caught, Late, Plane};

pub const LATENCY: Duration = Duration::from_millis(5);

/// Nobody waits for the reply to a push.
const PUSH: CommandId = CommandId(u64::MAX);

type Flight = (Mono, u64, SocketAddr, SocketAddr, Vec<u8>);

/// Everything together.
pub struct Net {
    pub hosts: Vec<Host>,
    pub now: Mono,
    pub signing: SigningSecret,
    pub world: World,
    /// Datagrams that do not arrive: (from host, to host).
    pub cut: BTreeSet<(usize, usize)>,
    /// Datagrams of a hundred that get lost, by a fixed sequence.
    pub loss: u64,
    dice: u64,
    /// What arrived, when asked for: to host, from, bytes.
    pub tapped: Option<Vec<(usize, SocketAddr, Vec<u8>)>>,
    /// Largest UDP payload that arrives.
    pub mtu: usize,
    /// Whether datagrams of one size that leave together do not arrive, while their sender may send trains.
    pub trains_vanish: bool,
    /// The host whose memory is counted in `heap`.
    pub watched: Option<usize>,
    /// Bytes that the watched host's node has taken and not given back since it is watched.
    pub heap: i64,
    /// Workers of each node that is added: 1, or what the environment says.
    pub workers: usize,
    /// Workers that each node that is added may have later.
    pub most_workers: usize,
    /// Datagrams that came to another worker than the one that their index names.
    pub strayed: u64,
    /// How long the pool of each node that is added takes for a piece of work: nothing, or the milliseconds that the
    /// environment says.
    pub work_lag: Duration,
    serial: u64,
    next_command: u64,
    flying: BinaryHeap<Reverse<Flight>>,
}

pub fn somebody(seed: u8) -> (SecretIdentity, Verified) {
    Search::new(&[seed; 32], Params::WEAK)
        .run()
        .expect("a search that is not stopped finds")
}

/// A number from the environment.
#[allow(
    clippy::disallowed_methods,
    reason = "the engine itself gets what it needs as `Config`"
)]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

pub fn supernode_at(n: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, u8::try_from(n + 1).expect("few")], 9993))
}

impl Net {
    /// A world of this many supernodes, hosts 0.., all running.
    pub fn new(supernodes: usize) -> Self {
        let workers = number("ZT_TEST_WORKERS").map_or(1, |n| usize::try_from(n).expect("few"));
        Self::with_workers(supernodes, workers, workers)
    }

    /// The same with so many workers for each node, and so many that it may have later.
    pub fn with_workers(supernodes: usize, workers: usize, most_workers: usize) -> Self {
        let signing = SigningSecret::from_seed(&[77; 32]);
        let world = World {
            id: [7; 16],
            serial: 1,
            name: "test".into(),
            proof_of_work: ProofOfWork {
                memory_kib: 8,
                passes: 1,
                bits: 0,
                weak: true,
            },
            signing_key: signing.public(),
            next_key: signing.public(),
            supernodes: (0..supernodes).map(named).collect(),
        };
        let mut net = Self {
            hosts: Vec::new(),
            now: Mono::ZERO + Duration::from_secs(1_000),
            signing,
            world,
            cut: BTreeSet::new(),
            loss: 0,
            dice: 1,
            tapped: None,
            mtu: 1_472,
            trains_vanish: false,
            watched: None,
            heap: 0,
            workers,
            most_workers,
            strayed: 0,
            work_lag: Duration::from_millis(number("ZT_TEST_WORK_LAG").unwrap_or(0)),
            serial: 0,
            next_command: 0,
            flying: BinaryHeap::new(),
        };
        for n in 0..supernodes {
            net.add(u8::try_from(n + 1).expect("few"), Role::Supernode, false);
        }
        net
    }

    /// Adds a node; behind a home router when `nat`. Returns its number.
    pub fn add(&mut self, seed: u8, role: Role, nat: bool) -> usize {
        let (secret, who) = somebody(seed);
        self.add_as(secret, who, role, nat)
    }

    pub fn add_as(
        &mut self,
        secret: SecretIdentity,
        who: Verified,
        role: Role,
        nat: bool,
    ) -> usize {
        let n = self.hosts.len();
        let number = u8::try_from(n).expect("few");
        let public = match role {
            Role::Supernode => supernode_at(n),
            Role::Leaf | Role::Controller => {
                SocketAddr::from(([203, 0, 113, number], 40_000 + u16::from(number)))
            }
        };
        let local = if nat {
            SocketAddr::from(([192, 168, number, 2], 9993))
        } else {
            public
        };
        let node = Node::new(
            secret,
            who,
            self.verified_world(),
            config(role, self.most_workers),
            [number; 32],
        );
        self.hosts.push(Host {
            node,
            lanes: Vec::new(),
            who,
            local,
            public,
            nat,
            up: true,
            replies: BTreeMap::new(),
            events: Vec::new(),
            delivered: Vec::new(),
            saved: Vec::new(),
            sent: 0,
            trains: Vec::new(),
            authority: None,
            taps: BTreeMap::new(),
            report_lag: Duration::ZERO,
            told: VecDeque::new(),
            work_lag: self.work_lag,
            jobs: VecDeque::new(),
            opened: BTreeSet::new(),
            registry: BTreeMap::new(),
        });
        self.spread(n, self.workers);
        self.input(n, Input::LocalAddresses(vec![local]));
        self.with(n, Node::advance);
        n
    }

    /// Spreads a node's sessions over so many workers.
    pub fn spread(&mut self, n: usize, workers: usize) {
        let host = &mut self.hosts[n];
        while host.lanes.len() + 1 < workers {
            host.lanes.push(host.node.lane().1);
        }
        self.with(n, |node, now, io| node.spread_over(now, workers, io));
    }

    /// The process ends without a word and starts again with the same identity.
    pub fn restart(&mut self, n: usize, seed: u8, role: Role) {
        let (secret, who) = somebody(seed);
        self.hosts[n].node = Node::new(
            secret,
            who,
            self.verified_world(),
            config(role, self.most_workers),
            [seed ^ 0x55; 32],
        );
        self.hosts[n].lanes.clear();
        self.hosts[n].told.clear();
        self.hosts[n].jobs.clear();
        self.spread(n, self.workers);
        self.hosts[n].up = true;
        let local = self.hosts[n].local;
        self.input(n, Input::LocalAddresses(vec![local]));
        self.with(n, Node::advance);
    }

    pub fn verified_world(&self) -> VerifiedWorld {
        VerifiedWorld::first(&self.signing.sign(&self.world), true).expect("a good world")
    }

    /// Another sequence of losses.
    pub fn reseed(&mut self, seed: u64) {
        self.dice = seed;
    }

    /// The home router forgets and gives another port.
    pub fn rebind(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        host.public.set_port(host.public.port() + 1_000);
        host.opened.clear();
    }

    /// The machine is carried to another house.
    pub fn move_to(&mut self, n: usize, public: [u8; 4], local: [u8; 4]) {
        let host = &mut self.hosts[n];
        host.public = SocketAddr::from((public, host.public.port()));
        host.local = SocketAddr::from((local, 9993));
        host.opened.clear();
        let local = host.local;
        self.input(n, Input::LocalAddresses(vec![local]));
    }

    pub fn address(&self, n: usize) -> Address {
        self.hosts[n].who.address()
    }

    pub fn command(&mut self, n: usize, command: Command) -> u64 {
        self.next_command += 1;
        let id = self.next_command;
        self.input(n, Input::Command(CommandId(id), command));
        id
    }

    /// A command that is answered at once, or by one piece of work.
    pub fn ask(&mut self, n: usize, command: Command) -> Reply {
        let id = self.command(n, command);
        if !self.hosts[n].replies.contains_key(&id) {
            self.run(self.work_lag);
        }
        self.hosts[n].replies.remove(&id).expect("answered at once")
    }

    /// Pings and runs until the reply or for the limit.
    pub fn ping(&mut self, from: usize, to: usize, limit: Duration) -> Reply {
        let to = self.address(to);
        let id = self.command(from, Command::Ping { to, limit });
        let end = self.now + limit + Duration::from_millis(1);
        while !self.hosts[from].replies.contains_key(&id) && self.step(end) {}
        self.hosts[from]
            .replies
            .remove(&id)
            .expect("every ping is replied to")
    }

    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    pub fn input(&mut self, n: usize, input: Input) {
        self.with(n, |node, now, io| node.input(now, input, io));
    }

    pub fn tap(&mut self, n: usize, network: NetworkId, frame: &[u8]) {
        let worker = self.any_worker(n);
        self.at(n, worker, |plane, now, io| match plane {
            Plane::Node(node) => node.tap(now, network, TapFrame::plain(frame), io),
            Plane::Lane(lane) => lane.tap(now, network, TapFrame::plain(frame), io),
        });
    }

    /// A datagram from nowhere.
    pub fn inject(&mut self, n: usize, from: SocketAddr, bytes: &mut [u8]) {
        let worker = self.steer(n, bytes);
        self.at(n, worker, |plane, now, io| match plane {
            Plane::Node(node) => node.rx(now, from, bytes, io),
            Plane::Lane(lane) => lane.rx(now, from, bytes, io),
        });
    }

    /// The worker to which the kernel gives a datagram; one in eight goes astray.
    fn steer(&mut self, n: usize, bytes: &[u8]) -> usize {
        if self.hosts[n].lanes.is_empty() {
            return 0;
        }
        let header = zt_wire::datagram::Transport::parse(bytes);
        let named = header.map_or(0, |header| owner(header.receiver));
        let worker = self.any_worker(n);
        if worker != named && self.chance(8) == 0 {
            self.strayed += 1;
            return worker;
        }
        named.min(self.hosts[n].lanes.len())
    }

    fn any_worker(&mut self, n: usize) -> usize {
        self.chance(self.hosts[n].lanes.len() + 1)
    }

    fn chance(&mut self, below: usize) -> usize {
        if below == 1 {
            return 0;
        }
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.dice >> 33).expect("31 bits") % below
    }

    /// One event before `end`; false when there is none.
    fn step(&mut self, end: Mono) -> bool {
        let deadline = (0..self.hosts.len())
            .filter(|n| self.hosts[*n].up)
            .filter_map(|n| {
                self.hosts[n]
                    .node
                    .next_deadline()
                    .map(|at| (at.max(self.now), n))
            })
            .min();
        let put_off = (0..self.hosts.len())
            .filter_map(|n| self.hosts[n].next_late().map(|at| (at, n)))
            .min();
        let flight = self.flying.peek().map(|Reverse((at, ..))| *at);
        if let Some((at, n)) = put_off
            && at <= end
            && flight.is_none_or(|flight| at < flight)
            && deadline.is_none_or(|(deadline, _)| at < deadline)
        {
            self.now = at;
            match self.hosts[n].take_late() {
                Some(Late::Done(input)) => self.input(n, input),
                Some(Late::Told(lane, report)) => {
                    self.with(n, |node, now, io| node.report(now, lane, report, io));
                }
                None => return false,
            }
            return true;
        }
        match (flight, deadline) {
            (Some(at), other) if at <= end && other.is_none_or(|(deadline, _)| at <= deadline) => {
                self.now = at;
                let Some(Reverse((_, _, from, to, bytes))) = self.flying.pop() else {
                    return false;
                };
                self.land(from, to, bytes);
                true
            }
            (_, Some((at, n))) if at <= end => {
                self.now = at;
                self.with(n, Node::advance);
                true
            }
            _ => false,
        }
    }

    fn land(&mut self, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        let Some(n) = self
            .hosts
            .iter()
            .position(|host| host.public == to && host.up)
        else {
            return;
        };
        let host = &self.hosts[n];
        if host.nat && !host.opened.contains(&from) {
            return;
        }
        if let Some(tapped) = &mut self.tapped {
            tapped.push((n, from, bytes.clone()));
        }
        self.inject(n, from, &mut bytes);
    }

    fn with(&mut self, n: usize, act: impl FnOnce(&mut Node, Now, &mut Caught)) {
        self.at(n, 0, |plane, now, io| {
            if let Plane::Node(node) = plane {
                act(node, now, io);
            }
        });
    }

    /// Lets one of a node's workers act.
    fn at(&mut self, n: usize, worker: usize, act: impl FnOnce(Plane<'_>, Now, &mut Caught)) {
        let mut datagrams = Vec::new();
        if self.watched == Some(n) {
            let taken = allocation_counter::measure(|| {
                datagrams = self.perform(n, worker, act);
                // What the node gave out belongs to its program.
                self.hosts[n].saved.clear();
                self.hosts[n].events.clear();
            });
            let fly = datagrams.capacity() * size_of::<(SocketAddr, Vec<u8>)>()
                + datagrams
                    .iter()
                    .map(|(_, bytes)| bytes.capacity())
                    .sum::<usize>();
            self.heap += taken.bytes_current - i64::try_from(fly).expect("few");
        } else {
            datagrams = self.perform(n, worker, act);
        }
        let sizes: Vec<_> = datagrams.iter().map(|(to, all)| (*to, all.len())).collect();
        for (index, (to, bytes)) in datagrams.into_iter().enumerate() {
            let own = Some(&sizes[index]);
            let beside = sizes.get(index + 1) == own || index > 0 && sizes.get(index - 1) == own;
            if !(beside && self.trains_vanish && self.hosts[n].sends_trains(to)) {
                self.depart(n, to, bytes);
            }
        }
    }

    /// Lets a node act, carries out what it asked for, gives what it sent.
    fn perform(
        &mut self,
        n: usize,
        worker: usize,
        act: impl FnOnce(Plane<'_>, Now, &mut Caught),
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let now = Now {
            mono: self.now,
            unix: Unix(1_700_000_000),
        };
        let mut caught = self.hosts[n].act(now, worker, act);
        loop {
            self.hosts[n].between_workers(now, &mut caught);
            let Some(effect) = caught.effects.pop_front() else {
                break;
            };
            let host = &mut self.hosts[n];
            match effect {
                Effect::Work(id, work) if !host.work_lag.is_zero() => {
                    host.jobs.push_back((now.mono + host.work_lag, id, work));
                }
                Effect::Work(id, work) => {
                    host.node
                        .input(now, Input::WorkDone(id, work.run()), &mut caught);
                }
                Effect::Reply(id, reply) => {
                    host.replies.insert(id.0, reply);
                }
                Effect::Save(saved) => host.saved.push(saved),
                Effect::Event(event) => host.events.push(event),
                Effect::Host(ticket, request) => {
                    let answer = match request {
                        HostRequest::Claim {
                            identity, address, ..
                        } => HostAnswer::Claim(host.claim(address, identity)),
                        HostRequest::Whois(address) => {
                            HostAnswer::Identity(host.registry.get(&address).copied())
                        }
                        HostRequest::Netconf {
                            identity,
                            address,
                            request,
                            ..
                        } => {
                            let Some(authority) = &mut host.authority else {
                                continue;
                            };
                            let answer = authority.answer(&identity, address, &request);
                            for (to, message) in core::mem::take(&mut authority.pending) {
                                let push = Command::Push { to, message };
                                host.node
                                    .input(now, Input::Command(PUSH, push), &mut caught);
                            }
                            HostAnswer::Netconf(answer)
                        }
                    };
                    host.node
                        .input(now, Input::HostAnswer(ticket, answer), &mut caught);
                }
                Effect::Tap(network, plan) => {
                    host.taps.insert(network, plan);
                    let up = Input::TapUp(network, "zt0".into());
                    host.node.input(now, up, &mut caught);
                }
                Effect::TapDown(network) => {
                    host.taps.remove(&network);
                }
                Effect::Unsave(_) | Effect::Groups(_) => {}
                Effect::Trains(at, may) => {
                    host.trains.push((at, may));
                }
            }
        }
        self.hosts[n].delivered.append(&mut caught.frames);
        caught.datagrams
    }

    fn depart(&mut self, n: usize, to: SocketAddr, bytes: Vec<u8>) {
        let host = &mut self.hosts[n];
        host.sent += 1;
        host.opened.insert(to);
        let from = host.public;
        let receiver = self.hosts.iter().position(|host| host.public == to);
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let unlucky = (self.dice >> 33) % 100 < self.loss;
        let lost = receiver.is_some_and(|receiver| self.cut.contains(&(n, receiver)));
        if lost || unlucky || bytes.len() > self.mtu || !self.hosts[n].up {
            return;
        }
        self.serial += 1;
        self.flying
            .push(Reverse((self.now + LATENCY, self.serial, from, to, bytes)));
    }
}

fn config(role: Role, workers: usize) -> Config {
    let mut config = Config::of(role);
    config.workers = workers;
    config
}

fn named(n: usize) -> WorldSupernode {
    let (_, who) = somebody(u8::try_from(n + 1).expect("few"));
    WorldSupernode {
        identity: *who.identity(),
        endpoints: vec![supernode_at(n)],
        tls_endpoints: vec![],
    }
}
