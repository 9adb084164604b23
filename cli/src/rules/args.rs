//! `rules ...`: what may be typed.
//!
//! In: arguments. Out: checked values. Never: a file, a socket.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use zt_wire::{Address, Mac, NetworkId};

use crate::args::{Master, Right};

/// `rules ...`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct RulesArgs {
    /// Which master.
    #[command(flatten)]
    pub master: Master,
    /// What to do.
    #[command(subcommand)]
    pub command: RulesCommand,
}

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Compile a text; says line, column and reason when it is wrong. --json prints the compiled rules
    Check {
        /// The text; `-` reads it from stdin
        file: PathBuf,
    },
    /// Would a frame from one member to another pass, and which guard or line decides?
    #[command(after_help = "\
With a network (in place of the text, or by --network beside it) the netconf-master says what both certificates hold:
addresses, rights, tags. Without one, guards that need them (MACs, addresses) are not tried.

Examples:
  zt-cli rules explain lan.rules --from 89e92ceee5 --to 1a2b3c4d5e --tcp 22
  zt-cli rules explain lan.rules --from 89e92ceee5 --to 1a2b3c4d5e --from-tag team=red --ipx --broadcast
  zt-cli rules explain 1d71939404000001 --from 89e92ceee5 --to 1a2b3c4d5e --udp 27015
                                          the network's rules, the members' certificates
  zt-cli rules explain new.rules --network 1d71939404000001 --from 89e92ceee5 --to 1a2b3c4d5e --arp
                                          what would change before it does
  zt-cli rules explain 1d71939404000001 --from 89e92ceee5 --to 1a2b3c4d5e --udp 68 --source-port 67 --broadcast
                                          may it answer DHCP?")]
    Explain(Box<Explain>),
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// A text, or a network of the netconf-master
    #[arg(value_name = "FILE|NETWORK-ID")]
    pub rules: Source,
    /// Try the text on this network of the netconf-master, with its members' certificates
    #[arg(long, value_name = "NETWORK-ID")]
    pub network: Option<NetworkId>,
    /// Who sends
    #[arg(long, value_name = "ADDRESS")]
    pub from: Address,
    /// Who receives
    #[arg(long, value_name = "ADDRESS")]
    pub to: Address,
    /// A tag of the sender (may be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub from_tag: Vec<String>,
    /// A tag of the receiver (may be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub to_tag: Vec<String>,
    /// A capability of the sender (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub from_capability: Vec<String>,
    /// A right of the sender, besides those that it has (may be repeated)
    #[arg(long, value_name = "RIGHT")]
    pub from_right: Vec<Right>,
    /// A right of the receiver, besides those that it has (may be repeated)
    #[arg(long, value_name = "RIGHT")]
    pub to_right: Vec<Right>,
    /// The frame.
    #[command(flatten)]
    pub frame: Frame,
    /// The source MAC [default: the sender's]
    #[arg(long, value_name = "MAC", conflicts_with = "bytes")]
    pub mac_from: Option<Mac>,
    /// The destination MAC [default: the receiver's]
    #[arg(long, value_name = "MAC", conflicts_with_all = ["bytes", "broadcast"])]
    pub mac_to: Option<Mac>,
    /// Sent to ff:ff:ff:ff:ff:ff instead of the receiver's MAC
    #[arg(long, conflicts_with = "bytes")]
    pub broadcast: bool,
    /// The source port of --tcp and --udp
    #[arg(long, value_name = "PORT", default_value_t = 50_000)]
    pub source_port: u16,
    /// The IP source [default: the member's, else 10.0.0.1]
    #[arg(long, value_name = "IP")]
    pub ip_from: Option<IpAddr>,
    /// The IP destination [default: the member's, else 10.0.0.2]
    #[arg(long, value_name = "IP")]
    pub ip_to: Option<IpAddr>,
}

impl Explain {
    /// The network of the netconf-master that is asked about, if any.
    pub const fn network(&self) -> Option<NetworkId> {
        match self.rules {
            Source::Network(id) => Some(id),
            Source::File(_) => self.network,
        }
    }
}

/// Which frame; one of these.
#[allow(
    clippy::struct_excessive_bools,
    reason = "options as people type them, of which clap takes one"
)]
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Frame {
    /// These bytes, from the destination MAC on; colons and spaces are allowed
    #[arg(long = "frame", value_name = "HEX", value_parser = hex)]
    pub bytes: Option<Bytes>,
    /// The first segment of a TCP connection to this port
    #[arg(long, value_name = "PORT")]
    pub tcp: Option<u16>,
    /// A UDP datagram to this port
    #[arg(long, value_name = "PORT")]
    pub udp: Option<u16>,
    /// An echo request (ping)
    #[arg(long)]
    pub icmp: bool,
    /// An ARP question; it claims the address of --ip-from
    #[arg(long)]
    pub arp: bool,
    /// A neighbor advertisement that claims this IPv6 address
    #[arg(long, value_name = "IPV6")]
    pub nd: Option<Ipv6Addr>,
    /// A router advertisement
    #[arg(long)]
    pub ra: bool,
    /// An IPX packet
    #[arg(long)]
    pub ipx: bool,
    /// A frame of this `EtherType`, such as 0x88b5
    #[arg(long, value_name = "NUMBER", value_parser = ethertype)]
    pub ethertype: Option<u16>,
}

/// The bytes of a frame.
#[derive(Clone, Debug)]
pub struct Bytes(pub Vec<u8>);

/// Where rules come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A text.
    File(PathBuf),
    /// A network of the netconf-master.
    Network(NetworkId),
}

impl core::str::FromStr for Source {
    type Err = core::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text
            .parse()
            .map_or_else(|_| Self::File(PathBuf::from(text)), Self::Network))
    }
}

fn hex(text: &str) -> Result<Bytes, String> {
    let bad = || format!("expected hex digits in pairs, at least 14 bytes, found {text}");
    let digits: Vec<char> = text.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => {
                let value = high.to_digit(16)? * 16 + low.to_digit(16)?;
                u8::try_from(value).ok()
            }
            _ => None,
        })
        .collect();
    bytes
        .filter(|bytes| bytes.len() >= 14)
        .map(Bytes)
        .ok_or_else(bad)
}

fn ethertype(text: &str) -> Result<u16, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u16::from_str_radix(digits, 16)
        .ok()
        .filter(|kind| *kind >= 0x0600)
        .ok_or_else(|| format!("expected a hexadecimal EtherType such as 0x88b5, found {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_hex_with_or_without_colons() {
        let plain = hex("ffffffffffff02000000000181370000").unwrap();
        let spaced = hex("ff:ff:ff:ff:ff:ff 02:00:00:00:00:01 8137 00 00").unwrap();
        assert_eq!(plain.0, spaced.0);
        for bad in ["", "ff", "zz", "ffffffffffff0200000000018137f"] {
            assert!(hex(bad).is_err(), "{bad}");
        }
    }
}
