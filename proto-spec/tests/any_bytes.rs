//! A million mutated inputs at every parser: no panic, and whatever is accepted is written as it was read.
//!
//! In: the vectors, a seed. Out: assertions. Never: an input that the seed does not lead to.

mod common;

use serde_json::Value;
use zt_wire::message::{DirectoryDelta, Probe};
use zt_wire::{
    Body, Certificate, Datagram, Ethernet, Invite, Malformed, Message, Record, Revocation,
    SharedConfig, Signed, World,
};

use common::bytes_of;

const ROUNDS: u32 = 1_000_000;
const SEED: u64 = 0x5eed_0000_0000_0001;

/// `SplitMix64`: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// Changes up to four places: a bit, a byte, a boundary value, a cut, a doubling, bytes behind.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = self.byte(),
                2 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][self.below(6)],
                3 => bytes.truncate(at),
                4 if bytes.len() < 2000 => {
                    let piece = bytes[at..].to_vec();
                    bytes.extend_from_slice(&piece);
                }
                _ => {
                    for _ in 0..self.below(20) {
                        bytes.push(self.byte());
                    }
                }
            }
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let files = [
        include_str!("../vectors/datagrams.json"),
        include_str!("../vectors/messages.json"),
        include_str!("../vectors/records.json"),
        include_str!("../vectors/world.json"),
    ];
    let mut seeds = vec![Vec::new()];
    for file in files {
        let file: Value = serde_json::from_str(file).unwrap();
        for case in file["cases"].as_array().unwrap() {
            let bytes = bytes_of(case["hex"].as_str().unwrap());
            // Long ones cost time and hold nothing that shorter ones don't.
            if bytes.len() <= 1300 {
                seeds.push(bytes);
            }
        }
    }
    seeds
}

fn canonical<R: Record>(body: &[u8]) -> bool {
    match R::decode(body) {
        Ok(record) => {
            assert_eq!(record.encode(), body);
            true
        }
        Err(_) => false,
    }
}

/// Gives `bytes` to every parser; says how many took it.
fn look(bytes: &[u8]) -> usize {
    let mut taken = usize::from(Datagram::parse(bytes).is_ok());
    match Message::parse(bytes) {
        Ok(Message::Probe(probe)) => assert_eq!(probe.padding + Probe::LEN, bytes.len()),
        Ok(message) => {
            assert_eq!(message.to_vec(), bytes);
            taken += 1;
        }
        Err(_) => {}
    }
    let mut messages = 0;
    for message in Body::new(bytes) {
        messages += 1;
        if let Ok(Message::NetconfAnswer(answer)) = message {
            taken += answer.parts.iter().count();
        }
    }
    assert!(
        messages <= bytes.len().div_ceil(3),
        "each message takes at least its header"
    );
    taken += usize::from(canonical::<Certificate>(bytes));
    taken += usize::from(canonical::<SharedConfig>(bytes));
    taken += usize::from(canonical::<Revocation>(bytes));
    taken += usize::from(canonical::<World>(bytes));
    if let Ok(signed) = Signed::parse(bytes) {
        taken += usize::from(canonical::<World>(signed.body));
    }
    if let Ok(delta) = DirectoryDelta::decode(bytes) {
        assert_eq!(delta.encode(), bytes);
        taken += 1;
    }
    if let Ok(ethernet) = Ethernet::parse(bytes) {
        let _ = (ethernet.tag(), ethernet.payload());
    }
    taken
}

#[test]
fn a_million_mutated_inputs_break_nothing() {
    let seeds = seeds();
    let mut chance = Chance(SEED);
    let (mut taken, mut refused) = (0_u32, 0_u32);
    for _ in 0..ROUNDS {
        let mut bytes = seeds[chance.below(seeds.len())].clone();
        chance.mutate(&mut bytes);
        if look(&bytes) > 0 {
            taken += 1;
        } else {
            refused += 1;
        }
    }
    // Both sides of the parsers were reached often, or the mutations are no test.
    assert!(taken > ROUNDS / 20, "only {taken} accepted");
    assert!(refused > ROUNDS / 20, "only {refused} refused");
}

#[test]
fn mutated_invites_break_nothing() {
    let file: Value = serde_json::from_str(include_str!("../vectors/invites.json")).unwrap();
    let text = file["cases"][0]["text"].as_str().unwrap();
    let mut chance = Chance(SEED);
    for _ in 0..20_000 {
        let mut bytes = text.as_bytes().to_vec();
        chance.mutate(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(invite) = text.parse::<Invite>() {
            assert_eq!(invite.to_string().parse(), Ok(invite));
        }
    }
}

#[test]
fn cut_datagrams_say_which_rule_they_break() {
    for seed in seeds() {
        for len in 0..seed.len().min(40) {
            let refused = Datagram::parse(&seed[..len]);
            let known = matches!(
                refused,
                Ok(_)
                    | Err(Malformed::Short
                        | Malformed::Length
                        | Malformed::Type(_)
                        | Malformed::Version(_)
                        | Malformed::Index
                        | Malformed::Reserved)
            );
            assert!(known, "{refused:?}");
        }
    }
}
