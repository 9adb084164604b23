//! `cargo lab`: the demo, the checks, and the broom.
//!
//! In: a command line. Out: a table or JSON on stdout, progress on stderr, an exit code. Never: work of its own.
#![forbid(unsafe_code)]

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use zt_lab::{
    Failed, Keep, Programs, bench, checks, counts, demo, lan, packages,
    programs::Profile,
    progress::Progress,
    run::{Which, clean},
    soak,
    zt::{Kit, ProofOfWork},
};

/// Real hosts in network namespaces, made and removed by this program.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Builds the programs, makes a small Internet, connects two homes, and prints what it measured
    Demo {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
        /// Leave the hosts up and say how to enter each
        #[arg(long)]
        keep: bool,
    },
    /// Lets programs of Debian that look for each other on a LAN do so across the overlay
    Lan {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
        /// Leave the hosts up and say how to enter each
        #[arg(long)]
        keep: bool,
        /// Only rows of this name, or of a place: --only doom,openttd or --only bridges
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Runs everything that CI runs
    Test,
    /// Runs tests again and again, to meet what fails once in fifty runs
    Soak {
        /// Rounds
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        times: u32,
        /// Threads that keep the cores busy beside the tests
        #[arg(long, default_value_t = 0, value_name = "THREADS")]
        busy: u32,
        /// Only test programs with one of these in their names: --only engine,join
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Measures zt, its limit and the peers that are installed, on two hosts joined by one cable
    Bench(Bench),
    /// Counts instructions of what every packet passes, against benches/baseline.json
    Counts {
        /// Make what is counted now the baseline
        #[arg(long)]
        keep: bool,
    },
    /// Removes what runs have left: dead ones and kept ones
    Clean,
}

#[derive(Debug, clap::Args)]
struct Bench {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Also write the table as a picture (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Short measurements, one round
    #[arg(long)]
    quick: bool,
    /// Only what has one of these in its name: --only zt,limit
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Also measure the program that this file describes (see tests/lab/peers)
    #[arg(long, value_name = "FILE")]
    peer: Vec<PathBuf>,
    /// Build vpncloud from crates.io once and measure it, too
    #[arg(long)]
    with_vpncloud: bool,
}

const EXAMPLES: &str = "Examples:
  cargo lab demo           see it work, on this machine alone
  cargo lab demo --keep    and leave the hosts up to play with
  cargo lab clean          remove them again
  cargo lab lan            games and services of Debian find each other across the overlay
  cargo lab test           everything that CI runs
  cargo lab soak --only join,multicast --times 50 --busy 2
  cargo lab bench          how fast it is, beside the others that are installed
  cargo lab bench --quick --only zt,limit,raw";

fn main() -> ExitCode {
    let progress = Progress::new();
    let done = match Arguments::parse().command {
        Act::Demo { json, keep } => show(json, keep, &progress),
        Act::Lan { json, keep, only } => lan(json, keep, &only, &progress),
        Act::Test => test(&progress),
        Act::Soak { times, busy, only } => {
            soak_for(&soak::Options { only, times, busy }, &progress)
        }
        Act::Bench(options) => measure(options, &progress),
        Act::Counts { keep } => count(keep, &progress),
        Act::Clean => clean(Which::DeadAndKept).map(|removed| {
            println!("{removed} runs removed");
            true
        }),
    };
    progress.done();
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failed) => {
            eprintln!("cargo lab: {failed}");
            ExitCode::FAILURE
        }
    }
}

fn show(json: bool, keep: bool, progress: &Progress) -> Result<bool, Failed> {
    packages::ensure(progress)?;
    progress.say("building the programs (release)");
    let kit = Kit {
        programs: Programs::build(Profile::Release)?,
        work: ProofOfWork::Release,
        workers: None,
    };
    let keep = if keep { Keep::Hosts } else { Keep::Nothing };
    let demo = demo::run(&kit, keep, progress)?;
    if json {
        println!("{}", demo.report.json());
    } else {
        print!("{}", demo.report.table());
    }
    for line in &demo.how_to_enter {
        eprintln!("{line}");
    }
    Ok(demo.report.ok())
}

fn lan(json: bool, keep: bool, only: &[String], progress: &Progress) -> Result<bool, Failed> {
    packages::ensure(progress)?;
    progress.step("building the programs");
    let kit = Kit::weak(Programs::build(Profile::Dev)?);
    let keep = if keep { Keep::Hosts } else { Keep::Nothing };
    let found = lan::run(only, &kit, keep, progress)?;
    progress.done();
    if json {
        println!("{}", serde_json::to_value(&found)?);
    } else {
        print!("{}", found.table());
    }
    for line in &found.how_to_enter {
        eprintln!("{line}");
    }
    Ok(found.ok)
}

fn test(progress: &Progress) -> Result<bool, Failed> {
    let steps = checks::run(progress)?;
    print!("{}", checks::summary(&steps));
    Ok(steps.iter().all(|step| step.ok))
}

fn soak_for(options: &soak::Options, progress: &Progress) -> Result<bool, Failed> {
    let rows = soak::run(options, progress)?;
    print!("{}", soak::table(&rows));
    Ok(rows.iter().all(|row| row.failed == 0))
}

fn measure(options: Bench, progress: &Progress) -> Result<bool, Failed> {
    packages::ensure(progress)?;
    let what = bench::Options {
        quick: options.quick,
        only: options.only,
        peers: options.peer,
        with_vpncloud: options.with_vpncloud,
    };
    let rows = bench::run(&what, progress)?;
    let targets = bench::targets::targets(&rows);
    if options.json {
        println!(
            "{}",
            serde_json::json!({ "rows": rows, "targets": targets })
        );
    } else {
        print!(
            "{}\n{}",
            bench::table::table(&rows),
            bench::targets::ratios(&targets)
        );
    }
    if let Some(file) = options.plot {
        std::fs::write(file, bench::table::picture(&rows))?;
    }
    // A measurement is no test: what is slow here may be fast elsewhere.
    Ok(!rows.is_empty())
}

fn count(keep: bool, progress: &Progress) -> Result<bool, Failed> {
    let counts = counts::run(progress)?;
    print!("{}", counts::table(&counts));
    if keep {
        counts::keep(&counts)?;
    }
    Ok(keep || counts.iter().all(counts::Count::ok))
}
