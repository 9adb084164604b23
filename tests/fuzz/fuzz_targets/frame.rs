//! Any frame at the views of the switch and its guards.
//!
//! In: bytes. Out: nothing. Never: a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zt_wire::membership::Membership;
use zt_wire::neighbor::{Arp, Solicitation};
use zt_wire::{Ethernet, Mac};

fuzz_target!(|bytes: &[u8]| {
    let Ok(frame) = Ethernet::parse(bytes) else {
        return;
    };
    let _ = (
        frame.destination(),
        frame.source(),
        frame.kind(),
        frame.tag(),
        frame.payload(),
    );
    if let Some(Membership::Report(changes)) = Membership::of(bytes) {
        assert!(changes.take(bytes.len()).all(|change| change.group.is_group()));
    }
    if let Some(question) = Arp::question(&frame) {
        let answer = question.answer(Mac::BROADCAST);
        assert!(Ethernet::parse(&answer).is_ok());
    }
    if let Some(question) = Solicitation::question(&frame) {
        let answer = question.answer(Mac::BROADCAST);
        assert!(Ethernet::parse(&answer).is_ok());
    }
});
