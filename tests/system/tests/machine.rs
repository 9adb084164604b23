//! What the architecture promises, held by machine: who depends on whom, where `unsafe` is, how long a file may be.
//!
//! In: `cargo metadata` and the text of every file. Out: each breach by name. Never: an exception without a reason.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use zt_lab::{Failed, programs};

/// Which of our crates each of them may use outside tests. A crate that is not here is a breach, too.
const MAY_USE: [(&str, &[&str]); 16] = [
    ("zt-wire", &[]),
    ("zt-crypto", &["zt-wire"]),
    ("zt-rules", &["zt-wire"]),
    ("zt-ipx", &["zt-wire"]),
    ("zt-frames", &[]),
    (
        "zt-engine",
        &["zt-wire", "zt-crypto", "zt-rules", "zt-frames"],
    ),
    (
        "zt-driver",
        &["zt-wire", "zt-crypto", "zt-ipx", "zt-engine"],
    ),
    ("zt-api", &["zt-wire"]),
    (
        "zt-node",
        &["zt-wire", "zt-crypto", "zt-engine", "zt-driver", "zt-api"],
    ),
    (
        "zt-supernode",
        &["zt-wire", "zt-crypto", "zt-engine", "zt-driver", "zt-api"],
    ),
    (
        "zt-netconf-master",
        &[
            "zt-wire",
            "zt-crypto",
            "zt-rules",
            "zt-engine",
            "zt-driver",
            "zt-api",
        ],
    ),
    ("zt-cli", &["zt-wire", "zt-rules", "zt-api"]),
    (
        "zt-sim",
        &[
            "zt-wire",
            "zt-crypto",
            "zt-frames",
            "zt-engine",
            "zt-api",
            "zt-supernode",
            "zt-netconf-master",
        ],
    ),
    (
        "zt-benches",
        &["zt-wire", "zt-crypto", "zt-driver", "zt-engine", "zt-rules"],
    ),
    ("zt-lab", &["zt-frames"]),
    ("zt-system-tests", &["zt-lab", "zt-frames"]),
];

/// What no pure crate may use, directly: sockets, clocks, threads, randomness, async, the system.
const IMPURE: [&str; 16] = [
    "tokio",
    "mio",
    "socket2",
    "libc",
    "rustix",
    "nix",
    "rand",
    "getrandom",
    "fastrand",
    "chrono",
    "time",
    "rayon",
    "crossbeam",
    "parking_lot",
    "dashmap",
    "futures-util",
];

/// What makes keys or seals with them: not for the codec.
const CRYPTO: [&str; 10] = [
    "aws-lc-rs",
    "ring",
    "blake2",
    "sha2",
    "argon2",
    "ed25519-dalek",
    "x25519-dalek",
    "ml-kem",
    "salsa20",
    "poly1305",
];

/// Licences that go with MIT OR Apache-2.0.
const LICENCES: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "OpenSSL",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "BSL-1.0",
    "Unicode-3.0",
    "Unlicense",
];

const LONGEST_FILE: usize = 600;
const ROOM_CARD: usize = 4;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Our own packages and, for each, the names of what it uses outside tests.
fn ours() -> Result<Vec<(Value, Vec<String>)>, Failed> {
    let metadata = programs::metadata()?;
    let members: Vec<&str> = metadata["workspace_members"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    Ok(packages
        .filter(|package| members.contains(&text(&package["id"])))
        .map(|package| {
            let used = package["dependencies"].as_array().into_iter().flatten();
            let used = used
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| text(&dependency["name"]).to_owned())
                .collect();
            (package.clone(), used)
        })
        .collect())
}

/// Every file of ours with an extension, as a path from the root, and its text.
fn files(extension: &str) -> Result<BTreeMap<PathBuf, String>, Failed> {
    let mut found = BTreeMap::new();
    walk(
        &fs::canonicalize(programs::root())?,
        Path::new(""),
        extension,
        &mut found,
    )?;
    assert!(
        !found.is_empty(),
        "no .{extension} file: the test looks in the wrong place"
    );
    Ok(found)
}

fn walk(
    root: &Path,
    folder: &Path,
    extension: &str,
    found: &mut BTreeMap<PathBuf, String>,
) -> Result<(), Failed> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name();
        let path = folder.join(&name);
        let skipped = name == "target" || name == ".git";
        if entry.file_type()?.is_dir() {
            if !skipped {
                walk(root, &path, extension, found)?;
            }
        } else if path.extension().is_some_and(|it| it == extension) {
            let text = fs::read_to_string(root.join(&path))?;
            found.insert(path, text);
        }
    }
    Ok(())
}

fn none(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn our_crates_use_each_other_only_as_the_architecture_says() -> Result<(), Failed> {
    let mut breaches = Vec::new();
    for (package, used) in ours()? {
        let name = text(&package["name"]);
        let Some((_, allowed)) = MAY_USE.iter().find(|(crate_name, _)| *crate_name == name) else {
            breaches.push(format!("{name} has no line in MAY_USE"));
            continue;
        };
        let ours = used.iter().filter(|used| used.starts_with("zt-"));
        let bad = ours.filter(|used| !allowed.contains(&used.as_str()));
        breaches.extend(bad.map(|used| format!("{name} uses {used}")));
    }
    none(&breaches);
    Ok(())
}

#[test]
fn the_pure_crates_use_nothing_impure_and_the_codec_no_cryptography() -> Result<(), Failed> {
    let mut breaches = Vec::new();
    for (package, used) in ours()? {
        let name = text(&package["name"]);
        let forbidden: Vec<&str> = match name {
            "zt-wire" => IMPURE.into_iter().chain(CRYPTO).collect(),
            "zt-crypto" | "zt-rules" | "zt-ipx" | "zt-frames" | "zt-engine" => IMPURE.to_vec(),
            _ => continue,
        };
        let bad = used
            .iter()
            .filter(|used| forbidden.contains(&used.as_str()));
        breaches.extend(bad.map(|used| format!("{name} uses {used}")));
    }
    none(&breaches);
    Ok(())
}

#[test]
fn unsafe_code_is_forbidden_everywhere_but_in_three_rooms_of_the_driver() -> Result<(), Failed> {
    let mut breaches = Vec::new();
    let sources = files("rs")?;
    for (package, _) in ours()? {
        for target in package["targets"].as_array().into_iter().flatten() {
            let kind = text(&target["kind"][0]);
            let is_root = kind == "lib" || kind == "bin";
            if !is_root || text(&package["name"]) == "zt-driver" {
                continue;
            }
            let source = fs::read_to_string(text(&target["src_path"]))?;
            if !source.contains("#![forbid(unsafe_code)]") {
                breaches.push(format!(
                    "{} does not forbid unsafe code",
                    text(&target["src_path"])
                ));
            }
        }
    }
    let rooms = ["tap", "udp", "buffers"].map(|room| format!("node/driver/src/{room}"));
    for (path, source) in &sources {
        let shown = path.display().to_string();
        let allowed = rooms.iter().any(|room| shown.starts_with(room.as_str()));
        let used = source.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            [
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "unsafe extern",
                "allow(unsafe_code",
                "expect(unsafe_code",
            ]
            .iter()
            .any(|what| code.contains(what) && !code.contains('"'))
        });
        if used && !allowed {
            breaches.push(format!("{shown} has unsafe code"));
        }
    }
    none(&breaches);
    Ok(())
}

#[test]
fn no_file_is_longer_than_600_lines() -> Result<(), Failed> {
    let long: Vec<String> = files("rs")?
        .iter()
        .map(|(path, source)| (path, source.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    none(&long);
    Ok(())
}

#[test]
fn every_file_opens_with_its_room_card() -> Result<(), Failed> {
    // Written apart, so that this file does not find itself.
    let unwritten = ["Room card to be", " written"].concat();
    let mut breaches = Vec::new();
    for (path, source) in files("rs")? {
        let lines = source
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .filter(|line| line.trim() != "//!")
            .count();
        if !(1..=ROOM_CARD).contains(&lines) || source.contains(&unwritten) {
            breaches.push(format!("{}: a room card of {lines} lines", path.display()));
        }
    }
    none(&breaches);
    Ok(())
}

#[test]
fn nothing_is_left_for_later_in_the_code() -> Result<(), Failed> {
    // Written apart, so that this file does not find itself.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"]].map(|parts| parts.concat());
    let code = [
        ["todo", "!("],
        ["unimplemented", "!("],
        ["dbg", "!("],
        ["#[ig", "nore"],
    ]
    .map(|parts| parts.concat());
    let mut breaches = Vec::new();
    for (path, source) in files("rs")?.into_iter().chain(files("md")?) {
        for (at, line) in source.lines().enumerate() {
            let found = marks
                .iter()
                .chain(&code)
                .find(|what| line.contains(what.as_str()));
            if let Some(what) = found {
                breaches.push(format!("{}:{}: {what}", path.display(), at + 1));
            }
        }
    }
    none(&breaches);
    Ok(())
}

#[test]
fn a_lint_is_lifted_only_with_a_reason() -> Result<(), Failed> {
    let attribute = ["#[allow", "(", "clippy::too_many"].concat();
    let breaches: Vec<String> = files("rs")?
        .iter()
        .filter(|(_, source)| {
            source.match_indices(&attribute).any(|(at, _)| {
                !source[at..]
                    .split(']')
                    .next()
                    .unwrap_or_default()
                    .contains("reason")
            })
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    none(&breaches);
    Ok(())
}

#[test]
fn the_oldest_rust_is_named_in_cargo_toml_only() -> Result<(), Failed> {
    let mut breaches = Vec::new();
    for (package, _) in ours()? {
        if package["rust_version"].is_null() {
            breaches.push(format!("{} names no rust-version", package["name"]));
        }
    }
    for (path, prose) in files("md")? {
        // "Rust 1." followed by a digit is a version; a bare "Rust" is not.
        let named = prose
            .match_indices("Rust 1.")
            .any(|(at, found)| prose[at + found.len()..].starts_with(|c: char| c.is_ascii_digit()));
        if named {
            breaches.push(format!("{} names a version of Rust", path.display()));
        }
    }
    none(&breaches);
    Ok(())
}

/// Whether a licence expression can be met with [`LICENCES`]. `/` is how old packages write OR.
fn is_met(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    if let Some((left, right)) = split_outside(expression, " OR ") {
        return is_met(left) || is_met(right);
    }
    if let Some((left, right)) = split_outside(expression, " AND ") {
        return is_met(left) && is_met(right);
    }
    match expression
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
    {
        Some(inside) => is_met(inside),
        None => LICENCES.contains(&expression),
    }
}

/// Splits at the first `word` that is in no parentheses.
fn split_outside<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    text.match_indices(word)
        .find(|(at, _)| text[..*at].matches('(').count() == text[..*at].matches(')').count())
        .map(|(at, _)| (&text[..at], &text[at + word.len()..]))
}

#[test]
fn every_dependency_has_a_licence_that_goes_with_ours_and_comes_from_the_registry()
-> Result<(), Failed> {
    let metadata = programs::metadata()?;
    let mut breaches = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let (name, licence) = (text(&package["name"]), text(&package["license"]));
        if !is_met(licence) {
            breaches.push(format!("{name}: {licence:?}"));
        }
        let source = text(&package["source"]);
        if !source.is_empty()
            && !source.starts_with("registry+https://github.com/rust-lang/crates.io-index")
        {
            breaches.push(format!("{name} comes from {source}"));
        }
    }
    none(&breaches);
    Ok(())
}

#[test]
fn licence_expressions_are_understood() {
    assert!(is_met("MIT OR GPL-3.0"));
    assert!(is_met("(MIT OR GPL-3.0) AND ISC"));
    assert!(is_met("Apache-2.0/MIT"));
    assert!(!is_met("MIT AND GPL-3.0"));
    assert!(!is_met("(MIT AND GPL-3.0) OR LGPL-2.1"));
    assert!(!is_met(""));
}

#[test]
fn what_the_documents_point_to_exists() -> Result<(), Failed> {
    let root = fs::canonicalize(programs::root())?;
    let mut breaches = Vec::new();
    for (path, prose) in files("md")? {
        let folder = root.join(&path);
        let folder = folder.parent().unwrap_or(&root);
        for (at, _) in prose.match_indices("](") {
            let target = prose[at + 2..]
                .split([')', '#', ' '])
                .next()
                .unwrap_or_default();
            let is_local = !target.is_empty() && !target.contains("://");
            if is_local && !folder.join(target).exists() {
                breaches.push(format!("{} points to {target}", path.display()));
            }
        }
    }
    none(&breaches);
    Ok(())
}

#[test]
fn ci_runs_exactly_what_people_run() -> Result<(), Failed> {
    let script = fs::read_to_string(programs::root().join(".ci/run"))?;
    let commands: Vec<&str> = script
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .collect();
    assert_eq!(
        commands,
        [r#"cd "$(dirname "$0")/.." && exec cargo lab test"#]
    );
    Ok(())
}
