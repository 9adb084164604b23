//! Which worker a session belongs to: its index says so in the last four bits, and datagrams are steered by them.
//!
//! Owner: the engine. In: how many workers take sessions. Out: session indices; renewals that move sessions.
//! Never: a session that changes its worker; only the next one does.

use zt_wire::Address;

use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::limits;
use crate::peers::Peer;
use crate::shard::{WORKERS, owner};
use crate::time::Now;

impl Engine {
    /// Gives new sessions to this many workers from now on, at most `Config::workers`. Peers that are to go to another
    /// worker renew their session within [`limits::MOVE_WITHIN`].
    pub fn spread_over(&mut self, now: Now, workers: usize) {
        self.workers = workers.clamp(1, self.config.workers.clamp(1, WORKERS));
        let workers = self.workers;
        for handle in self.peers.handles() {
            let Some(peer) = self.peers.get_mut(handle) else {
                continue;
            };
            let wanted = worker_of(peer.address(), workers);
            peer.moves = peer
                .session
                .is_some_and(|session| owner(session.local) != wanted);
            if peer.moves {
                let wait = self.chance.jitter(limits::MOVE_WITHIN);
                self.deadlines
                    .set_earlier(Timer::Tend(handle), now.mono + wait);
            }
        }
    }

    /// The worker of the next session with a peer: that of the present one, unless it is to move.
    pub(crate) fn next_worker(&self, peer: &Peer) -> usize {
        let present = peer.session.filter(|_| !peer.moves);
        let present = present.map(|session| owner(session.local));
        present
            .filter(|worker| *worker < self.workers)
            .unwrap_or_else(|| worker_of(peer.address(), self.workers))
    }

    /// A session index that no attempt and no session of ours has, of this worker or, when nobody knows who the peer
    /// is, of any.
    pub(crate) fn new_index(&mut self, worker: Option<usize>) -> u32 {
        loop {
            let chance = self.chance.index();
            let index = if self.config.workers > 1 {
                steered(
                    chance,
                    worker.unwrap_or(chance as usize >> 4) % self.workers,
                )
            } else {
                chance
            };
            if index != 0 && !self.handshakes.taken(index) {
                return index;
            }
        }
    }
}

/// The index with this worker's number in its last bits.
fn steered(index: u32, worker: usize) -> u32 {
    // Both fit: a worker's number has four bits.
    let [own, number] =
        [owner(index), worker % WORKERS].map(|bits| u32::try_from(bits).unwrap_or(0));
    index - own + number
}

/// Where a peer belongs among so many workers.
fn worker_of(address: Address, workers: usize) -> usize {
    let [a, b, c, d, e] = address.to_bytes();
    let number = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
    // Below `WORKERS`.
    usize::try_from(number % workers as u64).unwrap_or(0)
}
