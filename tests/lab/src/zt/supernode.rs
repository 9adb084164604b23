//! A supernode as its operator runs it.
//!
//! In: a host and binaries. Out: a running supernode and its world file. Never: its state but the world file.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{BIRTH, COMMAND, Kit, PORT, serve};
use crate::{Failed, Host, Outcome, Process};

/// A supernode on a host.
#[derive(Debug)]
pub struct Supernode {
    /// Where it runs.
    pub host: Host,
    /// Its state directory.
    pub state: PathBuf,
    /// Its public endpoint.
    pub endpoint: SocketAddr,
    /// The program.
    pub process: Process,
    kit: Kit,
}

impl Supernode {
    /// `zt-supernode init`, then `run`, with a world of its own.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn init(kit: &Kit, host: &Host, address: Ipv4Addr) -> Result<Self, Failed> {
        let endpoint = Self::prepare(kit, host, address, None)?;
        Self::run(kit, host, endpoint, None)
    }

    /// `zt-supernode init` alone: with a world of its own, or to be added to the one in a file.
    ///
    /// # Errors
    /// When the program fails.
    pub fn prepare(
        kit: &Kit,
        host: &Host,
        address: Ipv4Addr,
        join: Option<&Path>,
    ) -> Result<SocketAddr, Failed> {
        let endpoint = SocketAddr::from((address, PORT));
        let state = host.dir().join("supernode");
        let mut command = host.command(kit.programs.supernode());
        command
            .args(["init", "--state-dir"])
            .arg(&state)
            .args(["--endpoint", &endpoint.to_string()]);
        match join {
            Some(world) => command.arg("--join-world").arg(world),
            None => command.args(["--name", "lab"]),
        };
        kit.flag(&mut command);
        Outcome::of(&mut command, BIRTH)?
            .good()
            .map_err(|failed| failed.during("zt-supernode init"))?;
        Ok(endpoint)
    }

    /// `zt-supernode run` with what is in the state directory.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn run(
        kit: &Kit,
        host: &Host,
        endpoint: SocketAddr,
        world: Option<&Path>,
    ) -> Result<Self, Failed> {
        let state = host.dir().join("supernode");
        let mut command = host.command(kit.programs.supernode());
        command
            .args(["run", "--state-dir"])
            .arg(&state)
            .args(["--listen", &format!("0.0.0.0:{}", endpoint.port())]);
        if let Some(world) = world {
            command.arg("--world").arg(world);
        }
        kit.flag(&mut command);
        let process = serve(host, "supernode", &mut command)?;
        Ok(Self {
            host: host.clone(),
            state,
            endpoint,
            process,
            kit: kit.clone(),
        })
    }

    /// `zt-supernode world add` here, for the supernode prepared on another host.
    ///
    /// # Errors
    /// When the program fails.
    pub fn add(&self, other: &Host) -> Result<(), Failed> {
        let mut command = self.host.command(self.kit.programs.supernode());
        command
            .args(["world", "add", "--state-dir"])
            .arg(&self.state)
            .arg("--public")
            .arg(other.dir().join("supernode").join("identity.public"));
        Outcome::of(&mut command, COMMAND)?
            .good()
            .map(|_| ())
            .map_err(|failed| failed.during("zt-supernode world add"))
    }

    /// Starts it again after an end.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn restart(&mut self) -> Result<(), Failed> {
        let _gone_already = self.process.kill();
        let again = Self::run(&self.kit, &self.host, self.endpoint, None)?;
        self.process = again.process;
        Ok(())
    }

    /// The world file that the others need.
    pub fn world(&self) -> PathBuf {
        self.state.join("world.json")
    }
}
