//! Frames that came right behind control messages of their sender, which are not dealt with yet.
//!
//! Owner: a worker. In: messages whose sender has no valid certificate so far. Out: the same, in order, once they are dealt with.
//! Never: one that is dropped although the certificate in front of it is good; more than the limits.

use std::collections::VecDeque;
use std::vec::Vec;

use crate::limits;
use crate::shard::{Notes, Path, PeerHandle, Shard, Verdict, Whose};
use crate::time::Now;

/// Where what is judged comes from.
#[derive(Clone, Copy, Debug)]
pub enum Whence<'a> {
    /// It came this way just now.
    Wire(Path),
    /// It came early, from this one.
    Early(&'a Whose),
}

impl Whence<'_> {
    /// What the shard makes of it.
    pub fn look<'b>(
        &self,
        shard: &'b mut Shard,
        now: Now,
        bytes: &'b mut [u8],
        notes: &mut Notes,
    ) -> Verdict<'b> {
        match self {
            Self::Wire(from) => shard.rx(now, *from, bytes, notes),
            Self::Early(whose) => shard.again(now, whose, bytes, notes),
        }
    }
}

/// What waits for the node.
#[derive(Debug, Default)]
pub struct Early {
    waiting: VecDeque<(Whose, Vec<u8>)>,
    bytes: usize,
}

impl Early {
    /// Keeps a message; false when there is no room.
    pub fn keep(&mut self, whose: Whose, message: &[u8]) -> bool {
        let same = self.waiting.iter();
        let same = same.filter(|(other, _)| other.peer() == whose.peer());
        if self.bytes + message.len() > limits::EARLY_BYTES
            || same.count() >= limits::HELD_FRAMES_PER_PEER
        {
            return false;
        }
        self.bytes += message.len();
        self.waiting.push_back((whose, message.to_vec()));
        true
    }

    /// Takes everything that waits because of this peer.
    pub fn take(&mut self, peer: PeerHandle) -> Vec<(Whose, Vec<u8>)> {
        let all = core::mem::take(&mut self.waiting);
        let (taken, left): (Vec<_>, _) =
            all.into_iter().partition(|(whose, _)| whose.peer() == peer);
        self.waiting = left.into();
        self.bytes -= taken
            .iter()
            .map(|(_, message)| message.len())
            .sum::<usize>();
        taken
    }
}
