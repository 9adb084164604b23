//! The text holds together: every section that code or text names exists, every message and limit stands where it is said.
//!
//! In: the sources of the workspace, the specification. Out: assertions. Never: a judgement of the content.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use zt_wire::MessageType;

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            files(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of_the_specification() -> String {
    let mut parts = vec![here().join("SPEC.md")];
    files(&here().join("spec"), ".md", &mut parts);
    parts
        .iter()
        .map(|part| fs::read_to_string(part).unwrap())
        .collect()
}

/// `1`, `2.3` or `10.9.1` behind a section sign, without a sentence's final point.
fn section(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text[..end].trim_end_matches('.')
}

fn headings(spec: &str) -> BTreeSet<&str> {
    spec.lines()
        .filter(|line| line.starts_with('#'))
        .filter_map(|line| line.split_once('§').map(|(_, rest)| section(rest)))
        .collect()
}

#[test]
fn every_section_that_is_named_exists() {
    let spec = text_of_the_specification();
    let headings = headings(&spec);
    let root = here().parent().unwrap();
    let mut sources = Vec::new();
    files(root, ".rs", &mut sources);
    assert!(sources.len() > 20, "the workspace was not found");
    let named_by_code = sources.iter().flat_map(|path| {
        let text = fs::read_to_string(path).unwrap();
        let named = text
            .split("SPEC §")
            .skip(1)
            .map(|rest| section(rest).to_owned());
        named
            .map(|named| (path.display().to_string(), named))
            .collect::<Vec<_>>()
    });
    // Sections of other documents are written with their name before the sign: "RFC 4648 §5", "FIPS 203 §7.2".
    let named_by_text = spec
        .lines()
        .filter(|line| !line.contains("RFC") && !line.contains("FIPS"));
    let named_by_text = named_by_text.flat_map(|line| {
        line.split('§')
            .skip(1)
            .map(|rest| ("the specification".to_owned(), section(rest).to_owned()))
    });
    for (whence, named) in named_by_code.chain(named_by_text) {
        let known = named.is_empty() || headings.contains(named.as_str());
        assert!(known, "{whence} names §{named}, which does not exist");
    }
}

#[test]
fn every_message_stands_in_the_table() {
    let spec = text_of_the_specification();
    for kind in MessageType::ALL {
        let mut name = String::new();
        for (index, character) in format!("{kind:?}").chars().enumerate() {
            if character.is_uppercase() && index > 0 {
                name.push('_');
            }
            name.push(character.to_ascii_uppercase());
        }
        let row = format!("| {:02x} | {name} |", kind as u8);
        assert!(spec.contains(&row), "no row: {row}");
    }
}

#[test]
fn every_reason_to_drop_stands_in_the_table() {
    let spec = fs::read_to_string(here().join("spec/12-errors.md")).unwrap();
    let source = here().parent().unwrap().join("node/engine/src/counters.rs");
    let source = fs::read_to_string(source).unwrap();
    let list = source.split("DropReason {").nth(1).unwrap();
    let list = list.split("\n    }\n").next().unwrap();
    let reasons: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split_once(" = \"")?.1.split('"').next())
        .collect();
    assert!(reasons.len() > 20, "the list of reasons was not found");
    for reason in reasons {
        assert!(
            spec.contains(&format!("| `{reason}` |")),
            "no row for {reason}"
        );
    }
}

#[test]
fn every_limit_in_the_tables_is_the_engines() {
    let engine = here().parent().unwrap().join("node/engine/src");
    let source = [
        "limits.rs",
        "limits/data.rs",
        "limits/groups.rs",
        "limits/mtu.rs",
    ]
    .map(|part| fs::read_to_string(engine.join(part)).unwrap())
    .concat();
    let spec = fs::read_to_string(here().join("spec/11-limits.md")).unwrap();
    let mut compared = 0;
    for row in spec.lines().filter(|row| row.ends_with("` |")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (value, name) = (
            cells[2].trim_start_matches("**must** "),
            cells[3].trim_matches('`'),
        );
        assert_eq!(value, limit(&source, name), "{name}");
        compared += 1;
    }
    assert!(compared > 60, "only {compared} rows were found");
}

/// A constant of `limits.rs` as the tables write it: `1,024`, `500 ms`, `120 s`.
fn limit(source: &str, name: &str) -> String {
    let text = source
        .split(&format!("pub const {name}: "))
        .nth(1)
        .unwrap_or_else(|| panic!("no {name}"));
    let text = text.split([';']).next().unwrap();
    let text = text.split_once(" = ").unwrap().1;
    let (number, (times, unit)) = match text.split_once("Duration::from_") {
        None => (text, (1, "")),
        Some((_, span)) => match span.split_once('(').unwrap() {
            ("hours", number) => (number, (3600, " s")),
            ("mins", number) => (number, (60, " s")),
            ("secs", number) => (number, (1, " s")),
            ("millis", number) => (number, (1, " ms")),
            (other, _) => panic!("{name} is in {other}"),
        },
    };
    let number = number.trim_end_matches(')').replace('_', "");
    let number: u64 = match number.split_once(" << ") {
        None => number.parse::<u64>().unwrap() * times,
        Some((base, shift)) => base.parse::<u64>().unwrap() << shift.parse::<u32>().unwrap(),
    };
    let digits = number.to_string();
    let mut written = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written + unit
}

#[test]
fn every_vector_file_is_named() {
    let spec = text_of_the_specification();
    let mut vectors = Vec::new();
    files(&here().join("vectors"), ".json", &mut vectors);
    assert!(!vectors.is_empty());
    for path in vectors {
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(
            spec.contains(&format!("`{name}`")),
            "{name} is not named in the specification"
        );
    }
}
