//! What the codec's tests share: strategies for every message, and hex.
//!
//! In: nothing. Out: proptest strategies, bytes of hex. Never: an assertion.

#![allow(
    dead_code,
    reason = "each test binary uses its own half of these helpers"
)]

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use zt_wire::message::{DirectoryDelta, DirectoryEntry};
use zt_wire::{
    Address, Certificate, Cidr, Endpoint, EndpointKind, Identity, KeyId, Mac, NetworkId,
    NetworkRoute, ProofOfWork, Revocation, Rights, SharedConfig, Tag, World, WorldSupernode,
};

pub fn bytes_of(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "odd hex: {hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

pub fn hex_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

pub fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 5]>().prop_filter_map("reserved", |bytes| Address::from_bytes(bytes).ok())
}

pub fn network() -> impl Strategy<Value = NetworkId> {
    (address(), 0..0x0100_0000_u32)
        .prop_map(|(controller, number)| NetworkId::new(controller, number).unwrap())
}

pub fn identity() -> impl Strategy<Value = Identity> {
    any::<([u8; 32], [u8; 32], u64)>().prop_map(|(a, b, nonce)| Identity::new(a, b, nonce))
}

pub fn socket() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), 1..=u16::MAX).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

pub fn endpoint() -> impl Strategy<Value = Endpoint> {
    let kind = prop_oneof![
        Just(EndpointKind::Local),
        Just(EndpointKind::Reflexive),
        Just(EndpointKind::Mapped)
    ];
    (kind, socket()).prop_map(|(kind, socket)| Endpoint { kind, socket })
}

pub fn cidr() -> impl Strategy<Value = Cidr> {
    (any::<IpAddr>(), 0..=128_u8).prop_map(|(ip, prefix)| {
        let most = if ip.is_ipv4() { 32 } else { 128 };
        Cidr::new(ip, prefix.min(most)).unwrap()
    })
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9äöü .:-]{0,40}"
}

pub fn world() -> impl Strategy<Value = World> {
    let supernode = (identity(), vec(socket(), 0..4), vec(text(), 0..3)).prop_map(
        |(identity, endpoints, tls_endpoints)| WorldSupernode {
            identity,
            endpoints,
            tls_endpoints,
        },
    );
    let cost =
        any::<(u32, u32, u8, bool)>().prop_map(|(memory_kib, passes, bits, weak)| ProofOfWork {
            memory_kib,
            passes,
            bits,
            weak,
        });
    let keys = any::<([u8; 16], [u8; 32], [u8; 32])>();
    (1..=u64::MAX, text(), cost, keys, vec(supernode, 1..5)).prop_map(
        |(serial, name, proof_of_work, (id, signing_key, next_key), supernodes)| World {
            id,
            serial,
            name,
            proof_of_work,
            signing_key,
            next_key,
            supernodes,
        },
    )
}

pub fn certificate() -> impl Strategy<Value = Certificate> {
    let tag = any::<(u32, u32)>().prop_map(|(id, value)| Tag { id, value });
    let who = (network(), any::<[u8; 32]>(), address());
    let numbers = (0..32_u32, any::<u64>(), any::<u64>());
    (who, numbers, vec(cidr(), 0..5), vec(tag, 0..5)).prop_map(
        |((network, key, address), (rights, serial, epoch), ips, tags)| Certificate {
            network,
            key: KeyId::from_bytes(key),
            address,
            mac: Mac::of(address, network),
            rights: Rights::from_bits(rights).unwrap(),
            serial,
            epoch,
            ips,
            tags,
        },
    )
}

pub fn shared() -> impl Strategy<Value = SharedConfig> {
    let route = (cidr(), any::<bool>()).prop_map(|(target, onto_device)| NetworkRoute {
        target: Cidr::new(target.network(), target.prefix()).unwrap(),
        via: (!onto_device).then_some(target.ip()),
    });
    let numbers = (
        any::<(u64, u64, u16, bool, bool, u16, [u8; 32])>(),
        SharedConfig::MTU_MIN..=SharedConfig::MTU_MAX,
    );
    let lists = (
        vec(route, 0..4),
        vec(any::<IpAddr>(), 0..3),
        vec(cidr(), 0..3),
        vec(any::<u8>(), 0..9),
    );
    (network(), numbers, text(), text(), lists).prop_map(
        |(network, numbers, name, domain, lists)| {
            let ((revision, epoch, window, rfc4193, groups, limit, controller), mtu) = numbers;
            let (routes, dns_servers, pools, rules) = lists;
            SharedConfig {
                network,
                revision,
                epoch,
                window,
                name,
                mtu,
                rfc4193,
                link_local_groups: groups,
                multicast_limit: limit,
                controller: KeyId::from_bytes(controller),
                routes,
                dns_domain: domain,
                dns_servers,
                pools,
                rules,
            }
        },
    )
}

pub fn revocation() -> impl Strategy<Value = Revocation> {
    (network(), any::<([u8; 32], u64, u64)>()).prop_map(|(network, (key, minimum, epoch))| {
        Revocation {
            network,
            key: KeyId::from_bytes(key),
            minimum,
            epoch,
        }
    })
}

pub fn directory() -> impl Strategy<Value = DirectoryDelta> {
    let entry = (address(), any::<[bool; 3]>(), vec(any::<IpAddr>(), 0..4)).prop_map(
        |(address, [removed, bridge, replicator], ips)| DirectoryEntry {
            address,
            removed,
            bridge,
            replicator,
            ips,
        },
    );
    (any::<(u64, u64, bool)>(), vec(entry, 0..20)).prop_map(|((from, to, more), entries)| {
        DirectoryDelta {
            from,
            to,
            more,
            entries,
        }
    })
}
