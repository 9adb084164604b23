//! The public half of a node: two keys and the proof-of-work nonce (SPEC §2.1).
//!
//! Owner: nobody; a plain value. In: bytes or text. Out: the same. Whether the work is done is `zt-crypto`'s to say.
//! Never: a secret key, a hash.

use core::fmt;
use core::str::FromStr;

use crate::error::Malformed;
use crate::ids::{BadName, hex, write_hex};

/// A node's public identity: 73 bytes, written as 146 hex digits.
///
/// Holding one proves nothing: the work and the address are checked by `zt_crypto::pow::verify`, the
/// possession of the secret halves by the handshake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    x25519: [u8; 32],
    ed25519: [u8; 32],
    nonce: u64,
}

impl Identity {
    /// Bytes of an identity.
    pub const LEN: usize = 73;
    /// The only kind there is: X25519 and Ed25519.
    pub const KIND: u8 = 1;

    /// An identity of these parts.
    pub const fn new(x25519: [u8; 32], ed25519: [u8; 32], nonce: u64) -> Self {
        Self {
            x25519,
            ed25519,
            nonce,
        }
    }

    /// Reads kind, X25519 key, Ed25519 key, nonce.
    ///
    /// # Errors
    /// [`Malformed::Type`] for another kind.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, Malformed> {
        let mut reader = crate::cursor::Reader::new(bytes);
        match reader.u8()? {
            Self::KIND => Ok(Self {
                x25519: reader.array()?,
                ed25519: reader.array()?,
                nonce: reader.u64()?,
            }),
            other => Err(Malformed::Type(other)),
        }
    }

    /// The 73 bytes of the wire; the KeyId is the hash of exactly these.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = Self::KIND;
        bytes[1..33].copy_from_slice(&self.x25519);
        bytes[33..65].copy_from_slice(&self.ed25519);
        bytes[65..].copy_from_slice(&self.nonce.to_be_bytes());
        bytes
    }

    /// The key of the key agreement.
    pub const fn x25519(&self) -> &[u8; 32] {
        &self.x25519
    }

    /// The key of signatures.
    pub const fn ed25519(&self) -> &[u8; 32] {
        &self.ed25519
    }

    /// The nonce of the proof of work.
    pub const fn nonce(&self) -> u64 {
        self.nonce
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.to_bytes(), f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Identity {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::from_bytes(&hex(text)?).map_err(|_| BadName::Reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_bytes_and_text() {
        let identity = Identity::new([1; 32], [2; 32], 0x0304_0506_0708_090a);
        assert_eq!(Identity::from_bytes(&identity.to_bytes()), Ok(identity));
        assert_eq!(identity.to_string().parse(), Ok(identity));
    }

    #[test]
    fn another_kind_is_refused() {
        let mut bytes = Identity::new([1; 32], [2; 32], 3).to_bytes();
        bytes[0] = 2;
        assert_eq!(Identity::from_bytes(&bytes), Err(Malformed::Type(2)));
    }
}
