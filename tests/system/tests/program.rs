//! The programs as programs: exit codes, files, signals, second instances.
//!
//! In: command lines. Out: exit codes and what lies in the state directory. Never: a network beyond what a start needs.

use std::{
    fs,
    net::UdpSocket,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use zt_lab::{Failed, Outcome, zt::Node};
use zt_system_tests::{Town, ensure, kit, story};

/// Runs a node that must end by itself and gives its exit code and words.
fn ends(town: &Town, node: &Node, state: &Path) -> Result<Outcome, Failed> {
    let mut command = Node::command(&town.kit, &node.host, state, node.world());
    Outcome::of(&mut command, Duration::from_secs(20))
}

fn expect(outcome: &Outcome, code: i32) -> Result<(), Failed> {
    ensure(outcome.code == code, || {
        format!("exit code {} instead of {code}: {outcome:?}", outcome.code)
    })?;
    ensure(!outcome.stderr.trim().is_empty(), || {
        format!("exit code {code} without a reason on stderr")
    })
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// The file that has the secret identity: named so, and readable by its owner only.
fn identity(state: &Path) -> Result<PathBuf, Failed> {
    let mode = |path: &Path| fs::metadata(path).map(|meta| meta.permissions().mode() & 0o777);
    files(state)?
        .into_iter()
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("identity")
                && !name.contains("public")
                && matches!(mode(path), Ok(0o600))
        })
        .ok_or_else(|| Failed::new("no secret identity file"))
}

#[test]
fn a_corrupt_identity_stops_the_node_with_3_and_stays_as_it_is() {
    story(|town| {
        let mut node = town.node("a")?;
        node.process.stop()?;
        let file = identity(&node.state)?;
        let good = fs::read(&file)?;
        for at in [0, good.len() / 2, good.len() - 2] {
            let mut bad = good.clone();
            bad[at] ^= 0x01;
            fs::write(&file, &bad)?;
            expect(&ends(town, &node, &node.state)?, 3)?;
            ensure(fs::read(&file)? == bad, || "it was written over".to_owned())?;
        }
        fs::write(&file, &good[..good.len() / 2])?;
        expect(&ends(town, &node, &node.state)?, 3)?;
        fs::write(&file, [])?;
        expect(&ends(town, &node, &node.state)?, 3)?;
        fs::write(&file, &good)?;
        node.restart()
    });
}

#[test]
fn a_second_instance_on_one_state_directory_ends_with_5() {
    story(|town| {
        let node = town.node("a")?;
        expect(&ends(town, &node, &node.state)?, 5)?;
        node.ask(&["info"]).map(|_| ())
    });
}

#[test]
fn a_port_in_use_ends_with_4() {
    story(|town| {
        let mut node = town.node("a")?;
        node.process.stop()?;
        let _taken = node
            .host
            .inside(|| Ok(UdpSocket::bind(("0.0.0.0", zt_lab::zt::PORT))?))?;
        expect(&ends(town, &node, &node.state)?, 4)
    });
}

#[test]
fn a_weak_world_is_refused_without_the_flag() {
    story(|town| {
        let (host, _) = town.internet.public("a")?;
        let mut command = host.command(town.kit.programs.node());
        command
            .args(["run", "--state-dir"])
            .arg(host.dir().join("node"))
            .arg("--world")
            .arg(town.supernode.world());
        let outcome = Outcome::of(&mut command, Duration::from_secs(20))?;
        ensure(outcome.code != 0, || "it ran".to_owned())?;
        ensure(outcome.stderr.contains("weak"), || outcome.stderr.clone())
    });
}

#[test]
fn a_command_to_a_node_that_is_not_running_ends_with_6_and_says_what_to_do() {
    story(|town| {
        let mut node = town.node("a")?;
        node.process.stop()?;
        for command in ["info", "networks", "peers", "counters"] {
            let outcome = node.cli(&[command])?;
            expect(&outcome, 6)?;
            ensure(outcome.stderr.contains("zt-node"), || {
                outcome.stderr.clone()
            })?;
        }
        Ok(())
    });
}

#[test]
fn wrong_usage_ends_with_2() -> Result<(), Failed> {
    let programs = kit().programs;
    let cases: [(PathBuf, &[&str]); 7] = [
        (programs.node(), &["run"]),
        (programs.node(), &["--no-such-option"]),
        (programs.supernode(), &["init"]),
        (programs.master(), &["run", "--listen", "nonsense"]),
        (programs.cli(), &["join"]),
        (programs.cli(), &["join", "not-a-network"]),
        (programs.cli(), &["no-such-command"]),
    ];
    for (program, arguments) in cases {
        let mut command = std::process::Command::new(&program);
        let outcome = Outcome::of(command.args(arguments), Duration::from_secs(10))?;
        expect(&outcome, 2).map_err(|failed| failed.during(&format!("{arguments:?}")))?;
    }
    Ok(())
}

#[test]
fn every_program_has_help_with_examples() -> Result<(), Failed> {
    let programs = kit().programs;
    for program in [
        programs.node(),
        programs.supernode(),
        programs.master(),
        programs.cli(),
    ] {
        let mut command = std::process::Command::new(&program);
        let outcome = Outcome::of(command.arg("--help"), Duration::from_secs(10))?;
        ensure(
            outcome.code == 0 && outcome.stdout.contains("xample"),
            || format!("{}: {}", program.display(), outcome.stdout),
        )?;
    }
    Ok(())
}

#[test]
fn secrets_are_0600_in_a_0700_directory() {
    story(|town| {
        let node = town.node("a")?;
        for state in [&node.state, &town.master.state, &town.supernode.state] {
            let mode = fs::metadata(state)?.permissions().mode() & 0o777;
            ensure(mode == 0o700, || format!("{}: {mode:o}", state.display()))?;
            let secret = identity(state)?;
            ensure(secret.exists(), || "no identity".to_owned())?;
        }
        let token = fs::metadata(town.master.state.join("admin.token"))?;
        ensure(token.permissions().mode() & 0o777 == 0o600, || {
            "admin.token is not 0600".to_owned()
        })
    });
}

#[test]
fn sigterm_is_a_clean_stop_of_every_program() {
    story(|town| {
        let mut node = town.node("a")?;
        for (name, process) in [
            ("node", &mut node.process),
            ("master", &mut town.master.process),
            ("supernode", &mut town.supernode.process),
        ] {
            let code = process.stop()?;
            ensure(code == 0, || format!("{name} ended with {code}"))?;
        }
        Ok(())
    });
}

#[test]
fn json_has_the_documented_fields() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let fields = |command: &[&str], wanted: &[&str]| -> Result<(), Failed> {
            let answer = couple.a.ask(command)?;
            let one = answer
                .as_array()
                .and_then(|all| all.first())
                .unwrap_or(&answer);
            for field in wanted {
                ensure(one.get(field).is_some(), || {
                    format!("{command:?}: no {field} in {one}")
                })?;
            }
            Ok(())
        };
        fields(
            &["info"],
            &[
                "address",
                "fingerprint",
                "version",
                "online",
                "world",
                "supernodes",
                "listen",
            ],
        )?;
        fields(
            &["networks"],
            &[
                "id",
                "name",
                "status",
                "device",
                "mac",
                "mtu",
                "addresses",
                "routes",
                "bridge",
                "members_heard",
            ],
        )?;
        fields(
            &["peers"],
            &[
                "address",
                "fingerprint",
                "role",
                "path",
                "suite",
                "session_age_s",
                "rx_bytes",
                "tx_bytes",
            ],
        )?;
        fields(
            &["why", &couple.b.address()?],
            &["address", "path", "because", "tried", "nat"],
        )?;
        fields(
            &["counters"],
            &["drops", "frames", "datagrams", "handshakes", "fragments"],
        )
    });
}
