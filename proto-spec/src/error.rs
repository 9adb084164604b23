//! Which rule of the specification some bytes or a text broke.
//!
//! Owner: nobody; plain values. In: nothing. Out: `Malformed`, `BadText`.
//! Never: a string made at run time, a guess about who sent it.

use core::fmt;

use crate::ids::BadName;

/// The rule that some bytes of a peer broke (SPEC §1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes end inside a field.
    Short,
    /// Bytes follow where the layout ends.
    Trailing,
    /// A length that the layout does not allow.
    Length,
    /// More or fewer items than the layout allows.
    Count,
    /// A version that this specification does not describe.
    Version(u8),
    /// A datagram, message or record type that this specification does not describe.
    Type(u8),
    /// A bit or byte that must be zero is not.
    Reserved,
    /// A code outside its table.
    Code,
    /// An address family other than 4 and 6.
    Family(u8),
    /// A prefix longer than its address.
    Prefix,
    /// A port of zero where an endpoint is named.
    Port,
    /// A name that is reserved or not canonical.
    Name,
    /// A text that is not UTF-8, or holds control characters.
    Text,
    /// A message that has to stand alone does not.
    NotAlone,
    /// A fragment's index is not below its count.
    Index,
    /// Items that are not in their order, or one twice.
    Order,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the bytes end inside a field"),
            Self::Trailing => f.write_str("bytes follow where the layout ends"),
            Self::Length => f.write_str("a length that the layout does not allow"),
            Self::Count => f.write_str("a number of items that the layout does not allow"),
            Self::Version(found) => write!(f, "expected version 1, found {found}"),
            Self::Type(found) => write!(f, "type {found:#04x} is not known"),
            Self::Reserved => f.write_str("a reserved bit is set"),
            Self::Code => f.write_str("a code outside its table"),
            Self::Family(found) => write!(f, "expected address family 4 or 6, found {found}"),
            Self::Prefix => f.write_str("a prefix longer than its address"),
            Self::Port => f.write_str("port zero names no endpoint"),
            Self::Name => f.write_str("a reserved name"),
            Self::Text => f.write_str("a text that is not plain UTF-8"),
            Self::NotAlone => f.write_str("a message that has to stand alone does not"),
            Self::Index => f.write_str("a fragment's index is not below its count"),
            Self::Order => f.write_str("items out of order, or one twice"),
        }
    }
}

impl core::error::Error for Malformed {}

impl From<BadName> for Malformed {
    fn from(_: BadName) -> Self {
        Self::Name
    }
}
