//! The UDP sockets of a worker: one per address listened on, set up for whole batches.
//!
//! Owner: the worker. In: addresses to listen on. Out: open sockets, which one reaches whom.
//! Never: an error of one destination that stops the others; IP fragments (DF is always set).

mod address;
mod batch;
#[cfg(test)]
mod fallback_tests;
mod receive;
mod send;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::offload::{Offload, Offloads};

pub use batch::Batch;
pub use receive::Receiver;

/// The port where a program listens unless told otherwise.
pub const PORT: u16 = 9993;

/// Open sockets, not yet used.
#[derive(Debug)]
pub struct Sockets {
    open: Vec<Port>,
    heard: Arc<[AtomicU8]>,
}

/// One open socket.
#[derive(Debug)]
pub struct Port {
    socket: Socket,
    local: SocketAddr,
    segments: bool,
    joins: bool,
}

/// How sockets are opened: which offloads are wanted, and how the kernel is asked for them.
#[derive(Clone, Copy)]
struct Opening<'a> {
    offloads: &'a Offloads,
    segments: fn(BorrowedFd<'_>, bool) -> bool,
    joins: fn(BorrowedFd<'_>) -> bool,
}

/// An address cannot be listened on.
#[derive(Debug)]
pub struct NotBound {
    /// Which.
    pub address: SocketAddr,
    /// What the kernel said.
    pub error: io::Error,
}

impl Sockets {
    /// Opens one socket per address; with none given, [`PORT`] on all addresses of both families.
    ///
    /// # Errors
    /// [`NotBound`] with the first address that is in use or not ours. A missing IPv6 stack is no error where IPv6 was not asked for.
    pub fn bind(listen: &[SocketAddr], offloads: &Offloads) -> Result<Self, NotBound> {
        let mut groups = Self::bind_groups(listen, offloads, 1)?;
        Ok(groups.remove(0))
    }

    /// The same for several workers: each gets sockets of its own for the same addresses, and the kernel gives each
    /// datagram to the worker that its session index names.
    ///
    /// # Errors
    /// As for [`Self::bind`].
    pub fn bind_groups(
        listen: &[SocketAddr],
        offloads: &Offloads,
        workers: usize,
    ) -> Result<Vec<Self>, NotBound> {
        let opening = Opening {
            offloads,
            segments: send::prepare,
            joins: receive::prepare,
        };
        Self::bind_by(listen, opening, workers)
    }

    fn bind_by(
        listen: &[SocketAddr],
        how: Opening<'_>,
        workers: usize,
    ) -> Result<Vec<Self>, NotBound> {
        let mut groups = Vec::new();
        if listen.is_empty() {
            let v4 = (Ipv4Addr::UNSPECIFIED, PORT).into();
            groups.push(Port::group(v4, how, workers)?);
            match Port::group((Ipv6Addr::UNSPECIFIED, PORT).into(), how, workers) {
                Ok(group) => groups.push(group),
                Err(refused) if refused.error.kind() == io::ErrorKind::AddrInUse => {
                    return Err(refused);
                }
                Err(refused) => {
                    tracing::info!(error = %refused.error, "IPv6 is not available, going on with IPv4");
                }
            }
        }
        for address in listen {
            groups.push(Port::group(*address, how, workers)?);
        }
        how.tell(&groups);
        let heard: Arc<[AtomicU8]> = (0..REMEMBERED).map(|_| AtomicU8::new(NOBODY)).collect();
        let mut groups: Vec<_> = groups.into_iter().map(Vec::into_iter).collect();
        let mine = |_| Self {
            open: groups.iter_mut().filter_map(Iterator::next).collect(),
            heard: Arc::clone(&heard),
        };
        Ok((0..workers.max(1)).map(mine).collect())
    }

    /// The sockets, in the order in which they were asked for.
    pub fn ports(&self) -> &[Port] {
        &self.open
    }

    /// Where we listen.
    pub fn local(&self) -> Vec<SocketAddr> {
        self.open.iter().map(|port| port.local).collect()
    }

    /// Remembers through which socket somebody reaches us, so that answers leave from the address they know, whichever
    /// worker sends them.
    pub fn note(&self, from: SocketAddr, port: usize) {
        if self.open.len() > 2
            && let Ok(port) = u8::try_from(port)
        {
            self.heard[slot_of(from)].store(port, Relaxed);
        }
    }

    /// The socket for a destination; `None` where no socket has its family.
    fn port_to(&self, to: SocketAddr) -> Option<usize> {
        let fits = |port: &Port| port.local.is_ipv4() == to.is_ipv4();
        let heard = usize::from(self.heard[slot_of(to)].load(Relaxed));
        if self.open.get(heard).is_some_and(fits) {
            return Some(heard);
        }
        self.open.iter().position(fits)
    }
}

impl Port {
    /// As many sockets of one address as there are workers, in their order.
    fn group(address: SocketAddr, how: Opening<'_>, workers: usize) -> Result<Vec<Self>, NotBound> {
        if workers <= 1 {
            return Ok(vec![Self::bind(address, how, false)?]);
        }
        if address.port() != 0 {
            // Sockets that share would share with another program of ours, too: one that does not finds it.
            Self::bind(address, how, false)?;
        }
        let first = Self::bind(address, how, true)?;
        let local = first.local;
        let mut group = vec![first];
        for _ in 1..workers {
            group.push(Self::bind(local, how, true)?);
        }
        if !send::steer(group[0].as_fd()) {
            tracing::info!(%local, "the kernel does not steer datagrams to their workers, so they pass them on");
        }
        Ok(group)
    }

    fn bind(address: SocketAddr, how: Opening<'_>, shared: bool) -> Result<Self, NotBound> {
        let refused = |error| NotBound { address, error };
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM.nonblocking(),
            Some(Protocol::UDP),
        )
        .map_err(refused)?;
        if address.is_ipv6() {
            socket.set_only_v6(true).map_err(refused)?;
        }
        if shared {
            socket.set_reuse_port(true).map_err(refused)?;
        }
        socket.bind(&address.into()).map_err(refused)?;
        let local = socket
            .local_addr()
            .map_err(refused)?
            .as_socket()
            .unwrap_or(address);
        let knows = (how.segments)(socket.as_fd(), address.is_ipv6());
        let segments = knows && how.offloads.has(Offload::UdpSegment);
        let joins = how.offloads.has(Offload::UdpGro) && (how.joins)(socket.as_fd());
        widen(&socket);
        Ok(Self {
            socket,
            local,
            segments,
            joins,
        })
    }

    /// Where it listens.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }
}

impl Opening<'_> {
    /// Says once, however many sockets there are, what was wanted and the kernel does not know.
    fn tell(&self, groups: &[Vec<Port>]) {
        let all = |has: fn(&Port) -> bool| groups.iter().flatten().all(has);
        if self.offloads.has(Offload::UdpSegment) && !all(|port| port.segments) {
            tracing::info!(
                "the kernel does not know trains of datagrams (UDP_SEGMENT), sending them one by one"
            );
        }
        if self.offloads.has(Offload::UdpGro) && !all(|port| port.joins) {
            tracing::info!(
                "the kernel does not join datagrams (UDP_GRO), receiving them one by one"
            );
        }
    }
}

pub use send::dropped;

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Display for NotBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot listen on {}: {}; choose another with --listen",
            self.address, self.error
        )
    }
}

impl std::error::Error for NotBound {}

/// The addresses under which this machine's interfaces reach our sockets, from the interfaces' addresses.
pub fn reachable(interfaces: &[IpAddr], local: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = local
        .iter()
        .flat_map(|listen| {
            let wanted = *listen;
            interfaces
                .iter()
                .filter(move |ip| {
                    ip.is_ipv4() == wanted.is_ipv4()
                        && (wanted.ip().is_unspecified() || wanted.ip() == **ip)
                })
                .map(move |ip| SocketAddr::new(*ip, wanted.port()))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn widen(socket: &Socket) {
    let socket = SockRef::from(socket);
    // Plain first, so that something is set where FORCE is not allowed; refusals leave the kernel's default, which works.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    send::force_buffers(socket.as_fd(), RECEIVE_BUFFER, SEND_BUFFER);
}

fn slot_of(address: SocketAddr) -> usize {
    let mut mixed: u64 = u64::from(address.port()).wrapping_mul(MIX);
    let bytes: [u8; 16] = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    for half in bytes.as_chunks::<8>().0 {
        mixed = (mixed ^ u64::from_le_bytes(*half))
            .wrapping_mul(MIX)
            .rotate_left(29);
    }
    // The remainder is below `REMEMBERED`.
    usize::try_from(mixed % REMEMBERED as u64).unwrap_or(0)
}

/// Remote endpoints for which the socket is remembered, one byte each; a clash costs only the memory of one.
const REMEMBERED: usize = 4096;
/// No socket remembered.
const NOBODY: u8 = u8::MAX;
/// An odd constant of high entropy (2^64 divided by the golden ratio).
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
/// Bytes of received datagrams that may wait: 20 ms of 1.6 Gbit/s.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Bytes of datagrams to be sent that may wait.
const SEND_BUFFER: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8, port: u16) -> SocketAddr {
        (Ipv4Addr::new(192, 0, 2, last), port).into()
    }

    #[test]
    fn a_wildcard_socket_is_reachable_at_each_interface_of_its_family() {
        let interfaces = [v4(1, 0).ip(), v4(2, 0).ip(), Ipv6Addr::LOCALHOST.into()];
        let wildcard = [(Ipv4Addr::UNSPECIFIED, 7).into()];
        assert_eq!(reachable(&interfaces, &wildcard), [v4(1, 7), v4(2, 7)]);
        assert_eq!(reachable(&interfaces, &[v4(2, 9)]), [v4(2, 9)]);
        assert_eq!(reachable(&interfaces, &[v4(3, 9)]), []);
    }

    #[test]
    fn what_the_kernel_drops_at_a_socket_that_nobody_reads_is_known() {
        let sockets =
            Sockets::bind(&["127.0.0.1:0".parse().unwrap()], &Offloads::default()).unwrap();
        let port = &sockets.ports()[0];
        let room = SockRef::from(&port.socket);
        room.set_recv_buffer_size(1).unwrap();
        let before = dropped(port.as_fd()).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            sender.send_to(&[1; 1_000], port.local()).unwrap();
        }
        assert!(dropped(port.as_fd()).unwrap() > before);
    }

    #[test]
    fn the_kernel_gives_each_datagram_to_the_worker_that_its_index_names() {
        let loopback = ["127.0.0.1:0".parse().unwrap()];
        let groups = Sockets::bind_groups(&loopback, &Offloads::default(), 3).unwrap();
        let to = groups[0].local()[0];
        assert!(groups.iter().all(|group| group.local() == [to]));
        let transport = |index: u32| [&[4, 1, 0, 0][..], &index.to_be_bytes(), &[0; 24]].concat();
        let sent = [
            (transport(0x1234_5670), 0),
            (transport(0x1234_5671), 1),
            (transport(0x1234_5672), 2),
            ([&[1, 1, 0, 0][..], &[0, 0, 0, 1], &[0; 1192]].concat(), 0),
            (vec![4, 1, 0], 0),
            (Vec::new(), 0),
        ];
        // From many ports, so that a choice by the sender's would show.
        for (datagram, worker) in sent {
            for _ in 0..8 {
                let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                sender.send_to(&datagram, to).unwrap();
                let heard: Vec<usize> = (0..3)
                    .filter(|at| {
                        groups[*at].open[0]
                            .socket
                            .recv(&mut [std::mem::MaybeUninit::uninit(); 2000])
                            .is_ok()
                    })
                    .collect();
                assert_eq!(heard, [worker], "{datagram:?}");
            }
        }
    }

    #[test]
    fn workers_share_a_port_with_each_other_and_with_nobody_else() {
        let loopback = ["127.0.0.1:0".parse().unwrap()];
        let groups = Sockets::bind_groups(&loopback, &Offloads::default(), 2).unwrap();
        let taken = groups[0].local();
        let refused = Sockets::bind_groups(&taken, &Offloads::default(), 2).unwrap_err();
        assert_eq!(refused.error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_port_in_use_is_named() {
        let first = Sockets::bind(&["127.0.0.1:0".parse().unwrap()], &Offloads::default()).unwrap();
        let taken = first.local()[0];
        let refused = Sockets::bind(&[taken], &Offloads::default()).unwrap_err();
        assert_eq!(refused.address, taken);
        assert_eq!(refused.error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_answer_leaves_through_the_socket_that_heard_the_question() {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let sockets = Sockets::bind(&[loopback, loopback, loopback], &Offloads::default()).unwrap();
        assert_eq!(sockets.port_to(v4(9, 9)), Some(0));
        sockets.note(v4(9, 9), 2);
        assert_eq!(sockets.port_to(v4(9, 9)), Some(2));
        assert_eq!(sockets.port_to("[2001:db8::1]:1".parse().unwrap()), None);
    }
}
