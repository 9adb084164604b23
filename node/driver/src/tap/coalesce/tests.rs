//! Joining, held against cutting: what a kernel would cut out of the super frames is what came.

use super::*;
use crate::tap::checksum::{complete, fold, sum};
use zt_engine::segment::{Headers, SuperFrame};

/// A TCP or UDP frame to be; `Frame::new` is one that may be joined.
#[derive(Clone, Debug)]
struct Frame {
    v6: bool,
    tcp: bool,
    port: u8,
    id: u16,
    sequence: u32,
    flags: u8,
    class: u8,
    life: u8,
    /// Of IPv4: 0x40, never to be divided.
    divide: u8,
    options: usize,
    tag: bool,
    sum: Sum,
    padding: usize,
    payload: Vec<u8>,
}

/// What stands in the checksum field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sum {
    Open,
    Right,
    Wrong,
    Absent,
}

impl Frame {
    fn udp(port: u8, payload: &[u8]) -> Self {
        Self {
            v6: false,
            tcp: false,
            port,
            id: 0,
            sequence: 0,
            flags: 0x10,
            class: 0,
            life: 64,
            divide: 0x40,
            options: 0,
            tag: false,
            sum: Sum::Open,
            padding: 0,
            payload: payload.to_vec(),
        }
    }

    fn tcp(port: u8, sequence: u32, flags: u8, payload: &[u8]) -> Self {
        Self {
            tcp: true,
            sequence,
            flags,
            sum: Sum::Right,
            ..Self::udp(port, payload)
        }
    }

    fn make(&self) -> (Vec<u8>, Offload) {
        let transport_len = if self.tcp { 20 } else { 8 } + self.payload.len();
        let mut frame = vec![2; 12];
        if self.tag {
            frame.extend([0x81, 0, 0, 5]);
        }
        frame.extend(if self.v6 { [0x86, 0xdd] } else { [8, 0] });
        let ip = frame.len();
        let (protocol, field) = if self.tcp { (6, 16) } else { (17, 6) };
        if self.v6 {
            frame.extend([0x60 | self.class >> 4, self.class << 4, 0, 1]);
            frame.extend(len16(transport_len).to_be_bytes());
            frame.extend([protocol, self.life]);
            frame.extend([0xfd; 32]);
        } else {
            let header = 20 + self.options;
            frame.extend([0x40 | u8::try_from(header / 4).unwrap(), self.class]);
            frame.extend(len16(header + transport_len).to_be_bytes());
            frame.extend(self.id.to_be_bytes());
            frame.extend([self.divide, 0, self.life, protocol, 0, 0]);
            frame.extend([192, 0, 2, 1, 192, 0, 2, 2]);
            frame.extend(vec![1; self.options]);
            let header = !fold(sum(&frame[ip..]));
            frame[ip + 10..ip + 12].copy_from_slice(&header.to_be_bytes());
        }
        let addresses = if self.v6 {
            ip + 8..ip + 40
        } else {
            ip + 12..ip + 20
        };
        let start = frame.len();
        frame.extend([0, self.port, 0, 80]);
        if self.tcp {
            frame.extend(self.sequence.to_be_bytes());
            frame.extend([0, 0, 0, 9, 0x50, self.flags, 1, 0, 0, 0, 0, 0]);
        } else {
            frame.extend(len16(transport_len).to_be_bytes());
            frame.extend([0, 0]);
        }
        frame.extend(&self.payload);
        let pseudo = fold(sum(&frame[addresses]) + u64::from(protocol) + transport_len as u64);
        frame[start + field..start + field + 2].copy_from_slice(&pseudo.to_be_bytes());
        let mut offload = Offload::None;
        match self.sum {
            Sum::Open => {
                offload = Offload::Checksum {
                    start: len16(start),
                    offset: len16(field),
                };
            }
            Sum::Right => complete(&mut frame, start, field),
            Sum::Wrong => {
                complete(&mut frame, start, field);
                frame[start + field] ^= 0x55;
            }
            Sum::Absent => frame[start + field..start + field + 2].fill(0),
        }
        frame.extend(vec![0; self.padding]);
        (frame, offload)
    }
}

/// What is written for these frames, which lie in one buffer as if just received; those of `outside` do not.
fn run_beside(frames: &[(Vec<u8>, Offload)], outside: &[usize]) -> Vec<(VirtioHeader, Vec<u8>)> {
    let mut buffer = Vec::new();
    let mut places = Vec::new();
    for (bytes, _) in frames {
        buffer.extend([0xee; 32]);
        places.push(buffer.len()..buffer.len() + bytes.len());
        buffer.extend(bytes);
    }
    let arena = Arena::of(&buffer);
    let joins = Joins {
        tcp: true,
        udp: true,
    };
    let mut coalescer = Coalescer::default();
    for (index, (bytes, offload)) in frames.iter().enumerate() {
        let header = match *offload {
            Offload::Checksum { start, offset } => VirtioHeader {
                flags: NEEDS_CSUM,
                start,
                offset,
                ..VirtioHeader::default()
            },
            _ => VirtioHeader::default(),
        };
        let bytes = if outside.contains(&index) {
            bytes
        } else {
            &buffer[places[index].clone()]
        };
        let offload = *offload;
        let frame = TapFrame { bytes, offload };
        if !coalescer.follow(frame, arena) {
            coalescer.take(frame, header, arena, joins);
        }
    }
    let mut written = Vec::new();
    coalescer.flush(&buffer, |waiting, buffer| {
        assert!(waiting.parts(buffer).count() <= PARTS);
        let bytes = waiting.parts(buffer).collect::<Vec<_>>().concat();
        written.push((waiting.header(), bytes));
    });
    assert!(coalescer.is_empty());
    written
}

fn run(frames: &[Frame]) -> Vec<(VirtioHeader, Vec<u8>)> {
    let frames: Vec<_> = frames.iter().map(Frame::make).collect();
    run_beside(&frames, &[])
}

/// What a kernel makes of a written frame: its segments with their checksums.
fn cut(header: VirtioHeader, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let segment = header.segment;
    let offload = match header.kind {
        GSO_UDP_L4 => Offload::Udp { segment },
        GSO_TCPV4 | GSO_TCPV6 => Offload::Tcp { segment },
        _ => {
            if header.flags & NEEDS_CSUM != 0 {
                complete(
                    &mut bytes,
                    usize::from(header.start),
                    usize::from(header.offset),
                );
            }
            return vec![bytes];
        }
    };
    let bytes = &bytes;
    let whole = SuperFrame::parse(TapFrame { bytes, offload }).expect("a super frame");
    assert_eq!(usize::from(header.headers), whole.headers_len());
    assert!(whole.count() > 1 && header.flags == NEEDS_CSUM);
    let mut headers = Headers::new();
    (0..whole.count())
        .map(|index| {
            let data = whole.segment(index, &mut headers);
            assert_eq!(headers.checksum(), (header.start, header.offset));
            let mut bytes = [headers.bytes(), data].concat();
            complete(
                &mut bytes,
                usize::from(header.start),
                usize::from(header.offset),
            );
            bytes
        })
        .collect()
}

/// A frame as it is once its checksum is finished.
fn finished((bytes, offload): &(Vec<u8>, Offload)) -> Vec<u8> {
    let mut bytes = bytes.clone();
    if let Offload::Checksum { start, offset } = *offload {
        complete(&mut bytes, usize::from(start), usize::from(offset));
    }
    bytes
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// Frames of a few flows, mostly such as may be joined, with everything in between that may not.
fn traffic(dice: &mut Dice) -> Vec<Frame> {
    let mut flows: Vec<Frame> = (1..=6)
        .map(|port| {
            let v6 = port % 2 == 0;
            let size = [20, 300, 1400][dice.below(3)];
            let mut flow = Frame::udp(port, &vec![port; size]);
            flow.tcp = port > 3;
            flow.v6 = v6;
            flow
        })
        .collect();
    let mut frames = Vec::new();
    for serial in 0..150_u8 {
        let chosen = dice.below(flows.len());
        for _ in 0..=dice.below(12) {
            let flow = &mut flows[chosen];
            let mut frame = flow.clone();
            frame.payload.fill(serial);
            if dice.one_in(6) {
                frame.payload.truncate(dice.below(frame.payload.len()));
            }
            frame.sum = [Sum::Open, Sum::Right][dice.below(2)];
            match dice.below(60) {
                0 => frame.class = 3,
                1 => frame.life -= 1,
                2 => frame.sum = Sum::Wrong,
                3 if !frame.tcp => frame.sum = Sum::Absent,
                4 if !frame.v6 => frame.options = 4,
                5 => frame.tag = true,
                6 => frame.divide = 0,
                7 => frame.padding = 3,
                8 => frame.flags |= 8,
                9 => frame.flags |= 1,
                10 => flow.sequence += 7,
                _ => {}
            }
            flow.sequence += len32(frame.payload.len());
            flow.id = flow.id.wrapping_add(1);
            frames.push(frame);
        }
    }
    frames
}

#[test]
fn what_a_kernel_cuts_out_of_super_frames_is_what_came_each_flow_in_its_order() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let wanted = traffic(&mut dice);
        let frames: Vec<_> = wanted.iter().map(Frame::make).collect();
        let outside: Vec<usize> = (0..frames.len()).filter(|_| dice.one_in(10)).collect();
        let written = run_beside(&frames, &outside);
        assert!(
            written.len() * 10 < frames.len() * 9,
            "seed {seed}: nothing is joined"
        );
        let came: Vec<Vec<u8>> = written
            .into_iter()
            .flat_map(|(header, bytes)| cut(header, bytes))
            .collect();
        for port in 1..=6 {
            for v6 in [false, true] {
                let of = |all: &[Vec<u8>]| -> Vec<Vec<u8>> {
                    all.iter()
                        .filter(|bytes| {
                            Flow::of(bytes).is_some_and(|flow| {
                                flow.v6 == v6 && bytes[flow.transport + 1] == port
                            })
                        })
                        .cloned()
                        .collect()
                };
                let sent: Vec<Vec<u8>> = frames.iter().map(finished).collect();
                assert_eq!(of(&came), of(&sent), "seed {seed}, flow {port}");
            }
        }
        // What has no flow overtakes nothing and is not overtaken.
        let sent: Vec<Vec<u8>> = frames.iter().map(finished).collect();
        assert_eq!(came.len(), sent.len());
        for (place, frame) in sent.iter().enumerate() {
            if Flow::of(frame).is_none() {
                let sorted = |all: &[Vec<u8>]| {
                    let mut all = all[..place].to_vec();
                    all.sort();
                    all
                };
                assert_eq!(&came[place], frame, "seed {seed}");
                assert_eq!(sorted(&came), sorted(&sent), "seed {seed}");
            }
        }
    }
}

#[test]
fn datagrams_of_one_size_become_one_super_frame_and_a_shorter_one_ends_it() {
    for size in [30, 1200] {
        let written = run(&[
            Frame::udp(1, &vec![1; size]),
            Frame::udp(1, &vec![2; size]),
            Frame::udp(1, &vec![3; size - 1]),
            Frame::udp(1, &vec![4; size - 1]),
        ]);
        let [(header, bytes), (second, _)] = written.as_slice() else {
            panic!("{} frames", written.len())
        };
        assert_eq!(
            (header.kind, header.segment, header.headers),
            (GSO_UDP_L4, len16(size), 42)
        );
        assert_eq!(
            (header.flags, header.start, header.offset),
            (NEEDS_CSUM, 34, 6)
        );
        assert_eq!(bytes.len(), 42 + 3 * size - 1);
        assert_eq!(bytes[38..40], len16(8 + 3 * size - 1).to_be_bytes());
        assert_eq!(second.kind, 0);
    }
}

#[test]
fn datagrams_that_differ_in_more_than_their_payload_are_never_joined() {
    let first = Frame::udp(1, &[1; 300]);
    let change = |change: &dyn Fn(&mut Frame)| {
        let mut second = first.clone();
        change(&mut second);
        second
    };
    let others = [
        ("longer", change(&|frame| frame.payload.push(1))),
        ("dscp", change(&|frame| frame.class = 0xb8)),
        ("ecn", change(&|frame| frame.class = 3)),
        ("life time", change(&|frame| frame.life = 63)),
        ("may be divided", change(&|frame| frame.divide = 0)),
        ("options", change(&|frame| frame.options = 4)),
        ("tag", change(&|frame| frame.tag = true)),
        ("no checksum", change(&|frame| frame.sum = Sum::Absent)),
        ("wrong checksum", change(&|frame| frame.sum = Sum::Wrong)),
        ("padding", change(&|frame| frame.padding = 1)),
        ("empty", change(&|frame| frame.payload.clear())),
        ("family", change(&|frame| frame.v6 = true)),
        ("protocol", change(&|frame| frame.tcp = true)),
        ("port", change(&|frame| frame.port = 2)),
    ];
    for (what, other) in &others {
        assert_eq!(run(&[first.clone(), other.clone()]).len(), 2, "{what}");
        if ![
            "longer",
            "dscp",
            "ecn",
            "life time",
            "family",
            "protocol",
            "port",
        ]
        .contains(what)
        {
            assert_eq!(run(&[other.clone(), other.clone()]).len(), 2, "two: {what}");
        }
    }
    let mut right = first.clone();
    right.sum = Sum::Right;
    assert_eq!(run(&[first.clone(), right]).len(), 1, "open and right");
    let mut fragment = first.make();
    fragment.0[20] = 0x20;
    let header = !fold(sum(&fragment.0[14..24]) + sum(&fragment.0[26..34]));
    fragment.0[24..26].copy_from_slice(&header.to_be_bytes());
    let second = fragment.clone();
    assert_eq!(run_beside(&[fragment, second], &[]).len(), 2, "fragments");
    let mut far = first.make();
    far.0[5] ^= 1;
    assert_eq!(run_beside(&[first.make(), far], &[]).len(), 2, "MACs");
}

#[test]
fn a_super_frame_ends_where_the_length_field_or_the_kernels_own_joining_does() {
    let tcp: Vec<_> = (0..60)
        .map(|n| Frame::tcp(1, n * 1448, ACK, &[5; 1448]))
        .collect();
    let udp = vec![Frame::udp(1, &[5; 1448]); 60];
    for frames in [tcp, udp] {
        let written = run(&frames);
        assert_eq!(written.len(), 2);
        assert!(written.iter().all(|(_, bytes)| bytes.len() <= LARGEST));
    }
    let small = run(&vec![Frame::udp(1, &[5; 64]); 130]);
    let lengths: Vec<_> = small.iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(lengths, [42 + 64 * 64, 42 + 64 * 64, 42 + 2 * 64]);
}

#[test]
fn neighbours_of_a_tcp_flow_become_one_super_frame() {
    let written = run(&[
        Frame::tcp(1, 100, ACK, &[1; 50]),
        Frame::tcp(1, 150, ACK, &[2; 50]),
        Frame::tcp(1, 200, ACK | PSH, &[3; 20]),
        Frame::tcp(1, 220, ACK, &[3; 50]),
    ]);
    let [(header, bytes), _] = written.as_slice() else {
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
    assert_eq!(fold(sum(&bytes[14..34])), 0xffff, "the IP header's sum");
    assert_eq!(bytes[47], ACK | PSH);
}

#[test]
fn a_frame_alone_passes_as_it_came() {
    let tcp = Frame::tcp(1, 100, ACK, &[7; 33]).make();
    let written = run_beside(std::slice::from_ref(&tcp), &[]);
    assert_eq!(written, [(VirtioHeader::default(), tcp.0)]);
    let open = Frame::udp(1, &[7; 900]).make();
    let [(header, bytes)] = &run_beside(std::slice::from_ref(&open), &[])[..] else {
        panic!("not one frame")
    };
    assert_eq!((header.flags, header.kind), (NEEDS_CSUM, 0));
    assert_eq!(*bytes, open.0);
}

#[test]
fn gaps_acknowledgements_and_other_windows_begin_anew() {
    let mut acknowledged = Frame::tcp(1, 150, ACK, &[2; 50]).make();
    acknowledged.0[45] = 10;
    let field = u16::from_be_bytes([acknowledged.0[50], acknowledged.0[51]]).wrapping_sub(1);
    acknowledged.0[50..52].copy_from_slice(&field.to_be_bytes());
    for second in [
        Frame::tcp(1, 151, ACK, &[2; 50]).make(),
        Frame::tcp(1, 150, ACK, &[2; 51]).make(),
        acknowledged,
    ] {
        let first = Frame::tcp(1, 100, ACK, &[1; 50]).make();
        assert_eq!(run_beside(&[first, second], &[]).len(), 2);
    }
}

#[test]
fn what_is_switched_off_is_not_joined() {
    let frames: Vec<_> = [
        Frame::udp(1, &[1; 300]),
        Frame::udp(1, &[1; 300]),
        Frame::tcp(1, 0, ACK, &[1; 300]),
        Frame::tcp(1, 300, ACK, &[1; 300]),
    ]
    .iter()
    .map(Frame::make)
    .collect();
    for (tcp, udp, count) in [
        (true, true, 2),
        (false, true, 3),
        (true, false, 3),
        (false, false, 4),
    ] {
        let mut coalescer = Coalescer::default();
        for (bytes, offload) in &frames {
            let frame = TapFrame {
                bytes,
                offload: *offload,
            };
            let joins = Joins { tcp, udp };
            coalescer.take(frame, VirtioHeader::default(), Arena::default(), joins);
        }
        let mut written = 0;
        coalescer.flush(&[], |_, _| written += 1);
        assert_eq!(written, count);
    }
}

#[test]
fn no_frame_however_short_or_strange_is_read_past_its_end() {
    for (whole, offload) in [
        Frame::tcp(1, 1, ACK, &[1; 9]).make(),
        Frame::udp(1, &[1; 9]).make(),
    ] {
        for length in 0..whole.len() {
            run_beside(&[(whole[..length].to_vec(), offload)], &[]);
        }
        for position in 12..whole.len() {
            for value in [0, 0xff, 0x7f] {
                let mut strange = whole.clone();
                strange[position] = value;
                run_beside(&[(strange, offload)], &[]);
            }
        }
    }
}

const ACK: u8 = 0x10;
const PSH: u8 = 8;
