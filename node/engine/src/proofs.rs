//! Signatures that were checked away from the packets: what is claimed, and what holds.
//!
//! Owner: a job of the pool makes the proofs, the engine keeps them while it deals with the message they belong to.
//! In: signed records and who ought to have signed them. Out: yes, no, or not asked. Never: a record's meaning.

use core::fmt;
use std::collections::BTreeMap;
use std::vec::Vec;

use zt_crypto::hash256;
use zt_crypto::sign::{BadSignature, verify};
use zt_wire::{Record, Signed};

/// A signature to be checked.
#[derive(Clone)]
pub struct Claim {
    key: [u8; 32],
    domain: &'static str,
    check: Check,
    signed: Vec<u8>,
}

type Check = fn(&[u8; 32], &Signed<'_>) -> Result<(), BadSignature>;

impl Claim {
    /// That the holder of `key` (Ed25519) signed this as an `R`.
    pub fn new<R: Record>(key: &[u8; 32], signed: &Signed<'_>) -> Self {
        Self {
            key: *key,
            domain: R::DOMAIN,
            check: verify::<R>,
            signed: signed.to_vec(),
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({}, {} bytes)", self.domain, self.signed.len())
    }
}

/// What came of claims.
#[derive(Debug, Default)]
pub struct Proofs(BTreeMap<[u8; 32], bool>);

impl Proofs {
    /// Checks every claim: 50 to 70 us each.
    pub fn of(claims: &[Claim]) -> Self {
        let checked = claims.iter().filter_map(|claim| {
            let signed = Signed::parse(&claim.signed).ok()?;
            let holds = (claim.check)(&claim.key, &signed).is_ok();
            Some((name(claim.domain, &claim.key, &signed), holds))
        });
        Self(checked.collect())
    }

    /// Checks that the holder of `key` signed this as an `R`: here and now, if it was not checked before.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify<R: Record>(
        &self,
        key: &[u8; 32],
        signed: &Signed<'_>,
    ) -> Result<(), BadSignature> {
        let known = if self.0.is_empty() {
            None
        } else {
            self.0.get(&name(R::DOMAIN, key, signed))
        };
        match known {
            Some(true) => Ok(()),
            Some(false) => Err(BadSignature),
            None => verify::<R>(key, signed),
        }
    }
}

/// What a proof is kept under: nothing else that anybody can make has this name.
fn name(domain: &str, key: &[u8; 32], signed: &Signed<'_>) -> [u8; 32] {
    let text = [domain.as_bytes(), &[0], key, signed.signature, signed.body];
    hash256(&text.concat())
}

#[cfg(test)]
mod tests {
    use zt_crypto::SigningSecret;
    use zt_wire::{Address, KeyId, NetworkId, Revocation};

    use super::*;

    fn signed_by(secret: &SigningSecret, minimum: u64) -> Vec<u8> {
        let address = Address::from_bytes([1, 0, 0, 0, 9]).expect("an address");
        secret.sign(&Revocation {
            network: NetworkId::new(address, 1).expect("a network"),
            key: KeyId::from_bytes([3; 32]),
            minimum,
            epoch: 1,
        })
    }

    #[test]
    fn a_proof_is_of_one_record_one_key_and_one_signature() {
        let [one, two] = [1, 2].map(|seed| SigningSecret::from_seed(&[seed; 32]));
        let bytes = signed_by(&one, 7);
        let signed = Signed::parse(&bytes).expect("signed");
        let proofs = Proofs::of(&[Claim::new::<Revocation>(&one.public(), &signed)]);
        assert_eq!(proofs.0.len(), 1);
        assert!(proofs.verify::<Revocation>(&one.public(), &signed).is_ok());
        // Nothing of that is known of these; they are looked at.
        assert!(proofs.verify::<Revocation>(&two.public(), &signed).is_err());
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            let other = Signed::parse(&other).expect("signed");
            assert!(proofs.verify::<Revocation>(&one.public(), &other).is_err());
        }
        let later = signed_by(&one, 8);
        let later = Signed::parse(&later).expect("signed");
        assert!(proofs.verify::<Revocation>(&one.public(), &later).is_ok());
    }

    #[test]
    fn what_does_not_hold_is_not_believed_afterwards() {
        let [one, two] = [1, 2].map(|seed| SigningSecret::from_seed(&[seed; 32]));
        let bytes = signed_by(&two, 7);
        let signed = Signed::parse(&bytes).expect("signed");
        let claim = Claim::new::<Revocation>(&one.public(), &signed);
        let proofs = Proofs::of(&[claim]);
        assert_eq!(proofs.0.values().collect::<Vec<_>>(), [&false]);
        assert!(proofs.verify::<Revocation>(&one.public(), &signed).is_err());
        assert!(proofs.verify::<Revocation>(&two.public(), &signed).is_ok());
    }
}
