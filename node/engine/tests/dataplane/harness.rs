//! Shards with real sessions, joined by a wire that is a list.
//!
//! Owner: the tests. In: what a test sends. Out: what arrives.
//! Never: a network, a clock.

use core::net::{IpAddr, SocketAddr};

use zt_crypto::handshake::Label;
use zt_crypto::{Hello, Initiator, Params, SecretIdentity, Suites, Verified, pow, respond};
use zt_engine::shard::{
    Flow, Member, NetworkUp, Notes, Offload, Path, PeerHandle, Policy, Sealing, SendBuf, SessionUp,
    Shard, ShardConfig, TapFrame, Update, Verdict,
};
use zt_engine::{Mono, Now, Unix};
use zt_rules::RuleSet;
use zt_wire::{Address, Mac, NetworkId, Rights};

/// A send batch with its memory made once.
pub struct Batch {
    bytes: Vec<u8>,
    used: usize,
    places: Vec<(SocketAddr, usize, usize)>,
}

impl Batch {
    pub fn new() -> Self {
        Self {
            bytes: vec![0; 1 << 20],
            used: 0,
            places: Vec::with_capacity(4096),
        }
    }

    pub fn clear(&mut self) {
        self.used = 0;
        self.places.clear();
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn get(&mut self, index: usize) -> (SocketAddr, &mut [u8]) {
        let (to, start, len) = self.places[index];
        (to, &mut self.bytes[start..start + len])
    }

    pub fn lengths(&self) -> Vec<usize> {
        self.places.iter().map(|&(_, _, len)| len).collect()
    }

    pub fn all(&self) -> Vec<Vec<u8>> {
        self.places
            .iter()
            .map(|&(_, start, len)| self.bytes[start..start + len].to_vec())
            .collect()
    }
}

impl SendBuf for Batch {
    fn slot(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        if self.places.len() == self.places.capacity() {
            return None;
        }
        let start = self.used;
        self.used += len;
        self.places.push((to, start, len));
        self.bytes.get_mut(start..start + len)
    }
}

/// A node's data plane and who it is.
pub struct Host {
    pub secret: SecretIdentity,
    pub who: Verified,
    pub shard: Shard,
    pub notes: Notes,
    pub at: SocketAddr,
    next_index: u32,
}

impl Host {
    pub fn new(number: u8, relays: bool) -> Self {
        let secret = SecretIdentity::from_seed(&[number; 32], 0);
        let who = pow::verify(secret.public(), &Params::WEAK).unwrap();
        let config = ShardConfig {
            relays,
            ..ShardConfig::default()
        };
        let shard = Shard::new(who.address(), config);
        let at = SocketAddr::from(([192, 0, 2, number], 9993));
        Self {
            secret,
            who,
            shard,
            notes: Notes::new(),
            at,
            next_index: u32::from(number) << 16,
        }
    }

    pub fn address(&self) -> Address {
        self.who.address()
    }

    pub fn mac(&self) -> Mac {
        Mac::of(self.address(), network())
    }

    pub fn meet(&mut self, handle: PeerHandle, other: &Self, supernode: bool) {
        let (address, key) = (other.address(), other.who.key());
        self.shard.apply(Update::Peer {
            peer: handle,
            address,
            key,
            supernode,
            flow: Flow::default(),
        });
        self.path(handle, Some(Path::Direct(other.at)), 1_472);
    }

    pub fn path(&mut self, peer: PeerHandle, path: Option<Path>, mtu: u16) {
        self.shard.apply(Update::Path { peer, path, mtu });
    }

    pub fn network_up(&mut self, bridge: bool, mtu: u16) {
        let mac = self.mac();
        self.shard.apply(Update::Network(NetworkUp {
            network: network(),
            mac,
            mtu,
            bridge,
        }));
    }

    pub fn admit(&mut self, other: &Self, rights: u32) {
        let member = Member {
            address: other.address(),
            key: other.who.key(),
            mac: other.mac(),
            rights,
            ips: vec![],
            tags: vec![],
        };
        self.shard.apply(Update::Member {
            network: network(),
            member,
        });
    }

    /// Admits `other` with managed addresses and tags.
    pub fn admit_as(&mut self, other: &Self, policy: &Policy) {
        let member = Member {
            address: other.address(),
            key: other.who.key(),
            mac: other.mac(),
            rights: policy.rights.bits(),
            ips: policy.ips.clone(),
            tags: policy.tags.clone(),
        };
        self.shard.apply(Update::Member {
            network: network(),
            member,
        });
    }

    /// A policy without rules, on a network that gives addresses; we have `10.0.0.number` and its like.
    pub fn policy(&self, number: u8) -> Policy {
        Policy {
            network: network(),
            me: self.address(),
            rights: Rights::NONE,
            ips: vec![IpAddr::from([10, 0, 0, number])],
            tags: vec![],
            rules: RuleSet::default(),
            manages_v4: true,
            computes_v6: true,
            routes: vec![],
            link_local_groups: false,
            multicast_limit: 32,
        }
    }

    pub fn impose(&mut self, policy: Policy) {
        self.shard.apply(Update::Policy {
            network: network(),
            policy: Box::new(policy),
        });
    }

    fn index(&mut self) -> u32 {
        self.next_index += 1;
        self.next_index
    }
}

pub fn network() -> NetworkId {
    NetworkId::new("0123456789".parse().unwrap(), 1).unwrap()
}

pub fn at(millis: u64) -> Now {
    Now {
        mono: Mono::from_nanos(1_000_000_000 + millis * 1_000_000),
        unix: Unix(0),
    }
}

/// A real handshake; both shards get its keys.
pub fn shake(
    one: &mut Host,
    two: &mut Host,
    handles: (PeerHandle, PeerHandle),
    now: Now,
    suites: Suites,
) {
    let (first, second) = (one.index(), two.index());
    let hello = |index| Hello {
        suites,
        boot: 1,
        index,
    };
    let (initiator, message1) = Initiator::start(
        &one.secret,
        &two.who,
        Label::Init,
        hello(first),
        &[first.to_be_bytes()[3]; 32],
    )
    .unwrap();
    let responded = respond(
        &two.secret,
        Label::Init,
        &message1,
        hello(second),
        &[second.to_be_bytes()[3]; 32],
    )
    .unwrap();
    let (keys, _) = initiator.finish(&one.secret, &responded.message2).unwrap();
    let since = now.mono;
    two.shard.apply(Update::SessionUp(Box::new(SessionUp {
        peer: handles.1,
        local: second,
        remote: first,
        seal: Sealing::new(responded.keys.seal),
        open: Some(responded.keys.open),
        initiator: false,
        since,
    })));
    one.shard.apply(Update::SessionUp(Box::new(SessionUp {
        peer: handles.0,
        local: first,
        remote: second,
        seal: Sealing::new(keys.seal),
        open: Some(keys.open),
        initiator: true,
        since,
    })));
}

/// What arrived at a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    pub frame: Vec<u8>,
    pub offload: Offload,
}

/// Two members of one network with a confirmed session.
pub struct Pair {
    pub a: Host,
    pub b: Host,
    pub batch: Batch,
}

/// What each of a pair calls the other.
pub const OTHER: PeerHandle = PeerHandle(0);
/// What each calls the supernode.
pub const RELAY: PeerHandle = PeerHandle(1);

impl Pair {
    pub fn with(suites: Suites, mtu: u16) -> Self {
        let (mut a, mut b) = (Host::new(1, false), Host::new(2, false));
        a.meet(OTHER, &b, false);
        b.meet(OTHER, &a, false);
        a.network_up(false, mtu);
        b.network_up(false, mtu);
        a.admit(&b, 0);
        b.admit(&a, 0);
        shake(&mut a, &mut b, (OTHER, OTHER), at(0), suites);
        let mut pair = Self {
            a,
            b,
            batch: Batch::new(),
        };
        pair.confirm(at(0));
        pair
    }

    pub fn new() -> Self {
        Self::with(Suites::LEAST, 1_500)
    }

    /// The initiator's first datagram: the responder may send afterwards.
    pub fn confirm(&mut self, now: Now) {
        let frame = self.frame_ab(b"first");
        let arrived = self.a_to_b(now, TapFrame::plain(&frame));
        assert_eq!(arrived.len(), 1);
        self.a.notes.clear();
        self.b.notes.clear();
    }

    pub fn frame_ab(&self, payload: &[u8]) -> Vec<u8> {
        frame(self.b.mac(), self.a.mac(), payload)
    }

    pub fn frame_ba(&self, payload: &[u8]) -> Vec<u8> {
        frame(self.a.mac(), self.b.mac(), payload)
    }

    pub fn a_to_b(&mut self, now: Now, frame: TapFrame<'_>) -> Vec<Arrived> {
        self.batch.clear();
        self.a
            .shard
            .tx(now, network(), frame, &mut self.batch, &mut self.a.notes);
        receive(&mut self.b, self.a.at, now, &mut self.batch)
    }

    pub fn b_to_a(&mut self, now: Now, frame: TapFrame<'_>) -> Vec<Arrived> {
        self.batch.clear();
        self.b
            .shard
            .tx(now, network(), frame, &mut self.batch, &mut self.b.notes);
        receive(&mut self.a, self.b.at, now, &mut self.batch)
    }
}

/// Everything in the batch arrives at a host; what its device gets.
pub fn receive(host: &mut Host, from: SocketAddr, now: Now, batch: &mut Batch) -> Vec<Arrived> {
    let mut arrived = Vec::new();
    for index in 0..batch.len() {
        let (to, bytes) = batch.get(index);
        assert_eq!(to, host.at);
        if let Verdict::Deliver { network: on, frame } =
            host.shard
                .rx(now, Path::Direct(from), bytes, &mut host.notes)
        {
            assert_eq!(on, network());
            arrived.push(Arrived {
                frame: frame.bytes.to_vec(),
                offload: frame.offload,
            });
        }
    }
    arrived
}

/// A frame with an `EtherType` of IPX and this payload.
pub fn frame(to: Mac, from: Mac, payload: &[u8]) -> Vec<u8> {
    [&to.to_bytes()[..], &from.to_bytes(), &[0x81, 0x37], payload].concat()
}
