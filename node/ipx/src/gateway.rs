//! An `ipxnet` server bridged to raw IPX: `DOSBox` clients over UDP and hosts on the overlay share one network.
//!
//! Owner: one per network. In: clients' datagrams, the network's frames, the time. Out: datagrams and frames.
//! Never: a frame from a MAC that the member has no right to; a packet back to who sent it.

use core::net::SocketAddr;
use core::time::Duration;

use zt_wire::Mac;

use crate::framing::Framing;
use crate::heard::Heard;
use crate::limits;
use crate::packet::{ALL, ECHO, Endpoint, Packet, empty};

/// The server.
#[derive(Debug)]
pub struct Gateway {
    mac: Mac,
    /// Clients beyond the first need MACs of their own, which a member without the bridge right can't use.
    may_bridge: bool,
    clients: Vec<Client>,
    heard: Heard,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    at: SocketAddr,
    node: [u8; 6],
    last: Duration,
}

/// What the gateway sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A datagram to a client.
    Datagram(SocketAddr, Vec<u8>),
    /// A frame to the network.
    Frame(Vec<u8>),
}

/// Why a client's datagram goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No IPX packet.
    Malformed,
    /// From somebody who has not registered.
    Stranger,
    /// With a source that the server did not give.
    Spoofed,
    /// No room: `limits::CLIENTS`, or one without the bridge right.
    Full,
}

impl Gateway {
    /// A server for a member with this MAC on the network.
    pub const fn new(mac: Mac, may_bridge: bool) -> Self {
        Self {
            mac,
            may_bridge,
            clients: Vec::new(),
            heard: Heard::new(),
        }
    }

    /// The member's MAC or rights have changed: clients with numbers that it may use no longer have to register again.
    pub fn become_member(&mut self, mac: Mac, may_bridge: bool) {
        if (self.mac, self.may_bridge) != (mac, may_bridge) {
            (self.mac, self.may_bridge) = (mac, may_bridge);
            self.clients.clear();
        }
    }

    /// Forgets every client: the server is off.
    pub fn close(&mut self) {
        self.clients.clear();
    }

    /// The member's MAC.
    pub const fn mac(&self) -> Mac {
        self.mac
    }

    /// The hosts heard on the network.
    pub const fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Clients registered: where they are and the number they have.
    pub fn clients(&self) -> impl Iterator<Item = (SocketAddr, [u8; 6])> {
        self.clients.iter().map(|client| (client.at, client.node))
    }

    /// A client's datagram.
    ///
    /// # Errors
    /// [`Refused`]: what was wrong with it; to be counted.
    pub fn datagram(
        &mut self,
        now: Duration,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<Vec<Output>, Refused> {
        let packet = Packet::read(bytes).ok_or(Refused::Malformed)?;
        if packet.to.socket == ECHO && packet.to.node == [0; 6] {
            return self.register(now, from);
        }
        let client = self
            .clients
            .iter_mut()
            .find(|client| client.at == from)
            .ok_or(Refused::Stranger)?;
        if packet.from.node != client.node {
            return Err(Refused::Spoofed);
        }
        client.last = now;
        let mut out = self.to_clients(&packet, Some(from));
        if packet.is_broadcast() {
            let to = Mac::BROADCAST;
            let own = Mac::from_bytes(packet.from.node);
            out.extend(
                self.heard
                    .framings()
                    .into_iter()
                    .map(|framing| Output::Frame(framing.frame(to, own, packet.bytes))),
            );
        } else if out.is_empty() {
            let host = self.heard.host(packet.to.node);
            let framing = host.map_or(Framing::EthernetII, |host| host.framing);
            let to = host.map_or(Mac::from_bytes(packet.to.node), |host| host.mac);
            out.push(Output::Frame(framing.frame(
                to,
                Mac::from_bytes(packet.from.node),
                packet.bytes,
            )));
        }
        Ok(out)
    }

    /// A frame of the network; anything but IPX is of no interest.
    pub fn frame(&mut self, now: Duration, frame: &[u8]) -> Vec<Output> {
        let Some((framing, packet)) = Framing::read(frame) else {
            return Vec::new();
        };
        let Some(mac) = frame.get(6..).and_then(|rest| rest.first_chunk::<6>()) else {
            return Vec::new();
        };
        self.heard
            .note(now, framing, Mac::from_bytes(*mac), &packet);
        self.to_clients(&packet, None)
    }

    /// A question to every host and client, which `DOSBox` and this server answer. There is none to a single one:
    /// `DOSBox` takes that for an answer.
    pub fn ping(&self) -> Vec<Output> {
        let end = |node| Endpoint {
            network: 0,
            node,
            socket: ECHO,
        };
        let bytes = empty(end(ALL), end(self.mac.to_bytes()));
        let frames = self
            .heard
            .framings()
            .into_iter()
            .map(|framing| Output::Frame(framing.frame(Mac::BROADCAST, self.mac, &bytes)));
        let clients = self
            .clients
            .iter()
            .map(|client| Output::Datagram(client.at, bytes.to_vec()));
        clients.chain(frames).collect()
    }

    /// Whether a packet answers our ping.
    pub fn is_echo(&self, packet: &Packet<'_>) -> bool {
        packet.to.socket == ECHO
            && packet.from.socket == ECHO
            && packet.to.node == self.mac.to_bytes()
    }

    /// The answer to a ping in this frame, when it asks us and no client of ours has our number.
    pub fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let (framing, packet) = Framing::read(frame)?;
        let own = self.mac.to_bytes();
        let asks = packet.to.socket == ECHO && (packet.is_broadcast() || packet.to.node == own);
        let answered_by_client = self.clients.iter().any(|client| client.node == own);
        // An answer goes to one host: answering those as well would never end.
        if !asks || answered_by_client || packet.from.node == own || !packet.is_broadcast() {
            return None;
        }
        let from = Endpoint {
            network: packet.to.network,
            node: own,
            socket: ECHO,
        };
        let mac = Mac::from_bytes(*frame.get(6..)?.first_chunk()?);
        Some(framing.frame(mac, self.mac, &empty(packet.from, from)))
    }

    /// Forgets clients and hosts that are long silent.
    pub fn expire(&mut self, now: Duration) {
        self.clients
            .retain(|client| now.saturating_sub(client.last) < limits::CLIENT_SILENCE);
        self.heard.expire(now);
    }

    fn register(&mut self, now: Duration, from: SocketAddr) -> Result<Vec<Output>, Refused> {
        self.expire(now);
        let known = self.clients.iter_mut().find(|client| client.at == from);
        let node = if let Some(client) = known {
            client.last = now;
            client.node
        } else {
            let node = self.free_node().ok_or(Refused::Full)?;
            self.clients.push(Client {
                at: from,
                node,
                last: now,
            });
            node
        };
        // `DOSBox` takes its number from the destination of this answer.
        let to = Endpoint {
            network: 0,
            node,
            socket: ECHO,
        };
        let server = Endpoint {
            network: 1,
            node: self.mac.to_bytes(),
            socket: ECHO,
        };
        Ok(vec![Output::Datagram(from, empty(to, server).to_vec())])
    }

    /// The member's own MAC for the first client; with the bridge right, numbers beside it for others.
    fn free_node(&self) -> Option<[u8; 6]> {
        let most = if self.may_bridge { limits::CLIENTS } else { 1 };
        (0..most)
            .map(|place| self.node_at(place))
            .find(|node| self.clients.iter().all(|client| client.node != *node))
    }

    fn node_at(&self, place: usize) -> [u8; 6] {
        let mut node = self.mac.to_bytes();
        if place > 0 {
            // A first byte that no member's MAC has, locally administered unicast.
            node[0] ^= 0xf0;
            node[1] ^= u8::try_from(place).unwrap_or(0);
        }
        node
    }

    fn to_clients(&self, packet: &Packet<'_>, except: Option<SocketAddr>) -> Vec<Output> {
        self.clients
            .iter()
            .filter(|client| {
                Some(client.at) != except
                    && (packet.is_broadcast() || client.node == packet.to.node)
            })
            .map(|client| Output::Datagram(client.at, packet.bytes.to_vec()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac::from_bytes([0x32, 1, 2, 3, 4, 5]);
    const HOST: Mac = Mac::from_bytes([2, 0, 0, 0, 0, 9]);

    fn client(number: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, number], 213))
    }

    fn end(node: [u8; 6], socket: u16) -> Endpoint {
        Endpoint {
            network: 0,
            node,
            socket,
        }
    }

    fn register(gateway: &mut Gateway, number: u8) -> Result<[u8; 6], Refused> {
        let asks = empty(end([0; 6], ECHO), end([0; 6], ECHO));
        let out = gateway.datagram(Duration::ZERO, client(number), &asks)?;
        let [Output::Datagram(to, bytes)] = out.as_slice() else {
            panic!("{out:?}")
        };
        assert_eq!(*to, client(number));
        Ok(Packet::read(bytes).unwrap().to.node)
    }

    #[test]
    fn the_first_client_gets_the_members_mac_and_keeps_it() {
        let mut gateway = Gateway::new(OWN, false);
        assert_eq!(register(&mut gateway, 1), Ok(OWN.to_bytes()));
        assert_eq!(register(&mut gateway, 1), Ok(OWN.to_bytes()));
        assert_eq!(
            register(&mut gateway, 2),
            Err(Refused::Full),
            "without the bridge right"
        );
    }

    #[test]
    fn with_the_bridge_right_each_client_has_a_number_of_its_own() {
        let mut gateway = Gateway::new(OWN, true);
        let mut nodes: Vec<_> = (1..=16)
            .map(|number| register(&mut gateway, number).unwrap())
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        assert_eq!(nodes.len(), 16);
        assert!(
            nodes.iter().all(|node| node[0] & 3 == 2),
            "locally administered unicast"
        );
        assert_eq!(register(&mut gateway, 17), Err(Refused::Full));
    }

    #[test]
    fn a_broadcast_reaches_other_clients_and_hosts_in_the_framings_they_speak() {
        let mut gateway = Gateway::new(OWN, true);
        let node = register(&mut gateway, 1).unwrap();
        register(&mut gateway, 2).unwrap();
        for (framing, last) in [(Framing::Raw, 9), (Framing::Llc, 8)] {
            let host = [2, 0, 0, 0, 0, last];
            let hello = empty(end(ALL, 5), end(host, 5));
            let out = gateway.frame(
                Duration::ZERO,
                &framing.frame(Mac::BROADCAST, Mac::from_bytes(host), &hello),
            );
            assert_eq!(out.len(), 2, "both clients");
        }
        let game = empty(end(ALL, 0x869c), end(node, 0x869c));
        let out = gateway.datagram(Duration::ZERO, client(1), &game).unwrap();
        let frame = |framing: Framing| Output::Frame(framing.frame(Mac::BROADCAST, OWN, &game));
        assert_eq!(
            out,
            [
                Output::Datagram(client(2), game.to_vec()),
                frame(Framing::Raw),
                frame(Framing::Llc)
            ]
        );
    }

    #[test]
    fn unicast_goes_to_the_host_in_its_framing_only() {
        let mut gateway = Gateway::new(OWN, false);
        let node = register(&mut gateway, 1).unwrap();
        let hello = empty(end(ALL, 5), end(HOST.to_bytes(), 5));
        gateway.frame(
            Duration::ZERO,
            &Framing::Snap.frame(Mac::BROADCAST, HOST, &hello),
        );
        let game = empty(end(HOST.to_bytes(), 7), end(node, 7));
        let out = gateway.datagram(Duration::ZERO, client(1), &game).unwrap();
        assert_eq!(out, [Output::Frame(Framing::Snap.frame(HOST, OWN, &game))]);
        let answer = empty(end(node, 7), end(HOST.to_bytes(), 7));
        let out = gateway.frame(Duration::ZERO, &Framing::Snap.frame(OWN, HOST, &answer));
        assert_eq!(out, [Output::Datagram(client(1), answer.to_vec())]);
    }

    #[test]
    fn strangers_and_false_sources_are_refused() {
        let mut gateway = Gateway::new(OWN, false);
        let game = empty(end(ALL, 7), end(OWN.to_bytes(), 7));
        assert_eq!(
            gateway.datagram(Duration::ZERO, client(1), &game),
            Err(Refused::Stranger)
        );
        register(&mut gateway, 1).unwrap();
        let false_source = empty(end(ALL, 7), end(HOST.to_bytes(), 7));
        assert_eq!(
            gateway.datagram(Duration::ZERO, client(1), &false_source),
            Err(Refused::Spoofed)
        );
        assert_eq!(
            gateway.datagram(Duration::ZERO, client(1), b"hello"),
            Err(Refused::Malformed)
        );
    }

    #[test]
    fn a_ping_to_all_is_answered_once_and_an_answer_never() {
        let gateway = Gateway::new(OWN, false);
        let ask = empty(end(ALL, ECHO), end(HOST.to_bytes(), ECHO));
        let frame = Framing::Raw.frame(Mac::BROADCAST, HOST, &ask);
        let answer = gateway.answer(&frame).unwrap();
        let (framing, packet) = Framing::read(&answer).unwrap();
        assert_eq!(
            (framing, packet.to.node, packet.from.node),
            (Framing::Raw, HOST.to_bytes(), OWN.to_bytes())
        );
        let other = Gateway::new(HOST, false);
        assert_eq!(other.answer(&answer), None);
    }

    #[test]
    fn a_ping_asks_clients_and_hosts_and_its_answers_are_known() {
        let mut gateway = Gateway::new(OWN, false);
        register(&mut gateway, 1).unwrap();
        let out = gateway.ping();
        let [Output::Datagram(to, bytes), Output::Frame(frame)] = out.as_slice() else {
            panic!("{out:?}")
        };
        assert_eq!(*to, client(1));
        let (_, packet) = Framing::read(frame).unwrap();
        assert_eq!(packet.bytes, bytes.as_slice());
        assert!(packet.is_broadcast() && !gateway.is_echo(&packet));
        let other = Gateway::new(HOST, false);
        let answer = other.answer(frame).unwrap();
        assert!(gateway.is_echo(&Framing::read(&answer).unwrap().1));
    }

    #[test]
    fn without_the_bridge_right_any_more_clients_register_again() {
        let mut gateway = Gateway::new(OWN, true);
        register(&mut gateway, 1).unwrap();
        register(&mut gateway, 2).unwrap();
        gateway.become_member(OWN, true);
        assert_eq!(gateway.clients().count(), 2);
        gateway.become_member(OWN, false);
        assert_eq!(register(&mut gateway, 2), Ok(OWN.to_bytes()));
        assert_eq!(register(&mut gateway, 1), Err(Refused::Full));
    }

    #[test]
    fn a_silent_client_makes_room() {
        let mut gateway = Gateway::new(OWN, false);
        register(&mut gateway, 1).unwrap();
        gateway.expire(limits::CLIENT_SILENCE);
        assert_eq!(register(&mut gateway, 2), Ok(OWN.to_bytes()));
    }
}
