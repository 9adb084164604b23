//! The messages that carry traffic: FRAME, FRAGMENT, RELAY, RELAYED, REPLICATE. Each stands alone in its datagram (SPEC §6.1).
//!
//! Owner: nobody; views of the caller's bytes. In: a payload. Out: header fields and the bytes carried.
//! Never: a look inside what is carried.

use crate::cursor::{Put, Reader};
use crate::datagram::TRANSPORT_OVERHEAD;
use crate::error::Malformed;
use crate::ids::{Address, NetworkId};

use super::MESSAGE_HEADER;

/// FRAME flag: the MACs are left out; they are those of sender and receiver (SPEC §6.2).
pub const ELIDED_MACS: u8 = 1;
const PARTIAL_CHECKSUM: u8 = 2;
/// FRAME flag: a replicator passes it on for the member whose address follows (SPEC §6.2).
pub const ORIGIN: u8 = 4;

/// Bytes before the frame in a datagram's body when the checksum is complete.
pub const FRAME_OVERHEAD: usize = MESSAGE_HEADER + 8 + 1;
/// Largest frame: 9,000 bytes of payload, Ethernet header, two VLAN tags.
pub const FRAME_MAX: usize = 9_022;
/// Bytes before the piece in a FRAGMENT's body.
pub const FRAGMENT_OVERHEAD: usize = MESSAGE_HEADER + 6;
/// Most fragments of a FRAME on a network with an MTU up to 1,500.
pub const FRAGMENTS_FRAME: u8 = 8;
/// Most fragments of a FRAME on a network with a larger MTU.
pub const FRAGMENTS_JUMBO: u8 = 16;
/// Most fragments of any other message.
pub const FRAGMENTS_CONTROL: u8 = 64;
/// Hops that a RELAY starts with.
pub const HOPS: u8 = 3;
/// Bytes before the inner datagram in a RELAY's body.
pub const RELAY_OVERHEAD: usize = MESSAGE_HEADER + 6;

/// An Ethernet frame of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whose.
    pub network: NetworkId,
    /// The MACs are `Mac::of(sender)` and `Mac::of(receiver)`, and `bytes` starts behind them.
    pub elided: bool,
    /// The checksum is still to be completed: where it starts to sum, and where from there it is stored, both counted
    /// in the whole frame (with its MACs).
    pub checksum: Option<(u16, u16)>,
    /// The member that sent it, when a replicator passes it on; never with `elided`.
    pub origin: Option<Address>,
    /// The frame, from its first byte or (`elided`) from byte 12.
    pub bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let network = r.network()?;
        let flags = r.flags(ELIDED_MACS | PARTIAL_CHECKSUM | ORIGIN)?;
        let elided = flags & ELIDED_MACS != 0;
        let origin = match flags & ORIGIN {
            0 => None,
            _ if elided => return Err(Malformed::Reserved),
            _ => Some(r.address()?),
        };
        let checksum = checksum(r, flags)?;
        let bytes = r.take_rest();
        let macs = if elided { 12 } else { 0 };
        whole(bytes.len() + macs, checksum)?;
        Ok(Self {
            network,
            elided,
            checksum,
            origin,
            bytes,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.network.to_bytes());
        let elided = if self.elided { ELIDED_MACS } else { 0 };
        let partial = self.checksum.map_or(0, |_| PARTIAL_CHECKSUM);
        let origin = self.origin.map_or(0, |_| ORIGIN);
        out.u8(elided | partial | origin);
        if let Some(origin) = self.origin {
            out.put(&origin.to_bytes());
        }
        if let Some((start, offset)) = self.checksum {
            out.u16(start);
            out.u16(offset);
        }
        out.put(self.bytes);
    }
}

/// A group frame that a replicator is to pass on to some members (SPEC §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicate<'a> {
    /// Whose.
    pub network: NetworkId,
    /// As in [`Frame`].
    pub checksum: Option<(u16, u16)>,
    /// The members, each once, in ascending order.
    pub members: &'a [[u8; Address::LEN]],
    /// The frame, whole.
    pub bytes: &'a [u8],
}

impl<'a> Replicate<'a> {
    /// Most members in one message.
    pub const MAX: usize = 128;

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let network = r.network()?;
        let flags = r.flags(PARTIAL_CHECKSUM)?;
        let checksum = checksum(r, flags)?;
        let count = usize::from(r.u8()?);
        if count == 0 || count > Self::MAX {
            return Err(Malformed::Count);
        }
        let (members, _) = r.take(count * Address::LEN)?.as_chunks();
        for member in members {
            Address::from_bytes(*member).map_err(|_| Malformed::Name)?;
        }
        if !members.is_sorted_by(|one, next| one < next) {
            return Err(Malformed::Order);
        }
        let bytes = r.take_rest();
        whole(bytes.len(), checksum)?;
        Ok(Self {
            network,
            checksum,
            members,
            bytes,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.network.to_bytes());
        out.u8(self.checksum.map_or(0, |_| PARTIAL_CHECKSUM));
        if let Some((start, offset)) = self.checksum {
            out.u16(start);
            out.u16(offset);
        }
        let members = &self.members[..self.members.len().min(Self::MAX)];
        // At most MAX.
        out.u8(u8::try_from(members.len()).unwrap_or(u8::MAX));
        out.put(members.as_flattened());
        out.put(self.bytes);
    }

    /// The members' addresses.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + use<'a> {
        // Each was read as an address.
        self.members
            .iter()
            .filter_map(|member| Address::from_bytes(*member).ok())
    }
}

fn checksum(r: &mut Reader<'_>, flags: u8) -> Result<Option<(u16, u16)>, Malformed> {
    Ok(match flags & PARTIAL_CHECKSUM {
        0 => None,
        _ => Some((r.u16()?, r.u16()?)),
    })
}

/// Whether a whole frame of this length can be, and its checksum lies in it.
fn whole(len: usize, checksum: Option<(u16, u16)>) -> Result<(), Malformed> {
    if !(14..=FRAME_MAX).contains(&len) {
        return Err(Malformed::Length);
    }
    if let Some((start, offset)) = checksum {
        let end = usize::from(start) + usize::from(offset) + 2;
        if usize::from(start) < 14 || end > len {
            return Err(Malformed::Length);
        }
    }
    Ok(())
}

/// A piece of a message that did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The same in all pieces; the sender counts up.
    pub id: u32,
    /// Which piece, from zero.
    pub index: u8,
    /// How many: 2 to [`FRAGMENTS_CONTROL`].
    pub count: u8,
    /// The piece.
    pub bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let fragment = Self {
            id: r.u32()?,
            index: r.u8()?,
            count: r.u8()?,
            bytes: r.take_rest(),
        };
        if fragment.count < 2 || fragment.count > FRAGMENTS_CONTROL {
            return Err(Malformed::Count);
        }
        if fragment.index >= fragment.count {
            return Err(Malformed::Index);
        }
        if fragment.bytes.is_empty() {
            return Err(Malformed::Length);
        }
        Ok(fragment)
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.u32(self.id);
        out.u8(self.index);
        out.u8(self.count);
        out.put(self.bytes);
    }
}

/// A datagram to be passed on to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay<'a> {
    /// To whom.
    pub destination: Address,
    /// Supernodes that may still pass it on.
    pub hops: u8,
    /// The inner datagram, sealed end to end.
    pub datagram: &'a [u8],
}

impl<'a> Relay<'a> {
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (destination, hops, datagram) = relayed(r)?;
        Ok(Self {
            destination,
            hops,
            datagram,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.destination.to_bytes());
        out.u8(self.hops);
        out.put(self.datagram);
    }
}

/// A datagram passed on by a supernode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed<'a> {
    /// From whom, as the supernode's session with it says.
    pub source: Address,
    /// Hops that were left.
    pub hops: u8,
    /// The inner datagram.
    pub datagram: &'a [u8],
}

impl<'a> Relayed<'a> {
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (source, hops, datagram) = relayed(r)?;
        Ok(Self {
            source,
            hops,
            datagram,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.source.to_bytes());
        out.u8(self.hops);
        out.put(self.datagram);
    }
}

fn relayed<'a>(r: &mut Reader<'a>) -> Result<(Address, u8, &'a [u8]), Malformed> {
    let address = r.address()?;
    let hops = r.u8()?;
    if hops > HOPS {
        return Err(Malformed::Code);
    }
    let datagram = r.take_rest();
    // Not even the shortest datagram fits.
    if datagram.len() < TRANSPORT_OVERHEAD {
        return Err(Malformed::Length);
    }
    Ok((address, hops, datagram))
}
