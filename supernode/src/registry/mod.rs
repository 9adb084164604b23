//! The registry: which key holds which address, for good.
//!
//! In: claims, questions. Out: answers; an acknowledgement only for what is on the disk.
//! Never: a record taken back to make room.

mod durable;
mod memory;
mod rules;
#[cfg(test)]
mod tests;

pub use zt_engine::interface::ClaimResult;

pub use durable::{DurableRegistry, RegistryError};
pub use memory::MemoryRegistry;
pub use rules::{Block, Book, Claim, Limits, Record, Ruling, rule};
