//! Nodes on one Ethernet: joining, meeting, frames, being cut off, coming back.

mod harness;

use std::time::Duration;

use harness::lan::Lan;
use zt_engine::Role;
use zt_engine::interface::{Command, Input, Reply, Saved, Status};
use zt_wire::{KeyId, NetworkId};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_homes_are_on_one_ethernet_within_half_a_second() {
    let mut lan = Lan::new(2, true);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    let began = lan.net.now;
    lan.join(one, Some(lan.key));
    lan.join(two, Some(lan.key));
    lan.net.run(Duration::from_millis(150));
    assert_eq!((lan.status(one), lan.status(two)), (Status::Ok, Status::Ok));
    lan.send(one, Some(two), b"hello");
    lan.net.run(Duration::from_millis(150));
    assert_eq!(lan.got(two), [b"hello"]);
    assert!(lan.net.now.since(began) < Duration::from_millis(500));
}

#[test]
fn the_first_frames_of_a_cold_pair_all_arrive_in_order() {
    let mut lan = Lan::joined(2);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    for number in 0..40_u8 {
        lan.send(one, Some(two), &[number; 100]);
        lan.send(two, Some(one), &[number; 1_500]);
        lan.net.run(Duration::from_millis(10));
    }
    lan.net.run(SECOND * 2);
    let numbers = |frames: Vec<Vec<u8>>| frames.iter().map(|frame| frame[0]).collect::<Vec<_>>();
    assert_eq!(numbers(lan.got(two)), (0..40).collect::<Vec<_>>());
    assert_eq!(numbers(lan.got(one)), (0..40).collect::<Vec<_>>());
}

#[test]
fn a_broadcast_reaches_every_member_exactly_once() {
    let mut lan = Lan::joined(12);
    let first = lan.leaves[0];
    lan.send(first, None, b"everybody");
    lan.net.run(SECOND * 2);
    lan.send(first, None, b"again");
    lan.net.run(SECOND);
    for &n in &lan.leaves.clone()[1..] {
        assert_eq!(lan.got(n), [&b"everybody"[..], b"again"], "host {n}");
    }
    assert!(lan.got(first).is_empty());
}

#[test]
fn a_waiting_member_is_up_within_a_second_of_its_authorization() {
    let mut lan = Lan::new(1, false);
    let one = lan.leaves[0];
    lan.join(one, Some(lan.key));
    lan.net.run(SECOND * 10);
    assert_eq!(lan.status(one), Status::Requesting);
    lan.authorize(one, true);
    lan.net.run(SECOND);
    assert_eq!(lan.status(one), Status::Ok);
    assert!(lan.net.hosts[one].taps.contains_key(&lan.network));
}

#[test]
fn a_deauthorized_member_is_cut_off_in_both_directions() {
    let mut lan = Lan::joined(3);
    let [one, two, three] = [lan.leaves[0], lan.leaves[1], lan.leaves[2]];
    lan.send(one, None, b"before");
    lan.send(two, None, b"before");
    lan.net.run(SECOND);
    lan.got(one);
    lan.got(two);
    lan.authorize(two, false);
    lan.net.run(SECOND * 2);
    assert_ne!(lan.status(two), Status::Ok);
    assert!(lan.net.hosts[two].taps.is_empty());
    lan.send(one, Some(two), b"to");
    lan.send(two, Some(one), b"fro");
    lan.send(one, None, b"all");
    lan.net.run(SECOND * 2);
    assert!(lan.got(two).is_empty());
    assert!(lan.got(one).is_empty());
    assert!(lan.got(three).contains(&b"all".to_vec()));
    lan.authorize(two, true);
    lan.net.run(SECOND * 3);
    lan.send(one, Some(two), b"welcome back");
    lan.net.run(SECOND * 2);
    assert_eq!(lan.got(two), [b"welcome back"]);
}

#[test]
fn a_member_deauthorized_while_the_controller_cannot_reach_it_is_cut_off_by_the_others() {
    let mut lan = Lan::joined(2);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    lan.send(one, Some(two), b"before");
    lan.net.run(SECOND * 3);
    lan.got(two);
    // The controller's word does not reach the second member, neither straight nor through the supernode.
    let (network, address) = (lan.network, lan.net.address(two));
    let authority = lan.net.hosts[lan.controller].authority.as_mut().unwrap();
    let mut messages = authority.authorize(network, address, false);
    messages.retain(|(to, _)| *to != address);
    lan.push(messages);
    lan.net.run(SECOND * 2);
    lan.send(two, Some(one), b"still here?");
    lan.send(one, Some(two), b"no");
    lan.net.run(SECOND);
    assert!(lan.got(one).is_empty());
    assert!(lan.got(two).is_empty());
    assert_ne!(
        lan.status(two),
        Status::Ok,
        "the others passed the revocation on"
    );
}

#[test]
fn a_member_restarted_without_its_controller_is_back_with_the_others() {
    let mut lan = Lan::joined(2);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    lan.send(one, Some(two), b"before");
    lan.net.run(SECOND);
    lan.got(two);
    lan.net.hosts[lan.controller].up = false;
    let network = lan.network;
    let mut saved = lan.net.hosts[two].saved.iter().rev();
    let saved = saved
        .find(|saved| matches!(saved, Saved::Network(..)))
        .cloned()
        .unwrap();
    lan.net.hosts[two].taps.clear();
    lan.net.restart(two, 11, Role::Leaf);
    lan.net.input(two, Input::Restored(saved));
    lan.net.run(SECOND * 2);
    assert_eq!(lan.status(two), Status::Ok);
    assert!(lan.net.hosts[two].taps.contains_key(&network));
    lan.send(two, Some(one), b"back");
    lan.net.run(SECOND * 2);
    lan.send(one, Some(two), b"good");
    lan.net.run(SECOND);
    assert_eq!(lan.got(one).last().unwrap(), b"back");
    assert_eq!(lan.got(two), [b"good"]);
}

#[test]
fn a_wrong_fingerprint_is_denied_and_an_unknown_network_not_found() {
    let mut lan = Lan::new(2, true);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    lan.join(one, Some(KeyId::from_bytes([9; 32])));
    lan.network = NetworkId::new(lan.net.address(lan.controller), 77).unwrap();
    lan.join(two, Some(lan.key));
    lan.net.run(SECOND);
    assert_eq!(lan.status(one), Status::Denied);
    assert_eq!(lan.status(two), Status::NotFound);
}

#[test]
fn without_controller_or_supernode_a_network_is_unreachable_within_five_seconds() {
    for supernode in [false, true] {
        let mut lan = Lan::new(1, true);
        let one = lan.leaves[0];
        let gone = if supernode { 0 } else { lan.controller };
        lan.net.hosts[gone].up = false;
        lan.join(one, Some(lan.key));
        lan.net.run(SECOND * 5);
        assert_eq!(
            lan.status(one),
            Status::Unreachable,
            "supernode gone: {supernode}"
        );
        lan.net.hosts[gone].up = true;
        lan.net.run(SECOND * 60);
        assert_eq!(lan.status(one), Status::Ok, "supernode back: {supernode}");
    }
}

#[test]
fn a_bare_network_id_pins_what_it_meets() {
    let mut lan = Lan::new(1, true);
    let one = lan.leaves[0];
    lan.join(one, None);
    lan.net.run(SECOND);
    let info = lan.info(one);
    assert_eq!(info.status, Status::Ok);
    assert_eq!(
        (info.pinned, info.pinned_on_first_use),
        (Some(lan.key), true)
    );
}

#[test]
fn two_networks_at_once_stay_apart() {
    let mut lan = Lan::joined(3);
    let [one, two, three] = [lan.leaves[0], lan.leaves[1], lan.leaves[2]];
    let second = NetworkId::new(lan.net.address(lan.controller), 2).unwrap();
    lan.net.hosts[lan.controller]
        .authority
        .as_mut()
        .unwrap()
        .create(second, true);
    let first = std::mem::replace(&mut lan.network, second);
    lan.join(one, Some(lan.key));
    lan.join(two, Some(lan.key));
    lan.net.run(SECOND);
    lan.send(one, None, b"second");
    lan.net.run(SECOND);
    lan.network = first;
    lan.send(one, None, b"first");
    lan.net.run(SECOND);
    let on = |lan: &Lan, n: usize| {
        lan.net.hosts[n]
            .delivered
            .iter()
            .map(|(on, _)| *on)
            .collect::<Vec<_>>()
    };
    assert_eq!(on(&lan, two), [second, first]);
    assert_eq!(on(&lan, three), [first]);
}

#[test]
fn leaving_takes_the_device_away_and_frames_with_it() {
    let mut lan = Lan::joined(2);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    lan.send(one, Some(two), b"before");
    lan.net.run(SECOND);
    lan.got(two);
    let network = lan.network;
    assert!(matches!(
        lan.net.ask(two, Command::Leave(network)),
        Reply::Done
    ));
    assert!(lan.net.hosts[two].taps.is_empty());
    lan.send(one, Some(two), b"after");
    lan.net.run(SECOND);
    assert!(lan.got(two).is_empty());
}

#[test]
fn a_station_behind_a_bridge_is_reached_from_afar() {
    let mut lan = Lan::joined(3);
    let [one, two, three] = [lan.leaves[0], lan.leaves[1], lan.leaves[2]];
    let (network, address) = (lan.network, lan.net.address(one));
    let authority = lan.net.hosts[lan.controller].authority.as_mut().unwrap();
    let messages = authority.bridge(network, address, true);
    lan.push(messages);
    lan.net.run(SECOND * 2);
    assert!(lan.info(one).bridge);
    let station = [0x52, 0x54, 0, 7, 7, 7];
    let shout = [&[0xff; 6][..], &station, &[0x81, 0x37], b"who"].concat();
    lan.net.tap(one, network, &shout);
    lan.net.run(SECOND * 2);
    assert_eq!(
        (lan.got(two), lan.got(three)),
        (vec![b"who".to_vec()], vec![b"who".to_vec()])
    );
    let reply = [&station[..], &lan.mac(two).to_bytes(), &[0x81, 0x37], b"me"].concat();
    lan.net.tap(two, network, &reply);
    lan.net.run(SECOND);
    assert_eq!(lan.got(one), [b"me"]);
    assert!(lan.got(three).is_empty());
}

#[test]
fn members_stay_together_through_an_hour_of_rekeys() {
    let mut lan = Lan::joined(2);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    for minute in 0..60_u8 {
        lan.send(one, Some(two), &[minute]);
        lan.net.run(SECOND * 30);
        lan.send(two, Some(one), &[minute]);
        lan.net.run(SECOND * 30);
    }
    let all: Vec<Vec<u8>> = (0..60).map(|minute| vec![minute]).collect();
    assert_eq!(lan.got(two), all);
    assert_eq!(lan.got(one), all);
}

#[test]
fn an_idle_pair_sends_less_than_a_packet_in_ten_seconds() {
    let mut lan = Lan::joined(2);
    let [one, two] = [lan.leaves[0], lan.leaves[1]];
    lan.send(one, Some(two), b"once");
    lan.net.run(SECOND * 60);
    let before = lan.net.hosts[one].sent;
    lan.net.run(SECOND * 300);
    let sent = lan.net.hosts[one].sent - before;
    assert!(sent <= 30, "{sent} datagrams in 300 s");
}
