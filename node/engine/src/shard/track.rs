//! A frame like the one before it: from the same member, of the same length, with the same headers but for what numbers them.
//!
//! Owner: the shard. In: a FRAME whose frame has passed every gate. Out: whether the next one has anything new to be asked.
//! Never: a byte left out that a gate, a guard or a rule looks at; a frame that any of them counts or learns from.

use core::ops::Range;

use zt_wire::message::MESSAGE_HEADER;
use zt_wire::{Mac, NetworkId};

use super::found::{Found, Home, Origin, What};
use super::verdict::{Offload, PeerHandle};
use crate::likeness::Likeness;

/// What the last frame was; every update of the engine makes it forgotten.
#[derive(Clone, Debug)]
pub(super) struct Track {
    peer: PeerHandle,
    network: NetworkId,
    /// Bytes of the message.
    len: usize,
    /// The message's first bytes.
    likeness: Likeness,
    /// Where the frame begins in the message, and the MACs to be written there if they were elided.
    start: usize,
    macs: Option<[u8; MACS]>,
    offload: Offload,
}

/// The first bytes of a message, taken before its frame's MACs are written over its header.
pub(super) type Head = [u8; Likeness::SPAN];

/// The first bytes of a message that ends in `len` bytes of a frame, with its MACs or without them, where it may be
/// followed.
pub(super) fn head(message: &[u8], len: usize, elided: bool) -> Option<Head> {
    let kind = message.len() - len + if elided { 0 } else { MACS };
    let ip = matches!(
        message.get(kind..kind + 2),
        Some([0x08, 0x00] | [0x86, 0xdd])
    );
    message.first_chunk().copied().filter(|_| ip)
}

impl Track {
    /// What a frame has to be like to pass without being asked, after this one from one member's own MAC to ours, of
    /// which nothing was counted or learned. `None` where the answer is not in its headers alone.
    ///
    /// `frame` is whole and ends a message of `len` bytes that began with `head`.
    pub(super) fn of(
        origin: &Origin,
        network: NetworkId,
        (head, len): (Option<&Head>, usize),
        (frame, elided, offload): (&[u8], bool, Offload),
    ) -> Option<Self> {
        let head = head.filter(|_| origin.parts == 1)?;
        let looked_at = looked_at(frame)?;
        // The type stands behind the MACs, or where they would be.
        let shift = if elided { 0 } else { MACS };
        let kind = len - (frame.len() - MACS);
        debug_assert!(kind >= MESSAGE_HEADER + shift, "the message has its header");
        let behind = looked_at.map(|range| range.start - MACS + kind..range.end - MACS + kind);
        let likeness = Likeness::of(head, kind, behind, [])?;
        Some(Self {
            peer: origin.peer,
            network,
            len,
            likeness,
            start: len - frame.len(),
            macs: frame.first_chunk().copied().filter(|_| elided),
            offload,
        })
    }

    /// Takes a FRAME message at `range` if it is like the last one, and completes its frame.
    pub(super) fn follow(
        &self,
        origin: &Origin,
        bytes: &mut [u8],
        range: &Range<usize>,
    ) -> Option<Found> {
        let message = bytes.get_mut(range.clone())?;
        if message.len() != self.len || origin.peer != self.peer || origin.parts != 1 {
            return None;
        }
        if !self.likeness.holds(message) {
            return None;
        }
        if let Some(macs) = &self.macs {
            message
                .get_mut(self.start..)?
                .first_chunk_mut()
                .map(|place| *place = *macs)?;
        }
        Some(Found {
            what: What::Frame {
                network: self.network,
                offload: self.offload,
            },
            home: Home::Datagram,
            range: range.start + self.start..range.end,
        })
    }
}

/// Which bytes of a frame behind its MACs somebody looks at besides its length: `zt_rules::Facts` and the place of the
/// checksum. `None` for all but whole TCP and UDP over plain IP.
fn looked_at(frame: &[u8]) -> Option<[Range<usize>; 4]> {
    match frame.get(12..24)? {
        // Type, version, lengths; fragment, life time, protocol; addresses and ports; data offset and flags.
        [0x08, 0x00, 0x45, _, _, _, _, _, high, low, _, TCP] if is_whole(*high, *low) => {
            Some([12..18, 20..24, 26..38, 46..48])
        }
        [0x08, 0x00, 0x45, _, _, _, _, _, high, low, _, UDP] if is_whole(*high, *low) => {
            Some([12..18, 20..24, 26..38, NOTHING])
        }
        [0x86, 0xdd, first, _, _, _, _, _, TCP, ..] if first >> 4 == 6 => {
            Some([12..22, 22..54, 54..58, 66..68])
        }
        [0x86, 0xdd, first, _, _, _, _, _, UDP, ..] if first >> 4 == 6 => {
            Some([12..22, 22..54, 54..58, NOTHING])
        }
        _ => None,
    }
}

/// Neither a fragment nor followed by any.
const fn is_whole(high: u8, low: u8) -> bool {
    u16::from_be_bytes([high, low]) & FRAGMENT == 0
}

/// IPv4: more fragments follow, or this one's offset.
const FRAGMENT: u16 = 0x3fff;
const MACS: usize = 2 * Mac::LEN;
const NOTHING: Range<usize> = MACS..MACS;
const TCP: u8 = 6;
const UDP: u8 = 17;
