//! ARP and neighbour questions answered from what the controller lists, without a frame on the wire.
//!
//! Owner: nobody; pure. In: a frame of our device, the network's table. Out: the answer frame.
//! Never: an answer about ourselves, or about an address that nobody is known to have.

use core::net::IpAddr;
use std::vec::Vec;

use zt_rules::Facts;
use zt_wire::neighbor::{Arp, Solicitation};
use zt_wire::{Ethernet, Mac};

use super::Network;

/// RFC 826.
const ARP_REQUEST: u16 = 1;
/// RFC 4861 §4.3.
const SOLICITATION: (u8, u8) = (135, 0);

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

/// Whether a frame asks everybody who has an address: also behind VLAN tags, and before taking one, which nothing answers here.
pub(crate) fn is_question(facts: &Facts) -> bool {
    let asks = facts.arp == Some(ARP_REQUEST)
        || facts.nd_target.is_some() && facts.icmp == Some(SOLICITATION);
    asks && facts.to.is_group()
}

fn mac_of(network: &Network, ip: IpAddr) -> Option<Mac> {
    let holder = network.holder(ip)?;
    Some(Mac::of(holder, network.up.network))
}
