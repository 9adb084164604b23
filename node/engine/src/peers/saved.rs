//! Peers across restarts: identities with the endpoints that worked, as bytes.
//!
//! Owner: `Peers`. In: peers; bytes of an earlier run. Out: bytes; identities and endpoints.
//! Never: trust: what was saved is verified like what was told.

use core::net::SocketAddr;
use std::vec::Vec;

use zt_wire::Identity;
use zt_wire::cursor::{Put, Reader};

use crate::limits;

const VERSION: u8 = 1;

/// Writes identities and endpoints.
pub fn encode(peers: &[(Identity, Vec<SocketAddr>)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.u8(VERSION);
    for (identity, endpoints) in peers.iter().take(limits::PEERS_SAVED) {
        out.put(&identity.to_bytes());
        let endpoints = &endpoints[..endpoints.len().min(limits::CANDIDATES)];
        // At most CANDIDATES.
        out.u8(u8::try_from(endpoints.len()).unwrap_or(0));
        for endpoint in endpoints {
            out.socket(*endpoint);
        }
    }
    out
}

/// Reads what [`encode`] wrote, as far as it makes sense.
pub fn decode(bytes: &[u8]) -> Vec<(Identity, Vec<SocketAddr>)> {
    let mut reader = Reader::new(bytes);
    let mut peers = Vec::new();
    if reader.u8() != Ok(VERSION) {
        return peers;
    }
    while !reader.is_empty() && peers.len() < limits::PEERS_SAVED {
        match one(&mut reader) {
            Ok(peer) => peers.push(peer),
            Err(_) => break,
        }
    }
    peers
}

fn one(reader: &mut Reader<'_>) -> Result<(Identity, Vec<SocketAddr>), zt_wire::Malformed> {
    let identity = Identity::from_bytes(reader.array_ref()?)?;
    let count = usize::from(reader.u8()?).min(limits::CANDIDATES);
    let endpoints = (0..count)
        .map(|_| reader.socket())
        .collect::<Result<_, _>>()?;
    Ok((identity, endpoints))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back_and_a_torn_end_is_left_out() {
        let peers = std::vec![
            (
                Identity::new([1; 32], [2; 32], 3),
                std::vec![SocketAddr::from(([192, 0, 2, 1], 9))]
            ),
            (Identity::new([4; 32], [5; 32], 6), std::vec![]),
        ];
        let bytes = encode(&peers);
        assert_eq!(decode(&bytes), peers);
        assert_eq!(decode(&bytes[..bytes.len() - 1]), peers[..1]);
        assert!(decode(&[9]).is_empty() && decode(&[]).is_empty());
    }
}
