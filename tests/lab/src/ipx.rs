//! IPX in the four framings that old games and servers use, with padding that must survive.
//!
//! In: the MACs of two stations. Out: frames to send, and whether they crossed byte-identical. Never: a protocol stack.

use std::time::{Duration, Instant};

use crate::{Failed, Host, raw};

pub use zt_frames::Framing;

/// A frame with `payload` bytes in its IPX packet, padded to Ethernet's 60 bytes with bytes that are not zero.
pub fn padded(framing: Framing, to: [u8; 6], from: [u8; 6], payload: usize, mark: u8) -> Vec<u8> {
    let data: Vec<u8> = (0..payload)
        .map(|at| mark.wrapping_add(at.to_le_bytes()[0]))
        .collect();
    let mut frame = zt_frames::ipx(to, from, framing, &data, &[]);
    // Drivers of the time left old memory behind short packets; a switch passes it on as it is.
    let least = zt_frames::SHORTEST.max(frame.len());
    frame.resize(least, PADDING ^ mark);
    frame
}

/// The frame that carries an IPX packet, padded to Ethernet's shortest with zeros.
pub fn carry(framing: Framing, to: [u8; 6], from: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let llc = llc(framing);
    let kind = match framing {
        Framing::EthernetII => KIND,
        Framing::Raw8023 | Framing::Llc8022 | Framing::Snap => {
            u16::try_from(llc.len() + packet.len()).unwrap_or(u16::MAX)
        }
    };
    let mut frame = [&to[..], &from, &kind.to_be_bytes(), llc, packet].concat();
    frame.resize(frame.len().max(zt_frames::SHORTEST), 0);
    frame
}

/// The IPX packet in a frame of this framing, without padding.
pub fn packet(framing: Framing, frame: &[u8]) -> Option<&[u8]> {
    let kind = u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]);
    if (framing == Framing::EthernetII) != (kind == KIND) {
        return None;
    }
    let packet = frame.get(14..)?.strip_prefix(llc(framing))?;
    let length = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let plain = packet.starts_with(&[0xff, 0xff]) && length >= HEADER;
    packet.get(..length).filter(|_| plain)
}

const fn llc(framing: Framing) -> &'static [u8] {
    match framing {
        Framing::EthernetII | Framing::Raw8023 => &[],
        Framing::Llc8022 => &[0xe0, 0xe0, 0x03],
        Framing::Snap => &[0xaa, 0xaa, 0x03, 0, 0, 0, 0x81, 0x37],
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

const PADDING: u8 = 0x5a;
/// IPX's `EtherType`.
const KIND: u16 = 0x8137;
/// Bytes of IPX's header.
const HEADER: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_comes_back_out_of_its_own_framing_only() {
        let sent = [&[0xff, 0xff, 0, 30], &[7; 26][..]].concat();
        for framing in Framing::ALL {
            let frame = carry(framing, [0xff; 6], [2, 0, 0, 0, 0, 1], &sent);
            assert_eq!(frame.len(), zt_frames::SHORTEST);
            for other in Framing::ALL {
                let found = packet(other, &frame);
                assert_eq!(found, (other == framing).then_some(&sent[..]));
            }
        }
    }
}
