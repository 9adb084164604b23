//! What a node is, and every question whose answer depends on it.
//!
//! Owner: nobody; a value given at start. In: nothing. Out: yes or no.
//! Never: a difference between roles anywhere else.

use core::time::Duration;

use crate::limits;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An ordinary node: it has taps.
    Leaf,
    /// Listed in the world: it introduces, relays and keeps the registry.
    Supernode,
    /// Its address forms network ids: it decides who is a member.
    Controller,
}

impl Role {
    /// Answers WHOIS and CLAIM from its registry.
    pub const fn keeps_registry(self) -> bool {
        matches!(self, Self::Supernode)
    }

    /// Passes RELAY messages on.
    pub const fn relays(self) -> bool {
        matches!(self, Self::Supernode)
    }

    /// Answers NETCONF requests.
    pub const fn decides_membership(self) -> bool {
        matches!(self, Self::Controller)
    }

    /// Claims its address at its supernodes. A supernode is in the world file already.
    pub const fn claims(self) -> bool {
        !matches!(self, Self::Supernode)
    }

    /// Looks for direct paths to peers on its own. A supernode is where the others can find it; a controller speaks
    /// seldom, so the relay carries it and no path to it has to be kept warm.
    pub const fn punches(self) -> bool {
        matches!(self, Self::Leaf)
    }

    /// Breaks the silence of a path to a leaf. A supernode leaves that to the leaf, whose NAT it is.
    pub const fn keeps_alive(self) -> bool {
        !matches!(self, Self::Supernode)
    }

    /// How long a leaf without frames stays.
    pub const fn lapse(self, direct: bool) -> Duration {
        match self {
            Self::Supernode => limits::LAPSE_AT_SUPERNODE,
            Self::Leaf if direct => limits::LAPSE_DIRECT,
            Self::Leaf | Self::Controller => limits::LAPSE_OTHER,
        }
    }
}
