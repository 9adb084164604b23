//! `cargo lab bench`: everything measured in one run on the same two hosts, as one table.
//!
//! In: which contenders, how long. Out: rows, and the targets they reach. Never: figures of another run mixed in.

pub mod contender;
pub mod figures;
pub mod ground;
pub mod load;
pub mod own;
pub mod table;
pub mod targets;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use self::{
    contender::{Contender, Peer},
    figures::Figures,
    ground::Ground,
    own::Own,
    table::Row,
};
use crate::{
    Failed, Keep, Lab, Programs,
    programs::{Profile, cargo, target_directory},
    progress::Progress,
    zt::Kit,
};

/// What to measure and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Half the time, and one round.
    pub quick: bool,
    /// Only contenders whose name contains one of these.
    pub only: Vec<String>,
    /// Descriptions of other programs.
    pub peers: Vec<PathBuf>,
    /// Build vpncloud from crates.io first, once.
    pub with_vpncloud: bool,
}

/// Builds what is measured and measures it.
///
/// # Errors
/// When something does not build or the two hosts cannot be made. A contender that fails is said and left out.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failed> {
    if options.with_vpncloud {
        progress.step("building vpncloud");
        contender::build_vpncloud()?;
    }
    let contenders = contenders(options, progress)?;
    let (duration, rounds) = if options.quick {
        (Duration::from_secs(1), 1)
    } else {
        (Duration::from_secs(2), ROUNDS)
    };
    let lab = Lab::new(Keep::Nothing)?;
    let ground = Ground::new(&lab)?;
    let mut all = vec![Vec::new(); contenders.len()];
    for round in 1..=rounds {
        // There and back: a machine that slows down favours the first in one round and the last in the next.
        let mut order: Vec<_> = contenders.iter().zip(&mut all).collect();
        if round % 2 == 0 {
            order.reverse();
        }
        for (contender, figures) in order {
            progress.step(&format!(
                "round {round} of {rounds}: measuring {}",
                contender.name()
            ));
            figures.push(measured(contender, (&lab, &ground), duration, progress));
            ground.clear()?;
        }
    }
    let rows = contenders.iter().zip(all);
    let rows = rows.map(|(contender, figures)| Row::new(contender.name(), figures));
    Ok(rows
        .filter(|row| row.figures.first_ping_ms.is_some())
        .collect())
}

/// One contender's figures of one round; none where it does not start, which is said.
fn measured(
    contender: &Contender,
    (lab, ground): (&Lab, &Ground),
    duration: Duration,
    progress: &Progress,
) -> Figures {
    let mut complain = |what: &str| progress.say(&format!("{}: {what}", contender.name()));
    match contender.start(ground) {
        Ok(running) => figures::measure(ground, &running, duration, &mut complain),
        Err(failed) => {
            let words = lab.last_words();
            complain(&format!("left out of this round: {failed}\n{words}"));
            Figures::default()
        }
    }
}

/// How often each is measured; the others are in between.
const ROUNDS: usize = 3;

fn contenders(options: &Options, progress: &Progress) -> Result<Vec<Contender>, Failed> {
    progress.step("building the programs (release)");
    let kit = Kit::weak(Programs::build(Profile::Release)?);
    let mut all = vec![Contender::Raw, Contender::Limit(build_limit()?)];
    all.extend(Own::all(&kit).map(Contender::Own));
    all.extend(
        Peer::installed(&options.peers)?
            .into_iter()
            .map(Contender::Peer),
    );
    if !options.only.is_empty() {
        all.retain(|contender| {
            let name = contender.name();
            options
                .only
                .iter()
                .any(|wanted| name.contains(wanted.as_str()))
        });
    }
    Ok(all)
}

fn build_limit() -> Result<PathBuf, Failed> {
    if let Some(dir) = std::env::var_os("ZT_BIN_DIR") {
        return Ok(Path::new(&dir).join("examples").join("limit"));
    }
    let built = cargo()
        .args([
            "build",
            "--release",
            "-p",
            "zt-driver",
            "--example",
            "limit",
        ])
        .stdout(Stdio::null())
        .status()?;
    if !built.success() {
        return Err(Failed::new("the limit does not build"));
    }
    Ok(target_directory()?
        .join("release")
        .join("examples")
        .join("limit"))
}
