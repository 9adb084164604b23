//! The switch: what goes in at one member comes out at the others as it was, once, and nowhere else.
//!
//! In: frames of any shape on real TAPs. Out: who heard what. Never: an opinion on the frames.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use zt_lab::{
    Failed,
    capture::{Capture, contains},
    ipx::{Framing, Station, cross},
    raw,
    traffic::{self, Dice},
    zt::{Joined, until},
};
use zt_system_tests::{Couple, ensure, ensure_all_cross, story};

fn stations(couple: &Couple) -> Result<(Station, Station), Failed> {
    Ok((
        Station::new(&couple.a.host, &couple.ja.device)?,
        Station::new(&couple.b.host, &couple.jb.device)?,
    ))
}

#[test]
fn ipx_crosses_in_four_framings_both_ways_byte_for_byte() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        for framing in Framing::ALL {
            for pair in [couple.pair(), couple.pair().turned()] {
                ensure(pair.ipx(framing)?, || {
                    format!("{framing:?} was lost, changed or doubled")
                })?;
            }
        }
        Ok(())
    });
}

#[test]
fn frames_of_every_length_cross_with_their_padding_in_order_and_once() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let (a, b) = stations(&couple)?;
        let mut dice = Dice::new(7);
        let mut frames = Vec::new();
        for (kind, length) in (14..=1514)
            .step_by(50)
            .chain([60, 61, 1513, 1514])
            .enumerate()
        {
            let mut frame = [&b.mac[..], &a.mac[..]].concat();
            // A local experimental EtherType, and a length field that says less than the frame has.
            let field: u16 = if kind % 2 == 0 { 0x88b5 } else { 0x0003 };
            frame.extend_from_slice(&field.to_be_bytes());
            dice.fill(&mut frame, length - 14);
            frames.push(frame);
        }
        ensure_all_cross(&a, &b, &frames)
    });
}

#[test]
fn tagged_frames_cross_with_one_tag_and_with_two() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let (a, b) = stations(&couple)?;
        let frames: Vec<Vec<u8>> = [
            &[0x81, 0x00, 0x00, 0x07][..],
            &[0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0x00, 0x07],
        ]
        .iter()
        .map(|tags| [&b.mac[..], &a.mac, tags, &[0x88, 0xb5], &[0x3c; 100]].concat())
        .collect();
        // The kernel takes the outer tag off before a raw socket sees the frame; tcpdump puts it back.
        let file = b.host.dir().join("tagged.pcap");
        let mut tcpdump = b.host.command("tcpdump");
        tcpdump
            .args(["-Z", "root", "-U", "-i", &b.device, "-w"])
            .arg(&file);
        let mut listening = b.host.start("tcpdump", &mut tcpdump)?;
        until(Duration::from_secs(5), "tcpdump never listens", || {
            Ok(listening.log().contains("listening on"))
        })?;
        let mut mouth = raw::Port::open(&a.host, &a.device)?;
        for frame in &frames {
            mouth.send(frame)?;
        }
        until(
            Duration::from_secs(3),
            "a tagged frame does not cross",
            || {
                let heard = fs::read(&file)?;
                Ok(frames.iter().all(|frame| contains(&heard, frame)))
            },
        )?;
        listening.stop().map(|_| ())
    });
}

#[test]
fn a_full_frame_crosses_an_underlay_of_the_same_mtu() {
    story(|town| {
        let (_homes, couple) = town.homes()?;
        couple.pair().first_ping()?;
        for pair in [couple.pair(), couple.pair().turned()] {
            let target = pair.b.1.ip.to_string();
            // 1,472 bytes of ICMP payload with DF: 1,500 of IP, 1,514 of Ethernet.
            let pings =
                traffic::ping(&pair.a.0.host, &target, 40, Duration::from_millis(25), 1472)?;
            ensure(pings.lost() == 0, || format!("{pings:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn nothing_is_lost_while_relay_gives_way_to_a_direct_path() {
    story(|town| {
        let (_homes, couple) = town.homes()?;
        let pings = couple.pair().ping(400, Duration::from_millis(10))?;
        ensure(pings.lost() == 0, || format!("{pings:?}"))?;
        let kind = couple.pair().path()?;
        ensure(kind == "direct", || {
            format!("the path is {kind} after 4 s of pings")
        })
    });
}

#[test]
fn a_broadcast_reaches_every_other_member_exactly_once() {
    story(|town| {
        let couple = town.pair()?;
        let third = town.node("c")?;
        let invite = town.master.invite(&couple.network)?;
        let jc = third.join(&invite)?;
        couple.meet_directly()?;
        traffic::first_ping(&couple.a.host, &jc.ip.to_string(), Duration::from_secs(10))?;
        let ears: Vec<Capture> = [(&couple.b.host, &couple.jb), (&third.host, &jc)]
            .iter()
            .map(|(host, joined): &(_, &Joined)| Capture::start(host, &joined.device))
            .collect::<Result<_, _>>()?;
        let from = raw::mac(&couple.a.host, &couple.ja.device)?;
        let mut mouth = raw::Port::open(&couple.a.host, &couple.ja.device)?;
        let frames: Vec<Vec<u8>> = (0..50_u8)
            .map(|serial| [&[0xff; 6][..], &from, &[0x88, 0xb5], &[serial; 80]].concat())
            .collect();
        for frame in &frames {
            mouth.send(frame)?;
        }
        std::thread::sleep(Duration::from_millis(700));
        for ear in &ears {
            let heard: Vec<Vec<u8>> = ear
                .frames()
                .into_iter()
                .map(|seen| seen.bytes)
                .filter(|bytes| frames.contains(bytes))
                .collect();
            ensure(heard == frames, || {
                format!(
                    "{} of {} broadcasts, or in another order",
                    heard.len(),
                    frames.len()
                )
            })?;
        }
        Ok(())
    });
}

#[test]
fn a_frame_with_somebody_else_s_mac_goes_nowhere() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let (a, b) = stations(&couple)?;
        let stranger = [0x02, 0, 0, 0, 0, 0x99];
        let frame = [&b.mac[..], &stranger, &[0x88, 0xb5], &[1; 60]].concat();
        ensure(cross(&a, &b, &[frame])? == [false], || {
            "it arrived".to_owned()
        })?;
        let drops = couple.a.ask(&["counters"])?["drops"].clone();
        let counted = drops
            .as_object()
            .is_some_and(|drops| drops.values().any(|count| count.as_u64() > Some(0)));
        ensure(counted, || format!("no drop is counted: {drops}"))
    });
}

#[test]
fn several_networks_at_once_stay_apart() {
    story(|town| {
        let (a, b) = (town.node("a")?, town.node("b")?);
        let mut joined = Vec::new();
        for (name, cidr) in [
            ("one", "10.41.0.0/24"),
            ("two", "10.42.0.0/24"),
            ("three", "10.43.0.0/24"),
        ] {
            let network = town.master.create(name, cidr)?;
            let invite = town.master.invite(&network)?;
            for node in [&a, &b] {
                node.cli(&["join", &invite, "--wait", "15"])?.good()?;
            }
            joined.push((a.joined(&network.id)?, b.joined(&network.id)?));
        }
        for (_, jb) in &joined {
            traffic::first_ping(&a.host, &jb.ip.to_string(), Duration::from_secs(10))?;
        }
        // A frame put on one network's device is heard on that network's device only.
        let mut mouth = raw::Port::open(&a.host, &joined[0].0.device)?;
        let mut other = raw::Port::open(&b.host, &joined[1].1.device)?;
        let from = raw::mac(&a.host, &joined[0].0.device)?;
        let frame = [&[0xff; 6][..], &from, &[0x88, 0xb5], &[9; 60]].concat();
        mouth.send(&frame)?;
        let deadline = Instant::now() + Duration::from_millis(500);
        let leaked = other.hear(deadline, |seen| seen == frame.as_slice())?;
        ensure(leaked.is_none(), || "a frame changed networks".to_owned())
    });
}

#[test]
fn two_homes_with_one_private_subnet_meet_directly() {
    story(|town| {
        let (homes, couple) = town.homes()?;
        // The second home takes the first one's addresses, as vendors' defaults do.
        homes[1].host.ip("addr add 192.168.1.10/24 dev eth0")?;
        couple.pair().first_ping()?;
        couple.pair().direct(Instant::now())?;
        let pings = couple.pair().ping(20, Duration::from_millis(20))?;
        ensure(pings.lost() == 0, || format!("{pings:?}"))
    });
}

#[test]
fn a_tcp_stream_runs_both_ways_between_homes() {
    story(|town| {
        let (_homes, couple) = town.homes()?;
        couple.meet_directly()?;
        for pair in [couple.pair(), couple.pair().turned()] {
            let rate = pair.tcp(Duration::from_secs(2))? / 1e6;
            zt_system_tests::measured(
                "TCP between homes, unoptimised build",
                format!("{rate:.0} Mbit/s"),
            );
            ensure(rate > 5.0, || format!("{rate:.1} Mbit/s"))?;
        }
        Ok(())
    });
}

/// Sends bursts of datagrams of all sizes, in runs of one size, and says what came otherwise.
fn bursts(couple: &Couple, count: u32) -> Result<(), Failed> {
    let bind = |ip: Ipv4Addr| move || Ok(UdpSocket::bind((ip, 0))?);
    let mouth = couple.a.host.inside(bind(couple.ja.ip))?;
    let ear = couple.b.host.inside(bind(couple.jb.ip))?;
    mouth.connect(ear.local_addr()?)?;
    ear.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut dice = Dice::new(11);
    let mut heard = [0; 2048];
    for burst in 0..count {
        // Runs of one size, which may be joined on their way, with others in between.
        let mut datagrams: Vec<Vec<u8>> = Vec::new();
        while datagrams.len() < 30 {
            let size = [1, 64, 300, 1200, 1472][dice.below(5)] - dice.below(2);
            for _ in 0..=dice.below(12) {
                let mut bytes = Vec::new();
                dice.fill(&mut bytes, size);
                datagrams.push(bytes);
            }
        }
        for datagram in &datagrams {
            mouth.send(datagram)?;
        }
        for (index, datagram) in datagrams.iter().enumerate() {
            let length = ear.recv(&mut heard).map_err(|error| {
                Failed::new(format!("burst {burst}: no datagram {index}: {error}"))
            })?;
            ensure(heard[..length] == **datagram, || {
                format!("burst {burst}: datagram {index} is another one or changed")
            })?;
        }
    }
    Ok(())
}

#[test]
fn bursts_of_datagrams_of_all_sizes_arrive_whole_and_in_order() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        bursts(&couple, 200)
    });
}

#[test]
fn a_path_that_swallows_trains_gets_its_datagrams_one_by_one() {
    story(|town| {
        let hosts = [town.internet.public("a")?.0, town.internet.public("b")?.0];
        // Trains pass a veth pair as they are; a single datagram is never so long.
        hosts[1].nft(
            "table netdev trains {\n chain in {\n type filter hook ingress device wan priority 0;\n meta length > 1600 drop\n }\n}",
        )?;
        let couple = town.couple_on(town.network()?, &hosts)?;
        couple.meet_directly()?;
        ensure(bursts(&couple, 20).is_err(), || {
            "trains pass: this story is about nothing".into()
        })?;
        until(Duration::from_secs(15), "trains are not given up", || {
            Ok(couple.a.process.log().contains("sending them one by one"))
        })?;
        bursts(&couple, 50)?;
        let there = couple.pair().tcp(Duration::from_secs(1))? / 1e6;
        ensure(there > 5.0, || format!("{there:.1} Mbit/s"))
    });
}
