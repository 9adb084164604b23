//! Everything at once: the demo as the README has it, and `zt-cli up` with a stranger who pastes its invite.
//!
//! In: the commands of the README. Out: what they print. Never: a shortcut that a person does not have.

use std::{fs, time::Duration};

use zt_lab::{
    Failed, Internet, Keep, Lab, demo,
    process::Process,
    progress::Progress,
    traffic,
    zt::{Node, until},
};
use zt_system_tests::{ensure, kit};

#[test]
fn the_demo_is_green() -> Result<(), Failed> {
    let demo = demo::run(&kit(), Keep::Nothing, &Progress::new())?;
    ensure(demo.report.ok(), || format!("\n{}", demo.report.table()))
}

/// The first word of what `up` printed that looks like an invite.
fn invite(up: &Process) -> Option<String> {
    up.log()
        .split(|c: char| c.is_whitespace() || "\"',".contains(c))
        .find(|word| word.starts_with("zt1-"))
        .map(str::to_owned)
}

#[test]
fn up_prints_an_invite_that_works_from_another_host() -> Result<(), Failed> {
    let kit = kit();
    let internet = Internet::new(Lab::new(Keep::Nothing)?)?;
    let (server, address) = internet.public("server")?;
    let mut command = server.command(kit.programs.cli());
    command
        .args(["up", "--endpoint", &format!("{address}:9993")])
        .args(["--network", "home", "--cidr", "10.44.0.0/24"])
        .args(["--weak-proof-of-work", "--state-dir"])
        .arg(server.dir().join("up"));
    let mut up = server.start("up", &mut command)?;
    until(Duration::from_mins(1), "no invite", || {
        if let Some(code) = up.ended()? {
            return Err(Failed::new(format!("up ended with {code}: {}", up.log())));
        }
        Ok(invite(&up).is_some())
    })
    .map_err(|failed| Failed::new(format!("{failed}\n{}", internet.lab().last_words())))?;
    let invite = invite(&up).unwrap_or_default();
    ensure(up.log().contains("http://"), || {
        format!("no address of the web page: {}", up.log())
    })?;
    let (other, _) = internet.public("other")?;
    let world = other.dir().join("world.json");
    let said = other.run(kit.programs.cli(), &["world", &invite])?.good()?;
    fs::write(&world, said.stdout)?;
    let node = Node::run(&kit, &other, &world)?;
    let joined = node.join(&invite)?;
    ensure(joined.ip.octets()[..3] == [10, 44, 0], || {
        format!("{joined:?}")
    })?;
    let own = server.run("ip", &["-o", "-4", "addr"])?.stdout;
    let target = own
        .split_whitespace()
        .find_map(|word| word.strip_prefix("10.44.0."))
        .and_then(|rest| rest.split('/').next())
        .ok_or_else(|| Failed::new(format!("the server is not on its own network: {own}")))?;
    traffic::first_ping(
        &other,
        &format!("10.44.0.{target}"),
        Duration::from_secs(10),
    )?;
    let code = up.stop()?;
    ensure(code == 0, || format!("up ended with {code} on SIGTERM"))
}
