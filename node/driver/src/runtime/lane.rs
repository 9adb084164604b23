//! One more worker: its own socket in each group, its own queue of each device, a lane of the node.
//!
//! Owner: its thread. In: readiness, orders of the node. Out: datagrams and frames; reports to the node's worker.
//! Never: a wait for another worker; a frame handed over by itself where it can be handled here.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use zt_engine::counters::CounterGroups;
use zt_engine::interface::Input;
use zt_engine::lane::{Order, Report};
use zt_engine::shard::{Offload, Path, SendBuf, TapFrame};
use zt_engine::{Lane, LaneIo, Now};
use zt_ipx::Framing;
use zt_wire::NetworkId;

use super::handle::{Inbox, Message, Post, Sender};
use super::load::{Load, Meter};
use super::strays::{BUNDLES, Bundle, Strays};
use super::wires::{Links, Plane, ReadyFiles, Token, Wires};
use crate::clock;
use crate::tap::Tap;

/// What a lane is told.
#[derive(Debug)]
pub enum LaneMessage {
    /// By the node.
    Order(Box<Order>),
    /// Open these.
    Strays(Bundle),
    /// Whether datagrams to an endpoint may leave in trains.
    Trains(SocketAddr, bool),
    /// Its queue of a network's device.
    Open(NetworkId, Box<Tap>),
    /// A network's device is gone.
    Close(NetworkId),
    /// Whether the kernel is to give it frames.
    Attach(bool),
    /// What was counted here?
    Counters(mpsc::Sender<CounterGroups>),
    /// Go on as a lane of another node.
    Become(Box<Lane>),
    /// The end.
    Stop,
}

/// Everything that a lane begins with.
pub struct LaneStart {
    /// Its number; the node's worker is 0.
    pub number: usize,
    /// Its part of the node.
    pub lane: Lane,
    /// Its sockets; no device yet.
    pub links: Links,
    /// What it hears.
    pub inbox: Inbox<LaneMessage>,
    /// The node's worker.
    pub node: Sender,
    /// All lanes, in order, from number 1 on.
    pub lanes: Arc<[Post<LaneMessage>]>,
    /// What it has done, for all to see.
    pub load: Arc<Load>,
    /// Whether it relays.
    pub relays: bool,
}

impl LaneStart {
    /// Starts its thread.
    ///
    /// # Errors
    /// The kernel's reason when it gives no thread, queue or timer.
    pub fn spawn(self) -> io::Result<JoinHandle<()>> {
        let wires = Wires::new(&self.inbox, &self.links.batch)?;
        let core = Core {
            lane: self.lane,
            inbox: self.inbox,
            meter: Meter::new(self.load),
            fresh: Vec::new(),
            ending: false,
            out: LaneOut {
                links: self.links,
                number: self.number,
                node: self.node,
                lanes: self.lanes,
                strays: Strays::default(),
                lost: 0,
            },
        };
        let relays = self.relays;
        let mut worker = LaneWorker { wires, core };
        std::thread::Builder::new()
            .name(format!("zt-worker-{}", self.number))
            .stack_size(super::STACK)
            .spawn(move || worker.run(relays))
    }
}

struct LaneWorker {
    wires: Wires,
    core: Core,
}

/// A lane with what it hears and gives out.
struct Core {
    lane: Lane,
    out: LaneOut,
    inbox: Inbox<LaneMessage>,
    meter: Meter,
    /// Queues that the wires do not watch yet.
    fresh: Vec<(NetworkId, Tap)>,
    ending: bool,
}

/// What a lane gives out.
struct LaneOut {
    links: Links,
    number: usize,
    node: Sender,
    lanes: Arc<[Post<LaneMessage>]>,
    strays: Strays,
    /// Reports that the node's worker had no time for.
    lost: u64,
}

impl LaneWorker {
    fn run(&mut self, relays: bool) {
        let mut ready = ReadyFiles::none();
        while !self.core.ending {
            let deadline = self.core.lane.next_deadline();
            if let Err(errno) = self.wires.wait(deadline, &mut ready) {
                tracing::error!(%errno, "waiting failed");
                break;
            }
            self.round(&ready, relays);
        }
    }

    fn round(&mut self, ready: &ReadyFiles, relays: bool) {
        let now = clock::now();
        let Self { wires, core } = self;
        for token in ready.each() {
            match token {
                Token::Bell => core.messages(now),
                Token::Timer => wires.rung(),
                Token::Socket(index) => {
                    let full = wires.socket(now, index, core);
                    if full && relays && wires.has_dropped(index) {
                        core.lane.overloaded();
                    }
                }
                Token::Device(network) => {
                    // The node's worker hears of a device that is gone, too, and says what becomes of it.
                    if wires.device(now, network, core).is_err() {
                        core.out.links.taps.close(network);
                    }
                    // A lone frame leaves at once, whatever waits at the other files.
                    core.out.links.batch.flush();
                }
                Token::Other(_) => {}
            }
        }
        for (network, tap) in core.fresh.drain(..) {
            match wires.watch(network, tap.as_fd()) {
                Ok(()) => core.out.links.taps.insert(network, tap),
                Err(error) => {
                    tracing::warn!(%network, %error, "a queue of the device is not used");
                }
            }
        }
        core.lane.advance(now);
        core.out.flush();
        core.meter.tick(now.mono);
    }
}

impl Core {
    fn messages(&mut self, now: Now) {
        self.inbox.hush();
        for _ in 0..super::MESSAGES {
            let Some(message) = self.inbox.next() else {
                return;
            };
            self.message(now, message);
        }
        self.inbox.ring();
    }

    fn message(&mut self, now: Now, message: LaneMessage) {
        match message {
            LaneMessage::Order(order) => self.lane.order(now, *order, &mut self.out),
            LaneMessage::Strays(mut bundle) => {
                bundle.each(|from, bytes| self.lane.stray(now, from, bytes, &mut self.out));
            }
            LaneMessage::Trains(to, may) => self.out.links.batch.trains(to, may),
            LaneMessage::Open(network, tap) => self.fresh.push((network, *tap)),
            LaneMessage::Close(network) => {
                self.fresh.retain(|(of, _)| *of != network);
                self.out.links.taps.close(network);
            }
            LaneMessage::Attach(attached) => self.out.links.taps.attach(attached),
            LaneMessage::Counters(answer) => {
                let mut groups = self.lane.counters().groups();
                let drops = groups.entry("drops").or_default();
                self.out.links.lost(drops);
                drops.insert("worker-queue-full", self.out.strays.lost() + self.out.lost);
                // Whoever asked may have gone meanwhile.
                let _ = answer.try_send(groups);
            }
            LaneMessage::Become(lane) => self.lane = *lane,
            LaneMessage::Stop => self.ending = true,
        }
    }
}

impl LaneOut {
    /// Tells the node's worker what peers and programs cause, as long as it keeps up. Returns whether it does.
    fn tell(&mut self, message: Message) -> bool {
        let told = self.node.send_within(REPORTS, message);
        self.lost += u64::from(!told);
        told
    }

    fn flush(&mut self) {
        self.links.flush();
        for refused in std::iter::from_fn(|| self.links.batch.refused()) {
            self.node.send(Message::Input(Input::Refused {
                to: refused.to,
                size: refused.size,
                datagrams: refused.datagrams,
            }));
        }
        let Self {
            strays,
            node,
            lanes,
            ..
        } = self;
        strays.flush(|worker, bundle| match worker.checked_sub(1) {
            None => node.send_within(BUNDLES, Message::Strays(bundle)),
            Some(lane) => lanes
                .get(lane)
                .is_some_and(|post| post.send_within(BUNDLES, LaneMessage::Strays(bundle))),
        });
    }
}

impl SendBuf for LaneOut {
    fn slot(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        self.links.batch.slot(to, len)
    }
}

impl LaneIo for LaneOut {
    fn deliver(&mut self, network: NetworkId, frame: TapFrame<'_>) {
        if is_ipx(&frame) {
            let bytes = frame.bytes.into();
            self.tell(Message::Deliver(network, bytes));
        } else {
            self.links.taps.deliver(network, frame);
        }
    }

    fn report(&mut self, report: Report) -> bool {
        let number = self.number;
        match report {
            // At a bounded rate already, and some are made once.
            Report::Notes(_) | Report::Heard(_) => {
                self.node.send(Message::Report(number, Box::new(report)));
                true
            }
            _ => self.tell(Message::Report(number, Box::new(report))),
        }
    }

    fn stray(&mut self, worker: usize, from: Path, datagram: &[u8]) {
        self.strays.add(worker, from, datagram);
    }
}

impl Plane for Core {
    fn links(&mut self) -> &mut Links {
        &mut self.out.links
    }

    fn datagram(&mut self, now: Now, from: SocketAddr, bytes: &mut [u8]) {
        // Keys that the node has told of come before what comes under them.
        if self.inbox.rings() {
            self.messages(now);
        }
        self.meter.moved += bytes.len() as u64;
        self.lane.rx(now, from, bytes, &mut self.out);
    }

    fn frame(&mut self, now: Now, network: NetworkId, frame: TapFrame<'_>) {
        self.meter.moved += frame.bytes.len() as u64;
        if is_ipx(&frame) {
            let bytes = frame.bytes.into();
            self.out.tell(Message::Frame(network, bytes));
        } else {
            self.lane.tap(now, network, frame, &mut self.out);
        }
    }
}

/// What the node's worker has to see, since the hosts of IPX and `ipxnet` are in one place.
fn is_ipx(frame: &TapFrame<'_>) -> bool {
    Framing::is_possible(frame.bytes) && frame.offload == Offload::None
}

/// Messages that may wait for the node's worker before a lane keeps further ones from it.
const REPORTS: usize = 4096;
