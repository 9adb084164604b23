//! Signed records whose signature was checked: the only form in which the rest of a node believes them.
//!
//! Owner: whoever keeps the proof. In: signed bytes and who ought to have signed. Out: the record and its bytes, to be passed on.
//! Never: a record made here, a judgement by the time of day.

use core::fmt;

use zt_wire::{
    Certificate, Identity, Malformed, NetworkId, Record, Revocation, SharedConfig, Signed, World,
    WorldSupernode,
};

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

/// A record of a network that its controller signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested<R> {
    record: R,
    bytes: Vec<u8>,
}

/// A certificate that the network's controller signed. Whether it is still valid is [`VerifiedCertificate::is_valid`]'s to say.
pub type VerifiedCertificate = Attested<Certificate>;
/// A shared configuration that the network's controller signed.
pub type VerifiedShared = Attested<SharedConfig>;
/// A revocation that the network's controller signed.
pub type VerifiedRevocation = Attested<Revocation>;

impl<R: OfNetwork> Attested<R> {
    /// Checks that `controller`, pinned for `network`, signed this for it.
    ///
    /// # Errors
    /// [`BadRecord`].
    pub fn verify(
        signed: &[u8],
        network: NetworkId,
        controller: &Verified,
    ) -> Result<Self, BadRecord> {
        let parsed = Signed::parse(signed).map_err(BadRecord::Malformed)?;
        let record: R = parsed.decode().map_err(BadRecord::Malformed)?;
        if record.network() != network || network.controller() != controller.address() {
            return Err(BadRecord::Network);
        }
        if !record.names(controller) {
            return Err(BadRecord::Controller);
        }
        verify::<R>(controller.identity().ed25519(), &parsed).map_err(|_| BadRecord::Signature)?;
        Ok(Self {
            record,
            bytes: signed.to_vec(),
        })
    }

    /// What was signed.
    pub const fn record(&self) -> &R {
        &self.record
    }

    /// Body and signature, to be kept and passed on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The hash of the body: a shared configuration is asked for by it.
    pub fn hash(&self) -> [u8; 32] {
        let body = self.bytes.len().saturating_sub(zt_wire::SIGNATURE_LEN);
        hash256(&self.bytes[..body])
    }
}

impl VerifiedCertificate {
    /// Whether the certificate is about this member: key and address both.
    pub fn is_for(&self, member: &Verified) -> bool {
        self.record.key == member.key() && self.record.address == member.address()
    }

    /// Whether it is valid for somebody whose newest epoch is `newest`, under a network's `window` (SPEC §9.4).
    /// A certificate of a later epoch is: its holder heard of that epoch first.
    pub const fn is_valid(&self, newest: u64, window: u16) -> bool {
        newest.saturating_sub(self.record.epoch) <= window as u64
    }

    /// Whether `revocation` ends it.
    pub fn is_revoked_by(&self, revocation: &VerifiedRevocation) -> bool {
        let revocation = revocation.record();
        revocation.network == self.record.network
            && revocation.key == self.record.key
            && self.record.serial < revocation.minimum
    }
}

/// Records that belong to one network.
pub trait OfNetwork: Record {
    /// Which.
    fn network(&self) -> NetworkId;

    /// Whether the record itself names this controller, where it names one.
    fn names(&self, _controller: &Verified) -> bool {
        true
    }
}

impl OfNetwork for Certificate {
    fn network(&self) -> NetworkId {
        self.network
    }
}

impl OfNetwork for Revocation {
    fn network(&self) -> NetworkId {
        self.network
    }
}

impl OfNetwork for SharedConfig {
    fn network(&self) -> NetworkId {
        self.network
    }

    fn names(&self, controller: &Verified) -> bool {
        self.controller == controller.key()
    }
}

/// Why a network's record is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecord {
    /// The bytes break the layout.
    Malformed(Malformed),
    /// It is about another network, or the network is another controller's.
    Network,
    /// It names another controller.
    Controller,
    /// The controller did not sign it.
    Signature,
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(bad) => write!(f, "the record cannot be read: {bad}"),
            Self::Network => f.write_str("the record is about another network"),
            Self::Controller => f.write_str("the record names another controller"),
            Self::Signature => f.write_str("the network's controller did not sign the record"),
        }
    }
}

impl core::error::Error for BadRecord {}
