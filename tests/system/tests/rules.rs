//! Flow rules as an administrator writes them: what crosses and what does not, between real nodes on real devices.
//!
//! In: rule texts, frames, programs' traffic. Out: who heard what, what the commands said. Never: a look into a program.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;
use zt_lab::{
    Failed, Host,
    ipx::{Framing, padded},
    traffic,
    zt::until,
};
use zt_system_tests::{
    Town, ensure,
    frames::{heard, hex, marked},
    measured,
    party::{CROSSING, IN_FORCE, Party, drops},
    story,
};

/// A condition, a frame for which it holds, and one for which it just does not.
type Row = (String, Vec<u8>, Vec<u8>);

#[allow(clippy::too_many_lines, reason = "a table, one row a condition")]
fn rows(party: &Party) -> Vec<Row> {
    let maker = party.maker();
    let to = maker.ip_to;
    let group = maker.to_mac([0x01, 0, 0x5e, 0, 0, 0x77]);
    let other_group = maker.to_mac([0x01, 0, 0x5e, 0, 0, 0x78]);
    let ipx = |framing| padded(framing, maker.to, maker.from, 40, 7);
    let one = |text: &str, yes, no| (text.to_owned(), yes, no);
    vec![
        one(
            "ethertype 0x88b5",
            maker.plain(0x88b5, 60),
            maker.plain(0x88b6, 60),
        ),
        one(
            "vlan 7",
            maker.tagged(0, 7).plain(0x88b6, 60),
            maker.tagged(0, 8).plain(0x88b6, 60),
        ),
        one(
            "pcp 5 and vlan 9",
            maker.tagged(5, 9).plain(0x88b6, 60),
            maker.tagged(4, 9).plain(0x88b6, 60),
        ),
        one(
            "udp and port-to 5000-5010",
            maker.udp(9, 5005),
            maker.udp(9, 5011),
        ),
        one(
            "tcp and port-from 81",
            maker.tcp(81, 9, 0x10),
            maker.tcp(80, 9, 0x10),
        ),
        one(
            "port-to 82 and tcp-flags syn/syn,ack",
            maker.tcp(9, 82, 0x02),
            maker.tcp(9, 82, 0x12),
        ),
        one("icmp 13", maker.icmp(13), maker.icmp(8)),
        one(
            "protocol 47",
            maker.ipv4(47, &[0; 16]),
            maker.ipv4(48, &[0; 16]),
        ),
        one(
            "ip-to 10.99.0.0/16",
            maker.to_ip([10, 99, 1, 1]).udp(9, 9),
            maker.to_ip([10, 98, 1, 1]).udp(9, 9),
        ),
        (
            format!("udp and port-to 7001 and ip-from {}", maker.ip_from),
            maker.udp(9, 7001),
            maker.udp(9, 7002),
        ),
        (
            format!("port-to 7003 and not ip-to {to}"),
            maker.to_ip([10, 97, 0, 1]).udp(9, 7003),
            maker.udp(9, 7003),
        ),
        one(
            "mac-to 01:00:5e:00:00:77",
            group.plain(0x88b6, 60),
            other_group.plain(0x88b6, 60),
        ),
        one(
            "multicast and ethertype 0x88b7",
            other_group.plain(0x88b7, 60),
            maker.plain(0x88b7, 60),
        ),
        one(
            "broadcast and ethertype 0x88b8",
            maker.broadcast().plain(0x88b8, 60),
            other_group.plain(0x88b8, 60),
        ),
        one(
            "size 600-700",
            maker.plain(0x88b6, 650),
            maker.plain(0x88b6, 693),
        ),
        one(
            "ipx and framing raw",
            ipx(Framing::Raw8023),
            ipx(Framing::Llc8022),
        ),
        one(
            "ipx and framing snap",
            ipx(Framing::Snap),
            ipx(Framing::EthernetII),
        ),
        one(
            "(ethertype 0x88b9 or ethertype 0x88ba) and not size 0-100",
            maker.plain(0x88ba, 120),
            maker.plain(0x88b9, 92),
        ),
        one(
            "member-to BOB and ethertype 0x88bb and member-from ADA",
            maker.plain(0x88bb, 60),
            maker.plain(0x88bf, 60),
        ),
        one(
            "arp and ip-to 10.20.0.250",
            maker.to_ip([10, 20, 0, 250]).arp(),
            maker.to_ip([10, 20, 0, 251]).arp(),
        ),
        one(
            "ethertype 0x88bd and tag team differ 1",
            maker.plain(0x88bd, 60),
            maker.plain(0x88be, 60),
        ),
        one(
            "ethertype 0x88c0 and tag groups bits 4",
            maker.plain(0x88c0, 60),
            maker.plain(0x88c1, 60),
        ),
        one(
            "ethertype 0x88c2 and tag-from team red",
            maker.plain(0x88c2, 60),
            maker.plain(0x88c3, 60),
        ),
    ]
}

/// Conditions on tags that do not hold for the first two: what they would stop crosses.
const NOT_THESE: &str = "\
drop if ethertype 0x88be and tag team equal;
drop if ethertype 0x88c1 and tag groups bits 2;
drop if ethertype 0x88c3 and tag-from team blue;
";

#[test]
fn each_condition_stops_its_frame_and_lets_the_next_pass_and_explain_names_the_line() {
    story(|town| {
        let party = Party::new(town)?;
        let [a, b, _] = &party.names;
        let tags = "tag team = 1 { red = 1; blue = 2; }\ntag groups = 2;\n";
        town.master.rules(&party.network, tags)?.good()?;
        for (who, team, groups) in [(a, "red", 6), (b, "blue", 5)] {
            let [team, groups] = [format!("team={team}"), format!("groups={groups}")];
            let what = ["--tag", &team, "--tag", &groups];
            town.master.change(&party.network, who, &what)?;
        }
        let rows = rows(&party);
        let drops: Vec<String> = rows
            .iter()
            .map(|(condition, _, _)| format!("drop if {condition};\n"))
            .collect();
        let drops = drops.concat();
        party.follow(town, &format!("{tags}{drops}{NOT_THESE}accept;\n"))?;
        let frames: Vec<Vec<u8>> = rows
            .iter()
            .flat_map(|(_, yes, no)| [yes.clone(), no.clone()])
            .zip(0..)
            .map(|(frame, number)| marked(frame, number))
            .collect();
        let [crossed, _] = party.heard(&frames)?;
        for (at, (condition, _, _)) in rows.iter().enumerate() {
            let (yes, no) = (2 * at, 2 * at + 1);
            ensure(!crossed[yes], || format!("{condition}: its frame crossed"))?;
            ensure(crossed[no], || {
                format!("{condition}: stopped another frame")
            })?;
            for (frame, verdict, line) in [(yes, "drop", at + 4), (no, "pass", rows.len() + 7)] {
                let said = party.explain(town, &["--frame", &hex(&frames[frame])])?;
                let right = said["verdict"] == verdict && said["line"] == line;
                ensure(right, || format!("{condition}, frame {frame}: {said}"))?;
            }
        }
        Ok(())
    });
}

const ACTIONS: &str = "\
capability admin = 3 { accept if udp and port-to 6001; }
priority 6 if vlan 11;
tee CAT 60 if ethertype 0x88d1;
redirect CAT if ethertype 0x88d2 and member-to BOB;
drop if ethertype 0x88d3;
break if udp and port-to 6001;
accept;
";

#[test]
fn every_action_does_what_it_says_and_a_capability_opens_what_a_break_closed() {
    story(|town| {
        let party = Party::new(town)?;
        let maker = party.maker();
        party.follow(town, ACTIONS)?;
        let before = drops(&party.nodes[0], "rule-tx")?;
        let frames: Vec<Vec<u8>> = [
            maker.plain(0x88d0, 200),
            maker.plain(0x88d2, 200),
            maker.plain(0x88d3, 60),
            maker.udp(9, 6001),
            maker.udp(9, 6002),
        ]
        .into_iter()
        .zip(0..)
        .map(|(frame, number)| marked(frame, number))
        .collect();
        let [second, third] = party.heard(&frames)?;
        let expected = [true, false, false, false, true];
        ensure(second == expected, || {
            format!("the second heard {second:?}")
        })?;
        let expected = [false, true, false, false, false];
        ensure(third == expected, || format!("the third heard {third:?}"))?;
        let counted = drops(&party.nodes[0], "rule-tx")? - before;
        ensure(counted == 2, || {
            format!("{counted} drops by rules are counted")
        })?;
        tee(&party)?;
        priority(&party)?;

        let [a, b, _] = &party.names;
        let capability = ["--capability", "admin"];
        town.master.change(&party.network, a, &capability)?;
        let frame = marked(maker.udp(9, 6001), 77);
        until(IN_FORCE, "the capability opens nothing", || {
            Ok(party.heard(std::slice::from_ref(&frame))?[0][0])
        })?;
        let said = party.explain(town, &["--udp", "6001"])?;
        ensure(said["capability"] == "admin", || said.to_string())?;
        let back = marked(party.between(1, 0).udp(9, 6001), 78);
        let crossed = heard(&party.stations[1], &[&party.stations[0]], &[back], CROSSING)?;
        ensure(!crossed[0][0], || format!("{b} has no capability"))
    });
}

/// The second gets the frame, the third its first 60 bytes.
fn tee(party: &Party) -> Result<(), Failed> {
    let frame = marked(party.maker().plain(0x88d1, 200), 9);
    let [a, b, c] = &party.stations;
    let mut copies = zt_lab::raw::Port::open(&c.host, &c.device)?;
    let whole = heard(a, &[b], std::slice::from_ref(&frame), CROSSING)?;
    ensure(whole[0][0], || "a tee took the frame away".into())?;
    let copy = copies.hear(Instant::now() + CROSSING, |seen| seen[..] == frame[..60])?;
    ensure(copy.is_some(), || "no copy of 60 bytes arrived".into())
}

/// The tag's priority changes, nothing else does; the kernel hides tags from raw sockets, tcpdump does not.
fn priority(party: &Party) -> Result<(), Failed> {
    let [a, b, _] = &party.stations;
    let file = b.host.dir().join("priority.pcap");
    let mut tcpdump = b.host.command("tcpdump");
    let arguments = ["-Z", "root", "-U", "-i", &b.device, "-w"];
    tcpdump.args(arguments).arg(&file);
    let mut listening = b.host.start("tcpdump", &mut tcpdump)?;
    until(Duration::from_secs(5), "tcpdump never listens", || {
        Ok(listening.log().contains("listening on"))
    })?;
    let frame = marked(party.maker().tagged(1, 11).plain(0x88b6, 90), 10);
    let mut urgent = frame.clone();
    urgent[14] = (6 << 5) | (frame[14] & 0x1f);
    zt_lab::raw::Port::open(&a.host, &a.device)?.send(&frame)?;
    until(Duration::from_secs(3), "the priority is not set", || {
        Ok(zt_lab::capture::contains(&std::fs::read(&file)?, &urgent))
    })?;
    listening.stop().map(|_| ())
}

#[test]
fn rules_change_while_pings_and_streams_run_and_are_in_force_within_seconds() {
    story(|town| {
        let party = Party::new(town)?;
        let (a, b) = (&party.nodes[0], &party.joined[1]);
        let target = b.ip.to_string();
        let mut longest = Duration::ZERO;
        for _ in 0..2 {
            let took = party.follow(town, "drop if icmp;\naccept;\n")?;
            let pings = traffic::ping(&a.host, &target, 3, Duration::from_millis(50), 56)?;
            ensure(pings.heard == 0, || {
                format!("{pings:?} although ICMP is closed")
            })?;
            ensure(tcp(&a.host, &party.nodes[1].host, b.ip, 7777)?, || {
                "TCP is not".into()
            })?;
            let next = party.follow(town, "drop if tcp and port-to 7777;\naccept;\n")?;
            let pings = traffic::ping(&a.host, &target, 3, Duration::from_millis(50), 56)?;
            ensure(pings.lost() == 0, || format!("{pings:?}"))?;
            ensure(!tcp(&a.host, &party.nodes[1].host, b.ip, 7777)?, || {
                "TCP is closed".into()
            })?;
            longest = longest.max(took).max(next);
        }
        let text = format!("{:.1} s", longest.as_secs_f64());
        measured("new flow rules are in force at three members within", text);
        Ok(())
    });
}

/// Whether a connection can be made and carries something both ways.
fn tcp(from: &Host, to: &Host, ip: Ipv4Addr, port: u16) -> Result<bool, Failed> {
    let listener = to.inside(move || Ok(TcpListener::bind((ip, port))?))?;
    let server: JoinHandle<Result<(), Failed>> = to.beside(move || {
        listener.set_nonblocking(true)?;
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            match listener.accept() {
                Ok((mut stream, _)) => {
                    stream.set_nonblocking(false)?;
                    let mut word = [0; 4];
                    stream.read_exact(&mut word)?;
                    stream.write_all(&word)?;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    });
    let talked = from.inside(move || {
        let address = SocketAddr::from((ip, port));
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(1_500))
        else {
            return Ok(false);
        };
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"game")?;
        let mut word = [0; 4];
        stream.read_exact(&mut word)?;
        Ok(&word == b"game")
    })?;
    zt_lab::host::joined(server)?;
    Ok(talked)
}

/// Whether a datagram arrives at a port and its answer comes back; `target` may be a broadcast address.
fn udp(from: &Host, to: &Host, target: Ipv4Addr, port: u16) -> Result<[bool; 2], Failed> {
    let server = to.inside(move || Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?))?;
    let server = to.beside(move || {
        server.set_read_timeout(Some(CROSSING))?;
        let mut datagram = [0; 16];
        match server.recv_from(&mut datagram) {
            Ok((length, client)) => {
                server.send_to(&datagram[..length], client)?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(Failed::from(error)),
        }
    });
    let answered = from.inside(move || {
        let client = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        client.set_broadcast(true)?;
        client.set_read_timeout(Some(CROSSING))?;
        client.send_to(b"who plays?", (target, port))?;
        Ok(client.recv(&mut [0; 16]).is_ok())
    })?;
    Ok([zt_lab::host::joined(server)?, answered])
}

#[test]
fn ip_only_keeps_ipx_out_and_lan_game_opens_the_game_and_closes_the_rest() {
    story(|town| {
        let party = Party::new(town)?;
        let (maker, id) = (party.maker(), &party.network.id);
        let (a, b, ip) = (
            &party.nodes[0].host,
            &party.nodes[1].host,
            party.joined[1].ip,
        );
        let set = |what: &[&str]| {
            let command = [&["network", "set", id][..], what].concat();
            town.master.ask(&command).map(|_| ())
        };
        let games: Vec<Vec<u8>> = Framing::ALL
            .into_iter()
            .flat_map(|framing| {
                [maker.to, [0xff; 6]].map(|to| padded(framing, to, maker.from, 40, 7))
            })
            .zip(0..)
            .map(|(frame, number)| marked(frame, number))
            .collect();
        let ipx = || Ok::<_, Failed>(party.heard(&games)?[0].clone());
        ensure(ipx()? == [true; 8], || {
            "IPX does not cross without rules".into()
        })?;

        set(&["--profile", "ip-only"])?;
        until(IN_FORCE, "ip-only lets IPX through", || {
            Ok(ipx()? == [false; 8])
        })?;
        let pings = traffic::ping(a, &ip.to_string(), 3, Duration::from_millis(50), 56)?;
        ensure(pings.lost() == 0, || format!("ip-only: {pings:?}"))?;
        ensure(tcp(a, b, ip, 2222)?, || "ip-only stops TCP".into())?;

        set(&["--profile", "lan-game", "--ports", "udp:27015,tcp:7777"])?;
        until(IN_FORCE, "lan-game stops IPX", || Ok(ipx()? == [true; 8]))?;
        let broadcast = Ipv4Addr::new(10, 31, 255, 255);
        for (what, open, expected) in [
            ("a game's datagram", udp(a, b, ip, 27_015)?, [true, true]),
            (
                "a game's broadcast",
                udp(a, b, broadcast, 27_015)?,
                [true, true],
            ),
            (
                "another port's broadcast",
                udp(a, b, broadcast, 500)?,
                [true, false],
            ),
            (
                "another port's datagram",
                udp(a, b, ip, 500)?,
                [false, false],
            ),
        ] {
            ensure(open == expected, || format!("lan-game, {what}: {open:?}"))?;
        }
        for (port, open) in [(7777, true), (2222, false), (445, false)] {
            let found = tcp(a, b, ip, port)?;
            ensure(found == open, || format!("lan-game, TCP {port}: {found}"))?;
        }
        let other = marked(maker.plain(0x88b5, 60), 99);
        ensure(!party.heard(&[other])?[0][0], || {
            "lan-game lets 0x88b5 through".into()
        })
    });
}

#[test]
fn rules_that_do_not_parse_or_exceed_the_limits_are_refused_and_the_running_ones_stay() {
    story(|town| {
        let party = Party::new(town)?;
        let maker = party.maker();
        let running = "drop if ethertype 0x88b5;\naccept;\n";
        party.follow(town, running)?;
        let frames = [
            marked(maker.plain(0x88b5, 60), 1),
            marked(maker.plain(0x88b6, 60), 2),
        ];
        let crossed = || Ok::<_, Failed>(party.heard(&frames)?[0].clone());
        ensure(crossed()? == [false, true], || "before".into())?;
        let path = format!("/api/v1/networks/{}", party.network.id);
        let (_, before) = http(town, "GET", &path, "")?;
        let many = "drop;\n".repeat(1_025);
        let long = format!("accept if {};\n", vec!["tcp"; 65].join(" or "));
        for (text, said) in [
            (
                "accept;\n  dorp if tcp;\n",
                "line 2, column 3: 'dorp' is no action",
            ),
            (
                "accept if (tcp or udp;\n",
                "line 1, column 22: expected ')', found ';'",
            ),
            ("accept if port-to 70000;\n", "line 1, column 19: a port"),
            (
                "accept if tag team equal;\n",
                "line 1, column 15: 'team' is not defined",
            ),
            (&many, "line 1025, column 1: more than 1024 rules"),
            (&long, "line 1, column 1: more than 128 tests"),
        ] {
            let outcome = town.master.rules(&party.network, text)?;
            let refused = outcome.code == 1 && outcome.stderr.contains(said);
            ensure(refused, || format!("zt-cli: {outcome:?}"))?;
            let body = serde_json::json!({ "rules": text }).to_string();
            let (status, answer) = http(town, "PATCH", &path, &body)?;
            let error = answer["error"].as_str().unwrap_or_default();
            let refused = status == 400 && answer["field"] == "rules" && error.contains(said);
            ensure(refused, || format!("HTTP: {status} {answer}"))?;
        }
        let (_, after) = http(town, "GET", &path, "")?;
        ensure(before == after, || format!("changed: {before} {after}"))?;
        ensure(crossed()? == [false, true], || {
            "what ran does not go on".into()
        })?;
        let (status, rules) = http(town, "GET", &format!("{path}/rules"), "")?;
        let compiled = &rules["compiled"]["rules"];
        ensure(status == 200 && compiled[1]["action"] == "drop", || {
            rules.to_string()
        })
    });
}

/// One request to the netconf-master's API, by hand: no client of ours between.
fn http(town: &Town, method: &str, path: &str, body: &str) -> Result<(u16, Value), Failed> {
    let token = std::fs::read_to_string(town.master.state.join("admin.token"))?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:9994\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}",
        token.trim()
    );
    let answer = town.master.host.inside(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", 9994))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| Failed::new(format!("no HTTP: {answer}")))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| Failed::new(format!("no status: {head}")))?;
    Ok((status, serde_json::from_str(body)?))
}
