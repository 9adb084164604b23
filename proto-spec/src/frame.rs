//! Ethernet as the switch looks at it: addresses, type or length, tags, and what a sender claims to be (SPEC §10).
//!
//! Owner: nobody; views of the caller's bytes. In: a frame. Out: fields.
//! Never: a change, a trim, a reading of bytes 12 and 13 below 0x0600 as a type.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::cursor::Reader;
use crate::error::Malformed;
use crate::ids::Mac;

/// Bytes of an Ethernet header without tags.
pub const ETHERNET_HEADER: usize = 14;
/// The least value of bytes 12 and 13 that is an EtherType.
pub const ETHERTYPE_MIN: u16 = 0x0600;
/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
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

    /// What the sender claims to be above Ethernet, for the guards.
    pub fn claims(&self) -> Claims {
        match self.payload() {
            Ok((EtherKind::Type(ARP), payload)) => {
                crate::neighbor::Arp::parse(payload).map_or(Claims::Broken, Claims::Arp)
            }
            Ok((EtherKind::Type(IPV4), payload)) => ipv4_claims(payload).unwrap_or(Claims::Broken),
            Ok((EtherKind::Type(IPV6), payload)) => ipv6_claims(payload).unwrap_or(Claims::Broken),
            Ok(_) => Claims::Nothing,
            Err(_) => Claims::Broken,
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

/// What a frame says about its sender above Ethernet (SPEC §10.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claims {
    /// Nothing that a guard looks at.
    Nothing,
    /// IP, ARP or a tag cut off or contradicting itself.
    Broken,
    /// ARP.
    Arp(crate::neighbor::Arp),
    /// IPv4.
    Ipv4 {
        /// The source.
        source: Ipv4Addr,
        /// UDP from port 67.
        dhcp_server: bool,
    },
    /// IPv6.
    Ipv6 {
        /// The source.
        source: Ipv6Addr,
        /// UDP from port 547.
        dhcp_server: bool,
        /// ICMPv6 type 134.
        router_advertisement: bool,
        /// The target that a neighbor advertisement speaks for.
        advertised: Option<Ipv6Addr>,
    },
}

fn ipv4_claims(payload: &[u8]) -> Result<Claims, Malformed> {
    let header: &[u8; 20] = Reader::new(payload).array_ref()?;
    if header[0] >> 4 != 4 {
        return Err(Malformed::Version(header[0] >> 4));
    }
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let header_len = usize::from(header[0] & 15) * 4;
    let [offset_high, offset_low] = [header[6] & 0x1f, header[7]];
    let first_fragment = (offset_high, offset_low) == (0, 0);
    let above = payload.get(header_len..).ok_or(Malformed::Short)?;
    let dhcp_server =
        header[9] == 17 && first_fragment && above.first_chunk() == Some(&67u16.to_be_bytes());
    Ok(Claims::Ipv4 {
        source,
        dhcp_server,
    })
}

fn ipv6_claims(payload: &[u8]) -> Result<Claims, Malformed> {
    let mut r = Reader::new(payload);
    let head: [u8; 8] = r.array()?;
    if head[0] >> 4 != 6 {
        return Err(Malformed::Version(head[0] >> 4));
    }
    let source = Ipv6Addr::from(r.array::<16>()?);
    r.take(16)?;
    let (next, above) = skip_extensions(head[6], r)?;
    let mut claims = Ipv6Above::default();
    match next {
        17 => claims.dhcp_server = above.first_chunk() == Some(&547u16.to_be_bytes()),
        58 => match above.first() {
            Some(134) => claims.router_advertisement = true,
            Some(136) => {
                let target: [u8; 16] = *above
                    .get(8..)
                    .and_then(<[u8]>::first_chunk)
                    .ok_or(Malformed::Short)?;
                claims.advertised = Some(Ipv6Addr::from(target));
            }
            _ => {}
        },
        _ => {}
    }
    Ok(Claims::Ipv6 {
        source,
        dhcp_server: claims.dhcp_server,
        router_advertisement: claims.router_advertisement,
        advertised: claims.advertised,
    })
}

#[derive(Default)]
struct Ipv6Above {
    dhcp_server: bool,
    router_advertisement: bool,
    advertised: Option<Ipv6Addr>,
}

/// Follows hop-by-hop, routing, destination options and first fragments, so that a guard can't be stepped around.
fn skip_extensions(mut next: u8, mut r: Reader<'_>) -> Result<(u8, &[u8]), Malformed> {
    // Eight headers are more than any stack sends.
    for _ in 0..8 {
        match next {
            0 | 43 | 60 => {
                let head: [u8; 2] = r.array()?;
                r.take(usize::from(head[1]) * 8 + 6)?;
                next = head[0];
            }
            44 => {
                let head: [u8; 8] = r.array()?;
                if u16::from_be_bytes([head[2], head[3]]) & 0xfff8 != 0 {
                    return Ok((59, &[]));
                }
                next = head[0];
            }
            _ => return Ok((next, r.rest())),
        }
    }
    Err(Malformed::Count)
}
