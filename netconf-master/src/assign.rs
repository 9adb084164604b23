//! Which addresses a member gets.
//!
//! In: a network's pools, a member, a question whether an address is held. Out: addresses, prefix lengths.
//! Never: a store; the unique index there has the last word.

use std::net::{IpAddr, Ipv4Addr};

use zt_api::master::Subnet;
use zt_wire::{KeyId, NetworkId};

use crate::limits;
use crate::model::{Member, Network, Settings};

/// The addresses that `member` is to hold: static ones, an automatic IPv4 address when none is static, the computed IPv6 one.
///
/// `held` says whether another member holds an address. An automatic address that the member has already stays while a
/// pool holds it. Without an address left in any pool the member gets none.
///
/// `attempt` is how often another was quicker to take the address: each time another place is looked at first.
pub fn addresses(
    network: &Network,
    member: &Member,
    attempt: u32,
    held: &mut impl FnMut(Ipv4Addr) -> bool,
) -> Vec<IpAddr> {
    let settings = &network.settings;
    let mut ips = member.static_ips.clone();
    let has_v4 = ips.iter().any(IpAddr::is_ipv4);
    if settings.assign && !has_v4 {
        let kept = member.ips.iter().copied().find(|ip| usable(settings, *ip));
        let given = kept.or_else(|| {
            let key = member.key?;
            free(settings, key, attempt, held).map(IpAddr::V4)
        });
        ips.extend(given);
    }
    if settings.rfc4193 {
        let computed = network.id.ipv6_of(member.address).into();
        if !ips.contains(&computed) {
            ips.push(computed);
        }
    }
    ips
}

/// The first free address from where the member's key points, pool by pool.
///
/// Starting at the key spreads members, so a probe or two suffice, and gives a member that was deleted its old address again.
fn free(
    settings: &Settings,
    key: KeyId,
    attempt: u32,
    held: &mut impl FnMut(Ipv4Addr) -> bool,
) -> Option<Ipv4Addr> {
    let [a, b, c, d, ..] = key.to_bytes();
    // An odd constant far from any power of two spreads attempts over a pool of any size.
    let start = u32::from_be_bytes([a, b, c, d]).wrapping_add(attempt.wrapping_mul(0x9e37_79b9));
    for pool in &settings.pools {
        let IpAddr::V4(base) = pool.base() else {
            continue;
        };
        let hosts = hosts(*pool);
        for step in 0..hosts.min(limits::POOL_PROBES) {
            // First host is base + 1; `hosts` leaves out the network's and the broadcast address.
            let host = (start % hosts + step) % hosts;
            let ip = Ipv4Addr::from_bits(base.to_bits() + 1 + host);
            if !reserved(settings, ip.into()) && !held(ip) {
                return Some(ip);
            }
        }
    }
    None
}

/// Addresses of a pool that hosts can have.
fn hosts(pool: Subnet) -> u32 {
    let bits = 32 - u32::from(pool.prefix().min(32));
    // Pools are /8 to /30 (`settings`), so this neither overflows nor gets below 2.
    (1u64 << bits)
        .saturating_sub(2)
        .max(1)
        .try_into()
        .unwrap_or(u32::MAX)
}

/// Whether a member may have `ip` of a pool: neither the subnet's own nor its broadcast address, no gateway of a route.
pub fn usable(settings: &Settings, ip: IpAddr) -> bool {
    let (IpAddr::V4(v4), Some(pool)) = (ip, pool_of(settings, ip)) else {
        return false;
    };
    let IpAddr::V4(base) = pool.base() else {
        return false;
    };
    let place = v4.to_bits() - base.to_bits();
    place >= 1 && place <= hosts(pool) && !reserved(settings, ip)
}

/// Whether a managed route goes through `ip`: the gateway's own, given by hand.
fn reserved(settings: &Settings, ip: IpAddr) -> bool {
    settings.routes.iter().any(|route| route.via == Some(ip))
}

fn pool_of(settings: &Settings, ip: IpAddr) -> Option<Subnet> {
    settings
        .pools
        .iter()
        .copied()
        .find(|pool| pool.contains(ip))
}

/// The prefix length that goes with an address: its pool's, else that of a route straight onto the network, else the computed
/// subnet's, else a host's.
pub fn prefix(network: NetworkId, settings: &Settings, ip: IpAddr) -> u8 {
    known_prefix(network, settings, ip).unwrap_or(if ip.is_ipv4() { 32 } else { 128 })
}

/// The same; `None` where nothing of the network's holds `ip`.
pub fn known_prefix(network: NetworkId, settings: &Settings, ip: IpAddr) -> Option<u8> {
    let on_link = settings
        .routes
        .iter()
        .filter(|route| route.via.is_none())
        .map(|route| route.target);
    settings
        .pools
        .iter()
        .copied()
        .chain(on_link)
        .find(|subnet| subnet.contains(ip))
        .map(Subnet::prefix)
        .or_else(|| is_computed(network, ip).then_some(COMPUTED_PREFIX))
}

/// Whether `ip` is what a member of the network may compute for itself (SPEC §2.7).
pub fn is_computed(network: NetworkId, ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => network.member_of_ipv6(ip).is_some(),
    }
}

/// Bits of a computed address that the network fixes.
const COMPUTED_PREFIX: u8 = 88;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use zt_api::master::{MemberStatus, Route};
    use zt_engine::Unix;
    use zt_wire::Address;

    use super::*;

    const NETWORK: &str = "0123456789000001";

    fn network() -> NetworkId {
        NETWORK.parse().unwrap()
    }

    fn with(settings: Settings) -> Network {
        Network {
            id: network(),
            settings,
            epoch: 1,
            epoch_since: Unix(0),
            revision: 1,
            shared: [0].into(),
            shared_hash: [0; 32],
            created: Unix(0),
        }
    }

    fn settings(pools: &[&str]) -> Settings {
        Settings {
            pools: pools.iter().map(|pool| pool.parse().unwrap()).collect(),
            ..Settings::default()
        }
    }

    fn member(number: u8) -> Member {
        let address = Address::from_bytes([1, 0, 0, 0, number]).unwrap();
        Member {
            key: Some(KeyId::from_bytes([number; 32])),
            status: MemberStatus::Authorized,
            ..Member::new(network(), address, Unix(0))
        }
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn a_pool_is_given_out_to_the_last_host_and_no_further() {
        // Pool, how many members it serves: a /30 has two hosts, a /29 six.
        for (pools, serves) in [
            (&["10.0.0.0/30"][..], 2),
            (&["10.0.0.0/29"][..], 6),
            (&["10.0.0.0/30", "10.1.0.0/30"][..], 4),
        ] {
            let settings = settings(pools);
            let mut given = BTreeSet::new();
            for number in 0..serves {
                let got = addresses(&with(settings.clone()), &member(number), 0, &mut |ip| {
                    given.contains(&IpAddr::from(ip))
                });
                assert_eq!(got.len(), 1, "{pools:?} {number}");
                assert!(usable(&settings, got[0]));
                assert!(given.insert(got[0]), "{pools:?} {number} twice");
            }
            let none = addresses(&with(settings.clone()), &member(99), 0, &mut |ip| {
                given.contains(&IpAddr::from(ip))
            });
            assert_eq!(none, Vec::<IpAddr>::new(), "{pools:?}");
        }
    }

    #[test]
    fn what_a_member_gets() {
        struct Case {
            name: &'static str,
            settings: Settings,
            has: Vec<IpAddr>,
            fixed: Vec<IpAddr>,
            gets: Vec<IpAddr>,
        }
        let pool = settings(&["10.0.0.0/30"]);
        let gateway = Settings {
            routes: vec![Route {
                target: "192.168.0.0/16".parse().unwrap(),
                via: Some("10.0.0.1".parse().unwrap()),
            }],
            ..pool.clone()
        };
        let by_hand = Settings {
            assign: false,
            ..pool.clone()
        };
        let computed = Settings {
            rfc4193: true,
            ..Settings::default()
        };
        let cases = [
            Case {
                name: "a static address takes the place of an automatic one",
                settings: pool.clone(),
                has: ips(&["10.0.0.1"]),
                fixed: ips(&["10.0.0.2"]),
                gets: ips(&["10.0.0.2"]),
            },
            Case {
                name: "what it has stays",
                settings: pool.clone(),
                has: ips(&["10.0.0.2"]),
                fixed: vec![],
                gets: ips(&["10.0.0.2"]),
            },
            Case {
                name: "a gateway's address is not given away",
                settings: gateway,
                has: ips(&["10.0.0.1"]),
                fixed: vec![],
                gets: ips(&["10.0.0.2"]),
            },
            Case {
                name: "nothing is automatic when assignment is off",
                settings: by_hand,
                has: ips(&["10.0.0.2"]),
                fixed: vec![],
                gets: vec![],
            },
            Case {
                name: "the computed address needs no pool",
                settings: computed,
                has: vec![],
                fixed: vec![],
                gets: ips(&["fd01:2345:6789:0:199:9301::7"]),
            },
        ];
        for case in cases {
            let member = Member {
                ips: case.has,
                static_ips: case.fixed,
                ..member(7)
            };
            let got = addresses(&with(case.settings), &member, 0, &mut |_| false);
            assert_eq!(got, case.gets, "{}", case.name);
        }
    }

    #[test]
    fn an_address_of_a_pool_that_is_gone_is_replaced() {
        let settings = settings(&["10.9.0.0/24"]);
        let member = Member {
            ips: ips(&["10.0.0.2"]),
            ..member(7)
        };
        let got = addresses(&with(settings.clone()), &member, 0, &mut |_| false);
        assert!(settings.pools[0].contains(got[0]), "{got:?}");
    }

    #[test]
    fn prefix_lengths_come_from_pool_route_or_computation() {
        let settings = Settings {
            routes: vec![Route {
                target: "10.5.0.0/16".parse().unwrap(),
                via: None,
            }],
            ..settings(&["10.0.0.0/24"])
        };
        let computed = network().ipv6_of(member(1).address).into();
        for (ip, bits) in [
            ("10.0.0.7".parse().unwrap(), 24),
            ("10.5.0.7".parse().unwrap(), 16),
            ("10.6.0.7".parse().unwrap(), 32),
            (computed, 88),
        ] {
            assert_eq!(prefix(network(), &settings, ip), bits, "{ip}");
        }
    }
}
