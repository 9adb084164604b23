//! When a rule applies: tests on one frame, joined by not, and, or.
//!
//! In: facts of a frame and of both ends. Out: yes or no.
//! Never: an allocation or recursion while deciding; the stack is the bits of one integer.

use core::net::IpAddr;

use zt_wire::{Address, Mac};

use crate::decide::End;
use crate::facts::{Facts, Framing};
use crate::limits;

/// A condition in postfix order; empty means always.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct Condition(Vec<Op>);

/// One step of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Op {
    /// Puts the test's answer on the stack.
    Test(Match),
    /// Turns the top over.
    Not,
    /// Replaces the two on top by whether both hold.
    And,
    /// Replaces the two on top by whether one holds.
    Or,
}

/// One test on a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Match {
    /// Source MAC.
    MacFrom(Mac),
    /// Destination MAC.
    MacTo(Mac),
    /// Destination is ff:ff:ff:ff:ff:ff.
    Broadcast,
    /// Destination is a group address, broadcast included.
    Multicast,
    /// The type after all VLAN tags; an 802.3 length frame has none but for SNAP's.
    EtherType(u16),
    /// IPX in any of its four framings.
    Ipx,
    /// How the frame says its protocol.
    Framing(Framing),
    /// The outer VLAN id; 0 is a priority tag.
    Vlan(u16),
    /// An outer VLAN tag is there.
    Tagged,
    /// The outer tag's priority code point.
    Pcp(u8),
    /// IPv4 or IPv6 source (ARP's sender too) within this prefix.
    IpFrom(IpAddr, u8),
    /// IPv4 or IPv6 destination (ARP's target too) within this prefix.
    IpTo(IpAddr, u8),
    /// IP protocol number, after IPv6 extension headers.
    Protocol(u8),
    /// TCP, UDP, UDP-Lite, SCTP or DCCP source port.
    PortFrom(PortRange),
    /// Destination port.
    PortTo(PortRange),
    /// `ICMP` or `ICMPv6` type, and code where given.
    Icmp(u8, Option<u8>),
    /// TCP flags under the mask equal these.
    TcpFlags {
        /// The flags that must be set.
        set: u8,
        /// The flags looked at.
        mask: u8,
    },
    /// Bytes of the whole frame, without FCS.
    Size(u16, u16),
    /// The frame comes from this member.
    MemberFrom(Address),
    /// The frame goes to this member.
    MemberTo(Address),
    /// The sender's tag.
    TagFrom(u32, TagTest),
    /// The receiver's tag.
    TagTo(u32, TagTest),
    /// Both ends' tags, compared with each other.
    TagBoth(u32, TagTest),
}

/// How a tag is tested. For both ends: of the difference, or of the bits that both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum TagTest {
    /// One end: the value is this. Both ends: both are equal (the number is 0) .
    Equal(u32),
    /// One end: the value is at most this. Both ends: they differ by at most this.
    AtMost(u32),
    /// One end: all these bits are set. Both ends: all these bits are set in both.
    Bits(u32),
}

/// Ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// `None` when the last comes before the first.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first <= last {
            Some(Self { first, last })
        } else {
            None
        }
    }

    /// The first port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    pub const fn last(self) -> u16 {
        self.last
    }

    const fn has(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// Why operations are no condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCondition {
    /// More than [`limits::OPERATIONS`].
    TooLong,
    /// More operands at once than [`limits::STACK`].
    TooDeep,
    /// An operator lacks an operand, or one is left over.
    Unbalanced,
}

impl Condition {
    /// Checks the operations once, so that deciding needs no checks.
    ///
    /// # Errors
    /// [`BadCondition`]: too long, too deep or not balanced.
    pub fn new(ops: Vec<Op>) -> Result<Self, BadCondition> {
        if ops.len() > limits::OPERATIONS {
            return Err(BadCondition::TooLong);
        }
        let mut depth: u32 = 0;
        for op in &ops {
            depth = match op {
                Op::Test(_) => depth + 1,
                Op::Not if depth >= 1 => depth,
                Op::And | Op::Or if depth >= 2 => depth - 1,
                Op::Not | Op::And | Op::Or => return Err(BadCondition::Unbalanced),
            };
            if depth > limits::STACK {
                return Err(BadCondition::TooDeep);
            }
        }
        if depth == 1 || ops.is_empty() {
            Ok(Self(ops))
        } else {
            Err(BadCondition::Unbalanced)
        }
    }

    /// The operations in postfix order.
    pub fn ops(&self) -> &[Op] {
        &self.0
    }

    /// Whether the condition holds for a frame between these ends.
    pub fn holds(&self, facts: &Facts, from: &End<'_>, to: &End<'_>) -> bool {
        let mut stack: u64 = 1;
        for op in &self.0 {
            stack = match op {
                Op::Test(test) => (stack << 1) | u64::from(test.holds(facts, from, to)),
                Op::Not => stack ^ 1,
                Op::And => (stack >> 1) & (!1 | stack),
                Op::Or => (stack >> 1) | (stack & 1),
            };
        }
        // An empty condition leaves the 1 that the stack starts with.
        stack & 1 == 1
    }
}

impl Match {
    // Inlined into the loop over operations, everything that any test looks at would be computed for each rule anew.
    #[inline(never)]
    fn holds(&self, facts: &Facts, from: &End<'_>, to: &End<'_>) -> bool {
        match *self {
            Self::MacFrom(mac) => facts.from == mac,
            Self::MacTo(mac) => facts.to == mac,
            Self::Broadcast => facts.to == Mac::BROADCAST,
            Self::Multicast => facts.to.is_group(),
            Self::EtherType(wanted) => facts.ethertype == Some(wanted),
            Self::Ipx => facts.is_ipx(),
            Self::Framing(framing) => facts.framing == framing,
            Self::Vlan(id) => facts.vlan.is_some_and(|tci| tci & 0x0fff == id),
            Self::Tagged => facts.vlan.is_some(),
            Self::Pcp(level) => facts.vlan.is_some_and(|tci| tci >> 13 == u16::from(level)),
            Self::IpFrom(ip, prefix) => {
                facts.ip_from.is_some_and(|found| within(found, ip, prefix))
            }
            Self::IpTo(ip, prefix) => facts.ip_to.is_some_and(|found| within(found, ip, prefix)),
            Self::Protocol(number) => facts.protocol == Some(number),
            Self::PortFrom(range) => facts.ports.is_some_and(|(port, _)| range.has(port)),
            Self::PortTo(range) => facts.ports.is_some_and(|(_, port)| range.has(port)),
            Self::Icmp(kind, code) => facts
                .icmp
                .is_some_and(|(k, c)| k == kind && code.is_none_or(|wanted| wanted == c)),
            Self::TcpFlags { set, mask } => {
                facts.tcp_flags.is_some_and(|flags| flags & mask == set)
            }
            Self::Size(least, most) => (least..=most).contains(&facts.size),
            Self::MemberFrom(address) => from.address == address,
            Self::MemberTo(address) => to.address == address,
            Self::TagFrom(id, test) => from.tag(id).is_some_and(|value| test.of_one(value)),
            Self::TagTo(id, test) => to.tag(id).is_some_and(|value| test.of_one(value)),
            Self::TagBoth(id, test) => match (from.tag(id), to.tag(id)) {
                (Some(a), Some(b)) => test.of_both(a, b),
                (None, _) | (_, None) => false,
            },
        }
    }
}

impl TagTest {
    const fn of_one(self, value: u32) -> bool {
        match self {
            Self::Equal(wanted) => value == wanted,
            Self::AtMost(most) => value <= most,
            Self::Bits(bits) => value & bits == bits,
        }
    }

    const fn of_both(self, a: u32, b: u32) -> bool {
        match self {
            Self::Equal(difference) => a.abs_diff(b) == difference,
            Self::AtMost(difference) => a.abs_diff(b) <= difference,
            Self::Bits(bits) => a & b & bits == bits,
        }
    }
}

fn within(found: IpAddr, ip: IpAddr, prefix: u8) -> bool {
    match (found, ip) {
        (IpAddr::V4(found), IpAddr::V4(ip)) => {
            let shift = 32 - u32::from(prefix.min(32));
            (u64::from(found.to_bits()) >> shift) == (u64::from(ip.to_bits()) >> shift)
        }
        (IpAddr::V6(found), IpAddr::V6(ip)) => {
            let shift = 128 - u32::from(prefix.min(128));
            shift == 128 || (found.to_bits() >> shift) == (ip.to_bits() >> shift)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes() -> Op {
        Op::Test(Match::Size(0, u16::MAX))
    }

    fn no() -> Op {
        Op::Test(Match::Tagged)
    }

    fn holds(ops: Vec<Op>) -> bool {
        let frame = [0u8; 60];
        let facts = Facts::of(&frame).unwrap();
        let end = End::bare("89abcdef01".parse().unwrap());
        Condition::new(ops).unwrap().holds(&facts, &end, &end)
    }

    #[test]
    fn operators_follow_the_truth_tables() {
        assert!(holds(vec![]));
        assert!(holds(vec![yes()]) && !holds(vec![no()]));
        assert!(holds(vec![no(), Op::Not]) && !holds(vec![yes(), Op::Not]));
        for (a, b) in [(true, true), (true, false), (false, true), (false, false)] {
            let op = |v| if v { yes() } else { no() };
            assert_eq!(holds(vec![op(a), op(b), Op::And]), a && b, "{a} and {b}");
            assert_eq!(holds(vec![op(a), op(b), Op::Or]), a || b, "{a} or {b}");
            assert_eq!(holds(vec![yes(), op(a), op(b), Op::Or, Op::And]), a || b);
            assert_eq!(holds(vec![no(), op(a), op(b), Op::And, Op::Or]), a && b);
        }
    }

    #[test]
    fn an_operator_without_operand_is_refused() {
        assert_eq!(Condition::new(vec![Op::Not]), Err(BadCondition::Unbalanced));
        assert_eq!(
            Condition::new(vec![yes(), Op::And]),
            Err(BadCondition::Unbalanced)
        );
        assert_eq!(
            Condition::new(vec![yes(), yes()]),
            Err(BadCondition::Unbalanced)
        );
    }

    #[test]
    fn a_prefix_of_zero_holds_every_address_of_its_family() {
        assert!(within(
            "1.2.3.4".parse().unwrap(),
            "0.0.0.0".parse().unwrap(),
            0
        ));
        assert!(within("fd00::1".parse().unwrap(), "::".parse().unwrap(), 0));
        assert!(!within(
            "1.2.3.4".parse().unwrap(),
            "::".parse().unwrap(),
            0
        ));
        assert!(!within(
            "10.0.1.1".parse().unwrap(),
            "10.0.0.0".parse().unwrap(),
            24
        ));
    }
}
