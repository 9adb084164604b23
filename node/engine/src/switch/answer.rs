//! ARP and neighbour questions answered from what the controller lists, without a frame on the wire.
//!
//! Owner: nobody; pure. In: a frame of our device, the network's table. Out: the answer frame.
//! Never: an answer about ourselves, or about an address that nobody is known to have.

use core::net::IpAddr;
use std::vec::Vec;

use zt_wire::neighbor::{Arp, Solicitation};
use zt_wire::{Ethernet, Mac};

use super::Network;

/// Writes the answer to an ARP request or neighbour solicitation into `out`; `false` when there is none.
pub(crate) fn answer(network: &Network, frame: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(frame) = Ethernet::parse(frame) else {
        return false;
    };
    if !frame.destination().is_group() || frame.source().is_group() {
        return false;
    }
    out.clear();
    if let Some(question) = Arp::question(&frame) {
        let Some(mac) = mac_of(network, question.target.into()) else {
            return false;
        };
        out.extend_from_slice(&question.answer(mac));
    } else if let Some(question) = Solicitation::question(&frame) {
        let Some(mac) = mac_of(network, question.target.into()) else {
            return false;
        };
        out.extend_from_slice(&question.answer(mac));
    }
    !out.is_empty()
}

fn mac_of(network: &Network, ip: IpAddr) -> Option<Mac> {
    let holder = network.holder(ip)?;
    Some(Mac::of(holder, network.up.network))
}
