//! The exit codes of the programs, the same for all of them.
//!
//! Owner: nobody; a value. In: an error that knows its code. Out: the process's exit code.
//! Never: an exit by itself; only `main` ends a process.

use std::process::ExitCode;

/// How a program ends (interface.md, exit codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is done.
    Done = 0,
    /// It failed; the reason is on stderr.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// State is unreadable or corrupt.
    State = 3,
    /// An address or device is in use.
    InUse = 4,
    /// The state directory is locked by another instance.
    Locked = 5,
    /// The daemon does not run.
    NotRunning = 6,
    /// Time ran out.
    TimedOut = 7,
    /// The other side said no.
    Denied = 8,
}

impl Exit {
    /// The number that scripts see.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
