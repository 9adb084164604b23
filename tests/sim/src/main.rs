//! Runs the simulator from the command line and prints figures.
//!
//! In: a scenario, a seed, options. Out: figures for people or as JSON; exit code 1 when something failed.
//! Never: anything in the scenario that the tests could not do.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use zt_sim::crowd::crowd;
use zt_sim::fuzz::fuzz;

/// Simulates whole worlds of nodes, each run a function of its seed.
#[derive(Parser)]
#[command(
    name = "zt-sim",
    after_help = "Examples:\n  zt-sim crowd --nodes 1000\n  zt-sim fuzz --seed 7 --runs 100\n  zt-sim --json fuzz --seed 7 --runs 1 --steps 60"
)]
struct Options {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Many nodes join one network and reach each other.
    Crowd {
        /// Where chance begins.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many nodes.
        #[arg(long, default_value_t = 1000)]
        nodes: usize,
        /// How many supernodes.
        #[arg(long, default_value_t = 2)]
        supernodes: u32,
    },
    /// Scenarios drawn by lot, each from the next seed.
    Fuzz {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many scenarios.
        #[arg(long, default_value_t = 20)]
        runs: u64,
        /// Steps of each.
        #[arg(long, default_value_t = 60)]
        steps: u64,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let began = Instant::now();
    let (failed, mut figures) = match options.scenario {
        Scenario::Crowd {
            seed,
            nodes,
            supernodes,
        } => run_crowd(seed, nodes, supernodes),
        Scenario::Fuzz { seed, runs, steps } => run_fuzz(seed, runs, steps),
    };
    figures["wall_s"] = json!(rounded(began.elapsed()));
    if options.json {
        println!("{figures:#}");
    } else if let Some(figures) = figures.as_object() {
        for (name, value) in figures {
            println!("{name:>14}  {value}");
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn run_crowd(seed: u64, nodes: usize, supernodes: u32) -> (bool, Value) {
    let (lan, figures) = crowd(seed, nodes, supernodes);
    let counters: serde_json::Map<String, Value> = lan
        .world
        .counters()
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name, json!(count)))
        .collect();
    let value = json!({
        "seed": seed,
        "nodes": figures.nodes,
        "joined_s": rounded(figures.joined),
        "frames": figures.frames,
        "arrived": figures.arrived,
        "met_s": rounded(figures.met),
        "simulated_s": rounded(figures.simulated),
        "datagrams": figures.datagrams,
        "events": figures.events,
        "trace": format!("{:016x}", figures.trace),
        "counters": counters,
    });
    (figures.arrived < figures.frames, value)
}

fn run_fuzz(seed: u64, runs: u64, steps: u64) -> (bool, Value) {
    let mut failed = Vec::new();
    let mut delivered = 0;
    for seed in seed..seed + runs {
        let story = fuzz(seed, steps);
        delivered += story.delivered;
        if !story.failures.is_empty() {
            eprintln!("seed {seed} --steps {steps} failed:");
            story.steps.iter().for_each(|step| eprintln!("  {step}"));
            story
                .failures
                .iter()
                .take(5)
                .for_each(|failure| eprintln!("  FAILED {failure}"));
            failed.push(seed);
        }
    }
    let value = json!({ "seed": seed, "runs": runs, "steps": steps, "delivered": delivered, "failed_seeds": failed });
    (!failed.is_empty(), value)
}

fn rounded(span: Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}
