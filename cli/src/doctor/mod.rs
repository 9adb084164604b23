//! `doctor lan`: where a broadcast would leave, why, and where it would arrive.
//!
//! In: the kernel's answers; the node's, when it runs. Out: a report with what to type to change it.
//! Never: a packet sent; a guess where the kernel can be asked.

pub mod args;
mod hints;
mod kernel;
mod rule;
mod show;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use zt_api::{Exit, Lan, Network, NodeClient};

use crate::output::{Failure, Output};
use args::DoctorCommand;
use kernel::Kernel;

/// `doctor`.
pub async fn doctor(
    node: &NodeClient,
    command: &DoctorCommand,
    output: Output,
) -> Result<(), Failure> {
    match command {
        DoctorCommand::Lan => lan(node, output).await,
    }
}

async fn lan(node: &NodeClient, output: Output) -> Result<(), Failure> {
    let kernel = Kernel::look().await.map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("the kernel's routes cannot be asked over rtnetlink: {error}"),
        )
    })?;
    let known = Known::ask(node).await;
    let mut destinations = Vec::new();
    for (to, port, what) in asked(&kernel, &known) {
        destinations.push(Destination::of(&kernel, &known, (to, port), what).await);
    }
    let report = Report {
        hints: hints::hints(&kernel, &known, &destinations),
        changed: show::changed(known.lan.as_ref()),
        commands: known.commands(),
        node: known.state,
        lan_mode: known.lan,
        destinations,
    };
    output.show(&report, show::report)
}

/// What the node says, if it runs.
#[derive(Debug)]
struct Known {
    state: String,
    lan: Option<Lan>,
    networks: Vec<Network>,
}

impl Known {
    async fn ask(node: &NodeClient) -> Self {
        let asked =
            async { Ok::<_, zt_api::ApiError>((node.lan().await?, node.networks().await?)) };
        match asked.await {
            Ok((lan, networks)) => Self {
                state: "running".into(),
                lan: Some(lan),
                networks,
            },
            Err(error) => Self {
                state: if error.exit() == Exit::NotRunning {
                    "not-running".into()
                } else {
                    error.to_string()
                },
                lan: None,
                networks: Vec::new(),
            },
        }
    }

    fn network_of(&self, device: &str) -> Option<&Network> {
        let mut networks = self.networks.iter();
        networks.find(|network| network.device.as_deref() == Some(device))
    }

    /// What changes it.
    fn commands(&self) -> Vec<String> {
        let switch = |network: &Network| {
            let value = if network.settings.lan_mode {
                "off"
            } else {
                "on"
            };
            format!("zt-cli set {} lan-mode={value}", network.id)
        };
        self.networks.iter().map(switch).collect()
    }
}

/// The report.
#[derive(Debug, Serialize)]
struct Report {
    /// `running`, `not-running`, or why it does not answer.
    node: String,
    /// What LAN mode is doing.
    lan_mode: Option<Lan>,
    destinations: Vec<Destination>,
    /// What LAN mode has changed on this machine; all of it goes when it is off.
    changed: Vec<String>,
    /// What could stand in the way.
    hints: Vec<String>,
    /// What switches LAN mode.
    commands: Vec<String>,
}

/// A destination and what becomes of a packet to it.
#[derive(Debug, Serialize)]
struct Destination {
    to: IpAddr,
    port: u16,
    what: String,
    device: Option<String>,
    source: Option<IpAddr>,
    table: Option<u32>,
    route: Option<String>,
    rule: Option<String>,
    /// What a program gets instead.
    error: Option<String>,
    arrives: Vec<Arrival>,
}

/// A place where it arrives.
#[derive(Debug, Serialize)]
struct Arrival {
    place: Place,
    /// The overlay's network id.
    network: Option<String>,
    /// Its name.
    name: Option<String>,
    device: String,
    source: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Overlay,
    Lan,
    Host,
}

impl Destination {
    async fn of(kernel: &Kernel, known: &Known, (to, port): (IpAddr, u16), what: String) -> Self {
        let mut found = Self {
            to,
            port,
            what,
            device: None,
            source: None,
            table: None,
            route: None,
            rule: None,
            error: None,
            arrives: Vec::new(),
        };
        match kernel.leaves(to, port).await {
            Ok(leaves) => {
                found.arrives = arrivals(known, to, &leaves);
                found.device = Some(leaves.device);
                found.source = leaves.source;
                found.table = Some(leaves.table);
                found.route = Some(leaves.route);
                found.rule = leaves.rule;
            }
            Err(error) => found.error = Some(error),
        }
        found
    }
}

fn arrivals(known: &Known, to: IpAddr, leaves: &kernel::Leaves) -> Vec<Arrival> {
    let at = |device: &str, source: Option<IpAddr>| {
        let network = known.network_of(device);
        let place = match (device, network) {
            ("lo", _) => Place::Host,
            (_, Some(_)) => Place::Overlay,
            (_, None) => Place::Lan,
        };
        Arrival {
            place,
            network: network.map(|network| network.id.to_string()),
            name: network.map(|network| network.name.clone()),
            device: device.to_owned(),
            source,
        }
    };
    let lan = known
        .lan
        .as_ref()
        .filter(|lan| lan.device.as_deref() == Some(&leaves.device));
    let Some(lan) = lan else {
        return vec![at(&leaves.device, leaves.source)];
    };
    let overlays = lan.networks.iter().filter(|network| network.state == "on");
    let mut arrivals: Vec<Arrival> = overlays
        .map(|network| at(&network.device, network.source.map(IpAddr::V4)))
        .collect();
    let besides = if to == IpAddr::V4(Ipv4Addr::BROADCAST) {
        &lan.broadcast
    } else {
        &lan.multicast
    };
    arrivals.extend(
        besides
            .iter()
            .map(|way| at(&way.device, Some(way.source.into()))),
    );
    arrivals
}

/// The destinations that people ask about, and this machine's own broadcasts.
fn asked(kernel: &Kernel, known: &Known) -> Vec<(IpAddr, u16, String)> {
    let mut asked = vec![(
        Ipv4Addr::BROADCAST.into(),
        ANY_PORT,
        "broadcast, as old games send it".to_owned(),
    )];
    for device in &kernel.devices {
        if !device.up || device.name == "lo" {
            continue;
        }
        for (ip, prefix) in &device.addresses {
            if let Some(broadcast) = directed(*ip, *prefix) {
                let whose = known
                    .network_of(&device.name)
                    .map_or_else(|| device.name.clone(), |network| network.name.clone());
                let what = format!("broadcast of {whose}'s own subnet");
                if asked.len() < MOST && asked.iter().all(|(to, ..)| *to != broadcast) {
                    asked.push((broadcast.into(), ANY_PORT, what));
                }
            }
        }
    }
    let groups: [(IpAddr, u16, &str); 3] = [
        (Ipv4Addr::new(239, 255, 255, 250).into(), 1900, "SSDP"),
        (Ipv4Addr::new(224, 0, 0, 251).into(), 5353, "mDNS"),
        (
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb).into(),
            5353,
            "mDNS over IPv6",
        ),
    ];
    asked.extend(groups.map(|(to, port, what)| (to, port, what.to_owned())));
    asked
}

/// The last address of a subnet, where it is a broadcast (RFC 3021 has none above /30).
fn directed(ip: Ipv4Addr, prefix: u8) -> Option<Ipv4Addr> {
    let hosts = u32::MAX.checked_shr(u32::from(prefix))?;
    (prefix <= 30).then(|| Ipv4Addr::from_bits(ip.to_bits() | hosts))
}

/// Any port that has no rules of its own.
const ANY_PORT: u16 = 27_015;
/// Destinations listed before the groups.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnets_broadcast_is_its_last_address() {
        let ip = Ipv4Addr::new(192, 168, 50, 1);
        assert_eq!(directed(ip, 24), Some(Ipv4Addr::new(192, 168, 50, 255)));
        assert_eq!(directed(ip, 0), Some(Ipv4Addr::BROADCAST));
        assert_eq!(directed(ip, 31), None);
        assert_eq!(directed(ip, 32), None);
    }
}
