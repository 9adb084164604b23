//! The small control messages: meeting, probing, pinging, claiming, worlds and hints (SPEC §6.5, §6.6).
//!
//! Owner: nobody; plain values and views. In: a payload. Out: its fields.
//! Never: an allocation.

use core::net::SocketAddr;

use crate::cursor::{Put, Reader};
use crate::endpoint::Endpoints;
use crate::error::Malformed;
use crate::identity::Identity;
use crate::ids::{Address, Mac, NetworkId};

/// The answer to WHOIS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityAnswer {
    /// Who was asked for.
    pub address: Address,
    /// The identity, to be verified; `None` when nobody claimed the address.
    pub identity: Option<Identity>,
}

impl IdentityAnswer {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let address = r.address()?;
        let identity = match r.flags(1)? {
            0 => None,
            _ => Some(Identity::from_bytes(r.array_ref()?)?),
        };
        Ok(Self { address, identity })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.address.to_bytes());
        write_identity(self.identity.as_ref(), out);
    }
}

/// A supernode's introduction: another node's endpoints as the supernode knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rendezvous<'a> {
    /// Who.
    pub peer: Address,
    /// Where it may be.
    pub endpoints: Endpoints<'a>,
}

impl<'a> Rendezvous<'a> {
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            peer: r.address()?,
            endpoints: Endpoints::read(r)?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.peer.to_bytes());
        self.endpoints.write(out);
    }
}

/// A challenge on a path, padded when it also measures the path's MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// To be returned.
    pub token: u64,
    /// It measures the path's MTU.
    pub mtu: bool,
    /// Bytes of padding behind it: zero when sent, not looked at when received.
    pub padding: usize,
}

impl Probe {
    /// Bytes of a probe's message without padding.
    pub const LEN: usize = super::MESSAGE_HEADER + 9;

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            token: r.u64()?,
            mtu: r.flags(1)? != 0,
            padding: r.take_rest().len(),
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.u64(self.token);
        out.u8(u8::from(self.mtu));
        let zero = [0; 64];
        let mut left = self.padding.min(super::PAYLOAD_MAX - 9);
        while left > 0 {
            let now = left.min(zero.len());
            out.put(&zero[..now]);
            left -= now;
        }
    }
}

/// The response to a [`Probe`], sent back on the path it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// The probe's.
    pub token: u64,
    /// Bytes of the UDP payload that the probe came in.
    pub size: u16,
    /// Where the prober appears to be; `None` over a relay.
    pub observed: Option<SocketAddr>,
}

impl ProbeAnswer {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            token: r.u64()?,
            size: r.u16()?,
            observed: r.socket_or_none()?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.u64(self.token);
        out.u16(self.size);
        out.socket_or_none(self.observed);
    }
}

/// The answer to PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The ping's.
    pub token: u64,
    /// Where the pinging node appears to be; `None` over a relay.
    pub observed: Option<SocketAddr>,
}

impl Pong {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            token: r.u64()?,
            observed: r.socket_or_none()?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.u64(self.token);
        out.socket_or_none(self.observed);
    }
}

/// The multicast groups of a network that the sender listens to; replaces its former list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Which network.
    pub network: NetworkId,
    /// It wants every group, whatever the list says.
    pub all: bool,
    /// Counts the sender's lists on this network; a lower one than the last is old.
    pub serial: u32,
    /// The groups' MACs.
    pub groups: &'a [[u8; Mac::LEN]],
}

impl<'a> Subscribe<'a> {
    /// Most groups in one list.
    pub const MAX: usize = 256;
    const ALL: u8 = 1;

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let network = r.network()?;
        let all = r.flags(Self::ALL)? != 0;
        let serial = r.u32()?;
        let count = usize::from(r.u16()?);
        if count > Self::MAX {
            return Err(Malformed::Count);
        }
        let (groups, _) = r.take(count * Mac::LEN)?.as_chunks();
        if groups
            .iter()
            .any(|group| !Mac::from_bytes(*group).is_group())
        {
            return Err(Malformed::Name);
        }
        Ok(Self {
            network,
            all,
            serial,
            groups,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.network.to_bytes());
        out.u8(if self.all { Self::ALL } else { 0 });
        out.u32(self.serial);
        let groups = &self.groups[..self.groups.len().min(Self::MAX)];
        // At most MAX.
        out.u16(u16::try_from(groups.len()).unwrap_or(u16::MAX));
        out.put(groups.as_flattened());
    }

    /// The groups as MACs.
    pub fn macs(&self) -> impl Iterator<Item = Mac> + use<'a> {
        self.groups.iter().copied().map(Mac::from_bytes)
    }
}

/// The list of groups with this serial has come (SPEC §6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// Which network.
    pub network: NetworkId,
    /// The list's serial.
    pub serial: u32,
}

impl Subscribed {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            network: r.network()?,
            serial: r.u32()?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.network.to_bytes());
        out.u32(self.serial);
    }
}

/// Asks a replicator for the certificate of a member whose frame it passed on; answered by CREDENTIAL (SPEC §6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vouch {
    /// Which network.
    pub network: NetworkId,
    /// Whose.
    pub member: Address,
}

impl Vouch {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            network: r.network()?,
            member: r.address()?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.network.to_bytes());
        out.put(&self.member.to_bytes());
    }
}

/// Why something sent could not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ErrorCode {
    /// "I have no valid certificate of yours"; the detail is the network.
    NeedCredential = 1,
    /// "I am no member"; the detail is the network.
    NotAMember = 2,
    /// "I know no such node"; the detail is its address, right-aligned.
    NoSuchPeer = 3,
    /// "You have used up what I give"; the detail is zero.
    Quota = 4,
    /// "I do not serve this"; the detail is zero.
    Unsupported = 5,
}

/// ERROR: something the receiver sent could not be served. Never answered, never acted upon beyond its own subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub code: ErrorCode,
    /// The type of message that it is about.
    pub about: u8,
    /// The network, or the address in the last five bytes.
    pub detail: [u8; 8],
}

impl Problem {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let code = match r.u16()? {
            1 => ErrorCode::NeedCredential,
            2 => ErrorCode::NotAMember,
            3 => ErrorCode::NoSuchPeer,
            4 => ErrorCode::Quota,
            5 => ErrorCode::Unsupported,
            _ => return Err(Malformed::Code),
        };
        Ok(Self {
            code,
            about: r.u8()?,
            detail: r.array()?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.u16(self.code as u16);
        out.u8(self.about);
        out.put(&self.detail);
    }

    /// About a network.
    pub const fn network(code: ErrorCode, about: super::MessageType, network: NetworkId) -> Self {
        Self {
            code,
            about: about as u8,
            detail: network.to_bytes(),
        }
    }

    /// About a node.
    pub const fn address(code: ErrorCode, about: super::MessageType, address: Address) -> Self {
        let [a, b, c, d, e] = address.to_bytes();
        Self {
            code,
            about: about as u8,
            detail: [0, 0, 0, a, b, c, d, e],
        }
    }

    /// The network that it is about, when the detail is one.
    pub fn detail_network(&self) -> Option<NetworkId> {
        NetworkId::from_bytes(self.detail).ok()
    }

    /// The node that it is about, when the detail is one.
    pub fn detail_address(&self) -> Option<Address> {
        let [0, 0, 0, a, b, c, d, e] = self.detail else {
            return None;
        };
        Address::from_bytes([a, b, c, d, e]).ok()
    }
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Goodbye {
    /// The program stops.
    Stopping = 0,
    /// Nothing was said for long.
    Idle = 1,
    /// The table of sessions is full.
    Full = 2,
}

impl Goodbye {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        match r.u8()? {
            0 => Ok(Self::Stopping),
            1 => Ok(Self::Idle),
            2 => Ok(Self::Full),
            _ => Err(Malformed::Code),
        }
    }

    pub(super) fn write(self, out: &mut impl Put) {
        out.u8(self as u8);
    }
}

/// A node claims its address at a supernode (SPEC §8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose claim a sibling supernode passes on; `None`: that of the session's peer.
    pub passed_on: Option<Identity>,
}

impl Claim {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let passed_on = match r.flags(1)? {
            0 => None,
            _ => Some(Identity::from_bytes(r.array_ref()?)?),
        };
        Ok(Self { passed_on })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        write_identity(self.passed_on.as_ref(), out);
    }
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ClaimResult {
    /// Durable, or this key had it already.
    Granted = 0,
    /// Another key holds the address.
    Taken = 1,
    /// The registry is full.
    Full = 2,
    /// Too many claims from this /24 or /48.
    Quota = 3,
}

/// The answer to CLAIM; sent after the claim is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimAnswer {
    /// The address claimed.
    pub address: Address,
    /// What became of it.
    pub result: ClaimResult,
}

impl ClaimAnswer {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let address = r.address()?;
        let result = match r.u8()? {
            0 => ClaimResult::Granted,
            1 => ClaimResult::Taken,
            2 => ClaimResult::Full,
            3 => ClaimResult::Quota,
            _ => return Err(Malformed::Code),
        };
        Ok(Self { address, result })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.address.to_bytes());
        out.u8(self.result as u8);
    }
}

/// The world that the sender has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldOffer {
    /// Its serial.
    pub serial: u64,
    /// BLAKE2b-256 of its body.
    pub hash: [u8; 32],
}

impl WorldOffer {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            serial: r.u64()?,
            hash: r.array()?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.u64(self.serial);
        out.put(&self.hash);
    }
}

/// A network has a newer configuration: ask, after a random delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Which network.
    pub network: NetworkId,
    /// The newest revision of its directory or shared configuration.
    pub revision: u64,
}

impl Hint {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            network: r.network()?,
            revision: r.u64()?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.network.to_bytes());
        out.u64(self.revision);
    }
}

fn write_identity(identity: Option<&Identity>, out: &mut impl Put) {
    match identity {
        None => out.u8(0),
        Some(identity) => {
            out.u8(1);
            out.put(&identity.to_bytes());
        }
    }
}
