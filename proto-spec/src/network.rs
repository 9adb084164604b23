//! What a controller signs: certificates, shared configurations and revocations (SPEC §9).
//!
//! Owner: nobody; plain values. In: a body. Out: its fields; the same, canonical.
//! Never: a verification, a judgement whether one is still valid.

use core::net::IpAddr;

use crate::cursor::{Put, Reader};
use crate::endpoint::Cidr;
use crate::error::Malformed;
use crate::ids::{Address, KeyId, Mac, NetworkId};
use crate::signed::Record;

/// What a member may do beyond sending its own frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Rights(u32);

impl Rights {
    /// Nothing more.
    pub const NONE: Self = Self(0);
    /// Send from other MACs, receive frames to unknown ones.
    pub const BRIDGE: Self = Self(1);
    /// Answer DHCP.
    pub const DHCP_SERVER: Self = Self(2);
    /// Send router advertisements.
    pub const ROUTER_ADVERTISEMENT: Self = Self(4);
    /// Replicate multicast for others.
    pub const REPLICATOR: Self = Self(8);
    /// Send from any IP address.
    pub const ANY_SOURCE_IP: Self = Self(16);
    const KNOWN: u32 = 31;

    /// Whether all of `others` are among these.
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// These and `others`.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The bits of the wire.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The rights of these bits.
    ///
    /// # Errors
    /// [`Malformed::Reserved`] for an unknown bit.
    pub const fn from_bits(bits: u32) -> Result<Self, Malformed> {
        if bits & !Self::KNOWN == 0 {
            Ok(Self(bits))
        } else {
            Err(Malformed::Reserved)
        }
    }
}

/// A certificate of membership (SPEC §9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Of which network.
    pub network: NetworkId,
    /// The member's key.
    pub key: KeyId,
    /// The member's address.
    pub address: Address,
    /// The member's MAC.
    pub mac: Mac,
    /// What it may do.
    pub rights: Rights,
    /// Grows with each certificate of this member.
    pub serial: u64,
    /// The network's epoch when it was signed.
    pub epoch: u64,
    /// Managed addresses with prefix lengths; at most 255.
    pub ips: Vec<Cidr>,
    /// For rules; at most 255.
    pub tags: Vec<Tag>,
}

/// A number that rules can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// Which tag.
    pub id: u32,
    /// Its value.
    pub value: u32,
}

impl Record for Certificate {
    const DOMAIN: &'static str = "zt certificate 1";

    fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let certificate = Self {
            network: r.network()?,
            key: r.key_id()?,
            address: r.address()?,
            mac: r.mac()?,
            rights: Rights::from_bits(r.u32()?)?,
            serial: r.u64()?,
            epoch: r.u64()?,
            ips: list(&mut r, Cidr::read)?,
            tags: list(&mut r, |r| {
                Ok(Tag {
                    id: r.u32()?,
                    value: r.u32()?,
                })
            })?,
        };
        r.end()?;
        if certificate.mac.is_group() {
            return Err(Malformed::Name);
        }
        Ok(certificate)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(&self.network.to_bytes());
        out.put(&self.key.to_bytes());
        out.put(&self.address.to_bytes());
        out.put(&self.mac.to_bytes());
        out.u32(self.rights.bits());
        out.u64(self.serial);
        out.u64(self.epoch);
        put_list(&self.ips, &mut out, Cidr::write);
        put_list(&self.tags, &mut out, |tag, out| {
            out.u32(tag.id);
            out.u32(tag.value);
        });
        out
    }
}

/// The part of a network's configuration that is the same for all members; signed once (SPEC §9.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedConfig {
    /// Of which network.
    pub network: NetworkId,
    /// Grows with each change.
    pub revision: u64,
    /// The network's newest epoch.
    pub epoch: u64,
    /// A certificate is valid while `epoch` minus its epoch is at most this.
    pub window: u16,
    /// For people.
    pub name: String,
    /// Bytes of payload after the Ethernet header: 1,280 to 9,000.
    pub mtu: u16,
    /// Members have the IPv6 address that follows from network and address.
    pub rfc4193: bool,
    /// Frames to `01:80:c2:00:00:01` to `0f` go to every member.
    pub link_local_groups: bool,
    /// Copies of a multicast frame that a member sends itself.
    pub multicast_limit: u16,
    /// The controller's key.
    pub controller: KeyId,
    /// Managed routes; at most 255.
    pub routes: Vec<NetworkRoute>,
    /// Domain for DNS; empty for none.
    pub dns_domain: String,
    /// DNS servers; at most 255.
    pub dns_servers: Vec<IpAddr>,
    /// Blocks that managed addresses come from; at most 255.
    pub pools: Vec<Cidr>,
    /// Compiled rules (SPEC §10.9); empty: every frame passes.
    pub rules: Vec<u8>,
}

/// A managed route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetworkRoute {
    /// Whereto.
    pub target: Cidr,
    /// The gateway; `None` for a route onto the device itself.
    pub via: Option<IpAddr>,
}

impl SharedConfig {
    /// Certificates stay valid this many epochs unless the network says otherwise.
    pub const DEFAULT_WINDOW: u16 = 3;
    /// Smallest MTU of a network: what IPv6 needs.
    pub const MTU_MIN: u16 = 1280;
    /// Largest MTU of a network.
    pub const MTU_MAX: u16 = 9000;
    /// Longest body: with its signature and a certificate it fits one answer of 64 KiB.
    pub const MAX: usize = 48 << 10;
    const RFC4193: u8 = 1;
    const LINK_LOCAL_GROUPS: u8 = 2;
}

impl Record for SharedConfig {
    const DOMAIN: &'static str = "zt shared 1";

    fn decode(body: &[u8]) -> Result<Self, Malformed> {
        if body.len() > Self::MAX {
            return Err(Malformed::Length);
        }
        let mut r = Reader::new(body);
        let network = r.network()?;
        let (revision, epoch) = (r.u64()?, r.u64()?);
        let window = r.u16()?;
        let name = r.text()?.to_owned();
        let mtu = r.u16()?;
        let flags = r.flags(Self::RFC4193 | Self::LINK_LOCAL_GROUPS)?;
        let multicast_limit = r.u16()?;
        let controller = r.key_id()?;
        let routes = list(&mut r, NetworkRoute::read)?;
        let dns_domain = r.text()?.to_owned();
        let dns_servers = list(&mut r, Reader::ip)?;
        let pools = list(&mut r, Cidr::read)?;
        let rules = usize::from(r.u16()?);
        let rules = r.take(rules)?.to_vec();
        r.end()?;
        if !(Self::MTU_MIN..=Self::MTU_MAX).contains(&mtu) {
            return Err(Malformed::Length);
        }
        Ok(Self {
            network,
            revision,
            epoch,
            window,
            name,
            mtu,
            rfc4193: flags & Self::RFC4193 != 0,
            link_local_groups: flags & Self::LINK_LOCAL_GROUPS != 0,
            multicast_limit,
            controller,
            routes,
            dns_domain,
            dns_servers,
            pools,
            rules,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(&self.network.to_bytes());
        out.u64(self.revision);
        out.u64(self.epoch);
        out.u16(self.window);
        out.text(&self.name);
        out.u16(self.mtu);
        let rfc4193 = if self.rfc4193 { Self::RFC4193 } else { 0 };
        let groups = if self.link_local_groups {
            Self::LINK_LOCAL_GROUPS
        } else {
            0
        };
        out.u8(rfc4193 | groups);
        out.u16(self.multicast_limit);
        out.put(&self.controller.to_bytes());
        put_list(&self.routes, &mut out, NetworkRoute::write);
        out.text(&self.dns_domain);
        put_list(&self.dns_servers, &mut out, |ip, out| out.ip(*ip));
        put_list(&self.pools, &mut out, Cidr::write);
        let rules = &self.rules[..self.rules.len().min(usize::from(u16::MAX))];
        // At most 65,535.
        out.u16(u16::try_from(rules.len()).unwrap_or(u16::MAX));
        out.put(rules);
        out
    }
}

impl NetworkRoute {
    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let target = Cidr::read(r)?;
        let via = match r.flags(1)? {
            0 => None,
            _ => Some(r.ip()?),
        };
        if target.network() != target.ip() {
            return Err(Malformed::Prefix);
        }
        match via {
            Some(via) if via.is_ipv4() != target.ip().is_ipv4() => Err(Malformed::Code),
            _ => Ok(Self { target, via }),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.target.write(out);
        match self.via {
            None => out.u8(0),
            Some(via) => {
                out.u8(1);
                out.ip(via);
            }
        }
    }
}

/// All certificates of a key on a network below a serial are dead (SPEC §9.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revocation {
    /// On which network.
    pub network: NetworkId,
    /// Whose.
    pub key: KeyId,
    /// The first serial that is not dead.
    pub minimum: u64,
    /// The network's epoch when it was signed.
    pub epoch: u64,
}

impl Record for Revocation {
    const DOMAIN: &'static str = "zt revocation 1";

    fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        let revocation = Self {
            network: r.network()?,
            key: r.key_id()?,
            minimum: r.u64()?,
            epoch: r.u64()?,
        };
        r.end()?;
        Ok(revocation)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(&self.network.to_bytes());
        out.put(&self.key.to_bytes());
        out.u64(self.minimum);
        out.u64(self.epoch);
        out
    }
}

fn list<'a, T>(
    r: &mut Reader<'a>,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = r.u8()?;
    (0..count).map(|_| one(r)).collect()
}

fn put_list<T>(items: &[T], out: &mut Vec<u8>, one: impl Fn(&T, &mut Vec<u8>)) {
    let items = &items[..items.len().min(255)];
    // At most 255.
    out.u8(u8::try_from(items.len()).unwrap_or(u8::MAX));
    for item in items {
        one(item, out);
    }
}
