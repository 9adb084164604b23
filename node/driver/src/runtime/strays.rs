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
pub struct Strays(Vec<Bundle>);

impl Strays {
    /// Adds a datagram.
    pub fn add(&mut self, worker: usize, from: Path, datagram: &[u8]) {
        if self.0.len() <= worker {
            self.0.resize_with(worker + 1, Bundle::default);
        }
        let Bundle { bytes, each } = &mut self.0[worker];
        let start = bytes.len();
        bytes.extend_from_slice(datagram);
        each.push((from, start..bytes.len()));
    }

    /// Hands each bundle over.
    pub fn flush(&mut self, mut send: impl FnMut(usize, Bundle)) {
        for (worker, bundle) in self.0.iter_mut().enumerate() {
            if !bundle.each.is_empty() {
                send(worker, std::mem::take(bundle));
            }
        }
    }
}
