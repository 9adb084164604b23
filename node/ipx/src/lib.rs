//! IPX for people: the packet in its four framings, the hosts heard, and a server for `DOSBox`'s `ipxnet`.
//!
//! In: Ethernet frames of a network, datagrams of `ipxnet` clients, the time. Out: frames, datagrams, tables.
//! Never: a socket, a clock, a thread, a table without a bound.

#![forbid(unsafe_code)]

pub mod framing;
pub mod gateway;
pub mod heard;
pub mod packet;

pub use framing::Framing;
pub use gateway::{Gateway, Output};
pub use heard::{Heard, Host};
pub use packet::{Endpoint, Packet};

/// Bounds of this crate's tables.
pub mod limits {
    use core::time::Duration;

    /// Hosts remembered on one network; the quietest gives way.
    pub const HOSTS: usize = 512;
    /// Clients of one `ipxnet` server; `DOSBox`'s own has 16.
    pub const CLIENTS: usize = 16;
    /// A client that is silent for so long makes room. `DOSBox` sends no keepalive, and a game may pause.
    pub const CLIENT_SILENCE: Duration = Duration::from_hours(1);
    /// A host that is silent for so long is forgotten.
    pub const HOST_SILENCE: Duration = Duration::from_mins(30);
}
