//! What a frame may be on a network: guards by what a certificate says, then the network's rules.
//!
//! Owner: a network's table. In: facts of a frame, both ends' certificates. Out: pass, elsewhere, or the reason to drop.
//! Never: an allocation; a rule tried without the receiver's certificate.

use core::net::IpAddr;

use zt_rules::{Action, Decider, End, Facts, Outcome, RuleSet, Verdict};
use zt_wire::{Address, Mac, Rights};

use super::{Entry, Network};
use crate::counters::DropReason;
use crate::shard::Policy;

const ARP: u16 = 0x0806;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
/// What a DHCP server sends: 67 to 68 (RFC 2131 §4.1), 547 to 546 (RFC 8415 §7.2).
const DHCP_ANSWERS: [(u16, u16); 2] = [(67, 68), (547, 546)];
/// Router advertisement and redirect: what only routers send (RFC 4861 §4.2, §4.5).
const ROUTERS_SAY: [u8; 2] = [134, 137];
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// 802.1Q, 802.1ad.
const TAGS: [[u8; 2]; 3] = [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]];

/// A network's policy, ready to be tried.
#[derive(Debug, Default)]
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

/// What the rules say of one frame and one receiver at the sending end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// How much of the frame the receiver gets.
    pub(crate) gets: Gets,
    /// Who else gets how many bytes.
    pub(crate) tee: Option<(Address, u16)>,
}

/// How much of a frame a receiver gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gets {
    /// All of it.
    Whole,
    /// Its first bytes: it is the one that a tee names.
    Head(u16),
    /// Nothing: this member gets it instead.
    Elsewhere(Address),
    /// Nothing.
    Nothing,
}

/// A member as guards see it.
struct Holder<'a> {
    address: Address,
    rights: Rights,
    ips: &'a [IpAddr],
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
        guard(policy, facts, &me)
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
        let (fate, priority) = self.judge(&facts, self.end(sender), policy.me);
        if matches!(fate.gets, Gets::Elsewhere(_) | Gets::Nothing) {
            return Err(DropReason::RuleRx);
        }
        if let Some(level) = priority {
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
        guard(policy, facts, &holder)
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
        self.judge(facts, me, to).0
    }

    /// Decides, and gives redirected and copied frames to whom they are for: such a frame still names in its header
    /// the member that it was sent to, and that member is whom the rules speak of.
    pub(super) fn judge(&self, facts: &Facts, from: End<'_>, to: Address) -> (Fate, Option<u8>) {
        let outcome = self.tried.decider.decide(facts, &from, &self.end(to));
        let mut fate = of(outcome, from.address, to);
        if matches!(fate.gets, Gets::Nothing | Gets::Elsewhere(_))
            && let Some(named) = facts.to.address_on(self.up.network)
            && named != to
            && (self.entries.contains_key(&named) || self.is_me(named))
        {
            let meant = self.tried.decider.decide(facts, &from, &self.end(named));
            match (meant.verdict, meant.tee) {
                (Verdict::Redirect(elsewhere), _) if elsewhere == to => fate.gets = Gets::Whole,
                (_, Some((copy, length))) if copy == to => fate.gets = Gets::Head(length),
                _ => {}
            }
        }
        (fate, outcome.priority)
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

impl Fate {
    const WHOLE: Self = Self {
        gets: Gets::Whole,
        tee: None,
    };
}

/// What an outcome means for the member that it was decided for.
fn of(outcome: Outcome, from: Address, to: Address) -> Fate {
    let gets = match (outcome.verdict, outcome.tee) {
        (Verdict::Pass, _) => Gets::Whole,
        // Who frames are redirected to sends them on.
        (Verdict::Redirect(elsewhere), _) if elsewhere == to || elsewhere == from => Gets::Whole,
        (Verdict::Redirect(_) | Verdict::Drop, Some((copy, length))) if copy == to => {
            Gets::Head(length)
        }
        (Verdict::Redirect(elsewhere), _) => Gets::Elsewhere(elsewhere),
        (Verdict::Drop, _) => Gets::Nothing,
    };
    let tee = outcome.tee.filter(|(copy, _)| *copy != to && *copy != from);
    Fate { gets, tee }
}

fn guard(policy: &Policy, facts: &Facts, holder: &Holder<'_>) -> Result<(), DropReason> {
    let answers = facts.protocol == Some(UDP)
        && facts
            .ports
            .is_some_and(|ports| DHCP_ANSWERS.contains(&ports));
    if answers && !holder.rights.has(Rights::DHCP_SERVER) {
        return Err(DropReason::DhcpServer);
    }
    let icmp6 = facts
        .icmp
        .filter(|_| facts.protocol == Some(ICMP6))
        .map(|(kind, _)| kind);
    let routes = facts.hidden || icmp6.is_some_and(|kind| ROUTERS_SAY.contains(&kind));
    if routes && !holder.rights.has(Rights::ROUTER_ADVERTISEMENT) {
        return Err(DropReason::RouterAdvertisement);
    }
    if holder.rights.has(Rights::BRIDGE) || holder.rights.has(Rights::ANY_SOURCE_IP) {
        return Ok(());
    }
    let source = facts
        .ip_from
        .is_none_or(|ip| is_its_own(policy, holder, ip, facts.ethertype == Some(ARP)));
    // Asking about an address from the unspecified one is claiming it (RFC 4862 §5.4).
    let claims = match icmp6 {
        Some(ADVERTISEMENT) => true,
        Some(SOLICITATION) => facts.ip_from.is_some_and(|ip| ip.is_unspecified()),
        Some(_) | None => false,
    };
    let target = facts
        .nd_target
        .filter(|_| claims)
        .is_none_or(|target| is_its_own(policy, holder, target.into(), true));
    if source && target {
        Ok(())
    } else {
        Err(DropReason::SourceIp)
    }
}

/// Whether a member may say that this is its address. Where the network leaves a family alone, everything is.
/// `claimed`: the frame says so by ARP or neighbor discovery; otherwise it may come from a network behind the member.
fn is_its_own(policy: &Policy, holder: &Holder<'_>, ip: IpAddr, claimed: bool) -> bool {
    if ip.is_unspecified() || holder.ips.contains(&ip) {
        return true;
    }
    let managed = match ip {
        IpAddr::V4(_) => policy.manages_v4,
        // Every host makes itself a link-local address, and no certificate carries it.
        IpAddr::V6(ip) => policy.computes_v6 && !ip.is_unicast_link_local(),
    };
    if !managed {
        return true;
    }
    if let IpAddr::V6(ip) = ip
        && policy.network.member_of_ipv6(ip) == Some(holder.address)
    {
        return true;
    }
    !claimed
        && policy
            .routes
            .iter()
            .any(|(target, via)| target.contains(ip) && holder.ips.contains(via))
}

/// Sets the outer tag's priority; a frame without a tag has no place for one.
fn set_priority(frame: &mut [u8], level: u8) {
    if let Some([a, b, tag, ..]) = frame.get_mut(12..)
        && TAGS.contains(&[*a, *b])
    {
        *tag = (*tag & 0x1f) | (level << 5);
    }
}
