//! `Salsa20`'s key stream, eight blocks at once (Bernstein, "Salsa20 specification", 2005).
//!
//! Owner: nobody. In: a key, a nonce, bytes. Out: the bytes, mixed in by exclusive or. Each level of the CPU has its
//! code, chosen at run time. Never: a table look-up or branch on secrets.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u32x8};
use fearless_simd_macros::simd;
use zeroize::Zeroize;

/// The key stream of one key and nonce, from its first block on.
pub struct Stream {
    level: Level,
    /// The input block: constants, key, nonce, block counter.
    input: [u32; 16],
    /// Blocks made ahead.
    blocks: [u8; AHEAD],
    /// Bytes of them used up.
    used: usize,
}

impl Stream {
    /// The stream of `key` and `nonce`.
    pub fn new(level: Level, key: &[u8; 32], nonce: [u8; 8]) -> Self {
        let mut input = [0; 16];
        for (word, at) in CONSTANTS.into_iter().zip([0, 5, 10, 15]) {
            input[at] = word;
        }
        for (part, at) in key.chunks_exact(4).zip([1, 2, 3, 4, 11, 12, 13, 14]) {
            input[at] = little(part);
        }
        for (part, at) in nonce.chunks_exact(4).zip([6, 7]) {
            input[at] = little(part);
        }
        Self {
            level,
            input,
            blocks: [0; AHEAD],
            used: AHEAD,
        }
    }

    /// XORs the next bytes of the stream into `bytes`.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let ready = &self.blocks[self.used..];
        let (head, tail) = bytes.split_at_mut(ready.len().min(bytes.len()));
        xor(head, ready);
        self.used += head.len();
        for chunk in tail.chunks_mut(AHEAD) {
            let Self {
                level,
                input,
                blocks,
                ..
            } = self;
            dispatch!(*level, simd => eight_blocks(simd, input, blocks));
            let next = counter(input).wrapping_add(LANES as u64);
            [input[8], input[9]] = halves(next);
            xor(chunk, blocks);
            self.used = chunk.len();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.input.zeroize();
        self.blocks.zeroize();
    }
}

/// Makes eight blocks: each vector holds one word of all eight.
#[simd]
fn eight_blocks<S: Simd>(simd: S, input: &[u32; 16], out: &mut [u8; AHEAD]) {
    let mut start = [u32x8::splat(simd, 0); 16];
    for (vector, word) in start.iter_mut().zip(input) {
        *vector = u32x8::splat(simd, *word);
    }
    let first = counter(input);
    let (mut low, mut high) = ([0; LANES], [0; LANES]);
    for (lane, (low, high)) in (0..).zip(low.iter_mut().zip(&mut high)) {
        [*low, *high] = halves(first.wrapping_add(lane));
    }
    start[8] = u32x8::from_slice(simd, &low);
    start[9] = u32x8::from_slice(simd, &high);

    let mut x = start;
    for _ in 0..DOUBLE_ROUNDS {
        // Written out: in a loop over indices the compiler keeps the words in memory, three times slower.
        [x[0], x[4], x[8], x[12]] = quarter(simd, [x[0], x[4], x[8], x[12]]);
        [x[5], x[9], x[13], x[1]] = quarter(simd, [x[5], x[9], x[13], x[1]]);
        [x[10], x[14], x[2], x[6]] = quarter(simd, [x[10], x[14], x[2], x[6]]);
        [x[15], x[3], x[7], x[11]] = quarter(simd, [x[15], x[3], x[7], x[11]]);
        [x[0], x[1], x[2], x[3]] = quarter(simd, [x[0], x[1], x[2], x[3]]);
        [x[5], x[6], x[7], x[4]] = quarter(simd, [x[5], x[6], x[7], x[4]]);
        [x[10], x[11], x[8], x[9]] = quarter(simd, [x[10], x[11], x[8], x[9]]);
        [x[15], x[12], x[13], x[14]] = quarter(simd, [x[15], x[12], x[13], x[14]]);
    }
    let mut words = [[0; LANES]; 16];
    for ((word, mixed), first) in words.iter_mut().zip(x).zip(start) {
        (mixed + first).store_slice(word);
    }
    for (lane, block) in out.chunks_exact_mut(BLOCK).enumerate() {
        for (bytes, word) in block.chunks_exact_mut(4).zip(&words) {
            bytes.copy_from_slice(&word[lane].to_le_bytes());
        }
    }
}

#[simd]
fn quarter<S: Simd>(simd: S, [a, b, c, d]: [u32x8<S>; 4]) -> [u32x8<S>; 4] {
    let b = b ^ rotated::<_, 7>(simd, a + d);
    let c = c ^ rotated::<_, 9>(simd, b + a);
    let d = d ^ rotated::<_, 13>(simd, c + b);
    let a = a ^ rotated::<_, 18>(simd, d + c);
    [a, b, c, d]
}

#[simd]
fn rotated<S: Simd, const LEFT: u32>(simd: S, words: u32x8<S>) -> u32x8<S> {
    (words << LEFT) | (words >> (32 - LEFT))
}

fn xor(bytes: &mut [u8], stream: &[u8]) {
    for (byte, key) in bytes.iter_mut().zip(stream) {
        *byte ^= key;
    }
}

fn counter(input: &[u32; 16]) -> u64 {
    u64::from(input[8]) | u64::from(input[9]) << 32
}

#[allow(clippy::cast_possible_truncation)] // The two halves are what is wanted.
const fn halves(counter: u64) -> [u32; 2] {
    [counter as u32, (counter >> 32) as u32]
}

fn little(bytes: &[u8]) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(bytes);
    u32::from_le_bytes(word)
}

/// Blocks made at once.
const LANES: usize = 8;
/// Bytes of a block.
const BLOCK: usize = 64;
/// Bytes made at once.
const AHEAD: usize = LANES * BLOCK;
/// Columns, then rows: 20 rounds.
const DOUBLE_ROUNDS: usize = 10;
/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use salsa20::Salsa20;
    use salsa20::cipher::{KeyIvInit, StreamCipher};

    use super::*;

    proptest! {
        #[test]
        fn the_stream_is_that_of_the_plain_crate_in_pieces_of_any_size(
            key: [u8; 32], nonce: [u8; 8], pieces in proptest::collection::vec(0usize..1500, 1..6)
        ) {
            for level in [Level::new(), Level::baseline()] {
                let mut ours = Stream::new(level, &key, nonce);
                let mut theirs = Salsa20::new(&key.into(), &nonce.into());
                for length in &pieces {
                    let (mut a, mut b) = (vec![0x5a; *length], vec![0x5a; *length]);
                    ours.apply(&mut a);
                    theirs.apply_keystream(&mut b);
                    prop_assert_eq!(a, b);
                }
            }
        }
    }
}
