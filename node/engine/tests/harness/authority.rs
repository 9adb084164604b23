//! A controller's host program, small: who is a member, what is signed.
//!
//! Owner: the tests. In: requests of members. Out: answers, and messages to push.
//! Never: a store, a page.

use std::collections::BTreeMap;

use zt_crypto::{SecretIdentity, key_id};
use zt_wire::message::{
    DirectoryDelta, DirectoryEntry, Hint, NetconfAnswer, NetconfPart, NetconfRequest,
    NetconfStatus, Parts,
};
use zt_wire::{
    Address, Certificate, Cidr, Identity, KeyId, Mac, Message, NetworkId, Revocation, Rights,
    SharedConfig, Signed,
};

/// What a controller knows of its networks.
pub struct Authority {
    secret: SecretIdentity,
    networks: BTreeMap<NetworkId, Network>,
    /// Messages to push because of what was answered.
    pub pending: Vec<(Address, Vec<u8>)>,
}

#[derive(Default)]
struct Network {
    revision: u64,
    epoch: u64,
    public: bool,
    members: BTreeMap<Address, Member>,
}

struct Member {
    key: KeyId,
    authorized: bool,
    serial: u64,
    bridge: bool,
    number: u8,
}

impl Authority {
    pub fn new(secret: SecretIdentity) -> Self {
        Self {
            secret,
            networks: BTreeMap::new(),
            pending: Vec::new(),
        }
    }

    pub fn key(&self) -> KeyId {
        key_id(self.secret.public())
    }

    /// A network that everybody (`public`) or only the authorized may enter.
    pub fn create(&mut self, network: NetworkId, public: bool) {
        let fresh = Network {
            revision: 1,
            epoch: 1,
            public,
            members: BTreeMap::new(),
        };
        self.networks.insert(network, fresh);
    }

    /// Authorizes or not; gives the messages to push, and to whom.
    pub fn authorize(&mut self, id: NetworkId, who: Address, yes: bool) -> Vec<(Address, Vec<u8>)> {
        let network = self.networks.get_mut(&id).expect("a network");
        network.revision += 1;
        let revision = network.revision;
        let member = network.members.get_mut(&who).expect("a member that asked");
        member.authorized = yes;
        member.serial += 1;
        let revocation = Revocation {
            network: id,
            key: member.key,
            minimum: member.serial,
            epoch: network.epoch,
        };
        let signed = self.secret.sign(&revocation);
        let revoked = Message::Revocation(Signed::parse(&signed).expect("ours")).to_vec();
        let hint = Message::Hint(Hint {
            network: id,
            revision,
        })
        .to_vec();
        let mut push = Vec::new();
        for &member in network.members.keys() {
            if !yes {
                push.push((member, revoked.clone()));
            }
            push.push((member, hint.clone()));
        }
        push
    }

    /// Gives or takes the bridge right.
    pub fn bridge(&mut self, id: NetworkId, who: Address, yes: bool) -> Vec<(Address, Vec<u8>)> {
        let network = self.networks.get_mut(&id).expect("a network");
        network.members.get_mut(&who).expect("a member").bridge = yes;
        self.authorize(id, who, true)
    }

    /// The answer to a request.
    pub fn answer(&mut self, identity: &Identity, address: Address, request: &[u8]) -> Vec<u8> {
        let request = NetconfRequest::parse(request).expect("a request");
        let id = request.network;
        let Some(network) = self.networks.get_mut(&id) else {
            return encode(&request, NetconfStatus::NotFound, &[]);
        };
        let number = u8::try_from(network.members.len() + 1).expect("few");
        let public = network.public;
        let mut fresh = false;
        let member = network.members.entry(address).or_insert_with(|| {
            fresh = public;
            Member {
                key: key_id(identity),
                authorized: public,
                serial: 1,
                bridge: false,
                number,
            }
        });
        if member.key != key_id(identity) {
            return encode(&request, NetconfStatus::Denied, &[]);
        }
        if !member.authorized {
            return encode(&request, NetconfStatus::Pending, &[]);
        }
        if fresh {
            network.revision += 1;
            let revision = network.revision;
            let hint = Message::Hint(Hint {
                network: id,
                revision,
            })
            .to_vec();
            let others = network.members.keys().filter(|&&other| other != address);
            self.pending
                .extend(others.map(|&other| (other, hint.clone())));
        }
        let network = &self.networks[&id];
        let parts = self.parts(id, network, address, request.directory);
        encode(&request, NetconfStatus::Ok, &parts)
    }

    fn parts(&self, id: NetworkId, network: &Network, address: Address, known: u64) -> Vec<u8> {
        let member = &network.members[&address];
        let shared = self.secret.sign(&SharedConfig {
            network: id,
            revision: network.revision,
            epoch: network.epoch,
            window: 3,
            name: "test".into(),
            mtu: 1_500,
            rfc4193: true,
            link_local_groups: false,
            multicast_limit: 32,
            controller: self.key(),
            routes: vec![],
            dns_domain: String::new(),
            dns_servers: vec![],
            pools: vec![],
            rules: vec![],
        });
        let certificate = self.secret.sign(&Certificate {
            network: id,
            key: member.key,
            address,
            mac: Mac::of(address, id),
            rights: if member.bridge {
                Rights::BRIDGE
            } else {
                Rights::NONE
            },
            serial: member.serial,
            epoch: network.epoch,
            ips: vec![Cidr::new([10, 7, 0, member.number].into(), 24).expect("a block")],
            tags: vec![],
        });
        let entry = |(&address, member): (&Address, &Member)| DirectoryEntry {
            address,
            removed: !member.authorized,
            bridge: member.bridge,
            replicator: false,
            ips: vec![[10, 7, 0, member.number].into()],
        };
        let directory = DirectoryDelta {
            from: known,
            to: network.revision,
            more: false,
            entries: network.members.iter().map(entry).collect(),
        };
        let mut parts = Vec::new();
        NetconfPart::Shared(Signed::parse(&shared).expect("ours")).write(&mut parts);
        NetconfPart::Certificate(Signed::parse(&certificate).expect("ours")).write(&mut parts);
        NetconfPart::Directory(&directory.encode()).write(&mut parts);
        parts
    }
}

fn encode(request: &NetconfRequest, status: NetconfStatus, parts: &[u8]) -> Vec<u8> {
    let answer = NetconfAnswer {
        request: request.request,
        network: request.network,
        status,
        retry_after: 0,
        parts: Parts::parse(parts).expect("ours"),
    };
    let mut out = Vec::new();
    answer.write(&mut out);
    out
}
