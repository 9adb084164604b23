//! zt-supernode: introduces nodes to each other, relays between those who cannot meet, keeps the registry of addresses.
//!
//! In: options. Out: an exit code. Never: more than choosing what to run.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use zt_driver::Exit;
use zt_supernode::init::{self, AddArgs, InitArgs};
use zt_supernode::run::{self, RunArgs};

/// Introduces nodes to each other, relays between those who cannot meet, keeps the registry of addresses.
#[derive(Debug, Parser)]
#[command(
    name = "zt-supernode",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "\
Example:
  zt-supernode init --state-dir /var/lib/zt/supernode --endpoint 203.0.113.7:9993 --name friends
  zt-supernode run --state-dir /var/lib/zt/supernode

Exit codes: 0 done; 1 failed; 2 usage; 3 state corrupt; 4 address in use; 5 state locked."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make identity and world; with --join-world only the identity
    Init(InitArgs),
    /// Run the supernode
    Run(RunArgs),
    /// Change the world
    #[command(subcommand, arg_required_else_help = true)]
    World(WorldCommand),
}

#[derive(Debug, Subcommand)]
enum WorldCommand {
    /// Add a supernode: next serial, signed
    Add(AddArgs),
}

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Init(args) => told(init::init(&args).map_err(|e| (e.exit(), e.to_string()))),
        Command::World(WorldCommand::Add(args)) => {
            told(init::add(&args).map_err(|e| (e.exit(), e.to_string())))
        }
        Command::Run(args) => run::run(&args).map_err(|e| (e.exit(), e.to_string())),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err((exit, why)) => {
            eprintln!("zt-supernode: {why}");
            exit.into()
        }
    }
}

fn told(result: Result<String, (Exit, String)>) -> Result<Exit, (Exit, String)> {
    result.map(|text| {
        println!("{text}");
        Exit::Done
    })
}
