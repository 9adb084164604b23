//! Invites: everything that a node needs to join a network, in one word (SPEC §13).
//!
//! Owner: nobody; a plain value. In: text. Out: its fields, the world in it still unverified.
//! Never: a verification.

use core::fmt;
use core::str::FromStr;

use crate::base64url;
use crate::cursor::{Put, Reader};
use crate::error::Malformed;
use crate::identity::Identity;
use crate::ids::{KeyId, NetworkId};

/// An invite: `zt1-` and base64url. Holds a secret, so [`fmt::Debug`] leaves the token out.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// Whereto.
    pub network: NetworkId,
    /// The controller's key, to be pinned.
    pub controller_key: KeyId,
    /// The controller's identity, so that no WHOIS is needed; its hash has to be `controller_key`.
    pub controller: Identity,
    /// What the controller lets in.
    pub token: [u8; 16],
    /// The signed world, body and signature.
    pub world: Vec<u8>,
}

impl Invite {
    /// What the text starts with.
    pub const PREFIX: &'static str = "zt1-";
    /// Longest text that is looked at, characters.
    pub const TEXT_MAX: usize = 32_768;
    const VERSION: u8 = 1;

    /// Reads the decoded bytes.
    ///
    /// # Errors
    /// The rule of SPEC §13 that they break.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        match r.u8()? {
            Self::VERSION => {}
            other => return Err(Malformed::Version(other)),
        }
        let network = r.network()?;
        let controller_key = r.key_id()?;
        let controller = Identity::from_bytes(r.array_ref()?)?;
        let token = r.array()?;
        let world = crate::signed::Signed::parse(r.take_rest())?.to_vec();
        Ok(Self {
            network,
            controller_key,
            controller,
            token,
            world,
        })
    }

    /// The bytes behind the text.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.u8(Self::VERSION);
        out.put(&self.network.to_bytes());
        out.put(&self.controller_key.to_bytes());
        out.put(&self.controller.to_bytes());
        out.put(&self.token);
        out.put(&self.world);
        out
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        f.write_str(&base64url::encode(&self.to_bytes()))
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite")
            .field("network", &self.network)
            .field("controller_key", &self.controller_key)
            .finish_non_exhaustive()
    }
}

/// Why a text is no [`Invite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadInvite {
    /// It does not start with `zt1-`.
    Prefix,
    /// It is longer than [`Invite::TEXT_MAX`].
    Long,
    /// A character or an ending that base64url does not have.
    Base64,
    /// What it holds breaks a rule; cut off, most likely.
    Content(Malformed),
}

impl fmt::Display for BadInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix => f.write_str("an invite starts with zt1-"),
            Self::Long => f.write_str("too long for an invite"),
            Self::Base64 => {
                f.write_str("a character that an invite does not have, or it is cut off")
            }
            Self::Content(bad) => write!(f, "the invite is damaged or cut off: {bad}"),
        }
    }
}

impl core::error::Error for BadInvite {}

impl FromStr for Invite {
    type Err = BadInvite;
    /// White space around and inside is skipped: mail programs break long words.
    fn from_str(text: &str) -> Result<Self, BadInvite> {
        if text.len() > Self::TEXT_MAX {
            return Err(BadInvite::Long);
        }
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let coded = text.strip_prefix(Self::PREFIX).ok_or(BadInvite::Prefix)?;
        let bytes = base64url::decode(coded).ok_or(BadInvite::Base64)?;
        Self::from_bytes(&bytes).map_err(BadInvite::Content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite() -> Invite {
        Invite {
            network: "0123456789abcdef".parse().unwrap(),
            controller_key: KeyId::from_bytes([1; 32]),
            controller: Identity::new([2; 32], [3; 32], 4),
            token: [5; 16],
            world: vec![6; 200],
        }
    }

    #[test]
    fn an_invite_survives_its_text() {
        let text = invite().to_string();
        assert!(text.starts_with("zt1-AQ"));
        assert_eq!(text.parse(), Ok(invite()));
    }

    #[test]
    fn an_invite_broken_over_lines_is_read() {
        let text = invite().to_string();
        let (a, b) = text.split_at(70);
        assert_eq!(format!("  {a}\r\n{b}\n").parse(), Ok(invite()));
    }

    #[test]
    fn a_cut_invite_is_refused_with_a_reason() {
        let text = invite().to_string();
        assert_eq!(text[1..].parse::<Invite>(), Err(BadInvite::Prefix));
        assert_eq!(
            text[..30].parse::<Invite>(),
            Err(BadInvite::Content(Malformed::Short))
        );
        assert_eq!("zt1-A!".parse::<Invite>(), Err(BadInvite::Base64));
    }

    #[test]
    fn the_token_is_not_in_the_debug_text() {
        assert!(!format!("{:?}", invite()).contains("5, 5"));
    }
}
