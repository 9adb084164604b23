//! The four ways an IPX packet stands in an Ethernet frame, and from one into another.
//!
//! In: frames or packets. Out: packets or frames. Never: padding taken for data, a frame under 60 bytes.

use core::fmt;

use zt_wire::Mac;

use crate::packet::Packet;

/// How a frame says that it carries IPX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Framing {
    /// Ethernet II with type 0x8137; `ETHERNET_II` in `NetWare`.
    EthernetII,
    /// 802.3 raw: a length, then the packet's own 0xFFFF; `ETHERNET_802.3`.
    Raw,
    /// 802.2 LLC with access point E0; `ETHERNET_802.2`.
    Llc,
    /// 802.2 SNAP with type 0x8137; `ETHERNET_SNAP`.
    Snap,
}

impl Framing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EthernetII, Self::Raw, Self::Llc, Self::Snap];

    /// The bytes between length or type and packet.
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::EthernetII | Self::Raw => &[],
            Self::Llc => &[0xe0, 0xe0, 0x03],
            Self::Snap => &[0xaa, 0xaa, 0x03, 0, 0, 0, 0x81, 0x37],
        }
    }

    /// As people know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EthernetII => "ethernet2",
            Self::Raw => "802.3-raw",
            Self::Llc => "802.2",
            Self::Snap => "snap",
        }
    }

    /// Whether a look into the frame is worth it: one look at its length or type, which no IP frame passes.
    pub fn is_possible(frame: &[u8]) -> bool {
        matches!(frame.get(12..14), Some([0x81, 0x37] | [0..=5, _]))
    }

    /// The packet of a frame and how it stands there; `None` for a frame that is not IPX or is tagged.
    pub fn read(frame: &[u8]) -> Option<(Self, Packet<'_>)> {
        let (header, body) = frame.split_first_chunk::<14>()?;
        let kind = u16::from_be_bytes([header[12], header[13]]);
        let framing = match (kind, body) {
            (IPX, _) => Self::EthernetII,
            (0..0x0600, [0xff, 0xff, ..]) => Self::Raw,
            (0..0x0600, [0xe0, 0xe0, 0x03, ..]) => Self::Llc,
            (0..0x0600, [0xaa, 0xaa, 0x03, 0, 0, 0, 0x81, 0x37, ..]) => Self::Snap,
            _ => return None,
        };
        let packet = Packet::read(&body[framing.prefix().len()..])?;
        Some((framing, packet))
    }

    /// A frame with this packet: 60 bytes at least, and of even length where the data would be odd, as raw 802.3
    /// drivers expect.
    pub fn frame(self, to: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
        let data = self.prefix().len() + packet.len();
        let even = data + data % 2;
        let kind = match self {
            Self::EthernetII => IPX,
            // An IPX packet over Ethernet is at most 1,500 bytes; a longer one could not have come in a frame.
            Self::Raw | Self::Llc | Self::Snap => u16::try_from(even).unwrap_or(1500).min(1500),
        };
        let mut frame = Vec::with_capacity((14 + even).max(60));
        frame.extend(to.to_bytes());
        frame.extend(from.to_bytes());
        frame.extend(kind.to_be_bytes());
        frame.extend(self.prefix());
        frame.extend(packet);
        frame.resize((14 + even).max(60), 0);
        frame
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The `EtherType` of IPX.
const IPX: u16 = 0x8137;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{ALL, Endpoint, empty};
    use proptest::prelude::*;

    #[test]
    fn a_packet_is_the_same_in_every_framing() {
        let end = Endpoint {
            network: 0,
            node: ALL,
            socket: 0x869c,
        };
        for extra in [0, 1, 7, 200] {
            let mut packet = empty(end, end).to_vec();
            packet.extend(vec![0x5a; extra]);
            packet[2..4].copy_from_slice(&(30 + u16::try_from(extra).unwrap()).to_be_bytes());
            for framing in Framing::ALL {
                let frame =
                    framing.frame(Mac::BROADCAST, Mac::from_bytes([2, 0, 0, 0, 0, 1]), &packet);
                assert!(frame.len() >= 60 && frame.len() % 2 == 0);
                assert!(Framing::is_possible(&frame));
                let (found, read) = Framing::read(&frame).unwrap();
                assert_eq!((found, read.bytes), (framing, packet.as_slice()));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(frame in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Framing::read(&frame);
        }
    }
}
