//! Listens to the groups of this machine's programs on every segment that LAN mode joins together.
//!
//! Owner: LAN mode. In: the kernel's list of memberships. Out: memberships of our own, gone with the value.
//! Never: a group that only we hold; a datagram received: none of the sockets is bound.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};

/// Memberships of our own, each group with a socket.
#[derive(Debug, Default)]
pub struct Groups {
    held: BTreeMap<Ipv4Addr, Held>,
}

#[derive(Debug)]
struct Held {
    socket: Socket,
    devices: BTreeSet<u32>,
}

/// Members by device and group, as the kernel counts them.
pub type Members = BTreeMap<(u32, Ipv4Addr), u32>;

impl Groups {
    /// The kernel's list. Empty when it cannot be read: multicast is then heard where programs joined, as ever.
    pub fn members() -> Members {
        std::fs::read_to_string(LIST).map_or_else(|_| Members::new(), |text| parsed(&text))
    }

    /// Joins what programs have joined on a device of `sources`, on all of `everywhere`; leaves what they have left.
    pub fn follow(
        &mut self,
        members: &Members,
        sources: &BTreeSet<u32>,
        everywhere: &BTreeSet<u32>,
    ) {
        let wanted = self.wanted(members, sources);
        self.held.retain(|group, _| wanted.contains(group));
        for group in wanted {
            let there: BTreeSet<u32> = everywhere
                .iter()
                .copied()
                .filter(|device| self.of_programs(members, *device, group) == 0)
                .collect();
            self.hold(group, &there);
        }
    }

    /// The groups followed.
    pub fn list(&self) -> Vec<Ipv4Addr> {
        self.held.keys().copied().collect()
    }

    fn wanted(&self, members: &Members, sources: &BTreeSet<u32>) -> BTreeSet<Ipv4Addr> {
        let joined = members.keys().filter(|(device, group)| {
            sources.contains(device)
                && !is_control(*group)
                && self.of_programs(members, *device, *group) > 0
        });
        joined.map(|(_, group)| *group).take(MOST).collect()
    }

    /// Members that are not we.
    fn of_programs(&self, members: &Members, device: u32, group: Ipv4Addr) -> u32 {
        let ours = self
            .held
            .get(&group)
            .is_some_and(|held| held.devices.contains(&device));
        let all = members.get(&(device, group)).copied().unwrap_or(0);
        all.saturating_sub(u32::from(ours))
    }

    fn hold(&mut self, group: Ipv4Addr, there: &BTreeSet<u32>) {
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.held.entry(group) {
            match Socket::new(Domain::IPV4, Type::DGRAM, None) {
                Ok(socket) => drop(vacant.insert(Held {
                    socket,
                    devices: BTreeSet::new(),
                })),
                Err(error) => return tracing::debug!(%group, %error, "no socket for a group"),
            }
        }
        let Some(Held { socket, devices }) = self.held.get_mut(&group) else {
            return;
        };
        for device in devices.difference(there) {
            // A device that is gone has taken its memberships along.
            let _ = socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(*device));
        }
        devices.retain(|device| there.contains(device));
        for device in there {
            if devices.contains(device) {
                continue;
            }
            match socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(*device)) {
                Ok(()) => drop(devices.insert(*device)),
                Err(error) => tracing::debug!(%group, device, %error, "a group is not joined"),
            }
        }
    }
}

/// Groups of routing daemons, which speak to one link and name it (RFC 5771, the first of 224.0.0.0/24).
const fn is_control(group: Ipv4Addr) -> bool {
    let [a, b, c, d] = group.octets();
    a == 224 && b == 0 && c == 0 && d < 32
}

/// Reads `/proc/net/igmp`: a line for a device, then one line for each of its groups.
fn parsed(text: &str) -> Members {
    let mut members = Members::new();
    let mut device = None;
    for line in text.lines().skip(1) {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        if !line.starts_with(char::is_whitespace) {
            device = first.parse().ok();
            continue;
        }
        let group = u32::from_str_radix(first, 16);
        let users = words.next().and_then(|users| users.parse().ok());
        if let (Some(device), Ok(group), Some(users)) = (device, group, users) {
            // Written as the word lies in memory, in network order.
            members.insert((device, Ipv4Addr::from(group.to_ne_bytes())), users);
        }
    }
    members
}

/// Where the kernel lists memberships.
const LIST: &str = "/proc/net/igmp";
/// Groups followed at most: each costs a socket.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const SSDP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

    fn set(devices: &[u32]) -> BTreeSet<u32> {
        devices.iter().copied().collect()
    }

    #[test]
    fn the_kernels_list_is_read() {
        let word = u32::from_ne_bytes(SSDP.octets());
        let text = format!(
            "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
             1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
             31\teth0.100  :     2      V3\n\t\t\t\t{word:08X}     3 0:00000000\t\t0\n"
        );
        let members = parsed(&text);
        assert_eq!(members.get(&(31, SSDP)), Some(&3));
        assert_eq!(members.len(), 2);
        assert!(parsed("").is_empty());
    }

    #[test]
    fn a_group_is_followed_as_long_as_a_program_holds_it() {
        // Loopback takes memberships, too, so the sockets are real.
        let mut groups = Groups::default();
        let mut members = Members::from([((2, SSDP), 1)]);
        groups.follow(&members, &set(&[2]), &set(&[1, 2]));
        assert_eq!(
            groups.held[&SSDP].devices,
            set(&[1]),
            "not where a program is already"
        );
        members.insert((1, SSDP), 1);
        groups.follow(&members, &set(&[1, 2]), &set(&[1, 2]));
        assert_eq!(groups.list(), [SSDP]);
        assert_eq!(groups.held[&SSDP].devices, set(&[1]));
        members.remove(&(2, SSDP));
        groups.follow(&members, &set(&[1, 2]), &set(&[1, 2]));
        assert!(groups.list().is_empty(), "only we were left");
    }

    #[test]
    fn routing_protocols_are_left_alone() {
        let mut groups = Groups::default();
        let ospf = Ipv4Addr::new(224, 0, 0, 5);
        let mdns = Ipv4Addr::new(224, 0, 0, 251);
        let members = Members::from([((2, ospf), 1), ((2, mdns), 1)]);
        groups.follow(&members, &set(&[2]), &set(&[1, 2]));
        assert_eq!(groups.list(), [mdns]);
    }
}
