//! How a node is to behave: values with safe defaults.
//!
//! Owner: the program that starts the node. In: options. Out: numbers and switches the rooms read.
//! Never: a limit that protects memory (`limits.rs`), anything that changes while running.

use core::time::Duration;

use crate::limits;
use crate::role::Role;

/// How a node behaves. Start from [`Config::default`]; every field has a safe value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What the node is. Default: a leaf.
    pub role: Role,
    /// Longest silence of a path in use. Default 28 s: many NATs forget a UDP mapping after 30 s, although RFC 4787 REQ-5 asks for 120.
    pub keepalive: Duration,
    /// Most peers remembered at once. Default 4,096; a supernode takes `limits::PEERS_SUPERNODE`.
    pub peers: usize,
    /// Whether AES-256-GCM is offered. Default: when this processor has AES in hardware.
    pub aes: Option<bool>,
    /// Counts the node's starts; carried in handshakes, decides nothing. Default 0.
    pub boot: u64,
    /// Never use a direct path. Default off; for measuring relays and for tests.
    pub relay_only: bool,
    /// Most workers that sessions are spread over; with more than one, the last bits of an index name its worker.
    /// Default 1, at most 16.
    pub workers: usize,
    /// The node's program and version as `info` shows them.
    pub version: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            role: Role::Leaf,
            keepalive: limits::KEEPALIVE,
            peers: limits::PEERS,
            aes: None,
            boot: 0,
            relay_only: false,
            workers: 1,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl Config {
    /// The defaults of a role.
    pub fn of(role: Role) -> Self {
        let peers = match role {
            Role::Leaf | Role::Controller => limits::PEERS,
            Role::Supernode => limits::PEERS_SUPERNODE,
        };
        Self {
            role,
            peers,
            ..Self::default()
        }
    }
}
