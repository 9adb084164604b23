//! Which IPX hosts were heard on a network: number, framing, when; what `zt-cli ipx list` shows.
//!
//! Owner: one per network. In: frames, the time since start. Out: the table. Never: more than `limits::HOSTS`.

use core::time::Duration;
use std::collections::BTreeMap;

use zt_wire::Mac;

use crate::framing::Framing;
use crate::limits;
use crate::packet::Packet;

/// The hosts of one network.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    hosts: BTreeMap<[u8; 6], Host>,
}

/// One host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its number on its network.
    pub node: [u8; 6],
    /// The Ethernet address its frames came from; a router's for hosts behind one.
    pub mac: Mac,
    /// The network number that it said last; zero when it knows none.
    pub network: u32,
    /// The framing of its last frame.
    pub framing: Framing,
    /// Packets heard.
    pub packets: u64,
    /// When it was heard last, since the start of the clock.
    pub last: Duration,
}

impl Heard {
    /// Nobody yet.
    pub const fn new() -> Self {
        Self {
            hosts: BTreeMap::new(),
        }
    }

    /// Takes note of a frame's sender.
    pub fn note(&mut self, now: Duration, framing: Framing, mac: Mac, packet: &Packet<'_>) {
        let node = packet.from.node;
        if mac.is_group() || node[0] & 1 == 1 || node == [0; 6] {
            return;
        }
        if !self.hosts.contains_key(&node) && self.hosts.len() == limits::HOSTS {
            let quietest = self
                .hosts
                .values()
                .min_by_key(|host| host.last)
                .map(|host| host.node);
            quietest.and_then(|node| self.hosts.remove(&node));
        }
        let packets = self.hosts.get(&node).map_or(0, |host| host.packets) + 1;
        let network = packet.from.network;
        self.hosts.insert(
            node,
            Host {
                node,
                mac,
                network,
                framing,
                packets,
                last: now,
            },
        );
    }

    /// Forgets who has been silent for long.
    pub fn expire(&mut self, now: Duration) {
        self.hosts
            .retain(|_, host| now.saturating_sub(host.last) < limits::HOST_SILENCE);
    }

    /// A host by its number.
    pub fn host(&self, node: [u8; 6]) -> Option<&Host> {
        self.hosts.get(&node)
    }

    /// All hosts, by number.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// The framings in use; Ethernet II where nobody was heard.
    pub fn framings(&self) -> Vec<Framing> {
        let used = |framing: &Framing| self.hosts.values().any(|host| host.framing == *framing);
        let found: Vec<Framing> = Framing::ALL.into_iter().filter(used).collect();
        if found.is_empty() {
            vec![Framing::EthernetII]
        } else {
            found
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{ALL, Endpoint, empty};

    fn note(heard: &mut Heard, second: u64, number: u16, framing: Framing) {
        let [a, b] = number.to_be_bytes();
        let from = Endpoint {
            network: 7,
            node: [2, 0, 0, 0, a, b],
            socket: 1,
        };
        let bytes = empty(
            Endpoint {
                network: 0,
                node: ALL,
                socket: 1,
            },
            from,
        );
        let packet = Packet::read(&bytes).unwrap();
        heard.note(
            Duration::from_secs(second),
            framing,
            Mac::from_bytes(from.node),
            &packet,
        );
    }

    #[test]
    fn the_quietest_host_gives_way_when_the_table_is_full() {
        let mut heard = Heard::default();
        for number in 0..=512u16 {
            note(&mut heard, u64::from(number), number, Framing::Raw);
        }
        assert_eq!(heard.hosts().count(), limits::HOSTS);
        assert!(heard.host([2, 0, 0, 0, 0, 0]).is_none());
        assert!(heard.host([2, 0, 0, 0, 2, 0]).is_some());
    }

    #[test]
    fn silent_hosts_and_their_framings_are_forgotten() {
        let mut heard = Heard::default();
        note(&mut heard, 0, 1, Framing::Snap);
        note(&mut heard, 100, 2, Framing::Raw);
        assert_eq!(heard.framings(), [Framing::Raw, Framing::Snap]);
        heard.expire(Duration::from_secs(1850));
        assert_eq!(heard.framings(), [Framing::Raw]);
        heard.expire(Duration::from_secs(5000));
        assert_eq!(heard.framings(), [Framing::EthernetII]);
    }
}
