//! Sealing: a body goes straight into a slot of the send batch, inside a RELAY where the path asks for it.
//!
//! Owner: the shard. In: a route, the pieces of a body. Out: one or several sealed datagrams.
//! Never: a copy besides the one into the slot; a counter used twice; an allocation.

use core::net::SocketAddr;

use zt_wire::Address;
use zt_wire::datagram::{DATAGRAM_MAX, TAG_LEN, TRANSPORT_HEADER, TRANSPORT_OVERHEAD};
use zt_wire::message::{FRAGMENT_OVERHEAD, MESSAGE_HEADER, MessageType, RELAY_OVERHEAD};

use super::sessions::{Place, Sessions};
use super::verdict::{NotSent, Note, Notes, Path, PeerHandle, SendBuf};
use crate::counters::{Count, Counters};
use crate::limits;
use crate::time::Mono;

/// What the relay adds to the inner datagram: its session's overhead and the RELAY message's header.
pub(super) const RELAY_COST: usize = TRANSPORT_OVERHEAD + RELAY_OVERHEAD;

/// Where the next datagrams to a peer go and under which keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) peer: PeerHandle,
    place: Place,
    to: SocketAddr,
    outer: Option<Outer>,
    /// Bytes of messages that fit one datagram.
    pub(super) room: usize,
    /// Whether silence after it says something about the path: answers are not answered.
    pub(super) expects: bool,
    /// Whether its size says what the path has to carry: probes' sizes do not.
    pub(super) fills: bool,
    /// Nothing was measured yet.
    pub(super) unmeasured: bool,
}

#[derive(Clone, Copy, Debug)]
struct Outer {
    relay: PeerHandle,
    place: Place,
    destination: Address,
}

/// A message in pieces, header first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'a>(pub(super) [&'a [u8]; 3]);

impl Body<'_> {
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|piece| piece.len()).sum()
    }

    /// Copies what stands from `skip` on until `into` is full or the body ends.
    fn copy(&self, mut skip: usize, into: &mut [u8]) {
        let mut at = 0;
        for piece in self.0 {
            match piece.get(skip..) {
                Some(rest) => {
                    skip = 0;
                    let len = rest.len().min(into.len() - at);
                    into[at..at + len].copy_from_slice(&rest[..len]);
                    at += len;
                }
                None => skip -= piece.len(),
            }
        }
    }
}

/// Everything needed to send besides the body.
pub(super) struct Sender<'a, B> {
    pub(super) now: Mono,
    pub(super) sessions: &'a mut Sessions,
    pub(super) counters: &'a mut Counters,
    pub(super) notes: &'a mut Notes,
    pub(super) out: &'a mut B,
}

impl<B: SendBuf> Sender<'_, B> {
    /// The way to a peer: over `path`, or over the path in use.
    pub(super) fn route(&self, peer: PeerHandle, path: Option<Path>) -> Result<Route, NotSent> {
        let known = self.sessions.peer(peer).ok_or(NotSent::NoSession)?;
        let place = self
            .sessions
            .sealing(peer, self.now)
            .ok_or(NotSent::NoSession)?;
        let path = path.or(known.path).ok_or(NotSent::NoPath)?;
        let mtu = if known.path == Some(path) {
            known.mtu
        } else {
            limits::MTU_FLOOR
        };
        let unmeasured = |mtu| mtu == limits::MTU_FLOOR || mtu == limits::MTU_HANDSHAKE;
        match path {
            Path::Direct(to) => {
                let room = usize::from(mtu) - TRANSPORT_OVERHEAD;
                Ok(Route {
                    peer,
                    place,
                    to,
                    outer: None,
                    room,
                    expects: true,
                    fills: true,
                    unmeasured: unmeasured(mtu),
                })
            }
            Path::Relay {
                via,
                peer: destination,
            } => {
                let (outer, to, mtu) = self.relay(via, destination)?;
                let room = usize::from(mtu) - RELAY_COST - TRANSPORT_OVERHEAD;
                Ok(Route {
                    peer,
                    place,
                    to,
                    outer: Some(outer),
                    room,
                    expects: true,
                    fills: true,
                    unmeasured: unmeasured(mtu),
                })
            }
        }
    }

    fn relay(
        &self,
        via: Address,
        destination: Address,
    ) -> Result<(Outer, SocketAddr, u16), NotSent> {
        let relay = self.sessions.handle_of(via).ok_or(NotSent::NoPath)?;
        let place = self
            .sessions
            .sealing(relay, self.now)
            .ok_or(NotSent::NoSession)?;
        let known = self.sessions.peer(relay).ok_or(NotSent::NoPath)?;
        let Some(Path::Direct(to)) = known.path else {
            return Err(NotSent::NoPath);
        };
        Ok((
            Outer {
                relay,
                place,
                destination,
            },
            to,
            known.mtu.min(limits::MTU_RELAYED),
        ))
    }

    /// Takes the counters of the next `count` datagrams on this way at once.
    pub(super) fn reserve(&mut self, route: &Route, count: usize) {
        for place in [Some(route.place), route.outer.map(|outer| outer.place)] {
            if let Some(session) = place.and_then(|place| self.sessions.session_mut(place)) {
                session.reserve(count);
            }
        }
    }

    /// Seals a body in one datagram, or in fragments where it does not fit; at most `most` of them.
    pub(super) fn message(
        &mut self,
        route: &Route,
        body: Body<'_>,
        most: usize,
    ) -> Result<(), NotSent> {
        let len = body.len();
        if len <= route.room {
            return self.datagram(route, body, 0, len);
        }
        let chunk = route.room - FRAGMENT_OVERHEAD;
        let count = len.div_ceil(chunk);
        if count > most {
            return Err(NotSent::TooLong);
        }
        let Some(peer) = self.sessions.peer(route.peer) else {
            return Err(NotSent::NoSession);
        };
        let id = peer.flow.next_fragment();
        // Pieces of one size: equal datagrams go out in one batch.
        let chunk = len.div_ceil(count);
        let count = len.div_ceil(chunk);
        for index in 0..count {
            let start = index * chunk;
            let piece = chunk.min(len - start);
            let mut head = [0; FRAGMENT_OVERHEAD];
            head[0] = MessageType::Fragment as u8;
            head[1..3].copy_from_slice(
                &narrow16(piece + FRAGMENT_OVERHEAD - MESSAGE_HEADER).to_be_bytes(),
            );
            head[3..7].copy_from_slice(&id.to_be_bytes());
            head[7] = narrow8(index);
            head[8] = narrow8(count);
            self.counters.add(Count::FragmentsTx, 1);
            self.headed(route, &head, body, (start, piece))?;
        }
        Ok(())
    }

    /// Seals a body in one datagram whatever its size: for measuring a path.
    pub(super) fn whole(&mut self, route: &Route, body: Body<'_>) -> Result<(), NotSent> {
        let len = body.len();
        if len + RELAY_COST + TRANSPORT_OVERHEAD > DATAGRAM_MAX {
            return Err(NotSent::TooLong);
        }
        let measuring = Route {
            fills: false,
            ..*route
        };
        self.datagram(&measuring, body, 0, len)
    }

    /// An unsealed datagram (of a handshake) to a peer behind a relay.
    pub(super) fn through(
        &mut self,
        via: Address,
        destination: Address,
        datagram: &[u8],
    ) -> Result<(), NotSent> {
        let (outer, to, mtu) = self.relay(via, destination)?;
        let mtu = usize::from(mtu);
        let len = datagram.len() + RELAY_COST;
        if len <= mtu {
            let slot = self.out.slot(to, len).ok_or(NotSent::Full)?;
            slot[TRANSPORT_HEADER + RELAY_OVERHEAD..len - TAG_LEN].copy_from_slice(datagram);
            wrap(self.sessions, outer, slot)?;
            self.renew(outer.relay, outer.place);
            self.count(None, Some(outer), (len, true));
            return Ok(());
        }
        let route = Route {
            peer: outer.relay,
            place: outer.place,
            to,
            outer: None,
            room: mtu - TRANSPORT_OVERHEAD,
            expects: false,
            fills: true,
            unmeasured: false,
        };
        let head = relay_head(outer.destination, limits::RELAY_HOPS, datagram.len());
        self.message(
            &route,
            Body([&head, datagram, &[]]),
            limits::FRAME_FRAGMENTS,
        )
    }

    fn datagram(
        &mut self,
        route: &Route,
        body: Body<'_>,
        skip: usize,
        len: usize,
    ) -> Result<(), NotSent> {
        self.headed(route, &[], body, (skip, len))
    }

    /// One datagram of `head` and a part (start, length) of `body`.
    fn headed(
        &mut self,
        route: &Route,
        head: &[u8],
        body: Body<'_>,
        part: (usize, usize),
    ) -> Result<(), NotSent> {
        let (skip, len) = part;
        let inner = TRANSPORT_OVERHEAD + head.len() + len;
        let total = inner + if route.outer.is_some() { RELAY_COST } else { 0 };
        let slot = self.out.slot(route.to, total).ok_or(NotSent::Full)?;
        let session = self
            .sessions
            .session_mut(route.place)
            .ok_or(NotSent::NoSession)?;
        let at = if route.outer.is_some() {
            TRANSPORT_HEADER + RELAY_OVERHEAD
        } else {
            0
        };
        let buffer = &mut slot[at..at + inner];
        let text = &mut buffer[TRANSPORT_HEADER..inner - TAG_LEN];
        text[..head.len()].copy_from_slice(head);
        body.copy(skip, &mut text[head.len()..]);
        session.seal(buffer);
        if let Some(outer) = route.outer {
            wrap(self.sessions, outer, slot)?;
            self.renew(outer.relay, outer.place);
        }
        self.renew(route.peer, route.place);
        let peer = Some((route.peer, route.expects));
        self.count(peer, route.outer, (total, route.fills));
        Ok(())
    }

    /// Tells the engine once when keys are old enough to renew.
    fn renew(&mut self, peer: PeerHandle, place: Place) {
        let Some(session) = self.sessions.session_mut(place) else {
            return;
        };
        let old = self.now.since(session.since) >= limits::REKEY_AFTER || session.is_worn();
        if old && !session.rekey_noted {
            session.rekey_noted = true;
            self.notes.push(Note::RekeyDue { peer });
        }
    }

    fn count(
        &mut self,
        peer: Option<(PeerHandle, bool)>,
        outer: Option<Outer>,
        datagram: (usize, bool),
    ) {
        let (total, fills) = datagram;
        self.counters.add(Count::DatagramsTx, 1);
        if let Some((handle, expects)) = peer
            && let Some(peer) = self.sessions.peer_mut(handle)
        {
            peer.flow.sealed(self.now, outer.is_none(), total);
            if expects {
                peer.watch.expect(&peer.flow, self.now, handle, self.notes);
            }
            if fills && outer.is_none() {
                peer.width.filled(self.now, total, handle, self.notes);
            }
        }
        if let Some(outer) = outer
            && let Some(relay) = self.sessions.peer_mut(outer.relay)
        {
            relay.flow.carried(self.now, total);
            relay.width.filled(self.now, total, outer.relay, self.notes);
        }
    }
}

/// Makes a RELAY around the inner datagram that stands at its place in `slot`.
fn wrap(sessions: &mut Sessions, outer: Outer, slot: &mut [u8]) -> Result<(), NotSent> {
    let session = sessions
        .session_mut(outer.place)
        .ok_or(NotSent::NoSession)?;
    let head = relay_head(
        outer.destination,
        limits::RELAY_HOPS,
        slot.len() - RELAY_COST,
    );
    slot[TRANSPORT_HEADER..TRANSPORT_HEADER + RELAY_OVERHEAD].copy_from_slice(&head);
    session.seal(slot);
    Ok(())
}

fn relay_head(destination: Address, hops: u8, inner: usize) -> [u8; RELAY_OVERHEAD] {
    let mut head = [0; RELAY_OVERHEAD];
    head[0] = MessageType::Relay as u8;
    head[1..3].copy_from_slice(&narrow16(inner + RELAY_OVERHEAD - MESSAGE_HEADER).to_be_bytes());
    head[3..8].copy_from_slice(&destination.to_bytes());
    head[8] = hops;
    head
}

pub(super) fn narrow16(value: usize) -> u16 {
    // A datagram has at most 65,507 bytes.
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn narrow8(value: usize) -> u8 {
    // At most 64 fragments.
    u8::try_from(value).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_body_is_what_stands_there() {
        let body = Body([b"abc", b"", b"defgh"]);
        for start in 0..8 {
            for len in 0..=8 - start {
                let mut into = std::vec![0; len];
                body.copy(start, &mut into);
                assert_eq!(into, &b"abcdefgh"[start..start + len]);
            }
        }
    }
}
