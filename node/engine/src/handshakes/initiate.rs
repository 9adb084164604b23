//! Our own attempts at a session: start, cookie, both parts, retries with backoff, giving up.
//!
//! Owner: the engine's handshakes. In: the wish to reach a peer, COOKIE, RESPONSE, time. Out: datagrams, work.
//! Never: more tries than `limits::INIT_TRIES`; an answer taken from a way that was not asked.

use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use zt_crypto::{Failed, Hello, Initiator, Label, SessionKeys};
use zt_wire::datagram::{Cookie, INIT_LEN, INIT_PART, Init, Response};
use zt_wire::message::Message;

use super::{Attempt, Stage};
use crate::counters::{Count, DropReason};
use crate::deadlines::Timer;
use crate::engine::{Engine, Purpose};
use crate::interface::PeerRole;
use crate::limits;
use crate::outbox::{Out, Outbox};
use crate::shard::{Path, PeerHandle};
use crate::time::Now;
use crate::work::Work;

impl Engine {
    /// Makes sure there is a session with the peer, or an attempt at one.
    pub(crate) fn reach(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        peer.wanted = now.mono;
        if peer.ready()
            || peer.rest_until > now.mono
            || self.handshakes.attempts.contains_key(&handle)
        {
            return;
        }
        self.initiate(now, handle, Label::Init, out);
    }

    /// Begins a handshake, replacing an attempt inside the session by one outside.
    pub(crate) fn initiate(
        &mut self,
        now: Now,
        handle: PeerHandle,
        label: Label,
        out: &mut Outbox,
    ) {
        let replaces = self
            .handshakes
            .attempts
            .get(&handle)
            .is_none_or(|open| open.label == Label::Rekey && label == Label::Init);
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        if !replaces {
            return;
        }
        let who = Box::new(*peer.who());
        if self.handshakes.attempts.len() >= limits::INITIATIONS {
            self.drop(DropReason::HandshakeFull);
            return;
        }
        self.handshakes.end(handle);
        let worker = self.peers.get(handle).map(|peer| self.next_worker(peer));
        let index = self.new_index(worker);
        let hello = self.hello(index);
        let seed = self.chance.bytes();
        let work = Work::Initiate {
            me: Arc::clone(&self.secret),
            peer: who,
            label,
            hello,
            seed,
        };
        if !self.work(Purpose::Initiate(handle, index), work, out) {
            return;
        }
        self.counters.add(Count::HandshakesStarted, 1);
        self.handshakes.indices.insert(index, handle);
        self.handshakes.attempts.insert(
            handle,
            Attempt {
                index,
                label,
                stage: Stage::Starting,
                message: Vec::new(),
                tries: 0,
                wait: limits::INIT_FIRST_WAIT,
                ways: Vec::new(),
                cookie: None,
                answered: None,
            },
        );
        self.deadlines.set(
            Timer::Handshake(handle),
            now.mono + limits::INIT_LONGEST_WAIT,
        );
    }

    /// Work is done: the first message exists.
    pub(crate) fn initiated(
        &mut self,
        now: Now,
        handle: PeerHandle,
        index: u32,
        result: Result<(Box<Initiator>, Vec<u8>), Failed>,
        out: &mut Outbox,
    ) {
        let Some(attempt) = self.attempt(handle, index) else {
            return;
        };
        let Ok((initiator, message)) = result else {
            self.give_up(now, handle, out);
            return;
        };
        attempt.stage = Stage::Waiting(initiator);
        attempt.message = message;
        self.try_now(now, handle, out);
    }

    /// Nothing came in time: tries again or gives up.
    pub(crate) fn handshake_again(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let role = self.peers.get(handle).map(|peer| peer.role);
        let supernode = role == Some(PeerRole::Supernode);
        let Some(attempt) = self.handshakes.attempts.get_mut(&handle) else {
            return;
        };
        let label = attempt.label;
        let most = match (label, supernode) {
            (Label::Init, false) => limits::INIT_TRIES,
            (Label::Init, true) => limits::ATTACH_TRIES,
            (Label::Rekey, _) => limits::REKEY_TRIES,
        };
        if attempt.tries < most {
            if matches!(attempt.stage, Stage::Waiting(_)) {
                self.try_now(now, handle, out);
            } else {
                // The pool is at it.
                attempt.tries += 1;
                let patience = now.mono + limits::INIT_LONGEST_WAIT;
                self.deadlines.set(Timer::Handshake(handle), patience);
            }
            return;
        }
        match label {
            Label::Init => self.give_up(now, handle, out),
            // The session may be gone at the other end: begin outside of it.
            Label::Rekey => self.initiate(now, handle, Label::Init, out),
        }
    }

    /// A COOKIE came.
    pub(crate) fn cookie(&mut self, from: Path, cookie: &Cookie, out: &mut Outbox) {
        let Some(handle) = self.handshakes.indices.get(&cookie.receiver).copied() else {
            self.drop(DropReason::HandshakeUnexpected);
            return;
        };
        let Some(attempt) = self.handshakes.attempts.get_mut(&handle) else {
            return;
        };
        let expected = attempt.label == Label::Init
            && attempt.cookie.is_none()
            && attempt.ways.contains(&from)
            && matches!(attempt.stage, Stage::Waiting(_))
            && attempt.message.get(..16) == Some(&cookie.echo[..]);
        if !expected {
            self.drop(DropReason::HandshakeUnexpected);
            return;
        }
        attempt.cookie = Some((from, cookie.cookie));
        for part in 0..2 {
            if let Some(bytes) = part_of(attempt, part, cookie.cookie) {
                Self::datagram(from, bytes, out);
            }
        }
    }

    /// A RESPONSE came.
    pub(crate) fn response(&mut self, from: Path, response: &Response<'_>, out: &mut Outbox) {
        let Some(handle) = self.handshakes.indices.get(&response.receiver).copied() else {
            self.drop(DropReason::HandshakeUnexpected);
            return;
        };
        let Some(attempt) = self.handshakes.attempts.get_mut(&handle) else {
            return;
        };
        if attempt.label != Label::Init || !attempt.ways.contains(&from) {
            self.drop(DropReason::HandshakeUnexpected);
            return;
        }
        self.finish(handle, from, response.message, out);
    }

    /// A second message came, outside or inside a session: opens it.
    pub(crate) fn finish(
        &mut self,
        handle: PeerHandle,
        from: Path,
        message: &[u8],
        out: &mut Outbox,
    ) {
        let Some(attempt) = self.handshakes.attempts.get_mut(&handle) else {
            self.drop(DropReason::HandshakeUnexpected);
            return;
        };
        let stage = core::mem::replace(&mut attempt.stage, Stage::Finishing);
        let Stage::Waiting(initiator) = stage else {
            attempt.stage = stage;
            self.drop(DropReason::HandshakeUnexpected);
            return;
        };
        attempt.answered = Some(from);
        let index = attempt.index;
        let work = Work::Finish {
            me: Arc::clone(&self.secret),
            initiator,
            message: message.to_vec(),
        };
        if !self.work(Purpose::Finish(handle, index), work, out) {
            self.handshakes.end(handle);
        }
    }

    /// Work is done: there are keys, or the second message was not what it should be.
    pub(crate) fn finished(
        &mut self,
        now: Now,
        handle: PeerHandle,
        index: u32,
        result: Result<(Box<SessionKeys>, Hello), Failed>,
        out: &mut Outbox,
    ) {
        if self.attempt(handle, index).is_none() {
            return;
        }
        let Some(attempt) = self.handshakes.end(handle) else {
            return;
        };
        self.deadlines.clear(Timer::Handshake(handle));
        let Ok((keys, hello)) = result else {
            // Somebody made that message up: it must not end the attempt for good.
            self.drop(DropReason::HandshakeBad);
            self.initiate(now, handle, attempt.label, out);
            return;
        };
        let Some(path) = attempt.answered else { return };
        self.install_initiated(now, handle, (&attempt, path), (*keys, hello), out);
    }

    /// The ways to try an INIT to this peer.
    fn ways(&self, handle: PeerHandle, tries: u8) -> Vec<Path> {
        let Some(peer) = self.peers.get(handle) else {
            return Vec::new();
        };
        let mut ways: Vec<Path> = Vec::new();
        if peer.role != PeerRole::Supernode {
            // The nearest relay first; from the second try on, every relay.
            let most = if tries == 0 { 1 } else { usize::MAX };
            let relays = self.supernodes.online().into_iter().take(most);
            ways.extend(relays.map(|via| Path::Relay {
                via,
                peer: peer.address(),
            }));
        }
        if !self.config.relay_only || peer.role == PeerRole::Supernode {
            ways.extend(
                peer.paths
                    .candidates
                    .iter()
                    .filter(|c| c.opens())
                    .map(|c| Path::Direct(c.at)),
            );
        }
        ways
    }

    /// One try: part 0 without a cookie on each way, or the rekey message inside the session.
    fn try_now(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(attempt) = self.handshakes.attempts.get(&handle) else {
            return;
        };
        let (label, tries) = (attempt.label, attempt.tries);
        let ways = if label == Label::Init {
            self.ways(handle, tries)
        } else {
            Vec::new()
        };
        let jitter = self.chance.jitter(limits::INIT_FIRST_WAIT / 4);
        let Some(attempt) = self.handshakes.attempts.get_mut(&handle) else {
            return;
        };
        attempt.tries += 1;
        // Where a cookie was given, a part may have been lost: both again, without asking anew. Once: it may be stale.
        let given = attempt.cookie.take();
        let wait = match label {
            Label::Init => attempt.wait,
            Label::Rekey => limits::REKEY_RETRY,
        };
        if attempt.tries.is_multiple_of(2) {
            attempt.wait = (attempt.wait * 2).min(limits::INIT_LONGEST_WAIT);
        }
        self.deadlines
            .set(Timer::Handshake(handle), now.mono + wait + jitter);
        if label == Label::Rekey {
            let body = Message::RekeyInit(&attempt.message).to_vec();
            out.message(handle, body);
            if tries > 0 {
                // It may have been too large for what the path carries by now.
                self.doubt_mtu(now, handle, out);
            }
            return;
        }
        attempt.ways.clone_from(&ways);
        let Some(bytes) = part_of(attempt, 0, [0; 16]) else {
            return;
        };
        for way in ways {
            let Some((_, cookie)) = given.filter(|(path, _)| *path == way) else {
                Self::datagram(way, bytes.clone(), out);
                continue;
            };
            for bytes in (0..2).filter_map(|part| part_of(attempt, part, cookie)) {
                Self::datagram(way, bytes, out);
            }
        }
    }

    /// The relay of the first try does not have the peer: the others may, and are asked at once.
    pub(crate) fn try_other_relays(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let attempt = self.handshakes.attempts.get(&handle);
        let first =
            attempt.is_some_and(|open| open.tries == 1 && matches!(open.stage, Stage::Waiting(_)));
        if first && self.supernodes.online().len() > 1 {
            self.try_now(now, handle, out);
        }
    }

    /// A way opened (a supernode is there): attempts that had none go on at once.
    pub(crate) fn retry_stalled(&mut self, now: Now, out: &mut Outbox) {
        let stalled: Vec<PeerHandle> = self
            .handshakes
            .attempts
            .iter()
            .filter(|(_, open)| {
                open.label == Label::Init
                    && open.ways.is_empty()
                    && matches!(open.stage, Stage::Waiting(_))
            })
            .map(|(handle, _)| *handle)
            .collect();
        for handle in stalled {
            if let Some(attempt) = self.handshakes.attempts.get_mut(&handle) {
                attempt.tries = 0;
                attempt.wait = limits::INIT_FIRST_WAIT;
            }
            self.try_now(now, handle, out);
        }
    }

    fn give_up(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        self.handshakes.end(handle);
        self.deadlines.clear(Timer::Handshake(handle));
        self.counters.add(Count::HandshakesFailed, 1);
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        peer.rest_until = now.mono + limits::INIT_REST;
        let (address, ready, key, role) = (peer.address(), peer.ready(), peer.key(), peer.role);
        if role == PeerRole::Supernode {
            self.attach_failed(now, key);
            return;
        }
        if !ready {
            while self
                .peers
                .get_mut(handle)
                .and_then(crate::peers::Peer::unhold)
                .is_some()
            {}
            self.unreachable(now, address, out);
        }
    }

    /// Sends a handshake datagram.
    pub(crate) fn datagram(path: Path, bytes: Vec<u8>, out: &mut Outbox) {
        out.push(Out::Datagram { path, bytes });
    }

    fn attempt(&mut self, handle: PeerHandle, index: u32) -> Option<&mut Attempt> {
        self.handshakes
            .attempts
            .get_mut(&handle)
            .filter(|attempt| attempt.index == index)
    }
}

/// INIT part 0 or 1 of an attempt.
fn part_of(attempt: &Attempt, part: u8, cookie: [u8; 16]) -> Option<Vec<u8>> {
    let (ephemeral, rest) = attempt.message.split_first_chunk::<32>()?;
    let bytes = rest
        .get(usize::from(part) * INIT_PART..)?
        .first_chunk::<INIT_PART>()?;
    let mut datagram = [0; INIT_LEN];
    Init {
        part,
        sender: attempt.index,
        cookie,
        ephemeral,
        bytes,
    }
    .write(&mut datagram);
    Some(datagram.to_vec())
}
