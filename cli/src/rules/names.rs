//! Names of tags and capabilities, as certificates carry them.
//!
//! In: names that people type, the rules that define them. Out: numbers. Never: a name guessed.

use std::collections::BTreeMap;

use zt_api::Exit;
use zt_rules::RuleSet;
use zt_rules::decide::CAPABILITY_BIT;

use crate::output::Failure;
use crate::pairs;

/// Puts `NAME=VALUE` texts and capabilities' names into `tags`.
pub fn give(
    rules: &RuleSet,
    tags: &mut BTreeMap<u32, u32>,
    pairs: &[String],
    capabilities: &[String],
) -> Result<(), Failure> {
    for pair in pairs {
        let (name, value) = pairs::split(pair)?;
        let (id, value) = tag(rules, name, value)?;
        tags.insert(id, value);
    }
    for name in capabilities {
        tags.insert(capability(rules, name)?, 1);
    }
    Ok(())
}

/// The number of a tag by its name, or a number itself.
pub fn tag_id(rules: &RuleSet, name: &str) -> Result<u32, Failure> {
    let known = rules.tags.iter().find(|tag| tag.name == name);
    known
        .map(|tag| tag.id)
        .or_else(|| name.parse().ok())
        .ok_or_else(|| unknown("tag", name, rules.tags.iter().map(|tag| &tag.name)))
}

fn tag(rules: &RuleSet, name: &str, value: &str) -> Result<(u32, u32), Failure> {
    let id = tag_id(rules, name)?;
    let values = rules.tags.iter().find(|tag| tag.id == id);
    let meant = values.and_then(|tag| tag.values.iter().find(|(known, _)| known == value));
    let value = meant
        .map(|(_, number)| *number)
        .or_else(|| value.parse().ok());
    let names = values.into_iter().flat_map(|tag| &tag.values);
    value
        .map(|value| (id, value))
        .ok_or_else(|| unknown("value of that tag", name, names.map(|(name, _)| name)))
}

/// The tag that a capability travels as.
pub fn capability(rules: &RuleSet, name: &str) -> Result<u32, Failure> {
    let known = rules.capabilities.iter().find(|known| known.name == name);
    known.map(|known| known.id | CAPABILITY_BIT).ok_or_else(|| {
        let names = rules.capabilities.iter().map(|known| &known.name);
        unknown("capability", name, names)
    })
}

fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a String>) -> Failure {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let known = if known.is_empty() {
        "the rules define none".to_owned()
    } else {
        format!("the rules define {}", known.join(", "))
    };
    Failure::new(Exit::Usage, format!("no {kind} in {name}; {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_numbers_of_the_rules() {
        let text = "tag team = 4 { red = 7; }\ncapability admin = 3 { accept; }";
        let rules = zt_rules::compile(text).unwrap();
        let mut tags = BTreeMap::new();
        let pairs = ["team=red".to_owned(), "9=2".to_owned()];
        give(&rules, &mut tags, &pairs, &["admin".to_owned()]).unwrap();
        assert_eq!(tags[&4], 7);
        assert_eq!(tags[&9], 2);
        assert_eq!(tags[&(3 | CAPABILITY_BIT)], 1);
        for wrong in ["team=green", "group=1", "team"] {
            let failure = give(&rules, &mut tags, &[wrong.to_owned()], &[]).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{wrong}");
        }
    }
}
