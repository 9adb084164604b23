//! The data plane: sealed datagrams in, frames out, and the other way round.
//!
//! Owner: one worker. In: datagrams, frames, `Update`s from the engine. Out: verdicts, sealed datagrams, `Note`s.
//! Never: a handshake, a timer besides the death of keys, an allocation per packet.

mod extras;
mod fair;
mod found;
mod later;
mod listening;
mod relay;
mod replicate;
mod rx;
mod seal;
mod sessions;
mod track;
mod traffic;
mod tx;
mod underlay;
pub mod update;
pub mod verdict;

use std::vec::Vec;

use zt_crypto::Suite;
use zt_wire::{Address, NetworkId};

use self::fair::Fair;
pub use self::listening::Listen;
use self::listening::Listening;
pub(crate) use self::listening::fingerprint;
use self::relay::Pairs;
use self::seal::{Body, Sender};
pub use self::sessions::Sealing;
use self::sessions::Sessions;
use self::track::Track;
pub use self::traffic::{Flow, Traffic};
use self::underlay::Underlay;
pub use self::update::{Member, NetworkUp, Policy, SessionUp, Update};
pub use self::verdict::{
    Forward, NotSent, Note, Notes, Offload, Path, PeerHandle, Punt, SendBuf, Sent, Share, Shown,
    TapFrame, Verdict, Whose,
};
use crate::counters::Counters;
use crate::fragments::Fragments;
use crate::limits;
use crate::switch::Switch;
use crate::time::{Mono, Now};

/// Most workers of a node.
pub const WORKERS: usize = 16;

/// The worker that opens what comes for this session index: its last four bits.
pub const fn owner(index: u32) -> usize {
    (index % 16) as usize
}
const _: () = assert!(WORKERS == 16);

/// What relaying takes from a datagram, as the engine counts it.
pub(crate) const RELAY_COST: u16 = 41;
const _: () = assert!(RELAY_COST as usize == seal::RELAY_COST);

/// The data plane of one worker.
#[derive(Debug)]
pub struct Shard {
    me: Address,
    config: ShardConfig,
    sessions: Sessions,
    switch: Switch,
    underlay: Underlay,
    fragments: Fragments,
    pairs: Pairs,
    fair: Fair,
    counters: Counters,
    /// The last message put together, outer and inside a relayed datagram; memory is reused.
    assembled: [Vec<u8>; 2],
    answer: Vec<u8>,
    /// A selftest whose frames are taken note of instead of delivered.
    listening: Option<Listening>,
    /// What the last frame from the wire was like.
    track: Option<Track>,
}

/// How a shard behaves.
#[derive(Clone, Copy, Debug)]
pub struct ShardConfig {
    /// Whether it passes datagrams on for others.
    pub relays: bool,
    /// Relayed bytes per second and source.
    pub relay_rate: u64,
    /// Seeds the order of its tables.
    pub seed: u64,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            relays: false,
            relay_rate: limits::RELAY_BYTES_PER_SECOND,
            seed: 0,
        }
    }
}

/// To whom and how a control message goes.
#[derive(Clone, Copy, Debug)]
pub struct To {
    /// The peer.
    pub peer: PeerHandle,
    /// This path instead of the one in use.
    pub path: Option<Path>,
    /// Never in fragments: one datagram whatever its size.
    pub whole: bool,
}

/// Facts about the keys in use with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// Our index.
    pub local: u32,
    /// The suite.
    pub suite: Suite,
    /// Since when.
    pub since: Mono,
    /// Whether we began the handshake.
    pub initiator: bool,
    /// Whether a datagram under these keys was opened.
    pub confirmed: bool,
}

impl Shard {
    /// An empty shard of the node at `me`.
    pub fn new(me: Address, config: ShardConfig) -> Self {
        Self {
            me,
            config,
            sessions: Sessions::new(config.seed),
            switch: Switch::new(config.seed),
            underlay: Underlay::default(),
            fragments: Fragments::default(),
            pairs: Pairs::default(),
            fair: Fair::default(),
            counters: Counters::default(),
            assembled: [Vec::new(), Vec::new()],
            answer: Vec::new(),
            listening: None,
            track: None,
        }
    }

    /// The data plane of one more worker, which knows what this one knows. Only this one goes on opening what comes
    /// under the keys that there are.
    pub(crate) fn replica(&self) -> Self {
        Self {
            sessions: self.sessions.replica(),
            switch: self.switch.clone(),
            underlay: self.underlay.clone(),
            ..Self::new(self.me, self.config)
        }
    }

    /// From now on there are other workers, who want to know where stations are.
    pub(crate) fn tell_stations(&mut self) {
        self.switch.tell_stations();
    }

    /// Takes news from the engine.
    pub fn apply(&mut self, update: Update) {
        self.track = None;
        self.learn(update);
    }

    fn learn(&mut self, update: Update) {
        match update {
            Update::Peer {
                peer,
                address,
                key,
                supernode,
                flow,
            } => {
                self.sessions.peer_up(peer, address, key, supernode, flow);
            }
            Update::Forget(peer) => {
                self.sessions.forget(peer);
                self.fragments.forget(peer);
            }
            Update::SessionUp(up) => self.sessions.session_up(*up),
            Update::Path { peer, path, mtu } => {
                if let Some(peer) = self.sessions.peer_mut(peer) {
                    peer.path = path;
                    peer.mtu = mtu.max(limits::MTU_FLOOR);
                }
            }
            Update::Network(up) => self.switch.up(up),
            Update::Policy { network, policy } => self.switch.policy(network, *policy),
            Update::NetworkDown(network) => self.switch.down(network),
            Update::Member { network, member } => self.switch.member(network, member),
            Update::MemberOut { network, address } => self.switch.member_out(network, address),
            Update::Listed {
                network,
                address,
                ips,
                bridge,
                replicator,
            } => {
                self.switch.listed(network, address, ips, bridge);
                self.switch.replicator(network, address, replicator);
            }
            Update::Groups {
                network,
                address,
                groups,
            } => self.switch.groups(network, address, groups),
            Update::Unlisted { network, address } => self.switch.unlisted(network, address),
            Update::Listen(what) => self.listening = what.map(|what| Listening::new(*what)),
            Update::Underlay(sockets) => self.underlay.set(sockets),
            Update::Cut { network, cut } => {
                if let Some(network) = self.switch.get_mut(network) {
                    network.cut(cut);
                }
            }
            Update::Confirmed { session, at } => {
                if let Some(place) = self.sessions.find(session) {
                    self.sessions.confirm(place, at);
                }
            }
            Update::Station {
                network,
                mac,
                behind,
                at,
            } => {
                if let Some(network) = self.switch.get_mut(network) {
                    network.station(at, mac, behind);
                }
            }
            Update::Unlearn { network, address } => {
                if let Some(network) = self.switch.get_mut(network) {
                    network.unlearn(address);
                }
            }
        }
    }

    /// Seals control messages (each with its header) for a peer.
    ///
    /// # Errors
    /// [`NotSent`]; nothing was sent, or the batch was full after some fragments.
    pub fn send(
        &mut self,
        now: Now,
        to: To,
        messages: &[u8],
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Result<(), NotSent> {
        let mut sender = self.sender(now.mono, out, notes);
        let mut route = sender.route(to.peer, to.path)?;
        route.expects = messages.first().is_some_and(|first| asks(*first));
        route.fills = messages.first().is_some_and(|first| !renews(*first));
        let body = Body([messages, &[], &[]]);
        if to.whole {
            sender.whole(&route, body)
        } else {
            sender.message(&route, body, limits::CONTROL_FRAGMENTS)
        }
    }

    /// Sends a handshake datagram: straight, or sealed in the session with the relay.
    ///
    /// # Errors
    /// [`NotSent`].
    pub fn send_handshake(
        &mut self,
        now: Now,
        path: Path,
        datagram: &[u8],
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Result<(), NotSent> {
        match path {
            Path::Direct(to) => {
                out.slot(to, datagram.len())
                    .ok_or(NotSent::Full)?
                    .copy_from_slice(datagram);
                self.counters.add(crate::counters::Count::DatagramsTx, 1);
                Ok(())
            }
            Path::Relay { via, peer } => self
                .sender(now.mono, out, notes)
                .through(via, peer, datagram),
        }
    }

    /// Erases keys whose time is over.
    pub fn advance(&mut self, now: Now) {
        self.sessions.expire(now.mono);
    }

    /// When the next key dies.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.sessions.next_death()
    }

    /// What was counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The traffic with a peer.
    pub fn traffic(&self, peer: PeerHandle) -> Option<Traffic> {
        self.sessions.peer(peer).map(|peer| peer.flow.traffic())
    }

    /// The keys in use with a peer; `None` when there are none that may still be used.
    pub fn session(&self, now: Now, peer: PeerHandle) -> Option<SessionFacts> {
        let session = self
            .sessions
            .session(self.sessions.sealing(peer, now.mono)?)?;
        Some(SessionFacts {
            local: session.local,
            suite: session.sealing.suite(),
            since: session.since,
            initiator: session.initiator,
            confirmed: session.confirmed,
        })
    }

    /// Whether this session index is in use.
    pub fn has_index(&self, index: u32) -> bool {
        self.sessions.find(index).is_some()
    }

    /// MACs behind this node or its peers that the switch has learned on a network.
    pub fn learned(&self, network: NetworkId) -> usize {
        self.switch
            .get(network)
            .map_or(0, super::switch::Network::learned_len)
    }

    fn sender<'a, B: SendBuf>(
        &'a mut self,
        now: Mono,
        out: &'a mut B,
        notes: &'a mut Notes,
    ) -> Sender<'a, B> {
        Sender {
            now,
            sessions: &mut self.sessions,
            counters: &mut self.counters,
            notes,
            out,
        }
    }
}

/// Whether a message renews keys: it goes seldom, and is repeated with a look at the path's MTU.
fn renews(kind: u8) -> bool {
    use zt_wire::MessageType as M;
    matches!(M::from_code(kind), Ok(M::RekeyInit | M::RekeyResponse))
}

/// Whether a control message of this type wants an answer, so that silence after it says something about the path.
/// Probes are watched by the engine, one by one.
fn asks(kind: u8) -> bool {
    use zt_wire::MessageType as M;
    matches!(
        M::from_code(kind),
        Ok(M::Ping | M::Whois | M::Claim | M::NetconfRequest | M::WorldGet | M::RekeyInit)
    )
}
