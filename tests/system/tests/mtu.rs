//! Path MTU with real programs: routers that swallow large datagrams, interfaces that shrink, jumbo frames, clamped connections.
//!
//! In: a TCP stream or frames across two homes. Out: the longest pause, the path MTU that `zt-cli peers` shows, frames as they came.
//! Never: an ICMP that says what does not fit.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use zt_lab::{
    Failed, Host,
    ipx::Station,
    raw,
    traffic::Dice,
    zt::{Created, text, until},
};
use zt_system_tests::{Couple, Town, ensure, ensure_all_cross, measured, story};

/// Bytes of IPv4 and UDP header.
const HEADERS: u64 = 28;
/// As long as nothing may come of a running stream.
const STALL: Duration = Duration::from_secs(2);

/// A router drops UDP packets above this size, both ways, without a word.
fn narrow(router: &Host, ip: u64) -> Result<(), Failed> {
    let table = "table ip narrow";
    router.nft(&format!(
        "{table} {{}}\ndelete {table}\n{table} {{\n chain hole {{\n type filter hook forward priority -10;\n meta l4proto udp meta length > {ip} drop\n }}\n}}"
    ))
}

/// The same for what comes from and goes to one address only.
fn narrow_to(router: &Host, peer: Ipv4Addr, ip: u64) -> Result<(), Failed> {
    let table = "table ip narrow";
    router.nft(&format!(
        "{table} {{}}\ndelete {table}\n{table} {{\n chain hole {{\n type filter hook forward priority -10;\n ip saddr {peer} meta l4proto udp meta length > {ip} drop\n ip daddr {peer} meta l4proto udp meta length > {ip} drop\n }}\n}}"
    ))
}

/// The path MTU from one node to the other as `zt-cli peers` shows it.
fn path_mtu(couple: &Couple) -> Result<u64, Failed> {
    let peer = couple.a.peer(&couple.b.address()?)?;
    Ok(peer["path"]["mtu"].as_u64().unwrap_or(0))
}

/// Waits until the path MTU is what the path carries, to 4 bytes.
fn found(couple: &Couple, ip: u64, limit: Duration) -> Result<Duration, Failed> {
    let fits = ip - HEADERS - 3..=ip - HEADERS;
    let mut last = 0;
    let took = until(limit, "the path MTU is not found", || {
        last = path_mtu(couple)?;
        Ok(fits.contains(&last))
    });
    took.map_err(|failed| failed.during(&format!("{last} where {fits:?} is right")))
}

/// A TCP stream as fast as it goes, and when something of it arrived.
struct Stream {
    arrivals: Arc<Mutex<Vec<Instant>>>,
    end: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<Result<(), Failed>>>,
}

impl Stream {
    fn start(couple: &Couple) -> Result<Self, Failed> {
        let target = couple.jb.ip;
        let listener = couple
            .b
            .host
            .inside(move || Ok(TcpListener::bind((target, 0))?))?;
        let address = listener.local_addr()?;
        let arrivals = Arc::new(Mutex::new(vec![Instant::now()]));
        let end = Arc::new(AtomicBool::new(false));
        let (kept, stop) = (Arc::clone(&arrivals), Arc::clone(&end));
        let sink = couple.b.host.beside(move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(Duration::from_secs(15)))?;
            let mut buffer = vec![0; 1 << 16];
            while stream.read(&mut buffer)? > 0 {
                kept.lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push(Instant::now());
            }
            Ok(())
        });
        let source = couple.a.host.beside(move || {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
            stream.set_write_timeout(Some(Duration::from_secs(15)))?;
            let block = vec![0x5a; 1 << 14];
            while !stop.load(Ordering::Relaxed) {
                stream.write_all(&block)?;
            }
            Ok(())
        });
        Ok(Self {
            arrivals,
            end,
            threads: vec![source, sink],
        })
    }

    /// The longest time without an arrival since `since`.
    fn longest_pause(&self, since: Instant) -> Duration {
        let arrivals = self
            .arrivals
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let from = arrivals.partition_point(|at| *at < since).saturating_sub(1);
        let later = arrivals.iter().skip(from + 1).copied();
        let pauses = arrivals[from..]
            .iter()
            .zip(later.chain([Instant::now()]))
            .map(|(one, next)| next.duration_since((*one).max(since)));
        pauses.max().unwrap_or_default()
    }

    fn stop(self) -> Result<(), Failed> {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads {
            zt_lab::host::joined(thread)?;
        }
        Ok(())
    }
}

/// Trains leave these hosts as single packets, so that a router sees sizes as a real one does.
fn without_trains(hosts: [&Host; 2]) -> Result<(), Failed> {
    for host in hosts {
        host.ip("link set eth0 gso_max_segs 1")?;
    }
    Ok(())
}

#[test]
fn a_stream_through_black_holes_never_stalls() {
    story(|town| {
        let (homes, couple) = town.homes()?;
        without_trains([&homes[0].host, &homes[1].host])?;
        couple.meet_directly()?;
        measured(
            "path MTU of 1,500 found",
            format!("{:?}", found(&couple, 1_500, Duration::from_secs(3))?),
        );
        let stream = Stream::start(&couple)?;
        std::thread::sleep(Duration::from_secs(2));
        for ip in [1_400, 1_280, 576, 1_500] {
            let changed = Instant::now();
            narrow(&homes[0].router, ip)?;
            let took = found(&couple, ip, STALL);
            std::thread::sleep(Duration::from_secs(4));
            let pause = stream.longest_pause(changed);
            let took = took?;
            measured(
                &format!("path of {ip} found again"),
                format!("{took:?}, longest pause {pause:?}"),
            );
            ensure(pause < STALL, || format!("{ip}: a pause of {pause:?}"))?;
        }
        stream.stop()
    });
}

#[test]
fn an_interface_that_shrinks_under_a_stream_is_believed_at_once() {
    story(|town| {
        let (homes, couple) = town.homes()?;
        couple.meet_directly()?;
        found(&couple, 1_500, Duration::from_secs(3))?;
        let stream = Stream::start(&couple)?;
        std::thread::sleep(Duration::from_secs(1));
        let changed = Instant::now();
        homes[0].host.ip("link set eth0 mtu 1400")?;
        let took = found(&couple, 1_400, STALL)?;
        std::thread::sleep(Duration::from_secs(2));
        let pause = stream.longest_pause(changed);
        measured(
            "interface of 1,400 found",
            format!("{took:?}, longest pause {pause:?}"),
        );
        ensure(pause < STALL, || format!("a pause of {pause:?}"))?;
        let counters = couple.a.ask(&["counters"])?;
        ensure(counters["drops"]["too-large"].as_u64() > Some(0), || {
            format!("what the kernel refused is not counted: {counters}")
        })?;
        stream.stop()
    });
}

#[test]
fn paths_of_odd_sizes_are_found_within_three_seconds() {
    story(|town| {
        let (homes, couple) = town.homes()?;
        without_trains([&homes[0].host, &homes[1].host])?;
        // The supernode is reached by other packets than these: only what goes between the homes is narrow.
        let mut couple = couple;
        for ip in [1_492, 1_337, 1_124] {
            narrow_to(&homes[1].router, homes[0].public, ip)?;
            // A restart forgets the path: it is measured from the beginning.
            couple.b.restart()?;
            couple.reached_within(Duration::from_secs(20))?;
            couple.meet_directly()?;
            let took = found(&couple, ip, Duration::from_secs(3))?;
            measured(&format!("path of {ip} found"), format!("{took:?}"));
        }
        Ok(())
    });
}

/// A network for frames of up to 9,014 bytes.
fn jumbo(town: &Town) -> Result<Created, Failed> {
    let words = [
        "network",
        "create",
        "jumbo",
        "--cidr",
        "10.40.0.0/24",
        "--mtu",
        "9000",
    ];
    let network = town.master.ask(&words)?;
    Ok(Created {
        id: text(&network, "id")?,
        fingerprint: text(&network, "fingerprint")?,
    })
}

fn jumbo_frames_cross(town: &Town, underlay: u64) -> Result<(), Failed> {
    let network = jumbo(town)?;
    let hosts = [town.internet.public("a")?.0, town.internet.public("b")?.0];
    let bridge = town.internet.core().bridge();
    // Ports in the order of plugging: supernode, master, these two.
    bridge.ip(&format!(
        "link set p2 mtu {underlay}\nlink set p3 mtu {underlay}\nlink set br0 mtu {underlay}"
    ))?;
    for host in &hosts {
        host.ip(&format!("link set wan mtu {underlay}"))?;
    }
    let couple = town.couple_on(network, &hosts)?;
    couple.meet_directly()?;
    let took = found(&couple, underlay, Duration::from_secs(3))?;
    measured(
        &format!("path of {underlay} found"),
        format!("{took:?} after it was direct"),
    );
    let a = Station::new(&couple.a.host, &couple.ja.device)?;
    let b = Station::new(&couple.b.host, &couple.jb.device)?;
    let mut dice = Dice::new(9);
    for (from, to) in [(&a, &b), (&b, &a)] {
        let lengths = (2_014..9_014)
            .step_by(500)
            .chain([1_514, 9_000, 9_013, 9_014]);
        let frames: Vec<Vec<u8>> = lengths
            .map(|length| {
                let mut frame = [&to.mac[..], &from.mac, &[0x88, 0xb5]].concat();
                dice.fill(&mut frame, length - 14);
                frame
            })
            .collect();
        ensure_all_cross(from, to, &frames)
            .map_err(|failed| failed.during(&format!("over {underlay}")))?;
    }
    Ok(())
}

#[test]
fn jumbo_frames_cross_an_ordinary_underlay() {
    story(|town| jumbo_frames_cross(town, 1_500));
}

#[test]
fn jumbo_frames_cross_a_jumbo_underlay() {
    story(|town| jumbo_frames_cross(town, 9_000));
}

/// A SYN that offers an MSS of 1,460, behind a VLAN tag if so wanted.
fn syn(macs: [[u8; 6]; 2], addresses: &[&[u8]; 2], tag: &[u8], mark: u32) -> (Vec<u8>, usize) {
    let v6 = addresses[0].len() == 16;
    let mut frame = [&macs[0][..], &macs[1], tag].concat();
    if v6 {
        frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 6, 64]);
    } else {
        frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    }
    let ip = 14 + tag.len();
    frame.extend_from_slice(addresses[0]);
    frame.extend_from_slice(addresses[1]);
    if !v6 {
        let sum = !folded(&frame[ip..ip + 20], 0);
        frame[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());
    }
    let tcp = frame.len();
    frame.extend_from_slice(&[0x9c, 0x40, 0x00, 0x09]);
    frame.extend_from_slice(&mark.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 0, 0x60, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    frame.extend_from_slice(&[2, 4, 0x05, 0xb4]);
    let pseudo = [addresses[0], addresses[1], &[0, 6, 0, 24]].concat();
    let sum = !folded(&frame[tcp..], u32::from(folded(&pseudo, 0)));
    frame[tcp + 16..tcp + 18].copy_from_slice(&sum.to_be_bytes());
    (frame, tcp)
}

fn folded(bytes: &[u8], start: u32) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        u32::from(u16::from_be_bytes([
            pair[0],
            pair.get(1).copied().unwrap_or(0),
        ]))
    });
    let mut sum = start + words.sum::<u32>();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

#[test]
fn connections_begin_with_what_needs_no_fragment() {
    story(|town| {
        let (_homes, couple) = town.homes()?;
        couple.meet_directly()?;
        found(&couple, 1_500, Duration::from_secs(3))?;
        let macs = [
            raw::mac(&couple.b.host, &couple.jb.device)?,
            raw::mac(&couple.a.host, &couple.ja.device)?,
        ];
        let mut ear = raw::Port::open(&couple.b.host, &couple.jb.device)?;
        let mut mouth = raw::Port::open(&couple.a.host, &couple.ja.device)?;
        let (v4_a, v4_b) = (couple.ja.ip.octets(), couple.jb.ip.octets());
        let v6 = |last| [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let (v6_a, v6_b) = (v6(1), v6(2));
        let tag: &[u8] = &[0x81, 0, 0, 7];
        // 1,472 less the seal of 32 and a frame's head of 16 leaves 1,424 and the 12 of the MACs.
        for (what, addresses, tag, most) in [
            ("IPv4", [&v4_a[..], &v4_b], &[][..], 1_436 - 54),
            ("IPv6", [&v6_a[..], &v6_b], &[][..], 1_436 - 74),
            ("tagged IPv4", [&v4_a[..], &v4_b], tag, 1_436 - 58),
            ("tagged IPv6", [&v6_a[..], &v6_b], tag, 1_436 - 78),
        ] {
            let mark = 0x1234_5600 + most;
            let (frame, tcp) = syn(macs, &addresses, tag, mark);
            mouth.send(&frame)?;
            let deadline = Instant::now() + Duration::from_secs(2);
            let marked = mark.to_be_bytes();
            let heard = ear.hear(deadline, |seen| {
                seen.windows(4).any(|bytes| bytes == marked.as_slice())
            })?;
            let heard = heard.ok_or_else(|| Failed::new(format!("no SYN of {what}")))?;
            // The kernel takes a tag off before a raw socket sees the frame.
            let at = tcp - (frame.len() - heard.len());
            let mss = u32::from(u16::from_be_bytes([heard[at + 22], heard[at + 23]]));
            measured(&format!("MSS of a SYN over {what}"), mss);
            ensure(mss == most, || format!("{what}: {mss}, expected {most}"))?;
            let pseudo = [addresses[0], addresses[1], &[0, 6, 0, 24]].concat();
            let sum = folded(&heard[at..], u32::from(folded(&pseudo, 0)));
            ensure(sum == 0xffff, || format!("{what}: a checksum of {sum:x}"))?;
        }
        Ok(())
    });
}
