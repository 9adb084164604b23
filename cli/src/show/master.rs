//! What a netconf-master says, as people read it.
//!
//! In: answers of the master. Out: tables and facts. Never: a value that scripts would need and JSON lacks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zt_api::master::{Invite, Member, MemberStatus, Network, NewInvite};
use zt_wire::NetworkId;

use crate::output::{facts, or_dash, table};

/// What is said of networks.
pub fn networks(networks: &[Network]) -> String {
    let rows = networks.iter().map(|n| {
        [
            n.id.to_string(),
            n.name.clone(),
            if n.public { "public" } else { "private" }.to_owned(),
            joined(&n.ipv4_pools),
            n.members.authorized.to_string(),
            n.members.pending.to_string(),
        ]
    });
    table(
        ["NETWORK", "NAME", "ACCESS", "SUBNETS", "MEMBERS", "WAITING"],
        rows,
        "no networks; make one with `zt-cli network create NAME --cidr 10.77.0.0/24`",
    )
}

/// What is said of network.
pub fn network(n: &Network) -> String {
    let routes: Vec<_> = n
        .routes
        .iter()
        .map(|r| {
            r.via.map_or_else(
                || r.target.to_string(),
                |via| format!("{} via {via}", r.target),
            )
        })
        .collect();
    facts(&[
        ("id", n.id.to_string()),
        ("name", n.name.clone()),
        ("fingerprint", n.fingerprint.to_string()),
        (
            "access",
            if n.public { "public" } else { "private" }.to_owned(),
        ),
        ("mtu", n.mtu.to_string()),
        ("bridging", yes(n.bridging)),
        ("subnets", joined(&n.ipv4_pools)),
        ("assigns IPv4", yes(n.ipv4_assign)),
        ("computes IPv6", yes(n.ipv6_rfc4193)),
        ("routes", joined(&routes)),
        (
            "DNS",
            format!("{} {}", n.dns.domain, joined(&n.dns.servers))
                .trim()
                .to_owned(),
        ),
        ("rules", rules(&n.rules)),
        ("link-local groups", yes(n.link_local_groups)),
        ("multicast limit", n.multicast_limit.to_string()),
        (
            "epoch",
            format!(
                "{} (window {}, every {} s)",
                n.epoch, n.window, n.epoch_period_s
            ),
        ),
        (
            "members",
            format!(
                "{} in, {} waiting, {} out",
                n.members.authorized, n.members.pending, n.members.denied
            ),
        ),
    ])
}

/// One line of rules is shown; a text has its own place.
fn rules(text: &str) -> String {
    match text.trim().lines().count() {
        0 => "none: every frame passes".to_owned(),
        1 => text.trim().to_owned(),
        lines => format!("{lines} lines; --json shows them"),
    }
}

/// What is said of members.
pub fn members(members: &[Member], network: NetworkId) -> String {
    let rows = members.iter().map(|m| {
        [
            m.address.to_string(),
            if m.name.is_empty() {
                "-".to_owned()
            } else {
                m.name.clone()
            },
            status(m.status).to_owned(),
            joined(&m.ips),
            or_dash(m.last_seen.map(ago)),
            or_dash(m.endpoint.clone()),
        ]
    });
    let empty = format!("no members; invite one with `zt-cli invite create {network}`");
    table(
        ["MEMBER", "NAME", "STATUS", "ADDRESSES", "SEEN", "ENDPOINT"],
        rows,
        &empty,
    )
}

/// What is said of member.
pub fn member(m: &Member) -> String {
    let rights = [
        (m.bridge, "bridge"),
        (m.dhcp_server, "dhcp-server"),
        (m.router_advertisement, "router-advertisement"),
        (m.replicator, "replicator"),
        (m.any_source_ip, "any-source-ip"),
    ];
    let rights: Vec<_> = rights
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, right)| right)
        .collect();
    let tags: Vec<_> = m
        .tags
        .iter()
        .map(|(id, value)| format!("{id}:{value}"))
        .collect();
    facts(&[
        ("address", m.address.to_string()),
        ("name", m.name.clone()),
        ("status", status(m.status).to_owned()),
        ("fingerprint", or_dash(m.fingerprint)),
        ("addresses", joined(&m.ips)),
        ("rights", joined(&rights)),
        ("tags", joined(&tags)),
        ("seen", or_dash(m.last_seen.map(ago))),
        ("endpoint", or_dash(m.endpoint.clone())),
    ])
}

/// What is said of new invite.
pub fn new_invite(made: &NewInvite) -> String {
    let record = &made.record;
    let uses = match record.max_uses {
        None => "any number of machines".to_owned(),
        Some(1) => "one machine".to_owned(),
        Some(n) => format!("{n} machines"),
    };
    let until = record
        .expires_at
        .map_or_else(|| "for ever".to_owned(), ahead);
    let then = if record.authorize {
        ""
    } else {
        "; who comes with it waits to be authorized"
    };
    format!(
        "{}\n\nfor {uses}, {until}{then}; take it back with: zt-cli invite revoke {} {}",
        made.invite, record.network, record.id
    )
}

/// What is said of invites.
pub fn invites(invites: &[Invite]) -> String {
    let rows = invites.iter().map(|i| {
        let state = if i.revoked { "revoked" } else { "valid" };
        [
            i.id.clone(),
            if i.label.is_empty() {
                "-".to_owned()
            } else {
                i.label.clone()
            },
            format!(
                "{} of {}",
                i.uses,
                i.max_uses
                    .map_or_else(|| "any".to_owned(), |n| n.to_string())
            ),
            i.expires_at.map_or_else(|| "for ever".to_owned(), ahead),
            if i.authorize { "in at once" } else { "waits" }.to_owned(),
            state.to_owned(),
        ]
    });
    table(
        ["INVITE", "LABEL", "USED", "EXPIRES", "MEMBER", "STATE"],
        rows,
        "no invites",
    )
}

const fn status(status: MemberStatus) -> &'static str {
    match status {
        MemberStatus::Pending => "pending",
        MemberStatus::Authorized => "authorized",
        MemberStatus::Denied => "denied",
    }
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn joined<T: ToString>(values: &[T]) -> String {
    let texts: Vec<_> = values.iter().map(ToString::to_string).collect();
    if texts.is_empty() {
        "-".to_owned()
    } else {
        texts.join(" ")
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

fn ago(at: u64) -> String {
    format!("{} ago", span(now().saturating_sub(at)))
}

fn ahead(at: u64) -> String {
    match at.checked_sub(now()) {
        Some(left) if left > 0 => format!("for {}", span(left)),
        _ => "expired".to_owned(),
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
