//! Which group frames may be kept from members who do not listen: only IP's, and only what stations announce.
//!
//! Owner: a network's table. In: members' lists, facts of a frame. Out: who gets it.
//! Never: a frame kept from a bridge, from one who said nothing, or one that no listener announces.

use core::ops::Bound::{Excluded, Unbounded};
use std::boxed::Box;
use std::vec::Vec;

use zt_rules::{Facts, Gets};
use zt_wire::membership::is_announced;
use zt_wire::{Address, KeyId, Mac, NetworkId, Rights};

use super::{Entry, Network, Receivers, Switch};
use crate::counters::DropReason;
use crate::limits;
use crate::shard::Notes;
use crate::time::Mono;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const IGMP: u8 = 2;
const ICMP6: u8 = 58;
/// Queries, reports and leaves of MLD (RFC 2710 §3, RFC 3810 §5).
const MLD: [u8; 4] = [130, 131, 132, 143];

/// Groups, sorted. Behind one pointer, as most members of a large network have said nothing.
#[derive(Clone, Debug)]
pub(super) struct Groups(Box<[Mac]>);

/// Whether a frame tells routers and bridges who listens to what.
pub(crate) fn is_membership(facts: &Facts) -> bool {
    match (facts.ethertype, facts.protocol) {
        (Some(IPV4), Some(IGMP)) => true,
        (Some(IPV6), Some(ICMP6)) => facts.icmp.is_some_and(|(kind, _)| MLD.contains(&kind)),
        _ => false,
    }
}

impl Switch {
    /// What a member listens to; `None`: everything.
    pub(crate) fn groups(
        &mut self,
        network: NetworkId,
        address: Address,
        groups: Option<Vec<Mac>>,
    ) {
        if let Some(network) = self.networks.get_mut(&network)
            && let Some(entry) = network.entries.get_mut(&address)
        {
            entry.groups = groups.map(|mut groups| {
                groups.sort_unstable();
                Box::new(Groups(groups.into()))
            });
        }
    }
}

impl Switch {
    /// Whether the controller lists a member as a replicator.
    pub(crate) fn replicator(&mut self, network: NetworkId, address: Address, replicates: bool) {
        if let Some(network) = self.networks.get_mut(&network)
            && let Some(entry) = network.entries.get_mut(&address)
            && let Some(listing) = &mut entry.listed
        {
            listing.replicator = replicates;
        }
    }
}

impl Receivers {
    /// Leaves out members who do not listen, where the frame is one that listeners announce.
    pub(crate) fn narrowed(self, facts: &Facts) -> Self {
        // Without a protocol the frame is cut short or a fragment's tail; with hidden headers it may be MLD.
        let ip = matches!(facts.ethertype, Some(IPV4 | IPV6)) && facts.protocol.is_some();
        if self == Self::All
            && is_announced(facts.to)
            && ip
            && !facts.hidden
            && !is_membership(facts)
        {
            Self::Listeners(facts.to)
        } else {
            self
        }
    }
}

impl Network {
    /// How many members such a frame is kept from.
    pub(crate) fn spared(&self, receivers: Receivers) -> usize {
        match receivers {
            Receivers::Listeners(_) => self.entries.len() - self.each(receivers).count(),
            Receivers::One(_) | Receivers::All | Receivers::Bridges => 0,
        }
    }
}

/// Replication.
impl Network {
    /// Who we are and how many copies we send ourselves, when these receivers may be shared with replicators.
    pub(crate) fn shares(&self, receivers: Receivers) -> Option<(Address, usize)> {
        let policy = self.tried.policy.as_ref()?;
        let group = match receivers {
            Receivers::All | Receivers::Listeners(_) => true,
            Receivers::One(_) | Receivers::Bridges => false,
        };
        // A replicator passes on by itself. Copies that rules name are the sender's to make.
        let may = group && !policy.rights.has(Rights::REPLICATOR) && !self.tried.copies;
        may.then_some((policy.me, policy.multicast_limit.max(1)))
    }

    /// The replicators, in the order of their addresses, beginning behind `me`.
    pub(crate) fn replicators(&self, me: Address) -> impl Iterator<Item = Address> + '_ {
        let behind = self.entries.range((Excluded(me), Unbounded));
        behind
            .chain(self.entries.range(..me))
            .filter(|(_, entry)| entry.replicates())
            .map(|(&address, _)| address)
    }

    /// Whether frames wait for a replicator to become ready.
    pub(crate) fn waits_for_replicators(&self, now: Mono) -> bool {
        now >= self.alone_until
    }

    /// No replicator became ready.
    pub(crate) fn go_alone(&mut self, now: Mono) {
        self.alone_until = now + limits::REPLICATORS_MISSED_FOR;
    }

    /// Whether a known member other than ourselves is among these receivers; `None`: it is not known.
    pub(crate) fn listens(&self, address: Address, receivers: Receivers) -> Option<bool> {
        let entry = self.entries.get(&address)?;
        Some(match receivers {
            Receivers::Listeners(group) => entry.listens(group),
            Receivers::All => true,
            Receivers::Bridges => entry.bridges(),
            Receivers::One(only) => only == address,
        })
    }

    /// Whether the rules let a frame of this member to another.
    pub(crate) fn lets(&self, facts: &Facts, from: Option<Address>, to: Address) -> bool {
        let Some(from) = from.filter(|_| !self.tried.lets_all_pass()) else {
            return true;
        };
        self.judge(facts, &self.end(from), to).gets == Gets::Whole
    }

    /// The key of the member for which a peer passes a frame on; `None` when its certificate is not here.
    ///
    /// # Errors
    /// The peer may not do that, or not with such a frame.
    pub(crate) fn vouched(
        &self,
        by: Address,
        origin: Address,
        macs: Option<(Mac, Mac)>,
    ) -> Result<Option<KeyId>, DropReason> {
        let (to, _) = macs.ok_or(DropReason::FrameSize)?;
        let replicates = self
            .entries
            .get(&by)
            .and_then(Entry::certified)
            .is_some_and(|member| member.rights & Rights::REPLICATOR.bits() != 0);
        if !replicates || !to.is_group() {
            return Err(DropReason::NotAllowed);
        }
        if self.is_me(origin) {
            return Err(DropReason::Loop);
        }
        let origin = self.entries.get(&origin).and_then(Entry::certified);
        Ok(origin.map(|member| member.key))
    }

    /// Whether we pass this frame of a member on.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn may_share(
        &mut self,
        now: Mono,
        from: (Address, KeyId),
        frame: &[u8],
        notes: &mut Notes,
    ) -> Result<(), DropReason> {
        let ours = self.tried.policy.as_ref();
        let may = ours.is_some_and(|policy| policy.rights.has(Rights::REPLICATOR));
        let (to, _) = super::macs(frame).ok_or(DropReason::FrameSize)?;
        if !may || !to.is_group() {
            return Err(DropReason::NotAllowed);
        }
        self.accept(now, from, frame, notes)?;
        let facts = Facts::of(frame).ok_or(DropReason::FrameSize)?;
        self.guards(from.0, &facts)
    }
}

impl Entry {
    /// Whether the member gets frames to this group.
    pub(super) fn listens(&self, group: Mac) -> bool {
        self.bridges()
            || self
                .groups
                .as_ref()
                .is_none_or(|groups| groups.0.binary_search(&group).is_ok())
    }

    /// Whether the member passes group frames on for others.
    fn replicates(&self) -> bool {
        match (&self.member, &self.listed) {
            (Some(member), _) => member.rights & Rights::REPLICATOR.bits() != 0,
            (None, Some(listing)) => listing.replicator,
            (None, None) => false,
        }
    }
}
