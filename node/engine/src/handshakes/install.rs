//! New keys: handed to the shard, confirmed, and what follows from a session that is ready or gone.
//!
//! Owner: the engine's handshakes. In: finished handshakes, the shard's confirmation. Out: updates, first messages.
//! Never: a key kept here; a session counted as ready before both ends have its keys.

use zt_crypto::{Hello, Label, SessionKeys, Verified};
use zt_wire::message::Message;

use super::{Admission, Attempt};
use crate::counters::{Count, DropReason};
use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::interface::PeerRole;
use crate::limits;
use crate::outbox::Outbox;
use crate::paths::Source;
use crate::peers::Session;
use crate::shard::{Flow, Path, PeerHandle, Sealing, SessionUp, Update};
use crate::time::Now;

impl Engine {
    /// The peer of a proven identity, with room made for it; `None`, and counted, when there is no room.
    pub(crate) fn meet(
        &mut self,
        now: Now,
        who: &Verified,
        out: &mut Outbox,
    ) -> Option<PeerHandle> {
        if who.key() == self.me.key() {
            return None;
        }
        if self.peers.by_key(&who.key()).is_none() && self.peers.len() >= self.config.peers {
            let Some(least) = self.peers.least_missed() else {
                self.drop(DropReason::TableFull);
                return None;
            };
            self.forget(now, least, out);
        }
        let role = self.role_of(who);
        let (peer, new) = self.peers.meet(now.mono, who, role);
        let handle = peer.handle;
        if new {
            self.deadlines
                .set(Timer::Tend(handle), now.mono + limits::FORGET_AFTER);
        }
        Some(handle)
    }

    /// We began, so we have the last word: the keys are in use at once.
    pub(crate) fn install_initiated(
        &mut self,
        now: Now,
        handle: PeerHandle,
        (attempt, path): (&Attempt, Path),
        (keys, hello): (SessionKeys, Hello),
        out: &mut Outbox,
    ) {
        let session = Session {
            local: attempt.index,
            suite: keys.suite(),
            initiator: true,
            confirmed: true,
            since: now.mono,
        };
        self.install(now, handle, session, (keys, hello), out);
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        peer.session = Some(session);
        peer.moves = false;
        peer.next = None;
        match attempt.label {
            Label::Rekey => {
                self.counters.add(Count::Rekeys, 1);
                self.plan_tend(now, handle);
            }
            Label::Init => {
                self.proven_by_handshake(now, handle, path, out);
                self.session_ready(now, handle, out);
            }
        }
    }

    /// The other end began: the keys wait for its first datagram under them.
    pub(crate) fn install_responded(
        &mut self,
        now: Now,
        handle: PeerHandle,
        admission: Admission,
        (keys, hello): (SessionKeys, Hello),
        out: &mut Outbox,
    ) {
        let session = Session {
            local: admission.local,
            suite: keys.suite(),
            initiator: false,
            confirmed: false,
            since: now.mono,
        };
        self.install(now, handle, session, (keys, hello), out);
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        peer.next = Some((session, admission.inside.is_some()));
        if admission.inside.is_none() {
            // It was quiet for long, perhaps, and now wants us: the session must not lapse before it is confirmed.
            peer.wanted = now.mono;
        }
        if peer.session.is_none() {
            peer.session = Some(session);
            self.plan_tend(now, handle);
        }
        if admission.inside.is_none() {
            // The cookie has proven that the initiator receives there.
            self.proven_by_handshake(now, handle, admission.path, out);
        }
    }

    /// `Note::Confirmed`: the other end has the keys too.
    pub(crate) fn confirmed(
        &mut self,
        now: Now,
        handle: PeerHandle,
        local: u32,
        from: Path,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let Some((mut session, inside)) = peer.next.filter(|(next, _)| next.local == local) else {
            return;
        };
        session.confirmed = true;
        peer.session = Some(session);
        peer.moves = false;
        peer.next = None;
        // Our own attempt, if both began at once, has become needless.
        if self.handshakes.end(handle).is_some() {
            self.deadlines.clear(Timer::Handshake(handle));
        }
        if inside {
            self.counters.add(Count::Rekeys, 1);
            self.plan_tend(now, handle);
            return;
        }
        if let Path::Relay { .. } = from
            && peer.paths.active.is_none()
        {
            peer.paths.active = Some(from);
        }
        self.session_ready(now, handle, out);
    }

    fn install(
        &mut self,
        now: Now,
        handle: PeerHandle,
        session: Session,
        (keys, hello): (SessionKeys, Hello),
        out: &mut Outbox,
    ) {
        self.counters.add(Count::HandshakesDone, 1);
        self.handshakes.lives(now.mono, session.local);
        self.announce(handle, out);
        out.update(Update::SessionUp(Box::new(SessionUp {
            peer: handle,
            local: session.local,
            remote: hello.index,
            seal: Sealing::new(keys.seal),
            open: Some(keys.open),
            initiator: session.initiator,
            since: now.mono,
        })));
    }

    /// Tells the shard who a handle is, once.
    fn announce(&mut self, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if peer.announced {
            return;
        }
        peer.announced = true;
        out.update(Update::Peer {
            peer: handle,
            address: peer.address(),
            key: peer.key(),
            supernode: peer.role == PeerRole::Supernode,
            flow: Flow::default(),
        });
    }

    /// The way of a handshake is a way of the peer.
    fn proven_by_handshake(&mut self, now: Now, handle: PeerHandle, path: Path, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        peer.paths.deaf_relays.clear();
        peer.paths.measure_again();
        match path {
            Path::Direct(at) => {
                peer.paths.learn(now.mono, at, Source::Heard);
                if let Some(candidate) = peer.paths.find_mut(at) {
                    candidate.answered = Some(now.mono);
                    // INIT has passed, and RESPONSE is about as large.
                    candidate.mtu = candidate.mtu.max(limits::MTU_HANDSHAKE);
                }
                peer.paths.active = Some(path);
                peer.paths.check = None;
                self.deadlines.clear(Timer::Check(handle));
                self.start_canary(now, handle);
            }
            // A direct path that is in use stays so unless a check finds it dead.
            Path::Relay { .. } => {}
        }
        self.choose(now, handle, out);
        if path.is_relay()
            && self
                .peers
                .get(handle)
                .is_some_and(|peer| peer.paths.is_direct())
        {
            self.start_check(now, handle, out);
        }
    }

    /// A session that both ends have: what waited leaves, and each side says where it may be found.
    fn session_ready(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let (who, role) = (*peer.who(), peer.role);
        peer.rest_until = now.mono;
        peer.wanted = now.mono;
        if self.handshakes.end(handle).is_some() {
            self.deadlines.clear(Timer::Handshake(handle));
        }
        // Whoever began confirms with this at once; PATHS also opens the search for a direct path.
        self.tell_paths(handle, out);
        while let Some(body) = self
            .peers
            .get_mut(handle)
            .and_then(crate::peers::Peer::unhold)
        {
            out.message(handle, body);
        }
        self.plan_tend(now, handle);
        self.start_mtu(now, handle, out);
        self.start_canary(now, handle);
        self.networks.session_up(now, &who, &mut self.actions);
        self.commands_ready(now, handle, out);
        match role {
            PeerRole::Supernode => self.attached(now, handle, out),
            PeerRole::Leaf | PeerRole::Controller => self.probe_all(now, handle, out),
        }
        if self.config.role.relays() {
            let offer = self.world_offer();
            out.say(handle, &Message::WorldOffer(offer));
        }
        self.deadlines
            .set_earlier(Timer::SavePeers, now.mono + limits::SAVE_PEERS_EVERY);
    }

    /// The session is over: keys gone at the shard, paths to be found anew.
    pub(crate) fn session_down(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let had = peer.session.take().is_some();
        peer.next = None;
        peer.paths.active = None;
        // A mapping that nobody kept open may be gone: what was proven then is only worth a try now.
        for candidate in &mut peer.paths.candidates {
            candidate.died();
        }
        let told = peer.paths.told.take().and_then(|(path, _)| path);
        peer.paths.check = None;
        peer.paths.mtu = None;
        peer.paths.canary = None;
        let (address, key, role) = (peer.address(), peer.key(), peer.role);
        if core::mem::replace(&mut peer.announced, false) {
            out.update(Update::Forget(handle));
        }
        self.peers.reached(handle, told, None);
        for timer in [
            Timer::Check(handle),
            Timer::Probe(handle),
            Timer::Mtu(handle),
            Timer::Canary(handle),
            Timer::Claim(handle),
        ] {
            self.deadlines.clear(timer);
        }
        self.deadlines
            .set(Timer::Tend(handle), now.mono + limits::FORGET_AFTER);
        if had {
            self.networks.session_down(now, address, &mut self.actions);
        }
        if role == PeerRole::Supernode {
            self.supernode_lost(now, key, out);
        }
    }

    /// Forgets a peer wholly.
    pub(crate) fn forget(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        self.session_down(now, handle, out);
        self.handshakes.end(handle);
        self.prove_no_more(handle, out);
        self.deadlines.clear(Timer::Handshake(handle));
        self.deadlines.clear(Timer::Tend(handle));
        self.peers.forget(handle);
    }
}
