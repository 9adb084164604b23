//! What a controller needs of a database: reads, and batches that are durable whole or not at all.
//!
//! Owner: itself. In: batches with the row revisions that they were decided on. Out: rows.
//! Never: a decision. A batch decided on rows that changed since is a `Conflict`: load and decide again.

mod memory;
mod sqlite;

#[cfg(test)]
mod contract;

use std::net::IpAddr;

use zt_api::master::Audit;
use zt_engine::Unix;
use zt_wire::{Address, KeyId, NetworkId};

use crate::model::{Counts, Invite, InviteId, Listing, Member, Network, NewEntry, Revocation};

pub use memory::Memory;
pub use sqlite::{OpenError, Sqlite, SqliteOptions};

/// A database of networks. Every method may block on a disk; none waits for another caller longer than a batch takes.
pub trait Store: Send + Sync {
    /// Whether it answers, asked of the database itself.
    ///
    /// # Errors
    /// It does not.
    fn ready(&self) -> Result<(), StoreError>;

    /// One network.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], as of every read.
    fn network(&self, id: NetworkId) -> Result<Option<Network>, StoreError>;

    /// Networks in order of id, at most `limit`, after `after`.
    ///
    /// # Errors
    /// As of every read.
    fn networks(&self, after: Option<NetworkId>, limit: usize) -> Result<Vec<Network>, StoreError>;

    /// One member, deleted ones included.
    ///
    /// # Errors
    /// As of every read.
    fn member(&self, network: NetworkId, address: Address) -> Result<Option<Member>, StoreError>;

    /// Members in order of address, deleted ones left out.
    ///
    /// # Errors
    /// As of every read.
    fn members(
        &self,
        network: NetworkId,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError>;

    /// What the directory says of members whose entry changed after `revision`, in the order of change, deleted ones included.
    ///
    /// # Errors
    /// As of every read.
    fn listed_after(
        &self,
        network: NetworkId,
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Listing>, StoreError>;

    /// Who holds an address of the network.
    ///
    /// # Errors
    /// As of every read.
    fn holder(&self, network: NetworkId, ip: IpAddr) -> Result<Option<Address>, StoreError>;

    /// How many members stand where.
    ///
    /// # Errors
    /// As of every read.
    fn counts(&self, network: NetworkId) -> Result<Counts, StoreError>;

    /// One invite.
    ///
    /// # Errors
    /// As of every read.
    fn invite(&self, network: NetworkId, id: InviteId) -> Result<Option<Invite>, StoreError>;

    /// The invite whose secret has this hash.
    ///
    /// # Errors
    /// As of every read.
    fn invite_by_token(&self, token_hash: &[u8; 32]) -> Result<Option<Invite>, StoreError>;

    /// Invites in order of id.
    ///
    /// # Errors
    /// As of every read.
    fn invites(
        &self,
        network: NetworkId,
        after: Option<InviteId>,
        limit: usize,
    ) -> Result<Vec<Invite>, StoreError>;

    /// The revocations that may still be needed.
    ///
    /// # Errors
    /// As of every read.
    fn revocations(&self, network: NetworkId) -> Result<Vec<Revocation>, StoreError>;

    /// The log after line `after`, of one network or of all.
    ///
    /// # Errors
    /// As of every read.
    fn log(
        &self,
        network: Option<NetworkId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Audit>, StoreError>;

    /// The number of the newest line of the log; 0 without any.
    ///
    /// # Errors
    /// As of every read.
    fn newest(&self) -> Result<u64, StoreError>;

    /// Carries out all of `batch` or nothing of it; durable when this returns.
    ///
    /// # Errors
    /// What a write's row revision or a unique index refuses, or [`StoreError::Unavailable`].
    fn apply(&self, batch: Batch) -> Result<Applied, StoreError>;
}

/// Writes that belong together, with what the log says of them.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// In this order.
    pub writes: Vec<Write>,
    /// In this order.
    pub log: Vec<NewEntry>,
}

/// One write.
#[derive(Clone, Debug)]
pub enum Write {
    /// A new network; [`StoreError::Exists`] if its id was ever used.
    AddNetwork(Network),
    /// Changes a network that still has revision `was`; the new row has revision `was + 1`.
    PutNetwork {
        /// The new row; its own `revision` has to be `was + 1`.
        network: Network,
        /// What it was decided on.
        was: u64,
    },
    /// Deletes a network with everything in it but its log.
    RemoveNetwork(NetworkId),
    /// Makes (`row` 0) or changes a member that still has the row revision in `member.row`.
    PutMember {
        /// The new row.
        member: Member,
        /// Its directory entry changes: the network's revision grows, and `listed` becomes that.
        relist: bool,
    },
    /// Forgets a member that never was in the directory.
    ForgetMember(NetworkId, Address),
    /// When and where a member was heard; no row revision, no conflict. Nothing if there is no such member.
    Seen {
        /// In which network.
        network: NetworkId,
        /// Who.
        address: Address,
        /// When.
        at: Unix,
        /// From where.
        endpoint: Option<String>,
    },
    /// Makes (`row` 0) or changes an invite that still has the row revision in `invite.row`.
    PutInvite(Invite),
    /// Adds or replaces the revocation of a key.
    PutRevocation(Revocation),
    /// Forgets the revocation of a key.
    DropRevocation(NetworkId, KeyId),
}

/// What a batch led to.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The network's revision after it, of the last network whose revision changed.
    pub revision: Option<u64>,
    /// The log lines with their numbers.
    pub log: Vec<Audit>,
}

/// Why the store did not do it.
#[derive(Debug)]
pub enum StoreError {
    /// A row is not what the batch was decided on: load and decide again.
    Conflict,
    /// Another member holds the address.
    Taken(IpAddr),
    /// The id or the secret's hash was used before.
    Exists,
    /// There is no such network (any more).
    Gone,
    /// The database does not answer, or what it holds makes no sense; the source says more.
    Unavailable(Box<dyn core::error::Error + Send + Sync>),
}

impl core::fmt::Display for StoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Conflict => f.write_str("the record changed meanwhile"),
            Self::Taken(ip) => write!(f, "another member holds {ip}"),
            Self::Exists => f.write_str("the id is in use"),
            Self::Gone => f.write_str("there is no such network"),
            Self::Unavailable(source) => write!(f, "the database does not answer: {source}"),
        }
    }
}

impl core::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Unavailable(source) => Some(source.as_ref()),
            Self::Conflict | Self::Taken(_) | Self::Exists | Self::Gone => None,
        }
    }
}
