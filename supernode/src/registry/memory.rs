//! A registry that forgets everything at the end: for the simulator and for tests of the rules.
//!
//! In: claims. Out: rulings, at once. Never: a disk.

use core::convert::Infallible;
use std::collections::BTreeMap;

use crate::registry::ClaimResult;
use zt_wire::{Address, Identity, KeyId};

use super::rules::{Block, Book, Claim, Limits, Record, Ruling, rule};

/// The registry in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryRegistry {
    limits: Limits,
    records: BTreeMap<Address, Record>,
    blocks: BTreeMap<Block, u64>,
}

impl MemoryRegistry {
    /// An empty registry with these limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Decides and keeps a claim.
    pub fn claim(&mut self, claim: &Claim) -> ClaimResult {
        let Ok(ruling) = rule(claim, self, &self.limits);
        match ruling {
            Ruling::Answer(result) => result,
            Ruling::Write => {
                let record = Record::of(claim);
                if let Some(block) = record.block {
                    *self.blocks.entry(block).or_default() += 1;
                }
                self.records.insert(claim.address, record);
                ClaimResult::Granted
            }
        }
    }

    /// Who holds an address.
    pub fn whois(&self, address: Address) -> Option<&Identity> {
        self.records.get(&address).map(|record| &record.identity)
    }
}

impl Book for MemoryRegistry {
    type Error = Infallible;

    fn holder(&self, address: Address) -> Result<Option<KeyId>, Infallible> {
        Ok(self.records.get(&address).map(|record| record.key))
    }

    fn held(&self) -> Result<u64, Infallible> {
        Ok(self.records.len() as u64)
    }

    fn held_from(&self, block: Block) -> Result<u64, Infallible> {
        Ok(self.blocks.get(&block).copied().unwrap_or(0))
    }
}
