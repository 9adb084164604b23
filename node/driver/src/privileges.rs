//! Gives up what a running program does not need.
//!
//! Owner: the calling thread; threads started later inherit it. In: what to keep. Out: less power.
//! Never: a way back.

use std::fmt;

use caps::{CapSet, Capability, CapsHashSet};

/// What a role keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// `CAP_NET_ADMIN`: devices, addresses and routes. `CAP_NET_BIND_SERVICE`: `ipxnet`'s port 213, opened when asked for.
    Devices,
    /// Nothing.
    Nothing,
}

/// Drops every capability but those kept and sets `no_new_privs`. Call before any thread is started, because
/// capabilities belong to threads.
///
/// # Errors
/// [`NotDropped`] with the kernel's reason; the program should not go on.
pub fn drop_to(keep: Keep) -> Result<(), NotDropped> {
    let held = caps::read(None, CapSet::Permitted).map_err(NotDropped::caps)?;
    let kept: CapsHashSet = match keep {
        Keep::Devices => held
            .iter()
            .copied()
            .filter(|cap| {
                matches!(
                    cap,
                    Capability::CAP_NET_ADMIN | Capability::CAP_NET_BIND_SERVICE
                )
            })
            .collect(),
        Keep::Nothing => CapsHashSet::new(),
    };
    if held.contains(&Capability::CAP_SETPCAP) {
        let bounding = caps::read(None, CapSet::Bounding).map_err(NotDropped::caps)?;
        for cap in bounding.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *cap).map_err(NotDropped::caps)?;
        }
    }
    caps::clear(None, CapSet::Ambient).map_err(NotDropped::caps)?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).map_err(NotDropped::caps)?;
    caps::set(None, CapSet::Effective, &kept).map_err(NotDropped::caps)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(NotDropped::caps)?;
    rustix::thread::set_no_new_privs(true).map_err(|errno| NotDropped(errno.to_string()))
}

/// The kernel refused to take privileges back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDropped(String);

impl NotDropped {
    // Taken by value because it is a step of `map_err`.
    #[allow(clippy::needless_pass_by_value)]
    fn caps(error: caps::errors::CapsError) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for NotDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "privileges could not be dropped: {}", self.0)
    }
}

impl std::error::Error for NotDropped {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_dropped_everything_holds_nothing() {
        // In a thread of its own: capabilities are the thread's, the other tests keep theirs.
        std::thread::spawn(|| {
            drop_to(Keep::Nothing).unwrap();
            assert!(caps::read(None, CapSet::Effective).unwrap().is_empty());
            assert!(caps::read(None, CapSet::Permitted).unwrap().is_empty());
            assert!(rustix::thread::no_new_privs().unwrap());
        })
        .join()
        .unwrap();
    }
}
