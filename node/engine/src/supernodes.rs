//! The supernodes of the world as this node sees them: attached, online, nearest; and the world's own renewal.
//!
//! Owner: the engine. In: the world, sessions, claims' answers, world offers. Out: handshakes, claims, events.
//! Never: trust in what a supernode tells beyond what proves itself.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::vec::Vec;

use zt_crypto::{Verified, VerifiedWorld};
use zt_wire::message::{Claim, ClaimAnswer, ClaimResult, Message, WorldOffer};
use zt_wire::{Address, KeyId};

use crate::counters::DropReason;
use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::interface::{Effect, Event, PeerRole, Saved};
use crate::limits;
use crate::outbox::Outbox;
use crate::paths::Source;
use crate::shard::PeerHandle;
use crate::time::Now;

/// The supernodes of the world, without ourselves.
#[derive(Debug, Default)]
pub struct Supernodes {
    known: BTreeMap<KeyId, Supernode>,
    /// Some other key holds our address.
    pub(crate) collision: bool,
    was_online: bool,
    preferred: Option<KeyId>,
}

/// One supernode.
#[derive(Debug)]
pub(crate) struct Supernode {
    pub(crate) address: Address,
    pub(crate) handle: PeerHandle,
    /// It has acknowledged our claim (or needs none) in this session.
    pub(crate) online: bool,
    /// Last measured round trip, smoothed.
    pub(crate) rtt: Option<Duration>,
    /// Pause before the next try.
    pause: Duration,
}

impl Supernodes {
    /// Whether this key is a supernode of the world.
    pub fn is(&self, key: &KeyId) -> bool {
        self.known.contains_key(key)
    }

    /// The supernodes that answer: the preferred one, then the nearest.
    pub fn online(&self) -> Vec<Address> {
        let mut online: Vec<(&KeyId, &Supernode)> = self
            .known
            .iter()
            .filter(|(_, known)| known.online)
            .collect();
        let far = |known: &Supernode| known.rtt.unwrap_or(Duration::MAX);
        online
            .sort_by_key(|(key, known)| (self.preferred != Some(**key), far(known), known.address));
        online.into_iter().map(|(_, known)| known.address).collect()
    }

    /// Prefers the nearest, without changing for a little: true when it is another one now.
    fn prefer(&mut self) -> bool {
        let answering = self.known.iter().filter(|(_, known)| known.online);
        let far = |known: &Supernode| known.rtt.unwrap_or(Duration::MAX);
        let nearest = answering
            .min_by_key(|(_, known)| (far(known), known.address))
            .map(|(key, known)| (*key, far(known)));
        let Some((key, rtt)) = nearest else {
            return self.preferred.take().is_some();
        };
        let stays = self
            .preferred
            .and_then(|preferred| self.known.get(&preferred))
            .filter(|known| known.online);
        let clearly = |known: &Supernode| {
            rtt.as_nanos() * 100 < far(known).as_nanos() * u128::from(limits::NEARER_PERCENT)
        };
        if stays.is_some_and(|known| !clearly(known)) {
            return false;
        }
        self.preferred.replace(key) != Some(key)
    }

    /// The handles of the supernodes that answer, nearest first.
    pub fn online_handles(&self) -> Vec<PeerHandle> {
        self.online()
            .into_iter()
            .filter_map(|address| self.handle_of(address))
            .collect()
    }

    /// The handle of a supernode.
    pub fn handle_of(&self, address: Address) -> Option<PeerHandle> {
        self.known
            .values()
            .find(|known| known.address == address)
            .map(|known| known.handle)
    }

    /// Every supernode.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Supernode> {
        self.known.values()
    }
}

impl Engine {
    /// Enters the world: attaches to its supernodes, forgets those that left it.
    pub(crate) fn enter_world(&mut self, now: Now, out: &mut Outbox) {
        let named: Vec<Verified> = self.world.supernodes().to_vec();
        let named_by = |key: &KeyId| named.iter().any(|who| who.key() == *key);
        let gone: Vec<KeyId> = self
            .supernodes
            .known
            .keys()
            .filter(|key| !named_by(key))
            .copied()
            .collect();
        for key in gone {
            self.deadlines.clear(Timer::Attach(key));
            if let Some(left) = self.supernodes.known.remove(&key) {
                self.forget(now, left.handle, out);
            }
        }
        let endpoints: Vec<Vec<SocketAddr>> = self
            .world
            .world()
            .supernodes
            .iter()
            .map(|supernode| supernode.endpoints.clone())
            .collect();
        for (who, endpoints) in named.iter().zip(endpoints) {
            if who.key() != self.me.key() {
                self.enter_supernode(now, who, &endpoints, out);
            }
        }
    }

    fn enter_supernode(
        &mut self,
        now: Now,
        who: &Verified,
        endpoints: &[SocketAddr],
        out: &mut Outbox,
    ) {
        if !self.supernodes.is(&who.key()) && self.supernodes.known.len() >= limits::SUPERNODES {
            return;
        }
        let Some(handle) = self.meet(now, who, out) else {
            return;
        };
        if self
            .peers
            .get(handle)
            .is_some_and(|peer| peer.role != PeerRole::Supernode)
        {
            // Met before the world named it: the shard has to learn it anew.
            self.session_down(now, handle, out);
        }
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        peer.role = PeerRole::Supernode;
        for endpoint in endpoints {
            peer.paths.learn(now.mono, *endpoint, Source::World);
        }
        let address = who.address();
        self.supernodes.known.entry(who.key()).or_insert(Supernode {
            address,
            handle,
            online: false,
            rtt: None,
            pause: limits::ATTACH_FIRST,
        });
        self.attach(now, who.key(), out);
    }

    /// Tries a supernode. Between siblings the smaller key begins; the other waits a while before it does.
    pub(crate) fn attach(&mut self, now: Now, key: KeyId, out: &mut Outbox) {
        let Some(known) = self.supernodes.known.get(&key) else {
            return;
        };
        let handle = known.handle;
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if peer.ready() {
            return;
        }
        peer.rest_until = now.mono;
        self.reach(now, handle, out);
    }

    /// A handshake with a supernode was given up: again later.
    pub(crate) fn attach_failed(&mut self, now: Now, key: KeyId) {
        let spread = self.chance.jitter(limits::ATTACH_FIRST);
        let Some(known) = self.supernodes.known.get_mut(&key) else {
            return;
        };
        let pause = known.pause;
        known.pause = (pause * 2).min(limits::ATTACH_LONGEST);
        self.deadlines
            .set(Timer::Attach(key), now.mono + pause + spread);
    }

    /// Every supernode that is not there is tried now: our addresses have changed.
    pub(crate) fn attach_all(&mut self, now: Now) {
        for (key, known) in &mut self.supernodes.known {
            if !known.online {
                known.pause = limits::ATTACH_FIRST;
                self.deadlines.set(Timer::Attach(*key), now.mono);
            }
        }
    }

    /// A session with a supernode is ready: claim our address there.
    pub(crate) fn attached(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(key) = self.peers.get(handle).map(crate::peers::Peer::key) else {
            return;
        };
        self.deadlines.clear(Timer::Attach(key));
        if let Some(known) = self.supernodes.known.get_mut(&key) {
            known.pause = limits::ATTACH_FIRST;
        }
        if self.config.role.claims() {
            self.claim(now, handle, out);
        } else {
            self.supernode_online(now, key, out);
        }
        self.ping_supernode(now, handle, out);
    }

    /// Claims our address, again and again until it is answered.
    pub(crate) fn claim(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        if !self
            .peers
            .get(handle)
            .is_some_and(crate::peers::Peer::ready)
        {
            return;
        }
        out.say(handle, &Message::Claim(Claim { passed_on: None }));
        self.deadlines
            .set(Timer::Claim(handle), now.mono + limits::CLAIM_RETRY);
    }

    /// `CLAIM_ANSWER`: our address is ours, or it is not.
    pub(crate) fn claim_answer(
        &mut self,
        now: Now,
        handle: PeerHandle,
        answer: &ClaimAnswer,
        out: &mut Outbox,
    ) {
        let Some(key) = self.peers.get(handle).map(crate::peers::Peer::key) else {
            return;
        };
        if !self.supernodes.is(&key) || answer.address != self.me.address() {
            self.drop(DropReason::NotAllowed);
            return;
        }
        self.deadlines.clear(Timer::Claim(handle));
        match answer.result {
            ClaimResult::Granted => self.supernode_online(now, key, out),
            ClaimResult::Taken => {
                if !core::mem::replace(&mut self.supernodes.collision, true) {
                    out.event(Event::Collision(self.me.address()));
                }
                self.deadlines
                    .set(Timer::Claim(handle), now.mono + limits::CLAIM_REFUSED);
            }
            // No room there today: it still relays for us and tells us who others are.
            ClaimResult::Full | ClaimResult::Quota => {
                self.deadlines
                    .set(Timer::Claim(handle), now.mono + limits::CLAIM_REFUSED);
                self.supernode_online(now, key, out);
            }
        }
    }

    fn supernode_online(&mut self, now: Now, key: KeyId, out: &mut Outbox) {
        let Some(known) = self.supernodes.known.get_mut(&key) else {
            return;
        };
        let news = !core::mem::replace(&mut known.online, true);
        let address = known.address;
        if !news {
            return;
        }
        if !core::mem::replace(&mut self.supernodes.was_online, true) {
            out.event(Event::Online(address));
            self.networks.online(now, true, &mut self.actions);
        }
        self.retry_stalled(now, out);
        self.whois_now(now, out);
        self.supernodes.prefer();
        self.choose_relays(now, out);
    }

    /// The session with a supernode is gone: its relays move, and it is tried again.
    pub(crate) fn supernode_lost(&mut self, now: Now, key: KeyId, out: &mut Outbox) {
        let Some(known) = self.supernodes.known.get_mut(&key) else {
            return;
        };
        let was = core::mem::replace(&mut known.online, false);
        known.rtt = None;
        self.deadlines.set(Timer::Attach(key), now.mono);
        if !was {
            return;
        }
        self.supernodes.prefer();
        self.choose_relays(now, out);
        if self.supernodes.known.values().all(|known| !known.online) && self.supernodes.was_online {
            self.supernodes.was_online = false;
            out.event(Event::Offline);
            self.networks.online(now, false, &mut self.actions);
        }
    }

    /// A round trip to a supernode was measured; when another is clearly nearer now, relays move there.
    pub(crate) fn supernode_rtt(&mut self, now: Now, key: KeyId, rtt: Duration, out: &mut Outbox) {
        let Some(known) = self.supernodes.known.get_mut(&key) else {
            return;
        };
        known.rtt = Some(known.rtt.map_or(rtt, |old| (old * 7 + rtt) / 8));
        if self.supernodes.prefer() {
            self.choose_relays(now, out);
        }
    }

    /// Asks every supernode how we look from there.
    pub(crate) fn ping_supernodes(&mut self, now: Now, out: &mut Outbox) {
        for handle in self.supernodes.online_handles() {
            self.ping_supernode(now, handle, out);
        }
    }

    fn ping_supernode(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let token = self.chance.number();
        if let Some(peer) = self.peers.get_mut(handle) {
            peer.pinged = Some((token, now.mono));
        }
        out.say(handle, &Message::Ping(token));
    }

    /// The world that we have.
    pub(crate) fn world_offer(&self) -> WorldOffer {
        WorldOffer {
            serial: self.world.world().serial,
            hash: self.world.hash(),
        }
    }

    /// `WORLD_OFFER`: a supernode may have a newer world.
    pub(crate) fn world_offered_by(
        &mut self,
        handle: PeerHandle,
        offer: &WorldOffer,
        out: &mut Outbox,
    ) {
        if offer.serial > self.world.world().serial {
            out.say(handle, &Message::WorldGet(offer.serial));
        }
    }

    /// A world that follows ours.
    pub(crate) fn adopt(&mut self, now: Now, world: VerifiedWorld, out: &mut Outbox) {
        self.world = world;
        self.tell_underlay(now);
        out.effect(Effect::Save(Saved::World(self.world.bytes().to_vec())));
        out.event(Event::WorldAdopted(self.world.world().serial));
        self.enter_world(now, out);
        if self.config.role.relays() {
            let offer = self.world_offer();
            let listeners: Vec<PeerHandle> = self
                .peers
                .iter()
                .filter(|peer| peer.ready())
                .map(|peer| peer.handle)
                .collect();
            for listener in listeners {
                out.say(listener, &Message::WorldOffer(offer));
            }
        }
    }
}
