//! Routing rules: whether one leads to a table for a packet, and how `ip rule` writes it.
//!
//! In: a rule as the kernel lists it, a destination. Out: yes or no; a text.
//! Never: a packet of a program that has bound itself to something.

use std::net::IpAddr;

use rtnetlink::packet_route::IpProtocol;
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};

/// Whether the rule leads a UDP packet of this program to a route of `prefix` bits in `table`.
pub fn leads(rule: &RuleMessage, to: IpAddr, port: u16, (table, prefix): (u32, u8)) -> bool {
    if rule.header.action != RuleAction::ToTable || table_of(rule) != table {
        return false;
    }
    let suppressed = rule.attributes.iter().any(|it| match it {
        RuleAttribute::SuppressPrefixLen(UNSET) => false,
        RuleAttribute::SuppressPrefixLen(longest) => u32::from(prefix) <= *longest,
        _ => false,
    });
    if suppressed {
        return false;
    }
    let fits = rule.header.src_len == 0
        && rule.attributes.iter().all(|it| match it {
            RuleAttribute::Iifname(name) => name == "lo",
            // Programs get any port of their own.
            RuleAttribute::Oifname(_)
            | RuleAttribute::L3MDev(true)
            | RuleAttribute::TunId(_)
            | RuleAttribute::SourcePortRange(_) => false,
            // A packet has no mark unless something gives it one.
            RuleAttribute::FwMark(mark) => *mark == 0,
            RuleAttribute::Destination(net) => within(to, *net, rule.header.dst_len),
            RuleAttribute::IpProtocol(protocol) => *protocol == IpProtocol::Udp,
            RuleAttribute::DestinationPortRange(ports) => (ports.start..=ports.end).contains(&port),
            RuleAttribute::UidRange(users) => {
                (users.start..=users.end).contains(&rustix::process::geteuid().as_raw())
            }
            _ => true,
        });
    fits != rule.header.flags.contains(RuleFlags::Invert)
}

/// As `ip rule` writes it.
pub fn text(rule: &RuleMessage) -> String {
    let mut priority = 0;
    let mut from = "all".to_owned();
    let mut words = Vec::new();
    let mut port_words = Vec::new();
    for attribute in &rule.attributes {
        match attribute {
            RuleAttribute::Priority(number) => priority = *number,
            RuleAttribute::Source(ip) => from = format!("{ip}/{}", rule.header.src_len),
            RuleAttribute::Destination(ip) => {
                words.push(format!("to {ip}/{}", rule.header.dst_len));
            }
            RuleAttribute::FwMark(mark) => words.push(format!("fwmark {mark:#x}")),
            RuleAttribute::Iifname(name) => words.push(format!("iif {name}")),
            RuleAttribute::Oifname(name) => words.push(format!("oif {name}")),
            RuleAttribute::UidRange(users) => {
                words.push(format!("uidrange {}-{}", users.start, users.end));
            }
            RuleAttribute::IpProtocol(protocol) => {
                words.push(format!("ipproto {protocol:?}").to_lowercase());
            }
            RuleAttribute::SourcePortRange(ports) => {
                port_words.push(format!("sport {}-{}", ports.start, ports.end));
            }
            RuleAttribute::DestinationPortRange(ports) => {
                port_words.push(format!("dport {}-{}", ports.start, ports.end));
            }
            RuleAttribute::SuppressPrefixLen(length) if *length != UNSET => {
                words.push(format!("suppress_prefixlength {length}"));
            }
            _ => {}
        }
    }
    words.append(&mut port_words);
    words.push(format!("lookup {}", table_name(table_of(rule))));
    let not = if rule.header.flags.contains(RuleFlags::Invert) {
        "not "
    } else {
        ""
    };
    format!("{priority}: {not}from {from} {}", words.join(" "))
}

/// The name of a table, or its number.
pub fn table_name(table: u32) -> String {
    match table {
        255 => "local".to_owned(),
        254 => "main".to_owned(),
        253 => "default".to_owned(),
        other => other.to_string(),
    }
}

fn table_of(rule: &RuleMessage) -> u32 {
    let attribute = rule.attributes.iter().find_map(|it| match it {
        RuleAttribute::Table(table) => Some(*table),
        _ => None,
    });
    attribute.unwrap_or_else(|| u32::from(rule.header.table))
}

fn within(ip: IpAddr, net: IpAddr, prefix: u8) -> bool {
    let (ip, net, bits) = match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => (
            u128::from(ip.to_bits()) << 96,
            u128::from(net.to_bits()) << 96,
            prefix.min(32),
        ),
        (IpAddr::V6(ip), IpAddr::V6(net)) => (ip.to_bits(), net.to_bits(), prefix.min(128)),
        _ => return false,
    };
    let kept = 128 - u32::from(bits);
    ip.checked_shr(kept) == net.checked_shr(kept)
}

/// What the kernel lists for a rule that suppresses nothing.
const UNSET: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::rule::RulePortRange;

    use super::*;

    fn rule(attributes: &[RuleAttribute]) -> RuleMessage {
        let mut rule = RuleMessage::default();
        rule.header.action = RuleAction::ToTable;
        rule.attributes = attributes.to_vec();
        rule
    }

    fn lan(start: u16, end: u16) -> RuleMessage {
        rule(&[
            RuleAttribute::Priority(994),
            RuleAttribute::Table(9993),
            RuleAttribute::SuppressPrefixLen(UNSET),
            RuleAttribute::DestinationPortRange(RulePortRange { start, end }),
            RuleAttribute::IpProtocol(IpProtocol::Udp),
        ])
    }

    const BROADCAST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::BROADCAST);

    #[test]
    fn the_rule_of_the_port_leads_to_its_table() {
        let rule = lan(69, 65_534);
        assert!(leads(&rule, BROADCAST, 5000, (9993, 32)));
        assert!(!leads(&rule, BROADCAST, 67, (9993, 32)));
        assert!(!leads(&rule, BROADCAST, 5000, (254, 0)));
        assert_eq!(
            text(&rule),
            "994: from all ipproto udp dport 69-65534 lookup 9993"
        );
    }

    #[test]
    fn a_tunnel_for_everything_else_is_told_from_the_table_that_it_spares() {
        let spared = rule(&[
            RuleAttribute::Priority(32_764),
            RuleAttribute::Table(254),
            RuleAttribute::SuppressPrefixLen(0),
        ]);
        assert!(!leads(&spared, BROADCAST, 5000, (254, 0)));
        assert!(leads(&spared, BROADCAST, 5000, (254, 32)));
        let mut tunnel = rule(&[RuleAttribute::FwMark(51_820), RuleAttribute::Table(51_820)]);
        tunnel.header.flags = RuleFlags::Invert;
        assert!(leads(&tunnel, BROADCAST, 5000, (51_820, 0)));
        assert_eq!(text(&tunnel), "0: not from all fwmark 0xca6c lookup 51820");
    }

    #[test]
    fn a_rule_for_other_destinations_or_sources_does_not_lead() {
        let mut to = rule(&[
            RuleAttribute::Table(52),
            RuleAttribute::Destination("100.64.0.0".parse().unwrap()),
        ]);
        to.header.dst_len = 10;
        assert!(!leads(&to, BROADCAST, 5000, (52, 0)));
        assert!(leads(&to, "100.64.7.255".parse().unwrap(), 5000, (52, 0)));
        let mut from = rule(&[
            RuleAttribute::Table(52),
            RuleAttribute::Source("10.0.0.1".parse().unwrap()),
        ]);
        from.header.src_len = 32;
        assert!(!leads(&from, BROADCAST, 5000, (52, 0)));
    }
}
