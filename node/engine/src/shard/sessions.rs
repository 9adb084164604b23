//! Peers and their keys: which session opens a datagram, which one seals the next.
//!
//! Owner: the shard. In: `Update`s, indices, time. Out: sessions.
//! Never: a key past its time; a key used for sending before both ends have it.

use std::boxed::Box;
use std::collections::BTreeSet;
use std::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use zt_crypto::suites::MOST_DATAGRAMS;
use zt_crypto::{OpenKey, ReplayWindow, SealKey};
use zt_wire::{Address, KeyId};

use super::traffic::{Traffic, Width};
use super::update::SessionUp;
use super::verdict::{Path, PeerHandle};
use crate::limits;
use crate::time::Mono;

/// Every peer and every session of a shard.
#[derive(Debug)]
pub(super) struct Sessions {
    peers: Vec<Option<Box<Peer>>>,
    by_address: HashMap<Address, PeerHandle, FixedState>,
    slots: Vec<Option<Box<Session>>>,
    free: Vec<u32>,
    by_index: HashMap<u32, Place, FixedState>,
    deaths: BTreeSet<(Mono, Place)>,
}

/// Where a session is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u32);

/// What a shard knows of a peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: Address,
    pub(super) key: KeyId,
    pub(super) supernode: bool,
    pub(super) path: Option<Path>,
    pub(super) mtu: u16,
    pub(super) traffic: Traffic,
    pub(super) width: Width,
    pub(super) next_fragment: u32,
    current: Option<Place>,
    previous: Option<Place>,
    next: Option<Place>,
}

/// Keys with a peer.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) local: u32,
    pub(super) remote: u32,
    pub(super) peer: PeerHandle,
    pub(super) since: Mono,
    dies: Mono,
    pub(super) initiator: bool,
    pub(super) confirmed: bool,
    pub(super) rekey_noted: bool,
    pub(super) counter: u64,
    pub(super) seal: SealKey,
    pub(super) open: OpenKey,
    pub(super) window: ReplayWindow,
}

impl Session {
    /// Whether these keys may still seal and open.
    pub(super) fn alive(&self, now: Mono) -> bool {
        now.since(self.since) < limits::KEYS_DIE_AFTER && self.counter < MOST_DATAGRAMS
    }
}

impl Sessions {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            peers: Vec::new(),
            by_address: HashMap::with_hasher(FixedState::with_seed(seed)),
            slots: Vec::new(),
            free: Vec::new(),
            by_index: HashMap::with_hasher(FixedState::with_seed(seed ^ 1)),
            deaths: BTreeSet::new(),
        }
    }

    pub(super) fn peer_up(
        &mut self,
        handle: PeerHandle,
        address: Address,
        key: KeyId,
        supernode: bool,
    ) {
        if let Some(peer) = self.peer_mut(handle)
            && peer.key == key
            && peer.address == address
        {
            peer.supernode = supernode;
            self.by_address.insert(address, handle);
            return;
        }
        self.forget(handle);
        let at = handle.0 as usize;
        if self.peers.len() <= at {
            self.peers.resize_with(at + 1, || None);
        }
        self.peers[at] = Some(Box::new(Peer {
            address,
            key,
            supernode,
            path: None,
            mtu: limits::MTU_FLOOR,
            traffic: Traffic::default(),
            width: Width::default(),
            next_fragment: 0,
            current: None,
            previous: None,
            next: None,
        }));
        // Another key under a name that is in use gets no datagrams meant for it, until the engine says otherwise.
        self.by_address.entry(address).or_insert(handle);
    }

    pub(super) fn forget(&mut self, handle: PeerHandle) {
        let Some(peer) = self.peers.get_mut(handle.0 as usize).and_then(Option::take) else {
            return;
        };
        for place in [peer.current, peer.previous, peer.next]
            .into_iter()
            .flatten()
        {
            self.erase(place);
        }
        // Another peer may have taken over the address meanwhile.
        if self.by_address.get(&peer.address) == Some(&handle) {
            self.by_address.remove(&peer.address);
        }
    }

    /// Takes fresh keys. An index that is taken already keeps its session; the handshake will be repeated.
    pub(super) fn session_up(&mut self, up: SessionUp) {
        if self.by_index.contains_key(&up.local) || self.peer(up.peer).is_none() {
            return;
        }
        let place = self.place();
        let (handle, initiator, local, dies) = (
            up.peer,
            up.initiator,
            up.local,
            up.since + limits::KEYS_DIE_AFTER,
        );
        self.slots[place.0 as usize] = Some(Box::new(Session {
            local,
            remote: up.remote,
            peer: handle,
            since: up.since,
            dies,
            initiator,
            confirmed: false,
            rekey_noted: false,
            counter: 0,
            seal: up.seal,
            open: up.open,
            window: ReplayWindow::new(),
        }));
        self.by_index.insert(local, place);
        self.deaths.insert((dies, place));
        if initiator {
            self.promote(handle, place);
        } else if let Some(old) = self
            .peer_mut(handle)
            .and_then(|peer| peer.next.replace(place))
        {
            self.erase(old);
        }
    }

    /// The first datagram under these keys was opened: both ends have them and seal with them from now on, so the keys that
    /// they replace only wait for what is under way. Tells whether it was the first.
    pub(super) fn confirm(&mut self, place: Place, now: Mono) -> bool {
        let Some(session) = self.session_mut(place) else {
            return false;
        };
        if session.confirmed {
            return false;
        }
        session.confirmed = true;
        let handle = session.peer;
        if let Some(peer) = self.peer_mut(handle)
            && peer.next == Some(place)
        {
            peer.next = None;
            self.promote(handle, place);
        }
        let replaced = self
            .peer(handle)
            .filter(|peer| peer.current == Some(place))
            .and_then(|peer| peer.previous);
        if let Some(old) = replaced {
            self.hasten(old, now + limits::REPLACED_KEYS_LINGER);
        }
        true
    }

    /// Lets a session die at `at` when it would live longer.
    fn hasten(&mut self, place: Place, at: Mono) {
        let Some(session) = self.session_mut(place).filter(|session| at < session.dies) else {
            return;
        };
        let dies = core::mem::replace(&mut session.dies, at);
        self.deaths.remove(&(dies, place));
        self.deaths.insert((at, place));
    }

    /// Erases every key whose time is over.
    pub(super) fn expire(&mut self, now: Mono) {
        while let Some(&(dies, place)) = self.deaths.first()
            && dies <= now
        {
            self.drop_from_peer(place);
            self.erase(place);
        }
    }

    /// When the next key dies.
    pub(super) fn next_death(&self) -> Option<Mono> {
        self.deaths.first().map(|&(dies, _)| dies)
    }

    pub(super) fn find(&self, index: u32) -> Option<Place> {
        self.by_index.get(&index).copied()
    }

    pub(super) fn handle_of(&self, address: Address) -> Option<PeerHandle> {
        self.by_address.get(&address).copied()
    }

    pub(super) fn peer(&self, handle: PeerHandle) -> Option<&Peer> {
        self.peers.get(handle.0 as usize)?.as_deref()
    }

    pub(super) fn peer_mut(&mut self, handle: PeerHandle) -> Option<&mut Peer> {
        self.peers.get_mut(handle.0 as usize)?.as_deref_mut()
    }

    pub(super) fn session(&self, place: Place) -> Option<&Session> {
        self.slots.get(place.0 as usize)?.as_deref()
    }

    pub(super) fn session_mut(&mut self, place: Place) -> Option<&mut Session> {
        self.slots.get_mut(place.0 as usize)?.as_deref_mut()
    }

    /// The session that seals the next datagram to this peer.
    pub(super) fn sealing(&self, handle: PeerHandle, now: Mono) -> Option<Place> {
        let place = self.peer(handle)?.current?;
        self.session(place)?.alive(now).then_some(place)
    }

    fn promote(&mut self, handle: PeerHandle, place: Place) {
        let Some(peer) = self.peer_mut(handle) else {
            return;
        };
        let former = peer.current.replace(place);
        let oldest = core::mem::replace(&mut peer.previous, former);
        if let Some(oldest) = oldest {
            self.erase(oldest);
        }
    }

    fn place(&mut self) -> Place {
        if let Some(place) = self.free.pop() {
            return Place(place);
        }
        self.slots.push(None);
        // The engine bounds peers to a million and each has three sessions at most.
        Place(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
    }

    fn erase(&mut self, place: Place) {
        let Some(session) = self.slots.get_mut(place.0 as usize).and_then(Option::take) else {
            return;
        };
        self.by_index.remove(&session.local);
        self.deaths.remove(&(session.dies, place));
        self.free.push(place.0);
    }

    fn drop_from_peer(&mut self, place: Place) {
        let Some(handle) = self.session(place).map(|session| session.peer) else {
            return;
        };
        let Some(peer) = self.peer_mut(handle) else {
            return;
        };
        for slot in [&mut peer.current, &mut peer.previous, &mut peer.next] {
            if *slot == Some(place) {
                *slot = None;
            }
        }
    }
}
