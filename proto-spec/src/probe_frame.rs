//! The loop guard's probe: a frame that leaves one bridging member's device and must not come in at another's (SPEC §10.11).
//!
//! Owner: nobody; a plain value. In: a frame. Out: whose probe it is; the frame as it is sent.
//! Never: a judgement whether the probe is genuine: its sender alone knows its tokens.

use crate::cursor::{Put, Reader, Slot};
use crate::ids::{Address, Mac, NetworkId};

/// A probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeFrame {
    /// The network whose member sent it.
    pub network: NetworkId,
    /// Who sent it.
    pub member: Address,
    /// Random, of this probe only.
    pub token: u64,
}

impl ProbeFrame {
    /// Bytes of the frame: the least that Ethernet carries.
    pub const LEN: usize = 60;

    /// Reads a frame; `None` for any that is no probe.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let mut r = Reader::new(frame.get(2 * Mac::LEN..)?);
        if r.u16() != Ok(ETHERTYPE) || r.array() != Ok(*MARK) {
            return None;
        }
        Some(Self {
            network: r.network().ok()?,
            member: r.address().ok()?,
            token: r.u64().ok()?,
        })
    }

    /// The frame. Its source is a MAC that nothing else uses, so that no bridge mistakes where a station is.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let mut source = Mac::of(self.member, self.network).to_bytes();
        source[0] ^= SOURCE;
        let mut out = Slot::new(&mut bytes);
        out.put(&Mac::BROADCAST.to_bytes());
        out.put(&source);
        out.u16(ETHERTYPE);
        out.put(MARK);
        out.put(&self.network.to_bytes());
        out.put(&self.member.to_bytes());
        out.u64(self.token);
        bytes
    }
}

/// IEEE 802's second local experimental `EtherType`.
const ETHERTYPE: u16 = 0x88b6;
const MARK: &[u8; 8] = b"zt1-loop";
/// What the first byte of a probe's source is changed by, compared with its member's MAC.
const SOURCE: u8 = 0x08;
