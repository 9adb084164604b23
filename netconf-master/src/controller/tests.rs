//! Members at the door of a controller, with real signatures, over each store.

use std::collections::BTreeSet;
use std::time::Instant;

use zt_api::master::{InviteSettings, MemberSettings, MemberStatus, NetworkSettings};
use zt_crypto::sign;
use zt_wire::message::{DirectoryDelta, NetconfAnswer, NetconfPart};
use zt_wire::{Certificate, Record, Revocation, Rights, SharedConfig, Signed};

use super::*;
use crate::admin::{Absent, Refused};
use crate::store::{Memory, Sqlite, SqliteOptions};
use crate::testing::{NOW, controller, controller_over, payload, request, who};

/// What a member reads in an answer, its signatures checked.
#[derive(Debug)]
struct Read {
    status: NetconfStatus,
    shared: Option<SharedConfig>,
    certificate: Option<Certificate>,
    directory: Option<DirectoryDelta>,
    revocations: Vec<Revocation>,
}

fn read(controller: &Controller, payload: &[u8]) -> Read {
    let answer = NetconfAnswer::parse(payload).unwrap();
    let mut read = Read {
        status: answer.status,
        shared: None,
        certificate: None,
        directory: None,
        revocations: Vec::new(),
    };
    for part in answer.parts.iter() {
        match part {
            NetconfPart::Shared(signed) => read.shared = Some(verified(controller, &signed)),
            NetconfPart::Certificate(signed) => {
                read.certificate = Some(verified(controller, &signed));
            }
            NetconfPart::Directory(bytes) => {
                read.directory = Some(DirectoryDelta::decode(bytes).unwrap());
            }
            NetconfPart::Revocation(signed) => read.revocations.push(verified(controller, &signed)),
        }
    }
    read
}

fn verified<R: Record>(controller: &Controller, signed: &Signed<'_>) -> R {
    sign::verify::<R>(controller.signer.public().ed25519(), signed).unwrap();
    signed.decode().unwrap()
}

fn network(controller: &Controller, json: &str) -> NetworkId {
    let settings: NetworkSettings = serde_json::from_str(json).unwrap();
    controller
        .create_network(&settings, [3; 32], NOW)
        .unwrap()
        .value
        .id
}

const HOME: &str = r#"{"name":"home","ipv4_pools":["10.20.0.0/16"]}"#;
const OPEN: &str = r#"{"name":"open","public":true,"ipv4_pools":["10.20.0.0/16"]}"#;

fn ask(controller: &Controller, number: u32, request: &NetconfRequest) -> Outcome<Answer> {
    controller
        .netconf(&who(number), &payload(request), NOW)
        .unwrap()
}

fn join(controller: &Controller, number: u32, network: NetworkId) -> Read {
    let answer = ask(controller, number, &request(network, [0; 16]));
    read(controller, &answer.value.payload)
}

fn set(
    controller: &Controller,
    network: NetworkId,
    number: u32,
    status: MemberStatus,
) -> Vec<Push> {
    let change = MemberSettings {
        status: Some(status),
        ..MemberSettings::default()
    };
    let address = who(number).address;
    controller
        .change_member(network, address, &change, Absent::Refuse, NOW)
        .unwrap()
        .pushes
}

fn token(controller: &Controller, network: NetworkId, json: &str, chance: u8) -> [u8; 16] {
    let settings: InviteSettings = serde_json::from_str(json).unwrap();
    let made = controller
        .create_invite(network, &settings, [chance; 32], NOW)
        .unwrap()
        .value;
    made.invite.parse::<zt_wire::Invite>().unwrap().token
}

#[test]
fn a_newcomer_waits_is_let_in_and_is_told_at_once() {
    let controller = controller();
    let home = network(&controller, HOME);
    assert_eq!(join(&controller, 1, home).status, NetconfStatus::Pending);
    let pushes = set(&controller, home, 1, MemberStatus::Authorized);
    let hint = Push::HintOne {
        network: home,
        to: who(1).address,
        revision: 2,
    };
    assert_eq!(pushes[0], hint, "it is the first to know");
    let joined = join(&controller, 1, home);
    assert_eq!(joined.status, NetconfStatus::Ok);
    let certificate = joined.certificate.unwrap();
    assert_eq!(
        (certificate.key, certificate.address),
        (who(1).key, who(1).address)
    );
    assert_eq!(certificate.ips[0].prefix(), 16);
    let shared = joined.shared.unwrap();
    assert_eq!(
        (shared.name.as_str(), shared.controller),
        ("home", controller.key())
    );
}

#[test]
fn an_unknown_network_is_not_found_and_nonsense_gets_no_answer() {
    let controller = controller();
    let nowhere = "0123456789000001".parse().unwrap();
    assert_eq!(
        join(&controller, 1, nowhere).status,
        NetconfStatus::NotFound
    );
    let nonsense = controller.netconf(&who(1), &[1, 2, 3], NOW);
    assert!(matches!(nonsense, Err(Unanswered::Malformed(_))));
}

#[test]
fn a_second_key_with_a_members_address_is_nobody() {
    let controller = controller();
    let open = network(&controller, OPEN);
    assert_eq!(join(&controller, 1, open).status, NetconfStatus::Ok);
    let twin = Who {
        key: who(2).key,
        ..who(1)
    };
    let answer = controller
        .netconf(&twin, &payload(&request(open, [0; 16])), NOW)
        .unwrap();
    assert_eq!(
        read(&controller, &answer.value.payload).status,
        NetconfStatus::Denied
    );
}

#[test]
fn a_one_use_invite_lets_in_one_even_when_many_come_at_once() {
    let controller = controller();
    let home = network(&controller, HOME);
    let token = token(&controller, home, "{}", 5);
    let admitted: usize = std::thread::scope(|scope| {
        let guests: Vec<_> = (1..=8)
            .map(|number| {
                let controller = &controller;
                scope.spawn(move || {
                    let answer = ask(controller, number, &request(home, token));
                    usize::from(read(controller, &answer.value.payload).status == NetconfStatus::Ok)
                })
            })
            .collect();
        guests.into_iter().map(|guest| guest.join().unwrap()).sum()
    });
    assert_eq!(admitted, 1);
    assert_eq!(controller.invites(home, None, 1).unwrap()[0].uses, 1);
}

#[test]
fn a_many_use_invite_lets_in_as_many_as_it_says_and_repetition_counts_once() {
    let controller = controller();
    let home = network(&controller, HOME);
    let token = token(&controller, home, r#"{"max_uses":2}"#, 5);
    for (number, expected) in [
        (1, NetconfStatus::Ok),
        (1, NetconfStatus::Ok),
        (2, NetconfStatus::Ok),
        (3, NetconfStatus::Denied),
        (1, NetconfStatus::Ok),
    ] {
        let answer = ask(&controller, number, &request(home, token));
        assert_eq!(
            read(&controller, &answer.value.payload).status,
            expected,
            "{number}"
        );
    }
}

#[test]
fn who_is_put_out_is_revoked_unlisted_and_denied() {
    let controller = controller();
    let open = network(&controller, OPEN);
    let first = join(&controller, 1, open);
    let second = join(&controller, 2, open);
    let pushes = set(&controller, open, 2, MemberStatus::Denied);
    assert!(
        pushes
            .iter()
            .any(|push| matches!(push, Push::RevokeAll { .. })),
        "{pushes:?}"
    );
    let have = request(open, [0; 16]);
    let have = NetconfRequest {
        directory: first.directory.unwrap().to,
        ..have
    };
    let after = read(&controller, &ask(&controller, 1, &have).value.payload);
    let entries = after.directory.unwrap().entries;
    assert_eq!((entries.len(), entries[0].removed), (1, true));
    let serial = second.certificate.unwrap().serial;
    assert!(
        serial < after.revocations[0].minimum,
        "its certificate is dead"
    );
    assert_eq!(join(&controller, 2, open).status, NetconfStatus::Denied);
    set(&controller, open, 2, MemberStatus::Authorized);
    let again = join(&controller, 2, open).certificate.unwrap();
    assert!(
        again.serial >= after.revocations[0].minimum,
        "its new one is not"
    );
}

#[test]
fn a_member_gets_only_what_is_new_to_it() {
    let controller = controller();
    let open = network(&controller, OPEN);
    join(&controller, 1, open);
    let second = join(&controller, 2, open);
    let delta = second.directory.unwrap();
    assert_eq!((delta.from, delta.entries.len()), (0, 1), "the other one");
    let shown = controller.store.network(open).unwrap().unwrap();
    let have = NetconfRequest {
        shared_hash: shown.shared_hash,
        directory: delta.to,
        ..request(open, [0; 16])
    };
    let after = read(&controller, &ask(&controller, 2, &have).value.payload);
    assert!(after.shared.is_none());
    assert_eq!(after.directory.unwrap().entries, []);
    let outcome = ask(&controller, 3, &request(open, [0; 16]));
    let hint = Push::HintAll {
        network: open,
        except: Some(who(3).address),
        revision: 4,
    };
    assert_eq!(outcome.pushes, [hint]);
    let after = read(&controller, &ask(&controller, 2, &have).value.payload);
    assert_eq!(after.directory.unwrap().entries[0].address, who(3).address);
}

#[test]
fn a_large_directory_comes_in_parts_that_fit_and_miss_nobody() {
    let controller = controller();
    let open = network(&controller, OPEN);
    for number in 1..=2500 {
        ask(
            &controller,
            number,
            &NetconfRequest {
                directory: u64::MAX - 1,
                ..request(open, [0; 16])
            },
        );
    }
    let mut have = request(open, [0; 16]);
    let mut seen = BTreeSet::new();
    let mut parts = 0;
    loop {
        let answer = ask(&controller, 1, &have).value;
        assert!(answer.payload.len() < 60_000, "{}", answer.payload.len());
        let delta = read(&controller, &answer.payload).directory.unwrap();
        seen.extend(delta.entries.iter().map(|entry| entry.address));
        have.directory = delta.to;
        parts += 1;
        if !delta.more {
            break;
        }
    }
    assert_eq!((seen.len(), parts > 1), (2499, true));
}

#[test]
fn an_epoch_brings_new_certificates_and_repeats_revocations_for_a_window() {
    let controller = controller();
    let open = network(&controller, OPEN);
    join(&controller, 1, open);
    join(&controller, 2, open);
    set(&controller, open, 2, MemberStatus::Denied);
    for epoch in 2..=4 {
        controller.advance_epoch(open, Actor::Master, NOW).unwrap();
        let after = join(&controller, 1, open);
        assert_eq!(after.certificate.unwrap().epoch, epoch);
        assert_eq!(after.shared.unwrap().epoch, epoch);
        assert_eq!(after.revocations[0].epoch, epoch, "signed again");
    }
    controller.advance_epoch(open, Actor::Master, NOW).unwrap();
    assert_eq!(
        join(&controller, 1, open).revocations,
        [],
        "what it killed has lapsed"
    );
}

#[test]
fn epochs_advance_when_they_are_due_and_say_when_the_next_is() {
    let controller = controller();
    let open = network(&controller, r#"{"public":true,"epoch_period_s":100}"#);
    let due = |now| controller.advance_due(now).unwrap();
    assert_eq!(due(Unix(NOW.0 + 99)).value, Some(Unix(NOW.0 + 100)));
    let advanced = due(Unix(NOW.0 + 100));
    assert_eq!(
        (advanced.value, advanced.pushes.len()),
        (Some(Unix(NOW.0 + 200)), 1)
    );
    assert_eq!(controller.network(open).unwrap().epoch, 2);
}

#[test]
fn the_bridge_right_counts_only_where_the_network_bridges() {
    let controller = controller();
    let open = network(&controller, r#"{"public":true,"bridging":false}"#);
    join(&controller, 1, open);
    let bridge = MemberSettings {
        bridge: Some(true),
        ..MemberSettings::default()
    };
    controller
        .change_member(open, who(1).address, &bridge, Absent::Refuse, NOW)
        .unwrap();
    assert!(
        !join(&controller, 1, open)
            .certificate
            .unwrap()
            .rights
            .has(Rights::BRIDGE)
    );
    let bridging = NetworkSettings {
        bridging: Some(true),
        ..NetworkSettings::default()
    };
    controller.change_network(open, &bridging, NOW).unwrap();
    assert!(
        join(&controller, 1, open)
            .certificate
            .unwrap()
            .rights
            .has(Rights::BRIDGE)
    );
}

#[test]
fn a_member_decided_about_beforehand_comes_in_with_its_static_address() {
    let controller = controller();
    let home = network(&controller, HOME);
    let wanted = MemberSettings {
        status: Some(MemberStatus::Authorized),
        static_ips: Some(vec!["10.20.0.9".parse().unwrap()]),
        ..MemberSettings::default()
    };
    controller
        .change_member(home, who(1).address, &wanted, Absent::Make, NOW)
        .unwrap();
    let joined = join(&controller, 1, home);
    assert_eq!(
        joined.certificate.unwrap().ips[0].to_string(),
        "10.20.0.9/16"
    );
    let other = MemberSettings {
        fingerprint: Some(who(2).key),
        ..MemberSettings::default()
    };
    let refused = controller.change_member(home, who(1).address, &other, Absent::Make, NOW);
    assert!(matches!(refused, Err(Refused::KeyKnown)));
}

#[test]
fn a_deleted_network_is_not_found_by_its_members() {
    let controller = controller();
    let open = network(&controller, OPEN);
    join(&controller, 1, open);
    let pushes = controller.delete_network(open, NOW).unwrap().pushes;
    assert_eq!(pushes.len(), 1, "they are told");
    assert_eq!(join(&controller, 1, open).status, NetconfStatus::NotFound);
}

#[test]
fn when_a_member_was_heard_is_kept_in_bulk() {
    let controller = controller();
    let open = network(&controller, OPEN);
    join(&controller, 1, open);
    let later = Unix(NOW.0 + 300);
    controller
        .netconf(&who(1), &payload(&request(open, [0; 16])), later)
        .unwrap();
    let shown = controller.member(open, who(1).address).unwrap();
    assert_eq!(shown.last_seen, Some(later.0), "shown at once");
    assert_eq!(controller.flush_heard().unwrap(), 1);
    let stored = controller
        .store
        .member(open, who(1).address)
        .unwrap()
        .unwrap();
    assert_eq!(stored.seen, Some(later), "and then stored");
    assert_eq!(controller.flush_heard().unwrap(), 0);
}

/// A thousand members join from four threads; everybody gets an address, nobody another's. Prints what it took.
#[test]
fn a_thousand_join_and_no_address_is_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&SqliteOptions::at(folder.path().join("netconf.db"))).unwrap();
    let stores: [(&str, Arc<dyn Store>); 2] = [
        ("memory", Arc::new(Memory::new())),
        ("sqlite", Arc::new(sqlite)),
    ];
    for (name, store) in stores {
        let controller = controller_over(store);
        let open = network(&controller, OPEN);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let controller = &controller;
                scope.spawn(move || {
                    for number in 0..250 {
                        let joined = join(controller, thread * 250 + number, open);
                        assert_eq!(joined.status, NetconfStatus::Ok);
                    }
                });
            }
        });
        let took = start.elapsed();
        println!("{name}: 1,000 joins in {took:?}");
        let members = controller.members(open, None, 2000).unwrap();
        let ips: BTreeSet<_> = members
            .iter()
            .flat_map(|member| member.ips.clone())
            .collect();
        assert_eq!((members.len(), ips.len()), (1000, 1000), "{name}");
    }
}

#[test]
fn rules_reach_members_compiled_and_a_wrong_text_leaves_them_as_they_are() {
    let controller = controller();
    let open = network(&controller, OPEN);
    let change = |text: &str| {
        let settings = NetworkSettings {
            rules: Some(text.to_owned()),
            ..NetworkSettings::default()
        };
        controller.change_network(open, &settings, NOW)
    };
    let text = "capability admin = 3 { accept; }\ndrop if port-to 22;\naccept;";
    let changed = change(text).unwrap();
    assert_eq!(changed.value.rules, text);
    assert_eq!(changed.pushes.len(), 1, "members are told");
    let compiled = zt_rules::compile(text).unwrap();
    let shared = || join(&controller, 1, open).shared.unwrap();
    assert_eq!(zt_rules::RuleSet::decode(&shared().rules), Ok(compiled));
    let Err(Refused::Invalid(wrong)) = change("accept;\ndrop unless arp;") else {
        panic!("a text that says nothing was taken");
    };
    assert_eq!(wrong.field, "rules");
    assert!(
        wrong.expected.starts_with("line 2, column 6: expected"),
        "{}",
        wrong.expected
    );
    assert_eq!(controller.network(open).unwrap().rules, text);
    change("").unwrap();
    assert_eq!(shared().rules, Vec::<u8>::new());
}

#[test]
fn rights_tags_and_capabilities_are_in_the_certificate() {
    let controller = controller();
    let open = network(&controller, OPEN);
    let before = join(&controller, 1, open).certificate.unwrap();
    assert_eq!(before.rights, Rights::NONE);
    let admin = zt_rules::decide::CAPABILITY_BIT | 3;
    let change: MemberSettings = serde_json::from_str(&format!(
        r#"{{"dhcp_server":true,"any_source_ip":true,"tags":{{"1":7,"{admin}":1}}}}"#
    ))
    .unwrap();
    let address = who(1).address;
    controller
        .change_member(open, address, &change, Absent::Refuse, NOW)
        .unwrap();
    let after = join(&controller, 1, open).certificate.unwrap();
    assert_eq!(
        after.rights,
        Rights::DHCP_SERVER.with(Rights::ANY_SOURCE_IP)
    );
    let tags: Vec<_> = after.tags.iter().map(|tag| (tag.id, tag.value)).collect();
    assert_eq!(tags, [(1, 7), (admin, 1)]);
    assert!(after.serial > before.serial);
}
