//! Rule text cut into words and signs, each with its place.
//!
//! In: text. Out: tokens with line and column, both from 1. Never: a meaning.

use super::{Place, Reason, RuleError};

/// A word or a sign, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub text: &'a str,
    pub place: Place,
}

const SIGNS: &[char] = &[';', '{', '}', '(', ')', ',', '='];

/// Cuts the text; `#` starts a comment that ends with its line.
pub(super) fn cut(text: &str) -> Result<Vec<Token<'_>>, RuleError> {
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split('#').next().unwrap_or_default();
        let line = u16::try_from(number + 1).unwrap_or(u16::MAX);
        let mut rest = code;
        let mut column = 1u16;
        while let Some(first) = rest.chars().next() {
            let length = if first.is_whitespace() || SIGNS.contains(&first) {
                first.len_utf8()
            } else {
                rest.find(|c: char| c.is_whitespace() || SIGNS.contains(&c))
                    .unwrap_or(rest.len())
            };
            let (word, behind) = rest.split_at(length);
            let place = Place { line, column };
            if first.is_control() && !first.is_whitespace() {
                return Err(RuleError {
                    place,
                    reason: Reason::ControlCharacter,
                });
            }
            if !first.is_whitespace() {
                tokens.push(Token { text: word, place });
            }
            column = column.saturating_add(u16::try_from(word.chars().count()).unwrap_or(u16::MAX));
            rest = behind;
        }
    }
    Ok(tokens)
}
