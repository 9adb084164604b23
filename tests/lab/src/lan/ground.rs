//! Where the programs meet: one overlay with two members at home and two that bridge an office each.
//!
//! In: the programs of zt. Out: pairs of seats that know nothing of each other but the overlay. Never: a cable between them.

use std::{fs, net::Ipv4Addr, path::Path, time::Duration};

use crate::{
    Failed, Home, Host, Internet, Nat,
    internet::link,
    progress::Progress,
    traffic,
    zt::{Created, Joined, Kit, Master, Node, Supernode},
};

/// The overlay and everything that makes it.
#[derive(Debug)]
pub struct Ground {
    /// The netconf-master.
    pub master: Master,
    /// The network.
    pub network: Created,
    /// At home, at home, in the first office, in the second.
    pub nodes: [Node; 4],
    joined: [Joined; 4],
    offices: [Host; 2],
    homes: [Home; 2],
    supernode: Supernode,
}

/// A host with a device on the overlay, itself or through its office's bridge.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// The host.
    pub host: &'a Host,
    /// Its device on the Ethernet that the overlay is.
    pub device: &'a str,
    /// Its address there.
    pub ip: Ipv4Addr,
}

/// Two seats: who looks, and who is to be found.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Where the two are.
    pub place: Place,
    /// Who looks.
    pub asks: Seat<'a>,
    /// Who is found.
    pub answers: Seat<'a>,
}

/// Where two programs are when they meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Each on a member.
    Members,
    /// Each behind a member that bridges.
    Bridges,
}

impl Place {
    /// As the table says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Bridges => "two bridges",
        }
    }
}

impl Ground {
    /// Builds the overlay and waits until both pairs reach each other.
    ///
    /// # Errors
    /// When anything of it fails.
    pub fn new(internet: &Internet, kit: &Kit, progress: &Progress) -> Result<Self, Failed> {
        progress.step("an overlay: two members at home, two that bridge an office each");
        let homes = [
            internet.home("home-a", Nat::KeepsPort)?,
            internet.home("home-b", Nat::OtherPort)?,
        ];
        let (office_c, _) = internet.public("office-c")?;
        let (office_d, _) = internet.public("office-d")?;
        let (super_host, address) = internet.public("supernode")?;
        let (master_host, _) = internet.public("master")?;
        let supernode = Supernode::init(kit, &super_host, address)?;
        let world = supernode.world();
        let master = Master::run(kit, &master_host, &world)?;
        let network = master.create("lan", "10.77.0.0/24")?;
        let start = |host: &Host| Node::run(kit, host, &world);
        let nodes = [
            start(&homes[0].host)?,
            start(&homes[1].host)?,
            start(&office_c)?,
            start(&office_d)?,
        ];
        let [a, b, c, d] = &nodes;
        // What serves leases and announces routers is in the second office.
        let joined = [
            member(&master, &network, a, (1, ""))?,
            member(&master, &network, b, (2, ""))?,
            member(&master, &network, c, (3, "bridge"))?,
            member(&master, &network, d, (4, "bridge dhcp-server router"))?,
        ];
        let offices = [
            office(internet, c, &joined[2], FIRST_OFFICE)?,
            office(internet, d, &joined[3], SECOND_OFFICE)?,
        ];
        let ground = Self {
            master,
            network,
            nodes,
            joined,
            offices,
            homes,
            supernode,
        };
        progress.step("first pings: between the homes, between the offices");
        for place in [Place::Members, Place::Bridges] {
            let pair = ground.pair(place);
            traffic::first_ping(
                pair.asks.host,
                &pair.answers.ip.to_string(),
                Duration::from_secs(20),
            )
            .map_err(|failed| failed.during(place.name()))?;
        }
        Ok(ground)
    }

    /// The two who meet at a place.
    pub fn pair(&self, place: Place) -> Pair<'_> {
        let (asks, answers) = match place {
            Place::Members => (self.member(0), self.member(1)),
            Place::Bridges => (self.behind(0), self.behind(1)),
        };
        Pair {
            place,
            asks,
            answers,
        }
    }

    /// A member's own seat.
    fn member(&self, at: usize) -> Seat<'_> {
        Seat {
            host: &self.nodes[at].host,
            device: &self.joined[at].device,
            ip: self.joined[at].ip,
        }
    }

    /// The seat in an office, behind its bridge.
    fn behind(&self, at: usize) -> Seat<'_> {
        Seat {
            host: &self.offices[at],
            device: "eth0",
            ip: [FIRST_OFFICE, SECOND_OFFICE][at],
        }
    }

    /// One line per host that was kept: its name and how to enter it.
    pub fn how_to_enter(&self) -> Vec<String> {
        let nodes = self.nodes.iter().map(|node| &node.host);
        nodes
            .chain(self.offices.iter())
            .chain(self.homes.iter().map(|home| &home.router))
            .chain([&self.supernode.host, &self.master.host])
            .map(|host| format!("{:14} {}", host.name(), host.how_to_enter()))
            .chain([format!(
                "on a node:     zt-cli --socket {}/node/node.sock info",
                self.nodes[0].host.dir().display()
            )])
            .collect()
    }
}

/// Lets a node in with an address that ends in `last` and with rights, and waits until it is.
fn member(
    master: &Master,
    network: &Created,
    node: &Node,
    (last, rights): (u8, &str),
) -> Result<Joined, Failed> {
    let address = node.address()?;
    let ip = format!("10.77.0.{last}");
    master.ask(&["member", "authorize", &network.id, &address, "--ip", &ip])?;
    let mut line = vec!["member", "set", &network.id, &address];
    line.extend(
        rights
            .split_whitespace()
            .flat_map(|right| ["--right", right]),
    );
    if line.len() > 4 {
        master.ask(&line)?;
    }
    node.join(&network.pinned())
}

/// A machine in an office, on one Ethernet with the member's device, set up as the README says.
fn office(
    internet: &Internet,
    member: &Node,
    joined: &Joined,
    ip: Ipv4Addr,
) -> Result<Host, Failed> {
    let host = &member.host;
    let machine = internet
        .lab()
        .host(&format!("{}-pc", host.name().trim_start_matches("office-")))?;
    link((host, "eth1", ""), (&machine, "eth0", ""))?;
    host.ip(&format!(
        "link add br0 type bridge
         link set br0 up
         link set eth1 master br0
         link set {} master br0",
        joined.device
    ))?;
    host.inside(|| {
        for table in ["iptables", "ip6tables", "arptables"] {
            let switch = format!("/proc/sys/net/bridge/bridge-nf-call-{table}");
            // Where the kernel has it, it cuts the padding off what it bridges; where not, there is nothing to switch off.
            if Path::new(&switch).exists() {
                fs::write(switch, "0")?;
            }
        }
        Ok(())
    })?;
    // An office has a way out, and 255.255.255.255 takes it.
    machine.ip(&format!(
        "addr add {ip}/24 brd + dev eth0
         route add default dev eth0"
    ))?;
    Ok(machine)
}

/// Beside what the netconf-master and the row's `dnsmasq` give.
const FIRST_OFFICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 201);
const SECOND_OFFICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 202);
