//! `proto-spec/vectors`: what this implementation computes from fixed secrets is what the files say.
//!
//! With `ZT_WRITE_VECTORS=1` the files are written instead; a difference in review is then a change of the protocol.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};
use zt_crypto::hash::expand;
use zt_crypto::pow::{Params, Search, verify};
use zt_crypto::{
    Hello, Initiator, Label, SealKey, SecretIdentity, Suite, Suites, Verified, hash256, respond,
};
use zt_wire::{
    Certificate, Identity, Mac, NetworkId, ProofOfWork, Record, Revocation, Rights, SharedConfig,
    World, WorldSupernode,
};

/// Compares `computed` with the file, or writes it.
fn check(name: &str, computed: &Value) {
    let path = file(name);
    if std::env::var_os("ZT_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(computed).unwrap() + "\n";
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(
        &read(name),
        computed,
        "{name} differs from what is computed"
    );
}

fn read(name: &str) -> Value {
    let text =
        std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../proto-spec/vectors")
        .join(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn somebody(seed: u8) -> (SecretIdentity, Verified) {
    Search::new(&[seed; 32], Params::WEAK).run().unwrap()
}

fn secret_parts(secret: &SecretIdentity) -> Value {
    let bytes = secret.to_bytes();
    json!({ "x25519_secret": hex(&bytes[1..33]), "ed25519_seed": hex(&bytes[33..65]) })
}

#[test]
fn identity_vectors_hold() {
    let cases: Vec<Value> = [1, 2]
        .map(|seed| {
            let (secret, verified) = somebody(seed);
            let identity = verified.identity();
            json!({
                "secret": secret_parts(&secret),
                "x25519_public": hex(identity.x25519()),
                "ed25519_public": hex(identity.ed25519()),
                "nonce": identity.nonce(),
                "identity": hex(&identity.to_bytes()),
                "key_id": verified.key().to_string(),
            })
        })
        .into();
    check(
        "identity.json",
        &json!({ "about": "SPEC 2.1 and 2.2", "cases": cases }),
    );
}

#[test]
fn proof_of_work_vectors_hold() {
    let kinds = [
        Params::WEAK,
        Params::new(64, 2, 6).unwrap(),
        Params::RELEASE,
    ];
    let written = std::env::var_os("ZT_WRITE_VECTORS")
        .is_none()
        .then(|| read("proof-of-work.json"));
    let cases: Vec<Value> = (0..kinds.len())
        .map(|at| {
            let params = kinds[at];
            // The search takes its time; the file has what it found, and here that is only verified.
            let identity = match &written {
                Some(file) => file["cases"][at]["identity"]
                    .as_str()
                    .unwrap()
                    .parse()
                    .unwrap(),
                None => *Search::new(&[1; 32], params).run().unwrap().1.identity(),
            };
            pow_case(params, &identity)
        })
        .collect();
    check(
        "proof-of-work.json",
        &json!({ "about": "SPEC 2.3", "cases": cases }),
    );
}

fn pow_case(params: Params, identity: &Identity) -> Value {
    // Argon2 by itself, without this crate's wrapping.
    let inner = argon2::Params::new(params.memory_kib(), params.passes(), 1, Some(32)).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, inner);
    let bytes = identity.to_bytes();
    let salt = [b"zt pow 1", &bytes[65..]].concat();
    let mut digest = [0; 32];
    argon2
        .hash_password_into(&bytes[..65], &salt, &mut digest)
        .unwrap();
    json!({
        "memory_kib": params.memory_kib(),
        "passes": params.passes(),
        "bits": params.bits(),
        "identity": identity.to_string(),
        "argon2id_password": hex(&bytes[..65]),
        "argon2id_salt": hex(&salt),
        "argon2id_output": hex(&digest),
        "address": verify(identity, &params).unwrap().address().to_string(),
    })
}

#[test]
fn handshake_vectors_hold() {
    let cases: Vec<Value> = [
        (Label::Init, Suites::ALL, "init"),
        (Label::Init, Suites::LEAST, "init"),
        (Label::Rekey, Suites::ALL, "rekey"),
    ]
    .into_iter()
    .map(|(label, suites, name)| handshake_case(label, suites, name))
    .collect();
    check(
        "handshake.json",
        &json!({ "about": "SPEC 4", "cases": cases }),
    );
}

fn handshake_case(label: Label, suites: Suites, name: &str) -> Value {
    let ((alice, _), (bob, verified)) = (somebody(1), somebody(2));
    let (theirs, ours) = ([0xa1; 32], [0xb2; 32]);
    let hello = Hello {
        suites,
        boot: 7,
        index: 0x1122_3344,
    };
    let answer = Hello {
        suites: Suites::ALL,
        boot: 9,
        index: 0x5566_7788,
    };
    let (initiator, message1) = Initiator::start(&alice, &verified, label, hello, &theirs).unwrap();
    let responded = respond(&bob, label, &message1, answer, &ours).unwrap();
    let (keys, _) = initiator.finish(&alice, &responded.message2).unwrap();
    let mut there = [0; 16];
    keys.seal.seal(0, &mut there);
    let mut back = [0; 16];
    responded.keys.seal.seal(0, &mut back);
    json!({
        "label": name,
        "initiator": {
            "secret": secret_parts(&alice),
            "identity": alice.public().to_string(),
            "ephemeral_secret": hex(&expand(&theirs, b"zt ephemeral 1")[..32]),
            "ml_kem_768_seed_d_z": hex(&*expand(&theirs, b"zt kem key 1")),
            "suites": suites.to_byte(), "boot": 7, "index": 0x1122_3344,
        },
        "responder": {
            "secret": secret_parts(&bob),
            "identity": bob.public().to_string(),
            "ephemeral_secret": hex(&expand(&ours, b"zt ephemeral 1")[..32]),
            "ml_kem_768_message_m": hex(&expand(&ours, b"zt kem message 1")[..32]),
            "suites": Suites::ALL.to_byte(), "boot": 9, "index": 0x5566_7788,
        },
        "message_1": hex(&message1),
        "message_2": hex(&responded.message2),
        "suite": keys.suite().name(),
        "tag_of_empty_body_counter_0_initiator_to_responder": hex(&there),
        "tag_of_empty_body_counter_0_responder_to_initiator": hex(&back),
    })
}

#[test]
fn transport_vectors_hold() {
    let mut cases = Vec::new();
    for suite in [Suite::XSalsa20Poly1305, Suite::Aes256Gcm] {
        for (counter, text) in [
            (0, vec![]),
            (1, b"abc".to_vec()),
            ((1 << 40) + 5, (0..=255).collect::<Vec<u8>>()),
        ] {
            let key = hash256(b"transport vectors");
            let header = zt_wire::datagram::Transport {
                receiver: 0x0102_0304,
                counter,
            };
            let mut datagram = [header.to_bytes().as_slice(), &text, &[0; 16]].concat();
            SealKey::new(suite, &key).seal(counter, &mut datagram[zt_wire::TRANSPORT_HEADER..]);
            cases.push(json!({
                "suite": suite.name(), "key": hex(&key), "receiver": 0x0102_0304, "counter": counter,
                "body": hex(&text), "datagram": hex(&datagram),
            }));
        }
    }
    check(
        "transport.json",
        &json!({ "about": "SPEC 5", "cases": cases }),
    );
}

#[test]
fn signed_record_vectors_hold() {
    let ((secret, controller), (_, member)) = (somebody(1), somebody(2));
    let network = NetworkId::new(controller.address(), 1).unwrap();
    let certificate = Certificate {
        network,
        key: member.key(),
        address: member.address(),
        mac: Mac::of(member.address(), network),
        rights: Rights::BRIDGE,
        serial: 3,
        epoch: 4,
        ips: vec!["10.1.2.3/24".parse().unwrap()],
        tags: vec![],
    };
    let shared = shared(&controller, network);
    let revocation = Revocation {
        network,
        key: member.key(),
        minimum: 4,
        epoch: 5,
    };
    let world = World {
        id: [0x77; 16],
        serial: 1,
        name: "example".into(),
        proof_of_work: ProofOfWork {
            memory_kib: 8,
            passes: 1,
            bits: 0,
            weak: true,
        },
        signing_key: *controller.identity().ed25519(),
        next_key: *controller.identity().ed25519(),
        supernodes: vec![WorldSupernode {
            identity: *member.identity(),
            endpoints: vec![
                "192.0.2.1:9993".parse().unwrap(),
                "[2001:db8::1]:9993".parse().unwrap(),
            ],
            tls_endpoints: vec!["relay.example:443".into()],
        }],
    };
    let mut cases = vec![
        signed_case(&secret, &certificate),
        signed_case(&secret, &shared),
        signed_case(&secret, &revocation),
        signed_case(&secret, &world),
    ];
    cases[0]["mac"] = json!(certificate.mac.to_string());
    check(
        "signed.json",
        &json!({
            "about": "SPEC 1.5, 3 and 9",
            "signer": secret_parts(&secret),
            "network": network.to_string(),
            "cases": cases,
        }),
    );
}

fn shared(controller: &Verified, network: NetworkId) -> SharedConfig {
    SharedConfig {
        network,
        revision: 5,
        epoch: 4,
        window: SharedConfig::DEFAULT_WINDOW,
        name: "home".into(),
        mtu: 1500,
        rfc4193: true,
        link_local_groups: false,
        multicast_limit: 64,
        controller: controller.key(),
        routes: vec![],
        dns_domain: "home.example".into(),
        dns_servers: vec!["10.1.2.1".parse().unwrap()],
        pools: vec!["10.1.2.0/24".parse().unwrap()],
        rules: vec![],
    }
}

fn signed_case<R: Record>(key: &SecretIdentity, record: &R) -> Value {
    let signed = key.sign(record);
    let (body, signature) = signed.split_last_chunk::<64>().unwrap();
    json!({ "domain": R::DOMAIN, "body": hex(body), "body_blake2b_256": hex(&hash256(body)), "signature": hex(signature) })
}
