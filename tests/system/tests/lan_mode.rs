//! LAN mode: a program that names no device reaches the overlay and its own LAN, once each, and off restores everything.
//!
//! In: broadcasts and groups of plain programs. Out: who heard what, from whom, how often; the machine before and after.
//! Never: a look into the node.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use serde_json::Value;
use zt_lab::{
    Failed, Home, Host, Segment,
    broadcast::Program,
    raw, traffic,
    zt::{Joined, Node, until},
};
use zt_system_tests::{Couple, ensure, story};

const ALL: Ipv4Addr = Ipv4Addr::BROADCAST;
const SSDP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const PORT: u16 = 6112;

fn at(ip: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(ip, port)
}

/// Everything that LAN mode could have touched, sorted: what the kernel lists in the order of making.
fn machine(host: &Host) -> Result<Vec<String>, Failed> {
    let mut lines = Vec::new();
    for command in [
        &["ip", "rule"][..],
        &["ip", "-6", "rule"],
        &["ip", "route", "show", "table", "all"],
        &["ip", "-6", "route", "show", "table", "all"],
        &["ip", "-br", "link"],
        &["ip", "maddr"],
        &["nft", "list", "ruleset"],
    ] {
        let outcome = host.run(command[0], &command[1..])?.good()?;
        lines.extend(outcome.stdout.lines().map(|line| {
            // A device that was made anew has another number.
            let line = line.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{}: {line}", command.join(" "))
        }));
    }
    lines.sort();
    Ok(lines)
}

fn set(node: &Node, network: &str, value: &str) -> Result<Value, Failed> {
    node.ask(&["set", network, &format!("lan-mode={value}")])
}

fn lan(node: &Node) -> Result<Value, Failed> {
    Ok(node.ask(&["doctor", "lan"])?["lan_mode"].clone())
}

fn listens(node: &Node, group: Ipv4Addr) -> Result<(), Failed> {
    until(
        Duration::from_secs(5),
        "a program is not followed into its group",
        || {
            let groups = lan(node)?["groups"].clone();
            let groups = groups.as_array().cloned().unwrap_or_default();
            Ok(groups.contains(&Value::from(group.to_string())))
        },
    )
    .map(drop)
}

/// Who heard something, each from whom, as often as it came.
fn told(ears: &[(&Program, &[SocketAddrV4])], what: &[u8]) -> Result<(), Failed> {
    for (at, (ear, expected)) in ears.iter().enumerate() {
        let mut heard = ear.heard(what, expected.len())?;
        heard.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        ensure(heard == expected, || {
            format!(
                "{}: ear {at} heard it from {heard:?}, not from {expected:?}",
                String::from_utf8_lossy(what)
            )
        })?;
    }
    Ok(())
}

/// One machine with a home LAN, and who listens: on itself, on its LAN, on the overlay.
struct Scene<'a> {
    home: &'a Home,
    couple: &'a Couple,
    own: Program,
    neighbour: Program,
    far: Program,
    /// The machine's address on its LAN.
    lan: Ipv4Addr,
}

impl<'a> Scene<'a> {
    fn set(home: &'a Home, couple: &'a Couple) -> Result<Self, Failed> {
        Ok(Self {
            home,
            couple,
            own: Program::on(&home.host, PORT)?,
            neighbour: Program::on(&home.router, PORT)?,
            far: Program::on(&couple.b.host, PORT)?,
            lan: Ipv4Addr::new(192, 168, 1, 10),
        })
    }

    fn broadcasts_without_lan_mode(&self) -> Result<(), Failed> {
        let game = Program::on(&self.home.host, 0)?;
        let from = at(self.lan, game.port()?);
        game.say(at(ALL, PORT), b"the LAN alone")?;
        told(
            &[
                (&self.neighbour, &[from]),
                (&self.own, &[from]),
                (&self.far, &[]),
            ],
            b"the LAN alone",
        )
    }

    fn broadcasts_reach_both_and_answers_come_back(&self) -> Result<(), Failed> {
        let game = Program::on(&self.home.host, 0)?;
        let (lan, overlay) = (
            at(self.lan, game.port()?),
            at(self.couple.ja.ip, game.port()?),
        );
        game.say(at(ALL, PORT), b"who is there?")?;
        told(
            &[
                (&self.neighbour, &[lan]),
                (&self.far, &[overlay]),
                (&self.own, &[overlay]),
            ],
            b"who is there?",
        )?;
        self.far.say(overlay, b"I, far away")?;
        let far = at(self.couple.jb.ip, PORT);
        told(&[(&game, &[far])], b"I, far away")?;
        self.neighbour.say(lan, b"I, next door")?;
        let next = at(Ipv4Addr::new(192, 168, 1, 1), PORT);
        told(&[(&game, &[next])], b"I, next door")?;
        // More than a frame: fragments, each with the right source.
        let large = vec![b'x'; 4000];
        game.say(at(ALL, PORT), &large)?;
        told(
            &[(&self.neighbour, &[lan]), (&self.far, &[overlay])],
            &large,
        )
    }

    fn who_names_a_device_gets_that_one(&self) -> Result<(), Failed> {
        let lan = Program::bound(&self.home.host, 0, "eth0")?;
        lan.say(at(ALL, PORT), b"only here")?;
        let from = at(self.lan, lan.port()?);
        told(
            &[(&self.neighbour, &[from]), (&self.far, &[])],
            b"only here",
        )?;
        let overlay = Program::bound(&self.home.host, 0, &self.couple.ja.device)?;
        overlay.say(at(ALL, PORT), b"only there")?;
        let from = at(self.couple.ja.ip, overlay.port()?);
        told(
            &[(&self.neighbour, &[]), (&self.far, &[from])],
            b"only there",
        )?;
        let directed = Program::on(&self.home.host, 0)?;
        directed.say(
            at(Ipv4Addr::new(192, 168, 1, 255), PORT),
            b"only our subnet",
        )?;
        let from = at(self.lan, directed.port()?);
        told(
            &[(&self.neighbour, &[from]), (&self.far, &[])],
            b"only our subnet",
        )
    }

    fn dhcp_stays_on_the_lan(&self) -> Result<(), Failed> {
        let server = Program::on(&self.home.router, 67)?;
        let far = Program::on(&self.couple.b.host, 67)?;
        let client = Program::on(&self.home.host, 68)?;
        client.say(at(ALL, 67), b"give me a lease")?;
        told(
            &[(&server, &[at(self.lan, 68)]), (&far, &[])],
            b"give me a lease",
        )
    }

    fn groups_are_heard_on_both_sides(&self) -> Result<(), Failed> {
        let port = 1900;
        let next = Program::on(&self.home.router, port)?;
        next.join(SSDP, Ipv4Addr::new(192, 168, 1, 1))?;
        let far = Program::on(&self.couple.b.host, port)?;
        far.join(SSDP, self.couple.jb.ip)?;
        let player = Program::on(&self.home.host, port)?;
        player.join(SSDP, Ipv4Addr::UNSPECIFIED)?;
        listens(&self.couple.a, SSDP)?;
        player.say(at(SSDP, port), b"M-SEARCH")?;
        let (lan, overlay) = (at(self.lan, port), at(self.couple.ja.ip, port));
        told(
            &[(&next, &[lan]), (&far, &[overlay]), (&player, &[overlay])],
            b"M-SEARCH",
        )?;
        far.multicast_from(self.couple.jb.ip)?;
        next.multicast_from(Ipv4Addr::new(192, 168, 1, 1))?;
        far.say(at(SSDP, port), b"NOTIFY from afar")?;
        told(
            &[(&player, &[at(self.couple.jb.ip, port)])],
            b"NOTIFY from afar",
        )?;
        next.say(at(SSDP, port), b"NOTIFY from next door")?;
        let from = at(Ipv4Addr::new(192, 168, 1, 1), port);
        told(&[(&player, &[from])], b"NOTIFY from next door")
    }

    fn doctor_says_so(&self) -> Result<(), Failed> {
        let report = self.couple.a.ask(&["doctor", "lan"])?;
        let found = broadcast_of(&report)?;
        ensure(
            found["device"] == "ztlan"
                && found["source"] == self.couple.ja.ip.to_string()
                && found["rule"]
                    .as_str()
                    .is_some_and(|rule| rule.starts_with("994:"))
                && found["arrives"][0]["network"] == self.couple.ja.id
                && found["arrives"][1]["device"] == "eth0"
                && found["arrives"][1]["source"] == self.lan.to_string(),
            || found.to_string(),
        )?;
        let changed = report["changed"].as_array().map_or(0, Vec::len);
        ensure(changed >= 6, || {
            format!("what was changed: {}", report["changed"])
        })
    }
}

fn broadcast_of(report: &Value) -> Result<Value, Failed> {
    let all = report["destinations"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    all.into_iter()
        .find(|it| it["to"] == "255.255.255.255")
        .ok_or_else(|| Failed::new(format!("no broadcast in {report}")))
}

#[test]
fn a_broadcast_reaches_overlay_and_lan_once_each_and_off_restores_everything() {
    story(|town| {
        let (homes, mut couple) = town.homes()?;
        couple.meet_directly()?;
        let id = couple.ja.id.clone();
        let before = machine(&homes[0].host)?;
        let scene = Scene::set(&homes[0], &couple)?;
        scene.broadcasts_without_lan_mode()?;
        let answer = set(&couple.a, &id, "on")?;
        ensure(answer["lan-mode"] == true, || format!("{answer}"))?;
        scene.broadcasts_reach_both_and_answers_come_back()?;
        scene.who_names_a_device_gets_that_one()?;
        scene.dhcp_stays_on_the_lan()?;
        scene.groups_are_heard_on_both_sides()?;
        scene.doctor_says_so()?;
        set(&couple.a, &id, "off")?;
        restored(&homes[0].host, &before)?;
        scene.broadcasts_without_lan_mode()?;
        drop(scene);

        // A killed node leaves a machine that works, and the next start goes on in LAN mode.
        set(&couple.a, &id, "on")?;
        couple.a.process.kill()?;
        Scene::set(&homes[0], &couple)?.broadcasts_without_lan_mode()?;
        let report = couple.a.ask(&["doctor", "lan"])?;
        ensure(
            report["node"] == "not-running" && broadcast_of(&report)?["device"] == "eth0",
            || report.to_string(),
        )?;
        couple.a.restart()?;
        copies_again(&couple.a, &couple.jb)?;
        let scene = Scene::set(&homes[0], &couple)?;
        scene.broadcasts_reach_both_and_answers_come_back()?;
        set(&couple.a, &id, "off")?;
        restored(&homes[0].host, &before)?;
        // Killed and started again without LAN mode, the start removes what the kill has left.
        set(&couple.a, &id, "on")?;
        couple.a.process.stop()?;
        let rules = homes[0].host.run("ip", &["rule"])?.stdout;
        ensure(!rules.contains("9993"), || {
            format!("after a clean stop: {rules}")
        })
    });
}

fn restored(host: &Host, before: &[String]) -> Result<(), Failed> {
    let after = machine(host)?;
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    ensure(gone.is_empty() && new.is_empty(), || {
        format!("missing: {gone:#?}, new: {new:#?}")
    })
}

/// Waits until a node that was started again has its device, and its peer.
fn copies_again(node: &Node, peer: &Joined) -> Result<(), Failed> {
    until(
        Duration::from_secs(15),
        "LAN mode does not come back",
        || Ok(lan(node)?["networks"][0]["state"] == "on"),
    )?;
    traffic::first_ping(&node.host, &peer.ip.to_string(), Duration::from_secs(15))?;
    Ok(())
}

#[test]
fn two_networks_at_once_each_get_one_copy_from_their_own_address() {
    story(|town| {
        let (_homes, couple) = town.homes()?;
        let second = town.master.create("second", "10.40.0.0/24")?;
        let invite = town.master.invite(&second)?;
        for node in [&couple.a, &couple.b] {
            node.cli(&["join", &invite, "--wait", "15"])?.good()?;
        }
        let (ja, jb) = (couple.a.joined(&second.id)?, couple.b.joined(&second.id)?);
        couple.meet_directly()?;
        traffic::first_ping(&couple.a.host, &jb.ip.to_string(), Duration::from_secs(10))?;
        set(&couple.a, &couple.ja.id, "on")?;
        set(&couple.a, &second.id, "on")?;
        let far = Program::on(&couple.b.host, PORT)?;
        let game = Program::on(&couple.a.host, 0)?;
        let port = game.port()?;
        game.say(at(ALL, PORT), b"both of you")?;
        let both = [at(couple.ja.ip, port), at(ja.ip, port)];
        told(&[(&far, &both)], b"both of you")?;
        set(&couple.a, &couple.ja.id, "off")?;
        game.say(at(ALL, PORT), b"the second")?;
        told(&[(&far, &[at(ja.ip, port)])], b"the second")?;
        // Leaving ends it, too.
        couple.a.ask(&["leave", &second.id])?;
        until(
            Duration::from_secs(5),
            "left, and still in LAN mode",
            || {
                Ok(lan(&couple.a)?["networks"]
                    .as_array()
                    .is_some_and(Vec::is_empty))
            },
        )?;
        game.say(at(ALL, PORT), b"nobody")?;
        told(&[(&far, &[])], b"nobody")
    });
}

#[test]
fn a_lan_that_is_bridged_into_the_overlay_makes_no_loop() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let segment = Segment::new(town.internet.lab(), "office")?;
        let pc = town.internet.lab().host("old-pc")?;
        segment.plug(&pc, "eth0", "192.168.50.9/24")?;
        segment.plug(&couple.a.host, "lan0", "192.168.50.1/24")?;
        segment.plug(&couple.b.host, "lan0", "")?;
        couple.a.host.ip("route add default via 192.168.50.254")?;
        let bridge = couple.b.address()?;
        town.master
            .ask(&["member", "set", &couple.ja.id, &bridge, "bridge=true"])?;
        let device = &couple.jb.device;
        couple.b.host.ip(&format!(
            "link add br0 type bridge stp_state 0 mcast_snooping 0\nlink set br0 up\nlink set lan0 master br0\nlink set {device} master br0"
        ))?;
        until(Duration::from_secs(10), "b may not bridge", || {
            Ok(couple.b.network(&couple.ja.id)?["bridge"] == true)
        })?;
        set(&couple.a, &couple.ja.id, "on")?;
        // The old PC hears it on the wire and over the bridge: two senders, one datagram of each, and then silence.
        let mut wire = raw::Port::open(&pc, "eth0")?;
        let ear = Program::on(&pc, PORT)?;
        let game = Program::on(&couple.a.host, 0)?;
        let port = game.port()?;
        let both = [
            at(Ipv4Addr::new(192, 168, 50, 1), port),
            at(couple.ja.ip, port),
        ];
        game.say(at(ALL, PORT), b"on two ways")?;
        told(&[(&ear, &both)], b"on two ways")?;
        let end = std::time::Instant::now() + Duration::from_secs(1);
        let mut copies = 0;
        while wire
            .hear(end, |frame| {
                zt_lab::capture::contains(frame, b"on two ways")
            })?
            .is_some()
        {
            copies += 1;
        }
        ensure(copies == 2, || {
            format!("{copies} frames on the office's wire")
        })
    });
}

#[test]
fn on_the_machine_that_bridges_one_copy_reaches_both() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let segment = Segment::new(town.internet.lab(), "office")?;
        let pc = town.internet.lab().host("old-pc")?;
        segment.plug(&pc, "eth0", "10.20.0.200/12")?;
        segment.plug(&couple.a.host, "lan0", "")?;
        let bridge = couple.a.address()?;
        town.master
            .ask(&["member", "set", &couple.ja.id, &bridge, "bridge=true"])?;
        let device = &couple.ja.device;
        couple.a.host.ip(&format!(
            "link add br0 type bridge stp_state 0 mcast_snooping 0\nlink set br0 up\nlink set lan0 master br0\nlink set {device} master br0\naddr add 10.20.0.100/12 dev br0\nroute add default via 10.20.0.254 dev br0"
        ))?;
        until(Duration::from_secs(10), "a may not bridge", || {
            Ok(couple.a.network(&couple.ja.id)?["bridge"] == true)
        })?;
        set(&couple.a, &couple.ja.id, "on")?;
        let state = lan(&couple.a)?["networks"][0]["state"].clone();
        ensure(state == "bridged", || format!("it is {state}"))?;
        let (ear, far) = (Program::on(&pc, PORT)?, Program::on(&couple.b.host, PORT)?);
        let game = Program::on(&couple.a.host, 0)?;
        let from = [at(Ipv4Addr::new(10, 20, 0, 100), game.port()?)];
        game.say(at(ALL, PORT), b"over the bridge")?;
        told(&[(&ear, &from), (&far, &from)], b"over the bridge")
    });
}
