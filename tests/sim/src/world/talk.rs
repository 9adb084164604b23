//! What programs on hosts send, and what they listen to.
//!
//! Owner: the scenario. In: from whom, to whom, of which kind. Out: the frame, known to the model.
//! Never: a frame that was sent before.

use core::net::Ipv4Addr;

use zt_wire::{Mac, NetworkId};

use super::{Happening, ON_SEGMENT, World};
use crate::frames::{self, Kind};
use crate::internet::HostId;
use crate::segment::SegmentId;

impl World {
    /// A program on `from` sends a frame to `to`. `None`: it has no device for the network.
    pub fn send(
        &mut self,
        network: NetworkId,
        from: HostId,
        to: HostId,
        kind: Kind,
        payload: usize,
    ) -> Option<Vec<u8>> {
        let mac = Mac::of(self.host(to).overlay(), network);
        self.send_to(network, from, (mac, Some(to)), kind, payload)
    }

    /// A program on `from` sends a frame to everybody.
    pub fn broadcast(
        &mut self,
        network: NetworkId,
        from: HostId,
        payload: usize,
    ) -> Option<Vec<u8>> {
        self.send_to(
            network,
            from,
            (Mac::BROADCAST, None),
            Kind::Experimental,
            payload,
        )
    }

    /// A program on `from` sends a packet to a group.
    pub fn multicast(
        &mut self,
        network: NetworkId,
        from: HostId,
        group: Ipv4Addr,
        payload: usize,
    ) -> Option<Vec<u8>> {
        const UDP: u8 = 17;
        self.packet(network, from, group, UDP, &vec![0x5a; payload.max(8)])
    }

    /// A program on a host joins a group (or leaves it): the kernel's list changes, and it tells with IGMP version 2.
    pub fn listen(&mut self, network: NetworkId, host: HostId, group: Ipv4Addr, joins: bool) {
        const IGMP: u8 = 2;
        self.host_mut(host)
            .listen(network, frames::group(group), joins);
        let [a, b, c, d] = group.octets();
        let report = [if joins { 0x16 } else { 0x17 }, 0, 0, 0, a, b, c, d];
        let to = if joins {
            group
        } else {
            Ipv4Addr::new(224, 0, 0, 2)
        };
        self.packet(network, host, to, IGMP, &report);
    }

    fn packet(
        &mut self,
        network: NetworkId,
        from: HostId,
        group: Ipv4Addr,
        protocol: u8,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        let source = Mac::of(self.host(from).overlay(), network);
        self.next_frame += 1;
        let bytes = frames::packet(group, source, self.next_frame, protocol, payload);
        let now = self.now();
        self.host(from).tap_plan(network)?;
        self.model.sent(network, from, None, &bytes, now.mono);
        self.host_mut(from).tap(now, network, &bytes);
        self.take(from);
        Some(bytes)
    }

    fn send_to(
        &mut self,
        network: NetworkId,
        from: HostId,
        to: (Mac, Option<HostId>),
        kind: Kind,
        payload: usize,
    ) -> Option<Vec<u8>> {
        let source = Mac::of(self.host(from).overlay(), network);
        self.next_frame += 1;
        let bytes = kind.frame(to.0, source, self.next_frame, payload);
        let now = self.now();
        self.host(from).tap_plan(network)?;
        self.model.sent(network, from, to.1, &bytes, now.mono);
        self.host_mut(from).tap(now, network, &bytes);
        self.take(from);
        Some(bytes)
    }

    /// A station puts a frame on a segment.
    pub fn station(&mut self, network: NetworkId, segment: SegmentId, frame: &[u8]) {
        self.on_segment(network, segment, None, frame);
    }

    /// A frame is on a segment, and so on its way into the devices there.
    pub(super) fn on_segment(
        &mut self,
        network: NetworkId,
        segment: SegmentId,
        from: Option<HostId>,
        frame: &[u8],
    ) {
        for host in self.segments.spread(self.now, segment, from, frame) {
            let bytes = frame.to_vec();
            self.enqueue(
                self.now + ON_SEGMENT,
                host,
                Happening::Frame { network, bytes },
            );
        }
    }
}
