//! The store that forgets: for the simulator and for tests.
//!
//! Owner: of its tables. In: batches. Out: copies of rows. Never: a disk, a partial batch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zt_api::master::{Audit, MemberStatus};
use zt_wire::{Address, KeyId, NetworkId};

use super::{Applied, Batch, Store, StoreError, Write};
use crate::model::{Counts, Invite, InviteId, Listing, Member, Network, NewEntry, Revocation};

/// A database in memory.
#[derive(Debug, Default)]
pub struct Memory {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    networks: BTreeMap<NetworkId, Network>,
    used_ids: BTreeSet<NetworkId>,
    members: BTreeMap<(NetworkId, Address), Member>,
    directory: BTreeMap<(NetworkId, u64), Address>,
    holders: BTreeMap<(NetworkId, IpAddr), Address>,
    counts: BTreeMap<NetworkId, Counts>,
    invites: BTreeMap<(NetworkId, InviteId), Invite>,
    tokens: BTreeMap<[u8; 32], (NetworkId, InviteId)>,
    revocations: BTreeMap<(NetworkId, KeyId), Revocation>,
    log: Vec<Audit>,
    undo: Vec<Undo>,
}

/// How to take back one change of a table, newest first.
#[derive(Debug)]
enum Undo {
    Network(NetworkId, Option<Box<Network>>),
    UsedId(NetworkId),
    Member(NetworkId, Address, Option<Box<Member>>),
    Invite(NetworkId, InviteId, Option<Box<Invite>>),
    Revocation(NetworkId, KeyId, Option<Box<Revocation>>),
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // A panic elsewhere leaves the tables whole: every batch is undone or done before the lock is let go.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn network(&self, id: NetworkId) -> Result<Option<Network>, StoreError> {
        Ok(self.lock().networks.get(&id).cloned())
    }

    fn networks(&self, after: Option<NetworkId>, limit: usize) -> Result<Vec<Network>, StoreError> {
        let tables = self.lock();
        let rest = tables
            .networks
            .iter()
            .filter(|(id, _)| after.is_none_or(|after| **id > after));
        Ok(rest
            .take(limit)
            .map(|(_, network)| network.clone())
            .collect())
    }

    fn member(&self, network: NetworkId, address: Address) -> Result<Option<Member>, StoreError> {
        Ok(self.lock().members.get(&(network, address)).cloned())
    }

    fn members(
        &self,
        network: NetworkId,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let tables = self.lock();
        let of_network = tables
            .members
            .iter()
            .filter(|((of, address), member)| {
                *of == network && !member.deleted && after.is_none_or(|after| *address > after)
            })
            .map(|(_, member)| member.clone());
        Ok(of_network.take(limit).collect())
    }

    fn listed_after(
        &self,
        network: NetworkId,
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Listing>, StoreError> {
        let tables = self.lock();
        let from = (network, revision.saturating_add(1));
        let changed = tables.directory.range(from..=(network, u64::MAX));
        Ok(changed
            .take(limit)
            .filter_map(|(_, address)| tables.members.get(&(network, *address)))
            .map(Listing::from)
            .collect())
    }

    fn holder(&self, network: NetworkId, ip: IpAddr) -> Result<Option<Address>, StoreError> {
        Ok(self.lock().holders.get(&(network, ip)).copied())
    }

    fn counts(&self, network: NetworkId) -> Result<Counts, StoreError> {
        Ok(self
            .lock()
            .counts
            .get(&network)
            .copied()
            .unwrap_or_default())
    }

    fn invite(&self, network: NetworkId, id: InviteId) -> Result<Option<Invite>, StoreError> {
        Ok(self.lock().invites.get(&(network, id)).cloned())
    }

    fn invite_by_token(&self, token_hash: &[u8; 32]) -> Result<Option<Invite>, StoreError> {
        let tables = self.lock();
        let invite = tables.tokens.get(token_hash);
        Ok(invite.and_then(|key| tables.invites.get(key)).cloned())
    }

    fn invites(
        &self,
        network: NetworkId,
        after: Option<InviteId>,
        limit: usize,
    ) -> Result<Vec<Invite>, StoreError> {
        let tables = self.lock();
        let of_network = tables
            .invites
            .iter()
            .filter(|((of, id), _)| *of == network && after.is_none_or(|after| *id > after))
            .map(|(_, invite)| invite.clone());
        Ok(of_network.take(limit).collect())
    }

    fn revocations(&self, network: NetworkId) -> Result<Vec<Revocation>, StoreError> {
        let tables = self.lock();
        let of_network = tables
            .revocations
            .iter()
            .filter(|((of, _), _)| *of == network);
        Ok(of_network
            .map(|(_, revocation)| revocation.clone())
            .collect())
    }

    fn log(
        &self,
        network: Option<NetworkId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Audit>, StoreError> {
        let tables = self.lock();
        // Line n is at place n - 1.
        let start = usize::try_from(after)
            .unwrap_or(usize::MAX)
            .min(tables.log.len());
        let rest = tables.log[start..]
            .iter()
            .filter(|entry| network.is_none_or(|network| entry.network == network));
        Ok(rest.take(limit).cloned().collect())
    }

    fn newest(&self) -> Result<u64, StoreError> {
        Ok(self.lock().log.len() as u64)
    }

    fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        let mut tables = self.lock();
        let mut applied = Applied::default();
        for write in batch.writes {
            match tables.write(write) {
                Ok(None) => {}
                Ok(revision) => applied.revision = revision,
                Err(refused) => {
                    tables.take_back();
                    return Err(refused);
                }
            }
        }
        tables.undo.clear();
        applied.log = batch
            .log
            .into_iter()
            .map(|entry| tables.note(entry))
            .collect();
        Ok(applied)
    }
}

impl Tables {
    fn write(&mut self, write: Write) -> Result<Option<u64>, StoreError> {
        match write {
            Write::AddNetwork(network) => {
                if !self.used_ids.insert(network.id) {
                    return Err(StoreError::Exists);
                }
                self.undo.push(Undo::UsedId(network.id));
                let revision = network.revision;
                self.set_network(network.id, Some(network));
                Ok(Some(revision))
            }
            Write::PutNetwork { network, was } => {
                let there = self.networks.get(&network.id).ok_or(StoreError::Gone)?;
                if there.revision != was || network.revision != was + 1 {
                    return Err(StoreError::Conflict);
                }
                let revision = network.revision;
                self.set_network(network.id, Some(network));
                Ok(Some(revision))
            }
            Write::RemoveNetwork(id) => self.remove_network(id),
            Write::PutMember { member, relist } => self.put_member(member, relist),
            Write::ForgetMember(network, address) => {
                self.set_member(network, address, None);
                Ok(None)
            }
            Write::Seen {
                network,
                address,
                at,
                endpoint,
            } => {
                if let Some(member) = self.members.get(&(network, address)) {
                    let heard = Member {
                        seen: Some(at),
                        endpoint,
                        ..member.clone()
                    };
                    self.set_member(network, address, Some(heard));
                }
                Ok(None)
            }
            Write::PutInvite(invite) => self.put_invite(invite),
            Write::PutRevocation(revocation) => {
                let (network, key) = (revocation.network, revocation.key);
                self.set_revocation(network, key, Some(revocation));
                Ok(None)
            }
            Write::DropRevocation(network, key) => {
                self.set_revocation(network, key, None);
                Ok(None)
            }
        }
    }

    fn put_member(&mut self, mut member: Member, relist: bool) -> Result<Option<u64>, StoreError> {
        let key = (member.network, member.address);
        let row = self.members.get(&key).map_or(0, |there| there.row);
        if row != member.row {
            return Err(StoreError::Conflict);
        }
        let mut network = self.networks.get(&key.0).cloned().ok_or(StoreError::Gone)?;
        for ip in &member.ips {
            if self
                .holders
                .get(&(key.0, *ip))
                .is_some_and(|holder| *holder != key.1)
            {
                return Err(StoreError::Taken(*ip));
            }
        }
        member.row += 1;
        let mut revision = None;
        if relist {
            network.revision += 1;
            member.listed = network.revision;
            revision = Some(network.revision);
            self.set_network(key.0, Some(network));
        }
        self.set_member(key.0, key.1, Some(member));
        Ok(revision)
    }

    fn put_invite(&mut self, mut invite: Invite) -> Result<Option<u64>, StoreError> {
        let key = (invite.network, invite.id);
        if !self.networks.contains_key(&key.0) {
            return Err(StoreError::Gone);
        }
        let row = self.invites.get(&key).map_or(0, |there| there.row);
        if row != invite.row {
            return Err(StoreError::Conflict);
        }
        if self
            .tokens
            .get(&invite.token_hash)
            .is_some_and(|of| *of != key)
        {
            return Err(StoreError::Exists);
        }
        invite.row += 1;
        self.set_invite(key.0, key.1, Some(invite));
        Ok(None)
    }

    fn remove_network(&mut self, id: NetworkId) -> Result<Option<u64>, StoreError> {
        if !self.networks.contains_key(&id) {
            return Err(StoreError::Gone);
        }
        let members: Vec<Address> = self
            .members
            .keys()
            .filter(|(of, _)| *of == id)
            .map(|(_, address)| *address)
            .collect();
        for address in members {
            self.set_member(id, address, None);
        }
        let invites: Vec<InviteId> = self
            .invites
            .keys()
            .filter(|(of, _)| *of == id)
            .map(|(_, invite)| *invite)
            .collect();
        for invite in invites {
            self.set_invite(id, invite, None);
        }
        let keys: Vec<KeyId> = self
            .revocations
            .keys()
            .filter(|(of, _)| *of == id)
            .map(|(_, key)| *key)
            .collect();
        for key in keys {
            self.set_revocation(id, key, None);
        }
        self.set_network(id, None);
        Ok(None)
    }

    fn note(&mut self, entry: NewEntry) -> Audit {
        let audit = Audit {
            seq: self.log.len() as u64 + 1,
            at: entry.at.0,
            network: entry.network,
            actor: entry.actor.name().to_owned(),
            action: entry.action.to_owned(),
            subject: entry.subject,
            detail: entry.detail,
        };
        self.log.push(audit.clone());
        audit
    }

    fn set_network(&mut self, id: NetworkId, row: Option<Network>) {
        let old = self.swap_network(id, row);
        self.undo.push(Undo::Network(id, old.map(Box::new)));
    }

    fn swap_network(&mut self, id: NetworkId, row: Option<Network>) -> Option<Network> {
        match row {
            Some(row) => self.networks.insert(id, row),
            None => self.networks.remove(&id),
        }
    }

    fn set_member(&mut self, network: NetworkId, address: Address, row: Option<Member>) {
        let old = self.swap_member(network, address, row);
        self.undo
            .push(Undo::Member(network, address, old.map(Box::new)));
    }

    /// Replaces a member with everything that is derived from it: directory place, held addresses, counts.
    fn swap_member(
        &mut self,
        network: NetworkId,
        address: Address,
        row: Option<Member>,
    ) -> Option<Member> {
        let old = self.members.remove(&(network, address));
        if let Some(old) = &old {
            if old.listed > 0 {
                self.directory.remove(&(network, old.listed));
            }
            for ip in &old.ips {
                self.holders.remove(&(network, *ip));
            }
            self.count(old, |n| *n -= 1);
        }
        if let Some(row) = row {
            if row.listed > 0 {
                self.directory.insert((network, row.listed), address);
            }
            for ip in &row.ips {
                self.holders.insert((network, *ip), address);
            }
            self.count(&row, |n| *n += 1);
            self.members.insert((network, address), row);
        }
        old
    }

    fn count(&mut self, member: &Member, change: impl Fn(&mut u64)) {
        if member.deleted {
            return;
        }
        let counts = self.counts.entry(member.network).or_default();
        change(match member.status {
            MemberStatus::Pending => &mut counts.pending,
            MemberStatus::Authorized => &mut counts.authorized,
            MemberStatus::Denied => &mut counts.denied,
        });
    }

    fn set_invite(&mut self, network: NetworkId, id: InviteId, row: Option<Invite>) {
        let old = self.swap_invite(network, id, row);
        self.undo.push(Undo::Invite(network, id, old.map(Box::new)));
    }

    fn swap_invite(
        &mut self,
        network: NetworkId,
        id: InviteId,
        row: Option<Invite>,
    ) -> Option<Invite> {
        let old = self.invites.remove(&(network, id));
        if let Some(old) = &old {
            self.tokens.remove(&old.token_hash);
        }
        if let Some(row) = row {
            self.tokens.insert(row.token_hash, (network, id));
            self.invites.insert((network, id), row);
        }
        old
    }

    fn set_revocation(&mut self, network: NetworkId, key: KeyId, row: Option<Revocation>) {
        let old = self.swap_revocation(network, key, row);
        self.undo
            .push(Undo::Revocation(network, key, old.map(Box::new)));
    }

    fn swap_revocation(
        &mut self,
        network: NetworkId,
        key: KeyId,
        row: Option<Revocation>,
    ) -> Option<Revocation> {
        match row {
            Some(row) => self.revocations.insert((network, key), row),
            None => self.revocations.remove(&(network, key)),
        }
    }

    fn take_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Network(id, row) => {
                    self.swap_network(id, row.map(|row| *row));
                }
                Undo::UsedId(id) => {
                    self.used_ids.remove(&id);
                }
                Undo::Member(network, address, row) => {
                    self.swap_member(network, address, row.map(|row| *row));
                }
                Undo::Invite(network, id, row) => {
                    self.swap_invite(network, id, row.map(|row| *row));
                }
                Undo::Revocation(network, key, row) => {
                    self.swap_revocation(network, key, row.map(|row| *row));
                }
            }
        }
    }
}
