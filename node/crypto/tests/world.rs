//! Worlds: which are believed, and which follow another.

use zt_crypto::pow::{BadParams, Params, Search};
use zt_crypto::{BadWorld, SecretIdentity, SigningSecret, Verified, VerifiedWorld};
use zt_wire::{ProofOfWork, Record, World, WorldSupernode};

fn somebody(seed: u8) -> (SecretIdentity, Verified) {
    Search::new(&[seed; 32], Params::WEAK).run().unwrap()
}

fn key(seed: u8) -> SigningSecret {
    SigningSecret::from_seed(&[seed; 32])
}

fn world(serial: u64, signer: u8, next: u8) -> World {
    World {
        id: [7; 16],
        serial,
        name: "test".into(),
        proof_of_work: ProofOfWork {
            memory_kib: 8,
            passes: 1,
            bits: 0,
            weak: true,
        },
        signing_key: key(signer).public(),
        next_key: key(next).public(),
        supernodes: vec![WorldSupernode {
            identity: *somebody(9).1.identity(),
            endpoints: vec!["192.0.2.1:9993".parse().unwrap()],
            tls_endpoints: vec![],
        }],
    }
}

fn first() -> VerifiedWorld {
    VerifiedWorld::first(&key(1).sign(&world(1, 1, 2)), true).unwrap()
}

fn successor_of_first(next: &World, signer: u8) -> Result<VerifiedWorld, BadWorld> {
    first().successor(&key(signer).sign(next))
}

#[test]
fn a_world_from_a_file_carries_its_supernodes_proven() {
    let verified = first();
    assert_eq!(verified.supernodes(), &[somebody(9).1]);
    assert_eq!(
        verified.hash(),
        zt_crypto::hash256(&verified.world().encode())
    );
    assert_eq!(VerifiedWorld::first(verified.bytes(), true), Ok(verified));
}

#[test]
fn a_changed_byte_of_a_world_is_noticed() {
    let bytes = first().bytes().to_vec();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(VerifiedWorld::first(&changed, true).is_err(), "byte {at}");
    }
}

#[test]
fn a_weak_world_is_entered_only_when_told_to() {
    let bytes = key(1).sign(&world(1, 1, 2));
    assert_eq!(
        VerifiedWorld::first(&bytes, false),
        Err(BadWorld::Work(BadParams::WeakRefused))
    );
    let mut silent = world(1, 1, 2);
    silent.proof_of_work.weak = false;
    let bytes = key(1).sign(&silent);
    assert_eq!(
        VerifiedWorld::first(&bytes, true),
        Err(BadWorld::Work(BadParams::WeakUnsaid))
    );
}

#[test]
fn a_world_whose_supernode_did_no_work_is_refused() {
    let mut false_one = world(1, 1, 2);
    false_one.proof_of_work.bits = 30;
    assert!(matches!(
        VerifiedWorld::first(&key(1).sign(&false_one), true),
        Err(BadWorld::Supernode(_))
    ));
}

#[test]
fn a_newer_world_signed_by_the_next_key_is_adopted_even_when_serials_were_missed() {
    let second = successor_of_first(&world(2, 2, 3), 2).unwrap();
    assert_eq!(second.world().serial, 2);
    assert!(second.successor(&key(3).sign(&world(9, 3, 3))).is_ok());
}

#[test]
fn a_world_that_does_not_follow_is_refused_with_the_reason() {
    assert_eq!(
        successor_of_first(&world(1, 2, 3), 2),
        Err(BadWorld::NotNewer { have: 1, found: 1 })
    );
    assert_eq!(
        successor_of_first(&world(2, 1, 2), 1),
        Err(BadWorld::Signer)
    );
    assert_eq!(
        successor_of_first(&world(2, 2, 3), 1),
        Err(BadWorld::Signature)
    );
    let other = World {
        id: [8; 16],
        ..world(2, 2, 3)
    };
    assert_eq!(successor_of_first(&other, 2), Err(BadWorld::Other));
    let mut cheaper = world(2, 2, 3);
    cheaper.proof_of_work.memory_kib = 16;
    assert_eq!(successor_of_first(&cheaper, 2), Err(BadWorld::WorkChanged));
}
