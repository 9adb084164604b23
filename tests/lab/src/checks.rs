//! `cargo lab test`: everything that CI runs, one step after the other, with times.
//!
//! In: the workspace as it is. Out: a summary; the first words of whatever failed. Never: a skipped step.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Failed, Keep, Programs, counts, lan, packages, process, programs,
    progress::Progress,
    zt::{Kit, WORKERS},
};

/// One step and how it ended.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// Whether it was good.
    pub ok: bool,
    /// Tests that ran, where the step is one of tests.
    pub tests: Option<u32>,
}

/// Runs everything.
///
/// # Errors
/// When the machine cannot run the checks at all; a check that fails is a step that is not ok.
pub fn run(progress: &Progress) -> Result<Vec<Step>, Failed> {
    packages::ensure(progress)?;
    components(progress)?;
    let mut steps = vec![
        quiet(
            progress,
            "format",
            programs::cargo().args(["fmt", "--all", "--check"]),
        )?,
        quiet(
            progress,
            "clippy, warnings denied",
            programs::cargo().args(CLIPPY),
        )?,
    ];
    let (built, tests) = build(progress)?;
    let builds = built.ok;
    steps.push(built);
    if builds {
        // What was just built, so that no test builds it again.
        let programs = programs::target_directory()?.join("debug");
        for test in &tests {
            steps.push(test.run(&programs, None, progress)?);
        }
        for test in tests.iter().filter(|test| test.is_about_workers()) {
            steps.push(test.run(&programs, Some(SEVERAL), progress)?);
        }
        steps.push(quiet(
            progress,
            "examples in the documentation",
            programs::cargo().args(["test", "--workspace", "--doc", "--quiet"]),
        )?);
        steps.push(debian(&programs, progress)?);
        steps.push(counted(progress)?);
    }
    progress.done();
    Ok(steps)
}

/// Programs of Debian find each other across the overlay; one that cannot be installed is a failure, too.
fn debian(programs: &Path, progress: &Progress) -> Result<Step, Failed> {
    timed("programs of Debian (cargo lab lan)", progress, || {
        let kit = Kit::weak(Programs::at(programs.to_path_buf())?);
        Ok(match lan::run(&[], &kit, Keep::Nothing, progress) {
            Ok(lan) => Ended::of(lan.ok, lan.table()),
            Err(failed) => Ended::of(false, failed.to_string()),
        })
    })
}

/// The summary that ends a run.
pub fn summary(steps: &[Step]) -> String {
    let width = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for step in steps {
        let mark = if step.ok { "ok  " } else { "FAIL" };
        let tests = step
            .tests
            .map_or_else(String::new, |tests| format!("{tests:5} tests"));
        let took = step.took.as_secs_f64();
        let _infallible = writeln!(text, "  {mark}  {:width$} {took:8.1} s {tests}", step.name);
    }
    let total: Duration = steps.iter().map(|step| step.took).sum();
    let failed = steps.iter().filter(|step| !step.ok).count();
    let tests: u32 = steps.iter().filter_map(|step| step.tests).sum();
    let _infallible = writeln!(
        text,
        "{} in {:.0} s: {tests} tests, {} steps, {failed} failed",
        if failed == 0 { "good" } else { "NOT good" },
        total.as_secs_f64(),
        steps.len()
    );
    text
}

/// Rust's own parts that the checks need; rustup adds them, as it knows the toolchain.
fn components(progress: &Progress) -> Result<(), Failed> {
    for (program, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let mut probe = programs::cargo();
        probe.args([program, "--version"]);
        let there = probe.output().is_ok_and(|output| output.status.success());
        if !there {
            progress.say(&format!("adding to Rust: {component}"));
            process::tool("rustup", &["component", "add", component]).map_err(|failed| {
                failed.during(&format!("no cargo {program}: install {component}"))
            })?;
        }
    }
    Ok(())
}

/// Runs a command that says nothing worth reading unless it fails.
fn quiet(progress: &Progress, name: &str, command: &mut Command) -> Result<Step, Failed> {
    timed(name, progress, || {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stderr = child.stderr.take();
        let words = std::thread::scope(|scope| {
            let reader = scope.spawn(|| follow(stderr, progress));
            let mut stdout = String::new();
            if let Some(mut pipe) = child.stdout.take() {
                let _what_came_counts = pipe.read_to_string(&mut stdout);
            }
            let stderr = reader.join().unwrap_or_default();
            format!("{stdout}{stderr}")
        });
        Ok(Ended::of(child.wait()?.success(), words))
    })
}

/// Counts instructions of what every packet passes, against the committed baseline.
fn counted(progress: &Progress) -> Result<Step, Failed> {
    timed("instruction counts", progress, || {
        let counts = counts::run(progress)?;
        let ok = counts.iter().all(counts::Count::ok);
        Ok(Ended::of(ok, counts::table(&counts)))
    })
}

/// Shows each line as a detail and keeps all of them.
fn follow(pipe: Option<impl Read>, progress: &Progress) -> String {
    let mut kept = String::new();
    let Some(pipe) = pipe else { return kept };
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        progress.detail(line.trim());
        kept.push_str(&line);
        kept.push('\n');
    }
    kept
}

/// How a step ended, and what it said.
struct Ended {
    ok: bool,
    words: String,
    tests: Option<u32>,
}

impl Ended {
    const fn of(ok: bool, words: String) -> Self {
        let tests = None;
        Self { ok, words, tests }
    }
}

/// Takes one step, with its time; what it said is shown when it fails.
fn timed(
    name: &str,
    progress: &Progress,
    act: impl FnOnce() -> Result<Ended, Failed>,
) -> Result<Step, Failed> {
    progress.step(name);
    let started = Instant::now();
    let Ended { ok, words, tests } = act()?;
    let took = started.elapsed();
    if !ok {
        progress.say(&format!("--- {name} FAILED\n{words}---"));
    }
    let mark = if ok { "ok" } else { "FAILED" };
    progress.say(&format!("{mark:6} {:8.1} s  {name}", took.as_secs_f64()));
    for line in words.lines().filter(|line| line.starts_with(MEASURED)) {
        progress.say(line);
    }
    Ok(Step {
        name: name.to_owned(),
        took,
        ok,
        tests,
    })
}

/// A built test program.
#[derive(Clone, Debug)]
pub(crate) struct TestProgram {
    name: String,
    path: PathBuf,
    /// Where cargo would run it.
    package: PathBuf,
    system: bool,
}

/// Builds every library, program and test in one go, so that nothing is compiled twice.
pub(crate) fn build(progress: &Progress) -> Result<(Step, Vec<TestProgram>), Failed> {
    let mut tests = Vec::new();
    let step = timed("build everything", progress, || {
        let mut child = programs::cargo()
            .args(BUILD)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take();
        let stdout = child.stdout.take();
        let words = std::thread::scope(|scope| {
            let reader = scope.spawn(|| follow(stderr, progress));
            if let Some(stdout) = stdout {
                let lines = BufReader::new(stdout).lines().map_while(Result::ok);
                tests.extend(lines.filter_map(|line| TestProgram::of(&line)));
            }
            reader.join().unwrap_or_default()
        });
        Ok(Ended::of(child.wait()?.success(), words))
    })?;
    // The quick ones first: a small mistake is known soon.
    tests.sort_by(|a, b| (a.system, &a.name).cmp(&(b.system, &b.name)));
    Ok((step, tests))
}

impl TestProgram {
    /// Reads one line of cargo's messages, if it announces a test program.
    fn of(line: &str) -> Option<Self> {
        let message: Value = serde_json::from_str(line).ok()?;
        if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
            return None;
        }
        let package = Path::new(message["manifest_path"].as_str()?)
            .parent()?
            .to_path_buf();
        let target = message["target"]["name"].as_str()?;
        let kind = message["target"]["kind"][0].as_str()?;
        let folder = package
            .strip_prefix(fs::canonicalize(programs::root()).ok()?)
            .map_or_else(|_| package.clone(), Path::to_path_buf);
        Some(Self {
            name: format!("{} {target} ({kind})", folder.display()),
            path: PathBuf::from(message["executable"].as_str()?),
            system: folder == Path::new("tests/system"),
            package,
        })
    }

    /// Whether it is to hold with several workers, too: what a node promises at all, and every kind of frame.
    pub(crate) fn is_about_workers(&self) -> bool {
        let test = self.name.ends_with("(test)");
        let engine = test && self.name.starts_with("node/engine ");
        let system = |name: &&str| self.name == format!("tests/system {name} (test)");
        engine || WITH_SEVERAL.iter().any(system)
    }

    /// Its folder, its name and its kind, as the summary names it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn run(
        &self,
        programs: &Path,
        workers: Option<&str>,
        progress: &Progress,
    ) -> Result<Step, Failed> {
        let name = match workers {
            Some(workers) => format!("{}, {workers} workers", self.name),
            None => self.name.clone(),
        };
        timed(&name, progress, || {
            self.perform(programs, workers, progress)
        })
    }

    fn perform(
        &self,
        programs: &Path,
        workers: Option<&str>,
        progress: &Progress,
    ) -> Result<Ended, Failed> {
        let mut command = Command::new(&self.path);
        match workers {
            Some(workers) => command.env(WORKERS, workers).env(WORK_LAG, LAG),
            None => command.env_remove(WORKERS).env_remove(WORK_LAG),
        };
        command
            .current_dir(&self.package)
            .env("CARGO_MANIFEST_DIR", &self.package)
            .env("ZT_BIN_DIR", programs)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.system {
            // These wait more than they work.
            command.args(["--test-threads", SYSTEM_THREADS]);
        }
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let words = std::thread::scope(|scope| {
            let reader = scope.spawn(|| follow(stderr, progress));
            let stdout = follow(stdout, progress);
            format!("{stdout}{}", reader.join().unwrap_or_default())
        });
        let status = child.wait()?;
        let counts = Counts::read(&words);
        // A test that is filtered out or ignored would be a silent skip.
        let ok = status.success() && counts.is_some_and(|counts| counts.skipped == 0);
        let tests = Some(counts.map_or(0, |counts| counts.passed));
        Ok(Ended { ok, words, tests })
    }
}

/// What libtest says at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    passed: u32,
    skipped: u32,
}

impl Counts {
    fn read(words: &str) -> Option<Self> {
        let line = words
            .lines()
            .rev()
            .find(|line| line.starts_with("test result:"))?;
        let number_before = |what: &str| -> Option<u32> {
            let (before, _) = line.split_once(what)?;
            before.split_whitespace().last()?.parse().ok()
        };
        Some(Self {
            passed: number_before(" passed")?,
            skipped: number_before(" ignored")? + number_before(" filtered out")?,
        })
    }
}

/// What a test prints in front of a figure that people want to see even when all is good.
pub const MEASURED: &str = "measured: ";
const CLIPPY: [&str; 7] = [
    "clippy",
    "--workspace",
    "--all-targets",
    "--quiet",
    "--",
    "-D",
    "warnings",
];
const BUILD: [&str; 6] = [
    "build",
    "--workspace",
    "--lib",
    "--bins",
    "--tests",
    "--message-format=json-render-diagnostics",
];
const SYSTEM_THREADS: &str = "3";
/// Workers of each program when the tests about workers run again.
pub(crate) const SEVERAL: &str = "3";
/// Names the milliseconds that a piece of slow work takes in the engine's tests: then, too, the pool is behind.
const WORK_LAG: &str = "ZT_TEST_WORK_LAG";
const LAG: &str = "3";
/// The system tests that do.
const WITH_SEVERAL: [&str; 5] = ["bridging", "ethernet", "frames", "join", "multicast"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_test_counts_as_skipped() {
        let words = "test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        let counts = Counts {
            passed: 7,
            skipped: 1,
        };
        assert_eq!(Counts::read(words), Some(counts));
    }

    #[test]
    fn a_program_that_is_no_test_is_not_run_as_one() {
        let line = r#"{"reason":"compiler-artifact","profile":{"test":false},"executable":"/x"}"#;
        assert!(TestProgram::of(line).is_none());
    }
}
