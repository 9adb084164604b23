//! `selftest`: which kinds of Ethernet frames cross to a member and back.
//!
//! In: a member, perhaps a network. Out: a table, the total, an exit code. Never: a success while something that should cross did not.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use zt_api::{ApiError, Exit, NodeClient, Selftest, SelftestRequest, Status, Trouble};
use zt_wire::{Address, NetworkId};

use crate::args::seconds;
use crate::node::unknown_network;
use crate::output::{Failure, Output, table};

/// A test shorter than this needs no sign of life.
const QUIET: Duration = Duration::from_secs(1);

/// Arguments of `selftest`.
#[derive(Debug, Args)]
#[command(after_help = "\
Sends one frame of every kind (IPX, NetBEUI, AppleTalk, ARP, DHCP, multicast, IPv6, VLANs, PPPoE, IS-IS, every size ...) \
through the same switch, guards and rules as any frame, to this member only, and has it send the same set back. The \
member must have agreed: `zt-cli set NETWORK allow-selftest=on` there. Its node compares the bytes, the order and the \
count; no frame of a test reaches a device.

crossed: whole, once, in order. stopped: by policy, a rule or a missing right, which WHY NOT names; that is no failure.
Exit codes: 0 all that should cross did; 1 some did not; 6 no zt-node here; 7 no answer, or a zt-node too old there; \
8 the member has not agreed.

Examples:
  zt-cli selftest 89e92ceee5
  zt-cli selftest 89e92ceee5 --network 1d71939404000001 --one-way
  zt-cli --json selftest 89e92ceee5 | jq '.ways[].kinds[] | select(.verdict != \"crossed\")'")]
pub struct SelftestArgs {
    /// The member, ten hex digits
    pub member: Address,
    /// The network, sixteen hex digits [default: the one that is joined]
    #[arg(long, value_name = "NETWORK-ID")]
    pub network: Option<NetworkId>,
    /// Only from here to the member
    #[arg(long)]
    pub one_way: bool,
    /// How long the whole may take
    #[arg(short = 'W', long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub limit: Duration,
}

/// `selftest`.
pub async fn selftest(
    node: &NodeClient,
    args: &SelftestArgs,
    output: Output,
) -> Result<(), Failure> {
    let network = match args.network {
        Some(network) => network,
        None => only(node).await?,
    };
    let request = SelftestRequest {
        member: args.member,
        both: !args.one_way,
        limit_ms: u64::try_from(args.limit.as_millis()).unwrap_or(u64::MAX),
    };
    let tested = watched(node.selftest(network, request), args, output).await;
    let report = tested.map_err(|error| refused(error, network, args))?;
    output.show(&report, text)?;
    if report.passed() {
        return Ok(());
    }
    let member = args.member;
    Err(Failure::new(
        Exit::Failed,
        if report.whole {
            format!(
                "not every frame that should cross did; `zt-cli counters` here and on {member} names the drops, \
                 `zt-cli why {member}` the path"
            )
        } else {
            format!("{member} did not send its frames back in time; try --limit with more seconds")
        },
    ))
}

/// The network to test on when none is named.
async fn only(node: &NodeClient) -> Result<NetworkId, Failure> {
    let networks = node.networks().await?;
    let mut up = networks.iter().filter(|n| n.status == Status::Ok);
    match (up.next(), up.next()) {
        (Some(one), None) => Ok(one.id),
        (None, _) => Err(Failure::new(
            Exit::Failed,
            "this node is a member of no network yet; `zt-cli networks` says where joining stands",
        )),
        (Some(one), Some(_)) => Err(Failure::new(
            Exit::Usage,
            format!(
                "this node is in several networks; say which with --network {}, for example",
                one.id
            ),
        )),
    }
}

/// Waits, with a sign of life for a person when it takes long.
async fn watched<T>(test: impl Future<Output = T>, args: &SelftestArgs, output: Output) -> T {
    tokio::pin!(test);
    if output.json || !std::io::stderr().is_terminal() {
        return test.await;
    }
    if let Ok(done) = tokio::time::timeout(QUIET, &mut test).await {
        return done;
    }
    let bar = ProgressBar::new_spinner().with_message(format!("testing with {}", args.member));
    // The template is ours and right.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    let done = test.await;
    bar.finish_and_clear();
    done
}

fn refused(error: ApiError, network: NetworkId, args: &SelftestArgs) -> Failure {
    let member = args.member;
    let trouble = match &error {
        ApiError::Answer { body, .. } => body.trouble,
        _ => None,
    };
    let message = match trouble {
        Some(Trouble::NotAgreed) => format!(
            "{member} has not agreed to be tested; its operator types `zt-cli set {network} allow-selftest=on` there"
        ),
        Some(Trouble::NotMember) => format!(
            "{member} is no member of {network}, or its certificate did not come; `zt-cli member list {network}` at the \
             netconf-master says who is"
        ),
        Some(Trouble::Busy) => {
            format!("{member} or this node is in another selftest; try again in some seconds")
        }
        Some(Trouble::Unsupported) => format!(
            "{member} answers, but knows no selftest: its zt-node is too old; update it and try again"
        ),
        Some(Trouble::TimedOut) => {
            format!("{member} did not answer in time; `zt-cli why {member}` says what was tried")
        }
        Some(Trouble::NoSuchPeer) => {
            format!("nobody knows {member}; is the address right and the machine online?")
        }
        Some(_) | None => return unknown_network(error, network),
    };
    Failure::new(error.exit(), message)
}

fn text(report: &Selftest) -> String {
    let none = String::new;
    let [there, back] = [report.ways.first(), report.ways.get(1)];
    let kinds = there.map_or(&[][..], |way| &way.kinds);
    let rows = kinds.iter().map(|kind| {
        let other = back.and_then(|way| way.kinds.iter().find(|other| other.kind == kind.kind));
        let mut why = kind.why.clone().unwrap_or_default();
        if let Some(theirs) = other.and_then(|other| other.why.clone())
            && theirs != why
        {
            why = if why.is_empty() {
                format!("back: {theirs}")
            } else {
                format!("{why}; back: {theirs}")
            };
        }
        [
            kind.kind.clone(),
            kind.bytes.to_string(),
            kind.verdict.to_string(),
            other.map_or_else(none, |other| other.verdict.to_string()),
            why,
        ]
    });
    let head = ["KIND", "BYTES", "THERE", "BACK", "WHY NOT"];
    let table = table(head, rows, "nothing was sent");
    let totals = report.ways.iter().map(|way| {
        let moved = if way.path_changed {
            "; the path changed meanwhile"
        } else {
            ""
        };
        let stopped = match way.stopped {
            0 => none(),
            n => format!("; {n} stopped by policy"),
        };
        format!(
            "{} to {}: {} of {} crossed{stopped}{moved}",
            way.from, way.to, way.crossed, way.due
        )
    });
    [table]
        .into_iter()
        .chain(totals)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use zt_api::{SelftestKind, SelftestVerdict, SelftestWay};

    fn report(verdict: SelftestVerdict, why: Option<&str>) -> Selftest {
        let kind = SelftestKind {
            kind: "LLDP".into(),
            bytes: 60,
            verdict,
            why: why.map(str::to_owned),
        };
        let (crossed, stopped) = (
            usize::from(verdict == SelftestVerdict::Crossed),
            usize::from(verdict == SelftestVerdict::Stopped),
        );
        Selftest {
            network: "1d71939404000001".parse().unwrap(),
            member: "89e92ceee5".parse().unwrap(),
            whole: true,
            ways: vec![SelftestWay {
                from: "1d71939404".parse().unwrap(),
                to: "89e92ceee5".parse().unwrap(),
                crossed,
                due: 1 - stopped,
                stopped,
                path_changed: false,
                kinds: vec![kind],
            }],
        }
    }

    #[test]
    fn what_policy_stops_is_no_failure_and_what_is_lost_is() {
        let stopped = report(SelftestVerdict::Stopped, Some("kept by bridges"));
        assert!(stopped.passed());
        let said = text(&stopped);
        assert!(
            said.contains("0 of 0 crossed; 1 stopped by policy"),
            "{said}"
        );
        assert!(said.contains("kept by bridges"), "{said}");
        assert!(!report(SelftestVerdict::Lost, Some("never came")).passed());
        let crossed = report(SelftestVerdict::Crossed, None);
        assert!(crossed.passed() && text(&crossed).contains("1 of 1 crossed"));
        let half = Selftest {
            whole: false,
            ..crossed
        };
        assert!(!half.passed(), "the way back is missing");
    }
}
