//! Initiations of which one part has come: the bounded table that waits for the other.
//!
//! Owner: the handshakes. In: parts with a proven cookie. Out: both halves together, once.
//! Never: a part without a cookie; more than `limits::INIT_PARTS` halves.

use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

use crate::limits;
use crate::shard::Path;
use crate::time::Mono;

/// What both parts of one initiation share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartKey {
    /// Where it comes from.
    pub path: Path,
    /// The initiator's session index.
    pub sender: u32,
    /// The initiator's ephemeral key.
    pub ephemeral: [u8; 32],
}

/// Half-received initiations.
#[derive(Debug, Default)]
pub struct Parts {
    halves: BTreeMap<PartKey, Half>,
    order: VecDeque<(Mono, PartKey)>,
    forgotten: u64,
}

#[derive(Debug)]
struct Half {
    part: u8,
    bytes: Vec<u8>,
}

impl Parts {
    /// Takes a part (0 or 1); gives part 0 and part 1 joined when both are here. A repeated part changes nothing.
    pub fn take(&mut self, now: Mono, key: PartKey, part: u8, bytes: &[u8]) -> Option<Vec<u8>> {
        match self.halves.get(&key) {
            Some(half) if half.part == part => None,
            Some(_) => {
                let half = self.halves.remove(&key)?;
                let (first, second) = if part == 0 {
                    (bytes, &half.bytes[..])
                } else {
                    (&half.bytes[..], bytes)
                };
                Some([first, second].concat())
            }
            None => {
                self.expire(now);
                if self.halves.len() >= limits::INIT_PARTS
                    && let Some((_, oldest)) = self.order.pop_front()
                {
                    self.forgotten += u64::from(self.halves.remove(&oldest).is_some());
                }
                self.order.push_back((now, key));
                self.halves.insert(
                    key,
                    Half {
                        part,
                        bytes: bytes.to_vec(),
                    },
                );
                None
            }
        }
    }

    /// Forgets halves that waited too long, and the order of those already joined.
    pub fn expire(&mut self, now: Mono) {
        while let Some((since, key)) = self.order.front() {
            let old = now.since(*since) >= limits::INIT_PART_FOR;
            if !old && self.halves.contains_key(key) {
                return;
            }
            self.forgotten += u64::from(self.halves.remove(key).is_some());
            self.order.pop_front();
        }
    }

    /// How many halves were forgotten since this was last asked.
    pub const fn forgotten(&mut self) -> u64 {
        core::mem::replace(&mut self.forgotten, 0)
    }

    /// When the oldest half is to be forgotten.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.order
            .front()
            .map(|(since, _)| *since + limits::INIT_PART_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sender: u32) -> PartKey {
        PartKey {
            path: Path::Direct(([192, 0, 2, 1], 7).into()),
            sender,
            ephemeral: [3; 32],
        }
    }

    #[test]
    fn two_parts_in_either_order_make_one_message() {
        let mut parts = Parts::default();
        assert_eq!(parts.take(Mono::ZERO, key(1), 1, b"world"), None);
        assert_eq!(parts.take(Mono::ZERO, key(1), 1, b"world"), None);
        assert_eq!(
            parts.take(Mono::ZERO, key(1), 0, b"hello "),
            Some(b"hello world".to_vec())
        );
        assert_eq!(parts.take(Mono::ZERO, key(2), 0, b"a"), None);
        assert_eq!(
            parts.take(Mono::ZERO, key(3), 1, b"b"),
            None,
            "another sender index is another message"
        );
    }

    #[test]
    fn halves_are_bounded_and_forgotten() {
        let mut parts = Parts::default();
        for sender in 0..10_000 {
            parts.take(Mono::ZERO, key(sender), 0, b"x");
        }
        assert_eq!(parts.halves.len(), limits::INIT_PARTS);
        parts.expire(Mono::ZERO + limits::INIT_PART_FOR);
        assert!(parts.halves.is_empty() && parts.order.is_empty());
    }
}
