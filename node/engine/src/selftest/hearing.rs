//! The receiver's end of a run: agreed or not, what was announced, what came.
//!
//! Owner: the engine. In: begin and end of a run, what the shard heard. Out: orders to the shard, the result.
//! Never: a run that the operator did not agree to, unless this node asked for it; a run for longer than its limit.

use std::boxed::Box;
use std::string::String;
use std::vec::Vec;

use zt_wire::message::{
    Announced, Heard, List, Message, SelftestResult, SelftestStatus, SelftestStep,
};

use super::{Arrived, Expected, Run, report};
use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::limits;
use crate::outbox::{Out, Outbox};
use crate::shard::{Listen, PeerHandle, Update};
use crate::time::{Mono, Now};

/// A run that we hear.
#[derive(Debug)]
pub(super) struct Hearing {
    run: Run,
    peer: PeerHandle,
    frames: Vec<Expected>,
    stopped: Vec<(u16, String)>,
    stage: Stage,
    until: Mono,
}

#[derive(Debug)]
enum Stage {
    /// Frames are coming.
    Open,
    /// All were sent; stragglers may come.
    Closing,
    /// This is what came.
    Done(Vec<Arrived>),
}

impl Engine {
    /// A peer announces a run.
    pub(super) fn selftest_begins(
        &mut self,
        now: Now,
        peer: PeerHandle,
        run: Run,
        frames: &List<'_, Announced<'_>>,
        out: &mut Outbox,
    ) {
        let open = |hearing: &&Hearing| {
            hearing.until > now.mono && !matches!(hearing.stage, Stage::Done(_))
        };
        let current = self.selftests.hearing.as_ref().filter(open);
        let status = if !self.networks.has_member(run.network, run.with) {
            SelftestStatus::NotMember
        } else if !self.networks.agrees_to_selftests(run.network) && !self.selftest_expected(run) {
            SelftestStatus::NotAgreed
        } else if current.is_some_and(|current| current.run != run) {
            SelftestStatus::Busy
        } else {
            SelftestStatus::Ready
        };
        if status == SelftestStatus::Ready && current.is_none() {
            out.update(Update::Listen(Some(Box::new(Listen {
                network: run.network,
                peer,
                run: run.id,
                frames: frames.iter().map(|frame| frame.fingerprint).collect(),
            }))));
            let until = now.mono + limits::SELFTEST_FOR;
            self.deadlines.set(Timer::SelftestHears, until);
            self.selftests.hearing = Some(Hearing {
                run,
                peer,
                frames: frames.iter().map(expected).collect(),
                stopped: Vec::new(),
                stage: Stage::Open,
                until,
            });
        }
        say(peer, run, status, out);
    }

    /// A peer has sent everything.
    pub(super) fn selftest_ends(
        &mut self,
        now: Now,
        peer: PeerHandle,
        run: Run,
        stopped: Vec<(u16, String)>,
        out: &mut Outbox,
    ) {
        let Some(hearing) = self
            .selftests
            .hearing
            .as_mut()
            .filter(|hearing| hearing.run == run)
        else {
            say(peer, run, SelftestStatus::Unknown, out);
            return;
        };
        match &hearing.stage {
            Stage::Open => {
                hearing.stopped = stopped;
                hearing.stage = Stage::Closing;
                let at = now.mono + limits::SELFTEST_GRACE;
                self.deadlines.set(Timer::SelftestHears, at);
            }
            Stage::Closing => {}
            Stage::Done(arrived) => tell(peer, run, arrived, out),
        }
    }

    /// The run that we hear has come to its end, or nobody ended it.
    pub(crate) fn selftest_hears(&mut self, out: &mut Outbox) {
        match self.selftests.hearing.as_ref().map(|run| &run.stage) {
            Some(Stage::Closing) => out.push(Out::SelftestHeard),
            Some(Stage::Open) => {
                out.update(Update::Listen(None));
                self.selftests.hearing = None;
            }
            Some(Stage::Done(_)) => self.selftests.hearing = None,
            None => {}
        }
    }

    /// What the shard has heard of the run; it listens no more.
    pub fn selftest_heard(&mut self, now: Now, arrived: Vec<Arrived>, out: &mut Outbox) {
        let Some(hearing) = &mut self.selftests.hearing else {
            return;
        };
        hearing.until = now.mono + limits::SELFTEST_KEPT;
        self.deadlines.set(Timer::SelftestHears, hearing.until);
        tell(hearing.peer, hearing.run, &arrived, out);
        let (run, me) = (hearing.run, self.me.address());
        let way = report::heard((run.with, me), &hearing.frames, &hearing.stopped, &arrived);
        hearing.stage = Stage::Done(arrived);
        if self.selftest_expected(run) {
            self.selftest_came_back(way, out);
        }
    }

    /// Whether a run of this name from this member was heard to its end just now.
    pub(super) fn selftest_was_heard(&self, run: Run) -> bool {
        let hearing = self.selftests.hearing.as_ref();
        hearing.is_some_and(|hearing| hearing.run == run && matches!(hearing.stage, Stage::Done(_)))
    }
}

fn expected(frame: Announced<'_>) -> Expected {
    Expected {
        name: String::from(frame.name),
        length: frame.length,
    }
}

fn say(peer: PeerHandle, run: Run, status: SelftestStatus, out: &mut Outbox) {
    let result = SelftestResult {
        network: run.network,
        run: run.id,
        status,
        heard: List::EMPTY,
    };
    out.say(peer, &Message::SelftestResult(result));
}

fn tell(peer: PeerHandle, run: Run, arrived: &[Arrived], out: &mut Outbox) {
    let encoded = List::encode(arrived.iter().map(|one| Heard {
        times: one.times,
        place: one.place.unwrap_or(u16::MAX),
        changed: one.changed,
        reason: &one.reason,
    }));
    let result = SelftestResult {
        network: run.network,
        run: run.id,
        status: SelftestStatus::Done,
        // What was encoded just now can be read.
        heard: List::of((encoded.0, &encoded.1)).unwrap_or(List::EMPTY),
    };
    out.say(peer, &Message::SelftestResult(result));
}

impl From<Heard<'_>> for Arrived {
    fn from(heard: Heard<'_>) -> Self {
        Self {
            times: heard.times,
            place: (heard.place != u16::MAX).then_some(heard.place),
            changed: heard.changed,
            reason: String::from(heard.reason),
        }
    }
}

/// The step that asks for the way back has no list.
pub(super) const RETURN: SelftestStep<'static> = SelftestStep::Return;
