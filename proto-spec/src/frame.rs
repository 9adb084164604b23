//! Ethernet as the switch looks at it: addresses, type or length, tags (SPEC §10.1).
//!
//! Owner: nobody; views of the caller's bytes. In: a frame. Out: fields.
//! Never: a change, a trim, a reading of bytes 12 and 13 below 0x0600 as a type.

use crate::cursor::Reader;
use crate::error::Malformed;
use crate::ids::Mac;

/// Bytes of an Ethernet header without tags.
pub const ETHERNET_HEADER: usize = 14;
/// The least value of bytes 12 and 13 that is an EtherType.
pub const ETHERTYPE_MIN: u16 = 0x0600;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of an 802.1ad (outer) tag.
pub const QINQ: u16 = 0x88a8;

/// A frame of at least 14 bytes. Tags stay where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet<'a> {
    bytes: &'a [u8],
}

/// What bytes 12 and 13 mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtherKind {
    /// Ethernet II: an EtherType from 0x0600.
    Type(u16),
    /// 802.3: the length of what follows; 802.2, SNAP or raw IPX is inside.
    Length(u16),
}

impl<'a> Ethernet<'a> {
    /// A frame.
    ///
    /// # Errors
    /// [`Malformed::Short`] below 14 bytes.
    pub const fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() < ETHERNET_HEADER {
            Err(Malformed::Short)
        } else {
            Ok(Self { bytes })
        }
    }

    /// To whom.
    pub fn destination(&self) -> Mac {
        self.mac(0)
    }

    /// From whom.
    pub fn source(&self) -> Mac {
        self.mac(6)
    }

    /// What bytes 12 and 13 say; a tag's own EtherType when there is a tag.
    pub fn kind(&self) -> EtherKind {
        kind(self.u16_at(12))
    }

    /// The whole frame.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header and up to two tags, with its type or length.
    ///
    /// # Errors
    /// [`Malformed::Short`] when a tag is cut off.
    pub fn payload(&self) -> Result<(EtherKind, &'a [u8]), Malformed> {
        let mut r = Reader::new(self.bytes);
        r.take(12)?;
        let mut value = r.u16()?;
        for _ in 0..2 {
            if value != VLAN && value != QINQ {
                break;
            }
            r.u16()?;
            value = r.u16()?;
        }
        Ok((kind(value), r.rest()))
    }

    /// The outermost VLAN tag's control information (priority, DEI, id), if there is a tag.
    pub fn tag(&self) -> Option<u16> {
        match self.u16_at(12) {
            VLAN | QINQ if self.bytes.len() >= 18 => Some(self.u16_at(14)),
            _ => None,
        }
    }

    fn mac(&self, at: usize) -> Mac {
        let mut mac = [0; 6];
        // `parse` has seen 14 bytes; `at` is 0 or 6.
        mac.copy_from_slice(&self.bytes[at..at + 6]);
        Mac::from_bytes(mac)
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }
}

const fn kind(value: u16) -> EtherKind {
    if value < ETHERTYPE_MIN {
        EtherKind::Length(value)
    } else {
        EtherKind::Type(value)
    }
}
