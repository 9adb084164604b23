//! What frames may be on a network: guards, and flow rules with their language and compiled form.
//!
//! In: rule text, compiled bytes, frames with what certificates say of both ends. Out: rule sets and verdicts.
//! Never: a table of members, a clock, an allocation per frame. SPEC §10.4 and §10.9 lead.

#![forbid(unsafe_code)]

pub mod codec;
pub mod condition;
pub mod decide;
pub mod facts;
pub mod guards;
pub mod text;

use zt_wire::Address;

pub use codec::BadRules;
pub use condition::{Condition, Match, Op, PortRange, TagTest};
pub use decide::{Decider, End, Fate, Gets, Outcome, Verdict};
pub use facts::Facts;
pub use guards::{Ground, Guard, Holder, Lift};
pub use text::{RuleError, compile};

/// All rules of a network, as compiled from text.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RuleSet {
    /// The base rules, tried in order. None at all lets every frame pass.
    pub rules: Vec<Rule>,
    /// Extra rules that a member's certificate can grant.
    pub capabilities: Vec<Capability>,
    /// The tags that conditions and certificates speak of.
    pub tags: Vec<Tag>,
}

/// One rule: what to do when its condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Rule {
    /// What to do.
    pub action: Action,
    /// When; an empty condition always holds.
    pub condition: Condition,
    /// The line of the text that it came from, 1 for the first; what `explain` names.
    pub line: u16,
}

/// What a rule does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Action {
    /// The frame passes; nothing more is tried.
    Accept,
    /// The frame is dropped, whatever capabilities say.
    Drop,
    /// The base rules end here without accepting; a capability may still accept.
    Break,
    /// A copy of the first `length` bytes goes to `to` as well; the next rule is tried. Sender's end only.
    Tee {
        /// Who gets the copy.
        to: Address,
        /// At most so many bytes of the frame; 65,535 is the whole.
        length: u16,
    },
    /// The frame goes to `to` instead; nothing more is tried. Sender's end only.
    Redirect {
        /// Who gets it.
        to: Address,
    },
    /// The frame travels with this priority (802.1p, 0 to 7); the next rule is tried.
    Priority {
        /// 0 to 7; 7 is the most urgent.
        level: u8,
    },
}

/// Rules that apply to frames of a sender whose certificate carries `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Capability {
    /// Its number in certificates.
    pub id: u32,
    /// Its name in the text.
    pub name: String,
    /// Its rules: only `accept`, `tee`, `redirect` and `priority` have an effect beyond the base.
    pub rules: Vec<Rule>,
}

/// A number that certificates can carry, and the names of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Tag {
    /// Its number in certificates.
    pub id: u32,
    /// Its name in the text.
    pub name: String,
    /// Its value for members whose certificate does not carry it; without one, every test of the tag fails for them.
    pub default: Option<u32>,
    /// Names of values.
    pub values: Vec<(String, u32)>,
}

/// Bounds of a rule set; a text or bytes beyond one are refused.
pub mod limits {
    /// Rules in the base set.
    pub const RULES: usize = 1024;
    /// Capabilities.
    pub const CAPABILITIES: usize = 64;
    /// Rules in one capability.
    pub const CAPABILITY_RULES: usize = 128;
    /// Tags.
    pub const TAGS: usize = 64;
    /// Named values of one tag.
    pub const TAG_VALUES: usize = 64;
    /// Operations in one condition.
    pub const OPERATIONS: usize = 128;
    /// Operands waiting at once while a condition is tried: the bits of its stack.
    pub const STACK: u32 = 32;
    /// Bytes of the compiled form: it has to fit a shared configuration of 48 KiB beside routes and pools.
    pub const BYTES: usize = 40 * 1024;
    /// Bytes of the text.
    pub const TEXT: usize = 128 * 1024;
    /// Lines of the text: a rule carries its line in 16 bits.
    pub const LINES: usize = 65_535;
    /// Bytes of a name.
    pub const NAME: usize = 32;
}
