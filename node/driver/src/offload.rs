//! Which of the kernel's offloads are used; each has a switch.
//!
//! Owner: nobody; plain values. In: `--without`. Out: yes or no for sockets and devices.
//! Never: a promise that the kernel has them; each falls back at run time.

use std::collections::BTreeSet;

/// One offload of the kernel, as `--without` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Offload {
    /// Devices: TCP over IPv4 in super frames.
    Tso4,
    /// Devices: TCP over IPv6 in super frames.
    Tso6,
    /// Devices: super frames with ECN, too.
    Ecn,
    /// Devices: UDP in super frames.
    Uso,
    /// Devices: checksums left open; all other offloads of devices rest on it.
    Checksum,
    /// Devices: neighbours of a TCP or UDP flow joined before they are written.
    Coalesce,
    /// Sockets: trains of datagrams (`UDP_SEGMENT`).
    UdpSegment,
    /// Sockets: joined datagrams (`UDP_GRO`).
    UdpGro,
}

/// The offloads in use. Default: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    without: BTreeSet<Offload>,
}

impl Offloads {
    /// All but these.
    pub fn without(without: &[Offload]) -> Self {
        Self {
            without: without.iter().copied().collect(),
        }
    }

    /// Whether this one is to be used.
    pub fn has(&self, offload: Offload) -> bool {
        !self.without.contains(&offload)
    }
}
