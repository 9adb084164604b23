//! One host: a network namespace, a directory, and commands and threads inside.
//!
//! In: commands, closures. Out: their outcomes. Never: a change outside its namespace.

use std::{
    fs,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Command,
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Failed, Keep, Outcome, Process, process};

/// A host of the lab. Cloning gives another handle of the same host.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    namespace: String,
    dir: PathBuf,
    keep: Keep,
}

impl Host {
    pub(crate) fn new(name: &str, namespace: &str, dir: PathBuf, keep: Keep) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            dir,
            keep,
        }
    }

    /// Its name in the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace, as `ip netns` names it.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where its programs keep state and logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command that will run on this host.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]);
        if self.keep == Keep::Nothing {
            // `ip netns exec` and `setpriv` replace themselves: what is started is our own child,
            // and the kernel ends it when the thread that started it ends, even by SIGKILL.
            command.args(["setpriv", "--pdeathsig", "KILL"]);
        }
        command.arg(program.as_ref());
        command
    }

    /// Runs a program on this host to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end within a minute.
    pub fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Result<Outcome, Failed> {
        Outcome::of(
            self.command(program).args(arguments),
            Duration::from_mins(1),
        )
    }

    /// Starts a program that stays; its words go to `name.log` in the host's directory.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, name: &str, command: &mut Command) -> Result<Process, Failed> {
        let log = self.dir.join(format!("{name}.log"));
        Process::start(command, &log, self.keep == Keep::Hosts)
    }

    /// Runs `ip` commands here, one per line.
    ///
    /// # Errors
    /// With the words of `ip`.
    pub fn ip(&self, lines: &str) -> Result<(), Failed> {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = vec!["-n", self.namespace.as_str()];
            words.extend(line.split_whitespace());
            process::tool("ip", &words)?;
        }
        Ok(())
    }

    /// Loads an nftables script here.
    ///
    /// # Errors
    /// With the words of `nft`.
    pub fn nft(&self, script: &str) -> Result<(), Failed> {
        let file = self.dir.join("rules.nft");
        fs::write(&file, script)?;
        self.run("nft", &["-f", &file.to_string_lossy()])?
            .good()
            .map(|_| ())
            .map_err(|failed| failed.during("nft"))
    }

    /// Drops one packet in `one_in` that arrives here on `device`. 0 lifts the loss.
    ///
    /// # Errors
    /// With the words of `nft`.
    pub fn lose(&self, device: &str, one_in: u32) -> Result<(), Failed> {
        let table = "table netdev loss";
        let rule = match one_in {
            0 => String::new(),
            n => format!("numgen random mod {n} == 0 drop"),
        };
        self.nft(&format!(
            "{table} {{}}\ndelete {table}\n{table} {{\n chain in {{\n type filter hook ingress device {device} priority 0;\n {rule}\n }}\n}}"
        ))
    }

    /// Sets a kernel variable here, by its dotted name.
    ///
    /// # Errors
    /// When the kernel does not know it.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<(), Failed> {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let value = value.to_owned();
        self.inside(move || fs::write(path, value).map_err(Failed::from))
    }

    /// Runs a closure in a thread of this host: sockets it opens belong to the host for ever.
    ///
    /// # Errors
    /// When the closure fails or panics, or the namespace is gone.
    pub fn inside<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Failed> {
        joined(self.beside(act))
    }

    /// Like [`Host::inside`], but at the same time as the caller.
    pub fn beside<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> Result<T, Failed> + Send + 'static,
    ) -> JoinHandle<Result<T, Failed>> {
        let path = format!("/run/netns/{}", self.namespace);
        thread::spawn(move || {
            let namespace = fs::File::open(path)?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            act()
        })
    }

    /// The line with which a person enters this host.
    pub fn how_to_enter(&self) -> String {
        format!("ip netns exec {} bash", self.namespace)
    }
}

/// The result of a thread of [`Host::beside`].
///
/// # Errors
/// When its closure failed or panicked.
pub fn joined<T>(thread: JoinHandle<Result<T, Failed>>) -> Result<T, Failed> {
    thread
        .join()
        .unwrap_or_else(|_| Err(Failed::new("a thread of the lab panicked")))
}
