//! How transport datagrams are sealed: XSalsa20-Poly1305 and AES-256-GCM, in place.
//!
//! Owner: a session's keys. In: counter and buffer. Out: the same buffer, sealed or opened.
//! Never: an allocation or a choice after the key exists; a counter used twice (the sender's duty).

use core::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use fearless_simd::Level;
use salsa20::cipher::consts::U10;
use salsa20::hsalsa;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::poly;
use crate::salsa::Stream;

/// Bytes of the tag at the end of each sealed body.
pub const TAG: usize = 16;

/// Datagrams that one key may seal (SPEC §5.5); counters are smaller.
pub const MOST_DATAGRAMS: u64 = 1 << 48;

/// A way to seal transport datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// `NaCl`'s secretbox, with the tag at the end; every node speaks it.
    XSalsa20Poly1305,
    /// AES-256-GCM; only where both ends have AES in hardware.
    Aes256Gcm,
}

impl Suite {
    /// The number in a handshake's `chosen` field; also its bit in [`Suites`].
    pub const fn number(self) -> u8 {
        match self {
            Self::XSalsa20Poly1305 => 0x01,
            Self::Aes256Gcm => 0x02,
        }
    }

    /// The suite with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0x01 => Some(Self::XSalsa20Poly1305),
            0x02 => Some(Self::Aes256Gcm),
            _ => None,
        }
    }

    /// As `zt-cli peers` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XSalsa20Poly1305 => "xsalsa20-poly1305",
            Self::Aes256Gcm => "aes-256-gcm",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of suites, as a handshake's `suites` byte says it. Unknown bits are kept and mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suites(u8);

impl Suites {
    /// What every node speaks.
    pub const LEAST: Self = Self(Suite::XSalsa20Poly1305.number());
    /// Both suites.
    pub const ALL: Self = Self(Suite::XSalsa20Poly1305.number() | Suite::Aes256Gcm.number());

    /// A set from the wire. [`Suite::XSalsa20Poly1305`] is in every set, said or not.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte | Self::LEAST.0)
    }

    /// The byte of the wire.
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// Whether `suite` is in the set.
    pub const fn has(self, suite: Suite) -> bool {
        self.0 & suite.number() != 0
    }

    /// What two ends use together: AES-256-GCM when both have it in hardware.
    pub const fn choose(self, theirs: Self) -> Suite {
        if self.has(Suite::Aes256Gcm) && theirs.has(Suite::Aes256Gcm) {
            Suite::Aes256Gcm
        } else {
            Suite::XSalsa20Poly1305
        }
    }
}

/// The suites to offer on this CPU.
pub fn ours() -> Suites {
    #[cfg(target_arch = "x86_64")]
    let aes = std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let aes = std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let aes = false;
    if aes { Suites::ALL } else { Suites::LEAST }
}

/// A tag was wrong: the bytes were not sealed under this key and counter. The buffer's content means nothing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

impl fmt::Display for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the datagram was not sealed with this key and counter")
    }
}

impl core::error::Error for Forged {}

/// Seals what goes out in one direction of a session.
#[derive(Debug)]
pub struct SealKey(Key);

/// Opens what comes in from the other direction of a session.
#[derive(Debug)]
pub struct OpenKey(Key);

impl SealKey {
    /// A sealing key. `key` is used up by the handshake and not kept elsewhere.
    pub fn new(suite: Suite, key: &[u8; 32]) -> Self {
        Self(Key::new(suite, key))
    }

    /// Seals all but the last 16 bytes of `buffer` in place and writes the tag into those. Each `counter` once.
    ///
    /// # Panics
    /// When `buffer` has no room for a tag: the caller's bug.
    #[inline]
    pub fn seal(&self, counter: u64, buffer: &mut [u8]) {
        let split = buffer.len().checked_sub(TAG);
        // The slot was laid out by our own caller with room for the tag.
        let (text, tag) = buffer.split_at_mut(split.expect("a buffer with room for the tag"));
        match &self.0 {
            Key::XSalsa(key) => key.seal(counter, text, tag),
            Key::Aes(key) => {
                let made = key.seal_in_place_separate_tag(nonce(counter), Aad::empty(), text);
                // AES-GCM refuses only texts of 2^36 bytes and more; a datagram has at most 2^16.
                tag.copy_from_slice(made.expect("a datagram is short enough").as_ref());
            }
        }
    }

    /// The suite.
    pub const fn suite(&self) -> Suite {
        self.0.suite()
    }
}

impl OpenKey {
    /// An opening key. `key` is used up by the handshake and not kept elsewhere.
    pub fn new(suite: Suite, key: &[u8; 32]) -> Self {
        Self(Key::new(suite, key))
    }

    /// Opens `buffer`, ciphertext and tag, in place; the plaintext's length is what the tag leaves.
    ///
    /// # Errors
    /// [`Forged`] when the tag is wrong or missing.
    #[inline]
    pub fn open(&self, counter: u64, buffer: &mut [u8]) -> Result<usize, Forged> {
        let split = buffer.len().checked_sub(TAG).ok_or(Forged)?;
        match &self.0 {
            Key::XSalsa(key) => {
                let (text, tag) = buffer.split_at_mut(split);
                key.open(counter, text, tag)?;
            }
            Key::Aes(key) => {
                key.open_in_place(nonce(counter), Aad::empty(), buffer)
                    .map_err(|_| Forged)?;
            }
        }
        Ok(split)
    }

    /// The suite.
    pub const fn suite(&self) -> Suite {
        self.0.suite()
    }
}

enum Key {
    XSalsa(SalsaKey),
    Aes(LessSafeKey),
}

impl Key {
    fn new(suite: Suite, key: &[u8; 32]) -> Self {
        match suite {
            Suite::XSalsa20Poly1305 => Self::XSalsa(SalsaKey::new(key)),
            Suite::Aes256Gcm => {
                // The key has the 32 bytes that AES-256 takes.
                let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes make an AES-256 key");
                Self::Aes(LessSafeKey::new(key))
            }
        }
    }

    const fn suite(&self) -> Suite {
        match self {
            Self::XSalsa(_) => Suite::XSalsa20Poly1305,
            Self::Aes(_) => Suite::Aes256Gcm,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(..)", self.suite())
    }
}

/// XSalsa20-Poly1305 whose nonce begins with 16 zero bytes: the `HSalsa20` half of the key set-up is the same for
/// each datagram and done once.
struct SalsaKey {
    key: Zeroizing<[u8; 32]>,
    level: Level,
}

impl SalsaKey {
    fn new(key: &[u8; 32]) -> Self {
        let mut derived = hsalsa::<U10>(&(*key).into(), &[0; 16].into());
        let mut subkey = Zeroizing::new([0; 32]);
        subkey.copy_from_slice(&derived);
        derived.as_mut_slice().zeroize();
        Self {
            key: subkey,
            level: Level::new(),
        }
    }

    fn seal(&self, counter: u64, text: &mut [u8], tag: &mut [u8]) {
        let (mut stream, once) = self.start(counter);
        stream.apply(text);
        tag.copy_from_slice(&poly::tag(&once, text));
    }

    fn open(&self, counter: u64, text: &mut [u8], tag: &[u8]) -> Result<(), Forged> {
        let (mut stream, once) = self.start(counter);
        if !bool::from(poly::tag(&once, text).ct_eq(tag)) {
            return Err(Forged);
        }
        stream.apply(text);
        Ok(())
    }

    /// The key stream behind its first 32 bytes, which are the authenticator's key.
    fn start(&self, counter: u64) -> (Stream, Zeroizing<[u8; 32]>) {
        let mut stream = Stream::new(self.level, &self.key, counter.to_be_bytes());
        let mut once = Zeroizing::new([0; 32]);
        stream.apply(&mut *once);
        (stream, once)
    }
}

/// AES-GCM's nonce: four zero bytes and the counter.
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use crypto_secretbox::aead::{Aead, KeyInit as _};
    use crypto_secretbox::{Nonce as BoxNonce, XSalsa20Poly1305};
    use proptest::prelude::*;

    use super::*;

    const BOTH: [Suite; 2] = [Suite::XSalsa20Poly1305, Suite::Aes256Gcm];

    fn sealed(suite: Suite, counter: u64, text: &[u8]) -> Vec<u8> {
        let mut buffer = [text, &[0; TAG]].concat();
        SealKey::new(suite, &[7; 32]).seal(counter, &mut buffer);
        buffer
    }

    #[test]
    fn what_was_sealed_opens_under_the_same_counter_only() {
        for suite in BOTH {
            let key = OpenKey::new(suite, &[7; 32]);
            let mut buffer = sealed(suite, 5, b"a frame");
            assert_eq!(key.open(6, &mut buffer.clone()), Err(Forged));
            assert_eq!(key.open(5, &mut buffer), Ok(7));
            assert_eq!(&buffer[..7], b"a frame");
        }
    }

    #[test]
    fn each_changed_bit_is_noticed() {
        for suite in BOTH {
            let key = OpenKey::new(suite, &[7; 32]);
            let buffer = sealed(suite, 1, &[0x55; 70]);
            for bit in 0..buffer.len() * 8 {
                let mut changed = buffer.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(key.open(1, &mut changed), Err(Forged), "{suite} bit {bit}");
            }
        }
    }

    #[test]
    fn a_body_shorter_than_a_tag_is_forged() {
        for suite in BOTH {
            assert_eq!(
                OpenKey::new(suite, &[7; 32]).open(0, &mut [0; 15]),
                Err(Forged)
            );
        }
    }

    #[test]
    fn aes_is_chosen_only_when_both_have_it() {
        assert_eq!(Suites::ALL.choose(Suites::ALL), Suite::Aes256Gcm);
        assert_eq!(
            Suites::ALL.choose(Suites::from_byte(0)),
            Suite::XSalsa20Poly1305
        );
        assert_eq!(
            Suites::LEAST.choose(Suites::from_byte(0xff)),
            Suite::XSalsa20Poly1305
        );
    }

    #[test]
    fn debug_output_shows_no_key() {
        assert_eq!(
            format!("{:?}", SealKey::new(Suite::Aes256Gcm, &[7; 32])),
            "SealKey(aes-256-gcm(..))"
        );
    }

    proptest! {
        #[test]
        fn xsalsa20_poly1305_is_nacls_secretbox_with_the_tag_at_the_end(
            key: [u8; 32], counter in 0..MOST_DATAGRAMS, text in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            let mut nonce = BoxNonce::default();
            nonce[16..].copy_from_slice(&counter.to_be_bytes());
            let oracle = XSalsa20Poly1305::new(&key.into()).encrypt(&nonce, text.as_slice()).unwrap();
            let mut ours = [text.as_slice(), &[0; TAG]].concat();
            SealKey::new(Suite::XSalsa20Poly1305, &key).seal(counter, &mut ours);
            prop_assert_eq!(&ours[..text.len()], &oracle[TAG..]);
            prop_assert_eq!(&ours[text.len()..], &oracle[..TAG]);
        }
    }
}
