//! Wire to frame: parse, open in place, replay window, message, gates.
//!
//! Owner: the shard. In: a datagram. Out: a `Verdict`; `Note`s for what else it told.
//! Never: trust in a byte outside the seal; a copy of a frame that came whole; a relayed datagram inside another.

use core::ops::Range;

use zt_wire::datagram::{DatagramType, TRANSPORT_HEADER, Transport};
use zt_wire::message::{Message, MessageType};
use zt_wire::{Mac, NetworkId};

use super::Shard;
use super::found::{Found, Home, Origin, What, Whence, alone, reason};
use super::sessions::{Opening, Peer, Sessions};
use super::track::{self, Track};
use super::verdict::{Forward, Note, Notes, Offload, Path, Punt, Share, TapFrame, Verdict};
use crate::counters::{Count, DropReason};
use crate::fragments::Piece;
use crate::limits;
use crate::segment::{bears_out, checksum};
use crate::switch::{Network, Switch, macs};
use crate::time::Now;

const MACS: usize = 2 * Mac::LEN;

/// What opening a datagram came to.
enum Opened {
    /// Who it is from and where the body ends.
    Here(Origin, usize),
    /// Its session is another worker's to open.
    Elsewhere,
}

impl Shard {
    /// Judges a datagram from the wire or from another worker, opening it in place.
    pub fn rx<'a>(
        &'a mut self,
        now: Now,
        from: Path,
        bytes: &'a mut [u8],
        notes: &mut Notes,
    ) -> Verdict<'a> {
        let whence = Whence {
            now,
            from,
            // What another worker took out of a RELAYED message comes with the way it took.
            depth: usize::from(from.is_relay()),
        };
        match self.datagram(whence, bytes, notes) {
            Ok(found) => self.verdict(found, bytes),
            Err(reason) => self.dropped(reason),
        }
    }

    /// What was found, with its bytes.
    pub(super) fn verdict<'a>(&'a mut self, found: Found, bytes: &'a [u8]) -> Verdict<'a> {
        let [outer, inner] = &self.assembled;
        let bytes: &'a [u8] = match found.home {
            Home::Datagram => bytes,
            Home::Outer => outer,
            Home::Inner => inner,
        };
        let bytes = &bytes[found.range.clone()];
        match found.what {
            What::Frame { network, offload } => {
                self.counters.add(Count::FramesRx, 1);
                self.counters.add(Count::FrameBytesRx, bytes.len() as u64);
                Verdict::Deliver {
                    network,
                    frame: TapFrame { bytes, offload },
                }
            }
            What::Control {
                peer,
                session,
                from,
            } => Verdict::Punt(Punt::Control {
                peer,
                session,
                from,
                messages: bytes,
            }),
            What::Handshake { from } => Verdict::Punt(Punt::Handshake {
                from,
                datagram: bytes,
            }),
            What::Relay { from, to, hops } => Verdict::Relay(Forward {
                from,
                to,
                hops,
                assembled: !matches!(found.home, Home::Datagram),
                inner: found.range,
            }),
            What::Share(share) => Verdict::Share(Share {
                home: found.home,
                message: found.range,
                ..share
            }),
            What::Unvouched {
                peer,
                network,
                origin,
            } => Verdict::Unvouched {
                peer,
                network,
                origin,
                message: bytes,
            },
            What::Early(whose) => Verdict::Early {
                whose,
                message: bytes,
            },
            What::Stray { from } => Verdict::Stray {
                from,
                datagram: bytes,
            },
            What::Kept => Verdict::Kept,
        }
    }

    /// One datagram, from the wire or out of a RELAYED message. Ranges are within `bytes`.
    fn datagram(
        &mut self,
        whence: Whence,
        bytes: &mut [u8],
        notes: &mut Notes,
    ) -> Result<Found, DropReason> {
        match DatagramType::of(bytes).map_err(reason)? {
            DatagramType::Init | DatagramType::Cookie | DatagramType::Response => {
                if bytes.len() < 8 {
                    return Err(DropReason::Short);
                }
                let what = What::Handshake { from: whence.from };
                Ok(Found {
                    what,
                    home: Home::Datagram,
                    range: 0..bytes.len(),
                })
            }
            DatagramType::Transport => {
                let Opened::Here(origin, end) = self.open(whence, bytes, notes)? else {
                    let what = What::Stray { from: whence.from };
                    return Ok(Found {
                        what,
                        home: Home::Datagram,
                        range: 0..bytes.len(),
                    });
                };
                self.body(origin, bytes, TRANSPORT_HEADER..end, notes)
            }
        }
    }

    /// Opens in place; tells who it is from and where the body ends.
    fn open(
        &mut self,
        whence: Whence,
        bytes: &mut [u8],
        notes: &mut Notes,
    ) -> Result<Opened, DropReason> {
        let now = whence.now.mono;
        let header = Transport::parse(bytes).map_err(reason)?;
        let place = self
            .sessions
            .find(header.receiver)
            .ok_or(DropReason::UnknownSession)?;
        let session = self
            .sessions
            .session_mut(place)
            .ok_or(DropReason::UnknownSession)?;
        if now.since(session.since) >= limits::KEYS_DIE_AFTER {
            return Err(DropReason::Expired);
        }
        let Some(Opening { key, window }) = &mut session.opening else {
            return Ok(Opened::Elsewhere);
        };
        let total = bytes.len();
        let len = key
            .open(header.counter, &mut bytes[TRANSPORT_HEADER..])
            .map_err(|_| DropReason::Forged)?;
        window
            .check(header.counter)
            .map_err(|_| DropReason::Replayed)?;
        window.commit(header.counter);
        let (handle, index, fresh) = (session.peer, session.local, !session.confirmed);
        let peer = self
            .sessions
            .peer_mut(handle)
            .ok_or(DropReason::UnknownSession)?;
        let from = match whence.from {
            Path::Direct(_) => whence.from,
            // The supernode's word about the source is replaced by what the session proves.
            Path::Relay { via, peer: _ } => Path::Relay {
                via,
                peer: peer.address,
            },
        };
        let came = (from, peer.path);
        peer.watch
            .opened(&peer.flow, (now, total), came, handle, notes);
        let origin = Origin {
            whence: Whence { from, ..whence },
            peer: handle,
            key: peer.key,
            session: index,
            parts: 1,
        };
        if fresh && self.sessions.confirm(place, now) {
            notes.push(Note::Confirmed {
                peer: handle,
                session: index,
                from,
            });
        }
        self.counters.add(Count::DatagramsRx, 1);
        Ok(Opened::Here(origin, TRANSPORT_HEADER + len))
    }

    /// The opened body: one data message, or control messages.
    fn body(
        &mut self,
        origin: Origin,
        bytes: &mut [u8],
        body: Range<usize>,
        notes: &mut Notes,
    ) -> Result<Found, DropReason> {
        let text = &bytes[body.clone()];
        if text.is_empty() {
            return Ok(Found::KEPT);
        }
        match alone(text)? {
            None => {
                let what = What::Control {
                    peer: origin.peer,
                    session: origin.session,
                    from: origin.whence.from,
                };
                Ok(Found {
                    what,
                    home: Home::Datagram,
                    range: body,
                })
            }
            Some(MessageType::Fragment) => self.fragment(origin, text, notes),
            Some(kind) => self.message(origin, kind, bytes, body, notes),
        }
    }

    fn fragment(
        &mut self,
        origin: Origin,
        text: &[u8],
        notes: &mut Notes,
    ) -> Result<Found, DropReason> {
        let Message::Fragment(fragment) = Message::parse(text).map_err(reason)? else {
            return Err(DropReason::Malformed);
        };
        self.counters.add(Count::FragmentsRx, 1);
        let piece = Piece {
            id: fragment.id,
            index: fragment.index,
            count: fragment.count,
            bytes: fragment.bytes,
        };
        let depth = origin.whence.depth;
        let whole = &mut self.assembled[depth];
        if !self.fragments.take(
            origin.whence.now.mono,
            origin.peer,
            piece,
            whole,
            &mut self.counters,
        )? {
            return Ok(Found::KEPT);
        }
        self.counters.add(Count::Reassembled, 1);
        let home = if depth == 0 { Home::Outer } else { Home::Inner };
        let mut whole = core::mem::take(&mut self.assembled[depth]);
        let len = whole.len();
        let found = match alone(&whole) {
            Err(reason) => Err(reason),
            Ok(None) => {
                let what = What::Control {
                    peer: origin.peer,
                    session: origin.session,
                    from: origin.whence.from,
                };
                Ok(Found {
                    what,
                    home,
                    range: 0..len,
                })
            }
            Ok(Some(MessageType::Fragment)) => Err(DropReason::FragmentBad),
            Ok(Some(kind)) => {
                let parts = usize::from(fragment.count);
                let origin = Origin { parts, ..origin };
                let found = self.message(origin, kind, &mut whole, 0..len, notes);
                found.map(|found| found.at_home(home))
            }
        };
        self.assembled[depth] = whole;
        found
    }

    /// One data message at `range`, header included.
    fn message(
        &mut self,
        origin: Origin,
        kind: MessageType,
        bytes: &mut [u8],
        range: Range<usize>,
        notes: &mut Notes,
    ) -> Result<Found, DropReason> {
        if matches!(kind, MessageType::Frame | MessageType::Replicate) {
            return self.frame_of(origin, kind, bytes, range, notes);
        }
        if origin.parts > limits::FRAME_FRAGMENTS {
            return Err(DropReason::FragmentBad);
        }
        match Message::parse(&bytes[range.clone()]).map_err(reason)? {
            Message::Relay(relay) => {
                if origin.whence.depth > 0 {
                    return Err(DropReason::RelayNested);
                }
                let hops = relay.hops.checked_sub(1).ok_or(DropReason::RelayHops)?;
                let (destination, len) = (relay.destination, relay.datagram.len());
                let to =
                    self.relay_to(origin.whence.now.mono, origin.peer, destination, len, notes)?;
                let what = What::Relay {
                    from: origin.peer,
                    to,
                    hops,
                };
                Ok(Found {
                    what,
                    home: Home::Datagram,
                    range: range.end - len..range.end,
                })
            }
            Message::Relayed(relayed) => {
                if origin.whence.depth > 0 {
                    return Err(DropReason::RelayNested);
                }
                let relay = self
                    .sessions
                    .peer(origin.peer)
                    .filter(|peer| peer.supernode);
                let via = relay.ok_or(DropReason::NotAllowed)?.address;
                let start = range.end - relayed.datagram.len();
                let from = Path::Relay {
                    via,
                    peer: relayed.source,
                };
                let whence = Whence {
                    now: origin.whence.now,
                    from,
                    depth: 1,
                };
                let found = self.datagram(whence, &mut bytes[start..range.end], notes)?;
                Ok(found.shifted(start))
            }
            _ => Err(DropReason::Malformed),
        }
    }

    pub(super) fn frame(
        &mut self,
        origin: Origin,
        bytes: &mut [u8],
        range: Range<usize>,
        notes: &mut Notes,
    ) -> Result<Found, DropReason> {
        let Message::Frame(frame) = Message::parse(&bytes[range.clone()]).map_err(reason)? else {
            return Err(DropReason::Malformed);
        };
        let (network, elided, partial, len) = (
            frame.network,
            frame.elided,
            frame.checksum,
            frame.bytes.len(),
        );
        let passed = frame.origin.map(|from| (from, macs(frame.bytes)));
        let now = origin.whence.now.mono;
        let tables = (&mut self.switch, &mut self.sessions);
        let (table, peer, mac) = from_member(tables, &origin, network, notes)?;
        let (sender, key) = match passed {
            None => (peer.address, origin.key),
            Some((from, macs)) => {
                if let Some(key) = table.vouched(peer.address, from, macs)? {
                    (from, key)
                } else {
                    let what = What::Unvouched {
                        peer: origin.peer,
                        network,
                        origin: from,
                    };
                    let home = Home::Datagram;
                    return Ok(Found { what, home, range });
                }
            }
        };
        let head = track::head(&bytes[range.clone()], len, elided);
        let mut start = range.end - len;
        if elided {
            // The FRAME header, 12 bytes with the message's, has been read and makes room for the MACs.
            start -= MACS;
            bytes[start..start + Mac::LEN].copy_from_slice(&table.settings().mac.to_bytes());
            bytes[start + Mac::LEN..start + MACS].copy_from_slice(&mac.to_bytes());
        }
        let frame = &mut bytes[start..range.end];
        let gates = if !table.fits(frame.len()) {
            Err(DropReason::FrameSize)
        } else if self.underlay.is_for(frame) {
            Err(DropReason::Tunnel)
        } else {
            table.entering(now, (sender, key), frame, notes)
        };
        if let Some(listening) = &mut self.listening
            && listening.takes((network, origin.peer), frame, gates)
        {
            return gates.map(|()| Found::KEPT);
        }
        gates?;
        peer.flow.frame(now);
        let own = table.settings().mac;
        let offload = left_open(frame, partial)?;
        let untouched = partial.is_some() == (offload != Offload::None);
        let plain = passed.is_none() && untouched;
        let message = (head.as_ref().filter(|_| plain), range.len());
        self.track = Track::of(&origin, network, message, (frame, elided, offload))
            .filter(|_| self.listening.is_none() && macs(frame) == Some((own, mac)));
        Ok(Found {
            what: What::Frame { network, offload },
            home: Home::Datagram,
            range: start..range.end,
        })
    }
}

/// What is left to do of a partial checksum: one that the frame's own headers do not bear out is finished here.
fn left_open(frame: &mut [u8], partial: Option<(u16, u16)>) -> Result<Offload, DropReason> {
    match partial {
        None => Ok(Offload::None),
        Some((start, offset)) if bears_out(frame, start, offset) => {
            Ok(Offload::Checksum { start, offset })
        }
        Some((start, offset)) => {
            checksum::complete(frame, usize::from(start), usize::from(offset))
                .ok_or(DropReason::BadOffload)?;
            Ok(Offload::None)
        }
    }
}

/// The network's table, the peer and its MAC, when it is a member with a valid certificate.
pub(super) fn from_member<'a>(
    tables: (&'a mut Switch, &'a mut Sessions),
    origin: &Origin,
    network: NetworkId,
    notes: &mut Notes,
) -> Result<(&'a mut Network, &'a mut Peer, Mac), DropReason> {
    let (switch, sessions) = tables;
    let peer = sessions
        .peer_mut(origin.peer)
        .ok_or(DropReason::UnknownSession)?;
    let table = switch.get_mut(network).ok_or(DropReason::UnknownNetwork)?;
    let Some(mac) = table.valid(peer.address, origin.key) else {
        if peer.asked == 0 && peer.watch.tell_uncertified(origin.whence.now.mono) {
            notes.push(Note::Uncertified {
                peer: origin.peer,
                network,
            });
        }
        return Err(DropReason::NotMember);
    };
    if origin.parts > table.fragments() {
        return Err(DropReason::FragmentBad);
    }
    Ok((table, peer, mac))
}
