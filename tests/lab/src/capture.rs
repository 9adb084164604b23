//! What crosses a device, kept as it was.
//!
//! In: a host and a device. Out: every frame since the start, and whether some bytes are in any. Never: a filter.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{Failed, Host, raw};

/// A running capture.
pub struct Capture {
    frames: Arc<Mutex<Vec<Seen>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// One captured frame.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it was read.
    pub at: Instant,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Capture {
    /// Starts capturing; frames sent after this returned are in it.
    ///
    /// # Errors
    /// When there is no such device, or the kernel refuses.
    pub fn start(host: &Host, device: &str) -> Result<Self, Failed> {
        let mut port = raw::Port::open(host, device)?;
        let frames = Arc::new(Mutex::new(Vec::new()));
        let end = Arc::new(AtomicBool::new(false));
        let (kept, stop) = (Arc::clone(&frames), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let soon = Instant::now() + Duration::from_millis(50);
                while let Ok(Some(bytes)) = port.hear(soon, |_| true) {
                    let seen = Seen {
                        at: Instant::now(),
                        bytes,
                    };
                    kept.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(seen);
                }
            }
        });
        Ok(Self {
            frames,
            end,
            thread: Some(thread),
        })
    }

    /// Everything captured so far.
    pub fn frames(&self) -> Vec<Seen> {
        self.frames
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// UDP payloads over IPv4 captured so far, with ports (source, destination).
    pub fn datagrams(&self) -> Vec<Datagram> {
        self.frames().iter().filter_map(Datagram::of).collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// A captured UDP datagram over IPv4.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// When it was read.
    pub at: Instant,
    /// Source address.
    pub from: std::net::SocketAddrV4,
    /// Destination address.
    pub to: std::net::SocketAddrV4,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Datagram {
    fn of(seen: &Seen) -> Option<Self> {
        let packet = seen.bytes.get(14..)?;
        let is_ipv4 = seen.bytes.get(12..14)? == [8, 0] && packet.first()? >> 4 == 4;
        if !is_ipv4 || *packet.get(9)? != UDP {
            return None;
        }
        let header = usize::from(packet[0] & 0xf) * 4;
        let udp = packet.get(header..)?;
        let address = |at: usize| {
            let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
            Some(std::net::Ipv4Addr::from(bytes))
        };
        let port = |at: usize| Some(u16::from_be_bytes(udp.get(at..at + 2)?.try_into().ok()?));
        let length = usize::from(port(4)?);
        Some(Self {
            at: seen.at,
            from: std::net::SocketAddrV4::new(address(12)?, port(0)?),
            to: std::net::SocketAddrV4::new(address(16)?, port(2)?),
            payload: udp.get(8..length.max(8))?.to_vec(),
        })
    }
}

/// Whether `needle` occurs in `haystack`.
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty()
        && haystack
            .windows(needle.len())
            .any(|window| window == needle)
}

const UDP: u8 = 17;
