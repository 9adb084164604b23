//! How the program's memory goes back to the kernel.
//!
//! Owner: the process. In: nothing. Out: large blocks that are returned as soon as they are free.
//! Never: a block that stays because a larger one was freed before.
#![allow(unsafe_code)]

/// Makes every block of [`LARGE`] bytes and more a mapping of its own, returned when it is freed. Otherwise the
/// allocator keeps the work memory of the first proof of work (4 MiB) and of each thread that checks one later: 16 MiB
/// of 26 MiB at the peak of a first start (measured November 2026). Call once, before any thread is started.
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: `mallopt` takes two numbers and keeps no pointer; no other thread allocates yet.
        let taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
        if taken != 1 {
            tracing::debug!("the allocator keeps large blocks");
        }
    }
}

/// Bytes above which a block is a mapping of its own: below the smallest proof of work of a release world, above
/// everything that is made often.
const LARGE: libc::c_int = 1 << 20;
