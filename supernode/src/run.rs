//! `run`: a supernode at work.
//!
//! In: claims and questions from the node, newer world files. Out: answers, once durable.
//! Never: a claim answered from memory alone.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zt_driver::daemon::{DaemonArgs, Kind, Prepared, Running, StartError};
use zt_driver::world::WorldFrom;
use zt_driver::{Exit, Handle, Keep};
use zt_engine::interface::{Command, HostAnswer, HostRequest, Reply, Ticket};
use zt_engine::{Config, Role};

use crate::authority::WORLD;
use crate::registry::{Claim, DurableRegistry, Limits, RegistryError};
use crate::watch::Watch;

/// The registry's file in the state directory.
const REGISTRY: &str = "registry.redb";

/// What `run` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
A changed world file (DIR/world.json, or --world FILE if given) is taken without a restart; SIGHUP reads it again.

Example:
  zt-supernode run --state-dir /var/lib/zt/supernode --metrics 127.0.0.1:9990")]
pub struct RunArgs {
    /// What all daemons take.
    #[command(flatten)]
    pub daemon: DaemonArgs,
    /// Serve nodes over TLS here (not in this version)
    #[arg(long, value_name = "IP:PORT")]
    pub tls_listen: Vec<std::net::SocketAddr>,
    /// Most addresses in the registry
    #[arg(long, value_name = "N", default_value_t = Limits::default().addresses)]
    pub most_addresses: u64,
    /// Most addresses claimed from one IPv4 /24
    #[arg(long, value_name = "N", default_value_t = Limits::default().per_ipv4_24)]
    pub most_per_ipv4_24: u64,
    /// Most addresses claimed from one IPv6 /48
    #[arg(long, value_name = "N", default_value_t = Limits::default().per_ipv6_48)]
    pub most_per_ipv6_48: u64,
}

/// `run`. Returns when a signal ends it.
///
/// # Errors
/// [`RunError`], which knows its exit code.
pub fn run(args: &RunArgs) -> Result<Exit, RunError> {
    if !args.tls_listen.is_empty() {
        return Err(RunError::Tls);
    }
    let dir = &args.daemon.state_dir;
    if !dir.join(zt_driver::identity::FILE).exists() {
        return Err(RunError::NotMade(dir.clone()));
    }
    let file = args.daemon.world.clone().unwrap_or_else(|| dir.join(WORLD));
    let from = if file.exists() || args.daemon.world.is_some() {
        WorldFrom::File(file.clone())
    } else {
        WorldFrom::Stored
    };
    let prepared = Prepared::new(&args.daemon, Some(from)).map_err(RunError::Start)?;
    let own = prepared.mine.verified.key();
    let world = &prepared.world;
    if !world
        .supernodes()
        .iter()
        .any(|supernode| supernode.key() == own)
    {
        return Err(RunError::NotInWorld {
            serial: world.world().serial,
            dir: dir.clone(),
        });
    }
    let limits = Limits::new(
        args.most_addresses,
        args.most_per_ipv4_24,
        args.most_per_ipv6_48,
    );
    let registry =
        DurableRegistry::open(&dir.join(REGISTRY), limits).map_err(RunError::Registry)?;
    let watch = Watch::on(&file).map_err(|e| RunError::Watch(file, e))?;
    let weak = args.daemon.weak_proof_of_work;
    let kind = Kind {
        config: Config::of(Role::Supernode),
        devices: false,
        keep: Keep::Nothing,
    };
    prepared
        .run(kind, move |running| serve(running, registry, watch, weak))
        .map_err(RunError::Start)
}

/// Answers the node and follows the world file until dropped.
async fn serve(
    mut running: Running,
    registry: DurableRegistry,
    mut watch: Watch,
    weak: bool,
) -> Exit {
    let registry = Arc::new(registry);
    match registry.held() {
        Ok(held) => tracing::info!(addresses = held, "registry open"),
        Err(error) => tracing::error!(%error, "registry"),
    }
    loop {
        tokio::select! {
            request = running.requests.recv() => match request {
                Some((ticket, request)) => answer(&running.handle, &registry, ticket, &request),
                // The worker has ended; the driver says so itself.
                None => return Exit::Failed,
            },
            changed = watch.changed() => match changed {
                Ok(()) => adopt(&running.handle, watch.file(), weak).await,
                Err(error) => {
                    tracing::error!(%error, "the world file is not watched any more");
                    return Exit::Failed;
                }
            },
        }
    }
}

fn answer(handle: &Handle, registry: &DurableRegistry, ticket: Ticket, request: &HostRequest) {
    match *request {
        HostRequest::Claim {
            identity,
            key,
            address,
            from,
        } => {
            let handle = handle.clone();
            registry.claim(
                Claim {
                    address,
                    key,
                    identity,
                    from,
                },
                move |result| match result {
                    Ok(result) => handle.answer(ticket, HostAnswer::Claim(result)),
                    // No answer is the answer: the node claims again, or elsewhere.
                    Err(error) => tracing::warn!(%address, %error, "claim not answered"),
                },
            );
        }
        HostRequest::Whois(address) => match registry.whois(address) {
            Ok(identity) => handle.answer(ticket, HostAnswer::Identity(identity)),
            Err(error) => tracing::error!(%address, %error, "question not answered"),
        },
        // Only controllers are asked; the node sees to that.
        HostRequest::Netconf { .. } => {
            tracing::error!("a supernode was asked to decide about a member");
        }
    }
}

/// Offers the world in a file to the node, which verifies that it follows its own.
async fn adopt(handle: &Handle, file: &Path, weak: bool) {
    let world = match zt_driver::world::read_file(file, weak) {
        Ok(world) => world,
        Err(error) => {
            tracing::warn!(%error, "the world file has changed, and is not used");
            return;
        }
    };
    let serial = world.world().serial;
    match handle
        .command(Command::AdoptWorld(world.bytes().to_vec()))
        .await
    {
        Reply::Done => tracing::info!(serial, "world taken from its file"),
        other => tracing::warn!(
            serial,
            ?other,
            "the world file has changed, and is not newer than ours"
        ),
    }
}

/// Why a supernode does not run.
#[derive(Debug)]
pub enum RunError {
    /// `--tls-listen` was given.
    Tls,
    /// The state directory holds no identity.
    NotMade(PathBuf),
    /// The world does not know this supernode.
    NotInWorld {
        /// The world's serial.
        serial: u64,
        /// The state directory.
        dir: PathBuf,
    },
    /// The registry.
    Registry(RegistryError),
    /// The world file cannot be watched.
    Watch(PathBuf, std::io::Error),
    /// What all daemons do.
    Start(StartError),
}

impl RunError {
    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Tls => Exit::Usage,
            Self::Start(error) => error.exit(),
            Self::Registry(RegistryError::Corrupt { .. }) => Exit::State,
            Self::Registry(RegistryError::InUse { .. }) => Exit::Locked,
            Self::Registry(RegistryError::Storage { .. } | RegistryError::Busy)
            | Self::NotMade(_)
            | Self::NotInWorld { .. }
            | Self::Watch(..) => Exit::Failed,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls => {
                f.write_str("--tls-listen: this version serves UDP only; leave the option out")
            }
            Self::NotMade(dir) => write!(
                f,
                "{} holds no supernode; make one with `zt-supernode init --state-dir {} --endpoint IP:PORT`",
                dir.display(),
                dir.display()
            ),
            Self::NotInWorld { serial, dir } => write!(
                f,
                "this supernode is not in the world (serial {serial}): where the world was made, run \
                 `zt-supernode world add --state-dir DIR --public {}/identity.public`, then give its world.json here \
                 with --world FILE",
                dir.display()
            ),
            Self::Registry(error) => error.fmt(f),
            Self::Watch(file, error) => write!(f, "{} cannot be watched: {error}", file.display()),
            Self::Start(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RunError {}
