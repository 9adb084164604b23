//! The send batch: sealed datagrams wait here, side by side, until the round ends or the room does.
//!
//! Owner: the worker. In: slots to be filled. Out: trains to the kernel.
//! Never: a destination's error that keeps others waiting; more than a few milliseconds in a full socket.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::Sockets;
use super::send::{self, TRAINS, Train};

/// The sockets with the room for what they are to send.
#[derive(Debug)]
pub struct Batch {
    sockets: Sockets,
    bytes: Vec<u8>,
    used: usize,
    slots: Vec<Slot>,
    lost: Lost,
    refused: VecDeque<Refused>,
    told: bool,
    singly: Singly,
}

/// Where trains do not get through.
#[derive(Debug, Default)]
struct Singly {
    now: HashSet<SocketAddr>,
    told: HashSet<SocketAddr>,
}

/// Datagrams that our own kernel does not send to a destination because of their size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where they were to go.
    pub to: SocketAddr,
    /// The smallest of them, bytes.
    pub size: u16,
    /// How many there were.
    pub datagrams: u32,
}

/// Datagrams that the kernel did not take, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The socket stayed full.
    pub full: u64,
    /// The destination cannot be reached now (no route, refused by a filter).
    pub unreachable: u64,
    /// No socket has the destination's family.
    pub family: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    to: SocketAddr,
    port: usize,
    start: usize,
    length: usize,
}

impl Batch {
    /// An empty batch for these sockets.
    pub fn new(sockets: Sockets) -> Self {
        Self {
            sockets,
            bytes: vec![0; ROOM],
            used: 0,
            slots: Vec::with_capacity(SLOTS),
            lost: Lost::default(),
            refused: VecDeque::new(),
            told: false,
            singly: Singly::default(),
        }
    }

    /// Says whether datagrams to this endpoint may leave in trains, which they may until told otherwise.
    pub fn trains(&mut self, to: SocketAddr, may: bool) {
        let Singly { now, told } = &mut self.singly;
        if may {
            now.remove(&to);
            return;
        }
        if told.len() >= SINGLY {
            // So many endpoints with bad kernels is nothing to remember one by one.
            told.clear();
            now.clear();
        }
        now.insert(to);
        if told.insert(to) {
            tracing::info!(
                %to,
                "trains of datagrams (UDP_SEGMENT) get lost on this path, sending them one by one and trying again later"
            );
        }
    }

    /// Room for one datagram, sent at the next [`Self::flush`] at the latest. `None` for one that no socket can send.
    pub fn slot(&mut self, to: SocketAddr, length: usize) -> Option<&mut [u8]> {
        if length > LARGEST {
            return None;
        }
        let Some(port) = self.sockets.port_to(to) else {
            self.lost.family += 1;
            return None;
        };
        if self.used + length > self.bytes.len() || self.slots.len() == SLOTS {
            self.flush();
        }
        let start = self.used;
        self.used += length;
        self.slots.push(Slot {
            to,
            port,
            start,
            length,
        });
        self.bytes.get_mut(start..start + length)
    }

    /// Sends all that waits.
    pub fn flush(&mut self) {
        self.flush_by(send::send);
    }

    fn flush_by(&mut self, mut carry: impl Carry) {
        if self.slots.is_empty() {
            return;
        }
        for port in 0..self.sockets.open.len() {
            let mut next = 0;
            while next < self.slots.len() {
                // A lone datagram waits for every line of memory that is touched before it.
                next = if self.slots.len() == 1 {
                    self.send_from::<1>(port, next, &mut carry)
                } else {
                    self.send_from::<TRAINS>(port, next, &mut carry)
                };
            }
        }
        self.slots.clear();
        self.used = 0;
    }

    /// The sockets.
    pub const fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// A destination for which the kernel found datagrams too large since the last question.
    pub fn refused(&mut self) -> Option<Refused> {
        self.refused.pop_front()
    }

    /// What the kernel did not take so far.
    pub const fn lost(&self) -> Lost {
        self.lost
    }

    /// Sends up to one call's worth of `port`'s datagrams from slot `first` on; returns the slot to go on from.
    fn send_from<const MOST: usize>(
        &mut self,
        port: usize,
        first: usize,
        carry: &mut impl Carry,
    ) -> usize {
        let empty = Train {
            to: self.slots[0].to,
            bytes: &[],
            segment: None,
        };
        let mut trains = [empty; MOST];
        let mut ends = [first; MOST];
        let mut count = 0;
        let mut next = first;
        while next < self.slots.len() && count < MOST {
            if self.slots[next].port == port {
                let end = train_end(&self.slots, next, self.joins(port, next));
                trains[count] = train(&self.bytes, &self.slots[next..end]);
                ends[count] = end;
                count += 1;
                next = end;
            } else {
                next += 1;
            }
        }
        if count == 0 {
            return self.slots.len();
        }
        let socket = &self.sockets.open[port];
        match carry(socket.as_fd(), &trains[..count]) {
            Ok(0) => ends[0],
            Ok(sent) if sent == count => next,
            Ok(sent) => ends[sent - 1],
            Err(Errno::INTR) => first,
            Err(Errno::WOULDBLOCK) if writable(socket) => first,
            Err(Errno::WOULDBLOCK) => {
                self.lost.full += (first..next)
                    .map(|slot| u64::from(self.slots[slot].port == port))
                    .sum::<u64>();
                next
            }
            // A train is refused for itself, or because each of its datagrams is too large: one by one shows which.
            Err(errno)
                if trains[0].segment.is_some()
                    && matches!(errno, Errno::IO | Errno::INVAL | Errno::MSGSIZE) =>
            {
                self.send_singly(port, (first, ends[0]), errno, carry);
                ends[0]
            }
            Err(Errno::MSGSIZE) => {
                self.too_large(first);
                ends[0]
            }
            Err(errno) => {
                tracing::trace!(to = %trains[0].to, %errno, "datagram not sent");
                self.lost.unreachable += 1;
                ends[0]
            }
        }
    }

    /// Whether the datagram of this slot may begin a train.
    fn joins(&self, port: usize, slot: usize) -> bool {
        let singly = &self.singly.now;
        self.sockets.open[port].segments
            && (singly.is_empty() || !singly.contains(&self.slots[slot].to))
    }

    /// Sends the datagrams of a train that the kernel refused.
    fn send_singly(
        &mut self,
        port: usize,
        train: (usize, usize),
        why: Errno,
        carry: &mut impl Carry,
    ) {
        let mut refused = false;
        let mut slot = train.0;
        while slot < train.1 {
            let socket = &self.sockets.open[port];
            let single = self::train(&self.bytes, &self.slots[slot..=slot]);
            match carry(socket.as_fd(), &[single]) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) if writable(socket) => continue,
                Err(Errno::WOULDBLOCK) => self.lost.full += 1,
                Err(Errno::MSGSIZE) => {
                    refused = true;
                    self.too_large(slot);
                }
                Err(_) => self.lost.unreachable += 1,
            }
            slot += 1;
        }
        if !refused && why != Errno::MSGSIZE {
            self.give_up_trains(port, why);
        }
    }

    /// Notes that a datagram is larger than the interface of its destination takes.
    fn too_large(&mut self, slot: usize) {
        let Slot { to, length, .. } = self.slots[slot];
        // `LARGEST` fits.
        let size = u16::try_from(length).unwrap_or(u16::MAX);
        if let Some(known) = self.refused.iter_mut().find(|known| known.to == to) {
            known.size = known.size.min(size);
            known.datagrams += 1;
        } else if self.refused.len() < REFUSED {
            self.refused.push_back(Refused {
                to,
                size,
                datagrams: 1,
            });
        }
    }

    fn give_up_trains(&mut self, port: usize, errno: Errno) {
        self.sockets.open[port].segments = false;
        if !self.told {
            self.told = true;
            tracing::info!(%errno, "the kernel refuses trains of datagrams (UDP_SEGMENT), sending them one by one");
        }
    }
}

/// What the kernel is asked to do: [`send::send`].
trait Carry: FnMut(BorrowedFd<'_>, &[Train<'_>]) -> Result<usize, Errno> {}

impl<F: FnMut(BorrowedFd<'_>, &[Train<'_>]) -> Result<usize, Errno>> Carry for F {}

/// Waits a moment for room in a full socket; the worker has nothing better to do than to let the wire drain.
fn writable(socket: &super::Port) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::OUT)];
    let limit = Timespec {
        tv_sec: 0,
        tv_nsec: FULL_WAIT_NANOS,
    };
    matches!(rustix::event::poll(&mut polled, Some(&limit)), Ok(1..))
}

/// The slot after the train that begins at `first`: same destination, same size, the last one perhaps shorter.
fn train_end(slots: &[Slot], first: usize, segments: bool) -> usize {
    let head = slots[first];
    let mut end = first + 1;
    let mut total = head.length;
    while segments && end < slots.len() && end - first < SEGMENTS {
        let slot = slots[end];
        total += slot.length;
        if slot.to != head.to
            || slot.port != head.port
            || slot.length > head.length
            || total > LARGEST
        {
            break;
        }
        end += 1;
        if slot.length < head.length {
            break;
        }
    }
    end
}

fn train<'a>(bytes: &'a [u8], slots: &[Slot]) -> Train<'a> {
    let (head, last) = (slots[0], slots[slots.len() - 1]);
    let segment = u16::try_from(head.length).ok().filter(|_| slots.len() > 1);
    Train {
        to: head.to,
        bytes: &bytes[head.start..last.start + last.length],
        segment,
    }
}

/// Largest UDP payload over IPv4, bytes.
const LARGEST: usize = 65_507;
/// Bytes of a batch: four full trains.
const ROOM: usize = 4 * 65_536;
/// Datagrams of a batch.
const SLOTS: usize = 512;
/// Datagrams of a train (`UDP_MAX_SEGMENTS` before Linux 6.9).
const SEGMENTS: usize = 64;
/// Endpoints remembered to which trains get lost.
const SINGLY: usize = 1024;
/// Destinations with datagrams too large that wait to be told of; more are found again by the next datagram.
const REFUSED: usize = 256;
/// Longest wait for room in a full socket, nanoseconds.
const FULL_WAIT_NANOS: i64 = 5_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::Offloads;
    use crate::udp::Receiver;

    fn pair() -> (Batch, Sockets, SocketAddr) {
        let loopback = ["127.0.0.1:0".parse().unwrap()];
        let receiver = Sockets::bind(&loopback, &Offloads::default()).unwrap();
        let to = receiver.local()[0];
        (
            Batch::new(Sockets::bind(&loopback, &Offloads::default()).unwrap()),
            receiver,
            to,
        )
    }

    fn fill(batch: &mut Batch, to: SocketAddr, lengths: &[usize]) {
        for (index, length) in lengths.iter().enumerate() {
            batch
                .slot(to, *length)
                .unwrap()
                .fill(u8::try_from(index % 251).unwrap());
        }
    }

    fn receive(sockets: &Sockets, wanted: usize) -> Vec<Vec<u8>> {
        let mut receiver = Receiver::new();
        let mut heard = Vec::new();
        while heard.len() < wanted {
            let mut polled = [PollFd::from_borrowed_fd(
                sockets.ports()[0].as_fd(),
                PollFlags::IN,
            )];
            let limit = Timespec {
                tv_sec: 5,
                tv_nsec: 0,
            };
            assert_eq!(
                rustix::event::poll(&mut polled, Some(&limit)),
                Ok(1),
                "only {} came",
                heard.len()
            );
            receiver.batch(sockets.ports()[0].as_fd(), |_, bytes| {
                heard.push(bytes.to_vec());
            });
        }
        heard
    }

    #[test]
    fn datagrams_arrive_whole_and_in_order_whatever_their_sizes() {
        let (mut batch, sockets, to) = pair();
        let mut lengths = vec![1200; 70];
        lengths.extend([300, 1200, 1200, 1300, 1, 1400, 1400]);
        fill(&mut batch, to, &lengths);
        batch.flush();
        let heard = receive(&sockets, lengths.len());
        for (index, (bytes, length)) in heard.iter().zip(&lengths).enumerate() {
            assert_eq!(bytes.len(), *length);
            assert!(bytes.iter().all(|byte| usize::from(*byte) == index % 251));
        }
        assert_eq!(batch.lost(), Lost::default());
    }

    #[test]
    fn a_destination_without_route_costs_its_own_datagrams_only() {
        let (mut batch, sockets, to) = pair();
        let nowhere = "240.0.0.1:9".parse().unwrap();
        for destination in [nowhere, to, nowhere, to] {
            fill(&mut batch, destination, &[100, 100]);
        }
        assert!(batch.slot("[::1]:9".parse().unwrap(), 10).is_none());
        batch.flush();
        assert_eq!(receive(&sockets, 4).len(), 4);
        assert!(batch.lost().unreachable >= 2);
        assert_eq!(batch.lost().family, 1);
    }

    /// Sends what waits to a kernel that answers a train with `errno`, if with anything; tells the sizes of what it took.
    fn flush(batch: &mut Batch, errno: Option<Errno>) -> Vec<(usize, Option<u16>)> {
        let mut taken = Vec::new();
        batch.flush_by(|_: BorrowedFd<'_>, trains: &[Train<'_>]| {
            let refused = |train: &&Train<'_>| errno.is_some() && train.segment.is_some();
            let good = trains.iter().take_while(|train| !refused(train));
            let sizes = good.map(|train| (train.bytes.len(), train.segment));
            let before = taken.len();
            taken.extend(sizes);
            match (taken.len() - before, errno) {
                (0, Some(errno)) => Err(errno),
                (count, _) => Ok(count),
            }
        });
        taken
    }

    #[test]
    fn a_kernel_that_refuses_trains_still_gets_every_datagram_and_no_further_train() {
        for errno in [Errno::IO, Errno::INVAL] {
            let (mut batch, _sockets, to) = pair();
            fill(&mut batch, to, &[500; 40]);
            assert_eq!(flush(&mut batch, Some(errno)), vec![(500, None); 40]);
            fill(&mut batch, to, &[300; 3]);
            assert_eq!(flush(&mut batch, None), vec![(300, None); 3]);
            assert_eq!(batch.lost(), Lost::default());
        }
    }

    #[test]
    fn where_trains_get_lost_datagrams_leave_one_by_one_until_they_may_again() {
        let (mut batch, _sockets, to) = pair();
        let other = "192.0.2.7:9".parse().unwrap();
        batch.trains(to, false);
        fill(&mut batch, to, &[500; 4]);
        fill(&mut batch, other, &[500; 4]);
        let mut wanted = vec![(500, None); 4];
        wanted.push((2000, Some(500)));
        assert_eq!(flush(&mut batch, None), wanted);
        batch.trains(to, true);
        fill(&mut batch, to, &[500; 4]);
        assert_eq!(flush(&mut batch, None), [(2000, Some(500))]);
    }

    #[test]
    fn datagrams_too_large_for_an_interface_are_told_once_with_the_smallest() {
        let (mut batch, _sockets, to) = pair();
        fill(&mut batch, to, &[1_472, 1_452, 1_472]);
        for slot in 0..3 {
            batch.too_large(slot);
        }
        let (size, datagrams) = (1_452, 3);
        let told = Refused {
            to,
            size,
            datagrams,
        };
        assert_eq!(batch.refused(), Some(told));
        assert_eq!(batch.refused(), None);
    }

    #[test]
    fn a_full_batch_is_sent_and_goes_on() {
        let (mut batch, sockets, to) = pair();
        fill(&mut batch, to, &vec![64; SLOTS + 10]);
        batch.flush();
        assert_eq!(receive(&sockets, SLOTS + 10).len(), SLOTS + 10);
    }
}
