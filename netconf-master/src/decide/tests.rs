//! Who gets in, case by case.

use super::*;
use crate::model::{InviteId, Settings};

fn network() -> Network {
    Network {
        id: "0123456789000001".parse().unwrap(),
        settings: Settings {
            pools: vec!["10.0.0.0/24".parse().unwrap()],
            ..Settings::default()
        },
        epoch: 5,
        epoch_since: Unix(0),
        revision: 9,
        shared: [0; 1].into(),
        shared_hash: [0; 32],
        created: Unix(0),
    }
}

fn who() -> Who {
    Who {
        key: KeyId::from_bytes([7; 32]),
        address: "0a0b0c0d0e".parse().unwrap(),
        endpoint: None,
    }
}

fn known(status: MemberStatus) -> Member {
    Member {
        key: Some(who().key),
        status,
        serial: 3,
        row: 1,
        ..Member::new(network().id, who().address, Unix(0))
    }
}

fn invite() -> Invite {
    Invite {
        network: network().id,
        id: InviteId::from_bits(1),
        token_hash: [1; 32],
        label: "anna's laptop".to_owned(),
        max_uses: Some(1),
        uses: 0,
        expires: Some(Unix(200)),
        authorize: true,
        revoked: false,
        created: Unix(0),
        row: 1,
    }
}

const DOOR: Door = Door {
    now: Unix(100),
    crowded: false,
    attempt: 0,
};

fn ask(network: &Network, known: Option<&Member>, shown: Shown<'_>) -> Decision {
    decide(network, known, &who(), shown, DOOR, &mut |_| false)
}

/// In one word.
fn outcome(decision: &Decision) -> &'static str {
    match decision {
        Decision::Admit { counts: true, .. } => "admitted with the invite",
        Decision::Admit { counts: false, .. } => "admitted",
        Decision::Wait { counts: true, .. } => "waits with the invite",
        Decision::Wait { counts: false, .. } => "waits",
        Decision::Refuse(Refusal::Denied) => "denied",
        Decision::Refuse(Refusal::Stranger) => "a stranger",
        Decision::Refuse(Refusal::BadInvite) => "a bad invite",
        Decision::Refuse(Refusal::Crowded) => "too many",
    }
}

#[test]
fn who_gets_into_a_private_network() {
    let pending = known(MemberStatus::Pending);
    let came_before = Member {
        invite: Some(invite().id),
        ..pending.clone()
    };
    let beforehand = Member {
        key: None,
        ..known(MemberStatus::Authorized)
    };
    let other_key = Member {
        key: Some(KeyId::from_bytes([8; 32])),
        ..known(MemberStatus::Authorized)
    };
    let good = invite();
    let to_wait = Invite {
        authorize: false,
        ..invite()
    };
    let used = Invite {
        uses: 1,
        ..invite()
    };
    let expired = Invite {
        expires: Some(Unix(100)),
        ..invite()
    };
    let revoked = Invite {
        revoked: true,
        ..invite()
    };
    let elsewhere = Invite {
        network: "0123456789000002".parse().unwrap(),
        ..invite()
    };
    let authorized = known(MemberStatus::Authorized);
    let denied = known(MemberStatus::Denied);
    for (member, shown, expected) in [
        (None, Shown::Nothing, "waits"),
        (None, Shown::Unknown, "a bad invite"),
        (None, Shown::Invite(&good), "admitted with the invite"),
        (None, Shown::Invite(&to_wait), "waits with the invite"),
        (None, Shown::Invite(&used), "a bad invite"),
        (None, Shown::Invite(&expired), "a bad invite"),
        (None, Shown::Invite(&revoked), "a bad invite"),
        (None, Shown::Invite(&elsewhere), "a bad invite"),
        (Some(&pending), Shown::Nothing, "waits"),
        (
            Some(&pending),
            Shown::Invite(&good),
            "admitted with the invite",
        ),
        (Some(&came_before), Shown::Invite(&used), "waits"),
        (Some(&authorized), Shown::Nothing, "admitted"),
        // A node that keeps its token after it came in is not thrown out when the invite ends.
        (Some(&authorized), Shown::Invite(&expired), "admitted"),
        (Some(&authorized), Shown::Unknown, "admitted"),
        (Some(&denied), Shown::Nothing, "denied"),
        (Some(&denied), Shown::Invite(&good), "denied"),
        (Some(&beforehand), Shown::Nothing, "admitted"),
        (Some(&other_key), Shown::Nothing, "a stranger"),
        (Some(&other_key), Shown::Invite(&good), "a stranger"),
    ] {
        let decision = ask(&network(), member, shown);
        assert_eq!(outcome(&decision), expected, "{member:?} {shown:?}");
    }
}

#[test]
fn everybody_gets_into_a_public_network_but_who_was_denied() {
    let mut network = network();
    network.settings.public = true;
    assert_eq!(outcome(&ask(&network, None, Shown::Nothing)), "admitted");
    assert_eq!(outcome(&ask(&network, None, Shown::Unknown)), "admitted");
    let denied = known(MemberStatus::Denied);
    assert_eq!(
        outcome(&ask(&network, Some(&denied), Shown::Nothing)),
        "denied"
    );
}

#[test]
fn when_too_many_wait_only_newcomers_are_refused() {
    let crowded = Door {
        crowded: true,
        ..DOOR
    };
    let pending = known(MemberStatus::Pending);
    let good = invite();
    for (member, shown, expected) in [
        (None, Shown::Nothing, "too many"),
        (None, Shown::Invite(&good), "admitted with the invite"),
        (Some(&pending), Shown::Nothing, "waits"),
    ] {
        let decision = decide(&network(), member, &who(), shown, crowded, &mut |_| false);
        assert_eq!(outcome(&decision), expected);
    }
}

#[test]
fn asking_again_changes_nothing() {
    let Decision::Admit { member, change, .. } = ask(
        &network(),
        Some(&known(MemberStatus::Authorized)),
        Shown::Nothing,
    ) else {
        panic!("an authorized member is admitted");
    };
    assert_eq!(change, Change::Listed);
    let Decision::Admit {
        member: again,
        change,
        ..
    } = ask(&network(), Some(&member), Shown::Nothing)
    else {
        panic!("an authorized member is admitted");
    };
    assert_eq!(change, Change::Nothing);
    assert_eq!(again.serial, member.serial);
}

#[test]
fn a_new_certificate_content_is_a_new_serial() {
    let Decision::Admit { member, .. } = ask(
        &network(),
        Some(&known(MemberStatus::Authorized)),
        Shown::Nothing,
    ) else {
        panic!("an authorized member is admitted");
    };
    let tagged = Member {
        tags: [(1, 2)].into(),
        ..(*member).clone()
    };
    let Decision::Admit {
        member: tagged,
        change,
        ..
    } = ask(&network(), Some(&tagged), Shown::Nothing)
    else {
        panic!("an authorized member is admitted");
    };
    assert_eq!((tagged.serial, change), (member.serial + 1, Change::Listed));
    let mut next_epoch = network();
    next_epoch.epoch += 1;
    let Decision::Admit {
        member: later,
        change,
        ..
    } = ask(&next_epoch, Some(&tagged), Shown::Nothing)
    else {
        panic!("an authorized member is admitted");
    };
    assert_eq!((later.serial, change), (tagged.serial, Change::Nothing));
}

#[test]
fn a_member_taken_out_and_in_again_is_above_its_revocation() {
    let mut member = known(MemberStatus::Authorized);
    settle(&network(), &mut member, 0, &mut |_| false);
    assert_eq!(member.ips.len(), 1);
    let dead_below = unsettle(&mut member);
    assert_eq!(dead_below, member.serial + 1);
    assert!(member.ips.is_empty(), "its automatic address is free");
    settle(&network(), &mut member, 0, &mut |_| false);
    assert!(member.serial >= dead_below);
}

#[test]
fn a_deleted_member_comes_back_as_new_with_growing_serials() {
    let deleted = Member {
        deleted: true,
        name: "old".to_owned(),
        key: Some(KeyId::from_bytes([8; 32])),
        ..known(MemberStatus::Denied)
    };
    let Decision::Wait { member, change, .. } = ask(&network(), Some(&deleted), Shown::Nothing)
    else {
        panic!("it waits like any newcomer");
    };
    assert_eq!((member.serial, member.row, change), (3, 1, Change::Record));
    assert_eq!((member.key, member.name.as_str()), (Some(who().key), ""));
}

#[test]
fn who_comes_with_an_invite_has_its_label_as_name() {
    let Decision::Admit { member, .. } = ask(&network(), None, Shown::Invite(&invite())) else {
        panic!("it is admitted");
    };
    assert_eq!(member.name, "anna's laptop");
    let named = Member {
        name: "desk".to_owned(),
        ..known(MemberStatus::Pending)
    };
    let Decision::Admit { member, .. } = ask(&network(), Some(&named), Shown::Invite(&invite()))
    else {
        panic!("it is admitted");
    };
    assert_eq!(member.name, "desk");
}
