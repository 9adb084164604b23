//! What people and programs say to a netconf-master over its HTTP API. Types only.
//!
//! Owner: nobody; plain values. In: JSON. Out: JSON, field names stable (interface page).
//! Never: a decision, a default that the master has not confirmed. Unknown fields in requests are refused.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zt_wire::{Address, KeyId, NetworkId};

use crate::text;

/// A network as its master knows it. `GET /api/v1/networks/ID`.
// Independent switches, named as in JSON.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its id, sixteen hex digits.
    #[serde(with = "text")]
    pub id: NetworkId,
    /// The master's key, 64 hex digits: what `join ID#FINGERPRINT` pins.
    #[serde(with = "text")]
    pub fingerprint: KeyId,
    /// What people call it.
    pub name: String,
    /// Whether anybody may join without being asked for.
    pub public: bool,
    /// Bytes of payload after the Ethernet header.
    pub mtu: u16,
    /// Whether members with the bridge right may carry foreign MACs.
    pub bridging: bool,
    /// The IPv4 subnets that addresses are given from.
    pub ipv4_pools: Vec<Subnet>,
    /// Whether members get an IPv4 address of a pool by themselves.
    pub ipv4_assign: bool,
    /// Whether members have their computed RFC 4193 address.
    pub ipv6_rfc4193: bool,
    /// Routes that members may install.
    pub routes: Vec<Route>,
    /// Name servers that members may use.
    pub dns: Dns,
    /// The flow rules, as they were written; empty: every frame passes.
    #[serde(default)]
    pub rules: String,
    /// Whether frames to 01:80:C2:00:00:01 to 0F (LLDP, LACP, EAPOL) go to every member.
    #[serde(default)]
    pub link_local_groups: bool,
    /// Copies of a broadcast or multicast frame that a member sends itself; replicators pass on the rest, where there are any.
    #[serde(default)]
    pub multicast_limit: u16,
    /// The certificates' epoch; it only grows.
    pub epoch: u64,
    /// How many epochs an older certificate stays valid.
    pub window: u16,
    /// Seconds between epochs; 0: only by hand.
    pub epoch_period_s: u64,
    /// Grows with every change that members can see.
    pub revision: u64,
    /// When it was made, Unix seconds.
    pub created_at: u64,
    /// How many members stand where.
    pub members: MemberCounts,
}

/// The flow rules of a network. `GET /api/v1/networks/ID/rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRules {
    /// As they were written; empty: every frame passes.
    pub text: String,
    /// Bytes of the compiled form, as members get it.
    pub bytes: usize,
    /// The compiled form: `rules`, `capabilities`, `tags`, as `zt-cli rules check --json` prints it.
    pub compiled: serde_json::Value,
}

/// How many members of a network stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberCounts {
    /// Waiting for a decision.
    pub pending: u64,
    /// In.
    pub authorized: u64,
    /// Out.
    pub denied: u64,
}

/// A managed route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where to.
    pub target: Subnet,
    /// Through which member's address; none: straight onto the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
}

/// Name servers of a network; empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The search domain.
    #[serde(default)]
    pub domain: String,
    /// The servers.
    #[serde(default)]
    pub servers: Vec<IpAddr>,
}

/// What to make or change of a network: `POST /api/v1/networks`, `PATCH /api/v1/networks/ID`. What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// See [`Network::name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`Network::public`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// See [`Network::mtu`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// See [`Network::bridging`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridging: Option<bool>,
    /// See [`Network::ipv4_pools`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_pools: Option<Vec<Subnet>>,
    /// See [`Network::ipv4_assign`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_assign: Option<bool>,
    /// See [`Network::ipv6_rfc4193`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_rfc4193: Option<bool>,
    /// See [`Network::routes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<Route>>,
    /// See [`Network::dns`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// See [`Network::rules`]; refused with line, column and reason when it cannot be compiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// See [`Network::link_local_groups`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_local_groups: Option<bool>,
    /// See [`Network::multicast_limit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multicast_limit: Option<u16>,
    /// See [`Network::window`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u16>,
    /// See [`Network::epoch_period_s`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch_period_s: Option<u64>,
    /// Change only if the network still has this revision; otherwise 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberStatus {
    /// Waiting for a decision.
    Pending,
    /// In.
    Authorized,
    /// Out.
    Denied,
}

/// A member as the master knows it. `GET /api/v1/networks/ID/members/ADDRESS`.
// Independent rights, named as in JSON.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Of which network.
    #[serde(with = "text")]
    pub network: NetworkId,
    /// Its address, ten hex digits.
    #[serde(with = "text")]
    pub address: Address,
    /// Its key; absent until it asked for the first time (or was given beforehand).
    #[serde(with = "text::option")]
    pub fingerprint: Option<KeyId>,
    /// Where it stands.
    pub status: MemberStatus,
    /// What people call it.
    pub name: String,
    /// Addresses that a person gave it.
    pub static_ips: Vec<IpAddr>,
    /// Every managed address that it has now, static, automatic and computed.
    pub ips: Vec<IpAddr>,
    /// May carry foreign MACs.
    pub bridge: bool,
    /// May answer DHCP.
    pub dhcp_server: bool,
    /// May send router advertisements.
    pub router_advertisement: bool,
    /// May replicate multicast for others.
    pub replicator: bool,
    /// May send from IP addresses that are not its own.
    pub any_source_ip: bool,
    /// Values that rules can look at.
    pub tags: BTreeMap<u32, u32>,
    /// Grows with every new certificate content.
    pub serial: u64,
    /// When it last asked, Unix seconds.
    pub last_seen: Option<u64>,
    /// From where it last asked.
    pub endpoint: Option<String>,
    /// When it was first known, Unix seconds.
    pub created_at: u64,
    /// Grows with every change of this record.
    pub revision: u64,
}

/// What to make or change of a member: `PUT` (makes it when absent) or `PATCH`. What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSettings {
    /// See [`Member::status`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<MemberStatus>,
    /// See [`Member::fingerprint`]; only while it has none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "text::option"
    )]
    pub fingerprint: Option<KeyId>,
    /// See [`Member::name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`Member::static_ips`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_ips: Option<Vec<IpAddr>>,
    /// See [`Member::bridge`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<bool>,
    /// See [`Member::dhcp_server`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhcp_server: Option<bool>,
    /// See [`Member::router_advertisement`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router_advertisement: Option<bool>,
    /// See [`Member::replicator`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicator: Option<bool>,
    /// See [`Member::any_source_ip`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_source_ip: Option<bool>,
    /// See [`Member::tags`]; replaces them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<u32, u32>>,
    /// Change only if the member still has this revision; otherwise 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// An invite as the master knows it; its secret is known only to whom it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Its id, sixteen hex digits.
    pub id: String,
    /// Into which network.
    #[serde(with = "text")]
    pub network: NetworkId,
    /// What people call it; also the first name of who comes with a one-use invite.
    pub label: String,
    /// How many members may come with it; absent: any number.
    pub max_uses: Option<u32>,
    /// How many came.
    pub uses: u32,
    /// Until when, Unix seconds; absent: for ever.
    pub expires_at: Option<u64>,
    /// Whether who comes with it is in at once; otherwise it waits.
    pub authorize: bool,
    /// Whether it was taken back.
    pub revoked: bool,
    /// When it was made, Unix seconds.
    pub created_at: u64,
}

/// What invite to make: `POST /api/v1/networks/ID/invites`. The empty object: one use, 24 hours, in at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteSettings {
    /// See [`Invite::label`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How many members may come with it; 0: any number. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u32>,
    /// For how long, seconds; 0: for ever. Default 86,400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
    /// See [`Invite::authorize`]. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorize: Option<bool>,
}

/// The answer to a new invite: the only time that its text can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewInvite {
    /// The record.
    #[serde(flatten)]
    pub record: Invite,
    /// The text to hand over: `zt1-...`, with the signed world in it.
    pub invite: String,
}

/// One line of the log: who did what. `GET /api/v1/networks/ID/audit`, and the data of each event of `/api/v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Its number; grows by one over all networks. The page's `after`, the event's id.
    pub seq: u64,
    /// When, Unix seconds.
    pub at: u64,
    /// In which network.
    #[serde(with = "text")]
    pub network: NetworkId,
    /// `admin`, `member` or `master`.
    pub actor: String,
    /// `network.create`, `member.authorize`, ...: the noun, a dot, what became of it.
    pub action: String,
    /// The member's address or the invite's id; empty for the network itself.
    pub subject: String,
    /// What changed, for people.
    pub detail: String,
}

/// A subnet, written `10.20.0.0/16`; the bits after the prefix are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    base: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The subnet of `prefix` bits that starts at `base`.
    ///
    /// # Errors
    /// [`BadSubnet::Prefix`] for more bits than the family has, [`BadSubnet::HostBits`] where `base` is not the subnet's first address.
    pub fn new(base: IpAddr, prefix: u8) -> Result<Self, BadSubnet> {
        let width = if base.is_ipv4() { 32 } else { 128 };
        if prefix > width {
            return Err(BadSubnet::Prefix);
        }
        if masked(base, prefix) != base {
            return Err(BadSubnet::HostBits);
        }
        Ok(Self { base, prefix })
    }

    /// Its first address.
    pub const fn base(self) -> IpAddr {
        self.base
    }

    /// How many bits are fixed.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether `ip` lies inside.
    pub fn contains(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.base.is_ipv4() && masked(ip, self.prefix) == self.base
    }

    /// Whether any address lies in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }
}

fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(prefix.min(32)))
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix.min(128)))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
    }
}

/// Why a text is no [`Subnet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSubnet {
    /// Not an address, a slash and a number.
    Form,
    /// More bits than the family has.
    Prefix,
    /// The address is not the first of the subnet.
    HostBits,
}

impl fmt::Display for BadSubnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "expected a subnet like 10.20.0.0/16",
            Self::Prefix => "the prefix length is larger than the address",
            Self::HostBits => "the bits after the prefix must be zero",
        })
    }
}

impl core::error::Error for BadSubnet {}

impl FromStr for Subnet {
    type Err = BadSubnet;
    fn from_str(text: &str) -> Result<Self, BadSubnet> {
        let (base, prefix) = text.split_once('/').ok_or(BadSubnet::Form)?;
        // `u8::from_str` alone would take a plus sign.
        if !prefix.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(BadSubnet::Form);
        }
        let base = base.parse().map_err(|_| BadSubnet::Form)?;
        let prefix = prefix.parse().map_err(|_| BadSubnet::Form)?;
        Self::new(base, prefix)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Subnet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_says_what_is_wrong_with_it() {
        assert_eq!("10.0.0.1/24".parse::<Subnet>(), Err(BadSubnet::HostBits));
        assert_eq!("10.0.0.0/33".parse::<Subnet>(), Err(BadSubnet::Prefix));
        assert_eq!("10.0.0.0/+8".parse::<Subnet>(), Err(BadSubnet::Form));
        assert_eq!("10.0.0.0".parse::<Subnet>(), Err(BadSubnet::Form));
        assert_eq!(
            "fd00::/8".parse::<Subnet>().unwrap().to_string(),
            "fd00::/8"
        );
        assert_eq!(
            "0.0.0.0/0".parse::<Subnet>().unwrap().to_string(),
            "0.0.0.0/0"
        );
    }

    #[test]
    fn a_subnet_contains_its_own_and_nothing_of_the_other_family() {
        let all: Subnet = "0.0.0.0/0".parse().unwrap();
        let lan: Subnet = "192.168.1.0/24".parse().unwrap();
        assert!(all.contains("8.8.8.8".parse().unwrap()));
        assert!(!all.contains("::".parse().unwrap()));
        assert!(lan.contains("192.168.1.255".parse().unwrap()));
        assert!(!lan.contains("192.168.2.0".parse().unwrap()));
        assert!(lan.overlaps(all) && all.overlaps(lan));
    }

    #[test]
    fn a_misspelt_setting_is_refused_rather_than_ignored() {
        let wrong = serde_json::from_str::<MemberSettings>(r#"{"authorised":true}"#);
        assert!(wrong.is_err());
    }

    #[test]
    fn a_change_says_only_what_changes() {
        let change = MemberSettings {
            status: Some(MemberStatus::Authorized),
            ..MemberSettings::default()
        };
        let json = serde_json::to_string(&change).unwrap();
        assert_eq!(json, r#"{"status":"authorized"}"#);
        assert_eq!(
            serde_json::from_str::<MemberSettings>(&json).unwrap(),
            change
        );
    }
}
