//! Writes to a device, and does without super frames where its kernel refuses them.
//!
//! Owner: a device. In: what waits. Out: frames for the kernel; what it did not take is counted.
//! Never: a super frame lost because the kernel does not know its kind.

use std::io::IoSlice;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use zt_engine::segment::{Headers, SuperFrame};
use zt_engine::shard::{Offload, TapFrame};

use super::coalesce::{Joins, PARTS, Waiting};
use super::header::{NEEDS_CSUM, VirtioHeader};

/// Where frames go.
pub trait Device {
    /// Takes one frame, virtio header first.
    ///
    /// # Errors
    /// The kernel's reason for not taking it.
    fn take(&self, parts: &[IoSlice<'_>]) -> Result<(), Errno>;
}

impl Device for OwnedFd {
    fn take(&self, parts: &[IoSlice<'_>]) -> Result<(), Errno> {
        rustix::io::writev(self, parts).map(|_| ())
    }
}

/// What writing has taught about a device.
#[derive(Debug)]
pub struct Writer {
    joins: Joins,
    lost: u64,
}

impl Writer {
    /// Nothing but what the device offered.
    pub const fn new(joins: Joins) -> Self {
        Self { joins, lost: 0 }
    }

    /// What is worth joining for it.
    pub const fn joins(&self) -> Joins {
        self.joins
    }

    /// Frames that were not taken.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Counts a frame that is not even offered.
    pub const fn lose(&mut self) {
        self.lost += 1;
    }

    /// Writes what waits.
    pub fn write(&mut self, device: &impl Device, frame: &Waiting, arena: &[u8]) {
        let head = frame.header().to_bytes();
        let taken = if frame.count() == 1 {
            put::<FEW>(device, &head, frame, arena)
        } else {
            put::<MANY>(device, &head, frame, arena)
        };
        match (taken, frame.offload()) {
            (Ok(()), _) => {}
            (Err(errno @ (Errno::IO | Errno::INVAL)), Some(offload)) => {
                self.singly(device, frame, arena, (offload, errno));
            }
            // The device is down, or its queue is full: what happens to a frame on any Ethernet.
            (Err(_), _) => self.lost += frame.count() as u64,
        }
    }

    /// Cuts a super frame that was refused, and joins no more of its kind if that is what was refused.
    #[cold]
    fn singly(
        &mut self,
        device: &impl Device,
        frame: &Waiting,
        arena: &[u8],
        refused: (Offload, Errno),
    ) {
        let (offload, errno) = refused;
        let bytes = frame.parts(arena).collect::<Vec<_>>().concat();
        let whole = TapFrame {
            bytes: &bytes,
            offload,
        };
        let Some(whole) = SuperFrame::parse(whole) else {
            self.lost += frame.count() as u64;
            return;
        };
        let mut headers = Headers::new();
        let mut taken = 0;
        for index in 0..whole.count() {
            let data = whole.segment(index, &mut headers);
            let (start, offset) = headers.checksum();
            let virtio = VirtioHeader {
                flags: NEEDS_CSUM,
                start,
                offset,
                ..VirtioHeader::default()
            }
            .to_bytes();
            let parts = [&virtio, headers.bytes(), data].map(IoSlice::new);
            match device.take(&parts) {
                Ok(()) => taken += 1,
                Err(_) => self.lost += 1,
            }
        }
        // A device that is down refuses everything: that says nothing about super frames.
        if taken > 0 {
            self.give_up(offload, errno);
        }
    }

    fn give_up(&mut self, offload: Offload, errno: Errno) {
        let (kind, joins) = match offload {
            Offload::Udp { .. } => ("UDP", &mut self.joins.udp),
            Offload::Tcp { .. } | Offload::Checksum { .. } | Offload::None => {
                ("TCP", &mut self.joins.tcp)
            }
        };
        if std::mem::take(joins) {
            tracing::info!(%errno, "the device refuses {kind} super frames, writing frame by frame");
        }
    }
}

fn put<const ROOM: usize>(
    device: &impl Device,
    head: &[u8],
    frame: &Waiting,
    arena: &[u8],
) -> Result<(), Errno> {
    let mut parts = [IoSlice::new(&[]); ROOM];
    parts[0] = IoSlice::new(head);
    let mut count = 1;
    for (part, bytes) in parts[1..].iter_mut().zip(frame.parts(arena)) {
        *part = IoSlice::new(bytes);
        count += 1;
    }
    device.take(&parts[..count])
}

/// Parts of a frame alone: virtio header, headers, payload.
const FEW: usize = 3;
/// Parts of a super frame with its virtio header.
const MANY: usize = 1 + PARTS;

#[cfg(test)]
mod tests;
