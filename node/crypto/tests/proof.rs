//! Worlds, certificates, configurations and revocations: who believes which, and when no longer.

use zt_crypto::pow::{BadParams, Params, Search};
use zt_crypto::{
    BadRecord, BadWorld, SecretIdentity, SigningSecret, Verified, VerifiedCertificate,
    VerifiedRevocation, VerifiedShared, VerifiedWorld,
};
use zt_wire::{
    Certificate, Mac, NetworkId, ProofOfWork, Record, Revocation, Rights, SharedConfig, World,
    WorldSupernode,
};

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

fn network(controller: &Verified) -> NetworkId {
    NetworkId::new(controller.address(), 1).unwrap()
}

fn certificate(controller: &Verified, member: &Verified) -> Certificate {
    let network = network(controller);
    Certificate {
        network,
        key: member.key(),
        address: member.address(),
        mac: Mac::of(member.address(), network),
        rights: Rights::NONE,
        serial: 5,
        epoch: 10,
        ips: vec![],
        tags: vec![],
    }
}

#[test]
fn a_certificate_is_believed_from_its_controller_for_its_network_and_member_only() {
    let ((secret, controller), (_, member)) = (somebody(1), somebody(2));
    let (other_secret, other) = somebody(3);
    let record = certificate(&controller, &member);
    let network = network(&controller);

    let verified =
        VerifiedCertificate::verify(&secret.sign(&record), network, &controller).unwrap();
    assert_eq!(verified.record(), &record);
    assert!(verified.is_for(&member));
    assert!(!verified.is_for(&other));

    let check = |bytes: &[u8], network, by| VerifiedCertificate::verify(bytes, network, by).err();
    let second = NetworkId::new(controller.address(), 2).unwrap();
    assert_eq!(
        check(&secret.sign(&record), second, &controller),
        Some(BadRecord::Network)
    );
    assert_eq!(
        check(&secret.sign(&record), network, &other),
        Some(BadRecord::Network)
    );
    assert_eq!(
        check(&other_secret.sign(&record), network, &controller),
        Some(BadRecord::Signature)
    );
}

#[test]
fn a_certificate_is_valid_for_a_window_of_epochs() {
    let ((secret, controller), (_, member)) = (somebody(1), somebody(2));
    let bytes = secret.sign(&certificate(&controller, &member));
    let verified = VerifiedCertificate::verify(&bytes, network(&controller), &controller).unwrap();
    assert!(verified.is_valid(10, 3));
    assert!(verified.is_valid(13, 3));
    assert!(!verified.is_valid(14, 3));
    assert!(
        verified.is_valid(9, 0),
        "its holder heard of a newer epoch first"
    );
}

#[test]
fn a_revocation_ends_older_serials_of_its_key_only() {
    let ((secret, controller), (_, member)) = (somebody(1), somebody(2));
    let network = network(&controller);
    let revoke = |key, minimum| {
        let record = Revocation {
            network,
            key,
            minimum,
            epoch: 10,
        };
        VerifiedRevocation::verify(&secret.sign(&record), network, &controller).unwrap()
    };
    let bytes = secret.sign(&certificate(&controller, &member));
    let verified = VerifiedCertificate::verify(&bytes, network, &controller).unwrap();
    assert!(verified.is_revoked_by(&revoke(member.key(), 6)));
    assert!(!verified.is_revoked_by(&revoke(member.key(), 5)));
    assert!(!verified.is_revoked_by(&revoke(controller.key(), 6)));
}

#[test]
fn a_shared_configuration_names_its_controller() {
    let (secret, controller) = somebody(1);
    let mut config = SharedConfig {
        network: network(&controller),
        revision: 1,
        epoch: 1,
        window: 3,
        name: "home".into(),
        mtu: 1500,
        rfc4193: true,
        link_local_groups: false,
        multicast_limit: 64,
        controller: controller.key(),
        routes: vec![],
        dns_domain: String::new(),
        dns_servers: vec![],
        pools: vec![],
        rules: vec![],
    };
    let verified =
        VerifiedShared::verify(&secret.sign(&config), config.network, &controller).unwrap();
    assert_eq!(verified.hash(), zt_crypto::hash256(&config.encode()));
    config.controller = somebody(2).1.key();
    let changed = VerifiedShared::verify(&secret.sign(&config), config.network, &controller);
    assert_eq!(changed.err(), Some(BadRecord::Controller));
}
