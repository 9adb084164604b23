//! The files that a worker waits for: sockets, devices, timer and bell, and the turn that each of them gets.
//!
//! Owner: a worker's thread. In: readiness from the kernel. Out: datagrams and frames for a `Plane`.
//! Never: a busy device that starves the sockets, or the other way round; a sleep while something is to be done.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event as Ready, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use zt_engine::shard::TapFrame;
use zt_engine::{Mono, Now};
use zt_wire::NetworkId;

use super::taps::Taps;
use crate::clock;
use crate::tap::{self, Read};
use crate::udp::{self, Batch, Receiver};

/// Where what is sealed and opened goes.
#[derive(Debug)]
pub struct Links {
    /// Datagrams to be sent.
    pub batch: Batch,
    /// Devices by network.
    pub taps: Taps,
}

impl Links {
    /// Hands over everything that waits for the end of a round.
    pub fn flush(&mut self) {
        self.taps.flush();
        self.batch.flush();
    }

    /// Adds what was lost between the engine and the kernel.
    pub fn lost(&self, drops: &mut BTreeMap<&'static str, u64>) {
        let lost = self.batch.lost();
        let (refused, without) = self.taps.lost();
        drops.insert("socket-full", lost.full);
        drops.insert("unreachable", lost.unreachable);
        drops.insert("no-socket-of-family", lost.family);
        drops.insert("device-refused", refused);
        drops.insert("no-device", without);
    }
}

/// Who judges what comes: the node, or one of its lanes.
pub trait Plane {
    /// Where it puts what it seals and opens.
    fn links(&mut self) -> &mut Links;
    /// A datagram from the wire.
    fn datagram(&mut self, now: Now, from: SocketAddr, bytes: &mut [u8]);
    /// A frame from a device.
    fn frame(&mut self, now: Now, network: NetworkId, frame: TapFrame<'_>);
}

/// What is ready.
#[derive(Clone, Copy, Debug)]
pub enum Token {
    /// Messages may wait.
    Bell,
    /// The deadline has come.
    Timer,
    /// This socket.
    Socket(usize),
    /// The device of this network.
    Device(NetworkId),
    /// A mark of somebody else's.
    Other(u64),
}

/// The files of one worker.
#[derive(Debug)]
pub struct Wires {
    epoll: OwnedFd,
    timer: OwnedFd,
    armed: Option<Mono>,
    ports: Vec<OwnedFd>,
    dropped: Vec<u32>,
    receiver: Receiver,
    frame: Vec<u8>,
    /// When a device had its last turn, and whether more than one small frame came then.
    last_frame: Mono,
    several: bool,
}

impl Wires {
    /// Waits for this bell and these sockets.
    ///
    /// # Errors
    /// The kernel's reason when it gives no queue or timer.
    pub fn new(bell: impl AsFd, batch: &Batch) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Boottime,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        epoll::add(&epoll, bell, EventData::new_u64(BELL), EventFlags::IN)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        // The batch keeps the sockets to send; receiving has its own files of the same sockets.
        let ports: Vec<OwnedFd> = batch
            .sockets()
            .ports()
            .iter()
            .map(|port| port.as_fd().try_clone_to_owned())
            .collect::<io::Result<_>>()?;
        for (token, port) in (SOCKETS..).zip(&ports) {
            epoll::add(&epoll, port, EventData::new_u64(token), EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            timer,
            armed: None,
            dropped: vec![0; ports.len()],
            ports,
            receiver: Receiver::new(),
            frame: vec![0; tap::LARGEST_READ],
            last_frame: Mono::ZERO,
            several: false,
        })
    }

    /// Waits for a network's device, too. A closed file leaves by itself.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn watch(&self, network: NetworkId, file: BorrowedFd<'_>) -> io::Result<()> {
        self.watch_as(u64::from_be_bytes(network.to_bytes()), file)
    }

    /// Waits for a file under a mark of the caller's, which is no network's and none of ours.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn watch_as(&self, token: u64, file: BorrowedFd<'_>) -> io::Result<()> {
        let data = EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, file, data, EventFlags::IN)?)
    }

    /// Waits until something is ready or the deadline has come; what is ready is in `ready` then.
    ///
    /// # Errors
    /// The kernel's reason, but not an interruption.
    pub fn wait(&mut self, deadline: Option<Mono>, ready: &mut ReadyFiles) -> Result<(), Errno> {
        self.arm(deadline);
        ready.count = match epoll::wait(&self.epoll, &mut ready.events, None) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(errno) => return Err(errno),
        };
        Ok(())
    }

    /// The timer has rung.
    pub const fn rung(&mut self) {
        self.armed = None;
    }

    /// One socket's turn. Returns whether more may wait than one turn can read.
    pub fn socket(&mut self, now: Now, index: usize, plane: &mut impl Plane) -> bool {
        let Self {
            receiver, ports, ..
        } = self;
        let Some(port) = ports.get(index) else {
            return false;
        };
        let mut bytes = 0;
        while bytes < TURN {
            plane.links().taps.expect(receiver.buffer());
            let batch = receiver.batch(port.as_fd(), |from, bytes| {
                plane.links().batch.sockets().note(from, index);
                plane.datagram(now, from, bytes);
            });
            plane.links().taps.flush_from(receiver.buffer());
            if !batch.more {
                return false;
            }
            bytes += batch.bytes.max(LEAST);
        }
        true
    }

    /// Whether the kernel had to drop datagrams at this socket since the last question.
    pub fn has_dropped(&mut self, index: usize) -> bool {
        udp::dropped(self.ports[index].as_fd())
            .is_some_and(|dropped| std::mem::replace(&mut self.dropped[index], dropped) != dropped)
    }

    /// One device's turn.
    ///
    /// # Errors
    /// The kernel's reason why the device is gone.
    pub fn device(
        &mut self,
        now: Now,
        network: NetworkId,
        plane: &mut impl Plane,
    ) -> Result<(), String> {
        // A frame that comes alone leaves without a second look at the device, which would find nothing.
        let crowded = self.several || now.mono.since(self.last_frame) < ALONE;
        let turn = if crowded { TURN } else { LEAST };
        self.last_frame = now.mono;
        self.several = false;
        let mut read = 0;
        while read < turn {
            let Some(tap) = plane.links().taps.get(network) else {
                return Ok(());
            };
            match tap.read(&mut self.frame) {
                Read::Frame(range, offload) => {
                    read += range.len().max(LEAST);
                    self.several |= read > LEAST;
                    let bytes = &self.frame[range];
                    plane.frame(now, network, TapFrame { bytes, offload });
                }
                Read::Odd => read += LEAST,
                Read::Empty => return Ok(()),
                Read::Gone(reason) => return Err(reason),
            }
        }
        Ok(())
    }

    /// Sets the timer to the next deadline, if it is not set to it.
    fn arm(&mut self, deadline: Option<Mono>) {
        if deadline == self.armed {
            return;
        }
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // A timer set to zero is off, so a deadline at the clock's very start is moved by a nanosecond.
        let value = deadline.map_or(zero, |moment| {
            clock::timespec(moment.max(Mono::from_nanos(1)))
        });
        let wanted = Itimerspec {
            it_interval: zero,
            it_value: value,
        };
        match rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &wanted) {
            Ok(_) => self.armed = deadline,
            Err(errno) => tracing::error!(%errno, "the timer is not set"),
        }
    }
}

/// What one wait has found ready.
pub struct ReadyFiles {
    events: [Ready; READY],
    count: usize,
}

impl ReadyFiles {
    /// Nothing.
    pub const fn none() -> Self {
        let nothing = Ready {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        Self {
            events: [nothing; READY],
            count: 0,
        }
    }

    /// Each of them.
    pub fn each(&self) -> impl Iterator<Item = Token> + '_ {
        self.events[..self.count]
            .iter()
            .map(|event| match event.data.u64() {
                BELL => Token::Bell,
                TIMER => Token::Timer,
                token if token < OTHERS => {
                    Token::Socket(usize::try_from(token - SOCKETS).unwrap_or(usize::MAX))
                }
                token => match NetworkId::from_bytes(token.to_be_bytes()) {
                    Ok(network) => Token::Device(network),
                    Err(_) => Token::Other(token),
                },
            })
    }
}

/// Marks in the epoll set. A network's mark is its id, which is never below 2^24 because no address is zero.
const BELL: u64 = 0;
const TIMER: u64 = 1;
/// The first socket; the others follow.
const SOCKETS: u64 = 2;
/// The first mark that may be somebody else's.
const OTHERS: u64 = 1 << 16;
/// A frame comes alone when the last one was so long ago.
const ALONE: Duration = Duration::from_micros(200);
/// Marks taken from the kernel at once.
const READY: usize = 32;
/// Bytes of one turn of a socket or a device, about 0.3 ms of work: nobody waits longer for a busy neighbour.
const TURN: usize = 256 << 10;
/// What a frame or an empty batch counts at least: calls cost time, too. 64 frames are a turn.
const LEAST: usize = 4 << 10;
