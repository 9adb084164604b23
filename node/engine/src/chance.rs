//! Chance out of the injected seed: the same seed, the same numbers.
//!
//! Owner: the engine. In: 32 bytes of seed. Out: seeds for handshakes, tokens, session indices, jitter.
//! Never: the operating system's randomness; a number twice.

use core::time::Duration;

use zt_crypto::hash256;

/// A generator that hashes the seed with a counter (BLAKE2b-256), so its outputs tell nothing of each other.
pub struct Chance {
    seed: [u8; 32],
    counter: u64,
}

impl Chance {
    /// A generator of `seed`.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// 32 unpredictable bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut input = [0; 40];
        input[..32].copy_from_slice(&self.seed);
        input[32..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter += 1;
        hash256(&input)
    }

    /// An unpredictable number.
    pub fn number(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// An unpredictable session index, never zero.
    pub fn index(&mut self) -> u32 {
        loop {
            let [.., a, b, c, d] = self.bytes();
            let index = u32::from_be_bytes([a, b, c, d]);
            if index != 0 {
                return index;
            }
        }
    }

    /// A span up to `most`, evenly spread.
    pub fn jitter(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.number() % nanos)
    }
}

impl core::fmt::Debug for Chance {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Chance")
    }
}
