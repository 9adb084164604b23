//! Messages with signatures, and what came behind them: the pool checks, the packets go on meanwhile.
//!
//! Owner: the engine. In: control messages of a peer. Out: the same messages, in order, once what they claim was checked.
//! Never: public-key work beyond a peer's budget, or for one that brought a bad signature a moment ago; more waiting than the limits.

use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

use zt_crypto::{BadWorld, VerifiedWorld};
use zt_wire::message::Message;

use crate::counters::DropReason;
use crate::engine::{Engine, Purpose};
use crate::interface::{CommandId, Effect, Failure, Reply};
use crate::limits;
use crate::outbox::{Out, Outbox};
use crate::proofs::Proofs;
use crate::shard::{Path, PeerHandle};
use crate::time::Now;
use crate::work::Work;

/// A control message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    /// Which way.
    pub(crate) from: Path,
    /// The length of the body it came in.
    pub(crate) whole: usize,
    /// With its header.
    pub(crate) message: Vec<u8>,
}

/// Peers of whose messages one is being checked.
#[derive(Debug, Default)]
pub(crate) struct Proving {
    lines: BTreeMap<PeerHandle, Line>,
    /// Bytes of all that wait, but for those of controllers.
    bytes: usize,
}

#[derive(Debug)]
struct Line {
    /// What is being checked.
    first: Option<Came>,
    behind: VecDeque<Came>,
    /// Of those behind.
    bytes: usize,
    /// It is a controller of ours, whose word has room of its own.
    controller: bool,
}

impl Proving {
    /// Whether messages of this peer have to wait.
    pub(crate) fn is_busy(&self, peer: PeerHandle) -> bool {
        self.lines.contains_key(&peer)
    }

    /// A message is being checked; what comes now waits behind it.
    fn begin(&mut self, peer: PeerHandle, controller: bool, came: Came) {
        let line = self.lines.entry(peer).or_insert_with(|| Line {
            first: None,
            behind: VecDeque::new(),
            bytes: 0,
            controller,
        });
        line.first = Some(came);
    }

    /// Puts a message behind those that wait; false when there is no room.
    fn push(&mut self, peer: PeerHandle, came: Came) -> bool {
        let Some(line) = self.lines.get_mut(&peer) else {
            return false;
        };
        let len = came.message.len();
        let most = if line.controller {
            limits::PROVING_BYTES_OF_CONTROLLER
        } else {
            limits::PROVING_BYTES_PER_PEER
        };
        let full = !line.controller && self.bytes + len > limits::PROVING_BYTES;
        if full || line.bytes + len > most {
            return false;
        }
        line.bytes += len;
        if !line.controller {
            self.bytes += len;
        }
        line.behind.push_back(came);
        true
    }

    /// Takes what was being checked.
    fn checked(&mut self, peer: PeerHandle) -> Option<Came> {
        self.lines.get_mut(&peer)?.first.take()
    }

    /// Takes what waits behind it.
    fn next(&mut self, peer: PeerHandle) -> Option<Came> {
        let line = self.lines.get_mut(&peer)?;
        let came = line.behind.pop_front()?;
        line.bytes -= came.message.len();
        if !line.controller {
            self.bytes -= came.message.len();
        }
        Some(came)
    }

    /// Nothing waits any more, or nothing is to wait. Tells whether something did.
    fn end(&mut self, peer: PeerHandle) -> bool {
        let Some(line) = self.lines.remove(&peer) else {
            return false;
        };
        if !line.controller {
            self.bytes -= line.bytes;
        }
        true
    }
}

/// Who brought a world.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Brought {
    /// A peer, whose messages wait meanwhile.
    Peer(PeerHandle),
    /// A person or the host program.
    Command(CommandId),
    /// An earlier run of ours.
    Saved,
}

impl Engine {
    /// Takes one control message: at once, or behind those of its peer that are being checked.
    pub(crate) fn came(
        &mut self,
        now: Now,
        peer: PeerHandle,
        (from, whole): (Path, usize),
        message: &Message<'_>,
        out: &mut Outbox,
    ) {
        let came = || Came {
            from,
            whole,
            message: message.to_vec(),
        };
        if self.proving.is_busy(peer) {
            if !self.proving.push(peer, came()) {
                self.drop(DropReason::QueueFull);
            }
        } else if self.examine(now, peer, (from, whole), message, out) {
            let who = self.label(peer);
            let controller = who.is_some_and(|who| self.networks.is_pinned_controller(who));
            self.proving.begin(peer, controller, came());
            out.push(Out::Proving(peer));
        }
    }

    /// Deals with a message; or has what it claims checked first, and says so.
    fn examine(
        &mut self,
        now: Now,
        peer: PeerHandle,
        (from, whole): (Path, usize),
        message: &Message<'_>,
        out: &mut Outbox,
    ) -> bool {
        let Some(who) = self.label(peer) else {
            return false;
        };
        let proves_itself = matches!(
            message,
            Message::Credential(_) | Message::Revocation(_) | Message::World(_)
        );
        // A controller may have thousands of members to revoke at once, and its word is what counts on its network.
        if proves_itself
            && !self.networks.is_pinned_controller(who)
            && !self
                .peers
                .get_mut(peer)
                .is_some_and(|peer| peer.may_prove(now.mono))
        {
            self.drop(DropReason::ControlRate);
            return false;
        }
        if let Message::World(signed) = message {
            return self.follow(Brought::Peer(peer), signed.to_vec(), out);
        }
        let claims = self.networks.claims(who, message);
        // Whoever fills the pool with handshakes does not keep a revocation from us: it is checked here, then.
        if !claims.is_empty() && self.has_room_for_work() {
            return self.work(Purpose::Prove(peer), Work::Prove(claims), out);
        }
        self.verb(now, peer, from, (message, whole), out);
        false
    }

    /// What a message claims was checked: it is dealt with, and so is what came behind it.
    pub(crate) fn proven(&mut self, now: Now, peer: PeerHandle, proofs: Proofs, out: &mut Outbox) {
        let Some(came) = self.proving.checked(peer) else {
            return;
        };
        if let Ok(message) = Message::parse(&came.message) {
            self.networks.believe(proofs);
            self.verb(now, peer, came.from, (&message, came.whole), out);
            self.networks.believe(Proofs::default());
        }
        self.go_on(now, peer, out);
    }

    fn go_on(&mut self, now: Now, peer: PeerHandle, out: &mut Outbox) {
        while let Some(came) = self.proving.next(peer) {
            let Ok(message) = Message::parse(&came.message) else {
                continue;
            };
            if self.examine(now, peer, (came.from, came.whole), &message, out) {
                self.proving.begin(peer, false, came);
                return;
            }
        }
        // The shard hears what the messages changed before it looks at the frames behind them.
        self.act(now, out);
        self.prove_no_more(peer, out);
    }

    /// Nothing of this peer waits any more.
    pub(crate) fn prove_no_more(&mut self, peer: PeerHandle, out: &mut Outbox) {
        if self.proving.end(peer) {
            out.push(Out::Proven(peer));
        }
    }

    /// Has a signed world checked, whose supernodes may cost a second of proof of work.
    pub(crate) fn follow(&mut self, brought: Brought, signed: Vec<u8>, out: &mut Outbox) -> bool {
        let world = Box::new(self.world.clone());
        let purpose = Purpose::Follow(brought, world.world().serial);
        self.work(purpose, Work::Follow { world, signed }, out)
    }

    /// A world was checked against the one of serial `base`: adopted if that is still ours.
    pub(crate) fn followed(
        &mut self,
        now: Now,
        (brought, base): (Brought, u64),
        found: Result<Box<VerifiedWorld>, BadWorld>,
        out: &mut Outbox,
    ) {
        let ours = self.world.world().serial;
        let result = match found {
            Ok(newer) if newer.world().serial <= ours => Err(DropReason::Stale),
            Ok(newer) if base == ours => {
                self.adopt(now, *newer, out);
                Ok(())
            }
            // Another one came first; whether this one follows it is a question of its own.
            Ok(newer) => {
                if self.follow(brought, newer.bytes().to_vec(), out) {
                    return;
                }
                Err(DropReason::Stale)
            }
            Err(BadWorld::Signature) => Err(DropReason::Signature),
            Err(_) => Err(DropReason::Stale),
        };
        if let Err(reason) = result {
            self.drop(reason);
        }
        match brought {
            Brought::Peer(peer) => {
                self.proving.checked(peer);
                if result == Err(DropReason::Signature)
                    && let Some(peer) = self.peers.get_mut(peer)
                {
                    peer.distrust(now.mono);
                }
                self.go_on(now, peer, out);
            }
            Brought::Command(id) => {
                let reply = match result {
                    Ok(()) => Reply::Done,
                    Err(_) => Reply::Failed(Failure::Refused),
                };
                out.effect(Effect::Reply(id, reply));
            }
            Brought::Saved => {}
        }
    }
}
