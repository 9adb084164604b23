//! A node and the commands with which people use it.
//!
//! In: a host, binaries, a world file. Out: what `zt-cli` prints about it. Never: its state directory but the socket.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{COMMAND, Kit, serve, text, until};
use crate::{Failed, Host, Outcome, Process};

/// A node on a host.
#[derive(Debug)]
pub struct Node {
    /// Where it runs.
    pub host: Host,
    /// Its state directory.
    pub state: PathBuf,
    /// The program.
    pub process: Process,
    /// How long it took from the start of the program to `READY=1`; the first time with making an identity.
    pub started_in: Duration,
    world: PathBuf,
    kit: Kit,
}

impl Node {
    /// `zt-node run`.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn run(kit: &Kit, host: &Host, world: &Path) -> Result<Self, Failed> {
        let state = host.dir().join("node");
        let started = Instant::now();
        let mut command = Self::command(kit, host, &state, world);
        let process = serve(host, "node", &mut command)?;
        Ok(Self {
            host: host.clone(),
            state,
            process,
            started_in: started.elapsed(),
            world: world.to_path_buf(),
            kit: kit.clone(),
        })
    }

    /// The command that runs a node with a state directory.
    pub fn command(kit: &Kit, host: &Host, state: &Path, world: &Path) -> Command {
        let mut command = host.command(kit.programs.node());
        command
            .args(["run", "--state-dir"])
            .arg(state)
            .arg("--world")
            .arg(world);
        kit.flag(&mut command);
        command
    }

    /// Starts it again after an end.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn restart(&mut self) -> Result<(), Failed> {
        let _gone_already = self.process.kill();
        self.process = Self::run(&self.kit, &self.host, &self.world)?.process;
        Ok(())
    }

    /// A `zt-cli` command to this node, with `--json`, and what came back.
    ///
    /// # Errors
    /// When it does not end within the time it was given plus some.
    pub fn cli(&self, arguments: &[&str]) -> Result<Outcome, Failed> {
        let mut command = self.host.command(self.kit.programs.cli());
        command
            .arg("--socket")
            .arg(self.state.join("node.sock"))
            .arg("--json")
            .args(arguments);
        Outcome::of(&mut command, COMMAND)
    }

    /// Like [`Node::cli`], and it has to succeed and print JSON.
    ///
    /// # Errors
    /// When it does not.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value, Failed> {
        self.cli(arguments)?
            .good()
            .and_then(|outcome| outcome.json())
            .map_err(|failed| {
                failed.during(&format!(
                    "zt-cli {} on {}",
                    arguments.join(" "),
                    self.host.name()
                ))
            })
    }

    /// Joins and waits until the network is `ok`.
    ///
    /// # Errors
    /// When it is not within 15 s.
    pub fn join(&self, what: &str) -> Result<Joined, Failed> {
        let outcome = self
            .cli(&["join", what, "--wait", "15"])?
            .good()
            .map_err(|failed| failed.during(&format!("zt-cli join on {}", self.host.name())))?;
        let id = id_of(what, self)?;
        let mut joined = self.joined(&id)?;
        joined.took = outcome.took;
        Ok(joined)
    }

    /// What this node says of a network that is `ok`.
    ///
    /// # Errors
    /// When it is not.
    pub fn joined(&self, id: &str) -> Result<Joined, Failed> {
        let network = self.network(id)?;
        if network["status"] != "ok" {
            return Err(Failed::new(format!("network {id} is not ok: {network}")));
        }
        let ip = network["addresses"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find_map(|cidr| cidr.split('/').next()?.parse().ok())
            .ok_or_else(|| Failed::new(format!("no IPv4 address: {network}")))?;
        Ok(Joined {
            id: id.to_owned(),
            device: text(&network, "device")?,
            ip,
            took: Duration::ZERO,
        })
    }

    /// What `networks` says of one network.
    ///
    /// # Errors
    /// When this node has not joined it.
    pub fn network(&self, id: &str) -> Result<Value, Failed> {
        let networks = self.ask(&["networks"])?;
        networks
            .as_array()
            .into_iter()
            .flatten()
            .find(|network| network["id"] == id)
            .cloned()
            .ok_or_else(|| Failed::new(format!("network {id} is not in {networks}")))
    }

    /// What `peers` says of one peer; null when this node knows none.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn peer(&self, address: &str) -> Result<Value, Failed> {
        let peers = self.ask(&["peers"])?;
        Ok(peers
            .as_array()
            .into_iter()
            .flatten()
            .find(|peer| peer["address"] == address)
            .cloned()
            .unwrap_or(Value::Null))
    }

    /// This node's address.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn address(&self) -> Result<String, Failed> {
        text(&self.ask(&["info"])?, "address")
    }

    /// Waits until it says that a supernode answers.
    ///
    /// # Errors
    /// When none does within 10 s.
    pub fn online(&self) -> Result<(), Failed> {
        until(Duration::from_secs(10), "info never says online", || {
            Ok(self.ask(&["info"])?["online"] == true)
        })
        .map(|_| ())
    }

    /// The world file it was started with.
    pub fn world(&self) -> &Path {
        &self.world
    }
}

/// Where a node is on a network it has joined.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The network.
    pub id: String,
    /// Its device.
    pub device: String,
    /// Its IPv4 address there.
    pub ip: Ipv4Addr,
    /// How long the join took.
    pub took: Duration,
}

/// The network id of what was joined: an id, an id with fingerprint, or the network joined last by invite.
fn id_of(what: &str, node: &Node) -> Result<String, Failed> {
    if !what.starts_with("zt1-") {
        return Ok(what.split('#').next().unwrap_or(what).to_owned());
    }
    let networks = node.ask(&["networks"])?;
    networks
        .as_array()
        .and_then(|networks| networks.last())
        .ok_or_else(|| Failed::new("no network after a join"))
        .and_then(|network| text(network, "id"))
}
