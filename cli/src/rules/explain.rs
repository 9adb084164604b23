//! `rules explain`: would a frame of one member to another pass, and what decides.
//!
//! In: arguments, both certificates as the netconf-master knows them. Out: the verdict with its guard or line.
//! Never: a decision of its own: guards and rules are those of `zt-rules`, which members try.

use std::net::IpAddr;

use serde::Serialize;
use zt_api::{Exit, MasterClient};
use zt_rules::{Decider, Facts, Fate, Gets, Guard, Lift, Outcome, guards};

use super::args::{Explain, Source};
use super::ends::{self, Between, Known};
use super::frame::{self, Ends};
use crate::output::{Failure, Output};

/// What `explain` says.
#[derive(Debug, Serialize)]
struct Explained {
    from: String,
    to: String,
    /// `pass`, `drop` or `redirect`.
    verdict: &'static str,
    /// Why neither guards nor rules were asked.
    outside: Option<String>,
    /// The guard that stops it; rules are not asked then.
    guard: Option<Stopped>,
    /// Which line decides; none: the end of the rules, or a guard.
    line: Option<u16>,
    /// What stands there.
    rule: Option<String>,
    /// The capability that lets it pass.
    capability: Option<String>,
    redirect: Option<String>,
    tee: Option<Tee>,
    priority: Option<u8>,
    /// Where a drop is counted: the names of `zt-cli counters`, at the sender and at a receiver whose sender does not care.
    counted: Vec<&'static str>,
    /// Whether every guard was tried; without a network those that need certificates are not.
    all_guards: bool,
}

/// The guard that stops a frame.
#[derive(Debug, Serialize)]
struct Stopped {
    name: &'static str,
    /// `sender` or `receiver`: the first that stops it.
    at: &'static str,
    /// What it found.
    because: String,
    /// The right that lifts it; none: it is a setting of the network.
    right: Option<&'static str>,
    /// The command that lifts it.
    lifted_by: String,
}

#[derive(Debug, Serialize)]
struct Tee {
    to: String,
    length: u16,
}

pub(super) async fn explain(
    client: Option<&MasterClient>,
    asked: &Explain,
    output: Output,
) -> Result<(), Failure> {
    let mut between = Between::of(client, asked).await?;
    let set = super::compiled(&between.text, &shown(&asked.rules))?;
    between.suppose(asked, &set)?;
    let [from, to] = &between.ends;
    let ends = Ends {
        macs: [from.mac, to.mac],
        ips: ips(asked, &between.ends)?,
    };
    let bytes = frame::build(asked, &ends);
    let Some(facts) = Facts::of(&bytes) else {
        return Err(Failure::new(Exit::Usage, "a frame has at least 14 bytes"));
    };
    let another = match client {
        Some(client) => {
            for_this_receiver(client, &between, &facts).await?;
            from_another(client, &between, &facts).await?
        }
        None => false,
    };
    let mut explained = Explained::new(&between);
    let outside = between
        .ends
        .iter()
        .find_map(|end| Some((end.address, end.outside?)));
    if let Some((address, why)) = outside {
        explained.outside = Some(format!(
            "{address} {why}, so it has no certificate: zt-cli member authorize {} {address}",
            between.ground.id
        ));
        explained.counted = vec!["not-member"];
    } else if let Some((guard, at)) = guarded(&between, &facts, another) {
        explained.counted = vec![guard.counted()];
        explained.guard = Some(stopped(guard, at, &between, &facts));
    } else {
        let decider = Decider::new(set);
        let (one, other) = (from.end(decider.rules()), to.end(decider.rules()));
        let outcome = decider.decide(&facts, &one, &other);
        let fate = Fate::of(&outcome, from.address, to.address);
        explained.decided(&outcome, &fate, &decider, &between.text);
    }
    output.show(&explained, sentence)
}

/// The first guard that stands against a frame, and at which end.
fn guarded(between: &Between, facts: &Facts, another: bool) -> Option<(Guard, &'static str)> {
    let [from, to] = &between.ends;
    let ground = &between.ground;
    // The same at both ends, but that the receiver knows whether it bridges, too.
    let tried = |both_bridge: bool| {
        if ground.real {
            guards::source_mac(facts.from, from.mac, from.bridges(), || another)?;
        }
        guards::group(facts.to, both_bridge, ground.link_local_groups)?;
        guards::content(&ground.ground(), facts, &from.holder())
    };
    if let Err(guard) = tried(from.bridges()) {
        return Some((guard, "sender"));
    }
    let both = from.bridges() && to.bridges();
    tried(both).err().map(|guard| (guard, "receiver"))
}

/// Refuses a frame that the sender's switch would never give to the receiver.
async fn for_this_receiver(
    client: &MasterClient,
    between: &Between,
    facts: &Facts,
) -> Result<(), Failure> {
    let [from, to] = &between.ends;
    let wrong = |text: String| Err(Failure::new(Exit::Usage, text));
    if facts.to.is_group() || facts.to == to.mac {
        return Ok(());
    }
    if facts.to == from.mac {
        return wrong(format!(
            "the frame's destination MAC {} is its sender's own; the receiver has {}",
            facts.to, to.mac
        ));
    }
    let network = between.ground.id;
    if let Some(named) = facts.to.address_on(network)
        && ends::is_member(client, network, named).await?
    {
        return wrong(format!(
            "the frame's destination MAC {} is that of {named}: ask with --to {named}",
            facts.to
        ));
    }
    if to.bridges() {
        return Ok(());
    }
    wrong(format!(
        "the frame's destination MAC {} is no member's; such a frame goes to bridges only, and {} has no right to bridge",
        facts.to, to.address
    ))
}

/// Whether the frame's source MAC is that of a third member.
async fn from_another(
    client: &MasterClient,
    between: &Between,
    facts: &Facts,
) -> Result<bool, Failure> {
    let network = between.ground.id;
    match facts.from.address_on(network) {
        Some(named) if named != between.ends[0].address => {
            ends::is_member(client, network, named).await
        }
        Some(_) | None => Ok(false),
    }
}

fn stopped(guard: Guard, at: &'static str, between: &Between, facts: &Facts) -> Stopped {
    let [from, to] = &between.ends;
    let (right, lifted_by) = match guard.lifted_by() {
        Lift::LinkLocalGroups => (
            None,
            format!("zt-cli network set {} link-local-groups=on", name(between)),
        ),
        Lift::Right(right) => (
            Some(ends::spelled(right)),
            granted(from, ends::spelled(right), between),
        ),
        Lift::RightOfBoth(right) => {
            let right = ends::spelled(right);
            let both = [from, to].map(|end| granted(end, right, between));
            (Some(right), both.join(" && "))
        }
    };
    Stopped {
        name: guard.name(),
        at,
        because: because(guard, from, facts),
        right,
        lifted_by,
    }
}

fn name(between: &Between) -> String {
    if between.ground.real {
        between.ground.id.to_string()
    } else {
        "NETWORK-ID".to_owned()
    }
}

fn granted(end: &Known, right: &str, between: &Between) -> String {
    format!(
        "zt-cli member set {} {} --right {right}",
        name(between),
        end.address
    )
}

fn because(guard: Guard, from: &Known, facts: &Facts) -> String {
    let claimed = |ip: Option<IpAddr>| {
        let ip = ip.map_or_else(|| "no address".to_owned(), |ip| ip.to_string());
        let own: Vec<String> = from.ips.iter().map(ToString::to_string).collect();
        let own = if own.is_empty() {
            "none".to_owned()
        } else {
            own.join(", ")
        };
        format!("{ip}, and the addresses in its certificate are: {own}")
    };
    match guard {
        Guard::SourceMac => format!(
            "its source MAC is {}, and its sender's is {}",
            facts.from, from.mac
        ),
        Guard::SpanningTree => "it is spanning tree, which only bridges hear".to_owned(),
        Guard::LinkLocalGroup => {
            format!("bridges do not forward frames to {}", facts.to)
        }
        Guard::IpSource => format!("its IP source is {}", claimed(facts.ip_from)),
        Guard::ArpSender => format!("by ARP it claims {}", claimed(facts.ip_from)),
        Guard::NdTarget => format!(
            "by neighbor discovery it claims {}",
            claimed(facts.nd_target.map(IpAddr::V6))
        ),
        Guard::DhcpServer => "it is what a DHCP server sends".to_owned(),
        Guard::RouterAdvertisement => {
            "it is what a router sends, or hides what it is behind headers".to_owned()
        }
    }
}

/// The addresses of both ends, of one family.
fn ips(asked: &Explain, ends: &[Known; 2]) -> Result<[IpAddr; 2], Failure> {
    let given: Vec<IpAddr> = [asked.ip_from, asked.ip_to].into_iter().flatten().collect();
    let only_v6 = ends
        .iter()
        .all(|end| end.ip(false).is_none() && end.ip(true).is_some());
    let v6 = given.iter().any(IpAddr::is_ipv6) || (given.is_empty() && only_v6);
    if asked.frame.arp && v6 && !given.is_empty() {
        return Err(Failure::new(Exit::Usage, "ARP speaks of IPv4 addresses"));
    }
    let usual = |last: u8| -> IpAddr {
        if v6 {
            [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)].into()
        } else {
            [10, 0, 0, last].into()
        }
    };
    let from = asked.ip_from.or_else(|| ends[0].ip(v6));
    let to = asked.ip_to.or_else(|| ends[1].ip(v6));
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

impl Explained {
    fn new(between: &Between) -> Self {
        let [from, to] = between.ends.each_ref().map(|end| end.address.to_string());
        Self {
            from,
            to,
            verdict: "drop",
            outside: None,
            guard: None,
            line: None,
            rule: None,
            capability: None,
            redirect: None,
            tee: None,
            priority: None,
            counted: vec![],
            all_guards: between.ground.real,
        }
    }

    /// Takes what the rules say.
    fn decided(&mut self, outcome: &Outcome, fate: &Fate, decider: &Decider, text: &str) {
        let known = &decider.rules().capabilities;
        match fate.gets {
            Gets::Whole => self.verdict = "pass",
            Gets::Elsewhere(to) => {
                self.verdict = "redirect";
                self.redirect = Some(to.to_string());
            }
            // The copy is told of beside the verdict.
            Gets::Head(_) | Gets::Nothing => self.counted = vec!["rule-tx", "rule-rx"],
        }
        self.capability = outcome
            .capability
            .and_then(|id| known.iter().find(|known| known.id == id))
            .map(|known| known.name.clone());
        let rule = outcome
            .line
            .and_then(|line| text.lines().nth(usize::from(line).checked_sub(1)?));
        self.line = outcome.line;
        self.rule = rule.map(|rule| rule.trim().to_owned());
        self.tee = outcome.tee.map(|(to, length)| Tee {
            to: to.to_string(),
            length,
        });
        self.priority = fate.priority;
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
    let mut lines = vec![what];
    if let Some(outside) = &explained.outside {
        lines.push(outside.clone());
    } else if let Some(guard) = &explained.guard {
        lines.push(format!(
            "the guard {} stops it at the {}: {}",
            guard.name, guard.at, guard.because
        ));
        lines.push(match guard.right {
            Some(right) => format!("the right {right} lifts it: {}", guard.lifted_by),
            None => format!("a setting of the network lifts it: {}", guard.lifted_by),
        });
    } else {
        lines.push(match (explained.line, &explained.rule) {
            (Some(line), Some(rule)) => format!("line {line} decides: {rule}"),
            (Some(line), None) => format!("line {line} decides"),
            (None, _) if explained.verdict == "pass" => "there are no rules".to_owned(),
            (None, _) => "no line accepts it".to_owned(),
        });
    }
    let capability = explained.capability.as_ref();
    lines.extend(capability.map(|name| format!("the sender may by its capability {name}")));
    let tee = explained.tee.as_ref();
    lines.extend(tee.map(|tee| format!("{} gets a copy of at most {} bytes", tee.to, tee.length)));
    let priority = explained.priority;
    lines.extend(
        priority.map(|level| format!("its VLAN tag, if it has one, gets priority {level}")),
    );
    if !explained.counted.is_empty() {
        lines.push(format!("counted as {}", explained.counted.join(", ")));
    }
    if !explained.all_guards {
        lines.push(
            "guards of MACs and IP addresses were not tried: --network NETWORK-ID tries them"
                .into(),
        );
    }
    lines.join("\n")
}
