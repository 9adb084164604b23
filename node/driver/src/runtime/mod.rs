//! A running node: a worker thread with the engine, perhaps more with lanes of it, and the threads that serve them.
//!
//! Owner: the program. In: an identity, a world, open sockets. Out: a handle, host requests, events.
//! Never: a wait of the worker for any of the others.

mod crew;
mod events;
mod handle;
mod ipx;
mod keeper;
mod lane;
mod load;
mod outside;
mod scaling;
mod strays;
mod taps;
mod wires;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::io::Errno;
use tokio::sync::{broadcast, mpsc, oneshot};
use zt_crypto::{SecretIdentity, Verified, VerifiedWorld};
use zt_engine::Config;
use zt_engine::interface::{HostRequest, Saved, Ticket};
use zt_wire::NetworkId;

pub use crate::lan::{LanLine, LanNetwork, NoLan, TABLE as LAN_TABLE};
pub use handle::Handle;
pub use ipx::{Echo, IpxLine};
pub use keeper::{restore, restore_ipxnet, restore_lan};

use crate::lan::Lan;
use crate::netlink::Netlink;
use crate::offload::Offloads;
use crate::pool::Pool;
use crate::state::StateDir;
use crate::tap::Packets;
use crate::udp::{Batch, Sockets};
pub use crew::Workers;
pub(crate) use handle::{Message, Sender};

use crew::{Crew, CrewStart};
use handle::Inbox;
use keeper::Keeper;
use outside::Outside;
use taps::Taps;
use wires::Links;
use worker::{Hands, Start, Worker};

/// Everything a node starts from.
#[derive(Debug)]
pub struct RuntimeConfig {
    /// Who the node is.
    pub identity: SecretIdentity,
    /// The proof that its identity holds in its world.
    pub verified: Verified,
    /// The world it belongs to.
    pub world: VerifiedWorld,
    /// How it behaves, with its role.
    pub config: Config,
    /// Where it listens: sockets for each worker.
    pub sockets: Vec<Sockets>,
    /// How many workers begin; there may be as many as `sockets` has groups.
    pub workers: usize,
    /// What an earlier run saved: [`restore`].
    pub saved: Vec<Saved>,
    /// Where it served `ipxnet` in an earlier run: [`restore_ipxnet`].
    pub ipxnet: BTreeMap<NetworkId, SocketAddr>,
    /// Which networks were in LAN mode in an earlier run: [`restore_lan`].
    pub lan: BTreeSet<NetworkId>,
    /// LAN mode's way onto the segments, opened while the program could.
    pub packets: Result<Packets, Errno>,
    /// Where it keeps what outlives a run.
    pub state: Arc<StateDir>,
    /// Which of the kernel's offloads its devices use.
    pub offloads: Offloads,
    /// Whether it makes devices. Off for supernode and controller, which have no tap.
    pub devices: bool,
}

/// A running node.
#[derive(Debug)]
pub struct Runtime {
    /// How to talk to it.
    pub handle: Handle,
    requests: Option<mpsc::Receiver<(Ticket, HostRequest)>>,
    alive: Option<oneshot::Receiver<()>>,
    worker: JoinHandle<()>,
}

impl Runtime {
    /// Starts the threads. Privileges that the program does not need must be dropped before.
    ///
    /// # Errors
    /// The kernel's reason when it gives no thread, timer or queue.
    pub fn start(config: RuntimeConfig) -> io::Result<Self> {
        let inbox = Inbox::new()?;
        let (requests_in, requests) = mpsc::channel(REQUESTS);
        let (events, _) = broadcast::channel(EVENTS);
        let mut sockets = config.sockets.into_iter();
        let own = sockets
            .next()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let local = own.local();
        let mut engine = config.config;
        engine.workers = sockets.len() + 1;
        let crew = Crew::new(CrewStart {
            workers: Workers {
                first: config.workers.clamp(1, engine.workers),
                most: engine.workers,
            },
            sockets: sockets.collect(),
            node: inbox.sender(),
            offloads: config.offloads.clone(),
            relays: engine.role.relays(),
        })?;
        let handle = Handle::new(inbox.sender(), events.clone(), local.clone());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if config.devices {
            cores.min(LEAF_THREADS)
        } else {
            cores.min(HOST_THREADS)
        };
        let done = inbox.sender();
        let pool = Pool::start(threads, move |id, result| {
            done.send(Message::Done(id, result));
        })?;
        let hands = Hands {
            pool,
            keeper: Keeper::start(Arc::clone(&config.state))?,
            netlink: Netlink::start(local, inbox.sender(), config.devices)?,
            lan: Lan::new(config.packets),
            requests: requests_in,
            events,
            devices: config.devices,
        };
        let start = Start {
            identity: config.identity,
            verified: config.verified,
            world: config.world,
            config: engine,
            saved: config.saved,
            ipxnet: config.ipxnet,
            lan: config.lan,
        };
        let links = Links {
            batch: Batch::new(own),
            taps: Taps::new(config.offloads, start.config.workers > 1),
        };
        let outside = Outside::new(links, crew.posts());
        let (alive, ended) = oneshot::channel::<()>();
        let mut worker = Worker::new(start, outside, hands, inbox, crew)?;
        let worker = std::thread::Builder::new()
            .name("zt-worker".into())
            .stack_size(STACK)
            .spawn(move || {
                let _alive = alive;
                worker.run();
            })?;
        Ok(Self {
            handle,
            requests: Some(requests),
            alive: Some(ended),
            worker,
        })
    }

    /// What only the host program can answer; supernode and controller read it, others may drop it. Whoever takes
    /// it first has it; later ones get a channel that is silent.
    pub fn take_requests(&mut self) -> mpsc::Receiver<(Ticket, HostRequest)> {
        self.requests.take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// Returns when the worker has ended, for whatever reason.
    pub async fn ended(&mut self) {
        if let Some(alive) = self.alive.as_mut() {
            // Nothing is ever sent; the other end is dropped when the worker ends.
            let _ = alive.await;
            self.alive = None;
        }
    }

    /// Says goodbye to the peers, removes the devices, writes what is to be kept, and returns when all is done.
    pub async fn stop(self) {
        self.handle.stop();
        // Joining blocks for the moment that the last datagrams and files take; nothing else is left to serve.
        let joined = tokio::task::spawn_blocking(move || self.worker.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the worker did not end as it should");
        }
    }
}

/// Host requests that may wait for the host program; further ones are dropped and asked again by the peers.
const REQUESTS: usize = 4096;
/// Events that a slow listener may be behind.
const EVENTS: usize = 256;
/// Threads for slow work of a node with devices: more would cost memory (one proof of work each) for nothing.
const LEAF_THREADS: usize = 2;
/// Threads for slow work of a supernode or controller.
const HOST_THREADS: usize = 8;
/// Messages of one round of a worker.
const MESSAGES: usize = 256;
/// Bytes of stack of a worker.
const STACK: usize = 1 << 20;
