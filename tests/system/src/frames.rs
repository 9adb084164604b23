//! Frames for stories about rules and guards, and who heard which of them.
//!
//! In: two stations with their addresses. Out: bytes; of each frame whether it arrived. Never: an opinion on the frames.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use zt_lab::{Failed, ipx::Station, raw};

/// A frame's maker: from whom to whom.
#[derive(Clone, Debug)]
pub struct Maker {
    /// Source MAC.
    pub from: [u8; 6],
    /// Destination MAC.
    pub to: [u8; 6],
    /// IP source, ARP sender.
    pub ip_from: Ipv4Addr,
    /// IP destination, ARP target.
    pub ip_to: Ipv4Addr,
    /// VLAN tag, if any.
    pub tag: Option<u16>,
}

impl Maker {
    /// To everybody.
    #[must_use]
    pub fn broadcast(&self) -> Self {
        self.to_mac([0xff; 6])
    }

    /// To another MAC.
    #[must_use]
    pub fn to_mac(&self, to: [u8; 6]) -> Self {
        Self { to, ..self.clone() }
    }

    /// To another IP address, whose MAC is the same.
    #[must_use]
    pub fn to_ip(&self, last: [u8; 4]) -> Self {
        let ip_to = Ipv4Addr::from(last);
        Self {
            ip_to,
            ..self.clone()
        }
    }

    /// In a VLAN, with a priority.
    #[must_use]
    pub fn tagged(&self, level: u8, id: u16) -> Self {
        let tag = Some((u16::from(level) << 13) | id);
        Self {
            tag,
            ..self.clone()
        }
    }

    /// Any bytes behind the MACs and the tag.
    pub fn bytes(&self, tail: &[u8]) -> Vec<u8> {
        let mut frame = [self.to, self.from].concat();
        if let Some(tag) = self.tag {
            frame.extend([0x81, 0x00]);
            frame.extend(tag.to_be_bytes());
        }
        frame.extend_from_slice(tail);
        frame
    }

    /// An `EtherType` and so many bytes in all.
    pub fn plain(&self, kind: u16, length: usize) -> Vec<u8> {
        let mut frame = self.bytes(&kind.to_be_bytes());
        frame.resize(length.max(60), 0x3c);
        frame
    }

    /// UDP.
    pub fn udp(&self, from: u16, to: u16) -> Vec<u8> {
        let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
        self.ipv4(17, &[&ports[..], &[0, 26, 0, 0], &[0x5c; 18]].concat())
    }

    /// TCP with these flags.
    pub fn tcp(&self, from: u16, to: u16, flags: u8) -> Vec<u8> {
        let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
        let rest = [0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0];
        self.ipv4(6, &[&ports[..], &rest].concat())
    }

    /// ICMP.
    pub fn icmp(&self, kind: u8) -> Vec<u8> {
        self.ipv4(1, &[kind, 0, 0, 0, 0, 1, 0, 1])
    }

    /// IPv4 with a protocol.
    pub fn ipv4(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
        let mut packet = vec![8, 0, 0x45, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
        packet.extend(self.ip_from.octets());
        packet.extend(self.ip_to.octets());
        packet.extend_from_slice(payload);
        self.bytes(&packet)
    }

    /// An ARP answer that claims the IP source.
    pub fn arp(&self) -> Vec<u8> {
        let mut packet = vec![8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
        packet.extend(self.from);
        packet.extend(self.ip_from.octets());
        packet.extend(self.to);
        packet.extend(self.ip_to.octets());
        packet.extend([0; 18]);
        self.bytes(&packet)
    }

    /// An `ICMPv6` message of `kind` with these bytes behind its checksum.
    pub fn icmp6(&self, source: Ipv6Addr, kind: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + rest.len()).unwrap_or(u16::MAX);
        let mut packet = vec![0x86, 0xdd, 0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([58, 255]);
        packet.extend(source.octets());
        packet.extend(ALL_NODES.octets());
        packet.extend([kind, 0, 0, 0]);
        packet.extend_from_slice(rest);
        self.bytes(&packet)
    }

    /// A neighbor advertisement about an address.
    pub fn advertises(&self, target: Ipv6Addr) -> Vec<u8> {
        let rest = [&[0x20, 0, 0, 0][..], &target.octets()].concat();
        self.icmp6(LINK_LOCAL, 136, &rest)
    }

    /// A router advertisement.
    pub fn routes(&self) -> Vec<u8> {
        self.icmp6(
            LINK_LOCAL,
            134,
            &[64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0],
        )
    }
}

/// Puts a number into the last four bytes of a frame, by which it is known wherever it comes out.
pub fn marked(mut frame: Vec<u8>, number: u32) -> Vec<u8> {
    frame.extend(0x7a65_726f_u32.to_be_bytes());
    frame.extend(number.to_be_bytes());
    frame
}

/// Sends marked frames from one station and says which of them others heard within `patience`; a tag is not looked at.
///
/// # Errors
/// When a device is gone.
pub fn heard(
    from: &Station,
    ears: &[&Station],
    frames: &[Vec<u8>],
    patience: Duration,
) -> Result<Vec<Vec<bool>>, Failed> {
    let mut ports = ears
        .iter()
        .map(|station| raw::Port::open(&station.host, &station.device))
        .collect::<Result<Vec<_>, _>>()?;
    let mut mouth = raw::Port::open(&from.host, &from.device)?;
    for frame in frames {
        mouth.send(frame)?;
    }
    let mut all = Vec::new();
    let end = Instant::now() + patience;
    for port in &mut ports {
        let mut which = vec![false; frames.len()];
        let marks: Vec<&[u8]> = frames.iter().map(|frame| mark(frame)).collect();
        // What lies in the buffer after the first ear's patience is to be read, too.
        let end = end.max(Instant::now() + Duration::from_millis(100));
        while let Some(seen) = port.hear(end, |seen| marks.contains(&mark(seen)))? {
            if let Some(at) = marks.iter().position(|known| *known == mark(&seen)) {
                which[at] = true;
            }
            if which.iter().all(|heard| *heard) {
                break;
            }
        }
        all.push(which);
    }
    Ok(all)
}

/// The end of a frame, which [`marked`] makes its own.
fn mark(frame: &[u8]) -> &[u8] {
    &frame[frame.len().saturating_sub(8)..]
}

/// Bytes as `zt-cli rules explain --frame` takes them.
pub fn hex(frame: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in frame {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);
