//! Any bytes as compiled rules, tried on any bytes as a frame; any text as rules.
//!
//! In: bytes. Out: nothing. Never: a panic, a set beyond the limits; what decodes is canonical, what compiles decodes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zt_rules::guards::{self, Ground, Holder};
use zt_rules::{Decider, End, Facts, RuleSet, compile, limits};
use zt_wire::{NetworkId, Rights};

fn decide(set: RuleSet, frame: &[u8], tags: &[(u32, u32)]) {
    let (Ok(one), Ok(two)) = ("89abcdef01".parse(), "89abcdef02".parse()) else {
        return;
    };
    let Some(facts) = Facts::of(frame) else {
        return;
    };
    let decider = Decider::new(set);
    let (from, to) = (
        End::new(one, tags, decider.rules()),
        End::new(two, &[], decider.rules()),
    );
    let _ = decider.fate(&facts, &from, &to, Some(&from));
    if let Ok(network) = NetworkId::new(one, 1) {
        let ground = Ground {
            network,
            manages_v4: true,
            computes_v6: true,
            routes: &[],
        };
        let holder = Holder {
            address: one,
            rights: Rights::NONE,
            ips: &[],
        };
        let _ = guards::content(&ground, &facts, &holder);
    }
}

fuzz_target!(|input: (&[u8], &str, &[u8], u32)| {
    let (bytes, text, frame, capability) = input;
    let tags = [(capability, 1)];
    if let Ok(set) = RuleSet::decode(bytes) {
        assert_eq!(set.encode(), if set == RuleSet::default() { &[] } else { bytes });
        decide(set, frame, &tags);
    }
    if let Ok(set) = compile(text) {
        let bytes = set.encode();
        assert!(bytes.len() <= limits::BYTES);
        assert_eq!(RuleSet::decode(&bytes).as_ref(), Ok(&set));
        decide(set, frame, &tags);
    }
});
