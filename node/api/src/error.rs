//! What can go wrong between a client and a daemon, and the exit code each of it means.
//!
//! In: failures of the transport, error answers. Out: `ApiError` with a sentence that says what to do next.
//! Never: a retry.

use core::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The exit codes of every program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed; the reason is on stderr.
    Failed = 1,
    /// Wrong arguments.
    Usage = 2,
    /// The state is unreadable or corrupt.
    State = 3,
    /// An address or a device is in use.
    InUse = 4,
    /// The state is locked by another instance.
    Locked = 5,
    /// The daemon is not running.
    NotRunning = 6,
    /// Timed out.
    TimedOut = 7,
    /// Denied.
    Denied = 8,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The body of every error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence for a person.
    pub error: String,
    /// The field of the request that is wrong, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The same for a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

/// Why a node did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// No such network is joined.
    NoSuchNetwork,
    /// No such peer is known or found.
    NoSuchPeer,
    /// No answer in time.
    TimedOut,
    /// The controller is pinned to another key.
    Pinned,
    /// A table is full.
    Full,
    /// The request is not what it should be.
    Malformed,
    /// The signature or serial does not allow it.
    Refused,
    /// An address to listen on is in use, or not this machine's.
    InUse,
    /// The member's operator has not agreed.
    NotAgreed,
    /// No member of that network.
    NotMember,
    /// Another one is on.
    Busy,
    /// The other end does not know what was asked.
    Unsupported,
}

impl Trouble {
    /// The HTTP status a daemon answers with.
    pub const fn status(self) -> u16 {
        match self {
            Self::NoSuchNetwork | Self::NoSuchPeer | Self::NotMember => 404,
            Self::TimedOut | Self::Unsupported => 504,
            Self::Pinned | Self::InUse => 409,
            Self::Full | Self::Busy => 503,
            Self::Malformed => 400,
            Self::Refused | Self::NotAgreed => 403,
        }
    }
}

/// Why a request to a daemon failed.
#[derive(Debug)]
pub enum ApiError {
    /// Nobody listens on the socket.
    NoDaemon {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket is there, but this user may not use it.
    NoPermission {
        /// The socket.
        socket: PathBuf,
    },
    /// Nobody listens at the address.
    NoServer {
        /// `HOST:PORT`.
        authority: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not `http://HOST:PORT`.
    BadUrl {
        /// What was given.
        url: String,
    },
    /// No answer within the limit.
    TimedOut,
    /// The connection broke, or the answer is no HTTP.
    Broken(String),
    /// The answer is HTTP, but not the JSON expected: the two programs are of different versions.
    Unexpected(String),
    /// The daemon refused.
    Answer {
        /// The HTTP status.
        status: u16,
        /// What it says.
        body: ErrorBody,
    },
}

impl ApiError {
    /// The exit code for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoDaemon { .. } | Self::NoServer { .. } => Exit::NotRunning,
            Self::TimedOut => Exit::TimedOut,
            Self::BadUrl { .. } => Exit::Usage,
            Self::NoPermission { .. } => Exit::Denied,
            Self::Broken(_) | Self::Unexpected(_) => Exit::Failed,
            Self::Answer { status, body } => match (body.trouble, *status) {
                (Some(Trouble::Pinned | Trouble::Refused), _) | (_, 401 | 403) => Exit::Denied,
                (Some(Trouble::InUse), _) => Exit::InUse,
                (Some(Trouble::TimedOut), _) | (_, 504) => Exit::TimedOut,
                _ => Exit::Failed,
            },
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDaemon { socket } => write!(
                f,
                "no zt-node is running at {}; start one with `zt-node run`, or name its socket with --socket PATH",
                socket.display()
            ),
            Self::NoPermission { socket } => write!(
                f,
                "this user may not use {}; run the command as root or join the socket's group",
                socket.display()
            ),
            Self::NoServer { authority, source } => write!(
                f,
                "no netconf-master answers at {authority} ({source}); start one with `zt-netconf-master run`, or name \
                 its address with --master URL"
            ),
            Self::BadUrl { url } => write!(
                f,
                "expected a URL such as http://127.0.0.1:9994, found {url}"
            ),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
            Self::Unexpected(why) => {
                write!(
                    f,
                    "the answer is not understood ({why}); are both programs of the same version?"
                )
            }
            Self::Answer { status: 401, .. } => {
                f.write_str("the token is not accepted; name the right file with --token-file FILE")
            }
            Self::Answer { body, .. } => match &body.field {
                Some(field) => write!(f, "{}: {}", field, body.error),
                None => f.write_str(&body.error),
            },
        }
    }
}

impl core::error::Error for ApiError {}
