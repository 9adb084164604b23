//! Gives an overlay device what its plan says, and takes back what an earlier plan had given.
//!
//! Owner: the netlink thread. In: a plan, what was done before. Out: what is done now.
//! Never: an address or route that was not ours.

use std::net::IpAddr;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::{AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{
    AddressMessageBuilder, Error, Handle, LinkBridgePort, LinkUnspec, RouteMessageBuilder,
};
use zt_engine::interface::{Route, TapPlan};

use super::{Refused, What};

/// What a device has from us.
#[derive(Debug)]
pub struct Shaped {
    index: u32,
    mtu: u16,
    addresses: Vec<(IpAddr, u8)>,
    routes: Vec<Route>,
}

impl Shaped {
    /// The device's number in the kernel.
    pub const fn index(&self) -> u32 {
        self.index
    }
}

/// Makes the device `name` look like `plan`.
///
/// # Errors
/// [`Refused`] by the kernel. A machine without IPv6 is no error: the device goes on without its IPv6 addresses.
pub async fn shape(
    handle: &Handle,
    name: &str,
    plan: &TapPlan,
    before: Option<Shaped>,
) -> Result<Shaped, Refused> {
    let refused = |what| refusal(name, what);
    let index = index_of(handle, name).await.map_err(refused(What::Find))?;
    let before = before.filter(|before| before.index == index);
    if before.as_ref().is_none_or(|before| before.mtu != plan.mtu) {
        let link = LinkUnspec::new_with_index(index)
            .mtu(u32::from(plan.mtu))
            .up()
            .build();
        handle
            .link()
            .set(link)
            .execute()
            .await
            .map_err(refused(What::Up))?;
    }
    if let Some(before) = before {
        take_back(handle, plan, before).await;
    }
    let mut done = Shaped {
        index,
        mtu: plan.mtu,
        addresses: Vec::new(),
        routes: Vec::new(),
    };
    give_addresses(handle, name, plan, &mut done).await?;
    give_routes(handle, name, plan, &mut done).await?;
    Ok(done)
}

/// Lets the bridge that a device is a port of forget what it has learned there.
pub async fn relearn(handle: &Handle, device: &Shaped) {
    let flush = LinkBridgePort::new(device.index).fdb_flush().build();
    if let Err(error) = handle.link().set_port(flush).execute().await {
        tracing::debug!(%error, "the device is no port of a bridge");
    }
}

fn refusal(name: &str, what: What) -> impl FnOnce(Error) -> Refused {
    move |error| Refused {
        device: name.to_owned(),
        what,
        error,
    }
}

/// Removes what an earlier plan had given and this one has not.
async fn take_back(handle: &Handle, plan: &TapPlan, before: Shaped) {
    for route in before.routes {
        if !plan.routes.contains(&route) {
            let message = route_message(before.index, route);
            ignore_gone(handle.route().del(message).execute().await);
        }
    }
    for (ip, prefix) in before.addresses {
        if !plan.addresses.contains(&(ip, prefix)) {
            let message = address_message(before.index, ip, prefix);
            ignore_gone(handle.address().del(message).execute().await);
        }
    }
}

async fn give_addresses(
    handle: &Handle,
    name: &str,
    plan: &TapPlan,
    done: &mut Shaped,
) -> Result<(), Refused> {
    for (ip, prefix) in &plan.addresses {
        match add_address(handle, done.index, *ip, *prefix).await {
            Ok(()) => done.addresses.push((*ip, *prefix)),
            Err(error) if ip.is_ipv6() => {
                tracing::warn!(device = name, %ip, %error, "IPv6 address not set");
            }
            Err(error) => return Err(refusal(name, What::Address(*ip, *prefix))(error)),
        }
    }
    Ok(())
}

async fn give_routes(
    handle: &Handle,
    name: &str,
    plan: &TapPlan,
    done: &mut Shaped,
) -> Result<(), Refused> {
    for route in &plan.routes {
        let request = handle
            .route()
            .add(route_message(done.index, *route))
            .replace();
        match request.execute().await {
            Ok(()) => done.routes.push(*route),
            Err(error) if route.target.is_ipv6() => {
                tracing::warn!(device = name, target = %route.target, %error, "IPv6 route not set");
            }
            Err(error) => {
                return Err(refusal(name, What::Route(route.target, route.prefix))(
                    error,
                ));
            }
        }
    }
    Ok(())
}

async fn index_of(handle: &Handle, name: &str) -> Result<u32, Error> {
    let mut links = Box::pin(handle.link().get().match_name(name.to_owned()).execute());
    let link = links.try_next().await?.ok_or(Error::RequestFailed)?;
    Ok(link.header.index)
}

async fn add_address(handle: &Handle, index: u32, ip: IpAddr, prefix: u8) -> Result<(), Error> {
    let mut request = handle.address().add(index, ip, prefix).replace();
    if ip.is_ipv6() {
        // The controller has made sure that nobody else has it; waiting for a duplicate costs a second at each start.
        request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
    }
    request.execute().await
}

fn address_message(index: u32, ip: IpAddr, prefix: u8) -> AddressMessage {
    match ip {
        IpAddr::V4(ip) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
            .index(index)
            .address(ip, prefix)
            .build(),
        IpAddr::V6(ip) => AddressMessageBuilder::<std::net::Ipv6Addr>::new()
            .index(index)
            .address(ip, prefix)
            .build(),
    }
}

fn route_message(index: u32, route: Route) -> RouteMessage {
    match route.target {
        IpAddr::V4(target) => {
            let builder = RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(target, route.prefix.min(32))
                .output_interface(index);
            match route.via {
                Some(IpAddr::V4(via)) => builder.gateway(via).build(),
                Some(IpAddr::V6(via)) => builder.via(via).build(),
                None => builder
                    .scope(rtnetlink::packet_route::route::RouteScope::Link)
                    .build(),
            }
        }
        IpAddr::V6(target) => {
            let builder = RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .destination_prefix(target, route.prefix.min(128))
                .output_interface(index);
            match route.via {
                Some(IpAddr::V6(via)) => builder.gateway(via).build(),
                // An IPv4 gateway for an IPv6 target does not exist; the device itself is the nearest there is.
                Some(IpAddr::V4(_)) | None => builder.build(),
            }
        }
    }
}

/// What is to be removed may have gone with the address it depended on.
fn ignore_gone(result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "was removed already");
    }
}
