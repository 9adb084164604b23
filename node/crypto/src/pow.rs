//! Proof of work: what makes an address cost something, and where it comes from.
//!
//! Owner: nobody; a search is shared by the threads that the driver gives it. In: identities, parameters.
//! Out: `Verified`, or how far the search is. Never: a thread, a clock, an identity taken as real unchecked.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use argon2::{Algorithm, Argon2, Block, Version};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;
use zt_wire::{Address, Identity};

use crate::identity::{SecretIdentity, Verified};

/// How much work a world asks for. Belongs to the signed world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    memory_kib: u32,
    passes: u32,
    bits: u8,
}

impl Params {
    /// What every world asks for that is no test world: 2.4 ms and 8 MiB per try on one x86-64 server core
    /// (`examples/figures.rs`, November 2026), times 2,048 tries in the mean = 4.9 s. A core four times slower still verifies in 10 ms.
    pub const RELEASE: Self = Self {
        memory_kib: 8192,
        passes: 1,
        bits: 11,
    };

    /// For test worlds: a few microseconds, and the first nonce serves.
    pub const WEAK: Self = Self {
        memory_kib: 8,
        passes: 1,
        bits: 0,
    };

    /// Most memory that any world may ask for, KiB.
    pub const MOST_MEMORY_KIB: u32 = 8192;
    /// Most passes that any world may ask for.
    pub const MOST_PASSES: u32 = 4;
    /// Most leading zero bits that any world may ask for.
    pub const MOST_BITS: u8 = 32;

    /// Parameters from a world.
    ///
    /// # Errors
    /// [`BadParams::OutOfRange`] for what Argon2 does not know, or for more work per verification than a node will do for a stranger.
    pub const fn new(memory_kib: u32, passes: u32, bits: u8) -> Result<Self, BadParams> {
        let fits = memory_kib >= 8
            && memory_kib <= Self::MOST_MEMORY_KIB
            && passes >= 1
            && passes <= Self::MOST_PASSES
            && bits <= Self::MOST_BITS;
        if fits {
            Ok(Self {
                memory_kib,
                passes,
                bits,
            })
        } else {
            Err(BadParams::OutOfRange)
        }
    }

    /// Whether these ask for less than [`Params::RELEASE`] anywhere.
    pub const fn is_weak(self) -> bool {
        self.memory_kib < Self::RELEASE.memory_kib
            || self.passes < Self::RELEASE.passes
            || self.bits < Self::RELEASE.bits
    }

    /// Whether a node may enter a world with these parameters: weak ones need both the world's own word
    /// (`says_weak`) and the operator's (`allowed`, from `--weak-proof-of-work`).
    ///
    /// # Errors
    /// [`BadParams::WeakUnsaid`] and [`BadParams::WeakRefused`].
    pub const fn admit(self, says_weak: bool, allowed: bool) -> Result<(), BadParams> {
        if says_weak {
            return if allowed {
                Ok(())
            } else {
                Err(BadParams::WeakRefused)
            };
        }
        if self.is_weak() {
            Err(BadParams::WeakUnsaid)
        } else {
            Ok(())
        }
    }

    /// Memory of one verification, KiB.
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub const fn passes(self) -> u32 {
        self.passes
    }

    /// Leading zero bits asked for.
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// Mean number of tries until an identity is found.
    pub const fn mean_tries(self) -> u64 {
        1 << self.bits
    }
}

/// Why a world's parameters are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadParams {
    /// Outside what any world may ask for.
    OutOfRange,
    /// Weaker than a release world's, and the world does not say that it is a test world.
    WeakUnsaid,
    /// A test world, and the operator did not allow one.
    WeakRefused,
}

impl fmt::Display for BadParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "the world's proof-of-work parameters are out of range",
            Self::WeakUnsaid => "the world's proof of work is too weak for a world that is not marked as a test world",
            Self::WeakRefused => "this is a test world; it is entered only with --weak-proof-of-work",
        })
    }
}

impl core::error::Error for BadParams {}

/// Why an identity is not real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// The work was not done: too few leading zero bits.
    Work,
    /// The work leads to a reserved address.
    Reserved,
    /// The X25519 key has low order: everybody would know its secrets.
    LowOrder,
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Work => "the identity's proof of work is missing",
            Self::Reserved => "the identity's proof of work leads to a reserved address",
            Self::LowOrder => "the identity's key has low order",
        })
    }
}

impl core::error::Error for Unproven {}

/// Checks an identity's work and finds its address. Up to 10 ms and [`Params::memory_kib`] of memory: for the pool, not the packet path.
///
/// # Errors
/// [`Unproven`] says what is missing.
pub fn verify(identity: &Identity, params: &Params) -> Result<Verified, Unproven> {
    if !contributory(identity.x25519()) {
        return Err(Unproven::LowOrder);
    }
    let digest = Scratch::new(*params).digest(identity);
    judge(&digest, *params).map(|address| Verified::proven(*identity, address))
}

/// A search for an identity, shared by all threads that work at it.
#[derive(Debug)]
pub struct Search {
    params: Params,
    keys: SecretIdentity,
    next: AtomicU64,
    tried: AtomicU64,
    stop: AtomicBool,
}

impl Search {
    /// A search among the nonces of the keys that follow from `seed`.
    pub fn new(seed: &[u8; 32], params: Params) -> Self {
        Self {
            params,
            keys: SecretIdentity::from_seed(seed, 0),
            next: AtomicU64::new(0),
            tried: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    /// Tries nonces until one serves or the search is stopped. Each thread calls this once; the first to find one stops the rest.
    pub fn run(&self) -> Option<(SecretIdentity, Verified)> {
        let mut scratch = Scratch::new(self.params);
        while !self.stop.load(Ordering::Relaxed) {
            if let Some(found) = self.step(&mut scratch) {
                self.stop();
                return Some(found);
            }
        }
        None
    }

    /// Tries the next nonce. `scratch` was made for this search's parameters.
    ///
    /// # Panics
    /// Never: an identity differs from the one searched with in its nonce only.
    pub fn step(&self, scratch: &mut Scratch) -> Option<(SecretIdentity, Verified)> {
        let nonce = self.next.fetch_add(1, Ordering::Relaxed);
        let public = self.keys.public();
        let identity = Identity::new(*public.x25519(), *public.ed25519(), nonce);
        let judged = judge(&scratch.digest(&identity), self.params);
        self.tried.fetch_add(1, Ordering::Relaxed);
        let verified = Verified::proven(identity, judged.ok()?);
        let mut bytes = self.keys.to_bytes();
        bytes[SecretIdentity::LEN - 8..].copy_from_slice(&nonce.to_be_bytes());
        // The bytes come from `to_bytes`; only the nonce is another.
        let secret =
            SecretIdentity::from_bytes(bytes.as_slice()).expect("an identity with another nonce");
        Some((secret, verified))
    }

    /// Ends the search in every thread after its present try.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Tries so far, of all threads: for a progress bar together with [`Params::mean_tries`].
    pub fn tried(&self) -> u64 {
        self.tried.load(Ordering::Relaxed)
    }

    /// What is searched for.
    pub const fn params(&self) -> Params {
        self.params
    }
}

/// One thread's memory for tries, used again and again.
pub struct Scratch {
    argon2: Argon2<'static>,
    blocks: Vec<Block>,
}

impl Scratch {
    /// Takes [`Params::memory_kib`] of memory.
    ///
    /// # Panics
    /// Never: [`Params`] keeps to what Argon2 takes.
    pub fn new(params: Params) -> Self {
        // `Params::new` keeps to what Argon2 takes: at least 8 KiB and one pass for one lane.
        let inner = argon2::Params::new(params.memory_kib, params.passes, 1, Some(OUTPUT))
            .expect("checked parameters are Argon2's too");
        let blocks = vec![Block::new(); inner.block_count()];
        Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, inner),
            blocks,
        }
    }

    /// Argon2id over kind and public keys, salted with the nonce (SPEC §2.3).
    fn digest(&mut self, identity: &Identity) -> [u8; OUTPUT] {
        let bytes = identity.to_bytes();
        let (keys, nonce) = bytes.split_at(Identity::LEN - 8);
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(SALT);
        salt[8..].copy_from_slice(nonce);
        let mut digest = [0; OUTPUT];
        // Lengths are fixed and within Argon2's limits, and the memory has the size it asked for.
        self.argon2
            .hash_password_into_with_memory(keys, &salt, &mut digest, self.blocks.as_mut_slice())
            .expect("fixed lengths are within Argon2's limits");
        digest
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scratch({} blocks)", self.blocks.len())
    }
}

const OUTPUT: usize = 32;
const SALT: &[u8; 8] = b"zt pow 1";

/// The address is the digest's last five bytes; its first bits are the proof.
fn judge(digest: &[u8; OUTPUT], params: Params) -> Result<Address, Unproven> {
    // 8 and 5 bytes are there: the digest has 32.
    let (Some(first), Some(last)) = (digest.first_chunk(), digest.last_chunk()) else {
        return Err(Unproven::Work);
    };
    if u64::from_be_bytes(*first).leading_zeros() < u32::from(params.bits) {
        return Err(Unproven::Work);
    }
    Address::from_bytes(*last).map_err(|_| Unproven::Reserved)
}

/// Whether a key agreement with `public` depends on the secret at all.
fn contributory(public: &[u8; 32]) -> bool {
    let any = Zeroizing::new([1; 32]);
    StaticSecret::from(*any)
        .diffie_hellman(&PublicKey::from(*public))
        .was_contributory()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EASY: Params = match Params::new(8, 1, 4) {
        Ok(params) => params,
        Err(_) => unreachable!(),
    };

    #[test]
    fn what_a_search_finds_is_verified_with_the_same_address() {
        let (secret, found) = Search::new(&[1; 32], EASY).run().unwrap();
        assert_eq!(verify(secret.public(), &EASY), Ok(found));
        assert_eq!(found.key(), secret.key());
    }

    #[test]
    fn the_work_counts_for_its_keys_and_parameters_only() {
        let hard = Params::new(8, 1, 12).unwrap();
        let (secret, _) = Search::new(&[1; 32], EASY).run().unwrap();
        let other = SecretIdentity::from_seed(&[2; 32], secret.public().nonce());
        assert_eq!(verify(other.public(), &hard), Err(Unproven::Work));
        assert_eq!(verify(secret.public(), &hard), Err(Unproven::Work));
    }

    #[test]
    fn threads_share_one_search() {
        let search = Search::new(&[3; 32], Params::new(8, 1, 10).unwrap());
        let found: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| search.run())).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(!found.is_empty());
        for (secret, verified) in found {
            assert_eq!(verify(secret.public(), &search.params()), Ok(verified));
            assert!(search.tried() > secret.public().nonce());
        }
    }

    #[test]
    fn a_stopped_search_ends() {
        let search = Search::new(&[1; 32], Params::new(8, 1, 32).unwrap());
        search.stop();
        assert!(search.run().is_none());
    }

    #[test]
    fn a_low_order_key_is_no_identity() {
        assert_eq!(
            verify(&Identity::new([0; 32], [1; 32], 0), &Params::WEAK),
            Err(Unproven::LowOrder)
        );
    }

    #[test]
    fn a_reserved_address_is_no_address() {
        let mut digest = [0; OUTPUT];
        assert_eq!(judge(&digest, EASY), Err(Unproven::Reserved));
        digest[27] = 0xff;
        assert_eq!(judge(&digest, EASY), Err(Unproven::Reserved));
        digest[27] = 0xfe;
        assert!(judge(&digest, EASY).is_ok());
    }

    #[test]
    fn weak_work_needs_the_worlds_word_and_the_operators() {
        assert_eq!(Params::RELEASE.admit(false, false), Ok(()));
        assert_eq!(Params::RELEASE.admit(false, true), Ok(()));
        assert_eq!(Params::WEAK.admit(false, true), Err(BadParams::WeakUnsaid));
        assert_eq!(Params::WEAK.admit(true, false), Err(BadParams::WeakRefused));
        assert_eq!(Params::WEAK.admit(true, true), Ok(()));
    }

    #[test]
    fn a_world_cannot_ask_for_more_than_a_node_will_do() {
        assert_eq!(Params::new(8193, 1, 1), Err(BadParams::OutOfRange));
        assert_eq!(Params::new(7, 1, 1), Err(BadParams::OutOfRange));
        assert_eq!(Params::new(8, 0, 1), Err(BadParams::OutOfRange));
        assert_eq!(Params::new(8, 1, 33), Err(BadParams::OutOfRange));
    }
}
