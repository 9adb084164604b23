//! What this machine's kernel would do with a packet, and which of its rules and routes decides that.
//!
//! In: a destination. Out: the device, the source, the route and the rule in `ip`'s words.
//! Never: a change; a privilege.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteType,
};
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::packet_route::{AddressFamily, rule::RuleAttribute};
use rtnetlink::{Error, Handle, IpVersion};

use super::rule;

/// This machine's network, as it is now.
#[derive(Debug)]
pub struct Kernel {
    handle: Handle,
    /// The devices.
    pub devices: Vec<Device>,
    rules: [Vec<RuleMessage>; 2],
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub up: bool,
    /// Its IPv4 addresses with their prefixes.
    pub addresses: Vec<(Ipv4Addr, u8)>,
}

/// How a packet leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves {
    /// By which device.
    pub device: String,
    /// From which address.
    pub source: Option<IpAddr>,
    /// The table with the route.
    pub table: u32,
    /// The route, as `ip route` writes it.
    pub route: String,
    /// The rule that leads to the table, as `ip rule` writes it.
    pub rule: Option<String>,
}

impl Kernel {
    /// Looks.
    ///
    /// # Errors
    /// The kernel's words.
    pub async fn look() -> Result<Self, String> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        let said = |error: Error| error.to_string();
        let devices = devices(&handle).await.map_err(said)?;
        let v4 = rules(&handle, IpVersion::V4).await.map_err(said)?;
        // A machine without IPv6 has no rules for it.
        let v6 = rules(&handle, IpVersion::V6).await.unwrap_or_default();
        Ok(Self {
            handle,
            devices,
            rules: [v4, v6],
        })
    }

    /// How a UDP packet of a program that names no device leaves.
    ///
    /// # Errors
    /// The kernel's words, as the program would get them.
    pub async fn leaves(&self, to: IpAddr, port: u16) -> Result<Leaves, String> {
        let route = self.ask(to, port, RouteFlags::LookupTable).await?;
        let index = route.attributes.iter().find_map(|it| match it {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        let source = route.attributes.iter().find_map(|it| match it {
            RouteAttribute::PrefSource(ip) => plain(ip),
            _ => None,
        });
        let table = table_of(&route);
        // Kernels before 4.13 answer this as the question before; the route is then the destination itself.
        let flags = RouteFlags::LookupTable | RouteFlags::FibMatch;
        let matched = self.ask(to, port, flags).await.unwrap_or(route);
        let prefix = matched.header.destination_prefix_length;
        // Before the first rule of anybody the kernel keeps both tables in one and calls it `main`.
        let own = prefix == 32 && matched.header.kind == RouteType::Broadcast;
        let table = if own && table == MAIN && !is_all(to) {
            LOCAL
        } else {
            table
        };
        let rules = &self.rules[usize::from(to.is_ipv6())];
        let rule = rules
            .iter()
            .find(|rule| rule::leads(rule, to, port, (table, prefix)));
        Ok(Leaves {
            device: self.name_of(index),
            source,
            table,
            route: self.route_text(&matched, to),
            rule: rule.map(rule::text),
        })
    }

    /// Rules of LAN mode, perhaps left by a node that was killed.
    pub fn lan_rules(&self) -> impl Iterator<Item = String> {
        let protocol = RuleAttribute::Protocol(RouteProtocol::Other(LAN_PROTOCOL));
        let ours = self.rules[0].iter();
        ours.filter(move |rule| rule.attributes.contains(&protocol))
            .map(rule::text)
    }

    async fn ask(&self, to: IpAddr, port: u16, flags: RouteFlags) -> Result<RouteMessage, String> {
        let mut question = RouteMessage::default();
        let (family, prefix) = match to {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        question.header.address_family = family;
        question.header.destination_prefix_length = prefix;
        question.header.flags = flags;
        question.attributes = vec![
            RouteAttribute::Destination(to.into()),
            RouteAttribute::IpProto(UDP),
            RouteAttribute::Dport(port),
        ];
        let mut answers = Box::pin(self.handle.route().get(question).execute());
        match answers.try_next().await {
            Ok(Some(route)) => Ok(route),
            Ok(None) => Err("the kernel does not answer".into()),
            Err(Error::NetlinkError(error)) => Err(plain_words(&error.to_io())),
            Err(error) => Err(error.to_string()),
        }
    }

    fn name_of(&self, index: Option<u32>) -> String {
        let device = self.devices.iter().find(|it| Some(it.index) == index);
        device.map_or_else(|| "-".to_owned(), |device| device.name.clone())
    }

    fn route_text(&self, route: &RouteMessage, to: IpAddr) -> String {
        let mut target = None;
        let mut via = None;
        let mut device = None;
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Destination(ip) => target = plain(ip),
                RouteAttribute::Gateway(ip) => via = plain(ip),
                RouteAttribute::Oif(index) => device = Some(*index),
                _ => {}
            }
        }
        let prefix = route.header.destination_prefix_length;
        let mut text = match (target, prefix) {
            (_, 0) => "default".to_owned(),
            (target, prefix) => format!("{}/{prefix}", target.unwrap_or(to)),
        };
        if let Some(via) = via {
            text = format!("{text} via {via}");
        }
        format!("{text} dev {}", self.name_of(device))
    }
}

/// The kernel's words without the number behind them.
fn plain_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

async fn devices(handle: &Handle) -> Result<Vec<Device>, Error> {
    let mut found = Vec::new();
    let mut links = Box::pin(handle.link().get().execute());
    while let Some(link) = links.try_next().await? {
        let name = link.attributes.iter().find_map(|it| match it {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        });
        found.push(Device {
            index: link.header.index,
            name: name.unwrap_or_default(),
            up: link.header.flags.contains(LinkFlags::Up),
            addresses: Vec::new(),
        });
    }
    let mut addresses = Box::pin(handle.address().get().execute());
    while let Some(address) = addresses.try_next().await? {
        let local = address.attributes.iter().find_map(|it| match it {
            AddressAttribute::Local(IpAddr::V4(ip)) => Some(*ip),
            _ => None,
        });
        let device = found.iter_mut().find(|it| it.index == address.header.index);
        if let (Some(device), Some(ip)) = (device, local) {
            device.addresses.push((ip, address.header.prefix_len));
        }
    }
    Ok(found)
}

async fn rules(handle: &Handle, version: IpVersion) -> Result<Vec<RuleMessage>, Error> {
    // The kernel lists them in the order in which it asks them.
    handle.rule().get(version).execute().try_collect().await
}

fn plain(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

fn table_of(route: &RouteMessage) -> u32 {
    let attribute = route.attributes.iter().find_map(|it| match it {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    attribute.unwrap_or_else(|| u32::from(route.header.table))
}

/// Whether this is 255.255.255.255, which the kernel calls a broadcast whatever route matches.
fn is_all(to: IpAddr) -> bool {
    to == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// The table of this machine's own addresses and broadcasts.
const LOCAL: u32 = 255;
/// The table of everything else.
const MAIN: u32 = 254;
/// UDP's number among the protocols.
const UDP: u8 = 17;
/// What the node writes into the protocol field of its rules.
const LAN_PROTOCOL: u8 = 122;
