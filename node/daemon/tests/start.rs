//! How zt-node starts, refuses to start, and stops, seen from outside.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use zt_api::NodeClient;
use zt_crypto::Params;
use zt_crypto::pow::Search;
use zt_wire::{ProofOfWork, World, WorldSupernode};

#[test]
fn a_node_serves_its_api_and_stops_cleanly() {
    let place = Place::new();
    let mut node = place.start(&["--listen", "127.0.0.1:0"]);
    let socket = place.state().join("node.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o660);
    let info = asked(async { NodeClient::new(&socket).info().await.unwrap() });
    assert_eq!((info.world.name.as_str(), info.online), ("test", false));
    let peak = peak_kib(node.child.id());
    assert!(peak < 32 << 10, "peak memory {peak} KiB");
    node.terminate();
    assert_eq!(node.child.wait().unwrap().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn the_identity_survives_a_restart() {
    let place = Place::new();
    let socket = place.state().join("node.sock");
    let address = || asked(async { NodeClient::new(&socket).info().await.unwrap().address });
    let first = {
        let _node = place.start(&["--listen", "127.0.0.1:0"]);
        address()
    };
    let _node = place.start(&["--listen", "127.0.0.1:0"]);
    assert_eq!(address(), first);
}

#[test]
fn a_world_is_needed_once() {
    let place = Place::new();
    let state = place.state();
    let none = place.ends(&["run", "--state-dir", path(&state), "--weak-proof-of-work"]);
    assert_eq!(none.0.code(), Some(2), "{}", none.1);
    drop(place.start(&["--listen", "127.0.0.1:0"]));
    let stored = [
        "run",
        "--state-dir",
        path(&state),
        "--listen",
        "127.0.0.1:0",
        "--weak-proof-of-work",
    ];
    let mut again = place.ready(&stored);
    again.terminate();
    assert_eq!(again.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_weak_world_is_entered_only_when_allowed() {
    let place = Place::new();
    let (state, world) = (place.state(), place.world());
    let refused = place.ends(&["run", "--state-dir", path(&state), "--world", path(&world)]);
    assert_eq!(refused.0.code(), Some(1));
    assert!(refused.1.contains("--weak-proof-of-work"), "{}", refused.1);
}

#[test]
fn a_second_instance_and_a_port_in_use_have_their_exit_codes() {
    let place = Place::new();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let in_use = place.ends(&place.run(&["--listen", &port]));
    assert_eq!(in_use.0.code(), Some(4), "{}", in_use.1);
    assert!(in_use.1.contains(&port), "{}", in_use.1);
    let _node = place.start(&["--listen", "127.0.0.1:0"]);
    let locked = place.ends(&place.run(&["--listen", "127.0.0.1:0"]));
    assert_eq!(locked.0.code(), Some(5), "{}", locked.1);
}

#[test]
fn a_corrupt_file_stops_the_program_and_is_named() {
    let place = Place::new();
    drop(place.start(&["--listen", "127.0.0.1:0"]));
    let identity = place.state().join("identity");
    let good = std::fs::read(&identity).unwrap();
    let mut bad = good.clone();
    bad[50] ^= 1;
    std::fs::write(&identity, &bad).unwrap();
    let stopped = place.ends(&place.run(&["--listen", "127.0.0.1:0"]));
    assert_eq!(stopped.0.code(), Some(3), "{}", stopped.1);
    assert!(stopped.1.contains(path(&identity)), "{}", stopped.1);
    assert_eq!(std::fs::read(&identity).unwrap(), bad, "never made anew");
}

/// A place for one node: a state directory, a world file, a socket where it says READY.
struct Place {
    outer: tempfile::TempDir,
}

struct Node {
    child: Child,
}

impl Place {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        std::fs::write(outer.path().join("world.json"), world()).unwrap();
        Self { outer }
    }

    fn state(&self) -> PathBuf {
        self.outer.path().join("state")
    }

    fn world(&self) -> PathBuf {
        self.outer.path().join("world.json")
    }

    fn run(&self, more: &[&str]) -> Vec<String> {
        let (state, world) = (self.state(), self.world());
        let start = [
            "run",
            "--state-dir",
            path(&state),
            "--world",
            path(&world),
            "--weak-proof-of-work",
        ];
        start
            .iter()
            .chain(more)
            .map(|&word| word.to_owned())
            .collect()
    }

    fn start(&self, more: &[&str]) -> Node {
        self.ready(&self.run(more))
    }

    /// Starts and returns when the node says READY.
    fn ready(&self, words: &[impl AsRef<std::ffi::OsStr>]) -> Node {
        let notify = self.outer.path().join("notify");
        let _ = std::fs::remove_file(&notify);
        let bell = UnixDatagram::bind(&notify).unwrap();
        bell.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_zt-node"))
            .args(words)
            .env("NOTIFY_SOCKET", &notify)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let node = Node { child };
        let mut said = [0; 64];
        let length = bell.recv(&mut said).expect("READY within 20 s");
        assert!(said[..length].starts_with(b"READY=1"));
        node
    }

    /// Runs to its end; gives what it said on stderr.
    fn ends(&self, words: &[impl AsRef<std::ffi::OsStr>]) -> (ExitStatus, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_zt-node"))
            .args(words)
            .current_dir(self.outer.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (child.wait().unwrap(), said)
    }
}

impl Node {
    fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.terminate();
            self.child.wait().unwrap();
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn asked<T>(question: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(question)
}

fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A test world whose only supernode nobody runs.
fn world() -> String {
    let (supernode, verified) = Search::new(&[7; 32], Params::WEAK).run().unwrap();
    let key = *verified.identity().ed25519();
    let world = World {
        id: [1; 16],
        serial: 1,
        name: "test".into(),
        proof_of_work: ProofOfWork {
            memory_kib: Params::WEAK.memory_kib(),
            passes: Params::WEAK.passes(),
            bits: Params::WEAK.bits(),
            weak: true,
        },
        signing_key: key,
        next_key: key,
        supernodes: vec![WorldSupernode {
            identity: *verified.identity(),
            endpoints: vec!["127.0.0.1:9".parse().unwrap()],
            tls_endpoints: Vec::new(),
        }],
    };
    zt_wire::json::world_to_json(&supernode.sign(&world)).unwrap()
}
