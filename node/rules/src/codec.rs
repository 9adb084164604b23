//! The compiled form as bytes, carried in a network's shared configuration (SPEC §10.9).
//!
//! In: a rule set, or bytes that a controller signed. Out: bytes, or a checked rule set.
//! Never: a set beyond `limits`; bytes left over are refused.

use core::fmt;
use core::net::IpAddr;

use zt_wire::{Address, Mac};

use crate::condition::{Condition, Match, Op, PortRange, TagTest};
use crate::facts::Framing;
use crate::{Action, Capability, Rule, RuleSet, Tag, limits};

/// The version that this codec writes and reads.
pub const VERSION: u8 = 1;

/// Why bytes are no rule set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRules {
    /// They end too early.
    Short,
    /// Bytes are left over.
    Long,
    /// A version other than [`VERSION`].
    Version(u8),
    /// A number where none of its kind exists.
    Unknown(u8),
    /// More of something than `limits` allow.
    Limit,
    /// A name that is no text, an address that is reserved, ports or prefixes out of range.
    Value,
}

impl fmt::Display for BadRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the compiled rules end too early"),
            Self::Long => f.write_str("bytes are left over after the compiled rules"),
            Self::Version(found) => write!(
                f,
                "compiled rules of version {found}; this program knows {VERSION}"
            ),
            Self::Unknown(found) => write!(
                f,
                "the compiled rules use number {found}, which this program does not know"
            ),
            Self::Limit => f.write_str("the compiled rules exceed the limits"),
            Self::Value => f.write_str("a value in the compiled rules is out of range"),
        }
    }
}

impl core::error::Error for BadRules {}

impl RuleSet {
    /// The compiled form; empty for a set that lets everything pass.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if *self == Self::default() {
            return out;
        }
        out.push(VERSION);
        put_rules(&self.rules, &mut out);
        put_count(self.capabilities.len(), &mut out);
        for capability in &self.capabilities {
            out.extend(capability.id.to_be_bytes());
            put_name(&capability.name, &mut out);
            put_rules(&capability.rules, &mut out);
        }
        put_count(self.tags.len(), &mut out);
        for tag in &self.tags {
            out.extend(tag.id.to_be_bytes());
            put_name(&tag.name, &mut out);
            out.push(u8::from(tag.default.is_some()));
            out.extend(tag.default.unwrap_or(0).to_be_bytes());
            put_count(tag.values.len(), &mut out);
            for (name, value) in &tag.values {
                put_name(name, &mut out);
                out.extend(value.to_be_bytes());
            }
        }
        out
    }

    /// Reads the compiled form.
    ///
    /// # Errors
    /// [`BadRules`]: which bytes are wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadRules> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if bytes.len() > limits::BYTES {
            return Err(BadRules::Limit);
        }
        let mut input = Input(bytes);
        match input.u8()? {
            VERSION => {}
            other => return Err(BadRules::Version(other)),
        }
        let rules = input.rules(limits::RULES)?;
        let capabilities = input.list(limits::CAPABILITIES, |input| {
            Ok(Capability {
                id: input.u32()?,
                name: input.name()?,
                rules: input.rules(limits::CAPABILITY_RULES)?,
            })
        })?;
        let tags = input.list(limits::TAGS, |input| {
            let (id, name) = (input.u32()?, input.name()?);
            let (has, default) = (input.flag()?, input.u32()?);
            let default = given(has, default)?;
            let values = input.list(limits::TAG_VALUES, |input| {
                Ok((input.name()?, input.u32()?))
            })?;
            Ok(Tag {
                id,
                name,
                default,
                values,
            })
        })?;
        if input.0.is_empty() {
            Ok(Self {
                rules,
                capabilities,
                tags,
            })
        } else {
            Err(BadRules::Long)
        }
    }
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    out.extend(u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

fn put_name(name: &str, out: &mut Vec<u8>) {
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend(name.as_bytes());
}

fn put_rules(rules: &[Rule], out: &mut Vec<u8>) {
    put_count(rules.len(), out);
    for rule in rules {
        out.extend(rule.line.to_be_bytes());
        match rule.action {
            Action::Accept => out.push(1),
            Action::Drop => out.push(2),
            Action::Break => out.push(3),
            Action::Tee { to, length } => {
                out.push(4);
                out.extend(to.to_bytes());
                out.extend(length.to_be_bytes());
            }
            Action::Redirect { to } => {
                out.push(5);
                out.extend(to.to_bytes());
            }
            Action::Priority { level } => out.extend([6, level]),
        }
        put_count(rule.condition.ops().len(), out);
        for op in rule.condition.ops() {
            match op {
                Op::Not => out.push(1),
                Op::And => out.push(2),
                Op::Or => out.push(3),
                Op::Test(test) => put_test(*test, out),
            }
        }
    }
}

fn put_test(test: Match, out: &mut Vec<u8>) {
    let mut put = |number: u8, parts: &[&[u8]]| {
        out.push(number);
        for part in parts {
            out.extend(*part);
        }
    };
    match test {
        Match::MacFrom(mac) => put(16, &[&mac.to_bytes()]),
        Match::MacTo(mac) => put(17, &[&mac.to_bytes()]),
        Match::Broadcast => put(18, &[]),
        Match::Multicast => put(19, &[]),
        Match::EtherType(kind) => put(20, &[&kind.to_be_bytes()]),
        Match::Ipx => put(21, &[]),
        Match::Framing(framing) => put(22, &[&[framing_number(framing)]]),
        Match::Vlan(id) => put(23, &[&id.to_be_bytes()]),
        Match::Tagged => put(24, &[]),
        Match::Pcp(level) => put(25, &[&[level]]),
        Match::IpFrom(ip, prefix) => put(26, &[&ip_bytes(ip), &[prefix]]),
        Match::IpTo(ip, prefix) => put(27, &[&ip_bytes(ip), &[prefix]]),
        Match::Protocol(number) => put(28, &[&[number]]),
        Match::PortFrom(range) => put(
            29,
            &[&range.first().to_be_bytes(), &range.last().to_be_bytes()],
        ),
        Match::PortTo(range) => put(
            30,
            &[&range.first().to_be_bytes(), &range.last().to_be_bytes()],
        ),
        Match::Icmp(kind, code) => put(31, &[&[kind, u8::from(code.is_some()), code.unwrap_or(0)]]),
        Match::TcpFlags { set, mask } => put(32, &[&[set, mask]]),
        Match::Size(least, most) => put(33, &[&least.to_be_bytes(), &most.to_be_bytes()]),
        Match::MemberFrom(address) => put(34, &[&address.to_bytes()]),
        Match::MemberTo(address) => put(35, &[&address.to_bytes()]),
        Match::TagFrom(id, test) => put(36, &[&id.to_be_bytes(), &tag_test(test)]),
        Match::TagTo(id, test) => put(37, &[&id.to_be_bytes(), &tag_test(test)]),
        Match::TagBoth(id, test) => put(38, &[&id.to_be_bytes(), &tag_test(test)]),
    }
}

const fn framing_number(framing: Framing) -> u8 {
    match framing {
        Framing::EthernetII => 0,
        Framing::Raw => 1,
        Framing::Llc => 2,
        Framing::Snap => 3,
    }
}

fn ip_bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => [&[4][..], &ip.octets()].concat(),
        IpAddr::V6(ip) => [&[6][..], &ip.octets()].concat(),
    }
}

fn tag_test(test: TagTest) -> [u8; 5] {
    let (number, value) = match test {
        TagTest::Equal(value) => (0, value),
        TagTest::AtMost(value) => (1, value),
        TagTest::Bits(value) => (2, value),
    };
    let [a, b, c, d] = value.to_be_bytes();
    [number, a, b, c, d]
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRules> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(BadRules::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, BadRules> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, BadRules> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, BadRules> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn flag(&mut self) -> Result<bool, BadRules> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadRules::Value),
        }
    }

    fn name(&mut self) -> Result<String, BadRules> {
        let length = usize::from(self.u8()?);
        let (name, rest): (&'a [u8], _) = self.0.split_at_checked(length).ok_or(BadRules::Short)?;
        self.0 = rest;
        match core::str::from_utf8(name) {
            Ok(name) if !name.is_empty() && name.len() <= limits::NAME => Ok(name.to_owned()),
            Ok(_) | Err(_) => Err(BadRules::Value),
        }
    }

    fn address(&mut self) -> Result<Address, BadRules> {
        Address::from_bytes(self.array()?).map_err(|_| BadRules::Value)
    }

    fn list<T>(
        &mut self,
        most: usize,
        mut one: impl FnMut(&mut Self) -> Result<T, BadRules>,
    ) -> Result<Vec<T>, BadRules> {
        let count = usize::from(self.u16()?);
        if count > most {
            return Err(BadRules::Limit);
        }
        (0..count).map(|_| one(self)).collect()
    }

    fn rules(&mut self, most: usize) -> Result<Vec<Rule>, BadRules> {
        self.list(most, |input| {
            let line = input.u16()?;
            let action = match input.u8()? {
                1 => Action::Accept,
                2 => Action::Drop,
                3 => Action::Break,
                4 => Action::Tee {
                    to: input.address()?,
                    length: input.u16()?,
                },
                5 => Action::Redirect {
                    to: input.address()?,
                },
                6 => Action::Priority {
                    level: Some(input.u8()?)
                        .filter(|level| *level < 8)
                        .ok_or(BadRules::Value)?,
                },
                other => return Err(BadRules::Unknown(other)),
            };
            let ops = input.list(limits::OPERATIONS, Self::op)?;
            let condition = Condition::new(ops).map_err(|_| BadRules::Value)?;
            Ok(Rule {
                action,
                condition,
                line,
            })
        })
    }

    fn op(&mut self) -> Result<Op, BadRules> {
        let test = match self.u8()? {
            1 => return Ok(Op::Not),
            2 => return Ok(Op::And),
            3 => return Ok(Op::Or),
            16 => Match::MacFrom(Mac::from_bytes(self.array()?)),
            17 => Match::MacTo(Mac::from_bytes(self.array()?)),
            18 => Match::Broadcast,
            19 => Match::Multicast,
            20 => Match::EtherType(self.u16()?),
            21 => Match::Ipx,
            22 => Match::Framing(self.framing()?),
            23 => Match::Vlan(self.u16()?),
            24 => Match::Tagged,
            25 => Match::Pcp(self.u8()?),
            26 => self
                .prefix()
                .map(|(ip, prefix)| Match::IpFrom(ip, prefix))?,
            27 => self.prefix().map(|(ip, prefix)| Match::IpTo(ip, prefix))?,
            28 => Match::Protocol(self.u8()?),
            29 => Match::PortFrom(self.ports()?),
            30 => Match::PortTo(self.ports()?),
            31 => {
                let (kind, has, code) = (self.u8()?, self.flag()?, self.u8()?);
                Match::Icmp(kind, given(has, code)?)
            }
            32 => {
                let [set, mask] = self.array()?;
                Match::TcpFlags { set, mask }
            }
            33 => Match::Size(self.u16()?, self.u16()?),
            34 => Match::MemberFrom(self.address()?),
            35 => Match::MemberTo(self.address()?),
            36 => Match::TagFrom(self.u32()?, self.tag_test()?),
            37 => Match::TagTo(self.u32()?, self.tag_test()?),
            38 => Match::TagBoth(self.u32()?, self.tag_test()?),
            other => return Err(BadRules::Unknown(other)),
        };
        Ok(Op::Test(test))
    }

    fn framing(&mut self) -> Result<Framing, BadRules> {
        match self.u8()? {
            0 => Ok(Framing::EthernetII),
            1 => Ok(Framing::Raw),
            2 => Ok(Framing::Llc),
            3 => Ok(Framing::Snap),
            other => Err(BadRules::Unknown(other)),
        }
    }

    fn prefix(&mut self) -> Result<(IpAddr, u8), BadRules> {
        let (ip, most): (IpAddr, u8) = match self.u8()? {
            4 => (self.array::<4>()?.into(), 32),
            6 => (self.array::<16>()?.into(), 128),
            other => return Err(BadRules::Unknown(other)),
        };
        let prefix = self.u8()?;
        if prefix <= most {
            Ok((ip, prefix))
        } else {
            Err(BadRules::Value)
        }
    }

    fn ports(&mut self) -> Result<PortRange, BadRules> {
        PortRange::new(self.u16()?, self.u16()?).ok_or(BadRules::Value)
    }

    fn tag_test(&mut self) -> Result<TagTest, BadRules> {
        match self.u8()? {
            0 => Ok(TagTest::Equal(self.u32()?)),
            1 => Ok(TagTest::AtMost(self.u32()?)),
            2 => Ok(TagTest::Bits(self.u32()?)),
            other => Err(BadRules::Unknown(other)),
        }
    }
}

/// A value that is there or not; where it is not, its place holds zero, so that each set has one form.
fn given<T: Default + PartialEq>(has: bool, value: T) -> Result<Option<T>, BadRules> {
    if has {
        Ok(Some(value))
    } else if value == T::default() {
        Ok(None)
    } else {
        Err(BadRules::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::compile;
    use proptest::prelude::*;

    const EVERYTHING: &str = "
        tag team = 1 { red = 1; blue = 2; default red; }
        capability admin = 3 { accept if tcp and port-to 22; }
        tee 89abcdef01 128 if mac-from 02:00:00:00:00:01 or mac-to 02:00:00:00:00:02;
        priority 5 if udp and port-from 5000-5010 and not (broadcast or multicast);
        redirect 89abcdef02 if ip-from 10.0.0.0/8 and ip-to fd00::/8;
        break if icmp 8/0 or icmp 3 or tcp-flags syn/syn,ack;
        drop if vlan 7 or pcp 3 or tagged or framing snap or size 0-59 or ethertype 0x88b5;
        accept if member-from 89abcdef01 and member-to 89abcdef02 and ipx;
        accept if tag-from team red or tag-to team blue or tag team at-most 1 or tag team bits 2 or protocol 47;
    ";

    #[test]
    fn every_test_and_action_survives_the_wire() {
        let rules = compile(EVERYTHING).unwrap();
        assert_eq!(RuleSet::decode(&rules.encode()), Ok(rules));
    }

    #[test]
    fn no_rules_are_no_bytes() {
        assert_eq!(RuleSet::default().encode(), Vec::<u8>::new());
        assert_eq!(RuleSet::decode(&[]), Ok(RuleSet::default()));
    }

    #[test]
    fn each_cut_and_each_extra_byte_is_refused() {
        let bytes = compile(EVERYTHING).unwrap().encode();
        for cut in 1..bytes.len() {
            assert!(RuleSet::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(
            RuleSet::decode(&[&bytes[..], &[0]].concat()),
            Err(BadRules::Long)
        );
    }

    proptest! {
        #[test]
        fn mutated_bytes_are_read_without_panic(at in 0usize..400, value: u8) {
            let mut bytes = compile(EVERYTHING).unwrap().encode();
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(rules) = RuleSet::decode(&bytes) {
                prop_assert_eq!(rules.encode(), bytes);
            }
        }
    }
}
