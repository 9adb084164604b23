//! The state directory: what outlives a run, written so that a crash or a second instance cannot spoil it.
//!
//! Owner: the running program (a lock says so). In: names and bytes. Out: the same bytes, checked, or a reason.
//! Never: a file made anew because the old one cannot be read; a link followed; a secret readable by others.

use std::ffi::{CString, OsStr};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::exit::Exit;

/// An open, locked state directory. The lock ends with the value.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    directory: OwnedFd,
    _lock: OwnedFd,
}

impl StateDir {
    /// Opens the directory at `path`, making it (0700) where it does not exist, and locks it.
    ///
    /// # Errors
    /// [`StateError::Locked`] when another instance has it; [`StateError::Directory`] when it cannot be made or
    /// opened; [`StateError::Foreign`] when it belongs to another user.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |errno| StateError::Directory(path.to_path_buf(), errno);
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            std::fs::create_dir_all(parent).map_err(|error| failed(errno_of(&error)))?;
        }
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        let owner = rustix::fs::fstat(&directory).map_err(failed)?.st_uid;
        if owner != rustix::process::geteuid().as_raw() {
            return Err(StateError::Foreign(path.to_path_buf(), owner));
        }
        rustix::fs::fchmod(&directory, Mode::RWXU).map_err(failed)?;
        let lock = Self::lock(&directory, path)?;
        Ok(Self {
            path: path.to_path_buf(),
            directory,
            _lock: lock,
        })
    }

    fn lock(directory: &OwnedFd, path: &Path) -> Result<OwnedFd, StateError> {
        let failed = |errno| StateError::Directory(path.join("lock"), errno);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(directory, c"lock", flags, SECRET).map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(lock),
            Err(Errno::WOULDBLOCK) => Err(StateError::Locked(path.to_path_buf())),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checked content of the file `name`; `None` where there is no such file.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] when the content is not what was written; [`StateError::Unreadable`] when the kernel says so.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let Some(bytes) = self.read_plain(name)? else {
            return Ok(None);
        };
        match opened(&bytes) {
            Some(content) => Ok(Some(content.to_vec())),
            None => Err(StateError::Corrupt(self.path.join(name))),
        }
    }

    /// Replaces the file `name`: after a crash it holds either the old content or the new one.
    ///
    /// # Errors
    /// [`StateError::Unwritable`] with the kernel's reason; the old content is still there.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), StateError> {
        self.write_plain(name, &sealed(content), SECRET)
    }

    /// As [`Self::write`], for a file that people and other programs read (0644): neither version nor checksum is added.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_public(&self, name: &str, content: &[u8]) -> Result<(), StateError> {
        self.write_plain(name, content, PUBLIC)
    }

    /// As [`Self::write`], for a secret that people copy (0600): neither version nor checksum is added.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_secret_text(&self, name: &str, content: &[u8]) -> Result<(), StateError> {
        self.write_plain(name, content, SECRET)
    }

    /// The content of a file written by [`Self::write_public`] or [`Self::write_secret_text`].
    ///
    /// # Errors
    /// [`StateError::Unreadable`] with the kernel's reason.
    pub fn read_plain(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let failed = |errno| StateError::Unreadable(self.path.join(name), errno);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(
            &self.directory,
            c_name(name)?.as_c_str(),
            flags,
            Mode::empty(),
        ) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let mut bytes = Vec::new();
        std::fs::File::from(file)
            .take(LARGEST)
            .read_to_end(&mut bytes)
            .map_err(|error| failed(errno_of(&error)))?;
        Ok(Some(bytes))
    }

    /// Removes the file `name`; one that is not there is removed already.
    ///
    /// # Errors
    /// [`StateError::Unwritable`] with the kernel's reason.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        match rustix::fs::unlinkat(&self.directory, c_name(name)?.as_c_str(), AtFlags::empty()) {
            Ok(()) => self.sync(name),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(StateError::Unwritable(self.path.join(name), errno)),
        }
    }

    /// The names of the files that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// [`StateError::Directory`] with the kernel's reason.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>, StateError> {
        let failed = |errno| StateError::Directory(self.path.clone(), errno);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().to_str()
                && name.starts_with(prefix)
                && !name.ends_with(NEW)
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn write_plain(&self, name: &str, bytes: &[u8], mode: Mode) -> Result<(), StateError> {
        let failed = |errno| StateError::Unwritable(self.path.join(name), errno);
        let target = c_name(name)?;
        let fresh = c_name(&format!("{name}{NEW}"))?;
        // What a crash left behind is nobody's; O_EXCL then proves that the file is ours from its first byte.
        match rustix::fs::unlinkat(&self.directory, fresh.as_c_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(&self.directory, fresh.as_c_str(), flags, mode).map_err(failed)?;
        let mut file = std::fs::File::from(file);
        file.write_all(bytes)
            .map_err(|error| failed(errno_of(&error)))?;
        rustix::fs::fsync(file.as_fd()).map_err(failed)?;
        drop(file);
        rustix::fs::renameat(
            &self.directory,
            fresh.as_c_str(),
            &self.directory,
            target.as_c_str(),
        )
        .map_err(failed)?;
        self.sync(name)
    }

    fn sync(&self, name: &str) -> Result<(), StateError> {
        rustix::fs::fsync(&self.directory)
            .map_err(|errno| StateError::Unwritable(self.path.join(name), errno))
    }
}

/// Why state cannot be read or kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// The directory cannot be made or opened.
    Directory(PathBuf, Errno),
    /// The directory belongs to the user with this number.
    Foreign(PathBuf, u32),
    /// Another instance runs on it.
    Locked(PathBuf),
    /// A file is there and cannot be read.
    Unreadable(PathBuf, Errno),
    /// A file is there and its content is not what was written.
    Corrupt(PathBuf),
    /// A file cannot be written.
    Unwritable(PathBuf, Errno),
    /// A file name that is none.
    BadName(String),
}

impl StateError {
    /// The exit code that goes with it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Locked(_) => Exit::Locked,
            Self::Directory(..)
            | Self::Foreign(..)
            | Self::Unreadable(..)
            | Self::Corrupt(_)
            | Self::Unwritable(..)
            | Self::BadName(_) => Exit::State,
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path, errno) => {
                write!(f, "state directory {}: {errno}", path.display())
            }
            Self::Foreign(path, owner) => write!(
                f,
                "state directory {} belongs to user {owner}; run as that user or choose another --state-dir",
                path.display()
            ),
            Self::Locked(path) => write!(
                f,
                "state directory {} is in use by another instance; stop that one or choose another --state-dir",
                path.display()
            ),
            Self::Unreadable(path, errno) => {
                write!(f, "{}: cannot be read: {errno}", path.display())
            }
            Self::Corrupt(path) => write!(
                f,
                "{}: version or checksum is wrong; restore it from a backup, or move it away to start without it",
                path.display()
            ),
            Self::Unwritable(path, errno) => {
                write!(f, "{}: cannot be written: {errno}", path.display())
            }
            Self::BadName(name) => write!(f, "{name:?} is no file name"),
        }
    }
}

impl std::error::Error for StateError {}

/// Readable by its owner alone, from the first moment.
const SECRET: Mode = Mode::RUSR.union(Mode::WUSR);
/// Readable by everybody.
const PUBLIC: Mode = SECRET.union(Mode::RGRP).union(Mode::ROTH);
/// What a half-written file's name ends with.
const NEW: &str = ".new";
/// First bytes of each file; the last is the layout's version.
const MAGIC: [u8; 8] = *b"ztstate\x01";
/// Bytes of the BLAKE2b-256 checksum that follows the magic.
const CHECKSUM: usize = 32;
/// Largest file ever read, bytes: far above a full table of saved peers.
const LARGEST: u64 = 64 << 20;

fn sealed(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + CHECKSUM + content.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&zt_crypto::hash256(content));
    bytes.extend_from_slice(content);
    bytes
}

fn opened(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (checksum, content) = rest.split_at_checked(CHECKSUM)?;
    (checksum == zt_crypto::hash256(content)).then_some(content)
}

fn c_name(name: &str) -> Result<CString, StateError> {
    let bad = || StateError::BadName(name.to_owned());
    if name.is_empty()
        || name.starts_with('.')
        || Path::new(name).file_name() != Some(OsStr::new(name))
    {
        return Err(bad());
    }
    CString::new(name).map_err(|_| bad())
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn fresh() -> (tempfile::TempDir, StateDir) {
        let outer = tempfile::tempdir().unwrap();
        let state = StateDir::open(&outer.path().join("state")).unwrap();
        (outer, state)
    }

    #[test]
    fn what_is_written_is_read_back_and_nobody_else_can_read_it() {
        let (_outer, state) = fresh();
        assert_eq!(state.read("identity"), Ok(None));
        state.write("identity", b"secret").unwrap();
        state.write("identity", b"another").unwrap();
        assert_eq!(state.read("identity"), Ok(Some(b"another".to_vec())));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.path()), 0o700);
        assert_eq!(mode(&state.path().join("identity")), 0o600);
    }

    #[test]
    fn a_flipped_bit_a_cut_file_and_an_empty_file_are_corrupt() {
        let (_outer, state) = fresh();
        state.write("identity", b"secret").unwrap();
        let path = state.path().join("identity");
        let good = std::fs::read(&path).unwrap();
        for position in [0, 7, 8, 39, good.len() - 1] {
            let mut bad = good.clone();
            bad[position] ^= 1;
            std::fs::write(&path, bad).unwrap();
            assert_eq!(
                state.read("identity"),
                Err(StateError::Corrupt(path.clone()))
            );
        }
        for length in [0, 20, good.len() - 1] {
            std::fs::write(&path, &good[..length]).unwrap();
            assert_eq!(state.read("identity").unwrap_err().exit(), Exit::State);
        }
    }

    #[test]
    fn a_second_instance_is_refused_until_the_first_has_ended() {
        let (_outer, state) = fresh();
        let path = state.path().to_path_buf();
        assert_eq!(StateDir::open(&path).unwrap_err().exit(), Exit::Locked);
        drop(state);
        StateDir::open(&path).unwrap();
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let (outer, state) = fresh();
        let elsewhere = outer.path().join("elsewhere");
        std::fs::write(&elsewhere, sealed(b"planted")).unwrap();
        symlink(&elsewhere, state.path().join("identity")).unwrap();
        assert!(matches!(
            state.read("identity"),
            Err(StateError::Unreadable(..))
        ));
        symlink(&elsewhere, state.path().join("peers.new")).unwrap();
        state.write("peers", b"ours").unwrap();
        assert_eq!(std::fs::read(&elsewhere).unwrap(), sealed(b"planted"));
    }

    #[test]
    fn names_are_listed_by_prefix_and_removed_ones_are_gone() {
        let (_outer, state) = fresh();
        for name in ["network-2", "network-1", "peers"] {
            state.write(name, b"").unwrap();
        }
        assert_eq!(state.names("network-").unwrap(), ["network-1", "network-2"]);
        state.remove("network-1").unwrap();
        state.remove("network-1").unwrap();
        assert_eq!(state.names("network-").unwrap(), ["network-2"]);
        assert_eq!(
            state.read("../peers"),
            Err(StateError::BadName("../peers".into()))
        );
    }
}
