//! IPX in the four framings that old games and servers use, with padding that must survive.
//!
//! In: the MACs of two stations. Out: frames to send, and whether they crossed byte-identical. Never: a protocol stack.

use std::time::{Duration, Instant};

use crate::{Failed, Host, raw};

/// How an IPX packet sits in an Ethernet frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `EtherType` 0x8137.
    EthernetII,
    /// A length, then the packet at once (its checksum field is ffff).
    Raw8023,
    /// A length, then LLC e0 e0 03.
    Llc8022,
    /// A length, LLC aa aa 03, OUI 00 00 00, 0x8137.
    Snap,
}

impl Framing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EthernetII, Self::Raw8023, Self::Llc8022, Self::Snap];

    /// A frame with `payload` bytes in its IPX packet, padded to Ethernet's 60 bytes with bytes that are not zero.
    pub fn frame(self, to: [u8; 6], from: [u8; 6], payload: usize, mark: u8) -> Vec<u8> {
        let mut packet = Vec::with_capacity(IPX_HEADER + payload);
        let length = u16::try_from(IPX_HEADER + payload).unwrap_or(u16::MAX);
        packet.extend_from_slice(&[0xff, 0xff]);
        packet.extend_from_slice(&length.to_be_bytes());
        packet.extend_from_slice(&[0, 4]);
        for (node, socket) in [(to, 0x869c_u16), (from, 0x869c)] {
            packet.extend_from_slice(&[0, 0, 0, 0]);
            packet.extend_from_slice(&node);
            packet.extend_from_slice(&socket.to_be_bytes());
        }
        packet.extend((0..payload).map(|at| mark.wrapping_add(at.to_le_bytes()[0])));
        let llc: &[u8] = match self {
            Self::EthernetII | Self::Raw8023 => &[],
            Self::Llc8022 => &[0xe0, 0xe0, 0x03],
            Self::Snap => &[0xaa, 0xaa, 0x03, 0, 0, 0, 0x81, 0x37],
        };
        let kind = match self {
            Self::EthernetII => 0x8137,
            Self::Raw8023 | Self::Llc8022 | Self::Snap => {
                u16::try_from(llc.len() + packet.len()).unwrap_or(u16::MAX)
            }
        };
        let mut frame = Vec::new();
        frame.extend_from_slice(&to);
        frame.extend_from_slice(&from);
        frame.extend_from_slice(&kind.to_be_bytes());
        frame.extend_from_slice(llc);
        frame.extend_from_slice(&packet);
        while frame.len() < SHORTEST {
            // Drivers of the time left old memory here; a switch passes it on as it is.
            frame.push(PADDING ^ mark);
        }
        frame
    }
}

/// A station: a host, its device on the network, and the MAC there.
#[derive(Clone, Debug)]
pub struct Station {
    /// The host.
    pub host: Host,
    /// Its device.
    pub device: String,
    /// The device's MAC.
    pub mac: [u8; 6],
}

impl Station {
    /// The station of a host's device.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn new(host: &Host, device: &str) -> Result<Self, Failed> {
        Ok(Self {
            host: host.clone(),
            device: device.to_owned(),
            mac: raw::mac(host, device)?,
        })
    }
}

/// Sends each frame from one station and says for each whether the other heard exactly those bytes, once.
///
/// # Errors
/// When a device is gone.
pub fn cross(from: &Station, to: &Station, frames: &[Vec<u8>]) -> Result<Vec<bool>, Failed> {
    let mut ear = raw::Port::open(&to.host, &to.device)?;
    let mut mouth = raw::Port::open(&from.host, &from.device)?;
    let mut heard = Vec::new();
    for frame in frames {
        mouth.send(frame)?;
        let deadline = Instant::now() + Duration::from_secs(2);
        let got = ear.hear(deadline, |seen| seen == frame.as_slice())?;
        heard.push(got.is_some());
    }
    let quiet = Instant::now() + Duration::from_millis(100);
    while let Some(again) = ear.hear(quiet, |seen| frames.iter().any(|frame| frame == seen))? {
        if let Some(at) = frames.iter().position(|frame| *frame == again) {
            heard[at] = false;
        }
    }
    Ok(heard)
}

const IPX_HEADER: usize = 30;
const SHORTEST: usize = 60;
const PADDING: u8 = 0x5a;
