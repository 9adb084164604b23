//! Any bytes as compiled rules and any text as rules: no panic, nothing beyond the limits, one form of each set.
//!
//! In: a seed, one set that has everything. Out: assertions. Never: an input that the seed does not lead to.

use zt_rules::{Decider, End, Facts, RuleSet, compile, limits};

const ROUNDS: u32 = 60_000;

const EVERYTHING: &str = "\
tag team = 1 { red = 1; blue = 2; default red; }
capability admin = 3 { accept if tcp and port-to 22; priority 3; }
tee 89abcdef01 128 if mac-from 02:00:00:00:00:01 or mac-to 02:00:00:00:00:02;
priority 5 if udp and port-from 5000-5010 and not (broadcast or multicast);
redirect 89abcdef02 if ip-from 10.0.0.0/8 and ip-to fd00::/8;
break if icmp 8/0 or icmp6 3 or tcp-flags syn/syn,ack;
drop if vlan 7 or pcp 3 or tagged or framing snap or size 0-59 or ethertype 0x88b5;
accept if member-from 89abcdef01 and member-to 89abcdef02 and ipx;
accept if tag-from team red or tag-to team at-most 3 or tag team bits 2 or protocol 47;
profile lan-game udp 27015, tcp 7777-7780;
";

/// `SplitMix64`: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (limit.max(1) as u64)).unwrap()
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            let byte = self.below(256).to_le_bytes()[0];
            match self.below(5) {
                0 | 1 if !bytes.is_empty() => bytes[at] = byte,
                2 => bytes.truncate(at),
                3 if bytes.len() < 2_000 => {
                    let piece = bytes[at..].to_vec();
                    bytes.extend(piece);
                }
                _ => bytes.insert(at.min(bytes.len()), byte),
            }
        }
    }
}

fn decide(set: RuleSet, frame: &[u8]) {
    let decider = Decider::new(set);
    let from = End::new(
        "89abcdef01".parse().unwrap(),
        &[(0x8000_0003, 1)],
        decider.rules(),
    );
    let to = End::new("89abcdef02".parse().unwrap(), &[(1, 2)], decider.rules());
    if let Some(facts) = Facts::of(frame) {
        decider.fate(&facts, &from, &to, Some(&from));
    }
}

#[test]
fn mutated_compiled_rules_are_refused_or_have_one_form() {
    let right = compile(EVERYTHING).unwrap().encode();
    let frame = [&[0xff; 12][..], &[8, 0, 0x45], &[6; 60]].concat();
    let mut chance = Chance(0x5eed_0001);
    let mut taken = 0;
    for _ in 0..ROUNDS {
        let mut bytes = right.clone();
        chance.mutate(&mut bytes);
        if let Ok(set) = RuleSet::decode(&bytes) {
            taken += 1;
            if set != RuleSet::default() {
                assert_eq!(set.encode(), bytes);
            }
            decide(set, &frame);
        }
    }
    assert!(taken > ROUNDS / 100, "{taken}: most of a rule is numbers");
}

#[test]
fn a_mutated_text_is_refused_with_its_place_or_survives_the_wire() {
    let mut chance = Chance(0x5eed_0002);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..ROUNDS / 6 {
        let mut bytes = EVERYTHING.as_bytes().to_vec();
        chance.mutate(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        match compile(&text) {
            Ok(set) => {
                taken += 1;
                let bytes = set.encode();
                assert!(bytes.len() <= limits::BYTES);
                assert_eq!(RuleSet::decode(&bytes), Ok(set));
            }
            Err(error) => {
                refused += 1;
                let line = usize::from(error.place.line);
                assert!(line >= 1 && line <= text.lines().count().max(1), "{error}");
                assert!(error.place.column >= 1);
            }
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}
