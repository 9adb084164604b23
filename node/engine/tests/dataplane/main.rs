//! The data plane with real sessions: frames in, datagrams, frames out.
//!
//! In: `zt_engine::shard`. Out: pass or fail. Never: a network, a clock.

#![forbid(unsafe_code)]

mod allocations;
mod bridging;
mod frames;
mod gates;
mod harness;
mod hostile;
mod malformed;
mod policy;
mod relayed;
mod replicate;
mod sessions;
mod track;
