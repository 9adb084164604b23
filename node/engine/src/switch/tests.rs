//! Who gets a frame, and who does not.
//!
//! In: members and frames made here. Out: assertions. Never: a session.

use std::vec;

use super::*;

const NOW: Mono = Mono::from_nanos(1_000_000_000);

fn address(last: u8) -> Address {
    Address::from_bytes([0x11, 0x22, 0x33, 0x44, last]).unwrap()
}

fn network() -> NetworkId {
    NetworkId::new(address(0xcc), 7).unwrap()
}

fn mac(last: u8) -> Mac {
    Mac::of(address(last), network())
}

fn key(last: u8) -> KeyId {
    KeyId::from_bytes([last; 32])
}

/// We are member 1.
fn switch(bridge: bool) -> Switch {
    let mut switch = Switch::new(5);
    switch.up(NetworkUp {
        network: network(),
        mac: mac(1),
        mtu: 1_500,
        bridge,
    });
    switch
}

fn member(last: u8, rights: u32) -> Member {
    Member {
        address: address(last),
        key: key(last),
        mac: mac(last),
        rights,
        ips: vec![],
        tags: vec![],
    }
}

fn frame(to: Mac, from: Mac) -> Vec<u8> {
    [
        &to.to_bytes()[..],
        &from.to_bytes(),
        &[0x81, 0x37, 0xff, 0xff],
    ]
    .concat()
}

fn station(last: u8) -> Mac {
    Mac::from_bytes([0x00, 0x16, 0x3e, 0, 0, last])
}

#[test]
fn a_broadcast_is_for_each_member_once_and_never_for_ourselves() {
    let mut switch = switch(false);
    switch.member(network(), member(3, 0));
    switch.listed(network(), address(3), vec![], false);
    switch.listed(network(), address(2), vec![], false);
    switch.listed(network(), address(1), vec![], false);
    let table = switch.get(network()).unwrap();
    let receivers = table
        .receivers(NOW, &frame(Mac::BROADCAST, mac(1)))
        .unwrap();
    assert_eq!(
        table.each(receivers).collect::<Vec<_>>(),
        [address(2), address(3)]
    );
}

#[test]
fn unknown_unicast_goes_to_bridges_only() {
    let mut switch = switch(false);
    switch.member(network(), member(2, 0));
    switch.member(network(), member(3, RIGHT_BRIDGE));
    switch.listed(network(), address(4), vec![], true);
    let table = switch.get(network()).unwrap();
    let receivers = table.receivers(NOW, &frame(station(9), mac(1))).unwrap();
    assert_eq!(
        table.each(receivers).collect::<Vec<_>>(),
        [address(3), address(4)]
    );
}

#[test]
fn a_station_behind_a_bridge_is_reached_through_that_bridge() {
    let mut switch = switch(false);
    switch.member(network(), member(3, RIGHT_BRIDGE));
    let table = switch.get_mut(network()).unwrap();
    table
        .accept(
            NOW,
            (address(3), key(3)),
            &frame(Mac::BROADCAST, station(9)),
            &mut Notes::new(),
        )
        .unwrap();
    assert_eq!(
        table.receivers(NOW, &frame(station(9), mac(1))),
        Ok(Receivers::One(address(3)))
    );
    switch.member_out(network(), address(3));
    let table = switch.get(network()).unwrap();
    assert_eq!(
        table.receivers(NOW, &frame(station(9), mac(1))),
        Ok(Receivers::Bridges)
    );
}

#[test]
fn a_member_without_the_bridge_right_sends_only_from_its_own_mac() {
    let mut switch = switch(false);
    switch.member(network(), member(2, 0));
    let table = switch.get_mut(network()).unwrap();
    let broadcast = |from| frame(Mac::BROADCAST, from);
    assert_eq!(
        table.accept(
            NOW,
            (address(2), key(2)),
            &broadcast(mac(2)),
            &mut Notes::new()
        ),
        Ok(())
    );
    assert_eq!(
        table.accept(
            NOW,
            (address(2), key(2)),
            &broadcast(station(9)),
            &mut Notes::new()
        ),
        Err(DropReason::SourceMac)
    );
    assert_eq!(table.learned_len(), 0);
}

#[test]
fn a_bridge_cannot_speak_for_another_member() {
    let mut switch = switch(false);
    switch.member(network(), member(2, RIGHT_BRIDGE));
    switch.listed(network(), address(3), vec![], false);
    let table = switch.get_mut(network()).unwrap();
    assert_eq!(
        table.accept(
            NOW,
            (address(2), key(2)),
            &frame(mac(1), mac(3)),
            &mut Notes::new()
        ),
        Err(DropReason::SourceMac)
    );
    assert_eq!(
        table.accept(
            NOW,
            (address(2), key(2)),
            &frame(mac(1), Mac::BROADCAST),
            &mut Notes::new()
        ),
        Err(DropReason::SourceMac)
    );
}

#[test]
fn the_same_address_with_another_key_is_not_the_member() {
    let mut switch = switch(false);
    switch.member(network(), member(2, 0));
    let table = switch.get_mut(network()).unwrap();
    assert_eq!(
        table.accept(
            NOW,
            (address(2), key(9)),
            &frame(mac(1), mac(2)),
            &mut Notes::new()
        ),
        Err(DropReason::NotMember)
    );
    assert_eq!(table.valid(address(2), key(9)), None);
}

#[test]
fn a_member_cut_off_is_neither_sender_nor_receiver() {
    let mut switch = switch(false);
    switch.member(network(), member(2, 0));
    switch.listed(network(), address(2), vec![], false);
    switch.member_out(network(), address(2));
    switch.unlisted(network(), address(2));
    let table = switch.get_mut(network()).unwrap();
    assert_eq!(
        table.accept(
            NOW,
            (address(2), key(2)),
            &frame(mac(1), mac(2)),
            &mut Notes::new()
        ),
        Err(DropReason::NotMember)
    );
    assert_eq!(table.each(Receivers::All).count(), 0);
}

#[test]
fn our_own_frame_that_comes_back_is_dropped() {
    let mut switch = switch(true);
    switch.member(network(), member(2, RIGHT_BRIDGE));
    let table = switch.get_mut(network()).unwrap();
    assert_eq!(
        table.accept(
            NOW,
            (address(2), key(2)),
            &frame(Mac::BROADCAST, mac(1)),
            &mut Notes::new()
        ),
        Err(DropReason::Loop)
    );
    assert_eq!(
        table.receivers(NOW, &frame(mac(1), mac(1))),
        Err(DropReason::Loop)
    );
}

#[test]
fn only_a_bridge_sends_from_other_macs_than_its_own() {
    let table = switch(false);
    let from_station = frame(Mac::BROADCAST, station(1));
    assert_eq!(
        table.get(network()).unwrap().receivers(NOW, &from_station),
        Err(DropReason::SourceMac)
    );
    let table = switch(true);
    assert_eq!(
        table.get(network()).unwrap().receivers(NOW, &from_station),
        Ok(Receivers::All)
    );
}

#[test]
fn spanning_tree_passes_between_bridges_and_pause_frames_pass_nowhere() {
    let spanning_tree = Mac::from_bytes([0x01, 0x80, 0xc2, 0, 0, 0]);
    let pause = Mac::from_bytes([0x01, 0x80, 0xc2, 0, 0, 1]);
    let mut switch = switch(true);
    switch.member(network(), member(2, RIGHT_BRIDGE));
    switch.member(network(), member(3, 0));
    let table = switch.get_mut(network()).unwrap();
    assert_eq!(
        table.receivers(NOW, &frame(spanning_tree, mac(1))),
        Ok(Receivers::Bridges)
    );
    assert_eq!(
        table.receivers(NOW, &frame(pause, mac(1))),
        Err(DropReason::ReservedGroup)
    );
    assert_eq!(
        table.accept(
            NOW,
            (address(2), key(2)),
            &frame(spanning_tree, mac(2)),
            &mut Notes::new()
        ),
        Ok(())
    );
    assert_eq!(
        table.accept(
            NOW,
            (address(3), key(3)),
            &frame(spanning_tree, mac(3)),
            &mut Notes::new()
        ),
        Err(DropReason::ReservedGroup)
    );
}

#[test]
fn two_tags_fit_beyond_the_mtu_and_a_header_is_the_least() {
    let switch = switch(false);
    let table = switch.get(network()).unwrap();
    assert!(table.fits(14) && table.fits(1_514) && table.fits(1_522));
    assert!(!table.fits(13) && !table.fits(1_523));
}

fn arp_request(target: [u8; 4]) -> Vec<u8> {
    let mut arp = [
        &[0xff; 6][..],
        &mac(1).to_bytes(),
        &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1],
    ]
    .concat();
    arp.extend_from_slice(&mac(1).to_bytes());
    arp.extend_from_slice(&[10, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    arp.extend_from_slice(&target);
    arp
}

#[test]
fn an_arp_question_about_a_listed_member_is_answered_here() {
    let mut switch = switch(false);
    switch.listed(network(), address(2), vec![[10, 0, 0, 2].into()], false);
    let table = switch.get(network()).unwrap();
    let mut out = vec![];
    assert!(answer(table, &arp_request([10, 0, 0, 2]), &mut out));
    assert_eq!(macs(&out), Some((mac(1), mac(2))));
    assert_eq!(out[20..22], [0, 2], "a reply");
    assert_eq!(out[22..28], mac(2).to_bytes());
    assert_eq!(out[28..32], [10, 0, 0, 2]);
    assert!(
        !answer(table, &arp_request([10, 0, 0, 3]), &mut out),
        "nobody is known to have it"
    );
    assert!(
        !answer(table, &arp_request([10, 0, 0, 1]), &mut out),
        "gratuitous"
    );
}

#[test]
fn a_member_that_moves_its_address_is_answered_for_at_the_new_one() {
    let mut switch = switch(false);
    switch.listed(network(), address(2), vec![[10, 0, 0, 2].into()], false);
    switch.listed(network(), address(2), vec![[10, 0, 0, 5].into()], false);
    let table = switch.get(network()).unwrap();
    assert!(!answer(table, &arp_request([10, 0, 0, 2]), &mut vec![]));
    assert!(answer(table, &arp_request([10, 0, 0, 5]), &mut vec![]));
}

#[test]
fn a_neighbour_question_about_a_computed_address_is_answered_here() {
    let mut switch = switch(false);
    switch.listed(network(), address(2), vec![], false);
    let mut target = [
        &[0xfd][..],
        &network().to_bytes(),
        &[0x99, 0x93],
        &address(2).to_bytes(),
    ]
    .concat();
    let ask = |target: &[u8]| {
        let group = Mac::from_bytes([0x33, 0x33, 0xff, 0, 0, 2]);
        let mut frame = [
            &group.to_bytes()[..],
            &mac(1).to_bytes(),
            &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255],
        ]
        .concat();
        frame.extend_from_slice(&[0xfe; 16]);
        frame.extend_from_slice(&[0xff; 16]);
        frame.extend_from_slice(&[135, 0, 0, 0, 0, 0, 0, 0]);
        frame.extend_from_slice(target);
        frame
    };
    let table = switch.get(network()).unwrap();
    let mut out = vec![];
    assert!(answer(table, &ask(&target), &mut out));
    assert_eq!(macs(&out), Some((mac(1), mac(2))));
    assert_eq!(out[54], 136);
    assert_eq!(out[62..78], target[..]);
    assert_eq!(out[80..86], mac(2).to_bytes());
    let sum = crate::segment::checksum::add(
        crate::segment::checksum::pseudo(&out[22..54], 58, 32),
        &out[54..],
    );
    assert_eq!(crate::segment::checksum::finish(sum), 0);
    target[15] = 9;
    assert!(!answer(table, &ask(&target), &mut out), "not a member");
}

#[test]
fn cut_short_questions_are_no_questions() {
    let mut switch = switch(false);
    switch.listed(network(), address(2), vec![[10, 0, 0, 2].into()], false);
    let table = switch.get(network()).unwrap();
    let whole = arp_request([10, 0, 0, 2]);
    for end in 0..whole.len() {
        assert!(!answer(table, &whole[..end], &mut vec![]));
    }
}

#[test]
fn a_frame_to_a_member_not_listed_yet_waits_for_its_certificate() {
    let switch = switch(false);
    let table = switch.get(network()).unwrap();
    assert_eq!(
        table.receivers(NOW, &frame(mac(9), mac(1))),
        Ok(Receivers::One(address(9)))
    );
    assert_eq!(table.valid(address(9), key(9)), None);
}

fn ipv4(to: Mac, protocol: u8, tags: &[u8]) -> Vec<u8> {
    let ip = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 1, protocol, 0, 0, 10, 0, 0, 1, 239, 0, 0, 9,
    ];
    let macs = [to.to_bytes(), mac(1).to_bytes()].concat();
    [&macs[..], tags, &[0x08, 0x00], &ip, &[0; 8]].concat()
}

fn receivers(switch: &Switch, frame: &[u8]) -> Vec<Address> {
    let table = switch.get(network()).unwrap();
    let receivers = table.receivers(NOW, frame).unwrap();
    let facts = zt_rules::Facts::of(frame).unwrap();
    table.each(receivers.narrowed(&facts)).collect()
}

#[test]
fn an_ip_group_is_for_listeners_for_bridges_and_for_who_has_said_nothing() {
    let group: Mac = "01:00:5e:01:02:03".parse().unwrap();
    let other: Mac = "01:00:5e:7f:ff:fa".parse().unwrap();
    let mut switch = switch(false);
    for last in 2..=6 {
        switch.member(network(), member(last, 0));
    }
    switch.member(network(), member(5, RIGHT_BRIDGE));
    switch.groups(network(), address(2), Some(vec![other, group]));
    switch.groups(network(), address(3), Some(vec![other]));
    switch.groups(network(), address(4), Some(vec![]));
    switch.groups(network(), address(5), Some(vec![]));
    let listeners = [address(2), address(5), address(6)];
    let tags: [&[u8]; 2] = [&[], &[0x81, 0x00, 0x00, 0x07]];
    for tags in tags {
        assert_eq!(receivers(&switch, &ipv4(group, 17, tags)), listeners);
    }
    let all: Vec<Address> = (2..=6).map(address).collect();
    let igmp = ipv4(group, 2, &[]);
    let not_ip = frame(group, mac(1));
    let link: Mac = "01:00:5e:00:00:fb".parse().unwrap();
    for frame in [
        igmp,
        not_ip,
        ipv4(link, 17, &[]),
        ipv4(Mac::BROADCAST, 17, &[]),
    ] {
        assert_eq!(receivers(&switch, &frame), all, "{frame:02x?}");
    }
    // A list does not outlive the certificate of who gave it.
    switch.member_out(network(), address(3));
    switch.member(network(), member(3, 0));
    assert!(receivers(&switch, &ipv4(group, 17, &[])).contains(&address(3)));
}
