//! What a frame may be on a network: guards by what a certificate says, then the network's rules.
//!
//! Owner: a network's table. In: facts of a frame, both ends' certificates. Out: pass, elsewhere, or the reason to drop.
//! Never: a decision of its own, that is `zt-rules`; an allocation; a rule tried without the receiver's certificate.

use zt_rules::{Action, Decider, End, Facts, Fate, Gets, Ground, Guard, Holder, RuleSet, guards};
use zt_wire::{Address, Mac, Rights};

use super::{Entry, Network};
use crate::counters::DropReason;
use crate::shard::Policy;

/// 802.1Q, 802.1ad.
const TAGS: [[u8; 2]; 3] = [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]];

/// A network's policy, ready to be tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Tried {
    pub(super) policy: Option<Policy>,
    /// The rules name members for copies.
    pub(super) copies: bool,
    decider: Decider,
}

impl Tried {
    pub(super) fn new(policy: Policy) -> Self {
        let decider = Decider::new(policy.rules.clone());
        Self {
            copies: copies(&policy.rules),
            policy: Some(policy),
            decider,
        }
    }

    pub(super) const fn lets_all_pass(&self) -> bool {
        self.decider.lets_all_pass()
    }
}

impl From<Guard> for DropReason {
    fn from(guard: Guard) -> Self {
        match guard {
            Guard::SourceMac => Self::SourceMac,
            Guard::SpanningTree | Guard::LinkLocalGroup => Self::ReservedGroup,
            Guard::IpSource | Guard::ArpSender | Guard::NdTarget => Self::SourceIp,
            Guard::DhcpServer => Self::DhcpServer,
            Guard::RouterAdvertisement => Self::RouterAdvertisement,
        }
    }
}

impl Policy {
    fn ground(&self) -> Ground<'_> {
        Ground {
            network: self.network,
            manages_v4: self.manages_v4,
            computes_v6: self.computes_v6,
            routes: &self.routes,
        }
    }
}

impl Network {
    pub(super) fn set_policy(&mut self, policy: Policy) {
        self.tried = Tried::new(policy);
    }

    /// Whether frames to groups that bridges keep to themselves go to everybody here.
    pub(super) fn passes_reserved(&self) -> bool {
        self.tried
            .policy
            .as_ref()
            .is_some_and(|policy| policy.link_local_groups)
    }

    /// Whether a frame of our own device is one that our certificate covers.
    ///
    /// # Errors
    /// The guard that stands against it.
    pub(crate) fn may_leave(&self, facts: &Facts) -> Result<(), DropReason> {
        let Some(policy) = &self.tried.policy else {
            return Ok(());
        };
        let me = Holder {
            address: policy.me,
            rights: policy.rights,
            ips: &policy.ips,
        };
        guards::content(&policy.ground(), facts, &me)?;
        Ok(())
    }

    /// Whether a frame from a member is one that its certificate covers and the rules let in; gives it its priority.
    ///
    /// # Errors
    /// The guard that stands against it, or the rules.
    pub(crate) fn may_enter(&self, sender: Address, frame: &mut [u8]) -> Result<(), DropReason> {
        let (Some(policy), Some(facts)) = (&self.tried.policy, Facts::of(frame)) else {
            return Ok(());
        };
        self.guards(sender, &facts)?;
        if self.tried.decider.lets_all_pass() {
            return Ok(());
        }
        let fate = self.judge(&facts, &self.end(sender), policy.me);
        if matches!(fate.gets, Gets::Elsewhere(_) | Gets::Nothing) {
            return Err(DropReason::RuleRx);
        }
        if let Some(level) = fate.priority {
            set_priority(frame, level);
        }
        Ok(())
    }

    /// Whether a frame from a member is one that its certificate covers.
    ///
    /// # Errors
    /// The guard that stands against it.
    pub(super) fn guards(&self, sender: Address, facts: &Facts) -> Result<(), DropReason> {
        let Some(policy) = &self.tried.policy else {
            return Ok(());
        };
        let entry = self.entries.get(&sender);
        let member = entry
            .and_then(Entry::certified)
            .ok_or(DropReason::NotMember)?;
        let holder = Holder {
            address: sender,
            rights: Rights::from_bits(member.rights).unwrap_or(Rights::NONE),
            ips: &member.ips,
        };
        guards::content(&policy.ground(), facts, &holder)?;
        Ok(())
    }

    /// What the rules say of a frame of our device to one receiver, whose certificate is here.
    pub(crate) fn fate(&self, facts: &Facts, to: Address) -> Fate {
        let Some(policy) = self.tried.policy.as_ref() else {
            return Fate::WHOLE;
        };
        if self.tried.decider.lets_all_pass() {
            return Fate::WHOLE;
        }
        let me = End::new(policy.me, &policy.tags, self.tried.decider.rules());
        self.judge(facts, &me, to)
    }

    pub(super) fn judge(&self, facts: &Facts, from: &End<'_>, to: Address) -> Fate {
        let named = facts
            .to
            .address_on(self.up.network)
            .filter(|&named| named != to)
            .filter(|&named| self.entries.contains_key(&named) || self.is_me(named))
            .map(|named| self.end(named));
        let decider = &self.tried.decider;
        decider.fate(facts, from, &self.end(to), named.as_ref())
    }

    /// A member with its tags; ourselves, too.
    pub(super) fn end(&self, address: Address) -> End<'_> {
        let rules = self.tried.decider.rules();
        if self.is_me(address)
            && let Some(policy) = &self.tried.policy
        {
            return End::new(address, &policy.tags, rules);
        }
        let member = self.entries.get(&address).and_then(Entry::certified);
        End::new(address, member.map_or(&[], |member| &member.tags), rules)
    }

    pub(super) fn is_me(&self, address: Address) -> bool {
        Mac::of(address, self.up.network) == self.up.mac
    }
}

/// Whether any rule names a member that gets frames besides or instead of the receiver.
fn copies(rules: &RuleSet) -> bool {
    let capabilities = rules.capabilities.iter().flat_map(|known| &known.rules);
    rules
        .rules
        .iter()
        .chain(capabilities)
        .any(|rule| matches!(rule.action, Action::Tee { .. } | Action::Redirect { .. }))
}

/// Sets the outer tag's priority; a frame without a tag has no place for one.
fn set_priority(frame: &mut [u8], level: u8) {
    if let Some([a, b, tag, ..]) = frame.get_mut(12..)
        && TAGS.contains(&[*a, *b])
    {
        *tag = (*tag & 0x1f) | (level << 5);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_counted_under_the_name_that_explain_gives() {
        for guard in Guard::ALL {
            assert_eq!(DropReason::from(guard).name(), guard.counted());
        }
    }
}
