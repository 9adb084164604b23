//! ML-KEM-768 (FIPS 203), the post-quantum half of a handshake, over formally verified code.
//!
//! Owner: the initiator keeps a `Secret` between the two messages. In: seeds, bytes of strangers. Out: bytes, shared secrets.
//! Never: chance of its own, a secret key that is not wiped.

use libcrux_ml_kem::mlkem768::{
    MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey, decapsulate, generate_key_pair,
    validate_public_key,
};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of an encapsulation key, which is public.
pub(crate) const PUBLIC: usize = 1184;
/// Bytes of a ciphertext.
pub(crate) const CIPHERTEXT: usize = 1088;

/// The decapsulation key. Wiped when dropped.
pub(crate) struct Secret(Box<MlKem768PrivateKey>);

impl Secret {
    /// The key pair that follows from `seed`, FIPS 203's `d || z`.
    pub(crate) fn from_seed(seed: &[u8; 64]) -> (Self, [u8; PUBLIC]) {
        let (mut private, public) = generate_key_pair(*seed).into_parts();
        let secret = Self(Box::new(MlKem768PrivateKey::from(private.as_slice())));
        private[0..].zeroize();
        (secret, *public.as_slice())
    }

    /// The secret that the maker of `ciphertext` has, too. A changed ciphertext gives another secret, not an error.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(decapsulate(&self.0, &MlKem768Ciphertext::from(ciphertext)))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0[0..].zeroize();
    }
}

/// A secret for the holder of the key behind `public`, and the ciphertext that tells it; `None` when `public` is not a key
/// (FIPS 203, section 7.2). `once` is fresh and used for nothing else.
pub(crate) fn encapsulate(
    public: &[u8; PUBLIC],
    once: [u8; 32],
) -> Option<([u8; CIPHERTEXT], Zeroizing<[u8; 32]>)> {
    let public = MlKem768PublicKey::from(public);
    if !validate_public_key(&public) {
        return None;
    }
    let (ciphertext, secret) = libcrux_ml_kem::mlkem768::encapsulate(&public, once);
    Some((*ciphertext.as_slice(), Zeroizing::new(secret)))
}

#[cfg(test)]
mod tests {
    use ml_kem::kem::{Decapsulate, KeyExport};
    use ml_kem::ml_kem_768::DecapsulationKey;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_ciphertexts_and_secrets_are_those_of_an_independent_implementation(
            seed in prop::array::uniform32(any::<u8>()),
            more in prop::array::uniform32(any::<u8>()),
            once in prop::array::uniform32(any::<u8>()),
            flip in 0..CIPHERTEXT * 8,
        ) {
            let mut whole = [0; 64];
            whole[..32].copy_from_slice(&seed);
            whole[32..].copy_from_slice(&more);
            let (ours, public) = Secret::from_seed(&whole);
            let theirs = DecapsulationKey::from_seed(whole.into());
            let expected = theirs.encapsulation_key().to_bytes();
            prop_assert_eq!(public.as_slice(), expected.as_slice());

            let (mut ciphertext, secret) = encapsulate(&public, once).expect("a key of our own");
            let (oracle, shared) = theirs.encapsulation_key().encapsulate_deterministic(&once.into());
            prop_assert_eq!(ciphertext.as_slice(), oracle.as_slice());
            prop_assert_eq!(secret.as_slice(), shared.as_slice());
            prop_assert_eq!(ours.decapsulate(&ciphertext), secret);

            ciphertext[flip / 8] ^= 1 << (flip % 8);
            let (changed, expected) = (ours.decapsulate(&ciphertext), theirs.decapsulate(&ciphertext.into()));
            prop_assert_eq!(changed.as_slice(), expected.as_slice());
        }
    }

    #[test]
    fn a_public_key_with_a_coefficient_out_of_range_is_refused() {
        let (_, mut public) = Secret::from_seed(&[5; 64]);
        public[0] = 0xff;
        public[1] |= 0x0f;
        assert!(encapsulate(&public, [1; 32]).is_none());
    }
}
