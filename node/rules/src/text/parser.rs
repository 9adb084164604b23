//! Statements and conditions of the rule language, by recursive descent.
//!
//! In: tokens. Out: a rule set. Never: a statement skipped after an error.

use zt_wire::Address;

use super::lexer::{Token, cut};
use super::profiles::{self, Ports};
use super::{Place, Reason, RuleError};
use crate::condition::{BadCondition, Condition, Op};
use crate::{Action, Capability, Rule, RuleSet, Tag, limits};

const ACTIONS: &str = "accept, drop, break, tee, redirect, priority, tag, capability, profile";
/// Parentheses and `not` within each other; each costs a frame of our own stack.
const NESTING: u32 = 24;

pub(super) fn parse(text: &str) -> Result<RuleSet, RuleError> {
    let mut parser = Parser {
        tokens: cut(text)?,
        next: 0,
        set: RuleSet::default(),
        nesting: 0,
        line: None,
    };
    while parser.next < parser.tokens.len() {
        parser.statement()?;
    }
    Ok(parser.set)
}

/// The text being read and the set that grows from it.
pub(super) struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    pub set: RuleSet,
    nesting: u32,
    /// The line that rules of a profile are said to stand in.
    line: Option<u16>,
}

type Result<T, E = RuleError> = core::result::Result<T, E>;

impl<'a> Parser<'a> {
    fn statement(&mut self) -> Result<()> {
        let word = self.take("a statement")?;
        match word.text {
            "tag" => self.tag(),
            "capability" => self.capability(),
            "profile" => self.profile(word.place),
            _ => {
                let rule = self.rule(word)?;
                if self.set.rules.len() == limits::RULES {
                    return Err(too_many(word.place, "rules", limits::RULES));
                }
                self.set.rules.push(rule);
                Ok(())
            }
        }
    }

    fn tag(&mut self) -> Result<()> {
        let (name, place) = self.name("the tag's name")?;
        self.sign("=")?;
        let id = self.number("a tag's number", 0, 0x7fff_ffff)?;
        if self
            .set
            .tags
            .iter()
            .any(|tag| tag.name == name || tag.id == id)
        {
            return Err(RuleError {
                place,
                reason: Reason::Twice(name),
            });
        }
        if self.set.tags.len() == limits::TAGS {
            return Err(too_many(place, "tags", limits::TAGS));
        }
        let mut tag = Tag {
            id,
            name,
            default: None,
            values: Vec::new(),
        };
        if self.peek() == Some("{") {
            self.next += 1;
            while self.peek() != Some("}") {
                self.tag_line(&mut tag)?;
            }
            self.next += 1;
        } else {
            self.sign(";")?;
        }
        self.set.tags.push(tag);
        Ok(())
    }

    fn tag_line(&mut self, tag: &mut Tag) -> Result<()> {
        let (name, place) = self.name("a value's name, 'default' or '}'")?;
        if name == "default" {
            let word = self.take("the default value")?;
            tag.default = Some(value_of(tag, word)?);
        } else {
            self.sign("=")?;
            let value = self.number("a tag's value", 0, u32::MAX)?;
            if tag.values.iter().any(|(known, _)| *known == name) {
                return Err(RuleError {
                    place,
                    reason: Reason::Twice(name),
                });
            }
            if tag.values.len() == limits::TAG_VALUES {
                return Err(too_many(place, "values of one tag", limits::TAG_VALUES));
            }
            tag.values.push((name, value));
        }
        self.sign(";")
    }

    fn capability(&mut self) -> Result<()> {
        let (name, place) = self.name("the capability's name")?;
        self.sign("=")?;
        let id = self.number("a capability's number", 0, 0x7fff_ffff)?;
        if self
            .set
            .capabilities
            .iter()
            .any(|known| known.name == name || known.id == id)
        {
            return Err(RuleError {
                place,
                reason: Reason::Twice(name),
            });
        }
        if self.set.capabilities.len() == limits::CAPABILITIES {
            return Err(too_many(place, "capabilities", limits::CAPABILITIES));
        }
        self.sign("{")?;
        let mut rules = Vec::new();
        loop {
            let word = self.take("a rule or '}'")?;
            if word.text == "}" {
                break;
            }
            if rules.len() == limits::CAPABILITY_RULES {
                return Err(too_many(
                    word.place,
                    "rules of one capability",
                    limits::CAPABILITY_RULES,
                ));
            }
            rules.push(self.rule(word)?);
        }
        self.set.capabilities.push(Capability { id, name, rules });
        Ok(())
    }

    fn profile(&mut self, place: Place) -> Result<()> {
        let word = self.take("the profile's name")?;
        let mut ports = Vec::new();
        while self.peek() != Some(";") {
            let protocol = self.take("'tcp', 'udp' or ';'")?;
            if !matches!(protocol.text, "tcp" | "udp") {
                return Err(expected("'tcp', 'udp' or ';'", protocol));
            }
            let range = self.take("a port or a range of ports")?;
            super::tests_of_frames::ports(range)?;
            ports.push(Ports {
                protocol: protocol.text,
                range: range.text,
            });
            if self.peek() == Some(",") {
                self.next += 1;
            }
        }
        self.sign(";")?;
        let unknown = || RuleError {
            place: word.place,
            reason: Reason::Unknown {
                kind: "profile",
                found: word.text.into(),
                known: profiles::NAMES,
            },
        };
        let text = profiles::text(word.text, &ports).ok_or_else(unknown)?;
        let mut inner = Parser {
            tokens: cut(&text)?,
            next: 0,
            set: RuleSet::default(),
            nesting: 0,
            line: Some(place.line),
        };
        while inner.next < inner.tokens.len() {
            inner.statement()?;
        }
        self.set.rules.append(&mut inner.set.rules);
        if self.set.rules.len() > limits::RULES {
            return Err(too_many(place, "rules", limits::RULES));
        }
        Ok(())
    }

    fn rule(&mut self, word: Token<'a>) -> Result<Rule> {
        let action = match word.text {
            "accept" => Action::Accept,
            "drop" => Action::Drop,
            "break" => Action::Break,
            "tee" => {
                let to = self.member()?;
                let whole = matches!(self.peek(), Some("if" | ";"));
                let length = if whole {
                    u32::from(u16::MAX)
                } else {
                    self.number("the bytes of a tee", 14, 65_535)?
                };
                Action::Tee {
                    to,
                    length: u16::try_from(length).unwrap_or(u16::MAX),
                }
            }
            "redirect" => Action::Redirect { to: self.member()? },
            "priority" => {
                let level = self.number("a priority", 0, 7)?;
                Action::Priority {
                    level: u8::try_from(level).unwrap_or(7),
                }
            }
            other => {
                let reason = Reason::Unknown {
                    kind: "action",
                    found: other.into(),
                    known: ACTIONS,
                };
                return Err(RuleError {
                    place: word.place,
                    reason,
                });
            }
        };
        let mut ops = Vec::new();
        let when = self.take("'if' or ';'")?;
        match when.text {
            ";" => {}
            "if" => {
                self.either(&mut ops)?;
                self.sign(";")?;
            }
            _ => return Err(expected("'if' or ';'", when)),
        }
        let condition = Condition::new(ops).map_err(|bad| match bad {
            BadCondition::TooLong => too_many(
                word.place,
                "tests and operators in one rule",
                limits::OPERATIONS,
            ),
            BadCondition::TooDeep | BadCondition::Unbalanced => RuleError {
                place: word.place,
                reason: Reason::TooDeep,
            },
        })?;
        Ok(Rule {
            action,
            condition,
            line: self.line.unwrap_or(word.place.line),
        })
    }

    fn either(&mut self, ops: &mut Vec<Op>) -> Result<()> {
        self.both(ops)?;
        while self.peek() == Some("or") {
            self.next += 1;
            self.both(ops)?;
            ops.push(Op::Or);
        }
        Ok(())
    }

    fn both(&mut self, ops: &mut Vec<Op>) -> Result<()> {
        self.one(ops)?;
        while self.peek() == Some("and") {
            self.next += 1;
            self.one(ops)?;
            ops.push(Op::And);
        }
        Ok(())
    }

    fn one(&mut self, ops: &mut Vec<Op>) -> Result<()> {
        let word = self.take("a test")?;
        if matches!(word.text, "not" | "(") {
            self.nesting += 1;
            if self.nesting > NESTING {
                return Err(RuleError {
                    place: word.place,
                    reason: Reason::TooDeep,
                });
            }
            if word.text == "not" {
                self.one(ops)?;
                ops.push(Op::Not);
            } else {
                self.either(ops)?;
                self.sign(")")?;
            }
            self.nesting -= 1;
            return Ok(());
        }
        self.test(word, ops)
    }

    /// A member's address.
    pub fn member(&mut self) -> Result<Address> {
        let word = self.take("a member's address (ten hex digits)")?;
        word.text
            .parse()
            .map_err(|_| expected("a member's address (ten hex digits)", word))
    }

    /// A decimal or `0x` number within a range.
    pub fn number(&mut self, what: &'static str, least: u32, most: u32) -> Result<u32> {
        let word = self.take(what)?;
        number_in(word, what, least, most)
    }

    /// The next token's text, without taking it.
    pub fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.next).map(|token| token.text)
    }

    /// The next token, or an error that says what should stand there.
    pub fn take(&mut self, wanted: &'static str) -> Result<Token<'a>> {
        let Some(token) = self.tokens.get(self.next) else {
            let end = Place { line: 1, column: 1 };
            let place = self.tokens.last().map_or(end, |token| token.place);
            return Err(RuleError {
                place,
                reason: Reason::Expected {
                    wanted,
                    found: String::new(),
                },
            });
        };
        self.next += 1;
        Ok(*token)
    }

    fn sign(&mut self, wanted: &'static str) -> Result<()> {
        let shown = match wanted {
            ";" => "';'",
            "=" => "'='",
            "{" => "'{'",
            ")" => "')'",
            _ => wanted,
        };
        let token = self.take(shown)?;
        if token.text == wanted {
            Ok(())
        } else {
            Err(expected(shown, token))
        }
    }

    fn name(&mut self, wanted: &'static str) -> Result<(String, Place)> {
        let token = self.take(wanted)?;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let named = token.text.len() <= limits::NAME && token.text.chars().all(good);
        if named {
            Ok((token.text.to_owned(), token.place))
        } else {
            Err(expected(wanted, token))
        }
    }
}

/// A value of a tag: one of its names, or a number.
pub(super) fn value_of(tag: &Tag, word: Token<'_>) -> Result<u32> {
    if let Some((_, value)) = tag.values.iter().find(|(name, _)| name == word.text) {
        return Ok(*value);
    }
    if word.text.starts_with(|c: char| c.is_ascii_digit()) {
        return number_in(word, "a tag's value", 0, u32::MAX);
    }
    Err(RuleError {
        place: word.place,
        reason: Reason::Undefined(word.text.into()),
    })
}

/// Reads a token as a decimal or `0x` number within a range.
pub(super) fn number_in(word: Token<'_>, what: &'static str, least: u32, most: u32) -> Result<u32> {
    let digits = |text: &str, radix| {
        // `from_str_radix` alone would take a plus sign.
        let plain = text.chars().all(|c| c.is_digit(radix));
        u64::from_str_radix(text, radix).ok().filter(|_| plain)
    };
    let value = match word.text.strip_prefix("0x") {
        Some(hex) => digits(hex, 16),
        None => digits(word.text, 10),
    };
    let Some(value) = value else {
        return Err(expected(what, word));
    };
    match u32::try_from(value) {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        Ok(_) | Err(_) => Err(RuleError {
            place: word.place,
            reason: Reason::OutOfRange { what, least, most },
        }),
    }
}

/// The error that something else should stand here.
pub(super) fn expected(wanted: &'static str, token: Token<'_>) -> RuleError {
    RuleError {
        place: token.place,
        reason: Reason::Expected {
            wanted,
            found: token.text.into(),
        },
    }
}

fn too_many(place: Place, what: &'static str, most: usize) -> RuleError {
    RuleError {
        place,
        reason: Reason::TooMany { what, most },
    }
}

#[cfg(test)]
mod tests {
    use crate::text::compile;

    fn error(text: &str) -> String {
        compile(text).expect_err(text).to_string()
    }

    #[test]
    fn an_error_names_line_column_and_what_should_stand_there() {
        assert_eq!(
            error("accept;\n  dorp;"),
            format!(
                "line 2, column 3: 'dorp' is no action; known are: {}",
                super::ACTIONS
            )
        );
        assert_eq!(
            error("accept if tcp"),
            "line 1, column 11: expected ';', but the text ends"
        );
        assert_eq!(
            error("accept if (tcp or udp;"),
            "line 1, column 22: expected ')', found ';'"
        );
        assert_eq!(
            error("priority 8;"),
            "line 1, column 10: a priority must be from 0 to 7"
        );
        assert_eq!(
            error("accept if port-to +5;"),
            "line 1, column 19: expected a port (1-65535) or a range of ports, found '+5'"
        );
        assert_eq!(
            error("accept if tag team equal;"),
            "line 1, column 15: 'team' is not defined above this line"
        );
        assert_eq!(
            error("tag a = 1;\ntag a = 2;"),
            "line 2, column 5: 'a' is defined already"
        );
        assert_eq!(
            error("profile chess;"),
            "line 1, column 9: 'chess' is no profile; known are: open, ip-only, lan-game"
        );
    }

    #[test]
    fn tcp_flags_are_sets_on_both_sides_of_the_slash() {
        use crate::condition::{Match, Op};
        let flags = |text: &str| {
            let set = compile(&format!("accept if tcp-flags {text};")).unwrap();
            match set.rules[0].condition.ops()[0] {
                Op::Test(Match::TcpFlags { set, mask }) => (set, mask),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(flags("syn"), (2, 2));
        assert_eq!(flags("syn,ack"), (18, 18));
        assert_eq!(flags("syn/syn,ack"), (2, 18));
        assert_eq!(flags("syn,fin/syn,fin,ack"), (3, 19));
        assert_eq!(flags("none/syn,ack"), (0, 18));
        for wrong in ["none", "syn/syn/ack", "syn/syn,ack/psh", "syn/"] {
            compile(&format!("accept if tcp-flags {wrong};")).unwrap_err();
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_a_deep_stack() {
        let text = format!("accept if {}tcp;", "not ".repeat(50_000 / 4));
        assert!(error(&text).ends_with("nested too deeply"));
        let text = format!("accept if {}", "(".repeat(20_000));
        assert!(error(&text).ends_with("nested too deeply"));
    }

    #[test]
    fn more_rules_than_the_limit_are_refused() {
        assert!(error(&"drop;\n".repeat(1025)).ends_with("more than 1024 rules"));
        assert!(compile(&"drop;\n".repeat(1024)).is_ok());
        let long = format!("accept if {};", vec!["tcp"; 65].join(" or "));
        assert!(error(&long).ends_with("more than 128 tests and operators in one rule"));
    }

    #[test]
    fn what_is_too_long_is_refused_at_the_line_that_is_too_much() {
        // 7 bytes of the set, 5 of each rule, 19 of each test and 1 of each "or": 34 rules fit.
        let rule = format!("accept if {};\n", vec!["ip-from fd00::/8"; 60].join(" or "));
        let said = error(&rule.repeat(40));
        assert_eq!(
            said,
            "line 35, column 1: more than 40960 bytes of compiled rules"
        );
        let said = error(&"# chess\n".repeat(16_385));
        assert_eq!(said, "line 16385, column 1: more than 131072 bytes of text");
        let said = error(&"\n".repeat(65_536));
        assert_eq!(said, "line 65535, column 1: more than 65535 lines of text");
    }

    #[test]
    fn comments_and_case_of_layout_do_not_matter() {
        let a = compile("accept if tcp and port-to 22; # ssh\ndrop;").unwrap();
        let b = compile("# head\n\naccept\n  if tcp\n  and port-to 22;\ndrop ;").unwrap();
        let conditions = |set: &crate::RuleSet| {
            set.rules
                .iter()
                .map(|rule| rule.condition.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(conditions(&a), conditions(&b));
        assert_eq!(b.rules[0].line, 3);
    }
}
