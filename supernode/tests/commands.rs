//! zt-supernode as an operator meets it: the real binary, its files, its exit codes.
//!
//! In: arguments. Out: what stdout, stderr, files and the exit code have to be.

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

#[test]
fn init_makes_a_world_once_and_prints_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("first");
    let output = init(&state, "203.0.113.7:9993", &["--name", "friends"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).lines().any(|line| {
        line.strip_prefix("hash ")
            .is_some_and(|hash| hash.len() == 64)
    }));
    let world = json(&state.join("world.json"));
    assert_eq!(
        (world["serial"].as_u64(), world["name"].as_str()),
        (Some(1), Some("friends"))
    );
    assert_eq!(world["supernodes"][0]["endpoints"][0], "203.0.113.7:9993");
    let before = std::fs::read(state.join("identity")).unwrap();
    let again = init(&state, "203.0.113.7:9993", &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("is not replaced"),
        "{}",
        stderr(&again)
    );
    assert_eq!(std::fs::read(state.join("identity")).unwrap(), before);
    assert_eq!(json(&state.join("world.json")), world);
}

#[test]
fn what_is_secret_is_readable_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("first");
    init(&state, "203.0.113.7:9993", &[]);
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(state.clone()), 0o700);
    assert_eq!(mode(state.join("authority")), 0o700);
    assert_eq!(mode(state.join("identity")), 0o600);
    assert_eq!(mode(state.join("authority/key")), 0o600);
    assert_eq!(mode(state.join("world.json")), 0o644, "every node needs it");
}

#[test]
fn an_init_that_was_interrupted_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("first");
    init(&state, "203.0.113.7:9993", &[]);
    let identity = std::fs::read(state.join("identity")).unwrap();
    std::fs::remove_file(state.join("world.json")).unwrap();
    let again = init(&state, "203.0.113.7:9993", &[]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(
        std::fs::read(state.join("identity")).unwrap(),
        identity,
        "found, not searched again"
    );
    assert!(state.join("world.json").exists());
}

#[test]
fn a_directory_of_another_program_is_not_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("node");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("identity"), b"somebody's").unwrap();
    assert_eq!(init(&state, "203.0.113.7:9993", &[]).status.code(), Some(1));
    assert_eq!(
        std::fs::read(state.join("identity")).unwrap(),
        b"somebody's"
    );
    assert!(!state.join("authority").exists());
}

#[test]
fn a_second_supernode_is_made_in_the_world_and_added_with_the_next_serial() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    init(&first, "203.0.113.7:9993", &[]);
    let world = first.join("world.json");
    let made = init(
        &second,
        "198.51.100.9:9993",
        &["--join-world", world.to_str().unwrap()],
    );
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    assert!(
        !second.join("world.json").exists(),
        "it makes no world of its own"
    );
    let early = run(&second, &["--world", world.to_str().unwrap()]);
    assert_eq!(early.status.code(), Some(1));
    assert!(stderr(&early).contains("world add"), "{}", stderr(&early));
    let added = add(&first, &second.join("identity.public"), &[]);
    assert_eq!(added.status.code(), Some(0), "{}", stderr(&added));
    let after = json(&world);
    assert_eq!(after["serial"], 2);
    assert_eq!(after["supernodes"][1]["endpoints"][0], "198.51.100.9:9993");
    let again = add(&first, &second.join("identity.public"), &[]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(json(&world), after);
    let moved = add(
        &first,
        &second.join("identity.public"),
        &["--endpoint", "198.51.100.10:9993"],
    );
    assert_eq!(moved.status.code(), Some(0), "{}", stderr(&moved));
    assert_eq!(json(&world)["supernodes"].as_array().unwrap().len(), 2);
    assert_eq!(
        json(&world)["supernodes"][1]["endpoints"][0],
        "198.51.100.10:9993"
    );
    assert_eq!(
        add(&second, &first.join("identity.public"), &[])
            .status
            .code(),
        Some(1),
        "no key there"
    );
}

#[test]
fn a_public_half_that_lies_about_its_address_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    init(&first, "203.0.113.7:9993", &[]);
    init(&second, "198.51.100.9:9993", &[]);
    let mut public = json(&second.join("identity.public"));
    public["address"] = "0123456789".into();
    let forged = dir.path().join("forged.public");
    std::fs::write(&forged, public.to_string()).unwrap();
    let output = add(&first, &forged, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("does not hold"),
        "{}",
        stderr(&output)
    );
    assert_eq!(json(&first.join("world.json"))["serial"], 1);
}

#[test]
fn a_running_supernode_takes_a_new_world_from_its_file_and_a_second_instance_ends_with_5() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    init(&first, "127.0.0.1:9993", &[]);
    let world = first.join("world.json");
    init(
        &second,
        "127.0.0.1:9994",
        &["--join-world", world.to_str().unwrap()],
    );
    let mut running = serve(&first, dir.path());
    let twice = run(&first, &["--listen", "127.0.0.1:0"]);
    assert_eq!(twice.status.code(), Some(5), "{}", stderr(&twice));
    assert_eq!(
        add(&first, &second.join("identity.public"), &[])
            .status
            .code(),
        Some(0)
    );
    let log = BufReader::new(running.0.stderr.take().unwrap());
    let taken = log
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("taken from its file"));
    assert!(taken, "the log ended without it");
}

#[test]
fn what_cannot_run_says_why_with_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("first");
    let nothing = run(&state, &[]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stderr(&nothing).contains("zt-supernode init"));
    init(&state, "203.0.113.7:9993", &[]);
    let tls = run(&state, &["--tls-listen", "0.0.0.0:443"]);
    assert_eq!(tls.status.code(), Some(2));
    assert!(stderr(&tls).contains("UDP only"));
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let busy = run(
        &state,
        &["--listen", &taken.local_addr().unwrap().to_string()],
    );
    assert_eq!(busy.status.code(), Some(4), "{}", stderr(&busy));
    std::fs::write(state.join("registry.redb"), [0xa5; 4096]).unwrap();
    let damaged = run(&state, &["--listen", "127.0.0.1:0"]);
    assert_eq!(damaged.status.code(), Some(3), "{}", stderr(&damaged));
    std::fs::write(state.join("identity"), b"garbage").unwrap();
    let corrupt = run(&state, &["--listen", "127.0.0.1:0"]);
    assert_eq!(corrupt.status.code(), Some(3), "{}", stderr(&corrupt));
    assert_eq!(std::fs::read(state.join("identity")).unwrap(), b"garbage");
}

#[test]
fn wrong_arguments_end_with_2() {
    for arguments in [
        &["init", "--state-dir", "x"][..],
        &["init", "--state-dir", "x", "--endpoint", "0.0.0.0:9993"],
        &["init", "--state-dir", "x", "--endpoint", "203.0.113.7"],
        &[
            "init",
            "--state-dir",
            "x",
            "--endpoint",
            "203.0.113.7:1",
            "--tls-endpoint",
            "nowhere",
        ],
        &["world"],
        &["nonsense"],
    ] {
        let output = supernode(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(!Path::new("x").exists());
    }
}

fn init(state: &Path, endpoint: &str, more: &[&str]) -> Output {
    let state = state.to_str().unwrap();
    let base = [
        "init",
        "--state-dir",
        state,
        "--endpoint",
        endpoint,
        "--weak-proof-of-work",
    ];
    supernode(&[&base, more].concat())
}

fn add(state: &Path, public: &Path, more: &[&str]) -> Output {
    let (state, public) = (state.to_str().unwrap(), public.to_str().unwrap());
    supernode(
        &[
            &["world", "add", "--state-dir", state, "--public", public],
            more,
        ]
        .concat(),
    )
}

fn run(state: &Path, more: &[&str]) -> Output {
    supernode(
        &[
            &[
                "run",
                "--state-dir",
                state.to_str().unwrap(),
                "--weak-proof-of-work",
            ],
            more,
        ]
        .concat(),
    )
}

/// A supernode that serves; it is killed when the value goes.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn serve(state: &Path, dir: &Path) -> Serving {
    let path = dir.join("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_zt-supernode"))
        .args([
            "run",
            "--weak-proof-of-work",
            "--listen",
            "127.0.0.1:0",
            "--state-dir",
        ])
        .arg(state)
        .env("NOTIFY_SOCKET", &path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let serving = Serving(child);
    let mut said = [0; 64];
    notify
        .set_read_timeout(Some(std::time::Duration::from_mins(1)))
        .unwrap();
    let length = notify.recv(&mut said).unwrap();
    assert!(said[..length].starts_with(b"READY=1"));
    serving
}

fn supernode(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zt-supernode"))
        .args(arguments)
        .output()
        .unwrap()
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
