//! A device that a task of tokio waits for, instead of the worker's epoll.
//!
//! Owner: LAN mode. In: an open device. Out: the same, registered. Never: another file than the device's.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use tokio::io::unix::AsyncFd;

use super::Tap;

impl Tap {
    /// Registers it with the runtime of the calling task.
    ///
    /// # Errors
    /// The kernel's when its file cannot be waited for.
    pub fn waiting(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: `as_raw_fd` always gives the file that the device owns, which is open as long as the device is.
        unsafe { AsyncFd::register(self) }.map_err(|failed| failed.into_parts().1)
    }
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
