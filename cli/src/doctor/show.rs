//! The report of `doctor lan` for people.
//!
//! In: the report. Out: text. Never: a fact that the JSON has not.

use std::net::IpAddr;

use zt_api::Lan;

use super::rule::table_name;
use super::{Arrival, Destination, Place, Report};
use crate::output::{facts, or_dash};

/// The whole report.
pub fn report(report: &Report) -> String {
    let mut parts = vec![headline(report)];
    parts.extend(report.destinations.iter().map(destination));
    parts.push(
        "A program that binds itself to a device or to an address, or names one for a group, gets that one and no other. \
         IPv6 programs have to name a device for ff02::; LAN mode leaves them alone."
            .to_owned(),
    );
    let list = |head: &str, lines: &[String]| {
        let lines: Vec<String> = lines.iter().map(|line| format!("  {line}")).collect();
        format!("{head}:\n{}", lines.join("\n"))
    };
    for (head, lines) in [
        ("Changed by LAN mode, until it is off", &report.changed),
        ("Hints", &report.hints),
        ("To change it", &report.commands),
    ] {
        if !lines.is_empty() {
            parts.push(list(head, lines));
        }
    }
    parts.join("\n\n")
}

fn headline(report: &Report) -> String {
    let Some(lan) = &report.lan_mode else {
        return "LAN mode: off, as the node does not answer".to_owned();
    };
    if lan.networks.is_empty() {
        return "LAN mode: off".to_owned();
    }
    let networks: Vec<String> = lan
        .networks
        .iter()
        .map(|network| format!("{} ({})", network.id, network.state))
        .collect();
    format!(
        "LAN mode: {}; {} packets copied, {} copies lost",
        networks.join(", "),
        lan.packets,
        lan.lost
    )
}

fn destination(found: &Destination) -> String {
    let head = format!("{}, {}", found.to, found.what);
    if let Some(error) = &found.error {
        return format!("{head}\n  does not leave: {error}");
    }
    let because = match (&found.rule, found.table) {
        (Some(rule), _) => format!("{}; rule {rule}", or_dash(found.route.as_ref())),
        (None, Some(table)) => format!(
            "{}; table {}",
            or_dash(found.route.as_ref()),
            table_name(table)
        ),
        (None, None) => or_dash(found.route.as_ref()),
    };
    let arrives: Vec<String> = found.arrives.iter().map(arrival).collect();
    let facts = facts(&[
        (
            "  leaves by",
            format!("{}{}", or_dash(found.device.as_ref()), from(found.source)),
        ),
        ("  because of", because),
        ("  arrives at", arrives.join("; ")),
    ]);
    format!("{head}\n{facts}")
}

fn arrival(arrival: &Arrival) -> String {
    let place = match (arrival.place, &arrival.name) {
        (Place::Overlay, Some(name)) => format!("the network `{name}` ({})", arrival.device),
        (Place::Overlay, None) => format!("an overlay ({})", arrival.device),
        (Place::Lan, _) => format!("whatever is behind {}", arrival.device),
        (Place::Host, _) => "this machine only".to_owned(),
    };
    format!("{place}{}", from(arrival.source))
}

fn from(source: Option<IpAddr>) -> String {
    source.map_or_else(String::new, |source| format!(" from {source}"))
}

/// What LAN mode has changed on this machine.
pub fn changed(lan: Option<&Lan>) -> Vec<String> {
    let Some((lan, device)) = lan.and_then(|lan| Some((lan, lan.device.as_ref()?))) else {
        return Vec::new();
    };
    let mut changed = vec![format!("device {device}")];
    changed.extend(lan.rules.iter().map(|rule| format!("rule {rule}")));
    for target in ["255.255.255.255", "224.0.0.0/4"] {
        changed.push(format!("route {target} dev {device} table {}", lan.table));
    }
    if !lan.groups.is_empty() {
        let groups: Vec<String> = lan.groups.iter().map(ToString::to_string).collect();
        changed.push(format!(
            "memberships of programs, held on the other devices, too: {}",
            groups.join(", ")
        ));
    }
    changed
}
