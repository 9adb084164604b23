//! How two nodes agree on keys: Noise IK, ML-KEM-768 mixed in, suites chosen, both identities bound.
//!
//! Owner: the caller, who keeps an `Initiator` between the two messages. In: seeds, identities, messages. Out: keys.
//! Never: chance of its own, the sending of anything, a judgement whether the peer is welcome.

use core::fmt;

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;
use zt_wire::{Identity, KeyId};

use crate::hash::expand;
use crate::identity::{SecretIdentity, Verified, key_id};
use crate::kem;
use crate::noise::{self, Broken, hkdf};
use crate::suites::{OpenKey, SealKey, Suite, Suites};

/// Bytes of message 1 under [`Label::Init`]: an ephemeral key and two parts of 1,140 bytes.
pub const MESSAGE_1: usize = 32 + 2 * 1140;
/// Bytes of message 1 under [`Label::Rekey`], which is not padded.
pub const MESSAGE_1_REKEY: usize = noise::DH + noise::STATIC + PAYLOAD_1 + noise::TAG;
/// Bytes of message 2.
pub const MESSAGE_2: usize = noise::DH + PAYLOAD_2 + noise::TAG;

const PAYLOAD_1: usize = 1 + 8 + 4 + 32 + 8 + kem::PUBLIC;
const PAYLOAD_2: usize = 1 + 1 + 8 + 4 + kem::CIPHERTEXT;
const PADDED_1: usize = MESSAGE_1 - noise::DH - noise::STATIC - noise::TAG;

/// Why the handshake is made; part of what both ends must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// In datagrams of its own.
    Init,
    /// Inside the session that it renews.
    Rekey,
}

impl Label {
    const fn text(self) -> &'static [u8] {
        match self {
            Self::Init => b"init",
            Self::Rekey => b"rekey",
        }
    }
}

/// What each end says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it can seal with.
    pub suites: Suites,
    /// Times its identity was started; a smaller one than before is a replay or a copied identity.
    pub boot: u64,
    /// The index at which it wants to receive.
    pub index: u32,
}

/// The keys of a session, one for each direction.
#[derive(Debug)]
pub struct SessionKeys {
    /// For what goes out.
    pub seal: SealKey,
    /// For what comes in.
    pub open: OpenKey,
}

impl SessionKeys {
    /// The suite of both.
    pub const fn suite(&self) -> Suite {
        self.seal.suite()
    }
}

/// Why a handshake ended without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// A message of another length than it must have.
    Length,
    /// Not sealed by or for the keys at hand: another responder, another label, changed bytes.
    Forged,
    /// A public key with which the secret would be known to all.
    LowOrder,
    /// Sealed rightly, but the content breaks a rule: padding, suite, ML-KEM key.
    Content,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the handshake message has a wrong length",
            Self::Forged => "the handshake message was not made by or for these keys",
            Self::LowOrder => "a public key in the handshake has low order",
            Self::Content => "the handshake message breaks a rule inside",
        })
    }
}

impl core::error::Error for Failed {}

impl From<Broken> for Failed {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Short => Self::Length,
            Broken::Tag => Self::Forged,
            Broken::LowOrder => Self::LowOrder,
        }
    }
}

/// The initiator between message 1 and message 2.
pub struct Initiator {
    noise: noise::Initiator,
    kem: kem::Secret,
    suites: Suites,
    ends: Ends,
}

impl Initiator {
    /// Starts a handshake with `peer`: message 1 is `e || s || payload`. `seed` is fresh and used for nothing else.
    ///
    /// # Errors
    /// [`Failed::LowOrder`] only, which a [`Verified`] peer cannot cause.
    pub fn start(
        me: &SecretIdentity,
        peer: &Verified,
        label: Label,
        hello: Hello,
        seed: &[u8; 32],
    ) -> Result<(Self, Vec<u8>), Failed> {
        let (kem, public) = kem::Secret::from_seed(&expand(seed, b"zt kem key 1"));
        let payload = payload_1(me.public(), hello, &public, label);
        let (noise, message) = noise::Initiator::write(
            &prologue(label, peer.key()),
            me.agreement(),
            me.public().x25519(),
            &PublicKey::from(*peer.identity().x25519()),
            ephemeral(seed),
            &payload,
        )?;
        let ends = Ends {
            initiator: me.key(),
            responder: peer.key(),
        };
        Ok((
            Self {
                noise,
                kem,
                suites: hello.suites,
                ends,
            },
            message,
        ))
    }

    /// Ends the handshake with the responder's message 2. A message that fails changes nothing outside: start again.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn finish(
        self,
        me: &SecretIdentity,
        message2: &[u8],
    ) -> Result<(SessionKeys, Hello), Failed> {
        if message2.len() != MESSAGE_2 {
            return Err(Failed::Length);
        }
        let (finished, payload) = self.noise.read(me.agreement(), message2)?;
        let (fixed, ciphertext) = payload.split_first_chunk::<14>().ok_or(Failed::Length)?;
        let [suites, chosen, hello @ ..] = *fixed;
        let hello = read_hello(suites, hello);
        let chosen = Suite::from_number(chosen).ok_or(Failed::Content)?;
        if chosen != self.suites.choose(hello.suites) {
            return Err(Failed::Content);
        }
        let ciphertext = ciphertext.try_into().map_err(|_| Failed::Length)?;
        let secret = self.kem.decapsulate(ciphertext);
        let (out, back) = self.ends.keys(&finished, &secret);
        Ok((
            SessionKeys {
                seal: SealKey::new(chosen, &out),
                open: OpenKey::new(chosen, &back),
            },
            hello,
        ))
    }

    /// Whom the handshake is with.
    pub const fn responder(&self) -> KeyId {
        self.ends.responder
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Initiator(to {})", self.ends.responder)
    }
}

/// What a responder knows after message 1.
#[derive(Debug)]
pub struct Responded {
    /// The initiator, who holds the X25519 key of this. Its proof of work is still to be checked.
    pub peer: Identity,
    /// Its fingerprint.
    pub peer_key: KeyId,
    /// What it said of itself.
    pub hello: Hello,
    /// To be sent back, once the initiator is welcome.
    pub message2: Vec<u8>,
    /// To be used once the initiator has shown that it has them too.
    pub keys: SessionKeys,
}

/// Answers message 1. `seed` is fresh and used for nothing else.
///
/// # Errors
/// [`Failed`].
pub fn respond(
    me: &SecretIdentity,
    label: Label,
    message1: &[u8],
    hello: Hello,
    seed: &[u8; 32],
) -> Result<Responded, Failed> {
    let expected = match label {
        Label::Init => MESSAGE_1,
        Label::Rekey => MESSAGE_1_REKEY,
    };
    if message1.len() != expected {
        return Err(Failed::Length);
    }
    let (noise, payload) = noise::Responder::read(
        &prologue(label, me.key()),
        me.agreement(),
        me.public().x25519(),
        message1,
    )?;
    let (peer, theirs, kem) = read_payload_1(noise.peer(), &payload)?;
    let chosen = hello.suites.choose(theirs.suites);
    let once = expand(seed, b"zt kem message 1");
    let (ciphertext, secret) = kem::encapsulate(kem, first_half(&once)).ok_or(Failed::Content)?;

    let mut answer = Vec::with_capacity(PAYLOAD_2);
    answer.extend_from_slice(&[hello.suites.to_byte(), chosen.number()]);
    answer.extend_from_slice(&write_hello(hello));
    answer.extend_from_slice(&ciphertext);
    let (finished, message2) = noise.write(&ephemeral(seed), &answer)?;

    let peer_key = key_id(&peer);
    let (back, out) = Ends {
        initiator: peer_key,
        responder: me.key(),
    }
    .keys(&finished, &secret);
    let keys = SessionKeys {
        seal: SealKey::new(chosen, &out),
        open: OpenKey::new(chosen, &back),
    };
    Ok(Responded {
        peer,
        peer_key,
        hello: theirs,
        message2,
        keys,
    })
}

/// Who makes the handshake, by role.
struct Ends {
    initiator: KeyId,
    responder: KeyId,
}

impl Ends {
    /// The keys initiator to responder and back (SPEC §4.6): an attacker has to break X25519 and ML-KEM both.
    fn keys(
        &self,
        finished: &noise::Finished,
        kem: &[u8; 32],
    ) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
        let mut input = Zeroizing::new([0; 32 + 64 + 32 + 32]);
        input[..32].copy_from_slice(kem);
        input[32..96].copy_from_slice(&finished.hash);
        input[96..128].copy_from_slice(&self.initiator.to_bytes());
        input[128..].copy_from_slice(&self.responder.to_bytes());
        let (there, back) = hkdf(&finished.chain, input.as_slice());
        (
            Zeroizing::new(first_half(&there)),
            Zeroizing::new(first_half(&back)),
        )
    }
}

/// What both ends agree on before the first byte: protocol, version, label, responder.
fn prologue(label: Label, responder: KeyId) -> Vec<u8> {
    [b"zt1".as_slice(), &[1], label.text(), &responder.to_bytes()].concat()
}

fn ephemeral(seed: &[u8; 32]) -> StaticSecret {
    StaticSecret::from(first_half(&expand(seed, b"zt ephemeral 1")))
}

fn payload_1(me: &Identity, hello: Hello, kem: &[u8; kem::PUBLIC], label: Label) -> Vec<u8> {
    let mut payload = Vec::with_capacity(PADDED_1);
    payload.push(hello.suites.to_byte());
    payload.extend_from_slice(&write_hello(hello));
    payload.extend_from_slice(me.ed25519());
    payload.extend_from_slice(&me.nonce().to_be_bytes());
    payload.extend_from_slice(kem);
    if label == Label::Init {
        payload.resize(PADDED_1, 0);
    }
    payload
}

fn read_payload_1(
    x25519: [u8; 32],
    payload: &[u8],
) -> Result<(Identity, Hello, &[u8; kem::PUBLIC]), Failed> {
    let (fixed, rest) = payload.split_first_chunk::<53>().ok_or(Failed::Length)?;
    let (kem, padding) = rest
        .split_first_chunk::<{ kem::PUBLIC }>()
        .ok_or(Failed::Length)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(Failed::Content);
    }
    let mut hello = [0; 12];
    let mut ed25519 = [0; 32];
    let mut nonce = [0; 8];
    hello.copy_from_slice(&fixed[1..13]);
    ed25519.copy_from_slice(&fixed[13..45]);
    nonce.copy_from_slice(&fixed[45..]);
    let peer = Identity::new(x25519, ed25519, u64::from_be_bytes(nonce));
    Ok((peer, read_hello(fixed[0], hello), kem))
}

fn write_hello(hello: Hello) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&hello.boot.to_be_bytes());
    bytes[8..].copy_from_slice(&hello.index.to_be_bytes());
    bytes
}

fn read_hello(suites: u8, bytes: [u8; 12]) -> Hello {
    let mut boot = [0; 8];
    let mut index = [0; 4];
    boot.copy_from_slice(&bytes[..8]);
    index.copy_from_slice(&bytes[8..]);
    Hello {
        suites: Suites::from_byte(suites),
        boot: u64::from_be_bytes(boot),
        index: u32::from_be_bytes(index),
    }
}

fn first_half(bytes: &[u8; 64]) -> [u8; 32] {
    let mut half = [0; 32];
    half.copy_from_slice(&bytes[..32]);
    half
}
