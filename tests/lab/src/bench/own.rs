//! Ourselves on the two hosts: supernode and netconf-master beside one of the nodes, both nodes in one network.
//!
//! In: binaries, which suite, whether through the relay. Out: two nodes that ping each other over the wanted path.
//! Never: a measurement over another path or suite than the one in the name.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::ground::{Ground, UNDER_A};
use crate::{
    Failed, Host, Outcome, Process, traffic,
    zt::{Kit, Supernode, serve, text, until},
};

/// How we are measured.
#[derive(Clone, Debug)]
pub struct Own {
    kit: Kit,
    suite: &'static str,
    relay: bool,
}

/// The programs of a run; dropping ends them.
#[derive(Debug)]
pub struct OwnWorld {
    _supernode: Supernode,
    _master: Process,
    _nodes: Vec<Process>,
}

impl Own {
    /// The ways in which we are measured.
    pub fn all(kit: &Kit) -> [Self; 3] {
        let own = |suite, relay| Self {
            kit: kit.clone(),
            suite,
            relay,
        };
        [own("aes", false), own("xsalsa20", false), own("aes", true)]
    }

    /// The name in the table.
    pub fn name(&self) -> &str {
        match (self.suite, self.relay) {
            (_, true) => "zt relay",
            ("aes", false) => "zt aes",
            (_, false) => "zt salsa",
        }
    }

    /// Starts everything; the overlay addresses of both ends and the time to the first ping.
    ///
    /// # Errors
    /// When a program does not serve, or the path or suite is another one.
    pub fn start(&self, ground: &Ground) -> Result<(OwnWorld, [Ipv4Addr; 2], Duration), Failed> {
        for host in [&ground.a, &ground.b] {
            for dir in ["node", "supernode", "master"] {
                // Of an earlier start.
                let _first_time = std::fs::remove_dir_all(host.dir().join(dir));
            }
        }
        let supernode = Supernode::init(&self.kit, &ground.a, UNDER_A)?;
        let world = supernode.world();
        let master = self.master(&ground.a, &world)?;
        let network = self.manage(
            &ground.a,
            &["network", "create", "bench", "--cidr", "10.99.0.0/24"],
        )?;
        let id = text(&network, "id")?;
        let invite = text(
            &self.manage(&ground.a, &["invite", "create", &id, "--uses", "0"])?,
            "invite",
        )?;
        let started = Instant::now();
        let mut nodes = Vec::new();
        let mut ends = Vec::new();
        for host in [&ground.a, &ground.b] {
            nodes.push(self.node(host, &world)?);
            ends.push(self.join(host, &invite)?);
        }
        let &[a, b] = ends.as_slice() else {
            return Err(Failed::new("two hosts have two addresses"));
        };
        traffic::first_ping(&ground.a, &b.to_string(), Duration::from_secs(15))?;
        let first_ping = started.elapsed();
        self.as_named(ground, b)?;
        let world = OwnWorld {
            _supernode: supernode,
            _master: master,
            _nodes: nodes,
        };
        Ok((world, [a, b], first_ping))
    }

    fn master(&self, host: &Host, world: &Path) -> Result<Process, Failed> {
        let mut command = host.command(self.kit.programs.master());
        command
            .args([
                "run",
                "--weak-proof-of-work",
                "--listen",
                "0.0.0.0:9994",
                "--state-dir",
            ])
            .arg(host.dir().join("master"))
            .arg("--world")
            .arg(world);
        serve(host, "master", &mut command)
    }

    fn node(&self, host: &Host, world: &Path) -> Result<Process, Failed> {
        let mut command = host.command(self.kit.programs.node());
        command
            .args(["run", "--weak-proof-of-work", "--listen", "0.0.0.0:9995"])
            .args(["--suite", self.suite, "--state-dir"])
            .arg(state(host))
            .arg("--world")
            .arg(world);
        if self.relay {
            command.arg("--relay-only");
        }
        serve(host, "node", &mut command)
    }

    fn manage(&self, host: &Host, words: &[&str]) -> Result<Value, Failed> {
        let mut command = host.command(self.kit.programs.cli());
        command
            .arg("--json")
            .args(words)
            .arg("--token-file")
            .arg(host.dir().join("master").join("admin.token"));
        Outcome::of(&mut command, COMMAND)?.good()?.json()
    }

    fn ask(&self, host: &Host, words: &[&str]) -> Result<Value, Failed> {
        let mut command = host.command(self.kit.programs.cli());
        command
            .arg("--json")
            .arg("--socket")
            .arg(state(host).join("node.sock"))
            .args(words);
        Outcome::of(&mut command, COMMAND)?.good()?.json()
    }

    fn join(&self, host: &Host, invite: &str) -> Result<Ipv4Addr, Failed> {
        self.ask(host, &["join", invite, "--wait", "15"])?;
        let networks = self.ask(host, &["networks"])?;
        networks[0]["addresses"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find_map(|cidr| cidr.split('/').next()?.parse().ok())
            .ok_or_else(|| Failed::new(format!("no IPv4 address: {networks}")))
    }

    /// Waits until the leaf at the other end is reached over the path, and under the suite, that the name says.
    fn as_named(&self, ground: &Ground, b: Ipv4Addr) -> Result<(), Failed> {
        let path = if self.relay { "relay" } else { "direct" };
        let suite = if self.suite == "aes" {
            "aes-256-gcm"
        } else {
            "xsalsa20-poly1305"
        };
        let mut seen = Value::Null;
        until(
            Duration::from_secs(15),
            "not the path or suite wanted",
            || {
                traffic::first_ping(&ground.a, &b.to_string(), Duration::from_secs(5))?;
                seen = self.ask(&ground.a, &["peers"])?;
                Ok(seen.as_array().into_iter().flatten().any(|peer| {
                    peer["role"] == "leaf" && peer["path"]["kind"] == path && peer["suite"] == suite
                }))
            },
        )
        .map(|_| ())
        .map_err(|failed| failed.during(&format!("{path}, {suite}: {seen}")))
    }
}

fn state(host: &Host) -> PathBuf {
    host.dir().join("node")
}

/// Longest that a command may take.
const COMMAND: Duration = Duration::from_secs(30);
