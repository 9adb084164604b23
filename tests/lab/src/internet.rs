//! A small Internet: segments, hosts on them, homes behind routers that translate addresses.
//!
//! In: a [`Lab`]. Out: [`Host`]s with addresses and routes. Never: a program under test.
//! Public hosts live in 203.0.113.0/24 (RFC 5737), homes in 192.168.N.0/24 behind a router there.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU8, Ordering},
};

use crate::{Failed, Host, Lab};

/// A public segment and what hangs on it.
#[derive(Debug)]
pub struct Internet {
    lab: Lab,
    core: Segment,
    next: AtomicU8,
    homes: AtomicU8,
}

/// An Ethernet segment: a host that only bridges.
#[derive(Debug)]
pub struct Segment {
    bridge: Host,
    ports: AtomicU8,
}

/// A home: a router that translates, and the host behind it.
#[derive(Debug)]
pub struct Home {
    /// The host behind the router.
    pub host: Host,
    /// The router; its devices are `wan` and `lan`.
    pub router: Host,
    /// The router's public address.
    pub public: Ipv4Addr,
}

/// How a home's router translates UDP (terms of RFC 4787). All of them drop what nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// Keeps the source port: masquerade, as most home routers.
    KeepsPort,
    /// Maps to one other port, the same for every destination.
    OtherPort,
    /// Another random port for each destination: no hole can be punched by prediction.
    RandomPorts,
}

impl Internet {
    /// An Internet without anybody on it.
    ///
    /// # Errors
    /// When the kernel or a tool refuses.
    pub fn new(lab: Lab) -> Result<Self, Failed> {
        let core = Segment::new(&lab, "core")?;
        Ok(Self {
            lab,
            core,
            next: AtomicU8::new(1),
            homes: AtomicU8::new(1),
        })
    }

    /// The run it belongs to.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The public segment.
    pub fn core(&self) -> &Segment {
        &self.core
    }

    /// A host with a public address on device `wan`, and the address.
    ///
    /// # Errors
    /// When the kernel or a tool refuses.
    pub fn public(&self, name: &str) -> Result<(Host, Ipv4Addr), Failed> {
        let host = self.lab.host(name)?;
        let address = self.address();
        self.core.plug(&host, "wan", &format!("{address}/24"))?;
        Ok((host, address))
    }

    /// A home behind a router of its own.
    ///
    /// # Errors
    /// When the kernel or a tool refuses.
    pub fn home(&self, name: &str, nat: Nat) -> Result<Home, Failed> {
        let subnet = self.homes.fetch_add(1, Ordering::Relaxed);
        let (router, public) = self.public(&format!("{name}-router"))?;
        let host = self.lab.host(name)?;
        link(
            (&router, "lan", &format!("192.168.{subnet}.1/24")),
            (&host, "eth0", &format!("192.168.{subnet}.10/24")),
        )?;
        host.ip(&format!("route add default via 192.168.{subnet}.1"))?;
        router.sysctl("net.ipv4.ip_forward", "1")?;
        router.nft(&rules(nat, public))?;
        Ok(Home {
            host,
            router,
            public,
        })
    }

    /// A public address that nobody has yet.
    pub fn address(&self) -> Ipv4Addr {
        let last = self.next.fetch_add(1, Ordering::Relaxed);
        Ipv4Addr::new(203, 0, 113, last)
    }
}

impl Home {
    /// The router forgets every mapping and comes back with another public address, as after a night at the provider.
    ///
    /// # Errors
    /// When the kernel or a tool refuses.
    pub fn renumber(&mut self, public: Ipv4Addr, nat: Nat) -> Result<(), Failed> {
        self.router
            .ip(&format!("addr flush dev wan\naddr add {public}/24 dev wan"))?;
        self.public = public;
        self.router.nft(&rules(nat, public))
    }

    /// The router gives what is already mapped another public port from now on.
    ///
    /// # Errors
    /// When a tool refuses.
    pub fn rebind(&self, port: u16) -> Result<(), Failed> {
        let public = self.public;
        self.router.nft(&format!(
            "{}\nadd rule ip home post oifname wan meta l4proto udp snat to {public}:{port}",
            rules_without_udp(public)
        ))?;
        // A translation that exists keeps its mapping until conntrack forgets it: changing the zone's
        // accounting is not enough, so the device goes down and up, which flushes what it masqueraded.
        self.router.ip("link set wan down\nlink set wan up")
    }
}

impl Segment {
    /// A segment without anybody on it.
    ///
    /// # Errors
    /// When the kernel or a tool refuses.
    pub fn new(lab: &Lab, name: &str) -> Result<Self, Failed> {
        let bridge = lab.host(name)?;
        bridge.ip("link add br0 type bridge stp_state 0 mcast_snooping 0\nlink set br0 up")?;
        Ok(Self {
            bridge,
            ports: AtomicU8::new(0),
        })
    }

    /// Plugs a host in: its new device `device` gets `cidr` (none when empty).
    ///
    /// # Errors
    /// When the kernel or a tool refuses.
    pub fn plug(&self, host: &Host, device: &str, cidr: &str) -> Result<(), Failed> {
        let port = format!("p{}", self.ports.fetch_add(1, Ordering::Relaxed));
        link((host, device, cidr), (&self.bridge, &port, ""))?;
        self.bridge.ip(&format!("link set {port} master br0"))
    }

    /// The host that bridges; everything on the segment passes its `br0`.
    pub fn bridge(&self) -> &Host {
        &self.bridge
    }
}

/// One cable between two hosts: (host, device, address with prefix or empty).
///
/// # Errors
/// When the kernel or a tool refuses.
pub fn link(a: (&Host, &str, &str), b: (&Host, &str, &str)) -> Result<(), Failed> {
    let (host_a, device_a, _) = a;
    let (host_b, device_b, _) = b;
    host_a.ip(&format!(
        "link add {device_a} type veth peer name {device_b} netns {}",
        host_b.namespace()
    ))?;
    for (host, device, cidr) in [a, b] {
        if !cidr.is_empty() {
            host.ip(&format!("addr add {cidr} dev {device}"))?;
        }
        host.ip(&format!("link set {device} up"))?;
    }
    Ok(())
}

/// The router's rules. Unasked packets are dropped before conntrack confirms them: otherwise a peer's early
/// probe would take the very tuple that the host's own probe needs, and the port would change under it.
fn rules(nat: Nat, public: Ipv4Addr) -> String {
    let udp = match nat {
        Nat::KeepsPort => "meta l4proto udp masquerade".to_owned(),
        Nat::OtherPort => format!("meta l4proto udp snat to {public}:{OTHER_PORT}"),
        Nat::RandomPorts => "meta l4proto udp masquerade random,fully-random".to_owned(),
    };
    format!(
        "{}\nadd rule ip home post oifname wan {udp}\nadd rule ip home post oifname wan masquerade",
        rules_without_udp(public)
    )
}

fn rules_without_udp(public: Ipv4Addr) -> String {
    format!(
        "table ip home {{}}
delete table ip home
table ip home {{
  chain post {{ type nat hook postrouting priority 100; ip saddr {public} return; }}
  chain input {{ type filter hook input priority 0; policy drop;
    ct state established,related accept
    iifname {{ lan, lo }} accept
    meta l4proto icmp accept
  }}
  chain forward {{ type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname lan accept
  }}
}}"
    )
}

/// The public port of [`Nat::OtherPort`].
const OTHER_PORT: u16 = 31_000;
