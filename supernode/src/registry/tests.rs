//! How both registries behave, and what the one on disk keeps.

use std::net::IpAddr;
use std::sync::mpsc;

use crate::registry::ClaimResult;
use zt_wire::{Address, Identity, KeyId};

use super::{Claim, DurableRegistry, Limits, MemoryRegistry, RegistryError};

#[test]
fn the_first_claim_wins_and_its_key_gets_it_again() {
    both(Limits::default(), |claim| {
        assert_eq!(
            claim(&claim_of(1, 1, Some("192.0.2.1"))),
            ClaimResult::Granted
        );
        assert_eq!(
            claim(&claim_of(1, 2, Some("192.0.2.2"))),
            ClaimResult::Taken
        );
        assert_eq!(
            claim(&claim_of(1, 1, Some("198.51.100.9"))),
            ClaimResult::Granted
        );
    });
}

#[test]
fn a_full_registry_refuses_newcomers_and_keeps_its_own() {
    let limits = Limits {
        addresses: 2,
        ..Limits::default()
    };
    both(limits, |claim| {
        assert_eq!(claim(&claim_of(1, 1, None)), ClaimResult::Granted);
        assert_eq!(claim(&claim_of(2, 2, None)), ClaimResult::Granted);
        assert_eq!(claim(&claim_of(3, 3, None)), ClaimResult::Full);
        assert_eq!(claim(&claim_of(2, 2, None)), ClaimResult::Granted);
    });
}

#[test]
fn a_block_has_a_quota_which_siblings_and_other_blocks_do_not_touch() {
    let limits = Limits {
        per_ipv4_24: 1,
        per_ipv6_48: 1,
        ..Limits::default()
    };
    both(limits, |claim| {
        assert_eq!(
            claim(&claim_of(1, 1, Some("192.0.2.1"))),
            ClaimResult::Granted
        );
        assert_eq!(
            claim(&claim_of(2, 2, Some("192.0.2.200"))),
            ClaimResult::Quota
        );
        // The same IPv4 network as a dual-stack socket shows it.
        assert_eq!(
            claim(&claim_of(3, 3, Some("::ffff:192.0.2.7"))),
            ClaimResult::Quota
        );
        assert_eq!(
            claim(&claim_of(4, 4, Some("192.0.3.1"))),
            ClaimResult::Granted
        );
        assert_eq!(
            claim(&claim_of(5, 5, Some("2001:db8:1::1"))),
            ClaimResult::Granted
        );
        assert_eq!(
            claim(&claim_of(6, 6, Some("2001:db8:1:2::1"))),
            ClaimResult::Quota
        );
        assert_eq!(claim(&claim_of(7, 7, None)), ClaimResult::Granted);
        assert_eq!(
            claim(&claim_of(1, 1, Some("192.0.2.1"))),
            ClaimResult::Granted,
            "the holder itself"
        );
    });
}

#[test]
fn what_was_granted_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registry.redb");
    {
        let registry = DurableRegistry::open(&file, Limits::default()).unwrap();
        assert_eq!(
            wait(&registry, claim_of(1, 1, Some("192.0.2.1"))),
            Ok(ClaimResult::Granted)
        );
    }
    let registry = DurableRegistry::open(&file, Limits::default()).unwrap();
    assert_eq!(registry.whois(address(1)), Ok(Some(identity(1))));
    assert_eq!(registry.whois(address(2)), Ok(None));
    assert_eq!(registry.held(), Ok(1));
    assert_eq!(
        wait(&registry, claim_of(1, 2, None)),
        Ok(ClaimResult::Taken)
    );
}

#[test]
fn claims_in_one_commit_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let registry = DurableRegistry::open(&dir.path().join("r"), Limits::default()).unwrap();
    let (answers, heard) = mpsc::channel();
    for key in 1..=200 {
        let answers = answers.clone();
        registry.claim(claim_of(7, key, None), move |result| {
            answers.send(result.unwrap()).unwrap();
        });
    }
    drop(answers);
    let granted = heard
        .iter()
        .filter(|result| *result == ClaimResult::Granted)
        .count();
    assert_eq!(granted, 1);
    assert_eq!(
        registry.whois(address(7)),
        Ok(Some(identity(1))),
        "the first in line"
    );
}

#[test]
fn a_registry_in_use_and_a_damaged_one_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("r");
    let registry = DurableRegistry::open(&file, Limits::default()).unwrap();
    assert!(matches!(
        DurableRegistry::open(&file, Limits::default()),
        Err(RegistryError::InUse { .. })
    ));
    drop(registry);
    std::fs::write(&file, [0xa5; 8192]).unwrap();
    let damaged = DurableRegistry::open(&file, Limits::default());
    assert!(
        matches!(damaged, Err(RegistryError::Corrupt { .. })),
        "{damaged:?}"
    );
    assert_eq!(
        std::fs::read(&file).unwrap(),
        [0xa5; 8192],
        "it is left for whoever can rescue it"
    );
}

/// Runs the same expectations against both registries.
fn both(limits: Limits, expectations: impl Fn(&mut dyn FnMut(&Claim) -> ClaimResult)) {
    let mut memory = MemoryRegistry::new(limits);
    expectations(&mut |claim| memory.claim(claim));
    let dir = tempfile::tempdir().unwrap();
    let durable = DurableRegistry::open(&dir.path().join("registry.redb"), limits).unwrap();
    expectations(&mut |claim| wait(&durable, claim.clone()).unwrap());
}

fn wait(registry: &DurableRegistry, claim: Claim) -> Result<ClaimResult, RegistryError> {
    let (answer, heard) = mpsc::channel();
    registry.claim(claim, move |result| answer.send(result).unwrap());
    heard.recv().unwrap()
}

fn claim_of(place: u8, key: u8, from: Option<&str>) -> Claim {
    Claim {
        address: address(place),
        key: KeyId::from_bytes([key; 32]),
        identity: identity(key),
        from: from.map(|ip| ip.parse::<IpAddr>().unwrap()),
    }
}

fn address(place: u8) -> Address {
    Address::from_bytes([1, 2, 3, 4, place]).unwrap()
}

fn identity(key: u8) -> Identity {
    Identity::new([key; 32], [key; 32], u64::from(key))
}
