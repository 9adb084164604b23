//! `LOOP_PROBE`: what bridging members say to each other about a probe frame that came back (SPEC §10.11).
//!
//! Owner: nobody; a plain value. In: a payload. Out: its fields.
//! Never: knowledge of who sent which probe.

use crate::cursor::{Put, Reader};
use crate::error::Malformed;
use crate::ids::NetworkId;

/// One sentence about a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopProbe {
    /// Where.
    pub network: NetworkId,
    /// What is said.
    pub word: LoopWord,
    /// The probe's token; zero where none is meant.
    pub token: u64,
}

/// What a [`LoopProbe`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LoopWord {
    /// A probe frame of yours with this token came in through my device.
    Heard = 0,
    /// It is one that I sent a moment ago.
    Confirmed = 1,
    /// A loop that I was part of began or ended: forget which stations are behind me.
    Forget = 2,
}

impl LoopProbe {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let network = r.network()?;
        let word = match r.u8()? {
            0 => LoopWord::Heard,
            1 => LoopWord::Confirmed,
            2 => LoopWord::Forget,
            _ => return Err(Malformed::Code),
        };
        Ok(Self {
            network,
            word,
            token: r.u64()?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.network.to_bytes());
        out.u8(self.word as u8);
        out.u64(self.token);
    }
}
