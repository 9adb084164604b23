//! Every kind of frame of the catalog on real devices, both ways, in the settings that lose them elsewhere.
//!
//! In: frames put on devices as a host's programs would. Out: a table of kind and setting. Never: a frame counted that came changed or twice.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use zt_frames::{End, Ends, KINDS, Mac, Policy};
use zt_lab::{
    Failed, Host, Process, internet,
    raw::{self, Port},
    traffic,
    zt::{WORKERS, until},
};
use zt_system_tests::{Couple, Town, ensure, measured, story};

/// A device where frames are put in and heard.
struct Side {
    host: Host,
    device: String,
    end: End,
}

impl Side {
    fn new(host: &Host, device: &str, ip: Ipv4Addr) -> Result<Self, Failed> {
        let mac = raw::mac(host, device)?;
        Ok(Self {
            host: host.clone(),
            device: device.to_owned(),
            end: End { mac, ip },
        })
    }
}

/// What a device hands to its host, kept by tcpdump: it puts back the tags that the kernel takes off.
struct Ear {
    tcpdump: Process,
    file: std::path::PathBuf,
}

impl Ear {
    fn open(side: &Side) -> Result<Self, Failed> {
        let file = side.host.dir().join(format!("{}.pcap", side.device));
        let _none_before = fs::remove_file(&file);
        let mut command = side.host.command("tcpdump");
        command
            .args([
                "-Z", "root", "-U", "-n", "-s", "9100", "-B", "131072", "-Q", "in",
            ])
            .args(["--immediate-mode", "-i", &side.device, "-w"])
            .arg(&file);
        // Each has its own log: what an earlier one said must not be taken for this one's readiness.
        let name = format!("tcpdump-{}", EARS.fetch_add(1, Ordering::Relaxed));
        let tcpdump = side.host.start(&name, &mut command)?;
        until(Duration::from_secs(10), "tcpdump never listens", || {
            Ok(tcpdump.log().contains("listening on"))
        })?;
        Ok(Self { tcpdump, file })
    }

    /// Every frame heard until `enough` says so, nothing new comes for two seconds, or half a minute is over: bridges look for
    /// loops all the time, so that something new may always come.
    fn frames(mut self, enough: impl Fn(&[Vec<u8>]) -> bool) -> Result<Vec<Vec<u8>>, Failed> {
        let began = Instant::now();
        let (mut heard, mut since) = (Vec::new(), began);
        while since.elapsed() < Duration::from_secs(2)
            && began.elapsed() < Duration::from_secs(30)
            && !enough(&heard)
        {
            thread::sleep(Duration::from_millis(100));
            // tcpdump says that it listens a moment before it makes its file.
            let now = parsed(&fs::read(&self.file).unwrap_or_default());
            if now.len() != heard.len() {
                since = Instant::now();
            }
            heard = now;
        }
        // Something twice comes late, too.
        thread::sleep(Duration::from_millis(200));
        self.tcpdump.stop()?;
        Ok(parsed(&fs::read(&self.file)?))
    }
}

static EARS: AtomicU32 = AtomicU32::new(0);

/// The frames of a pcap file in this machine's byte order; a last one that is not whole yet is left out.
fn parsed(file: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut rest = file.get(24..).unwrap_or_default();
    while let Some((head, more)) = rest.split_first_chunk::<16>() {
        let length = u32::from_ne_bytes([head[8], head[9], head[10], head[11]]);
        let Some((frame, after)) = usize::try_from(length)
            .ok()
            .and_then(|length| more.split_at_checked(length))
        else {
            break;
        };
        frames.push(frame.to_vec());
        rest = after;
    }
    frames
}

/// What became of each kind in one direction: nothing to say when it crossed.
type Outcomes = BTreeMap<&'static str, String>;

/// Puts every kind on one device and says what the other handed to its host.
fn cross(from: &Side, to: &Side, ends: &Ends, run: [u8; 6]) -> Result<Outcomes, Failed> {
    let frames = zt_frames::all(ends, run);
    let ear = Ear::open(to)?;
    let mut mouth = Port::open(&from.host, &from.device)?;
    for (_, frame) in &frames {
        mouth.send(frame)?;
        thread::sleep(Duration::from_millis(3));
    }
    let ours: Vec<&Vec<u8>> = frames.iter().map(|(_, frame)| frame).collect();
    let heard = ear.frames(|heard| ours.iter().all(|frame| heard.contains(frame)))?;
    let mut furthest = None;
    let several = std::env::var_os(WORKERS).is_some();
    let mut outcomes = Outcomes::new();
    for (index, (kind, frame)) in (0_u16..).zip(&frames) {
        let places: Vec<usize> = (0..heard.len()).filter(|at| heard[*at] == *frame).collect();
        let changed = heard
            .iter()
            .any(|heard| heard != frame && zt_frames::Mark::find(run, heard) == Some(index));
        let in_order = places.first().copied() >= furthest;
        let outcome = match places.len() {
            _ if changed => "changed",
            0 => "-",
            // Kinds are different flows, and with several workers each keeps only its own order.
            1 if in_order || several => "",
            1 => "order",
            _ => "twice",
        };
        furthest = furthest.max(places.first().copied());
        outcomes.insert(kind.name, outcome.to_owned());
    }
    Ok(outcomes)
}

/// Both directions of a setting: prints its table, and fails unless exactly what may cross does.
fn every_kind(
    setting: &str,
    sides: (&Side, &Side),
    (directed, mtu): (Ipv4Addr, u16),
    policy: Policy,
) -> Result<(), Failed> {
    let (a, b) = sides;
    let ends = Ends {
        from: a.end,
        to: b.end,
        directed,
        mtu,
    };
    let there = cross(a, b, &ends, *b"zt-a-b")?;
    let back = cross(b, a, &ends.turned(), *b"zt-b-a")?;
    let (mut wrong, mut due) = (Vec::new(), 0);
    println!("{setting:>42}  there  back");
    for kind in KINDS.iter().filter(|kind| kind.least_mtu <= mtu) {
        let (one, other) = (&there[kind.name], &back[kind.name]);
        let word = |outcome: &str| match outcome {
            "" => "ok".to_owned(),
            other => other.to_owned(),
        };
        println!("{:>42}  {:5}  {}", kind.name, word(one), word(other));
        let expected = if kind.needs.met(&policy) { "" } else { "-" };
        due += usize::from(expected.is_empty());
        if one != expected || other != expected {
            wrong.push(format!("{} ({} / {})", kind.name, word(one), word(other)));
        }
    }
    measured(
        &format!("kinds of frames that cross, {setting}"),
        format!("{} of {due}", due - wrong.len().min(due)),
    );
    ensure(wrong.is_empty(), || {
        format!("{setting}: not as it should be: {}", wrong.join(", "))
    })
}

const DIRECTED: Ipv4Addr = Ipv4Addr::new(10, 31, 255, 255);
/// Two members without any right, whose addresses the directory lists.
const PLAIN: Policy = Policy {
    from_bridges: false,
    to_bridges: false,
    link_local_groups: false,
    dhcp_server: false,
    router: false,
    listed: true,
};

fn members(couple: &Couple) -> Result<(Side, Side, Listening), Failed> {
    let a = Side::new(&couple.a.host, &couple.ja.device, couple.ja.ip)?;
    let b = Side::new(&couple.b.host, &couple.jb.device, couple.jb.ip)?;
    let listen = |side: &Side| traffic::listen(&side.host, &side.device, side.end.ip);
    let listening = [listen(&a)?, listen(&b)?];
    // Reports of who listens cross within a moment.
    thread::sleep(Duration::from_millis(500));
    Ok((a, b, listening))
}

/// Sockets that listen to groups as long as they are kept.
type Listening = [traffic::Listening; 2];

/// Every right, so that every kind may cross.
fn grant(town: &Town, couple: &Couple) -> Result<(), Failed> {
    let id = &couple.network.id;
    town.master
        .ask(&["network", "set", id, "link-local-groups=true"])?;
    for node in [&couple.a, &couple.b] {
        let address = node.address()?;
        let mut words = vec!["member", "set", id, &address];
        for right in ["bridge", "dhcp-server", "router"] {
            words.extend(["--right", right]);
        }
        town.master.ask(&words)?;
    }
    for node in [&couple.a, &couple.b] {
        until(
            Duration::from_secs(10),
            "the bridge right never comes",
            || Ok(node.network(id)?["bridge"] == true),
        )?;
    }
    // The other's new certificate follows within a moment.
    thread::sleep(Duration::from_secs(1));
    Ok(())
}

#[test]
fn every_kind_crosses_between_two_members() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let (a, b, _listening) = members(&couple)?;
        every_kind("two members", (&a, &b), (DIRECTED, 1_500), PLAIN)?;
        grant(town, &couple)?;
        let all = Policy {
            from_bridges: true,
            to_bridges: true,
            link_local_groups: true,
            dhcp_server: true,
            router: true,
            listed: true,
        };
        every_kind("two members with rights", (&a, &b), (DIRECTED, 1_500), all)
    });
}

#[test]
fn every_kind_crosses_a_network_of_9000_over_an_underlay_of_1500() {
    story(|town| {
        let network = town.network()?;
        town.master
            .ask(&["network", "set", &network.id, "mtu=9000"])?;
        let hosts = [town.internet.public("a")?.0, town.internet.public("b")?.0];
        let couple = town.couple_on(network, &hosts)?;
        couple.meet_directly()?;
        let (a, b, _listening) = members(&couple)?;
        every_kind("mtu 9000 over 1500", (&a, &b), (DIRECTED, 9_000), PLAIN)
    });
}

#[test]
fn every_kind_crosses_a_black_hole_for_large_datagrams() {
    story(|town| {
        let network = town.network()?;
        let hosts = [town.internet.public("a")?.0, town.internet.public("b")?.0];
        // A hole sees the wire's datagrams one by one: no train of the kernel's leaves a port whole.
        let bridge = town.internet.core().bridge();
        for port in ["p0", "p1", "p2", "p3"] {
            bridge.ip(&format!("link set {port} gso_max_segs 1"))?;
        }
        for host in &hosts {
            // Datagrams above 1,300 bytes of IP vanish; nobody says so.
            host.nft(
                "table netdev hole {\n chain in {\n type filter hook ingress device wan priority 0;\n \
                 ip protocol udp ip length > 1300 drop\n }\n}",
            )?;
        }
        let couple = town.couple_on(network, &hosts)?;
        // A path's size is found within 3 s: first the supernode's, over which the two meet, then their own.
        thread::sleep(Duration::from_secs(3));
        couple.meet_directly()?;
        thread::sleep(Duration::from_secs(3));
        let (a, b, _listening) = members(&couple)?;
        every_kind("black hole above 1,300", (&a, &b), (DIRECTED, 1_500), PLAIN)
    });
}

/// A LAN behind a node: a Linux bridge of its device and a cable to a host, and that host.
fn lan(town: &Town, node: (&Host, &str), ip: &str) -> Result<Side, Failed> {
    let (host, device) = node;
    let behind = town
        .internet
        .lab()
        .host(&format!("lan-of-{}", host.name()))?;
    internet::link((&behind, "eth0", ip), (host, "lan0", ""))?;
    host.ip(&format!(
        "link add br0 type bridge stp_state 0 mcast_snooping 0\nlink set br0 up\n\
         link set lan0 master br0\nlink set {device} master br0"
    ))?;
    // Where netfilter looks into bridges, it cuts the padding off IP frames and drops what it cannot read.
    for table in ["ip", "ip6", "arp"] {
        let name = format!("net.bridge.bridge-nf-call-{table}tables");
        if Path::new("/proc/sys/net/bridge").exists() {
            host.sysctl(&name, "0")?;
        }
    }
    // Bridges keep 01:80:c2:00:00:01 to 0f unless told otherwise, each port for itself; 01 (pause) they keep always.
    for port in ["lan0", device] {
        host.ip(&format!(
            "link set {port} type bridge_slave group_fwd_mask 0x400c"
        ))?;
    }
    let address = ip.split('/').next().and_then(|ip| ip.parse().ok());
    Side::new(&behind, "eth0", address.unwrap_or(Ipv4Addr::UNSPECIFIED))
}

#[test]
fn every_kind_crosses_between_hosts_behind_two_bridges() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        grant(town, &couple)?;
        let a = lan(town, (&couple.a.host, &couple.ja.device), "10.20.0.201/12")?;
        let b = lan(town, (&couple.b.host, &couple.jb.device), "10.20.0.202/12")?;
        let all = Policy {
            from_bridges: true,
            to_bridges: true,
            link_local_groups: true,
            dhcp_server: true,
            router: true,
            listed: false,
        };
        every_kind("behind two bridges", (&a, &b), (DIRECTED, 1_500), all)
    });
}

/// What the kernel says that it lost on a side, for a person who looks why.
fn lost_at(side: &Side) -> Result<String, Failed> {
    let link = side
        .host
        .run("ip", &["-s", "link", "show", "dev", &side.device])?;
    let udp = side.host.run("cat", &["/proc/net/snmp"])?;
    let udp: Vec<&str> = udp
        .stdout
        .lines()
        .filter(|line| line.starts_with("Udp:"))
        .collect();
    let backlog = fs::read_to_string("/proc/net/softnet_stat")?;
    Ok(format!("{} {udp:?} {backlog}", link.stdout))
}

#[test]
fn bursts_cross_without_loss_reordering_or_doubling() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let (a, b, _listening) = members(&couple)?;
        // The device's queue holds a burst: what is measured is the switch.
        for side in [&a, &b] {
            side.host
                .ip(&format!("link set {} txqueuelen 4000", side.device))?;
        }
        for (from, to) in [(&a, &b), (&b, &a)] {
            let ends = Ends {
                from: from.end,
                to: to.end,
                directed: DIRECTED,
                mtu: 1_500,
            };
            for (serial, size) in [(b'1', zt_frames::SMALL), (b'2', zt_frames::LARGE)] {
                let run = [b'b', b'u', b'r', b's', b't', serial];
                let frames = zt_frames::burst(&ends, run, size);
                let ear = Ear::open(to)?;
                let mut mouth = Port::open(&from.host, &from.device)?;
                let began = Instant::now();
                for frame in &frames {
                    mouth.send(frame)?;
                }
                let took = began.elapsed();
                let heard = ear.frames(|heard| heard.len() >= frames.len())?;
                let heard: Vec<&Vec<u8>> = heard
                    .iter()
                    .filter(|frame| zt_frames::Mark::find(run, frame).is_some())
                    .collect();
                let (count, length) = size;
                measured(
                    &format!("{count} frames of {length} bytes, back to back in {took:?}"),
                    format!("{} heard", heard.len()),
                );
                ensure(heard.iter().copied().eq(&frames), || {
                    let of = frames.len();
                    let where_lost = [from, to].map(|side| lost_at(side).unwrap_or_default());
                    format!(
                        "{} of {of} heard, or in another order; {where_lost:?}",
                        heard.len()
                    )
                })?;
            }
        }
        Ok(())
    });
}

#[test]
fn selftest_tells_people_and_scripts_what_crosses() {
    story(|town| {
        let couple = town.pair()?;
        let (id, member) = (couple.network.id.clone(), couple.b.address()?);
        let refused = couple.a.cli(&["selftest", &member])?;
        ensure(refused.code == 8, || format!("{refused:?}"))?;
        couple.b.ask(&["set", &id, "allow-selftest=on"])?;
        let ear = Ear::open(&members(&couple)?.1)?;
        let report = couple.a.ask(&["selftest", &member])?;
        let ways = report["ways"].as_array().cloned().unwrap_or_default();
        ensure(ways.len() == 2, || report.to_string())?;
        for way in &ways {
            ensure(
                way["crossed"] == way["due"] && way["crossed"].as_u64() > Some(50),
                || way.to_string(),
            )?;
            measured(
                "zt-cli selftest",
                format!(
                    "{} of {} crossed, {} stopped by policy",
                    way["crossed"], way["due"], way["stopped"]
                ),
            );
        }
        let heard = ear.frames(|_| false)?;
        let from = raw::mac(&couple.a.host, &couple.ja.device)?;
        let theirs = |frame: &&Vec<u8>| frame.get(6..12) == Some::<&[u8]>(&from as &Mac);
        // ARP and the like of the kernels are not the test's.
        let tests = heard
            .iter()
            .filter(theirs)
            .filter(|frame| frame.get(12..14) == Some(&[0x88, 0xb5]));
        ensure(tests.count() == 0, || {
            "the device heard the test".to_owned()
        })
    });
}
