//! The real zt-cli, run once.
//!
//! Owner: the tests. In: a daemon's socket, arguments. Out: what it said and how it ended.
//! Never: a daemon of its own.

use std::path::Path;
use std::process::{Command, Output};

pub fn cli(socket: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zt-cli"))
        .env("ZT_SOCKET", socket)
        .args(arguments)
        .output()
        .unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
