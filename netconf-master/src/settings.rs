//! What people may ask for: checks every field of a request before anything changes.
//!
//! In: requests of the API, the present settings. Out: new settings, or which field is wrong and what was expected.
//! Never: a store, a guess what was meant.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use zt_api::master::{InviteSettings, MemberSettings, NetworkSettings, Route, Subnet};
use zt_engine::Unix;
use zt_wire::{Rights, SharedConfig};

use crate::assign;
use crate::documents::give;
use crate::limits;
use crate::model::{Invite, InviteId, Member, Network, Rules, Settings};

/// A field of a request that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Its name in JSON.
    pub field: &'static str,
    /// What it should have been.
    pub expected: Cow<'static, str>,
}

const fn invalid<T>(field: &'static str, expected: &'static str) -> Result<T, Invalid> {
    Err(Invalid {
        field,
        expected: Cow::Borrowed(expected),
    })
}

/// The settings that follow from `was` and a request.
///
/// # Errors
/// The first field that is wrong.
pub fn network(was: &Settings, request: &NetworkSettings) -> Result<Settings, Invalid> {
    let mut is = was.clone();
    if let Some(name) = &request.name {
        is.name = text(name, "name")?;
    }
    is.public = request.public.unwrap_or(is.public);
    is.bridging = request.bridging.unwrap_or(is.bridging);
    is.assign = request.ipv4_assign.unwrap_or(is.assign);
    is.rfc4193 = request.ipv6_rfc4193.unwrap_or(is.rfc4193);
    if let Some(mtu) = request.mtu {
        if !(SharedConfig::MTU_MIN..=SharedConfig::MTU_MAX).contains(&mtu) {
            return invalid("mtu", "expected 1280 to 9000");
        }
        is.mtu = mtu;
    }
    if let Some(wanted) = &request.ipv4_pools {
        is.pools = pools(wanted)?;
    }
    if let Some(wanted) = &request.routes {
        is.routes = routes(wanted)?;
    }
    if let Some(dns) = &request.dns {
        if !is_domain(&dns.domain) {
            return invalid(
                "dns.domain",
                "expected a domain name, such as lan.example.org",
            );
        }
        if dns.servers.len() > limits::DNS_SERVERS || !dns.servers.iter().all(is_host) {
            return invalid("dns.servers", "expected at most 8 addresses of hosts");
        }
        is.dns = dns.clone();
    }
    if let Some(text) = &request.rules {
        is.rules = rules(text)?;
    }
    is.link_local_groups = request.link_local_groups.unwrap_or(is.link_local_groups);
    if let Some(limit) = request.multicast_limit {
        if limit == 0 {
            return invalid("multicast_limit", "expected 1 to 65535 copies");
        }
        is.multicast_limit = limit;
    }
    if let Some(window) = request.window {
        if !(1..=1000).contains(&window) {
            return invalid("window", "expected 1 to 1000 epochs");
        }
        is.window = window;
    }
    if let Some(period) = request.epoch_period_s {
        if period != 0 && !(60..=31_536_000).contains(&period) {
            return invalid(
                "epoch_period_s",
                "expected 60 to 31536000 seconds, or 0 for never",
            );
        }
        is.epoch_period = period;
    }
    Ok(is)
}

fn rules(text: &str) -> Result<Rules, Invalid> {
    match zt_rules::compile(text) {
        Ok(set) => Ok(Rules {
            text: text.to_owned(),
            compiled: set.encode(),
        }),
        Err(error) => Err(Invalid {
            field: "rules",
            expected: error.to_string().into(),
        }),
    }
}

fn pools(wanted: &[Subnet]) -> Result<Vec<Subnet>, Invalid> {
    const FIELD: &str = "ipv4_pools";
    if wanted.len() > limits::POOLS {
        return invalid(FIELD, "expected at most 16 subnets");
    }
    for (place, pool) in wanted.iter().enumerate() {
        let IpAddr::V4(base) = pool.base() else {
            return invalid(
                FIELD,
                "expected IPv4 subnets; IPv6 addresses are computed (ipv6_rfc4193)",
            );
        };
        if !(8..=30).contains(&pool.prefix()) {
            return invalid(FIELD, "expected prefix lengths from 8 to 30");
        }
        if !is_host(&base.into()) || base.octets()[0] == 0 {
            return invalid(
                FIELD,
                "expected addresses that hosts may have, such as 10.20.0.0/16",
            );
        }
        if wanted[..place].iter().any(|other| other.overlaps(*pool)) {
            return invalid(FIELD, "expected subnets that do not overlap");
        }
    }
    Ok(wanted.to_vec())
}

fn routes(wanted: &[Route]) -> Result<Vec<Route>, Invalid> {
    const FIELD: &str = "routes";
    if wanted.len() > limits::ROUTES {
        return invalid(FIELD, "expected at most 128 routes");
    }
    let targets: BTreeSet<Subnet> = wanted.iter().map(|route| route.target).collect();
    if targets.len() != wanted.len() {
        return invalid(FIELD, "expected each target once");
    }
    for Route { target, via } in wanted {
        let base = target.base();
        let host_part = base.is_loopback() || base.is_multicast();
        if host_part {
            return invalid(
                FIELD,
                "expected targets that are neither loopback nor multicast",
            );
        }
        if via.is_some_and(|via| via.is_ipv4() != base.is_ipv4() || !is_host(&via)) {
            return invalid(
                FIELD,
                "expected gateways that are hosts of the target's family",
            );
        }
    }
    Ok(wanted.to_vec())
}

/// Puts a request into a member. Status, key and row revision are the caller's.
///
/// # Errors
/// The first field that is wrong.
pub fn member(of: &Network, is: &mut Member, request: &MemberSettings) -> Result<(), Invalid> {
    if let Some(name) = &request.name {
        is.name = text(name, "name")?;
    }
    if let Some(wanted) = &request.static_ips {
        static_ips(of, is, wanted)?;
        is.static_ips.clone_from(wanted);
    }
    if let Some(tags) = &request.tags {
        if tags.len() > limits::TAGS {
            return invalid("tags", "expected at most 64 tags");
        }
        is.tags.clone_from(tags);
    }
    for (asked, right) in [
        (request.bridge, Rights::BRIDGE),
        (request.dhcp_server, Rights::DHCP_SERVER),
        (request.router_advertisement, Rights::ROUTER_ADVERTISEMENT),
        (request.replicator, Rights::REPLICATOR),
        (request.any_source_ip, Rights::ANY_SOURCE_IP),
    ] {
        if let Some(given) = asked {
            is.rights = give(is.rights, right, given);
        }
    }
    Ok(())
}

fn static_ips(of: &Network, is: &Member, wanted: &[IpAddr]) -> Result<(), Invalid> {
    const FIELD: &str = "static_ips";
    if wanted.len() > limits::STATIC_IPS {
        return invalid(FIELD, "expected at most 16 addresses");
    }
    let distinct: BTreeSet<&IpAddr> = wanted.iter().collect();
    if distinct.len() != wanted.len() {
        return invalid(FIELD, "expected each address once");
    }
    for ip in wanted {
        let own: IpAddr = of.id.ipv6_of(is.address).into();
        if assign::is_computed(of.id, *ip) && *ip != own {
            return invalid(
                FIELD,
                "expected no address that is computed for another member",
            );
        }
        if assign::known_prefix(of.id, &of.settings, *ip).is_none() {
            return invalid(
                FIELD,
                "expected addresses of the network's pools or of a route without gateway; add a pool first",
            );
        }
        let in_pool = of.settings.pools.iter().any(|pool| pool.contains(*ip));
        let gateway = of
            .settings
            .routes
            .iter()
            .any(|route| route.via == Some(*ip));
        // A gateway's own member is given that address by hand, so `usable` is too strict for it.
        if !is_host(ip) || (in_pool && !gateway && !assign::usable(&of.settings, *ip)) {
            return invalid(
                FIELD,
                "expected neither the subnet's first nor its last address",
            );
        }
    }
    Ok(())
}

/// The invite that a request asks for; `id` and `token_hash` are new.
///
/// # Errors
/// The first field that is wrong.
pub fn invite(
    of: &Network,
    request: &InviteSettings,
    id: InviteId,
    token_hash: [u8; 32],
    now: Unix,
) -> Result<Invite, Invalid> {
    let label = match &request.label {
        Some(label) => text(label, "label")?,
        None => String::new(),
    };
    let lasts = request.expires_in_s.unwrap_or(86_400);
    if lasts > limits::INVITE_SECONDS {
        return invalid("expires_in_s", "expected at most ten years, or 0 for ever");
    }
    Ok(Invite {
        network: of.id,
        id,
        token_hash,
        label,
        max_uses: Some(request.max_uses.unwrap_or(1)).filter(|most| *most != 0),
        uses: 0,
        expires: (lasts != 0).then_some(Unix(now.0.saturating_add(lasts))),
        authorize: request.authorize.unwrap_or(true),
        revoked: false,
        created: now,
        row: 0,
    })
}

fn text(text: &str, field: &'static str) -> Result<String, Invalid> {
    if text.chars().count() > limits::NAME || text.chars().any(char::is_control) {
        return invalid(
            field,
            "expected at most 60 characters, none of them a control character",
        );
    }
    Ok(text.trim().to_owned())
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.is_empty() || (text.len() <= 253 && text.split('.').all(label))
}

/// Whether one host may have this address on a network.
fn is_host(ip: &IpAddr) -> bool {
    let special = match ip {
        IpAddr::V4(ip) => ip.is_broadcast() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some(),
    };
    !special && !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnets(texts: &[&str]) -> Vec<Subnet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_a_network_cannot_be_is_refused_with_its_field() {
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(61));
        for (request, field) in [
            (long.as_str(), "name"),
            (r#"{"name":"a\nb"}"#, "name"),
            (r#"{"mtu":1279}"#, "mtu"),
            (r#"{"mtu":9001}"#, "mtu"),
            (r#"{"ipv4_pools":["10.0.0.0/7"]}"#, "ipv4_pools"),
            (r#"{"ipv4_pools":["10.0.0.0/31"]}"#, "ipv4_pools"),
            (r#"{"ipv4_pools":["fd00::/64"]}"#, "ipv4_pools"),
            (r#"{"ipv4_pools":["127.0.0.0/8"]}"#, "ipv4_pools"),
            (r#"{"ipv4_pools":["224.0.0.0/8"]}"#, "ipv4_pools"),
            (
                r#"{"ipv4_pools":["10.0.0.0/8","10.1.0.0/16"]}"#,
                "ipv4_pools",
            ),
            (
                r#"{"routes":[{"target":"10.0.0.0/8","via":"fd00::1"}]}"#,
                "routes",
            ),
            (r#"{"routes":[{"target":"127.0.0.0/8"}]}"#, "routes"),
            (
                r#"{"routes":[{"target":"10.0.0.0/8"},{"target":"10.0.0.0/8"}]}"#,
                "routes",
            ),
            (r#"{"dns":{"domain":"no space"}}"#, "dns.domain"),
            (r#"{"dns":{"servers":["224.0.0.1"]}}"#, "dns.servers"),
            (r#"{"window":0}"#, "window"),
            (r#"{"rules":"accept if;"}"#, "rules"),
            (r#"{"epoch_period_s":59}"#, "epoch_period_s"),
        ] {
            let wanted: NetworkSettings = serde_json::from_str(request).unwrap();
            let refused = network(&Settings::default(), &wanted).unwrap_err();
            assert_eq!(refused.field, field, "{request}");
        }
    }

    #[test]
    fn what_is_not_asked_for_stays() {
        let was = Settings {
            name: "home".to_owned(),
            mtu: 2800,
            ..Settings::default()
        };
        let request = NetworkSettings {
            public: Some(true),
            ..NetworkSettings::default()
        };
        let is = network(&was, &request).unwrap();
        assert_eq!(
            is,
            Settings {
                public: true,
                ..was
            }
        );
    }

    #[test]
    fn static_addresses_are_hosts_of_the_network() {
        let settings = Settings {
            pools: subnets(&["10.0.0.0/24"]),
            ..Settings::default()
        };
        let of = Network {
            id: "0123456789000001".parse().unwrap(),
            settings,
            epoch: 1,
            epoch_since: Unix(0),
            revision: 1,
            shared: [0].into(),
            shared_hash: [0; 32],
            created: Unix(0),
        };
        let mut is = Member::new(of.id, "0a0b0c0d0e".parse().unwrap(), Unix(0));
        for (ip, fits) in [
            ("10.0.0.1", true),
            ("10.0.0.254", true),
            ("10.0.0.0", false),
            ("10.0.0.255", false),
            ("10.0.1.1", false),
            ("fd01:2345:6789:0:199:930a:b0c:d0e", true),
            ("fd01:2345:6789:0:199:930a:b0c:d0f", false),
            ("fe80::1", false),
        ] {
            let request = MemberSettings {
                static_ips: Some(vec![ip.parse().unwrap()]),
                ..MemberSettings::default()
            };
            assert_eq!(member(&of, &mut is, &request).is_ok(), fits, "{ip}");
        }
    }
}
