//! LAN mode: what a program sends to 255.255.255.255 or to a group without naming a device reaches overlay and LAN.
//!
//! Owner: a thread of its own, started by the first network that wants it. In: networks, what the kernel tells.
//! Out: one device that such packets are routed to; a copy of each per segment, from the address this machine has there.
//! Never: anything received copied, so no loop; anything left behind when it ends, even by SIGKILL, that changes a route.

mod groups;
mod kernel;
mod plan;
mod rewrite;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::StreamExt;
use rtnetlink::MulticastGroup;
use rtnetlink::sys::AsyncSocket;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use zt_wire::{Mac, NetworkId};

use crate::offload::{Offload, Offloads};
use crate::tap::{self, NoTap, Packets, Read, Tap};
use groups::Groups;
use plan::{Fares, Plan, Way};
use rewrite::{Kind, Outgoing};

pub use kernel::TABLE;

/// LAN mode as the worker sees it. Dropping it ends the thread, which restores everything.
#[derive(Debug)]
pub struct Lan {
    /// Opened while the program still had `CAP_NET_RAW`.
    packets: Option<Result<Packets, Errno>>,
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// What LAN mode is asked.
#[derive(Debug)]
pub enum Order {
    /// A network wants it, or no more.
    Set(NetworkId, bool, oneshot::Sender<Result<(), NoLan>>),
    /// What is it doing?
    Look(oneshot::Sender<LanLine>),
    /// A network is left.
    Forget(NetworkId),
}

/// What LAN mode is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LanLine {
    /// The networks that want it.
    pub networks: Vec<LanNetwork>,
    /// Its device, while there is something to copy.
    pub device: Option<String>,
    /// The rules that lead to [`TABLE`].
    pub rules: Vec<String>,
    /// Where broadcasts go besides the overlays: device and source.
    pub broadcast: Option<(String, Ipv4Addr)>,
    /// Where multicast goes besides.
    pub multicast: Option<(String, Ipv4Addr)>,
    /// Groups of programs that are listened to on all these devices.
    pub groups: Vec<Ipv4Addr>,
    /// Packets copied, each counted once.
    pub packets: u64,
    /// Copies that the kernel did not take.
    pub lost: u64,
    /// Why it does not work.
    pub trouble: Option<String>,
}

/// A network that wants LAN mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanNetwork {
    /// The network.
    pub network: NetworkId,
    /// Its device.
    pub device: String,
    /// The source of the copies there.
    pub source: Option<Ipv4Addr>,
    /// `on`, `no-device`, `no-address` or `bridged`.
    pub state: &'static str,
}

impl Lan {
    /// LAN mode, off.
    pub const fn new(packets: Result<Packets, Errno>) -> Self {
        Self {
            packets: Some(packets),
            orders: None,
            thread: None,
        }
    }

    /// Carries out an order; the answer comes from the thread.
    pub fn order(&mut self, order: Order) {
        if self.orders.is_none() {
            match order {
                Order::Set(_, true, _) => self.start(),
                // Nothing is on.
                Order::Set(_, false, answer) => return drop(answer.send(Ok(()))),
                Order::Look(answer) => return drop(answer.send(LanLine::default())),
                Order::Forget(_) => return,
            }
        }
        if let Some(orders) = &self.orders {
            // An answer that is dropped says that the thread has ended.
            let _ = orders.send(order);
        }
    }

    fn start(&mut self) {
        let Some(packets) = self.packets.take() else {
            return;
        };
        let (orders, received) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("zt-lan".into())
            .stack_size(STACK)
            .spawn(move || {
                let ended = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .and_then(|runtime| runtime.block_on(serve(packets, received)));
                if let Err(error) = ended {
                    tracing::error!(%error, "LAN mode has ended");
                }
            });
        match thread {
            Ok(thread) => {
                self.orders = Some(orders);
                self.thread = Some(thread);
            }
            Err(error) => tracing::error!(%error, "LAN mode gets no thread"),
        }
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Removes the rules that a killed run left, unless another node on this machine is in LAN mode now.
///
/// They lead to an empty table and change nothing, as the routes went with the device.
pub async fn sweep(handle: &rtnetlink::Handle) {
    let swept = match kernel::links(handle).await {
        Ok(links) if links.iter().any(|link| link.name == NAME) => return,
        Ok(_) => kernel::lead_no_more(handle).await,
        Err(error) => Err(error),
    };
    if let Err(error) = swept {
        tracing::debug!(%error, "the routing rules cannot be looked at");
    }
}

async fn serve(
    packets: Result<Packets, Errno>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> io::Result<()> {
    let news = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv4Rule,
    ];
    let (mut connection, handle, mut news) = rtnetlink::new_multicast_connection(&news)?;
    // Where the kernel can, it looks through our table instead of showing us all of them.
    let strict = connection
        .socket_mut()
        .socket_mut()
        .set_netlink_get_strict_chk(true);
    tracing::debug!(?strict, "rtnetlink");
    tokio::spawn(connection);
    let mut mode = Mode::new(packets, handle);
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stale: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some(order) = order else { break };
                mode.carry_out(order).await;
            }
            () = sleep_until(stale.unwrap_or_else(Instant::now)), if stale.is_some() => {
                stale = None;
                mode.settle_or_say().await;
            }
            () = sleep(AGAIN), if mode.trouble.is_some() => mode.settle_or_say().await,
            message = news.next() => {
                if message.is_none() {
                    mode.clear().await;
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                stale = stale.or(Some(Instant::now() + SOON));
            }
            _ = look.tick(), if mode.device.is_some() => mode.listen(),
            gone = readable(mode.device.as_ref()) => {
                if gone || mode.copy() {
                    mode.device = None;
                    stale = Some(Instant::now());
                }
            }
        }
    }
    mode.clear().await;
    Ok(())
}

/// Waits for a frame; true when that is no longer possible.
async fn readable(device: Option<&Device>) -> bool {
    match device {
        Some(device) => device.tap.readable().await.is_err(),
        None => std::future::pending().await,
    }
}

struct Mode {
    packets: Result<Packets, Errno>,
    handle: rtnetlink::Handle,
    wanted: BTreeSet<NetworkId>,
    device: Option<Device>,
    plan: Plan,
    names: Vec<(u32, String)>,
    groups: Groups,
    frame: Vec<u8>,
    copy: Vec<u8>,
    copied: u64,
    lost: u64,
    trouble: Option<String>,
}

struct Device {
    tap: AsyncFd<Tap>,
    index: u32,
}

impl Mode {
    fn new(packets: Result<Packets, Errno>, handle: rtnetlink::Handle) -> Self {
        Self {
            packets,
            handle,
            wanted: BTreeSet::new(),
            device: None,
            plan: Plan::default(),
            names: Vec::new(),
            groups: Groups::default(),
            frame: vec![0; tap::LARGEST_READ],
            copy: Vec::new(),
            copied: 0,
            lost: 0,
            trouble: None,
        }
    }

    async fn carry_out(&mut self, order: Order) {
        // Whoever asked may have gone meanwhile.
        match order {
            Order::Look(answer) => drop(answer.send(self.line())),
            Order::Forget(network) => {
                if self.wanted.remove(&network) {
                    self.settle_or_say().await;
                }
            }
            Order::Set(network, false, answer) => {
                self.wanted.remove(&network);
                let settled = self.settle().await;
                self.note(settled.as_ref().err());
                drop(answer.send(settled));
            }
            Order::Set(network, true, answer) => {
                let fresh = self.wanted.insert(network);
                let settled = self.settle().await;
                self.note(settled.as_ref().err());
                // One that nobody hears of, as at the start, is tried again with each change of the machine.
                if answer.send(settled).is_ok() && fresh && self.trouble.is_some() {
                    self.wanted.remove(&network);
                    self.settle_or_say().await;
                }
            }
        }
    }

    async fn settle_or_say(&mut self) {
        let settled = self.settle().await;
        self.note(settled.as_ref().err());
    }

    fn note(&mut self, trouble: Option<&NoLan>) {
        let trouble = trouble.map(NoLan::to_string);
        if let Some(trouble) = trouble.as_ref().filter(|_| trouble != self.trouble) {
            tracing::error!(%trouble, "LAN mode does not work");
        }
        self.trouble = trouble;
    }

    /// Makes everything as it should be now.
    async fn settle(&mut self) -> Result<(), NoLan> {
        if self.wanted.is_empty() {
            self.clear().await;
            return Ok(());
        }
        let done = self.try_settle().await;
        if done.is_err() {
            self.clear().await;
        }
        done
    }

    async fn try_settle(&mut self) -> Result<(), NoLan> {
        if let Err(errno) = &self.packets {
            return Err(NoLan::Packets(*errno));
        }
        let facts = kernel::facts(&self.handle, NAME).await;
        let facts = facts.map_err(NoLan::kernel("devices and addresses cannot be listed"))?;
        let plan = Plan::of(&self.wanted, tap::name, &facts);
        self.names = facts.links.into_iter().map(|l| (l.index, l.name)).collect();
        let Some(source) = plan.source else {
            self.clear().await;
            self.plan = plan;
            return Ok(());
        };
        // One that somebody has removed is made anew.
        let is_there = self.names.iter().any(|(_, name)| name == NAME);
        let tap = match self.device.take().filter(|_| is_there) {
            Some(device) => device.tap,
            None => open()?,
        };
        let raised = kernel::raise(&self.handle, NAME, plan.mtu).await;
        let index = raised.map_err(NoLan::kernel("its device does not come up"))?;
        let routed = kernel::route(&self.handle, index, source).await;
        routed.map_err(NoLan::kernel("its routes are refused"))?;
        kernel::lead(&self.handle)
            .await
            .map_err(|error| error.map_or(NoLan::Old, NoLan::kernel("its rules are refused")))?;
        if plan != self.plan {
            let ways = plan.ways(Kind::Broadcast).map(|way| {
                let (device, source) = self.named(way);
                format!("{device} from {source}")
            });
            let ways = ways.collect::<Vec<_>>().join(", ");
            tracing::info!(ways, "LAN mode copies broadcasts");
        }
        self.plan = plan;
        self.device = Some(Device { tap, index });
        self.listen();
        Ok(())
    }

    /// Takes everything back.
    async fn clear(&mut self) {
        self.groups = Groups::default();
        self.plan = Plan::default();
        let Some(_device) = self.device.take() else {
            // Nothing of ours is there, but perhaps of a run that was killed.
            return sweep(&self.handle).await;
        };
        if let Err(error) = kernel::lead_no_more(&self.handle).await {
            tracing::error!(%error, "the routing rules of LAN mode are not removed; `ip rule` shows them");
        }
        // The routes go with the device, here.
    }

    /// Follows programs into their groups.
    fn listen(&mut self) {
        let Some(device) = &self.device else { return };
        let way = |way: Option<Way>| way.map(|way| way.device);
        let mut sources = BTreeSet::from([device.index]);
        sources.extend(way(self.plan.multicast));
        let mut everywhere = sources.clone();
        everywhere.extend(self.plan.overlays.iter().map(|way| way.device));
        self.groups
            .follow(&Groups::members(), &sources, &everywhere);
    }

    /// Copies what programs sent; true when the device is gone.
    fn copy(&mut self) -> bool {
        let (Some(device), Ok(packets)) = (&self.device, &self.packets) else {
            return false;
        };
        for _ in 0..FRAMES {
            let frame = &mut self.frame;
            let read = device
                .tap
                .try_io(Interest::READABLE, |tap| match tap.read(frame) {
                    Read::Empty => Err(io::ErrorKind::WouldBlock.into()),
                    read => Ok(read),
                });
            let range = match read {
                Ok(Read::Frame(range, _)) => range,
                Ok(Read::Odd) => continue,
                Ok(Read::Gone(reason)) => {
                    tracing::warn!(reason, "LAN mode makes its device anew");
                    return true;
                }
                Ok(Read::Empty) | Err(_) => return false,
            };
            let Some(outgoing) = Outgoing::of(&self.frame[range]) else {
                continue;
            };
            self.copied += 1;
            for way in self.plan.ways(outgoing.kind) {
                outgoing.from(way.source, &mut self.copy);
                if let Err(errno) = packets.send(way.device, outgoing.to, &self.copy) {
                    tracing::trace!(%errno, device = way.device, "a copy is lost");
                    self.lost += 1;
                }
            }
        }
        false
    }

    fn named(&self, way: Way) -> (String, Ipv4Addr) {
        let name = self.names.iter().find(|(index, _)| *index == way.device);
        (
            name.map(|(_, name)| name.clone()).unwrap_or_default(),
            way.source,
        )
    }

    fn line(&self) -> LanLine {
        let named = |way| self.named(way);
        let on = self.device.is_some();
        let fares = |network: &NetworkId| {
            let found = self.plan.networks.iter().find(|(it, _)| it == network);
            found.map_or(Fares::NoDevice, |(_, fares)| *fares)
        };
        let networks = self.wanted.iter().map(|network| {
            let (state, source) = match fares(network) {
                Fares::On(way) => ("on", Some(way.source)),
                Fares::NoDevice => ("no-device", None),
                Fares::NoAddress => ("no-address", None),
                Fares::Bridged => ("bridged", None),
            };
            LanNetwork {
                network: *network,
                device: tap::name(*network),
                source,
                state,
            }
        });
        let rules = kernel::RULES.iter().filter(|_| on);
        LanLine {
            networks: networks.collect(),
            device: on.then(|| NAME.to_owned()),
            rules: rules.map(ToString::to_string).collect(),
            broadcast: self.plan.broadcast.filter(|_| on).map(named),
            multicast: self.plan.multicast.filter(|_| on).map(named),
            groups: self.groups.list(),
            packets: self.copied,
            lost: self.lost,
            trouble: self.trouble.clone(),
        }
    }
}

/// Makes the device. The kernel finishes every packet: nothing is offloaded to us.
fn open() -> Result<AsyncFd<Tap>, NoLan> {
    let tap = Tap::open(NAME, MAC, &Offloads::without(&[Offload::Checksum])).map_err(NoLan::Tap)?;
    // IPv6 has nothing to do there. Where /proc is read-only, the device merely has IPv6 routes of its own.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{NAME}/disable_ipv6"), "1");
    tap.waiting().map_err(NoLan::Wait)
}

/// Why LAN mode does not work here.
#[derive(Debug)]
pub enum NoLan {
    /// There was no packet socket at the start.
    Packets(Errno),
    /// The device cannot be made.
    Tap(NoTap),
    /// The device cannot be waited for.
    Wait(io::Error),
    /// rtnetlink refused something.
    Kernel(&'static str, rtnetlink::Error),
    /// The kernel does not know rules by port.
    Old,
    /// The thread has ended; the log says why.
    Ended,
    /// It is as wanted, until the next start.
    NotKept,
}

impl NoLan {
    /// Whether another program holds the device.
    pub fn in_use(&self) -> bool {
        matches!(self, Self::Tap(no) if no.in_use())
    }

    fn kernel(what: &'static str) -> impl FnOnce(rtnetlink::Error) -> Self {
        move |error| Self::Kernel(what, error)
    }
}

impl fmt::Display for NoLan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packets(errno) => write!(
                f,
                "no packet socket could be opened when the node started ({errno}); start zt-node with CAP_NET_RAW"
            ),
            Self::Tap(no) if no.in_use() => write!(
                f,
                "{no}; one node on a machine can be in LAN mode: turn it off on the other"
            ),
            Self::Tap(no) => no.fmt(f),
            Self::Wait(error) => write!(f, "device {NAME} cannot be waited for: {error}"),
            Self::Kernel(what, error) => write!(
                f,
                "{what}: {error}; the kernel needs CONFIG_IP_MULTIPLE_TABLES, the node CAP_NET_ADMIN"
            ),
            Self::Old => f.write_str(
                "this kernel does not know routing rules by port, which came with Linux 4.17",
            ),
            Self::NotKept => f.write_str(
                "it holds until the next start only, as it cannot be written to the state directory; the node's log says why",
            ),
            Self::Ended => f.write_str("LAN mode has ended; the node's log says why"),
        }
    }
}

impl std::error::Error for NoLan {}

/// The device's name: one for a machine, so that two nodes cannot both copy.
const NAME: &str = "ztlan";
/// Its MAC, which no copy has: they leave with the MAC of the device that they leave by.
const MAC: Mac = Mac::from_bytes([2, b'z', b't', b'l', b'a', b'n']);
/// How long a change of the machine may be followed by further ones before it is looked at.
const SOON: Duration = Duration::from_millis(50);
/// How often memberships are looked at, as older kernels do not tell of them.
const LOOK: Duration = Duration::from_secs(1);
/// How long after a failure, if the machine does not change before, it is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// Frames copied before the thread looks around.
const FRAMES: usize = 64;
/// Bytes of stack of the thread.
const STACK: usize = 512 << 10;
