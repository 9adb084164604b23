//! Moves bytes: sockets, devices, threads, the clock, the state directory. Linux first.
//!
//! In: the kernel's bytes and readiness, a program's options. Out: calls of `zt_engine::Node`, effects carried out.
//! Never: a decision about peers, paths or members; `unsafe` outside `tap`, `udp` and `buffers`.

mod buffers;
pub mod clock;
pub mod daemon;
pub mod exit;
pub mod identity;
mod lan;
pub mod logging;
pub mod metrics;
mod netlink;
pub mod offload;
mod pool;
pub mod privileges;
pub mod runtime;
pub mod state;
pub mod tap;
pub mod udp;
mod workers;
pub mod world;

pub use daemon::{DaemonArgs, Kind, Prepared, Running, StartError};
pub use exit::Exit;
pub use privileges::Keep;
pub use runtime::{Handle, Runtime, RuntimeConfig};
pub use state::{StateDir, StateError};
pub use workers::WorkerRange;
pub use world::WorldFrom;
