//! zt-netconf-master: decides who is a member of which network.
//!
//! In: options. Out: an exit code. Never: more than choosing what to run.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use zt_netconf_master::run::{self, RunArgs};

/// Decides who is a member of which network, and serves the HTTP API for it.
#[derive(Debug, Parser)]
#[command(
    name = "zt-netconf-master",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "\
Example:
  zt-netconf-master run --state-dir /var/lib/zt/master --world world.json

Exit codes: 0 done; 1 failed; 2 usage; 3 state corrupt; 4 address in use; 5 state locked by another instance."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller
    Run(RunArgs),
}

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    match run::run(&args) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("zt-netconf-master: {error}");
            error.exit().into()
        }
    }
}
