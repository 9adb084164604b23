//! The catalog: every kind of frame that a network carries, as bytes, and what may rightly stop it.
//!
//! Owner: nobody. In: two ends, a mark. Out: frames, each different from every other. Used by selftest, simulator and system tests.
//! Never: a socket, a clock, chance; a frame that changes between two calls with the same arguments.

#![forbid(unsafe_code)]

mod bursts;
mod draft;
mod kinds;
mod needs;

use core::net::{Ipv4Addr, Ipv6Addr};

pub use bursts::{LARGE, SMALL, burst};
pub use draft::{Framing, ipx};
pub use kinds::{GROUPS, KINDS};
pub use needs::{Needs, Policy};

use draft::Draft;

/// A MAC.
pub type Mac = [u8; 6];

/// Everybody.
pub const BROADCAST: Mac = [0xff; 6];
/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;
/// The shortest frame of a real Ethernet, without its check sequence.
pub const SHORTEST: usize = 60;

/// One end of a frame's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its MAC.
    pub mac: Mac,
    /// Its IPv4 address; unspecified when it has none.
    pub ip: Ipv4Addr,
}

impl End {
    /// The link-local IPv6 address that its MAC makes (RFC 4291 appendix A).
    pub fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac;
        Ipv6Addr::from([
            0xfe,
            0x80,
            0,
            0,
            0,
            0,
            0,
            0,
            a ^ 2,
            b,
            c,
            0xff,
            0xfe,
            d,
            e,
            f,
        ])
    }

    /// A made-up station behind this end: globally administered, so that no member of a network has it.
    pub const fn behind(&self) -> Mac {
        let [_, b, c, d, e, f] = self.mac;
        [0x00, 0x5a ^ b, c, d, e, f]
    }
}

/// Where a frame goes from and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who sends.
    pub from: End,
    /// Who is to get it.
    pub to: End,
    /// The directed broadcast address of the sender's subnet.
    pub directed: Ipv4Addr,
    /// The network's MTU, bytes after the Ethernet header.
    pub mtu: u16,
}

impl Ends {
    /// The other direction.
    #[must_use]
    pub const fn turned(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
            ..self
        }
    }
}

/// What makes a frame different from all others: a run, and the frame's number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The run; chance, so that nothing else on the network carries it.
    pub run: [u8; 6],
    /// The frame's number in the run.
    pub index: u16,
}

impl Mark {
    /// Bytes of a mark.
    pub const LEN: usize = 8;

    /// As it stands in a frame.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let [a, b, c, d, e, f] = self.run;
        let [high, low] = self.index.to_be_bytes();
        [a, b, c, d, e, f, high, low]
    }

    /// The number of the frame of this run that these bytes are, or were before something changed them.
    pub fn find(run: [u8; 6], frame: &[u8]) -> Option<u16> {
        let at = frame.windows(Self::LEN).position(|at| at[..6] == run)?;
        let [high, low] = frame[at + 6..].first_chunk::<2>()?;
        Some(u16::from_be_bytes([*high, *low]))
    }
}

/// A kind of frame.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What people call it; at most 40 bytes of ASCII.
    pub name: &'static str,
    /// What it needs in order to cross.
    pub needs: Needs,
    /// The least MTU of a network that carries it.
    pub least_mtu: u16,
    build: fn(&Draft<'_>) -> Vec<u8>,
}

impl Kind {
    const fn new(name: &'static str, needs: Needs, build: fn(&Draft<'_>) -> Vec<u8>) -> Self {
        Self {
            name,
            needs,
            least_mtu: 1_500,
            build,
        }
    }

    const fn large(name: &'static str, least_mtu: u16, build: fn(&Draft<'_>) -> Vec<u8>) -> Self {
        Self {
            name,
            needs: Needs::Nothing,
            least_mtu,
            build,
        }
    }

    /// The frame of this kind from one end to the other.
    pub fn frame(&self, ends: &Ends, mark: Mark) -> Vec<u8> {
        (self.build)(&Draft { ends, mark })
    }
}

/// The kinds that a network with this MTU carries.
pub fn kinds(mtu: u16) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| kind.least_mtu <= mtu)
}

/// One frame of each kind that the network carries, in the order of the catalog, marked with this run.
pub fn all(ends: &Ends, run: [u8; 6]) -> Vec<(&'static Kind, Vec<u8>)> {
    (0..)
        .zip(kinds(ends.mtu))
        .map(|(index, kind)| (kind, kind.frame(ends, Mark { run, index })))
        .collect()
}

#[cfg(test)]
mod tests;
