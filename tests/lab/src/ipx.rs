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
