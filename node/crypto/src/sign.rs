//! Ed25519 over a record's domain and body, so that a signature for one kind of thing says nothing about another.
//!
//! Owner: whoever holds a `SigningSecret`. In: records, keys. Out: signed bytes, or whether they are right.
//! Never: a lenient verification (cofactored, small-order keys), a secret that is not wiped.

use core::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;
use zt_wire::{Record, SIGNATURE_LEN, Signed, signing_input};

/// A secret Ed25519 key. Wiped when dropped.
#[derive(Clone)]
pub struct SigningSecret(SigningKey);

impl SigningSecret {
    /// The key of these 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The 32 secret bytes, to be stored.
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs a record: its body, then the signature, as [`Signed`] reads it.
    pub fn sign<R: Record>(&self, record: &R) -> Vec<u8> {
        let body = record.encode();
        let signature: [u8; SIGNATURE_LEN] =
            self.0.sign(&signing_input(R::DOMAIN, &body)).to_bytes();
        Signed {
            body: &body,
            signature: &signature,
        }
        .to_vec()
    }

    pub(crate) fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(..)")
    }
}

/// A signature is wrong, or its key is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature does not fit the content and its signer")
    }
}

impl core::error::Error for BadSignature {}

/// Checks that the holder of `key` signed this as an `R`. RFC 8032, strictly: no small-order key, no second form of a signature.
///
/// # Errors
/// [`BadSignature`].
pub fn verify<R: Record>(key: &[u8; 32], signed: &Signed<'_>) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| BadSignature)?;
    let input = signing_input(R::DOMAIN, signed.body);
    key.verify_strict(&input, &signed.signature.into())
        .map_err(|_| BadSignature)
}

#[cfg(test)]
mod tests {
    use zt_wire::{Certificate, KeyId, Revocation};

    use super::*;

    fn record() -> Revocation {
        Revocation {
            network: "0123456789abcdef".parse().unwrap(),
            key: KeyId::from_bytes([1; 32]),
            minimum: 2,
            epoch: 3,
        }
    }

    #[test]
    fn a_signature_counts_for_its_body_kind_and_key_only() {
        let signer = SigningSecret::from_seed(&[1; 32]);
        let mut bytes = signer.sign(&record());
        let parsed = Signed::parse(&bytes).unwrap();
        assert_eq!(verify::<Revocation>(&signer.public(), &parsed), Ok(()));
        assert_eq!(
            verify::<Certificate>(&signer.public(), &parsed),
            Err(BadSignature)
        );
        let other = SigningSecret::from_seed(&[2; 32]);
        assert_eq!(
            verify::<Revocation>(&other.public(), &parsed),
            Err(BadSignature)
        );
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let parsed = Signed::parse(&bytes).unwrap();
            assert_eq!(
                verify::<Revocation>(&signer.public(), &parsed),
                Err(BadSignature),
                "byte {at}"
            );
            bytes[at] ^= 1;
        }
    }

    #[test]
    fn a_small_order_key_signs_nothing() {
        // The neutral element: with R = 1 and S = 0 a lenient check passes for any body.
        let mut key = [0; 32];
        key[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let body = record().encode();
        let signed = Signed {
            body: &body,
            signature: &signature,
        };
        assert_eq!(verify::<Revocation>(&key, &signed), Err(BadSignature));
    }

    #[test]
    fn a_key_survives_its_seed() {
        let key = SigningSecret::from_seed(&[9; 32]);
        assert_eq!(
            SigningSecret::from_seed(&key.to_seed()).public(),
            key.public()
        );
    }
}
