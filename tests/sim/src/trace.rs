//! A hash over everything that happened: equal for equal runs, different as soon as one byte differs.
//!
//! Owner: the world. In: moments, hosts, bytes. Out: 64 bits. Never: a claim to resist attack.

use zt_engine::Mono;

use crate::internet::HostId;

/// The hash so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed ^ 0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn note(&mut self, at: Mono, host: HostId, bytes: &[u8]) {
        self.word(at.as_nanos());
        self.word(u64::from(host.0) << 32 | bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    pub(crate) const fn hash(self) -> u64 {
        self.0
    }

    const fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
        self.0 ^= self.0 >> 29;
    }
}
