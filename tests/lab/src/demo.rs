//! `cargo lab demo`: two homes, a third host, a supernode and a netconf-master, set up as a person would.
//!
//! In: the programs. Out: a [`Report`]. Never: a step that a person could not type.

use std::time::{Duration, Instant};

use crate::{
    Failed, Home, Host, Internet, Keep, Lab, Nat,
    ipx::Framing,
    measure::Pair,
    progress::Progress,
    report::Report,
    zt::{Created, Joined, Kit, Master, Node, Supernode, until},
};

/// What the demo leaves: its findings, and how to enter its hosts when they were kept.
#[derive(Debug)]
pub struct Demo {
    /// The findings.
    pub report: Report,
    /// One line per host that was kept.
    pub how_to_enter: Vec<String>,
}

/// Runs the demo.
///
/// # Errors
/// When the Internet or its programs do not come up; what is wrong later is a row of the report.
pub fn run(kit: &Kit, keep: Keep, progress: &Progress) -> Result<Demo, Failed> {
    progress.step("a small Internet: two homes behind NAT, three public hosts");
    let internet = Internet::new(Lab::new(keep)?)?;
    let shown = show(&internet, kit, keep, progress);
    let result =
        shown.map_err(|failed| Failed::new(format!("{failed}\n{}", internet.lab().last_words())));
    progress.done();
    result
}

/// Everything that runs, in the order it came up.
struct Cast {
    supernode: Supernode,
    master: Master,
    homes: [Home; 2],
    /// Behind the first home, behind the second, on a public address.
    nodes: [Node; 3],
}

fn show(internet: &Internet, kit: &Kit, keep: Keep, progress: &Progress) -> Result<Demo, Failed> {
    let mut report = Report::default();
    let cast = cast(internet, kit, progress, &mut report)?;
    progress.step("zt-cli network create, join, member authorize");
    let network = cast.master.create("demo", "10.77.0.0/24")?;
    let joined = join(&cast, &network, &mut report)?;
    let [a, b, c] = &cast.nodes;
    let [ja, jb, jc] = &joined;
    let homes = Pair {
        a: (a, ja),
        b: (b, jb),
    };
    progress.step("pings between the homes, first through the relay, then directly");
    meet(homes, &mut report);
    for (what, pair) in [
        (
            "home-a to public host",
            Pair {
                a: (a, ja),
                b: (c, jc),
            },
        ),
        (
            "public host to home-b",
            Pair {
                a: (c, jc),
                b: (b, jb),
            },
        ),
    ] {
        match pair.first_ping() {
            Ok(took) => report.row(what, ms(took), Some(millis(took)), true),
            Err(failed) => report.failed(what, &failed.to_string()),
        }
    }
    progress.step("one TCP stream each way");
    throughput(homes, &mut report);
    progress.step("IPX in four framings, both ways");
    ipx(homes, &mut report);
    match homes.path() {
        Ok(kind) => report.row("path kind", kind.clone(), None, kind == "direct"),
        Err(failed) => report.failed("path kind", &failed.to_string()),
    }
    let how_to_enter = match keep {
        Keep::Nothing => Vec::new(),
        Keep::Hosts => kept(&cast),
    };
    Ok(Demo {
        report,
        how_to_enter,
    })
}

fn cast(
    internet: &Internet,
    kit: &Kit,
    progress: &Progress,
    report: &mut Report,
) -> Result<Cast, Failed> {
    let homes = [
        internet.home("home-a", Nat::KeepsPort)?,
        internet.home("home-b", Nat::OtherPort)?,
    ];
    let (third, _) = internet.public("third")?;
    let (super_host, super_address) = internet.public("supernode")?;
    let (master_host, _) = internet.public("master")?;
    progress.step("zt-supernode init and run (identities are proofs of work: a few seconds each)");
    let started = Instant::now();
    let supernode = Supernode::init(kit, &super_host, super_address)?;
    let first = started.elapsed();
    let world = supernode.world();
    progress.step("zt-netconf-master run");
    let master = Master::run(kit, &master_host, &world)?;
    let mut started_in = vec![first];
    let mut start = |host: &Host| -> Result<Node, Failed> {
        progress.step(&format!("zt-node run on {}", host.name()));
        let node = Node::run(kit, host, &world)?;
        started_in.push(node.started_in);
        node.online()?;
        Ok(node)
    };
    let nodes = [
        start(&homes[0].host)?,
        start(&homes[1].host)?,
        start(&third)?,
    ];
    let total: Duration = started_in.iter().sum();
    let mean = total / u32::try_from(started_in.len()).unwrap_or(1);
    let worst = started_in.iter().max().copied().unwrap_or_default();
    report.row(
        "identity time",
        format!(
            "{} mean, {} worst of {}",
            ms(mean),
            ms(worst),
            started_in.len()
        ),
        Some(millis(mean)),
        worst < Duration::from_mins(2),
    );
    Ok(Cast {
        supernode,
        master,
        homes,
        nodes,
    })
}

/// One joins with an invite, one by id and fingerprint and is authorized, one by bare id and is authorized.
fn join(cast: &Cast, network: &Created, report: &mut Report) -> Result<[Joined; 3], Failed> {
    let [a, b, c] = &cast.nodes;
    let invite = cast.master.invite(network)?;
    let ja = a.join(&invite)?;
    report.row(
        "join time, invite",
        ms(ja.took),
        Some(millis(ja.took)),
        ja.took < Duration::from_secs(5),
    );
    let mut authorized = Vec::new();
    for (node, what, name) in [
        (b, network.pinned(), "id and fingerprint"),
        (c, network.id.clone(), "bare id"),
    ] {
        let address = node.address()?;
        node.cli(&["join", &what])?.good()?;
        until(
            Duration::from_secs(10),
            "the master never sees the member",
            || {
                let members = cast.master.ask(&["member", "list", &network.id])?;
                Ok(members.to_string().contains(&address))
            },
        )?;
        let started = Instant::now();
        cast.master.authorize(network, &address)?;
        until(
            Duration::from_secs(10),
            "an authorized member is not up",
            || Ok(node.network(&network.id)?["status"] == "ok"),
        )?;
        let took = started.elapsed();
        report.row(
            &format!("join time, {name}, authorized"),
            ms(took),
            Some(millis(took)),
            took < Duration::from_secs(5),
        );
        authorized.push(node.joined(&network.id)?);
    }
    match <[Joined; 2]>::try_from(authorized) {
        Ok([jb, jc]) => Ok([ja, jb, jc]),
        Err(_) => Err(Failed::new("two members were to be authorized")),
    }
}

fn meet(homes: Pair<'_>, report: &mut Report) {
    let since = Instant::now();
    match homes.first_ping() {
        Ok(took) => report.row(
            "time to first ping",
            ms(took),
            Some(millis(took)),
            took < Duration::from_secs(2),
        ),
        Err(failed) => report.failed("time to first ping", &failed.to_string()),
    }
    match homes.direct(since) {
        Ok(took) => report.row("time to direct path", ms(took), Some(millis(took)), true),
        Err(failed) => report.failed("time to direct path", &failed.to_string()),
    }
    match homes.ping(100, Duration::from_millis(20)) {
        Ok(pings) => {
            let loss = f64::from(pings.lost()) * 100.0 / f64::from(pings.sent.max(1));
            let mean = pings.mean_ms.unwrap_or(f64::NAN);
            report.row(
                "ping loss",
                format!("{loss:.0} % of {}, {mean:.2} ms mean", pings.sent),
                Some(loss),
                pings.lost() == 0,
            );
        }
        Err(failed) => report.failed("ping loss", &failed.to_string()),
    }
}

fn throughput(homes: Pair<'_>, report: &mut Report) {
    for (what, pair) in [
        ("TCP throughput, a to b", homes),
        ("TCP throughput, b to a", homes.turned()),
    ] {
        match pair.tcp(Duration::from_secs(3)) {
            Ok(rate) => {
                let rate = rate / 1e6;
                report.row(what, format!("{rate:.0} Mbit/s"), Some(rate), rate > 10.0);
            }
            Err(failed) => report.failed(what, &failed.to_string()),
        }
    }
}

fn ipx(homes: Pair<'_>, report: &mut Report) {
    for framing in Framing::ALL {
        let name = match framing {
            Framing::EthernetII => "IPX Ethernet II",
            Framing::Raw8023 => "IPX 802.3 raw",
            Framing::Llc8022 => "IPX 802.2",
            Framing::Snap => "IPX SNAP",
        };
        let ways = [homes.ipx(framing), homes.turned().ipx(framing)];
        let [there, back] = ways.map(|way| match way {
            Ok(true) => Ok(()),
            Ok(false) => Err("lost, changed or twice".to_owned()),
            Err(failed) => Err(failed.to_string()),
        });
        match (there, back) {
            (Ok(()), Ok(())) => report.row(name, "byte-identical both ways", None, true),
            (there, back) => {
                let said = |way: Result<(), String>| way.err().unwrap_or_else(|| "ok".to_owned());
                report.failed(
                    name,
                    &format!("a to b: {}; b to a: {}", said(there), said(back)),
                );
            }
        }
    }
}

fn kept(cast: &Cast) -> Vec<String> {
    let hosts = [
        &cast.supernode.host,
        &cast.master.host,
        &cast.homes[0].host,
        &cast.homes[0].router,
        &cast.homes[1].host,
        &cast.homes[1].router,
        &cast.nodes[2].host,
    ];
    hosts
        .iter()
        .map(|host| format!("{:14} {}", host.name(), host.how_to_enter()))
        .chain([format!(
            "on a node:     zt-cli --socket {}/node/node.sock info",
            cast.homes[0].host.dir().display()
        )])
        .collect()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn ms(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        format!("{:.0} ms", millis(duration))
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
