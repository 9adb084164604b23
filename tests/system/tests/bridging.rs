//! Offices bridged by the overlay: Linux bridges, stations that move, cables that make loops, storms, guards.
//!
//! In: real bridges and frames in network namespaces. Out: who reached whom, what `zt-cli` and the logs say of it.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::Value;
use zt_lab::{
    Failed, Host, Nat,
    capture::Capture,
    office::{self, Station},
    raw, traffic,
    zt::{Created, Node, POOL_PREFIX, until},
};
use zt_system_tests::{Couple, Town, ensure, measured, story};

/// Two offices and a station in each.
struct Offices {
    couple: Couple,
    sa: Station,
    sb: Station,
}

fn give(town: &Town, network: &Created, node: &Node, right: &str) -> Result<(), Failed> {
    let address = node.address()?;
    town.master
        .ask(&["member", "set", &network.id, &address, right])
        .map(|_| ())
}

/// Both get the right while they run; a second later their devices are ports of bridges.
fn offices(town: &Town, couple: Couple) -> Result<Offices, Failed> {
    couple.pair().first_ping()?;
    for (node, joined) in [(&couple.a, &couple.ja), (&couple.b, &couple.jb)] {
        give(town, &couple.network, node, "bridge=true")?;
        until(Duration::from_secs(5), "the right never arrives", || {
            Ok(node.network(&couple.network.id)?["bridge"] == true)
        })?;
        office::enslave(&node.host, &joined.device)?;
    }
    let lab = town.internet.lab();
    let sa = Station::new(lab, "sa", &couple.a.host, 101)?;
    let sb = Station::new(lab, "sb", &couple.b.host, 102)?;
    traffic::first_ping(&sa.host, sb.ip(), Duration::from_secs(10))?;
    Ok(Offices { couple, sa, sb })
}

fn drops(node: &Node, reason: &str) -> Result<u64, Failed> {
    let counters = node.ask(&["counters"])?;
    Ok(counters["drops"][reason].as_u64().unwrap_or(0))
}

fn looped(node: &Node, network: &Created) -> Result<Value, Failed> {
    Ok(node.network(&network.id)?["loop"].clone())
}

/// What two nodes and their kernels know, for the story of a failure.
fn state(couple: &Couple) -> String {
    let mut said = String::new();
    for node in [&couple.a, &couple.b] {
        let counters = node.ask(&["counters"]).map(|all| all["drops"].clone());
        let known = [&["addr"][..], &["neigh"], &["route"]]
            .map(|what| node.host.run("ip", what).map(|outcome| outcome.stdout));
        let peers = node.ask(&["peers"]);
        let _infallible = writeln!(said, "{counters:?}\n{peers:?}");
        for text in known.into_iter().flatten() {
            said.push_str(&text);
        }
    }
    said
}

/// What a person sees.
fn table(town: &Town, node: &Node) -> Result<String, Failed> {
    let mut command = node.host.command(town.kit.programs.cli());
    command
        .arg("--socket")
        .arg(node.state.join("node.sock"))
        .arg("networks");
    let outcome = zt_lab::Outcome::of(&mut command, Duration::from_secs(20))?;
    Ok(outcome.good()?.stdout)
}

/// A frame of a local experimental type from a station.
fn word(to: [u8; 6], from: [u8; 6]) -> Vec<u8> {
    [&to[..], &from, &[0x88, 0xb5], &[0x3c; 50]].concat()
}

#[test]
fn a_running_member_becomes_a_bridge_and_a_station_that_moves_is_reached_after_one_frame() {
    story(|town| {
        let couple = town.pair()?;
        let Offices { couple, sa, sb } = offices(town, couple)?;
        let pings = traffic::ping(&sa.host, sb.ip(), 50, Duration::from_millis(20), 1_472)?;
        ensure(pings.lost() == 0, || format!("office to office: {pings:?}"))?;
        // A member without the right sees both offices, and is seen.
        let c = town.node("c")?;
        let jc = c.join(&town.master.invite(&couple.network)?)?;
        for station in [&sa, &sb] {
            traffic::first_ping(&c.host, station.ip(), Duration::from_secs(10))?;
            let target = jc.ip.to_string();
            traffic::first_ping(&station.host, &target, Duration::from_secs(10))?;
        }
        let mut slowest = Duration::ZERO;
        for office in [&couple.b, &couple.a, &couple.b] {
            sa.move_to(&office.host)?;
            let mut mouth = raw::Port::open(&sa.host, office::DEVICE)?;
            let before = Instant::now();
            mouth.send(&word([0xff; 6], sa.mac))?;
            traffic::first_ping(&c.host, sa.ip(), Duration::from_secs(5))?;
            slowest = slowest.max(before.elapsed());
        }
        measured(
            "a moved station answers after its first frame",
            format!("{slowest:?}"),
        );
        ensure(slowest < Duration::from_secs(1), || format!("{slowest:?}"))
    });
}

#[test]
fn a_cable_between_two_offices_is_found_cuts_one_side_off_and_that_side_comes_back() {
    story(|town| {
        let couple = town.pair()?;
        let Offices { couple, sa, sb } = offices(town, couple)?;
        let (address_a, address_b) = (couple.a.address()?, couple.b.address()?);
        let (stays, cut, other) = if address_a < address_b {
            (&couple.a, &couple.b, &address_a)
        } else {
            (&couple.b, &couple.a, &address_b)
        };
        let laid = Instant::now();
        office::cable(&couple.a.host, &couple.b.host)?;
        let mut mouth = raw::Port::open(&sa.host, office::DEVICE)?;
        mouth.send(&word([0xff; 6], sa.mac))?;
        until(Duration::from_secs(10), "no loop is found", || {
            Ok(looped(cut, &couple.network)?["cut_off"] == true)
        })?;
        measured(
            "a loop is found and cut after",
            format!("{:?}", laid.elapsed()),
        );
        let found = looped(cut, &couple.network)?;
        ensure(found["with"] == other.as_str(), || found.to_string())?;
        let seen = looped(stays, &couple.network)?;
        ensure(seen["cut_off"] == false, || seen.to_string())?;
        let said = table(town, cut)?;
        ensure(said.contains(&format!("loop with {other}")), || {
            said.clone()
        })?;
        ensure(cut.process.log().contains("cut off until"), || {
            format!("the log says nothing: {}", cut.process.log())
        })?;
        // The storm is over: what was caught in it is gone, and a broadcast is heard once.
        std::thread::sleep(Duration::from_secs(1));
        let ear = Capture::start(&sb.host, office::DEVICE)?;
        let fresh = [&[0xff; 6][..], &sa.mac, &[0x88, 0xb5], &[0x77; 50]].concat();
        mouth.send(&fresh)?;
        std::thread::sleep(Duration::from_secs(1));
        let heard = ear.frames();
        let times = heard.iter().filter(|seen| seen.bytes == fresh).count();
        ensure(times == 1 && heard.len() < 50, || {
            format!("{times} times, {} frames in a second", heard.len())
        })?;
        drop(ear);
        let pings = traffic::ping(&sa.host, sb.ip(), 20, Duration::from_millis(20), 56)?;
        ensure(pings.lost() == 0, || format!("over the cable: {pings:?}"))?;
        office::unplug(&couple.a.host)?;
        let gone = Instant::now();
        until(Duration::from_secs(10), "the side never comes back", || {
            Ok(looped(cut, &couple.network)?.is_null())
        })?;
        measured(
            "without the cable it is back after",
            format!("{:?}", gone.elapsed()),
        );
        traffic::first_ping(&sa.host, sb.ip(), Duration::from_secs(5))?;
        until(
            Duration::from_secs(3),
            "the other still tells of it",
            || Ok(looped(stays, &couple.network)?.is_null()),
        )
        .map(|_| ())
    });
}

#[test]
fn a_storm_stays_within_its_budget_and_other_flows_keep_their_latency() {
    story(|town| {
        let couple = town.pair()?;
        let Offices { couple, sa, sb } = offices(town, couple)?;
        let c = town.node("c")?;
        c.join(&town.master.invite(&couple.network)?)?;
        traffic::first_ping(&c.host, sb.ip(), Duration::from_secs(10))?;
        let median = || -> Result<f64, Failed> {
            let times = traffic::round_trips(&c.host, sb.ip(), 150, Duration::from_millis(20))?;
            ensure(times.len() >= 145, || format!("{} of 150", times.len()))?;
            Ok(times[times.len() / 2])
        };
        // Other work on this machine must not decide: calm and storm in turn, and the best of three rounds counts.
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let calm = median()?;
            let ear = Capture::start(&sb.host, office::DEVICE)?;
            let flood = storm(&sa);
            let stormy = median()?;
            let sent = zt_lab::host::joined(flood)?;
            let heard = ear.frames();
            drop(ear);
            let broadcasts = heard.iter().filter(|seen| is_storm(&seen.bytes)).count();
            measured(
                "another flow's median round trip, calm and in a storm",
                format!(
                    "{calm:.2} ms, {stormy:.2} ms; of {sent} broadcasts in 5 s {broadcasts} passed"
                ),
            );
            ensure(sent > 40_000 && broadcasts <= 14_500, || {
                format!("of {sent} broadcasts {broadcasts} passed")
            })?;
            best = best.min(stormy / calm);
            if best <= 2.0 {
                break;
            }
        }
        ensure(best <= 2.0, || format!("{best:.1} times as long"))?;
        ensure(drops(&couple.a, "storm")? > 20_000, || "not counted".into())?;
        let log = couple.a.process.log();
        ensure(log.contains("than the budget allows"), || log.clone())
    });
}

const STORM: u8 = 0x66;

fn is_storm(frame: &[u8]) -> bool {
    frame.get(14..20) == Some(&[STORM; 6])
}

/// Ten thousand broadcasts a second for five seconds; how many left.
fn storm(from: &Station) -> std::thread::JoinHandle<Result<u32, Failed>> {
    let (host, mac) = (from.host.clone(), from.mac);
    let port = raw::Port::open(&host, office::DEVICE);
    std::thread::spawn(move || {
        let mut port = port?;
        let frame = [&[0xff; 6][..], &mac, &[0x88, 0xb5], &[STORM; 100]].concat();
        let started = Instant::now();
        let mut sent = 0;
        while started.elapsed() < Duration::from_secs(5) {
            for _ in 0..50 {
                sent += u32::from(port.send(&frame).is_ok());
            }
            let due = Duration::from_millis(5) * (sent / 50);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
        Ok(sent)
    })
}

#[test]
fn macs_dhcp_and_routers_without_the_right_are_dropped_counted_and_named() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let stranger = [0x52, 0x54, 0, 0, 0xee, 0x01];
        let mut mouth = raw::Port::open(&couple.a.host, &couple.ja.device)?;
        mouth.send(&word([0xff; 6], stranger))?;
        until(Duration::from_secs(3), "the claim is not named", || {
            let log = couple.a.process.log();
            Ok(log.contains("52:54:00:00:ee:01") && log.contains("bridge=true"))
        })?;
        ensure(drops(&couple.a, "source-mac")? >= 1, || {
            "not counted".into()
        })?;
        drop(mouth);
        let Offices { couple, sa, sb } = offices(town, couple)?;
        let frames = [
            ("dhcp-server", dhcp_offer(sa.mac)),
            ("router-advertisement", advertisement(sa.mac)),
        ];
        let mut mouth = raw::Port::open(&sa.host, office::DEVICE)?;
        let mut ear = raw::Port::open(&sb.host, office::DEVICE)?;
        for (right, frame) in &frames {
            let mut crosses = |within: u64| -> Result<bool, Failed> {
                mouth.send(frame)?;
                let deadline = Instant::now() + Duration::from_millis(within);
                Ok(ear
                    .hear(deadline, |seen| seen == frame.as_slice())?
                    .is_some())
            };
            ensure(!crosses(500)?, || format!("{right}: it crossed"))?;
            ensure(drops(&couple.a, right)? >= 1, || {
                format!("{right}: not counted")
            })?;
            let log = couple.a.process.log();
            ensure(log.contains(&format!("{right}=true")), || log.clone())?;
            give(town, &couple.network, &couple.a, &format!("{right}=true"))?;
            until(Duration::from_secs(5), "the right changes nothing", || {
                crosses(200)
            })?;
        }
        Ok(())
    });
}

fn dhcp_offer(from: [u8; 6]) -> Vec<u8> {
    let mut frame = [&[0xff; 6][..], &from, &[0x08, 0x00]].concat();
    // With its checksum: a bridge whose kernel filters looks at it.
    frame.extend([0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0x70, 0x39]);
    frame.extend([
        10, 20, 0, 101, 255, 255, 255, 255, 0, 67, 0, 68, 0, 40, 0, 0,
    ]);
    frame.resize(74, 2);
    frame
}

fn advertisement(from: [u8; 6]) -> Vec<u8> {
    let mut frame = [&[0x33, 0x33, 0, 0, 0, 1][..], &from, &[0x86, 0xdd]].concat();
    frame.extend([0x60, 0, 0, 0, 0, 16, 58, 255]);
    frame.extend([
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x50, 0x54, 0, 0xff, 0xfe, 0, 0x0f, 0x65,
    ]);
    frame.extend([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    frame.extend([134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    frame
}

#[test]
fn hosts_with_addresses_in_one_bridged_lan_build_no_tunnel_in_the_tunnel() {
    story(|town| {
        let network = town.network()?;
        // Neither NAT lets the other through: the only direct way would be the one inside.
        let home_a = town.internet.home("home-a", Nat::RandomPorts)?;
        let home_b = town.internet.home("home-b", Nat::RandomPorts)?;
        let couple = town.couple_on(network, &[home_a.host.clone(), home_b.host.clone()])?;
        let Offices { couple, sa, sb } = offices(town, couple)?;
        // As people do it: the bridge gets the address, its ports have none.
        let ends = [(&couple.a, &couple.ja, 201), (&couple.b, &couple.jb, 202)];
        for (node, joined, last) in ends {
            let (device, bridge) = (&joined.device, office::BRIDGE);
            node.host.ip(&format!(
                "addr flush dev {device}
                 addr add 10.20.0.{last}/{POOL_PREFIX} dev {bridge}"
            ))?;
        }
        let inside = |host: &Host, last: u8| {
            let device = office::BRIDGE;
            let target = format!("10.20.0.{last}");
            host.run("ping", &["-n", "-c", "1", "-W", "2", "-I", device, &target])
        };
        // Each host sees the other through the bridged LAN.
        until(
            Duration::from_secs(10),
            "the hosts are not in one LAN",
            || Ok(inside(&couple.a.host, 202)?.code == 0 && inside(&couple.b.host, 201)?.code == 0),
        )
        .map_err(|failed| Failed::new(format!("{failed}\n{}", state(&couple))))?;
        let pings = traffic::ping(&sa.host, sb.ip(), 500, Duration::from_millis(20), 1_400)?;
        ensure(pings.lost() == 0, || {
            format!("{pings:?}\n{}", state(&couple))
        })?;
        let refused = drops(&couple.a, "tunnel")? + drops(&couple.b, "tunnel")?;
        ensure(refused > 0, || {
            "nothing was tried inside, so nothing is shown".into()
        })?;
        for pair in [couple.pair(), couple.pair().turned()] {
            let peer = pair.a.0.peer(&pair.b.0.address()?)?;
            ensure(peer["path"]["kind"] == "relay", || peer.to_string())?;
        }
        let log = [couple.a.process.log(), couple.b.process.log()].concat();
        ensure(log.contains("would run through the network"), || {
            log.clone()
        })?;
        measured("datagrams refused inside the tunnel in 10 s", refused);
        Ok(())
    });
}
