//! The worker: waits for sockets, devices, messages and the next deadline, and gives all of them their turn.
//!
//! Owner: its thread. In: readiness from the kernel, messages. Out: calls of the node, effects carried out.
//! Never: a busy device that starves the sockets, or the other way round; a sleep while something is to be done.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event as Ready, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::sync::{broadcast, mpsc, oneshot};
use zt_crypto::{SecretIdentity, Verified, VerifiedWorld};
use zt_engine::counters::CounterGroups;
use zt_engine::interface::{
    Command, CommandId, Effect, Event, HostRequest, Input, Reply, Saved, TapPlan, Ticket,
};
use zt_engine::shard::{Offload, TapFrame};
use zt_engine::{Config, Mono, Node, Now};
use zt_wire::NetworkId;

use super::handle::{Inbox, Message};
use super::ipx::{Ipx, Order, Side};
use super::keeper::Keeper;
use super::outside::Outside;
use crate::clock;
use crate::lan::{self, Lan};
use crate::netlink::Netlink;
use crate::pool::Pool;
use crate::tap::{self, Read};
use crate::udp::{self, Receiver};

/// The engine with everything it needs to run.
pub struct Worker {
    node: Node,
    start: Start,
    outside: Outside,
    ports: Vec<OwnedFd>,
    dropped: Vec<u32>,
    receiver: Receiver,
    frame: Vec<u8>,
    inbox: Inbox,
    epoll: OwnedFd,
    timer: OwnedFd,
    armed: Option<Mono>,
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
    Counters(oneshot::Sender<CounterGroups>),
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

impl Worker {
    /// A worker ready to run.
    ///
    /// # Errors
    /// The kernel's reason when it gives no queue or timer.
    pub fn new(start: Start, outside: Outside, hands: Hands, inbox: Inbox) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Boottime,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        epoll::add(&epoll, &inbox, EventData::new_u64(BELL), EventFlags::IN)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        // The batch keeps the sockets to send; receiving has its own files of the same sockets.
        let ports: Vec<OwnedFd> = outside
            .batch
            .sockets()
            .ports()
            .iter()
            .map(|port| port.as_fd().try_clone_to_owned())
            .collect::<io::Result<_>>()?;
        for (token, port) in (SOCKETS..).zip(&ports) {
            epoll::add(&epoll, port, EventData::new_u64(token), EventFlags::IN)?;
        }
        Ok(Self {
            node: start.node(),
            start,
            outside,
            dropped: vec![0; ports.len()],
            ports,
            receiver: Receiver::new(),
            frame: vec![0; tap::LARGEST_READ],
            inbox,
            epoll,
            timer,
            armed: None,
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
        let mut ready = [Ready {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        }; READY];
        while !self.ending {
            self.arm();
            let count = match epoll::wait(&self.epoll, &mut ready, None) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(errno) => {
                    tracing::error!(%errno, "waiting failed");
                    break;
                }
            };
            self.round(&ready[..count]);
        }
        self.outside.flush();
    }

    fn round(&mut self, ready: &[Ready]) {
        let now = clock::now();
        for event in ready {
            match event.data.u64() {
                BELL => self.inbox.hush(),
                TIMER => self.armed = None,
                token if Ipx::is_server(token) => self.outside.ipx.turn(token),
                token => match NetworkId::from_bytes(token.to_be_bytes()) {
                    Ok(network) => {
                        self.tap(now, network);
                        // A lone frame leaves at once, whatever waits at the other files.
                        self.outside.batch.flush();
                    }
                    Err(_) => {
                        self.socket(now, usize::try_from(token - SOCKETS).unwrap_or(usize::MAX));
                    }
                },
            }
        }
        self.messages(now);
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
    }

    /// Tells the node what its kernel found too large; what it answers leaves at once.
    fn refusals(&mut self, now: Now) {
        for _ in 0..REFUSALS {
            let Some(refused) = self.outside.batch.refused() else {
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

    /// One socket's turn.
    fn socket(&mut self, now: Now, index: usize) {
        let Self {
            node,
            outside,
            receiver,
            ports,
            ..
        } = self;
        let Some(port) = ports.get(index) else { return };
        let mut bytes = 0;
        while bytes < TURN {
            outside.taps.expect(receiver.buffer());
            let batch = receiver.batch(port.as_fd(), |from, bytes| {
                outside.batch.sockets_mut().note(from, index);
                node.rx(now, from, bytes, outside);
            });
            outside.taps.flush_from(receiver.buffer());
            if !batch.more {
                return;
            }
            bytes += batch.bytes.max(LEAST);
        }
        self.look_for_drops(index);
    }

    /// More came than one turn could read: a relay hears of it when the kernel had to drop some.
    fn look_for_drops(&mut self, index: usize) {
        if self.start.config.role.relays()
            && let Some(dropped) = udp::dropped(self.ports[index].as_fd())
            && std::mem::replace(&mut self.dropped[index], dropped) != dropped
        {
            self.node.overloaded();
        }
    }

    /// One device's turn.
    fn tap(&mut self, now: Now, network: NetworkId) {
        let mut bytes = 0;
        while bytes < TURN {
            let Some(tap) = self.outside.taps.get(network) else {
                return;
            };
            match tap.read(&mut self.frame) {
                Read::Frame(place, offload) => {
                    bytes += place.len().max(LEAST);
                    let bytes = &self.frame[place];
                    self.outside.ipx.pass(network, Side::Device, bytes);
                    let frame = TapFrame { bytes, offload };
                    self.node.tap(now, network, frame, &mut self.outside);
                }
                Read::Odd => bytes += LEAST,
                Read::Empty => return,
                Read::Gone(reason) => {
                    self.close(network);
                    self.node
                        .input(now, Input::TapFailed(network, reason), &mut self.outside);
                    return;
                }
            }
        }
    }

    fn messages(&mut self, now: Now) {
        for _ in 0..MESSAGES {
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
                self.command(now, Command::Counters, Asker::Counters(answer));
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
            epoll::add(&self.epoll, file, EventData::new_u64(token), EventFlags::IN)?;
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
                self.outside.taps.deliver(placed.network, frame);
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
                Effect::Trains(to, may) => self.outside.batch.trains(to, may),
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
        let fresh = self
            .outside
            .taps
            .open(network, plan.mac)
            .map_err(|error| error.to_string())?;
        if fresh && let Some(file) = self.outside.taps.file(network) {
            let token = EventData::new_u64(u64::from_be_bytes(network.to_bytes()));
            epoll::add(&self.epoll, file, token, EventFlags::IN)
                .map_err(|errno| errno.to_string())?;
        }
        self.outside.ipx.up(network, plan.mac, plan.bridge);
        Ok(tap::name(network))
    }

    fn close(&mut self, network: NetworkId) {
        self.outside.ipx.down(network);
        if self.outside.taps.close(network).is_some() {
            // The kernel takes a closed file out of the epoll set by itself.
            self.hands.netlink.forget(network);
        }
    }

    fn restore(&mut self, now: Now) {
        for saved in std::mem::take(&mut self.start.saved) {
            self.input(now, Input::Restored(saved));
        }
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
                drop(answer.send(self.with_ours(counters.groups())));
            }
            // Only a stopping node answers otherwise; the asker then hears that nobody will.
            (Asker::Counters(_), _) => {}
        }
    }

    /// Adds what was lost between the engine and the kernel.
    fn with_ours(&self, mut groups: CounterGroups) -> CounterGroups {
        let lost = self.outside.batch.lost();
        let (refused, without) = self.outside.taps.lost();
        let drops = groups.entry("drops").or_default();
        drops.insert("socket-full", lost.full);
        drops.insert("unreachable", lost.unreachable);
        drops.insert("no-socket-of-family", lost.family);
        drops.insert("device-refused", refused);
        drops.insert("no-device", without);
        drops.insert("work-queue-full", self.lost_work);
        drops.extend(self.outside.ipx.refused());
        groups
    }

    /// Sets the timer to the next deadline, if it is not set to it.
    fn arm(&mut self) {
        let deadline = self.node.next_deadline();
        if deadline == self.armed {
            return;
        }
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // A timer set to zero is off, so a deadline at the clock's very start is moved by a nanosecond.
        let value = deadline.map_or(zero, |moment| {
            clock::timespec(moment.max(Mono::from_nanos(1)))
        });
        let wanted = Itimerspec {
            it_interval: zero,
            it_value: value,
        };
        match rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &wanted) {
            Ok(_) => self.armed = deadline,
            Err(errno) => tracing::error!(%errno, "the timer is not set"),
        }
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

/// Marks in the epoll set. A network's mark is its id, which is never below 2^24 because no address is zero.
const BELL: u64 = 0;
const TIMER: u64 = 1;
/// The first socket; the others follow.
const SOCKETS: u64 = 2;
/// Marks taken from the kernel at once.
const READY: usize = 32;
/// Bytes of one turn of a socket or a device, about 0.3 ms of work: nobody waits longer for a busy neighbour.
const TURN: usize = 256 << 10;
/// What a frame or an empty batch counts at least: calls cost time, too. 64 frames are a turn.
const LEAST: usize = 4 << 10;
/// Destinations with datagrams too large of one round: a search ends after eight.
const REFUSALS: usize = 64;
/// Messages of one round.
const MESSAGES: usize = 256;
