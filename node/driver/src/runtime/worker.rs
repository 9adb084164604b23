//! The node's worker: gives sockets, devices, messages and the next deadline their turn and does what the node asks for.
//!
//! Owner: its thread. In: readiness from the kernel, messages. Out: calls of the node, effects carried out.
//! Never: a wait for a lane or for those who serve it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;

use tokio::sync::{broadcast, mpsc, oneshot};
use zt_crypto::{SecretIdentity, Verified, VerifiedWorld};
use zt_engine::counters::CounterGroups;
use zt_engine::interface::{
    Command, CommandId, Effect, Event, HostRequest, Input, Reply, Saved, TapPlan, Ticket,
};
use zt_engine::shard::{Offload, TapFrame};
use zt_engine::{Config, Io, Node, Now};
use zt_wire::NetworkId;

use super::crew::Crew;
use super::handle::{Inbox, Message};
use super::ipx::{Order, Side};
use super::keeper::Keeper;
use super::lane::LaneMessage;
use super::load::Meter;
use super::outside::Outside;
use super::wires::{Links, Plane, ReadyFiles, Token, Wires};
use crate::clock;
use crate::lan::{self, Lan};
use crate::netlink::Netlink;
use crate::pool::Pool;
use crate::tap;

/// The engine with everything it needs to run.
pub struct Worker {
    node: Node,
    start: Start,
    outside: Outside,
    wires: Wires,
    inbox: Inbox,
    crew: Crew,
    meter: Meter,
    asked: HashMap<CommandId, Asker>,
    next_command: u64,
    local: Option<Vec<SocketAddr>>,
    lost_work: u64,
    hands: Hands,
    ending: bool,
}

/// What a node is made of; kept to make another one.
pub struct Start {
    pub identity: SecretIdentity,
    pub verified: Verified,
    pub world: VerifiedWorld,
    pub config: Config,
    pub saved: Vec<Saved>,
    pub ipxnet: BTreeMap<NetworkId, SocketAddr>,
    pub lan: BTreeSet<NetworkId>,
}

/// Who waits for a reply.
enum Asker {
    Reply(oneshot::Sender<Reply>),
    Counters(mpsc::Sender<CounterGroups>),
}

/// Those who do what the worker does not wait for.
pub struct Hands {
    pub pool: Pool,
    pub keeper: Keeper,
    pub netlink: Netlink,
    pub lan: Lan,
    pub requests: mpsc::Sender<(Ticket, HostRequest)>,
    pub events: broadcast::Sender<Event>,
    pub devices: bool,
}

/// The node with where it puts what it seals and opens.
struct Whole<'a> {
    node: &'a mut Node,
    outside: &'a mut Outside,
    moved: &'a mut u64,
}

impl Plane for Whole<'_> {
    fn links(&mut self) -> &mut Links {
        &mut self.outside.links
    }

    fn datagram(&mut self, now: Now, from: SocketAddr, bytes: &mut [u8]) {
        *self.moved += bytes.len() as u64;
        self.node.rx(now, from, bytes, self.outside);
    }

    fn frame(&mut self, now: Now, network: NetworkId, frame: TapFrame<'_>) {
        *self.moved += frame.bytes.len() as u64;
        self.outside.ipx.pass(network, Side::Device, frame.bytes);
        self.node.tap(now, network, frame, self.outside);
    }
}

impl Worker {
    /// A worker ready to run.
    ///
    /// # Errors
    /// The kernel's reason when it gives no queue or timer.
    pub fn new(
        start: Start,
        outside: Outside,
        hands: Hands,
        inbox: Inbox,
        crew: Crew,
    ) -> io::Result<Self> {
        Ok(Self {
            wires: Wires::new(&inbox, &outside.links.batch)?,
            node: start.node(),
            start,
            outside,
            inbox,
            meter: Meter::new(crew.load(0)),
            crew,
            asked: HashMap::new(),
            next_command: 0,
            local: None,
            lost_work: 0,
            hands,
            ending: false,
        })
    }

    /// Runs until told to stop.
    pub fn run(&mut self) {
        self.restore(clock::now());
        let mut ready = ReadyFiles::none();
        while !self.ending {
            if let Err(errno) = self.wires.wait(self.node.next_deadline(), &mut ready) {
                tracing::error!(%errno, "waiting failed");
                break;
            }
            self.round(&ready);
        }
        self.outside.flush();
        self.crew.stop(&self.outside);
    }

    fn round(&mut self, ready: &ReadyFiles) {
        let now = clock::now();
        let mut rung = false;
        for token in ready.each() {
            match token {
                Token::Bell => {
                    self.inbox.hush();
                    rung = true;
                }
                Token::Timer => self.wires.rung(),
                Token::Socket(index) => self.socket(now, index),
                Token::Device(network) => {
                    self.device(now, network);
                    // A lone frame leaves at once, whatever waits at the other files.
                    self.outside.links.batch.flush();
                }
                Token::Other(token) => self.outside.ipx.turn(token),
            }
        }
        if rung {
            self.messages(now);
        }
        if self
            .node
            .next_deadline()
            .is_some_and(|deadline| deadline <= now.mono)
        {
            self.node.advance(now, &mut self.outside);
        }
        self.settle(now);
        self.outside.flush();
        self.refusals(now);
        self.meter.tick(now.mono);
        if let Some(workers) = self.crew.wanted(now.mono) {
            self.spread(now, workers);
        }
    }

    /// Tells the node what its kernel found too large; what it answers leaves at once.
    fn refusals(&mut self, now: Now) {
        for _ in 0..REFUSALS {
            let Some(refused) = self.outside.links.batch.refused() else {
                return;
            };
            let input = Input::Refused {
                to: refused.to,
                size: refused.size,
                datagrams: refused.datagrams,
            };
            self.input(now, input);
            self.outside.flush();
        }
    }

    /// One socket's turn; a relay hears of it when the kernel had to drop some.
    fn socket(&mut self, now: Now, index: usize) {
        let Self {
            node,
            outside,
            wires,
            meter,
            ..
        } = self;
        let moved = &mut meter.moved;
        let full = wires.socket(
            now,
            index,
            &mut Whole {
                node,
                outside,
                moved,
            },
        );
        if full && self.start.config.role.relays() && wires.has_dropped(index) {
            self.node.overloaded();
        }
    }

    /// One device's turn.
    fn device(&mut self, now: Now, network: NetworkId) {
        let Self {
            node,
            outside,
            wires,
            meter,
            ..
        } = self;
        let moved = &mut meter.moved;
        let turn = wires.device(
            now,
            network,
            &mut Whole {
                node,
                outside,
                moved,
            },
        );
        if let Err(reason) = turn {
            self.close(network);
            self.node
                .input(now, Input::TapFailed(network, reason), &mut self.outside);
        }
    }

    /// Lets this many workers share the sessions from now on, and starts those that do not run yet.
    fn spread(&mut self, now: Now, workers: usize) {
        let Self {
            crew,
            node,
            outside,
            ..
        } = self;
        let running = crew.muster(workers, node, outside);
        self.node.spread_over(now, running, &mut self.outside);
        self.settle(now);
        self.outside.flush();
        if running > 1 || self.crew.lanes() > 0 {
            tracing::info!(workers = running, "sessions are shared");
        }
    }

    fn messages(&mut self, now: Now) {
        for _ in 0..super::MESSAGES {
            let Some(message) = self.inbox.next() else {
                return;
            };
            self.message(now, message);
        }
        self.inbox.ring();
    }

    fn message(&mut self, now: Now, message: Message) {
        match message {
            Message::Command(command, answer) => self.command(now, command, Asker::Reply(answer)),
            Message::Counters(answer) => {
                for lane in 1..=self.crew.lanes() {
                    let answer = LaneMessage::Counters(answer.clone());
                    self.outside.tell(lane, answer);
                }
                self.command(now, Command::Counters, Asker::Counters(answer));
            }
            Message::Report(lane, report) => {
                self.node.report(now, lane, *report, &mut self.outside);
                self.settle(now);
            }
            Message::Strays(mut bundle) => bundle.each(|from, bytes| {
                self.node.stray(now, from, bytes, &mut self.outside);
            }),
            Message::Frame(network, bytes) => {
                self.outside.ipx.pass(network, Side::Device, &bytes);
                self.node
                    .tap(now, network, TapFrame::plain(&bytes), &mut self.outside);
            }
            Message::Deliver(network, bytes) => {
                self.outside.deliver(network, TapFrame::plain(&bytes));
            }
            Message::Input(Input::LocalAddresses(local)) => {
                self.local = Some(local.clone());
                self.input(now, Input::LocalAddresses(local));
            }
            Message::Input(input) => self.input(now, input),
            Message::Done(id, done) => self.input(now, Input::WorkDone(id, done)),
            Message::BecomeAnother(who) => self.become_another(now, *who),
            Message::Ipx(order) => self.ipx(order),
            Message::Lan(order) => self.hands.lan.order(order),
            Message::KeepLan(network, on, kept) => self.hands.keeper.save_lan(network, on, kept),
            Message::Stop => self.stop(now),
        }
    }

    fn ipx(&mut self, order: Order) {
        // Whoever asked may have gone meanwhile.
        match order {
            Order::Look(network, answer) => drop(answer.send(self.outside.ipx.look(network))),
            Order::Ping(network, answers, asked) => {
                let _ = asked.send(self.outside.ipx.ping(network, answers));
            }
            Order::Serve(network, wanted, answer) => {
                let served = self.ipxnet(network, wanted);
                if served.is_ok() {
                    self.hands.keeper.save_ipxnet(network, wanted);
                }
                drop(answer.send(served));
            }
        }
    }

    fn ipxnet(&mut self, network: NetworkId, wanted: Option<SocketAddr>) -> io::Result<()> {
        let token = self.outside.ipx.serve(network, wanted)?;
        if let (Some(token), Some(file)) = (token, self.outside.ipx.file(network)) {
            self.wires.watch_as(token, file)?;
        }
        Ok(())
    }

    /// Places the frames that IPX clients sent and that answer pings.
    fn place(&mut self, now: Now) {
        while let Some(placed) = self.outside.ipx.next_frame() {
            let frame = TapFrame {
                bytes: &placed.bytes,
                offload: Offload::None,
            };
            if placed.side != Side::Device {
                self.node.tap(now, placed.network, frame, &mut self.outside);
            }
            if placed.side != Side::Overlay {
                self.outside.links.taps.deliver(placed.network, frame);
            }
        }
    }

    fn command(&mut self, now: Now, command: Command, asker: Asker) {
        let id = CommandId(self.next_command);
        self.next_command += 1;
        self.asked.insert(id, asker);
        self.input(now, Input::Command(id, command));
    }

    fn input(&mut self, now: Now, input: Input) {
        self.node.input(now, input, &mut self.outside);
        self.settle(now);
    }

    /// Carries out what the node asked for, and what that causes.
    fn settle(&mut self, now: Now) {
        self.place(now);
        while let Some(effect) = self.outside.next_effect() {
            match effect {
                Effect::Work(id, work) => {
                    if !self.hands.pool.submit(id, work) {
                        self.lost_work += 1;
                    }
                }
                Effect::Reply(id, reply) => {
                    if let Some(asker) = self.asked.remove(&id) {
                        self.reply(asker, reply);
                    }
                }
                Effect::Tap(network, plan) => self.plan(now, network, plan),
                Effect::TapDown(network) => self.close(network),
                Effect::Groups(network) => self.hands.netlink.listen(network),
                Effect::Save(saved) => self.hands.keeper.save(saved),
                Effect::Unsave(network) => {
                    self.outside.ipx.forget(network);
                    self.hands.lan.order(lan::Order::Forget(network));
                    self.hands.keeper.unsave(network);
                }
                Effect::Trains(to, may) => {
                    self.outside.links.batch.trains(to, may);
                    for lane in 1..=self.crew.lanes() {
                        self.outside.tell(lane, LaneMessage::Trains(to, may));
                    }
                }
                Effect::Host(ticket, request) => {
                    if self.hands.requests.try_send((ticket, request)).is_err() {
                        tracing::debug!("a host request finds nobody to answer");
                    }
                }
                Effect::Event(event) => {
                    super::events::log(&event);
                    if let Event::LoopFound(network, _) | Event::LoopGone(network, _) = &event {
                        self.hands.netlink.relearn(*network);
                    }
                    // Nobody may be listening.
                    let _ = self.hands.events.send(event);
                }
            }
        }
    }

    fn plan(&mut self, now: Now, network: NetworkId, plan: TapPlan) {
        if !self.hands.devices {
            let why = "this program makes no devices".to_owned();
            return self
                .node
                .input(now, Input::TapFailed(network, why), &mut self.outside);
        }
        match self.open(network, &plan) {
            Ok(name) => self.hands.netlink.shape(network, name, plan),
            Err(why) => self
                .node
                .input(now, Input::TapFailed(network, why), &mut self.outside),
        }
    }

    fn open(&mut self, network: NetworkId, plan: &TapPlan) -> Result<String, String> {
        let taps = &mut self.outside.links.taps;
        let fresh = taps
            .open(network, plan.mac)
            .map_err(|error| error.to_string())?;
        if fresh && let Some(file) = taps.file(network) {
            self.wires
                .watch(network, file)
                .map_err(|error| error.to_string())?;
            self.crew.queues(network, &self.outside);
        }
        self.outside.ipx.up(network, plan.mac, plan.bridge);
        Ok(tap::name(network))
    }

    fn close(&mut self, network: NetworkId) {
        self.outside.ipx.down(network);
        for lane in 1..=self.crew.lanes() {
            self.outside.tell(lane, LaneMessage::Close(network));
        }
        if self.outside.links.taps.close(network).is_some() {
            // The kernel takes a closed file out of the epoll set by itself.
            self.hands.netlink.forget(network);
        }
    }

    fn restore(&mut self, now: Now) {
        for saved in std::mem::take(&mut self.start.saved) {
            self.input(now, Input::Restored(saved));
        }
        self.spread(now, self.crew.first());
        for network in std::mem::take(&mut self.start.lan) {
            // The log and `doctor lan` say what became of it.
            let (answer, _) = oneshot::channel();
            let order = lan::Order::Set(network, true, answer);
            self.hands.lan.order(order);
        }
        for (network, address) in std::mem::take(&mut self.start.ipxnet) {
            if let Err(error) = self.ipxnet(network, Some(address)) {
                tracing::error!(%network, %address, %error, "ipxnet is not served");
                self.outside.ipx.failed(network, address, &error);
            }
        }
        self.node.advance(now, &mut self.outside);
        self.settle(now);
        self.outside.flush();
    }

    fn become_another(&mut self, now: Now, (identity, verified): (SecretIdentity, Verified)) {
        self.start.identity = identity;
        self.start.verified = verified;
        self.node = self.start.node();
        let workers = self.crew.become_lanes_of(&mut self.node, &self.outside);
        self.node.spread_over(now, workers, &mut self.outside);
        if let Some(local) = self.local.clone() {
            self.input(now, Input::LocalAddresses(local));
        }
        self.node.advance(now, &mut self.outside);
        self.settle(now);
    }

    fn stop(&mut self, now: Now) {
        let (answer, _) = oneshot::channel();
        self.command(now, Command::Shutdown, Asker::Reply(answer));
        self.ending = true;
    }

    /// Gives a reply to the one who asked; it may have gone meanwhile.
    fn reply(&self, asker: Asker, reply: Reply) {
        match (asker, reply) {
            (Asker::Reply(answer), reply) => drop(answer.send(reply)),
            (Asker::Counters(answer), Reply::Counters(counters)) => {
                drop(answer.try_send(self.with_ours(counters.groups())));
            }
            // Only a stopping node answers otherwise; the asker then hears that nobody will.
            (Asker::Counters(_), _) => {}
        }
    }

    /// Adds what was lost between the engine and the kernel.
    fn with_ours(&self, mut groups: CounterGroups) -> CounterGroups {
        let drops = groups.entry("drops").or_default();
        self.outside.links.lost(drops);
        drops.insert("worker-queue-full", self.outside.lost_strays());
        drops.insert("work-queue-full", self.lost_work);
        drops.extend(self.outside.ipx.refused());
        groups
    }
}

impl Start {
    fn node(&self) -> Node {
        let mut seed = [0; 32];
        // Without randomness there are no keys; the kernel gives it once it has started.
        getrandom::fill(&mut seed).expect("the kernel gives randomness to a running program");
        Node::new(
            self.identity.clone(),
            self.verified,
            self.world.clone(),
            self.config.clone(),
            seed,
        )
    }
}

/// Destinations with datagrams too large of one round: a search ends after eight.
const REFUSALS: usize = 64;
