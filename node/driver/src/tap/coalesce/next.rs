//! What the next segment of a flow looks like, so that it is known at a glance.
//!
//! Owner: the coalescer. In: the headers of a frame that grows. Out: whether a frame is exactly its next full segment.
//! Never: a frame that the long way would not have joined; the last one of a super frame, which is the long way's.

use zt_engine::likeness::Likeness;
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
    /// Its headers.
    likeness: Likeness,
}

impl Next {
    /// What follows a frame with these headers and segments of this length, if its headers are no longer than usual.
    pub fn of(index: usize, shape: Shape, head: &[u8], segment: usize) -> Option<Self> {
        let mut first = [0; Likeness::SPAN];
        first
            .get_mut(..shape.payload)?
            .copy_from_slice(head.get(..shape.payload)?);
        let likeness = Likeness::of(&first, shape.payload, [], shape.numbers())?;
        let (start, offset) = shape.checksum();
        Some(Self {
            index,
            shape,
            length: shape.payload + segment,
            offload: Offload::Checksum { start, offset },
            likeness,
        })
    }

    /// Whether this frame is it, where `sequence` comes next. Its checksum has to be open: then the seal vouches for
    /// it, and there is nothing to add up.
    pub fn is(&self, frame: &[u8], offload: Offload, sequence: u32) -> bool {
        let alike = frame.len() == self.length && offload == self.offload;
        if !alike || !self.likeness.holds(frame) {
            return false;
        }
        let shape = self.shape;
        let numbered = match shape.flow.protocol {
            Protocol::Tcp => shape.sequence(frame) == sequence,
            // Without checksum it is another kind of datagram.
            Protocol::Udp => shape.has_checksum(frame),
        };
        let sound = shape.flow.v6 || fold(sum(&frame[ETHERNET..shape.flow.transport])) == 0xffff;
        numbered && sound
    }
}
