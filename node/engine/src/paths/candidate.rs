//! One endpoint a peer may be reached at, and how its probes went.
//!
//! Owner: `Paths`. In: probes sent, answers. Out: when to probe next, the round trip.
//! Never: an answer believed whose token was not sent to this peer.

use core::net::SocketAddr;
use core::time::Duration;
use std::vec::Vec;

use crate::limits;
use crate::time::Mono;

/// How a candidate became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The world file names it.
    World,
    /// The peer says it is an address of its interfaces.
    Local,
    /// The peer says others see it there.
    Reflexive,
    /// A supernode's rendezvous.
    Told,
    /// An authentic datagram came from there.
    Heard,
    /// It worked in an earlier run.
    Saved,
    /// What was sent there came out of a device of ours: it leads into a network.
    Inside,
}

impl Source {
    /// Its name in `why`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Local => "local",
            Self::Reflexive => "reflexive",
            Self::Told => "rendezvous",
            Self::Heard => "heard",
            Self::Saved => "saved",
            Self::Inside => "inside",
        }
    }
}

/// A candidate.
#[derive(Debug)]
pub struct Candidate {
    /// Where.
    pub at: SocketAddr,
    /// How it became known.
    pub source: Source,
    /// When it became known.
    pub since: Mono,
    /// When it last answered; `None`: not proven, or found dead since.
    pub answered: Option<Mono>,
    /// Last measured round trip.
    pub rtt: Option<Duration>,
    /// Largest UDP payload known to pass.
    pub mtu: u16,
    /// Whether trains of datagrams to there were tried since it was proven.
    pub trains_tried: bool,
    /// Whether a search has found that.
    pub measured: bool,
    /// When an authentic datagram last came from there while another path was in use.
    pub heard: Option<Mono>,
    /// When the current round of probes began, and how many have left.
    round: Option<(Mono, usize)>,
    /// Probes without answer yet.
    open: Vec<(u64, Mono)>,
}

impl Candidate {
    /// A candidate just heard of, with no probe planned.
    pub const fn new(now: Mono, at: SocketAddr, source: Source) -> Self {
        Self {
            at,
            source,
            since: now,
            answered: None,
            rtt: None,
            mtu: limits::MTU_FLOOR,
            trains_tried: false,
            measured: false,
            heard: None,
            round: None,
            open: Vec::new(),
        }
    }

    /// Plans a round of probes from now on, unless one is running.
    pub fn start_round(&mut self, now: Mono) {
        if self.round.is_none() && self.source != Source::Inside {
            self.round = Some((now, 0));
        }
    }

    /// Whether a handshake may be tried there.
    pub fn opens(&self) -> bool {
        match self.source {
            Source::World | Source::Saved | Source::Heard => true,
            Source::Local | Source::Reflexive | Source::Told => self.answered.is_some(),
            Source::Inside => false,
        }
    }

    /// When the next probe leaves, or the round ends silently.
    pub fn next_at(&self) -> Option<Mono> {
        let (began, sent) = self.round?;
        Some(match limits::PROBE_AT.get(sent) {
            Some(after) => began + *after,
            None => {
                began + limits::PROBE_AT[limits::PROBE_AT.len() - 1] + limits::PROBE_SILENT_AFTER
            }
        })
    }

    /// Takes the due step of the round.
    pub fn step(&mut self, now: Mono) -> Step {
        let Some((began, sent)) = self.round else {
            return Step::Wait;
        };
        if self.next_at().is_none_or(|at| at > now) {
            return Step::Wait;
        }
        if sent >= limits::PROBE_AT.len() {
            self.round = None;
            self.open = Vec::new();
            return Step::Silent;
        }
        self.round = Some((began, sent + 1));
        Step::Probe
    }

    /// Remembers a probe that leaves now.
    pub fn sent(&mut self, now: Mono, token: u64) {
        if self.open.len() > limits::PROBE_AT.len() {
            self.open.remove(0);
        }
        self.open.push((token, now));
    }

    /// An answer: the round trip, if the token is one of ours.
    pub fn answer(&mut self, now: Mono, token: u64) -> Option<Duration> {
        let (_, sent) = *self.open.iter().find(|(open, _)| *open == token)?;
        let rtt = now.since(sent);
        self.open = Vec::new();
        self.round = None;
        self.answered = Some(now);
        self.rtt = Some(rtt);
        Some(rtt)
    }

    /// It does not answer any more.
    pub fn died(&mut self) {
        self.answered = None;
        self.mtu = limits::MTU_FLOOR;
        self.measured = false;
        self.trains_tried = false;
        self.open = Vec::new();
    }

    /// It leads into a network of ours: not tried for a while.
    pub(super) fn ban(&mut self, now: Mono) {
        self.died();
        self.round = None;
        self.source = Source::Inside;
        self.since = now;
    }

    /// It is heard of again, from elsewhere; tells whether its ban was over by then.
    pub(super) fn revive(&mut self, now: Mono, source: Source) -> bool {
        let over = self.source == Source::Inside && now.since(self.since) >= limits::TUNNEL_FOR;
        if over {
            self.source = source;
            self.since = now;
        }
        over
    }
}

/// What a candidate's round wants now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet.
    Wait,
    /// Send a probe.
    Probe,
    /// The round is over without an answer.
    Silent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_six_probes_and_then_silence() {
        let mut candidate = Candidate::new(Mono::ZERO, ([192, 0, 2, 1], 1).into(), Source::Told);
        candidate.start_round(Mono::ZERO);
        let mut probes = 0;
        loop {
            let at = candidate.next_at().expect("a round is running");
            match candidate.step(at) {
                Step::Probe => probes += 1,
                Step::Silent => break,
                Step::Wait => panic!("a due step was refused"),
            }
        }
        assert_eq!(probes, 6);
        assert_eq!(candidate.next_at(), None);
    }

    #[test]
    fn only_a_token_that_was_sent_proves_a_path() {
        let mut candidate = Candidate::new(Mono::ZERO, ([192, 0, 2, 1], 1).into(), Source::Told);
        candidate.sent(Mono::ZERO, 7);
        assert_eq!(candidate.answer(Mono::from_nanos(5), 8), None);
        assert_eq!(
            candidate.answer(Mono::from_nanos(5), 7),
            Some(Duration::from_nanos(5))
        );
        assert_eq!(candidate.answered, Some(Mono::from_nanos(5)));
    }
}
