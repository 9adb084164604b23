//! Multicast with real listeners: who joined a group gets it once, who did not is left alone, a bridge gets everything.
//!
//! In: sockets that join groups through the kernel, hosts behind a bridge. Out: what they heard. Never: a look into a program.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use zt_lab::{
    Failed, Host,
    capture::Capture,
    internet::link,
    raw, traffic,
    zt::{Joined, Node, POOL_PREFIX, until},
};
use zt_system_tests::{Couple, Town, ensure, measured, story};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 7, 7, 7);
const PORT: u16 = 7_777;
const STATION: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 200);

/// A sender, a listener, somebody who does not listen, and a bridge with a station behind it.
struct Office {
    couple: Couple,
    bystander: Node,
    away: Joined,
    bridge: Node,
    station: Host,
}

impl Office {
    fn new(town: &Town) -> Result<Self, Failed> {
        let couple = town.pair()?;
        let invite = town.master.invite(&couple.network)?;
        let bystander = town.node("c")?;
        let away = bystander.join(&invite)?;
        let bridge = town.node("d")?;
        let port = bridge.join(&invite)?;
        let address = bridge.address()?;
        let set = ["member", "set", &couple.network.id, &address, "bridge=true"];
        town.master.ask(&set)?;
        let station = town.internet.lab().host("station")?;
        let cidr = format!("{STATION}/{POOL_PREFIX}");
        link((&bridge.host, "lan0", ""), (&station, "eth0", &cidr))?;
        bridge.host.ip("link add br0 type bridge")?;
        for device in ["lan0", &port.device] {
            bridge.host.ip(&format!("link set {device} master br0"))?;
        }
        bridge.host.ip("link set br0 up")?;
        until(
            Duration::from_secs(5),
            "the bridge right is never in force",
            || Ok(bridge.network(&couple.network.id)?["bridge"] == true),
        )?;
        // Programs on the sender use the network's device for groups.
        let device = &couple.ja.device;
        couple
            .a
            .host
            .ip(&format!("route add 239.0.0.0/8 dev {device}"))?;
        Ok(Self {
            couple,
            bystander,
            away,
            bridge,
            station,
        })
    }

    /// A broadcast makes sessions with everybody; after it everybody has told what it listens to.
    fn meet(&self) -> Result<(), Failed> {
        let node = &self.couple.a;
        let from = raw::mac(&node.host, &self.couple.ja.device)?;
        let hello = [&[0xff; 6][..], &from, &[0x88, 0xb5], &[1; 60]].concat();
        raw::Port::open(&node.host, &self.couple.ja.device)?.send(&hello)?;
        let sender = Sender::new(&node.host, self.couple.ja.ip)?;
        until(
            Duration::from_secs(10),
            "the bystander is never left alone",
            || {
                let before = self.frames()?;
                sender.send(b"is anybody there")?;
                std::thread::sleep(Duration::from_millis(100));
                let after = self.frames()?;
                Ok(after.spared == before.spared + 1 && after.copies >= before.copies + 2)
            },
        )
        .map(|_| ())
    }

    fn frames(&self) -> Result<Frames, Failed> {
        let frames = self.couple.a.ask(&["counters"])?["frames"].clone();
        let count = |name: &str| {
            frames[name]
                .as_u64()
                .ok_or_else(|| Failed::new(format!("no {name} in {frames}")))
        };
        Ok(Frames {
            copies: count("tx-copies")?,
            spared: count("tx-spared")?,
            answered: count("answered")?,
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Frames {
    copies: u64,
    spared: u64,
    answered: u64,
}

/// Whether a frame is an ARP request for an address (RFC 826: opcode at 20, target at 38).
fn asks_for(frame: &[u8], ip: Ipv4Addr) -> bool {
    frame.get(12..14) == Some(&[0x08, 0x06])
        && frame.get(20..22) == Some(&[0, 1])
        && frame.get(38..42) == Some(&ip.octets())
}

struct Sender(UdpSocket);

impl Sender {
    fn new(host: &Host, ip: Ipv4Addr) -> Result<Self, Failed> {
        let socket = host.inside(move || {
            let socket = UdpSocket::bind((ip, 0))?;
            socket.set_multicast_ttl_v4(4)?;
            Ok(socket)
        })?;
        Ok(Self(socket))
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Failed> {
        self.0.send_to(bytes, (GROUP, PORT))?;
        Ok(())
    }
}

/// A program that has joined the group through its kernel.
struct Listener(UdpSocket);

impl Listener {
    fn join(host: &Host, ip: Ipv4Addr) -> Result<Self, Failed> {
        let socket = host.inside(move || {
            let socket = UdpSocket::bind((GROUP, PORT))?;
            socket.join_multicast_v4(&GROUP, &ip)?;
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
            Ok(socket)
        })?;
        Ok(Self(socket))
    }

    /// Everything heard until it is quiet for half a second.
    fn heard(&self) -> Result<Vec<Vec<u8>>, Failed> {
        let mut heard = Vec::new();
        let mut bytes = [0; 2_048];
        loop {
            match self.0.recv(&mut bytes) {
                Ok(length) => heard.push(bytes[..length].to_vec()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(heard),
                // A program of the lab ended just now.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[test]
fn listeners_and_stations_behind_bridges_get_a_group_once_and_nobody_else_does() {
    story(|town| {
        let office = Office::new(town)?;
        let couple = &office.couple;
        let near = Listener::join(&couple.b.host, couple.jb.ip)?;
        let far = Listener::join(&office.station, STATION)?;
        office.meet()?;
        let _ = (near.heard()?, far.heard()?);

        let sender = Sender::new(&couple.a.host, couple.ja.ip)?;
        let sent: Vec<Vec<u8>> = (0..50_u8).map(|serial| vec![serial; 600]).collect();
        let before = office.frames()?;
        for bytes in &sent {
            sender.send(bytes)?;
        }
        for (who, listener) in [("the listener", &near), ("the station", &far)] {
            let heard = listener.heard()?;
            ensure(heard == sent, || {
                format!("{who} heard {} of 50, or in another order", heard.len())
            })?;
        }
        let after = office.frames()?;
        let spared = after.spared - before.spared;
        // The bridge and the listener: two copies of each; ARP and neighbours may add a few.
        let copies = after.copies - before.copies;
        ensure(spared == 50 && (100..120).contains(&copies), || {
            format!("{spared} spared, {copies} copies")
        })?;

        let late = Listener::join(&office.bystander.host, office.away.ip)?;
        let joined = Instant::now();
        let took = loop {
            sender.send(b"late")?;
            let mut bytes = [0; 16];
            late.0.set_read_timeout(Some(Duration::from_millis(20)))?;
            if late.0.recv(&mut bytes).is_ok() {
                break joined.elapsed();
            }
            ensure(joined.elapsed() < Duration::from_secs(1), || {
                "a join does not count within a second".to_owned()
            })?;
        };
        measured(
            "from joining a group to its first packet",
            format!("{took:.0?}"),
        );
        let now = office.frames()?.spared;
        sender.send(b"to all three")?;
        ensure(office.frames()?.spared == now, || {
            "nobody is left to be spared".to_owned()
        })?;
        ensure(
            office.bridge.network(&couple.network.id)?["status"] == "ok",
            || "the bridge went down".to_owned(),
        )
    });
}

#[test]
fn arp_for_members_stays_at_home_and_for_stations_it_finds_the_bridge() {
    story(|town| {
        let office = Office::new(town)?;
        let couple = &office.couple;
        couple.meet_directly()?;
        let limit = Duration::from_secs(10);
        traffic::first_ping(&couple.a.host, &STATION.to_string(), limit)?;
        couple
            .a
            .host
            .ip(&format!("neigh flush dev {}", couple.ja.device))?;
        let before = office.frames()?;
        let ear = Capture::start(&office.bystander.host, &office.away.device)?;
        let asked = |ip: Ipv4Addr| {
            let frames = ear.frames();
            frames.iter().any(|seen| asks_for(&seen.bytes, ip))
        };
        traffic::first_ping(&couple.a.host, &couple.jb.ip.to_string(), limit)?;
        let after = office.frames()?;
        ensure(after.answered > before.answered, || {
            format!("ARP was not answered: {before:?} {after:?}")
        })?;
        // Nobody has this address, so everybody is asked; when that was heard, so was what came before it.
        let nobody = Ipv4Addr::new(10, 20, 0, 99);
        couple
            .a
            .host
            .run("ping", &["-n", "-c", "1", "-W", "1", &nobody.to_string()])?;
        until(limit, "the bystander hears no ARP at all", || {
            Ok(asked(nobody))
        })?;
        ensure(!asked(couple.jb.ip), || "ARP for a member went out".into())
    });
}

#[test]
fn a_replicator_passes_broadcasts_on_and_everybody_hears_each_once() {
    story(|town| {
        let couple = town.pair()?;
        let id = &couple.network.id;
        town.master
            .ask(&["network", "set", id, "multicast-limit=1"])?;
        let shown = town.master.ask(&["network", "show", id])?;
        ensure(shown["multicast_limit"] == 1, || format!("{shown}"))?;
        let address = couple.b.address()?;
        town.master
            .ask(&["member", "set", id, &address, "replicator=true"])?;
        let invite = town.master.invite(&couple.network)?;
        let mut others = Vec::new();
        for name in ["c", "d", "e"] {
            let node = town.node(name)?;
            let joined = node.join(&invite)?;
            others.push((node, joined));
        }
        let mut ears = Vec::new();
        for (node, joined) in &others {
            traffic::first_ping(
                &couple.b.host,
                &joined.ip.to_string(),
                Duration::from_secs(10),
            )?;
            ears.push(Capture::start(&node.host, &joined.device)?);
        }
        couple.meet_directly()?;
        let from = raw::mac(&couple.a.host, &couple.ja.device)?;
        let mut mouth = raw::Port::open(&couple.a.host, &couple.ja.device)?;
        let serials: Vec<u8> = (0..50).collect();
        let frames: Vec<Vec<u8>> = serials
            .iter()
            .map(|serial| [&[0xff; 6][..], &from, &[0x88, 0xb5], &[*serial; 1_400]].concat())
            .collect();
        for frame in &frames {
            mouth.send(frame)?;
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_secs(1));
        for (who, ear) in ["c", "d", "e"].iter().zip(&ears) {
            let seen = ear.frames().into_iter().map(|seen| seen.bytes);
            let heard = seen.filter(|bytes| frames.contains(bytes));
            let mut heard: Vec<u8> = heard.map(|bytes| bytes[14]).collect();
            heard.sort_unstable();
            ensure(heard == serials, || {
                format!("{who} heard of 50 broadcasts {heard:?}")
            })?;
        }
        let counted = couple.b.ask(&["counters"])?["frames"]["tx-replicated"].clone();
        ensure(counted.as_u64() >= Some(100), || {
            format!("{counted} copies were passed on")
        })
    });
}
