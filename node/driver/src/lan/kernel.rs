//! LAN mode's questions to rtnetlink, and its marks there: two routes in a table of its own, three rules that lead to it.
//!
//! Owner: LAN mode's thread. In: a device, a source. Out: facts; routes and rules as they should be.
//! Never: a route or rule without our protocol number touched.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage, RulePortRange};
use rtnetlink::packet_route::{AddressFamily, IpProtocol};
use rtnetlink::{Error, Handle, IpVersion, LinkUnspec, RouteMessageBuilder};

use super::plan::{Facts, Link, Way};

/// Our routing table.
pub const TABLE: u32 = 9993;
/// The number in the protocol field of our routes and rules, by which they are known.
const PROTOCOL: u8 = 122;

/// A rule that leads to [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    priority: u32,
    udp: Option<(u16, u16)>,
}

/// Only what is sent by UDP is led away: a join without a device is looked up without a protocol, so memberships
/// stay where they were, whatever becomes of us. DHCP stays, too. The kernel takes no range that ends with 65,535.
/// The last rule is for machines without any other way: there, sending and joining fail otherwise.
pub const RULES: [Rule; 3] = [
    Rule {
        priority: 993,
        udp: Some((1, 66)),
    },
    Rule {
        priority: 994,
        udp: Some((69, 65_534)),
    },
    Rule {
        priority: 33_000,
        udp: None,
    },
];

/// The two routes.
const TARGETS: [(Ipv4Addr, u8); 2] = [(Ipv4Addr::BROADCAST, 32), (Ipv4Addr::new(224, 0, 0, 0), 4)];

/// A port that LAN mode leads nowhere else: looking it up says how packets leave without LAN mode.
const NATURAL_PORT: u16 = 67;

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: from all ", self.priority)?;
        if let Some((first, last)) = self.udp {
            write!(f, "ipproto udp dport {first}-{last} ")?;
        }
        write!(f, "lookup {TABLE}")
    }
}

/// What the kernel says; `own` is the name of LAN mode's device, which is no way of anybody else.
///
/// # Errors
/// The kernel's.
pub async fn facts(handle: &Handle, own: &str) -> Result<Facts, Error> {
    let mut links = links(handle).await?;
    let mut addresses = Box::pin(handle.address().get().execute());
    while let Some(address) = addresses.try_next().await? {
        let link = links
            .iter_mut()
            .find(|link| link.index == address.header.index && link.address.is_none());
        if let Some(link) = link {
            link.address = address.attributes.iter().find_map(|it| match it {
                AddressAttribute::Local(IpAddr::V4(ip)) => Some(*ip),
                _ => None,
            });
        }
    }
    let usable = |way: &Way| {
        let link = links.iter().find(|link| link.index == way.device);
        link.is_some_and(|link| link.name != own && link.name != "lo")
    };
    let group = Ipv4Addr::new(239, 255, 255, 250);
    Ok(Facts {
        broadcast: natural(handle, Ipv4Addr::BROADCAST).await.filter(usable),
        multicast: natural(handle, group).await.filter(usable),
        links,
    })
}

/// The devices, without their addresses.
///
/// # Errors
/// The kernel's.
pub async fn links(handle: &Handle) -> Result<Vec<Link>, Error> {
    let mut found = Vec::new();
    let mut links = Box::pin(handle.link().get().execute());
    while let Some(link) = links.try_next().await? {
        found.push(link_of(&link));
    }
    Ok(found)
}

fn link_of(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        up: message.header.flags.contains(LinkFlags::Up),
        mtu: 0,
        master: None,
        address: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(master) => link.master = Some(*master),
            _ => {}
        }
    }
    link
}

/// How a packet to `to` leaves without LAN mode; `None` when it would not.
async fn natural(handle: &Handle, to: Ipv4Addr) -> Option<Way> {
    let mut question = RouteMessage::default();
    question.header.address_family = AddressFamily::Inet;
    question.header.destination_prefix_length = 32;
    question.attributes = vec![
        RouteAttribute::Destination(RouteAddress::Inet(to)),
        RouteAttribute::IpProto(UDP),
        RouteAttribute::Dport(NATURAL_PORT),
    ];
    // An error is the kernel's way to say that there is no route.
    let mut answers = Box::pin(handle.route().get(question).execute());
    let route = answers.try_next().await.ok()??;
    let device = device_of(&route)?;
    let source = route.attributes.iter().find_map(|it| match it {
        RouteAttribute::PrefSource(RouteAddress::Inet(ip)) => Some(*ip),
        _ => None,
    })?;
    Some(Way { device, source })
}

/// Brings LAN mode's device up with this MTU; gives its number.
///
/// # Errors
/// The kernel's.
pub async fn raise(handle: &Handle, name: &str, mtu: u32) -> Result<u32, Error> {
    let links = links(handle).await?;
    let link = links.iter().find(|link| link.name == name);
    let link = link.ok_or(Error::RequestFailed)?;
    if !link.up || link.mtu != mtu {
        let change = LinkUnspec::new_with_index(link.index).mtu(mtu).up().build();
        handle.link().set(change).execute().await?;
    }
    Ok(link.index)
}

/// Makes our table hold exactly the two routes, through `device` from `source`.
///
/// # Errors
/// The kernel's.
pub async fn route(handle: &Handle, device: u32, source: Ipv4Addr) -> Result<(), Error> {
    let there = routes(handle).await?;
    for (target, prefix) in TARGETS {
        let is_right = there.iter().any(|route| {
            route.header.destination_prefix_length == prefix
                && device_of(route) == Some(device)
                && route
                    .attributes
                    .contains(&RouteAttribute::Destination(target_of(target)))
                && route
                    .attributes
                    .contains(&RouteAttribute::PrefSource(target_of(source)))
        });
        if !is_right {
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(target, prefix)
                .output_interface(device)
                .pref_source(source)
                .table_id(TABLE)
                .protocol(RouteProtocol::Other(PROTOCOL))
                .scope(RouteScope::Link)
                .build();
            handle.route().add(route).replace().execute().await?;
        }
    }
    Ok(())
}

fn target_of(ip: Ipv4Addr) -> RouteAddress {
    RouteAddress::Inet(ip)
}

async fn routes(handle: &Handle) -> Result<Vec<RouteMessage>, Error> {
    let mut question = RouteMessage::default();
    question.header.address_family = AddressFamily::Inet;
    question.attributes.push(RouteAttribute::Table(TABLE));
    let mut found = Vec::new();
    let mut routes = Box::pin(handle.route().get(question).execute());
    // A table that was never used is an error to some kernels.
    while let Ok(Some(route)) = routes.try_next().await {
        if route.attributes.contains(&RouteAttribute::Table(TABLE)) {
            found.push(route);
        }
    }
    Ok(found)
}

fn device_of(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|it| match it {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// Makes our rules be there, each once.
///
/// # Errors
/// `None` when the kernel took a rule without understanding all of it (before Linux 4.17); nothing is left of it then.
pub async fn lead(handle: &Handle) -> Result<(), Option<Error>> {
    let there = ours(handle).await?;
    for rule in RULES {
        if !there.iter().any(|it| rule.is(it)) {
            let mut request = handle.rule().add();
            *request.message_mut() = rule.message();
            request.execute().await?;
        }
    }
    let there = ours(handle).await?;
    if RULES.iter().all(|rule| there.iter().any(|it| rule.is(it))) {
        return Ok(());
    }
    lead_no_more(handle).await?;
    Err(None)
}

/// Removes every rule of ours, those of an earlier run that was killed, too.
///
/// # Errors
/// The kernel's.
pub async fn lead_no_more(handle: &Handle) -> Result<(), Error> {
    for rule in ours(handle).await? {
        handle.rule().del(rule).execute().await?;
    }
    Ok(())
}

/// Rules with our table and our protocol, or at our place without a protocol, as kernels before 4.17 keep them.
async fn ours(handle: &Handle) -> Result<Vec<RuleMessage>, Error> {
    let mut found = Vec::new();
    let mut rules = Box::pin(handle.rule().get(IpVersion::V4).execute());
    while let Some(rule) = rules.try_next().await? {
        let has = |attribute: &RuleAttribute| rule.attributes.contains(attribute);
        let protocol = RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL));
        let older = !rule
            .attributes
            .iter()
            .any(|it| matches!(it, RuleAttribute::Protocol(_)))
            && RULES
                .iter()
                .any(|rule| has(&RuleAttribute::Priority(rule.priority)));
        if has(&RuleAttribute::Table(TABLE)) && (has(&protocol) || older) {
            found.push(rule);
        }
    }
    Ok(found)
}

impl Rule {
    fn attributes(self) -> Vec<RuleAttribute> {
        let mut attributes = vec![
            RuleAttribute::Priority(self.priority),
            RuleAttribute::Table(TABLE),
            RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
        ];
        if let Some((start, end)) = self.udp {
            attributes.push(RuleAttribute::IpProtocol(IpProtocol::Udp));
            attributes.push(RuleAttribute::DestinationPortRange(RulePortRange {
                start,
                end,
            }));
        }
        attributes
    }

    fn message(self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.action = RuleAction::ToTable;
        message.attributes = self.attributes();
        message
    }

    fn is(self, message: &RuleMessage) -> bool {
        message.header.action == RuleAction::ToTable
            && self
                .attributes()
                .iter()
                .all(|attribute| message.attributes.contains(attribute))
    }
}

/// UDP's number among the protocols.
const UDP: u8 = 17;
