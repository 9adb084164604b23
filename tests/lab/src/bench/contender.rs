//! Something that can be measured: how it is started on the two hosts, and where it can be reached then.
//!
//! In: the ground. Out: overlay addresses of two hosts that can ping each other. Never: a measurement.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::{
    ground::{Ground, UNDER_A, UNDER_B},
    own::{Own, OwnWorld},
};
use crate::{Failed, Host, Outcome, Process, packages, traffic, zt::until};

/// What is measured.
#[derive(Debug)]
pub enum Contender {
    /// The cable itself.
    Raw,
    /// Our TAP and UDP modules with a copy where the seal would be.
    Limit(PathBuf),
    /// Ourselves.
    Own(Own),
    /// Another program.
    Peer(Peer),
}

/// A contender that runs.
#[derive(Debug)]
pub struct Running {
    /// Where one end is reached.
    pub a: Ipv4Addr,
    /// Where the other is.
    pub b: Ipv4Addr,
    /// From the start of both ends' programs to the first answer.
    pub first_ping: Duration,
    _programs: Vec<Process>,
    _world: Option<OwnWorld>,
}

/// Another program, as a description file says it: shell scripts that find addresses and directories in their
/// environment as `A`, `B` (underlay), `OVER_A`, `OVER_B` (overlay), `A_DIR`, `B_DIR`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its name in the table.
    pub name: String,
    /// Programs that have to be there.
    pub needs: Vec<String>,
    /// Run once before both ends start.
    #[serde(default)]
    pub prepare: String,
    /// Runs one end, and stays.
    pub a: String,
    /// Runs the other.
    pub b: String,
}

impl Contender {
    /// Its name in the table.
    pub fn name(&self) -> &str {
        match self {
            Self::Raw => "raw veth",
            Self::Limit(_) => "limit",
            Self::Own(own) => own.name(),
            Self::Peer(peer) => &peer.name,
        }
    }

    /// Starts it and waits for the first ping.
    ///
    /// # Errors
    /// When it does not start or no ping comes through.
    pub fn start(&self, ground: &Ground) -> Result<Running, Failed> {
        let started = Instant::now();
        let (programs, world, [a, b]) = match self {
            Self::Raw => (Vec::new(), None, [UNDER_A, UNDER_B]),
            Self::Limit(program) => (limit(program, ground)?, None, [OVER_A, OVER_B]),
            Self::Peer(peer) => (peer.start(ground)?, None, [OVER_A, OVER_B]),
            Self::Own(own) => {
                let (world, ends, first_ping) = own.start(ground)?;
                let [a, b] = ends;
                return Ok(Running {
                    a,
                    b,
                    first_ping,
                    _programs: Vec::new(),
                    _world: Some(world),
                });
            }
        };
        // Without a device yet, ping ends at once instead of trying on.
        let mut why = String::new();
        until(BIRTH, "no ping comes through", || {
            let pinged = traffic::first_ping(&ground.a, &b.to_string(), Duration::from_secs(1));
            why = pinged
                .as_ref()
                .err()
                .map_or_else(String::new, ToString::to_string);
            Ok(pinged.is_ok())
        })
        .map_err(|failed| failed.during(&why))?;
        Ok(Running {
            a,
            b,
            first_ping: started.elapsed(),
            _programs: programs,
            _world: world,
        })
    }
}

impl Peer {
    /// The peers known here of which everything is installed, then those of description files.
    ///
    /// # Errors
    /// When a description is not understood.
    pub fn installed(files: &[PathBuf]) -> Result<Vec<Self>, Failed> {
        let mut peers = Vec::new();
        for text in KNOWN {
            peers.push(serde_json::from_str::<Self>(text)?);
        }
        for file in files {
            let text = fs::read_to_string(file)?;
            let peer = serde_json::from_str(&text)
                .map_err(|error| Failed::from(error).during(&file.to_string_lossy()))?;
            peers.push(peer);
        }
        peers.retain(|peer| peer.needs.iter().all(|tool| is_there(tool)));
        Ok(peers)
    }

    fn start(&self, ground: &Ground) -> Result<Vec<Process>, Failed> {
        for host in [&ground.a, &ground.b] {
            // Of an earlier start.
            let _first_time = fs::remove_dir_all(host.dir().join("peer"));
            fs::create_dir_all(host.dir().join("peer"))?;
        }
        if !self.prepare.is_empty() {
            let script = format!("set -e; {}", self.prepare);
            Outcome::of(&mut told(&ground.a, ground, &script), PREPARED)?
                .good()
                .map_err(|failed| failed.during(&format!("preparing {}", self.name)))?;
        }
        [(&ground.a, &self.a), (&ground.b, &self.b)]
            .into_iter()
            .map(|(host, script)| host.start("peer", &mut told(host, ground, script)))
            .collect()
    }
}

/// Builds vpncloud from crates.io once, into the cache.
///
/// # Errors
/// When cargo does not.
pub fn build_vpncloud() -> Result<(), Failed> {
    if is_there("vpncloud") {
        return Ok(());
    }
    let cache = cache().ok_or_else(|| Failed::new("no HOME, so no place for a cache"))?;
    let mut command = crate::programs::cargo();
    command
        .args(["install", "--quiet", "vpncloud", "--root"])
        .arg(cache);
    Outcome::of(&mut command, Duration::from_mins(20))?
        .good()
        .map(|_| ())
        .map_err(|failed| failed.during("cargo install vpncloud"))
}

fn limit(program: &Path, ground: &Ground) -> Result<Vec<Process>, Failed> {
    let ends = [
        (&ground.a, OVER_A, UNDER_A, UNDER_B, "02:00:00:00:99:01"),
        (&ground.b, OVER_B, UNDER_B, UNDER_A, "02:00:00:00:99:02"),
    ];
    let mut programs = Vec::new();
    for (host, over, under, other, mac) in ends {
        let (listen, peer) = (format!("{under}:9990"), format!("{other}:9990"));
        let mut command = host.command(program);
        command.args(["bench0", mac, &listen, &peer]);
        programs.push(host.start("limit", &mut command)?);
        until(Duration::from_secs(5), "no device of the limit", || {
            Ok(host.ip("link show bench0").is_ok())
        })?;
        // What a datagram of 1,472 bytes leaves for an IP packet.
        host.ip(&format!(
            "link set bench0 mtu 1422\naddr add {over}/24 dev bench0\nlink set bench0 up"
        ))?;
    }
    Ok(programs)
}

fn told(host: &Host, ground: &Ground, script: &str) -> Command {
    let mut command = host.command("sh");
    command
        .args(["-c", script])
        .env("A", UNDER_A.to_string())
        .env("B", UNDER_B.to_string())
        .env("OVER_A", OVER_A.to_string())
        .env("OVER_B", OVER_B.to_string())
        .env("A_DIR", ground.a.dir().join("peer"))
        .env("B_DIR", ground.b.dir().join("peer"))
        .env("PATH", path());
    command
}

fn path() -> String {
    let usual = std::env::var("PATH").unwrap_or_default();
    let cached = cache().map_or_else(String::new, |dir| format!("{}:", dir.join("bin").display()));
    format!("{cached}{usual}:/usr/sbin:/sbin")
}

fn is_there(tool: &str) -> bool {
    packages::is_installed(tool) || cache().is_some_and(|dir| dir.join("bin").join(tool).exists())
}

/// Where programs built for comparison are kept.
fn cache() -> Option<PathBuf> {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(home.join("zt-lab").join("peers"))
}

const OVER_A: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const OVER_B: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// Longest wait for a first ping.
const BIRTH: Duration = Duration::from_secs(20);
/// Longest that making keys may take.
const PREPARED: Duration = Duration::from_mins(2);
/// Descriptions that come with the lab.
const KNOWN: [&str; 7] = [
    // What we are compared with most, so next to us.
    include_str!("../../peers/vpncloud.json"),
    include_str!("../../peers/tinc.json"),
    include_str!("../../peers/n2n.json"),
    include_str!("../../peers/nebula.json"),
    include_str!("../../peers/fastd.json"),
    include_str!("../../peers/wireguard-go.json"),
    include_str!("../../peers/openvpn.json"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_description_that_comes_with_the_lab_is_understood() {
        for text in KNOWN {
            let peer: Peer = serde_json::from_str(text).expect("a description");
            assert!(!peer.needs.is_empty() && !peer.a.is_empty() && !peer.b.is_empty());
        }
    }
}
