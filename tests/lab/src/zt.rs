//! The programs of a world as a person runs them: supernodes, a netconf-master, nodes, and the commands to each.
//!
//! In: hosts and binaries. Out: running programs, JSON as `zt-cli` prints it. Never: a file format or a port of ours
//! but those of the documented options.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

pub use self::{
    master::{Created, Master},
    node::{Joined, Node},
    supernode::Supernode,
};
use crate::{Failed, Host, Process, Programs};

mod master;
mod node;
mod supernode;

/// How much work a world asks for an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofOfWork {
    /// As on the real Internet: seconds.
    Release,
    /// As in a test: nothing.
    Weak,
}

/// What all programs of one world share.
#[derive(Clone, Debug)]
pub struct Kit {
    /// The binaries.
    pub programs: Programs,
    /// How much work an identity is.
    pub work: ProofOfWork,
    /// What `--workers` says; the programs' own choice when nothing.
    pub workers: Option<String>,
}

impl Kit {
    /// A kit for tests: weak proof of work, and as many workers as [`WORKERS`] in the environment says.
    pub fn weak(programs: Programs) -> Self {
        Self {
            programs,
            work: ProofOfWork::Weak,
            workers: std::env::var(WORKERS).ok(),
        }
    }

    fn flag(&self, command: &mut Command) {
        if self.work == ProofOfWork::Weak {
            command.arg("--weak-proof-of-work");
        }
        // Other commands of the programs run nothing.
        if let Some(workers) = &self.workers
            && command.get_args().any(|word| word == "run")
        {
            command.args(["--workers", workers]);
        }
    }
}

/// Names the workers of each program under test.
pub const WORKERS: &str = "ZT_TEST_WORKERS";

/// Starts a program and waits for its `READY=1`.
///
/// # Errors
/// When it ends instead, or says nothing in time.
pub fn serve(host: &Host, name: &str, command: &mut Command) -> Result<Process, Failed> {
    // Short and of this start only: a socket's path has to fit 108 bytes.
    let path = host.dir().join(format!("{name}.ready"));
    let _first_time = fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    command.env("NOTIFY_SOCKET", &path);
    let mut process = host.start(name, command)?;
    let deadline = Instant::now() + BIRTH;
    let mut said = [0; 1024];
    loop {
        if let Ok(length) = socket.recv(&mut said)
            && String::from_utf8_lossy(&said[..length]).contains("READY=1")
        {
            return Ok(process);
        }
        if let Some(code) = process.ended()? {
            return Err(Failed::new(format!(
                "{name} on {} ended with {code}:\n{}",
                host.name(),
                process.log()
            )));
        }
        if Instant::now() >= deadline {
            return Err(Failed::new(format!(
                "{name} on {} is not ready after {BIRTH:?}:\n{}",
                host.name(),
                process.log()
            )));
        }
    }
}

/// Asks until the answer is yes and says how long it took.
///
/// # Errors
/// With `otherwise` when it stays no for `limit`.
pub fn until(
    limit: Duration,
    otherwise: &str,
    mut question: impl FnMut() -> Result<bool, Failed>,
) -> Result<Duration, Failed> {
    let started = Instant::now();
    while !question()? {
        if started.elapsed() >= limit {
            return Err(Failed::new(format!("{otherwise} within {limit:?}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(started.elapsed())
}

/// A text field of a JSON object.
///
/// # Errors
/// When there is none.
pub fn text(object: &Value, field: &str) -> Result<String, Failed> {
    object[field]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Failed::new(format!("no text {field:?} in {object}")))
}

/// The addresses of a network's members. Large, so that no member is given one that a story gives to a host behind a
/// bridge: of 254, it is every thirtieth story that does.
pub const POOL: &str = "10.16.0.0/12";
/// The length of its prefix.
pub const POOL_PREFIX: u8 = 12;
/// The port that every program listens on unless told otherwise.
pub const PORT: u16 = 9993;
/// Longest that a program may take to serve: with luck against it, an identity takes half a minute of a slow core.
const BIRTH: Duration = Duration::from_mins(3);
/// Longest that a command may take.
const COMMAND: Duration = Duration::from_secs(40);
