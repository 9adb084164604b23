//! How large a datagram a direct path carries: when it is measured, checked and tried for more, and who is told.
//!
//! Owner: the engine's paths. In: paths chosen, wide datagrams that the shard tells of, answers, refusals, time. Out: the path MTU.
//! Never: a probe on a path that carries nothing wide, after the first search; a probe in fragments; an MTU above what came back.

use core::net::SocketAddr;
use std::vec::Vec;

use zt_wire::datagram::TRANSPORT_OVERHEAD;
use zt_wire::message::{Message, Probe};

use super::Paths;
use super::search::{self, Search, Told};
use crate::counters::DropReason;
use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::limits;
use crate::outbox::{Out, Outbox};
use crate::shard::{Path, PeerHandle, To};
use crate::time::{Mono, Now};

/// What goes on about the MTU of the path in use.
#[derive(Debug, Default)]
pub struct PathMtu {
    /// The search that runs.
    search: Option<Search>,
    /// Whether wide datagrams went there: only then there is something to remember between searches.
    used: bool,
    /// The largest that passed lately, and when it last did.
    best: (u16, Mono),
    /// The size to be checked, and when.
    check: Option<(Mono, u16)>,
    checked: Mono,
    raised: Mono,
    searched: Mono,
}

/// What a shard tells of wide datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    /// The largest of them.
    pub widest: u16,
    /// Bytes of all datagrams since the last word.
    pub bytes: u32,
}

impl PathMtu {
    /// A datagram of this size has passed.
    fn passed(&mut self, now: Mono, size: u16) {
        if size >= self.best.0 || now.since(self.best.1) >= limits::MTU_BEST_FOR {
            self.best = (size, now);
        }
    }

    /// The largest that passed lately, where `mtu` is in use.
    fn best(&self, now: Mono, mtu: u16) -> u16 {
        let (size, at) = self.best;
        if now.since(at) < limits::MTU_BEST_FOR {
            size.max(mtu)
        } else {
            mtu
        }
    }
}

fn running(paths: &Paths) -> Option<&Search> {
    paths.mtu.as_ref()?.search.as_ref()
}

/// Padding that makes a probe's datagram this large.
pub(super) fn padding(size: u16) -> usize {
    usize::from(size).saturating_sub(TRANSPORT_OVERHEAD + Probe::LEN)
}

impl Engine {
    /// Measures the path in use, unless that was done.
    pub(crate) fn start_mtu(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        // A supernode has many paths and fills few of them: it measures those that it fills.
        let idle = self.config.role.relays() && peer.traffic.frame.is_none();
        if !peer.ready() || idle || running(&peer.paths).is_some() {
            return;
        }
        let unmeasured = |candidate: &&super::Candidate| !candidate.measured;
        let Some(candidate) = peer.paths.active_candidate().filter(unmeasured) else {
            return;
        };
        let search = Search::fresh(candidate.at, candidate.mtu, candidate.rtt);
        self.begin_search(now, handle, search, out);
    }

    /// `Note::Wide`: datagrams of some size leave for a peer.
    pub(crate) fn wide(&mut self, now: Now, handle: PeerHandle, wide: Wide, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let busy = wide.bytes >= limits::WIDE_BUSY;
        let Some(Path::Direct(at)) = peer.paths.active.filter(|_| peer.ready()) else {
            return;
        };
        let Some(candidate) = peer.paths.find(at) else {
            return;
        };
        let (mtu, rtt, measured) = (candidate.mtu, candidate.rtt, candidate.measured);
        let state = peer.paths.mtu.get_or_insert_default();
        state.used = true;
        let check_every = if busy {
            limits::MTU_CHECK_BUSY
        } else {
            limits::MTU_CHECK
        };
        // Pieces of one size are above half of what the path takes: whoever sends them would send larger ones.
        let used = mtu.min(limits::MTU_RELAYED);
        let size = if wide.widest > used / 2 {
            wide.widest.max(used).min(mtu)
        } else {
            wide.widest
        };
        if size > limits::MTU_FLOOR {
            let size = state.check.map_or(size, |(_, before)| size.max(before));
            state.check = Some((state.checked + check_every, size.min(mtu)));
        }
        if state.search.is_some() {
            return;
        }
        let best = state.best(now.mono, mtu);
        let raise_every = if busy {
            limits::MTU_RAISE_BUSY
        } else {
            limits::MTU_RAISE
        };
        let begun = if !measured {
            Search::fresh(at, mtu, rtt)
        } else if best > mtu + limits::MTU_STEP && now.mono.since(state.raised) >= raise_every {
            state.raised = now.mono;
            Search::raise(at, mtu, best, rtt)
        } else if now.mono.since(state.searched) >= limits::MTU_AGAIN {
            Search::above(at, mtu, rtt)
        } else {
            return self.mtu_due(now, handle, out);
        };
        self.begin_search(now, handle, begun, out);
    }

    /// Something large got no answer: whether its size still passes is looked at now.
    pub(crate) fn doubt_mtu(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if let Some(mtu) = peer.paths.active_candidate().map(|used| used.mtu) {
            peer.paths.mtu.get_or_insert_default().check = Some((now.mono, mtu));
            self.mtu_due(now, handle, out);
        }
    }

    /// Judges a volley whose time is over, and begins what is due.
    pub(crate) fn mtu_due(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        self.judge_volley(now, handle, out);
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let ready = peer.ready();
        let Some(state) = &mut peer.paths.mtu else {
            return self.plan_mtu(handle);
        };
        let due = state.check.filter(|(at, _)| *at <= now.mono);
        let Some((_, size)) = due.filter(|_| state.search.is_none() && ready) else {
            return self.plan_mtu(handle);
        };
        state.check = None;
        state.checked = now.mono;
        let Some(candidate) = peer.paths.active_candidate() else {
            return;
        };
        let check = Search::check(candidate.at, size, candidate.mtu, candidate.rtt);
        self.begin_search(now, handle, check, out);
    }

    /// An answer to a probe of ours. False: of no search.
    pub(crate) fn mtu_answered(
        &mut self,
        now: Now,
        handle: PeerHandle,
        answer: (u64, u16),
        out: &mut Outbox,
    ) -> bool {
        let (token, size) = answer;
        let Some(peer) = self.peers.get_mut(handle) else {
            return false;
        };
        let state = peer.paths.mtu.as_deref_mut();
        let Some(search) = state.and_then(|state| state.search.as_mut()) else {
            return false;
        };
        if !search.answered(now.mono, token, size) {
            return false;
        }
        let (at, passes) = (search.at, search.passes());
        self.passes(now, handle, (at, passes), out);
        self.mtu_due(now, handle, out);
        true
    }

    /// Our own kernel does not send datagrams of this size there: what is in use falls at once.
    pub(crate) fn refused(&mut self, now: Now, what: (SocketAddr, u16, u32), out: &mut Outbox) {
        let (to, size, datagrams) = what;
        let Some(handle) = self.peers.by_endpoint(to) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let state = peer.paths.mtu.as_deref_mut();
        let search = state.and_then(|state| state.search.as_mut());
        if let Some(search) = search.filter(|search| search.at == to) {
            search.refused(now.mono, size);
        }
        let Some(candidate) = peer.paths.find_mut(to) else {
            return;
        };
        if size > candidate.mtu || size <= limits::MTU_FLOOR {
            return self.mtu_due(now, handle, out);
        }
        let below = Search::below(to, size, candidate.rtt);
        let former = core::mem::replace(&mut candidate.mtu, search::step_below(to, size));
        if let Some(state) = &mut peer.paths.mtu {
            state.passed(now.mono, former);
        }
        for _ in 0..datagrams {
            self.drop(DropReason::TooLarge);
        }
        self.tell_shard(now, handle, out);
        if self
            .peers
            .get(handle)
            .is_some_and(|peer| peer.ready() && peer.paths.active == Some(Path::Direct(to)))
        {
            self.begin_search(now, handle, below, out);
        }
    }

    fn begin_search(
        &mut self,
        now: Now,
        handle: PeerHandle,
        begun: (Search, Vec<u16>),
        out: &mut Outbox,
    ) {
        let (search, sizes) = begun;
        if let Some(peer) = self.peers.get_mut(handle) {
            let state = peer.paths.mtu.get_or_insert_default();
            if search.looks_up() {
                state.searched = now.mono;
            }
            state.search = Some(search);
            self.volley(now, handle, sizes, out);
        }
    }

    fn volley(&mut self, now: Now, handle: PeerHandle, sizes: Vec<u16>, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let state = peer.paths.mtu.as_deref_mut();
        let Some(search) = state.and_then(|state| state.search.as_mut()) else {
            return;
        };
        let (path, chance) = (Path::Direct(search.at), &mut self.chance);
        search.fire(now.mono, sizes, |size| {
            let token = chance.number();
            let probe = Probe {
                token,
                mtu: true,
                padding: padding(size),
            };
            let to = To {
                peer: handle,
                path: Some(path),
                whole: true,
            };
            let body = Message::Probe(probe).to_vec();
            out.push(Out::Message { to, body });
            token
        });
        self.plan_mtu(handle);
    }

    fn judge_volley(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let active = peer.paths.active;
        let state = peer.paths.mtu.as_deref_mut();
        let Some(search) = state.and_then(|state| state.search.as_mut()) else {
            return;
        };
        if active != Some(Path::Direct(search.at)) {
            peer.paths.mtu = None;
            return;
        }
        if search.due() > now.mono {
            return;
        }
        let (told, sizes) = search.judge();
        let (at, passes, fails) = (search.at, search.passes(), search.fails());
        if told != Told::Next {
            peer.paths.mtu = peer.paths.mtu.take().filter(|state| state.used);
            if let Some(state) = &mut peer.paths.mtu {
                state.search = None;
            }
        }
        let Some(candidate) = peer.paths.find_mut(at) else {
            return;
        };
        candidate.measured |= told == Told::Over;
        if fails <= candidate.mtu {
            let former = core::mem::replace(&mut candidate.mtu, passes);
            if let Some(state) = &mut peer.paths.mtu {
                state.passed(now.mono, former);
            }
            self.tell_shard(now, handle, out);
        }
        if told == Told::Next {
            self.volley(now, handle, sizes, out);
        }
    }

    /// So much has passed on a path.
    fn passes(&mut self, now: Now, handle: PeerHandle, what: (SocketAddr, u16), out: &mut Outbox) {
        let (at, size) = what;
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if let Some(candidate) = peer.paths.find_mut(at) {
            candidate.mtu = candidate.mtu.max(size);
        }
        if let Some(state) = &mut peer.paths.mtu {
            state.passed(now.mono, size);
        }
        self.tell_shard(now, handle, out);
    }

    fn plan_mtu(&mut self, handle: PeerHandle) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        let volley = running(&peer.paths).map(Search::due);
        let check = peer.paths.mtu.as_ref().and_then(|state| state.check);
        let check = check.map(|(at, _)| at);
        match volley.or(check) {
            Some(at) => self.deadlines.set(Timer::Mtu(handle), at),
            None => self.deadlines.clear(Timer::Mtu(handle)),
        }
    }
}
