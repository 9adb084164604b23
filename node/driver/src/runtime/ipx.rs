//! IPX of the networks joined: hosts heard, pings, and the `ipxnet` servers with their sockets.
//!
//! Owner: the worker. In: frames and datagrams as they pass, orders. Out: datagrams, frames to be placed, answers.
//! Never: more than one look at a frame that is no IPX; a frame placed in the middle of a call of the node.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use zt_ipx::gateway::Refused;
use zt_ipx::{Framing, Gateway, Host, Output, Packet};
use zt_wire::{Mac, NetworkId};

use crate::clock;

/// IPX on all networks.
#[derive(Debug, Default)]
pub struct Ipx {
    lines: BTreeMap<NetworkId, Line>,
    frames: VecDeque<Placed>,
    refused: Refusals,
    opened: u64,
}

/// IPX on one network.
#[derive(Debug, Default)]
struct Line {
    gateway: Option<Gateway>,
    wanted: Option<SocketAddr>,
    server: Option<Server>,
    trouble: Option<String>,
    asked: Vec<Asked>,
}

#[derive(Debug)]
struct Server {
    socket: UdpSocket,
    token: u64,
}

/// An open ping.
#[derive(Debug)]
struct Asked {
    since: Duration,
    answers: mpsc::Sender<Echo>,
}

/// A frame that the worker is to place.
#[derive(Debug)]
pub struct Placed {
    pub network: NetworkId,
    pub side: Side,
    pub bytes: Vec<u8>,
}

/// Where a frame was heard, or is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The other members.
    Overlay,
    /// This machine's device.
    Device,
    /// Both.
    Both,
}

/// What the worker is told about IPX.
#[derive(Debug)]
pub enum Order {
    /// What is known?
    Look(NetworkId, oneshot::Sender<IpxLine>),
    /// Ask every host; answers go here until nobody listens. `false`: there is no device to ask on.
    Ping(NetworkId, mpsc::Sender<Echo>, oneshot::Sender<bool>),
    /// Serve `ipxnet` here, or no more.
    Serve(
        NetworkId,
        Option<SocketAddr>,
        oneshot::Sender<io::Result<()>>,
    ),
}

/// IPX on one network, as people see it.
#[derive(Clone, Debug, Default)]
pub struct IpxLine {
    /// The hosts heard, each with how long ago.
    pub hosts: Vec<(Host, Duration)>,
    /// The server's clients: where they are and which number they have.
    pub clients: Vec<(SocketAddr, Mac)>,
    /// Where the server is to be.
    pub server: Option<SocketAddr>,
    /// Why it is not there.
    pub trouble: Option<String>,
}

/// An answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The host's number.
    pub node: Mac,
    /// The network number it says.
    pub network: u32,
    /// How it said it; `None` for a client of the server.
    pub framing: Option<Framing>,
    /// How long it took.
    pub after: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Refusals {
    malformed: u64,
    stranger: u64,
    spoofed: u64,
    full: u64,
}

impl Ipx {
    /// The device of a network is up, with this MAC and right.
    pub fn up(&mut self, network: NetworkId, mac: Mac, may_bridge: bool) {
        let line = self.lines.entry(network).or_default();
        match &mut line.gateway {
            Some(gateway) => gateway.become_member(mac, may_bridge),
            None => line.gateway = Some(Gateway::new(mac, may_bridge)),
        }
    }

    /// The device of a network is gone; the server waits for another one.
    pub fn down(&mut self, network: NetworkId) {
        if let Some(line) = self.lines.get_mut(&network) {
            line.gateway = None;
            line.asked.clear();
        }
    }

    /// The network is left.
    pub fn forget(&mut self, network: NetworkId) {
        self.lines.remove(&network);
    }

    /// A frame that passes between a device and the overlay.
    #[inline]
    pub fn pass(&mut self, network: NetworkId, from: Side, frame: &[u8]) {
        if Framing::is_possible(frame) {
            self.heard(network, from, frame);
        }
    }

    fn heard(&mut self, network: NetworkId, from: Side, frame: &[u8]) {
        let Some(line) = self.lines.get_mut(&network) else {
            return;
        };
        let Some((framing, packet)) = Framing::read(frame) else {
            return;
        };
        let Some(gateway) = &mut line.gateway else {
            return;
        };
        let now = uptime();
        let out = gateway.frame(now, frame);
        let answer = line.server.as_ref().and_then(|_| gateway.answer(frame));
        line.echo(now, &packet, Some(framing));
        self.frames.extend(answer.map(|bytes| Placed {
            network,
            side: from,
            bytes,
        }));
        self.out(network, out);
    }

    /// Opens the server of a network here, or closes it. The mark for the epoll set, when there is a new socket.
    ///
    /// # Errors
    /// The kernel's reason when the address cannot be had; what was before stays.
    pub fn serve(
        &mut self,
        network: NetworkId,
        wanted: Option<SocketAddr>,
    ) -> io::Result<Option<u64>> {
        let line = self.lines.entry(network).or_default();
        let Some(address) = wanted else {
            (line.wanted, line.server, line.trouble) = (None, None, None);
            line.gateway.iter_mut().for_each(Gateway::close);
            return Ok(None);
        };
        if line.server.is_some() && line.wanted == Some(address) {
            return Ok(None);
        }
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        self.opened += 1;
        let token = SERVERS + self.opened % MARKS;
        line.gateway.iter_mut().for_each(Gateway::close);
        (line.wanted, line.trouble) = (wanted, None);
        line.server = Some(Server { socket, token });
        Ok(Some(token))
    }

    /// A server that an earlier run had could not be opened.
    pub fn failed(&mut self, network: NetworkId, wanted: SocketAddr, why: &io::Error) {
        let line = self.lines.entry(network).or_default();
        (line.wanted, line.trouble) = (Some(wanted), Some(why.to_string()));
    }

    /// The socket of a network's server.
    pub fn file(&self, network: NetworkId) -> Option<BorrowedFd<'_>> {
        let server = self.lines.get(&network)?.server.as_ref()?;
        Some(server.socket.as_fd())
    }

    /// One server's turn; none for a mark that is no server's.
    pub fn turn(&mut self, token: u64) {
        let mut buffer = [0; LARGEST];
        for _ in 0..DATAGRAMS {
            let found = self.lines.iter_mut().find_map(|(network, line)| {
                let server = line.server.as_ref()?;
                (server.token == token).then(|| (*network, server.socket.recv_from(&mut buffer)))
            });
            match found {
                Some((network, Ok((length, from)))) => {
                    self.datagram(network, from, &buffer[..length]);
                }
                Some((_, Err(error))) if error.kind() == io::ErrorKind::Interrupted => {}
                Some((_, Err(_))) | None => return,
            }
        }
    }

    fn datagram(&mut self, network: NetworkId, from: SocketAddr, bytes: &[u8]) {
        let Some(line) = self.lines.get_mut(&network) else {
            return;
        };
        let Some(gateway) = &mut line.gateway else {
            self.refused.stranger += 1;
            return;
        };
        let now = uptime();
        match gateway.datagram(now, from, bytes) {
            Ok(out) => {
                let echo = Packet::read(bytes).is_some_and(|packet| line.echo(now, &packet, None));
                // The answer to our own ping is for nobody else.
                if !echo {
                    self.out(network, out);
                }
            }
            Err(Refused::Malformed) => self.refused.malformed += 1,
            Err(Refused::Stranger) => self.refused.stranger += 1,
            Err(Refused::Spoofed) => self.refused.spoofed += 1,
            Err(Refused::Full) => self.refused.full += 1,
        }
    }

    /// Asks every host of a network. `false` when it has no device.
    pub fn ping(&mut self, network: NetworkId, answers: mpsc::Sender<Echo>) -> bool {
        let Some(line) = self.lines.get_mut(&network) else {
            return false;
        };
        let Some(gateway) = &line.gateway else {
            return false;
        };
        let out = gateway.ping();
        line.asked.retain(|asked| !asked.answers.is_closed());
        if line.asked.len() == PINGS {
            line.asked.remove(0);
        }
        line.asked.push(Asked {
            since: uptime(),
            answers,
        });
        self.out(network, out);
        true
    }

    /// What is known of a network.
    pub fn look(&mut self, network: NetworkId) -> IpxLine {
        let Some(line) = self.lines.get_mut(&network) else {
            return IpxLine::default();
        };
        let now = uptime();
        let mut seen = IpxLine {
            server: line.wanted,
            trouble: line.trouble.clone(),
            ..IpxLine::default()
        };
        if let Some(gateway) = &mut line.gateway {
            gateway.expire(now);
            let hosts = gateway.heard().hosts();
            seen.hosts = hosts
                .map(|host| (*host, now.saturating_sub(host.last)))
                .collect();
            let clients = gateway.clients();
            seen.clients = clients
                .map(|(at, node)| (at, Mac::from_bytes(node)))
                .collect();
        }
        seen
    }

    /// The next frame to be placed.
    pub fn next_frame(&mut self) -> Option<Placed> {
        self.frames.pop_front()
    }

    /// Datagrams of clients that went no further, by reason.
    pub fn refused(&self) -> [(&'static str, u64); 4] {
        [
            ("ipxnet-malformed", self.refused.malformed),
            ("ipxnet-stranger", self.refused.stranger),
            ("ipxnet-spoofed", self.refused.spoofed),
            ("ipxnet-full", self.refused.full),
        ]
    }

    fn out(&mut self, network: NetworkId, out: Vec<Output>) {
        let server = self
            .lines
            .get(&network)
            .and_then(|line| line.server.as_ref());
        for output in out {
            match output {
                Output::Datagram(to, bytes) => {
                    if let Some(server) = server {
                        // As on a cable: what does not fit is lost, and the game sends again.
                        let _ = server.socket.send_to(&bytes, to);
                    }
                }
                Output::Frame(bytes) => self.frames.push_back(Placed {
                    network,
                    side: Side::Both,
                    bytes,
                }),
            }
        }
    }
}

impl Line {
    /// Tells those who asked, if this is an answer to them; whether anybody did.
    fn echo(&mut self, now: Duration, packet: &Packet<'_>, framing: Option<Framing>) -> bool {
        let ours = |gateway: &Gateway| gateway.is_echo(packet);
        if self.asked.is_empty() || !self.gateway.as_ref().is_some_and(ours) {
            return false;
        }
        self.asked.retain(|asked| {
            let echo = Echo {
                node: Mac::from_bytes(packet.from.node),
                network: packet.from.network,
                framing,
                after: now.saturating_sub(asked.since),
            };
            // More answers than a reader takes are as good as lost; one that has gone is forgotten.
            !matches!(
                asked.answers.try_send(echo),
                Err(mpsc::error::TrySendError::Closed(_))
            )
        });
        true
    }
}

/// Time as the gateway counts it.
fn uptime() -> Duration {
    Duration::from_nanos(clock::mono().as_nanos())
}

/// The first mark of a server in the epoll set: above any socket's, below any network's.
const SERVERS: u64 = 1 << 20;
/// Marks in use before the first comes again.
const MARKS: u64 = 1 << 20;
/// Largest packet of a client, bytes: what an Ethernet frame holds. A longer one is cut, so it is malformed.
const LARGEST: usize = 1500;
/// Datagrams of one server's turn.
const DATAGRAMS: usize = 64;
/// Pings open at once on one network; the oldest gives way.
const PINGS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use zt_ipx::Endpoint;
    use zt_ipx::packet::{ALL, ECHO, empty};

    const OWN: Mac = Mac::from_bytes([0x32, 1, 2, 3, 4, 5]);
    const HOST: Mac = Mac::from_bytes([2, 0, 0, 0, 0, 9]);

    fn network() -> NetworkId {
        "89abcdef01000001".parse().unwrap()
    }

    fn end(node: [u8; 6], socket: u16) -> Endpoint {
        Endpoint {
            network: 0,
            node,
            socket,
        }
    }

    fn line() -> Ipx {
        let mut ipx = Ipx::default();
        ipx.up(network(), OWN, false);
        ipx
    }

    /// A registered client of a server on a free port.
    fn client(ipx: &mut Ipx) -> UdpSocket {
        let token = ipx
            .serve(network(), Some(([127, 0, 0, 1], 0).into()))
            .unwrap()
            .unwrap();
        let line = &ipx.lines[&network()];
        let at = line.server.as_ref().unwrap().socket.local_addr().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        client.connect(at).unwrap();
        client
            .send(&empty(end([0; 6], ECHO), end([0; 6], ECHO)))
            .unwrap();
        ipx.turn(token);
        let mut answer = [0; 64];
        let length = client.recv(&mut answer).unwrap();
        assert_eq!(
            Packet::read(&answer[..length]).unwrap().to.node,
            OWN.to_bytes()
        );
        client
    }

    #[test]
    fn a_clients_broadcast_goes_to_both_sides_and_a_hosts_to_the_client() {
        let mut ipx = line();
        let client = client(&mut ipx);
        let game = empty(end(ALL, 5), end(OWN.to_bytes(), 5));
        client.send(&game).unwrap();
        let token = ipx.lines[&network()].server.as_ref().unwrap().token;
        ipx.turn(token);
        let placed = ipx.next_frame().unwrap();
        assert_eq!(placed.side, Side::Both);
        assert_eq!(Framing::read(&placed.bytes).unwrap().1.bytes, game);
        let reply = empty(end(OWN.to_bytes(), 5), end(HOST.to_bytes(), 5));
        ipx.pass(
            network(),
            Side::Overlay,
            &Framing::Snap.frame(OWN, HOST, &reply),
        );
        let mut heard = [0; 64];
        let length = client.recv(&mut heard).unwrap();
        assert_eq!(heard[..length], reply);
        client.send(b"no packet").unwrap();
        ipx.turn(token);
        assert_eq!(ipx.refused()[0], ("ipxnet-malformed", 1));
    }

    #[test]
    fn a_ping_is_answered_only_where_the_server_is_on_and_nobody_has_the_mac() {
        let ask = empty(end(ALL, ECHO), end(HOST.to_bytes(), ECHO));
        let frame = Framing::Llc.frame(Mac::BROADCAST, HOST, &ask);
        let mut ipx = line();
        ipx.pass(network(), Side::Overlay, &frame);
        assert!(ipx.next_frame().is_none(), "the server is off");
        ipx.serve(network(), Some(([127, 0, 0, 1], 0).into()))
            .unwrap();
        ipx.pass(network(), Side::Overlay, &frame);
        assert_eq!(ipx.next_frame().unwrap().side, Side::Overlay);
        ipx.serve(network(), None).unwrap();
        let _client = client(&mut ipx);
        ipx.pass(network(), Side::Overlay, &frame);
        assert!(ipx.next_frame().is_none(), "the client answers");
    }

    #[test]
    fn who_asked_hears_who_answers() {
        let mut ipx = line();
        let (answers, mut heard) = mpsc::channel(4);
        assert!(ipx.ping(network(), answers));
        assert_eq!(ipx.next_frame().unwrap().side, Side::Both);
        let answer = empty(end(OWN.to_bytes(), ECHO), end(HOST.to_bytes(), ECHO));
        ipx.pass(
            network(),
            Side::Overlay,
            &Framing::Raw.frame(OWN, HOST, &answer),
        );
        let echo = heard.try_recv().unwrap();
        assert_eq!((echo.node, echo.framing), (HOST, Some(Framing::Raw)));
        assert_eq!(ipx.look(network()).hosts.len(), 1);
        ipx.down(network());
        let (answers, _) = mpsc::channel(4);
        assert!(!ipx.ping(network(), answers), "no device");
    }

    #[test]
    fn a_port_in_use_is_an_error_and_the_server_before_stays() {
        let mut ipx = line();
        let _client = client(&mut ipx);
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let refused = ipx.serve(network(), Some(taken.local_addr().unwrap()));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(ipx.file(network()).is_some());
    }
}
