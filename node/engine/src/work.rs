//! Slow pure jobs: key agreement, signatures and proof of work, done away from the packets.
//!
//! Owner: the driver's pool (the simulator runs them at once). In: everything a job needs. Out: `Done`.
//! Never: a look at the engine's state, a clock, chance other than the seed given along.

use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use zt_crypto::{
    BadWorld, Failed, Hello, Initiator, Label, Params, Responded, SecretIdentity, SessionKeys,
    Verified, VerifiedWorld, pow, respond,
};
use zt_wire::Identity;

use crate::proofs::{Claim, Proofs};

/// A slow job. Pure: the same job gives the same [`Done`].
pub enum Work {
    /// Check an identity's proof of work.
    Verify {
        /// Whose.
        identity: Identity,
        /// The world's parameters.
        params: Params,
    },
    /// Make the first message of a handshake.
    Initiate {
        /// Our keys.
        me: Arc<SecretIdentity>,
        /// With whom.
        peer: Box<Verified>,
        /// Outside or inside a session.
        label: Label,
        /// What we say of ourselves.
        hello: Hello,
        /// Fresh.
        seed: [u8; 32],
    },
    /// Answer a first message.
    Respond {
        /// Our keys.
        me: Arc<SecretIdentity>,
        /// Outside or inside a session.
        label: Label,
        /// Noise message 1.
        message: Vec<u8>,
        /// What we say of ourselves.
        hello: Hello,
        /// Fresh.
        seed: [u8; 32],
    },
    /// End a handshake with the second message.
    Finish {
        /// Our keys.
        me: Arc<SecretIdentity>,
        /// The handshake.
        initiator: Box<Initiator>,
        /// Noise message 2.
        message: Vec<u8>,
    },
    /// Check signatures.
    Prove(Vec<Claim>),
    /// Check a world that is to follow ours: its signature, and the proof of work of its new supernodes.
    Follow {
        /// Ours.
        world: Box<VerifiedWorld>,
        /// The other, as signed.
        signed: Vec<u8>,
    },
}

/// What came of a job.
#[derive(Debug)]
pub enum Done {
    /// Of [`Work::Verify`]; `None`: the work is not there.
    Verified(Option<Box<Verified>>),
    /// Of [`Work::Initiate`].
    Initiated(Result<(Box<Initiator>, Vec<u8>), Failed>),
    /// Of [`Work::Respond`].
    Responded(Result<Box<Responded>, Failed>),
    /// Of [`Work::Finish`].
    Finished(Result<(Box<SessionKeys>, Hello), Failed>),
    /// Of [`Work::Prove`].
    Proven(Proofs),
    /// Of [`Work::Follow`].
    Followed(Result<Box<VerifiedWorld>, BadWorld>),
}

impl Work {
    /// Does the job.
    pub fn run(self) -> Done {
        match self {
            Self::Verify { identity, params } => {
                Done::Verified(pow::verify(&identity, &params).ok().map(Box::new))
            }
            Self::Initiate {
                me,
                peer,
                label,
                hello,
                seed,
            } => {
                let started = Initiator::start(&me, &peer, label, hello, &seed);
                Done::Initiated(started.map(|(initiator, message)| (Box::new(initiator), message)))
            }
            Self::Respond {
                me,
                label,
                message,
                hello,
                seed,
            } => Done::Responded(respond(&me, label, &message, hello, &seed).map(Box::new)),
            Self::Finish {
                me,
                initiator,
                message,
            } => Done::Finished(
                initiator
                    .finish(&me, &message)
                    .map(|(keys, hello)| (Box::new(keys), hello)),
            ),
            Self::Prove(claims) => Done::Proven(Proofs::of(&claims)),
            Self::Follow { world, signed } => {
                Done::Followed(world.successor(&signed).map(Box::new))
            }
        }
    }
}

impl core::fmt::Debug for Work {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Verify { .. } => "Verify",
            Self::Initiate { .. } => "Initiate",
            Self::Respond { .. } => "Respond",
            Self::Finish { .. } => "Finish",
            Self::Prove(_) => "Prove",
            Self::Follow { .. } => "Follow",
        })
    }
}
