//! A node's networks against a controller made of its answers.

use core::time::Duration;
use std::vec;

use zt_crypto::{Params, SecretIdentity, pow};
use zt_wire::message::{
    DirectoryDelta, DirectoryEntry, ErrorCode, NetconfPart, NetconfRequest, NetconfStatus, Parts,
};
use zt_wire::{Cidr, Mac, Rights, SharedConfig, Signed};

use super::*;
use crate::interface::{Event, Saved, Status, TapPlan};
use crate::shard::Update;
use crate::time::Unix;

struct Person {
    secret: SecretIdentity,
    verified: Verified,
}

fn person(seed: u8) -> Person {
    let secret = SecretIdentity::from_seed(&[seed; 32], 0);
    let verified = pow::verify(secret.public(), &Params::WEAK).unwrap();
    Person { secret, verified }
}

fn at(millis: u64) -> Now {
    Now {
        mono: Mono::from_nanos(millis * 1_000_000),
        unix: Unix(0),
    }
}

/// One node, its networks, and what it wanted done.
struct Table {
    controller: Person,
    me: Person,
    other: Person,
    networks: Networks,
    out: Actions,
}

/// What a controller says; change fields for another story.
struct Says {
    status: NetconfStatus,
    revision: u64,
    epoch: u64,
    serial: u64,
    rights: Rights,
    directory: Option<DirectoryDelta>,
    revoked: Vec<Revocation>,
}

impl Says {
    fn yes() -> Self {
        Self {
            status: NetconfStatus::Ok,
            revision: 1,
            epoch: 1,
            serial: 1,
            rights: Rights::NONE,
            directory: None,
            revoked: vec![],
        }
    }

    fn no(status: NetconfStatus) -> Self {
        Self {
            status,
            ..Self::yes()
        }
    }
}

impl Table {
    fn new() -> Self {
        let (controller, me, other) = (person(1), person(2), person(3));
        let networks = Networks::new(me.verified.address(), me.verified.key(), 7);
        Self {
            controller,
            me,
            other,
            networks,
            out: vec![],
        }
    }

    fn network(&self) -> NetworkId {
        NetworkId::new(self.controller.verified.address(), 5).unwrap()
    }

    fn join(&mut self, now: u64, with: Join) -> Result<(), Failure> {
        let network = self.network();
        self.networks.join(at(now), network, with, &mut self.out)
    }

    fn join_pinned(&mut self, now: u64) {
        let fingerprint = Some(self.controller.verified.key());
        self.join(
            now,
            Join {
                fingerprint,
                token: None,
            },
        )
        .unwrap();
    }

    fn controller_up(&mut self, now: u64) {
        let controller = self.controller.verified;
        self.networks
            .session_up(at(now), &controller, &mut self.out);
    }

    fn other_up(&mut self, now: u64) {
        let other = self.other.verified;
        self.networks.session_up(at(now), &other, &mut self.out);
    }

    /// The newest question to the controller.
    fn question(&self) -> NetconfRequest {
        let messages = self.sent_to(self.controller.verified.address());
        let request = messages
            .iter()
            .rev()
            .find_map(|message| match Message::parse(message) {
                Ok(Message::NetconfRequest(request)) => Some(request),
                _ => None,
            });
        request.expect("a question")
    }

    fn sent_to(&self, to: Address) -> Vec<Vec<u8>> {
        let sent = self.out.iter().filter_map(|action| match action {
            Action::SendTo(address, message) | Action::SendIfUp(address, message)
                if *address == to =>
            {
                Some(message.clone())
            }
            _ => None,
        });
        sent.collect()
    }

    fn certificate(&self, of: &Person, serial: u64, epoch: u64, rights: Rights) -> Vec<u8> {
        self.controller.secret.sign(&Certificate {
            network: self.network(),
            key: of.verified.key(),
            address: of.verified.address(),
            mac: Mac::of(of.verified.address(), self.network()),
            rights,
            serial,
            epoch,
            ips: vec![Cidr::new([10, 1, 0, 9].into(), 24).unwrap()],
            tags: vec![],
        })
    }

    fn shared(&self, revision: u64, epoch: u64) -> Vec<u8> {
        self.controller.secret.sign(&SharedConfig {
            network: self.network(),
            revision,
            epoch,
            window: 3,
            name: "lan".to_string(),
            mtu: 1_500,
            rfc4193: false,
            link_local_groups: false,
            multicast_limit: 32,
            controller: self.controller.verified.key(),
            routes: vec![],
            dns_domain: String::new(),
            dns_servers: vec![],
            pools: vec![],
            rules: vec![],
        })
    }

    fn answer(&mut self, now: u64, says: &Says) {
        let request = self.question().request;
        self.answer_to(request, now, says);
    }

    fn answer_to(&mut self, request: u32, now: u64, says: &Says) {
        let mut parts = vec![];
        let shared = self.shared(says.revision, says.epoch);
        let own = self.certificate(&self.me, says.serial, says.epoch, says.rights);
        if says.status == NetconfStatus::Ok {
            NetconfPart::Shared(Signed::parse(&shared).unwrap()).write(&mut parts);
            NetconfPart::Certificate(Signed::parse(&own).unwrap()).write(&mut parts);
        }
        for revocation in &says.revoked {
            let signed = self.controller.secret.sign(revocation);
            NetconfPart::Revocation(Signed::parse(&signed).unwrap()).write(&mut parts);
        }
        if let Some(delta) = &says.directory {
            NetconfPart::Directory(&delta.encode()).write(&mut parts);
        }
        let answer = NetconfAnswer {
            request,
            network: self.network(),
            status: says.status,
            retry_after: 0,
            parts: Parts::parse(&parts).unwrap(),
        };
        let mut payload = vec![];
        answer.write(&mut payload);
        let from = who(&self.controller);
        self.networks.answer(at(now), from, &payload, &mut self.out);
    }

    fn credential(&mut self, now: u64, from: (Address, KeyId), certificate: &[u8]) {
        self.networks
            .credential(at(now), from, certificate, &mut self.out);
    }

    fn status(&self) -> Status {
        self.networks.info()[0].status
    }

    /// Joined, configured, device up.
    fn member() -> Self {
        let mut table = Self::new();
        table.join_pinned(0);
        table.controller_up(50);
        let other = table.other.verified.address();
        let says = Says {
            directory: Some(listing(0, 1, &[(other, false)])),
            ..Says::yes()
        };
        table.answer(60, &says);
        let network = table.network();
        table
            .networks
            .tap_up(at(70), network, "zt0", &mut table.out);
        assert_eq!(table.status(), Status::Ok);
        table
    }

    /// The same, and the other member has a session and exchanged certificates with us.
    fn met() -> Self {
        let mut table = Self::member();
        table.other_up(100);
        let certificate = table.certificate(&table.other, 1, 1, Rights::NONE);
        table.credential(110, who(&table.other), &certificate);
        table.out.clear();
        table
    }

    fn updates(&self) -> Vec<&Update> {
        self.out
            .iter()
            .filter_map(|action| {
                if let Action::Update(update) = action {
                    Some(update)
                } else {
                    None
                }
            })
            .collect()
    }

    fn admitted(&self) -> bool {
        self.updates()
            .iter()
            .any(|update| matches!(update, Update::Member { .. }))
    }

    fn cut_off(&self) -> bool {
        self.updates()
            .iter()
            .any(|update| matches!(update, Update::MemberOut { .. }))
    }

    fn plan(&self) -> Option<TapPlan> {
        self.out.iter().rev().find_map(|action| {
            if let Action::Tap(_, plan) = action {
                Some(plan.clone())
            } else {
                None
            }
        })
    }

    fn saved(&self) -> Vec<u8> {
        let saved = self.out.iter().rev().find_map(|action| match action {
            Action::Save(Saved::Network(_, bytes)) => Some(bytes.clone()),
            _ => None,
        });
        saved.expect("something saved")
    }

    fn pass(&mut self, until: u64) {
        while let Some(next) = self.networks.next_deadline()
            && next <= at(until).mono
        {
            let now = Now {
                mono: next,
                unix: Unix(0),
            };
            self.networks.advance(now, &mut self.out);
        }
    }
}

fn who(person: &Person) -> (Address, KeyId) {
    (person.verified.address(), person.verified.key())
}

fn listing(from: u64, to: u64, members: &[(Address, bool)]) -> DirectoryDelta {
    let entry = |&(address, removed): &(Address, bool)| DirectoryEntry {
        address,
        removed,
        bridge: false,
        ips: vec![],
    };
    DirectoryDelta {
        from,
        to,
        more: false,
        entries: members.iter().map(entry).collect(),
    }
}

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
        .revocation(at(130), who(&table.controller), &signed, &mut table.out);
    assert!(table.cut_off());
    assert_eq!(table.sent_to(third.address()).len(), 1);
    table.out.clear();
    table.networks.revocation(
        at(140),
        (third.address(), third.key()),
        &signed,
        &mut table.out,
    );
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
        .revocation(at(130), who(&table.other), &signed, &mut table.out);
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
        .revocation(at(130), who(&table.controller), &signed, &mut table.out);
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
