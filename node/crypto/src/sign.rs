//! Ed25519 with a domain in front, so that a signature for one kind of thing says nothing about another.
//!
//! Owner: nobody. In: keys, bodies. Out: signatures, or whether they are right.
//! Never: a lenient verification (cofactored, small-order keys).

use core::fmt;

use ed25519_dalek::VerifyingKey;

/// An Ed25519 signature as it stands on the wire.
pub type Signature = [u8; 64];

/// What a signature is about (SPEC §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// A world, signed by the key that its predecessor named.
    World,
    /// A member's certificate, signed by the network's controller.
    Certificate,
    /// A network's shared configuration, signed by its controller.
    Shared,
    /// A revocation, signed by the network's controller.
    Revocation,
}

impl Domain {
    /// The text in front of the body; a zero byte follows it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::World => "zt world 1",
            Self::Certificate => "zt certificate 1",
            Self::Shared => "zt shared 1",
            Self::Revocation => "zt revocation 1",
        }
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

/// Checks that the holder of `key` signed `body` for `domain`. RFC 8032, strictly: no small-order key, no second form of a signature.
///
/// # Errors
/// [`BadSignature`].
pub fn verify(
    key: &[u8; 32],
    domain: Domain,
    body: &[u8],
    signature: &Signature,
) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| BadSignature)?;
    key.verify_strict(&framed(domain, body), &signature.into())
        .map_err(|_| BadSignature)
}

/// What is signed: the domain, a zero byte, the body.
pub(crate) fn framed(domain: Domain, body: &[u8]) -> Vec<u8> {
    [domain.text().as_bytes(), &[0], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretIdentity;

    #[test]
    fn a_signature_counts_for_its_body_domain_and_key_only() {
        let signer = SecretIdentity::from_seed(&[1; 32], 0);
        let key = signer.public().ed25519();
        let signature = signer.sign(Domain::Certificate, b"body");
        assert_eq!(
            verify(key, Domain::Certificate, b"body", &signature),
            Ok(())
        );
        assert_eq!(
            verify(key, Domain::Certificate, b"bodY", &signature),
            Err(BadSignature)
        );
        assert_eq!(
            verify(key, Domain::Revocation, b"body", &signature),
            Err(BadSignature)
        );
        let other = SecretIdentity::from_seed(&[2; 32], 0);
        assert_eq!(
            verify(
                other.public().ed25519(),
                Domain::Certificate,
                b"body",
                &signature
            ),
            Err(BadSignature)
        );
    }

    #[test]
    fn a_small_order_key_signs_nothing() {
        // The neutral element: the zero signature with R = 1 would pass a lenient check for any body.
        let mut key = [0; 32];
        key[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert_eq!(
            verify(&key, Domain::World, b"body", &signature),
            Err(BadSignature)
        );
    }
}
