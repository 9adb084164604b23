//! A node's own keys, and the proof that somebody's identity is real.
//!
//! Owner: the node (`SecretIdentity`); everybody holds `Verified`s. In: seeds, stored bytes. Out: public halves, signatures.
//! Never: a secret in a log, in a copy that is not wiped, or behind a getter that is public.

use core::fmt;

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;
use zt_wire::{Address, Identity, KeyId, Record};

use crate::hash::{expand, hash256};
use crate::sign::SigningSecret;

/// The key's fingerprint: BLAKE2b-256 over the 73 bytes of the public identity (SPEC §2.2).
pub fn key_id(identity: &Identity) -> KeyId {
    KeyId::from_bytes(hash256(&identity.to_bytes()))
}

/// Both secret keys and the nonce of the proof of work. Wiped when dropped.
#[derive(Clone)]
pub struct SecretIdentity {
    agreement: StaticSecret,
    signing: SigningSecret,
    public: Identity,
    key: KeyId,
}

impl SecretIdentity {
    /// Bytes of [`SecretIdentity::to_bytes`].
    pub const LEN: usize = 73;

    /// The keys that follow from `seed`, with the nonce that a search found for them.
    pub fn from_seed(seed: &[u8; 32], nonce: u64) -> Self {
        let bytes = expand(seed, b"zt identity 1");
        let (agreement, signing) = halves(&bytes);
        Self::new(agreement, signing, nonce)
    }

    /// Reads what [`SecretIdentity::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`BadSecret`] for another length or kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadSecret> {
        let bytes: &[u8; Self::LEN] = bytes
            .try_into()
            .map_err(|_| BadSecret::Length { found: bytes.len() })?;
        let [kind, keys @ .., _, _, _, _, _, _, _, _] = bytes;
        if *kind != Identity::KIND {
            return Err(BadSecret::Kind { found: *kind });
        }
        let (agreement, signing) = halves(keys);
        let nonce = bytes
            .last_chunk()
            .map_or(0, |nonce| u64::from_be_bytes(*nonce));
        Ok(Self::new(agreement, signing, nonce))
    }

    /// Kind, X25519 secret, Ed25519 seed, nonce: what the state directory keeps. The public half follows from it.
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::LEN]> {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        bytes[0] = Identity::KIND;
        bytes[1..33].copy_from_slice(self.agreement.as_bytes());
        bytes[33..65].copy_from_slice(self.signing.seed());
        bytes[65..].copy_from_slice(&self.public.nonce().to_be_bytes());
        bytes
    }

    /// The public half.
    pub const fn public(&self) -> &Identity {
        &self.public
    }

    /// The fingerprint.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// Signs a record: its body, then the signature.
    pub fn sign<R: Record>(&self, record: &R) -> Vec<u8> {
        self.signing.sign(record)
    }

    pub(crate) const fn agreement(&self) -> &StaticSecret {
        &self.agreement
    }

    fn new(agreement: StaticSecret, signing: SigningSecret, nonce: u64) -> Self {
        let public = Identity::new(
            PublicKey::from(&agreement).to_bytes(),
            signing.public(),
            nonce,
        );
        Self {
            agreement,
            signing,
            key: key_id(&public),
            public,
        }
    }
}

impl fmt::Debug for SecretIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretIdentity({})", self.key)
    }
}

/// Why stored bytes are no [`SecretIdentity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSecret {
    /// Not [`SecretIdentity::LEN`] bytes.
    Length {
        /// How many there were.
        found: usize,
    },
    /// A kind of identity that this version does not know.
    Kind {
        /// What stood there.
        found: u8,
    },
}

impl fmt::Display for BadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => {
                write!(
                    f,
                    "expected {} bytes of secret identity, found {found}",
                    SecretIdentity::LEN
                )
            }
            Self::Kind { found } => write!(f, "expected identity kind 1, found {found}"),
        }
    }
}

impl core::error::Error for BadSecret {}

/// An identity whose proof of work was checked under a world's parameters. Only `pow` makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    identity: Identity,
    key: KeyId,
    address: Address,
}

impl Verified {
    pub(crate) fn proven(identity: Identity, address: Address) -> Self {
        Self {
            identity,
            key: key_id(&identity),
            address,
        }
    }

    /// The public identity.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its fingerprint.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// Its address: a name, taken from the proof of work.
    pub const fn address(&self) -> Address {
        self.address
    }
}

fn halves(bytes: &[u8; 64]) -> (StaticSecret, SigningSecret) {
    let mut agreement = Zeroizing::new([0; 32]);
    let mut signing = Zeroizing::new([0; 32]);
    agreement.copy_from_slice(&bytes[..32]);
    signing.copy_from_slice(&bytes[32..]);
    (
        StaticSecret::from(*agreement),
        SigningSecret::from_seed(&signing),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_bytes_lead_back_to_the_same_identity() {
        let identity = SecretIdentity::from_seed(&[1; 32], 42);
        let again = SecretIdentity::from_bytes(identity.to_bytes().as_slice()).unwrap();
        assert_eq!(again.public(), identity.public());
        assert_eq!(again.key(), identity.key());
        assert_eq!(again.to_bytes(), identity.to_bytes());
    }

    #[test]
    fn the_fingerprint_covers_keys_and_nonce() {
        let one = SecretIdentity::from_seed(&[1; 32], 42);
        assert_ne!(one.key(), SecretIdentity::from_seed(&[1; 32], 43).key());
        assert_ne!(one.key(), SecretIdentity::from_seed(&[2; 32], 42).key());
        assert_eq!(one.key(), key_id(one.public()));
    }

    #[test]
    fn bytes_of_another_length_or_kind_are_refused() {
        let mut bytes = SecretIdentity::from_seed(&[1; 32], 42).to_bytes();
        assert_eq!(
            SecretIdentity::from_bytes(&bytes[..72]).err(),
            Some(BadSecret::Length { found: 72 })
        );
        bytes[0] = 2;
        assert_eq!(
            SecretIdentity::from_bytes(bytes.as_slice()).err(),
            Some(BadSecret::Kind { found: 2 })
        );
    }

    #[test]
    fn debug_output_shows_the_fingerprint_only() {
        let identity = SecretIdentity::from_seed(&[1; 32], 42);
        assert_eq!(
            format!("{identity:?}"),
            format!("SecretIdentity({})", identity.key())
        );
    }
}
