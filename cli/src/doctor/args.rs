//! What may be typed after `doctor`.
//!
//! In: arguments. Out: what to look at. Never: a default that depends on the machine.

use clap::Subcommand;

/// What `doctor` looks at.
#[derive(Debug, Subcommand)]
pub enum DoctorCommand {
    /// Where a broadcast or multicast of a program on this machine leaves, why, and where it arrives
    #[command(after_help = "\
Asks the kernel for 255.255.255.255, each device's own broadcast, SSDP, mDNS and mDNS over IPv6. Works without the node, \
too, and sends nothing.

Examples:
  zt-cli doctor lan
  zt-cli doctor lan --json")]
    Lan,
}
