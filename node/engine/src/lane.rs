//! One more worker of a node: a data plane of its own, which tells the node what it must know and hears its news.
//!
//! Owner: a thread of the driver. In: datagrams steered here, frames of its queues, `Order`s. Out: datagrams, frames, `Report`s.
//! Never: a decision of the engine; a wait for the node.

use core::net::SocketAddr;
use std::vec::Vec;

use zt_wire::NetworkId;

use crate::counters::{Counters, DropReason};
use crate::early::{Early, Whence};
use crate::held::Stranger;
use crate::outbox::HeldFrame;
use crate::selftest::Arrived;
use crate::shard::{
    Note, Notes, Path, PeerHandle, Punt, SendBuf, Sent, Shard, Shown, TapFrame, Update, Verdict,
    owner,
};
use crate::time::{Mono, Now};

/// What the node tells a lane.
#[derive(Debug)]
pub enum Order {
    /// News.
    Update(Update),
    /// What was heard of the selftest under way? Answered by `Report::Heard`.
    TellHeard,
    /// A `Report::Control` of this peer has been dealt with; what it changed was said before.
    Answered(PeerHandle),
}

/// What a lane tells the node.
#[derive(Debug)]
pub enum Report {
    /// What it noticed.
    Notes(Vec<Note>),
    /// INIT, COOKIE or RESPONSE.
    Handshake {
        /// Which way it came.
        from: Path,
        /// The datagram.
        datagram: Vec<u8>,
    },
    /// Control messages of a peer.
    Control {
        /// From whom.
        peer: PeerHandle,
        /// In which session.
        session: u32,
        /// Which way.
        from: Path,
        /// The messages.
        messages: Vec<u8>,
    },
    /// A frame for members that are not ready; they stand in the notes just before.
    Hold {
        /// On which network.
        network: NetworkId,
        /// The frame.
        frame: HeldFrame,
        /// Who is not ready.
        notes: Vec<Note>,
    },
    /// A frame of the device that the engine is to see.
    Shown {
        /// On which network.
        network: NetworkId,
        /// Why.
        what: Shown,
        /// The frame.
        frame: HeldFrame,
    },
    /// A frame of a member whose certificate is missing.
    Stranger(Stranger),
    /// What was heard of the selftest.
    Heard(Vec<Arrived>),
}

/// What a lane gives out.
pub trait LaneIo: SendBuf {
    /// A frame for the device of a network.
    fn deliver(&mut self, network: NetworkId, frame: TapFrame<'_>);
    /// Something for the node. Returns whether it will hear of it.
    fn report(&mut self, report: Report) -> bool;
    /// A datagram that another worker opens: `Node::stray` or `Lane::stray` there.
    fn stray(&mut self, worker: usize, from: Path, datagram: &[u8]);
}

/// One more worker; the node itself is number 0.
#[derive(Debug)]
pub struct Lane {
    shard: Shard,
    notes: Notes,
    early: Early,
}

impl Lane {
    pub(crate) fn new(shard: Shard) -> Self {
        Self {
            shard,
            notes: Notes::new(),
            early: Early::default(),
        }
    }

    /// It tells the others where stations are.
    pub(crate) fn telling(mut self) -> Self {
        self.shard.tell_stations();
        self
    }

    /// A datagram from the wire; opened in place.
    pub fn rx(&mut self, now: Now, from: SocketAddr, bytes: &mut [u8], io: &mut impl LaneIo) {
        self.stray(now, Path::Direct(from), bytes, io);
    }

    /// A datagram that another worker has found to be ours.
    pub fn stray(&mut self, now: Now, from: Path, bytes: &mut [u8], io: &mut impl LaneIo) {
        self.judge(now, &Whence::Wire(from), bytes, io);
    }

    /// Carries out what the shard makes of a datagram, or of a message out of one that was kept.
    fn judge(&mut self, now: Now, whence: &Whence<'_>, bytes: &mut [u8], io: &mut impl LaneIo) {
        let Self {
            shard,
            notes,
            early,
        } = self;
        match whence.look(shard, now, bytes, notes) {
            Verdict::Deliver { network, frame } => io.deliver(network, frame),
            Verdict::Relay(forward) => shard.forward(now, &forward, bytes, io, notes),
            Verdict::Punt(punt) => {
                // What was noticed in this datagram comes before what the datagram says.
                tell(notes, io);
                if let Some(peer) = hand(&punt, io) {
                    shard.asked(peer);
                }
            }
            Verdict::Share(share) => {
                let (network, origin) = (share.network(), share.origin);
                if let Some(frame) = shard.replicate(now, &share, bytes, io, notes) {
                    let frame = HeldFrame::of(&frame, Some(origin));
                    hold(notes, network, frame, io);
                }
            }
            Verdict::Unvouched {
                peer,
                network,
                origin,
                message,
            } => {
                io.report(Report::Stranger(Stranger {
                    peer,
                    network,
                    origin,
                    message: message.to_vec(),
                }));
            }
            Verdict::Early { whose, message } => {
                if !early.keep(whose, message) {
                    shard.count_drop(DropReason::QueueFull);
                }
            }
            Verdict::Stray { from, datagram } => io.stray(stray_owner(datagram), from, datagram),
            Verdict::Kept | Verdict::Drop(_) => {}
        }
        tell(&mut self.notes, io);
    }

    /// A frame from a queue of a network's device.
    pub fn tap(&mut self, now: Now, network: NetworkId, frame: TapFrame<'_>, io: &mut impl LaneIo) {
        let Self { shard, notes, .. } = self;
        match shard.tx(now, network, frame, io, notes) {
            Sent::Done => {}
            Sent::Answer(answer) => io.deliver(network, TapFrame::plain(answer)),
            Sent::Unready => hold(notes, network, HeldFrame::of(&frame, None), io),
        }
        if let Some(what) = Shown::among(notes) {
            io.report(Report::Shown {
                network,
                what,
                frame: HeldFrame::of(&frame, None),
            });
        }
        tell(&mut self.notes, io);
    }

    /// News of the node.
    pub fn order(&mut self, now: Now, order: Order, io: &mut impl LaneIo) {
        match order {
            Order::Update(update) => {
                if let Update::Forget(peer) = &update {
                    for _ in self.early.take(*peer) {
                        self.shard.count_drop(DropReason::UnknownSession);
                    }
                }
                self.shard.apply(update);
            }
            Order::TellHeard => {
                io.report(Report::Heard(self.shard.heard()));
            }
            Order::Answered(peer) => {
                self.shard.answered(peer);
                for (whose, mut message) in self.early.take(peer) {
                    self.judge(now, &Whence::Early(&whose), &mut message, io);
                }
            }
        }
    }

    /// The kernel had to drop datagrams that were not read in time.
    pub const fn overloaded(&mut self) {
        self.shard.overloaded();
    }

    /// Erases keys whose time is over.
    pub fn advance(&mut self, now: Now) {
        self.shard.advance(now);
    }

    /// When `advance` next has something to do.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.shard.next_deadline()
    }

    /// What was counted here.
    pub const fn counters(&self) -> &Counters {
        self.shard.counters()
    }
}

/// The worker that opens this transport datagram.
pub(crate) fn stray_owner(datagram: &[u8]) -> usize {
    let index = zt_wire::datagram::Transport::parse(datagram).map(|header| header.receiver);
    owner(index.unwrap_or(0))
}

/// Hands the engine what only it understands. Returns whose control messages it will deal with: frames may come right
/// behind them and need what they say.
fn hand(punt: &Punt<'_>, io: &mut impl LaneIo) -> Option<PeerHandle> {
    match *punt {
        Punt::Handshake { from, datagram } => {
            let datagram = datagram.to_vec();
            io.report(Report::Handshake { from, datagram });
            None
        }
        Punt::Control {
            peer,
            session,
            from,
            messages,
        } => {
            let heard = io.report(Report::Control {
                peer,
                session,
                from,
                messages: messages.to_vec(),
            });
            heard.then_some(peer)
        }
    }
}

fn tell(notes: &mut Notes, io: &mut impl LaneIo) {
    if !notes.is_empty() {
        io.report(Report::Notes(core::mem::take(notes)));
    }
}

/// Hands a frame over for all whom the notes name; the notes stay, since the engine hears them, too.
fn hold(notes: &Notes, network: NetworkId, frame: HeldFrame, io: &mut impl LaneIo) {
    io.report(Report::Hold {
        network,
        frame,
        notes: notes.clone(),
    });
}
