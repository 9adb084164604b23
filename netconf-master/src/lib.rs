//! The controller of networks: who is a member, with which addresses and rights.
//!
//! In: questions of members, wishes of people. Out: signed answers, pushes, a log.
//! Never: a socket, a clock or chance outside `http` and `serve`; the simulator uses the rest.

#![forbid(unsafe_code)]

pub mod admin;
pub mod assign;
pub mod controller;
pub mod decide;
pub mod desk;
pub mod documents;
pub mod http;
pub mod limits;
pub mod model;
pub mod pusher;
pub mod run;
pub mod serve;
pub mod settings;
pub mod store;
#[cfg(test)]
mod testing;

pub use admin::{Absent, Refused, Thing};
pub use controller::{Answer, Controller, Outcome, Push, Unanswered};
pub use decide::Who;
pub use pusher::{Pusher, Telling};
pub use store::{Memory, Sqlite, SqliteOptions, Store, StoreError};
