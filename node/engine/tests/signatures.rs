//! Signatures that a member brings are checked away from the packets, in order, and within a budget.

mod harness;

use std::time::Duration;

use harness::lan::Lan;
use harness::somebody;
use zt_engine::counters::DropReason;
use zt_engine::interface::{Command, Reply};
use zt_wire::{Certificate, MessageType, Revocation, Rights};

const SECOND: Duration = Duration::from_secs(1);

/// A record's signed bytes as a message, the signature spoilt.
fn forged(kind: MessageType, mut bytes: Vec<u8>) -> Vec<u8> {
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    signed(kind, &bytes)
}

/// A record's signed bytes as a message.
fn signed(kind: MessageType, record: &[u8]) -> Vec<u8> {
    let length = u16::try_from(record.len()).expect("short").to_be_bytes();
    [&[kind as u8][..], &length, record].concat()
}

/// How often the first member checked a bad signature, and how often it refused to look.
fn checked(lan: &Lan) -> (u64, u64) {
    let counters = lan.net.hosts[lan.leaves[0]].counters();
    (
        counters.dropped(DropReason::Signature),
        // A pool that is behind has no room for as many as that.
        counters.dropped(DropReason::ControlRate) + counters.dropped(DropReason::QueueFull),
    )
}

#[test]
fn a_member_that_forges_signatures_gets_one_checked_and_the_others_lose_nothing() {
    let mut lan = Lan::joined(3);
    let [one, two, three] = [lan.leaves[0], lan.leaves[1], lan.leaves[2]];
    lan.send(two, Some(one), b"hello");
    lan.net.run(SECOND);
    lan.got(one);
    let (secret, who) = somebody(11);
    assert_eq!(who.address(), lan.net.address(two));
    let certificate = Certificate {
        network: lan.network,
        key: who.key(),
        address: who.address(),
        mac: lan.mac(two),
        rights: Rights::BRIDGE,
        serial: 9,
        epoch: 1,
        ips: vec![],
        tags: vec![],
    };
    let revocation = Revocation {
        network: lan.network,
        key: lan.net.hosts[three].who.key(),
        minimum: 9,
        epoch: 1,
    };
    let mut world = lan.net.world.clone();
    world.serial += 1;
    let kinds = [
        forged(MessageType::Credential, secret.sign(&certificate)),
        forged(MessageType::Revocation, secret.sign(&revocation)),
        forged(MessageType::World, lan.net.signing.sign(&world)),
    ];
    let to = lan.net.address(one);
    for (round, message) in (1..).zip(kinds) {
        let before = checked(&lan);
        // Many in one body, and many bodies.
        for _ in 0..100 {
            let message = message.repeat(5);
            lan.net.command(two, Command::Push { to, message });
        }
        lan.net.run(SECOND);
        let after = checked(&lan);
        let seen = (after.0 - before.0, after.1 - before.1);
        assert_eq!(seen, (1, 499), "kind {round}");
        // Others are heard as before, and so is this one in what needs no signature.
        lan.send(three, Some(one), b"from three");
        lan.send(two, Some(one), b"from two");
        lan.net.run(SECOND);
        let mut got = lan.got(one);
        got.sort();
        assert_eq!(got, [&b"from three"[..], b"from two"], "kind {round}");
        lan.net.run(SECOND * 5);
    }
    assert!(!lan.info(one).bridge);
}

#[test]
fn signed_messages_that_hold_have_a_budget_too() {
    let mut lan = Lan::joined(2);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    lan.send(two, Some(one), b"hello");
    lan.net.run(SECOND);
    let (member, controller) = (somebody(11).1, somebody(100).0);
    let to = lan.net.address(one);
    let revocation = Revocation {
        network: lan.network,
        key: member.key(),
        minimum: 0,
        epoch: 1,
    };
    let message = signed(MessageType::Revocation, &controller.sign(&revocation));
    for _ in 0..600 {
        let message = message.repeat(5);
        lan.net.command(two, Command::Push { to, message });
    }
    lan.net.run(SECOND / 2);
    let (bad, refused) = checked(&lan);
    assert_eq!(bad, 0);
    assert!(
        (995..=1_000).contains(&refused),
        "{refused} of 3,000 that came at once"
    );
    lan.net.run(SECOND * 10);
    let five = message.repeat(5);
    let push = Command::Push {
        to,
        message: five.clone(),
    };
    lan.net.command(two, push);
    lan.net.run(SECOND);
    assert_eq!(checked(&lan), (0, refused));
    // The controller may have that many to revoke.
    for _ in 0..600 {
        let message = five.clone();
        lan.net
            .command(lan.controller, Command::Push { to, message });
    }
    lan.net.run(SECOND / 2);
    assert_eq!(checked(&lan), (0, refused));
}

#[test]
fn frames_pass_while_a_certificate_is_checked_and_what_its_sender_says_behind_it_waits() {
    let mut lan = Lan::joined(3);
    let [one, two, three] = [lan.leaves[0], lan.leaves[1], lan.leaves[2]];
    for from in [two, three] {
        lan.send(from, Some(one), b"hello");
    }
    lan.net.run(SECOND);
    lan.got(one);
    lan.net.hosts[one].work_lag = SECOND * 2;
    let (_, who) = somebody(11);
    let certificate = Certificate {
        network: lan.network,
        key: who.key(),
        address: who.address(),
        mac: lan.mac(two),
        rights: Rights::NONE,
        serial: 9,
        epoch: 1,
        ips: vec![],
        tags: vec![],
    };
    let message = signed(MessageType::Credential, &somebody(100).0.sign(&certificate));
    let to = lan.net.address(one);
    lan.net.command(two, Command::Push { to, message });
    lan.net.run(SECOND / 10);
    let limit = SECOND * 5;
    let behind = lan.net.command(two, Command::Ping { to, limit });
    let beside = lan.net.command(three, Command::Ping { to, limit });
    for from in [two, three] {
        lan.send(from, Some(one), b"meanwhile");
    }
    lan.net.run(SECOND / 10);
    assert_eq!(lan.got(one), [b"meanwhile", b"meanwhile"]);
    let pong = |lan: &Lan, who: usize, id| {
        let reply = lan.net.hosts[who].replies.get(id);
        reply.is_some_and(|reply| matches!(reply, Reply::Pong(..)))
    };
    assert!(pong(&lan, three, &beside) && !pong(&lan, two, &behind));
    lan.net.run(SECOND * 2);
    assert!(pong(&lan, two, &behind));
    assert_eq!(checked(&lan), (0, 0));
}

#[test]
fn first_frames_wait_for_a_certificate_that_is_being_checked() {
    let mut lan = Lan::joined(2);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    lan.net.hosts[one].work_lag = Duration::from_millis(30);
    for number in 0..40_u8 {
        for (from, to) in [(one, two), (two, one)] {
            lan.send(from, Some(to), &[number; 100]);
        }
        lan.net.run(Duration::from_millis(2));
    }
    lan.net.run(SECOND);
    for leaf in [one, two] {
        let numbers: Vec<u8> = lan.got(leaf).iter().map(|frame| frame[0]).collect();
        assert_eq!(numbers, (0..40).collect::<Vec<_>>(), "at host {leaf}");
        let counters = lan.net.hosts[leaf].counters();
        assert_eq!(counters.dropped(DropReason::NotMember), 0);
    }
}

#[test]
fn frames_pass_while_a_world_is_checked_and_the_newest_of_two_is_adopted() {
    let mut lan = Lan::joined(2);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    lan.send(two, Some(one), b"hello");
    lan.net.run(SECOND);
    lan.got(one);
    lan.net.hosts[one].work_lag = SECOND;
    let replies: Vec<_> = [2, 3]
        .map(|serial| {
            lan.net.world.serial = serial;
            let signed = lan.net.signing.sign(&lan.net.world);
            lan.net.command(one, Command::AdoptWorld(signed))
        })
        .into();
    lan.send(two, Some(one), b"meanwhile");
    lan.net.run(SECOND / 10);
    assert_eq!(lan.got(one), [b"meanwhile"]);
    let open = |lan: &Lan, reply| !lan.net.hosts[one].replies.contains_key(reply);
    assert!(
        replies.iter().all(|reply| open(&lan, reply)),
        "being checked"
    );
    // The second was checked against the world that the first has replaced: it is checked again.
    lan.net.run(SECOND * 3);
    for reply in &replies {
        let reply = &lan.net.hosts[one].replies[reply];
        assert!(matches!(reply, Reply::Done), "{reply:?}");
    }
    let world = lan.net.hosts[one].node.engine().world();
    assert_eq!(world.world().serial, 3);
}

#[test]
fn a_member_that_floods_with_rekeys_uses_up_its_own_budget_of_handshakes() {
    let mut lan = Lan::joined(2);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    lan.send(two, Some(one), b"hello");
    lan.net.run(SECOND * 5);
    lan.got(one);
    let to = lan.net.address(one);
    for n in 0..1_500_u16 {
        let mut message = vec![MessageType::RekeyInit as u8, 0x05, 0x00];
        message.resize(3 + 0x500, 9);
        message[3..5].copy_from_slice(&n.to_be_bytes());
        lan.net.command(two, Command::Push { to, message });
    }
    lan.net.run(SECOND / 2);
    let counters = lan.net.hosts[one].counters();
    let rate = counters.dropped(DropReason::HandshakeRate);
    assert!((300..500).contains(&rate), "{rate} of 1,500");
    lan.send(two, Some(one), b"still here");
    lan.net.run(SECOND * 200);
    assert_eq!(lan.got(one), [b"still here"]);
    lan.send(one, Some(two), b"and renewed");
    lan.net.run(SECOND);
    assert_eq!(lan.got(two), [b"and renewed"]);
}
