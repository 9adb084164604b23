//! Under which addresses this machine can be reached from outside.
//!
//! Owner: nobody. In: the kernel's lists of devices and addresses. Out: our endpoints.
//! Never: loopback, link-local or tentative addresses, and nothing of an overlay device.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use futures_util::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

use crate::tap;
use crate::udp;

/// Our endpoints on this machine's interfaces, sorted. `None` when the kernel does not say.
pub async fn reachable(handle: &Handle, listen: &[SocketAddr]) -> Option<Vec<SocketAddr>> {
    match interfaces(handle).await {
        Ok(interfaces) => Some(udp::reachable(&interfaces, listen)),
        Err(error) => {
            tracing::debug!(%error, "the machine's addresses are not known");
            None
        }
    }
}

async fn interfaces(handle: &Handle) -> Result<Vec<IpAddr>, rtnetlink::Error> {
    let mut usable = BTreeSet::new();
    let mut links = Box::pin(handle.link().get().execute());
    while let Some(link) = links.try_next().await? {
        if is_usable(&link) {
            usable.insert(link.header.index);
        }
    }
    let mut found = Vec::new();
    let mut addresses = Box::pin(handle.address().get().execute());
    while let Some(address) = addresses.try_next().await? {
        if usable.contains(&address.header.index) && found.len() < MOST {
            found.extend(usable_address(&address));
        }
    }
    Ok(found)
}

fn is_usable(link: &LinkMessage) -> bool {
    let flags = link.header.flags;
    let overlay = link
        .attributes
        .iter()
        .any(|attribute| matches!(attribute, LinkAttribute::IfName(name) if tap::is_overlay(name)));
    flags.contains(LinkFlags::Up) && !flags.contains(LinkFlags::Loopback) && !overlay
}

fn usable_address(address: &AddressMessage) -> Option<IpAddr> {
    let flags = address.header.flags;
    if flags.intersects(
        AddressHeaderFlags::Tentative
            | AddressHeaderFlags::Dadfailed
            | AddressHeaderFlags::Deprecated,
    ) {
        return None;
    }
    // On a point-to-point link `Address` is the other end and `Local` is ours.
    let mut ip = None;
    for attribute in &address.attributes {
        match attribute {
            AddressAttribute::Local(local) => {
                ip = Some(*local);
                break;
            }
            AddressAttribute::Address(address) => ip = Some(*address),
            _ => {}
        }
    }
    ip.filter(|ip| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    })
}

/// Most addresses looked at: a machine with more has them for other reasons than to be reached.
const MOST: usize = 64;
