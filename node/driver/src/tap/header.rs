//! The virtio header in front of each frame of a TAP device (virtio 1.2 §5.1.6, `virtio_net.h`), ten bytes.
//!
//! Owner: nobody; plain values. In: bytes of the kernel. Out: bytes for the kernel.
//! Never: a header taken from a peer; what is written is rebuilt from the frame itself.

/// Bytes of the header.
pub const LEN: usize = 10;

/// The header's fields, in the machine's byte order as the TAP has them by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioHeader {
    /// [`NEEDS_CSUM`] or nothing.
    pub flags: u8,
    /// One of the `GSO_` values, perhaps with [`GSO_ECN`].
    pub kind: u8,
    /// Bytes of all headers up to the payload.
    pub headers: u16,
    /// Payload bytes per segment.
    pub segment: u16,
    /// Where the checksum's range begins.
    pub start: u16,
    /// Where the checksum stands, from `start`.
    pub offset: u16,
}

/// The checksum field holds the pseudo header's sum; the rest is to be added.
pub const NEEDS_CSUM: u8 = 1;
/// One frame.
pub const GSO_NONE: u8 = 0;
/// TCP over IPv4.
pub const GSO_TCPV4: u8 = 1;
/// TCP over IPv6.
pub const GSO_TCPV6: u8 = 4;
/// UDP, each segment a datagram.
pub const GSO_UDP_L4: u8 = 5;
/// TCP with ECN: the first segment alone carries CWR.
pub const GSO_ECN: u8 = 0x80;

impl VirtioHeader {
    /// Reads the kernel's bytes.
    pub const fn from_bytes(bytes: [u8; LEN]) -> Self {
        let [flags, kind, a, b, c, d, e, f, g, h] = bytes;
        Self {
            flags,
            kind,
            headers: u16::from_ne_bytes([a, b]),
            segment: u16::from_ne_bytes([c, d]),
            start: u16::from_ne_bytes([e, f]),
            offset: u16::from_ne_bytes([g, h]),
        }
    }

    /// The bytes for the kernel.
    pub const fn to_bytes(self) -> [u8; LEN] {
        let [a, b] = self.headers.to_ne_bytes();
        let [c, d] = self.segment.to_ne_bytes();
        let [e, f] = self.start.to_ne_bytes();
        let [g, h] = self.offset.to_ne_bytes();
        [self.flags, self.kind, a, b, c, d, e, f, g, h]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_way_to_the_kernel_and_back() {
        let header = VirtioHeader {
            flags: NEEDS_CSUM,
            kind: GSO_TCPV4 | GSO_ECN,
            headers: 54,
            segment: 1460,
            start: 34,
            offset: 16,
        };
        assert_eq!(VirtioHeader::from_bytes(header.to_bytes()), header);
    }
}
