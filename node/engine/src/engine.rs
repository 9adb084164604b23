//! The control plane of a node: who is who, which sessions, which paths, what is asked and answered.
//!
//! Owner: `Node`. In: inputs, punts and notes of the shard, the present. Out: everything it causes, in the outbox.
//! Never: a frame's content, a key of a session after the shard has it, a walk over all peers for one datagram.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::vec::Vec;

use zt_crypto::{Hello, SecretIdentity, Suites, Verified, VerifiedWorld, suites};
use zt_wire::{Address, Identity, KeyId, NetworkId};

use crate::chance::Chance;
use crate::commands::Commands;
use crate::config::Config;
use crate::counters::{Counters, DropReason};
use crate::deadlines::{Deadlines, Timer};
use crate::handshakes::{Admission, Handshakes};
use crate::held::Held;
use crate::interface::{
    Effect, Event, HostAnswer, HostRequest, Input, PeerRole, Saved, Ticket, WorkId,
};
use crate::limits;
use crate::networks::{Actions, Networks};
use crate::outbox::{Out, Outbox};
use crate::paths::Reflections;
use crate::peers::Peers;
use crate::proving::{Brought, Proving};
use crate::questions::Questions;
use crate::registry::Registry;
use crate::selftest::Selftests;
use crate::shard::{Note, Path, PeerHandle, Punt, Shown, TapFrame};
use crate::supernodes::Supernodes;
use crate::time::{Mono, Now};
use crate::whois::Whois;
use crate::work::{Done, Work};

/// The control plane of one node.
pub struct Engine {
    pub(crate) secret: Arc<SecretIdentity>,
    pub(crate) me: Verified,
    pub(crate) world: VerifiedWorld,
    pub(crate) config: Config,
    pub(crate) chance: Chance,
    pub(crate) deadlines: Deadlines,
    pub(crate) peers: Peers,
    pub(crate) handshakes: Handshakes,
    pub(crate) reflections: Reflections,
    pub(crate) local: Vec<core::net::SocketAddr>,
    pub(crate) whois: Whois,
    pub(crate) outgoing: BTreeMap<Address, VecDeque<Vec<u8>>>,
    pub(crate) supernodes: Supernodes,
    pub(crate) registry: Registry,
    pub(crate) networks: Networks,
    pub(crate) actions: Actions,
    pub(crate) held: Held,
    pub(crate) questions: Questions,
    pub(crate) proving: Proving,
    pub(crate) commands: Commands,
    pub(crate) selftests: Selftests,
    pub(crate) counters: Counters,
    pub(crate) saved_peers: Vec<u8>,
    work: BTreeMap<WorkId, Purpose>,
    next_work: u64,
    tickets: BTreeMap<Ticket, Asked>,
    next_ticket: u64,
    /// Workers that take new sessions.
    pub(crate) workers: usize,
}

/// Why a piece of work was begun.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// Our first message to a peer, under this index.
    Initiate(PeerHandle, u32),
    /// Our answer to a first message.
    Respond(Admission),
    /// The proof of work of an initiator that is new to us.
    Admit(Box<(Admission, zt_crypto::Responded)>),
    /// The end of our handshake with a peer, under this index.
    Finish(PeerHandle, u32),
    /// An identity that a supernode told for an address.
    Whois(Address),
    /// A claim that a sibling passed on.
    PassedOn(Identity),
    /// A peer of an earlier run.
    Saved(Vec<core::net::SocketAddr>),
    /// What a message of this peer claims.
    Prove(PeerHandle),
    /// A world that may follow the one of this serial.
    Follow(Brought, u64),
}

/// Why the host program was asked.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// A peer claims its address; the identity goes on to the siblings.
    Claim(PeerHandle),
    /// A claim that a sibling passed on.
    PassedOn,
    /// A peer wants to know who has an address.
    Whois(PeerHandle, Address),
    /// A member asks for its configuration.
    Netconf(PeerHandle),
}

impl Engine {
    /// A control plane; it does nothing before its first call.
    pub fn new(
        secret: SecretIdentity,
        me: Verified,
        world: VerifiedWorld,
        config: Config,
        seed: [u8; 32],
    ) -> Self {
        let mut chance = Chance::new(seed);
        let handshakes = Handshakes::new(chance.bytes());
        let networks = Networks::new(me.address(), me.key(), chance.bytes());
        let mut engine = Self {
            secret: Arc::new(secret),
            me,
            world,
            config,
            chance,
            deadlines: Deadlines::default(),
            peers: Peers::default(),
            handshakes,
            reflections: Reflections::default(),
            local: Vec::new(),
            whois: Whois::default(),
            outgoing: BTreeMap::new(),
            supernodes: Supernodes::default(),
            registry: Registry::default(),
            networks,
            actions: Actions::new(),
            held: Held::default(),
            questions: Questions::default(),
            proving: Proving::default(),
            commands: Commands::default(),
            selftests: Selftests::default(),
            counters: Counters::default(),
            saved_peers: Vec::new(),
            work: BTreeMap::new(),
            next_work: 0,
            tickets: BTreeMap::new(),
            next_ticket: 0,
            workers: 1,
        };
        engine.deadlines.set(Timer::World, Mono::ZERO);
        engine
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outbox) {
        match input {
            Input::Command(id, command) => self.command(now, id, command, out),
            Input::WorkDone(id, done) => self.work_done(now, id, done, out),
            Input::LocalAddresses(addresses) => self.moved(now, addresses, out),
            Input::TapUp(network, name) => {
                self.networks.tap_up(now, network, &name, &mut self.actions);
            }
            Input::TapFailed(network, why) => {
                self.networks
                    .tap_failed(now, network, &why, &mut self.actions);
            }
            Input::Refused {
                to,
                size,
                datagrams,
            } => self.refused(now, (to, size, datagrams), out),
            Input::Groups(network, listening) => {
                self.networks
                    .listens(now, network, listening, &mut self.actions);
            }
            Input::HostAnswer(ticket, answer) => self.host_answer(now, ticket, answer, out),
            Input::Restored(saved) => self.restored(now, saved, out),
        }
        self.act(now, out);
    }

    /// Fires every deadline up to now.
    pub fn advance(&mut self, now: Now, out: &mut Outbox) {
        while let Some(timer) = self.deadlines.due(now.mono) {
            self.fire(now, timer, out);
            self.act(now, out);
        }
        if self
            .networks
            .next_deadline()
            .is_some_and(|at| at <= now.mono)
        {
            self.networks.advance(now, &mut self.actions);
            self.act(now, out);
        }
    }

    /// The next deadline and its reason.
    pub fn next_deadline(&self) -> Option<(Mono, Timer)> {
        let networks = self
            .networks
            .next_deadline()
            .map(|at| (at, Timer::Networks));
        match (self.deadlines.next(), networks) {
            (Some(own), Some(theirs)) => Some(own.min(theirs)),
            (own, theirs) => own.or(theirs),
        }
    }

    /// Takes what the shard does not decide.
    pub fn punt(&mut self, now: Now, punt: &Punt<'_>, out: &mut Outbox) {
        match *punt {
            Punt::Handshake { from, datagram } => self.handshake(now, from, datagram, out),
            Punt::Control {
                peer,
                session: _,
                from,
                messages,
            } => self.control(now, peer, from, messages, out),
        }
        self.act(now, out);
    }

    /// Takes a fact the shard noticed.
    pub fn note(&mut self, now: Now, note: Note, out: &mut Outbox) {
        match note {
            Note::Confirmed {
                peer,
                session,
                from,
            } => self.confirmed(now, peer, session, from, out),
            Note::Heard { peer, from } => self.heard(now, peer, from, out),
            Note::Waiting { peer } => Self::waiting(peer, out),
            Note::Wide {
                peer,
                widest,
                bytes,
            } => self.wide(now, peer, crate::paths::Wide { widest, bytes }, out),
            Note::RekeyDue { peer } => self.rekey_due(now, peer, out),
            Note::Unready { network, address } => {
                self.networks
                    .unready(now, network, address, &mut self.actions);
            }
            Note::Uncertified { peer, network } => {
                if let Some(who) = self.label(peer) {
                    self.networks
                        .uncertified(now, who, network, &mut self.actions);
                }
            }
            Note::Bridging { network } => {
                self.networks.bridging(now, network, &mut self.actions);
            }
            Note::LoopProbe {
                network,
                member,
                token,
            } => {
                let probe = (member, token);
                self.networks
                    .probe_heard(now, network, probe, &mut self.actions);
            }
            Note::Tunnel { network, to } => self.tunnel(now, network, to, out),
            Note::Trouble {
                network,
                member,
                trouble,
            } => {
                let member = member.unwrap_or_else(|| self.me.address());
                out.event(Event::Trouble(network, member, trouble));
            }
            // `Node` shows the frame, and tells the other workers of stations.
            Note::Shown(_) | Note::Station { .. } => {}
            Note::Unshared { network } => {
                self.networks.unshared(now, network, &mut self.actions);
            }
            Note::Relayed { from, to } => self.introduce(now, from, to, out),
            Note::NoRoute { from, to } => self.no_route(from, to, out),
        }
        self.act(now, out);
    }

    /// Takes a frame of a device that a note spoke of.
    pub fn shown(
        &mut self,
        now: Now,
        (network, what): (NetworkId, Shown),
        frame: &TapFrame<'_>,
        out: &mut Outbox,
    ) {
        match what {
            Shown::Membership => {
                self.networks
                    .membership(now, network, frame.bytes, &mut self.actions);
                self.act(now, out);
            }
            Shown::Question => self.questions.keep(now.mono, network, frame),
        }
    }

    /// What the engine itself counted; the shard's counters are the other part.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Who this node is.
    pub const fn me(&self) -> &Verified {
        &self.me
    }

    /// The world in use.
    pub const fn world(&self) -> &VerifiedWorld {
        &self.world
    }

    /// Whether a control message of this peer is being checked: what it sends meanwhile waits.
    pub fn is_proving(&self, peer: PeerHandle) -> bool {
        self.proving.is_busy(peer)
    }

    /// The handles of all peers.
    pub fn handles(&self) -> Vec<PeerHandle> {
        self.peers.handles()
    }

    /// Counts a message of the engine's that could not be sent.
    pub const fn count_drop(&mut self, reason: DropReason) {
        self.counters.drop(reason);
    }

    /// Counts a drop.
    pub(crate) const fn drop(&mut self, reason: DropReason) {
        self.counters.drop(reason);
    }

    /// Whether more work may be begun.
    pub(crate) fn has_room_for_work(&self) -> bool {
        self.work.len() < limits::WORK_OPEN
    }

    /// Begins a piece of work; false, and counted, when too much is open.
    pub(crate) fn work(&mut self, purpose: Purpose, work: Work, out: &mut Outbox) -> bool {
        if !self.has_room_for_work() {
            self.drop(DropReason::WorkFull);
            return false;
        }
        let id = WorkId(self.next_work);
        self.next_work += 1;
        self.work.insert(id, purpose);
        out.effect(Effect::Work(id, work));
        true
    }

    /// Has an identity's proof of work checked.
    pub(crate) fn verify(
        &mut self,
        identity: Identity,
        purpose: Purpose,
        out: &mut Outbox,
    ) -> bool {
        let params = self.world.params();
        self.work(purpose, Work::Verify { identity, params }, out)
    }

    /// Asks the host program; false, and counted, when too many questions are open.
    pub(crate) fn ask_host(
        &mut self,
        asked: Asked,
        request: HostRequest,
        out: &mut Outbox,
    ) -> bool {
        if self.tickets.len() >= limits::TICKETS {
            self.drop(DropReason::WorkFull);
            return false;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, asked);
        out.effect(Effect::Host(ticket, request));
        true
    }

    /// What we say of ourselves in a handshake.
    pub(crate) fn hello(&self, index: u32) -> Hello {
        let suites = match self.config.aes {
            None => suites::ours(),
            Some(true) => Suites::ALL,
            Some(false) => Suites::LEAST,
        };
        Hello {
            suites,
            boot: self.config.boot,
            index,
        }
    }

    /// A peer's address and key.
    pub(crate) fn label(&self, peer: PeerHandle) -> Option<(Address, KeyId)> {
        self.peers
            .get(peer)
            .map(|peer| (peer.address(), peer.key()))
    }

    /// What a key is in this world.
    pub(crate) fn role_of(&self, who: &Verified) -> PeerRole {
        if self.supernodes.is(&who.key()) {
            PeerRole::Supernode
        } else {
            PeerRole::Leaf
        }
    }

    fn fire(&mut self, now: Now, timer: Timer, out: &mut Outbox) {
        match timer {
            Timer::Handshake(peer) => self.handshake_again(now, peer, out),
            Timer::Probe(peer) => self.probe_due(now, peer, out),
            Timer::Check(peer) => self.check_unanswered(now, peer, out),
            Timer::Tend(peer) => out.push(Out::Ask(peer)),
            Timer::Mtu(peer) => self.mtu_due(now, peer, out),
            Timer::Canary(peer) => self.canary_due(now, peer, out),
            Timer::Attach(key) => self.attach(now, key, out),
            Timer::Claim(peer) => self.claim(now, peer, out),
            Timer::Whois(address) => self.whois_again(now, address, out),
            Timer::Sibling(address) => self.siblings_silent(address, out),
            Timer::Command(id) => self.command_overdue(id, out),
            Timer::SelftestSends => self.selftest_sends(now, out),
            Timer::SelftestHears => self.selftest_hears(out),
            Timer::Parts => {
                self.handshakes.parts.expire(now.mono);
                self.plan_parts();
            }
            Timer::Held => self.expire_held(now, out),
            Timer::SavePeers => self.save_peers(out),
            Timer::World => self.enter_world(now, out),
            Timer::Networks => self.networks.advance(now, &mut self.actions),
        }
    }

    fn work_done(&mut self, now: Now, id: WorkId, done: Done, out: &mut Outbox) {
        let Some(purpose) = self.work.remove(&id) else {
            return;
        };
        match (purpose, done) {
            (Purpose::Initiate(peer, index), Done::Initiated(result)) => {
                self.initiated(now, peer, index, result, out);
            }
            (Purpose::Respond(admission), Done::Responded(result)) => {
                self.responded(now, admission, result, out);
            }
            (Purpose::Admit(waiting), Done::Verified(who)) => {
                self.admitted(now, *waiting, who.as_deref(), out);
            }
            (Purpose::Finish(peer, index), Done::Finished(result)) => {
                self.finished(now, peer, index, result, out);
            }
            (Purpose::Whois(address), Done::Verified(who)) => {
                self.whois_verified(now, address, who.as_deref(), out);
            }
            (Purpose::PassedOn(identity), Done::Verified(who)) => {
                self.passed_on_verified(&identity, who.as_deref(), out);
            }
            (Purpose::Saved(endpoints), Done::Verified(who)) => {
                self.saved_verified(now, &endpoints, who.as_deref(), out);
            }
            (Purpose::Prove(peer), Done::Proven(proofs)) => self.proven(now, peer, proofs, out),
            (Purpose::Follow(brought, base), Done::Followed(found)) => {
                self.followed(now, (brought, base), found, out);
            }
            // The pool gives back what it was given; anything else is the caller's bug and changes nothing.
            (
                _,
                Done::Verified(_)
                | Done::Initiated(_)
                | Done::Responded(_)
                | Done::Finished(_)
                | Done::Proven(_)
                | Done::Followed(_),
            ) => {
                debug_assert!(false, "work came back as another kind");
            }
        }
    }

    fn host_answer(&mut self, now: Now, ticket: Ticket, answer: HostAnswer, out: &mut Outbox) {
        let Some(asked) = self.tickets.remove(&ticket) else {
            return;
        };
        match (asked, answer) {
            (Asked::Claim(peer), HostAnswer::Claim(result)) => {
                self.claim_decided(peer, result, out);
            }
            (Asked::Whois(peer, address), HostAnswer::Identity(identity)) => {
                self.whois_answered_by_host(now, peer, address, identity, out);
            }
            (Asked::Netconf(peer), HostAnswer::Netconf(payload)) => {
                self.netconf_decided(now, peer, &payload, out);
            }
            (Asked::Claim(_) | Asked::PassedOn | Asked::Whois(..) | Asked::Netconf(_), _) => {}
        }
    }

    fn restored(&mut self, now: Now, saved: Saved, out: &mut Outbox) {
        match saved {
            Saved::World(bytes) => {
                // One that the program was started with may be newer by now.
                let _ = self.follow(Brought::Saved, bytes, out);
            }
            Saved::Network(network, bytes) => {
                self.networks
                    .restored(now, network, &bytes, &mut self.actions);
            }
            Saved::Peers(bytes) => self.restore_peers(&bytes, out),
        }
    }

    /// Opens a control body message by message.
    fn control(
        &mut self,
        now: Now,
        peer: PeerHandle,
        from: Path,
        messages: &[u8],
        out: &mut Outbox,
    ) {
        for message in zt_wire::message::Body::new(messages) {
            match message {
                Ok(message) => self.came(now, peer, (from, messages.len()), &message, out),
                Err(zt_wire::Malformed::Type(_)) => self.drop(DropReason::UnknownMessage),
                Err(_) => self.drop(DropReason::Malformed),
            }
        }
    }
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Engine({})", self.me.address())
    }
}
