//! How other threads talk to the worker: a queue and a bell.
//!
//! Owner: whoever holds a clone. In: commands, answers. Out: replies, events.
//! Never: a wait of the worker for the one who asked.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, mpsc};

use rustix::event::EventfdFlags;
use tokio::sync::{broadcast, oneshot};
use zt_crypto::{SecretIdentity, Verified};
use zt_engine::Done;
use zt_engine::counters::CounterGroups;
use zt_engine::interface::{Command, Event, Failure, HostAnswer, Input, Reply, Ticket, WorkId};
use zt_wire::NetworkId;

use super::ipx::{Echo, IpxLine, Order};
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
        let (answer, groups) = oneshot::channel();
        self.inbox.send(Message::Counters(answer));
        groups.await.unwrap_or_default()
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
    Counters(oneshot::Sender<CounterGroups>),
    Input(Input),
    Done(WorkId, Done),
    Ipx(Order),
    Lan(lan::Order),
    KeepLan(NetworkId, bool, oneshot::Sender<()>),
    BecomeAnother(Box<(SecretIdentity, Verified)>),
    Stop,
}

/// The worker's end of the queue.
pub(super) struct Inbox {
    messages: mpsc::Receiver<Message>,
    sender: Sender,
}

/// The other end, with the bell.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    messages: mpsc::Sender<Message>,
    bell: Arc<OwnedFd>,
}

impl Inbox {
    pub fn new() -> io::Result<Self> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (sender, messages) = mpsc::channel();
        let sender = Sender {
            messages: sender,
            bell: Arc::new(bell),
        };
        Ok(Self { messages, sender })
    }

    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// The next message, if one waits.
    pub fn next(&self) -> Option<Message> {
        self.messages.try_recv().ok()
    }

    /// Silences the bell; messages that come afterwards ring it again.
    pub fn hush(&self) {
        let mut count = [0; 8];
        // An error says that it did not ring.
        let _ = rustix::io::read(&*self.sender.bell, &mut count);
    }

    /// Rings the bell for messages left over from this round.
    pub fn ring(&self) {
        self.sender.ring();
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sender.bell.as_fd()
    }
}

impl Sender {
    /// Tells the worker; one that has ended hears nothing.
    pub fn send(&self, message: Message) {
        if self.messages.send(message).is_ok() {
            self.ring();
        }
    }

    fn ring(&self) {
        // An error says that the bell rings already, as loud as it can.
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }
}
