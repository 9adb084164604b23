//! ARP and neighbour questions answered from what the controller lists, without a frame on the wire.
//!
//! Owner: nobody; pure. In: a frame of our device, the network's table. Out: the answer frame.
//! Never: an answer about ourselves, or about an address that nobody is known to have.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::vec::Vec;

use zt_wire::Mac;

use super::{ETHERNET, Network, macs};
use crate::segment::checksum;

/// Writes the answer to an ARP request or neighbour solicitation into `out`; `false` when there is none.
pub(crate) fn answer(network: &Network, frame: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((to, asker)) = macs(frame) else {
        return false;
    };
    if !to.is_group() || asker.is_group() {
        return false;
    }
    let payload = &frame[ETHERNET..];
    match frame[12..ETHERNET] {
        [0x08, 0x06] => arp(network, asker, payload, out),
        [0x86, 0xdd] => neighbour(network, asker, payload, out),
        _ => None,
    }
    .is_some()
}

fn arp(network: &Network, asker: Mac, arp: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (head, rest) = arp.split_first_chunk::<8>()?;
    // Ethernet, IPv4, lengths 6 and 4, a request (RFC 826).
    if *head != [0, 1, 0x08, 0, 6, 4, 0, 1] {
        return None;
    }
    let (sender_mac, rest) = rest.split_first_chunk::<6>()?;
    let (sender_ip, rest) = rest.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<6>()?;
    let (target_ip, _) = rest.split_first_chunk::<4>()?;
    if sender_ip == target_ip || *sender_mac != asker.to_bytes() {
        return None;
    }
    let holder = network.holder(IpAddr::V4(Ipv4Addr::from(*target_ip)))?;
    let mac = Mac::of(holder, network.up.network).to_bytes();
    out.clear();
    out.extend_from_slice(&asker.to_bytes());
    out.extend_from_slice(&mac);
    out.extend_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2]);
    out.extend_from_slice(&mac);
    out.extend_from_slice(target_ip);
    out.extend_from_slice(sender_mac);
    out.extend_from_slice(sender_ip);
    Some(())
}

fn neighbour(network: &Network, asker: Mac, packet: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (ip, icmp) = packet.split_first_chunk::<40>()?;
    // ICMPv6, hop limit 255, neighbour solicitation, code 0 (RFC 4861 §7.1.1).
    if ip[6] != 58 || ip[7] != 255 || icmp.len() < 24 || icmp[..2] != [135, 0] {
        return None;
    }
    let (source, _) = ip[8..].split_first_chunk::<16>()?;
    if *source == [0; 16] {
        // Duplicate address detection is for the holder to hear.
        return None;
    }
    let (target, _) = icmp[8..].split_first_chunk::<16>()?;
    let holder = network.holder(IpAddr::V6(Ipv6Addr::from(*target)))?;
    let mac = Mac::of(holder, network.up.network).to_bytes();
    out.clear();
    out.extend_from_slice(&asker.to_bytes());
    out.extend_from_slice(&mac);
    out.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
    out.extend_from_slice(target);
    out.extend_from_slice(source);
    // Advertisement: solicited and override (RFC 4861 §4.4), with the target's link-layer address.
    out.extend_from_slice(&[136, 0, 0, 0, 0x60, 0, 0, 0]);
    out.extend_from_slice(target);
    out.extend_from_slice(&[2, 1]);
    out.extend_from_slice(&mac);
    let start = ETHERNET + 40;
    let pseudo = checksum::pseudo(&out[ETHERNET + 8..start], 58, 32);
    let sum = checksum::finish(checksum::add(pseudo, &out[start..]));
    out[start + 2..start + 4].copy_from_slice(&sum.to_be_bytes());
    Some(())
}
