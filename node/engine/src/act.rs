//! Carries out what the networks room wants, and messages that wait for somebody not yet known.
//!
//! Owner: the engine. In: `Action`s. Out: messages, connections, effects.
//! Never: a decision about membership.

use std::collections::VecDeque;
use std::vec::Vec;

use zt_wire::Address;

use crate::counters::DropReason;
use crate::engine::Engine;
use crate::interface::Effect;
use crate::limits;
use crate::networks::Action;
use crate::outbox::{Out, Outbox};
use crate::shard::PeerHandle;
use crate::time::Now;

impl Engine {
    /// Carries out everything the networks room has asked for.
    pub(crate) fn act(&mut self, now: Now, out: &mut Outbox) {
        // What an action causes may make more; each round empties the list, and a session changes hands finitely often.
        for _ in 0..limits::QUIET_STEPS {
            if self.actions.is_empty() {
                return;
            }
            for action in core::mem::take(&mut self.actions) {
                self.carry_out(now, action, out);
            }
        }
        debug_assert!(false, "the networks room does not come to rest");
    }

    fn carry_out(&mut self, now: Now, action: Action, out: &mut Outbox) {
        match action {
            Action::SendTo(address, body) => self.send_to(now, address, body, out),
            Action::SendIfUp(address, body) => {
                if let Some(peer) = self.peers.by_address(address).filter(|peer| peer.ready()) {
                    out.message(peer.handle, body);
                }
            }
            Action::Connect(address) => {
                match self.peers.by_address(address).filter(|peer| peer.ready()) {
                    Some(peer) => {
                        let who = *peer.who();
                        self.networks.session_up(now, &who, &mut self.actions);
                    }
                    None => self.connect(now, address, out),
                }
            }
            Action::Flush(network, address) => self.flush(network, address, out),
            Action::FlushShares(network) => self.flush_shares(now, network, out),
            Action::Entered(network, address) => self.entered(now, network, address),
            Action::Welcome(network, address) => self.welcome(network, address, out),
            Action::Discard(network, address) => self.discard(network, address),
            Action::Deliver(network, frame) => out.push(Out::Deliver { network, frame }),
            Action::Update(update) => {
                self.questions.heed(&update);
                out.update(update);
            }
            Action::Tap(network, plan) => out.effect(Effect::Tap(network, plan)),
            Action::TapDown(network) => out.effect(Effect::TapDown(network)),
            Action::Groups(network) => out.effect(Effect::Groups(network)),
            Action::Save(saved) => out.effect(Effect::Save(saved)),
            Action::Unsave(network) => out.effect(Effect::Unsave(network)),
            Action::Event(event) => out.event(event),
        }
    }

    /// Sends a message to whoever has this address, meeting first if need be.
    pub(crate) fn send_to(&mut self, now: Now, address: Address, body: Vec<u8>, out: &mut Outbox) {
        if let Some(handle) = self.peers.by_address(address).map(|peer| peer.handle) {
            self.send_to_peer(now, handle, body, out);
            return;
        }
        if self.outgoing.len() >= limits::WHOIS_OPEN && !self.outgoing.contains_key(&address) {
            self.drop(DropReason::TableFull);
            return;
        }
        let queue: &mut VecDeque<Vec<u8>> = self.outgoing.entry(address).or_default();
        if queue.len() >= limits::HELD_MESSAGES {
            self.drop(DropReason::QueueFull);
            return;
        }
        queue.push_back(body);
        self.connect(now, address, out);
    }

    /// Sends a message to a peer, making a session first if need be.
    pub(crate) fn send_to_peer(
        &mut self,
        now: Now,
        handle: PeerHandle,
        body: Vec<u8>,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        peer.wanted = now.mono;
        if peer.ready() {
            out.message(handle, body);
            return;
        }
        if !peer.hold(body) {
            self.drop(DropReason::QueueFull);
        }
        self.reach(now, handle, out);
    }

    /// The peer of an address became known: messages for that address are its own now.
    pub(crate) fn adopt_outgoing(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(address) = self.peers.get(handle).map(crate::peers::Peer::address) else {
            return;
        };
        for body in self.outgoing.remove(&address).unwrap_or_default() {
            self.send_to_peer(now, handle, body, out);
        }
    }
}
