//! The workers besides the node's own: those that run, and what the others will need.
//!
//! Owner: the node's worker. In: how many are wanted. Out: threads, each with its sockets and its queue of every device.
//! Never: a thread that outlives the node's worker.

use std::fs;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use zt_engine::{Mono, Node};
use zt_wire::NetworkId;

use super::handle::{Inbox, Post, Sender};
use super::lane::{LaneMessage, LaneStart};
use super::load::Load;
use super::outside::Outside;
use super::scaling::{Look, Scaling};
use super::taps::Taps;
use super::wires::Links;
use crate::offload::Offloads;
use crate::udp::{Batch, Sockets};

/// How many workers a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// From the start.
    pub first: usize,
    /// When more were measured to move more.
    pub most: usize,
}

/// The workers besides the node's own.
pub struct Crew {
    waiting: Vec<(Sockets, Inbox<LaneMessage>)>,
    running: Vec<JoinHandle<()>>,
    /// Those of them that share the sessions.
    active: usize,
    first: usize,
    posts: Arc<[Post<LaneMessage>]>,
    node: Sender,
    offloads: Offloads,
    relays: bool,
    loads: Vec<Arc<Load>>,
    scaling: Scaling,
    last: Option<Measured>,
}

#[derive(Clone, Copy)]
struct Measured {
    at: Mono,
    cpu: u64,
    moved: u64,
    idle: f64,
}

/// What a crew is made of.
pub struct CrewStart {
    /// Sockets for each worker but the node's.
    pub sockets: Vec<Sockets>,
    /// How many there are to be.
    pub workers: Workers,
    /// The node's worker.
    pub node: Sender,
    /// What devices use.
    pub offloads: Offloads,
    /// Whether it relays.
    pub relays: bool,
}

impl Crew {
    /// Nobody runs yet.
    ///
    /// # Errors
    /// The kernel's reason when it gives no bell.
    pub fn new(start: CrewStart) -> std::io::Result<Self> {
        let CrewStart {
            sockets,
            workers,
            node,
            offloads,
            relays,
        } = start;
        let waiting = sockets.into_iter().map(|group| Ok((group, Inbox::new()?)));
        let mut waiting = waiting.collect::<std::io::Result<Vec<_>>>()?;
        let posts = waiting.iter().map(|(_, inbox)| inbox.sender()).collect();
        waiting.reverse();
        Ok(Self {
            loads: (0..=waiting.len()).map(|_| Arc::default()).collect(),
            waiting,
            running: Vec::new(),
            active: 1,
            first: workers.first,
            posts,
            node,
            offloads,
            relays,
            scaling: Scaling::new(workers.first, workers.most),
            last: None,
        })
    }

    /// Where the lanes hear, in order.
    pub fn posts(&self) -> Arc<[Post<LaneMessage>]> {
        Arc::clone(&self.posts)
    }

    /// A worker's figures.
    pub fn load(&self, worker: usize) -> Arc<Load> {
        Arc::clone(&self.loads[worker])
    }

    /// Workers from the start.
    pub const fn first(&self) -> usize {
        self.first
    }

    /// Lanes that run; their numbers begin with 1.
    pub const fn lanes(&self) -> usize {
        self.running.len()
    }

    /// Sees to it that so many workers run and that only these get frames. Returns how many share the sessions now,
    /// which are fewer where the kernel gave no more.
    pub fn muster(&mut self, workers: usize, node: &mut Node, outside: &Outside) -> usize {
        while self.lanes() + 1 < workers {
            if !self.start_one(node, outside) {
                break;
            }
        }
        self.active = workers.clamp(1, self.lanes() + 1);
        for lane in 1..=self.lanes() {
            outside.tell(lane, LaneMessage::Attach(lane < self.active));
        }
        self.active
    }

    /// Gives each lane its queue of a device just made.
    pub fn queues(&self, network: NetworkId, outside: &Outside) {
        for lane in 1..=self.lanes() {
            let queues = outside.links.taps.more_queues();
            for (_, tap) in queues.into_iter().filter(|(of, _)| *of == network) {
                open(lane, network, tap, outside);
            }
        }
    }

    /// All lanes go on as those of another node, which shares its sessions as before. Returns among how many workers.
    pub fn become_lanes_of(&self, node: &mut Node, outside: &Outside) -> usize {
        for _ in 1..=self.lanes() {
            let (number, lane) = node.lane();
            outside.tell(number, LaneMessage::Become(Box::new(lane)));
        }
        self.active
    }

    /// Another number of workers, when a look at what they do says so.
    pub fn wanted(&mut self, now: Mono) -> Option<usize> {
        if !self.scaling.is_open() {
            return None;
        }
        let last = self
            .last
            .get_or_insert_with(|| Measured::now(now, &self.loads));
        if now.since(last.at) < EVERY {
            return None;
        }
        let span = now.since(last.at);
        let measured = Measured::now(now, &self.loads);
        let last = std::mem::replace(last, measured);
        // A quiet while says nothing: nobody was awake to look.
        if span > EVERY * 2 {
            return None;
        }
        let seconds = span.as_secs_f64();
        let per_second = |before: u64, after: u64| to_f64(after.saturating_sub(before)) / seconds;
        self.scaling.look(Look {
            now,
            busy: per_second(last.cpu, measured.cpu) / 1e9,
            idle: (measured.idle - last.idle) / seconds,
            rate: per_second(last.moved, measured.moved),
        })
    }

    /// Stops all lanes and waits for their end.
    pub fn stop(&mut self, outside: &Outside) {
        for lane in 1..=self.lanes() {
            outside.tell(lane, LaneMessage::Stop);
        }
        for thread in self.running.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker did not end as it should");
            }
        }
    }

    fn start_one(&mut self, node: &mut Node, outside: &Outside) -> bool {
        let Some((sockets, inbox)) = self.waiting.pop() else {
            return false;
        };
        let (number, lane) = node.lane();
        let started = LaneStart {
            number,
            lane,
            links: Links {
                batch: Batch::new(sockets),
                taps: Taps::new(self.offloads.clone(), true),
            },
            inbox,
            node: self.node.clone(),
            lanes: self.posts(),
            load: self.load(number),
            relays: self.relays,
        }
        .spawn();
        match started {
            Ok(thread) => self.running.push(thread),
            Err(error) => {
                // The node has a lane that nobody runs; without sessions nobody misses it.
                tracing::warn!(%error, "one more worker cannot be started");
                self.waiting.clear();
                return false;
            }
        }
        for (network, tap) in outside.links.taps.more_queues() {
            open(number, network, tap, outside);
        }
        true
    }
}

impl Measured {
    fn now(at: Mono, loads: &[Arc<Load>]) -> Self {
        Self {
            at,
            cpu: loads.iter().map(|load| load.cpu()).sum(),
            moved: loads.iter().map(|load| load.moved()).sum(),
            idle: idle().unwrap_or(0.0),
        }
    }
}

fn open(
    lane: usize,
    network: NetworkId,
    tap: Result<crate::tap::Tap, crate::tap::NoTap>,
    outside: &Outside,
) {
    match tap {
        Ok(tap) => outside.tell(lane, LaneMessage::Open(network, Box::new(tap))),
        Err(error) => tracing::warn!(%network, %error, "a worker goes without a queue"),
    }
}

/// Seconds that the machine's processors have had nothing to do, all together, since it was started.
fn idle() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let ticks: u64 = stat.split_ascii_whitespace().nth(4)?.parse().ok()?;
    Some(to_f64(ticks) / TICKS)
}

/// Exact below 2^53.
fn to_f64(number: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // For ratios.
    let number = number as f64;
    number
}

/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);
/// Ticks of `/proc/stat` in a second: 100 on every Linux (`USER_HZ`).
const TICKS: f64 = 100.0;
