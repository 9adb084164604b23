//! The sender's end of a run: asking, sending a few frames at a time, asking what came, and for the way back.
//!
//! Owner: the engine. In: a command or the other end's wish, its results, time. Out: frames for the shard, messages, the report.
//! Never: a frame before the receiver has said that it listens; more frames at once than the limit.

use std::boxed::Box;
use std::string::String;
use std::vec::Vec;

use zt_wire::message::{
    Announced, FINGERPRINT, List, Message, SelftestResult, SelftestStatus, SelftestStep, Stopped,
};
use zt_wire::{Address, NetworkId};

use super::hearing::RETURN;
use super::{Arrived, Expected, Run, report};
use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::interface::{Failure, Reply, SelftestReport, SelftestWay};
use crate::limits;
use crate::outbox::{Out, Outbox};
use crate::shard::{Path, PeerHandle};
use crate::time::{Mono, Now};

/// A run that we send.
#[derive(Debug)]
pub(super) struct Sending {
    run: Run,
    /// Who waits for the report; `None` when the other end asked for the way back.
    command: Option<u64>,
    both: bool,
    stage: Stage,
    since: Mono,
    frames: Vec<(Expected, Vec<u8>)>,
    next: usize,
    stopped: Vec<(u16, &'static str)>,
    /// The path of the first frame, and whether a later one took another.
    path: Option<Path>,
    moved: bool,
    /// The token of the PING beside each question; a PONG and no result is a node that knows no selftest.
    token: u64,
    ponged: bool,
    asked: u32,
    there: Option<SelftestWay>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// May we?
    Asking,
    /// We may; a direct path may still be found, and frames that change paths change places.
    Settling,
    /// Frames leave.
    Going,
    /// What came?
    Ending,
    /// Now you.
    Returning,
}

impl Engine {
    /// A person wants a run, and the session with the member is there.
    pub(crate) fn selftest_wanted(
        &mut self,
        now: Now,
        command: u64,
        (network, with): (NetworkId, Address),
        both: bool,
    ) -> Result<(), Failure> {
        if self.selftests.sending.is_some() {
            return Err(Failure::Busy);
        }
        let [id @ .., _, _] = self.chance.number().to_be_bytes();
        let run = Run { network, with, id };
        self.selftest_starts(now, run, Some(command), both);
        Ok(())
    }

    /// The other end of a run that we have heard wants the way back.
    pub(super) fn selftest_returns(&mut self, now: Now, run: Run) {
        let agreed = self.networks.agrees_to_selftests(run.network);
        if agreed && self.selftest_was_heard(run) && self.selftests.sending.is_none() {
            self.selftest_starts(now, run, None, false);
        }
    }

    fn selftest_starts(&mut self, now: Now, run: Run, command: Option<u64>, both: bool) {
        self.selftests.sending = Some(Sending {
            run,
            command,
            both,
            stage: Stage::Asking,
            since: now.mono,
            frames: Vec::new(),
            next: 0,
            stopped: Vec::new(),
            path: None,
            moved: false,
            token: self.chance.number(),
            ponged: false,
            asked: 0,
            there: None,
        });
        self.deadlines.set(Timer::SelftestSends, now.mono);
    }

    /// The next step of the run that we send.
    pub(crate) fn selftest_sends(&mut self, now: Now, out: &mut Outbox) {
        let Some(sending) = &self.selftests.sending else {
            return;
        };
        let (run, stage) = (sending.run, sending.stage);
        let orphan = sending.command.is_none();
        if orphan && now.mono.since(sending.since) >= limits::SELFTEST_FOR {
            self.selftests.sending = None;
            return;
        }
        let Some(peer) = self.peers.by_address(run.with).map(|peer| peer.handle) else {
            self.selftest_fails(Failure::NoSuchPeer, out);
            return;
        };
        let wait = match stage {
            Stage::Asking => self.selftest_asks(now, peer, out),
            Stage::Settling => self.selftest_settles(now, peer),
            Stage::Going => self.selftest_goes(peer, out),
            Stage::Ending => self.selftest_asks_what_came(peer, out),
            Stage::Returning => {
                out.message(peer, run.says(RETURN));
                limits::SELFTEST_AGAIN
            }
        };
        if self.selftests.sending.is_some() {
            self.deadlines.set(Timer::SelftestSends, now.mono + wait);
        }
    }

    fn selftest_asks(
        &mut self,
        now: Now,
        peer: PeerHandle,
        out: &mut Outbox,
    ) -> core::time::Duration {
        let Some(sending) = &mut self.selftests.sending else {
            return limits::SELFTEST_AGAIN;
        };
        let run = sending.run;
        if sending.asked >= limits::SELFTEST_ASKS && sending.ponged {
            self.selftest_fails(Failure::Unsupported, out);
            return limits::SELFTEST_AGAIN;
        }
        let Some(ends) = self.networks.ends(run.network, run.with) else {
            // Its certificate is not here yet: the same happens as for a frame.
            self.networks
                .unready(now, run.network, run.with, &mut self.actions);
            return limits::SELFTEST_EVERY;
        };
        sending.frames = zt_frames::all(&ends, run.id)
            .into_iter()
            .map(|(kind, bytes)| {
                let expected = Expected {
                    name: String::from(kind.name),
                    length: u16::try_from(bytes.len()).unwrap_or(u16::MAX),
                };
                (expected, bytes)
            })
            .collect();
        let (count, bytes) = List::encode(sending.frames.iter().map(announced));
        if let Ok(list) = List::of((count, &bytes)) {
            sending.asked += 1;
            let token = sending.token;
            out.message(peer, run.says(SelftestStep::Begin(list)));
            out.say(peer, &Message::Ping(token));
        }
        limits::SELFTEST_AGAIN
    }

    fn selftest_settles(&mut self, now: Now, peer: PeerHandle) -> core::time::Duration {
        let path = self.peers.get(peer).and_then(|peer| peer.paths.active);
        if let Some(sending) = &mut self.selftests.sending {
            let direct = path.is_some_and(|path| !path.is_relay());
            if direct || now.mono.since(sending.since) >= limits::SELFTEST_DIRECT_WITHIN {
                sending.stage = Stage::Going;
                sending.path = path;
            }
        }
        limits::SELFTEST_EVERY
    }

    fn selftest_goes(&mut self, peer: PeerHandle, out: &mut Outbox) -> core::time::Duration {
        let path = self.peers.get(peer).and_then(|peer| peer.paths.active);
        let Some(sending) = &mut self.selftests.sending else {
            return limits::SELFTEST_EVERY;
        };
        sending.moved |= sending.path != path;
        let run = sending.run;
        for _ in 0..limits::SELFTEST_AT_ONCE {
            let Some((_, bytes)) = sending.frames.get(sending.next) else {
                sending.stage = Stage::Ending;
                break;
            };
            out.push(Out::SelftestFrame {
                network: run.network,
                address: run.with,
                // A run has at most 256 frames.
                index: u16::try_from(sending.next).unwrap_or(u16::MAX),
                bytes: bytes.clone(),
            });
            sending.next += 1;
        }
        limits::SELFTEST_EVERY
    }

    /// The shard could not send a frame of the run.
    pub fn selftest_stopped(&mut self, index: u16, reason: &'static str) {
        if let Some(sending) = &mut self.selftests.sending {
            sending.stopped.push((index, reason));
        }
    }

    fn selftest_asks_what_came(
        &mut self,
        peer: PeerHandle,
        out: &mut Outbox,
    ) -> core::time::Duration {
        if let Some(sending) = &self.selftests.sending {
            let stopped = sending.stopped.iter();
            let (count, bytes) =
                List::encode(stopped.map(|&(index, reason)| Stopped { index, reason }));
            if let Ok(list) = List::of((count, &bytes)) {
                out.message(peer, sending.run.says(SelftestStep::End(list)));
            }
        }
        limits::SELFTEST_AGAIN
    }

    /// `SELFTEST_RESULT` from a peer.
    pub(crate) fn selftest_result(
        &mut self,
        now: Now,
        peer: PeerHandle,
        result: &SelftestResult<'_>,
        out: &mut Outbox,
    ) {
        let Some((with, key)) = self.label(peer) else {
            return;
        };
        let run = Run {
            network: result.network,
            with,
            id: result.run,
        };
        let Some(sending) = self.selftests.sending.as_mut().filter(|it| it.run == run) else {
            self.drop(crate::counters::DropReason::Unasked);
            return;
        };
        match (result.status, sending.stage) {
            (SelftestStatus::Ready, Stage::Asking) => {
                sending.stage = Stage::Settling;
                self.deadlines.set(Timer::SelftestSends, now.mono);
            }
            (SelftestStatus::Done, Stage::Ending) => {
                let arrived: Vec<Arrived> = result.heard.iter().map(Arrived::from).collect();
                self.selftest_done(now, &arrived, out);
            }
            (SelftestStatus::NotAgreed, Stage::Asking) => {
                self.selftest_fails(Failure::NotAgreed, out);
            }
            (SelftestStatus::NotMember, Stage::Asking) => {
                self.networks
                    .wanted(now, (with, key), run.network, &mut self.actions);
            }
            (SelftestStatus::Busy, Stage::Asking) => self.selftest_fails(Failure::Busy, out),
            (SelftestStatus::Unknown, Stage::Ending) => {
                self.selftest_fails(Failure::TimedOut, out);
            }
            // Answers to questions that were repeated.
            (
                SelftestStatus::Ready
                | SelftestStatus::Done
                | SelftestStatus::NotAgreed
                | SelftestStatus::NotMember
                | SelftestStatus::Busy
                | SelftestStatus::Unknown,
                _,
            ) => {}
        }
    }

    fn selftest_done(&mut self, now: Now, arrived: &[Arrived], out: &mut Outbox) {
        let me = self.me.address();
        let Some(sending) = &mut self.selftests.sending else {
            return;
        };
        let frames: Vec<Expected> = sending.frames.drain(..).map(|(frame, _)| frame).collect();
        let stopped: Vec<(u16, String)> = sending
            .stopped
            .iter()
            .map(|&(index, reason)| (index, String::from(reason)))
            .collect();
        let mut way = report::heard((me, sending.run.with), &frames, &stopped, arrived);
        way.moved = sending.moved;
        sending.there = Some(way);
        if sending.command.is_some() && sending.both {
            sending.stage = Stage::Returning;
            self.deadlines.set(Timer::SelftestSends, now.mono);
        } else {
            self.selftest_reports(None, out);
        }
    }

    /// Whether this is the way back that we have asked for.
    pub(super) fn selftest_expected(&self, run: Run) -> bool {
        let sending = self.selftests.sending.as_ref();
        sending.is_some_and(|sending| sending.run == run && sending.stage == Stage::Returning)
    }

    /// The way back is over.
    pub(super) fn selftest_came_back(&mut self, way: SelftestWay, out: &mut Outbox) {
        self.selftest_reports(Some(way), out);
    }

    /// PONG: who knows no selftest still answers a ping.
    pub(crate) const fn selftest_pong(&mut self, token: u64) {
        if let Some(sending) = &mut self.selftests.sending
            && sending.token == token
        {
            sending.ponged = true;
        }
    }

    /// The patience of the one who asked has ended: what is known so far, if that is something.
    pub(crate) fn selftest_overdue(&mut self, command: u64) -> Reply {
        let late = |sending: &&Sending| sending.command == Some(command);
        let Some(sending) = self.selftests.sending.as_ref().filter(late) else {
            return Reply::Failed(Failure::TimedOut);
        };
        let (run, ponged) = (sending.run, sending.ponged);
        let stage = sending.stage;
        let there = self
            .selftests
            .sending
            .take()
            .and_then(|sending| sending.there);
        match there {
            Some(there) => Reply::Selftest(Box::new(of(run, true, Some(there), None))),
            None if stage == Stage::Asking && !self.networks.has_member(run.network, run.with) => {
                Reply::Failed(Failure::NotMember)
            }
            None if stage == Stage::Asking && ponged => Reply::Failed(Failure::Unsupported),
            None => Reply::Failed(Failure::TimedOut),
        }
    }

    fn selftest_reports(&mut self, back: Option<SelftestWay>, out: &mut Outbox) {
        let Some(sending) = self.selftests.sending.take() else {
            return;
        };
        self.deadlines.clear(Timer::SelftestSends);
        if let Some(command) = sending.command {
            let report = of(sending.run, sending.both, sending.there, back);
            self.settle(command, Reply::Selftest(Box::new(report)), out);
        }
    }

    fn selftest_fails(&mut self, failure: Failure, out: &mut Outbox) {
        let Some(sending) = self.selftests.sending.take() else {
            return;
        };
        self.deadlines.clear(Timer::SelftestSends);
        if let Some(command) = sending.command {
            self.settle(command, Reply::Failed(failure), out);
        }
    }
}

fn of(
    run: Run,
    both: bool,
    there: Option<SelftestWay>,
    back: Option<SelftestWay>,
) -> SelftestReport {
    SelftestReport {
        network: run.network,
        member: run.with,
        whole: !both || back.is_some(),
        ways: there.into_iter().chain(back).collect(),
    }
}

fn announced((frame, bytes): &(Expected, Vec<u8>)) -> Announced<'_> {
    Announced {
        fingerprint: crate::shard::fingerprint(bytes),
        length: frame.length,
        name: &frame.name,
    }
}

const _: () = assert!(FINGERPRINT == 8);
