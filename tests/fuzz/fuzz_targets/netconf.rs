//! Any payload as a member's request, a controller's answer, a directory.
//!
//! In: bytes. Out: nothing. Never: a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zt_wire::message::{DirectoryDelta, NetconfAnswer, NetconfPart, NetconfRequest};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = NetconfRequest::parse(bytes) {
        let mut again = Vec::new();
        request.write(&mut again);
        assert_eq!(again, bytes);
    }
    if let Ok(answer) = NetconfAnswer::parse(bytes) {
        for part in answer.parts.iter() {
            if let NetconfPart::Directory(delta) = part {
                let _ = DirectoryDelta::decode(delta);
            }
        }
    }
    if let Ok(delta) = DirectoryDelta::decode(bytes) {
        assert_eq!(delta.encode(), bytes);
    }
});
