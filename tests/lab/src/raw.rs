//! Raw frames on a device: sent and heard byte for byte, padding included.
//!
//! In: a host and one of its devices. Out: frames as they are on the wire. Never: a byte added, cut or understood.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use pnet_datalink::{Channel, Config, DataLinkReceiver, DataLinkSender};

use crate::{Failed, Host};

/// An `AF_PACKET` socket on one device of one host.
pub struct Port {
    tx: Box<dyn DataLinkSender>,
    rx: Box<dyn DataLinkReceiver>,
}

impl Port {
    /// Opens a device of a host; every frame that passes it is heard, those sent here too.
    ///
    /// # Errors
    /// When there is no such device, or the kernel refuses.
    pub fn open(host: &Host, device: &str) -> Result<Self, Failed> {
        let device = device.to_owned();
        host.inside(move || {
            let interface = pnet_datalink::interfaces()
                .into_iter()
                .find(|interface| interface.name == device)
                .ok_or_else(|| Failed::new(format!("no device {device}")))?;
            let config = Config {
                read_buffer_size: LARGEST,
                write_buffer_size: LARGEST,
                read_timeout: Some(Duration::from_millis(50)),
                ..Config::default()
            };
            match pnet_datalink::channel(&interface, config)? {
                Channel::Ethernet(tx, rx) => Ok(Self { tx, rx }),
                _ => Err(Failed::new(format!("{device} carries no Ethernet"))),
            }
        })
    }

    /// Puts a frame on the wire.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), Failed> {
        loop {
            match self.tx.send_to(frame, None) {
                // A program of the lab ended just now.
                Some(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Some(sent) => return Ok(sent?),
                None => return Err(Failed::new("the frame does not fit the send buffer")),
            }
        }
    }

    /// The next frame that `wanted` likes, if it comes before the deadline.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn hear(
        &mut self,
        deadline: Instant,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<Vec<u8>>, Failed> {
        loop {
            match self.rx.next() {
                Ok(frame) if wanted(frame) => return Ok(Some(frame.to_vec())),
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }
}

/// The MAC of a device of a host.
///
/// # Errors
/// When there is no such device.
pub fn mac(host: &Host, device: &str) -> Result<[u8; 6], Failed> {
    let device = device.to_owned();
    host.inside(move || {
        pnet_datalink::interfaces()
            .into_iter()
            .find(|interface| interface.name == device)
            .and_then(|interface| interface.mac)
            .map(|mac| mac.octets())
            .ok_or_else(|| Failed::new(format!("no device {device} with a MAC")))
    })
}

/// Room for a super frame of 64 KB.
const LARGEST: usize = 1 << 17;
