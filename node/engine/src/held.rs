//! Frames for members that are not ready yet: kept in order, bounded, sent once the member is.
//!
//! Owner: the engine. In: frames the shard could not send. Out: the same frames, in the same order.
//! Never: more than the limits; a frame older than `limits::HELD_FOR`; a second copy of one frame for another member.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::vec::Vec;

use zt_wire::{Address, NetworkId};

use crate::counters::DropReason;
use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::limits;
use crate::outbox::{HeldFrame, Out, Outbox};
use crate::shard::{PeerHandle, TapFrame};
use crate::time::{Mono, Now};

/// Frames that wait.
#[derive(Debug, Default)]
pub struct Held {
    queues: BTreeMap<(NetworkId, Address), VecDeque<(Mono, HeldFrame)>>,
    /// Ours, for replicators.
    shares: VecDeque<(Mono, NetworkId, HeldFrame)>,
    /// Passed on to us, for their origins' certificates.
    strangers: VecDeque<(Mono, Stranger)>,
    /// Frames by the place of their bytes, and for how many they wait.
    waiting: BTreeMap<usize, usize>,
    /// Bytes of all frames; one that waits for many members counts once.
    bytes: usize,
}

/// A frame of a member whose certificate is not here yet.
#[derive(Debug)]
pub struct Stranger {
    /// Who passed it on.
    pub peer: PeerHandle,
    /// On which network.
    pub network: NetworkId,
    /// Whose it is.
    pub origin: Address,
    /// The FRAME, with its header.
    pub message: Vec<u8>,
}

impl Held {
    /// Keeps a frame; false when there is no room.
    pub fn keep(&mut self, now: Mono, whom: (NetworkId, Address), frame: &HeldFrame) -> bool {
        let waiting = self.queues.get(&whom).map_or(0, VecDeque::len);
        if waiting >= limits::HELD_FRAMES_PER_PEER || !self.enter(frame) {
            return false;
        }
        let queue = self.queues.entry(whom).or_default();
        queue.push_back((now, frame.clone()));
        true
    }

    /// Keeps a frame for replicators; false when there is no room.
    pub fn keep_share(&mut self, now: Mono, network: NetworkId, frame: &HeldFrame) -> bool {
        if self.shares.len() >= limits::SHARES_HELD || !self.enter(frame) {
            return false;
        }
        self.shares.push_back((now, network, frame.clone()));
        true
    }

    /// Keeps a frame of somebody unknown; false when there is no room.
    pub fn keep_stranger(&mut self, now: Mono, stranger: Stranger) -> bool {
        let len = stranger.message.len();
        if self.strangers.len() >= limits::SHARES_HELD || self.bytes + len > limits::HELD_BYTES {
            return false;
        }
        self.bytes += len;
        self.strangers.push_back((now, stranger));
        true
    }

    /// Takes everything that waits for a member.
    pub fn take(&mut self, whom: (NetworkId, Address)) -> VecDeque<(Mono, HeldFrame)> {
        let queue = self.queues.remove(&whom).unwrap_or_default();
        for (_, frame) in &queue {
            self.leave(frame);
        }
        queue
    }

    /// Takes the first frame that waits for replicators of a network, or has waited long enough.
    pub fn take_share(
        &mut self,
        now: Mono,
        ready: Option<NetworkId>,
    ) -> Option<(NetworkId, HeldFrame)> {
        let due = self.shares.iter().position(|(since, network, _)| {
            Some(*network) == ready || now.since(*since) >= limits::SHARES_HELD_FOR
        });
        let (_, network, frame) = self.shares.remove(due?)?;
        self.leave(&frame);
        Some((network, frame))
    }

    /// Takes the first frame that waits for this member's certificate.
    pub fn take_stranger(&mut self, network: NetworkId, origin: Address) -> Option<Stranger> {
        let found = self
            .strangers
            .iter()
            .position(|(_, known)| (known.network, known.origin) == (network, origin));
        let (_, stranger) = self.strangers.remove(found?)?;
        self.bytes -= stranger.message.len();
        Some(stranger)
    }

    /// Drops frames that are too old; says how many.
    pub fn expire(&mut self, now: Mono) -> usize {
        let mut old = VecDeque::new();
        self.queues.retain(|_, queue| {
            while let Some((_, frame)) = old_front(queue, now) {
                old.push_back(frame);
            }
            !queue.is_empty()
        });
        let mut dropped = old.len();
        for frame in &old {
            self.leave(frame);
        }
        while let Some((_, stranger)) = old_front(&mut self.strangers, now) {
            self.bytes -= stranger.message.len();
            dropped += 1;
        }
        dropped
    }

    /// Counts a frame that begins to wait; false when there is no room for its bytes.
    fn enter(&mut self, frame: &HeldFrame) -> bool {
        let waiting = self.waiting.entry(frame.place()).or_insert(0);
        if *waiting == 0 {
            if self.bytes + frame.bytes.len() > limits::HELD_BYTES {
                self.waiting.remove(&frame.place());
                return false;
            }
            self.bytes += frame.bytes.len();
        }
        *waiting += 1;
        true
    }

    /// Counts a frame that waits no longer for somebody.
    fn leave(&mut self, frame: &HeldFrame) {
        let Some(waiting) = self.waiting.get_mut(&frame.place()) else {
            return;
        };
        *waiting -= 1;
        if *waiting == 0 {
            self.waiting.remove(&frame.place());
            self.bytes -= frame.bytes.len();
        }
    }

    /// When the oldest frame is too old.
    pub fn next_deadline(&self) -> Option<Mono> {
        let queues = self.queues.values().filter_map(|queue| queue.front());
        let strangers = self.strangers.front().map(|(since, _)| since);
        queues
            .map(|(since, _)| since)
            .chain(strangers)
            .map(|since| *since + limits::HELD_FOR)
            .chain(
                self.shares
                    .front()
                    .map(|(since, _, _)| *since + limits::SHARES_HELD_FOR),
            )
            .min()
    }
}

/// Takes the first that has waited too long.
fn old_front<T>(queue: &mut VecDeque<(Mono, T)>, now: Mono) -> Option<(Mono, T)> {
    let (since, _) = queue.front()?;
    if now.since(*since) < limits::HELD_FOR {
        return None;
    }
    queue.pop_front()
}

impl HeldFrame {
    /// A copy of a frame, ours or one that we pass on.
    pub fn of(frame: &TapFrame<'_>, origin: Option<Address>) -> Self {
        Self {
            bytes: frame.bytes.into(),
            offload: frame.offload,
            origin,
        }
    }

    /// Where its bytes are: the same for everybody it waits for, another for each other frame that waits.
    fn place(&self) -> usize {
        Arc::as_ptr(&self.bytes).cast::<u8>().addr()
    }

    /// The frame.
    pub fn frame(&self) -> TapFrame<'_> {
        TapFrame {
            bytes: &self.bytes,
            offload: self.offload,
        }
    }
}

impl Engine {
    /// Keeps a frame for a member that `Note::Unready` named.
    pub fn hold(&mut self, now: Now, network: NetworkId, address: Address, frame: &HeldFrame) {
        let kept = self.held.keep(now.mono, (network, address), frame);
        self.kept(kept, now.mono + limits::HELD_FOR);
    }

    /// Keeps a frame that `Note::Unshared` named.
    pub fn hold_share(&mut self, now: Now, network: NetworkId, frame: &HeldFrame) {
        let kept = self.held.keep_share(now.mono, network, frame);
        self.kept(kept, now.mono + limits::SHARES_HELD_FOR);
    }

    /// Keeps a frame whose origin has no certificate here, and asks who passed it on.
    pub fn hold_stranger(&mut self, now: Now, stranger: Stranger, out: &mut Outbox) {
        let (network, origin) = (stranger.network, stranger.origin);
        let Some(via) = self.label(stranger.peer) else {
            return;
        };
        let kept = self.held.keep_stranger(now.mono, stranger);
        self.kept(kept, now.mono + limits::HELD_FOR);
        if kept {
            self.networks
                .unvouched(now, via, (network, origin), &mut self.actions);
            self.act(now, out);
        }
    }

    fn kept(&mut self, kept: bool, until: Mono) {
        if kept {
            self.deadlines.set_earlier(Timer::Held, until);
        } else {
            self.drop(DropReason::QueueFull);
        }
    }

    /// The member is ready: what waited for it leaves, in order.
    pub(crate) fn flush(&mut self, network: NetworkId, address: Address, out: &mut Outbox) {
        for (_, frame) in self.held.take((network, address)) {
            out.push(Out::Frame {
                network,
                address,
                frame,
            });
        }
    }

    /// A replicator of the network is ready: what waited for one leaves.
    pub(crate) fn flush_shares(&mut self, now: Now, network: NetworkId, out: &mut Outbox) {
        while let Some((network, frame)) = self.held.take_share(now.mono, Some(network)) {
            out.push(Out::Share { network, frame });
        }
    }

    /// The member's certificate is here: its frames enter.
    pub(crate) fn welcome(&mut self, network: NetworkId, origin: Address, out: &mut Outbox) {
        while let Some(stranger) = self.held.take_stranger(network, origin) {
            out.push(Out::Enter(stranger));
        }
    }

    /// The member will not become ready: what waited for it is dropped.
    pub(crate) fn discard(&mut self, network: NetworkId, address: Address) {
        for _ in self.held.take((network, address)) {
            self.drop(DropReason::QueueExpired);
        }
    }

    pub(crate) fn expire_held(&mut self, now: Now, out: &mut Outbox) {
        for _ in 0..self.held.expire(now.mono) {
            self.drop(DropReason::QueueExpired);
        }
        while let Some((network, frame)) = self.held.take_share(now.mono, None) {
            out.push(Out::Share { network, frame });
        }
        if let Some(at) = self.held.next_deadline() {
            self.deadlines.set(Timer::Held, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whom(n: u8) -> (NetworkId, Address) {
        let address = Address::from_bytes([1, 0, 0, 0, n]).expect("an address");
        (NetworkId::new(address, 1).expect("a network"), address)
    }

    #[test]
    fn frames_come_back_in_order_and_once() {
        let mut held = Held::default();
        for n in 0..3 {
            let frame = HeldFrame::of(&TapFrame::plain(&[n]), None);
            assert!(held.keep(Mono::ZERO, whom(1), &frame));
        }
        let order: Vec<u8> = held
            .take(whom(1))
            .iter()
            .map(|(_, frame)| frame.bytes[0])
            .collect();
        assert_eq!(order, [0, 1, 2]);
        assert!(held.take(whom(1)).is_empty());
        assert_eq!(held.bytes, 0);
    }

    #[test]
    fn the_queue_is_bounded_in_frames_and_bytes() {
        let mut held = Held::default();
        let kept = (0..1_000)
            .filter(|_| {
                let frame = HeldFrame::of(&TapFrame::plain(&[0; 100]), None);
                held.keep(Mono::ZERO, whom(1), &frame)
            })
            .count();
        assert_eq!(kept, limits::HELD_FRAMES_PER_PEER);
        let large = std::vec![0; 65_000];
        for n in 2..200 {
            let frame = HeldFrame::of(&TapFrame::plain(&large), None);
            held.keep(Mono::ZERO, whom(n), &frame);
        }
        assert!(held.bytes <= limits::HELD_BYTES);
        let count: usize = held.queues.values().map(VecDeque::len).sum();
        assert_eq!(held.expire(Mono::ZERO + limits::HELD_FOR), count);
        assert_eq!((held.bytes, held.next_deadline()), (0, None));
    }

    #[test]
    fn a_frame_for_a_thousand_members_takes_the_memory_of_one() {
        let mut held = Held::default();
        let frame = HeldFrame::of(&TapFrame::plain(&[7; 1_514]), None);
        for n in 0..=250 {
            assert!(held.keep(Mono::ZERO, whom(n), &frame));
        }
        assert_eq!(held.bytes, 1_514);
        drop(frame);
        let taken: Vec<_> = (0..250).map(|n| held.take(whom(n))).collect();
        assert!(taken.iter().all(|queue| queue.len() == 1));
        assert_eq!(held.bytes, 1_514, "one still waits");
        assert_eq!(held.expire(Mono::ZERO + limits::HELD_FOR), 1);
        assert_eq!(held.bytes, 0);
    }
}
