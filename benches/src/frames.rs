//! Frames to measure with.
//!
//! In: sizes, addresses. Out: bytes that the engine and the coalescer take for what they seem. Never: a right checksum.

use zt_engine::shard::{Offload, TapFrame};
use zt_wire::Mac;

/// Payload of a TCP segment that fits a datagram over 1,500 bytes of underlay.
pub const SEGMENT: u16 = 1_380;

/// TCP over IPv4 with `payload` bytes, from one member to another.
pub fn tcp(to: Mac, from: Mac, sequence: u32, payload: usize) -> Vec<u8> {
    let mut frame = [&to.to_bytes()[..], &from.to_bytes(), &[0x08, 0x00]].concat();
    let total = u16::try_from(40 + payload).unwrap_or(u16::MAX);
    frame.extend_from_slice(&[0x45, 0]);
    frame.extend_from_slice(&total.to_be_bytes());
    frame.extend_from_slice(&[0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend_from_slice(&[0x1f, 0x90, 0x1f, 0x91]);
    frame.extend_from_slice(&sequence.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    frame.resize(54 + payload, 0x5a);
    frame
}

/// A super frame as a TAP gives it.
pub fn super_frame(bytes: &[u8]) -> TapFrame<'_> {
    TapFrame {
        bytes,
        offload: Offload::Tcp { segment: SEGMENT },
    }
}
