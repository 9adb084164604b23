//! `network`, `member` and `invite`: what an administrator asks of a netconf-master.
//!
//! In: arguments, the admin token's file. Out: printed answers. Never: a decision of the master.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zt_api::master::{
    Dns, Invite, InviteSettings, Member, MemberSettings, MemberStatus, Network, NetworkSettings,
    NewInvite, Route,
};
use zt_api::{ApiError, Exit, MasterClient};
use zt_wire::{Address, NetworkId};

use crate::args::{InviteCommand, Master, MemberCommand, NetworkCommand};
use crate::output::{Failure, Output, facts, or_dash, table};
use crate::pairs;

/// A client of the netconf-master that the arguments name.
pub fn client(master: &Master) -> Result<MasterClient, Failure> {
    Ok(MasterClient::new(
        &master.master,
        token(&master.token_file)?,
    )?)
}

/// The token in a file.
pub fn token(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        let next = match e.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "run the command as root, or copy the file for this user"
            }
            _ => "zt-netconf-master makes it at its first start; name it with --token-file FILE",
        };
        Failure::new(
            Exit::Failed,
            format!(
                "the admin token {} cannot be read ({e}); {next}",
                file.display()
            ),
        )
    })?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::new(
            Exit::Failed,
            format!("{} holds no token", file.display()),
        ));
    }
    Ok(token.to_owned())
}

/// `network ...`.
pub async fn network(
    master: &MasterClient,
    command: &NetworkCommand,
    output: Output,
) -> Result<(), Failure> {
    match command {
        NetworkCommand::Create {
            name,
            cidr,
            public,
            mtu,
        } => {
            let settings = NetworkSettings {
                name: Some(name.clone()),
                public: public.then_some(true),
                mtu: *mtu,
                ipv4_pools: (!cidr.is_empty()).then(|| cidr.clone()),
                ..NetworkSettings::default()
            };
            output.show(&master.create_network(&settings).await?, |n| {
                format!(
                    "made network {}\njoin it:   zt-cli join {}#{}\nor invite: zt-cli invite create {}",
                    n.id, n.id, n.fingerprint, n.id
                )
            })
        }
        NetworkCommand::List => output.show(&master.networks().await?, |networks| {
            networks_text(networks)
        }),
        NetworkCommand::Show { network } => output.show(
            &master
                .network(*network)
                .await
                .map_err(|e| no_network(e, *network))?,
            network_text,
        ),
        NetworkCommand::Set { network, settings } => {
            let change = network_change(settings)?;
            let after = master
                .set_network(*network, &change)
                .await
                .map_err(|e| no_network(e, *network))?;
            output.show(&after, network_text)
        }
        NetworkCommand::Delete { network } => {
            master
                .delete_network(*network)
                .await
                .map_err(|e| no_network(e, *network))?;
            output.show(&serde_json::json!({ "id": network.to_string() }), |_| {
                format!("deleted network {network}")
            })
        }
    }
}

/// `member ...`.
pub async fn member(
    master: &MasterClient,
    command: &MemberCommand,
    output: Output,
) -> Result<(), Failure> {
    match command {
        MemberCommand::List { network } => {
            let members = master
                .members(*network)
                .await
                .map_err(|e| no_network(e, *network))?;
            output.show(&members, |members| members_text(members, *network))
        }
        MemberCommand::Show { network, address } => {
            let member = master
                .member(*network, *address)
                .await
                .map_err(|e| no_member(e, *network, *address))?;
            output.show(&member, member_text)
        }
        MemberCommand::Authorize {
            network,
            address,
            name,
            ip,
        } => {
            let settings = MemberSettings {
                status: Some(MemberStatus::Authorized),
                name: name.clone(),
                static_ips: (!ip.is_empty()).then(|| ip.clone()),
                ..MemberSettings::default()
            };
            let after = master
                .put_member(*network, *address, &settings)
                .await
                .map_err(|e| no_network(e, *network))?;
            output.show(&after, |m| {
                format!("authorized {}\n{}", m.address, member_text(m))
            })
        }
        MemberCommand::Deauthorize { network, address } => {
            let settings = MemberSettings {
                status: Some(MemberStatus::Denied),
                ..MemberSettings::default()
            };
            let after = master
                .set_member(*network, *address, &settings)
                .await
                .map_err(|e| no_member(e, *network, *address))?;
            output.show(&after, |m| format!("put {} out", m.address))
        }
        MemberCommand::Set {
            network,
            address,
            settings,
        } => {
            let change = member_change(settings)?;
            let after = master
                .set_member(*network, *address, &change)
                .await
                .map_err(|e| no_member(e, *network, *address))?;
            output.show(&after, member_text)
        }
        MemberCommand::Remove { network, address } => {
            master
                .remove_member(*network, *address)
                .await
                .map_err(|e| no_member(e, *network, *address))?;
            let json = serde_json::json!({ "network": network.to_string(), "address": address.to_string() });
            output.show(&json, |_| format!("forgot {address}"))
        }
    }
}

/// `invite ...`.
pub async fn invite(
    master: &MasterClient,
    command: &InviteCommand,
    output: Output,
) -> Result<(), Failure> {
    match command {
        InviteCommand::Create {
            network,
            uses,
            expires,
            label,
            pending,
        } => {
            let settings = InviteSettings {
                label: label.clone(),
                max_uses: *uses,
                expires_in_s: *expires,
                authorize: pending.then_some(false),
            };
            let made = master
                .create_invite(*network, &settings)
                .await
                .map_err(|e| no_network(e, *network))?;
            output.show(&made, new_invite_text)
        }
        InviteCommand::List { network } => {
            let invites = master
                .invites(*network)
                .await
                .map_err(|e| no_network(e, *network))?;
            output.show(&invites, |invites| invites_text(invites))
        }
        InviteCommand::Revoke { network, id } => {
            if id.is_empty() || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
                let message = format!(
                    "an invite's id has only hex digits, found {id}; `zt-cli invite list` shows it"
                );
                return Err(Failure::new(Exit::Usage, message));
            }
            master.revoke_invite(*network, id).await?;
            output.show(&serde_json::json!({ "id": id }), |_| {
                format!("took invite {id} back")
            })
        }
    }
}

fn network_change(settings: &[String]) -> Result<NetworkSettings, Failure> {
    let mut change = NetworkSettings::default();
    let mut dns = None::<Dns>;
    for setting in settings {
        let (key, value) = pairs::split(setting)?;
        match key {
            "name" => change.name = Some(value.to_owned()),
            "public" => change.public = Some(pairs::switch(key, value)?),
            "mtu" => change.mtu = Some(pairs::value(key, value)?),
            "bridging" => change.bridging = Some(pairs::switch(key, value)?),
            "cidr" => change.ipv4_pools = Some(pairs::list(key, value)?),
            "ipv4-assign" => change.ipv4_assign = Some(pairs::switch(key, value)?),
            "ipv6" => change.ipv6_rfc4193 = Some(pairs::switch(key, value)?),
            "routes" => change.routes = Some(routes(key, value)?),
            "dns-domain" => value.clone_into(&mut dns.get_or_insert_default().domain),
            "dns-servers" => dns.get_or_insert_default().servers = pairs::list(key, value)?,
            "window" => change.window = Some(pairs::value(key, value)?),
            "epoch-period" => change.epoch_period_s = Some(pairs::value(key, value)?),
            _ => return Err(unknown_key(key, "network")),
        }
    }
    change.dns = dns;
    Ok(change)
}

fn routes(key: &str, text: &str) -> Result<Vec<Route>, Failure> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (target, via) = part
                .split_once('@')
                .map_or((part, None), |(target, via)| (target, Some(via)));
            Ok(Route {
                target: pairs::value(key, target)?,
                via: via.map(|via| pairs::value(key, via)).transpose()?,
            })
        })
        .collect()
}

fn member_change(settings: &[String]) -> Result<MemberSettings, Failure> {
    let mut change = MemberSettings::default();
    for setting in settings {
        let (key, value) = pairs::split(setting)?;
        match key {
            "name" => change.name = Some(value.to_owned()),
            "ip" => change.static_ips = Some(pairs::list(key, value)?),
            "bridge" => change.bridge = Some(pairs::switch(key, value)?),
            "dhcp-server" => change.dhcp_server = Some(pairs::switch(key, value)?),
            "router-advertisement" => {
                change.router_advertisement = Some(pairs::switch(key, value)?);
            }
            "replicator" => change.replicator = Some(pairs::switch(key, value)?),
            "any-source-ip" => change.any_source_ip = Some(pairs::switch(key, value)?),
            "tags" => {
                let tag = |part: &str| {
                    let (id, value) = part.split_once(':').unwrap_or((part, ""));
                    Ok((pairs::value(key, id)?, pairs::value(key, value)?))
                };
                let tags: Result<_, Failure> = value
                    .split(',')
                    .filter(|part| !part.is_empty())
                    .map(tag)
                    .collect();
                change.tags = Some(tags?);
            }
            _ => return Err(unknown_key(key, "member")),
        }
    }
    Ok(change)
}

fn unknown_key(key: &str, noun: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("unknown key {key}; `zt-cli {noun} set --help` lists them"),
    )
}

fn no_network(error: ApiError, network: NetworkId) -> Failure {
    match error {
        ApiError::Answer { status: 404, .. } => Failure::new(
            Exit::Failed,
            format!(
                "this netconf-master has no network {network}; `zt-cli network list` shows its networks"
            ),
        ),
        other => other.into(),
    }
}

fn no_member(error: ApiError, network: NetworkId, member: Address) -> Failure {
    match error {
        ApiError::Answer { status: 404, .. } => Failure::new(
            Exit::Failed,
            format!("{network} has no member {member}; `zt-cli member list {network}` shows them"),
        ),
        other => other.into(),
    }
}

fn networks_text(networks: &[Network]) -> String {
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

fn network_text(n: &Network) -> String {
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

fn members_text(members: &[Member], network: NetworkId) -> String {
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

fn member_text(m: &Member) -> String {
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

fn new_invite_text(made: &NewInvite) -> String {
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

fn invites_text(invites: &[Invite]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_may_have_a_gateway() {
        let change =
            network_change(&["routes=192.168.7.0/24@10.77.0.3,10.9.0.0/16".into()]).unwrap();
        let routes = change.routes.unwrap();
        assert_eq!(routes[0].via, Some("10.77.0.3".parse().unwrap()));
        assert_eq!(routes[1].via, None);
    }

    #[test]
    fn a_wrong_value_names_its_key_and_is_a_usage_error() {
        for wrong in [
            "mtu=big",
            "public=maybe",
            "cidr=10.0.0.1/24",
            "nonsense=1",
            "mtu",
        ] {
            let failure = network_change(&[wrong.into()]).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{wrong}");
            assert!(
                failure.message.contains(wrong.split('=').next().unwrap()),
                "{}",
                failure.message
            );
        }
    }

    #[test]
    fn tags_are_numbers_in_pairs() {
        let change = member_change(&["tags=1:2,30:40".into()]).unwrap();
        assert_eq!(change.tags.unwrap()[&30], 40);
        assert!(member_change(&["tags=1".into()]).is_err());
    }
}
