//! What a node decides: the control plane (`Engine`), the data plane (`Shard`) and both together (`Node`).
//!
//! In: datagrams, frames, inputs, the present. Out: datagrams, frames, effects.
//! Never: a socket, a clock, a thread, a lock, chance other than the injected seed.

#![forbid(unsafe_code)]

mod acquaintances;
mod act;
mod answers;
mod chance;
mod commands;
pub mod config;
pub mod counters;
pub mod deadlines;
mod early;
pub mod engine;
mod fragments;
mod handshakes;
mod held;
pub mod interface;
pub mod lane;
pub mod likeness;
pub mod limits;
pub mod networks;
pub mod node;
pub mod outbox;
mod paths;
mod peers;
pub mod proofs;
mod proving;
mod questions;
mod registry;
pub mod role;
pub mod segment;
mod selftest;
pub mod shard;
mod supernodes;
mod switch;
mod tend;
pub mod time;
pub mod trouble;
mod verbs;
mod whois;
pub mod work;
mod workers;

pub use config::Config;
pub use deadlines::Timer;
pub use engine::Engine;
pub use lane::{Lane, LaneIo};
pub use node::{Io, Node};
pub use role::Role;
pub use time::{Mono, Now, Unix};
pub use work::{Done, Work};
