//! Keys and what they do: identity, proof of work, handshake, suites, replay window, cookies, signatures.
//!
//! In: seeds, bytes, counters, the time since start. Out: keys, sealed and opened buffers, types that carry proof.
//! Never: a socket, a clock, a thread, chance other than the injected seeds.

#![forbid(unsafe_code)]

pub mod cookie;
pub mod handshake;
pub mod hash;
pub mod identity;
mod kem;
mod noise;
mod poly;
pub mod pow;
pub mod replay;
mod salsa;
pub mod sign;
pub mod suites;
mod world;

pub use handshake::{Failed, Hello, Initiator, Label, Responded, SessionKeys, respond};
pub use hash::hash256;
pub use identity::{BadSecret, SecretIdentity, Verified, key_id};
pub use pow::Params;
pub use replay::ReplayWindow;
pub use sign::{BadSignature, SigningSecret};
pub use suites::{Forged, OpenKey, SealKey, Suite, Suites};
pub use world::{BadWorld, VerifiedWorld};
