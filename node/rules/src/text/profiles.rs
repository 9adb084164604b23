//! Ready-made rule sets for people who want a purpose, not a firewall.
//!
//! In: a profile's name and its ports. Out: rule text, compiled like anybody's.
//! Never: a rule that the language can't say.

use core::fmt::Write as _;

/// One `udp 27015` or `tcp 7000-7010` of a profile.
pub(super) struct Ports<'a> {
    pub protocol: &'a str,
    pub range: &'a str,
}

/// The names, for the message about an unknown one.
pub(super) const NAMES: &str = "open, ip-only, lan-game";

/// The text of a profile; `None` for an unknown name.
pub(super) fn text(name: &str, ports: &[Ports<'_>]) -> Option<String> {
    match name {
        "open" => Some("accept;".into()),
        "ip-only" => Some("accept if arp or ipv4 or ipv6;\ndrop;".into()),
        "lan-game" => Some(lan_game(ports)),
        _ => None,
    }
}

/// Broadcast, IPX, ARP, neighbour discovery, ping and the chosen ports; everything else of my machine is closed.
///
/// Rules keep no state, so an answer is known by its port: a UDP datagram *from* a chosen port passes only to an
/// ephemeral port (RFC 6335 §6 and Linux' default range), a TCP segment from one only with ACK set.
fn lan_game(ports: &[Ports<'_>]) -> String {
    let mut text = String::from(
        "accept if broadcast or multicast or ipx or arp;\n\
         accept if icmp or (icmp6 and not (icmp6 134 or icmp6 137));\n",
    );
    for Ports { protocol, range } in ports {
        let answer = if *protocol == "tcp" {
            "tcp-flags ack/ack and port-to 1024-65535"
        } else {
            "port-to 32768-65535"
        };
        let _ = writeln!(text, "accept if {protocol} and port-to {range};");
        let _ = writeln!(
            text,
            "accept if {protocol} and port-from {range} and {answer};"
        );
    }
    text.push_str("break;\n");
    text
}
