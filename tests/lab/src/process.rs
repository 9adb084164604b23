//! Programs that the lab starts: one that ends and what it said, one that stays and what it costs.
//!
//! In: a command. Out: an [`Outcome`], or a [`Process`] that dies with the lab. Never: a program that outlives its owner.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::Failed;

/// What a program that ended left behind.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Runs a command to its end, or kills it after `limit`.
    ///
    /// # Errors
    /// When it cannot be started, or does not end in time.
    pub fn of(command: &mut Command, limit: Duration) -> Result<Self, Failed> {
        let line = spelled(command);
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Failed::new(format!("{line}: {error}")))?;
        let stdout = child.stdout.take().map(drain);
        let stderr = child.stderr.take().map(drain);
        let status = wait(&mut child, started + limit)?;
        let took = started.elapsed();
        let [stdout, stderr] = [stdout, stderr].map(|reader| {
            reader
                .and_then(|reader| reader.join().ok())
                .unwrap_or_default()
        });
        match status {
            Some(status) => Ok(Self {
                code: code(status),
                stdout,
                stderr,
                took,
            }),
            None => Err(Failed::new(format!(
                "{line}: not done within {limit:?}\n{stdout}{stderr}"
            ))),
        }
    }

    /// The outcome, when the program ended well.
    ///
    /// # Errors
    /// With the program's last words when it did not end with 0.
    pub fn good(self) -> Result<Self, Failed> {
        if self.code == 0 {
            return Ok(self);
        }
        Err(Failed::new(format!(
            "exit code {}: {}{}",
            self.code, self.stdout, self.stderr
        )))
    }

    /// Stdout as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<Value, Failed> {
        serde_json::from_str(&self.stdout).map_err(|error| {
            Failed::new(format!(
                "stdout is not JSON ({error}): {:?}, stderr {:?}",
                self.stdout, self.stderr
            ))
        })
    }
}

/// A program that stays: ended when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    stay: bool,
}

impl Process {
    /// Starts a command whose stdout and stderr go to `log`. With `stay` it is left running when dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: &Path, stay: bool) -> Result<Self, Failed> {
        let line = spelled(command);
        let file = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .map_err(|error| Failed::new(format!("{line}: {error}")))?;
        Ok(Self {
            child,
            log: log.to_path_buf(),
            stay,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it said so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its exit code, if it has ended.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn ended(&mut self) -> Result<Option<i32>, Failed> {
        Ok(self.child.try_wait()?.map(code))
    }

    /// Waits until it ends by itself and gives its exit code.
    ///
    /// # Errors
    /// When it still runs after `limit`; it is killed then.
    pub fn wait(&mut self, limit: Duration) -> Result<i32, Failed> {
        let status = wait(&mut self.child, Instant::now() + limit)?;
        status.map(code).ok_or_else(|| {
            Failed::new(format!(
                "still running after {limit:?}; its log:\n{}",
                self.log()
            ))
        })
    }

    /// Sends SIGTERM and waits for a clean end.
    ///
    /// # Errors
    /// When it does not end within 10 s.
    pub fn stop(&mut self) -> Result<i32, Failed> {
        self.signal(rustix::process::Signal::TERM);
        self.wait(Duration::from_secs(10))
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When the kernel does not let go of it.
    pub fn kill(&mut self) -> Result<(), Failed> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _gone_already = rustix::process::kill_process(pid, signal);
        }
    }

    /// Resident memory now and its peak, in bytes.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn memory(&self) -> Result<Memory, Failed> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.split_whitespace().next())
                .and_then(|kib| kib.parse::<u64>().ok())
                .map(|kib| kib * 1024)
                .ok_or_else(|| Failed::new(format!("no {name} in /proc: the process has ended")))
        };
        Ok(Memory {
            now: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.stay {
            let _gone_already = self.child.kill();
            let _gone_already = self.child.wait();
        }
    }
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub now: u64,
    /// The most it ever was.
    pub peak: u64,
}

/// Runs a system tool that must succeed and gives its stdout.
///
/// # Errors
/// With the tool's own words.
pub fn tool(program: &str, arguments: &[&str]) -> Result<String, Failed> {
    let mut command = Command::new(program);
    command.args(arguments);
    let line = spelled(&command);
    let outcome = Outcome::of(&mut command, Duration::from_secs(30))?;
    outcome
        .good()
        .map(|outcome| outcome.stdout)
        .map_err(|failed| failed.during(&line))
}

/// Kills a process of the lab by its id. One that is gone is no failure.
pub fn kill(pid: &str) {
    let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// The command as a person would type it.
pub fn spelled(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _what_came_counts = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits until the child ends or the deadline passes; kills it then and gives `None`.
fn wait(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>, Failed> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
