//! Who is known: the peers of this node, by handle, key and address.
//!
//! Owner: the engine. In: verified identities. Out: peers. A peer leaves only through `forget`.
//! Never: two keys mixed because they share an address; a key deleted because a message said so.

mod peer;
mod saved;

use core::hash::BuildHasher;
use core::net::SocketAddr;
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};

use zt_crypto::Verified;
use zt_wire::{Address, KeyId};

use crate::interface::PeerRole;
use crate::shard::{Path, PeerHandle};
use crate::time::Mono;

pub use peer::{Peer, Session};
pub use saved::{decode, encode};

/// The peers this node knows.
#[derive(Debug, Default)]
pub struct Peers {
    // Boxed: the tree's nodes have room for more than they hold, and a peer is large.
    table: BTreeMap<PeerHandle, Box<Peer>>,
    keys: BTreeMap<KeyId, PeerHandle>,
    addresses: BTreeSet<(Address, PeerHandle)>,
    /// By a digest of the endpoint in use: two of one digest cost only the memory of the first.
    endpoints: BTreeMap<u32, PeerHandle>,
    next: u32,
}

impl Peers {
    /// The peer of this identity; made when new. The flag says whether it is new.
    pub fn meet(&mut self, now: Mono, who: &Verified, role: PeerRole) -> (&mut Peer, bool) {
        let known = self.keys.get(&who.key()).copied();
        let handle = known.unwrap_or_else(|| self.admit(now, who, role));
        // `keys` holds only handles of `peers`: both change in `admit` and `forget` alone.
        (
            self.table
                .get_mut(&handle)
                .expect("a key's handle is a peer's"),
            known.is_none(),
        )
    }

    /// Forgets a peer.
    pub fn forget(&mut self, handle: PeerHandle) -> Option<Peer> {
        let peer = *self.table.remove(&handle)?;
        self.keys.remove(&peer.key());
        self.addresses.remove(&(peer.address(), handle));
        let told = peer.paths.told.and_then(|(path, _)| path);
        self.reached(handle, told, None);
        Some(peer)
    }

    /// The peer of a handle, to change it.
    pub fn get_mut(&mut self, handle: PeerHandle) -> Option<&mut Peer> {
        self.table.get_mut(&handle).map(Box::as_mut)
    }

    /// The peer of a handle.
    pub fn get(&self, handle: PeerHandle) -> Option<&Peer> {
        self.table.get(&handle).map(Box::as_ref)
    }

    /// A peer is reached another way than before.
    pub fn reached(&mut self, handle: PeerHandle, before: Option<Path>, now: Option<Path>) {
        if let Some(Path::Direct(at)) = before
            && self.endpoints.get(&digest(at)) == Some(&handle)
        {
            self.endpoints.remove(&digest(at));
        }
        if let Some(Path::Direct(at)) = now {
            self.endpoints.insert(digest(at), handle);
        }
    }

    /// The peer that is reached straight at this endpoint.
    pub fn by_endpoint(&self, at: SocketAddr) -> Option<PeerHandle> {
        let handle = *self.endpoints.get(&digest(at))?;
        (self.get(handle)?.paths.active == Some(Path::Direct(at))).then_some(handle)
    }

    /// The peer of a key.
    pub fn by_key(&self, key: &KeyId) -> Option<&Peer> {
        self.keys.get(key).and_then(|handle| self.get(*handle))
    }

    /// A peer of this address: one with a session first, the longest known next.
    pub fn by_address(&self, address: Address) -> Option<&Peer> {
        let mut first = None;
        for (_, handle) in self
            .addresses
            .range((address, PeerHandle(0))..=(address, PeerHandle(u32::MAX)))
        {
            let Some(peer) = self.get(*handle) else {
                continue;
            };
            if peer.session.is_some() {
                return Some(peer);
            }
            first = first.or(Some(peer));
        }
        first
    }

    /// Every peer, in order of handles.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.table.values().map(Box::as_ref)
    }

    /// The handles of all peers.
    pub fn handles(&self) -> Vec<PeerHandle> {
        self.table.keys().copied().collect()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The peer that is missed least: no session, not in the world, heard of longest ago.
    pub fn least_missed(&self) -> Option<PeerHandle> {
        self.table
            .values()
            .filter(|peer| peer.session.is_none() && peer.role == PeerRole::Leaf)
            .min_by_key(|peer| (peer.wanted, peer.handle))
            .map(|peer| peer.handle)
    }

    fn admit(&mut self, now: Mono, who: &Verified, role: PeerRole) -> PeerHandle {
        let mut handle = PeerHandle(self.next);
        while self.table.contains_key(&handle) {
            handle = PeerHandle(handle.0.wrapping_add(1));
        }
        self.next = handle.0.wrapping_add(1);
        self.keys.insert(who.key(), handle);
        self.addresses.insert((who.address(), handle));
        self.table
            .insert(handle, Box::new(Peer::new(now, handle, *who, role)));
        handle
    }
}

fn digest(at: SocketAddr) -> u32 {
    let hash = foldhash::fast::FixedState::with_seed(0).hash_one(at);
    // The upper half is as good as any.
    u32::try_from(hash >> 32).unwrap_or(0)
}
