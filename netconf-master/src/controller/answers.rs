//! What an answer carries: only what is newer than what the member has, and no more than fits.
//!
//! Owner: the controller. In: a network, an admitted member, its request. Out: an answer's payload.
//! Never: a decision, a write.

use zt_wire::message::{
    DirectoryDelta, DirectoryEntry, NetconfAnswer, NetconfPart, NetconfRequest, NetconfStatus,
    Parts,
};
use zt_wire::{Address, Rights, Signed};

use super::{Answer, Controller};
use crate::documents;
use crate::limits;
use crate::model::{Listing, Member, Network};
use crate::store::StoreError;

impl Controller {
    /// The answer to a member.
    pub(super) fn admit(
        &self,
        network: &Network,
        member: &Member,
        request: &NetconfRequest,
    ) -> Result<Answer, StoreError> {
        let Some(key) = member.key else {
            // An admitted member has just shown its key.
            return Err(StoreError::Conflict);
        };
        let member = self
            .store
            .member(network.id, member.address)?
            .ok_or(StoreError::Conflict)?;
        if !member.is_in() || member.key != Some(key) {
            return Err(StoreError::Conflict);
        }
        let certificate = self
            .signer
            .sign(&documents::certificate(network, &member, key));
        let delta = self.directory(network, member.address, request.directory)?;
        let knows_shared = request.shared_hash == network.shared_hash;
        let knows_all = knows_shared && request.directory == network.revision;
        let revocations = if knows_all {
            Vec::new()
        } else {
            self.newest_revocations(network)?
        };
        let directory = delta.encode();
        let mut parts = Vec::new();
        if !knows_shared {
            parts.extend(Signed::parse(&network.shared).map(NetconfPart::Shared));
        }
        parts.extend(Signed::parse(&certificate).map(NetconfPart::Certificate));
        parts.push(NetconfPart::Directory(&directory));
        for signed in &revocations {
            parts.extend(Signed::parse(signed).map(NetconfPart::Revocation));
        }
        let mut answer = reply(request, NetconfStatus::Ok, 0, &parts);
        answer.pulled = Some(delta.to);
        Ok(answer)
    }

    /// What changed in the list of members since `from`, for `reader`, which needs no entry of itself.
    fn directory(
        &self,
        network: &Network,
        reader: Address,
        from: u64,
    ) -> Result<DirectoryDelta, StoreError> {
        // A member that is ahead of us has seen a store that is no more: it starts anew.
        let from = if from > network.revision { 0 } else { from };
        let changed = self
            .store
            .listed_after(network.id, from, DirectoryDelta::MAX + 1)?;
        let mut delta = DirectoryDelta {
            from,
            to: from,
            more: false,
            entries: Vec::new(),
        };
        let mut bytes = 0;
        for (place, member) in changed.iter().enumerate() {
            let entry = entry(network, member);
            bytes += entry.encoded_len();
            if place == DirectoryDelta::MAX || bytes > limits::DIRECTORY_BYTES {
                delta.more = true;
                return Ok(delta);
            }
            delta.to = member.listed;
            // Who starts from nothing need not be told who is gone.
            if member.address != reader && !(entry.removed && from == 0) {
                delta.entries.push(entry);
            }
        }
        delta.to = network.revision.max(delta.to);
        Ok(delta)
    }

    fn newest_revocations(&self, network: &Network) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut revocations = self.store.revocations(network.id)?;
        revocations.sort_by_key(|revocation| core::cmp::Reverse(revocation.since_epoch));
        revocations.truncate(limits::REVOCATIONS);
        Ok(revocations
            .into_iter()
            .map(|revocation| revocation.signed)
            .collect())
    }
}

/// What the directory says of a member.
fn entry(network: &Network, member: &Listing) -> DirectoryEntry {
    let removed = !member.is_in;
    let rights = documents::effective_rights(network, member.rights);
    DirectoryEntry {
        address: member.address,
        removed,
        bridge: !removed && rights.has(Rights::BRIDGE),
        replicator: !removed && rights.has(Rights::REPLICATOR),
        ips: if removed {
            Vec::new()
        } else {
            member.ips.clone()
        },
    }
}

/// An answer of these parts.
pub(super) fn reply(
    request: &NetconfRequest,
    status: NetconfStatus,
    retry_after: u16,
    parts: &[NetconfPart<'_>],
) -> Answer {
    let mut bytes = Vec::new();
    for part in parts {
        part.write(&mut bytes);
    }
    // What was just written is well-formed.
    let parts = Parts::parse(&bytes).unwrap_or_default();
    let answer = NetconfAnswer {
        request: request.request,
        network: request.network,
        status,
        retry_after,
        parts,
    };
    let mut payload = Vec::with_capacity(bytes.len() + 16);
    answer.write(&mut payload);
    debug_assert!(payload.len() >= bytes.len());
    Answer {
        payload,
        network: request.network,
        pulled: None,
    }
}
