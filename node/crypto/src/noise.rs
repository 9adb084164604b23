//! `Noise_IK_25519_ChaChaPoly_BLAKE2b`, both messages, nothing else (Noise revision 34).
//!
//! Owner: a handshake under way. In: keys, payloads. Out: messages, payloads, and at the end `h` and `ck`.
//! Never: chance, a key that is not wiped, a DH result that a low-order point has fixed.

use blake2::{Blake2b512, Digest};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a public key.
pub(crate) const DH: usize = 32;
/// Bytes of an encrypted static key: the key and its tag.
pub(crate) const STATIC: usize = DH + TAG;
/// Bytes of a tag.
pub(crate) const TAG: usize = 16;

const HASH: usize = 64;
const BLOCK: usize = 128;
const NAME: &[u8; 33] = b"Noise_IK_25519_ChaChaPoly_BLAKE2b";

/// Why a message does not go on with a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Shorter than its fixed parts.
    Short,
    /// A tag is wrong: another responder, another prologue, or changed bytes.
    Tag,
    /// A public key of low order, with which the secret would be known to all.
    LowOrder,
}

/// What both ends have in common after message 2.
pub(crate) struct Finished {
    /// The handshake hash: names this run.
    pub hash: [u8; HASH],
    /// The chaining key: from it come the transport keys.
    pub chain: Zeroizing<[u8; HASH]>,
}

/// The initiator between its two messages.
pub(crate) struct Initiator {
    symmetric: Symmetric,
    ephemeral: StaticSecret,
}

impl Initiator {
    /// Writes message 1: `e, es, s, ss` and the payload. `public` belongs to `secret`.
    pub(crate) fn write(
        prologue: &[u8],
        secret: &StaticSecret,
        public: &[u8; DH],
        responder: &PublicKey,
        ephemeral: StaticSecret,
        payload: &[u8],
    ) -> Result<(Self, Vec<u8>), Broken> {
        let mut symmetric = Symmetric::new(prologue, responder.as_bytes());
        let mut message = Vec::with_capacity(DH + STATIC + payload.len() + TAG);
        let e = PublicKey::from(&ephemeral);
        message.extend_from_slice(e.as_bytes());
        symmetric.mix_hash(e.as_bytes());
        symmetric.mix_dh(&ephemeral, responder)?;
        symmetric.encrypt(public, &mut message);
        symmetric.mix_dh(secret, responder)?;
        symmetric.encrypt(payload, &mut message);
        Ok((
            Self {
                symmetric,
                ephemeral,
            },
            message,
        ))
    }

    /// Reads message 2: `e, ee, se` and the payload, which is returned.
    pub(crate) fn read(
        mut self,
        secret: &StaticSecret,
        message: &[u8],
    ) -> Result<(Finished, Vec<u8>), Broken> {
        let (e, rest) = message.split_first_chunk::<DH>().ok_or(Broken::Short)?;
        self.symmetric.mix_hash(e);
        let e = PublicKey::from(*e);
        self.symmetric.mix_dh(&self.ephemeral, &e)?;
        self.symmetric.mix_dh(secret, &e)?;
        let payload = self.symmetric.decrypt(rest)?;
        Ok((self.symmetric.finish(), payload))
    }
}

/// The responder after message 1.
pub(crate) struct Responder {
    symmetric: Symmetric,
    ephemeral: PublicKey,
    peer: PublicKey,
}

impl Responder {
    /// Reads message 1; the payload is returned. `public` belongs to `secret`. The initiator's static key is authenticated from here on.
    pub(crate) fn read(
        prologue: &[u8],
        secret: &StaticSecret,
        public: &[u8; DH],
        message: &[u8],
    ) -> Result<(Self, Vec<u8>), Broken> {
        let mut symmetric = Symmetric::new(prologue, public);
        let (e, rest) = message.split_first_chunk::<DH>().ok_or(Broken::Short)?;
        let (s, rest) = rest.split_first_chunk::<STATIC>().ok_or(Broken::Short)?;
        symmetric.mix_hash(e);
        let ephemeral = PublicKey::from(*e);
        symmetric.mix_dh(secret, &ephemeral)?;
        let s: [u8; DH] = symmetric
            .decrypt(s)?
            .try_into()
            .map_err(|_| Broken::Short)?;
        let peer = PublicKey::from(s);
        symmetric.mix_dh(secret, &peer)?;
        let payload = symmetric.decrypt(rest)?;
        Ok((
            Self {
                symmetric,
                ephemeral,
                peer,
            },
            payload,
        ))
    }

    /// The initiator's static key.
    pub(crate) fn peer(&self) -> [u8; DH] {
        self.peer.to_bytes()
    }

    /// Writes message 2 and ends the handshake.
    pub(crate) fn write(
        mut self,
        ephemeral: &StaticSecret,
        payload: &[u8],
    ) -> Result<(Finished, Vec<u8>), Broken> {
        let mut message = Vec::with_capacity(DH + payload.len() + TAG);
        let e = PublicKey::from(ephemeral);
        message.extend_from_slice(e.as_bytes());
        self.symmetric.mix_hash(e.as_bytes());
        self.symmetric.mix_dh(ephemeral, &self.ephemeral)?;
        self.symmetric.mix_dh(ephemeral, &self.peer)?;
        self.symmetric.encrypt(payload, &mut message);
        Ok((self.symmetric.finish(), message))
    }
}

/// Noise's `SymmetricState` with its `CipherState`.
struct Symmetric {
    hash: [u8; HASH],
    chain: Zeroizing<[u8; HASH]>,
    key: Zeroizing<[u8; 32]>,
    counter: u64,
}

impl Symmetric {
    fn new(prologue: &[u8], responder: &[u8; DH]) -> Self {
        let mut hash = [0; HASH];
        hash[..NAME.len()].copy_from_slice(NAME);
        let chain = Zeroizing::new(hash);
        // No message part is encrypted before the first `mix_dh`, so the zero key never seals anything.
        let mut symmetric = Self {
            hash,
            chain,
            key: Zeroizing::new([0; 32]),
            counter: 0,
        };
        symmetric.mix_hash(prologue);
        symmetric.mix_hash(responder);
        symmetric
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = Blake2b512::new()
            .chain_update(self.hash)
            .chain_update(data)
            .finalize()
            .into();
    }

    fn mix_dh(&mut self, secret: &StaticSecret, public: &PublicKey) -> Result<(), Broken> {
        let shared = secret.diffie_hellman(public);
        if !shared.was_contributory() {
            return Err(Broken::LowOrder);
        }
        let (chain, key) = hkdf(&self.chain, shared.as_bytes());
        self.chain = chain;
        self.key.copy_from_slice(&key[..32]);
        self.counter = 0;
        Ok(())
    }

    fn encrypt(&mut self, text: &[u8], message: &mut Vec<u8>) {
        let start = message.len();
        message.extend_from_slice(text);
        let tag = self.cipher().encrypt_inout_detached(
            &self.nonce(),
            &self.hash,
            message[start..].as_mut().into(),
        );
        // ChaCha20-Poly1305 refuses only texts of 2^38 bytes and more; a message has a few thousand.
        message.extend_from_slice(&tag.expect("a handshake message is short enough"));
        self.sealed(start, message);
    }

    fn decrypt(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Broken> {
        let (text, tag) = sealed.split_last_chunk::<TAG>().ok_or(Broken::Short)?;
        let mut text = text.to_vec();
        self.cipher()
            .decrypt_inout_detached(
                &self.nonce(),
                &self.hash,
                text.as_mut_slice().into(),
                tag.into(),
            )
            .map_err(|_| Broken::Tag)?;
        self.counter += 1;
        self.mix_hash(sealed);
        Ok(text)
    }

    fn sealed(&mut self, start: usize, message: &[u8]) {
        self.counter += 1;
        self.mix_hash(&message[start..]);
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.key).into())
    }

    /// Noise's nonce for `ChaChaPoly`: four zero bytes, the counter little-endian.
    fn nonce(&self) -> chacha20poly1305::Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.counter.to_le_bytes());
        nonce.into()
    }

    fn finish(self) -> Finished {
        Finished {
            hash: self.hash,
            chain: self.chain,
        }
    }
}

/// Noise's HKDF with two outputs.
pub(crate) fn hkdf(
    chain: &[u8; HASH],
    input: &[u8],
) -> (Zeroizing<[u8; HASH]>, Zeroizing<[u8; HASH]>) {
    let secret = hmac(chain, &[input]);
    let first = hmac(&secret, &[&[1]]);
    let second = hmac(&secret, &[&*first, &[2]]);
    (first, second)
}

/// HMAC-BLAKE2b-512 (RFC 2104 with 128-byte blocks), as Noise asks for, not BLAKE2's own keyed mode.
fn hmac(key: &[u8; HASH], parts: &[&[u8]]) -> Zeroizing<[u8; HASH]> {
    let mut pad = Zeroizing::new([0x36; BLOCK]);
    pad.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    let mut inner = Blake2b512::new().chain_update(*pad);
    for part in parts {
        inner.update(part);
    }
    pad.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
    let mut digest: [u8; HASH] = inner.finalize().into();
    let outer = Blake2b512::new()
        .chain_update(*pad)
        .chain_update(digest)
        .finalize();
    digest.zeroize();
    Zeroizing::new(outer.into())
}

#[cfg(test)]
mod tests {
    use snow::params::NoiseParams;
    use snow::{Builder, HandshakeState};

    use super::*;

    const PROLOGUE: &[u8] = b"zt1 and more";

    fn secret(byte: u8) -> StaticSecret {
        StaticSecret::from([byte; 32])
    }

    fn snow(initiator: bool) -> HandshakeState {
        let params: NoiseParams = "Noise_IK_25519_ChaChaPoly_BLAKE2b".parse().unwrap();
        let responder = PublicKey::from(&secret(2));
        let builder = Builder::new(params).prologue(PROLOGUE).unwrap();
        if initiator {
            let builder = builder.local_private_key(&[1; 32]).unwrap();
            builder
                .remote_public_key(responder.as_bytes())
                .unwrap()
                .build_initiator()
                .unwrap()
        } else {
            builder
                .local_private_key(&[2; 32])
                .unwrap()
                .build_responder()
                .unwrap()
        }
    }

    fn raw_split(finished: &Finished) -> ([u8; 32], [u8; 32]) {
        let (first, second) = hkdf(&finished.chain, &[]);
        (
            first[..32].try_into().unwrap(),
            second[..32].try_into().unwrap(),
        )
    }

    #[test]
    fn our_initiator_and_snows_responder_agree() {
        let mut oracle = snow(false);
        let (ours, message) = Initiator::write(
            PROLOGUE,
            &secret(1),
            PublicKey::from(&secret(1)).as_bytes(),
            &PublicKey::from(&secret(2)),
            secret(3),
            b"hello",
        )
        .unwrap();
        let mut buffer = [0; 200];
        let length = oracle.read_message(&message, &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"hello");
        assert_eq!(
            oracle.get_remote_static().unwrap(),
            PublicKey::from(&secret(1)).as_bytes()
        );

        let length = oracle.write_message(b"and back", &mut buffer).unwrap();
        let (finished, payload) = ours.read(&secret(1), &buffer[..length]).unwrap();
        assert_eq!(payload, b"and back");
        assert_eq!(finished.hash, oracle.get_handshake_hash());
        assert_eq!(raw_split(&finished), oracle.dangerously_get_raw_split());
    }

    #[test]
    fn snows_initiator_and_our_responder_agree() {
        let mut oracle = snow(true);
        let mut buffer = [0; 200];
        let length = oracle.write_message(b"hello", &mut buffer).unwrap();
        let public = PublicKey::from(&secret(2));
        let (ours, payload) =
            Responder::read(PROLOGUE, &secret(2), public.as_bytes(), &buffer[..length]).unwrap();
        assert_eq!(payload, b"hello");
        assert_eq!(ours.peer(), PublicKey::from(&secret(1)).to_bytes());

        let (finished, message) = ours.write(&secret(4), b"and back").unwrap();
        let length = oracle.read_message(&message, &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"and back");
        assert_eq!(finished.hash, oracle.get_handshake_hash());
        assert_eq!(raw_split(&finished), oracle.dangerously_get_raw_split());
    }

    #[test]
    fn a_low_order_key_is_refused_wherever_it_stands() {
        let zero = PublicKey::from([0; 32]);
        let start = |responder: &PublicKey| {
            let public = PublicKey::from(&secret(1));
            Initiator::write(
                PROLOGUE,
                &secret(1),
                public.as_bytes(),
                responder,
                secret(3),
                b"",
            )
        };
        assert_eq!(start(&zero).err(), Some(Broken::LowOrder));

        let (initiator, _) = start(&PublicKey::from(&secret(2))).unwrap();
        assert_eq!(
            initiator.read(&secret(1), &[0; 48]).err(),
            Some(Broken::LowOrder)
        );
        assert_eq!(
            Responder::read(PROLOGUE, &secret(2), &[2; DH], &[0; 96]).err(),
            Some(Broken::LowOrder)
        );
    }
}
