//! How large a datagram a direct path carries: probed inside the session, largest first.
//!
//! Owner: the engine's paths. In: a path just chosen, answers, time. Out: the path MTU for the shard.
//! Never: a probe in fragments; an MTU above what came back.

use zt_wire::datagram::TRANSPORT_OVERHEAD;
use zt_wire::message::{Message, Probe};

use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::limits;
use crate::outbox::{Out, Outbox};
use crate::shard::{Path, PeerHandle, To};
use crate::time::Now;

/// A search for the path MTU of the path in use.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The probe that is out.
    pub token: u64,
    step: usize,
    tries: u8,
}

/// Padding that makes a probe's datagram this large.
pub(super) fn padding(size: u16) -> usize {
    usize::from(size).saturating_sub(TRANSPORT_OVERHEAD + Probe::LEN)
}

impl Engine {
    /// Begins the search on the path in use.
    pub(crate) fn start_mtu(&mut self, now: Now, handle: PeerHandle) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        peer.paths.mtu = None;
        if peer.paths.is_direct() {
            self.deadlines.set(Timer::Mtu(handle), now.mono);
            self.start_canary(now, handle);
        }
    }

    /// Sends the next probe: another try, the next smaller size, or none.
    pub(crate) fn mtu_due(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let Some(path @ Path::Direct(at)) = peer.paths.active else {
            return;
        };
        let known = peer
            .paths
            .find(at)
            .map_or(limits::MTU_FLOOR, |candidate| candidate.mtu);
        let (mut step, mut tries) = peer
            .paths
            .mtu
            .map_or((0, 0), |search| (search.step, search.tries));
        if tries >= limits::MTU_TRIES {
            step += 1;
            tries = 0;
        }
        while at.is_ipv6()
            && limits::MTU_STEPS
                .get(step)
                .is_some_and(|size| *size > limits::MTU_IPV6)
        {
            step += 1;
        }
        let size = limits::MTU_STEPS
            .get(step)
            .copied()
            .filter(|size| *size > known);
        let Some(size) = size.filter(|_| peer.ready()) else {
            peer.paths.mtu = None;
            self.deadlines
                .set(Timer::Mtu(handle), now.mono + limits::MTU_AGAIN);
            return;
        };
        let token = self.chance.number();
        peer.paths.mtu = Some(Search {
            token,
            step,
            tries: tries + 1,
        });
        let body = Message::Probe(Probe {
            token,
            mtu: true,
            padding: padding(size),
        })
        .to_vec();
        out.push(Out::Message {
            to: To {
                peer: handle,
                path: Some(path),
                whole: true,
            },
            body,
        });
        self.deadlines
            .set(Timer::Mtu(handle), now.mono + limits::MTU_WAIT);
    }

    /// A probe of the search came back.
    pub(crate) fn mtu_answered(
        &mut self,
        now: Now,
        handle: PeerHandle,
        received: u16,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get_mut(handle) else {
            return;
        };
        let Some(search) = peer.paths.mtu.take() else {
            return;
        };
        let Some(Path::Direct(at)) = peer.paths.active else {
            return;
        };
        let size = limits::MTU_STEPS
            .get(search.step)
            .copied()
            .unwrap_or(limits::MTU_FLOOR);
        if let Some(candidate) = peer.paths.find_mut(at) {
            candidate.mtu = size.min(received).max(limits::MTU_FLOOR);
        }
        if search.step == 0 {
            // Nothing larger to find; a black hole is noticed by the checks.
            self.deadlines.clear(Timer::Mtu(handle));
        } else {
            self.deadlines
                .set(Timer::Mtu(handle), now.mono + limits::MTU_AGAIN);
        }
        self.tell_shard(now, handle, out);
    }
}
