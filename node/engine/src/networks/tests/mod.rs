//! A node's networks against a controller made of its answers.
//!
//! In: what a test lets the controller and the others say. Out: what the node wanted done. Never: a network, a clock.

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

mod groups;
mod joining;
mod meeting;

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
        let networks = Networks::new(me.verified.address(), me.verified.key(), [7; 32]);
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
        // A forged one changes nothing, which the stories look at.
        let _ = self
            .networks
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
        replicator: false,
        ips: vec![],
    };
    DirectoryDelta {
        from,
        to,
        more: false,
        entries: members.iter().map(entry).collect(),
    }
}
