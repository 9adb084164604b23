//! `init` and `world add`: a supernode's identity, a world, and its next serial.
//!
//! In: options. Out: files in the state directory, a hash to compare, what to do next.
//! Never: a file replaced that another run has made, except world.json by its next serial.

use core::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use zt_crypto::{Params, VerifiedWorld};
use zt_driver::identity::{self, IdentityError};
use zt_driver::world::{self, WorldError};
use zt_driver::{Exit, StateDir, StateError};

use crate::authority::{Authority, AuthorityError, PUBLIC, Public, WORLD};

/// What `init` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The first supernode makes the world; a further one makes only its identity and is added by the first:

  first$   zt-supernode init --state-dir DIR --endpoint 203.0.113.7:9993 --name friends
  first$   zt-supernode run --state-dir DIR
  second$  zt-supernode init --state-dir DIR --endpoint 198.51.100.9:9993 \\
               --join-world world.json
           (world.json is the first one's; bring DIR/identity.public back to the first)
  first$   zt-supernode world add --state-dir DIR --public identity.public
           (the running supernode takes the new world at once, its nodes within seconds)
  second$  zt-supernode run --state-dir DIR --world world.json
           (the new world.json of the first)")]
pub struct InitArgs {
    /// Where everything is kept (made with mode 0700)
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Where nodes reach this supernode; may be given several times
    #[arg(long, value_name = "IP:PORT", required = true, value_parser = endpoint)]
    pub endpoint: Vec<SocketAddr>,
    /// Where nodes will reach it over TLS; kept in the world, not served by this version
    #[arg(long, value_name = "HOST:PORT", value_parser = tls_endpoint)]
    pub tls_endpoint: Vec<String>,
    /// The world's name
    #[arg(long, value_name = "TEXT", default_value = "zt", conflicts_with = "join_world", value_parser = name)]
    pub name: String,
    /// Make no world: this supernode is to be added to the one in this file
    #[arg(long, value_name = "FILE")]
    pub join_world: Option<PathBuf>,
    /// Make (or join) a test world: identities cost nothing, so addresses can be forged
    #[arg(long)]
    pub weak_proof_of_work: bool,
}

/// What `world add` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  zt-supernode world add --state-dir DIR --public identity.public

identity.public is what `zt-supernode init --join-world` wrote on the other machine. The same command with another \
--endpoint moves a supernode that is in the world already.")]
pub struct AddArgs {
    /// The state directory of the supernode that made the world
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// The other supernode's DIR/identity.public
    #[arg(long, value_name = "FILE")]
    pub public: PathBuf,
    /// Where nodes reach it [default: what its identity.public says]
    #[arg(long, value_name = "IP:PORT", value_parser = endpoint)]
    pub endpoint: Vec<SocketAddr>,
}

/// `init`. Returns what to tell the operator.
///
/// # Errors
/// [`InitError`], which knows its exit code.
pub fn init(args: &InitArgs) -> Result<String, InitError> {
    let joined = args
        .join_world
        .as_deref()
        .map(|file| world_file(file, args.weak_proof_of_work))
        .transpose()?;
    let state = StateDir::open(&args.state_dir).map_err(InitError::State)?;
    if let Some(file) = made_before(state.path(), joined.is_some()) {
        return Err(InitError::Exists(file));
    }
    // Before the identity: its key tells an `init` that was interrupted from a directory that is something else's.
    let authority = if joined.is_none() {
        Some(Authority::create(&args.state_dir, random).map_err(InitError::Authority)?)
    } else {
        None
    };
    let params = match (&joined, args.weak_proof_of_work) {
        (Some(world), _) => world.params(),
        (None, true) => Params::WEAK,
        (None, false) => Params::RELEASE,
    };
    let mine = identity::load_or_generate(&state, params).map_err(InitError::Identity)?;
    let public = Public {
        address: mine.verified.address(),
        identity: *mine.verified.identity(),
        endpoints: args.endpoint.clone(),
        tls_endpoints: args.tls_endpoint.clone(),
    };
    // A struct of texts and numbers always has a JSON form.
    let json = serde_json::to_string_pretty(&public).unwrap_or_default();
    state
        .write_public(PUBLIC, format!("{json}\n").as_bytes())
        .map_err(InitError::State)?;
    let dir = args.state_dir.display();
    let weak = if args.weak_proof_of_work {
        " --weak-proof-of-work"
    } else {
        ""
    };
    let Some(authority) = authority else {
        return Ok(format!(
            "supernode {}\nnext, where the world was made: zt-supernode world add --state-dir DIR --public {PUBLIC}\n\
             (with {dir}/{PUBLIC} of this machine), then here with the world.json that it writes:\n  \
             zt-supernode run --state-dir {dir} --world world.json{weak}",
            public.address
        ));
    };
    let world = authority
        .first(random(), &args.name, params, &public)
        .map_err(InitError::Authority)?;
    Ok(format!(
        "supernode {}\nworld {} serial {}\nhash {}\nnext: zt-supernode run --state-dir {dir}{weak}\n\
         and give {} to every node and netconf-master",
        public.address,
        args.name,
        world.world().serial,
        hex(&world.hash()),
        authority.file().display(),
    ))
}

/// The file by which this directory is in use already; none for a new one, and for one whose `init` was interrupted.
fn made_before(dir: &Path, joined: bool) -> Option<PathBuf> {
    let interrupted = !joined && Authority::is_in(dir);
    let names: &[&str] = if interrupted {
        &[WORLD]
    } else {
        &[WORLD, identity::FILE, PUBLIC]
    };
    names
        .iter()
        .map(|name| dir.join(name))
        .find(|file| file.exists())
}

/// `world add`. Returns what to tell the operator.
///
/// # Errors
/// [`InitError`], which knows its exit code.
pub fn add(args: &AddArgs) -> Result<String, InitError> {
    let authority = Authority::open(&args.state_dir).map_err(InitError::Authority)?;
    // Whoever holds the key of a test world has allowed it before.
    let old = world_file(authority.file(), true)?;
    let text = std::fs::read_to_string(&args.public)
        .map_err(|e| InitError::Public(args.public.clone(), e.to_string()))?;
    let mut public: Public = serde_json::from_str(&text)
        .map_err(|e| InitError::Public(args.public.clone(), e.to_string()))?;
    if !args.endpoint.is_empty() {
        public.endpoints.clone_from(&args.endpoint);
    }
    let world = authority.add(&old, &public).map_err(InitError::Authority)?;
    Ok(format!(
        "supernode {} added; world {} serial {}\nhash {}\n\
         a supernode that runs with this state directory takes the new world by itself, its nodes follow within \
         seconds\nnext, on the other machine, with {}: zt-supernode run --state-dir DIR --world {WORLD}",
        public.address,
        world.world().name,
        world.world().serial,
        hex(&world.hash()),
        authority.file().display(),
    ))
}

/// A world file, verified.
fn world_file(file: &Path, weak_allowed: bool) -> Result<VerifiedWorld, InitError> {
    world::read_file(file, weak_allowed).map_err(InitError::World)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness there are no keys; the kernel gives it once it has started.
    getrandom::fill(&mut bytes).expect("the kernel gives randomness to a running program");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn endpoint(text: &str) -> Result<SocketAddr, String> {
    let endpoint: SocketAddr = text.parse().map_err(|_| {
        "expected an IP address and a port, such as 203.0.113.7:9993 or [2001:db8::7]:9993"
            .to_owned()
    })?;
    if endpoint.ip().is_unspecified() || endpoint.ip().is_multicast() || endpoint.port() == 0 {
        return Err("nobody can reach that: name the address and port that others use".to_owned());
    }
    Ok(endpoint)
}

fn tls_endpoint(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty()
                && port.parse::<u16>().is_ok_and(|port| port != 0)
                && text.len() < 256 =>
        {
            Ok(text.to_owned())
        }
        _ => Err("expected a host name and a port, such as zt.example.org:443".to_owned()),
    }
}

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
        return Err("expected 1 to 255 bytes without control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Why `init` or `world add` fails.
#[derive(Debug)]
pub enum InitError {
    /// The state directory is in use for something.
    Exists(PathBuf),
    /// The state directory.
    State(StateError),
    /// The identity.
    Identity(IdentityError),
    /// The authority.
    Authority(AuthorityError),
    /// A world file.
    World(WorldError),
    /// The other supernode's public half.
    Public(PathBuf, String),
}

impl InitError {
    /// The exit code that goes with it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::Identity(error) => error.exit(),
            Self::Authority(error) => error.exit(),
            Self::World(error) => error.exit(),
            Self::Exists(_) | Self::Public(..) => Exit::Failed,
        }
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(file) => write!(
                f,
                "{} exists and is not replaced; `zt-supernode run` uses it, or choose another --state-dir",
                file.display()
            ),
            Self::State(error) => error.fmt(f),
            Self::Identity(error) => error.fmt(f),
            Self::Authority(error) => error.fmt(f),
            Self::World(error) => error.fmt(f),
            Self::Public(file, why) => {
                write!(
                    f,
                    "{}: no identity.public of a supernode: {why}",
                    file.display()
                )
            }
        }
    }
}

impl core::error::Error for InitError {}
