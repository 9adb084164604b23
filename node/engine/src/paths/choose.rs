//! Which way is in use: the best proven direct one, else the nearest relay.
//!
//! Owner: the engine's paths. In: what is proven. Out: `Update::Path` for the shard, an event for people.
//! Never: two ends that each follow the other: the smaller key leads, a supernode always follows.

use zt_wire::Address;

use crate::counters::DropReason;
use crate::engine::Engine;
use crate::interface::{Event, PathInfo, PathKind, PeerRole};
use crate::limits;
use crate::outbox::Outbox;
use crate::peers::Peer;
use crate::shard::{Path, PeerHandle, RELAY_COST, Update};
use crate::time::Now;

impl Engine {
    /// Chooses the way to a peer and tells the shard when it is another.
    pub(crate) fn choose(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        if peer.session.is_none() && peer.next.is_none() {
            return;
        }
        let best = self
            .best_direct(peer)
            .map(Path::Direct)
            .or_else(|| self.best_relay(peer));
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let before = peer.paths.active;
        peer.paths.active = best;
        if best != before {
            peer.paths.check = None;
            peer.paths.mtu = None;
            if let Some(Path::Direct(_)) = best {
                peer.paths.rounds = 0;
                peer.paths.next_round = None;
                peer.paths.deaf_relays.clear();
                self.start_canary(now, handle);
            }
        }
        self.tell_shard(now, handle, out);
        self.start_mtu(now, handle, out);
    }

    /// Moves a peer to this proven endpoint.
    pub(crate) fn switch_to(
        &mut self,
        now: Now,
        handle: PeerHandle,
        at: core::net::SocketAddr,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        if peer.paths.active == Some(Path::Direct(at)) {
            return;
        }
        peer.paths.active = Some(Path::Direct(at));
        peer.paths.check = None;
        peer.paths.mtu = None;
        self.tell_shard(now, handle, out);
        self.start_mtu(now, handle, out);
        self.start_canary(now, handle);
    }

    /// Tells the shard the way in use, if it does not know it already.
    pub(crate) fn tell_shard(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let path = peer.paths.active;
        let mtu = peer
            .paths
            .active_candidate()
            .map_or(limits::MTU_FLOOR, |candidate| candidate.mtu);
        let before = peer.paths.told;
        if before == Some((path, mtu)) || !peer.announced {
            return;
        }
        peer.paths.told = Some((path, mtu));
        let (address, role) = (peer.address(), peer.role);
        self.peers
            .reached(handle, before.and_then(|(path, _)| path), path);
        out.update(Update::Path {
            peer: handle,
            path,
            mtu,
        });
        let another = before.is_none_or(|(before, _)| before != path);
        if path.is_some() && another {
            self.networks.way_changed(now, address, &mut self.actions);
        }
        if let Some(path) = path
            && another
            && role != PeerRole::Supernode
            && !self.config.role.relays()
        {
            let (kind, endpoint) = match path {
                Path::Direct(at) => (PathKind::Direct, Some(at)),
                Path::Relay { .. } => (PathKind::Relay, None),
            };
            out.event(Event::PathChanged(address, kind, endpoint));
        }
    }

    /// Whether we follow the peer onto the way it uses, rather than lead.
    pub(crate) fn follows(&self, peer: &Peer) -> bool {
        match (self.config.role.relays(), peer.role) {
            (true, PeerRole::Leaf | PeerRole::Controller) => true,
            (false, PeerRole::Supernode) => false,
            (true, PeerRole::Supernode) | (false, PeerRole::Leaf | PeerRole::Controller) => {
                self.me.key() > peer.key()
            }
        }
    }

    /// A supernode came or went: relayed peers choose again.
    pub(crate) fn choose_relays(&mut self, now: Now, out: &mut Outbox) {
        for handle in self.peers.handles() {
            let relayed = self.peers.get(handle).is_some_and(|peer| {
                peer.role != PeerRole::Supernode
                    && peer.session.is_some()
                    && !peer.paths.is_direct()
            });
            if relayed {
                self.choose(now, handle, out);
            }
        }
    }

    /// The ways of a peer for people: direct ones, then the relay.
    pub(crate) fn path_infos(&self, peer: &Peer) -> Vec<PathInfo> {
        let mut infos: Vec<PathInfo> = peer
            .paths
            .candidates
            .iter()
            .map(|candidate| PathInfo {
                kind: PathKind::Direct,
                endpoint: Some(candidate.at),
                via: None,
                rtt: candidate.rtt,
                mtu: candidate.mtu,
                in_use: peer.paths.active == Some(Path::Direct(candidate.at)),
                validated: candidate.answered.is_some(),
            })
            .collect();
        if peer.role != PeerRole::Supernode && peer.session.is_some() && !self.config.role.relays()
        {
            let used = match peer.paths.active {
                Some(Path::Relay { via, .. }) => Some(via),
                Some(Path::Direct(_)) | None => None,
            };
            if let Some(via) = used.or_else(|| self.supernodes.online().first().copied()) {
                infos.push(PathInfo {
                    kind: PathKind::Relay,
                    endpoint: self.relay_endpoint(via),
                    via: Some(via),
                    rtt: peer.paths.relay_rtt,
                    mtu: self.relayed_mtu(via),
                    in_use: used.is_some(),
                    validated: used.is_some(),
                });
            }
        }
        infos
    }

    /// The largest datagram that a relay takes for others.
    fn relayed_mtu(&self, via: Address) -> u16 {
        let relay = self.supernodes.handle_of(via);
        let relay = relay.and_then(|handle| self.peers.get(handle));
        let carries = relay
            .and_then(|relay| relay.paths.active_candidate())
            .map_or(limits::MTU_FLOOR, |candidate| candidate.mtu);
        carries.min(limits::MTU_RELAYED) - RELAY_COST
    }

    /// Where a relay is reached.
    fn relay_endpoint(&self, via: Address) -> Option<core::net::SocketAddr> {
        let handle = self.supernodes.handle_of(via)?;
        self.peers
            .get(handle)?
            .paths
            .active_candidate()
            .map(|candidate| candidate.at)
    }

    fn best_direct(&self, peer: &Peer) -> Option<core::net::SocketAddr> {
        if self.config.relay_only && peer.role != PeerRole::Supernode && !self.config.role.relays()
        {
            return None;
        }
        let proven = peer
            .paths
            .candidates
            .iter()
            .filter(|candidate| candidate.answered.is_some());
        let best = proven.min_by_key(|candidate| {
            (
                candidate.rtt.unwrap_or(core::time::Duration::MAX),
                candidate.at,
            )
        })?;
        let Some(used) = peer
            .paths
            .active_candidate()
            .filter(|used| used.answered.is_some())
        else {
            return Some(best.at);
        };
        let nearer = match (best.rtt, used.rtt) {
            (Some(best), Some(used)) => {
                best.as_nanos() * 100 < used.as_nanos() * u128::from(limits::NEARER_PERCENT)
            }
            (Some(_) | None, _) => false,
        };
        Some(if nearer && !self.follows(peer) {
            best.at
        } else {
            used.at
        })
    }

    fn best_relay(&self, peer: &Peer) -> Option<Path> {
        if peer.role == PeerRole::Supernode || self.config.role.relays() {
            return None;
        }
        let online = self.supernodes.online();
        let hears = |via: &&Address| !peer.paths.deaf_relays.contains(via);
        let via = online.iter().find(hears).or_else(|| online.first())?;
        Some(Path::Relay {
            via: *via,
            peer: peer.address(),
        })
    }

    /// `Note::NoRoute`: a node sends to somebody who is not here.
    pub(crate) fn no_route(&mut self, from: PeerHandle, to: Address, out: &mut Outbox) {
        self.drop(DropReason::RelayUnknown);
        let problem = zt_wire::message::Problem::address(
            zt_wire::message::ErrorCode::NoSuchPeer,
            zt_wire::message::MessageType::Relay,
            to,
        );
        out.say(from, &zt_wire::message::Message::Error(problem));
    }
}
