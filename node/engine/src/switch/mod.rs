//! The Ethernet switch: who gets a frame, who may send one.
//!
//! Owner: a shard. In: members and listings from the engine, frames' MACs. Out: receivers, or the reason to drop.
//! Never: a byte of a frame changed, a look past the header but for ARP and neighbour questions.

mod answer;
mod bridging;
mod groups;
mod learned;
mod policy;
mod storm;

use core::net::IpAddr;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use zt_rules::guards;
use zt_wire::{Address, KeyId, Mac, NetworkId};

pub(crate) use self::answer::{answer, is_question};
use self::bridging::Bridging;
use self::groups::Groups;
pub(crate) use self::groups::is_membership;
use self::learned::{Learned, Place};
use self::policy::Tried;
use crate::counters::DropReason;
use crate::limits;
use crate::shard::{Member, NetworkUp, Notes, Policy};
use crate::time::Mono;

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// The right to bridge (SPEC: rights bit 0).
const RIGHT_BRIDGE: u32 = 1;

/// The networks of a shard.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    networks: BTreeMap<NetworkId, Network>,
    seed: u64,
    /// Other workers want to know where stations are.
    tells: bool,
}

impl Switch {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            networks: BTreeMap::new(),
            seed,
            tells: false,
        }
    }

    pub(crate) fn tell_stations(&mut self) {
        self.tells = true;
        for network in self.networks.values_mut() {
            network.learned.tells = true;
        }
    }

    pub(crate) fn up(&mut self, up: NetworkUp) {
        let (seed, tells) = (self.seed, self.tells);
        let network = self.networks.entry(up.network);
        let network = network.or_insert_with(|| Network::new(up, seed));
        network.up = up;
        network.learned.tells = tells;
    }

    pub(crate) fn policy(&mut self, network: NetworkId, policy: Policy) {
        if let Some(network) = self.networks.get_mut(&network) {
            network.set_policy(policy);
        }
    }

    pub(crate) fn down(&mut self, network: NetworkId) {
        self.networks.remove(&network);
    }

    pub(crate) fn get(&self, network: NetworkId) -> Option<&Network> {
        self.networks.get(&network)
    }

    pub(crate) fn get_mut(&mut self, network: NetworkId) -> Option<&mut Network> {
        self.networks.get_mut(&network)
    }

    pub(crate) fn member(&mut self, network: NetworkId, member: Member) {
        let Some(network) = self.networks.get_mut(&network) else {
            return;
        };
        if let Some(entry) = network.entry(member.address) {
            entry.member = Some(member);
        }
    }

    pub(crate) fn member_out(&mut self, network: NetworkId, address: Address) {
        let Some(network) = self.networks.get_mut(&network) else {
            return;
        };
        if let Some(entry) = network.entries.get_mut(&address) {
            entry.member = None;
            entry.groups = None;
            network.tidy(address);
        }
    }

    pub(crate) fn listed(
        &mut self,
        network: NetworkId,
        address: Address,
        ips: Vec<IpAddr>,
        bridge: bool,
    ) {
        let Some(network) = self.networks.get_mut(&network) else {
            return;
        };
        network.unlist(address);
        for &ip in &ips {
            network.ips.insert(ip, address);
        }
        if let Some(entry) = network.entry(address) {
            entry.listed = Some(Listing {
                ips,
                bridge,
                replicator: false,
            });
        }
    }

    pub(crate) fn unlisted(&mut self, network: NetworkId, address: Address) {
        let Some(network) = self.networks.get_mut(&network) else {
            return;
        };
        network.unlist(address);
        network.tidy(address);
    }
}

/// One network's table.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    up: NetworkUp,
    entries: BTreeMap<Address, Entry>,
    ips: HashMap<IpAddr, Address, FixedState>,
    learned: Learned,
    bridging: Bridging,
    tried: Tried,
    /// Until then no replicator is waited for.
    alone_until: Mono,
}

/// What is known of a member: listed by the controller, proven by certificate, or both.
#[derive(Clone, Debug, Default)]
struct Entry {
    listed: Option<Listing>,
    member: Option<Member>,
    /// What it listens to, sorted; without a list, everything.
    groups: Option<Box<Groups>>,
}

#[derive(Clone, Debug)]
struct Listing {
    ips: Vec<IpAddr>,
    bridge: bool,
    replicator: bool,
}

impl Entry {
    const fn certified(&self) -> Option<&Member> {
        self.member.as_ref()
    }

    fn bridges(&self) -> bool {
        match (&self.member, &self.listed) {
            (Some(member), _) => member.rights & RIGHT_BRIDGE != 0,
            (None, Some(listing)) => listing.bridge,
            (None, None) => false,
        }
    }
}

/// Who gets a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receivers {
    /// This member.
    One(Address),
    /// Every member once.
    All,
    /// Every member that may bridge.
    Bridges,
    /// Every member that listens to this group, or may.
    Listeners(Mac),
}

impl Network {
    fn new(up: NetworkUp, seed: u64) -> Self {
        Self {
            up,
            entries: BTreeMap::new(),
            ips: HashMap::with_hasher(FixedState::with_seed(seed ^ 2)),
            learned: Learned::new(seed ^ 3),
            bridging: Bridging::default(),
            tried: Tried::default(),
            alone_until: Mono::ZERO,
        }
    }

    pub(crate) const fn settings(&self) -> &NetworkUp {
        &self.up
    }

    pub(crate) fn learned_len(&self) -> usize {
        self.learned.len()
    }

    /// The MAC of a member whose certificate is valid and whose key is the one in its certificate.
    pub(crate) fn valid(&self, address: Address, key: KeyId) -> Option<Mac> {
        let member = self.entries.get(&address)?.member.as_ref()?;
        (member.key == key).then_some(member.mac)
    }

    /// The members a frame is for, in the order of their addresses.
    pub(crate) fn each(&self, receivers: Receivers) -> impl Iterator<Item = Address> + '_ {
        let only = match receivers {
            Receivers::One(address) => Some(address),
            Receivers::All | Receivers::Bridges | Receivers::Listeners(_) => None,
        };
        let many = match receivers {
            Receivers::One(_) => None,
            Receivers::All | Receivers::Bridges | Receivers::Listeners(_) => {
                Some(self.entries.iter())
            }
        };
        let some = many
            .into_iter()
            .flatten()
            .filter(move |(_, entry)| match receivers {
                Receivers::One(_) | Receivers::All => true,
                Receivers::Bridges => entry.bridges(),
                Receivers::Listeners(group) => entry.listens(group),
            });
        only.into_iter().chain(some.map(|(&address, _)| address))
    }

    /// Who gets a frame of our device.
    ///
    /// # Errors
    /// The reason to drop it.
    pub(crate) fn receivers(&self, now: Mono, frame: &[u8]) -> Result<Receivers, DropReason> {
        let (to, from) = macs(frame).ok_or(DropReason::FrameSize)?;
        guards::source_mac(from, self.up.mac, self.up.bridge, || self.is_member(from))?;
        if to == self.up.mac {
            return Err(DropReason::Loop);
        }
        guards::group(to, self.up.bridge, self.passes_reserved())?;
        if guards::reserved(to) == Some(0) {
            return Ok(Receivers::Bridges);
        }
        if to.is_group() {
            return Ok(Receivers::All);
        }
        let named = to.address_on(self.up.network);
        if let Some(address) = named
            && self.entries.contains_key(&address)
        {
            return Ok(Receivers::One(address));
        }
        match self.learned.find(now, to) {
            Some(Place::Behind(bridge)) => return Ok(Receivers::One(bridge)),
            Some(Place::Here) => return Err(DropReason::SameSide),
            None => {}
        }
        match named {
            // Perhaps a member so new that the directory does not list it yet; its certificate will tell.
            Some(address) if !self.entries.values().any(Entry::bridges) => {
                Ok(Receivers::One(address))
            }
            Some(_) | None => Ok(Receivers::Bridges),
        }
    }

    /// Whether a member may have sent this frame; learns the stations behind bridging members.
    ///
    /// # Errors
    /// The reason to drop it.
    pub(crate) fn accept(
        &mut self,
        now: Mono,
        (sender, key): (Address, KeyId),
        frame: &[u8],
        notes: &mut Notes,
    ) -> Result<(), DropReason> {
        let (to, from) = macs(frame).ok_or(DropReason::FrameSize)?;
        let entry = self.entries.get(&sender).ok_or(DropReason::NotMember)?;
        let member = entry
            .member
            .as_ref()
            .filter(|member| member.key == key)
            .ok_or(DropReason::NotMember)?;
        let bridges = entry.bridges();
        if from == self.up.mac {
            return Err(DropReason::Loop);
        }
        guards::group(to, bridges && self.up.bridge, self.passes_reserved())?;
        guards::source_mac(from, member.mac, bridges, || self.is_member(from))?;
        let station = (from != member.mac).then_some(from);
        self.take_in(now, sender, station, frame, notes)
    }

    /// Whether this is another member's MAC.
    fn is_member(&self, mac: Mac) -> bool {
        mac.address_on(self.up.network)
            .is_some_and(|address| self.entries.contains_key(&address))
    }

    /// Whether a frame of this length (with its Ethernet header) fits the network's MTU.
    pub(crate) fn fits(&self, len: usize) -> bool {
        (ETHERNET..=ETHERNET + limits::TAG_BYTES + usize::from(self.up.mtu)).contains(&len)
    }

    /// Fragments that one frame may be cut into.
    pub(crate) const fn fragments(&self) -> usize {
        if self.up.mtu > 1_500 {
            limits::FRAME_FRAGMENTS_LARGE
        } else {
            limits::FRAME_FRAGMENTS
        }
    }

    /// The member that has this managed or computed address.
    fn holder(&self, ip: IpAddr) -> Option<Address> {
        let found = match (self.ips.get(&ip), ip) {
            (Some(&address), _) => address,
            (None, IpAddr::V6(ip)) => self.up.network.member_of_ipv6(ip)?,
            (None, IpAddr::V4(_)) => return None,
        };
        let known = self.entries.contains_key(&found);
        (known && Mac::of(found, self.up.network) != self.up.mac).then_some(found)
    }

    fn entry(&mut self, address: Address) -> Option<&mut Entry> {
        let full = self.entries.len() >= limits::MEMBERS && !self.entries.contains_key(&address);
        // Our own listing is not somebody to send to.
        let own = Mac::of(address, self.up.network) == self.up.mac;
        (!full && !own).then(|| self.entries.entry(address).or_default())
    }

    fn unlist(&mut self, address: Address) {
        let Some(listing) = self
            .entries
            .get_mut(&address)
            .and_then(|entry| entry.listed.take())
        else {
            return;
        };
        for ip in listing.ips {
            if self.ips.get(&ip) == Some(&address) {
                self.ips.remove(&ip);
            }
        }
    }

    fn tidy(&mut self, address: Address) {
        let Some(entry) = self.entries.get(&address) else {
            return;
        };
        if entry.member.is_none() {
            self.learned.forget(Place::Behind(address));
            self.bridging.forget(address);
        }
        if entry.member.is_none() && entry.listed.is_none() {
            self.entries.remove(&address);
        }
    }
}

/// Destination and source.
pub(crate) fn macs(frame: &[u8]) -> Option<(Mac, Mac)> {
    let (to, rest) = frame.split_first_chunk()?;
    let (from, rest) = rest.split_first_chunk()?;
    (rest.len() >= 2).then_some((Mac::from_bytes(*to), Mac::from_bytes(*from)))
}

#[cfg(test)]
mod tests;
