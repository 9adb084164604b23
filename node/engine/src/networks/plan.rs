//! How a network's device is to look, and what of it the member has not allowed.
//!
//! In: the controller's configuration, our certificate, the member's consent, the underlay. Out: a `TapPlan`.
//! Never: a default route, a public or overlapping one without consent.

use core::net::IpAddr;
use std::vec::Vec;

use zt_wire::{Address, Certificate, Cidr, Rights, SharedConfig};

use crate::interface::{Consent, Route, TapPlan};

/// Bits of the computed IPv6 address that all members share: fd, network id, 9993.
const COMPUTED_PREFIX: u8 = 88;
/// Routes shorter than this cover so much that two or a few of them are a default route in disguise.
const DEFAULT_LIKE: u8 = 8;

/// The plan for our device.
pub(super) fn plan(
    me: Address,
    shared: &SharedConfig,
    certificate: &Certificate,
    consent: Consent,
    underlay: &[IpAddr],
) -> TapPlan {
    let mut addresses: Vec<(IpAddr, u8)> = Vec::new();
    let mut routes = Vec::new();
    if consent.managed {
        let computed = shared
            .rfc4193
            .then(|| (IpAddr::V6(shared.network.ipv6_of(me)), COMPUTED_PREFIX));
        let given = certificate
            .ips
            .iter()
            .map(|cidr| (cidr.ip(), cidr.prefix()));
        for (ip, prefix) in given.chain(computed) {
            if !host(ip)
                || (!private(ip) && !consent.global)
                || addresses.iter().any(|&(known, _)| known == ip)
            {
                continue;
            }
            let covers = overlaps(ip, prefix, underlay) && !consent.global;
            // The address alone harms nobody; the route onto its block would take the underlay away.
            let prefix = if covers { full(ip) } else { prefix };
            addresses.push((ip, prefix));
        }
        for route in &shared.routes {
            let (target, prefix) = (route.target.ip(), route.target.prefix());
            let on_device = route.via.is_none()
                && addresses
                    .iter()
                    .any(|&(ip, len)| len == prefix && covers(ip, len, target));
            let reachable = route.via.is_none_or(|via| {
                addresses
                    .iter()
                    .any(|&(ip, len)| ip != via && covers(ip, len, via))
            });
            if !on_device && reachable && allowed(target, prefix, consent, underlay) {
                routes.push(Route {
                    target,
                    prefix,
                    via: route.via,
                });
            }
        }
    }
    TapPlan {
        mac: certificate.mac,
        mtu: shared.mtu,
        addresses,
        routes,
        bridge: certificate.rights.has(Rights::BRIDGE),
    }
}

fn allowed(target: IpAddr, prefix: u8, consent: Consent, underlay: &[IpAddr]) -> bool {
    if prefix < DEFAULT_LIKE {
        return consent.default_route;
    }
    consent.global || (private(target) && !overlaps(target, prefix, underlay))
}

fn overlaps(target: IpAddr, prefix: u8, underlay: &[IpAddr]) -> bool {
    underlay.iter().any(|&ip| covers(target, prefix, ip))
}

fn covers(block: IpAddr, prefix: u8, ip: IpAddr) -> bool {
    Cidr::new(block, prefix).is_ok_and(|cidr| cidr.contains(ip))
}

const fn full(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Whether a host can have this address on a device.
fn host(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast() || ip.octets()[0] == 0);
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || broadcast)
}

/// Whether an address is of the kind that sites use inside: RFC 1918, RFC 6598, RFC 4193.
fn private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => ip.octets()[0] & 0xfe == 0xfc,
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec;

    use zt_wire::{KeyId, Mac, NetworkId, NetworkRoute, Rights};

    use super::*;

    fn me() -> Address {
        "89abcdef01".parse().unwrap()
    }

    fn network() -> NetworkId {
        NetworkId::new("0123456789".parse().unwrap(), 1).unwrap()
    }

    fn shared(routes: &[(&str, Option<&str>)]) -> SharedConfig {
        let route = |&(target, via): &(&str, Option<&str>)| NetworkRoute {
            target: target.parse().unwrap(),
            via: via.map(|via| via.parse().unwrap()),
        };
        SharedConfig {
            network: network(),
            revision: 1,
            epoch: 1,
            window: 3,
            name: String::new(),
            mtu: 1_500,
            rfc4193: false,
            link_local_groups: false,
            multicast_limit: 32,
            controller: KeyId::from_bytes([1; 32]),
            routes: routes.iter().map(route).collect(),
            dns_domain: String::new(),
            dns_servers: vec![],
            pools: vec![],
            rules: vec![],
        }
    }

    fn certificate(ips: &[&str]) -> Certificate {
        Certificate {
            network: network(),
            key: KeyId::from_bytes([2; 32]),
            address: me(),
            mac: Mac::of(me(), network()),
            rights: Rights::NONE,
            serial: 1,
            epoch: 1,
            ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            tags: vec![],
        }
    }

    fn targets(plan: &TapPlan) -> Vec<(IpAddr, u8)> {
        plan.routes
            .iter()
            .map(|route| (route.target, route.prefix))
            .collect()
    }

    #[test]
    fn a_network_alone_sets_private_addresses_and_routes_only() {
        let shared = shared(&[
            ("10.9.0.0/16", Some("10.1.0.9")),
            ("0.0.0.0/0", Some("10.1.0.9")),
            ("128.0.0.0/1", Some("10.1.0.9")),
            ("8.8.8.0/24", Some("10.1.0.9")),
            ("127.0.0.0/8", None),
            ("169.254.0.0/16", None),
        ]);
        let certificate = certificate(&["10.1.0.2/24", "203.0.113.9/24", "127.0.0.9/8"]);
        let plan = plan(me(), &shared, &certificate, Consent::default(), &[]);
        assert_eq!(plan.addresses, [("10.1.0.2".parse().unwrap(), 24)]);
        assert_eq!(targets(&plan), [("10.9.0.0".parse().unwrap(), 16)]);
    }

    #[test]
    fn consent_lifts_what_it_names() {
        let shared = shared(&[
            ("0.0.0.0/0", Some("10.1.0.9")),
            ("8.8.8.0/24", Some("10.1.0.9")),
        ]);
        let certificate = certificate(&["10.1.0.2/24"]);
        let consent = |global, default_route| Consent {
            global,
            default_route,
            ..Consent::default()
        };
        let routes = |consent| targets(&plan(me(), &shared, &certificate, consent, &[]));
        assert_eq!(
            routes(consent(true, false)),
            [("8.8.8.0".parse().unwrap(), 24)]
        );
        assert_eq!(
            routes(consent(false, true)),
            [("0.0.0.0".parse().unwrap(), 0)]
        );
        let none = Consent {
            managed: false,
            ..Consent::default()
        };
        assert!(
            plan(me(), &shared, &certificate, none, &[])
                .addresses
                .is_empty()
        );
    }

    #[test]
    fn the_underlay_is_not_routed_into_the_overlay() {
        let shared = shared(&[("192.168.0.0/16", Some("10.1.0.9"))]);
        let certificate = certificate(&["10.1.0.2/24", "192.168.7.3/24"]);
        let underlay = ["192.168.7.20".parse().unwrap()];
        let plan = plan(me(), &shared, &certificate, Consent::default(), &underlay);
        assert!(plan.routes.is_empty());
        assert_eq!(plan.addresses[1], ("192.168.7.3".parse().unwrap(), 32));
    }

    #[test]
    fn a_gateway_that_is_not_on_the_network_is_no_gateway() {
        let shared = shared(&[("10.9.0.0/16", Some("10.2.0.1")), ("10.1.0.0/24", None)]);
        let plan = plan(
            me(),
            &shared,
            &certificate(&["10.1.0.2/24"]),
            Consent::default(),
            &[],
        );
        assert!(
            plan.routes.is_empty(),
            "the block of our own address needs no route either"
        );
    }

    #[test]
    fn the_computed_address_comes_on_request_of_the_network() {
        let shared = SharedConfig {
            rfc4193: true,
            ..shared(&[])
        };
        let plan = plan(me(), &shared, &certificate(&[]), Consent::default(), &[]);
        assert_eq!(plan.addresses, [(IpAddr::V6(network().ipv6_of(me())), 88)]);
    }
}
