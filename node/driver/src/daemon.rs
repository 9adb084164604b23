//! What all daemons do alike: options, the order of starting, waiting, the clean end.
//!
//! Owner: the program's `main`. In: options, a world. Out: a running node and, at the end, an exit code.
//! Never: power kept after the start that the role does not need; a READY before everything is open.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use zt_crypto::VerifiedWorld;
use zt_engine::Config;
use zt_engine::interface::{HostRequest, Ticket};

use crate::buffers;
use crate::exit::Exit;
use crate::identity::{self, IdentityError, Mine};
use crate::logging::{self, LogFormat};
use crate::metrics;
use crate::offload::{Offload, Offloads};
use crate::privileges::{self, Keep, NotDropped};
use crate::runtime::{self, Handle, Runtime, RuntimeConfig, Workers};
use crate::state::{StateDir, StateError};
use crate::tap::Packets;
use crate::udp::{NotBound, Sockets};
use crate::workers::WorkerRange;
use crate::world::{self, WorldError, WorldFrom};

/// The options that all daemons have; put them into a program's own with `#[command(flatten)]`.
#[derive(Clone, Debug, clap::Args)]
pub struct DaemonArgs {
    /// Where identity, world and networks are kept (made with mode 0700)
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// The world file; may be left out once a world is stored
    #[arg(long, value_name = "FILE")]
    pub world: Option<PathBuf>,
    /// Listen for UDP here; may be given several times [default: port 9993 on all addresses]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Vec<SocketAddr>,
    /// Serve Prometheus metrics over HTTP here
    #[arg(long, value_name = "IP:PORT")]
    pub metrics: Option<SocketAddr>,
    /// How log lines look; `ZT_LOG` sets levels
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log: LogFormat,
    /// Do without these offloads of the kernel; may be given several times, for measuring and for broken drivers
    #[arg(long, value_name = "OFFLOAD", value_enum, value_delimiter = ',')]
    pub without: Vec<Offload>,
    /// Workers that share the sessions: a number, a range to grow in when more were measured to move more (1..4), or
    /// `auto`, one up to half of the processors
    #[arg(long, value_name = "N", default_value_t)]
    pub workers: WorkerRange,
    /// Enter a test world, whose identities cost nothing
    #[arg(long)]
    pub weak_proof_of_work: bool,
}

/// Everything is open and checked; nothing runs yet.
#[derive(Debug)]
pub struct Prepared {
    /// The state directory, locked.
    pub state: Arc<StateDir>,
    /// The world.
    pub world: VerifiedWorld,
    /// Who we are.
    pub mine: Mine,
    sockets: Vec<Sockets>,
    workers: usize,
    offloads: Offloads,
    metrics: Option<std::net::TcpListener>,
}

/// What a daemon is.
#[derive(Clone, Debug)]
pub struct Kind {
    /// How its node behaves, with its role.
    pub config: Config,
    /// Whether it makes devices.
    pub devices: bool,
    /// What it keeps of its privileges.
    pub keep: Keep,
}

/// A node that runs, as the program's own part sees it.
#[derive(Debug)]
pub struct Running {
    /// How to talk to it.
    pub handle: Handle,
    /// What only this program can answer.
    pub requests: mpsc::Receiver<(Ticket, HostRequest)>,
    /// The state directory.
    pub state: Arc<StateDir>,
    /// The world as entered at the start; the node may have adopted a newer serial since.
    pub world: VerifiedWorld,
    /// The identity was made in this run.
    pub fresh: bool,
}

impl Prepared {
    /// Starts logging, opens and locks the state directory, enters the world, loads or makes the identity, opens the
    /// sockets; in this order. `world` replaces `args.world` where the program knows better (an invite, a file of its own).
    ///
    /// # Errors
    /// [`StartError`], which knows its exit code.
    pub fn new(args: &DaemonArgs, world: Option<WorldFrom>) -> Result<Self, StartError> {
        logging::start(args.log);
        buffers::return_large_blocks();
        let state = StateDir::open(&args.state_dir).map_err(StartError::State)?;
        let from = world
            .or_else(|| args.world.clone().map(WorldFrom::File))
            .unwrap_or(WorldFrom::Stored);
        let world =
            world::enter(&state, &from, args.weak_proof_of_work).map_err(StartError::World)?;
        let offloads = Offloads::without(&args.without);
        // Before the search for an identity, which takes long: a port in use is to be known at once.
        let Workers { first, most } = args.workers.workers();
        let sockets = Sockets::bind_groups(&args.listen, &offloads, most);
        let sockets = sockets.map_err(StartError::NotBound)?;
        let metrics = args
            .metrics
            .map(metrics::bind)
            .transpose()
            .map_err(StartError::listener(args.metrics))?;
        let mine =
            identity::load_or_generate(&state, world.params()).map_err(StartError::Identity)?;
        Ok(Self {
            state: Arc::new(state),
            world,
            mine,
            sockets,
            workers: first,
            offloads,
            metrics,
        })
    }

    /// Gives up privileges, starts the node, says READY, runs `serve` beside it until a signal comes or `serve`
    /// ends, and stops the node cleanly. `serve` must give its answer soon after it is dropped: it is not waited for.
    ///
    /// # Errors
    /// [`StartError`] when the node does not start.
    pub fn run<F>(self, kind: Kind, serve: impl FnOnce(Running) -> F) -> Result<Exit, StartError>
    where
        F: Future<Output = Exit>,
    {
        // Opening it takes a privilege that is about to go; LAN mode says so where it was never there.
        let packets = if kind.devices {
            Packets::open()
        } else {
            Err(Errno::NODEV)
        };
        privileges::drop_to(kind.keep).map_err(StartError::Privileges)?;
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_stack_size(BLOCKING_STACK)
            .build()
            .map_err(StartError::Kernel)?;
        tokio.block_on(self.serve(kind, packets, serve))
    }

    async fn serve<F>(
        self,
        kind: Kind,
        packets: Result<Packets, Errno>,
        serve: impl FnOnce(Running) -> F,
    ) -> Result<Exit, StartError>
    where
        F: Future<Output = Exit>,
    {
        let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Kernel)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Kernel)?;
        let saved = runtime::restore(&self.state).map_err(StartError::State)?;
        let ipxnet = runtime::restore_ipxnet(&self.state).map_err(StartError::State)?;
        let lan = runtime::restore_lan(&self.state).map_err(StartError::State)?;
        let fresh = self.mine.fresh;
        let mut node = Runtime::start(RuntimeConfig {
            identity: self.mine.secret,
            verified: self.mine.verified,
            world: self.world.clone(),
            config: kind.config,
            sockets: self.sockets,
            workers: self.workers,
            offloads: self.offloads,
            saved,
            ipxnet,
            lan,
            packets,
            state: Arc::clone(&self.state),
            devices: kind.devices,
        })
        .map_err(StartError::Kernel)?;
        let running = Running {
            handle: node.handle.clone(),
            requests: node.take_requests(),
            state: self.state,
            world: self.world,
            fresh,
        };
        let handle = node.handle.clone();
        let metrics = async {
            if let Some(listener) = self.metrics
                && let Err(error) = metrics::serve(listener, handle).await
            {
                tracing::error!(%error, "metrics are not served");
            }
            std::future::pending::<()>().await;
        };
        tracing::info!(listen = ?node.handle.listen(), "running");
        // Without systemd there is nobody to tell.
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        let exit = tokio::select! {
            exit = serve(running) => exit,
            () = metrics => Exit::Failed,
            () = node.ended() => Exit::Failed,
            _ = terminate.recv() => Exit::Done,
            _ = interrupt.recv() => Exit::Done,
        };
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        node.stop().await;
        tracing::info!("stopped");
        Ok(exit)
    }
}

/// Why a daemon does not start.
#[derive(Debug)]
pub enum StartError {
    /// The state directory.
    State(StateError),
    /// The world.
    World(WorldError),
    /// The identity.
    Identity(IdentityError),
    /// A UDP address to listen on.
    NotBound(NotBound),
    /// An HTTP address or socket to listen on.
    Listener(String, io::Error),
    /// Privileges.
    Privileges(NotDropped),
    /// A thread, timer or queue.
    Kernel(io::Error),
}

impl StartError {
    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::World(error) => error.exit(),
            Self::Identity(error) => error.exit(),
            Self::NotBound(error) => in_use(&error.error),
            Self::Listener(_, error) => in_use(error),
            Self::Privileges(_) | Self::Kernel(_) => Exit::Failed,
        }
    }

    fn listener(address: Option<SocketAddr>) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            Self::Listener(
                address.map_or_else(String::new, |address| address.to_string()),
                error,
            )
        }
    }
}

/// The exit code of an address that cannot be listened on.
fn in_use(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Exit::InUse,
        _ => Exit::Failed,
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(error) => error.fmt(f),
            Self::World(error) => error.fmt(f),
            Self::Identity(error) => error.fmt(f),
            Self::NotBound(error) => error.fmt(f),
            Self::Listener(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Privileges(error) => error.fmt(f),
            Self::Kernel(error) => write!(
                f,
                "the kernel does not give what is needed to start: {error}"
            ),
        }
    }
}

impl std::error::Error for StartError {}

/// Threads for blocking calls of a program's own part.
const BLOCKING_THREADS: usize = 4;
/// Bytes of their stacks.
const BLOCKING_STACK: usize = 1 << 20;
