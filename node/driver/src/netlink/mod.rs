//! Talks rtnetlink on a thread of its own: shapes the overlay's devices, watches the machine's addresses.
//!
//! Owner: the runtime. In: plans of devices. Out: `TapUp`, `TapFailed`, `LocalAddresses`, `Groups` for the worker.
//! Never: an overlay device's address among the local ones (no tunnel in the tunnel); a call of `ip`.

mod groups;
mod shape;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::StreamExt;
use rtnetlink::MulticastGroup;
use tokio::sync::mpsc;
use zt_engine::interface::{Input, Listening, TapPlan};
use zt_wire::NetworkId;

use crate::lan;
use crate::runtime::{Message, Sender};
use shape::Shaped;

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub struct Netlink {
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Shape(NetworkId, String, TapPlan),
    Forget(NetworkId),
    Listen(NetworkId),
    Relearn(NetworkId),
}

/// A device that we have shaped.
struct Device {
    shaped: Shaped,
    told: Option<Listening>,
}

impl Netlink {
    /// Starts the thread; `listen` are our sockets, `worker` hears what happens. A program that makes `devices` removes
    /// what a killed run of it left among the routing rules.
    ///
    /// # Errors
    /// The kernel's reason when it gives no thread.
    pub fn start(listen: Vec<SocketAddr>, worker: Sender, devices: bool) -> io::Result<Self> {
        let (orders, received) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("zt-netlink".into())
            .stack_size(STACK)
            .spawn(move || {
                if let Err(error) = runtime.block_on(serve(&listen, &worker, received, devices)) {
                    tracing::error!(%error, "rtnetlink does not work: devices are not configured, address changes not seen");
                }
            })?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Gives the device `name` its addresses, routes and MTU; answered by `TapUp` or `TapFailed`.
    pub fn shape(&self, network: NetworkId, name: String, plan: TapPlan) {
        self.order(Order::Shape(network, name, plan));
    }

    /// Programs may have joined or left groups on the device of a network; a change is told with `Groups`.
    pub fn listen(&self, network: NetworkId) {
        self.order(Order::Listen(network));
    }

    /// The device of a network is gone, and with it all that it had.
    pub fn forget(&self, network: NetworkId) {
        self.order(Order::Forget(network));
    }

    /// The bridge that the device of a network is a port of, if any, forgets what it has learned there.
    pub fn relearn(&self, network: NetworkId) {
        self.order(Order::Relearn(network));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // A thread that could not start its work has said so in the log.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listen: &[SocketAddr],
    worker: &Sender,
    mut orders: mpsc::UnboundedReceiver<Order>,
    devices: bool,
) -> io::Result<()> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
    ];
    let (connection, handle, mut news) = rtnetlink::new_multicast_connection(&groups)?;
    let connection = tokio::spawn(connection);
    if devices {
        lan::sweep(&handle).await;
    }
    let mut shaped = BTreeMap::<NetworkId, Device>::new();
    let mut told = None;
    loop {
        let local = watch::reachable(&handle, listen).await;
        if local.is_some() && local != told {
            told.clone_from(&local);
            worker.send(Message::Input(Input::LocalAddresses(
                local.unwrap_or_default(),
            )));
        }
        for (network, device) in &mut shaped {
            look(&handle, worker, *network, device).await;
        }
        // Orders are carried out until the machine's addresses change again.
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => {
                    let Some(order) = order else {
                        connection.abort();
                        return Ok(());
                    };
                    carry_out(&handle, worker, &mut shaped, order).await;
                }
                () = tokio::time::sleep(LOOK), if !shaped.is_empty() => break,
                message = news.next() => {
                    if message.is_none() {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                    // One look answers everything that was said up to now.
                    while news.try_recv().is_ok() {}
                    break;
                }
            }
        }
    }
}

async fn carry_out(
    handle: &rtnetlink::Handle,
    worker: &Sender,
    devices: &mut BTreeMap<NetworkId, Device>,
    order: Order,
) {
    match order {
        Order::Shape(network, name, plan) => {
            let before = devices.remove(&network).map(|device| device.shaped);
            match shape::shape(handle, &name, &plan, before).await {
                Ok(shaped) => {
                    worker.send(Message::Input(Input::TapUp(network, name)));
                    let told = None;
                    let device = devices.entry(network).or_insert(Device { shaped, told });
                    look(handle, worker, network, device).await;
                }
                Err(refused) => {
                    let input = Input::TapFailed(network, refused.to_string());
                    worker.send(Message::Input(input));
                }
            }
        }
        Order::Forget(network) => {
            devices.remove(&network);
        }
        Order::Relearn(network) => {
            if let Some(device) = devices.get(&network) {
                shape::relearn(handle, &device.shaped).await;
            }
        }
        Order::Listen(network) => {
            if let Some(device) = devices.get_mut(&network) {
                look(handle, worker, network, device).await;
            }
        }
    }
}

/// Tells what a device listens to, if that has changed.
async fn look(
    handle: &rtnetlink::Handle,
    worker: &Sender,
    network: NetworkId,
    device: &mut Device,
) {
    let now = groups::listening(handle, device.shaped.index()).await;
    if device.told.as_ref() != Some(&now) {
        device.told = Some(now.clone());
        worker.send(Message::Input(Input::Groups(network, now)));
    }
}

/// The kernel refused something about a device.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    device: String,
    what: What,
    error: rtnetlink::Error,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Find,
    Up,
    Address(std::net::IpAddr, u8),
    Route(std::net::IpAddr, u8),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device,
            what,
            error,
        } = self;
        match what {
            What::Find => write!(f, "device {device} is not found: {error}"),
            What::Up => write!(f, "device {device} does not come up: {error}"),
            What::Address(ip, prefix) => {
                write!(f, "device {device} does not take {ip}/{prefix}: {error}")
            }
            What::Route(ip, prefix) => write!(
                f,
                "device {device} does not take the route {ip}/{prefix}: {error}"
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// How often devices are looked at for groups that nobody announces: joined for the link alone (`ip maddress`, packet
/// sockets). All others come with IGMP or MLD, or with news of the device.
const LOOK: Duration = Duration::from_secs(30);
/// Bytes of stack of the thread.
const STACK: usize = 512 << 10;
