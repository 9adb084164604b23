//! `BLAKE2b` as this protocol uses it: to name things and to make keys out of seeds.
//!
//! Owner: nobody. In: bytes. Out: digests. Never: a password (that is Argon2id's).

use blake2::digest::{FixedOutput, KeyInit, Update};
use blake2::{Blake2b256, Blake2bMac512, Digest};
use zeroize::Zeroizing;

/// BLAKE2b-256 without a key: fingerprints, world hashes, content addresses.
pub fn hash256(bytes: &[u8]) -> [u8; 32] {
    Blake2b256::digest(bytes).into()
}

/// 64 bytes that follow from `seed` for one purpose: BLAKE2b-512 keyed with the seed, over the purpose.
///
/// # Panics
/// Never: `BLAKE2b` takes keys of up to 64 bytes.
pub fn expand(seed: &[u8; 32], purpose: &[u8]) -> Zeroizing<[u8; 64]> {
    // 32 bytes are fewer than 64.
    let mut mac = Blake2bMac512::new_from_slice(seed).expect("32 bytes are a key for BLAKE2b");
    mac.update(purpose);
    Zeroizing::new(mac.finalize_fixed().into())
}
