//! The messages of a selftest: what is going to be sent, and what became of it (SPEC §6.8).
//!
//! Owner: nobody; views of the caller's bytes. In: a payload. Out: its fields and lists.
//! Never: an allocation on reading; a list longer than a run may be.

use core::marker::PhantomData;

use crate::cursor::{Put, Reader};
use crate::error::Malformed;
use crate::ids::NetworkId;

/// Bytes of a frame's fingerprint: the first of its `H` (SPEC §1.4).
pub const FINGERPRINT: usize = 8;
/// Most frames in one run.
pub const RUN_MAX: usize = 256;

/// SELFTEST: a member tests with another which frames cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selftest<'a> {
    /// On which network.
    pub network: NetworkId,
    /// The run; random.
    pub run: [u8; 6],
    /// What now.
    pub step: SelftestStep<'a>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelftestStep<'a> {
    /// These frames are going to be sent, in this order.
    Begin(List<'a, Announced<'a>>),
    /// All were sent but these.
    End(List<'a, Stopped<'a>>),
    /// Now the other way: the receiver begins a run of its own under the same name.
    Return,
}

/// `SELFTEST_RESULT`: the receiver's word about a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelftestResult<'a> {
    /// On which network.
    pub network: NetworkId,
    /// Which run.
    pub run: [u8; 6],
    /// What it says.
    pub status: SelftestStatus,
    /// With [`SelftestStatus::Done`]: what became of each frame, in the order announced; else empty.
    pub heard: List<'a, Heard<'a>>,
}

/// What a receiver says of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SelftestStatus {
    /// "Send."
    Ready = 0,
    /// "This is what came."
    Done = 1,
    /// "My operator has not agreed."
    NotAgreed = 2,
    /// "I have no valid certificate of yours, or am no member."
    NotMember = 3,
    /// "I am in another run."
    Busy = 4,
    /// "I know no such run."
    Unknown = 5,
}

/// A frame that is going to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced<'a> {
    /// What it will be known by.
    pub fingerprint: [u8; FINGERPRINT],
    /// Its length.
    pub length: u16,
    /// What people call its kind.
    pub name: &'a str,
}

/// A frame that its sender could not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped<'a> {
    /// Its number in the run.
    pub index: u16,
    /// The reason's name (SPEC §12.2), or `answered`.
    pub reason: &'a str,
}

/// What became of a frame at its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard<'a> {
    /// How often it came, changed or not; 255 for more.
    pub times: u8,
    /// At which place among the frames of the run it came first; `u16::MAX` when it never did.
    pub place: u16,
    /// Whether it came with other bytes than announced.
    pub changed: bool,
    /// Why the receiver's switch dropped it (SPEC §12.2); empty when it did not.
    pub reason: &'a str,
}

/// Something that a [`List`] has many of.
pub trait Entry<'a>: Sized {
    /// Reads one.
    ///
    /// # Errors
    /// The rule of SPEC §6.8 that the bytes break.
    fn read(r: &mut Reader<'a>) -> Result<Self, Malformed>;
    /// Writes it.
    fn write(&self, out: &mut impl Put);
}

/// A count and as many entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a, T> {
    count: u16,
    bytes: &'a [u8],
    of: PhantomData<T>,
}

impl<'a, T: Entry<'a>> List<'a, T> {
    /// No entry.
    pub const EMPTY: Self = Self {
        count: 0,
        bytes: &[],
        of: PhantomData,
    };

    /// The entries as they go on the wire, without their count; what is past [`RUN_MAX`] is left out.
    pub fn encode(entries: impl IntoIterator<Item = T>) -> (u16, Vec<u8>) {
        let mut bytes = Vec::new();
        let mut count = 0;
        for entry in entries.into_iter().take(RUN_MAX) {
            entry.write(&mut bytes);
            count += 1;
        }
        (count, bytes)
    }

    /// The list of what was encoded.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not that many entries.
    pub fn of((count, bytes): (u16, &'a [u8])) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let list = Self::entries(count, &mut r)?;
        r.end()?;
        Ok(list)
    }

    /// How many.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let mut reader = Reader::new(self.bytes);
        // Every entry was read once before.
        (0..self.count).map_while(move |_| T::read(&mut reader).ok())
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let count = r.u16()?;
        Self::entries(count, r)
    }

    fn entries(count: u16, r: &mut Reader<'a>) -> Result<Self, Malformed> {
        if usize::from(count) > RUN_MAX {
            return Err(Malformed::Count);
        }
        let start = r.rest();
        for _ in 0..count {
            T::read(r)?;
        }
        Ok(Self {
            count,
            bytes: &start[..start.len() - r.rest().len()],
            of: PhantomData,
        })
    }

    fn write(&self, out: &mut impl Put) {
        out.u16(self.count);
        out.put(self.bytes);
    }
}

impl<'a> Selftest<'a> {
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (network, run) = (r.network()?, r.array()?);
        let step = match r.u8()? {
            0 => SelftestStep::Begin(List::read(r)?),
            1 => SelftestStep::End(List::read(r)?),
            2 => SelftestStep::Return,
            _ => return Err(Malformed::Code),
        };
        Ok(Self { network, run, step })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.network.to_bytes());
        out.put(&self.run);
        match &self.step {
            SelftestStep::Begin(frames) => {
                out.u8(0);
                frames.write(out);
            }
            SelftestStep::End(stopped) => {
                out.u8(1);
                stopped.write(out);
            }
            SelftestStep::Return => out.u8(2),
        }
    }
}

impl<'a> SelftestResult<'a> {
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            network: r.network()?,
            run: r.array()?,
            status: match r.u8()? {
                0 => SelftestStatus::Ready,
                1 => SelftestStatus::Done,
                2 => SelftestStatus::NotAgreed,
                3 => SelftestStatus::NotMember,
                4 => SelftestStatus::Busy,
                5 => SelftestStatus::Unknown,
                _ => return Err(Malformed::Code),
            },
            heard: List::read(r)?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(&self.network.to_bytes());
        out.put(&self.run);
        out.u8(self.status as u8);
        self.heard.write(out);
    }
}

impl<'a> Entry<'a> for Announced<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            fingerprint: r.array()?,
            length: r.u16()?,
            name: r.text()?,
        })
    }

    fn write(&self, out: &mut impl Put) {
        out.put(&self.fingerprint);
        out.u16(self.length);
        out.text(self.name);
    }
}

impl<'a> Entry<'a> for Stopped<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            index: r.u16()?,
            reason: r.text()?,
        })
    }

    fn write(&self, out: &mut impl Put) {
        out.u16(self.index);
        out.text(self.reason);
    }
}

impl<'a> Entry<'a> for Heard<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            times: r.u8()?,
            place: r.u16()?,
            changed: r.flags(1)? != 0,
            reason: r.text()?,
        })
    }

    fn write(&self, out: &mut impl Put) {
        out.u8(self.times);
        out.u16(self.place);
        out.u8(u8::from(self.changed));
        out.text(self.reason);
    }
}
