//! Control messages by type: each goes to the room that owns what it is about.
//!
//! Owner: nobody. In: a message of an authenticated peer. Out: a call.
//! Never: a decision that is not in the table below; a panic whatever a peer sends.

mod error;
mod goodbye;
mod netconf;
mod ping;
mod signed;
mod world;

use zt_wire::message::Message;

use crate::counters::DropReason;
use crate::engine::Engine;
use crate::outbox::Outbox;
use crate::shard::{Path, PeerHandle};
use crate::time::Now;

impl Engine {
    /// Takes one control message; `whole` is the length of the body it came in.
    pub(crate) fn verb(
        &mut self,
        now: Now,
        peer: PeerHandle,
        from: Path,
        (message, whole): (&Message<'_>, usize),
        out: &mut Outbox,
    ) {
        let Some(who) = self.label(peer) else { return };
        match message {
            // The shard's own; it never gives them here.
            Message::Frame(_)
            | Message::Fragment(_)
            | Message::Relay(_)
            | Message::Relayed(_)
            | Message::Replicate(_) => {
                self.drop(DropReason::NotAllowed);
            }
            Message::Whois(address) => self.whois_asked(now, peer, *address, out),
            Message::Identity(answer) => self.identity(now, peer, answer, out),
            Message::Rendezvous(meeting) => self.rendezvous(now, peer, meeting, out),
            Message::Paths(endpoints) => self.peer_paths(now, peer, *endpoints, out),
            Message::Probe(probe) => {
                let size = whole + zt_wire::datagram::TRANSPORT_OVERHEAD;
                self.probed(now, peer, from, (probe.token, size), out);
            }
            Message::ProbeAnswer(answer) => self.probe_answer(now, peer, from, answer, out),
            Message::NetconfRequest(_) => self.netconf_request(peer, from, message, out),
            Message::NetconfAnswer(_) => {
                self.networks
                    .answer(now, who, &payload(message), &mut self.actions);
            }
            Message::Credential(_) | Message::Revocation(_) => self.signed(now, peer, message),
            // Looked at before anything else: `Engine::examine`.
            Message::World(_) => {}
            Message::Hint(_) => self
                .networks
                .hint(now, who, &payload(message), &mut self.actions),
            Message::Subscribe(list) => {
                self.networks.subscribe(now, who, list, &mut self.actions);
            }
            Message::Subscribed(told) => self.networks.subscribed(who, *told),
            Message::Vouch(wanted) => {
                self.networks.vouch(now, who, *wanted, &mut self.actions);
            }
            Message::Ping(token) => Self::ping(peer, from, *token, out),
            Message::Pong(pong) => self.pong(now, peer, pong, out),
            Message::Error(problem) => self.problem(now, peer, problem, out),
            Message::Goodbye(why) => self.goodbye(now, peer, *why, out),
            Message::Claim(claim) => self.claimed(peer, from, claim, out),
            Message::ClaimAnswer(answer) => self.claim_answer(now, peer, answer, out),
            Message::WorldOffer(offer) => self.world_offered_by(peer, offer, out),
            Message::WorldGet(_) => self.world_wanted(peer, out),
            Message::LoopProbe(said) => {
                self.networks.loop_word(now, who, said, &mut self.actions);
            }
            Message::RekeyInit(message) => self.rekey_init(now, (peer, from), message, out),
            Message::RekeyResponse(message) => self.finish(peer, from, message, out),
            Message::Selftest(test) => self.selftest(now, peer, test, out),
            Message::SelftestResult(result) => self.selftest_result(now, peer, result, out),
        }
    }
}

/// A message's payload as it came: the encoding is canonical.
fn payload(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode_payload(&mut out);
    out
}
