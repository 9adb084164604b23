//! One simulated machine: a node, what its role needs around it, its devices and its disk.
//!
//! Owner: the world. In: what happens to it. Out: datagrams, delivered frames, things to do later, all on its `Desk`.
//! Never: another host, the network between them.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use zt_crypto::{SecretIdentity, Verified, VerifiedWorld};
use zt_engine::counters::Count;
use zt_engine::interface::{
    Command, CommandId, Effect, Event, HostAnswer, HostRequest, Input, Listening, Reply, Saved,
    TapPlan, Ticket,
};
use zt_engine::shard::{SendBuf, TapFrame};
use zt_engine::{Config, Io, Mono, Node, Now};
use zt_netconf_master::{Controller, Push, Pusher, Who};
use zt_supernode::registry::{self, MemoryRegistry};
use zt_wire::{Address, Mac, NetworkId};

use crate::dice::Dice;

/// A machine.
pub struct Host {
    identity: SecretIdentity,
    verified: Verified,
    config: Config,
    dice: Dice,
    boot: u64,
    node: Option<Node>,
    part: Part,
    disk: BTreeMap<Name, Saved>,
    taps: BTreeMap<NetworkId, TapPlan>,
    groups: BTreeMap<NetworkId, BTreeSet<Mac>>,
    replies: BTreeMap<u64, Reply>,
    events: Vec<(Mono, Event)>,
    next_command: u64,
    pushes: BTreeMap<u64, (NetworkId, Address)>,
    desk: Desk,
    kept: Option<Vec<Vec<u8>>>,
    /// For which moment a wake-up is in the world's queue.
    pub(crate) wake: Option<Mono>,
}

/// What a role needs beside its node.
pub(crate) enum Part {
    Leaf,
    Supernode(MemoryRegistry),
    Controller(Box<Office>),
}

/// A controller's books, and who is to be told what.
pub(crate) struct Office {
    pub controller: Controller,
    pub pusher: Pusher,
    epochs: Mono,
}

impl Office {
    /// Books without members.
    pub fn new(controller: Controller) -> Self {
        Self {
            controller,
            pusher: Pusher::new(),
            epochs: Mono::ZERO,
        }
    }

    /// The program starts: who is to be told is known from the store again.
    fn start(&mut self) {
        self.pusher = Pusher::new();
        let store = self.controller.store();
        // The store is in memory, which never fails.
        for network in store.networks(None, usize::MAX).unwrap_or_default() {
            let members = store.members(network.id, None, usize::MAX);
            for member in members.unwrap_or_default() {
                self.pusher.know(network.id, member.address);
            }
        }
    }

    /// Begins the epochs that are due.
    fn advance(&mut self, now: Now) {
        if now.mono < self.epochs {
            return;
        }
        self.epochs = now.mono + LOOK_AT_EPOCHS;
        if let Ok(outcome) = self.controller.advance_due(now.unix) {
            for push in outcome.pushes {
                self.pusher.push(push, now.mono);
            }
        }
    }
}

/// How often a controller looks whether an epoch is over; they last for hours.
const LOOK_AT_EPOCHS: Duration = Duration::from_mins(1);

/// What a call of a node gave out, until the world takes it.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    bytes: Vec<u8>,
    datagrams: Vec<(SocketAddr, core::ops::Range<usize>)>,
    /// Frames for the devices.
    pub frames: Vec<(NetworkId, Vec<u8>)>,
    effects: VecDeque<Effect>,
    /// Answers of the host program, each after a while.
    pub answers: Vec<(Duration, Ticket, HostAnswer)>,
}

impl Desk {
    /// Takes the datagrams.
    pub(crate) fn datagrams(&mut self) -> (Vec<u8>, Vec<(SocketAddr, core::ops::Range<usize>)>) {
        (
            core::mem::take(&mut self.bytes),
            core::mem::take(&mut self.datagrams),
        )
    }
}

impl SendBuf for Desk {
    fn slot(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        let start = self.bytes.len();
        self.bytes.resize(start + len, 0);
        self.datagrams.push((to, start..start + len));
        Some(&mut self.bytes[start..])
    }
}

impl Io for Desk {
    fn deliver(&mut self, network: NetworkId, frame: TapFrame<'_>) {
        self.frames.push((network, frame.bytes.to_vec()));
    }

    fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }
}

/// What a file on the disk is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    World,
    Network(NetworkId),
    Peers,
}

impl Host {
    pub(crate) fn new(
        keys: (SecretIdentity, Verified),
        config: Config,
        part: Part,
        dice: Dice,
    ) -> Self {
        Self {
            identity: keys.0,
            verified: keys.1,
            config,
            dice,
            boot: 0,
            node: None,
            part,
            disk: BTreeMap::new(),
            taps: BTreeMap::new(),
            groups: BTreeMap::new(),
            replies: BTreeMap::new(),
            events: Vec::new(),
            next_command: 0,
            pushes: BTreeMap::new(),
            desk: Desk::default(),
            kept: None,
            wake: None,
        }
    }

    /// Starts the node with what is on the disk.
    pub(crate) fn start(&mut self, world: &VerifiedWorld, local: SocketAddr, now: Now) {
        if let Part::Controller(office) = &mut self.part {
            office.start();
        }
        self.boot += 1;
        self.config.boot = self.boot;
        let seed = self.dice.on(self.boot).bytes();
        let node = Node::new(
            self.identity.clone(),
            self.verified,
            world.clone(),
            self.config.clone(),
            seed,
        );
        self.node = Some(node);
        for saved in self.disk.values().cloned().collect::<Vec<_>>() {
            self.input(now, Input::Restored(saved));
        }
        self.input(now, Input::LocalAddresses(vec![local]));
        self.advance(now);
    }

    /// Ends the node without a goodbye; the disk stays.
    pub(crate) fn kill(&mut self) {
        self.node = None;
        self.taps.clear();
        self.groups.clear();
        self.pushes.clear();
        self.desk = Desk::default();
        self.wake = None;
    }

    /// A program joins or leaves a group; the node hears of it when it looks.
    pub(crate) fn listen(&mut self, network: NetworkId, group: Mac, joins: bool) {
        let groups = self.groups.entry(network).or_default();
        if joins {
            groups.insert(group);
        } else {
            groups.remove(&group);
        }
    }

    /// A datagram arrives.
    pub(crate) fn rx(&mut self, now: Now, from: SocketAddr, bytes: &mut [u8]) {
        if let Some(node) = &mut self.node {
            node.rx(now, from, bytes, &mut self.desk);
            self.settle(now);
        }
    }

    /// A program on the machine sends a frame. False: there is no such device.
    pub(crate) fn tap(&mut self, now: Now, network: NetworkId, bytes: &[u8]) -> bool {
        if !self.taps.contains_key(&network) {
            return false;
        }
        if let Some(node) = &mut self.node {
            node.tap(now, network, TapFrame::plain(bytes), &mut self.desk);
            self.settle(now);
        }
        true
    }

    /// Anything else happens.
    pub(crate) fn input(&mut self, now: Now, input: Input) {
        if let Some(node) = &mut self.node {
            node.input(now, input, &mut self.desk);
            self.settle(now);
        }
    }

    /// Fires what is due.
    pub(crate) fn advance(&mut self, now: Now) {
        if let Some(node) = &mut self.node {
            node.advance(now, &mut self.desk);
            self.settle(now);
        }
        if let Part::Controller(office) = &mut self.part {
            office.advance(now);
        }
        self.tell(now);
    }

    /// When something is due next.
    pub(crate) fn next_deadline(&self) -> Option<Mono> {
        let node = self.node.as_ref()?.next_deadline();
        let pusher = match &self.part {
            Part::Controller(office) => {
                let pusher = office.pusher.next_deadline();
                Some(pusher.map_or(office.epochs, |at| at.min(office.epochs)))
            }
            Part::Leaf | Part::Supernode(_) => None,
        };
        [node, pusher].into_iter().flatten().min()
    }

    /// Gives a command; its reply is found under the number.
    pub(crate) fn command(&mut self, now: Now, command: Command) -> u64 {
        self.next_command += 1;
        let id = self.next_command;
        self.input(now, Input::Command(CommandId(id), command));
        id
    }

    /// What a person at the controller caused; its members are told.
    pub(crate) fn push(&mut self, now: Now, pushes: Vec<Push>) {
        if let Part::Controller(office) = &mut self.part {
            for push in pushes {
                office.pusher.push(push, now.mono);
            }
        }
        self.tell(now);
    }

    /// Takes what the last calls gave out.
    pub(crate) fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    /// Takes a reply, once it is there.
    pub fn reply(&mut self, id: u64) -> Option<Reply> {
        self.replies.remove(&id)
    }

    /// Its overlay address.
    pub const fn overlay(&self) -> Address {
        self.verified.address()
    }

    /// Its identity, proven.
    pub const fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The device of a network as the node wants it.
    pub fn tap_plan(&self, network: NetworkId) -> Option<&TapPlan> {
        self.taps.get(&network)
    }

    /// What a person could have noticed.
    pub fn events(&self) -> &[(Mono, Event)] {
        &self.events
    }

    /// The node, while it runs.
    pub const fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// Datagrams that the running node has sent.
    pub fn sent(&self) -> u64 {
        let counters = self.node.as_ref().map(Node::counters);
        counters.map_or(0, |counters| counters.count(Count::DatagramsTx))
    }

    /// From now on the frames of the host's devices are kept.
    pub fn keep_frames(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// The frames kept, in the order they came.
    pub fn kept_frames(&mut self) -> Vec<Vec<u8>> {
        self.kept.take().unwrap_or_default()
    }

    /// A frame came out of a device.
    pub(crate) fn delivered(&mut self, frame: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.push(frame.to_vec());
        }
    }

    /// How often it was started.
    pub const fn boot(&self) -> u64 {
        self.boot
    }

    /// The controller's books.
    ///
    /// # Panics
    /// When the host is no controller: the scenario's bug.
    pub fn controller(&self) -> &Controller {
        match &self.part {
            Part::Controller(office) => &office.controller,
            Part::Leaf | Part::Supernode(_) => panic!("this host is no controller"),
        }
    }

    /// Sends what the pusher has to say now.
    fn tell(&mut self, now: Now) {
        loop {
            let Part::Controller(office) = &mut self.part else {
                return;
            };
            let Some(telling) = office.pusher.due(now.mono) else {
                return;
            };
            for message in telling.messages {
                // Numbered before the node sees it: the reply may come at once.
                self.pushes
                    .insert(self.next_command + 1, (telling.network, telling.to));
                self.command(
                    now,
                    Command::Push {
                        to: telling.to,
                        message,
                    },
                );
            }
        }
    }

    /// Carries out effects until none is left; work runs here, at once.
    fn settle(&mut self, now: Now) {
        while let Some(effect) = self.desk.effects.pop_front() {
            match effect {
                Effect::Work(id, work) => self.again(now, Input::WorkDone(id, work.run())),
                Effect::Reply(id, reply) => self.replied(id.0, reply),
                Effect::Tap(network, plan) => {
                    self.taps.insert(network, plan);
                    self.again(now, Input::TapUp(network, format!("zt{}", self.taps.len())));
                    self.tell_groups(now, network);
                }
                Effect::TapDown(network) => drop(self.taps.remove(&network)),
                Effect::Groups(network) => self.tell_groups(now, network),
                Effect::Save(saved) => drop(self.disk.insert(name(&saved), saved)),
                Effect::Unsave(network) => drop(self.disk.remove(&Name::Network(network))),
                // The simulator's links carry datagrams one by one.
                Effect::Trains(..) => {}
                Effect::Host(ticket, request) => self.asked(now, ticket, request),
                Effect::Event(event) => self.events.push((now.mono, event)),
            }
        }
    }

    /// The kernel says what the device listens to.
    fn tell_groups(&mut self, now: Now, network: NetworkId) {
        let groups = self.groups.get(&network).cloned().unwrap_or_default();
        let listening = Listening::Only(groups.into_iter().collect());
        self.again(now, Input::Groups(network, listening));
    }

    fn again(&mut self, now: Now, input: Input) {
        if let Some(node) = &mut self.node {
            node.input(now, input, &mut self.desk);
        }
    }

    fn replied(&mut self, id: u64, reply: Reply) {
        let Some((network, to)) = self.pushes.remove(&id) else {
            self.replies.insert(id, reply);
            return;
        };
        if let (Part::Controller(office), Reply::Failed(_)) = (&mut self.part, reply) {
            office.pusher.unreachable(network, to);
        }
    }

    fn asked(&mut self, now: Now, ticket: Ticket, request: HostRequest) {
        let answer = match (&mut self.part, request) {
            (
                Part::Supernode(registry),
                HostRequest::Claim {
                    identity,
                    key,
                    address,
                    from,
                },
            ) => {
                let claim = registry::Claim {
                    address,
                    key,
                    identity,
                    from,
                };
                HostAnswer::Claim(registry.claim(&claim))
            }
            (Part::Supernode(registry), HostRequest::Whois(address)) => {
                HostAnswer::Identity(registry.whois(address).copied())
            }
            (
                Part::Controller(office),
                HostRequest::Netconf {
                    key,
                    address,
                    endpoint,
                    request,
                    ..
                },
            ) => {
                let endpoint = endpoint.map(|endpoint| endpoint.to_string());
                let who = Who {
                    key,
                    address,
                    endpoint,
                };
                let Ok(outcome) = office.controller.netconf(&who, &request, now.unix) else {
                    return;
                };
                for push in outcome.pushes {
                    office.pusher.push(push, now.mono);
                }
                let answer = outcome.value;
                office.pusher.pulled(answer.network, address, answer.pulled);
                HostAnswer::Netconf(answer.payload)
            }
            (Part::Leaf | Part::Supernode(_) | Part::Controller(_), request) => {
                panic!("a role asked what it has no business with: {request:?}")
            }
        };
        self.desk.answers.push((HOST_ANSWERS_AFTER, ticket, answer));
    }
}

/// A disk's commit, about.
const HOST_ANSWERS_AFTER: Duration = Duration::from_millis(2);

fn name(saved: &Saved) -> Name {
    match saved {
        Saved::World(_) => Name::World,
        Saved::Network(network, _) => Name::Network(*network),
        Saved::Peers(_) => Name::Peers,
    }
}
