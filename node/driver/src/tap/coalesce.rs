//! Puts neighbours of one TCP flow back together, so that the kernel takes them as one super frame.
//!
//! Owner: a device. In: frames of one round, in order. Out: frames and super frames, each flow in its order.
//! Never: a frame whose checksum does not hold inside one whose checksum the kernel will make anew.

use zt_engine::shard::{Offload, TapFrame};

use super::checksum::{self, fold, sum};
use super::header::{GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, VirtioHeader};

/// Super frames in the making, one per flow.
#[derive(Debug, Default)]
pub struct Coalescer {
    flows: Vec<Super>,
    spare: Vec<Vec<u8>>,
}

/// A frame on its way to becoming a super frame.
#[derive(Debug)]
struct Super {
    bytes: Vec<u8>,
    shape: Shape,
    next: u32,
    segment: usize,
    count: usize,
    complete: bool,
    closed: bool,
}

/// Where things are in a TCP frame that may be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    v6: bool,
    transport: usize,
    payload: usize,
}

/// What the coalescer does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is kept; `Coalescer::flush` gives it out.
    Kept,
    /// It is to be written at once: nothing of its flow waits any more.
    Pass,
}

impl Coalescer {
    /// Takes a frame, or says that it is to be written as it is. Whatever of its flow has to go before is written by `write`.
    pub fn take(
        &mut self,
        frame: TapFrame<'_>,
        write: &mut impl FnMut(VirtioHeader, &[u8]),
    ) -> Taken {
        let Some(flow) = flow_of(frame.bytes) else {
            return Taken::Pass;
        };
        let waiting = self
            .flows
            .iter()
            .position(|other| other.shape.is_same_flow(&other.bytes, &flow, frame.bytes));
        let shape = shape_of(frame.bytes, flow).filter(|shape| is_sound(frame, *shape));
        let Some(shape) = shape else {
            if let Some(index) = waiting {
                self.give(index, write);
            }
            return Taken::Pass;
        };
        if let Some(index) = waiting {
            if self.flows[index].append(frame.bytes, shape) {
                return Taken::Kept;
            }
            self.give(index, write);
        }
        if self.flows.len() == FLOWS {
            self.give(0, write);
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(frame.bytes);
        self.flows
            .push(Super::new(bytes, shape, frame.offload == Offload::None));
        Taken::Kept
    }

    /// Gives out everything that waits.
    pub fn flush(&mut self, write: &mut impl FnMut(VirtioHeader, &[u8])) {
        while !self.flows.is_empty() {
            self.give(0, write);
        }
    }

    fn give(&mut self, index: usize, write: &mut impl FnMut(VirtioHeader, &[u8])) {
        let mut whole = self.flows.remove(index);
        let header = whole.finish();
        write(header, &whole.bytes);
        whole.bytes.clear();
        self.spare.push(whole.bytes);
    }
}

impl Super {
    fn new(bytes: Vec<u8>, shape: Shape, complete: bool) -> Self {
        let segment = bytes.len() - shape.payload;
        let next = sequence(&bytes, shape).wrapping_add(len32(segment));
        let closed = bytes[shape.transport + FLAGS] & PSH != 0;
        Self {
            bytes,
            shape,
            next,
            segment,
            count: 1,
            complete,
            closed,
        }
    }

    /// Appends the next segment of the flow; says whether it could.
    fn append(&mut self, frame: &[u8], shape: Shape) -> bool {
        let payload = &frame[shape.payload..];
        let fits = !self.closed
            && shape == self.shape
            && payload.len() <= self.segment
            && self.bytes.len() + payload.len() <= LARGEST
            && sequence(frame, shape) == self.next
            && self.shape.same_headers(&self.bytes, frame);
        if !fits {
            return false;
        }
        self.next = self.next.wrapping_add(len32(payload.len()));
        self.bytes.extend_from_slice(payload);
        self.count += 1;
        let pushed = frame[shape.transport + FLAGS] & PSH;
        self.bytes[shape.transport + FLAGS] |= pushed;
        // A shorter segment is the last one by the kernel's rule, a pushed one by the sender's wish.
        self.closed = payload.len() < self.segment || pushed != 0;
        true
    }

    /// Writes lengths and the pseudo header's sum; the kernel makes the checksums of the segments from it.
    fn finish(&mut self) -> VirtioHeader {
        let Shape {
            v6,
            transport,
            payload,
        } = self.shape;
        if self.count == 1 && self.complete {
            return VirtioHeader::default();
        }
        let length = self.bytes.len() - transport;
        let ip = if v6 {
            put16(&mut self.bytes, ETHERNET + 4, length);
            ETHERNET + 8..ETHERNET + 40
        } else {
            let total = self.bytes.len() - ETHERNET;
            put16(&mut self.bytes, ETHERNET + 2, total);
            put16(&mut self.bytes, ETHERNET + 10, 0);
            let header = !fold(sum(&self.bytes[ETHERNET..transport]));
            self.bytes[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&header.to_be_bytes());
            ETHERNET + 12..ETHERNET + 20
        };
        let pseudo = fold(sum(&self.bytes[ip]) + TCP + length as u64);
        self.bytes[transport + CHECKSUM..transport + CHECKSUM + 2]
            .copy_from_slice(&pseudo.to_be_bytes());
        let plain = VirtioHeader {
            flags: NEEDS_CSUM,
            start: len16(transport),
            offset: len16(CHECKSUM),
            ..VirtioHeader::default()
        };
        if self.count == 1 {
            return plain;
        }
        VirtioHeader {
            kind: if v6 { GSO_TCPV6 } else { GSO_TCPV4 },
            headers: len16(payload),
            segment: len16(self.segment),
            ..plain
        }
    }
}

impl Shape {
    /// Where the IP packet ends, by its own length.
    fn end(self, frame: &[u8]) -> usize {
        let (field, base) = if self.v6 {
            (ETHERNET + 4, ETHERNET + 40)
        } else {
            (ETHERNET + 2, ETHERNET)
        };
        base + usize::from(be16(frame, field))
    }

    fn is_same_flow(self, ours: &[u8], flow: &Flow, frame: &[u8]) -> bool {
        let addresses = if self.v6 {
            ETHERNET + 8..ETHERNET + 40
        } else {
            ETHERNET + 12..ETHERNET + 20
        };
        self.v6 == flow.v6
            && ours[addresses.clone()] == frame[addresses]
            && ours[self.transport..self.transport + 4] == frame[flow.transport..flow.transport + 4]
    }

    /// Whether all that one header can say once is the same: MACs, class of service, life time, acknowledgement, window, options.
    fn same_headers(self, ours: &[u8], frame: &[u8]) -> bool {
        let ip = if self.v6 {
            ours[ETHERNET..ETHERNET + 4] == frame[ETHERNET..ETHERNET + 4]
                && ours[ETHERNET + 7] == frame[ETHERNET + 7]
        } else {
            let (tos, flags, life) = (ETHERNET + 1, ETHERNET + 6, ETHERNET + 8);
            ours[tos] == frame[tos]
                && ours[flags..flags + 2] == frame[flags..flags + 2]
                && ours[life] == frame[life]
        };
        let tcp = self.transport;
        ip && ours[..12] == frame[..12]
            && ours[tcp + 8..tcp + FLAGS] == frame[tcp + 8..tcp + FLAGS]
            && ours[tcp + FLAGS] & !PSH == frame[tcp + FLAGS] & !PSH
            && ours[tcp + 14..tcp + 16] == frame[tcp + 14..tcp + 16]
            && ours[tcp + 18..self.payload] == frame[tcp + 18..self.payload]
    }
}

/// A TCP frame of any kind: enough to know whose order it belongs to.
#[derive(Clone, Copy, Debug)]
struct Flow {
    v6: bool,
    transport: usize,
}

/// The flow of a TCP frame over plain IP: no VLAN tag, no fragment, no extension header.
fn flow_of(frame: &[u8]) -> Option<Flow> {
    let v6 = match frame.get(12..14)? {
        [0x08, 0x00] => false,
        [0x86, 0xdd] => true,
        _ => return None,
    };
    let (start, offset) = checksum::transport(frame)?;
    let transport = usize::from(start);
    (usize::from(offset) == CHECKSUM).then_some(Flow { v6, transport })
}

/// The shape of a frame that may be joined: data, and no flag but ACK and PSH; for IPv4 no options and an
/// undivided packet, because the kernel numbers the pieces itself.
fn shape_of(frame: &[u8], flow: Flow) -> Option<Shape> {
    let Flow { v6, transport } = flow;
    let header = usize::from(frame[transport + 12] >> 4) * 4;
    let payload = transport + header;
    let shape = Shape {
        v6,
        transport,
        payload,
    };
    let plain = v6 || (transport == ETHERNET + 20 && frame[ETHERNET + 6] & 0x40 != 0);
    let end = shape.end(frame);
    // Padding is part of a frame, and a super frame has no place for it.
    let fits = plain && header >= 20 && end == frame.len() && payload < end;
    (fits && frame[transport + FLAGS] & !PSH == ACK).then_some(shape)
}

/// Whether its checksums hold, so that the one made anew says nothing that the old one did not.
fn is_sound(frame: TapFrame<'_>, shape: Shape) -> bool {
    let bytes = frame.bytes;
    if !shape.v6 && fold(sum(&bytes[ETHERNET..shape.transport])) != 0xffff {
        return false;
    }
    match frame.offload {
        // The sender's kernel left it open: there is nothing on the wire that it could contradict, the seal has held.
        Offload::Checksum { start, offset } => {
            (usize::from(start), usize::from(offset)) == (shape.transport, CHECKSUM)
        }
        Offload::None => {
            let ip = if shape.v6 {
                ETHERNET + 8..ETHERNET + 40
            } else {
                ETHERNET + 12..ETHERNET + 20
            };
            let length = (bytes.len() - shape.transport) as u64;
            fold(sum(&bytes[ip]) + TCP + length + sum(&bytes[shape.transport..])) == 0xffff
        }
        Offload::Tcp { .. } | Offload::Udp { .. } => false,
    }
}

fn sequence(frame: &[u8], shape: Shape) -> u32 {
    let at = shape.transport + 4;
    u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Writes a length that is known to fit: super frames end at [`LARGEST`].
fn put16(bytes: &mut [u8], at: usize, value: usize) {
    bytes[at..at + 2].copy_from_slice(&len16(value).to_be_bytes());
}

fn len16(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn len32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Flows that may wait at once; more cost memory (up to 64 KiB each) and join fewer.
const FLOWS: usize = 8;
/// Largest super frame: an IP packet's length field is 16 bits wide.
const LARGEST: usize = ETHERNET + 65_535;
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// TCP's number in the pseudo header.
const TCP: u64 = 6;
/// Places in a TCP header, and two of its flags.
const FLAGS: usize = 13;
const CHECKSUM: usize = 16;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole TCP frame over IP version 4 from port `port`, all checksums right.
    fn segment(port: u8, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([0x08, 0]);
        let total = len16(40 + payload.len());
        frame.extend([0x45, 0]);
        frame.extend(total.to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        frame.extend([0, port, 0, 80]);
        frame.extend(sequence.to_be_bytes());
        frame.extend([0, 0, 0, 9, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        frame.extend(payload);
        let header = !fold(sum(&frame[14..34]));
        frame[24..26].copy_from_slice(&header.to_be_bytes());
        let whole = !fold(sum(&frame[26..34]) + 6 + u64::from(total - 20) + sum(&frame[34..]));
        frame[50..52].copy_from_slice(&whole.to_be_bytes());
        frame
    }

    /// What reaches the device, with the number of joined payload bytes.
    fn run(frames: &[Vec<u8>]) -> Vec<(VirtioHeader, Vec<u8>)> {
        let mut coalescer = Coalescer::default();
        let mut written = Vec::new();
        for frame in frames {
            let mut write = |header, bytes: &[u8]| written.push((header, bytes.to_vec()));
            if coalescer.take(TapFrame::plain(frame), &mut write) == Taken::Pass {
                written.push((VirtioHeader::default(), frame.clone()));
            }
        }
        coalescer.flush(&mut |header, bytes| written.push((header, bytes.to_vec())));
        written
    }

    #[test]
    fn neighbours_of_a_flow_become_one_super_frame() {
        let written = run(&[
            segment(1, 100, ACK, &[1; 50]),
            segment(1, 150, ACK, &[2; 50]),
            segment(1, 200, ACK | PSH, &[3; 20]),
        ]);
        let [(header, bytes)] = written.as_slice() else {
            panic!("{} frames", written.len())
        };
        assert_eq!(
            (header.kind, header.segment, header.headers),
            (GSO_TCPV4, 50, 54)
        );
        assert_eq!(
            (header.flags, header.start, header.offset),
            (NEEDS_CSUM, 34, 16)
        );
        assert_eq!(bytes.len(), 54 + 120);
        assert_eq!(be16(bytes, 16), 160);
        assert_eq!(
            fold(sum(&bytes[14..34])),
            0xffff,
            "the IP header's checksum holds"
        );
        assert_eq!(be16(bytes, 50), fold(sum(&bytes[26..34]) + 6 + 140));
        assert_eq!(bytes[47], ACK | PSH);
    }

    #[test]
    fn a_single_segment_passes_as_it_came() {
        let frame = segment(1, 100, ACK, &[7; 33]);
        assert_eq!(
            run(std::slice::from_ref(&frame)),
            [(VirtioHeader::default(), frame)]
        );
    }

    #[test]
    fn a_padded_frame_keeps_its_padding() {
        let mut padded = segment(1, 100, ACK, &[7; 3]);
        padded.extend([0; 3]);
        assert_eq!(
            run(std::slice::from_ref(&padded)),
            [(VirtioHeader::default(), padded)]
        );
    }

    #[test]
    fn a_checksum_left_open_is_left_to_the_kernel() {
        let mut frame = segment(1, 100, ACK, &[7; 33]);
        let whole = frame.clone();
        frame[50..52].copy_from_slice(&[0, 0]);
        let mut coalescer = Coalescer::default();
        let open = TapFrame {
            bytes: &frame,
            offload: Offload::Checksum {
                start: 34,
                offset: 16,
            },
        };
        let mut written = Vec::new();
        assert_eq!(coalescer.take(open, &mut |_, _| ()), Taken::Kept);
        coalescer.flush(&mut |header, bytes| written.push((header, bytes.to_vec())));
        let (header, mut bytes) = written.remove(0);
        assert_eq!(
            (header.flags, header.kind, header.start, header.offset),
            (NEEDS_CSUM, 0, 34, 16)
        );
        checksum::complete(&mut bytes, 34, 16);
        assert_eq!(bytes, whole);
    }

    #[test]
    fn a_damaged_segment_passes_as_it_is() {
        let mut bad = segment(1, 150, ACK, &[2; 50]);
        bad[60] ^= 1;
        let written = run(&[
            segment(1, 100, ACK, &[1; 50]),
            bad.clone(),
            segment(1, 200, ACK, &[3; 50]),
        ]);
        assert_eq!(written.len(), 3);
        assert_eq!(written[1], (VirtioHeader::default(), bad));
    }

    #[test]
    fn a_flow_keeps_its_order_around_what_cannot_be_joined() {
        let written = run(&[
            segment(1, 100, ACK, &[1; 50]),
            segment(2, 7, ACK, &[9; 50]),
            segment(1, 150, ACK | 1, &[]),
            segment(2, 57, ACK, &[9; 50]),
        ]);
        let order: Vec<_> = written
            .iter()
            .map(|(_, bytes)| (bytes[35], bytes.len()))
            .collect();
        assert_eq!(order, [(1, 104), (1, 54), (2, 154)]);
    }

    #[test]
    fn gaps_acknowledgements_and_larger_segments_begin_anew() {
        for second in [
            segment(1, 151, ACK, &[2; 50]),
            segment(1, 150, ACK, &[2; 51]),
            {
                let mut other = segment(1, 150, ACK, &[2; 50]);
                other[45] = 10;
                let fixed = be16(&other, 50).wrapping_sub(1);
                other[50..52].copy_from_slice(&fixed.to_be_bytes());
                other
            },
        ] {
            assert_eq!(run(&[segment(1, 100, ACK, &[1; 50]), second]).len(), 2);
        }
    }

    #[test]
    fn a_super_frame_ends_where_the_length_field_does() {
        let frames: Vec<_> = (0..60)
            .map(|n| segment(1, n * 1448, ACK, &[5; 1448]))
            .collect();
        let written = run(&frames);
        assert_eq!(written.len(), 2);
        assert!(written.iter().all(|(_, bytes)| bytes.len() <= LARGEST));
        assert_eq!(
            written
                .iter()
                .map(|(_, bytes)| bytes.len() - 54)
                .sum::<usize>(),
            60 * 1448
        );
    }

    #[test]
    fn no_frame_however_short_or_strange_is_read_past_its_end() {
        let whole = segment(1, 1, ACK, &[1; 9]);
        for length in 0..whole.len() {
            run(&[whole[..length].to_vec()]);
        }
        for position in 12..whole.len() {
            for value in [0, 0xff, 0x7f] {
                let mut strange = whole.clone();
                strange[position] = value;
                run(&[strange]);
            }
        }
    }
}
