//! Worlds that were checked: the only form in which the rest of a node believes them.
//!
//! Owner: whoever keeps it. In: signed bytes, and the world that they are to follow. Out: the world and its bytes, to be passed on.
//! Never: a world made here, a judgement by the time of day.

use core::fmt;

use zt_wire::{Identity, Malformed, Signed, World, WorldSupernode};

use crate::hash::hash256;
use crate::identity::Verified;
use crate::pow::{self, BadParams, Params, Unproven};
use crate::sign::{BadSignature, verify};

/// A world that may be lived in: rightly signed, its proof of work admitted, its supernodes real.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedWorld {
    world: World,
    params: Params,
    supernodes: Vec<Verified>,
    bytes: Vec<u8>,
    hash: [u8; 32],
}

impl VerifiedWorld {
    /// The world that a person gave, as a file or in an invite: signed by the key it names itself.
    /// `weak_allowed` is `--weak-proof-of-work`.
    ///
    /// # Errors
    /// [`BadWorld`].
    pub fn first(signed: &[u8], weak_allowed: bool) -> Result<Self, BadWorld> {
        let parsed = Signed::parse(signed)?;
        let world: World = parsed.decode()?;
        verify::<World>(&world.signing_key, &parsed)?;
        let work = world.proof_of_work;
        let params = Params::new(work.memory_kib, work.passes, work.bits)?;
        params.admit(work.weak, weak_allowed)?;
        let known = |_: &Identity| None;
        let supernodes = real(&world.supernodes, params, known)?;
        Ok(Self {
            world,
            params,
            supernodes,
            bytes: signed.to_vec(),
            hash: hash256(parsed.body),
        })
    }

    /// A newer world that somebody offers: the same id, a higher serial, signed by the key that this one names as next,
    /// and the same proof of work, without which every address would become another.
    ///
    /// # Errors
    /// [`BadWorld`].
    pub fn successor(&self, signed: &[u8]) -> Result<Self, BadWorld> {
        let parsed = Signed::parse(signed)?;
        let world: World = parsed.decode()?;
        if world.id != self.world.id {
            return Err(BadWorld::Other);
        }
        if world.serial <= self.world.serial {
            return Err(BadWorld::NotNewer {
                have: self.world.serial,
                found: world.serial,
            });
        }
        if world.signing_key != self.world.next_key {
            return Err(BadWorld::Signer);
        }
        verify::<World>(&world.signing_key, &parsed)?;
        if world.proof_of_work != self.world.proof_of_work {
            return Err(BadWorld::WorkChanged);
        }
        let known = |identity: &Identity| {
            self.supernodes
                .iter()
                .find(|had| had.identity() == identity)
                .copied()
        };
        let supernodes = real(&world.supernodes, self.params, known)?;
        Ok(Self {
            world,
            params: self.params,
            supernodes,
            bytes: signed.to_vec(),
            hash: hash256(parsed.body),
        })
    }

    /// What the world says.
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// What an identity costs here.
    pub const fn params(&self) -> Params {
        self.params
    }

    /// The identities of [`World::supernodes`], in the same order.
    pub fn supernodes(&self) -> &[Verified] {
        &self.supernodes
    }

    /// Body and signature, to be kept and passed on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The hash of the body, which names this version.
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

fn real(
    supernodes: &[WorldSupernode],
    params: Params,
    known: impl Fn(&Identity) -> Option<Verified>,
) -> Result<Vec<Verified>, BadWorld> {
    let one = |supernode: &WorldSupernode| {
        let identity = &supernode.identity;
        known(identity).map_or_else(
            || pow::verify(identity, &params).map_err(BadWorld::Supernode),
            Ok,
        )
    };
    supernodes.iter().map(one).collect()
}

/// Why a world is not lived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadWorld {
    /// The bytes break the layout.
    Malformed(Malformed),
    /// The signature is wrong.
    Signature,
    /// The proof of work asked for is not admitted.
    Work(BadParams),
    /// A supernode's identity is not real.
    Supernode(Unproven),
    /// Another world's id.
    Other,
    /// Not newer than the one at hand.
    NotNewer {
        /// The serial at hand.
        have: u64,
        /// The serial offered.
        found: u64,
    },
    /// Signed by a key that the world at hand does not name as next.
    Signer,
    /// Another proof of work than before.
    WorkChanged,
}

impl fmt::Display for BadWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(bad) => write!(f, "the world cannot be read: {bad}"),
            Self::Signature => f.write_str("the world's signature is wrong"),
            Self::Work(bad) => bad.fmt(f),
            Self::Supernode(bad) => write!(f, "a supernode of the world: {bad}"),
            Self::Other => f.write_str("this is another world"),
            Self::NotNewer { have, found } => {
                write!(f, "expected a world after serial {have}, found {found}")
            }
            Self::Signer => {
                f.write_str("the world is signed by a key that its predecessor did not name")
            }
            Self::WorkChanged => {
                f.write_str("the world's proof of work differs from its predecessor's")
            }
        }
    }
}

impl core::error::Error for BadWorld {}

impl From<Malformed> for BadWorld {
    fn from(bad: Malformed) -> Self {
        Self::Malformed(bad)
    }
}

impl From<BadSignature> for BadWorld {
    fn from(_: BadSignature) -> Self {
        Self::Signature
    }
}

impl From<BadParams> for BadWorld {
    fn from(bad: BadParams) -> Self {
        Self::Work(bad)
    }
}
