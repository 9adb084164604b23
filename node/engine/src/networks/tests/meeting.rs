//! Meeting other members, and parting from them.

use super::*;

#[test]
fn members_exchange_certificates_on_first_contact() {
    let mut table = Table::member();
    table.out.clear();
    table.other_up(100);
    let sent = table.sent_to(table.other.verified.address());
    assert!(matches!(
        Message::parse(&sent[0]),
        Ok(Message::Credential(_))
    ));
    assert!(!table.admitted());
    let certificate = table.certificate(&table.other, 1, 1, Rights::NONE);
    table.credential(110, who(&table.other), &certificate);
    assert!(table.admitted());
    assert!(
        table
            .out
            .iter()
            .any(|action| matches!(action, Action::Flush(..)))
    );
    assert_eq!(table.networks.info()[0].members_heard, 1);
}

#[test]
fn a_member_not_yet_listed_gets_our_certificate_in_return_for_its_own() {
    let mut table = Table::member();
    let fourth = person(4);
    let verified = fourth.verified;
    table
        .networks
        .session_up(at(100), &verified, &mut table.out);
    assert!(
        table.sent_to(verified.address()).is_empty(),
        "a stranger learns nothing"
    );
    let certificate = table.certificate(&fourth, 1, 1, Rights::NONE);
    table.credential(110, who(&fourth), &certificate);
    assert!(matches!(
        Message::parse(&table.sent_to(verified.address())[0]),
        Ok(Message::Credential(_))
    ));
}

#[test]
fn a_certificate_of_somebody_else_or_unsigned_admits_nobody() {
    let mut table = Table::member();
    table.other_up(100);
    table.out.clear();
    let good = table.certificate(&table.other, 1, 1, Rights::NONE);
    table.credential(
        110,
        (table.other.verified.address(), KeyId::from_bytes([8; 32])),
        &good,
    );
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    table.credential(110, who(&table.other), &forged);
    let mut grabbed = good;
    grabbed[52] |= 1;
    table.credential(110, who(&table.other), &grabbed);
    assert!(!table.admitted());
}

#[test]
fn a_missing_certificate_is_asked_for_and_given_up_at_last() {
    let mut table = Table::member();
    table.other_up(100);
    table.out.clear();
    table.pass(60_000);
    let asked = table.sent_to(table.other.verified.address()).iter().any(|message| {
        matches!(Message::parse(message), Ok(Message::Error(problem)) if problem.code == ErrorCode::NeedCredential)
    });
    assert!(asked);
    assert!(
        table
            .out
            .iter()
            .any(|action| matches!(action, Action::Discard(..)))
    );
}

#[test]
fn a_frame_for_a_member_without_session_connects() {
    let mut table = Table::member();
    table.out.clear();
    let (network, other) = (table.network(), table.other.verified.address());
    table
        .networks
        .unready(at(100), network, other, &mut table.out);
    assert!(matches!(table.out[..], [Action::Connect(to)] if to == other));
}

#[test]
fn a_revocation_cuts_off_at_once_and_is_passed_on_once() {
    let mut table = Table::met();
    let third = person(4).verified;
    table.networks.session_up(at(120), &third, &mut table.out);
    let certificate = table.certificate(&person(4), 1, 1, Rights::NONE);
    table.credential(125, (third.address(), third.key()), &certificate);
    table.out.clear();
    let revocation = Revocation {
        network: table.network(),
        key: table.other.verified.key(),
        minimum: 2,
        epoch: 1,
    };
    let signed = table.controller.secret.sign(&revocation);
    table
        .networks
        .revocation(at(130), who(&table.controller), &signed, &mut table.out)
        .unwrap();
    assert!(table.cut_off());
    assert_eq!(table.sent_to(third.address()).len(), 1);
    table.out.clear();
    table
        .networks
        .revocation(
            at(140),
            (third.address(), third.key()),
            &signed,
            &mut table.out,
        )
        .unwrap();
    assert!(table.out.is_empty(), "known already");
    let old = table.certificate(&table.other, 1, 1, Rights::NONE);
    table.credential(150, who(&table.other), &old);
    assert!(!table.admitted());
    let new = table.certificate(&table.other, 2, 1, Rights::NONE);
    table.credential(160, who(&table.other), &new);
    assert!(table.admitted(), "authorized again");
}

#[test]
fn a_forged_revocation_changes_nothing() {
    let mut table = Table::met();
    let revocation = Revocation {
        network: table.network(),
        key: table.other.verified.key(),
        minimum: 2,
        epoch: 1,
    };
    let signed = table.other.secret.sign(&revocation);
    table
        .networks
        .revocation(at(130), who(&table.other), &signed, &mut table.out)
        .unwrap_err();
    assert!(table.out.is_empty());
}

#[test]
fn a_deauthorized_node_loses_its_device() {
    let mut table = Table::met();
    let revocation = Revocation {
        network: table.network(),
        key: table.me.verified.key(),
        minimum: 2,
        epoch: 1,
    };
    let signed = table.controller.secret.sign(&revocation);
    table
        .networks
        .revocation(at(130), who(&table.controller), &signed, &mut table.out)
        .unwrap();
    assert_eq!(table.status(), Status::Denied);
    assert!(
        table
            .out
            .iter()
            .any(|action| matches!(action, Action::TapDown(_)))
    );
    assert!(
        table
            .updates()
            .iter()
            .any(|update| matches!(update, Update::NetworkDown(_)))
    );
    table.answer(
        150,
        &Says {
            serial: 2,
            ..Says::yes()
        },
    );
    assert!(table.plan().is_some(), "authorized again");
}

#[test]
fn a_member_whose_epoch_fell_out_of_the_window_is_cut_off() {
    let mut table = Table::met();
    let hint = Message::Hint(Hint {
        network: table.network(),
        revision: 9,
    })
    .to_vec();
    table
        .networks
        .hint(at(200), who(&table.controller), &hint[3..], &mut table.out);
    table.pass(2_000);
    table.answer(
        2_010,
        &Says {
            revision: 2,
            epoch: 4,
            serial: 2,
            ..Says::yes()
        },
    );
    assert!(!table.cut_off(), "three epochs behind is within the window");
    table.networks.hint(
        at(3_000),
        who(&table.controller),
        &hint[3..],
        &mut table.out,
    );
    table.pass(5_000);
    table.answer(
        5_010,
        &Says {
            revision: 3,
            epoch: 5,
            serial: 3,
            ..Says::yes()
        },
    );
    assert!(table.cut_off());
}

#[test]
fn our_new_certificate_goes_to_everybody_we_talk_to() {
    let mut table = Table::met();
    table.join_pinned(1_000);
    table.answer(
        1_010,
        &Says {
            serial: 2,
            rights: Rights::BRIDGE,
            ..Says::yes()
        },
    );
    let sent = table.sent_to(table.other.verified.address());
    assert!(
        sent.iter()
            .any(|message| matches!(Message::parse(message), Ok(Message::Credential(_))))
    );
}

#[test]
fn a_member_unlisted_by_the_controller_is_cut_off() {
    let mut table = Table::met();
    table.join_pinned(1_000);
    let other = table.other.verified.address();
    table.answer(
        1_010,
        &Says {
            directory: Some(listing(1, 2, &[(other, true)])),
            ..Says::yes()
        },
    );
    assert!(table.cut_off());
    assert!(
        table
            .updates()
            .iter()
            .any(|update| matches!(update, Update::Unlisted { .. }))
    );
}

#[test]
fn an_epoch_made_up_by_a_stranger_moves_nothing() {
    let mut table = Table::met();
    let stranger = person(9);
    let forged = stranger.secret.sign(&Certificate {
        network: table.network(),
        key: stranger.verified.key(),
        address: stranger.verified.address(),
        mac: Mac::of(stranger.verified.address(), table.network()),
        rights: Rights::NONE,
        serial: 1,
        epoch: u64::MAX,
        ips: vec![],
        tags: vec![],
    });
    table.credential(200, who(&stranger), &forged);
    assert!(!table.cut_off());
    assert_eq!(table.networks.info()[0].members_heard, 1);
}
