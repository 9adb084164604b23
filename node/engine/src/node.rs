//! A whole node for one worker: one engine and one shard, each hearing of the other until both are quiet.
//!
//! Owner: the driver or the simulator. In: datagrams, frames, inputs, time. Out: datagrams, frames, effects, all through `Io`.
//! Never: anything left to be fetched later: when a call returns, what it caused is done; only deadlines remain.

use core::net::SocketAddr;

use zt_crypto::{SecretIdentity, Verified, VerifiedWorld};
use zt_wire::NetworkId;

use crate::config::Config;
use crate::counters::{Counters, DropReason};
use crate::engine::Engine;
use crate::held::Stranger;
use crate::interface::{Command, Effect, Input, Reply};
use crate::limits;
use crate::outbox::{HeldFrame, Out, Outbox};
use crate::shard::{
    NotSent, Note, Notes, Path, SendBuf, Sent, Shard, ShardConfig, TapFrame, Verdict,
};
use crate::time::{Mono, Now};

/// What a node gives out, as the driver takes it.
pub trait Io: SendBuf {
    /// A frame for the device of a network.
    fn deliver(&mut self, network: NetworkId, frame: TapFrame<'_>);
    /// Everything else.
    fn effect(&mut self, effect: Effect);
}

/// One node with one worker.
#[derive(Debug)]
pub struct Node {
    engine: Engine,
    shard: Shard,
    outbox: Outbox,
    notes: Notes,
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
        }
    }

    /// A datagram from the wire; opened in place.
    pub fn rx(&mut self, now: Now, from: SocketAddr, bytes: &mut [u8], io: &mut impl Io) {
        match self
            .shard
            .rx(now, Path::Direct(from), bytes, &mut self.notes)
        {
            Verdict::Deliver { network, frame } => io.deliver(network, frame),
            Verdict::Relay(forward) => {
                self.shard
                    .forward(now, &forward, bytes, io, &mut self.notes);
            }
            Verdict::Punt(punt) => {
                // What the shard noticed in this datagram comes before what the datagram says.
                for note in self.notes.drain(..) {
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
            Verdict::Kept | Verdict::Drop(_) => {}
        }
        self.settle(now, io);
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
        if self.notes.contains(&Note::Membership) {
            self.engine
                .membership(now, network, frame.bytes, &mut self.outbox);
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
            Out::Update(update) => self.shard.apply(update),
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
            Out::SelftestHeard => {
                let heard = self.shard.heard();
                self.engine.selftest_heard(now, heard, &mut self.outbox);
            }
            Out::Ask(peer) => {
                self.engine
                    .traffic(now, peer, self.shard.traffic(peer), &mut self.outbox);
            }
            Out::Effect(Effect::Reply(id, Reply::Counters(mut counters))) => {
                counters.merge(self.shard.counters());
                io.effect(Effect::Reply(id, Reply::Counters(counters)));
            }
            Out::Effect(effect) => io.effect(effect),
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

/// Keeps a frame for all whom the notes name.
fn hold(engine: &mut Engine, notes: &Notes, now: Now, network: NetworkId, frame: &HeldFrame) {
    for note in notes {
        match note {
            Note::Unready { address, .. } => engine.hold(now, network, *address, frame),
            Note::Unshared { .. } => engine.hold_share(now, network, frame),
            _ => {}
        }
    }
}
