//! What a frame's headers say to whom joins neighbours: its flow, and whether it may be joined at all.
//!
//! Owner: nobody. In: a frame as a peer sent it. Out: where its layers are; what has to be the same in a neighbour.
//! Never: a frame whose checksum does not hold taken for one whose checksum the kernel may make anew.

use zt_engine::shard::{Offload, TapFrame};

use super::checksum::{self, fold, sum};

/// Which protocol a flow speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A TCP or UDP frame of any kind: enough to know whose order it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub v6: bool,
    pub protocol: Protocol,
    pub transport: usize,
}

/// A frame that may be joined with neighbours, and where its payload begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub flow: Flow,
    pub payload: usize,
}

impl Protocol {
    /// Where the checksum is in its header.
    pub const fn checksum(self) -> usize {
        match self {
            Self::Tcp => 16,
            Self::Udp => 6,
        }
    }

    /// Its number in the pseudo header.
    pub const fn number(self) -> u64 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl Flow {
    /// The flow of a frame over plain IP: no VLAN tag, no fragment, no extension header.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let v6 = match frame.get(12..14)? {
            [0x08, 0x00] => false,
            [0x86, 0xdd] => true,
            _ => return None,
        };
        let (start, offset) = checksum::transport(frame)?;
        let protocol = if usize::from(offset) == Protocol::Tcp.checksum() {
            Protocol::Tcp
        } else {
            Protocol::Udp
        };
        Some(Self {
            v6,
            protocol,
            transport: usize::from(start),
        })
    }

    /// Whether a frame with the headers `ours`, whose flow this is, and another one belong together.
    pub fn is_same(self, ours: &[u8], other: Self, theirs: &[u8]) -> bool {
        self.v6 == other.v6
            && self.protocol == other.protocol
            && ours[self.transport..self.transport + 4]
                == theirs[other.transport..other.transport + 4]
            && ours[self.addresses()] == theirs[self.addresses()]
    }

    /// Where both IP addresses are.
    pub const fn addresses(self) -> core::ops::Range<usize> {
        if self.v6 {
            ETHERNET + 8..ETHERNET + 40
        } else {
            ETHERNET + 12..ETHERNET + 20
        }
    }

    /// Where the IP packet ends, by its own length.
    fn end(self, frame: &[u8]) -> usize {
        let (field, base) = if self.v6 {
            (ETHERNET + 4, ETHERNET + 40)
        } else {
            (ETHERNET + 2, ETHERNET)
        };
        base + usize::from(be16(frame, field))
    }
}

impl Shape {
    /// The shape of a frame that may be joined: data and nothing special, whole, its checksums right or open.
    pub fn of(frame: TapFrame<'_>, flow: Flow) -> Option<Self> {
        let bytes = frame.bytes;
        let Flow { v6, transport, .. } = flow;
        // IPv4 without options, and undivided for good: the kernel numbers the pieces itself.
        let plain = v6 || (transport == ETHERNET + 20 && bytes[ETHERNET + 6] & 0x40 != 0);
        let end = flow.end(bytes);
        // Padding is part of a frame, and a super frame has no place for it.
        if !plain || end != bytes.len() {
            return None;
        }
        let header = match flow.protocol {
            Protocol::Tcp => {
                let header = usize::from(bytes[transport + 12] >> 4) * 4;
                (header >= 20 && bytes[transport + FLAGS] & !PSH == ACK).then_some(header)?
            }
            // Without checksum (zero) it has to arrive without one, too.
            Protocol::Udp => {
                let whole = usize::from(be16(bytes, transport + 4)) == end - transport;
                whole.then_some(8)?
            }
        };
        let shape = Self {
            flow,
            payload: transport + header,
        };
        let summed = flow.protocol == Protocol::Tcp || shape.has_checksum(bytes);
        (summed && shape.payload < end && shape.is_sound(frame)).then_some(shape)
    }

    /// Whether all that one header can say once is the same: MACs, class of service, life time, for TCP also
    /// acknowledgement, window and options.
    pub fn same_headers(self, ours: &[u8], theirs: &[u8]) -> bool {
        let ip = if self.flow.v6 {
            ours[ETHERNET..ETHERNET + 4] == theirs[ETHERNET..ETHERNET + 4]
                && ours[ETHERNET + 7] == theirs[ETHERNET + 7]
        } else {
            let (tos, flags, life) = (ETHERNET + 1, ETHERNET + 6, ETHERNET + 8);
            ours[tos] == theirs[tos]
                && ours[flags..flags + 2] == theirs[flags..flags + 2]
                && ours[life] == theirs[life]
        };
        ip && ours[..12] == theirs[..12] && self.same_transport(ours, theirs)
    }

    fn same_transport(self, ours: &[u8], theirs: &[u8]) -> bool {
        let at = self.flow.transport;
        match self.flow.protocol {
            Protocol::Udp => true,
            Protocol::Tcp => {
                ours[at + 8..at + FLAGS] == theirs[at + 8..at + FLAGS]
                    && ours[at + FLAGS] & !PSH == theirs[at + FLAGS] & !PSH
                    && ours[at + 14..at + 16] == theirs[at + 14..at + 16]
                    && ours[at + 18..self.payload] == theirs[at + 18..self.payload]
            }
        }
    }

    /// TCP's sequence number; UDP has none.
    pub fn sequence(self, frame: &[u8]) -> u32 {
        let at = self.flow.transport + 4;
        match self.flow.protocol {
            Protocol::Tcp => {
                u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
            }
            Protocol::Udp => 0,
        }
    }

    /// What numbers a frame of a flow or sums it up, and so differs from one to the next: IPv4's identification and
    /// checksum, TCP's sequence number, the transport's checksum.
    pub fn numbers(self) -> [core::ops::Range<usize>; 4] {
        let Flow {
            v6,
            protocol,
            transport,
        } = self.flow;
        let none = transport..transport;
        let field = transport + protocol.checksum();
        let [id, sum] = if v6 {
            [none.clone(), none.clone()]
        } else {
            [ETHERNET + 4..ETHERNET + 6, ETHERNET + 10..ETHERNET + 12]
        };
        let sequence = match protocol {
            Protocol::Tcp => transport + 4..transport + 8,
            Protocol::Udp => none,
        };
        [id, sum, sequence, field..field + 2]
    }

    /// Where the sum over its transport begins, and where its field is from there.
    pub fn checksum(self) -> (u16, u16) {
        let Flow {
            protocol,
            transport,
            ..
        } = self.flow;
        let [start, offset] =
            [transport, protocol.checksum()].map(|at| u16::try_from(at).unwrap_or(u16::MAX));
        (start, offset)
    }

    /// Whether there is anything in its checksum's field: zero says that UDP has none.
    pub fn has_checksum(self, frame: &[u8]) -> bool {
        be16(frame, self.flow.transport + self.flow.protocol.checksum()) != 0
    }

    /// Whether TCP's sender asked for what there is to be handed on.
    pub fn is_pushed(self, frame: &[u8]) -> bool {
        self.flow.protocol == Protocol::Tcp && frame[self.flow.transport + FLAGS] & PSH != 0
    }

    /// Marks TCP headers as pushed.
    pub fn push(self, head: &mut [u8]) {
        head[self.flow.transport + FLAGS] |= PSH;
    }

    /// Writes what one header says of a super frame that ends at `end`: lengths, and the pseudo header's sum, from
    /// which the kernel makes the segments' checksums.
    pub fn span(self, head: &mut [u8], end: usize) {
        let Flow {
            v6,
            protocol,
            transport,
        } = self.flow;
        if v6 {
            put16(head, ETHERNET + 4, end - ETHERNET - 40);
        } else {
            put16(head, ETHERNET + 2, end - ETHERNET);
            put16(head, ETHERNET + 10, 0);
            let header = !fold(sum(&head[ETHERNET..transport]));
            head[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&header.to_be_bytes());
        }
        let length = end - transport;
        if protocol == Protocol::Udp {
            put16(head, transport + 4, length);
        }
        let pseudo = fold(sum(&head[self.flow.addresses()]) + protocol.number() + length as u64);
        let field = transport + protocol.checksum();
        head[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
    }

    /// Whether its checksums hold, so that the one made anew says nothing that the old one did not.
    fn is_sound(self, frame: TapFrame<'_>) -> bool {
        let bytes = frame.bytes;
        let Flow {
            v6,
            protocol,
            transport,
        } = self.flow;
        if !v6 && fold(sum(&bytes[ETHERNET..transport])) != 0xffff {
            return false;
        }
        match frame.offload {
            // The sender's kernel left it open: there is nothing on the wire that it could contradict, the seal has held.
            Offload::Checksum { start, offset } => {
                (usize::from(start), usize::from(offset)) == (transport, protocol.checksum())
            }
            Offload::None => {
                let length = (bytes.len() - transport) as u64;
                let pseudo = sum(&bytes[self.flow.addresses()]) + protocol.number() + length;
                fold(pseudo + sum(&bytes[transport..])) == 0xffff
            }
            Offload::Tcp { .. } | Offload::Udp { .. } => false,
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Writes a length that is known to fit: super frames end at [`LARGEST`].
fn put16(bytes: &mut [u8], at: usize, value: usize) {
    bytes[at..at + 2].copy_from_slice(&u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes());
}

/// Largest super frame: an IP packet's length field is 16 bits wide.
pub const LARGEST: usize = ETHERNET + 65_535;
/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;
/// Where TCP's flags are, and two of them.
const FLAGS: usize = 13;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
