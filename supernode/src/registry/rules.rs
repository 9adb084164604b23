//! Who gets an address: the rules of the registry, without its storage.
//!
//! In: a claim, what the book holds. Out: a ruling. Pure, so the simulator uses the same rules.
//! Never: a record removed or replaced. An address once acknowledged stays with its key.

use core::net::IpAddr;

use crate::registry::ClaimResult;
use zt_wire::{Address, Identity, KeyId};

/// A claim of an address; proof of work and possession of the keys are verified already.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The address.
    pub address: Address,
    /// The key that claims it.
    pub key: KeyId,
    /// The identity behind the key, for WHOIS.
    pub identity: Identity,
    /// Where the claim comes from; `None` when a sibling supernode passes it on (its quota applied there).
    pub from: Option<IpAddr>,
}

/// What the registry keeps of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key that has the address.
    pub key: KeyId,
    /// Its identity.
    pub identity: Identity,
    /// The block it was claimed from, for quotas.
    pub block: Option<Block>,
}

impl Record {
    /// The record a claim becomes.
    pub fn of(claim: &Claim) -> Self {
        Self {
            key: claim.key,
            identity: claim.identity,
            block: claim.from.map(Block::of),
        }
    }
}

/// The part of an IP address that quotas count by: /24 of IPv4, /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Block {
    /// The first three bytes of an IPv4 address.
    V4([u8; 3]),
    /// The first six bytes of an IPv6 address.
    V6([u8; 6]),
}

impl Block {
    /// The block of an address. An IPv4-mapped IPv6 address counts as the IPv4 address that it is.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(ip) => {
                let mut block = [0; 6];
                block.copy_from_slice(&ip.octets()[..6]);
                Self::V6(block)
            }
        }
    }

    /// The block as a key of a database: family, then its bytes.
    pub fn to_bytes(self) -> [u8; 7] {
        match self {
            Self::V4([a, b, c]) => [4, a, b, c, 0, 0, 0],
            Self::V6([a, b, c, d, e, f]) => [6, a, b, c, d, e, f],
        }
    }

    /// Back from [`Self::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: [u8; 7]) -> Option<Self> {
        match bytes {
            [4, a, b, c, 0, 0, 0] => Some(Self::V4([a, b, c])),
            [6, a, b, c, d, e, f] => Some(Self::V6([a, b, c, d, e, f])),
            _ => None,
        }
    }
}

/// How much the registry takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most addresses altogether. Default 4,000,000: about 1 GiB on disk at 250 bytes each.
    pub addresses: u64,
    /// Most addresses claimed from one IPv4 /24. Default 1,024: four for each host of the block.
    pub per_ipv4_24: u64,
    /// Most addresses claimed from one IPv6 /48, a site. Default 1,024, as for a /24.
    pub per_ipv6_48: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            addresses: 4_000_000,
            per_ipv4_24: 1_024,
            per_ipv6_48: 1_024,
        }
    }
}

impl Limits {
    /// These limits.
    pub const fn new(addresses: u64, per_ipv4_24: u64, per_ipv6_48: u64) -> Self {
        Self {
            addresses,
            per_ipv4_24,
            per_ipv6_48,
        }
    }

    const fn of(&self, block: Block) -> u64 {
        match block {
            Block::V4(_) => self.per_ipv4_24,
            Block::V6(_) => self.per_ipv6_48,
        }
    }
}

/// What the rules ask of the storage.
pub trait Book {
    /// Why the storage could not answer.
    type Error;

    /// The key that holds an address.
    ///
    /// # Errors
    /// The storage failed.
    fn holder(&self, address: Address) -> Result<Option<KeyId>, Self::Error>;

    /// How many addresses are held altogether.
    ///
    /// # Errors
    /// The storage failed.
    fn held(&self) -> Result<u64, Self::Error>;

    /// How many addresses were claimed from a block.
    ///
    /// # Errors
    /// The storage failed.
    fn held_from(&self, block: Block) -> Result<u64, Self::Error>;
}

/// What is to be done about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The address is free: write the record, then acknowledge.
    Write,
    /// Nothing to write: answer this.
    Answer(ClaimResult),
}

/// Rules on a claim: the holder keeps its address, a free address goes to the first, limits apply to new ones only.
///
/// # Errors
/// The storage failed.
pub fn rule<B: Book>(claim: &Claim, book: &B, limits: &Limits) -> Result<Ruling, B::Error> {
    if let Some(holder) = book.holder(claim.address)? {
        let result = if holder == claim.key {
            ClaimResult::Granted
        } else {
            ClaimResult::Taken
        };
        return Ok(Ruling::Answer(result));
    }
    if book.held()? >= limits.addresses {
        return Ok(Ruling::Answer(ClaimResult::Full));
    }
    if let Some(block) = claim.from.map(Block::of)
        && book.held_from(block)? >= limits.of(block)
    {
        return Ok(Ruling::Answer(ClaimResult::Quota));
    }
    Ok(Ruling::Write)
}
