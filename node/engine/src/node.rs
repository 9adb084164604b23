//! A whole node for one worker: one engine and one shard, each hearing of the other until both are quiet.
//!
//! Owner: the driver or the simulator. In: datagrams, frames, inputs, time. Out: datagrams, frames, effects, all through `Io`.
//! Never: anything left to be fetched later: when a call returns, what it caused is done; only deadlines remain.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::vec::Vec;

use zt_crypto::{SecretIdentity, Verified, VerifiedWorld};
use zt_wire::NetworkId;

use crate::config::Config;
use crate::counters::{Counters, DropReason};
use crate::early::{Early, Whence};
use crate::engine::Engine;
use crate::held::Stranger;
use crate::interface::{Command, Effect, Input, Reply};
use crate::lane::{Lane, Order, Report, stray_owner};
use crate::limits;
use crate::outbox::{HeldFrame, Out, Outbox};
use crate::selftest::Arrived;
use crate::shard::{
    NotSent, Note, Notes, Path, PeerHandle, Punt, SendBuf, Sent, Shard, ShardConfig, Shown,
    TapFrame, Update, Verdict, owner,
};
use crate::time::{Mono, Now};

/// What a node gives out, as the driver takes it.
pub trait Io: SendBuf {
    /// A frame for the device of a network.
    fn deliver(&mut self, network: NetworkId, frame: TapFrame<'_>);
    /// Everything else.
    fn effect(&mut self, effect: Effect);
    /// News for one of the lanes; never called on a node without any.
    fn order(&mut self, _lane: usize, _order: Order) {}
    /// A datagram that this lane opens; never called on a node without any.
    fn stray(&mut self, _lane: usize, _from: Path, _datagram: &[u8]) {}
}

/// One node with one worker.
#[derive(Debug)]
pub struct Node {
    engine: Engine,
    shard: Shard,
    outbox: Outbox,
    notes: Notes,
    early: Early,
    /// Lanes whose control messages of a peer wait for a proof, and how many of them.
    owed: BTreeMap<(PeerHandle, usize), u32>,
    /// Lanes, numbered from 1 on.
    lanes: usize,
    hearing: Option<Hearing>,
}

/// What was heard of a selftest, until all workers have told it.
#[derive(Debug)]
struct Hearing {
    missing: usize,
    heard: Vec<Arrived>,
}

impl Node {
    /// A node; it does nothing before its first call. Call `advance` once to begin.
    pub fn new(
        identity: SecretIdentity,
        verified: Verified,
        world: VerifiedWorld,
        config: Config,
        seed: [u8; 32],
    ) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = zt_crypto::hash256(&seed);
        let shard_config = ShardConfig {
            relays: config.role.relays(),
            seed: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            ..ShardConfig::default()
        };
        Self {
            shard: Shard::new(verified.address(), shard_config),
            engine: Engine::new(identity, verified, world, config, seed),
            outbox: Outbox::default(),
            notes: Notes::new(),
            early: Early::default(),
            owed: BTreeMap::new(),
            lanes: 0,
            hearing: None,
        }
    }

    /// A datagram from the wire; opened in place.
    pub fn rx(&mut self, now: Now, from: SocketAddr, bytes: &mut [u8], io: &mut impl Io) {
        self.stray(now, Path::Direct(from), bytes, io);
    }

    /// A datagram that a lane has found to be ours.
    pub fn stray(&mut self, now: Now, from: Path, bytes: &mut [u8], io: &mut impl Io) {
        self.judge(now, &Whence::Wire(from), bytes, io);
        self.settle(now, io);
    }

    /// Carries out what the shard makes of a datagram, or of a message out of one that was kept.
    fn judge(&mut self, now: Now, whence: &Whence<'_>, bytes: &mut [u8], io: &mut impl Io) {
        match whence.look(&mut self.shard, now, bytes, &mut self.notes) {
            Verdict::Deliver { network, frame } => io.deliver(network, frame),
            Verdict::Relay(forward) => {
                self.shard
                    .forward(now, &forward, bytes, io, &mut self.notes);
            }
            Verdict::Punt(punt) => {
                // What the shard noticed in this datagram comes before what the datagram says.
                for note in self.notes.drain(..) {
                    share(now, &note, (self.lanes, 0), io);
                    self.engine.note(now, note, &mut self.outbox);
                }
                self.engine.punt(now, &punt, &mut self.outbox);
            }
            Verdict::Share(share) => {
                let (network, origin) = (share.network(), share.origin);
                let frame = self
                    .shard
                    .replicate(now, &share, bytes, io, &mut self.notes);
                if let Some(frame) = frame {
                    let frame = HeldFrame::of(&frame, Some(origin));
                    hold(&mut self.engine, &self.notes, now, network, &frame);
                }
            }
            Verdict::Unvouched {
                peer,
                network,
                origin,
                message,
            } => {
                let stranger = Stranger {
                    peer,
                    network,
                    origin,
                    message: message.to_vec(),
                };
                self.engine.hold_stranger(now, stranger, &mut self.outbox);
            }
            Verdict::Stray { from, datagram } => io.stray(stray_owner(datagram), from, datagram),
            Verdict::Early { whose, message } => {
                if !self.early.keep(whose, message) {
                    self.shard.count_drop(DropReason::QueueFull);
                }
            }
            Verdict::Kept | Verdict::Drop(_) => {}
        }
    }

    /// One more worker, at most `Config::workers` with this one: its number, from 1 on, and what runs it. From now on
    /// news for it go to [`Io::order`]. It gets sessions when [`Node::spread_over`] says so.
    pub fn lane(&mut self) -> (usize, Lane) {
        self.lanes += 1;
        let lane = Lane::new(self.shard.replica());
        self.shard.tell_stations();
        (self.lanes, lane.telling())
    }

    /// Gives new sessions to this many workers, this one included, and lets the others move there.
    pub fn spread_over(&mut self, now: Now, workers: usize, io: &mut impl Io) {
        self.engine.spread_over(now, workers.min(self.lanes + 1));
        self.settle(now, io);
    }

    /// What a lane tells.
    pub fn report(&mut self, now: Now, lane: usize, report: Report, io: &mut impl Io) {
        match report {
            Report::Notes(notes) => {
                for note in notes {
                    share(now, &note, (self.lanes, lane), io);
                    if let Some(update) = news(now, &note) {
                        self.shard.apply(update);
                    }
                    self.engine.note(now, note, &mut self.outbox);
                }
            }
            Report::Handshake { from, datagram } => {
                let datagram = datagram.as_slice();
                let punt = Punt::Handshake { from, datagram };
                self.engine.punt(now, &punt, &mut self.outbox);
            }
            Report::Control {
                peer,
                session,
                from,
                messages,
            } => {
                let punt = Punt::Control {
                    peer,
                    session,
                    from,
                    messages: &messages,
                };
                self.engine.punt(now, &punt, &mut self.outbox);
                self.settle(now, io);
                if self.engine.is_proving(peer) {
                    *self.owed.entry((peer, lane)).or_default() += 1;
                } else {
                    io.order(lane, Order::Answered(peer));
                }
            }
            Report::Hold {
                network,
                frame,
                notes,
            } => hold(&mut self.engine, &notes, now, network, &frame),
            Report::Shown {
                network,
                what,
                frame,
            } => {
                self.engine
                    .shown(now, (network, what), &frame.frame(), &mut self.outbox);
            }
            Report::Stranger(stranger) => {
                self.engine.hold_stranger(now, stranger, &mut self.outbox);
            }
            Report::Heard(heard) => self.heard(now, heard),
        }
        self.settle(now, io);
    }

    /// Asks every worker what it has heard of a selftest.
    fn ask_heard(&mut self, now: Now, io: &mut impl Io) {
        for lane in 1..=self.lanes {
            io.order(lane, Order::TellHeard);
        }
        self.hearing = Some(Hearing {
            missing: self.lanes + 1,
            heard: Vec::new(),
        });
        let heard = self.shard.heard();
        self.heard(now, heard);
    }

    /// What one worker has heard of a selftest; its frames all came to one of them.
    fn heard(&mut self, now: Now, heard: Vec<Arrived>) {
        let Some(hearing) = &mut self.hearing else {
            return;
        };
        hearing.missing = hearing.missing.saturating_sub(1);
        if hearing.heard.is_empty() || heard.iter().any(|arrived| arrived.times > 0) {
            hearing.heard = heard;
        }
        if hearing.missing == 0
            && let Some(hearing) = self.hearing.take()
        {
            self.engine
                .selftest_heard(now, hearing.heard, &mut self.outbox);
        }
    }

    /// A frame from a network's device.
    pub fn tap(&mut self, now: Now, network: NetworkId, frame: TapFrame<'_>, io: &mut impl Io) {
        match self.shard.tx(now, network, frame, io, &mut self.notes) {
            Sent::Done => {}
            Sent::Answer(answer) => io.deliver(network, TapFrame::plain(answer)),
            Sent::Unready => {
                let frame = HeldFrame::of(&frame, None);
                hold(&mut self.engine, &self.notes, now, network, &frame);
            }
        }
        if let Some(what) = Shown::among(&self.notes) {
            self.engine
                .shown(now, (network, what), &frame, &mut self.outbox);
        }
        self.settle(now, io);
    }

    /// The kernel had to drop datagrams that were not read in time.
    pub const fn overloaded(&mut self) {
        self.shard.overloaded();
    }

    /// Anything else that happens to a node.
    pub fn input(&mut self, now: Now, input: Input, io: &mut impl Io) {
        if let Input::Command(_, Command::Peers) = &input {
            for handle in self.engine.handles() {
                self.engine
                    .traffic(now, handle, self.shard.traffic(handle), &mut self.outbox);
            }
            self.settle(now, io);
        }
        self.engine.handle(now, input, &mut self.outbox);
        self.settle(now, io);
    }

    /// Fires every deadline up to now.
    pub fn advance(&mut self, now: Now, io: &mut impl Io) {
        self.shard.advance(now);
        self.engine.advance(now, &mut self.outbox);
        self.settle(now, io);
    }

    /// When `advance` next has something to do.
    pub fn next_deadline(&self) -> Option<Mono> {
        let engine = self.engine.next_deadline().map(|(at, _)| at);
        [engine, self.shard.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Everything counted.
    pub fn counters(&self) -> Counters {
        let mut counters = self.engine.counters().clone();
        counters.merge(self.shard.counters());
        counters
    }

    /// The control plane, to be looked at.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The data plane, to be looked at.
    pub const fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Lets engine and shard answer each other until nothing is left.
    fn settle(&mut self, now: Now, io: &mut impl Io) {
        for _ in 0..limits::QUIET_STEPS {
            if !self.notes.is_empty() {
                for note in self.notes.drain(..) {
                    share(now, &note, (self.lanes, 0), io);
                    self.engine.note(now, note, &mut self.outbox);
                }
            }
            let Some(out) = self.outbox.pop() else { return };
            self.carry_out(now, out, io);
        }
        debug_assert!(false, "engine and shard do not come to rest");
    }

    fn carry_out(&mut self, now: Now, out: Out, io: &mut impl Io) {
        match out {
            Out::Update(update) => self.update(update, io),
            Out::Message { to, body } => {
                let sent = self.shard.send(now, to, &body, io, &mut self.notes);
                self.count(sent);
            }
            Out::Datagram { path, bytes } => {
                let sent = self
                    .shard
                    .send_handshake(now, path, &bytes, io, &mut self.notes);
                self.count(sent);
            }
            Out::Frame {
                network,
                address,
                frame,
            } => {
                let frame = (frame.frame(), frame.origin);
                let to = (network, address);
                // A drop is counted by the shard.
                let _ = self.shard.transmit_for(now, to, frame, io, &mut self.notes);
            }
            Out::Share { network, frame } => {
                let unready = self
                    .shard
                    .share(now, network, frame.frame(), io, &mut self.notes);
                if unready {
                    hold(&mut self.engine, &self.notes, now, network, &frame);
                }
            }
            Out::Enter(mut stranger) => {
                let message = &mut stranger.message;
                if let Verdict::Deliver { network, frame } =
                    self.shard
                        .enter(now, stranger.peer, message, &mut self.notes)
                {
                    io.deliver(network, frame);
                }
            }
            Out::Deliver { network, frame } => io.deliver(network, TapFrame::plain(&frame)),
            Out::SelftestFrame {
                network,
                address,
                index,
                bytes,
            } => {
                let to = (network, address);
                let tried = self.shard.try_frame(now, to, &bytes, io, &mut self.notes);
                if let Err(reason) = tried {
                    self.engine.selftest_stopped(index, reason);
                }
            }
            Out::SelftestHeard => self.ask_heard(now, io),
            Out::Ask(peer) => {
                self.engine
                    .traffic(now, peer, self.shard.traffic(peer), &mut self.outbox);
            }
            Out::Proving(peer) => self.shard.asked(peer),
            Out::Proven(peer) => self.proven(now, peer, io),
            Out::Effect(Effect::Reply(id, Reply::Counters(mut counters))) => {
                counters.merge(self.shard.counters());
                io.effect(Effect::Reply(id, Reply::Counters(counters)));
            }
            Out::Effect(effect) => io.effect(effect),
        }
    }

    /// News for all workers. Fresh keys open at the worker that their index names.
    fn update(&mut self, mut update: Update, io: &mut impl Io) {
        for lane in 1..=self.lanes {
            let mut copy = update.clone();
            if let (Update::SessionUp(copy), Update::SessionUp(up)) = (&mut copy, &mut update)
                && owner(up.local) == lane
            {
                copy.open = up.open.take();
            }
            io.order(lane, Order::Update(copy));
        }
        if let Update::Forget(peer) = update {
            for _ in self.early.take(peer) {
                self.shard.count_drop(DropReason::UnknownSession);
            }
        }
        self.shard.apply(update);
    }

    /// All control messages of a peer are dealt with: the frames behind them enter, here and at the lanes.
    fn proven(&mut self, now: Now, peer: PeerHandle, io: &mut impl Io) {
        self.shard.answered(peer);
        for (whose, mut message) in self.early.take(peer) {
            self.judge(now, &Whence::Early(&whose), &mut message, io);
        }
        let lanes = (peer, 0)..=(peer, usize::MAX);
        let owed: Vec<_> = self.owed.range(lanes).map(|(&key, &n)| (key, n)).collect();
        for (key, times) in owed {
            self.owed.remove(&key);
            for _ in 0..times {
                io.order(key.1, Order::Answered(peer));
            }
        }
    }

    fn count(&mut self, sent: Result<(), NotSent>) {
        let reason = match sent {
            Ok(()) => return,
            Err(NotSent::NoSession) => DropReason::NoSession,
            Err(NotSent::NoPath) => DropReason::NoPath,
            Err(NotSent::Full) => DropReason::SendFull,
            Err(NotSent::TooLong) => DropReason::Long,
        };
        self.engine.count_drop(reason);
    }
}

/// Tells the lanes, but for the one it is from, what a note says to all workers.
fn share(now: Now, note: &Note, (lanes, from): (usize, usize), io: &mut impl Io) {
    if lanes == 0 {
        return;
    }
    if let Some(update) = news(now, note) {
        for lane in (1..=lanes).filter(|lane| *lane != from) {
            io.order(lane, Order::Update(update.clone()));
        }
    }
}

/// What one worker's note is to the others.
fn news(now: Now, note: &Note) -> Option<Update> {
    let at = now.mono;
    match *note {
        Note::Confirmed { session, .. } => Some(Update::Confirmed { session, at }),
        Note::Station {
            network,
            mac,
            behind,
        } => Some(Update::Station {
            network,
            mac,
            behind,
            at,
        }),
        _ => None,
    }
}

/// Keeps a frame for all whom the notes name.
fn hold(engine: &mut Engine, notes: &[Note], now: Now, network: NetworkId, frame: &HeldFrame) {
    for note in notes {
        match note {
            Note::Unready { address, .. } => engine.hold(now, network, *address, frame),
            Note::Unshared { .. } => engine.hold_share(now, network, frame),
            _ => {}
        }
    }
}
