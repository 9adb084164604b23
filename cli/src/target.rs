//! What `join` is given: a network id, perhaps with its controller's fingerprint, or an invite.
//!
//! In: text. Out: a checked target. Never: a look-up; the invite's signatures are for the node to verify.

use core::fmt;
use core::str::FromStr;

use zt_api::Exit;
use zt_wire::{BadInvite, BadName, Invite, KeyId, NetworkId};

use crate::output::{Failure, line};

/// What to join, and what is known of its controller.
#[derive(Clone, Debug)]
pub enum Target {
    /// A network by its id.
    Id {
        /// The network.
        network: NetworkId,
        /// Its controller's key, if known.
        fingerprint: Option<KeyId>,
    },
    /// An invite: everything at once.
    Invite {
        /// As it was typed.
        text: String,
        /// What it says.
        invite: Box<Invite>,
    },
}

/// Why a text is no [`Target`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadTarget {
    /// Not a network id.
    Network(BadName),
    /// Not a fingerprint after the `#`.
    Fingerprint(BadName),
    /// Begins as an invite, but is none.
    Invite(BadInvite),
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(bad) => {
                write!(
                    f,
                    "a network id has sixteen hex digits ({bad}); an invite begins with zt1-"
                )
            }
            Self::Fingerprint(bad) => write!(f, "a fingerprint after # has 64 hex digits ({bad})"),
            Self::Invite(bad) => write!(f, "{bad}; copy all of it"),
        }
    }
}

impl core::error::Error for BadTarget {}

/// Prints the world file that an invite carries.
pub fn world(target: &Target) -> Result<(), Failure> {
    let Target::Invite { invite, .. } = target else {
        return Err(Failure::new(
            Exit::Usage,
            "only an invite (zt1-...) carries a world; a network id does not",
        ));
    };
    let json = zt_wire::json::world_to_json(&invite.world).map_err(|bad| {
        Failure::new(
            Exit::Failed,
            format!("the world in this invite is damaged: {bad}"),
        )
    })?;
    line(json.trim_end())
}

impl FromStr for Target {
    type Err = BadTarget;
    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let text = text.trim();
        if text.starts_with("zt1-") {
            let invite = Invite::from_str(text).map_err(BadTarget::Invite)?;
            return Ok(Self::Invite {
                text: text.to_owned(),
                invite: Box::new(invite),
            });
        }
        let (network, fingerprint) = match text.split_once('#') {
            Some((network, fingerprint)) => (network, Some(fingerprint)),
            None => (text, None),
        };
        let network = network.parse().map_err(BadTarget::Network)?;
        let fingerprint = fingerprint
            .map(str::parse)
            .transpose()
            .map_err(BadTarget::Fingerprint)?;
        Ok(Self::Id {
            network,
            fingerprint,
        })
    }
}
