//! `rules check` and `rules explain`: what a text says, before or after a network follows it.
//!
//! In: a text or a network of the netconf-master. Out: the compiled rules, or which line decides.
//! Never: a rule changed; a daemon asked about a text.

pub mod args;
mod frame;
pub mod names;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;
use zt_api::{Exit, MasterClient};
use zt_rules::{Decider, End, Facts, Outcome, RuleSet, Verdict};
use zt_wire::{Address, Mac, NetworkId};

use self::args::{Explain, RulesArgs, RulesCommand, Source};
use self::frame::Ends;
use crate::master;
use crate::output::{Failure, Output};

/// `rules ...`.
pub async fn rules(rules: &RulesArgs, output: Output) -> Result<(), Failure> {
    match &rules.command {
        RulesCommand::Check { file } => check(file, output),
        RulesCommand::Explain(asked) => {
            let client = match &asked.rules {
                Source::File(_) => None,
                Source::Network(_) => Some(master::client(&rules.master)?),
            };
            explain(client.as_ref(), asked, output).await
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

/// What `explain` says.
#[derive(Debug, Serialize)]
struct Explained {
    from: String,
    to: String,
    /// `pass`, `drop` or `redirect`.
    verdict: &'static str,
    /// Which line decides; none: the end of the rules.
    line: Option<u16>,
    /// What stands there.
    rule: Option<String>,
    /// The capability that lets it pass.
    capability: Option<String>,
    redirect: Option<String>,
    tee: Option<Tee>,
    priority: Option<u8>,
}

#[derive(Debug, Serialize)]
struct Tee {
    to: String,
    length: u16,
}

/// One end as far as rules look at it.
struct Known {
    tags: BTreeMap<u32, u32>,
    ip: Option<IpAddr>,
}

async fn explain(
    client: Option<&MasterClient>,
    asked: &Explain,
    output: Output,
) -> Result<(), Failure> {
    let (text, id, [mut from, mut to]) = material(client, asked).await?;
    let set = compiled(&text, &shown(&asked.rules))?;
    names::give(
        &set,
        &mut from.tags,
        &asked.from_tag,
        &asked.from_capability,
    )?;
    names::give(&set, &mut to.tags, &asked.to_tag, &[])?;
    let ends = Ends {
        macs: [Mac::of(asked.from, id), Mac::of(asked.to, id)],
        ips: ips(asked, [from.ip, to.ip])?,
    };
    let bytes = frame::build(asked, &ends);
    let Some(facts) = Facts::of(&bytes) else {
        return Err(Failure::new(Exit::Usage, "a frame has at least 14 bytes"));
    };
    let tags = [&from.tags, &to.tags].map(|tags| {
        tags.iter()
            .map(|(id, value)| (*id, *value))
            .collect::<Vec<_>>()
    });
    let decider = Decider::new(set);
    let one = End::new(asked.from, &tags[0], decider.rules());
    let other = End::new(asked.to, &tags[1], decider.rules());
    let outcome = decider.decide(&facts, &one, &other);
    let explained = said(&outcome, (asked.from, asked.to), decider.rules(), &text);
    output.show(&explained, sentence)
}

/// The text, the network whose MACs are meant, and what is known of sender and receiver.
async fn material(
    client: Option<&MasterClient>,
    asked: &Explain,
) -> Result<(String, NetworkId, [Known; 2]), Failure> {
    let nothing = || Known {
        tags: BTreeMap::new(),
        ip: None,
    };
    match (&asked.rules, client) {
        (Source::Network(id), Some(client)) => {
            let network = client
                .network(*id)
                .await
                .map_err(|e| master::no_network(e, *id))?;
            let mut known = [nothing(), nothing()];
            for (address, known) in [asked.from, asked.to].into_iter().zip(&mut known) {
                let member = client
                    .member(*id, address)
                    .await
                    .map_err(|e| master::no_member(e, *id, address))?;
                known.tags = member.tags;
                known.ip = member.ips.first().copied();
            }
            Ok((network.rules, *id, known))
        }
        (Source::File(file), _) => {
            // Any network will do: its id only makes the MACs.
            let id = NetworkId::new(asked.from, 1)
                .map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
            Ok((read(file)?, id, [nothing(), nothing()]))
        }
        (Source::Network(id), None) => Err(Failure::new(
            Exit::Usage,
            format!("the rules of {id} are known to its netconf-master only"),
        )),
    }
}

/// The addresses of both ends, of one family.
fn ips(asked: &Explain, known: [Option<IpAddr>; 2]) -> Result<[IpAddr; 2], Failure> {
    let v6 = [asked.ip_from, asked.ip_to]
        .into_iter()
        .flatten()
        .any(|ip| ip.is_ipv6());
    let usual = |last: u8| -> IpAddr {
        if v6 {
            [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)].into()
        } else {
            [10, 0, 0, last].into()
        }
    };
    let fitting = |ip: Option<IpAddr>| ip.filter(|ip| ip.is_ipv6() == v6);
    let from = asked.ip_from.or_else(|| fitting(known[0]));
    let to = asked.ip_to.or_else(|| fitting(known[1]));
    let ips = [
        from.unwrap_or_else(|| usual(1)),
        to.unwrap_or_else(|| usual(2)),
    ];
    if ips[0].is_ipv4() == ips[1].is_ipv4() {
        Ok(ips)
    } else {
        let text = "--ip-from and --ip-to must be of one family";
        Err(Failure::new(Exit::Usage, text))
    }
}

fn shown(source: &Source) -> String {
    match source {
        Source::File(file) => file.display().to_string(),
        Source::Network(id) => format!("the rules of {id}"),
    }
}

fn said(outcome: &Outcome, ends: (Address, Address), rules: &RuleSet, text: &str) -> Explained {
    let (verdict, redirect) = match outcome.verdict {
        Verdict::Pass => ("pass", None),
        Verdict::Redirect(to) => ("redirect", Some(to.to_string())),
        Verdict::Drop => ("drop", None),
    };
    let capability = outcome
        .capability
        .and_then(|id| rules.capabilities.iter().find(|known| known.id == id));
    let rule = outcome
        .line
        .and_then(|line| text.lines().nth(usize::from(line).checked_sub(1)?));
    Explained {
        from: ends.0.to_string(),
        to: ends.1.to_string(),
        verdict,
        line: outcome.line,
        rule: rule.map(|rule| rule.trim().to_owned()),
        capability: capability.map(|known| known.name.clone()),
        redirect,
        tee: outcome.tee.map(|(to, length)| Tee {
            to: to.to_string(),
            length,
        }),
        priority: outcome.priority,
    }
}

fn sentence(explained: &Explained) -> String {
    let Explained { from, to, .. } = explained;
    let what = match (explained.verdict, &explained.redirect) {
        ("pass", _) => format!("the frame from {from} to {to} passes"),
        (_, Some(elsewhere)) => {
            format!("the frame from {from} to {to} goes to {elsewhere} instead")
        }
        _ => format!("the frame from {from} to {to} is dropped"),
    };
    let why = match (explained.line, &explained.rule) {
        (Some(line), Some(rule)) => format!("line {line} decides: {rule}"),
        (Some(line), None) => format!("line {line} decides"),
        (None, _) if explained.verdict == "pass" => "there are no rules".to_owned(),
        (None, _) => "no line accepts it".to_owned(),
    };
    let mut lines = vec![what, why];
    lines.extend(
        explained
            .capability
            .as_ref()
            .map(|name| format!("the sender may by its capability {name}")),
    );
    lines.extend(
        explained
            .tee
            .as_ref()
            .map(|tee| format!("{} gets a copy of at most {} bytes", tee.to, tee.length)),
    );
    lines.extend(
        explained
            .priority
            .map(|level| format!("its priority is {level}")),
    );
    lines.join("\n")
}
