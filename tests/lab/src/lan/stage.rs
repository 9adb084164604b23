//! What one row plays on: its pair of seats, a directory of its own, and the programs that it starts.
//!
//! In: commands. Out: programs that end with the row, what they said, their last words. Never: another row's program or file.

use std::{
    fmt::Write as _,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use super::ground::{Ground, Pair, Seat};
use crate::{Failed, Host, Outcome, Process};

/// One row's stage.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The overlay.
    pub ground: &'a Ground,
    /// Who meets here.
    pub pair: Pair<'a>,
    dir: PathBuf,
    said: Vec<(String, Words)>,
}

/// Where a program's words are.
#[derive(Debug)]
enum Words {
    Log(PathBuf),
    Said(String),
}

impl<'a> Stage<'a> {
    /// A stage with an empty directory.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(ground: &'a Ground, pair: Pair<'a>, dir: PathBuf) -> Result<Self, Failed> {
        made(&dir)?;
        Ok(Self {
            ground,
            pair,
            dir,
            said: Vec::new(),
        })
    }

    /// A directory of this row, by name.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn dir(&self, name: &str) -> Result<PathBuf, Failed> {
        let dir = self.dir.join(name);
        made(&dir)?;
        Ok(dir)
    }

    /// Writes a file of this row and says where it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf, Failed> {
        let file = self.dir.join(name);
        fs::write(&file, text)?;
        Ok(file)
    }

    /// Starts a program that stays until the row ends.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, name: &str, command: &mut Command) -> Result<Process, Failed> {
        let log = self.dir.join(format!("{name}.log"));
        self.said.push((name.to_owned(), Words::Log(log.clone())));
        Process::start(command, &log, false)
    }

    /// Runs a program to its end; whether it ended well is the row's question.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn run(&mut self, name: &str, command: &mut Command) -> Result<Outcome, Failed> {
        let outcome = Outcome::of(command, PATIENCE)?;
        self.said.retain(|(said, _)| said != name);
        let words = format!("{}{}", outcome.stdout, outcome.stderr);
        self.said.push((name.to_owned(), Words::Said(words)));
        Ok(outcome)
    }

    /// Runs a program again and again until it says what is looked for.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn until_found(
        &mut self,
        name: &str,
        mut command: impl FnMut() -> Command,
        found: impl Fn(&str) -> Option<String>,
    ) -> Result<String, Failed> {
        let started = Instant::now();
        loop {
            let outcome = self.run(name, &mut command())?;
            if let Some(what) = found(&outcome.stdout) {
                return Ok(what);
            }
            if started.elapsed() >= PATIENCE {
                return Err(Failed::new(format!(
                    "{name} finds nothing within {PATIENCE:?}"
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a program has said some words.
    ///
    /// # Errors
    /// When it ends without them, or does not say them in time.
    pub fn until_says(process: &mut Process, words: &str) -> Result<(), Failed> {
        let started = Instant::now();
        loop {
            // Ended first: what it said before is in the log then.
            let ended = process.ended()?;
            if process.log().contains(words) {
                return Ok(());
            }
            if let Some(code) = ended {
                return Err(Failed::new(format!("ended with {code} without {words:?}")));
            }
            if started.elapsed() >= PATIENCE {
                return Err(Failed::new(format!("no {words:?} within {PATIENCE:?}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The last words of the row's programs.
    pub fn last_words(&self) -> String {
        let mut text = String::new();
        for (name, words) in &self.said {
            let said = match words {
                Words::Log(log) => {
                    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
                }
                Words::Said(said) => said.clone(),
            };
            let lines: Vec<&str> = said
                .lines()
                .filter(|line| !line.trim().is_empty())
                .collect();
            for line in lines.iter().skip(lines.len().saturating_sub(LAST_LINES)) {
                let _infallible = write!(text, "\n{name}: {}", line.trim_end());
            }
        }
        text
    }
}

impl Seat<'_> {
    /// A program on this host that finds its own files in `home`.
    pub fn program(&self, program: impl AsRef<Path>, home: &Path) -> Command {
        let mut command = self.host.command(program);
        at_home(&mut command, home);
        command
    }

    /// A shell script on this host, for programs that keep files at fixed places: it has `/tmp` and `/run`
    /// of its own, and everything it starts ends with it. `$HOME` is `home`, reachable as `/tmp/home`.
    pub fn script(&self, script: &str, home: &Path) -> Command {
        let mut command = self.host.command("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child=KILL"])
            .args(["sh", "-ec", &format!("{APART}\n{script}")]);
        at_home(&mut command, home);
        command
    }
}

/// Whether somebody on a host listens on a UDP port.
///
/// # Errors
/// When the kernel does not say.
pub fn listens(host: &Host, port: u16) -> Result<bool, Failed> {
    host.inside(move || {
        let sockets = fs::read_to_string("/proc/thread-self/net/udp")?;
        let wanted = format!(":{port:04X}");
        Ok(sockets
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .any(|local| local.ends_with(&wanted)))
    })
}

/// Makes a directory but not the one that it is in: that one is gone when the run has been interrupted.
fn made(dir: &Path) -> Result<(), Failed> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|error| Failed::new(format!("{}: {error}", dir.display()))),
    }
}

fn at_home(command: &mut Command, home: &Path) {
    command
        .current_dir(home)
        .env("HOME", home)
        .env("XDG_DATA_HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .env("SDL_VIDEODRIVER", "dummy")
        .env("SDL_AUDIODRIVER", "dummy")
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", PATH)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY");
}

/// Longest that a row waits for one thing.
pub const PATIENCE: Duration = Duration::from_secs(30);
const LAST_LINES: usize = 12;
/// Debian keeps games and daemons where not every shell looks.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games";
/// The shell's own `/tmp` and `/run`; `$HOME` lies below the latter and stays.
const APART: &str = r#"mount -t tmpfs none /tmp
mkdir /tmp/home
mount --bind "$HOME" /tmp/home
mount -t tmpfs none /run
export HOME=/tmp/home XDG_DATA_HOME=/tmp/home XDG_CONFIG_HOME=/tmp/home
cd /tmp/home"#;
