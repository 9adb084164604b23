//! Offices: a Linux bridge on a node's host with the overlay's device in it, stations on that bridge, cables between bridges.
//!
//! In: hosts, devices. Out: stations that can be moved. Never: a spanning tree: a loop is a loop.

use crate::{Failed, Host, Lab, internet::link, zt};

/// The bridge on each office's host.
pub const BRIDGE: &str = "br0";
/// A station's device.
pub const DEVICE: &str = "eth0";

/// A host behind an office's bridge.
#[derive(Debug)]
pub struct Station {
    /// The station.
    pub host: Host,
    /// Its MAC.
    pub mac: [u8; 6],
    cidr: String,
    port: String,
}

/// Makes a bridge on a host and puts a device into it, while that runs.
///
/// # Errors
/// With the words of `ip`.
pub fn enslave(host: &Host, device: &str) -> Result<(), Failed> {
    host.ip(&format!(
        "link add {BRIDGE} type bridge stp_state 0 mcast_snooping 0
         link set {BRIDGE} up
         link set {device} master {BRIDGE}"
    ))
}

/// Lays a cable between the bridges of two hosts.
///
/// # Errors
/// With the words of `ip`.
pub fn cable(a: &Host, b: &Host) -> Result<(), Failed> {
    link((a, CABLE, ""), (b, CABLE, ""))?;
    for host in [a, b] {
        host.ip(&format!("link set {CABLE} master {BRIDGE}"))?;
    }
    Ok(())
}

/// Takes the cable away.
///
/// # Errors
/// With the words of `ip`.
pub fn unplug(a: &Host) -> Result<(), Failed> {
    a.ip(&format!("link del {CABLE}"))
}

impl Station {
    /// A station that says nothing by itself, on the bridge of an office.
    ///
    /// # Errors
    /// With the words of `ip`.
    pub fn new(lab: &Lab, name: &str, office: &Host, number: u8) -> Result<Self, Failed> {
        let host = lab.host(name)?;
        host.sysctl("net.ipv6.conf.all.disable_ipv6", "1")?;
        host.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        let station = Self {
            host,
            mac: [0x52, 0x54, 0, 0, 0x0f, number],
            cidr: format!("10.20.0.{number}/{}", zt::POOL_PREFIX),
            port: format!("st{number}"),
        };
        station.plug(office)?;
        Ok(station)
    }

    /// Its IPv4 address.
    pub fn ip(&self) -> &str {
        self.cidr.split('/').next().unwrap_or_default()
    }

    /// Moves it to another office, where it keeps its MAC and address.
    ///
    /// # Errors
    /// With the words of `ip`.
    pub fn move_to(&self, office: &Host) -> Result<(), Failed> {
        self.host.ip(&format!("link del {DEVICE}"))?;
        self.plug(office)
    }

    fn plug(&self, office: &Host) -> Result<(), Failed> {
        let Self {
            host, cidr, port, ..
        } = self;
        let mac: Vec<String> = self.mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let mac = mac.join(":");
        link((host, DEVICE, ""), (office, port, ""))?;
        host.ip(&format!(
            "link set {DEVICE} down
             link set {DEVICE} address {mac}
             link set {DEVICE} arp on
             addr add {cidr} dev {DEVICE}
             link set {DEVICE} up"
        ))?;
        office.ip(&format!("link set {port} master {BRIDGE}"))
    }
}

const CABLE: &str = "cable0";
