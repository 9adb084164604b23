//! One search for the largest datagram that passes: volleys of probes, each telling where the next one looks.
//!
//! Owner: the engine's paths. In: probes sent, answered, refused by our own kernel; time. Out: sizes to try, what is known to pass.
//! Never: a size taken for lost before a probe sent after it came back, or its time is over; more than `MTU_VOLLEYS` volleys.

use core::net::SocketAddr;
use core::time::Duration;
use std::vec::Vec;

use crate::limits;
use crate::time::Mono;

/// Ends each volley: as small as a probe can be, it passes wherever anything does.
const SMALL: u16 = 0;

/// A search on one direct path.
#[derive(Debug)]
pub struct Search {
    /// Which path.
    pub at: SocketAddr,
    aim: Aim,
    /// The largest size that came back, or that is taken for granted.
    passes: u16,
    /// The smallest size that did not come back; `ceiling` when there is none.
    fails: u16,
    /// Nothing from here on is tried: the largest size there is and one, what our kernel refused, or what was lost twice.
    ceiling: u16,
    /// The size in use, which is not given up for one lost probe.
    used: u16,
    doubt: Doubt,
    confirmed: u16,
    edged: bool,
    shots: Vec<Shot>,
    /// Where the present volley begins in `shots`.
    volley: usize,
    volleys: u8,
    silent: u8,
    until: Mono,
    wait: Duration,
    grace: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// Whatever passes.
    Largest,
    /// Whether more passes again than this.
    Raise(u16),
    /// Whether the size in use still does.
    Check(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// What is in use has not been lost.
    No,
    /// It was, and is asked for again.
    Asked(u16),
    /// It came back, or did not a second time.
    Settled,
}

#[derive(Clone, Copy, Debug)]
struct Shot {
    token: u64,
    size: u16,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Out,
    Back,
    Refused,
}

/// What a volley told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Send these and come back.
    Next,
    /// The search is over.
    Over,
    /// The search is over without an answer.
    Silent,
}

/// Largest UDP payload worth trying to this endpoint.
pub const fn top(at: SocketAddr) -> u16 {
    limits::MTU_LADDER[0] - headers(at)
}

const fn headers(at: SocketAddr) -> u16 {
    if at.is_ipv4() {
        limits::HEADERS_V4
    } else {
        limits::HEADERS_V6
    }
}

/// The usual sizes below `size`, largest first; the floor, which needs no probe, is not among them.
fn ladder(at: SocketAddr, size: u16) -> impl Iterator<Item = u16> {
    limits::MTU_LADDER
        .into_iter()
        .map(move |mtu| mtu - headers(at))
        .filter(move |step| *step < size)
}

/// The largest usual size below `size`.
pub fn step_below(at: SocketAddr, size: u16) -> u16 {
    ladder(at, size).next().unwrap_or(limits::MTU_FLOOR)
}

impl Search {
    fn new(at: SocketAddr, aim: Aim, used: u16, rtt: Option<Duration>) -> Self {
        let rtt = rtt.unwrap_or(limits::MTU_WAIT_LONGEST);
        Self {
            at,
            aim,
            passes: limits::MTU_FLOOR,
            fails: top(at) + 1,
            ceiling: top(at) + 1,
            used,
            doubt: Doubt::No,
            confirmed: 0,
            edged: false,
            shots: Vec::new(),
            volley: 0,
            volleys: 0,
            silent: 0,
            until: Mono::ZERO,
            wait: (rtt * 3).clamp(limits::MTU_WAIT_SHORTEST, limits::MTU_WAIT_LONGEST),
            grace: (rtt / 4).clamp(limits::MTU_GRACE_SHORTEST, limits::MTU_GRACE_LONGEST),
        }
    }

    /// A search on a path that was not measured in this session; `known` has passed: the floor, or a handshake.
    pub fn fresh(at: SocketAddr, known: u16, rtt: Option<Duration>) -> (Self, Vec<u16>) {
        let mut search = Self::new(at, Aim::Largest, 0, rtt);
        search.passes = known;
        let ethernet = limits::MTU_LADDER[4] - headers(at);
        let mut sizes = [top(at), ethernet, limits::MTU_HANDSHAKE].to_vec();
        sizes.retain(|size| *size > known);
        (search, sizes)
    }

    /// A search above what is known to pass.
    pub fn above(at: SocketAddr, known: u16, rtt: Option<Duration>) -> (Self, Vec<u16>) {
        let mut search = Self::new(at, Aim::Largest, 0, rtt);
        search.passes = known;
        search.edged = true;
        (search, [top(at), known + limits::MTU_STEP].to_vec())
    }

    /// Whether the path carries `best` again, or at least more than `known`.
    pub fn raise(at: SocketAddr, known: u16, best: u16, rtt: Option<Duration>) -> (Self, Vec<u16>) {
        let mut search = Self::new(at, Aim::Raise(known), 0, rtt);
        search.passes = known;
        search.fails = best + 1;
        search.ceiling = best + 1;
        search.edged = true;
        (search, [best, known.midpoint(best)].to_vec())
    }

    /// Whether `size`, which is in use, still passes; if not, a search below it.
    pub fn check(at: SocketAddr, size: u16, used: u16, rtt: Option<Duration>) -> (Self, Vec<u16>) {
        let search = Self::new(at, Aim::Check(size), used, rtt);
        (search, [size].to_vec())
    }

    /// A search below a size that our kernel refuses.
    pub fn below(at: SocketAddr, refused: u16, rtt: Option<Duration>) -> (Self, Vec<u16>) {
        let mut search = Self::new(at, Aim::Largest, 0, rtt);
        search.fails = refused;
        search.ceiling = refused;
        let sizes = ladder(at, refused).collect();
        (search, sizes)
    }

    /// What is known to pass.
    pub const fn passes(&self) -> u16 {
        self.passes
    }

    /// The smallest size that does not, as far as is known.
    pub const fn fails(&self) -> u16 {
        self.fails
    }

    /// Whether it looks for whatever passes.
    pub fn looks_up(&self) -> bool {
        self.aim == Aim::Largest
    }

    /// When the volley is judged.
    pub const fn due(&self) -> Mono {
        self.until
    }

    /// A volley leaves: the largest first, the small one behind them. Calls `send` for each and keeps the token it gives.
    pub fn fire(&mut self, now: Mono, mut sizes: Vec<u16>, mut send: impl FnMut(u16) -> u64) {
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        sizes.dedup();
        sizes.push(SMALL);
        // Late answers to the former volley still count; those before it would have come by now.
        self.shots.drain(..self.volley);
        self.volley = self.shots.len();
        self.volleys += 1;
        self.until = now + self.wait;
        for size in sizes {
            let token = send(size);
            self.shots.push(Shot {
                token,
                size,
                fate: Fate::Out,
            });
        }
    }

    /// An answer. False: its probe was not one of ours.
    pub fn answered(&mut self, now: Mono, token: u64, received: u16) -> bool {
        let Some(at) = self.shots.iter().position(|shot| shot.token == token) else {
            return false;
        };
        let shot = &mut self.shots[at];
        shot.fate = Fate::Back;
        // What came was as large as what left, or it proves nothing.
        if shot.size != SMALL && received >= shot.size {
            self.passes = self.passes.max(shot.size);
            if self.passes >= self.fails {
                self.fails = self.ceiling.max(self.passes + 1);
            }
        }
        if at < self.volley {
            return true;
        }
        let waits = |shot: &Shot| shot.fate == Fate::Out;
        if !self.shots[self.volley..].iter().any(waits) {
            self.until = now;
        } else if !self.shots[at..].iter().any(waits) {
            // The last ones are back: what is missing was overtaken or is lost.
            self.until = self.until.min(now + self.grace);
        }
        true
    }

    /// Our own kernel does not send datagrams of this size.
    pub fn refused(&mut self, now: Mono, size: u16) {
        self.ceiling = self.ceiling.min(size);
        self.fails = self.fails.min(size);
        for shot in &mut self.shots {
            if shot.size >= size && shot.fate == Fate::Out {
                shot.fate = Fate::Refused;
            }
        }
        let large = |shot: &Shot| shot.size != SMALL;
        let volley = &self.shots[self.volley..];
        if volley
            .iter()
            .filter(|shot| large(shot))
            .all(|shot| shot.fate == Fate::Refused)
        {
            self.until = now;
        }
    }

    /// Judges the volley; `Told::Next` comes with the sizes of the next one.
    pub fn judge(&mut self) -> (Told, Vec<u16>) {
        let volley = &self.shots[self.volley..];
        let nothing = volley.iter().all(|shot| shot.fate == Fate::Out);
        if self.volleys >= limits::MTU_VOLLEYS {
            return (Told::Over, Vec::new());
        }
        if nothing {
            self.silent += 1;
            let again = volley.iter().map(|shot| shot.size);
            let again = again.filter(|size| *size != SMALL).collect();
            if self.silent >= limits::MTU_SILENT {
                return (Told::Silent, Vec::new());
            }
            return (Told::Next, again);
        }
        self.silent = 0;
        let lost = volley
            .iter()
            .filter(|shot| shot.fate == Fate::Out && shot.size > self.passes)
            .map(|shot| shot.size)
            .min();
        let reached = match self.aim {
            Aim::Largest => false,
            Aim::Raise(known) => self.passes == known,
            Aim::Check(size) => self.passes >= size,
        };
        if reached {
            return (Told::Over, Vec::new());
        }
        if let Some(lost) = lost {
            if self.doubt == Doubt::No && lost <= self.used {
                self.doubt = Doubt::Asked(lost);
                let between = ladder(self.at, lost).filter(|step| *step > self.passes);
                return (Told::Next, between.chain([lost]).collect());
            }
            if let Doubt::Asked(size) = self.doubt
                && size > self.passes
            {
                self.ceiling = self.ceiling.min(size);
            }
            self.fails = self.fails.min(lost);
        }
        if matches!(self.doubt, Doubt::Asked(_)) {
            self.doubt = Doubt::Settled;
        }
        self.narrow()
    }

    /// The next sizes between what passes and what does not.
    fn narrow(&mut self) -> (Told, Vec<u16>) {
        let Self { passes, fails, .. } = *self;
        let width = fails.saturating_sub(passes);
        if width <= limits::MTU_STEP {
            if fails >= self.ceiling || self.confirmed == fails {
                return (Told::Over, Vec::new());
            }
            // Lost once is not lost for good.
            self.confirmed = fails;
            return (Told::Next, [fails].to_vec());
        }
        let ethernet = limits::MTU_LADDER[4] - headers(self.at);
        let edge = passes + limits::MTU_STEP;
        if passes >= ethernet && !self.edged {
            // Most paths are Ethernet and no more: a volley of jumbo frames only where a step up passes.
            self.edged = true;
            return (Told::Next, [edge].to_vec());
        }
        // At most 9,000 / 7.
        let gap = width / (u16::try_from(limits::MTU_VOLLEY).unwrap_or(1) + 1);
        let even = (1..=limits::MTU_VOLLEY).filter_map(|at| {
            let size = passes + gap * u16::try_from(at).unwrap_or(0);
            (size > passes && size < fails).then_some(size)
        });
        let mut sizes: Vec<u16> = even.collect();
        if edge < fails {
            sizes.push(edge);
        }
        (Told::Next, sizes)
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
