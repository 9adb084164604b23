//! Real Ethernet behind members: segments with stations and devices on them, and cables between segments.
//!
//! Owner: the world. In: frames that members' devices and stations put on a segment. Out: who else hears them.
//! Never: an address looked at: a segment is a hub, so that every loop is one.

use std::collections::{BTreeMap, BTreeSet};

use zt_engine::Mono;

use crate::internet::HostId;

/// A segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentId(pub u32);

/// What is plugged where.
#[derive(Debug, Default)]
pub struct Segments {
    members: BTreeMap<HostId, SegmentId>,
    cables: BTreeSet<(SegmentId, SegmentId)>,
    heard: BTreeMap<SegmentId, Vec<(Mono, Vec<u8>)>>,
    /// Frames that crossed a segment.
    pub frames: u64,
}

impl Segments {
    /// A member's device is a port of a segment from now on.
    pub fn plug(&mut self, host: HostId, segment: SegmentId) {
        self.members.insert(host, segment);
    }

    /// A cable between two segments, or none any more.
    pub fn cable(&mut self, one: SegmentId, other: SegmentId, there: bool) {
        let ends = (one.min(other), one.max(other));
        if there {
            self.cables.insert(ends);
        } else {
            self.cables.remove(&ends);
        }
    }

    /// The segment that a host's device is on.
    pub fn of(&self, host: HostId) -> Option<SegmentId> {
        self.members.get(&host).copied()
    }

    /// A frame is on a segment: everything that is connected hears it, but who put it there. Who are the members among them?
    pub(crate) fn spread(
        &mut self,
        now: Mono,
        segment: SegmentId,
        from: Option<HostId>,
        frame: &[u8],
    ) -> Vec<HostId> {
        let mut reached = vec![segment];
        let mut next = 0;
        while let Some(&here) = reached.get(next) {
            next += 1;
            for &(one, other) in &self.cables {
                for (near, far) in [(one, other), (other, one)] {
                    if near == here && !reached.contains(&far) {
                        reached.push(far);
                    }
                }
            }
        }
        self.frames += 1;
        for segment in &reached {
            let heard = self.heard.entry(*segment).or_default();
            if heard.len() < MOST_HEARD {
                heard.push((now, frame.to_vec()));
            }
        }
        let members = self.members.iter();
        members
            .filter(|(host, segment)| Some(**host) != from && reached.contains(segment))
            .map(|(host, _)| *host)
            .collect()
    }

    /// Takes what the stations of a segment have heard.
    pub fn heard(&mut self, segment: SegmentId) -> Vec<(Mono, Vec<u8>)> {
        self.heard.remove(&segment).unwrap_or_default()
    }
}

/// Frames kept for the stations of a segment: enough for a storm of a minute within its budget.
const MOST_HEARD: usize = 200_000;
