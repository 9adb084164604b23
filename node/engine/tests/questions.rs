//! Questions of a device that no directory answers reach a member that joins a moment later, once and not too late.

mod harness;

use std::time::Duration;

use harness::lan::Lan;
use zt_engine::interface::{Command, Status};

const ALMOST_A_SECOND: Duration = Duration::from_millis(990);
const SECOND: Duration = Duration::from_secs(1);

/// An ARP request of a host for the address that the controller gives to the `number`th member.
fn arp(lan: &Lan, from: usize, number: u8) -> Vec<u8> {
    let mac = lan.mac(from).to_bytes();
    let head = [0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1];
    let asked = [0, 0, 0, 0, 0, 0, 10, 7, 0, number];
    [&[0xff; 6][..], &mac, &head, &mac, &[10, 7, 0, 1], &asked].concat()
}

/// A neighbor solicitation of a host, behind a VLAN tag.
fn solicitation(lan: &Lan, from: usize) -> Vec<u8> {
    let mut frame = [0x33, 0x33, 0xff, 0, 0, 9].to_vec();
    frame.extend(lan.mac(from).to_bytes());
    frame.extend([0x81, 0, 0, 7, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255]);
    let [mut asker, mut group, mut target] = [[0; 16]; 3];
    asker[..2].copy_from_slice(&[0xfe, 0x80]);
    asker[15] = 1;
    group[..2].copy_from_slice(&[0xff, 2]);
    group[11..].copy_from_slice(&[1, 0xff, 0, 0, 9]);
    target[..2].copy_from_slice(&[0xfe, 0x80]);
    target[13..].copy_from_slice(&[0, 0, 9]);
    frame.extend(asker);
    frame.extend(group);
    frame.extend([135, 0, 0, 0, 0, 0, 0, 0]);
    frame.extend(target);
    frame
}

/// Two members that know each other and one that has not joined.
fn two_and_one() -> (Lan, [usize; 3]) {
    let mut lan = Lan::new(3, true);
    let [one, two, three] = [lan.leaves[0], lan.leaves[1], lan.leaves[2]];
    for n in [one, two] {
        lan.join(n, Some(lan.key));
    }
    lan.net.run(SECOND);
    lan.send(one, Some(two), b"hello");
    lan.send(two, Some(one), b"hello");
    lan.net.run(SECOND * 3);
    lan.got(one);
    lan.got(two);
    (lan, [one, two, three])
}

/// Joins and stops in the moment in which its device is up; nobody has heard of it then.
fn just_joined(lan: &mut Lan, n: usize) {
    lan.join(n, Some(lan.key));
    while lan.status(n) != Status::Ok {
        lan.net.run(Duration::from_millis(1));
    }
}

fn frames(lan: &mut Lan, n: usize) -> Vec<Vec<u8>> {
    let frames = std::mem::take(&mut lan.net.hosts[n].delivered);
    frames.into_iter().map(|(_, frame)| frame).collect()
}

#[test]
fn a_question_asked_before_a_member_was_listed_reaches_it_once_within_a_fraction_of_a_second() {
    let (mut lan, [one, two, three]) = two_and_one();
    just_joined(&mut lan, three);
    let network = lan.network;
    let asked = [arp(&lan, one, 3), solicitation(&lan, one)];
    for question in &asked {
        lan.net.tap(one, network, question);
    }
    assert!(
        frames(&mut lan, one).is_empty(),
        "the directory had an answer: nothing is tried here"
    );
    lan.net.run(SECOND / 5);
    assert_eq!(frames(&mut lan, three), asked);
    assert_eq!(frames(&mut lan, two), asked);
    lan.net.run(SECOND * 5);
    assert!(frames(&mut lan, three).is_empty());
    assert!(frames(&mut lan, two).is_empty(), "it had them already");
}

#[test]
fn a_member_that_is_met_before_it_is_listed_is_asked_once_too() {
    let (mut lan, [one, two, three]) = two_and_one();
    just_joined(&mut lan, three);
    lan.net.hosts[lan.controller].up = false;
    let (network, question) = (lan.network, arp(&lan, one, 3));
    lan.net.tap(one, network, &question);
    lan.send(three, Some(one), b"I am here");
    lan.net.run(SECOND / 2);
    assert_eq!(lan.got(one), [b"I am here"]);
    assert_eq!(frames(&mut lan, three), [&question[..]]);
    lan.net.hosts[lan.controller].up = true;
    lan.net.run(SECOND * 60);
    assert!(frames(&mut lan, three).is_empty());
    assert_eq!(frames(&mut lan, two), [&question[..]]);
}

#[test]
fn a_question_that_was_repeated_meanwhile_is_asked_once() {
    let (mut lan, [one, two, three]) = two_and_one();
    just_joined(&mut lan, three);
    let (network, question) = (lan.network, arp(&lan, one, 3));
    for _ in 0..5 {
        lan.net.tap(one, network, &question);
    }
    lan.net.run(SECOND / 5);
    assert_eq!(frames(&mut lan, three), [&question[..]]);
    assert_eq!(frames(&mut lan, two).len(), 5);
}

#[test]
fn a_question_that_is_older_than_a_second_is_not_asked_again() {
    let (mut lan, [one, _, three]) = two_and_one();
    let (network, question) = (lan.network, arp(&lan, one, 3));
    lan.net.tap(one, network, &question);
    lan.net.run(ALMOST_A_SECOND);
    just_joined(&mut lan, three);
    lan.net.run(SECOND * 5);
    assert!(frames(&mut lan, three).is_empty());
}

#[test]
fn what_is_no_question_waits_for_nobody_who_is_unknown() {
    let (mut lan, [one, two, three]) = two_and_one();
    just_joined(&mut lan, three);
    let network = lan.network;
    let mut answer = arp(&lan, one, 3);
    answer[21] = 2;
    lan.net.tap(one, network, &answer);
    lan.send(one, None, b"to all who are there");
    lan.net.run(SECOND * 5);
    assert_eq!(frames(&mut lan, two).len(), 2);
    assert!(frames(&mut lan, three).is_empty());
}

#[test]
fn a_question_from_before_the_device_went_down_is_forgotten() {
    let (mut lan, [one, _, three]) = two_and_one();
    let (network, question) = (lan.network, arp(&lan, one, 3));
    lan.net.tap(one, network, &question);
    let leave = Command::Leave(network);
    lan.net.ask(one, leave);
    lan.join(one, Some(lan.key));
    just_joined(&mut lan, three);
    lan.net.run(SECOND * 5);
    assert!(frames(&mut lan, three).is_empty());
}
