//! The controller of networks: who is a member, with which addresses and rights.
//!
//! In: questions of members, wishes of people. Out: signed answers, pushes, a log.
//! Never (in these modules): a socket, a clock, chance of its own; `serve` alone has them, and the binary calls it.

#![forbid(unsafe_code)]

pub mod admin;
pub mod assign;
pub mod controller;
pub mod decide;
pub mod documents;
pub mod limits;
pub mod model;
pub mod settings;
pub mod store;

pub use admin::{Absent, Refused, Thing};
pub use controller::{Answer, Controller, Outcome, Push, Unanswered};
pub use decide::Who;
pub use store::{Memory, Sqlite, SqliteOptions, Store, StoreError};
