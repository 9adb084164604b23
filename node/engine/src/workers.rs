//! Which worker a session belongs to: its index says so in the last four bits, and datagrams are steered by them.
//!
//! Owner: the engine. In: how many workers take sessions. Out: session indices; renewals that move sessions.
//! Never: a session that changes its worker; only the next one does.

use core::time::Duration;

use zt_wire::Address;

use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::limits;
use crate::shard::{WORKERS, owner};
use crate::time::Now;

impl Engine {
    /// Gives new sessions to this many workers from now on, at most `Config::workers`. Peers whose session belongs to
    /// another worker than it would now renew it within [`limits::MOVE_WITHIN`].
    pub fn spread_over(&mut self, now: Now, workers: usize) {
        self.workers = workers.clamp(1, self.config.workers.clamp(1, WORKERS));
        let handles: Vec<_> = self.peers.iter().map(|peer| peer.handle).collect();
        for handle in handles {
            if self.misplaced(handle) {
                let wait = self.chance.jitter(limits::MOVE_WITHIN);
                self.deadlines
                    .set_earlier(Timer::Tend(handle), now.mono + wait);
            }
        }
    }

    /// Whether the session with a peer belongs to another worker than a new one would.
    pub(crate) fn misplaced(&self, handle: crate::shard::PeerHandle) -> bool {
        let Some(peer) = self.peers.get(handle) else {
            return false;
        };
        let wanted = self.worker_of(peer.address());
        let steered = self.config.workers > 1;
        steered
            && peer
                .session
                .is_some_and(|session| owner(session.local) != wanted)
    }

    /// The worker of a peer: always the same while their number is.
    pub(crate) fn worker_of(&self, address: Address) -> usize {
        let [a, b, c, d, e] = address.to_bytes();
        let number = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
        // Below `WORKERS`.
        usize::try_from(number % self.workers as u64).unwrap_or(0)
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

/// Renewals of a move are spread over this time at most.
const _: () = assert!(limits::MOVE_WITHIN.as_nanos() < Duration::from_secs(10).as_nanos());
