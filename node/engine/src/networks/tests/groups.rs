//! What we listen to is told to members, what they listen to is believed, and strangers are vouched for when asked.

use zt_wire::message::{Subscribe, Subscribed, Vouch};

use super::*;
use crate::interface::Listening;
use crate::limits;

const SSDP: [u8; 6] = [0x01, 0x00, 0x5e, 0x7f, 0xff, 0xfa];
const GAME: [u8; 6] = [0x01, 0x00, 0x5e, 0x01, 0x02, 0x03];

impl Table {
    fn kernel(&mut self, now: u64, groups: &[[u8; 6]]) {
        let network = self.network();
        let groups = groups.iter().copied().map(Mac::from_bytes).collect();
        let listening = Listening::Only(groups);
        self.networks
            .listens(at(now), network, listening, &mut self.out);
    }

    fn frame(&mut self, now: u64, igmp: [u8; 8]) {
        let network = self.network();
        let mut frame = [&GAME[..], &[2; 6], &[0x08, 0x00]].concat();
        frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 1, 2, 0, 0]);
        frame.extend([0; 8]);
        frame.extend(igmp);
        self.networks
            .membership(at(now), network, &frame, &mut self.out);
    }

    /// The lists told to the other member: serial, everything, groups.
    fn told(&mut self) -> Vec<(u32, bool, Vec<[u8; 6]>)> {
        let sent = self.sent_to(self.other.verified.address());
        let lists = sent
            .iter()
            .filter_map(|message| match Message::parse(message) {
                Ok(Message::Subscribe(list)) => Some((list.serial, list.all, list.groups.to_vec())),
                _ => None,
            });
        let lists = lists.collect();
        self.out.clear();
        lists
    }

    fn came(&mut self, serial: u32) {
        let network = self.network();
        let other = who(&self.other);
        self.networks
            .subscribed(other, Subscribed { network, serial });
    }

    fn hears(&mut self, from: (Address, KeyId), serial: u32, all: bool, groups: &[[u8; 6]]) {
        let list = Subscribe {
            network: self.network(),
            all,
            serial,
            groups,
        };
        self.networks.subscribe(at(300), from, &list, &mut self.out);
    }

    /// What the shard was told of the other member's groups.
    fn groups(&self) -> Vec<Option<Vec<[u8; 6]>>> {
        let updates = self.updates();
        let groups = updates.iter().filter_map(|update| match update {
            Update::Groups { groups, .. } => Some(
                groups
                    .as_ref()
                    .map(|groups| groups.iter().map(|group| group.to_bytes()).collect()),
            ),
            _ => None,
        });
        groups.collect()
    }
}

const JOIN_GAME: [u8; 8] = [0x16, 0, 0, 0, 239, 1, 2, 3];
const LEAVE_GAME: [u8; 8] = [0x17, 0, 0, 0, 239, 1, 2, 3];
const QUERY: [u8; 8] = [0x11, 100, 0, 0, 0, 0, 0, 0];

#[test]
fn the_kernels_groups_are_told_and_told_again_until_they_came() {
    let mut table = Table::met();
    assert!(table.told().is_empty(), "nothing is known yet");
    // The link's own groups need no word.
    table.kernel(200, &[SSDP, [0x33, 0x33, 0, 0, 0, 1]]);
    assert_eq!(table.told(), [(1, false, vec![SSDP])]);
    table.pass(1_200);
    assert_eq!(table.told().len(), 2, "after 300 and 900 ms");
    table.came(1);
    table.pass(120_000);
    assert!(table.told().is_empty());
    table.kernel(120_000, &[SSDP]);
    assert!(table.told().is_empty(), "the same list");
}

#[test]
fn a_report_is_told_at_once_and_the_kernel_is_asked() {
    let mut table = Table::met();
    table.kernel(200, &[]);
    table.came(1);
    table.out.clear();
    table.frame(1_000, JOIN_GAME);
    let network = table.network();
    let asks = |action: &Action| matches!(action, Action::Groups(asked) if *asked == network);
    assert!(table.out.iter().any(asks));
    assert_eq!(table.told(), [(2, false, vec![GAME])]);
    // The kernel does not confirm it: it was another's, or has gone again.
    table.kernel(1_300, &[]);
    assert_eq!(table.told(), [(3, false, vec![])]);
}

#[test]
fn twenty_groups_joined_at_once_are_told_in_a_few_lists() {
    let mut table = Table::met();
    table.kernel(200, &[]);
    table.came(1);
    table.out.clear();
    for last in 0..20 {
        table.frame(1_000 + u64::from(last), [0x16, 0, 0, 0, 239, 9, 9, last]);
    }
    table.pass(1_300);
    let told = table.told();
    assert!(told.len() <= 4, "{} lists", told.len());
    assert_eq!(told.last().unwrap().2.len(), 20);
}

#[test]
fn too_many_groups_are_every_group() {
    let mut table = Table::met();
    let groups: Vec<[u8; 6]> = (0..=255_u8)
        .flat_map(|b| [[0x01, 0x00, 0x5e, 1, 1, b], [0x01, 0x00, 0x5e, 1, 2, b]])
        .collect();
    table.kernel(200, &groups);
    let told = table.told();
    assert_eq!((told[0].1, told[0].2.len()), (true, Subscribe::MAX));
}

#[test]
fn a_bridge_says_everything_and_keeps_what_stations_report_while_somebody_asks() {
    let mut table = Table::new();
    table.join_pinned(0);
    table.controller_up(50);
    let other = table.other.verified.address();
    let says = Says {
        rights: Rights::BRIDGE,
        directory: Some(listing(0, 1, &[(other, false)])),
        ..Says::yes()
    };
    table.answer(60, &says);
    table.other_up(100);
    let certificate = table.certificate(&table.other, 1, 1, Rights::NONE);
    table.credential(110, who(&table.other), &certificate);
    table.kernel(200, &[]);
    assert_eq!(table.told(), [(1, true, vec![])]);
    table.came(1);
    table.frame(1_000, JOIN_GAME);
    // The kernel's list is about the bridge itself, not its stations.
    table.kernel(1_100, &[]);
    assert_eq!(table.told(), [(2, true, vec![GAME])]);
    table.came(2);
    table.frame(2_000, LEAVE_GAME);
    table.pass(600_000);
    assert!(table.told().is_empty(), "nobody asks, so others may listen");
    table.frame(600_000, QUERY);
    table.frame(601_000, JOIN_GAME);
    table.pass(800_000);
    assert!(table.told().is_empty());
    table.frame(800_000, QUERY);
    table.frame(800_100, LEAVE_GAME);
    table.frame(800_900, JOIN_GAME);
    table.pass(803_000);
    assert!(table.told().is_empty(), "another station reported");
    table.frame(803_000, QUERY);
    table.frame(803_100, LEAVE_GAME);
    table.pass(805_200);
    assert_eq!(table.told(), [(3, true, vec![])]);
}

#[test]
fn a_members_list_is_believed_and_answered_and_an_older_one_is_not() {
    let mut table = Table::met();
    let other = who(&table.other);
    table.hears(other, 5, false, &[GAME]);
    assert_eq!(table.groups(), [Some(vec![GAME])]);
    let answered = table.sent_to(other.0).iter().any(|message| {
        matches!(Message::parse(message), Ok(Message::Subscribed(told)) if told.serial == 5)
    });
    assert!(answered);
    table.out.clear();
    table.hears(other, 4, false, &[]);
    table.hears(other, 5, false, &[]);
    assert!(table.groups().is_empty());
    table.hears(other, 6, true, &[GAME]);
    assert_eq!(table.groups(), [None]);
    table.out.clear();
    // With the session, what was said in it is forgotten.
    table
        .networks
        .session_down(at(400), other.0, &mut table.out);
    assert_eq!(table.groups(), [None]);
}

#[test]
fn a_list_of_who_is_no_member_is_not_taken() {
    let mut table = Table::member();
    table.other_up(100);
    let other = who(&table.other);
    table.out.clear();
    table.hears(other, 1, false, &[GAME]);
    let stranger = person(9);
    table.hears(who(&stranger), 1, false, &[GAME]);
    let mut met = Table::met();
    met.hears((other.0, KeyId::from_bytes([1; 32])), 1, false, &[GAME]);
    for table in [&table, &met] {
        assert!(table.groups().is_empty());
        assert!(table.sent_to(other.0).is_empty(), "not even answered");
    }
}

#[test]
fn a_stranger_is_vouched_for_only_when_asked_and_never_under_another_key() {
    let mut table = Table::met();
    let replicator = who(&table.other);
    let stranger = person(9);
    let address = stranger.verified.address();
    let certificate = table.certificate(&stranger, 1, 1, Rights::NONE);
    table.credential(200, replicator, &certificate);
    assert!(!table.admitted(), "nobody asked");
    let network = table.network();
    table
        .networks
        .unvouched(at(300), replicator, (network, address), &mut table.out);
    let asked = table.sent_to(replicator.0).iter().any(|message| {
        matches!(Message::parse(message), Ok(Message::Vouch(wanted)) if wanted.member == address)
    });
    assert!(asked);
    let mut forged = certificate.clone();
    *forged.last_mut().unwrap() ^= 1;
    table.credential(310, replicator, &forged);
    assert!(!table.admitted());
    table.credential(320, replicator, &certificate);
    assert!(table.admitted());
    let welcome = |action: &Action| matches!(action, Action::Welcome(_, who) if *who == address);
    assert!(table.out.iter().any(welcome));
    table.out.clear();
    table.credential(330, replicator, &certificate);
    assert!(table.out.is_empty(), "asked once, taken once");
}

#[test]
fn a_certificate_that_does_not_come_is_asked_for_four_times() {
    let mut table = Table::met();
    let (replicator, network) = (who(&table.other), table.network());
    let address = person(9).verified.address();
    table
        .networks
        .unvouched(at(300), replicator, (network, address), &mut table.out);
    table.pass(20_000);
    let asked = table.sent_to(replicator.0);
    assert_eq!(asked.len(), usize::from(limits::VOUCH_TRIES));
}

#[test]
fn members_only_get_others_certificates() {
    let mut table = Table::met();
    let other = who(&table.other);
    let wanted = Vouch {
        network: table.network(),
        member: other.0,
    };
    let stranger = who(&person(9));
    table
        .networks
        .vouch(at(200), stranger, wanted, &mut table.out);
    assert!(table.out.is_empty());
    table.networks.vouch(at(200), other, wanted, &mut table.out);
    let sent = table.sent_to(other.0);
    assert!(matches!(
        Message::parse(&sent[0]),
        Ok(Message::Credential(_))
    ));
}
