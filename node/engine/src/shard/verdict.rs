//! What a shard says: where a datagram came from, what becomes of it, what became of a frame.
//!
//! In: nothing. Out: the vocabulary between `Shard`, `Engine` and the driver.
//! Never: a decision.

use core::net::SocketAddr;
use core::ops::Range;

use zt_wire::{Address, Mac, NetworkId};

use super::found::{Home, Origin};
use crate::counters::DropReason;
use crate::trouble::Trouble;

/// A way to a peer, or the way a datagram came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// UDP straight to this endpoint.
    Direct(SocketAddr),
    /// Through a supernode's session.
    Relay {
        /// The supernode.
        via: Address,
        /// The peer behind it; as a source it is the supernode's word, not proven.
        peer: Address,
    },
}

impl Path {
    /// Whether it goes through a supernode.
    pub const fn is_relay(self) -> bool {
        matches!(self, Self::Relay { .. })
    }
}

/// Names a peer between engine and shard; a small number that the engine gives out and takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerHandle(pub u32);

/// Where sealed datagrams go.
pub trait SendBuf {
    /// A place of exactly `len` bytes in the send batch; what it holds on return to the driver is sent to `to`.
    /// `None`: the batch is full and the driver could not empty it.
    fn slot(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]>;
}

/// A frame on its way from or to a device.
#[derive(Clone, Copy, Debug)]
pub struct TapFrame<'a> {
    /// From the destination MAC on, without the frame check sequence.
    pub bytes: &'a [u8],
    /// What is left to do.
    pub offload: Offload,
}

impl<'a> TapFrame<'a> {
    /// A frame with nothing left to do.
    pub const fn plain(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            offload: Offload::None,
        }
    }
}

/// What the sender's kernel has left undone in a frame. Rebuilt from the parsed frame before it reaches a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// Nothing.
    None,
    /// The checksum: add up from `start`, store at `start + offset`; the field holds the pseudo header's sum.
    Checksum {
        /// Where the sum begins, bytes from the start of the frame.
        start: u16,
        /// Where the field is, bytes from `start`.
        offset: u16,
    },
    /// A TCP super frame: cut into segments of this payload, checksums left as in `Checksum`.
    Tcp {
        /// Payload bytes per segment.
        segment: u16,
    },
    /// UDP datagrams of this payload, one after another behind one header.
    Udp {
        /// Payload bytes per datagram.
        segment: u16,
    },
}

/// What becomes of a datagram from the wire.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// For the device of this network.
    Deliver {
        /// Which network.
        network: NetworkId,
        /// The frame, all gates passed.
        frame: TapFrame<'a>,
    },
    /// To be passed on: call `Shard::forward` with the same bytes.
    Relay(Forward),
    /// A frame to be passed on: call `Shard::replicate` with the same bytes.
    Share(Share),
    /// A frame passed on for a member whose certificate is missing: keep it, ask the peer, then `Shard::enter`.
    Unvouched {
        /// Who passed it on.
        peer: PeerHandle,
        /// On which network.
        network: NetworkId,
        /// Whose it is.
        origin: Address,
        /// The FRAME, with its header.
        message: &'a [u8],
    },
    /// From a peer without a valid certificate, of whose control messages some are being dealt with: keep it until
    /// `Shard::answered`, then `Shard::again`.
    Early {
        /// Whose it is.
        whose: Whose,
        /// The message, with its header.
        message: &'a [u8],
    },
    /// For the engine.
    Punt(Punt<'a>),
    /// To be opened by the worker that its session index names: [`super::owner`].
    Stray {
        /// Which way it came.
        from: Path,
        /// The datagram.
        datagram: &'a [u8],
    },
    /// A part of something larger, kept.
    Kept,
    /// Goes no further; counted already.
    Drop(DropReason),
}

/// Whose message it is, and how it came: opened once, so not to be opened again.
#[derive(Clone, Copy, Debug)]
pub struct Whose(pub(super) Origin);

impl Whose {
    /// Who sent it.
    pub const fn peer(&self) -> PeerHandle {
        self.0.peer
    }
}

/// A datagram that a supernode passes on.
#[derive(Clone, Debug)]
pub struct Forward {
    pub(crate) from: PeerHandle,
    pub(crate) to: PeerHandle,
    pub(crate) hops: u8,
    pub(crate) assembled: bool,
    pub(crate) inner: Range<usize>,
}

/// A group frame that a replicator passes on.
#[derive(Clone, Debug)]
pub struct Share {
    pub(crate) from: PeerHandle,
    pub(crate) network: NetworkId,
    /// Whose frame it is.
    pub origin: Address,
    pub(crate) home: Home,
    pub(crate) message: Range<usize>,
    /// Bytes of the frame, which ends the message.
    pub(crate) len: usize,
}

impl Share {
    /// On which network.
    pub const fn network(&self) -> NetworkId {
        self.network
    }
}

/// What the engine has to look at.
#[derive(Clone, Copy, Debug)]
pub enum Punt<'a> {
    /// INIT, COOKIE or RESPONSE: whole, unauthenticated, at least 8 bytes and of our version.
    Handshake {
        /// Where it came from.
        from: Path,
        /// The datagram.
        datagram: &'a [u8],
    },
    /// One or several control messages from an authenticated peer, each with its header, well framed.
    Control {
        /// From whom.
        peer: PeerHandle,
        /// The local index of the session they were sealed in.
        session: u32,
        /// Which way they came; for a reassembled message the way of its last fragment.
        from: Path,
        /// `type u8, length u16, payload`, one after another.
        messages: &'a [u8],
    },
}

/// What became of a frame from a device.
#[derive(Debug)]
pub enum Sent<'a> {
    /// Sent to everybody who gets it, or dropped and counted.
    Done,
    /// Nobody needs to be asked: hand this frame back to the device.
    Answer(&'a [u8]),
    /// Members listed as `Note::Unready` have not got it yet: keep a copy for each, connect, then `Shard::transmit`.
    Unready,
}

/// Why a control message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The peer has no usable session.
    NoSession,
    /// The peer has no path.
    NoPath,
    /// The batch is full.
    Full,
    /// Longer than 64 fragments.
    TooLong,
}

/// A fact the engine learns besides verdicts. Most calls make none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The first datagram under this session's keys was opened: both ends have them.
    Confirmed {
        /// Whose session.
        peer: PeerHandle,
        /// Its local index.
        session: u32,
        /// Which way the datagram came.
        from: Path,
    },
    /// An authentic datagram came straight from an endpoint that is not the path in use. At most one a second per peer.
    Heard {
        /// From whom.
        peer: PeerHandle,
        /// From where.
        from: Path,
    },
    /// Something was sent and nothing has been heard since; made again at most every 3 s per peer.
    Waiting {
        /// To whom.
        peer: PeerHandle,
    },
    /// Datagrams of some size leave straight for a peer; at most every 250 ms per peer.
    Wide {
        /// To whom.
        peer: PeerHandle,
        /// The largest since the last of these notes.
        widest: u16,
        /// Bytes of all datagrams since then.
        bytes: u32,
    },
    /// The keys in use are old enough to renew; once per session.
    RekeyDue {
        /// With whom.
        peer: PeerHandle,
    },
    /// A frame for this member could not be sent: connect to it and exchange certificates.
    Unready {
        /// On which network.
        network: NetworkId,
        /// Which member.
        address: Address,
    },
    /// Copies of a frame are for replicators, of which none is ready: keep it, then `Shard::share`.
    Unshared {
        /// On which network.
        network: NetworkId,
    },
    /// An authentic peer sent a frame without a valid certificate known to us: it needs to be told.
    Uncertified {
        /// Who.
        peer: PeerHandle,
        /// On which network.
        network: NetworkId,
    },
    /// There are stations behind our own device, which may bridge; made again at most every 30 s per network.
    Bridging {
        /// On which network.
        network: NetworkId,
    },
    /// A probe of the loop guard came in through our device; at most 8 a second per network.
    LoopProbe {
        /// On which network.
        network: NetworkId,
        /// Whose it says it is.
        member: Address,
        /// What its sender can tell it by.
        token: u64,
    },
    /// A datagram that we sent came out of our own device; for the same endpoint at most once a second.
    Tunnel {
        /// On which network.
        network: NetworkId,
        /// Where it was to go.
        to: SocketAddr,
    },
    /// Frames are dropped, and a person could do something about it; once per episode.
    Trouble {
        /// On which network.
        network: NetworkId,
        /// Whose frames; `None`: our own device's.
        member: Option<Address>,
        /// What is wrong with them.
        trouble: Trouble,
    },
    /// The frame just taken from the device says something to the engine, too: the caller shows it.
    Shown(Shown),
    /// A station is at this place now: for the other workers, who may have frames for it.
    Station {
        /// On which network.
        network: NetworkId,
        /// Which station.
        mac: Mac,
        /// Behind which member; `None`: behind our own device.
        behind: Option<Address>,
    },
    /// Supernode: a datagram was passed on between these two; at most every 10 s per pair.
    Relayed {
        /// From whom.
        from: PeerHandle,
        /// To whom.
        to: PeerHandle,
    },
    /// Supernode: a datagram could not be passed on because its destination is not here; rate limited.
    NoRoute {
        /// Who asked.
        from: PeerHandle,
        /// For whom.
        to: Address,
    },
}

/// Notes of one or several calls, in order. The caller reads and clears it; its memory is reused.
pub type Notes = Vec<Note>;

/// Why the engine is shown a frame of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is IGMP or MLD.
    Membership,
    /// It is an ARP request or a neighbour solicitation that nothing here could answer.
    Question,
}

impl Shown {
    /// What these notes say of the frame just taken.
    pub(crate) fn among(notes: &[Note]) -> Option<Self> {
        notes.iter().find_map(|note| match note {
            Note::Shown(what) => Some(*what),
            _ => None,
        })
    }
}
