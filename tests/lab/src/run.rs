//! One run of the lab: its name, its directory, its namespaces, and their removal whatever happens.
//!
//! In: names of hosts. Out: [`Host`]s; on drop, panic, SIGINT or SIGTERM nothing of them is left.
//! A run that was killed is removed by the next one: its lock is free, so nobody owns its namespaces.
//! Never: a namespace or file that another living run owns.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, Once,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{Failed, Host, process};

/// A run of the lab; dropping it ends its programs and removes its namespaces and files.
#[derive(Debug)]
pub struct Lab {
    id: String,
    dir: PathBuf,
    keep: Keep,
    /// Held as long as this run lives; a free lock marks the run as dead.
    _lock: File,
}

/// What happens to the hosts when the run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// They are removed.
    Nothing,
    /// They and their programs stay until `cargo lab clean`.
    Hosts,
}

impl Lab {
    /// Starts a run with a name of its own, after removing what dead runs left.
    ///
    /// # Errors
    /// When this is not root, or `/run` cannot be written.
    pub fn new(keep: Keep) -> Result<Self, Failed> {
        if !rustix::process::geteuid().is_root() {
            return Err(Failed::new(
                "the lab makes network namespaces and TAP devices: run it as root",
            ));
        }
        remove_on_signals()?;
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:x}-{serial:x}", std::process::id());
        let (dir, lock) = begin(Path::new(HOME), &id)?;
        if keep == Keep::Hosts {
            File::create(dir.join(KEPT))?;
        }
        living().push(dir.clone());
        Ok(Self {
            id,
            dir,
            keep,
            _lock: lock,
        })
    }

    /// Makes a host: a namespace with its loopback up and a directory for its state and logs.
    ///
    /// # Errors
    /// When the kernel or `ip` refuses.
    pub fn host(&self, name: &str) -> Result<Host, Failed> {
        let namespace = format!("zt-{}-{name}", self.id);
        let mut list = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join(NAMESPACES))?;
        // Written before the namespace exists: a run killed in between leaves a name too many, never one too few.
        writeln!(list, "{namespace}")?;
        process::tool("ip", &["netns", "add", &namespace])?;
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir)?;
        let host = Host::new(name, &namespace, dir, self.keep);
        host.ip("link set lo up")?;
        // No duplicate address detection: the lab's addresses are unique by construction and 1 s each is dear.
        host.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        host.sysctl("net.ipv6.conf.all.accept_dad", "0")?;
        Ok(host)
    }

    /// The directory of this run; gone when the run ends.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The last lines of every program's log, for a failure's report.
    pub fn last_words(&self) -> String {
        let mut said = String::new();
        let Ok(hosts) = fs::read_dir(&self.dir) else {
            return said;
        };
        let mut logs: Vec<PathBuf> = hosts
            .flatten()
            .filter_map(|host| fs::read_dir(host.path()).ok())
            .flat_map(|files| files.flatten().map(|file| file.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        logs.sort();
        for log in logs {
            let text = fs::read(&log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.iter().rev().take(LAST_LINES).rev();
            let _infallible = writeln!(said, "--- {}", log.display());
            for line in tail {
                said.push_str(line);
                said.push('\n');
            }
        }
        said
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.last_words());
        }
        living().retain(|dir| *dir != self.dir);
        if self.keep == Keep::Nothing || std::thread::panicking() {
            remove(&self.dir);
        }
    }
}

/// Which runs [`clean`] removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those whose process is gone and whose hosts nobody asked to keep.
    Dead,
    /// Also those that were kept.
    DeadAndKept,
}

/// Removes runs that nobody owns any more and says how many there were.
///
/// # Errors
/// When the runs' directory cannot be read.
pub fn clean(which: Which) -> Result<usize, Failed> {
    let home = Path::new(HOME);
    if !home.exists() {
        return Ok(0);
    }
    let _alone = alone(home)?;
    sweep(home, which)
}

/// Makes the directory of a run and takes its lock, after removing what dead runs left.
fn begin(home: &Path, id: &str) -> Result<(PathBuf, File), Failed> {
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    private.create(home)?;
    let _alone = alone(home)?;
    sweep(home, Which::Dead)?;
    let dir = home.join(id);
    private.create(&dir)?;
    let lock = File::create(dir.join(LOCK))?;
    lock.lock()?;
    Ok((dir, lock))
}

/// Waits until no other run begins or cleans. A new run is not locked yet for a moment, and looks dead in it.
fn alone(home: &Path) -> Result<File, Failed> {
    let door = File::open(home)?;
    door.lock()?;
    Ok(door)
}

/// Removes the runs whose lock is free.
fn sweep(home: &Path, which: Which) -> Result<usize, Failed> {
    let mut removed = 0;
    for run in fs::read_dir(home)?.flatten() {
        let dir = run.path();
        let Ok(lock) = File::open(dir.join(LOCK)) else {
            continue;
        };
        let kept = dir.join(KEPT).exists();
        if lock.try_lock().is_ok() && (which == Which::DeadAndKept || !kept) {
            remove(&dir);
            removed += 1;
        }
    }
    Ok(removed)
}

/// Ends the programs of a run and removes its namespaces and files. What is already gone is no failure.
fn remove(dir: &Path) {
    let names = fs::read_to_string(dir.join(NAMESPACES)).unwrap_or_default();
    for namespace in names.lines() {
        if let Ok(output) = Command::new("ip")
            .args(["netns", "pids", namespace])
            .output()
        {
            for pid in String::from_utf8_lossy(&output.stdout).split_whitespace() {
                process::kill(pid);
            }
        }
    }
    for namespace in names.lines() {
        let _gone_already = Command::new("ip")
            .args(["netns", "del", namespace])
            .output();
    }
    // Under another name first: a thread of the run that goes on until the process ends finds nowhere to write.
    let gone = dir.with_extension(GONE);
    let away = if fs::rename(dir, &gone).is_ok() {
        gone.as_path()
    } else {
        dir
    };
    let _gone_already = fs::remove_dir_all(away);
}

/// Removes this process's runs when it is interrupted or told to end.
fn remove_on_signals() -> Result<(), Failed> {
    static HANDLER: Once = Once::new();
    let mut failure = None;
    HANDLER.call_once(|| {
        let watched = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
        match signal_hook::iterator::Signals::new(watched) {
            Ok(mut signals) => {
                std::thread::spawn(move || {
                    if let Some(signal) = signals.forever().next() {
                        for dir in living().iter() {
                            if !dir.join(KEPT).exists() {
                                remove(dir);
                            }
                        }
                        std::process::exit(128 + signal);
                    }
                });
            }
            Err(error) => failure = Some(error),
        }
    });
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn living() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    LIVING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

static LIVING: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static SERIAL: AtomicU32 = AtomicU32::new(1);
const HOME: &str = "/run/zt-lab";
const LOCK: &str = "lock";
const KEPT: &str = "kept";
const NAMESPACES: &str = "namespaces";
const GONE: &str = "gone";
const LAST_LINES: usize = 25;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, thread};

    use super::{LOCK, Which, begin, sweep};

    #[test]
    fn runs_that_begin_at_once_leave_each_other_alone() {
        let home = std::env::temp_dir().join(format!("zt-lab-begin-{}", std::process::id()));
        let names: BTreeSet<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let home = &home;
                    scope.spawn(move || {
                        (0..200)
                            .map(|serial| {
                                let id = format!("{thread}-{serial}");
                                let (dir, lock) = begin(home, &id).expect("a run of its own");
                                let there = dir.join(LOCK).exists();
                                drop(lock);
                                assert!(there, "{id} was taken for a dead run");
                                id
                            })
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        assert_eq!(names.len(), 1_600);
        // What nobody owns any more goes with the next look.
        sweep(&home, Which::Dead).expect("a readable home");
        let left = fs::read_dir(&home).expect("a home").count();
        fs::remove_dir_all(&home).expect("removed");
        assert_eq!(left, 0);
    }
}
