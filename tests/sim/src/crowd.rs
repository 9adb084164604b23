//! Very many nodes join one network and reach each other.
//!
//! Owner: the scenario. In: how many. Out: how long it took in simulated time, what it cost. Never: a wait for all pairs, of which there are too many.

use core::time::Duration;

use crate::dice::Dice;
use crate::frames::Kind;
use crate::internet::{HostId, Internet};
use crate::lan::Lan;
use crate::nat::Behaviour;

/// What a crowd did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Nodes that joined.
    pub nodes: usize,
    /// Simulated time from the first start until the last device was up.
    pub joined: Duration,
    /// Frames sent between pairs that had never met.
    pub frames: usize,
    /// How many of them arrived.
    pub arrived: usize,
    /// Simulated time until the last of them arrived.
    pub met: Duration,
    /// Simulated time in all.
    pub simulated: Duration,
    /// Datagrams sent.
    pub datagrams: u64,
    /// Things that happened.
    pub events: u64,
    /// The hash of everything.
    pub trace: u64,
}

/// `nodes` nodes at `supernodes` supernodes join a public network within ten seconds, a quarter of them with public addresses; then each
/// sends a frame to its neighbour in a ring and to one drawn by lot.
///
/// # Panics
/// When anything happened that must not.
pub fn crowd(seed: u64, nodes: usize, supernodes: u32) -> (Lan, Figures) {
    let mut lan = Lan::public(seed, supernodes);
    let start = lan.world.now().mono;
    let dice = Dice::new(seed).on(0xc0d);
    let pause = Duration::from_secs(10) / u32::try_from(nodes).unwrap_or(u32::MAX).max(1);
    let mut hosts: Vec<HostId> = Vec::with_capacity(nodes);
    for at in 0..nodes {
        let host = match dice.on(at as u64).below(4) {
            0 => lan.join(Internet::PUBLIC),
            1 => lan.join_behind(Behaviour::PORT_RESTRICTED),
            2 => lan.join_behind(Behaviour::PRESERVING),
            _ => lan.join_behind(Behaviour::SYMMETRIC),
        };
        hosts.push(host);
        lan.world.run_for(pause);
    }
    let network = lan.network;
    lan.world.run_until(Duration::from_mins(2), |world| {
        hosts
            .iter()
            .all(|host| world.host(*host).tap_plan(network).is_some())
    });
    let joined = lan.world.now().mono.since(start);
    // Directories are pulled after hints that come in bunches.
    lan.world.run_for(Duration::from_secs(10));

    let began = lan.world.now().mono;
    let mut sent = Vec::with_capacity(2 * nodes);
    for (at, from) in hosts.iter().enumerate() {
        let lot = usize::try_from(dice.on(0x107).on(at as u64).below(nodes as u64)).unwrap_or(0);
        for to in [hosts[(at + 1) % nodes], hosts[lot]] {
            if to != *from {
                let frame = lan.world.send(network, *from, to, Kind::Experimental, 100);
                sent.push((to, frame.unwrap_or_default()));
            }
        }
        lan.world.run_for(pause);
    }
    lan.world.run_until(Duration::from_secs(20), |world| {
        sent.iter()
            .all(|(to, bytes)| world.model.has_got(*to, bytes))
    });
    lan.world.check();
    let (datagrams, events) = lan.world.counts();
    let figures = Figures {
        nodes,
        joined,
        frames: sent.len(),
        arrived: sent.len() - lan.missing(&sent),
        met: lan.world.now().mono.since(began),
        simulated: lan.world.now().mono.since(start),
        datagrams,
        events,
        trace: lan.world.trace(),
    };
    (lan, figures)
}
