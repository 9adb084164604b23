//! Frame to wire: receivers, gates, elision, segments, sealing.
//!
//! Owner: the shard. In: a frame of a device. Out: sealed datagrams, or an answer, or who is not ready yet.
//! Never: a frame to somebody without a valid certificate; the same frame twice to one member.

use zt_rules::{Facts, Gets};
use zt_wire::message::{ELIDED_MACS, FRAME_OVERHEAD, MESSAGE_HEADER, MessageType, ORIGIN};
use zt_wire::{Address, Mac, NetworkId};

use super::Shard;
use super::extras::Extras;
use super::replicate::{Spread, pass_to};
use super::seal::{Body, Route, Sender, narrow16};
use super::verdict::{NotSent, Note, Notes, Offload, SendBuf, Sent, Shown, TapFrame};
use crate::counters::{Count, DropReason};
use crate::limits;
use crate::segment::{self, Headers, SuperFrame};
use crate::switch::{self, Network, Receivers};
use crate::time::Now;

const MACS: usize = 2 * Mac::LEN;
pub(super) const PARTIAL_CHECKSUM: u8 = 2;
/// FRAME's header with the place of a partial checksum.
const OWN_HEAD: usize = FRAME_OVERHEAD + 4;
/// FRAME's header with an origin and the place of a partial checksum.
const FRAME_HEAD: usize = FRAME_OVERHEAD + Address::LEN + 4;

impl Shard {
    /// Sends a frame of a network's device to everybody who gets it.
    pub fn tx<'a>(
        &'a mut self,
        now: Now,
        network: NetworkId,
        frame: TapFrame<'_>,
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Sent<'a> {
        self.counters.add(Count::FramesTx, 1);
        self.counters
            .add(Count::FrameBytesTx, frame.bytes.len() as u64);
        match self.send_frame(now, network, frame, out, notes) {
            Ok(Outcome::Done) => Sent::Done,
            Ok(Outcome::Unready) => Sent::Unready,
            Ok(Outcome::Answered) => {
                self.counters.add(Count::FramesAnswered, 1);
                Sent::Answer(&self.answer)
            }
            Err(reason) => {
                self.counters.drop(reason);
                Sent::Done
            }
        }
    }

    /// Sends a frame that was held for one member.
    ///
    /// # Errors
    /// The reason it was dropped for, counted already.
    pub fn transmit(
        &mut self,
        now: Now,
        to: (NetworkId, Address),
        frame: TapFrame<'_>,
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Result<(), DropReason> {
        self.transmit_for(now, to, (frame, None), out, notes)
    }

    /// Sends a frame that was held for one member, ours or one passed on for its origin.
    ///
    /// # Errors
    /// The reason it was dropped for, counted already.
    pub fn transmit_for(
        &mut self,
        now: Now,
        to: (NetworkId, Address),
        frame: (TapFrame<'_>, Option<Address>),
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Result<(), DropReason> {
        let result = self.send_held(now, to, frame, out, notes);
        if let Err(reason) = result {
            self.counters.drop(reason);
        }
        result
    }

    fn send_held(
        &mut self,
        now: Now,
        to: (NetworkId, Address),
        (frame, origin): (TapFrame<'_>, Option<Address>),
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Result<(), DropReason> {
        let (network, address) = to;
        let table = self.switch.get(network).ok_or(DropReason::UnknownNetwork)?;
        let cut = Cut {
            origin,
            ..Cut::of(frame, table)?
        };
        let mut extras = Extras::default();
        let mut sender = Sender {
            now: now.mono,
            sessions: &mut self.sessions,
            counters: &mut self.counters,
            notes,
            out,
        };
        if origin.is_some() {
            let receivers = Receivers::All.narrowed(&cut.facts);
            return pass_to(&mut sender, table, (address, receivers), &cut).map_err(Miss::reason);
        }
        let went = to_member(&mut sender, table, address, &cut, &mut extras);
        // The copies of a frame to a group went when its other receivers got it.
        for (elsewhere, length) in extras.each().filter(|_| !cut.to.is_group()) {
            if let Err(miss) = copy_to(&mut sender, table, elsewhere, &cut, length) {
                sender.counters.drop(miss.reason());
            }
        }
        went.map_err(Miss::reason)
    }

    fn send_frame(
        &mut self,
        now: Now,
        network: NetworkId,
        frame: TapFrame<'_>,
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Result<Outcome, DropReason> {
        let table = self.switch.get_mut(network);
        let table = table.ok_or(DropReason::UnknownNetwork)?;
        let cut = Cut::of(frame, table)?;
        let mine = (network, table.settings().mac);
        if self.underlay.sends(now.mono, mine, &cut.facts, notes) {
            return Err(DropReason::Tunnel);
        }
        let receivers = table.leaving(now.mono, frame.bytes, &cut.facts, notes)?;
        let table = &*table;
        let receivers = receivers.narrowed(&cut.facts);
        if switch::is_membership(&cut.facts) {
            notes.push(Note::Shown(Shown::Membership));
        }
        if switch::answer(table, frame.bytes, &mut self.answer) {
            return Ok(Outcome::Answered);
        }
        if switch::is_question(&cut.facts) {
            notes.push(Note::Shown(Shown::Question));
        }
        if cut.parsed.is_some() {
            self.counters.add(Count::FramesSuper, 1);
        }
        self.counters
            .add(Count::FramesSpared, table.spared(receivers) as u64);
        let mut outcome = Outcome::Done;
        let mut extras = Extras::default();
        let mut sender = Sender {
            now: now.mono,
            sessions: &mut self.sessions,
            counters: &mut self.counters,
            notes,
            out,
        };
        let spread = Spread::of(&sender, table, receivers);
        if spread.waits {
            sender.notes.push(Note::Unshared { network });
            outcome = Outcome::Unready;
        }
        spread.give(&mut sender, table, receivers, &cut);
        for (_, address) in table
            .each(receivers)
            .enumerate()
            .filter(|(place, at)| spread.is_own(*place, *at))
        {
            let went = to_member(&mut sender, table, address, &cut, &mut extras);
            outcome.add(&mut sender, (network, address), went);
        }
        for (address, length) in extras.each() {
            let has_it = table.each(receivers).any(|receiver| {
                receiver == address && table.fate(&cut.facts, receiver).gets == Gets::Whole
            });
            if !has_it {
                let went = copy_to(&mut sender, table, address, &cut, length);
                outcome.add(&mut sender, (network, address), went);
            }
        }
        Ok(outcome)
    }
}

pub(super) enum Outcome {
    Done,
    Answered,
    Unready,
}

impl Outcome {
    pub(super) fn add<B: SendBuf>(
        &mut self,
        sender: &mut Sender<'_, B>,
        to: (NetworkId, Address),
        went: Result<(), Miss>,
    ) {
        let (network, address) = to;
        match went {
            Ok(()) => {}
            Err(Miss::Unready) => {
                sender.notes.push(Note::Unready { network, address });
                *self = Self::Unready;
            }
            Err(Miss::Drop(reason)) => sender.counters.drop(reason),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Miss {
    /// No session, path or certificate yet.
    Unready,
    /// It will not go.
    Drop(DropReason),
}

impl Miss {
    pub(super) const fn reason(self) -> DropReason {
        match self {
            Self::Unready => DropReason::NoSession,
            Self::Drop(reason) => reason,
        }
    }
}

/// A frame, parsed once for all its receivers.
pub(super) struct Cut<'a> {
    frame: TapFrame<'a>,
    pub(super) facts: Facts,
    /// Whose frame it is when we pass it on.
    pub(super) origin: Option<Address>,
    parsed: Option<SuperFrame<'a>>,
    to: Mac,
    from: Mac,
}

impl<'a> Cut<'a> {
    pub(super) fn of(frame: TapFrame<'a>, table: &Network) -> Result<Self, DropReason> {
        let (to, from) = switch::macs(frame.bytes).ok_or(DropReason::FrameSize)?;
        let (parsed, longest) = match frame.offload {
            Offload::None => (None, frame.bytes.len()),
            Offload::Checksum { start, offset } => {
                let end = usize::from(start) + usize::from(offset) + 2;
                if usize::from(start) < switch::ETHERNET || end > frame.bytes.len() {
                    return Err(DropReason::BadOffload);
                }
                (None, frame.bytes.len())
            }
            Offload::Tcp { .. } | Offload::Udp { .. } => {
                let parsed = SuperFrame::parse(frame).ok_or(DropReason::BadOffload)?;
                let longest = frame
                    .bytes
                    .len()
                    .min(parsed.headers_len() + parsed.segment_len());
                (Some(parsed), longest)
            }
        };
        if !table.fits(longest) {
            return Err(DropReason::FrameSize);
        }
        let mut facts = Facts::of(frame.bytes).ok_or(DropReason::FrameSize)?;
        // Rules speak of frames as they go on the wire.
        facts.size = narrow16(longest);
        Ok(Self {
            frame,
            facts,
            origin: None,
            parsed,
            to,
            from,
        })
    }

    /// A frame of another member that we pass on.
    pub(super) fn passed_on(
        frame: TapFrame<'a>,
        table: &Network,
        origin: Address,
    ) -> Result<Self, DropReason> {
        let cut = Self::of(frame, table)?;
        let origin = Some(origin);
        Ok(Self { origin, ..cut })
    }

    /// Each frame that it is on the wire, in two pieces, with the place of a partial checksum.
    pub(super) fn each_frame<E>(
        &self,
        mut send: impl FnMut(Option<(u16, u16)>, [&[u8]; 2]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(parsed) = self.parsed else {
            return send(self.partial(), [self.frame.bytes, &[]]);
        };
        let mut headers = Headers::new();
        for index in 0..parsed.count() {
            let data = parsed.segment(index, &mut headers);
            send(Some(headers.checksum()), [headers.bytes(), data])?;
        }
        Ok(())
    }

    const fn partial(&self) -> Option<(u16, u16)> {
        match self.frame.offload {
            Offload::Checksum { start, offset } => Some((start, offset)),
            Offload::None | Offload::Tcp { .. } | Offload::Udp { .. } => None,
        }
    }

    /// Its first bytes, as one frame that the network's MTU allows.
    fn head(&self, length: u16, table: &Network) -> Self {
        let most = switch::ETHERNET + usize::from(table.settings().mtu);
        let length = usize::from(length).min(most);
        if length >= self.frame.bytes.len() {
            return Self { ..*self };
        }
        Self {
            frame: TapFrame::plain(&self.frame.bytes[..length.max(switch::ETHERNET)]),
            parsed: None,
            ..*self
        }
    }
}

/// Sends what the rules leave of a frame to a member.
pub(super) fn to_member<B: SendBuf>(
    sender: &mut Sender<'_, B>,
    table: &Network,
    address: Address,
    cut: &Cut<'_>,
    extras: &mut Extras,
) -> Result<(), Miss> {
    let mac = certified(sender, table, address)?;
    let fate = table.fate(&cut.facts, address);
    if let Some((copy, length)) = fate.tee {
        extras.add(copy, length);
    }
    match fate.gets {
        Gets::Whole => whole_to(sender, table, (address, mac), cut),
        Gets::Head(length) => whole_to(sender, table, (address, mac), &cut.head(length, table)),
        Gets::Elsewhere(elsewhere) => {
            extras.add(elsewhere, u16::MAX);
            Ok(())
        }
        Gets::Nothing => Err(Miss::Drop(DropReason::RuleTx)),
    }
}

/// Sends the first bytes of a frame to whom a rule names.
fn copy_to<B: SendBuf>(
    sender: &mut Sender<'_, B>,
    table: &Network,
    address: Address,
    cut: &Cut<'_>,
    length: u16,
) -> Result<(), Miss> {
    let mac = certified(sender, table, address)?;
    if length == u16::MAX {
        return whole_to(sender, table, (address, mac), cut);
    }
    whole_to(sender, table, (address, mac), &cut.head(length, table))
}

/// The MAC of a member whose certificate and session are here.
pub(super) fn certified<B: SendBuf>(
    sender: &Sender<'_, B>,
    table: &Network,
    address: Address,
) -> Result<Mac, Miss> {
    let handle = sender.sessions.handle_of(address).ok_or(Miss::Unready)?;
    let peer = sender.sessions.peer(handle).ok_or(Miss::Unready)?;
    table.valid(address, peer.key).ok_or(Miss::Unready)
}

pub(super) fn whole_to<B: SendBuf>(
    sender: &mut Sender<'_, B>,
    table: &Network,
    to: (Address, Mac),
    cut: &Cut<'_>,
) -> Result<(), Miss> {
    let (address, mac) = to;
    let handle = sender.sessions.handle_of(address).ok_or(Miss::Unready)?;
    let peer = sender.sessions.peer(handle).ok_or(Miss::Unready)?;
    peer.flow.frame(sender.now);
    let route = match sender.route(handle, None) {
        Ok(route) => route,
        Err(NotSent::NoSession | NotSent::NoPath) => return Err(Miss::Unready),
        Err(NotSent::Full) => return Err(Miss::Drop(DropReason::SendFull)),
        Err(NotSent::TooLong) => return Err(Miss::Drop(DropReason::FrameSize)),
    };
    let settings = table.settings();
    let elide = cut.origin.is_none() && cut.from == settings.mac && cut.to == mac;
    sender.counters.add(Count::FrameCopies, 1);
    let mut headers = Headers::new();
    let Some(parsed) = cut.parsed else {
        let partial = cut.partial();
        let frame = cut.frame.bytes;
        let room = syn_room(&route, elide);
        let pieces = match segment::clamp(frame, room, partial.is_some(), &mut headers) {
            Some(()) => [headers.bytes(), &frame[headers.bytes().len()..]],
            None => [frame, &[]],
        };
        return piece(sender, &route, table, (elide, cut.origin, partial), pieces);
    };
    let parsed = fitting(parsed, &route, elide);
    sender.reserve(&route, parsed.count());
    for index in 0..parsed.count() {
        let data = parsed.segment(index, &mut headers);
        piece(
            sender,
            &route,
            table,
            (elide, cut.origin, Some(headers.checksum())),
            [headers.bytes(), data],
        )?;
    }
    Ok(())
}

/// Cuts TCP so that no segment needs a fragment, unless the path is too small for that.
fn fitting<'a>(parsed: SuperFrame<'a>, route: &Route, elide: bool) -> SuperFrame<'a> {
    let spared = if elide { MACS } else { 0 };
    let room = (route.room + spared).saturating_sub(OWN_HEAD + parsed.headers_len());
    if room >= limits::SEGMENT_FLOOR {
        parsed.cut_to(room)
    } else {
        parsed
    }
}

/// The frame that a connection begun now should not exceed, so that it needs no fragment.
fn syn_room(route: &Route, elide: bool) -> usize {
    // A path just found is likely to be measured, and to be direct, before the connection carries much.
    let room = if route.unmeasured {
        limits::USUAL_ROOM
    } else {
        route.room
    };
    room + if elide { MACS } else { 0 } - OWN_HEAD
}

/// Seals one frame given in two pieces; the first holds at least the MACs.
fn piece<B: SendBuf>(
    sender: &mut Sender<'_, B>,
    route: &Route,
    table: &Network,
    how: (bool, Option<Address>, Option<(u16, u16)>),
    frame: [&[u8]; 2],
) -> Result<(), Miss> {
    let (elide, origin, partial) = how;
    let first = if elide { &frame[0][MACS..] } else { frame[0] };
    let mut head = [0; FRAME_HEAD];
    let mut len = FRAME_OVERHEAD;
    head[0] = MessageType::Frame as u8;
    head[3..11].copy_from_slice(&table.settings().network.to_bytes());
    head[11] = if elide { ELIDED_MACS } else { 0 };
    if let Some(origin) = origin {
        head[11] |= ORIGIN;
        head[len..len + Address::LEN].copy_from_slice(&origin.to_bytes());
        len += Address::LEN;
    }
    if let Some((start, offset)) = partial {
        head[11] |= PARTIAL_CHECKSUM;
        head[len..len + 2].copy_from_slice(&start.to_be_bytes());
        head[len + 2..len + 4].copy_from_slice(&offset.to_be_bytes());
        len += 4;
    }
    let payload = len - MESSAGE_HEADER + first.len() + frame[1].len();
    head[1..3].copy_from_slice(&narrow16(payload).to_be_bytes());
    match sender.message(
        route,
        Body([&head[..len], first, frame[1]]),
        table.fragments(),
    ) {
        Ok(()) => Ok(()),
        Err(NotSent::Full) => Err(Miss::Drop(DropReason::SendFull)),
        Err(NotSent::TooLong) => Err(Miss::Drop(DropReason::FrameSize)),
        Err(NotSent::NoSession | NotSent::NoPath) => Err(Miss::Drop(DropReason::NoSession)),
    }
}
