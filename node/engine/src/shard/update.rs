//! News from the engine to a shard, applied between batches.
//!
//! In: nothing. Out: the vocabulary of `Shard::apply`.
//! Never: a decision. Whatever a shard knows it was told by one of these.

use core::net::{IpAddr, SocketAddr};
use std::boxed::Box;
use std::vec::Vec;

use zt_crypto::OpenKey;
use zt_rules::RuleSet;
use zt_wire::{Address, Cidr, KeyId, Mac, NetworkId, Rights};

use super::listening::Listen;
use super::sessions::Sealing;
use super::traffic::Flow;
use super::verdict::{Path, PeerHandle};
use crate::time::Mono;

/// One piece of news. A copy is for another worker: it does not open with the keys in it.
#[derive(Clone, Debug)]
pub enum Update {
    /// A peer got its handle. A handle in use is replaced: sessions and path of the former peer are gone.
    /// Said again of the same peer, it is the one that the address now leads to.
    Peer {
        /// Its handle from now on.
        peer: PeerHandle,
        /// Its address.
        address: Address,
        /// Its key.
        key: KeyId,
        /// Whether it is a supernode of our world, from which relayed datagrams are taken.
        supernode: bool,
        /// What all workers know together of its traffic.
        flow: Flow,
    },
    /// The peer is forgotten with its sessions.
    Forget(PeerHandle),
    /// A handshake is done.
    SessionUp(Box<SessionUp>),
    /// Frames and messages to the peer take this path from now on; `None`: there is none.
    Path {
        /// Which peer.
        peer: PeerHandle,
        /// The path.
        path: Option<Path>,
        /// The largest UDP payload on it, of the outermost datagram, bytes; at least 508.
        mtu: u16,
    },
    /// A network is usable, or its settings changed; members are kept.
    Network(NetworkUp),
    /// What frames may be on a network, and what our own certificate says; replaces what was said before.
    Policy {
        /// Where.
        network: NetworkId,
        /// What.
        policy: Box<Policy>,
    },
    /// A network is gone with everything about it.
    NetworkDown(NetworkId),
    /// A member's certificate is valid now.
    Member {
        /// Where.
        network: NetworkId,
        /// Who.
        member: Member,
    },
    /// A member's certificate is not valid any more.
    MemberOut {
        /// Where.
        network: NetworkId,
        /// Who.
        address: Address,
    },
    /// The controller lists this member: it gets broadcasts, and ARP and neighbour questions about it are answered.
    Listed {
        /// Where.
        network: NetworkId,
        /// Who.
        address: Address,
        /// Its managed addresses.
        ips: Vec<IpAddr>,
        /// Whether it may bridge: unknown unicast goes to it.
        bridge: bool,
        /// Whether it passes group frames on for others.
        replicator: bool,
    },
    /// What a member listens to.
    Groups {
        /// Where.
        network: NetworkId,
        /// Who.
        address: Address,
        /// Its groups; `None`: everything.
        groups: Option<Vec<Mac>>,
    },
    /// Our sockets with this machine's addresses: datagrams from and to them never run through a network.
    Underlay(Vec<SocketAddr>),
    /// Our device is cut off because of a loop, or connected again.
    Cut {
        /// Where.
        network: NetworkId,
        /// Whether it is cut off.
        cut: bool,
    },
    /// No station is behind this member any more.
    Unlearn {
        /// Where.
        network: NetworkId,
        /// Which member.
        address: Address,
    },
    /// The controller lists this member no more.
    Unlisted {
        /// Where.
        network: NetworkId,
        /// Who.
        address: Address,
    },
    /// Both ends have the keys of this session: another worker has opened the first datagram.
    Confirmed {
        /// Its local index.
        session: u32,
        /// When.
        at: Mono,
    },
    /// Another worker has seen a station at this place.
    Station {
        /// On which network.
        network: NetworkId,
        /// Which station.
        mac: Mac,
        /// Behind which member; `None`: behind our own device.
        behind: Option<Address>,
        /// When.
        at: Mono,
    },
    /// Take note of a selftest's frames from now on instead of delivering them; `None`: no more.
    Listen(Option<Box<Listen>>),
}

/// Fresh keys with a peer.
#[derive(Debug)]
pub struct SessionUp {
    /// With whom.
    pub peer: PeerHandle,
    /// Our index: what the peer writes into its datagrams. Random, chosen by the engine.
    pub local: u32,
    /// The peer's index.
    pub remote: u32,
    /// Seals what we send.
    pub seal: Sealing,
    /// Opens what we receive; at one worker only.
    pub open: Option<OpenKey>,
    /// We began the handshake: these keys are used at once. The other end waits until it has opened one datagram.
    pub initiator: bool,
    /// When the keys were made.
    pub since: Mono,
}

impl Clone for SessionUp {
    fn clone(&self) -> Self {
        Self {
            seal: self.seal.clone(),
            open: None,
            ..*self
        }
    }
}

/// A network as a shard needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkUp {
    /// Which.
    pub network: NetworkId,
    /// Our MAC there.
    pub mac: Mac,
    /// Its MTU, bytes after the Ethernet header.
    pub mtu: u16,
    /// Whether we may bridge.
    pub bridge: bool,
}

/// A member with a valid certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its address.
    pub address: Address,
    /// Its key; sessions of another key under the same address are not it.
    pub key: KeyId,
    /// Its MAC.
    pub mac: Mac,
    /// Its rights (SPEC: bit 0 bridge, ...).
    pub rights: u32,
    /// Its managed addresses.
    pub ips: Vec<IpAddr>,
    /// Tags of its certificate, for rules: id and value.
    pub tags: Vec<(u32, u32)>,
}

/// What frames may be on a network, and our own end of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which network.
    pub network: NetworkId,
    /// We.
    pub me: Address,
    /// Our rights.
    pub rights: Rights,
    /// Our managed addresses.
    pub ips: Vec<IpAddr>,
    /// Our tags.
    pub tags: Vec<(u32, u32)>,
    /// The network's rules.
    pub rules: RuleSet,
    /// The network gives IPv4 addresses, so nobody has others.
    pub manages_v4: bool,
    /// The network computes IPv6 addresses, so nobody has others.
    pub computes_v6: bool,
    /// Networks behind members: what is in one may come from the member with that address.
    pub routes: Vec<(Cidr, IpAddr)>,
    /// Frames to 01:80:C2:00:00:01 to 0F go to everybody.
    pub link_local_groups: bool,
    /// Copies of a group frame that we send ourselves where there are replicators.
    pub multicast_limit: usize,
}
