//! The daemons that `up` runs: found, started, awaited, stopped.
//!
//! In: program names and arguments. Out: running children that said READY=1, their logs in files.
//! Never: a child left behind when `up` ends by itself, a poll: children tell over `NOTIFY_SOCKET` as they tell systemd.

use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use zt_api::Exit;

use crate::output::Failure;

/// How long a daemon may take until it serves. Most of it is for the first start, which makes an identity: 5 s of one
/// core in the mean, and three daemons may share a small machine.
const START: Duration = Duration::from_mins(5);

/// How long a daemon may take to end after SIGTERM before it is killed.
const STOP: Duration = Duration::from_secs(10);

/// Finds a program beside our own executable, else in PATH.
pub fn program(name: &str) -> Result<PathBuf, Failure> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| own.parent().map(Path::to_owned));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = beside.into_iter().chain(std::env::split_paths(&path));
    places
        .map(|place| place.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Failure::new(
                Exit::Failed,
                format!("{name} is neither beside zt-cli nor in PATH; install it there"),
            )
        })
}

/// Makes a directory that only its owner may enter, with its parents.
pub fn private_dir(dir: &Path) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| {
            let next = match e.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "; run the command as root, or name another place with --state-dir"
                }
                _ => "",
            };
            Failure::new(Exit::Failed, format!("{}: {e}{next}", dir.display()))
        })
}

/// A daemon that runs.
pub struct Daemon {
    name: &'static str,
    child: Child,
    notify: UnixDatagram,
    notify_path: PathBuf,
    log: PathBuf,
    /// Where this run's part of the log begins.
    from: u64,
}

impl Daemon {
    /// Starts a daemon with its log in `dir`.
    pub fn start(name: &'static str, arguments: &[String], dir: &Path) -> Result<Self, Failure> {
        let program = program(name)?;
        let log = dir.join(format!("{name}.log"));
        let failed = |path: &Path, e: std::io::Error| {
            Failure::new(Exit::Failed, format!("{}: {e}", path.display()))
        };
        let open = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log);
        let file = open.map_err(|e| failed(&log, e))?;
        let from = file.metadata().map_or(0, |about| about.len());
        let again = file.try_clone().map_err(|e| failed(&log, e))?;
        let notify_path = dir.join(format!("{name}.notify"));
        // One left by a run that was killed; if there is none, the better.
        let _ = std::fs::remove_file(&notify_path);
        let notify = UnixDatagram::bind(&notify_path).map_err(|e| failed(&notify_path, e))?;
        let child = Command::new(&program)
            .args(arguments)
            .env("NOTIFY_SOCKET", &notify_path)
            .stdin(Stdio::null())
            .stdout(Stdio::from(file))
            .stderr(Stdio::from(again))
            // Ctrl-C is for us: we stop the daemons in their order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(&program, e))?;
        Ok(Self {
            name,
            child,
            notify,
            notify_path,
            log,
            from,
        })
    }

    /// Waits until the daemon serves.
    pub async fn ready(&mut self) -> Result<(), Failure> {
        let said = async {
            let mut buffer = [0; 1024];
            loop {
                let length = self.notify.recv(&mut buffer).await?;
                if buffer[..length]
                    .split(|byte| *byte == b'\n')
                    .any(|line| line == b"READY=1")
                {
                    return Ok::<(), std::io::Error>(());
                }
            }
        };
        tokio::select! {
            said = said => {
                said.map_err(|e| Failure::new(Exit::Failed, format!("{}: {e}", self.notify_path.display())))
            }
            status = self.child.wait() => Err(self.ended(status)),
            () = tokio::time::sleep(START) => Err(Failure::new(
                Exit::TimedOut,
                format!("{} does not serve after {} s; its log is {}", self.name, START.as_secs(), self.log.display()),
            )),
        }
    }

    /// Waits until the daemon ends, which it is not meant to.
    pub async fn failed(&mut self) -> Failure {
        let status = self.child.wait().await;
        self.ended(status)
    }

    /// Stops the daemon: SIGTERM, then patience, then SIGKILL.
    pub async fn stop(mut self) {
        // No id: it has ended already.
        if let Some(pid) = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
        {
            // It may end by itself in between; the wait below finds it either way.
            let _ = kill_process(pid, Signal::TERM);
            if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
                let _ = self.child.kill().await;
            }
        }
        let _ = std::fs::remove_file(&self.notify_path);
    }

    /// What the daemon's end means for us: its own exit code, its last words.
    fn ended(&self, status: std::io::Result<ExitStatus>) -> Failure {
        let (name, log) = (self.name, self.log.display());
        let code = status.ok().and_then(|status| status.code());
        let exit = match code {
            Some(2) => Exit::Usage,
            Some(3) => Exit::State,
            Some(4) => Exit::InUse,
            Some(5) => Exit::Locked,
            Some(8) => Exit::Denied,
            _ => Exit::Failed,
        };
        let how = code.map_or_else(
            || "was killed".to_owned(),
            |code| format!("ended with exit code {code}"),
        );
        let words = std::fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.from).unwrap_or(0).min(words.len());
        let words = String::from_utf8_lossy(&words[start..]);
        let last: Vec<_> = words.lines().rev().take(5).collect();
        let last: Vec<_> = last
            .into_iter()
            .rev()
            .map(|line| format!("\n  {line}"))
            .collect();
        Failure::new(
            exit,
            format!("{name} {how}; its last words in {log}:{}", last.concat()),
        )
    }
}
