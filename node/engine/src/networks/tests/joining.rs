//! Asking to be a member, being one, staying one.

use super::*;

#[test]
fn an_authorized_member_gets_its_device_with_its_address() {
    let mut table = Table::new();
    table.join_pinned(0);
    assert!(table.out.iter().any(
        |action| matches!(action, Action::Connect(to) if *to == table.controller.verified.address())
    ));
    table.controller_up(50);
    table.answer(60, &Says::yes());
    assert_eq!(
        table.plan().unwrap().addresses,
        [([10, 1, 0, 9].into(), 24)]
    );
    assert_eq!(
        table.status(),
        Status::Requesting,
        "the device is not there yet"
    );
    let network = table.network();
    table
        .networks
        .tap_up(at(70), network, "zt0", &mut table.out);
    assert_eq!(table.status(), Status::Ok);
    let told = Action::Event(Event::NetworkStatus(network, Status::Ok));
    assert!(
        table
            .out
            .iter()
            .any(|action| format!("{action:?}") == format!("{told:?}"))
    );
}

#[test]
fn another_fingerprint_than_the_pinned_one_is_denied_without_a_question() {
    let mut table = Table::new();
    table
        .join(
            0,
            Join {
                fingerprint: Some(KeyId::from_bytes([9; 32])),
                token: Some([1; 16]),
            },
        )
        .unwrap();
    table.controller_up(50);
    assert_eq!(table.status(), Status::Denied);
    assert!(
        table
            .sent_to(table.controller.verified.address())
            .is_empty(),
        "the token stays secret"
    );
}

#[test]
fn joining_again_with_the_right_fingerprint_corrects_a_wrong_one() {
    let mut table = Table::new();
    table
        .join(
            0,
            Join {
                fingerprint: Some(KeyId::from_bytes([9; 32])),
                token: None,
            },
        )
        .unwrap();
    table.controller_up(50);
    table.join_pinned(100);
    table.answer(110, &Says::yes());
    assert!(table.plan().is_some());
}

#[test]
fn a_bare_network_id_pins_the_first_key_and_says_so() {
    let mut table = Table::new();
    table.join(0, Join::default()).unwrap();
    table.controller_up(50);
    let info = &table.networks.info()[0];
    assert_eq!(info.pinned, Some(table.controller.verified.key()));
    assert!(info.pinned_on_first_use);
    let other = Join {
        fingerprint: Some(KeyId::from_bytes([9; 32])),
        token: None,
    };
    table.answer(60, &Says::yes());
    assert_eq!(
        table.join(100, other),
        Err(Failure::Pinned(table.controller.verified.key()))
    );
}

#[test]
fn a_waiting_member_is_up_as_soon_as_the_hint_comes() {
    let mut table = Table::new();
    table.join_pinned(0);
    table.controller_up(50);
    table.answer(60, &Says::no(NetconfStatus::Pending));
    assert_eq!(table.status(), Status::Requesting);
    table.out.clear();
    let hint = Message::Hint(Hint {
        network: table.network(),
        revision: 2,
    })
    .to_vec();
    table.networks.hint(
        at(5_000),
        who(&table.controller),
        &hint[3..],
        &mut table.out,
    );
    table.answer(5_010, &Says::yes());
    assert!(table.plan().is_some());
}

#[test]
fn denied_and_unknown_networks_end_with_their_status() {
    for (says, status) in [
        (NetconfStatus::Denied, Status::Denied),
        (NetconfStatus::NotFound, Status::NotFound),
    ] {
        let mut table = Table::new();
        table.join_pinned(0);
        table.controller_up(50);
        table.answer(60, &Says::no(says));
        assert_eq!(table.status(), status);
    }
}

#[test]
fn a_silent_controller_is_unreachable_within_five_seconds_and_asked_on() {
    let mut table = Table::new();
    table.join_pinned(0);
    table.pass(5_000);
    assert_eq!(table.status(), Status::Unreachable);
    table.out.clear();
    table.pass(60_000);
    assert!(
        table
            .out
            .iter()
            .any(|action| matches!(action, Action::Connect(_)))
    );
    table.controller_up(60_000);
    table.answer(60_010, &Says::yes());
    assert!(table.plan().is_some());
}

#[test]
fn an_address_that_nobody_knows_is_unreachable_at_once() {
    let mut table = Table::new();
    table.join_pinned(0);
    let controller = table.controller.verified.address();
    table
        .networks
        .unreachable(at(300), controller, &mut table.out);
    assert_eq!(table.status(), Status::Unreachable);
}

#[test]
fn a_lost_question_is_asked_again_with_growing_pauses() {
    let mut table = Table::new();
    table.join_pinned(0);
    table.controller_up(0);
    table.pass(60_000);
    let questions = table.sent_to(table.controller.verified.address()).len();
    assert!(
        (6..=12).contains(&questions),
        "{questions} questions in a minute"
    );
}

#[test]
fn an_answer_counts_once_and_only_from_the_pinned_key() {
    let mut table = Table::new();
    table.join_pinned(0);
    table.controller_up(50);
    let request = table.question().request;
    let mut payload = vec![];
    let answer = NetconfAnswer {
        request,
        network: table.network(),
        status: NetconfStatus::Denied,
        retry_after: 0,
        parts: Parts::default(),
    };
    answer.write(&mut payload);
    let impostor = (
        table.controller.verified.address(),
        KeyId::from_bytes([9; 32]),
    );
    table
        .networks
        .answer(at(55), impostor, &payload, &mut table.out);
    assert_eq!(table.status(), Status::Requesting);
    table.answer(60, &Says::yes());
    table
        .networks
        .answer(at(70), who(&table.controller), &payload, &mut table.out);
    assert!(
        table
            .networks
            .joined
            .values()
            .all(|joined| joined.stage == joined::Stage::Member)
    );
}

#[test]
fn the_token_is_shown_until_it_made_a_member_and_then_forgotten() {
    let mut table = Table::new();
    let fingerprint = Some(table.controller.verified.key());
    table
        .join(
            0,
            Join {
                fingerprint,
                token: Some([7; 16]),
            },
        )
        .unwrap();
    table.controller_up(50);
    assert_eq!(table.question().token, [7; 16]);
    table.answer(60, &Says::yes());
    assert!(!table.saved().windows(16).any(|window| window == [7; 16]));
}

#[test]
fn an_older_configuration_never_replaces_a_newer_one() {
    let mut table = Table::new();
    table.join_pinned(0);
    table.controller_up(50);
    table.answer(
        60,
        &Says {
            revision: 5,
            serial: 5,
            rights: Rights::BRIDGE,
            ..Says::yes()
        },
    );
    assert!(table.networks.info()[0].bridge);
    table.join_pinned(1_000);
    table.answer(
        1_010,
        &Says {
            revision: 4,
            serial: 4,
            ..Says::yes()
        },
    );
    assert!(table.networks.info()[0].bridge);
}

#[test]
fn a_restarted_node_is_a_member_before_its_controller_answers() {
    let table = Table::member();
    let (saved, network) = (table.saved(), table.network());
    let mut again = Table::new();
    again
        .networks
        .restored(at(0), network, &saved, &mut again.out);
    assert_eq!(again.plan(), table.plan());
    again
        .networks
        .tap_up(at(10), network, "zt0", &mut again.out);
    assert_eq!(again.status(), Status::Ok);
    again.pass(10_000);
    assert_eq!(
        again.status(),
        Status::Ok,
        "a silent controller takes nothing away"
    );
    assert!(
        again
            .updates()
            .iter()
            .any(|update| matches!(update, Update::Listed { .. }))
    );
    again.other_up(11_000);
    let certificate = again.certificate(&again.other, 1, 1, Rights::NONE);
    again.credential(11_010, who(&again.other), &certificate);
    assert!(again.admitted());
}

#[test]
fn a_saved_file_cut_short_is_no_network() {
    let table = Table::member();
    let (saved, network) = (table.saved(), table.network());
    for end in 0..saved.len() {
        let mut again = Table::new();
        again
            .networks
            .restored(at(0), network, &saved[..end], &mut again.out);
        assert!(again.networks.info().is_empty());
    }
}

#[test]
fn leaving_a_network_forgets_its_credentials() {
    let mut table = Table::met();
    let network = table.network();
    table
        .networks
        .leave(at(200), network, &mut table.out)
        .unwrap();
    assert!(
        table
            .out
            .iter()
            .any(|action| matches!(action, Action::Unsave(_)))
    );
    assert!(
        table
            .out
            .iter()
            .any(|action| matches!(action, Action::TapDown(_)))
    );
    assert!(table.networks.info().is_empty());
    assert_eq!(table.networks.next_deadline(), None);
    assert_eq!(
        table.networks.leave(at(210), network, &mut table.out),
        Err(Failure::NoSuchNetwork)
    );
}

#[test]
fn a_directory_that_skips_a_step_is_asked_for_anew() {
    let mut table = Table::member();
    table.join_pinned(1_000);
    table.answer(
        1_010,
        &Says {
            directory: Some(listing(7, 9, &[])),
            ..Says::yes()
        },
    );
    assert_eq!(table.question().directory, 0);
}

#[test]
fn a_device_that_fails_shows_and_joining_again_tries_it_again() {
    let mut table = Table::new();
    table.join_pinned(0);
    table.controller_up(50);
    table.answer(60, &Says::yes());
    let network = table.network();
    table
        .networks
        .tap_failed(at(70), network, "device busy", &mut table.out);
    assert_eq!(table.status(), Status::DeviceError);
    assert_eq!(
        table.networks.info()[0].device_error.as_deref(),
        Some("device busy")
    );
    table.out.clear();
    table.join_pinned(100);
    assert!(table.plan().is_some());
}

#[test]
fn an_idle_member_asks_less_than_once_in_five_minutes() {
    let mut table = Table::member();
    table.out.clear();
    table.pass(300_000);
    assert!(table.out.is_empty(), "{:?}", table.out);
    assert!(table.networks.next_deadline().unwrap().since(at(0).mono) < Duration::from_secs(700));
}
