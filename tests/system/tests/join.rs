//! Joining a network: every way in, every way to be refused, and how long each takes.
//!
//! In: `zt-cli` commands. Out: their exit codes and JSON. Never: anything that a person could not see.

use std::time::{Duration, Instant};

use zt_lab::{
    Failed,
    traffic::first_ping,
    zt::{Node, until},
};
use zt_system_tests::{Town, ensure, measured, silent_within, story};

/// A join that has to fail: its exit code, its status, and that it kept to its `--wait`.
fn refused(node: &Node, what: &str, codes: &[i32], statuses: &[&str]) -> Result<(), Failed> {
    let outcome = node.cli(&["join", what, "--wait", "4"])?;
    let id = what.split('#').next().unwrap_or(what);
    let status = node.network(id)?["status"].clone();
    ensure(codes.contains(&outcome.code), || {
        format!(
            "exit code {} is none of {codes:?}: {outcome:?}",
            outcome.code
        )
    })?;
    ensure(outcome.took < Duration::from_millis(4_800), || {
        format!("--wait 4 took {:?}", outcome.took)
    })?;
    ensure(!outcome.stderr.trim().is_empty(), || {
        "no reason on stderr".to_owned()
    })?;
    ensure(statuses.iter().any(|wanted| status == *wanted), || {
        format!("status {status} is none of {statuses:?}")
    })
}

/// Waits until the master lists the node as a member of the network.
fn asked(town: &Town, id: &str, address: &str) -> Result<(), Failed> {
    until(
        Duration::from_secs(5),
        "the master lists no such member",
        || {
            let members = town.master.ask(&["member", "list", id])?;
            Ok(members.to_string().contains(address))
        },
    )
    .map(|_| ())
}

#[test]
fn an_invite_joins_and_is_authorized_at_once() {
    story(|town| {
        let network = town.network()?;
        let invite = town.master.invite(&network)?;
        let node = town.node("a")?;
        let joined = node.join(&invite)?;
        ensure(joined.id == network.id, || format!("joined {}", joined.id))
    });
}

#[test]
fn an_id_with_fingerprint_waits_for_authorization_and_is_up_within_a_second_of_it() {
    story(|town| {
        let network = town.network()?;
        let node = town.node("a")?;
        let address = node.address()?;
        node.cli(&["join", &network.pinned()])?.good()?;
        asked(town, &network.id, &address)?;
        ensure(node.network(&network.id)?["status"] == "requesting", || {
            "a pending member is not requesting".to_owned()
        })?;
        // Longer than any quick retry: what brings it up is the push.
        std::thread::sleep(Duration::from_secs(3));
        let started = Instant::now();
        town.master.authorize(&network, &address)?;
        until(Duration::from_secs(10), "never up", || {
            Ok(node.network(&network.id)?["status"] == "ok")
        })?;
        let took = started.elapsed();
        measured("authorize to interface up", format!("{took:?}"));
        let device = node.joined(&network.id)?.device;
        node.host
            .run("ip", &["link", "show", "dev", &device])?
            .good()?;
        ensure(took < Duration::from_secs(1), || format!("took {took:?}"))
    });
}

#[test]
fn a_bare_network_id_pins_on_first_use_and_says_what_it_pinned() {
    story(|town| {
        let network = town.network()?;
        let node = town.node("a")?;
        town.master.authorize(&network, &node.address()?)?;
        let mut command = node.host.command(town.kit.programs.cli());
        command
            .arg("--socket")
            .arg(node.state.join("node.sock"))
            .args(["join", &network.id, "--wait", "10"]);
        let outcome = zt_lab::Outcome::of(&mut command, Duration::from_secs(15))?.good()?;
        ensure(outcome.stdout.contains(&network.fingerprint), || {
            format!("no {} in {}", network.fingerprint, outcome.stdout)
        })?;
        let joined = node.joined(&network.id)?;
        ensure(
            outcome.stdout.contains(&joined.ip.to_string())
                && outcome.stdout.contains(&joined.device),
            || format!("address and device are to be printed: {}", outcome.stdout),
        )
    });
}

#[test]
fn a_denied_member_is_told_so() {
    story(|town| {
        let network = town.network()?;
        let node = town.node("a")?;
        let address = node.address()?;
        node.cli(&["join", &network.pinned()])?.good()?;
        asked(town, &network.id, &address)?;
        town.master.deauthorize(&network, &address)?;
        refused(&node, &network.pinned(), &[8], &["denied"])
    });
}

#[test]
fn a_wrong_fingerprint_is_refused() {
    story(|town| {
        let network = town.network()?;
        let node = town.node("a")?;
        // The node's own fingerprint: well formed, and not the controller's.
        let wrong = node.ask(&["info"])?["fingerprint"].clone();
        let wrong = wrong.as_str().unwrap_or_default();
        town.master.authorize(&network, &node.address()?)?;
        let what = format!("{}#{wrong}", network.id);
        refused(
            &node,
            &what,
            &[1, 7, 8],
            &["unreachable", "denied", "not-found"],
        )
    });
}

#[test]
fn an_unknown_network_is_not_found() {
    story(|town| {
        let network = town.network()?;
        let node = town.node("a")?;
        let unknown = format!("{}ffffff", &network.id[..10]);
        refused(&node, &unknown, &[1], &["not-found"])
    });
}

#[test]
fn a_netconf_master_that_is_down_is_unreachable() {
    story(|town| {
        let network = town.network()?;
        let node = town.node("a")?;
        node.online()?;
        town.master.process.kill()?;
        refused(
            &node,
            &network.pinned(),
            &[1, 7],
            &["unreachable", "requesting"],
        )
    });
}

#[test]
fn a_supernode_that_is_down_ends_in_time_and_info_says_offline() {
    story(|town| {
        let network = town.network()?;
        town.supernode.process.kill()?;
        let node = town.node("a")?;
        refused(
            &node,
            &network.pinned(),
            &[1, 7],
            &["unreachable", "requesting"],
        )?;
        ensure(node.ask(&["info"])?["online"] == false, || {
            "online without a supernode".to_owned()
        })
    });
}

#[test]
fn a_device_name_that_is_taken_is_a_device_error() {
    story(|town| {
        let network = town.network()?;
        let invite = town.master.invite(&network)?;
        let node = town.node("a")?;
        let device = node.join(&invite)?.device;
        node.cli(&["leave", &network.id])?.good()?;
        until(Duration::from_secs(5), "the device never goes", || {
            Ok(node.host.run("ip", &["link", "show", &device])?.code != 0)
        })?;
        node.host.ip(&format!("link add {device} type bridge"))?;
        refused(&node, &network.pinned(), &[4], &["device-error"])
    });
}

#[test]
fn leaving_takes_the_device_and_the_member_s_frames_away() {
    story(|town| {
        let couple = town.pair()?;
        couple.pair().first_ping()?;
        couple.b.cli(&["leave", &couple.network.id])?.good()?;
        couple.cut_off_within(Duration::from_secs(2))?;
        let networks = couple.b.ask(&["networks"])?;
        ensure(networks.as_array().is_some_and(Vec::is_empty), || {
            format!("still there: {networks}")
        })
    });
}

#[test]
fn from_join_to_first_ping_takes_half_a_second() {
    story(|town| {
        let network = town.network()?;
        let invite = town.master.invite(&network)?;
        let (a, b) = (town.node("a")?, town.node("b")?);
        let target = a.join(&invite)?.ip.to_string();
        b.join(&invite)?;
        let mut times = Vec::new();
        for _ in 0..9 {
            b.cli(&["leave", &network.id])?.good()?;
            let started = Instant::now();
            b.cli(&["join", &network.pinned(), "--wait", "10"])?
                .good()?;
            first_ping(&b.host, &target, Duration::from_secs(10))?;
            times.push(started.elapsed());
        }
        times.sort_unstable();
        let median = times[times.len() / 2];
        measured(
            "join to first ping",
            format!(
                "median {median:?}, worst {:?} of {}",
                times[times.len() - 1],
                times.len()
            ),
        );
        // Twice the promise: other tests share the two cores.
        ensure(median < Duration::from_secs(1), || format!("{times:?}"))
    });
}

#[test]
fn a_deauthorized_member_is_cut_off_within_five_seconds_in_both_directions() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let address = couple.b.address()?;
        let started = Instant::now();
        town.master.deauthorize(&couple.network, &address)?;
        let there = couple.cut_off_within(Duration::from_secs(5))?;
        let back = silent_within(&couple.b, &couple.ja, Duration::from_secs(5))?;
        measured("deauthorize to silence", format!("{there:?}"));
        ensure(started.elapsed() < Duration::from_secs(8), || {
            format!("{there:?}, {back:?}")
        })?;
        // The one that is out may send what it likes: nothing of it arrives.
        one_way_silence(&couple)
    });
}

/// Sends raw frames from the deauthorized member and listens on the other's device.
fn one_way_silence(couple: &zt_system_tests::Couple) -> Result<(), Failed> {
    use zt_lab::{capture::Capture, raw};
    let Ok(mut mouth) = raw::Port::open(&couple.b.host, &couple.jb.device) else {
        // Its device is gone: there is nothing to send with.
        return Ok(());
    };
    let ear = Capture::start(&couple.a.host, &couple.ja.device)?;
    let to = raw::mac(&couple.a.host, &couple.ja.device)?;
    let from = raw::mac(&couple.b.host, &couple.jb.device)?;
    let frame = [&to[..], &from[..], &[0x88, 0xb5], &[0x77; 60][..]].concat();
    for _ in 0..10 {
        let _down_is_fine = mouth.send(&frame);
        std::thread::sleep(Duration::from_millis(20));
    }
    let heard = ear.frames().iter().any(|seen| seen.bytes == frame);
    ensure(!heard, || {
        "a frame of a deauthorized member arrived".to_owned()
    })
}
