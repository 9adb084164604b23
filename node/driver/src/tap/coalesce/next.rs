//! What the next segment of a flow looks like, so that it is known at a glance.
//!
//! Owner: the coalescer. In: the headers of a frame that grows. Out: whether a frame is exactly its next full segment.
//! Never: a frame that the long way would not have joined; the last one of a super frame, which is the long way's.

use zt_engine::shard::Offload;

use super::super::checksum::{fold, sum};
use super::super::flow::{ETHERNET, Protocol, Shape};

/// The next full segment.
#[derive(Clone, Debug)]
pub struct Next {
    /// Which of the waiting frames it belongs to.
    pub index: usize,
    shape: Shape,
    /// Bytes of the whole frame.
    length: usize,
    offload: Offload,
    /// The headers where they have to be the same, zero elsewhere.
    head: [u64; WORDS],
    mask: [u64; WORDS],
}

impl Next {
    /// What follows a frame with these headers and segments of this length, if its headers are no longer than usual.
    pub fn of(index: usize, shape: Shape, head: &[u8], segment: usize) -> Option<Self> {
        let mut mask = [0_u8; SPAN];
        mask.get_mut(..shape.payload)?.fill(u8::MAX);
        for range in shape.numbers() {
            mask.get_mut(range)?.fill(0);
        }
        let mut template = [0; SPAN];
        template
            .get_mut(..shape.payload)?
            .copy_from_slice(head.get(..shape.payload)?);
        let mask = words(&mask);
        let mut head = words(&template);
        for (word, mask) in head.iter_mut().zip(mask) {
            *word &= mask;
        }
        let (start, offset) = shape.checksum();
        Some(Self {
            index,
            shape,
            length: shape.payload + segment,
            offload: Offload::Checksum { start, offset },
            head,
            mask,
        })
    }

    /// Whether this frame is it, where `sequence` comes next. Its checksum has to be open: then the seal vouches for
    /// it, and there is nothing to add up.
    pub fn is(&self, frame: &[u8], offload: Offload, sequence: u32) -> bool {
        if frame.len() != self.length || offload != self.offload {
            return false;
        }
        let (chunks, _) = frame.as_chunks::<8>();
        let Some(chunks) = chunks.first_chunk::<WORDS>() else {
            return false;
        };
        let other = chunks.iter().zip(&self.head).zip(&self.mask);
        let other = other.fold(0, |other, ((chunk, head), mask)| {
            other | ((u64::from_ne_bytes(*chunk) & mask) ^ head)
        });
        let shape = self.shape;
        let numbered = match shape.flow.protocol {
            Protocol::Tcp => shape.sequence(frame) == sequence,
            // Without checksum it is another kind of datagram.
            Protocol::Udp => shape.has_checksum(frame),
        };
        let sound = shape.flow.v6 || fold(sum(&frame[ETHERNET..shape.flow.transport])) == 0xffff;
        other == 0 && numbered && sound
    }
}

fn words(bytes: &[u8; SPAN]) -> [u64; WORDS] {
    let (chunks, _) = bytes.as_chunks::<8>();
    let mut words = [0; WORDS];
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u64::from_ne_bytes(*chunk);
    }
    words
}

/// Words compared: Ethernet, IPv6 and TCP with timestamps have 86 bytes.
const WORDS: usize = 11;
const SPAN: usize = WORDS * 8;
