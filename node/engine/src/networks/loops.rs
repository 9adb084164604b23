//! The loop guard: probes that must not come back, and who is cut off when one does (SPEC §10.11).
//!
//! Owner: one joined network. In: stations behind our device, probes heard there, what other bridging members say, time.
//! Out: probes, words, news for the shard. Never: a loop believed that the probe's sender has not confirmed in a session.

use std::vec::Vec;

use zt_wire::message::{LoopProbe, LoopWord};
use zt_wire::{Address, KeyId, Message, NetworkId, ProbeFrame, Rights};

use super::action::{Action, Actions};
use super::joined::Joined;
use super::timers::Timer;
use super::{Around, Networks};
use crate::interface::{Event, LoopInfo};
use crate::limits;
use crate::shard::Update;
use crate::time::{Mono, Now};

/// What one network knows of loops.
#[derive(Debug, Default)]
pub(super) struct Loops {
    /// When a station behind our device was last heard of; `None`: we do not probe.
    bridging: Option<Mono>,
    /// Our probes of the last seconds.
    sent: Vec<(u64, Mono)>,
    /// Probes of others that we told them of.
    asked: Vec<(Address, u64, Mono)>,
    /// Loops that are there: with this member, or (`None`) of the LAN behind us alone; since when, last proven.
    proven: Vec<Loop>,
    cut: bool,
    /// How often the others are still to hear that they know wrong what is behind us.
    words: u8,
    tunnel_told: Option<Mono>,
}

#[derive(Debug)]
struct Loop {
    with: Option<Address>,
    since: Mono,
    last: Mono,
}

impl Networks {
    /// `Note::Bridging`: there are stations behind our device.
    pub fn bridging(&mut self, now: Now, network: NetworkId, out: &mut Actions) {
        if let Some(joined) = self.joined.get_mut(&network) {
            joined.stations(&mut self.around, now.mono, out);
        }
    }

    /// `Note::LoopProbe`: a probe came in through our device.
    pub fn probe_heard(
        &mut self,
        now: Now,
        network: NetworkId,
        probe: (Address, u64),
        out: &mut Actions,
    ) {
        if let Some(joined) = self.joined.get_mut(&network) {
            joined.probe_heard(&mut self.around, now.mono, probe, out);
        }
    }

    /// `LOOP_PROBE` from the session of this address and key.
    pub fn loop_word(
        &mut self,
        now: Now,
        from: (Address, KeyId),
        said: &LoopProbe,
        out: &mut Actions,
    ) {
        if let Some(joined) = self.joined.get_mut(&said.network) {
            joined.loop_word(&mut self.around, now.mono, from, said, out);
        }
    }
}

impl Networks {
    /// Whether a person is to hear now that the underlay would run through this network.
    pub(crate) fn tell_tunnel(&mut self, now: Now, network: NetworkId) -> bool {
        self.joined.get_mut(&network).is_some_and(|joined| {
            let told = &mut joined.loops.tunnel_told;
            let news = told.is_none_or(|at| now.mono.since(at) >= limits::TUNNEL_FOR);
            if news {
                *told = Some(now.mono);
            }
            news
        })
    }
}

impl Joined {
    /// There are stations behind our device: probing begins, or goes on.
    fn stations(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        if !self.may_bridge() {
            return;
        }
        if self.loops.bridging.replace(now).is_none() {
            self.loops_due(around, now, out);
        }
    }

    fn probe_heard(
        &mut self,
        around: &mut Around,
        now: Mono,
        probe: (Address, u64),
        out: &mut Actions,
    ) {
        let (member, token) = probe;
        self.stations(around, now, out);
        if !self.may_bridge() {
            return;
        }
        if member == around.me {
            if self.loops.is_fresh(now, token) {
                self.prove(around, now, None, out);
            }
            return;
        }
        let known = |asked: &(Address, u64, Mono)| asked.0 == member && asked.1 == token;
        if !self.bridges(member)
            || self.loops.asked.len() >= limits::LOOP_PARTNERS
            || self.loops.asked.iter().any(known)
        {
            return;
        }
        self.loops.asked.push((member, token, now));
        // Without a session there is no loop through the network; once there is one, the next probe tells.
        out.push(if around.sessions.contains_key(&member) {
            Action::SendIfUp(member, self.word(LoopWord::Heard, token))
        } else {
            Action::Connect(member)
        });
    }

    fn loop_word(
        &mut self,
        around: &mut Around,
        now: Mono,
        from: (Address, KeyId),
        said: &LoopProbe,
        out: &mut Actions,
    ) {
        let (member, key) = from;
        let certified = self.contacts.get(&member).is_some_and(|contact| {
            contact.valid
                && contact
                    .theirs
                    .as_ref()
                    .is_some_and(|theirs| theirs.1.key == key)
        });
        if !certified {
            return;
        }
        match said.word {
            LoopWord::Heard => {
                if self.may_bridge() && self.loops.is_fresh(now, said.token) {
                    let confirmed = self.word(LoopWord::Confirmed, said.token);
                    out.push(Action::SendIfUp(member, confirmed));
                    self.prove(around, now, Some(member), out);
                }
            }
            LoopWord::Confirmed => {
                let asked = |asked: &(Address, u64, Mono)| {
                    asked.0 == member
                        && asked.1 == said.token
                        && now.since(asked.2) < limits::LOOP_TOKEN_FOR
                };
                if self.may_bridge() && self.loops.asked.iter().any(asked) {
                    self.prove(around, now, Some(member), out);
                }
            }
            LoopWord::Forget => out.push(Action::Update(Update::Unlearn {
                network: self.id,
                address: member,
            })),
        }
    }

    /// A second has passed: what was not proven again is over, and the next probe leaves.
    pub(super) fn loops_due(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        let loops = &mut self.loops;
        loops
            .sent
            .retain(|(_, at)| now.since(*at) < limits::LOOP_TOKEN_FOR);
        loops
            .asked
            .retain(|(_, _, at)| now.since(*at) < limits::LOOP_TOKEN_FOR);
        let over = loops
            .proven
            .extract_if(.., |proof| now.since(proof.last) >= limits::LOOP_CLEAR);
        let mut changed = false;
        for proof in over {
            out.push(Action::Event(Event::LoopGone(self.id, proof.with)));
            changed = true;
        }
        let quiet = loops
            .bridging
            .is_none_or(|at| now.since(at) >= limits::BRIDGING_FOR);
        if !self.may_bridge() || (quiet && self.loops.proven.is_empty()) {
            if changed || !self.loops.proven.is_empty() {
                self.loops.proven.clear();
                self.judge(around, out);
            }
            self.loops = Loops::default();
            around.timers.clear(Timer::Loop(self.id));
            return;
        }
        if self.loops.words > 0 {
            self.loops.words -= 1;
            self.say_forget(around, out);
        }
        if changed {
            self.judge(around, out);
        }
        let token = around.token();
        if self.loops.sent.len() >= limits::LOOP_TOKENS {
            self.loops.sent.remove(0);
        }
        self.loops.sent.push((token, now));
        let probe = ProbeFrame {
            network: self.id,
            member: around.me,
            token,
        };
        out.push(Action::Deliver(self.id, probe.to_bytes().to_vec()));
        let next = now + limits::LOOP_PROBE_EVERY;
        around.timers.set(Timer::Loop(self.id), next);
    }

    pub(super) fn loop_info(&self) -> Option<LoopInfo> {
        let first = self.loops.proven.iter().min_by_key(|proof| proof.with)?;
        Some(LoopInfo {
            with: first.with,
            since: first.since,
            cut_off: self.loops.cut,
        })
    }

    /// A loop is there, now.
    fn prove(&mut self, around: &mut Around, now: Mono, with: Option<Address>, out: &mut Actions) {
        let proven = &mut self.loops.proven;
        if let Some(known) = proven.iter_mut().find(|proof| proof.with == with) {
            known.last = now;
            return;
        }
        if proven.len() >= limits::LOOP_PARTNERS {
            return;
        }
        proven.push(Loop {
            with,
            since: now,
            last: now,
        });
        let cut_off = with.is_none_or(|member| member < around.me);
        let (network, since) = (self.id, now);
        let found = LoopInfo {
            with,
            since,
            cut_off,
        };
        out.push(Action::Event(Event::LoopFound(network, found)));
        self.judge(around, out);
    }

    /// A loop began or ended. Of its two ends, the larger address is cut off; so is who has one of its own. Where
    /// stations are is another matter than before, for both and for everybody else.
    fn judge(&mut self, around: &Around, out: &mut Actions) {
        let mut proven = self.loops.proven.iter();
        self.loops.cut = proven.any(|proof| proof.with.is_none_or(|member| member < around.me));
        out.push(Action::Update(Update::Cut {
            network: self.id,
            cut: self.loops.cut,
        }));
        self.loops.words = limits::LOOP_WORDS - 1;
        self.say_forget(around, out);
    }

    /// The others forget what is behind us.
    fn say_forget(&self, around: &Around, out: &mut Actions) {
        for &address in around
            .sessions
            .keys()
            .filter(|member| self.is_member(**member))
        {
            out.push(Action::SendIfUp(address, self.word(LoopWord::Forget, 0)));
        }
    }

    fn word(&self, word: LoopWord, token: u64) -> Vec<u8> {
        let said = LoopProbe {
            network: self.id,
            word,
            token,
        };
        Message::LoopProbe(said).to_vec()
    }

    /// Whether another member may bridge.
    fn bridges(&self, member: Address) -> bool {
        let listed = self.listed.get(&member);
        listed.is_some_and(|listing| listing.bridge)
            || self.contacts.get(&member).is_some_and(|contact| {
                let certificate = contact.theirs.as_ref().map(|theirs| &theirs.1);
                contact.valid && certificate.is_some_and(|known| known.rights.has(Rights::BRIDGE))
            })
    }
}

impl Loops {
    fn is_fresh(&self, now: Mono, token: u64) -> bool {
        let fresh =
            |sent: &(u64, Mono)| sent.0 == token && now.since(sent.1) < limits::LOOP_TOKEN_FOR;
        self.sent.iter().any(fresh)
    }
}
