//! zt-node: one machine's place on the overlay.
//!
//! In: options, the control API. Out: a running node with its devices.
//! Never: a decision that the engine has made already.

#![forbid(unsafe_code)]

mod api;
mod collision;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use zt_driver::{DaemonArgs, Exit, Keep, Kind, Prepared, Running, StartError, WorldFrom};
use zt_engine::{Config, Role};
use zt_wire::Invite;

use api::Doors;

/// A node of the overlay: joins networks and brings up their devices.
#[derive(Debug, Parser)]
#[command(name = "zt-node", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node
    #[command(after_help = EXAMPLES)]
    Run(Box<Options>),
}

#[derive(Debug, clap::Args)]
struct Options {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// Take the world from this invite instead of a file
    #[arg(long, value_name = "INVITE", conflicts_with = "world")]
    invite: Option<Invite>,
    /// The control API's socket [default: DIR/node.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Serve the control API over TCP, too, on this loopback address; the bearer token is in DIR/control.token
    #[arg(long, value_name = "IP:PORT")]
    control: Option<SocketAddr>,
    /// Which cipher to offer to peers; XSalsa20-Poly1305 is what all of them speak
    #[arg(long, value_enum, default_value_t)]
    suite: Suite,
    /// Never use a direct path: for measuring relays and for tests
    #[arg(long)]
    relay_only: bool,
}

/// The ciphers a node offers.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Suite {
    /// AES-256-GCM when this processor has AES in hardware, else XSalsa20-Poly1305
    #[default]
    Auto,
    /// AES-256-GCM even without hardware for it; a peer that does not offer it still gets XSalsa20-Poly1305
    Aes,
    /// XSalsa20-Poly1305 only
    Xsalsa20,
}

fn main() -> ExitCode {
    let Command::Run(options) = Cli::parse().command;
    match run(*options) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("zt-node: {error}");
            error.exit().into()
        }
    }
}

fn run(options: Options) -> Result<Exit, StartError> {
    let world = options.invite.map(|invite| WorldFrom::Signed(invite.world));
    let prepared = Prepared::new(&options.daemon, world)?;
    let socket = options
        .socket
        .unwrap_or_else(|| prepared.state.path().join("node.sock"));
    let doors = Doors::open(&prepared.state, socket, options.control)?;
    let mut config = Config::of(Role::Leaf);
    config.relay_only = options.relay_only;
    config.aes = match options.suite {
        Suite::Auto => None,
        Suite::Aes => Some(true),
        Suite::Xsalsa20 => Some(false),
    };
    let kind = Kind {
        config,
        devices: true,
        keep: Keep::Devices,
    };
    prepared.run(kind, |running| serve(running, doors))
}

/// Serves the control API until the node ends; meanwhile makes another identity where the first one is taken.
async fn serve(running: Running, doors: Doors) -> Exit {
    let collision = collision::watch(
        running.handle.clone(),
        running.state.clone(),
        running.world.params(),
        running.fresh,
    );
    let api = api::serve(running.handle, running.world.world().id, doors);
    tokio::select! {
        () = collision => Exit::Failed,
        exit = api => exit,
    }
}

const EXAMPLES: &str = "Examples:
  zt-node run --state-dir /var/lib/zt/node --world world.json
  zt-node run --state-dir /var/lib/zt/node --invite zt1-AQ...   (world from an invite)
  zt-node run --state-dir ./a --world world.json --listen 192.0.2.1:9993 --log json
Then talk to it: zt-cli --socket /var/lib/zt/node/node.sock info";
