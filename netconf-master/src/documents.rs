//! What the controller signs: certificates, shared configurations, revocations.
//!
//! Owner: nobody. In: models, the signing identity. Out: signed bytes as they go to members.
//! Never: a decision who gets one.

use zt_crypto::{SecretIdentity, hash256};
use zt_wire::{
    Certificate, Cidr, KeyId, Mac, NetworkRoute, Record as _, Rights, SharedConfig, Tag,
};

use crate::assign;
use crate::model::{Member, Network};

/// The certificate of `member`, whose key is `key`, at the network's epoch.
pub fn certificate(network: &Network, member: &Member, key: KeyId) -> Certificate {
    let ips = member.ips.iter().filter_map(|ip| {
        let prefix = assign::prefix(network.id, &network.settings, *ip);
        Cidr::new(*ip, prefix).ok()
    });
    let tags = member.tags.iter().map(|(id, value)| Tag {
        id: *id,
        value: *value,
    });
    Certificate {
        network: network.id,
        key,
        address: member.address,
        mac: Mac::of(member.address, network.id),
        rights: effective_rights(network, member.rights),
        serial: member.serial,
        epoch: network.epoch,
        ips: ips.collect(),
        tags: tags.collect(),
    }
}

/// A member's rights as far as the network allows them.
pub fn effective_rights(network: &Network, rights: Rights) -> Rights {
    let bridge = network.settings.bridging && rights.has(Rights::BRIDGE);
    give(rights, Rights::BRIDGE, bridge)
}

/// `rights` with `right` given or taken.
pub fn give(rights: Rights, right: Rights, given: bool) -> Rights {
    let bits = if given {
        rights.bits() | right.bits()
    } else {
        rights.bits() & !right.bits()
    };
    // Both sides are known bits, so what is between them is.
    Rights::from_bits(bits).unwrap_or(rights)
}

/// What a certificate says apart from when it was signed: a change of this is a new serial.
pub fn content(certificate: &Certificate) -> [u8; 32] {
    let timeless = Certificate {
        serial: 0,
        epoch: 0,
        ..certificate.clone()
    };
    hash256(&timeless.encode())
}

/// Puts the network's shared configuration, as it now has to be, into it.
pub fn sign_shared(network: &mut Network, signer: &SecretIdentity) {
    let shared = shared(network, signer.key());
    network.shared_hash = hash256(&shared.encode());
    network.shared = signer.sign(&shared).into();
}

fn shared(network: &Network, controller: KeyId) -> SharedConfig {
    let settings = &network.settings;
    let wire = |subnet: &zt_api::master::Subnet| Cidr::new(subnet.base(), subnet.prefix()).ok();
    let routes = settings.routes.iter().filter_map(|route| {
        Some(NetworkRoute {
            target: wire(&route.target)?,
            via: route.via,
        })
    });
    SharedConfig {
        network: network.id,
        revision: network.revision,
        epoch: network.epoch,
        window: settings.window,
        name: settings.name.clone(),
        mtu: settings.mtu,
        rfc4193: settings.rfc4193,
        link_local_groups: settings.link_local_groups,
        multicast_limit: settings.multicast_limit,
        controller,
        routes: routes.collect(),
        dns_domain: settings.dns.domain.clone(),
        dns_servers: settings.dns.servers.clone(),
        pools: settings.pools.iter().filter_map(wire).collect(),
        rules: settings.rules.compiled.clone(),
    }
}
