//! How busy a worker is: its processor time and what it has moved.
//!
//! Owner: each worker its own. In: the thread's clock, bytes. Out: figures for whoever decides how many workers there are.
//! Never: a system call per packet.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use zt_engine::Mono;

/// What a worker has done so far, for other threads to read.
#[derive(Debug, Default)]
pub struct Load {
    cpu: AtomicU64,
    moved: AtomicU64,
}

impl Load {
    /// Processor time of the worker's thread, nanoseconds.
    pub fn cpu(&self) -> u64 {
        self.cpu.load(Relaxed)
    }

    /// Bytes of datagrams received and frames sent.
    pub fn moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }
}

/// What a worker keeps of its own load.
#[derive(Debug)]
pub struct Meter {
    /// Bytes moved.
    pub moved: u64,
    next: Mono,
    load: Arc<Load>,
}

impl Meter {
    /// Nothing done yet.
    pub const fn new(load: Arc<Load>) -> Self {
        Self {
            moved: 0,
            next: Mono::ZERO,
            load,
        }
    }

    /// Shows the figures, ten times a second at most; to be called by the worker's own thread.
    pub fn tick(&mut self, now: Mono) {
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
        let (seconds, nanos) = (
            u64::try_from(tv_sec).unwrap_or(0),
            u64::try_from(tv_nsec).unwrap_or(0),
        );
        self.load
            .cpu
            .store(seconds * 1_000_000_000 + nanos, Relaxed);
        self.load.moved.store(self.moved, Relaxed);
    }
}

const EVERY: Duration = Duration::from_millis(100);
