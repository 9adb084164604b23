//! What goes in and out of a node: inputs, commands, replies and effects. Types only.
//!
//! Owner: nobody; the driver and the simulator make `Input`s and carry out `Effect`s.
//! In: nothing. Out: the vocabulary of `Node`. Never: a decision.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

use zt_wire::{Address, Identity, KeyId, Mac, NetworkId};

use crate::counters::Counters;
use crate::time::Mono;
pub use crate::trouble::Trouble;
use crate::work::{Done, Work};

/// Names a command until its [`Effect::Reply`]; chosen by the caller, unique while open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// Names a piece of slow work until its [`Input::WorkDone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);

/// Names a question to the host program (registry, controller) until its [`Input::HostAnswer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Everything that happens to a node besides datagrams and frames.
#[derive(Debug)]
pub enum Input {
    /// A person or the host program asks for something.
    Command(CommandId, Command),
    /// Slow work has ended.
    WorkDone(WorkId, Done),
    /// The addresses of this machine's interfaces with our UDP ports; the overlay's own devices are not among them.
    LocalAddresses(Vec<SocketAddr>),
    /// Our own kernel refused datagrams to this endpoint because of their size; nothing of them has left.
    Refused {
        /// Where they were to go.
        to: SocketAddr,
        /// The smallest of them, bytes of UDP payload.
        size: u16,
        /// How many there were.
        datagrams: u32,
    },
    /// The device of a network is up, under this name.
    TapUp(NetworkId, String),
    /// The device of a network could not be made or configured; the text says why.
    TapFailed(NetworkId, String),
    /// The multicast MACs that the device of a network listens to, or all of them; whenever they change, and when
    /// [`Effect::Groups`] asks and they have changed.
    Groups(NetworkId, Listening),
    /// The host program's answer. A ticket no longer open is ignored.
    HostAnswer(Ticket, HostAnswer),
    /// State that was saved under [`Effect::Save`] in an earlier run; given once each, before anything else.
    Restored(Saved),
}

/// What a person or the host program can ask of a node.
#[derive(Clone, Debug)]
pub enum Command {
    /// Who am I, who are my supernodes.
    Info,
    /// The networks joined.
    Networks,
    /// The peers known.
    Peers,
    /// Every path to a peer.
    Paths(Address),
    /// Why the path to a peer is what it is.
    Why(Address),
    /// One echo inside the session; replied when it comes back or after `limit`.
    Ping {
        /// Whom.
        to: Address,
        /// How long to wait.
        limit: Duration,
    },
    /// Every counter.
    Counters,
    /// Which kinds of frames cross to a member; replied when it has told, or after `limit`.
    Selftest {
        /// On which network.
        network: NetworkId,
        /// With whom.
        with: Address,
        /// Whether it sends the same set back.
        both: bool,
        /// How long to wait.
        limit: Duration,
    },
    /// Joins a network, or joins again with another token; replied at once.
    Join {
        /// Which.
        network: NetworkId,
        /// The controller's key; `None` pins on first use.
        fingerprint: Option<KeyId>,
        /// An invite's secret.
        token: Option<[u8; 16]>,
    },
    /// Leaves a network and forgets its credentials.
    Leave(NetworkId),
    /// What the member lets a network's configuration do to this machine.
    Set(NetworkId, Consent),
    /// Says goodbye to every peer; sent once before the end.
    Shutdown,
    /// Controller: send this to a member, through a relay if need be. Replied when sent or given up.
    Push {
        /// Whom.
        to: Address,
        /// A HINT or REVOCATION message, encoded with its header (SPEC §6).
        message: Vec<u8>,
    },
    /// A world newer than ours, from a file or `world add`; verified before use.
    AdoptWorld(Vec<u8>),
}

/// What a member lets a network do to its machine (decision 21). All but `managed` are off by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Independent switches, as people set them.
pub struct Consent {
    /// Set managed addresses and private routes.
    pub managed: bool,
    /// Set public addresses and routes.
    pub global: bool,
    /// Set a default route.
    pub default_route: bool,
    /// Set DNS.
    pub dns: bool,
    /// Members may test with us which frames cross.
    pub selftest: bool,
}

impl Default for Consent {
    fn default() -> Self {
        Self {
            managed: true,
            global: false,
            default_route: false,
            dns: false,
            selftest: false,
        }
    }
}

/// The answer to a [`Command`].
#[derive(Clone, Debug)]
pub enum Reply {
    /// To `Info`.
    Info(Info),
    /// To `Networks`.
    Networks(Vec<NetworkInfo>),
    /// To `Peers`.
    Peers(Vec<PeerInfo>),
    /// To `Paths`: every path tried or in use; empty list for a peer without any.
    Paths(Vec<PathInfo>),
    /// To `Why`.
    Why(Box<Why>),
    /// To `Ping`: the round trip and the path it took.
    Pong(Duration, PathKind),
    /// To `Counters`.
    Counters(Box<Counters>),
    /// To `Selftest`.
    Selftest(Box<SelftestReport>),
    /// Done.
    Done,
    /// It could not be done.
    Failed(Failure),
}

/// Why a command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No such network is joined.
    NoSuchNetwork,
    /// No such peer is known or found.
    NoSuchPeer,
    /// No answer in time.
    TimedOut,
    /// The controller is pinned to another key.
    Pinned(KeyId),
    /// A table of `limits.rs` is full.
    Full,
    /// The bytes are not what they should be.
    Malformed,
    /// The signature or serial does not allow it.
    Refused,
    /// The member's operator has not agreed to selftests.
    NotAgreed,
    /// No member of that network, or its certificate did not come.
    NotMember,
    /// Another selftest is on.
    Busy,
    /// The other end answers, yet does not know what was asked.
    Unsupported,
}

/// What became of a selftest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelftestReport {
    /// On which network.
    pub network: NetworkId,
    /// With whom.
    pub member: Address,
    /// Whether every direction asked for came to its end.
    pub whole: bool,
    /// One entry for each direction.
    pub ways: Vec<SelftestWay>,
}

/// One direction of a selftest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelftestWay {
    /// Who sent.
    pub from: Address,
    /// Who listened.
    pub to: Address,
    /// Each frame, in the order in which they were sent.
    pub frames: Vec<SelftestFrame>,
    /// The path changed while frames were underway.
    pub moved: bool,
}

/// One frame of a selftest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelftestFrame {
    /// What people call its kind.
    pub kind: String,
    /// Its length.
    pub length: u16,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it did not cross, for people; empty when it did.
    pub why: String,
}

/// What became of a frame of a selftest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It came whole, once, in its place.
    Crossed,
    /// Policy, a rule or a missing right stopped it, as it should.
    Stopped,
    /// It did not come.
    Lost,
    /// It came with other bytes.
    Changed,
    /// It came more than once.
    Repeated,
    /// It came behind a frame that was sent later.
    Reordered,
}

/// `zt-cli info`.
#[derive(Clone, Debug)]
pub struct Info {
    /// Our address.
    pub address: Address,
    /// Our key.
    pub fingerprint: KeyId,
    /// Whether at least one supernode acknowledged our claim and answers.
    pub online: bool,
    /// Our claim was refused because another key holds our address.
    pub collision: bool,
    /// The world's name.
    pub world_name: String,
    /// The world's serial.
    pub world_serial: u64,
    /// The supernodes of the world.
    pub supernodes: Vec<SupernodeInfo>,
    /// Our endpoints as others see them.
    pub observed: Vec<SocketAddr>,
}

/// One supernode in [`Info`].
#[derive(Clone, Debug)]
pub struct SupernodeInfo {
    /// Its address.
    pub address: Address,
    /// Where it answers, or its first endpoint.
    pub endpoint: Option<SocketAddr>,
    /// Round trip; `None` while it does not answer.
    pub rtt: Option<Duration>,
}

/// `zt-cli networks`.
#[derive(Clone, Debug)]
pub struct NetworkInfo {
    /// Its id.
    pub id: NetworkId,
    /// Its name, once known.
    pub name: String,
    /// Where joining stands.
    pub status: Status,
    /// The device, once up.
    pub device: Option<String>,
    /// What the device said when it failed.
    pub device_error: Option<String>,
    /// Our MAC there.
    pub mac: Mac,
    /// Its MTU, bytes of payload after the Ethernet header.
    pub mtu: u16,
    /// Our managed addresses with prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Managed routes: target, prefix length, gateway.
    pub routes: Vec<Route>,
    /// Whether we may bridge.
    pub bridge: bool,
    /// The loop that our device is part of.
    pub looped: Option<LoopInfo>,
    /// Members with whom we exchanged valid certificates.
    pub members_heard: u32,
    /// The controller's key as pinned; `None` before it was met.
    pub pinned: Option<KeyId>,
    /// The pin was made on first use rather than given.
    pub pinned_on_first_use: bool,
    /// What the member allows.
    pub consent: Consent,
}

/// A loop that the loop guard has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopInfo {
    /// The other member whose LAN is connected with ours; `None`: the LAN behind us leads back to itself.
    pub with: Option<Address>,
    /// Since when.
    pub since: Mono,
    /// Whether it is our device that is cut off.
    pub cut_off: bool,
}

/// A managed route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The target's address.
    pub target: IpAddr,
    /// The target's prefix length.
    pub prefix: u8,
    /// The gateway on the network; `None` for a route onto the device itself.
    pub via: Option<IpAddr>,
}

/// Where joining a network stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Asked; no decision yet (or waiting for authorization).
    Requesting,
    /// A member.
    Ok,
    /// The controller said no, or the pin does not match.
    Denied,
    /// The controller has no such network.
    NotFound,
    /// The controller does not answer.
    Unreachable,
    /// Member, but the device could not be made.
    DeviceError,
}

/// `zt-cli peers`.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Its address.
    pub address: Address,
    /// Its key, once known.
    pub fingerprint: Option<KeyId>,
    /// What it is in this world.
    pub role: PeerRole,
    /// The path in use.
    pub path: Option<PathInfo>,
    /// `aes-256-gcm` or `xsalsa20-poly1305`; `None` without a session.
    pub suite: Option<&'static str>,
    /// Since when the session's keys are in use.
    pub session_since: Option<Mono>,
    /// Bytes of sealed datagrams received.
    pub rx_bytes: u64,
    /// Bytes of sealed datagrams sent.
    pub tx_bytes: u64,
}

/// What a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRole {
    /// An ordinary node.
    Leaf,
    /// In the world file.
    Supernode,
    /// The controller of a network of ours.
    Controller,
}

/// The kinds of path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// UDP straight to the peer.
    Direct,
    /// Through a supernode.
    Relay,
}

/// One path.
#[derive(Clone, Copy, Debug)]
pub struct PathInfo {
    /// Its kind.
    pub kind: PathKind,
    /// The peer's endpoint, or the relay's.
    pub endpoint: Option<SocketAddr>,
    /// The relay's address.
    pub via: Option<Address>,
    /// Last measured round trip.
    pub rtt: Option<Duration>,
    /// Largest UDP payload known to pass, bytes.
    pub mtu: u16,
    /// Whether frames take it now.
    pub in_use: bool,
    /// Whether challenge and response have proven it.
    pub validated: bool,
}

/// `zt-cli why`.
#[derive(Clone, Debug)]
pub struct Why {
    /// Whom it is about.
    pub address: Address,
    /// The path in use.
    pub path: Option<PathInfo>,
    /// One sentence for a person.
    pub because: String,
    /// What was tried, newest last.
    pub tried: Vec<Tried>,
    /// What our NAT seems to be: `none`, `endpoint-independent`, `endpoint-dependent`, `unknown`.
    pub nat_mine: &'static str,
    /// What theirs seems to be.
    pub nat_theirs: &'static str,
}

/// One attempt in [`Why`].
#[derive(Clone, Debug)]
pub struct Tried {
    /// Where.
    pub endpoint: SocketAddr,
    /// `local`, `reflexive`, `rendezvous`, `heard`.
    pub kind: &'static str,
    /// `probing`, `answered`, `silent`.
    pub result: &'static str,
    /// When.
    pub at: Mono,
}

/// Everything a node wants done besides datagrams and frames.
#[derive(Debug)]
pub enum Effect {
    /// Run this on the pool (in the simulator: at once) and give back [`Input::WorkDone`].
    Work(WorkId, Work),
    /// The answer to a command.
    Reply(CommandId, Reply),
    /// The device of a network is to be this; answered by `TapUp` or `TapFailed`.
    Tap(NetworkId, TapPlan),
    /// The network is left or lost: remove its device.
    TapDown(NetworkId),
    /// A program may have joined or left a group on the device of a network: look, and say so with [`Input::Groups`].
    Groups(NetworkId),
    /// Keep this across restarts. Saving again under the same key replaces.
    Save(Saved),
    /// Forget what was saved for a network.
    Unsave(NetworkId),
    /// A question to the host program; answered by [`Input::HostAnswer`].
    Host(Ticket, HostRequest),
    /// Whether datagrams to this endpoint may leave in trains; they may until told otherwise.
    Trains(SocketAddr, bool),
    /// Something a person could notice; the driver logs it.
    Event(Event),
}

/// How the device of a network is to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapPlan {
    /// Its MAC.
    pub mac: Mac,
    /// Its MTU.
    pub mtu: u16,
    /// Addresses with prefix lengths, already filtered by the member's consent.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Routes, already filtered by the member's consent.
    pub routes: Vec<Route>,
    /// Whether frames from other MACs than this may go out through it.
    pub bridge: bool,
}

/// What a device listens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listening {
    /// Everything: it is promiscuous, takes all multicast, or nobody can say.
    Everything,
    /// These groups and what is for everybody.
    Only(Vec<Mac>),
}

/// State that outlives a run. The driver keeps one file each, with version and checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The newest world, as signed (SPEC §3).
    World(Vec<u8>),
    /// A joined network: pin, consent, token, last valid configuration; an opaque encoding of the engine's own.
    Network(NetworkId, Vec<u8>),
    /// Identities and endpoints of peers met, so that a restart needs no WHOIS; opaque.
    Peers(Vec<u8>),
}

/// What only the host program can answer.
#[derive(Clone, Debug)]
pub enum HostRequest {
    /// Supernode: `identity` claims its address; acknowledge only what is durable.
    Claim {
        /// Who (proof of work already verified).
        identity: Identity,
        /// Its key.
        key: KeyId,
        /// Its address.
        address: Address,
        /// Where it claims from, for quotas; `None` when a sibling supernode passes it on.
        from: Option<IpAddr>,
    },
    /// Supernode: who claimed this address?
    Whois(Address),
    /// Controller: a `NETCONF_REQUEST`, encoded without its message header (SPEC §6).
    Netconf {
        /// The member's identity.
        identity: Identity,
        /// Its key.
        key: KeyId,
        /// Its address.
        address: Address,
        /// Where it is seen, for people.
        endpoint: Option<SocketAddr>,
        /// The request's payload.
        request: Vec<u8>,
    },
}

/// The host program's answer to a [`HostRequest`].
#[derive(Clone, Debug)]
pub enum HostAnswer {
    /// To `Claim`.
    Claim(ClaimResult),
    /// To `Whois`.
    Identity(Option<Identity>),
    /// To `Netconf`: the payload of a `NETCONF_ANSWER` (SPEC §6).
    Netconf(Vec<u8>),
}

/// What became of a claim (decision 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimResult {
    /// Durable, or this key had it already.
    Granted,
    /// Another key holds the address.
    Taken,
    /// The registry is full.
    Full,
    /// Too many claims from this /24 or /48.
    Quota,
}

/// Something a person could notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A supernode acknowledged us.
    Online(Address),
    /// No supernode answers any more.
    Offline,
    /// Our address belongs to another key.
    Collision(Address),
    /// A network's status changed.
    NetworkStatus(NetworkId, Status),
    /// The controller's key was pinned on first use.
    Pinned(NetworkId, KeyId),
    /// Frames to a peer take another path now.
    PathChanged(Address, PathKind, Option<SocketAddr>),
    /// A newer world was adopted.
    WorldAdopted(u64),
    /// A loop was found.
    LoopFound(NetworkId, LoopInfo),
    /// A loop is there no more: with this member, or of the LAN behind us alone.
    LoopGone(NetworkId, Option<Address>),
    /// A member's frames, perhaps our own device's, are dropped, and a person could do something about it.
    Trouble(NetworkId, Address, Trouble),
    /// Our datagrams to this endpoint would run through this network itself: they are dropped.
    Tunnel(NetworkId, SocketAddr),
    /// Two supernodes told different keys for one address.
    Disagreement(Address),
}

/// Named numbers of `zt-cli counters`, one map per group of interface.md.
pub type CounterGroups = BTreeMap<&'static str, BTreeMap<&'static str, u64>>;
