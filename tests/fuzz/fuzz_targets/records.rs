//! Any bytes as each of the signed records; what decodes is canonical.
//!
//! In: bytes. Out: nothing. Never: a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zt_wire::json::{world_from_json, world_to_json};
use zt_wire::{Certificate, Record, Revocation, SharedConfig, Signed, World};

fn canonical<R: Record>(body: &[u8]) {
    if let Ok(record) = R::decode(body) {
        assert_eq!(record.encode(), body);
    }
}

fuzz_target!(|bytes: &[u8]| {
    canonical::<Certificate>(bytes);
    canonical::<SharedConfig>(bytes);
    canonical::<Revocation>(bytes);
    if let Ok(signed) = Signed::parse(bytes) {
        canonical::<World>(signed.body);
        if let Ok(text) = world_to_json(bytes) {
            assert_eq!(world_from_json(&text).ok().as_deref(), Some(bytes));
        }
    }
});
