//! The lab itself: what it builds behaves as the Internet does, and nothing of it stays.
//!
//! In: the kernel. Out: verdicts. Never: a program of ours.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use zt_lab::{
    Failed, Home, Host, Internet, Keep, Lab, Nat,
    capture::Capture,
    host::joined,
    internet::link,
    ipx::{self, Framing, Station, cross},
    traffic,
};

fn internet() -> Result<Internet, Failed> {
    Internet::new(Lab::new(Keep::Nothing)?)
}

/// The source address that each of two public hosts sees of one socket in a home.
fn seen_by_two(internet: &Internet, home: &Home) -> Result<[SocketAddr; 2], Failed> {
    let mut ears = Vec::new();
    let mut targets = Vec::new();
    for name in ["ear-1", "ear-2"] {
        let (host, address) = internet.public(name)?;
        let socket = host.inside(move || Ok(UdpSocket::bind((address, 7000))?))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        targets.push(socket.local_addr()?);
        ears.push(socket);
    }
    home.host.inside(move || {
        let socket = UdpSocket::bind(("0.0.0.0", 9993))?;
        for target in targets {
            socket.send_to(b"hello", target)?;
        }
        Ok(())
    })?;
    let mut byte = [0; 16];
    Ok([
        ears[0].recv_from(&mut byte)?.1,
        ears[1].recv_from(&mut byte)?.1,
    ])
}

#[test]
fn a_router_that_keeps_ports_shows_everybody_the_same_port() -> Result<(), Failed> {
    let internet = internet()?;
    let home = internet.home("home", Nat::KeepsPort)?;
    let expected = SocketAddr::from((home.public, 9993));
    assert_eq!(seen_by_two(&internet, &home)?, [expected; 2]);
    Ok(())
}

#[test]
fn a_router_with_another_port_shows_everybody_that_port() -> Result<(), Failed> {
    let internet = internet()?;
    let home = internet.home("home", Nat::OtherPort)?;
    let [first, second] = seen_by_two(&internet, &home)?;
    assert_eq!(first, second);
    assert_ne!(first.port(), 9993);
    Ok(())
}

#[test]
fn a_router_with_random_ports_shows_each_destination_another() -> Result<(), Failed> {
    let internet = internet()?;
    let home = internet.home("home", Nat::RandomPorts)?;
    let [first, second] = seen_by_two(&internet, &home)?;
    assert_ne!(first.port(), second.port());
    Ok(())
}

#[test]
fn nobody_reaches_into_a_home_unasked() -> Result<(), Failed> {
    let internet = internet()?;
    let home = internet.home("home", Nat::KeepsPort)?;
    let (outside, _) = internet.public("outside")?;
    let public = home.public;
    let ear = home
        .host
        .inside(|| Ok(UdpSocket::bind(("0.0.0.0", 9993))?))?;
    ear.set_read_timeout(Some(Duration::from_millis(300)))?;
    outside.inside(move || {
        UdpSocket::bind(("0.0.0.0", 0))?.send_to(b"knock", (public, 9993))?;
        Ok(())
    })?;
    assert!(ear.recv_from(&mut [0; 16]).is_err());
    Ok(())
}

/// Sends from the home's port 9993 each 20 ms until an ear that hears it names another source than before.
fn source_changes(home: &Home, ear: &UdpSocket, before: SocketAddr) -> Result<bool, Failed> {
    let target = ear.local_addr()?;
    let mouth = home
        .host
        .inside(|| Ok(UdpSocket::bind(("0.0.0.0", 9993))?))?;
    let deadline = Instant::now() + Duration::from_secs(3);
    ear.set_read_timeout(Some(Duration::from_millis(20)))?;
    while Instant::now() < deadline {
        // While the router's device is down the kernel may refuse; the next one counts.
        let _refused = mouth.send_to(b"still me", target);
        if let Ok((_, source)) = ear.recv_from(&mut [0; 16])
            && source != before
        {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn a_rebinding_router_gives_a_living_socket_another_port() -> Result<(), Failed> {
    let internet = internet()?;
    let home = internet.home("home", Nat::KeepsPort)?;
    let (outside, address) = internet.public("outside")?;
    let ear = outside.inside(move || Ok(UdpSocket::bind((address, 7000))?))?;
    let before = SocketAddr::from((home.public, 9993));
    assert!(!source_changes_within(&home, &ear, before)?);
    home.rebind(40_001)?;
    assert!(source_changes(&home, &ear, before)?);
    Ok(())
}

/// Whether the first datagram that is heard has another source.
fn source_changes_within(home: &Home, ear: &UdpSocket, before: SocketAddr) -> Result<bool, Failed> {
    let target = ear.local_addr()?;
    home.host.inside(move || {
        UdpSocket::bind(("0.0.0.0", 9993))?.send_to(b"me", target)?;
        Ok(())
    })?;
    ear.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(ear.recv_from(&mut [0; 16])?.1 != before)
}

#[test]
fn a_renumbered_home_is_seen_with_its_new_address() -> Result<(), Failed> {
    let internet = internet()?;
    let mut home = internet.home("home", Nat::KeepsPort)?;
    let (outside, address) = internet.public("outside")?;
    let ear = outside.inside(move || Ok(UdpSocket::bind((address, 7000))?))?;
    let before = SocketAddr::from((home.public, 9993));
    assert!(!source_changes_within(&home, &ear, before)?);
    home.renumber(internet.address(), Nat::KeepsPort)?;
    assert!(source_changes(&home, &ear, before)?);
    Ok(())
}

fn two_hosts(lab: &Lab) -> Result<[Host; 2], Failed> {
    let hosts = [lab.host("a")?, lab.host("b")?];
    link(
        (&hosts[0], "eth0", "10.0.0.1/24"),
        (&hosts[1], "eth0", "10.0.0.2/24"),
    )?;
    Ok(hosts)
}

#[test]
fn frames_of_every_framing_cross_a_cable_byte_for_byte() -> Result<(), Failed> {
    let lab = Lab::new(Keep::Nothing)?;
    let [a, b] = two_hosts(&lab)?;
    let (from, to) = (Station::new(&a, "eth0")?, Station::new(&b, "eth0")?);
    let frames: Vec<Vec<u8>> = Framing::ALL
        .iter()
        .map(|framing| ipx::padded(*framing, to.mac, from.mac, 0, 7))
        .collect();
    assert_eq!(cross(&from, &to, &frames)?, [true; 4]);
    Ok(())
}

#[test]
fn losing_one_in_two_loses_some_and_not_all() -> Result<(), Failed> {
    let lab = Lab::new(Keep::Nothing)?;
    let [a, b] = two_hosts(&lab)?;
    traffic::first_ping(&a, "10.0.0.2", Duration::from_secs(2))?;
    b.lose("eth0", 2)?;
    let pings = traffic::ping(&a, "10.0.0.2", 50, Duration::from_millis(5), 56)?;
    assert!((10..=40).contains(&pings.lost()), "{pings:?}");
    b.lose("eth0", 0)?;
    let pings = traffic::ping(&a, "10.0.0.2", 20, Duration::from_millis(5), 56)?;
    assert_eq!(pings.lost(), 0);
    Ok(())
}

#[test]
fn a_capture_has_every_datagram_of_a_flood() -> Result<(), Failed> {
    let lab = Lab::new(Keep::Nothing)?;
    let [a, b] = two_hosts(&lab)?;
    let ear = b.inside(|| Ok(UdpSocket::bind("10.0.0.2:7000")?))?;
    let capture = Capture::start(&b, "eth0")?;
    let target = ear.local_addr()?;
    traffic::flood(&a, target, 100, |serial, bytes| {
        bytes.extend_from_slice(&serial.to_be_bytes());
    })?;
    std::thread::sleep(Duration::from_millis(200));
    let mut serials: Vec<u32> = capture
        .datagrams()
        .iter()
        .filter_map(|datagram| {
            Some(u32::from_be_bytes(
                datagram.payload.get(..4)?.try_into().ok()?,
            ))
        })
        .collect();
    serials.sort_unstable();
    assert_eq!(serials, (0..100).collect::<Vec<u32>>());
    Ok(())
}

#[test]
fn a_tcp_stream_is_measured() -> Result<(), Failed> {
    let lab = Lab::new(Keep::Nothing)?;
    let [a, b] = two_hosts(&lab)?;
    let rate = traffic::tcp(&a, &b, [10, 0, 0, 2].into(), Duration::from_millis(300))?;
    assert!(rate > 1e8, "{rate}");
    Ok(())
}

#[test]
fn a_run_that_panics_leaves_no_namespace() {
    let thread = std::thread::spawn(|| -> Result<(), Failed> {
        let lab = Lab::new(Keep::Nothing)?;
        let host = lab.host("gone")?;
        let _stays_until_killed = host.start("sleep", host.command("sleep").arg("1000"))?;
        panic!("{}", host.namespace());
    });
    let panic = thread.join().expect_err("it panics");
    let namespace = panic.downcast_ref::<String>().expect("a namespace");
    assert!(namespace.starts_with("zt-"));
    assert!(!std::path::Path::new("/run/netns").join(namespace).exists());
}

#[test]
fn a_run_whose_threads_go_on_writing_leaves_no_file() -> Result<(), Failed> {
    let lab = Lab::new(Keep::Nothing)?;
    let host = lab.host("busy")?;
    let dir = lab.dir().to_path_buf();
    let (file, off) = (host.dir().to_path_buf(), Arc::new(AtomicBool::new(false)));
    let stop = Arc::clone(&off);
    // As a row does that has not heard yet that somebody pressed Ctrl-C.
    let busy = std::thread::spawn(move || {
        let mut number = 0_u32;
        while !stop.load(Ordering::Relaxed) {
            let _gone_already = std::fs::write(file.join(number.to_string()), "word");
            number += 1;
        }
        number
    });
    std::thread::sleep(Duration::from_millis(50));
    drop(lab);
    off.store(true, Ordering::Relaxed);
    let written = busy
        .join()
        .map_err(|_| Failed::new("the writer panicked"))?;
    assert!(written > 10, "only {written} files");
    assert!(!dir.exists(), "{} is left", dir.display());
    let away = dir.with_extension("gone");
    assert!(!away.exists(), "{} is left", away.display());
    Ok(())
}

#[test]
fn a_thread_beside_sees_only_its_host() -> Result<(), Failed> {
    let lab = Lab::new(Keep::Nothing)?;
    let [a, b] = two_hosts(&lab)?;
    let bind = || Ok(UdpSocket::bind("10.0.0.1:7000").is_ok());
    assert!(joined(a.beside(bind))?);
    assert!(!joined(b.beside(bind))?);
    Ok(())
}
