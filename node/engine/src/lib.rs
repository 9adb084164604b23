//! What a node decides: the control plane (`Engine`), the data plane (`Shard`) and both together (`Node`).
//!
//! In: datagrams, frames, inputs, the present. Out: datagrams, frames, effects.
//! Never: a socket, a clock, a thread, a lock, chance other than the injected seed.

#![forbid(unsafe_code)]

pub mod counters;
mod fragments;
pub mod limits;
pub mod segment;
pub mod shard;
mod switch;
pub mod time;

pub use time::{Mono, Now, Unix};
