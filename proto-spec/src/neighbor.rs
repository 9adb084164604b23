//! ARP and neighbor discovery: reading a question, writing its answer (SPEC §10.5; RFC 826, RFC 4861).
//!
//! Owner: nobody; plain values. In: a question. Out: the frame that answers it, in a fixed array.
//! Never: knowledge of who has which address.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::cursor::Reader;
use crate::error::Malformed;
use crate::frame::{ARP, EtherKind, Ethernet, IPV6};
use crate::ids::Mac;

/// Bytes of an ARP frame.
pub const ARP_FRAME: usize = 42;
/// Bytes of a neighbor advertisement with one option.
pub const ADVERTISEMENT_FRAME: usize = 86;

/// ARP for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1: question, 2: answer.
    pub operation: u16,
    /// Who speaks.
    pub sender_mac: Mac,
    /// Its address; zero in a probe.
    pub sender: Ipv4Addr,
    /// Whom it means; zero in a question.
    pub target_mac: Mac,
    /// Whose address it asks for.
    pub target: Ipv4Addr,
}

impl Arp {
    /// Reads what follows the Ethernet header; padding behind it is not looked at.
    ///
    /// # Errors
    /// [`Malformed::Code`] for anything but IPv4 over Ethernet.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        if r.array()? != [0, 1, 8, 0, 6, 4] {
            return Err(Malformed::Code);
        }
        Ok(Self {
            operation: r.u16()?,
            sender_mac: r.mac()?,
            sender: Ipv4Addr::from(r.array::<4>()?),
            target_mac: r.mac()?,
            target: Ipv4Addr::from(r.array::<4>()?),
        })
    }

    /// The question in `frame`: untagged ARP, operation 1, from the frame's own source, not about the asker itself
    /// (an announcement). A probe of RFC 5227 is a question: its answer says that the address is taken.
    pub fn question(frame: &Ethernet<'_>) -> Option<Self> {
        if frame.kind() != EtherKind::Type(ARP) {
            return None;
        }
        let arp = Self::parse(frame.bytes().get(14..)?).ok()?;
        let asks =
            arp.operation == 1 && arp.sender != arp.target && arp.sender_mac == frame.source();
        asks.then_some(arp)
    }

    /// The frame that answers this question: `target` is at `mac`.
    pub fn answer(&self, mac: Mac) -> [u8; ARP_FRAME] {
        let mut out = [0; ARP_FRAME];
        out[..6].copy_from_slice(&self.sender_mac.to_bytes());
        out[6..12].copy_from_slice(&mac.to_bytes());
        out[12..14].copy_from_slice(&ARP.to_be_bytes());
        out[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 2]);
        out[22..28].copy_from_slice(&mac.to_bytes());
        out[28..32].copy_from_slice(&self.target.octets());
        out[32..38].copy_from_slice(&self.sender_mac.to_bytes());
        out[38..].copy_from_slice(&self.sender.octets());
        out
    }
}

/// A neighbor solicitation with a source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks: the frame's source.
    pub asker_mac: Mac,
    /// Its address.
    pub asker: Ipv6Addr,
    /// Whom it asks for.
    pub target: Ipv6Addr,
}

impl Solicitation {
    /// The question in `frame`: untagged, hop limit 255, ICMPv6 135, from a specified address (so no duplicate address
    /// detection). `None` for anything else.
    pub fn question(frame: &Ethernet<'_>) -> Option<Self> {
        if frame.kind() != EtherKind::Type(IPV6) {
            return None;
        }
        let mut r = Reader::new(frame.bytes().get(14..)?);
        let head: [u8; 8] = r.array().ok()?;
        if head[0] >> 4 != 6 || head[6] != 58 || head[7] != 255 {
            return None;
        }
        let asker = Ipv6Addr::from(r.array::<16>().ok()?);
        r.take(16).ok()?;
        let icmp: [u8; 8] = r.array().ok()?;
        let target = Ipv6Addr::from(r.array::<16>().ok()?);
        let asks = icmp[..2] == [135, 0]
            && !asker.is_unspecified()
            && !target.is_multicast()
            && asker != target;
        asks.then_some(Self {
            asker_mac: frame.source(),
            asker,
            target,
        })
    }

    /// The frame that answers this question: `target` is at `mac` (solicited, override).
    pub fn answer(&self, mac: Mac) -> [u8; ADVERTISEMENT_FRAME] {
        let mut out = [0; ADVERTISEMENT_FRAME];
        out[..6].copy_from_slice(&self.asker_mac.to_bytes());
        out[6..12].copy_from_slice(&mac.to_bytes());
        out[12..14].copy_from_slice(&IPV6.to_be_bytes());
        out[14] = 0x60;
        out[18..22].copy_from_slice(&[0, 32, 58, 255]);
        out[22..38].copy_from_slice(&self.target.octets());
        out[38..54].copy_from_slice(&self.asker.octets());
        out[54] = 136;
        out[58] = 0x60;
        out[62..78].copy_from_slice(&self.target.octets());
        out[78..80].copy_from_slice(&[2, 1]);
        out[80..].copy_from_slice(&mac.to_bytes());
        let sum = icmpv6_checksum(&out);
        out[56..58].copy_from_slice(&sum.to_be_bytes());
        out
    }
}

/// RFC 4443 §2.3 over an advertisement whose checksum field is zero: addresses, length 32, next header 58, message.
fn icmpv6_checksum(frame: &[u8; ADVERTISEMENT_FRAME]) -> u16 {
    let (words, _) = frame[22..].as_chunks::<2>();
    let mut sum: u32 = 32 + 58;
    for word in words {
        sum += u32::from(u16::from_be_bytes(*word));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Below 0x10000 after folding.
    !u16::try_from(sum).unwrap_or(0)
}
