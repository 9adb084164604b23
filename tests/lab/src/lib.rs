//! Real hosts in network namespaces, real programs on them, and what crossed the wires between them.
//!
//! In: the binaries of this workspace and the tools `ip`, `nft`, `ping`, `setpriv`. Out: measurements, captures, outcomes.
//! Never: a namespace left behind, a name shared with another run, a look inside the programs under test.
#![forbid(unsafe_code)]

pub mod bench;
pub mod broadcast;
pub mod capture;
pub mod checks;
pub mod counts;
pub mod demo;
pub mod failed;
pub mod host;
pub mod internet;
pub mod ipx;
pub mod lan;
pub mod measure;
pub mod office;
pub mod packages;
pub mod process;
pub mod programs;
pub mod progress;
pub mod raw;
pub mod report;
pub mod run;
pub mod soak;
pub mod traffic;
pub mod zt;

pub use failed::Failed;
pub use host::Host;
pub use internet::{Home, Internet, Nat, Segment};
pub use process::{Outcome, Process};
pub use programs::Programs;
pub use run::{Keep, Lab};
