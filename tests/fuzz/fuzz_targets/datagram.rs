//! Any UDP payload at the datagram parser; what it takes is written as it was read.
//!
//! In: bytes. Out: nothing. Never: a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zt_wire::Datagram;
use zt_wire::datagram::{INIT_LEN, receiver_index};

fuzz_target!(|bytes: &[u8]| {
    let _ = receiver_index(bytes);
    match Datagram::parse(bytes) {
        Ok(Datagram::Init(init)) => {
            let mut again = [0xff; INIT_LEN];
            init.write(&mut again);
            assert_eq!(again, bytes);
        }
        Ok(Datagram::Cookie(cookie)) => assert_eq!(cookie.to_bytes(), bytes),
        Ok(Datagram::Response(response)) => {
            let mut again = Vec::new();
            response.write(&mut again);
            assert_eq!(again, bytes);
        }
        Ok(Datagram::Transport(header)) => assert_eq!(header.to_bytes(), bytes[..16]),
        Err(_) => {}
    }
});
