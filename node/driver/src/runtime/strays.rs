//! Datagrams that came to one worker and are another's to open, bundled until the round ends.
//!
//! Owner: a worker. In: datagrams with the way they came. Out: one bundle per worker and round.
//! Never: a message per datagram.

use std::ops::Range;

use zt_engine::shard::Path;

/// Datagrams for one worker.
#[derive(Debug, Default)]
pub struct Bundle {
    bytes: Vec<u8>,
    each: Vec<(Path, Range<usize>)>,
}

impl Bundle {
    /// Shows each datagram, in order.
    pub fn each(&mut self, mut show: impl FnMut(Path, &mut [u8])) {
        for (from, place) in &self.each {
            show(*from, &mut self.bytes[place.clone()]);
        }
    }
}

/// Bundles by worker.
#[derive(Debug, Default)]
pub struct Strays {
    bundles: Vec<Bundle>,
    lost: u64,
}

/// Bundles that may wait for a worker, each of a turn's bytes at most: 4 MiB.
pub const BUNDLES: usize = 16;

impl Strays {
    /// Adds a datagram.
    pub fn add(&mut self, worker: usize, from: Path, datagram: &[u8]) {
        if self.bundles.len() <= worker {
            self.bundles.resize_with(worker + 1, Bundle::default);
        }
        let Bundle { bytes, each } = &mut self.bundles[worker];
        let start = bytes.len();
        bytes.extend_from_slice(datagram);
        each.push((from, start..bytes.len()));
    }

    /// Hands each bundle over; `send` says whether it could be.
    pub fn flush(&mut self, mut send: impl FnMut(usize, Bundle) -> bool) {
        for (worker, bundle) in self.bundles.iter_mut().enumerate() {
            let count = bundle.each.len();
            if count > 0 && !send(worker, std::mem::take(bundle)) {
                self.lost += count as u64;
            }
        }
    }

    /// Datagrams that their worker had no time for.
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}
