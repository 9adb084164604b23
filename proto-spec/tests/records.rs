//! Signed records, the world file and invites: canonical both ways, nothing behind the end (SPEC §3, §9, §13).
//!
//! In: made-up records. Out: assertions. Never: a key.

mod common;

use proptest::prelude::*;
use zt_wire::json::{world_from_json, world_to_json};
use zt_wire::{
    Certificate, Invite, KeyId, Mac, Malformed, NetworkId, Record, Revocation, SharedConfig,
    Signed, World, signing_input,
};

use common::{certificate, identity, network, revocation, shared, world};

fn survives<R: Record + PartialEq + core::fmt::Debug>(record: &R) {
    let body = record.encode();
    assert_eq!(R::decode(&body).as_ref(), Ok(record));
    for len in 0..body.len() {
        assert!(R::decode(&body[..len]).is_err(), "cut at {len}");
    }
    let longer = [&body[..], &[0]].concat();
    assert_eq!(R::decode(&longer), Err(Malformed::Trailing));
    let signed = [&body[..], &[7; 64]].concat();
    let signed = Signed::parse(&signed).unwrap();
    assert_eq!(signed.decode::<R>().as_ref(), Ok(record));
    assert_eq!(signed.body, body);
}

/// Whatever decodes is canonical: it is written as it was read.
fn canonical<R: Record>(mut body: Vec<u8>, changes: &[(prop::sample::Index, u8)]) {
    for (at, value) in changes {
        let at = at.index(body.len());
        body[at] ^= value;
    }
    if let Ok(record) = R::decode(&body) {
        assert_eq!(record.encode(), body);
    }
}

proptest! {
    #[test]
    fn records_survive(w in world(), c in certificate(), s in shared(), r in revocation()) {
        survives(&w);
        survives(&c);
        survives(&s);
        survives(&r);
    }

    #[test]
    fn records_are_canonical(
        w in world(), c in certificate(), s in shared(), r in revocation(),
        changes in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4),
    ) {
        canonical::<World>(w.encode(), &changes);
        canonical::<Certificate>(c.encode(), &changes);
        canonical::<SharedConfig>(s.encode(), &changes);
        canonical::<Revocation>(r.encode(), &changes);
    }

    #[test]
    fn a_world_file_leads_to_the_bytes_that_were_signed(w in world(), signature in any::<[u8; 32]>()) {
        let signed = [&w.encode()[..], &signature, &signature].concat();
        let text = world_to_json(&signed).unwrap();
        prop_assert_eq!(world_from_json(&text).unwrap(), signed);
    }

    #[test]
    fn an_invite_survives(
        network in network(), controller in identity(), w in world(), fixed in any::<([u8; 32], [u8; 16])>(),
    ) {
        let world = [&w.encode()[..], &[0; 64]].concat();
        let invite = Invite {
            network, controller_key: KeyId::from_bytes(fixed.0), controller, token: fixed.1, world,
        };
        prop_assert_eq!(invite.to_string().parse::<Invite>(), Ok(invite));
    }
}

#[test]
fn a_signature_covers_domain_zero_and_body() {
    assert_eq!(signing_input(World::DOMAIN, b"body"), b"zt world 1\0body");
    let domains = [
        World::DOMAIN,
        Certificate::DOMAIN,
        SharedConfig::DOMAIN,
        Revocation::DOMAIN,
    ];
    for (index, domain) in domains.iter().enumerate() {
        assert!(!domain.contains('\0'));
        assert!(
            domains
                .iter()
                .skip(index + 1)
                .all(|other| !other.starts_with(domain))
        );
    }
}

fn some_certificate() -> Certificate {
    let network: NetworkId = "0123456789000001".parse().unwrap();
    let address = "89abcdef01".parse().unwrap();
    Certificate {
        network,
        key: KeyId::from_bytes([1; 32]),
        address,
        mac: Mac::of(address, network),
        rights: zt_wire::Rights::BRIDGE,
        serial: 1,
        epoch: 2,
        ips: vec!["10.0.0.7/24".parse().unwrap()],
        tags: Vec::new(),
    }
}

#[test]
fn a_right_that_nobody_defined_is_refused() {
    let mut body = some_certificate().encode();
    // Network 8, key 32, address 5, MAC 6, then rights.
    body[51 + 3] = 0x20;
    assert_eq!(Certificate::decode(&body), Err(Malformed::Reserved));
}

#[test]
fn a_certificate_for_a_group_mac_is_refused() {
    let mut certificate = some_certificate();
    certificate.mac = Mac::BROADCAST;
    assert_eq!(
        Certificate::decode(&certificate.encode()),
        Err(Malformed::Name)
    );
}

#[test]
fn records_that_would_not_fit_a_message_are_refused() {
    let text = include_str!("../vectors/world.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut file = vectors["cases"][0]["file"].clone();
    let long = vec!["h".repeat(250); 32];
    file["supernodes"][0]["tls_endpoints"] = long.into();
    assert!(world_from_json(&file.to_string()).is_ok());
    let more = vec![file["supernodes"][0].clone(); 3];
    file["supernodes"] = more.into();
    let refused = world_from_json(&file.to_string()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the world breaks a rule: a length that the layout does not allow"
    );
}

#[test]
fn a_world_file_with_a_changed_name_gives_other_bytes() {
    let text = include_str!("../vectors/world.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    let file = vectors["cases"][0]["file"].to_string();
    let signed = world_from_json(&file).unwrap();
    let name = vectors["cases"][0]["file"]["name"].as_str().unwrap();
    let other = file.replacen(name, "another", 1);
    assert_ne!(world_from_json(&other).unwrap(), signed);
}

#[test]
fn a_world_file_says_what_is_wrong_with_it() {
    let message = |text: &str| world_from_json(text).unwrap_err().to_string();
    assert!(message("").starts_with("no world file"));
    assert!(message("{\"zt_world\": 1}").contains("missing field"));
}
