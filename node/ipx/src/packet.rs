//! The IPX packet: thirty bytes of header, then data (Novell IPX Router Specification 1.30, §1.2).
//!
//! In: bytes. Out: a borrowed view; bytes of a header. Never: a length believed without the bytes being there.

use core::fmt;

/// Bytes of the header.
pub const HEADER: usize = 30;
/// The node address of all hosts.
pub const ALL: [u8; 6] = [0xff; 6];
/// The socket on which `DOSBox` registers clients and answers `ipxnet ping`.
pub const ECHO: u16 = 2;

/// Where a packet comes from or goes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The network's number; zero means "this one".
    pub network: u32,
    /// The host's number, as a rule its MAC.
    pub node: [u8; 6],
    /// The program's number.
    pub socket: u16,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.", self.network)?;
        self.node
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ":{:04x}", self.socket)
    }
}

impl Endpoint {
    fn read(bytes: [u8; 12]) -> Self {
        let [n0, n1, n2, n3, a, b, c, d, e, f, s0, s1] = bytes;
        Self {
            network: u32::from_be_bytes([n0, n1, n2, n3]),
            node: [a, b, c, d, e, f],
            socket: u16::from_be_bytes([s0, s1]),
        }
    }

    fn write(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.network.to_be_bytes());
        bytes[4..10].copy_from_slice(&self.node);
        bytes[10..].copy_from_slice(&self.socket.to_be_bytes());
        bytes
    }
}

/// A packet whose length field agrees with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Header and data, without padding.
    pub bytes: &'a [u8],
    /// Where it goes.
    pub to: Endpoint,
    /// Where it comes from.
    pub from: Endpoint,
}

impl<'a> Packet<'a> {
    /// Reads a packet; bytes behind its length are padding. `None` for a checksum in use (`NetWare` never sends
    /// one on Ethernet), a length below the header's or beyond the bytes.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, _) = bytes.split_first_chunk::<HEADER>()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[..2] != [0xff, 0xff] || length < HEADER {
            return None;
        }
        Some(Self {
            bytes: bytes.get(..length)?,
            to: Endpoint::read(*header[6..].first_chunk()?),
            from: Endpoint::read(*header[18..].first_chunk()?),
        })
    }

    /// Whether it goes to every host of its network.
    pub fn is_broadcast(&self) -> bool {
        self.to.node == ALL
    }
}

/// A packet without data.
pub fn empty(to: Endpoint, from: Endpoint) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..2].fill(0xff);
    bytes[3] = 30;
    bytes[6..18].copy_from_slice(&to.write());
    bytes[18..].copy_from_slice(&from.write());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_and_padding_does_not() {
        let to = Endpoint {
            network: 0,
            node: ALL,
            socket: ECHO,
        };
        let from = Endpoint {
            network: 0x0102_0304,
            node: [2, 0, 0, 0, 0, 1],
            socket: 0x4003,
        };
        let padded = [&empty(to, from)[..], &[0; 30]].concat();
        let packet = Packet::read(&padded).unwrap();
        assert_eq!(
            (packet.to, packet.from, packet.bytes.len()),
            (to, from, HEADER)
        );
        assert!(packet.is_broadcast());
        assert_eq!(from.to_string(), "01020304.020000000001:4003");
    }

    #[test]
    fn a_length_beyond_the_bytes_is_no_packet() {
        let to = Endpoint {
            network: 0,
            node: ALL,
            socket: ECHO,
        };
        let mut bytes = empty(to, to);
        bytes[3] = 31;
        assert_eq!(Packet::read(&bytes), None);
        bytes[3] = 29;
        assert_eq!(Packet::read(&bytes), None);
    }
}
