//! Passing datagrams on: a supernode's part of the data plane.
//!
//! Owner: the shard. In: RELAY messages of authentic peers. Out: RELAYED messages sealed into slots, notes for introductions.
//! Never: a look at the inner datagram; more than a source's quota; a relay for somebody without a session.

use std::vec::Vec;

use zt_wire::Address;
use zt_wire::message::{MESSAGE_HEADER, MessageType, RELAY_OVERHEAD};

use super::Shard;
use super::seal::{Body, narrow16};
use super::verdict::{Forward, NotSent, Note, Notes, PeerHandle, SendBuf};
use crate::counters::{Count, DropReason};
use crate::limits;
use crate::time::{Mono, Now};

impl Shard {
    /// Passes on what `rx` judged `Verdict::Relay`; `bytes` is the same buffer.
    pub fn forward(
        &mut self,
        now: Now,
        forward: &Forward,
        bytes: &[u8],
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) {
        let assembled = core::mem::take(&mut self.assembled[0]);
        let from = if forward.assembled {
            assembled.as_slice()
        } else {
            bytes
        };
        if let Err(reason) = self.pass_on(now, forward, from, out, notes) {
            self.counters.drop(reason);
        }
        self.assembled[0] = assembled;
    }

    fn pass_on(
        &mut self,
        now: Now,
        forward: &Forward,
        bytes: &[u8],
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Result<(), DropReason> {
        let datagram = bytes
            .get(forward.inner.clone())
            .ok_or(DropReason::Malformed)?;
        let source = self
            .sessions
            .peer(forward.from)
            .ok_or(DropReason::RelayRefused)?
            .address;
        let mut head = [0; RELAY_OVERHEAD];
        head[0] = MessageType::Relayed as u8;
        head[1..3].copy_from_slice(
            &narrow16(datagram.len() + RELAY_OVERHEAD - MESSAGE_HEADER).to_be_bytes(),
        );
        head[3..8].copy_from_slice(&source.to_bytes());
        head[8] = forward.hops;
        let mut sender = self.sender(now.mono, out, notes);
        let sent = sender.route(forward.to, None).and_then(|mut route| {
            route.expects = false;
            sender.message(
                &route,
                Body([&head, datagram, &[]]),
                limits::FRAME_FRAGMENTS,
            )
        });
        match sent {
            Ok(()) => {
                self.counters.add(Count::DatagramsRelayed, 1);
                self.counters
                    .add(Count::RelayedBytes, datagram.len() as u64);
                if self.pairs.due(
                    now.mono,
                    forward.from,
                    u64::from(forward.to.0),
                    limits::RELAY_PAIR_EVERY,
                ) {
                    notes.push(Note::Relayed {
                        from: forward.from,
                        to: forward.to,
                    });
                }
                Ok(())
            }
            Err(NotSent::Full) => Err(DropReason::SendFull),
            Err(NotSent::NoSession | NotSent::NoPath | NotSent::TooLong) => {
                Err(DropReason::RelayUnknown)
            }
        }
    }

    /// The kernel had to drop datagrams that were not read in time: the heaviest sources give way for a while.
    pub const fn overloaded(&mut self) {
        self.fair.overloaded();
    }

    /// Whether a RELAY message may be passed on, and to whom.
    pub(super) fn relay_to(
        &mut self,
        now: Mono,
        from: PeerHandle,
        destination: Address,
        len: usize,
        notes: &mut Notes,
    ) -> Result<PeerHandle, DropReason> {
        if !self.config.relays || destination == self.me {
            return Err(DropReason::RelayRefused);
        }
        let rate = self.config.relay_rate;
        let source = self
            .sessions
            .peer_mut(from)
            .ok_or(DropReason::RelayRefused)?;
        if !source.watch.take_quota(now, rate, len) {
            return Err(DropReason::RelayQuota);
        }
        if !self.fair.passes(now, &mut source.watch.share, len) {
            return Err(DropReason::RelayShare);
        }
        let to = self
            .sessions
            .handle_of(destination)
            .filter(|&to| self.sessions.sealing(to, now).is_some());
        if to.is_none() {
            let [a, b, c, d, e] = destination.to_bytes();
            let name = u64::from_be_bytes([1, 0, 0, a, b, c, d, e]);
            if self.pairs.due(now, from, name, limits::NO_ROUTE_EVERY) {
                notes.push(Note::NoRoute {
                    from,
                    to: destination,
                });
            }
        }
        to.ok_or(DropReason::RelayUnknown)
    }
}

/// When the engine last heard of a pair. Direct-mapped: two pairs in one place only tell it more often.
#[derive(Debug, Default)]
pub(super) struct Pairs(Vec<(u32, u64, Mono)>);

impl Pairs {
    fn due(&mut self, now: Mono, from: PeerHandle, to: u64, every: core::time::Duration) -> bool {
        if self.0.is_empty() {
            self.0
                .resize(limits::RELAY_PAIRS, (u32::MAX, 0, Mono::ZERO));
        }
        let mixed = (u64::from(from.0) << 32 ^ to).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = (mixed >> 40) as usize % limits::RELAY_PAIRS;
        let (known_from, known_to, at) = self.0[place];
        if known_from == from.0 && known_to == to && now.since(at) < every {
            return false;
        }
        self.0[place] = (from.0, to, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_told_once_until_its_time() {
        let mut pairs = Pairs::default();
        let at = |seconds: u64| Mono::from_nanos(seconds * 1_000_000_000);
        assert!(pairs.due(at(1), PeerHandle(1), 2, limits::RELAY_PAIR_EVERY));
        assert!(!pairs.due(at(5), PeerHandle(1), 2, limits::RELAY_PAIR_EVERY));
        assert!(pairs.due(at(11), PeerHandle(1), 2, limits::RELAY_PAIR_EVERY));
    }
}
