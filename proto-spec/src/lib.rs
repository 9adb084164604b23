//! Bytes and their meaning: every name, message and file of the zt protocol, and nothing else.
//!
//! In: borrowed bytes. Out: borrowed views and checked values; `Malformed` says which rule was broken.
//! Never: a key, a clock, an allocation on parse of datagrams, `unsafe`. `SPEC.md` leads; this crate follows it.

#![forbid(unsafe_code)]

pub mod base64url;
pub mod cursor;
pub mod datagram;
pub mod endpoint;
pub mod error;
pub mod frame;
pub mod identity;
pub mod ids;
pub mod invite;
pub mod membership;
pub mod message;
pub mod neighbor;
pub mod network;
pub mod probe_frame;
pub mod signed;
pub mod world;

#[cfg(feature = "json")]
pub mod json;
#[cfg(feature = "serde")]
mod text;

pub use cursor::{Put, Reader, Slot};
pub use datagram::{
    Datagram, DatagramType, TAG_LEN, TRANSPORT_HEADER, TRANSPORT_OVERHEAD, VERSION,
};
pub use endpoint::{Cidr, Endpoint, EndpointKind, Endpoints};
pub use error::Malformed;
pub use frame::Ethernet;
pub use identity::Identity;
pub use ids::{Address, BadName, KeyId, Mac, NetworkId};
pub use invite::{BadInvite, Invite};
pub use message::{Body, Message, MessageType};
pub use network::{Certificate, NetworkRoute, Revocation, Rights, SharedConfig, Tag};
pub use probe_frame::ProbeFrame;
pub use signed::{Record, SIGNATURE_LEN, Signed, signing_input};
pub use world::{ProofOfWork, World, WorldSupernode};
