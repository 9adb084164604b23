//! zt-cli without any daemon: arguments, help, errors, and what it can say all the same.
//!
//! In: arguments. Out: what stdout, stderr and the exit code have to be.

mod program;

use std::path::Path;

use program::{cli, stderr, stdout};
use serde_json::Value;

const NETWORK: &str = "1d71939404000001";
const PEER: &str = "89e92ceee5";

#[test]
fn without_a_daemon_every_command_ends_with_6_and_says_what_to_start() {
    let nowhere = Path::new("/nonexistent/node.sock");
    for command in [
        &["info"][..],
        &["networks"],
        &["peers"],
        &["counters"],
        &["join", NETWORK],
        &["ping", PEER],
    ] {
        let output = cli(nowhere, command);
        assert_eq!(output.status.code(), Some(6), "{command:?}");
        assert!(
            stderr(&output).contains("zt-node run"),
            "{command:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn wrong_arguments_end_with_2_and_say_what_was_expected() {
    let nowhere = Path::new("/nonexistent/node.sock");
    let cases: [(&[&str], &str); 13] = [
        (&[], "Usage"),
        (&["no-such-command"], "unrecognized"),
        (&["join", "123"], "sixteen hex digits"),
        (&["join", "zt1-AAAA"], "copy all of it"),
        (&["join", "1d71939404000001#12"], "64 hex digits"),
        (&["join", NETWORK, "--wait", "soon"], "expected seconds"),
        (&["ping", PEER, "-c", "0"], "-c"),
        (&["paths", "xyz"], "10"),
        (&["set", NETWORK, "allow-dns=perhaps"], "true or false"),
        (&["set", NETWORK, "lan-mode=perhaps"], "true or false"),
        (&["doctor"], "lan"),
        (&["doctor", "wan"], "unrecognized"),
        (&["invite", "create", NETWORK, "--expires", "24"], "24h"),
    ];
    for (arguments, said) in cases {
        let output = cli(nowhere, arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(said),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn with_json_errors_are_json_too_and_stdout_stays_empty() {
    for (arguments, exit) in [
        (&["--json", "info"][..], 6),
        (&["--json", "join"], 2),
        (&["join", "12", "--json"], 2),
    ] {
        let output = cli(Path::new("/nonexistent/node.sock"), arguments);
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["exit"], exit, "{arguments:?}");
        assert!(error["error"].as_str().is_some_and(|text| !text.is_empty()));
        assert!(output.stdout.is_empty());
        assert_eq!(output.status.code(), Some(exit));
    }
}

#[test]
fn help_has_examples_and_ends_with_0() {
    for arguments in [
        &["--help"][..],
        &["join", "--help"],
        &["up", "--help"],
        &["invite", "create", "--help"],
    ] {
        let output = cli(Path::new("/x"), arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("Example"), "{arguments:?}");
    }
}

#[test]
fn doctor_lan_asks_the_kernel_even_without_a_node() {
    let nowhere = Path::new("/nonexistent/node.sock");
    let output = cli(nowhere, &["doctor", "lan", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["node"], "not-running");
    assert_eq!(report["lan_mode"], Value::Null);
    let all = report["destinations"].as_array().unwrap();
    for to in [
        "255.255.255.255",
        "239.255.255.250",
        "224.0.0.251",
        "ff02::fb",
    ] {
        let found = all.iter().find(|it| it["to"] == to);
        let found = found.unwrap_or_else(|| panic!("no {to} in {report}"));
        // Either way it is the kernel's answer.
        assert!(
            found["device"].is_string() || found["error"].is_string(),
            "{found}"
        );
    }
    let text = cli(nowhere, &["doctor", "lan"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("zt-node run"));
}
