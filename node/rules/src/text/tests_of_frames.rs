//! The tests of the rule language: one word, then what it is compared with.
//!
//! In: a word and the tokens behind it. Out: operations appended. Never: an action.

use core::net::IpAddr;

use zt_wire::Mac;

use super::lexer::Token;
use super::parser::{Parser, expected, number_in, value_of};
use super::{Reason, RuleError};
use crate::condition::{Match, Op, PortRange, TagTest};
use crate::facts::Framing;

const TESTS: &str = "mac-from, mac-to, broadcast, multicast, ethertype, arp, ipv4, ipv6, ipx, framing, vlan, tagged, \
     pcp, ip-from, ip-to, protocol, tcp, udp, icmp, icmp6, port-from, port-to, tcp-flags, size, member-from, member-to, \
     tag-from, tag-to, tag";
const FRAMINGS: &str = "ethernet2, raw, llc, snap";
const FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

type Result<T> = core::result::Result<T, RuleError>;

impl<'a> Parser<'a> {
    /// Reads what stands behind a test's word and appends its operations.
    pub(super) fn test(&mut self, word: Token<'a>, ops: &mut Vec<Op>) -> Result<()> {
        let test = match word.text {
            "broadcast" => Match::Broadcast,
            "multicast" => Match::Multicast,
            "arp" => Match::EtherType(0x0806),
            "ipv4" => Match::EtherType(0x0800),
            "ipv6" => Match::EtherType(0x86dd),
            "ipx" => Match::Ipx,
            "tagged" => Match::Tagged,
            "tcp" => Match::Protocol(TCP),
            "udp" => Match::Protocol(UDP),
            "icmp" => return self.icmp(ICMP, ops),
            "icmp6" => return self.icmp(ICMP6, ops),
            "mac-from" => Match::MacFrom(self.mac()?),
            "mac-to" => Match::MacTo(self.mac()?),
            "ethertype" => Match::EtherType(self.small("an EtherType", 0x0600, 0xffff)?),
            "framing" => Match::Framing(self.framing()?),
            "vlan" => Match::Vlan(self.small("a VLAN id", 0, 4095)?),
            "pcp" => Match::Pcp(self.byte("a priority code point", 7)?),
            "ip-from" => self
                .prefix()
                .map(|(ip, prefix)| Match::IpFrom(ip, prefix))?,
            "ip-to" => self.prefix().map(|(ip, prefix)| Match::IpTo(ip, prefix))?,
            "protocol" => Match::Protocol(self.byte("an IP protocol number", 255)?),
            "port-from" => Match::PortFrom(self.ports()?),
            "port-to" => Match::PortTo(self.ports()?),
            "tcp-flags" => self.tcp_flags()?,
            "size" => {
                let word = self.take("a size or a range of sizes")?;
                let (least, most) = range(word, "a size or a range of sizes", 0)?;
                Match::Size(least, most)
            }
            "member-from" => Match::MemberFrom(self.member()?),
            "member-to" => Match::MemberTo(self.member()?),
            "tag-from" => self.tag_test().map(|(id, test)| Match::TagFrom(id, test))?,
            "tag-to" => self.tag_test().map(|(id, test)| Match::TagTo(id, test))?,
            "tag" => self.tags_test()?,
            other => {
                let reason = Reason::Unknown {
                    kind: "test",
                    found: other.into(),
                    known: TESTS,
                };
                return Err(RuleError {
                    place: word.place,
                    reason,
                });
            }
        };
        ops.push(Op::Test(test));
        Ok(())
    }

    fn icmp(&mut self, protocol: u8, ops: &mut Vec<Op>) -> Result<()> {
        ops.push(Op::Test(Match::Protocol(protocol)));
        let numbered = self
            .peek()
            .is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()));
        if !numbered {
            return Ok(());
        }
        let word = self.take("an ICMP type")?;
        let (kind, code) = word
            .text
            .split_once('/')
            .map_or((word.text, None), |(kind, code)| (kind, Some(code)));
        let byte = |text| {
            let part = Token {
                text,
                place: word.place,
            };
            number_in(part, "an ICMP type or code", 0, 255).map(|value| value.to_be_bytes()[3])
        };
        ops.push(Op::Test(Match::Icmp(
            byte(kind)?,
            code.map(byte).transpose()?,
        )));
        ops.push(Op::And);
        Ok(())
    }

    fn mac(&mut self) -> Result<Mac> {
        let word = self.take("a MAC address")?;
        word.text
            .parse()
            .map_err(|_| expected("a MAC address (02:00:5e:00:53:01)", word))
    }

    fn small(&mut self, what: &'static str, least: u32, most: u16) -> Result<u16> {
        let value = self.number(what, least, u32::from(most))?;
        Ok(u16::try_from(value).unwrap_or(most))
    }

    fn byte(&mut self, what: &'static str, most: u8) -> Result<u8> {
        let value = self.number(what, 0, u32::from(most))?;
        Ok(u8::try_from(value).unwrap_or(most))
    }

    fn framing(&mut self) -> Result<Framing> {
        let word = self.take("a framing")?;
        match word.text {
            "ethernet2" => Ok(Framing::EthernetII),
            "raw" => Ok(Framing::Raw),
            "llc" => Ok(Framing::Llc),
            "snap" => Ok(Framing::Snap),
            other => {
                let reason = Reason::Unknown {
                    kind: "framing",
                    found: other.into(),
                    known: FRAMINGS,
                };
                Err(RuleError {
                    place: word.place,
                    reason,
                })
            }
        }
    }

    fn prefix(&mut self) -> Result<(IpAddr, u8)> {
        let wanted = "an IP address or prefix (10.0.0.0/8, fd00::/8)";
        let word = self.take(wanted)?;
        let (ip, length) = word
            .text
            .split_once('/')
            .map_or((word.text, None), |(ip, length)| (ip, Some(length)));
        let ip: IpAddr = ip.parse().map_err(|_| expected(wanted, word))?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(text) => number_in(
                Token {
                    text,
                    place: word.place,
                },
                "a prefix length",
                0,
                most,
            )?,
            None => most,
        };
        Ok((ip, length.to_be_bytes()[3]))
    }

    fn ports(&mut self) -> Result<PortRange> {
        let word = self.take("a port (1-65535) or a range of ports")?;
        ports(word)
    }

    /// `syn/syn,ack`: those before the slash are set, the others behind it are not; without a slash only those count.
    fn tcp_flags(&mut self) -> Result<Match> {
        let wanted = "TCP flags as SET/MASK (syn/syn,ack)";
        let (mut set, mut mask) = (0, None);
        loop {
            let word = self.take(wanted)?;
            let (left, right) = word
                .text
                .split_once('/')
                .map_or((word.text, None), |(left, right)| (left, Some(right)));
            match (mask, right) {
                (None, _) => {
                    set |= if left == "none" { 0 } else { flag(left, word)? };
                    mask = right.map(|right| flag(right, word)).transpose()?;
                }
                (Some(some), None) => mask = Some(some | flag(left, word)?),
                (Some(_), Some(_)) => return Err(expected(wanted, word)),
            }
            if self.peek() != Some(",") {
                let mask = mask.unwrap_or(0) | set;
                return if mask == 0 {
                    Err(expected(wanted, word))
                } else {
                    Ok(Match::TcpFlags { set, mask })
                };
            }
            self.take(wanted)?;
        }
    }

    fn tag_id(&mut self) -> Result<usize> {
        let word = self.take("a tag's name")?;
        let undefined = || RuleError {
            place: word.place,
            reason: Reason::Undefined(word.text.into()),
        };
        self.set
            .tags
            .iter()
            .position(|tag| tag.name == word.text)
            .ok_or_else(undefined)
    }

    fn tag_test(&mut self) -> Result<(u32, TagTest)> {
        let at = self.tag_id()?;
        let word = self.take("a value, 'at-most' or 'bits'")?;
        let kind = word.text;
        let value = if matches!(kind, "at-most" | "bits") {
            self.take("a value")?
        } else {
            word
        };
        let tag = &self.set.tags[at];
        let number = value_of(tag, value)?;
        let test = match kind {
            "at-most" => TagTest::AtMost(number),
            "bits" => TagTest::Bits(number),
            _ => TagTest::Equal(number),
        };
        Ok((tag.id, test))
    }

    fn tags_test(&mut self) -> Result<Match> {
        let at = self.tag_id()?;
        let word = self.take("'equal', 'differ', 'at-most' or 'bits'")?;
        let test = match word.text {
            "equal" => TagTest::Equal(0),
            "differ" => TagTest::Equal(self.number("a difference", 1, u32::MAX)?),
            "at-most" => TagTest::AtMost(self.number("a difference", 0, u32::MAX)?),
            "bits" => TagTest::Bits(self.number("bits", 1, u32::MAX)?),
            _ => return Err(expected("'equal', 'differ', 'at-most' or 'bits'", word)),
        };
        Ok(Match::TagBoth(self.set.tags[at].id, test))
    }
}

/// A port or `FIRST-LAST`.
pub(super) fn ports(word: Token<'_>) -> Result<PortRange> {
    let wanted = "a port (1-65535) or a range of ports";
    let (first, last) = range(word, wanted, 1)?;
    PortRange::new(first, last).ok_or_else(|| expected(wanted, word))
}

fn range(word: Token<'_>, wanted: &'static str, lowest: u32) -> Result<(u16, u16)> {
    let (start, end) = word.text.split_once('-').unwrap_or((word.text, word.text));
    let number = |text| {
        let part = Token {
            text,
            place: word.place,
        };
        number_in(part, wanted, lowest, 65_535)
            .map(|value| u16::try_from(value).unwrap_or(u16::MAX))
    };
    let (start, end) = (number(start)?, number(end)?);
    if start <= end {
        Ok((start, end))
    } else {
        Err(expected(wanted, word))
    }
}

fn flag(text: &str, word: Token<'_>) -> Result<u8> {
    let unknown = || RuleError {
        place: word.place,
        reason: Reason::Unknown {
            kind: "TCP flag",
            found: text.into(),
            known: "fin, syn, rst, psh, ack, urg, ece, cwr",
        },
    };
    FLAGS
        .iter()
        .position(|name| *name == text)
        .map(|bit| 1 << bit)
        .ok_or_else(unknown)
}
