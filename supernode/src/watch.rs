//! Tells when a file may have changed: by the kernel's word (inotify), or by SIGHUP.
//!
//! In: a path. Out: a wake-up after a change. Never: a look at the clock, the file's content.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

/// Watches one file, which is replaced as a whole; so its directory is what the kernel is asked about.
#[derive(Debug)]
pub struct Watch {
    file: PathBuf,
    changes: Receiver<()>,
    hangup: Option<Signal>,
}

impl Watch {
    /// Watches `file`, which need not exist; its directory must. A thread waits for the kernel until the program ends
    /// or the first change after this value is gone.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn on(file: &Path) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC)?;
        let dir = file
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        inotify::add_watch(&events, dir, WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE)?;
        let name = file.file_name().map(OsStr::to_owned).unwrap_or_default();
        // One that waits to be heard is enough: whoever hears it looks at the file as it is then.
        let (told, changes) = channel(1);
        std::thread::Builder::new()
            .name("world-watch".into())
            .spawn(move || listen(&events, &name, &told))?;
        Ok(Self {
            file: file.to_owned(),
            changes,
            hangup: None,
        })
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns when the file has been replaced or written, or a SIGHUP has come, since the last call. Dropping the
    /// future loses no change.
    ///
    /// # Errors
    /// The kernel does not tell any more.
    pub async fn changed(&mut self) -> io::Result<()> {
        let hangup = match &mut self.hangup {
            Some(hangup) => hangup,
            // Only now: tokio is needed for it, which the caller of `on` does not have yet.
            None => self.hangup.insert(signal(SignalKind::hangup())?),
        };
        tokio::select! {
            change = self.changes.recv() => change.ok_or_else(|| io::Error::other("inotify has ended")),
            _ = hangup.recv() => Ok(()),
        }
    }
}

/// Waits for the kernel and passes on what is about the file, until nobody listens.
fn listen(events: &OwnedFd, name: &OsString, told: &Sender<()>) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(events, &mut buffer);
    loop {
        let about = match reader.next() {
            // After an overflow nobody knows, so the file is looked at.
            Ok(event) => {
                event.file_name().map(CStr::to_bytes) == Some(name.as_bytes())
                    || event.events().contains(ReadFlags::QUEUE_OVERFLOW)
            }
            Err(rustix::io::Errno::INTR) => false,
            Err(error) => {
                tracing::error!(%error, "inotify");
                return;
            }
        };
        if about && matches!(told.try_send(()), Err(TrySendError::Closed(()))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_file_that_is_replaced_is_noticed_and_its_neighbours_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("world.json");
        let mut watch = Watch::on(&file).unwrap();
        std::fs::write(dir.path().join("neighbour"), b"x").unwrap();
        std::fs::write(dir.path().join("new"), b"x").unwrap();
        std::fs::rename(dir.path().join("new"), &file).unwrap();
        watch.changed().await.unwrap();
        assert!(
            watch.changes.is_empty(),
            "one change of ours is one wake-up"
        );
    }
}
