//! Sharing a group frame's copies with replicators, and passing frames on for others.
//!
//! Owner: the shard. In: a frame with more receivers than the limit; REPLICATE. Out: REPLICATE; frames with their origin.
//! Never: a member twice; a frame passed on a second time; a share for one who has gone silent.

use core::ops::Range;

use zt_wire::message::{MESSAGE_HEADER, Message, MessageType, Replicate};
use zt_wire::{Address, NetworkId};

use super::Shard;
use super::extras::Extras;
use super::found::{Found, Home, Origin, What, reason};
use super::rx::from_member;
use super::seal::{Body, Route, Sender, narrow16};
use super::tx::{Cut, Miss, Outcome, PARTIAL_CHECKSUM, certified, to_member, whole_to};
use super::verdict::{NotSent, Notes, Offload, SendBuf, Share, TapFrame};
use crate::counters::{Count, DropReason};
use crate::limits;
use crate::switch::{Network, Receivers};
use crate::time::{Mono, Now};

/// Bytes before the members in a REPLICATE with a partial checksum: header, network, flags, checksum, count.
const SHARE_HEAD: usize = MESSAGE_HEADER + 8 + 1 + 4 + 1;

/// Who sends which of a frame's copies. Receivers are numbered in the order of their addresses.
pub(super) struct Spread {
    total: usize,
    /// The first receiver behind ourselves, and how many from there on we send to.
    first: usize,
    own: usize,
    helpers: [Option<(Address, Route)>; limits::REPLICATORS_USED],
    count: usize,
    /// There are replicators, but none is ready and it is worth waiting.
    pub(super) waits: bool,
}

impl Spread {
    /// Everything from ourselves.
    const ALONE: Self = Self {
        total: 1,
        first: 0,
        own: usize::MAX,
        helpers: [None; limits::REPLICATORS_USED],
        count: 0,
        waits: false,
    };

    pub(super) fn of<B: SendBuf>(
        sender: &Sender<'_, B>,
        table: &Network,
        receivers: Receivers,
    ) -> Self {
        let Some((me, own)) = table.shares(receivers) else {
            return Self::ALONE;
        };
        let total = table.each(receivers).count();
        if total <= own {
            return Self::ALONE;
        }
        let mut spread = Self {
            total,
            first: table.each(receivers).take_while(|at| *at < me).count(),
            own,
            ..Self::ALONE
        };
        let (mut known, mut silent) = (false, false);
        for address in table.replicators(me) {
            known = true;
            match helper(sender, table, address) {
                Helper::Ready(route) => {
                    if let Some(place) = spread.helpers.get_mut(spread.count) {
                        *place = Some((address, route));
                        spread.count += 1;
                    }
                }
                Helper::Silent => silent = true,
                Helper::Unmet => {}
            }
        }
        if spread.count > 0 {
            return spread;
        }
        // One that was there and is silent is not worth waiting for: it may never come back.
        spread.waits = known && !silent && table.waits_for_replicators(sender.now);
        if spread.waits { spread } else { Self::ALONE }
    }

    /// Whether we send to this receiver ourselves. Replicators get their own copy beside what they pass on.
    pub(super) fn is_own(&self, place: usize, address: Address) -> bool {
        let helpers = &self.helpers[..self.count];
        self.own == usize::MAX
            || (place + self.total - self.first) % self.total < self.own
            || helpers.iter().flatten().any(|(at, _)| *at == address)
    }

    /// Gives the other receivers to replicators, in turn.
    pub(super) fn give<B: SendBuf>(
        &self,
        sender: &mut Sender<'_, B>,
        table: &Network,
        receivers: Receivers,
        cut: &Cut<'_>,
    ) {
        if self.count == 0 {
            return;
        }
        let each = (self.total - self.own)
            .div_ceil(self.count)
            .clamp(limits::SHARE_LEAST, Replicate::MAX);
        let mut list = [0; Replicate::MAX * Address::LEN];
        let (mut len, mut turn) = (0, 0);
        let others = table.each(receivers).enumerate();
        for (_, address) in others.filter(|(place, at)| !self.is_own(*place, *at)) {
            list[len..len + Address::LEN].copy_from_slice(&address.to_bytes());
            len += Address::LEN;
            if len == each * Address::LEN {
                self.hand(sender, table, (&list[..len], turn), cut);
                (len, turn) = (0, turn + 1);
            }
        }
        if len > 0 {
            self.hand(sender, table, (&list[..len], turn), cut);
        }
    }

    /// Hands one share to the replicator whose turn it is.
    fn hand<B: SendBuf>(
        &self,
        sender: &mut Sender<'_, B>,
        table: &Network,
        share: (&[u8], usize),
        cut: &Cut<'_>,
    ) {
        let (list, turn) = share;
        let Some((_, route)) = self.helpers[turn % self.count] else {
            return;
        };
        let handed = cut.each_frame(|partial, frame| {
            let mut head = [0; SHARE_HEAD + Replicate::MAX * Address::LEN];
            head[0] = MessageType::Replicate as u8;
            head[3..11].copy_from_slice(&table.settings().network.to_bytes());
            let mut at = 12;
            if let Some((start, offset)) = partial {
                head[11] = PARTIAL_CHECKSUM;
                head[12..14].copy_from_slice(&start.to_be_bytes());
                head[14..16].copy_from_slice(&offset.to_be_bytes());
                at = 16;
            }
            // At most `Replicate::MAX`.
            head[at] = u8::try_from(list.len() / Address::LEN).unwrap_or(u8::MAX);
            at += 1;
            head[at..at + list.len()].copy_from_slice(list);
            at += list.len();
            let payload = at - MESSAGE_HEADER + frame[0].len() + frame[1].len();
            head[1..3].copy_from_slice(&narrow16(payload).to_be_bytes());
            let body = Body([&head[..at], frame[0], frame[1]]);
            sender.message(&route, body, table.fragments())
        });
        if let Err(not) = handed {
            sender.counters.drop(match not {
                NotSent::Full => DropReason::SendFull,
                NotSent::TooLong => DropReason::FrameSize,
                NotSent::NoSession | NotSent::NoPath => DropReason::NoSession,
            });
        }
    }
}

impl Shard {
    /// Sends what waited for a replicator: over one that is ready by now, or else to everybody ourselves.
    pub fn share(
        &mut self,
        now: Now,
        network: NetworkId,
        frame: TapFrame<'_>,
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> bool {
        let sent = self.send_shared(now, network, frame, out, notes);
        sent.unwrap_or_else(|reason| {
            self.counters.drop(reason);
            false
        })
    }

    fn send_shared(
        &mut self,
        now: Now,
        network: NetworkId,
        frame: TapFrame<'_>,
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Result<bool, DropReason> {
        let table = self
            .switch
            .get_mut(network)
            .ok_or(DropReason::UnknownNetwork)?;
        let cut = Cut::of(frame, table)?;
        let receivers = table.receivers(now.mono, frame.bytes)?;
        let receivers = receivers.narrowed(&cut.facts);
        let mut outcome = Outcome::Done;
        let mut sender = Sender {
            now: now.mono,
            sessions: &mut self.sessions,
            counters: &mut self.counters,
            notes,
            out,
        };
        let spread = Spread::of(&sender, table, receivers);
        if spread.waits {
            // None has become ready: the frames behind this one do not wait for any.
            table.go_alone(now.mono);
            // Where rules name members for copies, nobody else is asked to send.
            let mut extras = Extras::default();
            for (place, address) in table.each(receivers).enumerate() {
                if !spread.is_own(place, address) {
                    let went = to_member(&mut sender, table, address, &cut, &mut extras);
                    outcome.add(&mut sender, (network, address), went);
                }
            }
        } else {
            spread.give(&mut sender, table, receivers, &cut);
        }
        Ok(matches!(outcome, Outcome::Unready))
    }

    /// Passes on what `rx` judged `Verdict::Share`; `bytes` is the same buffer. The frame, for members that are not
    /// ready and stand in the notes.
    pub fn replicate<'a>(
        &'a mut self,
        now: Now,
        share: &Share,
        bytes: &'a [u8],
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Option<TapFrame<'a>> {
        let place = match share.home {
            Home::Datagram => None,
            Home::Outer => Some(0),
            Home::Inner => Some(1),
        };
        let assembled = place.map(|place| core::mem::take(&mut self.assembled[place]));
        let source = assembled.as_deref().unwrap_or(bytes);
        let message = source.get(share.message.clone());
        let passed = message.and_then(|message| self.pass_share(now, share, message, out, notes));
        let frame = share.message.end - share.len..share.message.end;
        let source = match (place, assembled) {
            (Some(place), Some(assembled)) => {
                self.assembled[place] = assembled;
                &self.assembled[place]
            }
            _ => bytes,
        };
        Some(TapFrame {
            bytes: source.get(frame)?,
            offload: passed?,
        })
    }

    /// A frame that a member asks us to pass on.
    pub(super) fn share_of(
        &mut self,
        origin: Origin,
        bytes: &[u8],
        range: Range<usize>,
        notes: &mut Notes,
    ) -> Result<Found, DropReason> {
        let Message::Replicate(share) = Message::parse(&bytes[range.clone()]).map_err(reason)?
        else {
            return Err(DropReason::Malformed);
        };
        let now = origin.whence.now.mono;
        let tables = (&mut self.switch, &mut self.sessions);
        let (table, peer, _) = from_member(tables, &origin, share.network, notes)?;
        if !table.fits(share.bytes.len()) {
            return Err(DropReason::FrameSize);
        }
        table.may_share(now, (peer.address, origin.key), share.bytes, notes)?;
        peer.flow.frame(now);
        let what = What::Share(Share {
            from: origin.peer,
            network: share.network,
            origin: peer.address,
            home: Home::Datagram,
            message: range.clone(),
            len: share.bytes.len(),
        });
        let home = Home::Datagram;
        Ok(Found { what, home, range })
    }

    fn pass_share(
        &mut self,
        now: Now,
        share: &Share,
        message: &[u8],
        out: &mut impl SendBuf,
        notes: &mut Notes,
    ) -> Option<Offload> {
        let Ok(Message::Replicate(said)) = Message::parse(message) else {
            return None;
        };
        let offload = said
            .checksum
            .map_or(Offload::None, |(start, offset)| Offload::Checksum {
                start,
                offset,
            });
        let frame = TapFrame {
            bytes: said.bytes,
            offload,
        };
        let table = self.switch.get(share.network)?;
        let cut = Cut::passed_on(frame, table, share.origin).ok()?;
        let receivers = Receivers::All.narrowed(&cut.facts);
        let mut outcome = Outcome::Done;
        let mut sender = Sender {
            now: now.mono,
            sessions: &mut self.sessions,
            counters: &mut self.counters,
            notes,
            out,
        };
        for address in said.addresses().filter(|at| *at != share.origin) {
            let went = pass_to(&mut sender, table, (address, receivers), &cut);
            outcome.add(&mut sender, (share.network, address), went);
        }
        show(&mut sender, share);
        matches!(outcome, Outcome::Unready).then_some(offload)
    }
}

/// Passes a frame on to one member, if it is one and listens.
pub(super) fn pass_to<B: SendBuf>(
    sender: &mut Sender<'_, B>,
    table: &Network,
    to: (Address, Receivers),
    cut: &Cut<'_>,
) -> Result<(), Miss> {
    let (address, receivers) = to;
    let Some(listens) = table.listens(address, receivers) else {
        return Err(Miss::Drop(DropReason::NoReceiver));
    };
    if !listens {
        sender.counters.add(Count::FramesSpared, 1);
        return Ok(());
    }
    let mac = certified(sender, table, address)?;
    if !table.lets(&cut.facts, cut.origin, address) {
        return Err(Miss::Drop(DropReason::RuleTx));
    }
    whole_to(sender, table, (address, mac), cut)?;
    sender.counters.add(Count::FramesReplicated, 1);
    Ok(())
}

/// Shows the origin that we are there, at a bounded rate: its silence timer is what tells it to use others.
fn show<B: SendBuf>(sender: &mut Sender<'_, B>, share: &Share) {
    let now = sender.now;
    let due = sender
        .sessions
        .peer(share.from)
        .is_some_and(|peer| peer.flow.shows_itself(now));
    if due && let Ok(mut route) = sender.route(share.from, None) {
        route.expects = false;
        // Not being seen costs the origin a detour, no frame.
        let _ = sender.message(&route, Body([&[], &[], &[]]), 1);
    }
}

/// What a replicator is good for now.
enum Helper {
    Ready(Route),
    /// It was sent something, and is unheard since.
    Silent,
    /// No session, certificate or path yet.
    Unmet,
}

fn helper<B: SendBuf>(sender: &Sender<'_, B>, table: &Network, address: Address) -> Helper {
    let handle = sender.sessions.handle_of(address);
    let Some((handle, Ok(route))) = handle
        .filter(|_| certified(sender, table, address).is_ok())
        .map(|handle| (handle, sender.route(handle, None)))
    else {
        return Helper::Unmet;
    };
    let peer = sender.sessions.peer(handle);
    let waiting: Option<Mono> = peer.and_then(|peer| peer.flow.waiting());
    if waiting.is_some_and(|since| sender.now.since(since) >= limits::REPLICATOR_SILENT) {
        Helper::Silent
    } else {
        Helper::Ready(route)
    }
}
