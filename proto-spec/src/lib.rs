//! Bytes and their meaning: every name, message and file of the zt protocol, and nothing else.
//!
//! In: borrowed bytes. Out: borrowed views and checked values; `Malformed` says which rule was broken.
//! Never: a key, a clock, an allocation on parse, `unsafe`. `SPEC.md` leads; this crate follows it.

#![forbid(unsafe_code)]

pub mod ids;

pub use ids::{Address, BadName, KeyId, Mac, NetworkId};
