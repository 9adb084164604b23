//! Any opened body at the message parser; each message it takes is written and read again.
//!
//! In: bytes. Out: nothing. Never: a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zt_wire::{Body, Message};

fuzz_target!(|bytes: &[u8]| {
    for message in Body::new(bytes).flatten() {
        let again = message.to_vec();
        assert_eq!(Message::parse(&again), Ok(message));
    }
});
