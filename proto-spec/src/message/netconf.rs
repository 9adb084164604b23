//! What a member and its controller say to each other (SPEC §6.6).
//!
//! Owner: nobody; views, and the directory as owned entries. In: a payload. Out: its fields and parts.
//! Never: a verified signature; that is `zt-crypto`'s.

use core::net::IpAddr;

use crate::cursor::{Put, Reader};
use crate::error::Malformed;
use crate::ids::{Address, NetworkId};
use crate::signed::Signed;

/// A member asks for what is newer than what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetconfRequest {
    /// Chosen by the member, returned in the answer.
    pub request: u32,
    /// Which network.
    pub network: NetworkId,
    /// An invite's secret; zero for none.
    pub token: [u8; 16],
    /// Hash of the shared configuration that the member has; zero for none.
    pub shared_hash: [u8; 32],
    /// Serial of the certificate that the member has; zero for none.
    pub serial: u64,
    /// Revision of the directory that the member has; zero for none.
    pub directory: u64,
}

impl NetconfRequest {
    /// Bytes of the payload.
    pub const LEN: usize = 77;

    /// Reads a payload, exactly.
    ///
    /// # Errors
    /// The rule of SPEC §6.6 that it breaks.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let request = Self::read(&mut r)?;
        r.end()?;
        Ok(request)
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let request = Self {
            request: r.u32()?,
            network: r.network()?,
            token: r.array()?,
            shared_hash: r.array()?,
            serial: r.u64()?,
            directory: r.u64()?,
        };
        r.flags(0)?;
        Ok(request)
    }

    /// Writes the payload.
    pub fn write(&self, out: &mut impl Put) {
        out.u32(self.request);
        out.put(&self.network.to_bytes());
        out.put(&self.token);
        out.put(&self.shared_hash);
        out.u64(self.serial);
        out.u64(self.directory);
        out.u8(0);
    }
}

/// What the controller decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NetconfStatus {
    /// A member.
    Ok = 0,
    /// Waits for authorization.
    Pending = 1,
    /// No member, and will not become one by asking.
    Denied = 2,
    /// There is no such network here.
    NotFound = 3,
}

/// The controller's answer: only what is newer than what the member said it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetconfAnswer<'a> {
    /// The request's; zero for what was not asked for.
    pub request: u32,
    /// Which network.
    pub network: NetworkId,
    /// What was decided.
    pub status: NetconfStatus,
    /// When to ask again, seconds; zero: when the member sees fit.
    pub retry_after: u16,
    /// The parts.
    pub parts: Parts<'a>,
}

impl<'a> NetconfAnswer<'a> {
    /// Reads a payload, exactly.
    ///
    /// # Errors
    /// The rule of SPEC §6.6 that it breaks.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        Self::read(&mut Reader::new(payload))
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let request = r.u32()?;
        let network = r.network()?;
        let status = match r.u8()? {
            0 => NetconfStatus::Ok,
            1 => NetconfStatus::Pending,
            2 => NetconfStatus::Denied,
            3 => NetconfStatus::NotFound,
            _ => return Err(Malformed::Code),
        };
        let retry_after = r.u16()?;
        let parts = Parts::parse(r.take_rest())?;
        Ok(Self {
            request,
            network,
            status,
            retry_after,
            parts,
        })
    }

    /// Writes the payload.
    pub fn write(&self, out: &mut impl Put) {
        out.u32(self.request);
        out.put(&self.network.to_bytes());
        out.u8(self.status as u8);
        out.u16(self.retry_after);
        out.put(self.parts.bytes);
    }
}

/// The parts of an answer: `tag u8, length u16, value` each. Built with [`NetconfPart::write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Parts<'a> {
    bytes: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Checks each part's length and, for a known tag, its value's framing.
    ///
    /// # Errors
    /// [`Malformed::Short`] where a part ends early; the rule that a known part breaks.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        while !r.is_empty() {
            let (tag, value) = part(&mut r)?;
            NetconfPart::of(tag, value)?;
        }
        Ok(Self { bytes })
    }

    /// The known parts, in order; parts with an unknown tag are left out.
    pub fn iter(&self) -> impl Iterator<Item = NetconfPart<'a>> + use<'a> {
        let mut r = Reader::new(self.bytes);
        core::iter::from_fn(move || {
            loop {
                if r.is_empty() {
                    return None;
                }
                // Checked by `parse`, so an error here is only the end.
                let (tag, value) = part(&mut r).ok()?;
                if let Some(known) = NetconfPart::of(tag, value).ok()? {
                    return Some(known);
                }
            }
        })
    }
}

fn part<'a>(r: &mut Reader<'a>) -> Result<(u8, &'a [u8]), Malformed> {
    let tag = r.u8()?;
    let length = r.u16()?;
    Ok((tag, r.take(usize::from(length))?))
}

/// One part of a [`NetconfAnswer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetconfPart<'a> {
    /// A signed [`crate::SharedConfig`].
    Shared(Signed<'a>),
    /// The member's signed [`crate::Certificate`].
    Certificate(Signed<'a>),
    /// A [`DirectoryDelta`], to be decoded with [`DirectoryDelta::decode`].
    Directory(&'a [u8]),
    /// A signed [`crate::Revocation`].
    Revocation(Signed<'a>),
}

impl<'a> NetconfPart<'a> {
    fn of(tag: u8, value: &'a [u8]) -> Result<Option<Self>, Malformed> {
        Ok(match tag {
            1 => Some(Self::Shared(Signed::parse(value)?)),
            2 => Some(Self::Certificate(Signed::parse(value)?)),
            3 => Some(Self::Directory(value)),
            4 => Some(Self::Revocation(Signed::parse(value)?)),
            _ => None,
        })
    }

    /// Writes tag, length and value.
    pub fn write(&self, out: &mut impl Put) {
        let tag = match self {
            Self::Shared(_) => 1,
            Self::Certificate(_) => 2,
            Self::Directory(_) => 3,
            Self::Revocation(_) => 4,
        };
        out.u8(tag);
        let at = out.position();
        out.u16(0);
        match self {
            Self::Shared(signed) | Self::Certificate(signed) | Self::Revocation(signed) => {
                signed.write(out);
            }
            Self::Directory(bytes) => out.put(bytes),
        }
        // The producers' limits (§11) keep each part far below 64 KiB.
        let length = u16::try_from(out.position() - at - 2).unwrap_or(u16::MAX);
        out.patch_u16(at, length);
    }
}

/// What changed in the list of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryDelta {
    /// The revision that it starts from; zero replaces the whole list.
    pub from: u64,
    /// The revision that it leads to.
    pub to: u64,
    /// More follows: ask again at once with `to`.
    pub more: bool,
    /// The members added, changed or removed.
    pub entries: Vec<DirectoryEntry>,
}

/// A member in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Who.
    pub address: Address,
    /// No member any more.
    pub removed: bool,
    /// May bridge, so it gets frames to unknown MACs.
    pub bridge: bool,
    /// Passes group frames on for others.
    pub replicator: bool,
    /// Its managed addresses.
    pub ips: Vec<IpAddr>,
}

impl DirectoryEntry {
    const REMOVED: u8 = 1;
    const BRIDGE: u8 = 2;
    const REPLICATOR: u8 = 4;
    const FLAGS: u8 = Self::REMOVED | Self::BRIDGE | Self::REPLICATOR;

    /// Bytes it takes in a delta.
    pub fn encoded_len(&self) -> usize {
        let ips: usize = self
            .ips
            .iter()
            .map(|ip| if ip.is_ipv4() { 5 } else { 17 })
            .sum();
        Address::LEN + 2 + ips
    }
}

impl DirectoryDelta {
    /// Most entries in one delta.
    pub const MAX: usize = 1024;

    /// Reads a part's value.
    ///
    /// # Errors
    /// The rule of SPEC §9.4 that it breaks.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let (from, to) = (r.u64()?, r.u64()?);
        let more = r.flags(1)? != 0;
        let mut entries = Vec::new();
        while !r.is_empty() {
            if entries.len() == Self::MAX {
                return Err(Malformed::Count);
            }
            let address = r.address()?;
            let flags = r.flags(DirectoryEntry::FLAGS)?;
            let count = r.u8()?;
            let ips = (0..count).map(|_| r.ip()).collect::<Result<_, _>>()?;
            entries.push(DirectoryEntry {
                address,
                removed: flags & DirectoryEntry::REMOVED != 0,
                bridge: flags & DirectoryEntry::BRIDGE != 0,
                replicator: flags & DirectoryEntry::REPLICATOR != 0,
                ips,
            });
        }
        Ok(Self {
            from,
            to,
            more,
            entries,
        })
    }

    /// The part's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.u64(self.from);
        out.u64(self.to);
        out.u8(u8::from(self.more));
        for entry in &self.entries {
            out.put(&entry.address.to_bytes());
            let flags = [
                (entry.removed, DirectoryEntry::REMOVED),
                (entry.bridge, DirectoryEntry::BRIDGE),
                (entry.replicator, DirectoryEntry::REPLICATOR),
            ];
            let set = flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit);
            out.u8(set.sum());
            let ips = &entry.ips[..entry.ips.len().min(255)];
            // At most 255.
            out.u8(u8::try_from(ips.len()).unwrap_or(u8::MAX));
            for ip in ips {
                out.ip(*ip);
            }
        }
        out
    }
}
