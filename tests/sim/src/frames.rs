//! Frames of the kinds that old and new programs send, each different from every other.
//!
//! Owner: nobody. In: MACs, a number. Out: bytes. Never: a frame that occurs twice.

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
        let head: Vec<u8> = match self {
            Self::Experimental => vec![0x88, 0xb5],
            Self::IpxEthernet2 => vec![0x81, 0x37],
            Self::IpxRaw => [length(body.len() + 2).as_slice(), &[0xff, 0xff]].concat(),
            Self::Ipx8022 => [length(body.len() + 3).as_slice(), &[0xe0, 0xe0, 0x03]].concat(),
            Self::IpxSnap => [
                length(body.len() + 8).as_slice(),
                &[0xaa, 0xaa, 0x03, 0, 0, 0, 0x81, 0x37],
            ]
            .concat(),
            Self::Tagged => vec![0x81, 0x00, 0x00, 0x07, 0x88, 0xb5],
        };
        [&to.to_bytes()[..], &from.to_bytes(), &head, &body].concat()
    }

    /// Bytes of header behind the MACs.
    pub const fn head(self) -> usize {
        match self {
            Self::Experimental | Self::IpxEthernet2 => 2,
            Self::IpxRaw => 4,
            Self::Ipx8022 => 5,
            Self::IpxSnap => 10,
            Self::Tagged => 6,
        }
    }
}

fn length(bytes: usize) -> [u8; 2] {
    // Frames of the simulator are shorter than 1,536 bytes where they have a length.
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
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
