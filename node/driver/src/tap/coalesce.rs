//! What waits for a device: frames of one round in their order, neighbours of a flow joined to super frames.
//!
//! Owner: a device. In: frames, in order. Out: frames and super frames, each flow in its order, payload where it came.
//! Never: a copy of a payload that is worth a slice of its own; a slice kept beyond the buffer's next filling.

mod next;

use std::ops::Range;

use zt_engine::shard::{Offload, TapFrame};

use self::next::Next;
use super::flow::{Flow, LARGEST, Protocol, Shape};
use super::header::{GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VirtioHeader};

/// The frames that wait for a device.
#[derive(Debug, Default)]
pub struct Coalescer {
    /// The first `used` ones wait; the others keep their memory for the next.
    waiting: Vec<Waiting>,
    used: usize,
    /// Which of them may still grow.
    open: Vec<usize>,
    /// What the one that grew last grows by.
    next: Option<Next>,
}

/// The buffer that datagrams are received into, as a place: what lies in it need not be copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arena {
    start: usize,
    length: usize,
}

/// Which neighbours are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joins {
    /// TCP segments.
    pub tcp: bool,
    /// UDP datagrams of one size.
    pub udp: bool,
}

/// A frame or a super frame: first what is held here, then pieces of the arena.
#[derive(Debug, Default)]
pub struct Waiting {
    head: Vec<u8>,
    pieces: Vec<Range<usize>>,
    header: VirtioHeader,
    growth: Option<Growth>,
    count: usize,
}

/// How a frame may grow to a super frame.
#[derive(Clone, Copy, Debug)]
struct Growth {
    shape: Shape,
    length: usize,
    next: u32,
    segment: usize,
    copies: bool,
}

impl Arena {
    /// The place of a buffer.
    pub fn of(buffer: &[u8]) -> Self {
        Self {
            start: buffer.as_ptr().addr(),
            length: buffer.len(),
        }
    }

    /// Where in the buffer these bytes are.
    fn place(self, bytes: &[u8]) -> Option<Range<usize>> {
        let start = bytes.as_ptr().addr().checked_sub(self.start)?;
        let end = start.checked_add(bytes.len())?;
        (end <= self.length).then_some(start..end)
    }
}

impl Coalescer {
    /// Takes a frame that goes on exactly where the last one ended. Any other is for [`Self::take`].
    pub fn follow(&mut self, frame: TapFrame<'_>, arena: Arena) -> bool {
        let Some(next) = &self.next else {
            return false;
        };
        let Some(waiting) = self.waiting.get_mut(next.index) else {
            return false;
        };
        let place = arena.place(frame.bytes);
        place.is_some_and(|place| {
            waiting
                .growth
                .is_some_and(|growth| next.is(frame.bytes, frame.offload, growth.next))
                && waiting.extend(place)
        })
    }

    /// Takes a frame that is to be written behind `header` if nothing is joined to it.
    pub fn take(&mut self, frame: TapFrame<'_>, header: VirtioHeader, arena: Arena, joins: Joins) {
        self.next = None;
        let Some(flow) = Flow::of(frame.bytes) else {
            // It may belong to any of the flows, so it overtakes none of them.
            self.open.clear();
            return self.whole(frame, header, arena);
        };
        let joins = match flow.protocol {
            Protocol::Tcp => joins.tcp,
            Protocol::Udp => joins.udp,
        };
        let Some(shape) = Shape::of(frame, flow).filter(|_| joins) else {
            if let Some(at) = self.find(flow, frame.bytes) {
                self.open.remove(at);
            }
            return self.whole(frame, header, arena);
        };
        let place = arena.place(frame.bytes);
        if let Some(at) = self.find(flow, frame.bytes) {
            let place = place.clone().map(|place| place.start);
            let index = self.open[at];
            match self.waiting[index].append(frame.bytes, shape, place) {
                Fit::More => {
                    self.next = self.waiting[index].next(index);
                    return;
                }
                Fit::Last => {
                    self.open.remove(at);
                    return;
                }
                Fit::No => {
                    self.open.remove(at);
                }
            }
        }
        let pushed = shape.is_pushed(frame.bytes);
        let index = self.next();
        self.waiting[index].begin(frame.bytes, shape, header, place);
        if !pushed {
            if self.open.len() == FLOWS {
                self.open.remove(0);
            }
            self.open.push(index);
            self.next = self.waiting[index].next(index);
        }
    }

    /// Gives out everything that waits, in order. `arena` is what [`Arena::of`] was made of.
    pub fn flush(&mut self, arena: &[u8], mut give: impl FnMut(&Waiting, &[u8])) {
        self.open.clear();
        self.next = None;
        for waiting in &mut self.waiting[..self.used] {
            waiting.finish();
            give(waiting, arena);
            waiting.clear();
        }
        self.used = 0;
        self.waiting.truncate(KEPT);
    }

    /// Whether anything waits.
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// A frame that nothing can be joined to.
    fn whole(&mut self, frame: TapFrame<'_>, header: VirtioHeader, arena: Arena) {
        let index = self.next();
        let waiting = &mut self.waiting[index];
        waiting.header = header;
        waiting.count = 1;
        match arena.place(frame.bytes) {
            Some(place) => waiting.pieces.push(place),
            None => waiting.head.extend_from_slice(frame.bytes),
        }
    }

    fn find(&self, flow: Flow, frame: &[u8]) -> Option<usize> {
        self.open.iter().position(|index| {
            let waiting = &self.waiting[*index];
            waiting
                .growth
                .is_some_and(|growth| growth.shape.flow.is_same(&waiting.head, flow, frame))
        })
    }

    fn next(&mut self) -> usize {
        let index = self.used;
        if index == self.waiting.len() {
            self.waiting.push(Waiting::default());
        }
        self.used += 1;
        index
    }
}

/// Whether a frame could be appended.
enum Fit {
    More,
    /// It could, and nothing may follow.
    Last,
    No,
}

impl Waiting {
    fn begin(
        &mut self,
        frame: &[u8],
        shape: Shape,
        header: VirtioHeader,
        place: Option<Range<usize>>,
    ) {
        let segment = frame.len() - shape.payload;
        let copies = place.is_none() || segment < SLICE;
        self.header = header;
        self.count = 1;
        match place {
            Some(place) if !copies => {
                self.head.extend_from_slice(&frame[..shape.payload]);
                self.pieces.push(place.start + shape.payload..place.end);
            }
            _ => self.head.extend_from_slice(frame),
        }
        self.growth = Some(Growth {
            shape,
            length: frame.len(),
            next: shape.sequence(frame).wrapping_add(len32(segment)),
            segment,
            copies,
        });
    }

    fn append(&mut self, frame: &[u8], shape: Shape, place: Option<usize>) -> Fit {
        let Some(growth) = &mut self.growth else {
            return Fit::No;
        };
        let payload = frame.len() - shape.payload;
        let follows = shape.flow.protocol == Protocol::Udp || shape.sequence(frame) == growth.next;
        let fits = follows
            && shape == growth.shape
            && payload <= growth.segment
            && growth.length + payload <= LARGEST
            && self.count < SEGMENTS
            && (growth.copies || place.is_some())
            && shape.same_headers(&self.head, frame);
        if !fits {
            return Fit::No;
        }
        match place {
            Some(place) if !growth.copies => {
                self.pieces.push(place + shape.payload..place + frame.len());
            }
            _ => self.head.extend_from_slice(&frame[shape.payload..]),
        }
        growth.next = growth.next.wrapping_add(len32(payload));
        growth.length += payload;
        self.count += 1;
        let pushed = shape.is_pushed(frame);
        if pushed {
            shape.push(&mut self.head);
        }
        // A shorter segment is the last one by the kernel's rule, a pushed one by the sender's wish.
        if payload < growth.segment || pushed {
            Fit::Last
        } else {
            Fit::More
        }
    }

    /// What it grows by next, where its segments stay where they came.
    fn next(&self, index: usize) -> Option<Next> {
        let growth = self.growth.filter(|growth| !growth.copies)?;
        Next::of(index, growth.shape, &self.head, growth.segment)
    }

    /// Appends the segment that [`Next`] has found to be the next one, if there is room.
    fn extend(&mut self, place: Range<usize>) -> bool {
        let Some(growth) = &mut self.growth else {
            return false;
        };
        let fits = growth.length + growth.segment <= LARGEST && self.count < SEGMENTS;
        if fits {
            growth.next = growth.next.wrapping_add(len32(growth.segment));
            growth.length += growth.segment;
            self.count += 1;
            self.pieces
                .push(place.start + growth.shape.payload..place.end);
        }
        fits
    }

    /// Makes the headers of a super frame, where it became one.
    fn finish(&mut self) {
        let Some(growth) = self.growth.filter(|_| self.count > 1) else {
            return;
        };
        let Shape { flow, payload } = growth.shape;
        growth.shape.span(&mut self.head, growth.length);
        let kind = match (flow.protocol, flow.v6) {
            (Protocol::Udp, _) => GSO_UDP_L4,
            (Protocol::Tcp, false) => GSO_TCPV4,
            (Protocol::Tcp, true) => GSO_TCPV6,
        };
        self.header = VirtioHeader {
            flags: NEEDS_CSUM,
            kind,
            headers: len16(payload),
            segment: len16(growth.segment),
            start: len16(flow.transport),
            offset: len16(flow.protocol.checksum()),
        };
    }

    fn clear(&mut self) {
        self.head.clear();
        self.head.shrink_to(HEAD_KEPT);
        self.pieces.clear();
        self.growth = None;
    }

    /// What goes in front.
    pub const fn header(&self) -> VirtioHeader {
        self.header
    }

    /// How many frames it is made of.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// What it is as a frame of one segment size, where it is a super frame.
    pub fn offload(&self) -> Option<Offload> {
        let growth = self.growth.filter(|_| self.count > 1)?;
        let segment = len16(growth.segment);
        Some(match growth.shape.flow.protocol {
            Protocol::Tcp => Offload::Tcp { segment },
            Protocol::Udp => Offload::Udp { segment },
        })
    }

    /// Its bytes, one part after the other; at most [`PARTS`].
    pub fn parts<'a>(&'a self, arena: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        // All pieces are inside: that is where they were found.
        let pieces = self.pieces.iter();
        let pieces = pieces.filter_map(|piece| arena.get(piece.clone()));
        std::iter::once(self.head.as_slice())
            .filter(|head| !head.is_empty())
            .chain(pieces)
    }
}

fn len16(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn len32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Most segments of a super frame, as many as the kernel itself joins of UDP (`UDP_GRO_CNT_MAX`).
const SEGMENTS: usize = 64;
/// Most parts of a frame.
pub const PARTS: usize = SEGMENTS + 1;
/// Flows that may grow at once; looking through more costs more than joining them saves.
const FLOWS: usize = 8;
/// Payloads shorter than this are copied: the kernel's work per part is more than the copy.
const SLICE: usize = 256;
/// Frames whose memory is kept between rounds, and how much of each.
const KEPT: usize = 64;
const HEAD_KEPT: usize = 16 << 10;

#[cfg(test)]
mod tests;
