//! What a controller keeps: networks, members, invites, revocations, log lines. Plain values.
//!
//! Owner: the store. In: nothing. Out: values with the questions that they alone can answer.
//! Never: a decision that needs two of them, a clock, a database.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use zt_api::master::{Dns, MemberStatus, Route, Subnet};
use zt_engine::Unix;
use zt_wire::{Address, KeyId, NetworkId, Rights, SharedConfig};

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its id; never given to another network, not even after deletion.
    pub id: NetworkId,
    /// What it is to be.
    pub settings: Settings,
    /// The certificates' epoch.
    pub epoch: u64,
    /// Since when, for the period.
    pub epoch_since: Unix,
    /// Grows with every change that members can see; the store adds one for each.
    pub revision: u64,
    /// The shared configuration, signed once per change of it.
    pub shared: Arc<[u8]>,
    /// Its content hash: members that have it need not get it again.
    pub shared_hash: [u8; 32],
    /// When it was made.
    pub created: Unix,
}

/// What people decide about a network.
// Independent switches.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What people call it.
    pub name: String,
    /// Whether anybody may join.
    pub public: bool,
    /// Payload bytes of a frame.
    pub mtu: u16,
    /// Whether the bridge right counts.
    pub bridging: bool,
    /// Subnets that addresses are given from, all IPv4.
    pub pools: Vec<Subnet>,
    /// Whether members get an address of a pool by themselves.
    pub assign: bool,
    /// Whether members have their computed IPv6 address.
    pub rfc4193: bool,
    /// Managed routes.
    pub routes: Vec<Route>,
    /// Name servers.
    pub dns: Dns,
    /// Flow rules.
    pub rules: Rules,
    /// Whether `01:80:c2:00:00:01` to `0f` go to every member.
    pub link_local_groups: bool,
    /// Copies of a group frame that a member sends itself.
    pub multicast_limit: u16,
    /// Epochs that an older certificate stays valid.
    pub window: u16,
    /// Seconds between epochs; 0: only by hand.
    pub epoch_period: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            public: false,
            mtu: 1500,
            bridging: true,
            pools: Vec::new(),
            assign: true,
            rfc4193: false,
            routes: Vec::new(),
            dns: Dns::default(),
            rules: Rules::default(),
            link_local_groups: false,
            // What a home uplink carries of a voice or game broadcast; without replicators it has no effect.
            multicast_limit: 32,
            window: SharedConfig::DEFAULT_WINDOW,
            // A revocation acts within seconds; the epoch only bounds how long one must be repeated.
            epoch_period: 3600,
        }
    }
}

/// Flow rules, as written and as members get them. Both are kept: a later program may read the text differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What a person wrote.
    pub text: String,
    /// Compiled; empty: every frame passes.
    pub compiled: Vec<u8>,
}

impl Network {
    /// When the next epoch is due; `None`: never by itself.
    pub fn epoch_due(&self) -> Option<Unix> {
        match self.settings.epoch_period {
            0 => None,
            period => Some(Unix(self.epoch_since.0.saturating_add(period))),
        }
    }
}

/// A member, or who wants to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Of which network.
    pub network: NetworkId,
    /// Its address.
    pub address: Address,
    /// Its key, pinned by its first request or by a person; another key with this address is nobody.
    pub key: Option<KeyId>,
    /// Where it stands.
    pub status: MemberStatus,
    /// A person deleted it; the record only remembers serial and directory place.
    pub deleted: bool,
    /// What people call it.
    pub name: String,
    /// Addresses that a person gave it.
    pub static_ips: Vec<IpAddr>,
    /// Addresses that it holds: no other member of the network can (unique in the store). Static ones are held in every
    /// status, automatic ones while authorized.
    pub ips: Vec<IpAddr>,
    /// What it may do.
    pub rights: Rights,
    /// Values that rules can look at.
    pub tags: BTreeMap<u32, u32>,
    /// The invite that it came with.
    pub invite: Option<InviteId>,
    /// The serial of its newest certificate; grows with every new content.
    pub serial: u64,
    /// Hash of that content; zero while it has no certificate.
    pub content: [u8; 32],
    /// The network's revision when its directory entry last changed; 0: never was in it.
    pub listed: u64,
    /// When it last asked.
    pub seen: Option<Unix>,
    /// From where it last asked.
    pub endpoint: Option<String>,
    /// When it was first known.
    pub created: Unix,
    /// Grows with every change; the store adds one for each.
    pub row: u64,
}

impl Member {
    /// A member not decided about, not stored yet.
    pub fn new(network: NetworkId, address: Address, now: Unix) -> Self {
        Self {
            network,
            address,
            key: None,
            status: MemberStatus::Pending,
            deleted: false,
            name: String::new(),
            static_ips: Vec::new(),
            ips: Vec::new(),
            rights: Rights::default(),
            tags: BTreeMap::new(),
            invite: None,
            serial: 0,
            content: [0; 32],
            listed: 0,
            seen: None,
            endpoint: None,
            created: now,
            row: 0,
        }
    }

    /// Whether other members are told of it.
    pub fn is_in(&self) -> bool {
        self.status == MemberStatus::Authorized && self.key.is_some() && !self.deleted
    }
}

/// What the directory needs of a member: most reads are of these, so they carry nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Who.
    pub address: Address,
    /// See [`Member::listed`].
    pub listed: u64,
    /// See [`Member::is_in`].
    pub is_in: bool,
    /// See [`Member::rights`].
    pub rights: Rights,
    /// See [`Member::ips`].
    pub ips: Vec<IpAddr>,
}

impl From<&Member> for Listing {
    fn from(member: &Member) -> Self {
        Self {
            address: member.address,
            listed: member.listed,
            is_in: member.is_in(),
            rights: member.rights,
            ips: member.ips.clone(),
        }
    }
}

/// An invite. The secret itself is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Into which network.
    pub network: NetworkId,
    /// Its id, random.
    pub id: InviteId,
    /// BLAKE2b-256 of the secret; unique.
    pub token_hash: [u8; 32],
    /// What people call it.
    pub label: String,
    /// How many may come; `None`: any number.
    pub max_uses: Option<u32>,
    /// How many came.
    pub uses: u32,
    /// Until when; `None`: for ever.
    pub expires: Option<Unix>,
    /// Whether who comes is in at once.
    pub authorize: bool,
    /// A person took it back.
    pub revoked: bool,
    /// When it was made.
    pub created: Unix,
    /// Grows with every change; the store adds one for each.
    pub row: u64,
}

impl Invite {
    /// Whether one more may come with it now.
    pub fn admits(&self, now: Unix) -> bool {
        let expired = self.expires.is_some_and(|end| end <= now);
        let used_up = self.max_uses.is_some_and(|most| self.uses >= most);
        !self.revoked && !expired && !used_up
    }
}

/// An invite's name, written as sixteen hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InviteId(u64);

impl InviteId {
    /// An id of random bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl core::fmt::Display for InviteId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl core::str::FromStr for InviteId {
    type Err = BadInviteId;
    fn from_str(text: &str) -> Result<Self, BadInviteId> {
        // `from_str_radix` alone would take a plus sign.
        if text.len() != 16 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(BadInviteId);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| BadInviteId)
    }
}

/// The text is not sixteen hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadInviteId;

impl core::fmt::Display for BadInviteId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("expected an invite's id, sixteen hex digits")
    }
}

impl core::error::Error for BadInviteId {}

/// A signed revocation that may still be needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// In which network.
    pub network: NetworkId,
    /// Whose certificates.
    pub key: KeyId,
    /// Certificates with a lower serial are dead.
    pub min_serial: u64,
    /// The epoch when it was decided: older certificates lapse by themselves a window later.
    pub since_epoch: u64,
    /// As members get it, signed again in each epoch.
    pub signed: Vec<u8>,
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person through the API.
    Admin,
    /// A member by asking.
    Member,
    /// The controller by itself.
    Master,
}

impl Actor {
    /// As the audit names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Master => "master",
        }
    }
}

/// A line to be logged; the store gives it its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// When.
    pub at: Unix,
    /// In which network.
    pub network: NetworkId,
    /// Who.
    pub actor: Actor,
    /// What: `member.authorize`.
    pub action: &'static str,
    /// To whom: an address, an invite's id, or nothing.
    pub subject: String,
    /// For people.
    pub detail: String,
}

/// How many members stand where; deleted ones nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting.
    pub pending: u64,
    /// In.
    pub authorized: u64,
    /// Out.
    pub denied: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_admits_until_it_is_used_expired_or_taken_back() {
        let fresh = Invite {
            network: "0123456789000001".parse().unwrap(),
            id: InviteId::from_bits(1),
            token_hash: [0; 32],
            label: String::new(),
            max_uses: Some(1),
            uses: 0,
            expires: Some(Unix(100)),
            authorize: true,
            revoked: false,
            created: Unix(0),
            row: 1,
        };
        assert!(fresh.admits(Unix(99)));
        assert!(!fresh.admits(Unix(100)));
        let used = Invite {
            uses: 1,
            ..fresh.clone()
        };
        assert!(!used.admits(Unix(1)));
        let many = Invite {
            max_uses: None,
            uses: 1_000_000,
            ..fresh.clone()
        };
        assert!(many.admits(Unix(1)));
        let revoked = Invite {
            revoked: true,
            ..fresh
        };
        assert!(!revoked.admits(Unix(1)));
    }

    #[test]
    fn an_invite_id_is_sixteen_digits_and_no_sign() {
        assert_eq!("00000000000000ff".parse(), Ok(InviteId::from_bits(255)));
        assert_eq!("+0000000000000ff".parse::<InviteId>(), Err(BadInviteId));
    }
}
