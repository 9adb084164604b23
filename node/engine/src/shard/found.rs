//! What was found in a datagram, before it becomes a `Verdict`: positions, not borrows.
//!
//! Owner: one call of `Shard::rx`. In: opened bodies. Out: what it is, in which buffer, from where to where.
//! Never: a look at keys or tables.

use core::ops::Range;

use zt_wire::error::Malformed;
use zt_wire::message::{MESSAGE_HEADER, MessageType};
use zt_wire::{Address, KeyId, NetworkId};

use super::verdict::{Offload, Path, PeerHandle, Share, Whose};
use crate::counters::DropReason;
use crate::time::Now;

/// How a datagram came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whence {
    pub(super) now: Now,
    pub(super) from: Path,
    /// 0 from the wire, 1 out of a RELAYED message.
    pub(super) depth: usize,
}

/// Who an opened body is from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) whence: Whence,
    pub(super) peer: PeerHandle,
    pub(super) key: KeyId,
    pub(super) session: u32,
    /// Fragments the message came in.
    pub(super) parts: usize,
}

/// What was found and where it stands; turned into a `Verdict` when nothing needs the shard any more.
pub(super) struct Found {
    pub(super) what: What,
    pub(super) home: Home,
    pub(super) range: Range<usize>,
}

pub(super) enum What {
    Frame {
        network: NetworkId,
        offload: Offload,
    },
    Control {
        peer: PeerHandle,
        session: u32,
        from: Path,
    },
    Handshake {
        from: Path,
    },
    Relay {
        from: PeerHandle,
        to: PeerHandle,
        hops: u8,
    },
    /// Its place in the buffer is not known before the end.
    Share(Share),
    Unvouched {
        peer: PeerHandle,
        network: NetworkId,
        origin: Address,
    },
    /// Nothing is known of a certificate of the sender's, and it may be on its way to us.
    Early(Whose),
    /// A datagram for another worker.
    Stray {
        from: Path,
    },
    Kept,
}

/// The buffer a range is in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Home {
    Datagram,
    Outer,
    Inner,
}

impl Found {
    pub(super) const KEPT: Self = Self {
        what: What::Kept,
        home: Home::Datagram,
        range: 0..0,
    };

    /// What was found in a buffer passed as a datagram stands in this buffer.
    pub(super) fn at_home(self, home: Home) -> Self {
        match self.home {
            Home::Datagram => Self { home, ..self },
            Home::Outer | Home::Inner => self,
        }
    }

    /// What was found in a part of a buffer stands further on in the whole.
    pub(super) fn shifted(self, by: usize) -> Self {
        match self.home {
            Home::Datagram => Self {
                range: self.range.start + by..self.range.end + by,
                ..self
            },
            Home::Outer | Home::Inner => self,
        }
    }
}

/// The type of the data message that `text` is, or `None` for control messages, whose framing is checked here.
pub(super) fn alone(text: &[u8]) -> Result<Option<MessageType>, DropReason> {
    let mut rest = text;
    while !rest.is_empty() {
        let (header, more) = rest
            .split_first_chunk::<MESSAGE_HEADER>()
            .ok_or(DropReason::Malformed)?;
        let [code, high, low] = *header;
        let payload = usize::from(u16::from_be_bytes([high, low]));
        let after = more.get(payload..).ok_or(DropReason::Malformed)?;
        if let Ok(kind) = MessageType::from_code(code)
            && kind.stands_alone()
        {
            let only = rest.len() == text.len() && after.is_empty();
            return if only {
                Ok(Some(kind))
            } else {
                Err(DropReason::Malformed)
            };
        }
        rest = after;
    }
    Ok(None)
}

pub(super) fn reason(malformed: Malformed) -> DropReason {
    match malformed {
        Malformed::Short => DropReason::Short,
        Malformed::Version(_) => DropReason::Version,
        Malformed::Type(_) => DropReason::UnknownType,
        _ => DropReason::Malformed,
    }
}
