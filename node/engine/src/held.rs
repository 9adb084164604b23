//! Frames for members that are not ready yet: kept in order, bounded, sent once the member is.
//!
//! Owner: the engine. In: frames the shard could not send. Out: the same frames, in the same order.
//! Never: more than the limits; a frame older than `limits::HELD_FOR`.

use std::collections::{BTreeMap, VecDeque};

use zt_wire::{Address, NetworkId};

use crate::counters::DropReason;
use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::limits;
use crate::outbox::{HeldFrame, Out, Outbox};
use crate::shard::TapFrame;
use crate::time::{Mono, Now};

/// Frames that wait.
#[derive(Debug, Default)]
pub struct Held {
    queues: BTreeMap<(NetworkId, Address), VecDeque<(Mono, HeldFrame)>>,
    bytes: usize,
}

impl Held {
    /// Keeps a copy of a frame; false when there is no room.
    pub fn keep(&mut self, now: Mono, whom: (NetworkId, Address), frame: &TapFrame<'_>) -> bool {
        if self.bytes + frame.bytes.len() > limits::HELD_BYTES {
            return false;
        }
        let queue = self.queues.entry(whom).or_default();
        if queue.len() >= limits::HELD_FRAMES_PER_PEER {
            return false;
        }
        self.bytes += frame.bytes.len();
        queue.push_back((
            now,
            HeldFrame {
                bytes: frame.bytes.to_vec(),
                offload: frame.offload,
            },
        ));
        true
    }

    /// Takes everything that waits for a member.
    pub fn take(&mut self, whom: (NetworkId, Address)) -> VecDeque<(Mono, HeldFrame)> {
        let queue = self.queues.remove(&whom).unwrap_or_default();
        self.bytes -= queue
            .iter()
            .map(|(_, frame)| frame.bytes.len())
            .sum::<usize>();
        queue
    }

    /// Drops frames that are too old; says how many.
    pub fn expire(&mut self, now: Mono) -> usize {
        let mut dropped = 0;
        let bytes = &mut self.bytes;
        self.queues.retain(|_, queue| {
            while let Some((since, frame)) = queue.front()
                && now.since(*since) >= limits::HELD_FOR
            {
                *bytes -= frame.bytes.len();
                dropped += 1;
                queue.pop_front();
            }
            !queue.is_empty()
        });
        dropped
    }

    /// When the oldest frame is too old.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.queues
            .values()
            .filter_map(|queue| queue.front())
            .map(|(since, _)| *since + limits::HELD_FOR)
            .min()
    }
}

impl Engine {
    /// Keeps a copy of a frame for a member that `Note::Unready` named.
    pub fn hold(&mut self, now: Now, network: NetworkId, address: Address, frame: &TapFrame<'_>) {
        if self.held.keep(now.mono, (network, address), frame) {
            self.deadlines
                .set_earlier(Timer::Held, now.mono + limits::HELD_FOR);
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

    /// The member will not become ready: what waited for it is dropped.
    pub(crate) fn discard(&mut self, network: NetworkId, address: Address) {
        for _ in self.held.take((network, address)) {
            self.drop(DropReason::QueueExpired);
        }
    }

    pub(crate) fn expire_held(&mut self, now: Now) {
        for _ in 0..self.held.expire(now.mono) {
            self.drop(DropReason::QueueExpired);
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
            assert!(held.keep(Mono::ZERO, whom(1), &TapFrame::plain(&[n])));
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
            .filter(|_| held.keep(Mono::ZERO, whom(1), &TapFrame::plain(&[0; 100])))
            .count();
        assert_eq!(kept, limits::HELD_FRAMES_PER_PEER);
        let large = std::vec![0; 65_000];
        for n in 2..200 {
            held.keep(Mono::ZERO, whom(n), &TapFrame::plain(&large));
        }
        assert!(held.bytes <= limits::HELD_BYTES);
        let count: usize = held.queues.values().map(VecDeque::len).sum();
        assert_eq!(held.expire(Mono::ZERO + limits::HELD_FOR), count);
        assert_eq!((held.bytes, held.next_deadline()), (0, None));
    }
}
