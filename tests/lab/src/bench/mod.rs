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
    figures::Effort,
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
    /// A third of the time, and no repeats.
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
    let effort = if options.quick {
        Effort {
            duration: Duration::from_secs(1),
            repeats: 1,
        }
    } else {
        Effort {
            duration: Duration::from_secs(2),
            repeats: 3,
        }
    };
    let lab = Lab::new(Keep::Nothing)?;
    let ground = Ground::new(&lab)?;
    let mut rows = Vec::new();
    for contender in &contenders {
        progress.step(&format!("measuring {}", contender.name()));
        match contender.start(&ground) {
            Ok(running) => {
                let mut complain =
                    |what: &str| progress.say(&format!("{}: {what}", contender.name()));
                let figures = figures::measure(&ground, &running, effort, &mut complain);
                rows.push(Row {
                    name: contender.name().to_owned(),
                    figures,
                });
            }
            Err(failed) => progress.say(&format!(
                "{} is left out: {failed}\n{}",
                contender.name(),
                lab.last_words()
            )),
        }
        ground.clear()?;
    }
    Ok(rows)
}

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
