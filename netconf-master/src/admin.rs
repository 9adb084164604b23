//! What people do to networks, members and invites.
//!
//! Owner: the controller. In: checked requests, chance where a secret is made. Out: records as the API shows them, pushes, log lines.
//! Never: HTTP, a half-done change.

mod invites;
mod members;
mod networks;

use crate::controller::Outcome;
use crate::model::{Actor, NewEntry};
use crate::settings::Invalid;
use crate::store::StoreError;

use zt_api::master::Audit;
use zt_engine::Unix;
use zt_wire::NetworkId;

pub use members::Absent;

/// Why a person's request is not done. Nothing has changed.
#[derive(Debug)]
pub enum Refused {
    /// There is no such thing.
    NotFound(Thing),
    /// A field is wrong.
    Invalid(Invalid),
    /// The record is not the one that the request was made for.
    Changed,
    /// Another member holds one of the addresses.
    Taken(std::net::IpAddr),
    /// A member keeps the key that it has.
    KeyKnown,
    /// The store cannot.
    Store(StoreError),
}

/// What can be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A network.
    Network,
    /// A member.
    Member,
    /// An invite.
    Invite,
}

impl From<Invalid> for Refused {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken(ip) => Self::Taken(ip),
            StoreError::Gone => Self::NotFound(Thing::Network),
            StoreError::Conflict | StoreError::Exists | StoreError::Unavailable(_) => {
                Self::Store(error)
            }
        }
    }
}

fn outcome<T>(value: T, log: Vec<Audit>) -> Outcome<T> {
    Outcome {
        value,
        pushes: Vec::new(),
        log,
    }
}

fn entry(
    network: NetworkId,
    actor: Actor,
    action: &'static str,
    subject: String,
    at: Unix,
) -> NewEntry {
    NewEntry {
        at,
        network,
        actor,
        action,
        subject,
        detail: String::new(),
    }
}

/// Runs `act`, which is told how often it was tried, again while the rows change under it; an address that a person gave and
/// another has is the person's to solve.
fn until_settled<T>(mut act: impl FnMut(u32) -> Result<T, Refused>) -> Result<T, Refused> {
    for attempt in 0..crate::limits::ATTEMPTS {
        match act(attempt) {
            Err(Refused::Store(StoreError::Conflict)) => {}
            done => return done,
        }
    }
    act(crate::limits::ATTEMPTS)
}
