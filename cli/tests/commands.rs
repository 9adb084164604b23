//! zt-cli as people and scripts meet it: the real binary, with a daemon that answers what the test tells it to.
//!
//! In: arguments, canned answers. Out: what stdout, stderr and the exit code have to be.

mod program;

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use program::{cli, stderr, stdout};
use serde_json::{Value, json};

const NETWORK: &str = "1d71939404000001";
const PEER: &str = "89e92ceee5";
const KEY: &str = "6c3fd2b4e1a0978856473829100abcdef0123456789abcdef0123456789abcde";

#[test]
fn join_without_wait_asks_and_returns() {
    let node = Fake::node(&[
        ("PUT", &format!("/v1/networks/{NETWORK}"), 204, Value::Null),
        (
            "GET",
            &format!("/v1/networks/{NETWORK}"),
            200,
            network("requesting"),
        ),
    ]);
    let output = cli(
        &node.socket,
        &[
            "join",
            &format!("{NETWORK}#{KEY}"),
            "--token",
            &"ab".repeat(16),
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("requesting"));
    let asked = node.heard();
    assert_eq!(
        asked[0],
        json!({ "fingerprint": KEY, "token": "ab".repeat(16) })
    );
}

#[test]
fn join_with_wait_prints_address_device_and_pin() {
    let node = Fake::node(&[
        ("PUT", &format!("/v1/networks/{NETWORK}"), 204, Value::Null),
        (
            "GET",
            &format!("/v1/networks/{NETWORK}"),
            200,
            network("ok"),
        ),
    ]);
    let output = cli(&node.socket, &["join", NETWORK, "--wait", "5"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for said in ["10.77.0.2/24", "zt0", KEY, "first use"] {
        assert!(
            stdout(&output).contains(said),
            "{said} in {}",
            stdout(&output)
        );
    }
}

#[test]
fn join_with_wait_finds_a_node_that_starts_later_and_without_one_ends_with_6() {
    let early = Fake::new();
    let socket = early.socket.clone();
    let joining = std::thread::spawn(move || cli(&socket, &["join", NETWORK, "--wait", "60"]));
    // Longer than one look for the socket: the join is waiting when the node comes.
    std::thread::sleep(std::time::Duration::from_millis(300));
    early.listen(&[
        ("PUT", &format!("/v1/networks/{NETWORK}"), 204, Value::Null),
        (
            "GET",
            &format!("/v1/networks/{NETWORK}"),
            200,
            network("ok"),
        ),
    ]);
    let output = joining.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("waiting for zt-node"));
    let none = cli(
        Path::new("/nonexistent/node.sock"),
        &["join", NETWORK, "--wait", "0.3"],
    );
    assert_eq!(none.status.code(), Some(6));
}

#[test]
fn every_end_of_a_join_has_its_exit_code_and_names_the_next_step() {
    let cases = [
        ("denied", 8, "ask who runs the network"),
        ("not-found", 1, "is the id right"),
        ("unreachable", 7, "zt-cli info"),
        ("requesting", 7, "zt-cli member authorize"),
        ("device-error", 4, "run zt-node as root"),
    ];
    for (status, exit, said) in cases {
        let node = Fake::node(&[
            ("PUT", &format!("/v1/networks/{NETWORK}"), 204, Value::Null),
            (
                "GET",
                &format!("/v1/networks/{NETWORK}"),
                200,
                network(status),
            ),
        ]);
        let output = cli(&node.socket, &["join", NETWORK, "--wait", "1"]);
        assert_eq!(output.status.code(), Some(exit), "{status}");
        assert!(
            stderr(&output).contains(said),
            "{status}: {}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty(), "{status}");
    }
}

#[test]
fn a_controller_with_another_key_is_denied() {
    let refusal = json!({ "error": "pinned to another key", "trouble": "pinned" });
    let node = Fake::node(&[("PUT", &format!("/v1/networks/{NETWORK}"), 409, refusal)]);
    assert_eq!(cli(&node.socket, &["join", NETWORK]).status.code(), Some(8));
}

#[test]
fn lists_are_tables_for_people_and_the_daemon_s_json_for_scripts() {
    let node = Fake::node(&[("GET", "/v1/networks", 200, json!([network("ok")]))]);
    let text = stdout(&cli(&node.socket, &["networks"]));
    assert!(
        text.starts_with("NETWORK") && text.contains("10.77.0.2/24"),
        "{text}"
    );
    let json: Value =
        serde_json::from_slice(&cli(&node.socket, &["--json", "networks"]).stdout).unwrap();
    assert_eq!(json, json!([network("ok")]));
    let empty = Fake::node(&[("GET", "/v1/networks", 200, json!([]))]);
    assert!(stdout(&cli(&empty.socket, &["networks"])).contains("zt-cli join"));
}

#[test]
fn a_ping_without_answer_ends_with_7_and_an_unknown_peer_with_1() {
    let path = format!("/v1/peers/{PEER}/ping");
    let silent = Fake::node(&[(
        "POST",
        &path,
        504,
        json!({ "error": "no answer", "trouble": "timed-out" }),
    )]);
    let output = cli(&silent.socket, &["ping", PEER, "-c", "2", "-i", "0"]);
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("zt-cli why"));
    let unknown = Fake::node(&[(
        "POST",
        &path,
        404,
        json!({ "error": "unknown", "trouble": "no-such-peer" }),
    )]);
    assert_eq!(
        cli(&unknown.socket, &["ping", PEER, "-c", "2"])
            .status
            .code(),
        Some(1)
    );
    let good = Fake::node(&[(
        "POST",
        &path,
        200,
        json!({ "rtt_ms": 1.5, "path": "direct" }),
    )]);
    let output = cli(
        &good.socket,
        &["--json", "ping", PEER, "-c", "2", "-i", "0"],
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["sent"], &report["received"], &report["path"]),
        (&json!(2), &json!(2), &json!("direct"))
    );
}

#[test]
fn settings_are_sent_as_they_are_named() {
    let node = Fake::node(&[
        (
            "PATCH",
            &format!("/v1/networks/{NETWORK}"),
            204,
            Value::Null,
        ),
        ("GET", "/v1/networks", 200, json!([network("ok")])),
        (
            "GET",
            &format!("/v1/networks/{NETWORK}/ipx"),
            200,
            json!({ "hosts": [], "ipxnet": null, "ipxnet_error": null, "clients": [] }),
        ),
    ]);
    let output = cli(
        &node.socket,
        &[
            "set",
            NETWORK,
            "allow-dns=on",
            "allow-managed=false",
            "lan-mode=on",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        node.heard()[0],
        json!({ "allow-managed": false, "allow-dns": true, "lan-mode": true })
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("lan-mode"), "{said}");
}

#[test]
fn a_machine_that_cannot_do_lan_mode_says_why() {
    let why =
        "LAN mode cannot be set: no packet socket could be opened; start zt-node with CAP_NET_RAW";
    for (trouble, status, exit) in [(Value::Null, 501, 1), (json!("in-use"), 409, 4)] {
        let body = json!({ "error": why, "trouble": trouble });
        let node = Fake::node(&[("PATCH", &format!("/v1/networks/{NETWORK}"), status, body)]);
        let output = cli(&node.socket, &["set", NETWORK, "lan-mode=on"]);
        assert_eq!(output.status.code(), Some(exit), "{}", stderr(&output));
        assert!(stderr(&output).contains("CAP_NET_RAW"));
    }
}

#[test]
fn a_dump_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let node = Fake::node(&[("GET", "/v1/dump", 200, json!({ "info": 1 }))]);
    let file = node.dir.path().join("dump.json");
    assert_eq!(
        cli(&node.socket, &["dump", file.to_str().unwrap()])
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(std::fs::read_to_string(&file).unwrap().contains("info"));
}

#[test]
fn the_master_is_asked_with_its_token_and_its_refusal_names_the_field() {
    let refusal =
        json!({ "error": "the bits after the prefix must be zero", "field": "ipv4_pools" });
    let master = Fake::master(&[("POST", "/api/v1/networks", 400, refusal)]);
    let output = master.cli(&["network", "create", "home", "--cidr", "10.0.0.0/24"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("ipv4_pools"),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        master.fake.heard()[0],
        json!({ "name": "home", "ipv4_pools": ["10.0.0.0/24"] })
    );
    assert_eq!(*master.fake.tokens.lock().unwrap(), ["Bearer sesame"]);
}

#[test]
fn deauthorizing_denies_and_a_wrong_token_is_denied() {
    let member = json!({ "network": NETWORK, "address": PEER, "fingerprint": null, "status": "denied", "name": "",
        "static_ips": [], "ips": [], "bridge": false, "dhcp_server": false, "router_advertisement": false,
        "replicator": false, "any_source_ip": false, "tags": {}, "serial": 1, "last_seen": null, "endpoint": null,
        "created_at": 1, "revision": 1 });
    let path = format!("/api/v1/networks/{NETWORK}/members/{PEER}");
    let master = Fake::master(&[("PATCH", &path, 200, member)]);
    let output = master.cli(&["member", "deauthorize", NETWORK, PEER]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(master.fake.heard()[0], json!({ "status": "denied" }));
    let strict = Fake::master(&[(
        "GET",
        "/api/v1/networks",
        401,
        json!({ "error": "unauthorized" }),
    )]);
    let output = strict.cli(&["network", "list"]);
    assert_eq!(output.status.code(), Some(8));
    assert!(stderr(&output).contains("--token-file"));
}

#[test]
fn a_missing_token_file_and_a_missing_master_say_what_to_do() {
    let output = cli(
        Path::new("/x"),
        &[
            "network",
            "list",
            "--token-file",
            "/nonexistent/admin.token",
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--token-file FILE"));
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("t");
    std::fs::write(&token, "sesame\n").unwrap();
    // Port 1 of the loopback: nobody serves there.
    let token = token.to_str().unwrap();
    let output = cli(
        Path::new("/x"),
        &[
            "network",
            "list",
            "--master",
            "http://127.0.0.1:1",
            "--token-file",
            token,
        ],
    );
    assert_eq!(output.status.code(), Some(6));
    assert!(stderr(&output).contains("zt-netconf-master run"));
}

#[test]
fn up_says_which_program_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    // A copy alone in its directory, and no PATH: nothing is beside it.
    let alone = dir.path().join("zt-cli");
    std::fs::copy(env!("CARGO_BIN_EXE_zt-cli"), &alone).unwrap();
    let state = dir.path().join("state");
    let output = Command::new(&alone)
        .env("PATH", "")
        .args([
            "up",
            "--endpoint",
            "127.0.0.1:9993",
            "--state-dir",
            state.to_str().unwrap(),
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("zt-supernode"),
        "{}",
        stderr(&output)
    );
}

fn network(status: &str) -> Value {
    let device = (status == "ok").then_some("zt0");
    let error =
        (status == "device-error").then_some("/dev/net/tun: Permission denied (os error 13)");
    json!({ "id": NETWORK, "name": "home", "status": status, "device": device, "device_error": error,
        "mac": "02:00:00:00:00:01", "mtu": 1500, "addresses": ["10.77.0.2/24"], "routes": [], "bridge": false,
        "loop": null, "members_heard": 0, "pinned": KEY, "pinned_on_first_use": true,
        "settings": { "allow-managed": true, "allow-global": false, "allow-default": false, "allow-dns": false,
            "allow-selftest": false, "lan-mode": false } })
}

/// Canned answers by method and path (without its query).
type Answers = Vec<(String, String, u16, Value)>;

/// A daemon that answers what it was told to and notes what it was sent.
struct Fake {
    dir: tempfile::TempDir,
    socket: PathBuf,
    bodies: Arc<Mutex<Vec<Value>>>,
    tokens: Arc<Mutex<Vec<String>>>,
}

/// A [`Fake`] behind TCP, with its token's file.
struct FakeMaster {
    fake: Fake,
    url: String,
}

impl FakeMaster {
    fn cli(&self, arguments: &[&str]) -> Output {
        let token = self.fake.dir.path().join("admin.token");
        let more = [
            "--master",
            &self.url,
            "--token-file",
            token.to_str().unwrap(),
        ];
        cli(Path::new("/x"), &[arguments, &more].concat())
    }
}

impl Fake {
    fn node(answers: &[(&str, &str, u16, Value)]) -> Self {
        let fake = Self::new();
        fake.listen(answers);
        fake
    }

    fn listen(&self, answers: &[(&str, &str, u16, Value)]) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        let (bodies, tokens, answers) = (
            Arc::clone(&self.bodies),
            Arc::clone(&self.tokens),
            owned(answers),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &answers, &bodies, &tokens);
            }
        });
    }

    fn master(answers: &[(&str, &str, u16, Value)]) -> FakeMaster {
        let fake = Self::new();
        std::fs::write(fake.dir.path().join("admin.token"), "sesame\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (bodies, tokens, answers) = (
            Arc::clone(&fake.bodies),
            Arc::clone(&fake.tokens),
            owned(answers),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &answers, &bodies, &tokens);
            }
        });
        FakeMaster { fake, url }
    }

    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("node.sock");
        Self {
            dir,
            socket,
            bodies: Arc::default(),
            tokens: Arc::default(),
        }
    }

    fn heard(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }
}

fn owned(answers: &[(&str, &str, u16, Value)]) -> Answers {
    answers
        .iter()
        .map(|(m, p, s, v)| ((*m).to_owned(), (*p).to_owned(), *s, v.clone()))
        .collect()
}

fn serve(
    stream: impl Read + Write,
    answers: &Answers,
    bodies: &Mutex<Vec<Value>>,
    tokens: &Mutex<Vec<String>>,
) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let mut words = line.split(' ');
    let (method, target) = (
        words.next().unwrap_or("").to_owned(),
        words.next().unwrap_or("").to_owned(),
    );
    let path = target.split('?').next().unwrap_or("").to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim().split_once(": ") else {
            break;
        };
        match name {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => tokens.lock().unwrap().push(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    if length > 0 {
        bodies
            .lock()
            .unwrap()
            .push(serde_json::from_slice(&body).unwrap());
    }
    let found = answers.iter().find(|(m, p, ..)| *m == method && *p == path);
    let (status, answer) = found.map_or((404, json!({ "error": "not canned" })), |(_, _, s, v)| {
        (*s, v.clone())
    });
    let answer = if answer.is_null() {
        String::new()
    } else {
        answer.to_string()
    };
    let length = answer.len();
    write!(
        stream.get_mut(),
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
    )
    .unwrap();
}
