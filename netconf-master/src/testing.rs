//! What the tests share: a controller with a real identity, networks, members.
//!
//! Owner: the tests. Never: outside them.

use std::sync::Arc;

use zt_crypto::pow::{self, Params};
use zt_crypto::{SecretIdentity, Verified};
use zt_engine::Unix;
use zt_wire::message::NetconfRequest;
use zt_wire::{Address, KeyId, NetworkId};

use crate::controller::Controller;
use crate::decide::Who;
use crate::store::{Memory, Store};

/// What stands for the signed world.
pub(crate) const WORLD: [u8; 100] = [6; 100];

/// A controller over a memory store.
pub(crate) fn controller() -> Controller {
    controller_over(Arc::new(Memory::new()))
}

/// A controller over any store; always the same one.
pub(crate) fn controller_over(store: Arc<dyn Store>) -> Controller {
    let (secret, verified) = identity();
    Controller::new(store, secret, &verified, WORLD)
}

fn identity() -> (SecretIdentity, Verified) {
    let params = Params::new(8, 1, 0).unwrap();
    (0..100)
        .find_map(|nonce| {
            let secret = SecretIdentity::from_seed(&[1; 32], nonce);
            let verified = pow::verify(secret.public(), &params).ok()?;
            Some((secret, verified))
        })
        .unwrap()
}

/// The `number`th node.
pub(crate) fn who(number: u32) -> Who {
    let [a, b, c, d] = number.to_be_bytes();
    let mut key = [7; 32];
    key[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    key[28..].copy_from_slice(&number.to_be_bytes());
    Who {
        key: KeyId::from_bytes(key),
        address: Address::from_bytes([1, a, b, c, d]).unwrap(),
        endpoint: Some("192.0.2.1:9993".to_owned()),
    }
}

/// A first request of a node that has nothing.
pub(crate) fn request(network: NetworkId, token: [u8; 16]) -> NetconfRequest {
    NetconfRequest {
        request: 1,
        network,
        token,
        shared_hash: [0; 32],
        serial: 0,
        directory: 0,
    }
}

/// The payload of a request.
pub(crate) fn payload(request: &NetconfRequest) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.write(&mut bytes);
    bytes
}

/// The present of most tests.
pub(crate) const NOW: Unix = Unix(1_000_000);
