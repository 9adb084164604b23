//! `zt-cli rules` as people and scripts meet it: the real binary on texts in files.
//!
//! In: texts, arguments. Out: what stdout, stderr and the exit code have to be.

use std::process::{Command, Output};

use serde_json::Value;

const TEXT: &str = "\
# the LAN party
tag team = 1 { red = 1; blue = 2; default red; }
capability admin = 3 { accept if tcp and port-to 22; }
accept if ipx or arp;
accept if udp and port-to 27015 and tag team equal;
drop if broadcast;
";

fn rules(text: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lan.rules");
    std::fs::write(&file, text).unwrap();
    let (verb, rest) = arguments.split_first().unwrap();
    Command::new(env!("CARGO_BIN_EXE_zt-cli"))
        .args(["rules", verb])
        .arg(&file)
        .args(rest)
        .output()
        .unwrap()
}

fn explained(arguments: &[&str]) -> Value {
    let ends = [
        "explain",
        "--json",
        "--from",
        "89e92ceee5",
        "--to",
        "1a2b3c4d5e",
    ];
    let output = rules(TEXT, &[&ends[..], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_wrong_text_is_refused_with_line_column_and_reason() {
    let output = rules("accept;\n  drop if colour;\n", &["check"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("lan.rules: line 2, column 11: 'colour'"),
        "{said}"
    );
}

#[test]
fn a_right_text_is_counted_for_people_and_compiled_for_scripts() {
    let output = rules(TEXT, &["check"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.starts_with("3 rules, 1 capabilities, 1 tags"),
        "{said}"
    );
    let output = rules(TEXT, &["check", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["rules"][0]["line"], 4);
    assert_eq!(json["rules"][2]["action"], "drop");
}

#[test]
fn explain_names_the_line_that_decides() {
    let cases: [(&[&str], &str, Option<u64>); 8] = [
        (&["--ipx"], "pass", Some(4)),
        (&["--arp", "--broadcast"], "pass", Some(4)),
        (&["--udp", "27015"], "pass", Some(5)),
        (&["--udp", "27015", "--to-tag", "team=blue"], "drop", None),
        (&["--udp", "9", "--broadcast"], "drop", Some(6)),
        (&["--tcp", "22"], "drop", None),
        (
            &["--tcp", "22", "--from-capability", "admin"],
            "pass",
            Some(3),
        ),
        (
            &["--frame", "ffffffffffff 020000000001 88b5 00"],
            "drop",
            Some(6),
        ),
    ];
    for (arguments, verdict, line) in cases {
        let explained = explained(arguments);
        assert_eq!(explained["verdict"], verdict, "{arguments:?}");
        assert_eq!(explained["line"].as_u64(), line, "{arguments:?}");
    }
    assert_eq!(explained(&["--ipx"])["rule"], "accept if ipx or arp;");
}

#[test]
fn explain_names_the_guard_and_the_right_that_lifts_it() {
    let open = ["--from-tag", "team=red"];
    for (frame, guard, right) in [
        (
            &["--udp", "68", "--source-port", "1067"][..],
            "dhcp-server",
            Some("dhcp-server"),
        ),
        (
            &["--ra", "--broadcast"],
            "router-advertisement",
            Some("router"),
        ),
        (
            &["--frame", "0180c2000000 020000000001 0026 4242"],
            "spanning-tree",
            Some("bridge"),
        ),
        (
            &["--ethertype", "0x88cc", "--mac-to", "01:80:c2:00:00:0e"],
            "link-local-group",
            None,
        ),
    ] {
        let said = explained(&[&open[..], frame].concat());
        assert_eq!(said["verdict"], "drop", "{said}");
        assert_eq!(said["guard"]["name"], guard, "{said}");
        assert_eq!(said["guard"]["right"].as_str(), right, "{said}");
        assert_eq!(said["line"], Value::Null, "no line is asked");
        assert_eq!(said["all_guards"], false, "no network, no certificates");
        let Some(right) = right else { continue };
        let rights = ["--from-right", right, "--to-right", right];
        let said = explained(&[&open[..], frame, &rights].concat());
        assert_eq!(said["guard"], Value::Null, "{said}");
    }
    let output = rules(
        TEXT,
        &[
            "explain",
            "--from",
            "89e92ceee5",
            "--to",
            "1a2b3c4d5e",
            "--udp",
            "68",
        ],
    );
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("the right dhcp-server lifts it: zt-cli member set NETWORK-ID 89e92ceee5"),
        "{said}"
    );
}

#[test]
fn a_question_without_a_frame_or_with_two_is_a_usage_error() {
    let ends = ["explain", "--from", "89e92ceee5", "--to", "1a2b3c4d5e"];
    for frame in [&[][..], &["--ipx", "--arp"], &["--frame", "ff"]] {
        let output = rules(TEXT, &[&ends[..], frame].concat());
        assert_eq!(output.status.code(), Some(2), "{frame:?}");
    }
}
