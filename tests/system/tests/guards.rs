//! Guards: what a member's certificate does not cover crosses nowhere, is counted, named in a log, and lifted by one right each.
//!
//! In: frames on real devices, rights as an administrator gives them. Out: who heard what. Never: a look into a program.

use std::net::Ipv6Addr;

use zt_lab::{Failed, zt::until};
use zt_system_tests::{
    ensure,
    frames::{hex, marked},
    party::{IN_FORCE, Party, drops},
    story,
};

/// A guard, what it is counted as, the right that `explain` names, and a frame that needs it.
struct Guarded {
    name: &'static str,
    counted: &'static str,
    right: Option<&'static str>,
    frame: Vec<u8>,
}

#[allow(clippy::too_many_lines, reason = "a table, one row a guard")]
fn guarded(party: &Party, foreign: Ipv6Addr) -> Vec<Guarded> {
    let maker = party.maker();
    let mut borrowed = maker.clone();
    borrowed.ip_from = [10, 20, 0, 99].into();
    let mut stranger = maker.clone();
    stranger.from = [0x02, 0, 0, 0, 0, 0x99];
    let one = |name, counted, right, frame| Guarded {
        name,
        counted,
        right,
        frame,
    };
    let some = Some;
    let all = vec![
        one(
            "ip-source",
            "source-ip",
            some("any-source"),
            borrowed.udp(9, 9),
        ),
        one(
            "arp-sender",
            "source-ip",
            some("any-source"),
            borrowed.arp(),
        ),
        one(
            "nd-target",
            "source-ip",
            some("any-source"),
            maker.advertises(foreign),
        ),
        one(
            "dhcp-server",
            "dhcp-server",
            some("dhcp-server"),
            maker.broadcast().udp(67, 68),
        ),
        one(
            "router-advertisement",
            "router-advertisement",
            some("router"),
            maker.routes(),
        ),
        one(
            "source-mac",
            "source-mac",
            some("bridge"),
            stranger.plain(0x88b5, 60),
        ),
        one(
            "spanning-tree",
            "reserved-group",
            some("bridge"),
            maker
                .to_mac([0x01, 0x80, 0xc2, 0, 0, 0])
                .bytes(&[0, 38, 0x42, 0x42, 3, 0, 0, 0, 0]),
        ),
        one(
            "link-local-group",
            "reserved-group",
            None,
            maker
                .to_mac([0x01, 0x80, 0xc2, 0, 0, 0x0e])
                .plain(0x88cc, 60),
        ),
    ];
    all.into_iter()
        .zip(0..)
        .map(|(mut one, number)| {
            one.frame = marked(one.frame, number);
            one
        })
        .collect()
}

#[allow(clippy::too_many_lines, reason = "one story, told in order")]
#[test]
fn each_guard_stops_its_frame_counts_it_and_is_lifted_by_the_right_that_explain_names() {
    story(|town| {
        let party = Party::new(town)?;
        let id = &party.network.id;
        town.master.ask(&["network", "set", id, "ipv6=on"])?;
        let foreign: Ipv6Addr = "fd00::99".parse().map_err(|_| Failed::new("an address"))?;
        let [a, b, _] = &party.names;
        let (sender, receiver) = (&party.nodes[0], &party.nodes[1]);
        let all = guarded(&party, foreign);
        let frames: Vec<Vec<u8>> = all.iter().map(|one| one.frame.clone()).collect();
        let crossed = || Ok::<_, Failed>(party.heard(&frames)?[0].clone());
        // The computed IPv6 addresses have to be in the certificates before a claim of another is one.
        until(IN_FORCE, "without rights something crosses", || {
            Ok(!crossed()?.contains(&true))
        })?;
        for one in &all {
            let before = drops(sender, one.counted)?;
            party.heard(std::slice::from_ref(&one.frame))?;
            let counted = drops(sender, one.counted)? - before;
            ensure(counted == 1, || {
                format!("{}: counted {counted} times as {}", one.name, one.counted)
            })?;
            let said = party.explain(town, &["--frame", &hex(&one.frame)])?;
            let (verdict, guard) = (&said["verdict"], &said["guard"]);
            let named = verdict == "drop" && guard["name"] == one.name && guard["at"] == "sender";
            let right = guard["right"].as_str() == one.right;
            ensure(named && right && said["counted"][0] == one.counted, || {
                said.to_string()
            })?;
        }

        // One right after the other; each opens its own and nothing else.
        let steps: [(&str, &str, usize); 4] = [
            (a, "any-source", 3),
            (a, "dhcp-server", 4),
            (a, "router", 5),
            (a, "bridge", 6),
        ];
        let expect = |open: usize, what: &str| {
            let expected: Vec<bool> = (0..all.len()).map(|at| at < open).collect();
            until(
                IN_FORCE,
                &format!("{what} does not open the first {open}"),
                || Ok(crossed()? == expected),
            )
        };
        for (who, right, open) in steps {
            town.master
                .change(&party.network, who, &["--right", right])?;
            expect(open, right)?;
        }
        let tree = &all[6];
        let said = party.explain(town, &["--frame", &hex(&tree.frame)])?;
        ensure(said["guard"]["at"] == "receiver", || said.to_string())?;
        town.master
            .change(&party.network, b, &["--right", "bridge"])?;
        expect(7, "bridge at both ends")?;
        town.master
            .ask(&["network", "set", id, "link-local-groups=on"])?;
        expect(8, "link-local-groups")?;
        for one in &all {
            let said = party.explain(town, &["--frame", &hex(&one.frame)])?;
            ensure(said["verdict"] == "pass", || {
                format!("{}: {said}", one.name)
            })?;
        }
        told_once(&sender.process.log())?;

        // Taken back, everything is closed again.
        for right in ["any-source", "dhcp-server", "router", "bridge"] {
            town.master
                .change(&party.network, a, &["--no-right", right])?;
        }
        town.master
            .ask(&["network", "set", id, "link-local-groups=off"])?;
        expect(0, "taking the rights back")?;
        let entered = drops(receiver, "rule-rx")?;
        ensure(entered == 0, || {
            format!("{entered} drops are counted as the rules', of which there are none")
        })
    });
}

/// Many frames were stopped for each reason, and a person reads of each reason once.
fn told_once(log: &str) -> Result<(), Failed> {
    for said in [
        "a MAC that the member has no right to",
        "answers of a DHCP server are dropped",
        "router advertisements are dropped",
        "IP addresses that are not the member's",
        "a group that bridges keep to themselves",
    ] {
        let lines = log.lines().filter(|line| line.contains(said)).count();
        ensure(lines == 1, || format!("{said}: {lines} lines in\n{log}"))?;
    }
    Ok(())
}

#[test]
fn explain_refuses_strangers_and_frames_that_are_not_for_the_receiver() {
    story(|town| {
        let party = Party::new(town)?;
        let [a, b, c] = &party.names;
        let id = &party.network.id;
        let maker = party.maker();
        let to_third = hex(&party.between(0, 2).plain(0x88b5, 60));
        let to_nobody = hex(&maker.to_mac([0x02, 0, 0, 0, 0, 0x99]).plain(0x88b5, 60));
        let to_itself = hex(&party.between(0, 0).plain(0x88b5, 60));
        let stranger = "1a2b3c4d5e";
        for (what, code, said) in [
            (
                [id, a, stranger, "--icmp", ""],
                1,
                "has no member 1a2b3c4d5e",
            ),
            ([id, a, a, "--icmp", ""], 2, "name one member"),
            (
                ["89abcdef01000001", a, b, "--icmp", ""],
                1,
                "has no network",
            ),
            ([id, a, b, "--frame", &to_third], 2, c),
            ([id, a, b, "--frame", &to_nobody], 2, "no right to bridge"),
            ([id, a, b, "--frame", &to_itself], 2, "its sender's own"),
            ([id, a, b, "--frame", "ff"], 2, "at least 14 bytes"),
        ] {
            let [network, from, to, kind, frame] = what;
            let mut command = vec![
                "rules", "explain", network, "--from", from, "--to", to, kind,
            ];
            command.extend(Some(frame).filter(|frame| !frame.is_empty()));
            let outcome = town.master.cli(&command)?;
            let right = outcome.code == code && outcome.stderr.contains(said);
            ensure(right, || format!("{command:?}: {outcome:?}"))?;
        }
        town.master.deauthorize(&party.network, b)?;
        let said = party.explain(town, &["--icmp"])?;
        let outside = said["outside"].as_str().unwrap_or_default();
        ensure(
            said["verdict"] == "drop" && outside.contains("was put out"),
            || said.to_string(),
        )
    });
}
