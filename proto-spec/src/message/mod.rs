//! The messages inside a sealed datagram: `type u8, length u16, payload`, one after another (SPEC §6).
//!
//! Owner: nobody; views of the caller's bytes. In: an opened body. Out: one `Message` at a time; the same, written.
//! Never: an allocation, a decision what a message means here and now.

mod bridging;
mod control;
mod data;
mod netconf;
mod selftest;

pub use bridging::{LoopProbe, LoopWord};
pub use control::{
    Claim, ClaimAnswer, ClaimResult, ErrorCode, Goodbye, Hint, IdentityAnswer, Pong, Probe,
    ProbeAnswer, Problem, Rendezvous, Subscribe, Subscribed, Vouch, WorldOffer,
};
pub use data::{
    ELIDED_MACS, FRAGMENT_OVERHEAD, FRAGMENTS_CONTROL, FRAGMENTS_FRAME, FRAGMENTS_JUMBO, FRAME_MAX,
    FRAME_OVERHEAD, Fragment, Frame, HOPS, ORIGIN, RELAY_OVERHEAD, Relay, Relayed, Replicate,
};
pub use netconf::{
    DirectoryDelta, DirectoryEntry, NetconfAnswer, NetconfPart, NetconfRequest, NetconfStatus,
    Parts,
};
pub use selftest::{
    Announced, Entry, FINGERPRINT, Heard, List, RUN_MAX, Selftest, SelftestResult, SelftestStatus,
    SelftestStep, Stopped,
};

use crate::cursor::{Put, Reader};
use crate::endpoint::Endpoints;
use crate::error::Malformed;
use crate::ids::Address;
use crate::signed::Signed;

/// Bytes of a message's header.
pub const MESSAGE_HEADER: usize = 3;
/// Most bytes of a message's payload.
pub const PAYLOAD_MAX: usize = u16::MAX as usize;

/// First byte of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// An Ethernet frame of a network.
    Frame = 0x01,
    /// A piece of a message.
    Fragment = 0x02,
    /// A datagram to be passed on.
    Relay = 0x03,
    /// A datagram passed on.
    Relayed = 0x04,
    /// Who has this address?
    Whois = 0x05,
    /// The answer to WHOIS.
    Identity = 0x06,
    /// Another node wants to meet you, here is where it may be.
    Rendezvous = 0x07,
    /// Where I may be.
    Paths = 0x08,
    /// Challenge on a path.
    Probe = 0x09,
    /// Response on a path.
    ProbeAnswer = 0x0a,
    /// A member asks its controller.
    NetconfRequest = 0x0b,
    /// The controller's answer.
    NetconfAnswer = 0x0c,
    /// My certificate.
    Credential = 0x0d,
    /// Somebody's certificates are dead.
    Revocation = 0x0e,
    /// The multicast groups I listen to.
    Subscribe = 0x0f,
    /// I have that list of groups.
    Subscribed = 0x10,
    /// Are you there?
    Ping = 0x11,
    /// I am, and this is where I see you.
    Pong = 0x12,
    /// Something you sent could not be served.
    Error = 0x13,
    /// This session ends.
    Goodbye = 0x14,
    /// My address is mine.
    Claim = 0x15,
    /// Whether it is.
    ClaimAnswer = 0x16,
    /// The world that I have.
    WorldOffer = 0x17,
    /// Give me that world.
    WorldGet = 0x18,
    /// A signed world.
    World = 0x19,
    /// A network has a newer configuration.
    Hint = 0x1a,
    /// First message of a new key agreement inside the session.
    RekeyInit = 0x1b,
    /// Second message of it.
    RekeyResponse = 0x1c,
    /// What came of a loop guard's probe.
    LoopProbe = 0x1d,
    /// What is going to be sent, in a test of what crosses.
    Selftest = 0x1e,
    /// What came of it.
    SelftestResult = 0x1f,
    /// A frame to be passed on to some members.
    Replicate = 0x20,
    /// Whose certificate is that?
    Vouch = 0x21,
}

impl MessageType {
    /// Every type, in order of its code.
    pub const ALL: [Self; 33] = [
        Self::Frame,
        Self::Fragment,
        Self::Relay,
        Self::Relayed,
        Self::Whois,
        Self::Identity,
        Self::Rendezvous,
        Self::Paths,
        Self::Probe,
        Self::ProbeAnswer,
        Self::NetconfRequest,
        Self::NetconfAnswer,
        Self::Credential,
        Self::Revocation,
        Self::Subscribe,
        Self::Subscribed,
        Self::Ping,
        Self::Pong,
        Self::Error,
        Self::Goodbye,
        Self::Claim,
        Self::ClaimAnswer,
        Self::WorldOffer,
        Self::WorldGet,
        Self::World,
        Self::Hint,
        Self::RekeyInit,
        Self::RekeyResponse,
        Self::LoopProbe,
        Self::Selftest,
        Self::SelftestResult,
        Self::Replicate,
        Self::Vouch,
    ];

    /// The type of this code.
    ///
    /// # Errors
    /// [`Malformed::Type`] for a code outside the table.
    pub fn from_code(code: u8) -> Result<Self, Malformed> {
        BY_CODE
            .get(usize::from(code))
            .copied()
            .flatten()
            .ok_or(Malformed::Type(code))
    }

    /// Whether it has to be the only message of its datagram.
    pub const fn stands_alone(self) -> bool {
        matches!(
            self,
            Self::Frame | Self::Fragment | Self::Relay | Self::Relayed | Self::Replicate
        )
    }
}

/// The types by their codes, which may have gaps.
const BY_CODE: [Option<MessageType>; 64] = {
    let mut table = [None; 64];
    let mut index = 0;
    while index < MessageType::ALL.len() {
        let kind = MessageType::ALL[index];
        table[kind as usize] = Some(kind);
        index += 1;
    }
    table
};

/// One message, borrowed from the body it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// See [`Frame`].
    Frame(Frame<'a>),
    /// See [`Fragment`].
    Fragment(Fragment<'a>),
    /// See [`Relay`].
    Relay(Relay<'a>),
    /// See [`Relayed`].
    Relayed(Relayed<'a>),
    /// Who has this address?
    Whois(Address),
    /// See [`IdentityAnswer`].
    Identity(IdentityAnswer),
    /// See [`Rendezvous`].
    Rendezvous(Rendezvous<'a>),
    /// The sender's candidate endpoints.
    Paths(Endpoints<'a>),
    /// See [`Probe`].
    Probe(Probe),
    /// See [`ProbeAnswer`].
    ProbeAnswer(ProbeAnswer),
    /// See [`NetconfRequest`].
    NetconfRequest(NetconfRequest),
    /// See [`NetconfAnswer`].
    NetconfAnswer(NetconfAnswer<'a>),
    /// A signed [`crate::Certificate`], not yet verified.
    Credential(Signed<'a>),
    /// A signed [`crate::Revocation`], not yet verified.
    Revocation(Signed<'a>),
    /// See [`Subscribe`].
    Subscribe(Subscribe<'a>),
    /// See [`Subscribed`].
    Subscribed(Subscribed),
    /// A token to be returned.
    Ping(u64),
    /// See [`Pong`].
    Pong(Pong),
    /// See [`Problem`].
    Error(Problem),
    /// See [`Goodbye`].
    Goodbye(Goodbye),
    /// See [`Claim`].
    Claim(Claim),
    /// See [`ClaimAnswer`].
    ClaimAnswer(ClaimAnswer),
    /// See [`WorldOffer`].
    WorldOffer(WorldOffer),
    /// The serial wanted; zero for the newest.
    WorldGet(u64),
    /// A signed [`crate::World`], not yet verified.
    World(Signed<'a>),
    /// See [`Hint`].
    Hint(Hint),
    /// Noise message 1 (SPEC §5.5).
    RekeyInit(&'a [u8]),
    /// Noise message 2 (SPEC §5.5).
    RekeyResponse(&'a [u8]),
    /// See [`LoopProbe`].
    LoopProbe(LoopProbe),
    /// See [`Selftest`].
    Selftest(Selftest<'a>),
    /// See [`SelftestResult`].
    SelftestResult(SelftestResult<'a>),
    /// See [`Replicate`].
    Replicate(Replicate<'a>),
    /// See [`Vouch`].
    Vouch(Vouch),
}

impl<'a> Message<'a> {
    /// Reads exactly one message with its header, as reassembled from fragments.
    ///
    /// # Errors
    /// The rule of SPEC §6 that the bytes break; [`Malformed::Trailing`] when more follows.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let (code, payload) = split(&mut reader)?;
        reader.end()?;
        Self::of(MessageType::from_code(code)?, payload)
    }

    /// Reads the payload of a message of this type.
    ///
    /// # Errors
    /// The rule of SPEC §6 that the payload breaks.
    pub fn of(kind: MessageType, payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let message = match kind {
            MessageType::Frame => Self::Frame(Frame::read(&mut r)?),
            MessageType::Fragment => Self::Fragment(Fragment::read(&mut r)?),
            MessageType::Relay => Self::Relay(Relay::read(&mut r)?),
            MessageType::Relayed => Self::Relayed(Relayed::read(&mut r)?),
            MessageType::Whois => Self::Whois(r.address()?),
            MessageType::Identity => Self::Identity(IdentityAnswer::read(&mut r)?),
            MessageType::Rendezvous => Self::Rendezvous(Rendezvous::read(&mut r)?),
            MessageType::Paths => Self::Paths(Endpoints::read(&mut r)?),
            MessageType::Probe => Self::Probe(Probe::read(&mut r)?),
            MessageType::ProbeAnswer => Self::ProbeAnswer(ProbeAnswer::read(&mut r)?),
            MessageType::NetconfRequest => Self::NetconfRequest(NetconfRequest::read(&mut r)?),
            MessageType::NetconfAnswer => Self::NetconfAnswer(NetconfAnswer::read(&mut r)?),
            MessageType::Credential => Self::Credential(Signed::parse(r.take_rest())?),
            MessageType::Revocation => Self::Revocation(Signed::parse(r.take_rest())?),
            MessageType::Subscribe => Self::Subscribe(Subscribe::read(&mut r)?),
            MessageType::Subscribed => Self::Subscribed(Subscribed::read(&mut r)?),
            MessageType::Ping => Self::Ping(r.u64()?),
            MessageType::Pong => Self::Pong(Pong::read(&mut r)?),
            MessageType::Error => Self::Error(Problem::read(&mut r)?),
            MessageType::Goodbye => Self::Goodbye(Goodbye::read(&mut r)?),
            MessageType::Claim => Self::Claim(Claim::read(&mut r)?),
            MessageType::ClaimAnswer => Self::ClaimAnswer(ClaimAnswer::read(&mut r)?),
            MessageType::WorldOffer => Self::WorldOffer(WorldOffer::read(&mut r)?),
            MessageType::WorldGet => Self::WorldGet(r.u64()?),
            MessageType::World => Self::World(Signed::parse(r.take_rest())?),
            MessageType::Hint => Self::Hint(Hint::read(&mut r)?),
            MessageType::RekeyInit => Self::RekeyInit(r.take_rest()),
            MessageType::RekeyResponse => Self::RekeyResponse(r.take_rest()),
            MessageType::LoopProbe => Self::LoopProbe(LoopProbe::read(&mut r)?),
            MessageType::Selftest => Self::Selftest(Selftest::read(&mut r)?),
            MessageType::SelftestResult => Self::SelftestResult(SelftestResult::read(&mut r)?),
            MessageType::Replicate => Self::Replicate(Replicate::read(&mut r)?),
            MessageType::Vouch => Self::Vouch(Vouch::read(&mut r)?),
        };
        r.end()?;
        Ok(message)
    }

    /// Writes header and payload; returns the bytes written.
    pub fn encode(&self, out: &mut impl Put) -> usize {
        let start = out.position();
        out.u8(self.kind() as u8);
        out.u16(0);
        self.encode_payload(out);
        let end = out.position();
        // A payload past 65,535 bytes has no encoding: its length would lie. Every producer's limit is far below;
        // the parser refuses such a message as having the wrong length.
        let length = u16::try_from(end - start - MESSAGE_HEADER).unwrap_or(u16::MAX);
        out.patch_u16(start + 1, length);
        end - start
    }

    /// Header and payload in a new `Vec`.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Writes the payload alone.
    pub fn encode_payload(&self, out: &mut impl Put) {
        match self {
            Self::Frame(m) => m.write(out),
            Self::Fragment(m) => m.write(out),
            Self::Relay(m) => m.write(out),
            Self::Relayed(m) => m.write(out),
            Self::Whois(address) => out.put(&address.to_bytes()),
            Self::Identity(m) => m.write(out),
            Self::Rendezvous(m) => m.write(out),
            Self::Paths(endpoints) => endpoints.write(out),
            Self::Probe(m) => m.write(out),
            Self::ProbeAnswer(m) => m.write(out),
            Self::NetconfRequest(m) => m.write(out),
            Self::NetconfAnswer(m) => m.write(out),
            Self::Credential(signed) | Self::Revocation(signed) | Self::World(signed) => {
                signed.write(out);
            }
            Self::Subscribe(m) => m.write(out),
            Self::Subscribed(m) => m.write(out),
            Self::Replicate(m) => m.write(out),
            Self::Vouch(m) => m.write(out),
            Self::Ping(token) => out.u64(*token),
            Self::Pong(m) => m.write(out),
            Self::Error(m) => m.write(out),
            Self::Goodbye(m) => m.write(out),
            Self::Claim(m) => m.write(out),
            Self::ClaimAnswer(m) => m.write(out),
            Self::WorldOffer(m) => m.write(out),
            Self::WorldGet(serial) => out.u64(*serial),
            Self::Hint(m) => m.write(out),
            Self::RekeyInit(bytes) | Self::RekeyResponse(bytes) => out.put(bytes),
            Self::LoopProbe(m) => m.write(out),
            Self::Selftest(m) => m.write(out),
            Self::SelftestResult(m) => m.write(out),
        }
    }

    /// Its type.
    pub const fn kind(&self) -> MessageType {
        match self {
            Self::Frame(_) => MessageType::Frame,
            Self::Fragment(_) => MessageType::Fragment,
            Self::Relay(_) => MessageType::Relay,
            Self::Relayed(_) => MessageType::Relayed,
            Self::Whois(_) => MessageType::Whois,
            Self::Identity(_) => MessageType::Identity,
            Self::Rendezvous(_) => MessageType::Rendezvous,
            Self::Paths(_) => MessageType::Paths,
            Self::Probe(_) => MessageType::Probe,
            Self::ProbeAnswer(_) => MessageType::ProbeAnswer,
            Self::NetconfRequest(_) => MessageType::NetconfRequest,
            Self::NetconfAnswer(_) => MessageType::NetconfAnswer,
            Self::Credential(_) => MessageType::Credential,
            Self::Revocation(_) => MessageType::Revocation,
            Self::Subscribe(_) => MessageType::Subscribe,
            Self::Subscribed(_) => MessageType::Subscribed,
            Self::Replicate(_) => MessageType::Replicate,
            Self::Vouch(_) => MessageType::Vouch,
            Self::Ping(_) => MessageType::Ping,
            Self::Pong(_) => MessageType::Pong,
            Self::Error(_) => MessageType::Error,
            Self::Goodbye(_) => MessageType::Goodbye,
            Self::Claim(_) => MessageType::Claim,
            Self::ClaimAnswer(_) => MessageType::ClaimAnswer,
            Self::WorldOffer(_) => MessageType::WorldOffer,
            Self::WorldGet(_) => MessageType::WorldGet,
            Self::World(_) => MessageType::World,
            Self::Hint(_) => MessageType::Hint,
            Self::RekeyInit(_) => MessageType::RekeyInit,
            Self::RekeyResponse(_) => MessageType::RekeyResponse,
            Self::LoopProbe(_) => MessageType::LoopProbe,
            Self::Selftest(_) => MessageType::Selftest,
            Self::SelftestResult(_) => MessageType::SelftestResult,
        }
    }
}

/// The messages of one opened datagram.
///
/// A message of unknown type, or with a broken payload, is an `Err` and the iteration goes on behind it; where the
/// framing itself is broken, or a message that stands alone has company, one `Err` is the last item.
#[derive(Clone, Debug)]
pub struct Body<'a> {
    reader: Reader<'a>,
    first: bool,
}

impl<'a> Body<'a> {
    /// The messages of `body`.
    pub const fn new(body: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(body),
            first: true,
        }
    }
}

impl<'a> Iterator for Body<'a> {
    type Item = Result<Message<'a>, Malformed>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let first = core::mem::replace(&mut self.first, false);
        let (code, payload) = match split(&mut self.reader) {
            Ok(split) => split,
            Err(bad) => {
                self.reader = Reader::new(&[]);
                return Some(Err(bad));
            }
        };
        let kind = match MessageType::from_code(code) {
            Ok(kind) => kind,
            Err(bad) => return Some(Err(bad)),
        };
        if kind.stands_alone() && !(first && self.reader.is_empty()) {
            self.reader = Reader::new(&[]);
            return Some(Err(Malformed::NotAlone));
        }
        Some(Message::of(kind, payload))
    }
}

fn split<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8]), Malformed> {
    let code = reader.u8()?;
    let length = reader.u16()?;
    Ok((code, reader.take(usize::from(length))?))
}
