//! A supernode, a controller, leaves that have joined a network, and frames between them.
//!
//! Owner: the tests. In: who joins, what is sent. Out: what each device got.
//! Never: a real controller.

use std::time::Duration;

use zt_engine::Role;
use zt_engine::interface::{Command, NetworkInfo, Reply, Status};
use zt_wire::{KeyId, Mac, NetworkId};

use super::authority::Authority;
use super::{Net, somebody};

const SECOND: Duration = Duration::from_secs(1);
const CONTROLLER: u8 = 100;

/// A supernode, a controller with one network, and these many leaves behind routers.
pub struct Lan {
    pub net: Net,
    pub controller: usize,
    pub leaves: Vec<usize>,
    pub network: NetworkId,
    pub key: KeyId,
}

impl Lan {
    pub fn new(leaves: u8, public: bool) -> Self {
        let mut net = Net::new(1);
        let controller = net.add(CONTROLLER, Role::Controller, false);
        let network = NetworkId::new(net.address(controller), 1).unwrap();
        let (secret, who) = somebody(CONTROLLER);
        let mut authority = Authority::new(secret);
        authority.create(network, public);
        net.hosts[controller].authority = Some(authority);
        let leaves = (0..leaves)
            .map(|n| net.add(10 + n, Role::Leaf, true))
            .collect();
        net.run(Duration::from_millis(200));
        Self {
            net,
            controller,
            leaves,
            network,
            key: who.key(),
        }
    }

    /// Everybody joined and up.
    pub fn joined(leaves: u8) -> Self {
        let mut lan = Self::new(leaves, true);
        for n in lan.leaves.clone() {
            lan.join(n, Some(lan.key));
        }
        lan.net.run(SECOND);
        for &n in &lan.leaves.clone() {
            assert_eq!(lan.status(n), Status::Ok);
        }
        lan
    }

    pub fn join(&mut self, n: usize, fingerprint: Option<KeyId>) {
        let network = self.network;
        let reply = self.net.ask(
            n,
            Command::Join {
                network,
                fingerprint,
                token: None,
            },
        );
        assert!(matches!(reply, Reply::Done), "{reply:?}");
    }

    pub fn info(&mut self, n: usize) -> NetworkInfo {
        match self.net.ask(n, Command::Networks) {
            Reply::Networks(mut infos) => infos.remove(0),
            other => panic!("{other:?}"),
        }
    }

    pub fn status(&mut self, n: usize) -> Status {
        self.info(n).status
    }

    pub fn mac(&self, n: usize) -> Mac {
        Mac::of(self.net.address(n), self.network)
    }

    pub fn frame(&self, from: usize, to: Option<usize>, payload: &[u8]) -> Vec<u8> {
        let to = to.map_or(Mac::BROADCAST, |to| self.mac(to));
        [
            &to.to_bytes()[..],
            &self.mac(from).to_bytes(),
            &[0x81, 0x37],
            payload,
        ]
        .concat()
    }

    pub fn send(&mut self, from: usize, to: Option<usize>, payload: &[u8]) {
        let (network, frame) = (self.network, self.frame(from, to, payload));
        self.net.tap(from, network, &frame);
    }

    /// What the device got, without the probes that a bridge sends into its LAN to find loops.
    pub fn got(&mut self, n: usize) -> Vec<Vec<u8>> {
        let frames = std::mem::take(&mut self.net.hosts[n].delivered);
        frames
            .into_iter()
            .map(|(_, frame)| frame[14..].to_vec())
            .filter(|payload| !payload.starts_with(b"zt1-loop"))
            .collect()
    }

    pub fn push(&mut self, messages: Vec<(zt_wire::Address, Vec<u8>)>) {
        for (to, message) in messages {
            self.net
                .command(self.controller, Command::Push { to, message });
        }
    }

    pub fn authorize(&mut self, n: usize, yes: bool) {
        let (network, address) = (self.network, self.net.address(n));
        let authority = self.net.hosts[self.controller].authority.as_mut().unwrap();
        let messages = authority.authorize(network, address, yes);
        self.push(messages);
    }
}
