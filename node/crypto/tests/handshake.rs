//! The handshake as its callers see it: both ends, each kind of tampering, and `snow` as the other end.

use snow::Builder;
use snow::params::NoiseParams;
use zt_crypto::handshake::{MESSAGE_1, MESSAGE_1_REKEY, MESSAGE_2};
use zt_crypto::pow::{Params, Search};
use zt_crypto::{
    Failed, Hello, Initiator, Label, SecretIdentity, SessionKeys, Suite, Suites, Verified, key_id,
    pow, respond,
};

fn somebody(seed: u8) -> (SecretIdentity, Verified) {
    Search::new(&[seed; 32], Params::WEAK).run().unwrap()
}

fn hello(index: u32) -> Hello {
    Hello {
        suites: Suites::ALL,
        boot: 7,
        index,
    }
}

fn opens(from: &SessionKeys, to: &SessionKeys) -> bool {
    let mut buffer = [0x55; 100];
    from.seal.seal(3, &mut buffer);
    to.open.open(3, &mut buffer) == Ok(84) && buffer[..84] == [0x55; 84]
}

/// The rest of a run with these messages: what the responder and the initiator say.
fn run(
    label: Label,
    change: impl Fn(&mut Vec<u8>, &mut Vec<u8>),
) -> Result<(SessionKeys, SessionKeys), Failed> {
    let (alice, _) = somebody(1);
    let (bob, verified) = somebody(2);
    let (initiator, mut message1) =
        Initiator::start(&alice, &verified, label, hello(10), &[3; 32])?;
    change(&mut message1, &mut Vec::new());
    let mut responded = respond(&bob, label, &message1, hello(20), &[4; 32])?;
    change(&mut Vec::new(), &mut responded.message2);
    let (keys, theirs) = initiator.finish(&alice, &responded.message2)?;
    assert_eq!(theirs, hello(20));
    assert_eq!(responded.hello, hello(10));
    assert_eq!(&responded.peer, alice.public());
    assert_eq!(responded.peer_key, alice.key());
    Ok((keys, responded.keys))
}

#[test]
fn both_ends_get_the_same_keys_one_for_each_direction() {
    for label in [Label::Init, Label::Rekey] {
        let (ours, theirs) = run(label, |_, _| ()).unwrap();
        assert!(opens(&ours, &theirs));
        assert!(opens(&theirs, &ours));
        assert!(!opens(&ours, &ours), "the directions have different keys");
        assert_eq!(ours.suite(), Suite::Aes256Gcm);
    }
}

#[test]
fn messages_have_one_length_each_and_the_answer_is_the_shorter() {
    let (alice, _) = somebody(1);
    let (bob, verified) = somebody(2);
    let (_, init) = Initiator::start(&alice, &verified, Label::Init, hello(1), &[3; 32]).unwrap();
    let (_, rekey) = Initiator::start(&alice, &verified, Label::Rekey, hello(1), &[3; 32]).unwrap();
    assert_eq!(init.len(), MESSAGE_1);
    assert_eq!(rekey.len(), MESSAGE_1_REKEY);
    let responded = respond(&bob, Label::Init, &init, hello(2), &[4; 32]).unwrap();
    assert_eq!(responded.message2.len(), MESSAGE_2);
    // A RESPONSE, 12 bytes of header and this, is no larger than one INIT.
    const { assert!(MESSAGE_2 + 12 <= 1200) }
    for cut in [0, 31, 32, 79, MESSAGE_1 - 1] {
        assert_eq!(
            respond(&bob, Label::Init, &init[..cut], hello(2), &[4; 32]).err(),
            Some(Failed::Length)
        );
    }
}

#[test]
fn each_changed_byte_ends_the_handshake() {
    for at in 0..MESSAGE_1_REKEY {
        let outcome = run(Label::Rekey, |one, _| {
            if let Some(byte) = one.get_mut(at) {
                *byte ^= 0x01;
            }
        });
        assert!(outcome.is_err(), "byte {at} of message 1");
    }
    for at in (0..MESSAGE_1).step_by(7).chain(MESSAGE_1 - 20..MESSAGE_1) {
        let outcome = run(Label::Init, |one, _| {
            if let Some(byte) = one.get_mut(at) {
                *byte ^= 0x80;
            }
        });
        assert!(outcome.is_err(), "byte {at} of message 1");
    }
    for at in 0..MESSAGE_2 {
        let outcome = run(Label::Init, |_, two| {
            if let Some(byte) = two.get_mut(at) {
                *byte ^= 0x80;
            }
        });
        assert!(outcome.is_err(), "byte {at} of message 2");
    }
}

#[test]
fn another_responder_cannot_answer() {
    let (alice, _) = somebody(1);
    let (_, bob) = somebody(2);
    let (carol, _) = somebody(5);
    let (_, message1) = Initiator::start(&alice, &bob, Label::Init, hello(1), &[3; 32]).unwrap();
    assert_eq!(
        respond(&carol, Label::Init, &message1, hello(2), &[4; 32]).err(),
        Some(Failed::Forged)
    );
}

#[test]
fn a_message_counts_under_its_label_only() {
    let (alice, _) = somebody(1);
    let (bob, verified) = somebody(2);
    let (_, rekey) = Initiator::start(&alice, &verified, Label::Rekey, hello(1), &[3; 32]).unwrap();
    assert_eq!(
        respond(&bob, Label::Init, &rekey, hello(2), &[4; 32]).err(),
        Some(Failed::Length)
    );
    let mut padded = rekey;
    padded.resize(MESSAGE_1, 0);
    assert_eq!(
        respond(&bob, Label::Init, &padded, hello(2), &[4; 32]).err(),
        Some(Failed::Forged)
    );
}

#[test]
fn a_responder_with_the_same_keys_but_another_nonce_is_another_responder() {
    // The KeyId in the prologue differs although both X25519 keys are the same.
    let (alice, _) = somebody(1);
    let (bob, verified) = somebody(2);
    let twin = SecretIdentity::from_seed(&[2; 32], bob.public().nonce() + 1);
    let (_, message1) =
        Initiator::start(&alice, &verified, Label::Init, hello(1), &[3; 32]).unwrap();
    assert_eq!(
        respond(&twin, Label::Init, &message1, hello(2), &[4; 32]).err(),
        Some(Failed::Forged)
    );
}

#[test]
fn without_aes_on_both_sides_xsalsa20_is_used() {
    let (alice, _) = somebody(1);
    let (bob, verified) = somebody(2);
    let least = Hello {
        suites: Suites::LEAST,
        ..hello(1)
    };
    let (initiator, message1) =
        Initiator::start(&alice, &verified, Label::Init, least, &[3; 32]).unwrap();
    let responded = respond(&bob, Label::Init, &message1, hello(2), &[4; 32]).unwrap();
    let (keys, _) = initiator.finish(&alice, &responded.message2).unwrap();
    assert_eq!(keys.suite(), Suite::XSalsa20Poly1305);
    assert!(opens(&keys, &responded.keys) && opens(&responded.keys, &keys));
}

#[test]
fn the_same_seeds_make_the_same_messages_and_others_other_ones() {
    let (alice, _) = somebody(1);
    let (bob, verified) = somebody(2);
    let start = |seed| {
        Initiator::start(&alice, &verified, Label::Init, hello(1), &[seed; 32])
            .unwrap()
            .1
    };
    assert_eq!(start(3), start(3));
    assert_ne!(start(3), start(4));
    let answer = |seed| {
        respond(&bob, Label::Init, &start(3), hello(2), &[seed; 32])
            .unwrap()
            .message2
    };
    assert_eq!(answer(5), answer(5));
    assert_ne!(answer(5), answer(6));
}

#[test]
fn a_replayed_first_message_yields_keys_that_nobody_else_has() {
    let (alice, _) = somebody(1);
    let (bob, verified) = somebody(2);
    let (initiator, message1) =
        Initiator::start(&alice, &verified, Label::Init, hello(1), &[3; 32]).unwrap();
    let first = respond(&bob, Label::Init, &message1, hello(2), &[4; 32]).unwrap();
    let replay = respond(&bob, Label::Init, &message1, hello(2), &[5; 32]).unwrap();
    let (keys, _) = initiator.finish(&alice, &first.message2).unwrap();
    assert!(opens(&keys, &first.keys));
    assert!(!opens(&keys, &replay.keys));
}

#[test]
fn snow_reads_our_first_message_as_noise_ik_with_our_payload() {
    let (alice, _) = somebody(1);
    let (bob, verified) = somebody(2);
    let (_, message1) =
        Initiator::start(&alice, &verified, Label::Init, hello(10), &[3; 32]).unwrap();
    let params: NoiseParams = "Noise_IK_25519_ChaChaPoly_BLAKE2b".parse().unwrap();
    let prologue = [b"zt1".as_slice(), &[1], b"init", &bob.key().to_bytes()].concat();
    let secret = bob.to_bytes();
    let mut oracle = Builder::new(params)
        .prologue(&prologue)
        .unwrap()
        .local_private_key(&secret[1..33])
        .unwrap()
        .build_responder()
        .unwrap();
    let mut payload = vec![0; MESSAGE_1];
    let length = oracle.read_message(&message1, &mut payload).unwrap();
    assert_eq!(oracle.get_remote_static().unwrap(), alice.public().x25519());
    assert_eq!(length, MESSAGE_1 - 32 - 48 - 16);
    let expected = [
        &[3][..],
        &7u64.to_be_bytes(),
        &10u32.to_be_bytes(),
        alice.public().ed25519(),
        &alice.public().nonce().to_be_bytes(),
    ];
    let expected = expected.concat();
    assert_eq!(payload[..expected.len()], expected);
    assert!(
        payload[expected.len() + 1184..length]
            .iter()
            .all(|byte| *byte == 0),
        "padding is zero"
    );
}

#[test]
fn an_identity_learned_in_a_handshake_is_the_one_whose_work_is_verified() {
    let (alice, verified) = somebody(1);
    let (bob, bob_verified) = somebody(2);
    let (_, message1) =
        Initiator::start(&alice, &bob_verified, Label::Init, hello(1), &[3; 32]).unwrap();
    let responded = respond(&bob, Label::Init, &message1, hello(2), &[4; 32]).unwrap();
    assert_eq!(pow::verify(&responded.peer, &Params::WEAK), Ok(verified));
    assert_eq!(responded.peer_key, key_id(alice.public()));
}
