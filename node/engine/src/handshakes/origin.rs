//! Where a datagram outside any session comes from: what its cookie is bound to, which bucket it draws from.
//!
//! Owner: nobody; functions of a path. In: a path. Out: cookie bytes, token bucket keys.
//! Never: a claim about who sent it.

use core::net::{IpAddr, SocketAddr};

use zt_wire::Address;

use crate::shard::Path;

/// Longest form of [`cookie_bytes`].
pub const COOKIE_BYTES: usize = 19;

/// Sources that share one token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Block {
    /// One IPv4 address.
    V4([u8; 4]),
    /// One IPv6 /64.
    V6([u8; 8]),
    /// One node behind a relay.
    Relayed(Address),
}

/// What a cookie is bound to (SPEC §4.3), and its length.
pub fn cookie_bytes(path: &Path) -> ([u8; COOKIE_BYTES], usize) {
    let mut bytes = [0; COOKIE_BYTES];
    match path {
        Path::Direct(SocketAddr::V4(at)) => {
            bytes[0] = 4;
            bytes[1..5].copy_from_slice(&at.ip().octets());
            bytes[5..7].copy_from_slice(&at.port().to_be_bytes());
            (bytes, 7)
        }
        Path::Direct(SocketAddr::V6(at)) => {
            bytes[0] = 6;
            bytes[1..17].copy_from_slice(&at.ip().octets());
            bytes[17..19].copy_from_slice(&at.port().to_be_bytes());
            (bytes, 19)
        }
        Path::Relay { via, peer } => {
            bytes[0] = 0xff;
            bytes[1..6].copy_from_slice(&via.to_bytes());
            bytes[6..11].copy_from_slice(&peer.to_bytes());
            (bytes, 11)
        }
    }
}

impl Block {
    /// The token bucket a path draws from.
    pub fn of(path: &Path) -> Self {
        match path {
            Path::Direct(at) => match at.ip().to_canonical() {
                IpAddr::V4(ip) => Self::V4(ip.octets()),
                IpAddr::V6(ip) => {
                    let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                    Self::V6([a, b, c, d, e, f, g, h])
                }
            },
            Path::Relay { peer, .. } => Self::Relayed(*peer),
        }
    }
}
