//! Looking after one peer: silence, age of keys, lapse. One timer per peer, decided on what the shard tells.
//!
//! Owner: the engine. In: the peer's traffic. Out: keepalives, rekeys, goodbyes, checks; the next moment to look.
//! Never: a look at peers that need nothing; a word on an idle relayed path.

use core::time::Duration;

use zt_crypto::Label;
use zt_wire::message::{Goodbye, Message};

use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::interface::PeerRole;
use crate::limits;
use crate::outbox::Outbox;
use crate::peers::Peer;
use crate::role::Role;
use crate::shard::{PeerHandle, Traffic};
use crate::time::{Mono, Now};

impl Engine {
    /// The answer to [`crate::outbox::Out::Ask`]: what is due for this peer.
    pub fn traffic(
        &mut self,
        now: Now,
        handle: PeerHandle,
        traffic: Option<Traffic>,
        out: &mut Outbox,
    ) {
        self.tend(now, handle, traffic, out);
        self.act(now, out);
    }

    fn tend(&mut self, now: Now, handle: PeerHandle, traffic: Option<Traffic>, out: &mut Outbox) {
        // Each answer is followed by a look at the peer that it went to: none stays much longer than its time.
        self.handshakes.answered.expire(now.mono);
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if let Some(traffic) = traffic {
            peer.traffic = traffic;
        }
        let Some(session) = peer.session else {
            let unwanted = now.mono.since(peer.wanted.max(peer.since)) >= limits::FORGET_AFTER;
            if unwanted && peer.role == PeerRole::Leaf {
                self.forget(now, handle, out);
            } else {
                self.deadlines
                    .set(Timer::Tend(handle), now.mono + limits::FORGET_AFTER);
            }
            return;
        };
        if now.mono.since(session.since) >= limits::KEYS_DIE_AFTER {
            self.session_down(now, handle, out);
            return;
        }
        if self.lapsed(now, handle) {
            out.say(handle, &Message::Goodbye(Goodbye::Idle));
            self.session_down(now, handle, out);
            return;
        }
        self.rekey_if_due(now, handle, out);
        self.keepalive_if_due(now, handle, out);
        self.check_if_unheard(now, handle, out);
        self.plan_tend(now, handle);
    }

    /// `Note::RekeyDue`: the keys have sealed much or are old.
    pub(crate) fn rekey_due(&mut self, now: Now, handle: PeerHandle, _out: &mut Outbox) {
        self.deadlines.set_earlier(Timer::Tend(handle), now.mono);
    }

    /// Plans the next look at a peer.
    pub(crate) fn plan_tend(&mut self, now: Now, handle: PeerHandle) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        let Some(session) = peer.session else { return };
        let mut next = session.since + limits::KEYS_DIE_AFTER;
        let rekey = session.since + rekey_after(session.initiator);
        if rekey > now.mono && self.renews(now, peer) {
            next = next.min(rekey);
        }
        if let Some(at) = self.keepalive_at(peer) {
            next = next.min(at);
        }
        if let Some(lapse) = self.lapse_after(peer) {
            next = next.min(self.last_use(peer) + lapse);
        }
        if let Some(since) = peer.traffic.waiting {
            let at = since + limits::UNHEARD;
            if at > now.mono {
                next = next.min(at);
            }
        }
        let soonest = now.mono + Duration::from_millis(10);
        self.deadlines.set(Timer::Tend(handle), next.max(soonest));
    }

    fn rekey_if_due(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        let Some(session) = peer.session else { return };
        let due = now.mono.since(session.since) >= rekey_after(session.initiator);
        let wanted = due && self.renews(now, peer) || peer.moves;
        if wanted && session.confirmed && peer.next.is_none() {
            self.initiate(now, handle, Label::Rekey, out);
        }
    }

    fn keepalive_if_due(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        if self.keepalive_at(peer).is_none_or(|at| at > now.mono) || !peer.ready() {
            return;
        }
        let token = self.chance.number();
        out.say(handle, &Message::Ping(token));
        if let Some(peer) = self.peers.get_mut(handle) {
            peer.pinged = Some((token, now.mono));
            peer.traffic.sent = Some(now.mono);
        }
    }

    fn check_if_unheard(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        if peer
            .traffic
            .waiting
            .is_some_and(|since| now.mono.since(since) >= limits::UNHEARD)
        {
            self.start_check(now, handle, out);
        }
    }

    fn lapsed(&self, now: Now, handle: PeerHandle) -> bool {
        let Some(peer) = self.peers.get(handle) else {
            return false;
        };
        self.lapse_after(peer)
            .is_some_and(|lapse| now.mono.since(self.last_use(peer)) >= lapse)
    }

    /// How long this peer stays without use; supernodes stay.
    fn lapse_after(&self, peer: &Peer) -> Option<Duration> {
        let ours = self.config.role == Role::Leaf && self.networks.is_controller(peer.address());
        match peer.role {
            PeerRole::Supernode => None,
            PeerRole::Leaf | PeerRole::Controller if ours => Some(limits::LAPSE_CONTROLLER),
            PeerRole::Leaf | PeerRole::Controller => {
                Some(self.config.role.lapse(peer.paths.is_direct()))
            }
        }
    }

    /// When the silence of the path in use is to be broken: direct paths and supernodes only.
    fn keepalive_at(&self, peer: &Peer) -> Option<Mono> {
        let keeps = self.config.role.keeps_alive() || peer.role == PeerRole::Supernode;
        if !keeps || !peer.paths.is_direct() {
            return None;
        }
        let since = peer.session.map_or(peer.since, |session| session.since);
        // Were both ends to break the silence at once, each would send two datagrams instead of one.
        let turn = match peer.session {
            Some(session) if !session.initiator => limits::KEEPALIVE_GRACE,
            Some(_) | None => Duration::ZERO,
        };
        Some(peer.traffic.sent.unwrap_or(since).max(since) + self.config.keepalive + turn)
    }

    /// When the peer was last of use: to a supernode any sign of life counts.
    fn last_use(&self, peer: &Peer) -> Mono {
        let used = if self.config.role.relays() {
            peer.traffic.heard
        } else {
            peer.traffic.frame
        };
        peer.wanted.max(peer.since).max(used.unwrap_or(Mono::ZERO))
    }

    /// Whether the session is worth new keys: supernodes and direct peers always, others while in use.
    fn renews(&self, now: Now, peer: &Peer) -> bool {
        if self.config.role.relays() && peer.role != PeerRole::Supernode {
            // The leaf looks after its session with a supernode; should it not, the session ends.
            return false;
        }
        let used = now.mono.since(self.last_use(peer)) < limits::REKEY_AFTER;
        peer.role == PeerRole::Supernode || peer.paths.is_direct() || used
    }
}

/// The end that began renews at 120 s; the other waits whether it does.
fn rekey_after(initiator: bool) -> Duration {
    if initiator {
        limits::REKEY_AFTER
    } else {
        limits::REKEY_AFTER + limits::REKEY_GRACE
    }
}
