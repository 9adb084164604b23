//! What people are told: who we are, who is known, which way and why.
//!
//! Owner: nobody; reads the engine. In: nothing. Out: replies of `interface.rs`.
//! Never: a change.

use std::string::{String, ToString};
use std::vec::Vec;

use zt_wire::Address;

use crate::engine::Engine;
use crate::interface::{
    Failure, Info, PathInfo, PathKind, PeerInfo, PeerRole, Reply, SupernodeInfo, Why,
};
use crate::paths::Nat;
use crate::peers::Peer;

impl Engine {
    /// `zt-cli info`.
    pub(crate) fn info(&self) -> Info {
        let world = self.world.world();
        let mut supernodes: Vec<SupernodeInfo> = self
            .supernodes
            .iter()
            .map(|known| {
                let peer = self.peers.get(known.handle);
                let used = peer
                    .and_then(|peer| peer.paths.active_candidate())
                    .map(|candidate| candidate.at);
                let named = peer
                    .and_then(|peer| peer.paths.candidates.first())
                    .map(|candidate| candidate.at);
                SupernodeInfo {
                    address: known.address,
                    endpoint: used.or(named),
                    rtt: known.rtt.filter(|_| known.online),
                }
            })
            .collect();
        supernodes.sort_by_key(|supernode| supernode.address);
        Info {
            address: self.me.address(),
            fingerprint: self.me.key(),
            online: self.supernodes.iter().any(|known| known.online) && !self.supernodes.collision,
            collision: self.supernodes.collision,
            world_name: world.name.clone(),
            world_serial: world.serial,
            supernodes,
            observed: self.reflections.endpoints(),
        }
    }

    /// `zt-cli peers`, by address.
    pub(crate) fn peer_infos(&self) -> Vec<PeerInfo> {
        let mut infos: Vec<PeerInfo> = self.peers.iter().map(|peer| self.peer_info(peer)).collect();
        infos.sort_by_key(|info| (info.address, info.fingerprint));
        infos
    }

    /// `zt-cli paths`.
    pub(crate) fn paths_reply(&self, address: Address) -> Reply {
        match self.peers.by_address(address) {
            Some(peer) => Reply::Paths(self.path_infos(peer)),
            None => Reply::Failed(Failure::NoSuchPeer),
        }
    }

    /// `zt-cli why`.
    pub(crate) fn why_reply(&self, address: Address) -> Reply {
        let Some(peer) = self.peers.by_address(address) else {
            return Reply::Failed(Failure::NoSuchPeer);
        };
        Reply::Why(Box::new(Why {
            address,
            path: self.path_in_use(peer),
            because: self.because(peer),
            tried: peer.paths.tried(),
            nat_mine: self.reflections.nat(&self.local).name(),
            nat_theirs: peer.paths.their_nat.name(),
        }))
    }

    fn peer_info(&self, peer: &Peer) -> PeerInfo {
        let role = if peer.role == PeerRole::Leaf && self.networks.is_controller(peer.address()) {
            PeerRole::Controller
        } else {
            peer.role
        };
        let session = peer.session.filter(|session| session.confirmed);
        PeerInfo {
            address: peer.address(),
            fingerprint: Some(peer.key()),
            role,
            path: self.path_in_use(peer),
            suite: session.map(|session| session.suite.name()),
            session_since: session.map(|session| session.since),
            rx_bytes: peer.traffic.rx_bytes,
            tx_bytes: peer.traffic.tx_bytes,
        }
    }

    fn path_in_use(&self, peer: &Peer) -> Option<PathInfo> {
        self.path_infos(peer)
            .into_iter()
            .find(|info| info.in_use && peer.session.is_some())
    }

    fn because(&self, peer: &Peer) -> String {
        if peer.session.is_none() {
            return self.no_session_because(peer);
        }
        let kind = self.path_in_use(peer).map(|info| info.kind);
        let text = match kind {
            Some(PathKind::Direct) => "a probe to this endpoint came back inside the session",
            None => "the session has no path at the moment",
            Some(PathKind::Relay) if self.config.relay_only => {
                "this node is told to use relays only"
            }
            Some(PathKind::Relay) if peer.paths.candidates.is_empty() => {
                "the peer has not named an endpoint to try yet"
            }
            Some(PathKind::Relay)
                if peer
                    .paths
                    .candidates
                    .iter()
                    .any(|candidate| candidate.next_at().is_some()) =>
            {
                "direct endpoints are being probed; frames take the relay until one answers"
            }
            Some(PathKind::Relay) => {
                match (self.reflections.nat(&self.local), peer.paths.their_nat) {
                    (Nat::Dependent, Nat::Dependent) => {
                        "both NATs give each destination another port, so neither side can know where to send"
                    }
                    (Nat::Dependent, _) => {
                        "our NAT gives each destination another port, and no probe came through"
                    }
                    (_, Nat::Dependent) => {
                        "the peer's NAT gives each destination another port, and no probe came through"
                    }
                    (
                        Nat::Unknown | Nat::Open | Nat::Independent,
                        Nat::Unknown | Nat::Open | Nat::Independent,
                    ) => "no endpoint answered a probe: a firewall on one side drops UDP",
                }
            }
        };
        text.to_string()
    }

    fn no_session_because(&self, peer: &Peer) -> String {
        if self.handshakes.attempts.contains_key(&peer.handle) {
            return "a handshake is under way".to_string();
        }
        if self.supernodes.iter().all(|known| !known.online) && peer.role != PeerRole::Supernode {
            return "no supernode answers, so there is no way to reach the peer".to_string();
        }
        "nothing has wanted a session, or the peer did not answer the last handshake".to_string()
    }
}
