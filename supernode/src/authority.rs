//! The authority over a world: the key that signs it, and the worlds that it signs.
//!
//! Owner: DIR/authority, a state directory of its own, so that it may be used while the supernode runs, or kept
//! elsewhere. In: supernodes' public halves. Out: DIR/world.json. Never: the key over the network or in a log.

use core::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zt_crypto::{Params, SigningSecret, VerifiedWorld, pow};
use zt_driver::{Exit, StateDir, StateError};
use zt_wire::{Address, Identity, ProofOfWork, World, WorldSupernode};

/// The directory of the authority inside a supernode's state directory.
const DIR: &str = "authority";
/// The signing key in it.
const KEY: &str = "key";
/// The world file in a supernode's state directory.
pub const WORLD: &str = "world.json";
/// The public half of a supernode in its state directory.
pub const PUBLIC: &str = "identity.public";

/// What `init` writes for another supernode's `world add`: who, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// The address that follows from the identity; for people.
    pub address: Address,
    /// The identity.
    pub identity: Identity,
    /// Where it answers.
    pub endpoints: Vec<SocketAddr>,
    /// Where it answers over TLS, one day.
    #[serde(default)]
    pub tls_endpoints: Vec<String>,
}

/// The authority, open and locked.
#[derive(Debug)]
pub struct Authority {
    key: SigningSecret,
    file: PathBuf,
    // Held so that two `world add` cannot sign the same serial.
    _lock: StateDir,
}

impl Authority {
    /// Whether a supernode's state directory has an authority.
    pub fn is_in(state: &Path) -> bool {
        state.join(DIR).join(KEY).exists()
    }

    /// Makes an authority in a supernode's state directory, or takes the one that is there.
    ///
    /// # Errors
    /// [`AuthorityError::State`], [`AuthorityError::Key`].
    pub fn create(state: &Path, seed: impl FnOnce() -> [u8; 32]) -> Result<Self, AuthorityError> {
        if Self::is_in(state) {
            return Self::open(state);
        }
        let lock = StateDir::open(&state.join(DIR)).map_err(AuthorityError::State)?;
        let key = SigningSecret::from_seed(&seed());
        lock.write(KEY, key.to_seed().as_slice())
            .map_err(AuthorityError::State)?;
        Ok(Self {
            key,
            file: state.join(WORLD),
            _lock: lock,
        })
    }

    /// Opens the authority of a supernode's state directory.
    ///
    /// # Errors
    /// [`AuthorityError::None`] when this supernode did not make its world; [`AuthorityError::State`].
    pub fn open(state: &Path) -> Result<Self, AuthorityError> {
        let dir = state.join(DIR);
        if !Self::is_in(state) {
            return Err(AuthorityError::None(state.to_owned()));
        }
        let lock = StateDir::open(&dir).map_err(AuthorityError::State)?;
        let none = || AuthorityError::None(state.to_owned());
        let seed = lock
            .read(KEY)
            .map_err(AuthorityError::State)?
            .ok_or_else(none)?;
        let seed = <[u8; 32]>::try_from(seed.as_slice())
            .map_err(|_| AuthorityError::Key(dir.join(KEY)))?;
        Ok(Self {
            key: SigningSecret::from_seed(&seed),
            file: state.join(WORLD),
            _lock: lock,
        })
    }

    /// Signs the first world and writes its file.
    ///
    /// # Errors
    /// [`AuthorityError::World`] when what is asked for breaks a rule, [`AuthorityError::Write`].
    pub fn first(
        &self,
        id: [u8; 16],
        name: &str,
        params: Params,
        first: &Public,
    ) -> Result<VerifiedWorld, AuthorityError> {
        let world = World {
            id,
            serial: 1,
            name: name.to_owned(),
            proof_of_work: ProofOfWork {
                memory_kib: params.memory_kib(),
                passes: params.passes(),
                bits: params.bits(),
                weak: params.is_weak(),
            },
            signing_key: self.key.public(),
            next_key: self.key.public(),
            supernodes: vec![entry(first)],
        };
        let signed = VerifiedWorld::first(&self.key.sign(&world), params.is_weak())
            .map_err(|bad| AuthorityError::World(bad.to_string()))?;
        self.write(&signed)?;
        Ok(signed)
    }

    /// Adds a supernode, or gives a known one other endpoints; signs the next serial and writes its file.
    ///
    /// # Errors
    /// [`AuthorityError::Unchanged`], [`AuthorityError::Unproven`], [`AuthorityError::World`], [`AuthorityError::Write`].
    pub fn add(
        &self,
        old: &VerifiedWorld,
        public: &Public,
    ) -> Result<VerifiedWorld, AuthorityError> {
        let proven =
            pow::verify(&public.identity, &old.params()).map_err(|_| AuthorityError::Unproven)?;
        if proven.address() != public.address {
            return Err(AuthorityError::Unproven);
        }
        let mut world = old.world().clone();
        let wanted = entry(public);
        match world
            .supernodes
            .iter_mut()
            .find(|known| known.identity == public.identity)
        {
            Some(known) if *known == wanted => {
                return Err(AuthorityError::Unchanged(public.address));
            }
            Some(known) => *known = wanted,
            None => world.supernodes.push(wanted),
        }
        world.serial += 1;
        world.signing_key = self.key.public();
        world.next_key = self.key.public();
        let signed = old
            .successor(&self.key.sign(&world))
            .map_err(|bad| AuthorityError::World(bad.to_string()))?;
        self.write(&signed)?;
        Ok(signed)
    }

    /// Where the world file is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn write(&self, world: &VerifiedWorld) -> Result<(), AuthorityError> {
        let json = zt_wire::json::world_to_json(world.bytes())
            .map_err(|bad| AuthorityError::World(bad.to_string()))?;
        write_public(&self.file, json.as_bytes())
            .map_err(|e| AuthorityError::Write(self.file.clone(), e.to_string()))
    }
}

fn entry(public: &Public) -> WorldSupernode {
    WorldSupernode {
        identity: public.identity,
        endpoints: public.endpoints.clone(),
        tls_endpoints: public.tls_endpoints.clone(),
    }
}

/// Replaces a file that everybody may read: after a crash it holds the old content or the new.
///
/// The state directory's own functions need its lock, which the running supernode has.
fn write_public(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("."));
    let temporary = dir.join(format!(".{WORLD}.new"));
    match std::fs::remove_file(&temporary) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    let mut open = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&temporary)?;
    open.write_all(content)?;
    open.sync_all()?;
    // Before the rename: closing a file that was written is news to who watches it by name.
    drop(open);
    std::fs::rename(&temporary, file)?;
    std::fs::File::open(dir)?.sync_all()
}

/// Why a world is not signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityError {
    /// This state directory has none.
    None(PathBuf),
    /// The key is damaged.
    Key(PathBuf),
    /// The state directory.
    State(StateError),
    /// The identity does not hold in this world.
    Unproven,
    /// It is in the world already, just so.
    Unchanged(Address),
    /// What is asked for breaks a rule of the world.
    World(String),
    /// The file cannot be written.
    Write(PathBuf, String),
}

impl AuthorityError {
    /// The exit code that goes with it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::Key(_) => Exit::State,
            Self::None(_)
            | Self::Unproven
            | Self::Unchanged(_)
            | Self::World(_)
            | Self::Write(..) => Exit::Failed,
        }
    }
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(dir) => write!(
                f,
                "{} holds no world key; run this where `zt-supernode init` made the world",
                dir.display()
            ),
            Self::Key(file) => write!(f, "{} is damaged; restore it from a backup", file.display()),
            Self::State(error) => error.fmt(f),
            Self::Unproven => f.write_str(
                "the identity does not hold in this world; make it with \
                 `zt-supernode init --join-world WORLD-FILE` and this world's file",
            ),
            Self::Unchanged(address) => write!(
                f,
                "supernode {address} is in the world already, with these endpoints"
            ),
            Self::World(why) => write!(f, "no such world: {why}"),
            Self::Write(file, why) => write!(f, "{}: {why}", file.display()),
        }
    }
}

impl core::error::Error for AuthorityError {}
