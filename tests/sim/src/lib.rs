//! The simulator: the same node as the driver runs, on simulated machines, in simulated time.
//!
//! In: a seed and a scenario. Out: what happened, the same each time. Never: a real clock, socket or thread.

#![forbid(unsafe_code)]

pub mod crowd;
pub mod dice;
pub mod frames;
pub mod fuzz;
pub mod host;
pub mod internet;
pub mod lan;
pub mod model;
pub mod nat;
pub mod segment;
mod trace;
pub mod world;

pub use frames::Kind;
pub use host::Host;
pub use internet::{HostId, Internet, SiteId, Weather};
pub use lan::Lan;
pub use nat::Behaviour;
pub use segment::SegmentId;
pub use world::{Recorded, World};
