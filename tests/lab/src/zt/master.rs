//! A netconf-master and the commands with which people manage networks.
//!
//! In: a host, binaries, a world file. Out: networks, invites, members. Never: its database.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{COMMAND, Kit, serve, text};
use crate::{Failed, Host, Outcome, Process};

/// A netconf-master on a host.
#[derive(Debug)]
pub struct Master {
    /// Where it runs.
    pub host: Host,
    /// Its state directory.
    pub state: PathBuf,
    /// The program.
    pub process: Process,
    world: PathBuf,
    kit: Kit,
}

impl Master {
    /// `zt-netconf-master run`.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn run(kit: &Kit, host: &Host, world: &Path) -> Result<Self, Failed> {
        let state = host.dir().join("master");
        let mut command = host.command(kit.programs.master());
        command
            .args(["run", "--state-dir"])
            .arg(&state)
            .arg("--world")
            .arg(world);
        kit.flag(&mut command);
        let process = serve(host, "master", &mut command)?;
        Ok(Self {
            host: host.clone(),
            state,
            process,
            world: world.to_path_buf(),
            kit: kit.clone(),
        })
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

    /// A `zt-cli` command to it, with `--json`, and what came back.
    ///
    /// # Errors
    /// When it does not end within 20 s.
    pub fn cli(&self, arguments: &[&str]) -> Result<Outcome, Failed> {
        let mut command = self.host.command(self.kit.programs.cli());
        command
            .arg("--json")
            .args(arguments)
            .args(["--master", "http://127.0.0.1:9994", "--token-file"])
            .arg(self.state.join("admin.token"));
        Outcome::of(&mut command, COMMAND)
    }

    /// Like [`Master::cli`], and it has to succeed and print JSON.
    ///
    /// # Errors
    /// When it does not.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value, Failed> {
        self.cli(arguments)?
            .good()
            .and_then(|outcome| outcome.json())
            .map_err(|failed| failed.during(&format!("zt-cli {}", arguments.join(" "))))
    }

    /// Creates a private network with a pool.
    ///
    /// # Errors
    /// When the master refuses.
    pub fn create(&self, name: &str, cidr: &str) -> Result<Created, Failed> {
        let network = self.ask(&["network", "create", name, "--cidr", cidr])?;
        Ok(Created {
            id: text(&network, "id")?,
            fingerprint: text(&network, "fingerprint")?,
        })
    }

    /// Makes an invite that authorizes whoever comes with it, as often as wanted.
    ///
    /// # Errors
    /// When the master refuses.
    pub fn invite(&self, network: &Created) -> Result<String, Failed> {
        let invite = self.ask(&["invite", "create", &network.id, "--uses", "0"])?;
        text(&invite, "invite")
    }

    /// Gives a network flow rules, as a person does it: from a file.
    ///
    /// # Errors
    /// When the command cannot be run; that it refuses is its outcome.
    pub fn rules(&self, network: &Created, text: &str) -> Result<Outcome, Failed> {
        let file = self.host.dir().join("lan.rules");
        fs::write(&file, text)?;
        self.cli(&[
            "network",
            "set",
            &network.id,
            "--rules",
            &file.to_string_lossy(),
        ])
    }

    /// Changes a member: `zt-cli member set NETWORK ADDRESS ...`.
    ///
    /// # Errors
    /// When the master refuses.
    pub fn change(&self, network: &Created, address: &str, what: &[&str]) -> Result<(), Failed> {
        let command = [&["member", "set", &network.id, address][..], what].concat();
        self.ask(&command).map(|_| ())
    }

    /// Authorizes a member.
    ///
    /// # Errors
    /// When the master refuses.
    pub fn authorize(&self, network: &Created, address: &str) -> Result<(), Failed> {
        self.ask(&["member", "authorize", &network.id, address])
            .map(|_| ())
    }

    /// Takes a member's authorization back.
    ///
    /// # Errors
    /// When the master refuses.
    pub fn deauthorize(&self, network: &Created, address: &str) -> Result<(), Failed> {
        self.ask(&["member", "deauthorize", &network.id, address])
            .map(|_| ())
    }
}

/// A network as its creator knows it.
#[derive(Clone, Debug)]
pub struct Created {
    /// Sixteen hex digits.
    pub id: String,
    /// The controller's fingerprint.
    pub fingerprint: String,
}

impl Created {
    /// `ID#FINGERPRINT`, the pinned name.
    pub fn pinned(&self) -> String {
        format!("{}#{}", self.id, self.fingerprint)
    }
}
