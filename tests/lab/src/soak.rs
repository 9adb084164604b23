//! `cargo lab soak`: the test programs again and again, for the failure that comes once in fifty runs.
//!
//! In: names, how often, and how busy the machine is to be beside them. Out: how often each failed. Never: a run that is tried again until it is good.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{
    Failed,
    checks::{self, SEVERAL, Step},
    packages, programs,
    progress::Progress,
};

/// What is repeated, how often, and beside what.
#[derive(Clone, Debug)]
pub struct Options {
    /// Parts of names of test programs, as `cargo lab test` prints them; empty means all of them.
    pub only: Vec<String>,
    /// Rounds; each runs every program once.
    pub times: u32,
    /// Threads that compete for the cores all the while: what is only just in time is late beside them.
    pub busy: u32,
}

/// A test program in all its rounds.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name, with its workers where there are several.
    pub name: String,
    /// How often it ran.
    pub runs: u32,
    /// How often it failed.
    pub failed: u32,
    /// Its slowest run.
    pub slowest: Duration,
}

/// Runs the chosen test programs `times` times; what a failed one said is shown at once.
///
/// # Errors
/// When nothing builds or no test program has such a name.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failed> {
    packages::ensure(progress)?;
    let (built, tests) = checks::build(progress)?;
    if !built.ok {
        return Err(Failed::new("the tests do not build"));
    }
    let programs = programs::target_directory()?.join("debug");
    let named = |name: &str| {
        options.only.is_empty() || options.only.iter().any(|part| name.contains(part.as_str()))
    };
    let chosen: Vec<_> = tests.iter().filter(|test| named(test.name())).collect();
    if chosen.is_empty() {
        return Err(Failed::new(format!(
            "no test program has {} in its name: `cargo lab test` prints the names",
            options.only.join(" or ")
        )));
    }
    let mut rows: Vec<Row> = Vec::new();
    beside(options.busy, || {
        for _ in 0..options.times {
            for test in &chosen {
                note(&mut rows, &test.run(&programs, None, progress)?);
                if test.is_about_workers() {
                    note(&mut rows, &test.run(&programs, Some(SEVERAL), progress)?);
                }
            }
        }
        Ok::<_, Failed>(())
    })?;
    progress.done();
    Ok(rows)
}

/// The table that ends it.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let _infallible = writeln!(
            text,
            "  {:width$}  {:4} runs  {:4} failed  {:8.1} s at most",
            row.name,
            row.runs,
            row.failed,
            row.slowest.as_secs_f64()
        );
    }
    text
}

fn note(rows: &mut Vec<Row>, step: &Step) {
    let known = rows.iter().position(|row| row.name == step.name);
    let place = known.unwrap_or_else(|| {
        rows.push(Row {
            name: step.name.clone(),
            runs: 0,
            failed: 0,
            slowest: Duration::ZERO,
        });
        rows.len() - 1
    });
    let row = &mut rows[place];
    row.runs += 1;
    row.failed += u32::from(!step.ok);
    row.slowest = row.slowest.max(step.took);
}

/// Does something while threads of this process keep the cores busy.
fn beside<T>(busy: u32, act: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..busy {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let _at_its_end = Over(&over);
        act()
    })
}

/// Ends the busy threads however the act ends: a scope waits for them even when it panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_of_many_runs_is_counted() {
        let step = |ok, seconds| Step {
            name: "engine workers".to_owned(),
            took: Duration::from_secs(seconds),
            ok,
            tests: Some(4),
        };
        let mut rows = Vec::new();
        for step in [step(true, 1), step(false, 3), step(true, 2)] {
            note(&mut rows, &step);
        }
        assert_eq!(rows.len(), 1);
        let said = table(&rows);
        assert!(
            said.contains("3 runs") && said.contains("1 failed"),
            "{said}"
        );
        assert!(said.contains("3.0 s"), "{said}");
    }
}
