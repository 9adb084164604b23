//! The world: hosts, the network between them, and one queue of what happens next.
//!
//! Owner: the scenario. In: commands, time to pass. Out: what hosts got and said, a hash of everything that happened.
//! Never: a real clock, a thread; two things at one moment happen in the order they were caused.

mod talk;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use zt_crypto::pow::{Params, Search};
use zt_crypto::{SecretIdentity, SigningSecret, Verified, VerifiedWorld};
use zt_engine::interface::{Command, HostAnswer, Input, Reply, Ticket};
use zt_engine::{Config, Mono, Now, Role, Unix};
use zt_netconf_master::{Controller, Memory};
use zt_supernode::registry::MemoryRegistry;
use zt_wire::{NetworkId, ProofOfWork, World as WorldRecord, WorldSupernode};

use crate::dice::Dice;
use crate::host::{Host, Office, Part};
use crate::internet::{HostId, Internet, SiteId};
use crate::model::Model;
use crate::segment::Segments;
use crate::trace::Trace;

/// Everything there is.
pub struct World {
    seed: u64,
    dice: Dice,
    now: Mono,
    serial: u64,
    queue: BTreeMap<(Mono, u64), (HostId, Happening)>,
    hosts: Vec<Host>,
    /// The network under the overlay.
    pub net: Internet,
    /// The Ethernet behind members.
    pub segments: Segments,
    /// Who must get what.
    pub model: Model,
    record: WorldRecord,
    signer: SigningSecret,
    verified: VerifiedWorld,
    trace: Trace,
    next_frame: u64,
    datagrams: u64,
    events: u64,
    tape: Option<Vec<Recorded>>,
    logging: bool,
}

/// A datagram as it arrived at a host.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// At whom.
    pub host: HostId,
    /// From where it seemed to come.
    pub from: SocketAddr,
    /// What it was.
    pub bytes: Vec<u8>,
}

/// What happens to a host.
enum Happening {
    Datagram {
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    Wake,
    /// Something on the Ethernet behind it.
    Frame {
        network: NetworkId,
        bytes: Vec<u8>,
    },
    Answer {
        boot: u64,
        ticket: Ticket,
        answer: HostAnswer,
    },
}

impl World {
    /// A test world with `supernodes` supernodes on the Internet, running.
    ///
    /// # Panics
    /// Never: the world is signed here.
    pub fn new(seed: u64, supernodes: u32) -> Self {
        let dice = Dice::new(seed);
        let signer = SigningSecret::from_seed(&dice.on(0x5167).bytes());
        let mut net = Internet::new(seed);
        let keys: Vec<_> = (0..supernodes).map(|at| identity(dice, at)).collect();
        let listed = keys.iter().map(|(_, verified)| {
            let host = net.host(Internet::PUBLIC);
            WorldSupernode {
                identity: *verified.identity(),
                endpoints: vec![net.address(host)],
                tls_endpoints: vec![],
            }
        });
        let record = WorldRecord {
            id: [0x51; 16],
            serial: 1,
            name: "simulated".into(),
            proof_of_work: ProofOfWork {
                memory_kib: Params::WEAK.memory_kib(),
                passes: Params::WEAK.passes(),
                bits: Params::WEAK.bits(),
                weak: true,
            },
            signing_key: signer.public(),
            next_key: signer.public(),
            supernodes: listed.collect(),
        };
        // It has just been signed with the key that it names.
        let verified =
            VerifiedWorld::first(&signer.sign(&record), true).expect("a world of our own");
        let mut world = Self {
            seed,
            dice,
            now: Mono::from_nanos(1_000_000_000),
            serial: 0,
            queue: BTreeMap::new(),
            hosts: Vec::new(),
            net,
            segments: Segments::default(),
            model: Model::default(),
            record,
            signer,
            verified,
            trace: Trace::new(seed),
            next_frame: 0,
            datagrams: 0,
            events: 0,
            tape: None,
            logging: false,
        };
        for keys in keys {
            let id = HostId(u32::try_from(world.hosts.len()).unwrap_or(u32::MAX));
            world.push_host(
                keys,
                Role::Supernode,
                Part::Supernode(MemoryRegistry::default()),
            );
            world.start(id);
        }
        world
    }

    /// A host that only has a node, running.
    pub fn leaf(&mut self, site: SiteId) -> HostId {
        let keys = identity(
            self.dice,
            u32::try_from(self.hosts.len()).unwrap_or(u32::MAX),
        );
        self.leaf_with(keys, site)
    }

    /// A leaf with keys of its own choice.
    pub fn leaf_with(&mut self, keys: (SecretIdentity, Verified), site: SiteId) -> HostId {
        let id = self.net.host(site);
        self.push_host(keys, Role::Leaf, Part::Leaf);
        self.start(id);
        id
    }

    /// A controller, running.
    pub fn controller(&mut self, site: SiteId) -> HostId {
        let keys = identity(
            self.dice,
            u32::try_from(self.hosts.len()).unwrap_or(u32::MAX),
        );
        let id = self.net.host(site);
        let controller = Controller::new(
            Arc::new(Memory::new()),
            keys.0.clone(),
            &keys.1,
            self.verified.bytes().to_vec(),
        );
        let office = Office::new(controller);
        self.push_host(keys, Role::Controller, Part::Controller(Box::new(office)));
        self.start(id);
        id
    }

    fn push_host(&mut self, keys: (SecretIdentity, Verified), role: Role, part: Part) {
        let dice = self.dice.on(0xb007).on(self.hosts.len() as u64);
        let mut config = Config::of(role);
        // Which suites a host has must not depend on the machine that simulates it.
        config.aes = Some(dice.on(1).hits(700));
        self.hosts.push(Host::new(keys, config, part, dice));
    }

    /// Starts a host that does not run.
    pub fn start(&mut self, host: HostId) {
        self.net.set_up(host, true);
        let local = self.net.address(host);
        let now = self.now();
        let world = self.verified.clone();
        self.host_mut(host).start(&world, local, now);
        self.take(host);
    }

    /// Starts a host unless it runs.
    pub fn start_if_dead(&mut self, host: HostId) {
        if self.host(host).node().is_none() {
            self.start(host);
        }
    }

    /// Ends a host at once.
    pub fn kill(&mut self, host: HostId) {
        self.host_mut(host).kill();
        self.net.set_up(host, false);
    }

    /// Moves a host; it notices.
    pub fn roam(&mut self, host: HostId, site: SiteId) {
        self.net.roam(host, site);
        let local = self.net.address(host);
        let now = self.now();
        self.host_mut(host)
            .input(now, Input::LocalAddresses(vec![local]));
        self.take(host);
    }

    /// Gives a command and its number.
    pub fn command(&mut self, host: HostId, command: Command) -> u64 {
        let now = self.now();
        let id = self.host_mut(host).command(now, command);
        self.take(host);
        id
    }

    /// Gives a command and lets time pass until its reply.
    pub fn ask(&mut self, host: HostId, command: Command, within: Duration) -> Option<Reply> {
        let id = self.command(host, command);
        let mut reply = self.host_mut(host).reply(id);
        let end = self.now + within;
        while reply.is_none() && self.step(end) {
            reply = self.host_mut(host).reply(id);
        }
        reply
    }

    /// A newer world, signed, with this change.
    pub fn next_world(&mut self, change: impl FnOnce(&mut WorldRecord)) -> Vec<u8> {
        self.record.serial += 1;
        change(&mut self.record);
        self.signer.sign(&self.record)
    }

    /// A person does something at a controller; members are told.
    pub(crate) fn at_controller<T>(
        &mut self,
        host: HostId,
        act: impl FnOnce(&Controller, Unix) -> (T, Vec<zt_netconf_master::Push>),
    ) -> T {
        let now = self.now();
        let (value, pushes) = act(self.host(host).controller(), now.unix);
        self.host_mut(host).push(now, pushes);
        self.take(host);
        value
    }

    /// Prints each datagram from now on, or no longer: for a person who looks for an error.
    pub const fn log(&mut self, on: bool) {
        self.logging = on;
    }

    /// From now on, an eavesdropper keeps every datagram that arrives.
    pub fn record(&mut self) {
        self.tape = Some(Vec::new());
    }

    /// What the eavesdropper has kept; it stops.
    pub fn recorded(&mut self) -> Vec<Recorded> {
        self.tape.take().unwrap_or_default()
    }

    /// An attacker lets a datagram arrive, from wherever it says.
    pub fn inject(&mut self, datagram: Recorded) {
        let Recorded { host, from, bytes } = datagram;
        self.enqueue(self.now, host, Happening::Datagram { from, bytes });
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until `done`, at most for `within`. How long it took.
    pub fn run_until(
        &mut self,
        within: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        let end = start + within;
        loop {
            if done(self) {
                return Some(self.now.since(start));
            }
            // Looking after each of many events costs more than looking once in a while.
            let pause = (self.now + LOOK).min(end);
            while self.step(pause) {}
            self.now = pause;
            if self.now == end {
                return done(self).then(|| self.now.since(start));
            }
        }
    }

    /// The next thing before `end` happens. False: there is none.
    fn step(&mut self, end: Mono) -> bool {
        let Some(entry) = self
            .queue
            .first_entry()
            .filter(|entry| entry.key().0 <= end)
        else {
            return false;
        };
        let ((at, _), (id, happening)) = entry.remove_entry();
        self.now = at;
        self.events += 1;
        let now = self.now();
        let Some(host) = self.hosts.get_mut(id.0 as usize) else {
            return true;
        };
        match happening {
            Happening::Datagram { from, mut bytes } => {
                self.trace.note(at, id, &bytes);
                if let Some(tape) = &mut self.tape {
                    tape.push(Recorded {
                        host: id,
                        from,
                        bytes: bytes.clone(),
                    });
                }
                host.rx(now, from, &mut bytes);
            }
            Happening::Wake => {
                if host.wake != Some(at) {
                    return true;
                }
                host.wake = None;
                self.trace.note(at, id, &[]);
                host.advance(now);
            }
            Happening::Frame { network, bytes } => {
                self.trace.note(at, id, &bytes);
                host.tap(now, network, &bytes);
            }
            Happening::Answer {
                boot,
                ticket,
                answer,
            } => {
                if host.boot() == boot {
                    host.input(now, Input::HostAnswer(ticket, answer));
                }
            }
        }
        self.take(id);
        true
    }

    /// Takes what a host gave out: datagrams into the network, frames to the model, the rest into the queue.
    fn take(&mut self, id: HostId) {
        let now = self.now;
        let index = id.0 as usize;
        let (bytes, datagrams) = self.hosts[index].desk().datagrams();
        let mut refused = Vec::new();
        for (to, range) in datagrams {
            self.datagrams += 1;
            let datagram = &bytes[range];
            if self.net.refuses(id, datagram.len()) {
                refused.push((to, datagram.len()));
                continue;
            }
            let arrivals = self.net.send(id, to, datagram.len(), now);
            if self.logging {
                let kind = datagram.first().copied().unwrap_or(0);
                let host = arrivals[0].map(|arrival| arrival.host);
                println!(
                    "{now:?} {id:?} -> {to} {host:?} type {kind} {} bytes",
                    datagram.len()
                );
            }
            for arrival in arrivals.into_iter().flatten() {
                let happening = Happening::Datagram {
                    from: arrival.from,
                    bytes: datagram.to_vec(),
                };
                self.enqueue(arrival.at, arrival.host, happening);
            }
        }
        for (network, frame) in core::mem::take(&mut self.hosts[index].desk().frames) {
            self.trace.note(now, id, &frame);
            if let Some(segment) = self.segments.of(id) {
                self.on_segment(network, segment, Some(id), &frame);
                continue;
            }
            self.model.got(network, id, &frame, now);
            self.hosts[index].delivered(&frame);
        }
        let boot = self.hosts[index].boot();
        for (after, ticket, answer) in core::mem::take(&mut self.hosts[index].desk().answers) {
            self.enqueue(
                now + after,
                id,
                Happening::Answer {
                    boot,
                    ticket,
                    answer,
                },
            );
        }
        if let Some(deadline) = self.hosts[index].next_deadline() {
            let deadline = deadline.max(now);
            if self.hosts[index].wake.is_none_or(|wake| deadline < wake) {
                self.hosts[index].wake = Some(deadline);
                self.enqueue(deadline, id, Happening::Wake);
            }
        }
        for (to, len) in refused {
            let input = Input::Refused {
                to,
                size: u16::try_from(len).unwrap_or(u16::MAX),
                datagrams: 1,
            };
            let now = self.now();
            self.host_mut(id).input(now, input);
            self.take(id);
        }
    }

    fn enqueue(&mut self, at: Mono, host: HostId, happening: Happening) {
        self.serial += 1;
        self.queue.insert((at, self.serial), (host, happening));
    }

    /// The present, on both clocks.
    pub fn now(&self) -> Now {
        Now {
            mono: self.now,
            unix: Unix(1_800_000_000 + self.now.as_nanos() / 1_000_000_000),
        }
    }

    /// A host.
    pub fn host(&self, id: HostId) -> &Host {
        &self.hosts[id.0 as usize]
    }

    /// A host, to be asked for replies.
    pub fn host_mut(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.0 as usize]
    }

    /// All hosts; the supernodes come first.
    pub fn host_ids(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..u32::try_from(self.hosts.len()).unwrap_or(u32::MAX)).map(HostId)
    }

    /// What the run is reproduced with.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// A hash of everything that happened.
    pub const fn trace(&self) -> u64 {
        self.trace.hash()
    }

    /// Datagrams sent and things that happened.
    pub const fn counts(&self) -> (u64, u64) {
        (self.datagrams, self.events)
    }

    /// Every counter of every running node, added up.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for node in self.hosts.iter().filter_map(Host::node) {
            for (group, names) in node.counters().groups() {
                for (name, value) in names {
                    *sums.entry(format!("{group}.{name}")).or_default() += value;
                }
            }
        }
        sums
    }

    /// Ends the test if anything happened that must not.
    ///
    /// # Panics
    /// With the seed and the violations.
    pub fn check(&self) {
        let violations = self.model.violations();
        assert!(
            violations.is_empty(),
            "seed {}: {} violations, first: {:#?}",
            self.seed,
            violations.len(),
            &violations[..violations.len().min(5)]
        );
    }
}

/// What a frame takes through an Ethernet segment.
const ON_SEGMENT: Duration = Duration::from_micros(20);

/// How often [`World::run_until`] looks.
const LOOK: Duration = Duration::from_millis(10);

/// The identity of a host by its number.
fn identity(dice: Dice, number: u32) -> (SecretIdentity, Verified) {
    let seed = dice.on(0x1d).on(u64::from(number)).bytes();
    // Nobody stops this search.
    Search::new(&seed, Params::WEAK)
        .run()
        .expect("a search that nobody stops")
}
