//! Any text as an invite, a world file, a name.
//!
//! In: a text. Out: nothing. Never: a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zt_wire::json::world_from_json;
use zt_wire::{Address, Cidr, Identity, Invite, KeyId, Mac, NetworkId};

fuzz_target!(|text: &str| {
    if let Ok(invite) = text.parse::<Invite>() {
        assert_eq!(invite.to_string().parse(), Ok(invite));
    }
    let _ = world_from_json(text);
    let _ = (
        text.parse::<Address>(),
        text.parse::<NetworkId>(),
        text.parse::<KeyId>(),
    );
    let _ = (
        text.parse::<Mac>(),
        text.parse::<Identity>(),
        text.parse::<Cidr>(),
    );
});
