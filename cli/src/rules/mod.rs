//! `rules check` and `rules explain`: what a text says, before or after a network follows it.
//!
//! In: a text or a network of the netconf-master. Out: the compiled rules, or what decides.
//! Never: a rule changed; a daemon asked about a text.

pub mod args;
mod ends;
mod explain;
mod frame;
pub mod names;

use std::io::Read as _;
use std::path::Path;

use zt_api::Exit;
use zt_rules::RuleSet;

use self::args::{RulesArgs, RulesCommand};
use crate::master;
use crate::output::{Failure, Output};

/// `rules ...`.
pub async fn rules(rules: &RulesArgs, output: Output) -> Result<(), Failure> {
    match &rules.command {
        RulesCommand::Check { file } => check(file, output),
        RulesCommand::Explain(asked) => {
            let client = match asked.network() {
                None => None,
                Some(_) => Some(master::client(&rules.master)?),
            };
            explain::explain(client.as_ref(), asked, output).await
        }
    }
}

/// The text in a file, or on stdin.
pub fn read(file: &Path) -> Result<String, Failure> {
    let unreadable = |e| {
        Failure::new(
            Exit::Failed,
            format!("{} cannot be read: {e}", file.display()),
        )
    };
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(unreadable)
}

/// The rules of a text; `whose` is named when it is wrong.
pub fn compiled(text: &str, whose: &str) -> Result<RuleSet, Failure> {
    zt_rules::compile(text).map_err(|e| Failure::new(Exit::Failed, format!("{whose}: {e}")))
}

fn check(file: &Path, output: Output) -> Result<(), Failure> {
    let set = compiled(&read(file)?, &file.display().to_string())?;
    output.show(&set, |set| {
        format!(
            "{} rules, {} capabilities, {} tags; {} bytes compiled",
            set.rules.len(),
            set.capabilities.len(),
            set.tags.len(),
            set.encode().len()
        )
    })
}
