//! Three members that know each other, and what an administrator does to their network.
//!
//! In: a town. Out: frames between them, rules in force. Never: a look into a program.

use std::{cell::Cell, time::Duration, time::Instant};

use serde_json::Value;
use zt_lab::{
    Failed,
    ipx::Station,
    raw, traffic,
    zt::{Created, Joined, Node, until},
};

use crate::{
    Town,
    frames::{Maker, heard, marked},
};

/// How long a change of rules or rights may take to be in force at every member.
pub const IN_FORCE: Duration = Duration::from_secs(8);
/// How long a frame may take on a wire of a lab; what has not come by then does not come.
pub const CROSSING: Duration = Duration::from_millis(900);

/// Three members: a, b and c.
#[derive(Debug)]
pub struct Party {
    /// The nodes.
    pub nodes: [Node; 3],
    /// Where they are on the network.
    pub joined: [Joined; 3],
    /// Their addresses.
    pub names: [String; 3],
    /// Their devices.
    pub stations: [Station; 3],
    /// Their network.
    pub network: Created,
    canary: Cell<u16>,
}

impl Party {
    /// Three nodes that have joined a new network and have reached each other.
    ///
    /// # Errors
    /// When anything of it fails.
    pub fn new(town: &Town) -> Result<Self, Failed> {
        let network = town.network()?;
        let invite = town.master.invite(&network)?;
        let nodes = [town.node("a")?, town.node("b")?, town.node("c")?];
        let [a, b, c] = &nodes;
        let joined = [a.join(&invite)?, b.join(&invite)?, c.join(&invite)?];
        let [ja, jb, jc] = &joined;
        for (from, to) in [(a, jb), (a, jc), (b, jc)] {
            traffic::first_ping(&from.host, &to.ip.to_string(), Duration::from_secs(10))?;
        }
        Ok(Self {
            names: [a.address()?, b.address()?, c.address()?],
            stations: [
                Station::new(&a.host, &ja.device)?,
                Station::new(&b.host, &jb.device)?,
                Station::new(&c.host, &jc.device)?,
            ],
            nodes,
            joined,
            network,
            canary: Cell::new(0x8900),
        })
    }

    /// Frames of the first for the second.
    pub fn maker(&self) -> Maker {
        self.between(0, 1)
    }

    /// Frames of one for another.
    pub fn between(&self, from: usize, to: usize) -> Maker {
        Maker {
            from: self.stations[from].mac,
            to: self.stations[to].mac,
            ip_from: self.joined[from].ip,
            ip_to: self.joined[to].ip,
            tag: None,
        }
    }

    /// Which of the first's frames the second and the third hear.
    ///
    /// # Errors
    /// When a device is gone.
    pub fn heard(&self, frames: &[Vec<u8>]) -> Result<[Vec<bool>; 2], Failed> {
        let [a, b, c] = &self.stations;
        let mut both = heard(a, &[b, c], frames, CROSSING)?.into_iter();
        Ok([
            both.next().unwrap_or_default(),
            both.next().unwrap_or_default(),
        ])
    }

    /// Gives rules, with ADA, BOB and CAT for the members, and waits until each of them follows: a line is put in front
    /// that stops a frame which nothing else stops, and each member counts that it did so.
    ///
    /// # Errors
    /// When the rules are refused, or not in force in time.
    pub fn follow(&self, town: &Town, text: &str) -> Result<Duration, Failed> {
        let canary = self.canary.get();
        self.canary.set(canary + 1);
        let [a, b, c] = &self.names;
        let text = text.replace("ADA", a).replace("BOB", b).replace("CAT", c);
        let started = Instant::now();
        let text = format!("drop if ethertype {canary:#06x};\n{text}");
        town.master.rules(&self.network, &text)?.good()?;
        for from in 0..3 {
            let frame = marked(self.between(from, (from + 1) % 3).plain(canary, 60), 0xffff);
            let station = &self.stations[from];
            let mut mouth = raw::Port::open(&station.host, &station.device)?;
            until(IN_FORCE, "the new rules are not in force", || {
                let before = drops(&self.nodes[from], "rule-tx")?;
                mouth.send(&frame)?;
                std::thread::sleep(Duration::from_millis(20));
                Ok(drops(&self.nodes[from], "rule-tx")? > before)
            })?;
        }
        Ok(started.elapsed())
    }

    /// What `rules explain` says of a frame of the first for the second.
    ///
    /// # Errors
    /// When the command fails.
    pub fn explain(&self, town: &Town, what: &[&str]) -> Result<Value, Failed> {
        let [a, b, _] = &self.names;
        let ends = ["rules", "explain", &self.network.id, "--from", a, "--to", b];
        town.master.ask(&[&ends[..], what].concat())
    }
}

/// Drops that a node has counted for a reason.
///
/// # Errors
/// When it does not answer, or knows no such reason.
pub fn drops(node: &Node, reason: &str) -> Result<u64, Failed> {
    let counters = node.ask(&["counters"])?;
    counters["drops"][reason]
        .as_u64()
        .ok_or_else(|| Failed::new(format!("no {reason} in {counters}")))
}
