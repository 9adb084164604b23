//! Writes to the state directory on a thread of its own, in the order in which the engine said it.
//!
//! Owner: the runtime. In: what to save and forget. Out: files; at the start, what they hold.
//! Never: a wait of the worker for a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use zt_engine::interface::Saved;
use zt_wire::NetworkId;

use crate::state::{StateDir, StateError};
use crate::world;

/// The thread. Dropping it waits until everything is written.
#[derive(Debug)]
pub struct Keeper {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Save(Saved),
    Ipxnet(NetworkId, Option<SocketAddr>),
    Lan(NetworkId, bool, oneshot::Sender<()>),
    Unsave(NetworkId),
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel's reason when it gives none.
    pub fn start(state: Arc<StateDir>) -> io::Result<Self> {
        let (orders, received) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("zt-state".into())
            .stack_size(STACK)
            .spawn(move || {
                for order in received {
                    if let Err(error) = carry_out(&state, order) {
                        tracing::error!(%error, "state is not kept");
                    }
                }
            })?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Keeps this across restarts.
    pub fn save(&self, saved: Saved) {
        self.order(Order::Save(saved));
    }

    /// Keeps where `ipxnet` is served for a network, or that it is not.
    pub fn save_ipxnet(&self, network: NetworkId, server: Option<SocketAddr>) {
        self.order(Order::Ipxnet(network, server));
    }

    /// Keeps that a network is in LAN mode, or that it is not; `kept` hears of it, or is dropped when it failed.
    pub fn save_lan(&self, network: NetworkId, on: bool, kept: oneshot::Sender<()>) {
        self.order(Order::Lan(network, on, kept));
    }

    /// Forgets a network.
    pub fn unsave(&self, network: NetworkId) {
        self.order(Order::Unsave(network));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only after this sender.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What an earlier run saved, besides the world, which is loaded before the node is made.
///
/// # Errors
/// A file that cannot be read; the program ends rather than to forget a network silently.
pub fn restore(state: &StateDir) -> Result<Vec<Saved>, StateError> {
    let mut saved = Vec::new();
    if let Some(peers) = state.read(PEERS)? {
        saved.push(Saved::Peers(peers));
    }
    for name in state.names(NETWORK)? {
        let id: Option<NetworkId> = name.strip_prefix(NETWORK).and_then(|id| id.parse().ok());
        let (Some(id), Some(bytes)) = (id, state.read(&name)?) else {
            continue;
        };
        saved.push(Saved::Network(id, bytes));
    }
    Ok(saved)
}

/// Where an earlier run served `ipxnet`.
///
/// # Errors
/// As [`restore`].
pub fn restore_ipxnet(state: &StateDir) -> Result<BTreeMap<NetworkId, SocketAddr>, StateError> {
    let mut servers = BTreeMap::new();
    for name in state.names(IPXNET)? {
        let network = name.strip_prefix(IPXNET).and_then(|id| id.parse().ok());
        let bytes = state.read(&name)?.unwrap_or_default();
        let address = str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.parse().ok());
        if let (Some(network), Some(address)) = (network, address) {
            servers.insert(network, address);
        }
    }
    Ok(servers)
}

/// Which networks an earlier run had in LAN mode.
///
/// # Errors
/// As [`restore`].
pub fn restore_lan(state: &StateDir) -> Result<BTreeSet<NetworkId>, StateError> {
    let names = state.names(LAN)?;
    let networks = names.iter().filter_map(|name| name.strip_prefix(LAN));
    Ok(networks.filter_map(|id| id.parse().ok()).collect())
}

fn carry_out(state: &StateDir, order: Order) -> Result<(), StateError> {
    match order {
        Order::Save(Saved::World(bytes)) => state.write(world::STORED, &bytes),
        Order::Save(Saved::Network(id, bytes)) => state.write(&format!("{NETWORK}{id}"), &bytes),
        Order::Save(Saved::Peers(bytes)) => state.write(PEERS, &bytes),
        Order::Ipxnet(id, Some(server)) => {
            state.write(&format!("{IPXNET}{id}"), server.to_string().as_bytes())
        }
        Order::Ipxnet(id, None) => state.remove(&format!("{IPXNET}{id}")),
        Order::Lan(id, on, kept) => {
            let name = format!("{LAN}{id}");
            if on {
                state.write(&name, b"")?;
            } else {
                state.remove(&name)?;
            }
            // Whoever asked may have gone meanwhile.
            let _ = kept.send(());
            Ok(())
        }
        Order::Unsave(id) => {
            state.remove(&format!("{LAN}{id}"))?;
            state.remove(&format!("{IPXNET}{id}"))?;
            state.remove(&format!("{NETWORK}{id}"))
        }
    }
}

/// The file of the peers met.
const PEERS: &str = "peers";
/// First part of the name of a network's file.
const NETWORK: &str = "network-";
/// First part of the name of the file that says where a network's `ipxnet` is served.
const IPXNET: &str = "ipxnet-";
/// First part of the name of the file that says that a network is in LAN mode.
const LAN: &str = "lan-";
/// Bytes of stack of the thread.
const STACK: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_last_is_restored_and_a_forgotten_network_is_not() {
        let outer = tempfile::tempdir().unwrap();
        let state = Arc::new(StateDir::open(&outer.path().join("state")).unwrap());
        let (one, two) = (
            "89abcdef01000001".parse().unwrap(),
            "89abcdef01000002".parse().unwrap(),
        );
        let keeper = Keeper::start(Arc::clone(&state)).unwrap();
        keeper.save(Saved::Network(one, b"old".to_vec()));
        keeper.save(Saved::Network(one, b"new".to_vec()));
        keeper.save(Saved::Network(two, b"left".to_vec()));
        keeper.save(Saved::Peers(b"peers".to_vec()));
        let server: SocketAddr = "127.0.0.1:213".parse().unwrap();
        keeper.save_ipxnet(one, Some(server));
        keeper.save_ipxnet(two, Some(server));
        let (kept, heard) = oneshot::channel();
        keeper.save_lan(one, true, kept);
        heard.blocking_recv().unwrap();
        assert_eq!(
            restore_lan(&state).unwrap(),
            BTreeSet::from([one]),
            "at once"
        );
        keeper.save_lan(two, true, oneshot::channel().0);
        keeper.unsave(two);
        drop(keeper);
        assert_eq!(
            restore_ipxnet(&state).unwrap(),
            BTreeMap::from([(one, server)])
        );
        assert_eq!(restore_lan(&state).unwrap(), BTreeSet::from([one]));
        let expected = [
            Saved::Peers(b"peers".to_vec()),
            Saved::Network(one, b"new".to_vec()),
        ];
        assert_eq!(restore(&state).unwrap(), expected);
    }
}
