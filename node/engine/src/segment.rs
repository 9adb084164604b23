//! Super frames: parsed once, cut into segments as a network card would.
//!
//! Owner: the caller's bytes. In: a frame with an offload. Out: per segment its headers and its piece of the payload.
//! Never: a value of the offload that the parsed headers do not bear out; an allocation.

pub mod checksum;
mod mss;

use crate::shard::{Offload, TapFrame};

/// Ethernet with two tags, IPv4 or IPv6 with options, TCP with options.
const HEADERS: usize = 14 + 8 + 60 + 60;
const TCP: u8 = 6;
const UDP: u8 = 17;

pub(crate) use self::mss::clamp;

/// Where the layers of a TCP or UDP frame stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layers {
    ip: usize,
    v6: bool,
    transport: usize,
    tcp: bool,
    payload: usize,
}

/// A super frame, checked.
#[derive(Clone, Copy, Debug)]
pub struct SuperFrame<'a> {
    bytes: &'a [u8],
    layers: Layers,
    segment: usize,
}

/// Headers of one segment; the checksum field holds the pseudo header's sum.
#[derive(Debug)]
pub struct Headers {
    bytes: [u8; HEADERS],
    len: usize,
    transport: usize,
    tcp: bool,
}

impl Default for Headers {
    fn default() -> Self {
        Self::new()
    }
}

impl Headers {
    /// Room for the headers of one segment.
    pub const fn new() -> Self {
        Self {
            bytes: [0; HEADERS],
            len: 0,
            transport: 0,
            tcp: false,
        }
    }

    /// The headers written last.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Where the sum begins and where, from there, the field is.
    pub fn checksum(&self) -> (u16, u16) {
        // Header lengths are below 256.
        (
            u16::try_from(self.transport).unwrap_or(0),
            checksum_field(self.tcp),
        )
    }
}

impl<'a> SuperFrame<'a> {
    /// Checks a super frame. `None` when its offload does not fit its headers.
    pub fn parse(frame: TapFrame<'a>) -> Option<Self> {
        let (segment, tcp) = match frame.offload {
            Offload::Tcp { segment } => (segment, true),
            Offload::Udp { segment } => (segment, false),
            Offload::None | Offload::Checksum { .. } => return None,
        };
        let layers = layers(frame.bytes)?;
        (segment > 0 && layers.tcp == tcp).then_some(Self {
            bytes: frame.bytes,
            layers,
            segment: usize::from(segment),
        })
    }

    /// Bytes of headers before each piece.
    pub const fn headers_len(&self) -> usize {
        self.layers.payload
    }

    /// Payload bytes per segment.
    pub const fn segment_len(&self) -> usize {
        self.segment
    }

    /// The same, cut smaller: only for TCP, whose receiver does not see where segments end.
    #[must_use]
    pub const fn cut_to(self, most: usize) -> Self {
        if self.layers.tcp && most < self.segment {
            Self {
                segment: most,
                ..self
            }
        } else {
            self
        }
    }

    /// How many segments; a frame without payload is one.
    pub const fn count(&self) -> usize {
        let payload = self.bytes.len() - self.layers.payload;
        if payload == 0 {
            1
        } else {
            payload.div_ceil(self.segment)
        }
    }

    /// Writes the headers of segment `index` and gives its piece of the payload.
    pub fn segment(&self, index: usize, headers: &mut Headers) -> &'a [u8] {
        let Layers {
            ip,
            v6,
            transport,
            tcp,
            payload,
        } = self.layers;
        let data = &self.bytes[payload..];
        let start = (index * self.segment).min(data.len());
        let end = (start + self.segment).min(data.len());
        headers.len = payload;
        headers.transport = transport;
        headers.tcp = tcp;
        let head = &mut headers.bytes[..payload];
        head.copy_from_slice(&self.bytes[..payload]);
        let transport_len = payload - transport + end - start;
        if v6 {
            put16(head, ip + 4, payload - ip - 40 + end - start);
        } else {
            put16(head, ip + 2, payload - ip + end - start);
            // Each segment is a packet of its own (RFC 6864: ids differ while packets may be fragmented).
            put16(
                head,
                ip + 4,
                usize::from(get16(head, ip + 4).wrapping_add(low16(index))),
            );
            put16(head, ip + 10, 0);
            let sum = checksum::finish(checksum::add(0, &head[ip..transport]));
            head[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());
        }
        if tcp {
            let at = transport + 4;
            let sequence = u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let sequence = sequence.wrapping_add(u32::try_from(start).unwrap_or(0));
            head[at..at + 4].copy_from_slice(&sequence.to_be_bytes());
            // FIN and PSH belong to the last segment, CWR to the first (RFC 3168 §6.1.2).
            let last = end == data.len();
            let flags = &mut head[transport + 13];
            *flags &= if last { 0xff } else { !0x09 };
            *flags &= if index == 0 { 0xff } else { !0x80 };
        } else {
            put16(head, transport + 4, transport_len);
        }
        let addresses = if v6 {
            ip + 8..ip + 40
        } else {
            ip + 12..ip + 20
        };
        let protocol = if tcp { TCP } else { UDP };
        let sum = checksum::fold(checksum::pseudo(&head[addresses], protocol, transport_len));
        let field = transport + usize::from(checksum_field(tcp));
        head[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        &data[start..end]
    }
}

/// Whether a partial checksum at `start + offset` is that of the frame's own TCP or UDP header.
pub(crate) fn bears_out(frame: &[u8], start: u16, offset: u16) -> bool {
    layers(frame).is_some_and(|layers| {
        layers.transport == usize::from(start) && checksum_field(layers.tcp) == offset
    })
}

const fn checksum_field(tcp: bool) -> u16 {
    if tcp { 16 } else { 6 }
}

fn layers(frame: &[u8]) -> Option<Layers> {
    let mut ip = 14;
    let mut kind = frame.get(12..14)?;
    while matches!(kind, [0x81, 0x00] | [0x88, 0xa8]) && ip < 22 {
        kind = frame.get(ip + 2..ip + 4)?;
        ip += 4;
    }
    let (transport, protocol, v6) = match kind {
        [0x08, 0x00] => {
            let header = frame.get(ip..ip + 20)?;
            let len = usize::from(header[0] & 0x0f) * 4;
            let fragment = get16(header, 6) & 0x3fff != 0;
            if header[0] >> 4 != 4 || len < 20 || fragment {
                return None;
            }
            (ip + len, header[9], false)
        }
        [0x86, 0xdd] => {
            let header = frame.get(ip..ip + 40)?;
            (ip + 40, header[6], true)
        }
        _ => return None,
    };
    let payload = match protocol {
        TCP => {
            let header = frame.get(transport..transport + 20)?;
            let len = usize::from(header[12] >> 4) * 4;
            if len < 20 {
                return None;
            }
            transport + len
        }
        UDP => {
            frame.get(transport..transport + 8)?;
            transport + 8
        }
        _ => return None,
    };
    (payload <= frame.len()).then_some(Layers {
        ip,
        v6,
        transport,
        tcp: protocol == TCP,
        payload,
    })
}

fn get16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put16(bytes: &mut [u8], at: usize, value: usize) {
    bytes[at..at + 2].copy_from_slice(&low16(value).to_be_bytes());
}

fn low16(value: usize) -> u16 {
    // Lengths are below 2^16; ids wrap.
    u16::try_from(value & 0xffff).unwrap_or(0)
}

#[cfg(test)]
mod tests;
