//! First messages of others: order of work, cookies, parts, answers.
//!
//! Owner: the engine's handshakes. In: INIT and `REKEY_INIT`. Out: COOKIE, RESPONSE, `REKEY_RESPONSE`, sessions to be confirmed.
//! Never: curve work before length, version, bucket and cookie; an answer larger than its cause; a stranger without proof of work.

use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use zt_crypto::cookie::Claim;
use zt_crypto::{Failed, Label, Responded, Verified};
use zt_wire::datagram::{Cookie, Datagram, Init, Response};
use zt_wire::message::Message;

use super::origin::{Block, cookie_bytes};
use super::{Admission, Attempt, PartKey, Question, Repeat};
use crate::counters::{Count, DropReason};
use crate::deadlines::Timer;
use crate::engine::{Engine, Purpose};
use crate::limits;
use crate::outbox::Outbox;
use crate::shard::{Path, PeerHandle};
use crate::time::{Mono, Now};
use crate::work::Work;

impl Engine {
    /// A datagram outside any session.
    pub(crate) fn handshake(&mut self, now: Now, from: Path, bytes: &[u8], out: &mut Outbox) {
        match Datagram::parse(bytes) {
            Ok(Datagram::Init(init)) => self.init(now, from, &init, out),
            Ok(Datagram::Cookie(cookie)) => self.cookie(from, &cookie, out),
            Ok(Datagram::Response(response)) => self.response(from, &response, out),
            Ok(Datagram::Transport(_)) => self.drop(DropReason::UnknownSession),
            Err(_) => self.drop(DropReason::Malformed),
        }
    }

    fn init(&mut self, now: Now, from: Path, init: &Init<'_>, out: &mut Outbox) {
        if !self.handshakes.buckets.take(now.mono, Block::of(&from)) {
            self.drop(DropReason::HandshakeRate);
            return;
        }
        let (path, len) = cookie_bytes(&from);
        let claim = Claim {
            path: &path[..len],
            ephemeral: init.ephemeral,
            sender: init.sender,
        };
        let since_start = now.mono.since(Mono::ZERO);
        if !self.handshakes.jar.check(&claim, &init.cookie, since_start) {
            if init.part != 0 {
                self.drop(DropReason::Cookie);
                return;
            }
            let mut echo = [0; 16];
            echo.copy_from_slice(&init.ephemeral[..16]);
            let cookie = self.handshakes.jar.bake(&claim, since_start);
            let answer = Cookie {
                receiver: init.sender,
                echo,
                cookie,
            };
            self.counters.add(Count::CookiesSent, 1);
            Self::datagram(from, answer.to_bytes().to_vec(), out);
            return;
        }
        let key = PartKey {
            path: from,
            sender: init.sender,
            ephemeral: *init.ephemeral,
        };
        let joined = self
            .handshakes
            .parts
            .take(now.mono, key, init.part, init.bytes);
        self.plan_parts();
        let Some(rest) = joined else { return };
        let message = [&init.ephemeral[..], &rest].concat();
        self.answer(now, (from, init.sender, None), message, out);
    }

    /// `REKEY_INIT`: a first message inside a session.
    pub(crate) fn rekey_init(
        &mut self,
        now: Now,
        (peer, from): (PeerHandle, Path),
        message: &[u8],
        out: &mut Outbox,
    ) {
        // The table of handshakes being answered is everybody's.
        if !self.handshakes.buckets.take(now.mono, Block::of(&from)) {
            self.drop(DropReason::HandshakeRate);
            return;
        }
        self.answer(now, (from, 0, Some(peer)), message.to_vec(), out);
    }

    /// Gives the key agreement to the pool. A first message that came before, by another way or because its answer was
    /// lost, gets the answer it got: keys of a second one would replace those that its sender is using already.
    fn answer(
        &mut self,
        now: Now,
        whence: (Path, u32, Option<PeerHandle>),
        message: Vec<u8>,
        out: &mut Outbox,
    ) {
        if self.handshakes.responding >= limits::RESPONDING {
            self.drop(DropReason::HandshakeFull);
            return;
        }
        let (path, sender, inside) = whence;
        let question = Question::of(&message);
        match self.handshakes.answered.ask(now.mono, question) {
            Repeat::New => {}
            Repeat::Underway => {
                self.drop(DropReason::HandshakeUnexpected);
                return;
            }
            Repeat::Answer(answer) => {
                let answer = answer.to_vec();
                match inside {
                    Some(peer) => out.message(peer, answer),
                    None => Self::datagram(path, answer, out),
                }
                return;
            }
        }
        let label = if inside.is_some() {
            Label::Rekey
        } else {
            Label::Init
        };
        // Who asks for a session is not known before the work is done.
        let worker = inside.and_then(|peer| self.peers.get(peer));
        let worker = worker.map(|peer| self.next_worker(peer));
        let local = self.new_index(worker);
        let admission = Admission {
            path,
            sender,
            local,
            inside,
            question,
        };
        let hello = self.hello(local);
        let seed = self.chance.bytes();
        let work = Work::Respond {
            me: Arc::clone(&self.secret),
            label,
            message,
            hello,
            seed,
        };
        if self.work(Purpose::Respond(admission), work, out) {
            self.handshakes.responding += 1;
            self.counters.add(Count::HandshakesAnswered, 1);
        } else {
            self.handshakes.answered.forget(&question);
        }
    }

    /// Work is done: we know who it is, if it is anybody.
    pub(crate) fn responded(
        &mut self,
        now: Now,
        admission: Admission,
        result: Result<Box<Responded>, Failed>,
        out: &mut Outbox,
    ) {
        self.handshakes.responding = self.handshakes.responding.saturating_sub(1);
        let Ok(responded) = result else {
            self.drop(DropReason::HandshakeBad);
            return;
        };
        if let Some(inside) = admission.inside {
            // A session is renewed only by the one it is with.
            if self
                .peers
                .get(inside)
                .is_none_or(|peer| peer.key() != responded.peer_key)
            {
                self.drop(DropReason::HandshakeBad);
                return;
            }
            self.accept(now, admission, inside, *responded, out);
            return;
        }
        if responded.hello.index != admission.sender || responded.peer_key == self.me.key() {
            self.drop(DropReason::HandshakeBad);
            return;
        }
        let known = self
            .peers
            .by_key(&responded.peer_key)
            .map(|peer| *peer.who());
        if let Some(who) = known {
            self.admit(now, admission, *responded, &who, out);
            return;
        }
        let (identity, question) = (responded.peer, admission.question);
        let waiting = Purpose::Admit(Box::new((admission, *responded)));
        if self.verify(identity, waiting, out) {
            self.handshakes.responding += 1;
        } else {
            self.handshakes.answered.forget(&question);
        }
    }

    /// Work is done: the stranger's proof of work was checked.
    pub(crate) fn admitted(
        &mut self,
        now: Now,
        waiting: (Admission, Responded),
        who: Option<&Verified>,
        out: &mut Outbox,
    ) {
        self.handshakes.responding = self.handshakes.responding.saturating_sub(1);
        let (admission, responded) = waiting;
        match who {
            Some(who) => self.admit(now, admission, responded, who, out),
            None => self.drop(DropReason::Identity),
        }
    }

    fn admit(
        &mut self,
        now: Now,
        admission: Admission,
        responded: Responded,
        who: &Verified,
        out: &mut Outbox,
    ) {
        // The supernode's word and the initiator's proof must agree, or answers would go astray.
        if let Path::Relay { peer, .. } = admission.path
            && peer != who.address()
        {
            self.handshakes.answered.forget(&admission.question);
            self.drop(DropReason::HandshakeBad);
            return;
        }
        let Some(handle) = self.meet(now, who, out) else {
            self.handshakes.answered.forget(&admission.question);
            return;
        };
        if self.prefers_own(handle) {
            self.handshakes.answered.forget(&admission.question);
            self.drop(DropReason::HandshakeUnexpected);
            return;
        }
        self.accept(now, admission, handle, responded, out);
    }

    /// Both began at once, and ours is fresh: the answer to it will come, so theirs needs none.
    fn prefers_own(&self, handle: PeerHandle) -> bool {
        let fresh = |attempt: &Attempt| attempt.tries == 1;
        self.stands(handle, false) && self.handshakes.attempts.get(&handle).is_some_and(fresh)
    }

    /// Both began at once: the smaller key's attempt goes on. If each ended its own for the other's, none would be left.
    fn stands(&self, handle: PeerHandle, inside: bool) -> bool {
        let label = if inside { Label::Rekey } else { Label::Init };
        let same = |attempt: &Attempt| attempt.label == label;
        self.handshakes.attempts.get(&handle).is_some_and(same)
            && self
                .peers
                .get(handle)
                .is_some_and(|peer| self.me.key() < peer.key())
    }

    /// Sends the second message and gives the keys to the shard, which uses them once the peer has shown it has them.
    fn accept(
        &mut self,
        now: Now,
        admission: Admission,
        handle: PeerHandle,
        responded: Responded,
        out: &mut Outbox,
    ) {
        if !self.stands(handle, admission.inside.is_some()) && self.handshakes.end(handle).is_some()
        {
            self.deadlines.clear(Timer::Handshake(handle));
        }
        let Responded {
            hello,
            message2,
            keys,
            ..
        } = responded;
        self.install_responded(now, handle, admission, (keys, hello), out);
        let question = admission.question;
        if admission.inside.is_some() {
            let body = Message::RekeyResponse(&message2).to_vec();
            self.handshakes.answered.keep(&question, &body);
            out.message(handle, body);
            return;
        }
        let mut bytes = Vec::new();
        Response {
            receiver: admission.sender,
            sender: admission.local,
            message: &message2,
        }
        .write(&mut bytes);
        self.handshakes.answered.keep(&question, &bytes);
        Self::datagram(admission.path, bytes, out);
    }

    /// Keeps the timer of half-received initiations right.
    pub(crate) fn plan_parts(&mut self) {
        for _ in 0..self.handshakes.parts.forgotten() {
            self.drop(DropReason::HandshakeFull);
        }
        match self.handshakes.parts.next_deadline() {
            Some(at) => self.deadlines.set(Timer::Parts, at),
            None => self.deadlines.clear(Timer::Parts),
        }
    }
}
