//! The node's identity: loaded from the state directory, or searched for once with all cores.
//!
//! Owner: the state directory. In: a world's proof-of-work parameters. Out: keys with the proof that they hold.
//! Never: an identity made because the old one cannot be read.

use std::fmt;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use zt_crypto::pow::{self, Search, Unproven};
use zt_crypto::{Params, SecretIdentity, Verified};

use crate::exit::Exit;
use crate::state::{StateDir, StateError};

/// Our keys.
#[derive(Debug)]
pub struct Mine {
    /// The secret half.
    pub secret: SecretIdentity,
    /// The public half, proven.
    pub verified: Verified,
    /// It was made in this run.
    pub fresh: bool,
}

/// Loads the identity, or makes and keeps one where there is none.
///
/// # Errors
/// [`IdentityError`]; nothing is made or replaced then.
pub fn load_or_generate(state: &StateDir, params: Params) -> Result<Mine, IdentityError> {
    match load(state, params)? {
        Some(mine) => Ok(mine),
        None => generate_and_keep(state, params),
    }
}

/// The identity of the state directory, if it has one.
///
/// # Errors
/// [`IdentityError`] when it is there and cannot be used.
pub fn load(state: &StateDir, params: Params) -> Result<Option<Mine>, IdentityError> {
    let Some(bytes) = state.read(FILE).map_err(IdentityError::State)? else {
        return Ok(None);
    };
    let path = || state.path().join(FILE);
    let secret =
        SecretIdentity::from_bytes(&bytes).map_err(|_| IdentityError::Malformed(path()))?;
    let verified = pow::verify(secret.public(), &params)
        .map_err(|unproven| IdentityError::Unproven(path(), unproven))?;
    Ok(Some(Mine {
        secret,
        verified,
        fresh: false,
    }))
}

/// Makes an identity and keeps it in place of any other: for a first start, and for a collision at a first start.
///
/// # Errors
/// [`IdentityError::State`] when it cannot be kept, [`IdentityError::NotFound`] when no thread could search.
pub fn generate_and_keep(state: &StateDir, params: Params) -> Result<Mine, IdentityError> {
    let (secret, verified) = generate(params)?;
    state
        .write(FILE, secret.to_bytes().as_slice())
        .map_err(IdentityError::State)?;
    tracing::info!(address = %verified.address(), fingerprint = %verified.key(), "identity made");
    Ok(Mine {
        secret,
        verified,
        fresh: true,
    })
}

/// Searches on all cores, each with the proof of work's memory until it ends; shows progress on a terminal.
fn generate(params: Params) -> Result<(SecretIdentity, Verified), IdentityError> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    // Without randomness there are no keys; the kernel gives it once it has started.
    getrandom::fill(seed.as_mut()).expect("the kernel gives randomness to a running program");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let search = Search::new(&seed, params);
    let bar = progress(params);
    std::thread::scope(|scope| {
        let (found, first) = mpsc::channel();
        for _ in 0..cores {
            let (found, search) = (found.clone(), &search);
            // Threads that do not start leave the search to the others.
            let _ = std::thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, move || {
                    if let Some(identity) = search.run() {
                        // Only the first find is used.
                        let _ = found.send(identity);
                    }
                });
        }
        drop(found);
        let identity = loop {
            match first.recv_timeout(SHOWN_EVERY) {
                Ok(identity) => break Ok(identity),
                Err(mpsc::RecvTimeoutError::Timeout) => bar.set_position(search.tried()),
                Err(mpsc::RecvTimeoutError::Disconnected) => break Err(IdentityError::NotFound),
            }
        };
        search.stop();
        bar.finish_and_clear();
        identity
    })
}

fn progress(params: Params) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(params.mean_tries());
    if let Ok(style) = ProgressStyle::with_template(
        "making this node's identity {bar:30} {pos} tries of about {len} on average, {elapsed}",
    ) {
        bar.set_style(style);
    }
    bar
}

/// Why there is no identity to run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// The state directory does not give or take it.
    State(StateError),
    /// The file is whole and holds no identity that this version knows.
    Malformed(PathBuf),
    /// It was made for a world with other parameters.
    Unproven(PathBuf, Unproven),
    /// No thread could be started to search.
    NotFound,
}

impl IdentityError {
    /// The exit code that goes with it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::Malformed(_) => Exit::State,
            Self::Unproven(..) | Self::NotFound => Exit::Failed,
        }
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(error) => error.fmt(f),
            Self::Malformed(path) => write!(
                f,
                "{}: holds no identity of this version; restore it from a backup, or move it away to become another node",
                path.display()
            ),
            Self::Unproven(path, unproven) => write!(
                f,
                "{}: does not hold in this world ({unproven}); use the world it was made for or another --state-dir",
                path.display()
            ),
            Self::NotFound => f.write_str("no identity was found: no thread could be started"),
        }
    }
}

impl std::error::Error for IdentityError {}

/// The identity's file.
pub const FILE: &str = "identity";
/// How often progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(100);
/// Bytes of stack of a searching thread.
const STACK: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, StateDir) {
        let outer = tempfile::tempdir().unwrap();
        let state = StateDir::open(&outer.path().join("state")).unwrap();
        (outer, state)
    }

    #[test]
    fn an_identity_is_made_once_and_then_stays() {
        let (_outer, state) = state();
        let first = load_or_generate(&state, Params::WEAK).unwrap();
        let second = load_or_generate(&state, Params::WEAK).unwrap();
        assert!(first.fresh && !second.fresh);
        assert_eq!(first.verified.key(), second.verified.key());
    }

    #[test]
    fn an_unreadable_identity_is_an_error_and_stays_as_it_is() {
        let (_outer, state) = state();
        load_or_generate(&state, Params::WEAK).unwrap();
        let path = state.path().join(FILE);
        std::fs::write(&path, b"garbage").unwrap();
        assert_eq!(
            load_or_generate(&state, Params::WEAK).unwrap_err().exit(),
            Exit::State
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"garbage");
        state.write(FILE, b"whole, yet no identity").unwrap();
        assert_eq!(
            load_or_generate(&state, Params::WEAK).unwrap_err(),
            IdentityError::Malformed(path)
        );
    }
}
