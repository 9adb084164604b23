//! The command line: what may be typed, and the help that explains it.
//!
//! In: arguments. Out: a checked `Cli`. Never: a file, a socket, a default that depends on the machine's state.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use zt_api::master::Subnet;
use zt_wire::{Address, Mac, NetworkId};

use crate::doctor::args::DoctorCommand;
use crate::rules::args::RulesArgs;
use crate::selftest::SelftestArgs;
use crate::target::Target;

const AFTER: &str = "\
Examples:
  zt-cli info                                   who am I, am I online
  zt-cli join zt1-AbC... --wait 30              join with an invite
  zt-cli join 1d71939404000001 --wait 60        join by id, wait to be authorized
  zt-cli member authorize 1d71939404000001 89e92ceee5
  zt-cli why 89e92ceee5                         why is the path to this peer what it is

Exit codes: 0 done; 1 failed; 2 usage; 3 state corrupt; 4 address or device in use; 5 state locked; 6 daemon not \
running; 7 timed out; 8 denied.";

/// Talks to the zt-node of this machine, and to a netconf-master anywhere.
#[derive(Debug, Parser)]
#[command(name = "zt-cli", version, after_help = AFTER, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    /// The node's control socket.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        help = "The node's control socket [default: $ZT_SOCKET, else /var/lib/zt/node/node.sock]"
    )]
    pub socket: Option<PathBuf>,
    /// Print JSON, errors too (on stderr)
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Who this node is, whether it is online, which supernodes it uses
    Info,
    /// The networks joined: status, device, addresses
    Networks,
    /// The peers known and the path to each
    Peers,
    /// Every path to a peer
    Paths {
        /// The peer, ten hex digits
        address: Address,
    },
    /// Why the path to a peer is what it is
    Why {
        /// The peer, ten hex digits
        address: Address,
    },
    /// Echo inside the session with a peer: tests the overlay without any device
    Ping(Ping),
    /// IPX on the networks: hosts heard, and who answers
    #[command(arg_required_else_help = true)]
    Ipx {
        /// What to do.
        #[command(subcommand)]
        command: IpxCommand,
    },
    /// Which kinds of Ethernet frames cross to a member, and back
    Selftest(SelftestArgs),
    /// Why something does not work, and what to type
    #[command(arg_required_else_help = true)]
    Doctor {
        /// What to look at.
        #[command(subcommand)]
        command: DoctorCommand,
    },
    /// Every counter, dropped datagrams by reason among them
    Counters,
    /// Write everything a bug report needs into a file; it holds no secret
    Dump {
        /// The file; `-` prints it
        file: PathBuf,
    },
    /// Join a network
    Join(Join),
    /// Leave a network and forget its credentials
    Leave {
        /// The network, sixteen hex digits
        network: NetworkId,
    },
    /// What a network may do to this machine (allow-managed, allow-global, allow-default, allow-dns), lan-mode, ipxnet,
    /// and whether members may test with it (allow-selftest)
    #[command(after_help = SET_HELP)]
    Set {
        /// The network, sixteen hex digits
        network: NetworkId,
        /// KEY=true or KEY=false; ipxnet=on, off or IP:PORT
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Networks of a netconf-master: create, list, show, set, delete
    Network(NetworkArgs),
    /// Members of a network: list, show, authorize, deauthorize, set, remove
    Member(MemberArgs),
    /// Invites into a network: create, list, revoke
    Invite(InviteArgs),
    /// Flow rules: check a text, explain what becomes of a frame
    Rules(RulesArgs),
    /// Print the world file that an invite carries
    World {
        /// The invite
        invite: Target,
    },
    /// Supernode, netconf-master, node and a first network on this machine, with one command
    #[command(after_help = UP_HELP)]
    Up(Up),
}

const SET_HELP: &str = "\
Keys:
  allow-managed   set the network's addresses and private routes (on at first)
  allow-global    set public addresses and routes
  allow-default   set a default route
  allow-dns       set DNS
  allow-selftest  let members try with `zt-cli selftest` which frames reach this node; none reaches its device
  lan-mode        programs that send to 255.255.255.255 or to a multicast group without naming a device reach the
                  network, with its address, and the LAN as before; `zt-cli doctor lan` shows what that does
  ipxnet          serve DOSBox's `ipxnet connect` and bridge it to the network: on (127.0.0.1:213), off or IP:PORT

Examples:
  zt-cli set 1d71939404000001 allow-global=true allow-dns=true
  zt-cli set 1d71939404000001 lan-mode=on
  zt-cli set 1d71939404000001 ipxnet=on";

/// What to do with IPX.
#[derive(Debug, Subcommand)]
pub enum IpxCommand {
    /// The hosts heard (number, MAC, network number, framing) and the clients of this node's ipxnet server
    List {
        /// The network, sixteen hex digits [default: all joined]
        network: Option<NetworkId>,
    },
    /// Ask who is there, as the `ipxnet ping` of `DOSBox` does; exit code 7 when nobody answers
    Ping(IpxPing),
}

/// Arguments of `ipx ping`.
#[derive(Debug, Args)]
pub struct IpxPing {
    /// The network, sixteen hex digits
    pub network: NetworkId,
    /// Wait for this host only: its number, twelve hex digits or a MAC
    #[arg(value_parser = crate::ipx::number)]
    pub node: Option<Mac>,
    /// How long to wait for answers
    #[arg(short = 'W', long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub limit: core::time::Duration,
}

/// Arguments of `ping`.
#[derive(Debug, Args)]
pub struct Ping {
    /// The peer, ten hex digits
    pub address: Address,
    /// How many echoes
    #[arg(short = 'c', long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Seconds between two echoes
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub interval: core::time::Duration,
    /// How long to wait for each answer
    #[arg(short = 'W', long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub limit: core::time::Duration,
}

/// Arguments of `join`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --wait the command ends when the network is up: 0, with its address and device; 7 when time is up and nobody \
has authorized this node or its controller does not answer; 8 when denied; 4 when its device \
is in use or could not be made; 1 when there is no such network.

Examples:
  zt-cli join zt1-AbC... --wait 30
  zt-cli join 1d71939404000001#6c3f...e1 --wait 60    pins the controller's key
  zt-cli join 1d71939404000001 --wait 60              pins and prints the key that answers first")]
pub struct Join {
    /// An invite (zt1-...), or a network id, with #FINGERPRINT of its controller if known
    #[arg(value_name = "NETWORK-ID[#FINGERPRINT]|INVITE")]
    pub target: Target,
    /// An invite's secret, 32 hex digits (an invite carries its own)
    #[arg(long, value_name = "T", value_parser = token)]
    pub token: Option<String>,
    /// Wait until the network is up
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub wait: Option<core::time::Duration>,
}

/// Which netconf-master, with which credential.
#[derive(Clone, Debug, Args)]
pub struct Master {
    /// The netconf-master's HTTP address
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:9994"
    )]
    pub master: String,
    /// The file with its admin token
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/var/lib/zt/netconf-master/admin.token"
    )]
    pub token_file: PathBuf,
}

/// `network ...`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct NetworkArgs {
    /// Which master.
    #[command(flatten)]
    pub master: Master,
    /// What to do.
    #[command(subcommand)]
    pub command: NetworkCommand,
}

/// What to do with networks.
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Make a network; prints its id
    #[command(after_help = "\
Examples:
  zt-cli network create home --cidr 10.77.0.0/24
  zt-cli network create lan-party --cidr 10.8.0.0/16 --public")]
    Create {
        /// What people call it
        #[arg(default_value = "network")]
        name: String,
        /// Give members addresses from this subnet (may be repeated)
        #[arg(long, value_name = "A.B.C.D/N")]
        cidr: Vec<Subnet>,
        /// Let anybody join without being authorized
        #[arg(long)]
        public: bool,
        /// Largest payload of an Ethernet frame [default: 1500]
        #[arg(long, value_name = "BYTES")]
        mtu: Option<u16>,
    },
    /// The networks of this netconf-master
    List,
    /// One network
    Show {
        /// The network
        network: NetworkId,
    },
    /// Change a network
    #[command(after_help = "\
Keys:
  name, public, mtu, bridging, cidr (a,b,...), ipv4-assign, ipv6,
  routes (TARGET or TARGET@VIA, ...), dns-domain, dns-servers (a,b,...), window,
  epoch-period (seconds), link-local-groups (LLDP, LACP, EAPOL go to every member),
  multicast-limit (copies of a broadcast that a member sends itself; above it
  members with the right replicator pass it on)

Profiles: open; ip-only; lan-game (broadcast, IPX and the ports of --ports, nothing else)

Examples:
  zt-cli network set 1d71939404000001 name=office routes=192.168.7.0/24@10.77.0.3
  zt-cli network set 1d71939404000001 --rules lan.rules
  zt-cli network set 1d71939404000001 --profile lan-game --ports udp:27015,tcp:7777")]
    Set {
        /// The network
        network: NetworkId,
        /// What to change
        #[arg(required_unless_present_any = ["rules", "profile"], value_name = "KEY=VALUE")]
        settings: Vec<String>,
        /// Flow rules: a text; `-` reads it from stdin, an empty one lets every frame pass
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
        /// Ready-made rules
        #[arg(long, value_name = "NAME", conflicts_with = "rules")]
        profile: Option<String>,
        /// The ports that a profile opens
        #[arg(long, value_name = "udp:N,tcp:N-M,...", requires = "profile")]
        ports: Option<String>,
    },
    /// Delete a network with its members and invites
    Delete {
        /// The network
        network: NetworkId,
    },
}

/// `member ...`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct MemberArgs {
    /// Which master.
    #[command(flatten)]
    pub master: Master,
    /// What to do.
    #[command(subcommand)]
    pub command: MemberCommand,
}

/// What to do with members.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// The members of a network, those who wait among them
    List {
        /// The network
        network: NetworkId,
    },
    /// One member
    Show {
        /// The network
        network: NetworkId,
        /// The member
        address: Address,
    },
    /// Let a member in; it may be named before it asks for the first time
    Authorize {
        /// The network
        network: NetworkId,
        /// The member
        address: Address,
        /// What people call it
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// Give it this address instead of the next free one (may be repeated)
        #[arg(long, value_name = "IP")]
        ip: Vec<std::net::IpAddr>,
    },
    /// Put a member out; the others stop talking to it within seconds
    Deauthorize {
        /// The network
        network: NetworkId,
        /// The member
        address: Address,
    },
    /// Change a member
    #[command(after_help = "\
Keys:
  name, ip (a,b,...), bridge, dhcp-server, router-advertisement, replicator,
  any-source-ip, tags (ID:VALUE,...: all of them)

Examples:
  zt-cli member set 1d71939404000001 89e92ceee5 name=printer ip=10.77.0.9 bridge=true
  zt-cli member set 1d71939404000001 89e92ceee5 --right dhcp-server --tag team=red --capability admin")]
    Set(Box<MemberSet>),
    /// Forget a member; if it asks again it is a new one
    Remove {
        /// The network
        network: NetworkId,
        /// The member
        address: Address,
    },
}

/// Arguments of `member set`.
#[derive(Debug, Args)]
pub struct MemberSet {
    /// The network
    pub network: NetworkId,
    /// The member
    pub address: Address,
    /// What to change
    #[arg(
        required_unless_present_any = ["right", "no_right", "tag", "no_tag", "capability", "no_capability"],
        value_name = "KEY=VALUE"
    )]
    pub settings: Vec<String>,
    /// Give a right (may be repeated)
    #[arg(long, value_name = "RIGHT")]
    pub right: Vec<Right>,
    /// Take a right (may be repeated)
    #[arg(long, value_name = "RIGHT")]
    pub no_right: Vec<Right>,
    /// Give a tag of the network's rules a value (may be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub tag: Vec<String>,
    /// Take a tag (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub no_tag: Vec<String>,
    /// Grant a capability of the network's rules (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub capability: Vec<String>,
    /// Take a capability (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub no_capability: Vec<String>,
}

/// What a certificate can allow beyond sending one's own frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Right {
    /// Carry foreign MACs, and frames from any IP address
    Bridge,
    /// Answer DHCP
    DhcpServer,
    /// Send router advertisements
    Router,
    /// Send from any IP address
    AnySource,
    /// Replicate multicast for others
    Replicator,
}

/// `invite ...`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct InviteArgs {
    /// Which master.
    #[command(flatten)]
    pub master: Master,
    /// What to do.
    #[command(subcommand)]
    pub command: InviteCommand,
}

/// What to do with invites.
#[derive(Debug, Subcommand)]
pub enum InviteCommand {
    /// Make an invite; its text is shown this once
    #[command(after_help = "\
Examples:
  zt-cli invite create 1d71939404000001                            for one machine, within a day
  zt-cli invite create 1d71939404000001 --uses 20 --expires 7d     for a LAN party
  zt-cli invite create 1d71939404000001 --uses 0 --expires 0 --pending")]
    Create {
        /// The network
        network: NetworkId,
        /// How many members may come with it; 0: any number [default: 1]
        #[arg(long, value_name = "N")]
        uses: Option<u32>,
        /// For how long: 90s, 30m, 24h, 7d; 0: for ever [default: 24h]
        #[arg(long, value_name = "SPAN", value_parser = span)]
        expires: Option<u64>,
        /// What people call it
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        /// Who comes with it waits to be authorized
        #[arg(long)]
        pending: bool,
    },
    /// The invites of a network
    List {
        /// The network
        network: NetworkId,
    },
    /// Take an invite back; who came with it stays
    Revoke {
        /// The network
        network: NetworkId,
        /// The invite, as `list` shows it
        id: String,
    },
}

const UP_HELP: &str = "\
Starts zt-supernode, zt-netconf-master and zt-node as children (found beside zt-cli, else in PATH), makes a network, \
joins it, and prints one invite with the commands to paste on another machine. Runs until Ctrl-C or SIGTERM, then \
stops them all. Run it again with the same --state-dir and everything is as before.

Example:
  zt-cli up --endpoint 203.0.113.7:9993 --network home --cidr 10.77.0.0/24";

/// Arguments of `up`.
#[derive(Debug, Args)]
pub struct Up {
    /// Where other machines reach this one: its public address and a UDP port
    #[arg(long, value_name = "IP:PORT")]
    pub endpoint: SocketAddr,
    /// The network's name
    #[arg(long, value_name = "NAME", default_value = "home")]
    pub network: String,
    /// The subnet its members get addresses from
    #[arg(long, value_name = "A.B.C.D/N", default_value = "10.77.0.0/24")]
    pub cidr: Subnet,
    /// Where everything is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/zt")]
    pub state_dir: PathBuf,
    /// Where the netconf-master's HTTP API listens
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9994")]
    pub http: SocketAddr,
    /// Make a world for tests: identities cost nothing, so addresses can be forged
    #[arg(long)]
    pub weak_proof_of_work: bool,
}

/// A span in seconds, as people type it.
pub fn seconds(text: &str) -> Result<core::time::Duration, String> {
    let bad = || format!("expected seconds such as 30 or 0.5, found {text}");
    let value: f64 = text.parse().map_err(|_| bad())?;
    if (0.0..=86_400.0 * 365.0).contains(&value) {
        Ok(core::time::Duration::from_secs_f64(value))
    } else {
        Err(bad())
    }
}

fn span(text: &str) -> Result<u64, String> {
    let bad = || format!("expected a span such as 90s, 30m, 24h, 7d or 0, found {text}");
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, if text == "0" { "s" } else { "" }),
    };
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .ok_or_else(bad)
}

fn token(text: &str) -> Result<String, String> {
    if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("expected 32 hex digits".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn spans_have_units() {
        assert_eq!(span("24h"), Ok(86_400));
        assert_eq!(span("0"), Ok(0));
        for bad in ["24", "h", "-1h", "1w", "99999999999999999999d"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wait_is_finite_and_not_negative() {
        assert_eq!(seconds("0.5"), Ok(core::time::Duration::from_millis(500)));
        for bad in ["-1", "nan", "inf", "x", "1e300"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
