//! Offices bridged by the overlay: Linux bridges, stations that move, storms, addresses that both ends see.
//!
//! In: real bridges and frames in network namespaces. Out: who reached whom, what `zt-cli` and the logs say of it.

use std::time::{Duration, Instant};

use zt_lab::{
    Failed, Host, Nat,
    capture::Capture,
    office::{self, Station},
    raw, traffic,
    zt::{Created, Node, until},
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
fn hosts_with_addresses_in_one_bridged_lan_build_no_tunnel_in_the_tunnel() {
    story(|town| {
        let network = town.network()?;
        // Neither NAT lets the other through: the only direct way would be the one inside.
        let home_a = town.internet.home("home-a", Nat::RandomPorts)?;
        let home_b = town.internet.home("home-b", Nat::RandomPorts)?;
        let couple = town.couple_on(network, &[home_a.host.clone(), home_b.host.clone()])?;
        let Offices { couple, sa, sb } = offices(town, couple)?;
        for (host, last) in [(&couple.a.host, 201), (&couple.b.host, 202)] {
            host.ip(&format!(
                "addr add 10.20.0.{last}/24 dev {}",
                office::BRIDGE
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
        )?;
        let pings = traffic::ping(&sa.host, sb.ip(), 500, Duration::from_millis(20), 1_400)?;
        ensure(pings.lost() == 0, || format!("{pings:?}"))?;
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
