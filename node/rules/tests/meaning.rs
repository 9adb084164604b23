//! What a text says is what its compiled form decides, over the wire and back.
//!
//! In: made-up rules as trees and as text, made-up frames. Out: agreement with a naive reading of the tree.
//! Never: a look into the compiled form; the naive reading shares no code with it.

use proptest::prelude::*;
use zt_rules::decide::CAPABILITY_BIT;
use zt_rules::{Decider, End, Facts, RuleSet, Verdict, compile};
use zt_wire::Address;

/// A frame as its maker knows it.
#[derive(Clone, Debug)]
struct Made {
    broadcast: bool,
    vlan: Option<(u8, u16)>,
    kind: Kind,
    from: u8,
    to: u8,
    padding: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Udp(u16, u16),
    Tcp(u16, u16, u8),
    Icmp(u8, u8),
    Arp,
    Ipx,
    Raw,
    Other(u16),
}

/// One test, as a person means it.
#[derive(Clone, Debug)]
enum Test {
    Broadcast,
    Tagged,
    Vlan(u16),
    Pcp(u8),
    Arp,
    Ipv4,
    Ipx,
    EtherType(u16),
    Udp,
    Tcp,
    Icmp(Option<(u8, Option<u8>)>),
    PortFrom(u16, u16),
    PortTo(u16, u16),
    Flags(u8, u8),
    IpFrom(u8, u8),
    IpTo(u8, u8),
    Size(u16, u16),
    MemberFrom(bool),
    MemberTo(bool),
    TagFrom(u32),
    TagTo(u32),
    Differ(u32),
    AtMost(u32),
    Bits(u32),
}

#[derive(Clone, Debug)]
enum Tree {
    Test(Test),
    Not(Box<Tree>),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Accept,
    Drop,
    Break,
    Redirect,
    Priority(u8),
    Tee(u16),
}

type Line = (Deed, Option<Tree>);

#[derive(Clone, Copy, Debug)]
struct Tags {
    from: Option<u32>,
    to: Option<u32>,
}

const FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
const DEFAULT: u32 = 2;
const ONE: &str = "89abcdef01";
const TWO: &str = "89abcdef02";
const THIRD: &str = "89abcdef03";

fn flags(bits: u8) -> String {
    let set: Vec<&str> = (0..8)
        .filter(|bit| bits & (1 << bit) != 0)
        .map(|bit| FLAGS[bit])
        .collect();
    set.join(",")
}

impl Test {
    fn text(&self) -> String {
        match self {
            Self::Broadcast => "broadcast".into(),
            Self::Tagged => "tagged".into(),
            Self::Vlan(id) => format!("vlan {id}"),
            Self::Pcp(level) => format!("pcp {level}"),
            Self::Arp => "arp".into(),
            Self::Ipv4 => "ipv4".into(),
            Self::Ipx => "ipx".into(),
            Self::EtherType(kind) => format!("ethertype {kind:#06x}"),
            Self::Udp => "udp".into(),
            Self::Tcp => "tcp".into(),
            Self::Icmp(None) => "icmp".into(),
            Self::Icmp(Some((kind, None))) => format!("icmp {kind}"),
            Self::Icmp(Some((kind, Some(code)))) => format!("icmp {kind}/{code}"),
            Self::PortFrom(first, last) => format!("port-from {first}-{last}"),
            Self::PortTo(first, last) => format!("port-to {first}-{last}"),
            Self::Flags(0, mask) => format!("tcp-flags none/{}", flags(*mask)),
            Self::Flags(set, mask) => format!("tcp-flags {}/{}", flags(*set), flags(*mask)),
            Self::IpFrom(last, prefix) => format!("ip-from 10.0.0.{last}/{prefix}"),
            Self::IpTo(last, prefix) => format!("ip-to 10.0.0.{last}/{prefix}"),
            Self::Size(least, most) => format!("size {least}-{most}"),
            Self::MemberFrom(one) => format!("member-from {}", if *one { ONE } else { TWO }),
            Self::MemberTo(one) => format!("member-to {}", if *one { ONE } else { TWO }),
            Self::TagFrom(value) => format!("tag-from team {value}"),
            Self::TagTo(value) => format!("tag-to team {value}"),
            Self::Differ(0) => "tag team equal".into(),
            Self::Differ(by) => format!("tag team differ {by}"),
            Self::AtMost(by) => format!("tag team at-most {by}"),
            Self::Bits(bits) => format!("tag team bits {bits}"),
        }
    }

    fn means(&self, frame: &Made, tags: Tags) -> bool {
        let ip = matches!(frame.kind, Kind::Udp(..) | Kind::Tcp(..) | Kind::Icmp(..));
        let ports = match frame.kind {
            Kind::Udp(from, to) | Kind::Tcp(from, to, _) => Some((from, to)),
            _ => None,
        };
        let block = |address: u8, last: u8, prefix: u8| {
            let size = 1u16 << (32 - prefix);
            u16::from(address) / size == u16::from(last) / size
        };
        let (a, b) = (tags.from.unwrap_or(DEFAULT), tags.to.unwrap_or(DEFAULT));
        let addressed = ip || matches!(frame.kind, Kind::Arp);
        match *self {
            Self::Broadcast => frame.broadcast,
            Self::Tagged => frame.vlan.is_some(),
            Self::Vlan(id) => frame.vlan.is_some_and(|(_, found)| found == id),
            Self::Pcp(level) => frame.vlan.is_some_and(|(found, _)| found == level),
            Self::Arp => matches!(frame.kind, Kind::Arp),
            Self::Ipv4 => ip,
            Self::Ipx => matches!(frame.kind, Kind::Ipx | Kind::Raw),
            Self::EtherType(wanted) => match frame.kind {
                Kind::Other(kind) => kind == wanted,
                Kind::Ipx => wanted == 0x8137,
                _ => false,
            },
            Self::Udp => matches!(frame.kind, Kind::Udp(..)),
            Self::Tcp => matches!(frame.kind, Kind::Tcp(..)),
            Self::Icmp(wanted) => match (frame.kind, wanted) {
                (Kind::Icmp(..), None) => true,
                (Kind::Icmp(kind, _), Some((want, None))) => kind == want,
                (Kind::Icmp(kind, code), Some((want, Some(also)))) => (kind, code) == (want, also),
                _ => false,
            },
            Self::PortFrom(first, last) => {
                ports.is_some_and(|(port, _)| port >= first && port <= last)
            }
            Self::PortTo(first, last) => {
                ports.is_some_and(|(_, port)| port >= first && port <= last)
            }
            Self::Flags(set, mask) => match frame.kind {
                // The mask holds the flags that must be set, too.
                Kind::Tcp(_, _, found) => (0..8).all(|bit| {
                    let bit = 1 << bit;
                    mask & bit == 0 || (found & bit != 0) == (set & bit != 0)
                }),
                _ => false,
            },
            Self::IpFrom(last, prefix) => addressed && block(frame.from, last, prefix),
            Self::IpTo(last, prefix) => addressed && block(frame.to, last, prefix),
            Self::Size(least, most) => {
                let size = frame.bytes().len();
                size >= usize::from(least) && size <= usize::from(most)
            }
            Self::MemberFrom(one) => one,
            Self::MemberTo(one) => !one,
            Self::TagFrom(value) => a == value,
            Self::TagTo(value) => b == value,
            Self::Differ(by) => a.max(b) - a.min(b) == by,
            Self::AtMost(by) => a.max(b) - a.min(b) <= by,
            Self::Bits(bits) => (0..32).all(|bit| {
                let bit = 1u32 << bit;
                bits & bit == 0 || (a & bit != 0 && b & bit != 0)
            }),
        }
    }
}

impl Tree {
    fn text(&self) -> String {
        match self {
            Self::Test(test) => test.text(),
            Self::Not(of) => format!("not ({})", of.text()),
            Self::And(a, b) => format!("({}) and ({})", a.text(), b.text()),
            // Without parentheses where "and" binds stronger.
            Self::Or(a, b) => format!("{} or {}", a.text(), b.text()),
        }
    }

    fn means(&self, frame: &Made, tags: Tags) -> bool {
        match self {
            Self::Test(test) => test.means(frame, tags),
            Self::Not(of) => !of.means(frame, tags),
            Self::And(a, b) => a.means(frame, tags) && b.means(frame, tags),
            Self::Or(a, b) => a.means(frame, tags) || b.means(frame, tags),
        }
    }
}

impl Made {
    fn bytes(&self) -> Vec<u8> {
        let to = if self.broadcast {
            [0xff; 6]
        } else {
            [2, 0, 0, 0, 0, 2]
        };
        let mut bytes = [to, [2, 0, 0, 0, 0, 1]].concat();
        if let Some((level, id)) = self.vlan {
            bytes.extend([0x81, 0x00]);
            bytes.extend(((u16::from(level) << 13) | id).to_be_bytes());
        }
        let ends = [[10, 0, 0, self.from], [10, 0, 0, self.to]];
        let ip = |protocol: u8| {
            let mut header = vec![8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
            header.extend(ends.concat());
            header
        };
        let ports = |from: u16, to: u16| [from.to_be_bytes(), to.to_be_bytes()].concat();
        match self.kind {
            Kind::Udp(from, to) => bytes.extend([ip(17), ports(from, to), vec![0; 4]].concat()),
            Kind::Tcp(from, to, flags) => {
                bytes
                    .extend([ip(6), ports(from, to), vec![0; 9], vec![flags], vec![0; 6]].concat());
            }
            Kind::Icmp(kind, code) => bytes.extend([ip(1), vec![kind, code, 0, 0]].concat()),
            Kind::Arp => {
                bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1]);
                bytes.extend(ends[0]);
                bytes.extend([0; 6]);
                bytes.extend(ends[1]);
            }
            Kind::Ipx => bytes.extend([0x81, 0x37, 0xff, 0xff, 0, 30]),
            Kind::Raw => bytes.extend([0, 30, 0xff, 0xff, 0, 30]),
            Kind::Other(kind) => bytes.extend(kind.to_be_bytes()),
        }
        bytes.resize(bytes.len() + self.padding, 0);
        bytes
    }
}

/// What the lines decide: passes, goes to the third, or neither; with priority and copy.
type Said = (Verdict, Option<u8>, Option<u16>);

fn read(lines: &[Line], opened: Option<&[Line]>, frame: &Made, tags: Tags) -> Said {
    let third: Address = THIRD.parse().unwrap();
    let (mut priority, mut copy) = (None, None);
    for lines in [Some(lines), opened].into_iter().flatten() {
        for (deed, condition) in lines {
            if !condition
                .as_ref()
                .is_none_or(|tree| tree.means(frame, tags))
            {
                continue;
            }
            match deed {
                Deed::Accept => return (Verdict::Pass, priority, copy),
                Deed::Redirect => return (Verdict::Redirect(third), priority, copy),
                Deed::Priority(level) => priority = Some(*level),
                Deed::Tee(length) => copy = Some(*length),
                Deed::Break => break,
                // In a capability a drop only ends it.
                Deed::Drop if core::ptr::eq(lines, opened.unwrap_or_default()) => break,
                Deed::Drop => return (Verdict::Drop, priority, copy),
            }
        }
    }
    (Verdict::Drop, priority, copy)
}

fn written(lines: &[Line]) -> String {
    let one = |(deed, condition): &Line| {
        let deed = match deed {
            Deed::Accept => "accept".into(),
            Deed::Drop => "drop".into(),
            Deed::Break => "break".into(),
            Deed::Redirect => format!("redirect {THIRD}"),
            Deed::Priority(level) => format!("priority {level}"),
            Deed::Tee(length) => format!("tee {THIRD} {length}"),
        };
        let condition = condition.as_ref();
        format!(
            "{deed}{};\n",
            condition.map_or_else(String::new, |tree| format!(" if {}", tree.text()))
        )
    };
    lines.iter().map(one).collect()
}

fn port() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![1u16, 22, 53, 80, 27_015, 65_535])
}

fn range() -> impl Strategy<Value = (u16, u16)> {
    (port(), port()).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn tests() -> impl Strategy<Value = Test> {
    prop_oneof![
        prop::sample::select(vec![
            Test::Broadcast,
            Test::Tagged,
            Test::Arp,
            Test::Ipv4,
            Test::Ipx,
            Test::Udp,
            Test::Tcp,
            Test::Icmp(None),
        ]),
        (0u16..4).prop_map(Test::Vlan),
        (0u8..8).prop_map(Test::Pcp),
        prop::sample::select(vec![0x8137u16, 0x88b5]).prop_map(Test::EtherType),
        (prop::sample::select(vec![0u8, 8]), prop::option::of(0u8..2))
            .prop_map(|icmp| Test::Icmp(Some(icmp))),
        range().prop_map(|(first, last)| Test::PortFrom(first, last)),
        range().prop_map(|(first, last)| Test::PortTo(first, last)),
        (any::<u8>(), 1u8..).prop_map(|(set, mask)| Test::Flags(set & mask, mask)),
        (any::<u8>(), 24u8..=32).prop_map(|(last, prefix)| Test::IpFrom(last, prefix)),
        (any::<u8>(), 24u8..=32).prop_map(|(last, prefix)| Test::IpTo(last, prefix)),
        (14u16..80, 0u16..80).prop_map(|(least, more)| Test::Size(least, least + more)),
        any::<bool>().prop_map(Test::MemberFrom),
        any::<bool>().prop_map(Test::MemberTo),
        (0u32..4).prop_map(Test::TagFrom),
        (0u32..4).prop_map(Test::TagTo),
        (0u32..4).prop_map(Test::Differ),
        (0u32..4).prop_map(Test::AtMost),
        (1u32..8).prop_map(Test::Bits),
    ]
}

fn trees() -> impl Strategy<Value = Tree> {
    tests()
        .prop_map(Tree::Test)
        .prop_recursive(4, 16, 2, |inner| {
            prop_oneof![
                inner.clone().prop_map(|of| Tree::Not(Box::new(of))),
                (inner.clone(), inner.clone())
                    .prop_map(|(a, b)| Tree::And(Box::new(a), Box::new(b))),
                (inner.clone(), inner).prop_map(|(a, b)| Tree::Or(Box::new(a), Box::new(b))),
            ]
        })
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let deed = prop_oneof![
        3 => Just(Deed::Accept),
        3 => Just(Deed::Drop),
        2 => Just(Deed::Break),
        1 => Just(Deed::Redirect),
        1 => (0u8..8).prop_map(Deed::Priority),
        1 => (14u16..100).prop_map(Deed::Tee),
    ];
    prop::collection::vec((deed, prop::option::weighted(0.9, trees())), 1..8)
}

fn frames() -> impl Strategy<Value = Made> {
    let kind = prop_oneof![
        (port(), port()).prop_map(|(a, b)| Kind::Udp(a, b)),
        (port(), port(), any::<u8>()).prop_map(|(a, b, flags)| Kind::Tcp(a, b, flags)),
        (prop::sample::select(vec![0u8, 8]), 0u8..2)
            .prop_map(|(kind, code)| Kind::Icmp(kind, code)),
        Just(Kind::Arp),
        Just(Kind::Ipx),
        Just(Kind::Raw),
        Just(Kind::Other(0x88b5)),
    ];
    let vlan = prop::option::of((0u8..8, 0u16..4));
    (
        any::<bool>(),
        vlan,
        kind,
        any::<u8>(),
        any::<u8>(),
        0usize..60,
    )
        .prop_map(|(broadcast, vlan, kind, from, to, padding)| Made {
            broadcast,
            vlan,
            kind,
            from,
            to,
            padding,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn compiled_rules_decide_as_their_text_says(
        base in lines(),
        capability in lines(),
        granted: bool,
        frame in frames(),
        from in prop::option::of(0u32..4),
        to in prop::option::of(0u32..4),
    ) {
        let text = format!(
            "tag team = 1 {{ red = 1; default {DEFAULT}; }}\ncapability admin = 3 {{\n{}}}\n{}",
            written(&capability),
            written(&base),
        );
        let compiled = compile(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        let carried = RuleSet::decode(&compiled.encode());
        prop_assert_eq!(carried.as_ref(), Ok(&compiled));
        let decider = Decider::new(compiled);
        let mut own: Vec<(u32, u32)> = from.map(|value| (1, value)).into_iter().collect();
        own.extend(granted.then_some((CAPABILITY_BIT | 3, 1)));
        let theirs: Vec<(u32, u32)> = to.map(|value| (1, value)).into_iter().collect();
        let one = End::new(ONE.parse().unwrap(), &own, decider.rules());
        let two = End::new(TWO.parse().unwrap(), &theirs, decider.rules());
        let facts = Facts::of(&frame.bytes()).unwrap();
        let outcome = decider.decide(&facts, &one, &two);
        let opened = granted.then_some(capability.as_slice());
        let said = read(&base, opened, &frame, Tags { from, to });
        let got = (outcome.verdict, outcome.priority, outcome.tee.map(|(_, length)| length));
        prop_assert_eq!(got, said, "{}\n{:?}", text, frame);
    }
}
