//! The rule language: text into a rule set, or the line, column and reason why not.
//!
//! In: text as people write it. Out: `RuleSet` or `RuleError`. Never: a half-understood rule.
//! Grammar: SPEC §10.9; each statement ends with `;`.

mod lexer;
mod parser;
mod profiles;
mod tests_of_frames;

use core::fmt;

use crate::{RuleSet, limits};

/// Where in a text something stands; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u16,
    /// The character within the line.
    pub column: u16,
}

/// Why a text is no rule set, and where it stops being one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// Where.
    pub place: Place,
    /// Why.
    pub reason: Reason,
}

/// What is wrong with a rule text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Something else should stand here.
    Expected {
        /// What should.
        wanted: &'static str,
        /// What does; empty at the end of the text.
        found: String,
    },
    /// A word that is none of the known ones.
    Unknown {
        /// The kind of word.
        kind: &'static str,
        /// The word.
        found: String,
        /// What it could be.
        known: &'static str,
    },
    /// A number outside its range.
    OutOfRange {
        /// What it counts.
        what: &'static str,
        /// The least allowed.
        least: u32,
        /// The most allowed.
        most: u32,
    },
    /// A name or number that exists already.
    Twice(String),
    /// A tag, capability or value of this name is not defined above.
    Undefined(String),
    /// More of something than allowed.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        most: usize,
    },
    /// Too deeply nested parentheses.
    TooDeep,
    /// A character that can't be seen.
    ControlCharacter,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: ",
            self.place.line, self.place.column
        )?;
        match &self.reason {
            Reason::Expected { wanted, found } if found.is_empty() => {
                write!(f, "expected {wanted}, but the text ends")
            }
            Reason::Expected { wanted, found } => write!(f, "expected {wanted}, found '{found}'"),
            Reason::Unknown { kind, found, known } => {
                write!(f, "'{found}' is no {kind}; known are: {known}")
            }
            Reason::OutOfRange { what, least, most } => {
                write!(f, "{what} must be from {least} to {most}")
            }
            Reason::Twice(name) => write!(f, "'{name}' is defined already"),
            Reason::Undefined(name) => write!(f, "'{name}' is not defined above this line"),
            Reason::TooMany { what, most } => write!(f, "more than {most} {what}"),
            Reason::TooDeep => f.write_str("parentheses are nested too deeply"),
            Reason::ControlCharacter => f.write_str("a control character"),
        }
    }
}

impl core::error::Error for RuleError {}

/// Compiles a text.
///
/// # Errors
/// [`RuleError`]: the first thing that is wrong, with its place.
pub fn compile(text: &str) -> Result<RuleSet, RuleError> {
    let too_many = |line, what, most| {
        let place = Place { line, column: 1 };
        let reason = Reason::TooMany { what, most };
        Err(RuleError { place, reason })
    };
    if text.len() > limits::TEXT {
        let within = text.as_bytes().get(..limits::TEXT).unwrap_or_default();
        let full = within.split(|byte| *byte == b'\n').count();
        let line = u16::try_from(full).unwrap_or(u16::MAX);
        return too_many(line, "bytes of text", limits::TEXT);
    }
    if text.lines().nth(limits::LINES).is_some() {
        return too_many(u16::MAX, "lines of text", limits::LINES);
    }
    let rules = parser::parse(text)?;
    if rules.encode().len() > limits::BYTES {
        let line = overflowing(&rules);
        return too_many(line, "bytes of compiled rules", limits::BYTES);
    }
    Ok(rules)
}

/// The line of the rule with which the compiled form becomes too long; 1 when it is the tags and capabilities.
fn overflowing(rules: &RuleSet) -> u16 {
    let fits = |count: usize| {
        let some = RuleSet {
            rules: rules.rules[..count].to_vec(),
            ..rules.clone()
        };
        some.encode().len() <= limits::BYTES
    };
    let counts: Vec<usize> = (0..=rules.rules.len()).collect();
    let least = counts.partition_point(|count| fits(*count));
    let at = least.checked_sub(1).and_then(|at| rules.rules.get(at));
    at.map_or(1, |rule| rule.line)
}
