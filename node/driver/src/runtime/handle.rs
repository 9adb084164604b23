//! How other threads talk to the worker: a queue and a bell.
//!
//! Owner: whoever holds a clone. In: commands, answers. Out: replies, events.
//! Never: a wait of the worker for the one who asked.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, mpsc};

use rustix::event::EventfdFlags;
use tokio::sync::{broadcast, oneshot};
use zt_crypto::{SecretIdentity, Verified};
use zt_engine::Done;
use zt_engine::counters::CounterGroups;
use zt_engine::interface::{Command, Event, Failure, HostAnswer, Input, Reply, Ticket, WorkId};
use zt_engine::lane::Report;
use zt_engine::shard::WORKERS;
use zt_wire::NetworkId;

use super::ipx::{Echo, IpxLine, Order};
use super::strays::Bundle;
use crate::lan::{self, LanLine, NoLan};

/// Talks to a running node. Clones talk to the same one.
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: Sender,
    events: broadcast::Sender<Event>,
    listen: Arc<[SocketAddr]>,
}

impl Handle {
    pub(super) fn new(
        inbox: Sender,
        events: broadcast::Sender<Event>,
        listen: Vec<SocketAddr>,
    ) -> Self {
        Self {
            inbox,
            events,
            listen: listen.into(),
        }
    }

    /// Asks for something. A node that has stopped answers [`Failure::TimedOut`].
    pub async fn command(&self, command: Command) -> Reply {
        let (answer, reply) = oneshot::channel();
        self.inbox.send(Message::Command(command, answer));
        reply.await.unwrap_or(Reply::Failed(Failure::TimedOut))
    }

    /// Answers a host request.
    pub fn answer(&self, ticket: Ticket, answer: HostAnswer) {
        self.inbox
            .send(Message::Input(Input::HostAnswer(ticket, answer)));
    }

    /// All counters by name: the engine's, and the datagrams and frames that the kernel did not take. Empty after the end.
    pub async fn counters(&self) -> CounterGroups {
        let (answer, mut groups) = tokio::sync::mpsc::channel(WORKERS);
        self.inbox.send(Message::Counters(answer));
        let mut sum = CounterGroups::new();
        // Each worker answers; the channel ends when all have.
        while let Some(groups) = groups.recv().await {
            for (name, counters) in groups {
                let group = sum.entry(name).or_default();
                for (name, count) in counters {
                    *group.entry(name).or_default() += count;
                }
            }
        }
        sum
    }

    /// What happens from now on. A listener that falls behind is told how many it missed.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Where the node listens.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// What is known of IPX on a network. Nothing after the end.
    pub async fn ipx(&self, network: NetworkId) -> IpxLine {
        let (answer, line) = oneshot::channel();
        self.inbox.send(Message::Ipx(Order::Look(network, answer)));
        line.await.unwrap_or_default()
    }

    /// Asks every IPX host of a network; the answers come one by one. `None` without a device.
    pub async fn ipx_ping(&self, network: NetworkId) -> Option<tokio::sync::mpsc::Receiver<Echo>> {
        let (answers, heard) = tokio::sync::mpsc::channel(ECHOES);
        let (answer, asked) = oneshot::channel();
        self.inbox
            .send(Message::Ipx(Order::Ping(network, answers, answer)));
        asked.await.unwrap_or(false).then_some(heard)
    }

    /// Serves `ipxnet` for a network here, or no more; kept across restarts.
    ///
    /// # Errors
    /// The kernel's reason when the address cannot be had; what was before stays.
    pub async fn ipxnet(&self, network: NetworkId, wanted: Option<SocketAddr>) -> io::Result<()> {
        let (answer, served) = oneshot::channel();
        self.inbox
            .send(Message::Ipx(Order::Serve(network, wanted, answer)));
        served
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::NotConnected.into()))
    }

    /// Puts a network into LAN mode, or takes it out; kept across restarts.
    ///
    /// # Errors
    /// [`NoLan`] when this machine cannot: nothing has changed then. [`NoLan::NotKept`] when only the file failed.
    pub async fn lan_mode(&self, network: NetworkId, on: bool) -> Result<(), NoLan> {
        let (answer, done) = oneshot::channel();
        self.inbox
            .send(Message::Lan(lan::Order::Set(network, on, answer)));
        done.await.unwrap_or(Err(NoLan::Ended))?;
        let (answer, kept) = oneshot::channel();
        self.inbox.send(Message::KeepLan(network, on, answer));
        kept.await.map_err(|_| NoLan::NotKept)
    }

    /// What LAN mode is doing. Nothing after the end.
    pub async fn lan(&self) -> LanLine {
        let (answer, line) = oneshot::channel();
        self.inbox.send(Message::Lan(lan::Order::Look(answer)));
        line.await.unwrap_or_default()
    }

    /// Goes on as another node: for an address that belongs to somebody else, before anything was joined.
    pub fn become_another(&self, identity: SecretIdentity, verified: Verified) {
        self.inbox
            .send(Message::BecomeAnother(Box::new((identity, verified))));
    }

    pub(super) fn stop(&self) {
        self.inbox.send(Message::Stop);
    }
}

/// Answers to a ping that may wait for their reader: as many as hosts are remembered.
const ECHOES: usize = zt_ipx::limits::HOSTS;

/// What the worker is told.
pub(crate) enum Message {
    Command(Command, oneshot::Sender<Reply>),
    Counters(tokio::sync::mpsc::Sender<CounterGroups>),
    Input(Input),
    Done(WorkId, Done),
    Ipx(Order),
    Lan(lan::Order),
    KeepLan(NetworkId, bool, oneshot::Sender<()>),
    BecomeAnother(Box<(SecretIdentity, Verified)>),
    /// A lane, by its number, tells the node something.
    Report(usize, Box<Report>),
    /// Datagrams that came to a lane and are the node's worker's to open.
    Strays(Bundle),
    /// A frame that came to a lane's queue of a device and must be seen here.
    Frame(NetworkId, Box<[u8]>),
    /// A frame that a lane has opened and that must be seen here.
    Deliver(NetworkId, Box<[u8]>),
    Stop,
}

/// A worker's end of its queue.
pub(super) struct Inbox<M = Message> {
    messages: mpsc::Receiver<M>,
    sender: Post<M>,
}

/// The other end, with the bell.
pub(crate) struct Post<M> {
    messages: mpsc::Sender<M>,
    bell: Arc<Bell>,
}

/// What wakes a worker, and how much waits for it.
struct Bell {
    file: OwnedFd,
    rings: AtomicBool,
    waiting: AtomicUsize,
}

/// Tells the node's worker something.
pub(crate) type Sender = Post<Message>;

impl<M> fmt::Debug for Post<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post")
    }
}

impl<M> Clone for Post<M> {
    fn clone(&self) -> Self {
        Self {
            messages: self.messages.clone(),
            bell: Arc::clone(&self.bell),
        }
    }
}

impl<M> Inbox<M> {
    pub fn new() -> io::Result<Self> {
        let file = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let rings = AtomicBool::new(false);
        let waiting = AtomicUsize::new(0);
        let bell = Bell {
            file,
            rings,
            waiting,
        };
        let (sender, messages) = mpsc::channel();
        let sender = Post {
            messages: sender,
            bell: Arc::new(bell),
        };
        Ok(Self { messages, sender })
    }

    pub fn sender(&self) -> Post<M> {
        self.sender.clone()
    }

    /// The next message, if one waits.
    pub fn next(&self) -> Option<M> {
        let message = self.messages.try_recv().ok()?;
        self.sender.bell.waiting.fetch_sub(1, Relaxed);
        Some(message)
    }

    /// Whether the bell rings: only then messages wait.
    pub fn rings(&self) -> bool {
        self.sender.bell.rings.load(Relaxed)
    }

    /// Silences the bell, before a look at what waits; messages that come afterwards ring it again.
    pub fn hush(&self) {
        let bell = &self.sender.bell;
        // The file first: whoever finds the bell ringing does not write to it, and is heard by what follows.
        let mut count = [0; 8];
        // An error says that whoever rang has not come to the file yet: it then rings once for nothing.
        let _ = rustix::io::read(&bell.file, &mut count);
        bell.rings.swap(false, SeqCst);
    }

    /// Rings the bell for messages left over from this round.
    pub fn ring(&self) {
        self.sender.ring();
    }
}

impl<M> AsFd for Inbox<M> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sender.bell.file.as_fd()
    }
}

impl<M> Post<M> {
    /// Tells the worker; one that has ended hears nothing.
    pub fn send(&self, message: M) {
        self.bell.waiting.fetch_add(1, Relaxed);
        if self.messages.send(message).is_ok() {
            self.ring();
        }
    }

    /// The same for what strangers or peers cause: not when `most` messages wait already. Returns whether it was sent.
    pub fn send_within(&self, most: usize, message: M) -> bool {
        let room = self.bell.waiting.load(Relaxed) < most;
        if room {
            self.send(message);
        }
        room
    }

    fn ring(&self) {
        // One that rings already is heard anyway: whoever silences it looks for messages afterwards.
        if !self.bell.rings.swap(true, SeqCst) {
            // The file counts to 2^64, so this does not fail.
            let _ = rustix::io::write(&self.bell.file, &1_u64.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags};
    use rustix::time::Timespec;

    use super::*;

    #[test]
    fn whoever_waits_for_the_bell_hears_of_every_message() {
        const EACH: usize = 20_000;
        let inbox = Inbox::new().unwrap();
        // Each sends when its last one was heard, so that the queue is empty again and again.
        let heard: Arc<[AtomicUsize]> = (0..3).map(|_| AtomicUsize::new(0)).collect();
        let senders: Vec<_> = (0..heard.len())
            .map(|me| {
                let (post, heard) = (inbox.sender(), Arc::clone(&heard));
                std::thread::spawn(move || {
                    for number in 0..EACH {
                        while heard[me].load(SeqCst) < number {
                            std::thread::yield_now();
                        }
                        post.send(me);
                    }
                })
            })
            .collect();
        let mut count = 0;
        while count < EACH * heard.len() {
            let mut polled = [PollFd::new(&inbox, PollFlags::IN)];
            let limit = Timespec {
                tv_sec: 5,
                tv_nsec: 0,
            };
            let woken = rustix::event::poll(&mut polled, Some(&limit));
            assert_eq!(woken, Ok(1), "silence after {count} messages");
            inbox.hush();
            while let Some(sender) = inbox.next() {
                heard[sender].fetch_add(1, SeqCst);
                count += 1;
            }
        }
        for sender in senders {
            sender.join().unwrap();
        }
    }

    #[test]
    fn what_peers_cause_waits_within_bounds_and_is_taken_in_order() {
        let inbox = Inbox::new().unwrap();
        let post = inbox.sender();
        assert!((0..3).all(|number| post.send_within(3, number)));
        assert!(!post.send_within(3, 99), "three wait");
        post.send(3);
        assert!(inbox.rings());
        inbox.hush();
        assert!(!inbox.rings());
        let taken: Vec<i32> = std::iter::from_fn(|| inbox.next()).collect();
        assert_eq!(taken, [0, 1, 2, 3]);
        assert!(post.send_within(1, 4), "there is room again");
        assert!(inbox.rings());
    }
}
