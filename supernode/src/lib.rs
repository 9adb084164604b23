//! What only a supernode has: the registry of addresses and the authority over a world.
//!
//! In: claims, questions, world files. Out: answers that are durable, signed worlds.
//! Never: a session, a relayed datagram; those are the engine's.

#![forbid(unsafe_code)]

pub mod authority;
pub mod init;
pub mod registry;
pub mod run;
mod watch;
