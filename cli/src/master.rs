//! `network`, `member` and `invite`: what an administrator asks of a netconf-master.
//!
//! In: arguments, the admin token's file. Out: printed answers. Never: a decision of the master.

use std::collections::BTreeMap;
use std::path::Path;

use zt_api::master::{Dns, InviteSettings, MemberSettings, MemberStatus, NetworkSettings, Route};
use zt_api::{ApiError, Exit, MasterClient};
use zt_wire::{Address, NetworkId};

use crate::args::{InviteCommand, Master, MemberCommand, MemberSet, NetworkCommand, Right};
use crate::output::{Failure, Output};
use crate::pairs;
use crate::rules;
use crate::show::master as show;

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
            show::networks(networks)
        }),
        NetworkCommand::Show { network } => output.show(
            &master
                .network(*network)
                .await
                .map_err(|e| no_network(e, *network))?,
            show::network,
        ),
        NetworkCommand::Set {
            network,
            settings,
            rules,
            profile,
            ports,
        } => {
            let mut change = network_change(settings)?;
            change.rules = match (rules, profile) {
                (Some(file), _) => {
                    let text = rules::read(file)?;
                    // The master compiles it again; here the file can be named.
                    rules::compiled(&text, &file.display().to_string())?;
                    Some(text)
                }
                (None, Some(profile)) => Some(profile_text(profile, ports.as_deref())?),
                (None, None) => None,
            };
            let after = master
                .set_network(*network, &change)
                .await
                .map_err(|e| no_network(e, *network))?;
            output.show(&after, show::network)
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
            output.show(&members, |members| show::members(members, *network))
        }
        MemberCommand::Show { network, address } => {
            let member = master
                .member(*network, *address)
                .await
                .map_err(|e| no_member(e, *network, *address))?;
            output.show(&member, show::member)
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
                format!("authorized {}\n{}", m.address, show::member(m))
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
        MemberCommand::Set(set) => {
            let (network, address) = (set.network, set.address);
            let mut change = member_change(&set.settings)?;
            rights(set, &mut change);
            if change.tags.is_none() {
                change.tags = tags(master, set).await?;
            }
            let after = master
                .set_member(network, address, &change)
                .await
                .map_err(|e| no_member(e, network, address))?;
            output.show(&after, show::member)
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
            output.show(&made, show::new_invite)
        }
        InviteCommand::List { network } => {
            let invites = master
                .invites(*network)
                .await
                .map_err(|e| no_network(e, *network))?;
            output.show(&invites, |invites| show::invites(invites))
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
            "link-local-groups" => change.link_local_groups = Some(pairs::switch(key, value)?),
            "multicast-limit" => change.multicast_limit = Some(pairs::value(key, value)?),
            "epoch-period" => change.epoch_period_s = Some(pairs::value(key, value)?),
            _ => return Err(unknown_key(key, "network")),
        }
    }
    change.dns = dns;
    Ok(change)
}

/// A profile as a rule text: `udp:27015,tcp:7777` becomes `udp 27015, tcp 7777`.
fn profile_text(profile: &str, ports: Option<&str>) -> Result<String, Failure> {
    let ports: Vec<String> = ports
        .into_iter()
        .flat_map(|ports| ports.split(','))
        .map(|part| part.trim().replacen(':', " ", 1))
        .collect();
    let text = format!("profile {profile} {};\n", ports.join(", ")).replace(" ;", ";");
    match zt_rules::compile(&text) {
        Ok(_) => Ok(text),
        Err(e) => Err(Failure::new(Exit::Usage, format!("{}: {e}", text.trim()))),
    }
}

fn rights(set: &MemberSet, change: &mut MemberSettings) {
    for (list, given) in [(&set.right, true), (&set.no_right, false)] {
        for right in list {
            let field = match right {
                Right::Bridge => &mut change.bridge,
                Right::DhcpServer => &mut change.dhcp_server,
                Right::Router => &mut change.router_advertisement,
                Right::AnySource => &mut change.any_source_ip,
                Right::Replicator => &mut change.replicator,
            };
            *field = Some(given);
        }
    }
}

/// The member's tags with the changes asked for by name; `None` when there are none.
async fn tags(
    master: &MasterClient,
    set: &MemberSet,
) -> Result<Option<BTreeMap<u32, u32>>, Failure> {
    let lists = [&set.tag, &set.no_tag, &set.capability, &set.no_capability];
    if lists.iter().all(|list| list.is_empty()) {
        return Ok(None);
    }
    let (network, address) = (set.network, set.address);
    let settings = master
        .network(network)
        .await
        .map_err(|e| no_network(e, network))?;
    let rules = rules::compiled(&settings.rules, &format!("the rules of {network}"))?;
    let member = master
        .member(network, address)
        .await
        .map_err(|e| no_member(e, network, address))?;
    let mut tags = member.tags;
    for name in &set.no_tag {
        tags.remove(&rules::names::tag_id(&rules, name)?);
    }
    for name in &set.no_capability {
        tags.remove(&rules::names::capability(&rules, name)?);
    }
    rules::names::give(&rules, &mut tags, &set.tag, &set.capability)?;
    Ok(Some(tags))
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

pub fn no_network(error: ApiError, network: NetworkId) -> Failure {
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

pub fn no_member(error: ApiError, network: NetworkId, member: Address) -> Failure {
    match error {
        ApiError::Answer { status: 404, .. } => Failure::new(
            Exit::Failed,
            format!("{network} has no member {member}; `zt-cli member list {network}` shows them"),
        ),
        other => other.into(),
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
    fn a_profile_is_a_rule_text_and_a_wrong_one_a_usage_error() {
        let text = profile_text("lan-game", Some("udp:27015,tcp:7777-7780")).unwrap();
        assert_eq!(text, "profile lan-game udp 27015, tcp 7777-7780;\n");
        assert_eq!(profile_text("open", None).unwrap(), "profile open;\n");
        for (profile, ports) in [("shut", None), ("lan-game", Some("sctp:1"))] {
            let failure = profile_text(profile, ports).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{profile}");
        }
    }

    #[test]
    fn tags_are_numbers_in_pairs() {
        let change = member_change(&["tags=1:2,30:40".into()]).unwrap();
        assert_eq!(change.tags.unwrap()[&30], 40);
        assert!(member_change(&["tags=1".into()]).is_err());
    }
}
