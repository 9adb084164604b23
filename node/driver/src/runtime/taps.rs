//! The devices of the networks joined.
//!
//! Owner: the worker. In: plans, frames. Out: open devices, frames written.
//! Never: a device that outlives its network.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use zt_engine::shard::TapFrame;
use zt_wire::{Mac, NetworkId};

use crate::offload::Offloads;
use crate::tap::{Arena, NoTap, Tap};

/// Open devices by network.
#[derive(Debug, Default)]
pub struct Taps {
    open: BTreeMap<NetworkId, Tap>,
    offloads: Offloads,
    arena: Arena,
    without: u64,
    closed_lost: u64,
    /// Whether each device is to have a queue for every worker.
    queues: bool,
    /// The kernel gives these queues no frames.
    detached: bool,
}

impl Taps {
    /// No device yet.
    pub fn new(offloads: Offloads, queues: bool) -> Self {
        Self {
            offloads,
            queues,
            ..Self::default()
        }
    }

    /// Makes the device of a network, or finds it made already with this MAC. Returns whether it is new.
    ///
    /// # Errors
    /// [`NoTap`] with what the kernel said.
    pub fn open(&mut self, network: NetworkId, mac: Mac) -> Result<bool, NoTap> {
        if self.open.get(&network).is_some_and(|tap| tap.mac() == mac) {
            return Ok(false);
        }
        self.close(network);
        let name = crate::tap::name(network);
        let tap = if self.queues {
            Tap::open_with_queues(&name, mac, &self.offloads)?
        } else {
            Tap::open(&name, mac, &self.offloads)?
        };
        self.open.insert(network, tap);
        Ok(true)
    }

    /// One more queue of each device, for another worker.
    pub fn more_queues(&self) -> Vec<(NetworkId, Result<Tap, NoTap>)> {
        let taps = self.open.iter();
        taps.map(|(network, tap)| (*network, tap.queue())).collect()
    }

    /// Takes another worker's queue of a network's device.
    pub fn insert(&mut self, network: NetworkId, tap: Tap) {
        self.close(network);
        if self.detached {
            tap.attach(false);
        }
        self.open.insert(network, tap);
    }

    /// Says whether the kernel is to put frames into these queues.
    pub fn attach(&mut self, attached: bool) {
        self.detached = !attached;
        for tap in self.open.values() {
            tap.attach(attached);
        }
    }

    /// Removes the device of a network.
    pub fn close(&mut self, network: NetworkId) -> Option<Tap> {
        let tap = self.open.remove(&network)?;
        self.closed_lost += tap.lost();
        Some(tap)
    }

    /// Writes a frame to the device of a network, at the latest at the next [`Self::flush`].
    pub fn deliver(&mut self, network: NetworkId, frame: TapFrame<'_>) {
        match self.open.get_mut(&network) {
            Some(tap) => tap.deliver(frame, self.arena),
            None => self.without += 1,
        }
    }

    /// Frames that come now may lie in this buffer; those that do are not copied. Everything that waits is written
    /// first.
    pub fn expect(&mut self, buffer: &[u8]) {
        self.flush();
        self.arena = Arena::of(buffer);
    }

    /// Writes what waits after frames have come from the buffer of [`Self::expect`].
    pub fn flush_from(&mut self, buffer: &[u8]) {
        for tap in self.open.values_mut() {
            tap.flush(buffer);
        }
        self.arena = Arena::default();
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        self.flush_from(&[]);
    }

    /// The device of a network.
    pub fn get(&self, network: NetworkId) -> Option<&Tap> {
        self.open.get(&network)
    }

    /// The file of a network's device.
    pub fn file(&self, network: NetworkId) -> Option<BorrowedFd<'_>> {
        self.open.get(&network).map(AsFd::as_fd)
    }

    /// Frames that the kernel did not take, and frames for a network without device.
    pub fn lost(&self) -> (u64, u64) {
        let refused = self.open.values().map(Tap::lost).sum::<u64>() + self.closed_lost;
        (refused, self.without)
    }
}
