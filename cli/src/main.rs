//! zt-cli: what people and scripts type to a node and to a netconf-master.
//!
//! In: arguments. Out: text or JSON, an exit code. Never: anything a daemon has to decide.

#![forbid(unsafe_code)]

mod args;
mod children;
mod doctor;
mod ipx;
mod join;
mod master;
mod node;
mod output;
mod pairs;
mod rules;
mod selftest;
mod show;
mod target;
mod up;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use zt_api::{Exit, NodeClient, default_socket};

use crate::args::{Cli, Command};
use crate::output::{Failure, Output};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return wrong_arguments(&error),
    };
    let output = Output { json: cli.json };
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Failed, format!("no runtime: {e}")))
        .and_then(|runtime| runtime.block_on(run(cli, output)));
    match ended {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            output.fail(&failure);
            failure.exit.into()
        }
    }
}

async fn run(cli: Cli, output: Output) -> Result<(), Failure> {
    let node = NodeClient::new(cli.socket.unwrap_or_else(default_socket));
    match cli.command {
        Command::Info => node::info(&node, output).await,
        Command::Networks => node::networks(&node, output).await,
        Command::Peers => node::peers(&node, output).await,
        Command::Paths { address } => node::paths(&node, address, output).await,
        Command::Why { address } => node::why(&node, address, output).await,
        Command::Ping(ping) => node::ping(&node, &ping, output).await,
        Command::Ipx { command } => ipx::ipx(&node, &command, output).await,
        Command::Selftest(args) => selftest::selftest(&node, &args, output).await,
        Command::Doctor { command } => doctor::doctor(&node, &command, output).await,
        Command::Counters => node::counters(&node, output).await,
        Command::Dump { file } => node::dump(&node, &file, output).await,
        Command::Join(join) => join::join(&node, &join, output).await,
        Command::Leave { network } => node::leave(&node, network, output).await,
        Command::Set { network, settings } => node::set(&node, network, &settings, output).await,
        Command::Network(network) => {
            master::network(&master::client(&network.master)?, &network.command, output).await
        }
        Command::Member(member) => {
            master::member(&master::client(&member.master)?, &member.command, output).await
        }
        Command::Invite(invite) => {
            master::invite(&master::client(&invite.master)?, &invite.command, output).await
        }
        Command::Rules(asked) => rules::rules(&asked, output).await,
        Command::World { invite } => target::world(&invite),
        Command::Up(up) => up::up(&up, output).await,
    }
}

/// Says what is wrong with the arguments; help and version are no mistake.
fn wrong_arguments(error: &clap::Error) -> ExitCode {
    let asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if !asked && std::env::args().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let text = text.trim().trim_start_matches("error: ");
        Output { json: true }.fail(&Failure::new(Exit::Usage, text));
        return Exit::Usage.into();
    }
    // Nothing can be done when the reader is gone.
    let _ = error.print();
    if asked {
        Exit::Done.into()
    } else {
        Exit::Usage.into()
    }
}
