//! What the CLI and the daemons say to each other: the JSON of the control APIs and a client for them.
//!
//! In: typed requests, bytes from a daemon. Out: typed answers; an error that knows its exit code.
//! Never: a decision of a node, a printed line.

#![forbid(unsafe_code)]

mod error;
mod http;
mod ipx;
mod lan;
pub mod master;
mod master_client;
mod node;
mod selftest;
pub mod text;
mod types;

pub use error::{ApiError, ErrorBody, Exit, Trouble};
pub use http::Http;
pub use ipx::{Ipx, IpxClient, IpxEcho, IpxHost, IpxPingRequest, IpxServe};
pub use lan::{Lan, LanNetwork, LanWay};
pub use master_client::MasterClient;
pub use node::{NodeClient, default_socket};
pub use selftest::{Selftest, SelftestKind, SelftestRequest, SelftestVerdict, SelftestWay};
pub use types::{
    Counters, Info, JoinRequest, Loop, Nat, Network, Path, PathKind, Peer, PingReply, PingRequest,
    Role, Route, Settings, SettingsChange, Status, Supernode, Tried, Why, World,
};
