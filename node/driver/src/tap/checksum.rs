//! Checksums of frames on their way to a device: what the kernel may finish, and what is finished here.
//!
//! Owner: nobody. In: a frame as a peer sent it. Out: the virtio header that its own headers call for.
//! Never: an offset taken from a peer without the frame's own headers saying the same.

use zt_engine::shard::{Offload, TapFrame};

use super::header::{NEEDS_CSUM, VirtioHeader};

/// How a frame is to be written.
#[derive(Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// As it is, behind this header.
    As(VirtioHeader),
    /// With its checksum finished here: the kernel would not know these headers.
    Complete {
        /// Where the sum begins.
        start: usize,
        /// Where the field is.
        offset: usize,
    },
    /// Not at all.
    Nonsense,
}

/// The header for a frame.
pub fn rebuild(frame: TapFrame<'_>) -> Rebuilt {
    match frame.offload {
        Offload::None => Rebuilt::As(VirtioHeader::default()),
        Offload::Checksum { start, offset } => {
            if transport(frame.bytes) == Some((start, offset)) {
                return Rebuilt::As(VirtioHeader {
                    flags: NEEDS_CSUM,
                    start,
                    offset,
                    ..VirtioHeader::default()
                });
            }
            let (start, offset) = (usize::from(start), usize::from(offset));
            if start < ETHERNET || start + offset + 2 > frame.bytes.len() {
                return Rebuilt::Nonsense;
            }
            Rebuilt::Complete { start, offset }
        }
        // Super frames are split before they leave their machine; nothing makes one on the way.
        Offload::Tcp { .. } | Offload::Udp { .. } => Rebuilt::Nonsense,
    }
}

/// Where the transport header of a TCP or UDP frame begins, and where its checksum is from there.
pub fn transport(frame: &[u8]) -> Option<(u16, u16)> {
    let (mut at, mut kind) = (ETHERNET, be16(frame, 12)?);
    if kind == VLAN {
        (at, kind) = (ETHERNET + 4, be16(frame, 16)?);
    }
    let (start, protocol) = match kind {
        IPV4 => {
            let first = *frame.get(at)?;
            let header = usize::from(first & 15) * 4;
            // A fragment has no checksum of its own: neither more to follow nor an offset.
            if first >> 4 != 4 || header < 20 || be16(frame, at + 6)? & 0x3fff != 0 {
                return None;
            }
            (at + header, *frame.get(at + 9)?)
        }
        IPV6 if frame.get(at)? >> 4 == 6 => (at + 40, *frame.get(at + 6)?),
        _ => return None,
    };
    let (offset, least) = match protocol {
        TCP => (16, 20),
        UDP => (6, 8),
        _ => return None,
    };
    (start + least <= frame.len()).then_some((u16::try_from(start).ok()?, offset))
}

/// Finishes a checksum whose field holds the pseudo header's sum. The caller has checked that the field is inside.
pub fn complete(frame: &mut [u8], start: usize, offset: usize) {
    let folded = !fold(sum(&frame[start..]));
    // UDP writes "no checksum" as zero, so a sum of zero is written as its other form (RFC 768).
    let value = if folded == 0 && offset == 6 {
        0xffff
    } else {
        folded
    };
    frame[start + offset..start + offset + 2].copy_from_slice(&value.to_be_bytes());
}

/// The sum of 16-bit words (RFC 1071), not folded; an odd last byte counts as the upper half.
pub fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut sum: u64 = words
        .iter()
        .map(|word| u64::from(u32::from_be_bytes(*word)))
        .sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_be_bytes(last));
    sum
}

/// A sum as 16 bits.
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Below 2^16 after the loop.
    u16::try_from(sum).unwrap_or(u16::MAX)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Values of the EtherType.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
/// IP protocols.
const TCP: u8 = 6;
const UDP: u8 = 17;

#[cfg(test)]
mod tests {
    use super::*;

    /// A UDP frame over IP version 4 with the pseudo header's sum in its checksum field.
    fn udp() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0]);
        frame.extend([
            0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
        ]);
        frame.extend([0, 7, 0, 8, 0, 13, 0, 0]);
        frame.extend(b"hello");
        let pseudo = fold(sum(&frame[26..34]) + 17 + 13);
        frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
        frame
    }

    #[test]
    fn an_open_checksum_that_fits_the_headers_is_left_to_the_kernel() {
        let bytes = &udp();
        let frame = TapFrame {
            bytes,
            offload: Offload::Checksum {
                start: 34,
                offset: 6,
            },
        };
        let header = VirtioHeader {
            flags: NEEDS_CSUM,
            start: 34,
            offset: 6,
            ..VirtioHeader::default()
        };
        assert_eq!(rebuild(frame), Rebuilt::As(header));
    }

    #[test]
    fn an_offset_that_the_headers_do_not_call_for_never_reaches_the_kernel() {
        let bytes = &udp();
        let of = |start, offset| {
            rebuild(TapFrame {
                bytes,
                offload: Offload::Checksum { start, offset },
            })
        };
        assert_eq!(
            of(30, 6),
            Rebuilt::Complete {
                start: 30,
                offset: 6
            }
        );
        assert_eq!(of(0, 6), Rebuilt::Nonsense);
        assert_eq!(of(40, 6), Rebuilt::Nonsense);
        assert_eq!(of(u16::MAX, u16::MAX), Rebuilt::Nonsense);
    }

    #[test]
    fn a_checksum_finished_here_sums_up_to_ones() {
        let mut frame = udp();
        complete(&mut frame, 34, 6);
        let whole = sum(&frame[26..34]) + 17 + 13 + sum(&frame[34..]);
        assert_eq!(fold(whole), 0xffff);
    }

    #[test]
    fn no_frame_however_short_is_read_past_its_end() {
        let frame = udp();
        for length in 0..frame.len() {
            let _ = transport(&frame[..length]);
        }
        assert_eq!(transport(&frame), Some((34, 6)));
    }
}
