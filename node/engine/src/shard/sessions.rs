//! Peers and their keys: which session opens a datagram, which one seals the next.
//!
//! Owner: the shard. In: `Update`s, indices, time. Out: sessions.
//! Never: a key past its time; a key used for sending before both ends have it.

use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use std::boxed::Box;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use zt_crypto::suites::MOST_DATAGRAMS;
use zt_crypto::{OpenKey, ReplayWindow, SealKey, Suite};
use zt_wire::datagram::{TRANSPORT_HEADER, Transport};
use zt_wire::{Address, KeyId};

use super::traffic::{Flow, Watch, Width};
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
    pub(super) flow: Flow,
    pub(super) watch: Watch,
    pub(super) width: Width,
    /// Bundles of its control messages that the node has not dealt with yet; only at a lane.
    pub(super) asked: u16,
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
    /// Counters taken already for the datagrams of the frame under way.
    reserved: Range<u64>,
    pub(super) sealing: Sealing,
    /// What opens, at the one worker that the index belongs to.
    pub(super) opening: Option<Opening>,
}

/// How what comes under these keys is opened.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) key: OpenKey,
    pub(super) window: ReplayWindow,
}

/// A key that seals and its next counter. Copies are the same key: workers take counters from it, each once.
#[derive(Clone, Debug)]
pub struct Sealing(Arc<SealingKey>);

#[derive(Debug)]
struct SealingKey {
    key: SealKey,
    next: AtomicU64,
}

impl Sealing {
    /// A key that has sealed nothing.
    pub fn new(key: SealKey) -> Self {
        let next = AtomicU64::new(0);
        Self(Arc::new(SealingKey { key, next }))
    }

    /// How it seals.
    pub fn suite(&self) -> Suite {
        self.0.key.suite()
    }

    /// Counters taken so far.
    fn taken(&self) -> u64 {
        self.0.next.load(Relaxed)
    }

    fn take(&self, count: u64) -> Range<u64> {
        let first = self.0.next.fetch_add(count, Relaxed);
        first..first + count
    }
}

impl Peer {
    fn replica(&self) -> Self {
        Self {
            flow: self.flow.clone(),
            watch: Watch::default(),
            width: Width::default(),
            asked: 0,
            ..*self
        }
    }
}

impl Session {
    /// Whether these keys may still seal and open.
    pub(super) fn alive(&self, now: Mono) -> bool {
        now.since(self.since) < limits::KEYS_DIE_AFTER && self.sealing.taken() < MOST_DATAGRAMS
    }

    /// Whether these keys have sealed half of what they may.
    pub(super) fn is_worn(&self) -> bool {
        self.sealing.taken() >= MOST_DATAGRAMS / 2
    }

    /// Takes the counters of the next `count` datagrams at once. What is left of an earlier taking is not used any
    /// more: others have sealed meanwhile, and a counter far behind theirs counts as replayed.
    pub(super) fn reserve(&mut self, count: usize) {
        self.reserved = self.sealing.take(count as u64);
    }

    /// Writes the transport header before and the tag behind the body that stands in `buffer` already.
    pub(super) fn seal(&mut self, buffer: &mut [u8]) {
        let counter = match self.reserved.next() {
            Some(counter) => counter,
            None => self.sealing.take(1).start,
        };
        let (head, text) = buffer.split_at_mut(TRANSPORT_HEADER);
        head.copy_from_slice(
            &Transport {
                receiver: self.remote,
                counter,
            }
            .to_bytes(),
        );
        self.sealing.0.key.seal(counter, text);
    }

    /// The same keys for another worker, which cannot open with them.
    fn replica(&self) -> Self {
        Self {
            reserved: 0..0,
            sealing: self.sealing.clone(),
            opening: None,
            ..*self
        }
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

    /// The same peers and keys for another worker; only this one goes on opening.
    pub(super) fn replica(&self) -> Self {
        let peers = self.peers.iter();
        let slots = self.slots.iter();
        Self {
            peers: peers
                .map(|peer| peer.as_deref().map(|peer| Box::new(peer.replica())))
                .collect(),
            by_address: self.by_address.clone(),
            slots: slots
                .map(|slot| slot.as_deref().map(|slot| Box::new(slot.replica())))
                .collect(),
            free: self.free.clone(),
            by_index: self.by_index.clone(),
            deaths: self.deaths.clone(),
        }
    }

    pub(super) fn peer_up(
        &mut self,
        handle: PeerHandle,
        address: Address,
        key: KeyId,
        supernode: bool,
        flow: Flow,
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
            flow,
            watch: Watch::default(),
            width: Width::default(),
            asked: 0,
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
            reserved: 0..0,
            sealing: up.seal,
            opening: up.open.map(|key| Opening {
                key,
                window: ReplayWindow::new(),
            }),
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
