//! The world a program enters: from a file, an invite or an earlier run, whichever is newest.
//!
//! Owner: the state directory. In: signed bytes, the operator's word about weak proof of work. Out: a verified world.
//! Never: a weak world without both words for it; an older world in place of a newer one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zt_crypto::BadWorld;
use zt_crypto::VerifiedWorld;
use zt_wire::json::BadWorldFile;

use crate::exit::Exit;
use crate::state::{StateDir, StateError};

/// The file of the newest world known.
pub const STORED: &str = "world";

/// Where the operator says the world is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorldFrom {
    /// A world file.
    File(PathBuf),
    /// Signed bytes, from an invite.
    Signed(Vec<u8>),
    /// The one of an earlier run.
    Stored,
}

/// Reads, verifies and compares with the stored world; what is newest is stored and used.
///
/// # Errors
/// [`WorldError`].
pub fn enter(
    state: &StateDir,
    from: &WorldFrom,
    weak_allowed: bool,
) -> Result<VerifiedWorld, WorldError> {
    let stored = stored(state, weak_allowed)?;
    let given = match from {
        WorldFrom::File(path) => Some(read_file(path, weak_allowed)?),
        WorldFrom::Signed(signed) => Some(
            VerifiedWorld::first(signed, weak_allowed).map_err(|bad| WorldError::Bad(None, bad))?,
        ),
        WorldFrom::Stored => None,
    };
    let world = match (given, stored) {
        (None, None) => return Err(WorldError::None),
        (None, Some(stored)) => return Ok(stored),
        (Some(given), None) => given,
        (Some(given), Some(stored)) => {
            if given.world().id != stored.world().id {
                return Err(WorldError::Another(state.path().to_path_buf()));
            }
            if given.world().serial <= stored.world().serial {
                return Ok(stored);
            }
            given
        }
    };
    state
        .write(STORED, world.bytes())
        .map_err(WorldError::State)?;
    Ok(world)
}

/// Reads a world file and verifies all that it says.
///
/// # Errors
/// [`WorldError::Unreadable`], [`WorldError::Malformed`], [`WorldError::Bad`].
pub fn read_file(path: &Path, weak_allowed: bool) -> Result<VerifiedWorld, WorldError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| WorldError::Unreadable(path.to_path_buf(), error))?;
    let signed = zt_wire::json::world_from_json(&text)
        .map_err(|bad| WorldError::Malformed(path.to_path_buf(), bad))?;
    VerifiedWorld::first(&signed, weak_allowed)
        .map_err(|bad| WorldError::Bad(Some(path.to_path_buf()), bad))
}

fn stored(state: &StateDir, weak_allowed: bool) -> Result<Option<VerifiedWorld>, WorldError> {
    let Some(signed) = state.read(STORED).map_err(WorldError::State)? else {
        return Ok(None);
    };
    match VerifiedWorld::first(&signed, weak_allowed) {
        Ok(world) => Ok(Some(world)),
        Err(bad) => Err(WorldError::Bad(Some(state.path().join(STORED)), bad)),
    }
}

/// Why no world can be entered.
#[derive(Debug)]
pub enum WorldError {
    /// None was given and none is stored.
    None,
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file is no world file.
    Malformed(PathBuf, BadWorldFile),
    /// What it says does not hold; of a file, or of an invite.
    Bad(Option<PathBuf>, BadWorld),
    /// The state directory belongs to another world.
    Another(PathBuf),
    /// The stored world cannot be read or kept.
    State(StateError),
}

impl WorldError {
    /// The exit code that goes with it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::None => Exit::Usage,
            Self::State(error) => error.exit(),
            Self::Unreadable(..) | Self::Malformed(..) | Self::Bad(..) | Self::Another(_) => {
                Exit::Failed
            }
        }
    }
}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no world is known yet: give --world FILE"),
            Self::Unreadable(path, error) => write!(f, "world file {}: {error}", path.display()),
            Self::Malformed(path, bad) => write!(f, "{}: {bad}", path.display()),
            Self::Bad(Some(path), bad) => write!(f, "{}: {bad}", path.display()),
            Self::Bad(None, bad) => write!(f, "the invite's world: {bad}"),
            Self::Another(path) => write!(
                f,
                "state directory {} belongs to another world; choose another --state-dir for this one",
                path.display()
            ),
            Self::State(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WorldError {}

#[cfg(test)]
mod tests {
    use zt_crypto::pow::Search;
    use zt_crypto::{Params, SecretIdentity};
    use zt_wire::{ProofOfWork, World, WorldSupernode};

    use super::*;

    fn signer() -> SecretIdentity {
        Search::new(&[7; 32], Params::WEAK).run().unwrap().0
    }

    fn world(id: u8, serial: u64) -> Vec<u8> {
        let signer = signer();
        let key = *signer.public().ed25519();
        signer.sign(&World {
            id: [id; 16],
            serial,
            name: "test".into(),
            proof_of_work: ProofOfWork {
                memory_kib: Params::WEAK.memory_kib(),
                passes: Params::WEAK.passes(),
                bits: Params::WEAK.bits(),
                weak: true,
            },
            signing_key: key,
            next_key: key,
            supernodes: vec![WorldSupernode {
                identity: *signer.public(),
                endpoints: vec!["192.0.2.1:9993".parse().unwrap()],
                tls_endpoints: Vec::new(),
            }],
        })
    }

    fn state() -> (tempfile::TempDir, StateDir) {
        let outer = tempfile::tempdir().unwrap();
        let state = StateDir::open(&outer.path().join("state")).unwrap();
        (outer, state)
    }

    #[test]
    fn the_newer_of_the_given_and_the_stored_world_is_entered() {
        let (_outer, state) = state();
        let serial = |from: WorldFrom| enter(&state, &from, true).unwrap().world().serial;
        assert_eq!(serial(WorldFrom::Signed(world(1, 2))), 2);
        assert_eq!(serial(WorldFrom::Signed(world(1, 1))), 2);
        assert_eq!(serial(WorldFrom::Signed(world(1, 3))), 3);
        assert_eq!(serial(WorldFrom::Stored), 3);
    }

    #[test]
    fn a_state_directory_stays_in_its_world() {
        let (_outer, state) = state();
        enter(&state, &WorldFrom::Signed(world(1, 1)), true).unwrap();
        let other = enter(&state, &WorldFrom::Signed(world(2, 9)), true);
        assert!(matches!(other, Err(WorldError::Another(_))));
    }

    #[test]
    fn no_world_at_all_is_wrong_usage_and_a_forged_one_is_refused() {
        let (_outer, state) = state();
        let none = enter(&state, &WorldFrom::Stored, true).unwrap_err();
        assert_eq!(none.exit(), Exit::Usage);
        let mut forged = world(1, 1);
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let forged = enter(&state, &WorldFrom::Signed(forged), true);
        assert!(matches!(
            forged,
            Err(WorldError::Bad(None, BadWorld::Signature))
        ));
        assert_eq!(state.read(STORED), Ok(None));
    }
}
