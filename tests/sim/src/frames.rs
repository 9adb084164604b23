//! Frames of the kinds that old and new programs send, each different from every other.
//!
//! Owner: nobody. In: MACs, a number. Out: bytes. Never: a frame that occurs twice.

use core::net::Ipv4Addr;

use zt_frames::Framing;
use zt_wire::Mac;

/// The encapsulations that IPX has been seen in, and some others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An `EtherType` kept for experiments.
    Experimental,
    /// IPX in Ethernet II.
    IpxEthernet2,
    /// IPX in raw 802.3: a length, then `ffff`.
    IpxRaw,
    /// IPX in 802.2.
    Ipx8022,
    /// IPX in SNAP.
    IpxSnap,
    /// Experimental behind a VLAN tag.
    Tagged,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Experimental,
        Self::IpxEthernet2,
        Self::IpxRaw,
        Self::Ipx8022,
        Self::IpxSnap,
        Self::Tagged,
    ];

    /// A frame of this kind with `payload` bytes, of which the first eight are `number`.
    pub fn frame(self, to: Mac, from: Mac, number: u64, payload: usize) -> Vec<u8> {
        let mut body = number.to_be_bytes().to_vec();
        body.resize(payload.max(8), 0xa5);
        let (to, from) = (to.to_bytes(), from.to_bytes());
        let ipx = |framing| zt_frames::ipx(to, from, framing, &body, &[]);
        match self {
            Self::Experimental => [&to[..], &from, &[0x88, 0xb5], &body].concat(),
            Self::IpxEthernet2 => ipx(Framing::EthernetII),
            Self::IpxRaw => ipx(Framing::Raw8023),
            Self::Ipx8022 => ipx(Framing::Llc8022),
            Self::IpxSnap => ipx(Framing::Snap),
            Self::Tagged => {
                let tags = [0x81, 0x00, 0x00, 0x07, 0x88, 0xb5];
                [&to[..], &from, &tags, &body].concat()
            }
        }
    }

    /// Bytes of header behind the MACs.
    pub const fn head(self) -> usize {
        match self {
            Self::Experimental => 2,
            Self::IpxEthernet2 | Self::IpxRaw => 2 + IPX,
            Self::Ipx8022 => 5 + IPX,
            Self::IpxSnap => 10 + IPX,
            Self::Tagged => 6,
        }
    }
}

/// Bytes of an IPX header.
const IPX: usize = 30;

/// The MAC of an IPv4 group (RFC 1112 §6.4).
pub const fn group(group: Ipv4Addr) -> Mac {
    let [_, b, c, d] = group.octets();
    Mac::from_bytes([0x01, 0x00, 0x5e, b & 0x7f, c, d])
}

/// An IPv4 packet to a group, from whoever has no address yet; different for each `number`.
pub fn packet(to: Ipv4Addr, from: Mac, number: u64, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&group(to).to_bytes()[..], &from.to_bytes(), &[0x08, 0x00]].concat();
    let number = number.to_be_bytes();
    // The number is in the options, where no program looks.
    frame.extend([0x48, 0]);
    let length = u16::try_from(32 + payload.len()).unwrap_or(u16::MAX);
    frame.extend(length.to_be_bytes());
    frame.extend([0, 0, 0, 0, 1, protocol, 0, 0, 0, 0, 0, 0]);
    frame.extend(to.octets());
    frame.extend([0x88, 12, 0, 0]);
    frame.extend(number);
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_as_long_as_said() {
        let mac = Mac::BROADCAST;
        for kind in Kind::ALL {
            assert_eq!(
                kind.frame(mac, mac, 1, 100).len(),
                12 + kind.head() + 100,
                "{kind:?}"
            );
        }
    }
}
