//! What a kind of frame needs in order to cross, and which drops are that policy at work.
//!
//! Owner: nobody. In: rights, flags, reasons of drops. Out: whether a frame is to cross.
//! Never: a decision about a frame; the switch makes those.

/// What a frame needs besides two members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The bridge right at both ends: spanning tree.
    Bridges,
    /// The bridge right at the sender: another station's MAC.
    BridgeFrom,
    /// The bridge right at the receiver: a MAC that nobody knows.
    BridgeTo,
    /// The network's flag for link-local groups.
    LinkLocalGroups,
    /// The sender's right to answer DHCP.
    DhcpServer,
    /// The sender's right to advertise routes.
    Router,
    /// A receiver whose address no directory lists: otherwise its sender's switch answers in place.
    Unlisted,
}

/// What the network and its certificates say of two ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Independent facts, as certificates and configuration have them.
pub struct Policy {
    /// The sender has the bridge right.
    pub from_bridges: bool,
    /// The receiver has the bridge right.
    pub to_bridges: bool,
    /// Frames to 01:80:c2:00:00:01 to 0f pass.
    pub link_local_groups: bool,
    /// The sender has the right to answer DHCP.
    pub dhcp_server: bool,
    /// The sender has the right to advertise routes.
    pub router: bool,
    /// The receiver's IPv4 address is in the directory.
    pub listed: bool,
}

impl Needs {
    /// Whether a frame that needs this crosses under this policy.
    pub const fn met(self, policy: &Policy) -> bool {
        match self {
            Self::Nothing => true,
            Self::Bridges => policy.from_bridges && policy.to_bridges,
            Self::BridgeFrom => policy.from_bridges,
            Self::BridgeTo => policy.to_bridges,
            Self::LinkLocalGroups => policy.link_local_groups,
            Self::DhcpServer => policy.dhcp_server,
            Self::Router => policy.router,
            Self::Unlisted => !policy.listed,
        }
    }

    /// Whether a drop for this reason (SPEC §12.2) is the lack of this need, or of the network's rules, rather than a fault.
    pub fn excuses(self, reason: &str) -> bool {
        match reason {
            "rule-tx" | "rule-rx" => true,
            "reserved-group" => matches!(self, Self::Bridges | Self::LinkLocalGroups),
            "source-mac" | "source-ip" => self == Self::BridgeFrom,
            "no-receiver" => matches!(self, Self::Bridges | Self::BridgeTo),
            "dhcp-server" => self == Self::DhcpServer,
            "router-advertisement" => self == Self::Router,
            "answered" => self == Self::Unlisted,
            _ => false,
        }
    }

    /// What is missing when such a frame was stopped, for people; empty for what needs nothing.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Bridges => "goes only between members with the bridge right",
            Self::BridgeFrom => "needs the sender's bridge right",
            Self::BridgeTo => "needs the receiver's bridge right",
            Self::LinkLocalGroups => {
                "kept by bridges (IEEE 802.1D); link-local-groups=on passes it"
            }
            Self::DhcpServer => "needs the sender's right dhcp-server",
            Self::Router => "needs the sender's right router-advertisement",
            Self::Unlisted => "answered by the sender's switch from the directory",
        }
    }
}
