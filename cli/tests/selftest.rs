//! `zt-cli selftest` as people and scripts meet it: the real binary, with a node that answers what the test tells it to.
//!
//! In: one canned answer. Out: what stdout, stderr and the exit code have to be. Never: a real node.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use serde_json::{Value, json};

const NETWORK: &str = "1d71939404000001";
const PEER: &str = "89e92ceee5";

/// Runs `selftest` against a node that answers its one question so; the body that it was asked with, too.
fn selftest(arguments: &[&str], status: u16, answer: &Value) -> (Output, Value) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("node.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answer = answer.to_string();
    let asked = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(
            line.contains(&format!("/v1/networks/{NETWORK}/selftest")),
            "{line}"
        );
        let mut length = 0;
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some(said) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        let mut stream = reader.into_inner();
        stream.write_all((head + &answer).as_bytes()).unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()
    });
    let output = Command::new(env!("CARGO_BIN_EXE_zt-cli"))
        .arg("--socket")
        .arg(&socket)
        .args(["selftest", PEER, "--network", NETWORK])
        .args(arguments)
        .output()
        .unwrap();
    (output, asked.join().unwrap())
}

fn report(verdict: &str, why: Option<&str>) -> Value {
    let kind = |kind: &str, verdict: &str, why: Option<&str>| json!({"kind": kind, "bytes": 60, "verdict": verdict, "why": why});
    let stopped = kind("LLDP", "stopped", Some("kept by bridges"));
    let way = |from: &str, to: &str, verdict: &str, why: Option<&str>| {
        json!({
            "from": from, "to": to, "crossed": usize::from(verdict == "crossed"), "due": 1, "stopped": 1,
            "path_changed": false, "kinds": [kind("60 bytes", verdict, why), stopped],
        })
    };
    json!({"network": NETWORK, "member": PEER, "whole": true, "ways": [
        way("1d71939404", PEER, "crossed", None), way(PEER, "1d71939404", verdict, why),
    ]})
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_crossed_is_a_table_with_totals_and_ends_with_0() {
    let (output, asked) = selftest(&[], 200, &report("crossed", None));
    let out = said(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{out}{}",
        said(&output.stderr)
    );
    assert_eq!(asked["member"], PEER);
    assert_eq!(asked["both"], true);
    assert!(out.contains("1 of 1 crossed; 1 stopped by policy"), "{out}");
    assert!(out.contains("kept by bridges"), "{out}");
}

#[test]
fn what_should_have_crossed_and_did_not_ends_with_1_after_the_table() {
    let lost = report("lost", Some("dropped by the receiver: frame-size"));
    let (output, _) = selftest(&[], 200, &lost);
    assert_eq!(output.status.code(), Some(1));
    let out = said(&output.stdout);
    assert!(
        out.contains("LOST") && out.contains("0 of 1 crossed"),
        "{out}"
    );
    assert!(said(&output.stderr).contains("zt-cli counters"));
    let (output, asked) = selftest(&["--json", "--one-way"], 200, &lost);
    assert_eq!(
        (output.status.code(), &asked["both"]),
        (Some(1), &json!(false))
    );
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, lost, "the JSON is the report");
}

#[test]
fn each_refusal_has_its_exit_code_and_says_what_to_do() {
    let cases = [
        (403, "not-agreed", 8, "allow-selftest=on"),
        (404, "not-member", 1, "zt-cli member list"),
        (503, "busy", 1, "try again"),
        (504, "unsupported", 7, "too old"),
        (504, "timed-out", 7, "zt-cli why"),
        (404, "no-such-network", 1, "zt-cli networks"),
        (404, "no-such-peer", 1, "address right"),
    ];
    for (status, trouble, exit, hint) in cases {
        let answer = json!({"error": "no", "trouble": trouble});
        let (output, _) = selftest(&[], status, &answer);
        let err = said(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{trouble}: {err}");
        assert!(err.contains(hint), "{trouble}: {err}");
    }
}

#[test]
fn without_a_node_it_ends_with_6_and_its_help_has_examples() {
    let run = |arguments: &[&str]| {
        let cli = env!("CARGO_BIN_EXE_zt-cli");
        Command::new(cli).args(arguments).output().unwrap()
    };
    let output = run(&["--socket", "/nonexistent/node.sock", "selftest", PEER]);
    assert_eq!(output.status.code(), Some(6));
    let help = run(&["selftest", "--help"]);
    assert!(said(&help.stdout).contains("Examples"));
}
