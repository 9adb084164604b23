//! What every store has to do: one suite, run over each of them.
//!
//! A new store is one line in `stores`.

use std::sync::{Arc, Barrier};

use zt_api::master::MemberStatus;

use super::*;
use crate::model::{Actor, Settings};
use crate::testing::{NOW, who};

/// Every store, empty, with what has to outlive it.
fn stores() -> Vec<(&'static str, Arc<dyn Store>, tempfile::TempDir)> {
    let folder = || tempfile::tempdir().unwrap();
    let file = folder();
    let sqlite = Sqlite::open(&SqliteOptions::at(file.path().join("netconf.db"))).unwrap();
    vec![
        ("memory", Arc::new(Memory::new()), folder()),
        ("sqlite", Arc::new(sqlite), file),
    ]
}

fn network(number: u32) -> Network {
    let controller = "0123456789".parse().unwrap();
    Network {
        id: NetworkId::new(controller, number).unwrap(),
        settings: Settings {
            name: format!("network {number}"),
            pools: vec!["10.0.0.0/24".parse().unwrap()],
            ..Settings::default()
        },
        epoch: 1,
        epoch_since: NOW,
        revision: 1,
        shared: [1, 2, 3].into(),
        shared_hash: [9; 32],
        created: NOW,
    }
}

fn member(number: u32) -> Member {
    Member {
        key: Some(who(number).key),
        status: MemberStatus::Authorized,
        name: "somebody".to_owned(),
        static_ips: vec!["fd00::1".parse().unwrap()],
        tags: [(1, 2)].into(),
        invite: Some(InviteId::from_bits(5)),
        serial: 3,
        content: [4; 32],
        seen: Some(NOW),
        endpoint: Some("192.0.2.1:9993".to_owned()),
        ..Member::new(network(1).id, who(number).address, NOW)
    }
}

fn invite(number: u8) -> Invite {
    Invite {
        network: network(1).id,
        id: InviteId::from_bits(u64::from(number)),
        token_hash: [number; 32],
        label: "for anna".to_owned(),
        max_uses: Some(2),
        uses: 0,
        expires: Some(NOW),
        authorize: true,
        revoked: false,
        created: NOW,
        row: 0,
    }
}

fn write(store: &dyn Store, write: Write) -> Result<Applied, StoreError> {
    store.apply(Batch {
        writes: vec![write],
        log: Vec::new(),
    })
}

fn put(store: &dyn Store, member: Member, relist: bool) -> Result<Applied, StoreError> {
    write(store, Write::PutMember { member, relist })
}

fn with_network(store: &dyn Store) {
    write(store, Write::AddNetwork(network(1))).unwrap();
}

fn note(action: &'static str, of: NetworkId) -> NewEntry {
    NewEntry {
        at: NOW,
        network: of,
        actor: Actor::Admin,
        action,
        subject: "0a0b0c0d0e".to_owned(),
        detail: "why".to_owned(),
    }
}

#[test]
fn what_is_written_is_read_again_whole() {
    for (name, store, _folder) in stores() {
        with_network(&*store);
        assert_eq!(
            store.network(network(1).id).unwrap(),
            Some(network(1)),
            "{name}"
        );
        put(&*store, member(1), false).unwrap();
        let read = store.member(network(1).id, member(1).address).unwrap();
        assert_eq!(
            read,
            Some(Member {
                row: 1,
                ..member(1)
            }),
            "{name}"
        );
        write(&*store, Write::PutInvite(invite(1))).unwrap();
        let read = store.invite_by_token(&[1; 32]).unwrap();
        assert_eq!(
            read,
            Some(Invite {
                row: 1,
                ..invite(1)
            }),
            "{name}"
        );
        let revocation = Revocation {
            network: network(1).id,
            key: who(1).key,
            min_serial: 4,
            since_epoch: 2,
            signed: vec![1; 100],
        };
        write(&*store, Write::PutRevocation(revocation.clone())).unwrap();
        assert_eq!(
            store.revocations(network(1).id).unwrap(),
            [revocation],
            "{name}"
        );
        store.ready().unwrap();
    }
}

#[test]
fn a_network_id_is_never_given_again() {
    for (name, store, _folder) in stores() {
        with_network(&*store);
        let twice = write(&*store, Write::AddNetwork(network(1)));
        assert!(matches!(twice, Err(StoreError::Exists)), "{name}");
        write(&*store, Write::RemoveNetwork(network(1).id)).unwrap();
        let again = write(&*store, Write::AddNetwork(network(1)));
        assert!(matches!(again, Err(StoreError::Exists)), "{name}");
    }
}

#[test]
fn a_row_that_changed_meanwhile_is_a_conflict() {
    for (name, store, _folder) in stores() {
        with_network(&*store);
        put(&*store, member(1), false).unwrap();
        let stale = put(&*store, member(1), false);
        assert!(
            matches!(stale, Err(StoreError::Conflict)),
            "{name}: made twice"
        );
        let unknown = put(
            &*store,
            Member {
                row: 7,
                ..member(2)
            },
            false,
        );
        assert!(
            matches!(unknown, Err(StoreError::Conflict)),
            "{name}: not there"
        );
        put(
            &*store,
            Member {
                row: 1,
                ..member(1)
            },
            false,
        )
        .unwrap();
        let stale = put(
            &*store,
            Member {
                row: 1,
                ..member(1)
            },
            false,
        );
        assert!(
            matches!(stale, Err(StoreError::Conflict)),
            "{name}: changed twice"
        );
        write(&*store, Write::PutInvite(invite(1))).unwrap();
        let stale = write(&*store, Write::PutInvite(invite(1)));
        assert!(matches!(stale, Err(StoreError::Conflict)), "{name}: invite");
        let next = Network {
            revision: 2,
            ..network(1)
        };
        write(
            &*store,
            Write::PutNetwork {
                network: next.clone(),
                was: 1,
            },
        )
        .unwrap();
        let stale = write(
            &*store,
            Write::PutNetwork {
                network: next,
                was: 1,
            },
        );
        assert!(
            matches!(stale, Err(StoreError::Conflict)),
            "{name}: network"
        );
    }
}

#[test]
fn an_address_has_one_holder() {
    for (name, store, _folder) in stores() {
        with_network(&*store);
        let ip: IpAddr = "10.0.0.7".parse().unwrap();
        put(
            &*store,
            Member {
                ips: vec![ip],
                ..member(1)
            },
            true,
        )
        .unwrap();
        let second = put(
            &*store,
            Member {
                ips: vec![ip],
                ..member(2)
            },
            true,
        );
        assert!(
            matches!(second, Err(StoreError::Taken(taken)) if taken == ip),
            "{name}"
        );
        assert_eq!(
            store.holder(network(1).id, ip).unwrap(),
            Some(member(1).address),
            "{name}"
        );
        put(
            &*store,
            Member {
                row: 1,
                ips: vec![],
                ..member(1)
            },
            true,
        )
        .unwrap();
        assert_eq!(store.holder(network(1).id, ip).unwrap(), None, "{name}");
        put(
            &*store,
            Member {
                ips: vec![ip],
                ..member(2)
            },
            true,
        )
        .unwrap();
    }
}

#[test]
fn of_two_who_write_at_once_one_gets_the_address() {
    for (name, store, _folder) in stores() {
        with_network(&*store);
        let start = Barrier::new(8);
        let granted: usize = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|number| {
                    let (store, start) = (&*store, &start);
                    scope.spawn(move || {
                        start.wait();
                        let ips = vec!["10.0.0.7".parse().unwrap()];
                        put(
                            store,
                            Member {
                                ips,
                                ..member(number)
                            },
                            true,
                        )
                        .is_ok()
                    })
                })
                .collect();
            writers
                .into_iter()
                .map(|writer| usize::from(writer.join().unwrap()))
                .sum()
        });
        assert_eq!(granted, 1, "{name}");
    }
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    for (name, store, _folder) in stores() {
        with_network(&*store);
        put(
            &*store,
            Member {
                ips: vec!["10.0.0.7".parse().unwrap()],
                ..member(1)
            },
            true,
        )
        .unwrap();
        let before = (
            store.network(network(1).id).unwrap(),
            store.members(network(1).id, None, 10).unwrap(),
            store.newest().unwrap(),
        );
        let batch = Batch {
            writes: vec![
                Write::PutMember {
                    member: member(3),
                    relist: true,
                },
                Write::PutInvite(invite(1)),
                Write::AddNetwork(network(2)),
                Write::PutMember {
                    member: Member {
                        ips: vec!["10.0.0.7".parse().unwrap()],
                        ..member(2)
                    },
                    relist: true,
                },
            ],
            log: vec![note("member.join", network(1).id)],
        };
        assert!(
            matches!(store.apply(batch), Err(StoreError::Taken(_))),
            "{name}"
        );
        let after = (
            store.network(network(1).id).unwrap(),
            store.members(network(1).id, None, 10).unwrap(),
            store.newest().unwrap(),
        );
        assert_eq!(before, after, "{name}");
        assert_eq!(
            store.invites(network(1).id, None, 10).unwrap(),
            [],
            "{name}"
        );
        write(&*store, Write::AddNetwork(network(2))).unwrap();
    }
}

#[test]
fn the_directory_lists_changes_in_order_each_once() {
    for (name, store, _folder) in stores() {
        with_network(&*store);
        for number in 1..=3 {
            let applied = put(&*store, member(number), true).unwrap();
            assert_eq!(applied.revision, Some(u64::from(number) + 1), "{name}");
        }
        put(&*store, member(4), false).unwrap();
        let first = store
            .member(network(1).id, member(1).address)
            .unwrap()
            .unwrap();
        put(&*store, first, true).unwrap();
        let listed = |after, limit| -> Vec<(Address, u64)> {
            let changed = store.listed_after(network(1).id, after, limit).unwrap();
            changed
                .into_iter()
                .map(|member| (member.address, member.listed))
                .collect()
        };
        let (one, two, three) = (member(1).address, member(2).address, member(3).address);
        assert_eq!(listed(0, 10), [(two, 3), (three, 4), (one, 5)], "{name}");
        assert_eq!(listed(3, 1), [(three, 4)], "{name}");
        assert_eq!(listed(5, 10), [], "{name}");
        assert_eq!(listed(u64::MAX, 10), [], "{name}");
        assert_eq!(
            store.network(network(1).id).unwrap().unwrap().revision,
            5,
            "{name}"
        );
    }
}

#[test]
fn lists_are_pages_in_order_without_the_deleted() {
    for (name, store, _folder) in stores() {
        with_network(&*store);
        write(&*store, Write::AddNetwork(network(2))).unwrap();
        for number in 1..=5 {
            put(&*store, member(number), true).unwrap();
        }
        let gone = store
            .member(network(1).id, member(3).address)
            .unwrap()
            .unwrap();
        put(
            &*store,
            Member {
                deleted: true,
                ..gone
            },
            true,
        )
        .unwrap();
        let page = |after, limit| -> Vec<Address> {
            let page = store.members(network(1).id, after, limit).unwrap();
            page.into_iter().map(|member| member.address).collect()
        };
        let address = |number: u32| member(number).address;
        assert_eq!(page(None, 2), [address(1), address(2)], "{name}");
        assert_eq!(
            page(Some(address(2)), 9),
            [address(4), address(5)],
            "{name}"
        );
        let networks = store.networks(Some(network(1).id), 9).unwrap();
        assert_eq!(networks.len(), 1, "{name}");
        let counts = store.counts(network(1).id).unwrap();
        assert_eq!((counts.authorized, counts.pending), (4, 0), "{name}");
        for number in 1..=3 {
            write(&*store, Write::PutInvite(invite(number))).unwrap();
        }
        let after = Some(InviteId::from_bits(1));
        assert_eq!(
            store.invites(network(1).id, after, 1).unwrap()[0].id.bits(),
            2,
            "{name}"
        );
    }
}

#[test]
fn a_deleted_network_takes_everything_but_its_log() {
    for (name, store, _folder) in stores() {
        with_network(&*store);
        let id = network(1).id;
        let ip: IpAddr = "10.0.0.7".parse().unwrap();
        let writes = vec![
            Write::PutMember {
                member: Member {
                    ips: vec![ip],
                    ..member(1)
                },
                relist: true,
            },
            Write::PutInvite(invite(1)),
        ];
        store
            .apply(Batch {
                writes,
                log: vec![note("member.join", id)],
            })
            .unwrap();
        write(&*store, Write::RemoveNetwork(id)).unwrap();
        assert_eq!(store.network(id).unwrap(), None, "{name}");
        assert_eq!(store.member(id, member(1).address).unwrap(), None, "{name}");
        assert_eq!(store.holder(id, ip).unwrap(), None, "{name}");
        assert_eq!(store.invite_by_token(&[1; 32]).unwrap(), None, "{name}");
        assert_eq!(store.log(Some(id), 0, 9).unwrap().len(), 1, "{name}");
        let again = write(&*store, Write::RemoveNetwork(id));
        assert!(matches!(again, Err(StoreError::Gone)), "{name}");
        let late = put(&*store, member(1), true);
        assert!(matches!(late, Err(StoreError::Gone)), "{name}");
    }
}

#[test]
fn the_log_is_numbered_over_all_networks() {
    for (name, store, _folder) in stores() {
        with_network(&*store);
        for (action, of) in [("a.b", 1), ("c.d", 2), ("e.f", 1)] {
            let log = vec![note(action, network(of).id)];
            store
                .apply(Batch {
                    writes: Vec::new(),
                    log,
                })
                .unwrap();
        }
        let numbers = |of, after| -> Vec<u64> {
            store
                .log(of, after, 9)
                .unwrap()
                .into_iter()
                .map(|line| line.seq)
                .collect()
        };
        assert_eq!(numbers(None, 0), [1, 2, 3], "{name}");
        assert_eq!(numbers(Some(network(1).id), 1), [3], "{name}");
        assert_eq!(store.newest().unwrap(), 3, "{name}");
        let line = &store.log(None, 0, 1).unwrap()[0];
        assert_eq!(
            (line.actor.as_str(), line.action.as_str()),
            ("admin", "a.b"),
            "{name}"
        );
    }
}

#[test]
fn hearing_a_member_is_no_conflict() {
    for (name, store, _folder) in stores() {
        with_network(&*store);
        put(&*store, member(1), false).unwrap();
        for address in [member(1).address, member(9).address] {
            let (at, endpoint) = (Unix(NOW.0 + 60), None);
            let network = network(1).id;
            write(
                &*store,
                Write::Seen {
                    network,
                    address,
                    at,
                    endpoint,
                },
            )
            .unwrap();
        }
        let heard = store
            .member(network(1).id, member(1).address)
            .unwrap()
            .unwrap();
        assert_eq!(
            (heard.seen, heard.endpoint.clone(), heard.row),
            (Some(Unix(NOW.0 + 60)), None, 1),
            "{name}"
        );
        assert_eq!(
            store.member(network(1).id, member(9).address).unwrap(),
            None,
            "{name}"
        );
        put(&*store, heard, false).unwrap();
    }
}

#[test]
fn a_file_opened_again_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::at(folder.path().join("netconf.db"));
    {
        let store = Sqlite::open(&options).unwrap();
        with_network(&store);
        put(&store, member(1), true).unwrap();
    }
    let store = Sqlite::open(&options).unwrap();
    assert_eq!(store.listed_after(network(1).id, 0, 9).unwrap().len(), 1);
}
