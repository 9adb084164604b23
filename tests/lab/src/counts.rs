//! `cargo lab counts`: instructions per operation of what every packet passes, against the committed baseline.
//!
//! In: the work of `benches/`, callgrind. Out: a table, and whether anything became dearer. Never: a clock.

use std::{
    collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Stdio, time::Duration,
};

use crate::{
    Failed, Outcome, packages, process,
    programs::{cargo, root, target_directory},
    progress::Progress,
};

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    /// Its name.
    pub name: String,
    /// Instructions now.
    pub now: u64,
    /// Instructions in the baseline.
    pub then: Option<u64>,
}

impl Count {
    /// Whether it is no dearer than the baseline, beyond what another compiler does.
    pub fn ok(&self) -> bool {
        self.then
            .is_some_and(|then| self.now <= then + then * TOLERANCE / 100)
    }

    /// By how much it is dearer or cheaper than the baseline.
    fn change(&self, then: u64) -> String {
        let now = i128::from(self.now) * 1000;
        let tenths = now / i128::from(then.max(1)) - 1000;
        let sign = if tenths < 0 { '-' } else { '+' };
        format!(
            "{sign}{}.{} %",
            tenths.unsigned_abs() / 10,
            tenths.unsigned_abs() % 10
        )
    }
}

/// Counts everything.
///
/// # Errors
/// When callgrind cannot be had or does not run.
pub fn run(progress: &Progress) -> Result<Vec<Count>, Failed> {
    packages::ensure_tool("valgrind", "valgrind", progress)?;
    progress.step("building what is counted (release)");
    let built = cargo()
        .args(["build", "--release", "-p", "zt-benches", "--bin", "counts"])
        .stdout(Stdio::null())
        .status()?;
    if !built.success() {
        return Err(Failed::new("the benches do not build"));
    }
    let program = target_directory()?.join("release").join("counts");
    let program = program.to_string_lossy();
    let baseline = read()?;
    let mut counts = Vec::new();
    for line in process::tool(&program, &[])?.lines() {
        let Some((name, operations)) = line.split_once(' ') else {
            continue;
        };
        progress.step(&format!("counting {name}"));
        let operations: u64 = operations
            .parse()
            .map_err(|_| Failed::new(format!("not a number of operations: {line}")))?;
        counts.push(Count {
            name: name.to_owned(),
            now: counted(&program, name)? / operations.max(1),
            then: baseline.get(name).copied(),
        });
    }
    Ok(counts)
}

/// Makes these counts the baseline.
///
/// # Errors
/// When the file cannot be written.
pub fn keep(counts: &[Count]) -> Result<(), Failed> {
    let kept: BTreeMap<&str, u64> = counts
        .iter()
        .map(|count| (count.name.as_str(), count.now))
        .collect();
    fs::write(baseline(), serde_json::to_string_pretty(&kept)? + "\n")?;
    Ok(())
}

/// The table for people, and what to do about what is not good.
pub fn table(counts: &[Count]) -> String {
    let mut text =
        String::from("        instructions per operation          now  baseline   change\n");
    for count in counts {
        let mark = if count.ok() { "ok  " } else { "FAIL" };
        let (then, change) = count.then.map_or_else(
            || ("-".to_owned(), "new".to_owned()),
            |then| (then.to_string(), count.change(then)),
        );
        let _infallible = writeln!(
            text,
            "  {mark}  {:30} {:>9} {then:>9} {change:>8}",
            count.name, count.now
        );
    }
    if !counts.iter().all(Count::ok) {
        let _infallible = writeln!(
            text,
            "what is marked takes over {TOLERANCE} % more instructions than benches/baseline.json says, or is not in it.\n\
             Make it cheaper; or, where the price is meant, run `cargo lab counts --keep` and commit the baseline with the reason."
        );
    }
    text
}

fn counted(program: &str, name: &str) -> Result<u64, Failed> {
    let mut command = std::process::Command::new("valgrind");
    command.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--toggle-collect=*counts*measured*",
        program,
        name,
    ]);
    let said = Outcome::of(&mut command, Duration::from_mins(2))?.good()?;
    said.stderr
        .lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .filter(|count| *count > 0)
        .ok_or_else(|| Failed::new(format!("callgrind counted nothing: {}", said.stderr)))
}

fn read() -> Result<BTreeMap<String, u64>, Failed> {
    match fs::read_to_string(baseline()) {
        Ok(text) => Ok(serde_json::from_str(&text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

fn baseline() -> PathBuf {
    root().join("benches").join("baseline.json")
}

/// Percent by which a count may exceed its baseline. The same binary counts the same to a few in a thousand; another
/// build directory or a patch release of the compiler moves inlining by one or two percent (measured November 2026).
const TOLERANCE: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_dearer_or_has_no_baseline_is_not_good() {
        let count = |now, then| Count {
            name: "tx".into(),
            now,
            then,
        };
        assert!(count(105, Some(100)).ok() && count(50, Some(100)).ok());
        assert!(!count(106, Some(100)).ok() && !count(1, None).ok());
    }

    #[test]
    fn a_table_that_is_not_good_says_what_to_do() {
        let count = |now| Count {
            name: "tx".into(),
            now,
            then: Some(1000),
        };
        let good = table(&[count(995)]);
        assert!(
            good.contains("-0.5 %") && !good.contains("--keep"),
            "{good}"
        );
        let bad = table(&[count(995), count(1100)]);
        assert!(
            bad.contains("FAIL")
                && bad.contains("+10.0 %")
                && bad.contains("cargo lab counts --keep"),
            "{bad}"
        );
    }

    #[test]
    fn the_baseline_has_every_kind_of_work() {
        let baseline = read().unwrap();
        for kind in ["parse", "rx", "tx", "rules", "timers"] {
            let known = baseline.keys().any(|name| name.starts_with(kind));
            assert!(known, "no {kind} in benches/baseline.json");
        }
    }
}
