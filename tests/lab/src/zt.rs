//! The programs of a world as a person runs them: supernodes, a netconf-master, nodes, and the commands to each.
//!
//! In: hosts and binaries. Out: running programs, JSON as `zt-cli` prints it. Never: a file format or a port of ours
//! but those of the documented options.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{Failed, Host, Outcome, Process, Programs};

/// How much work a world asks for an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofOfWork {
    /// As on the real Internet: seconds.
    Release,
    /// As in a test: nothing.
    Weak,
}

/// What all programs of one world share.
#[derive(Clone, Debug)]
pub struct Kit {
    /// The binaries.
    pub programs: Programs,
    /// How much work an identity is.
    pub work: ProofOfWork,
}

impl Kit {
    /// A kit for tests: weak proof of work.
    pub fn weak(programs: Programs) -> Self {
        Self {
            programs,
            work: ProofOfWork::Weak,
        }
    }

    fn flag(&self, command: &mut Command) {
        if self.work == ProofOfWork::Weak {
            command.arg("--weak-proof-of-work");
        }
    }
}

/// A supernode on a host.
#[derive(Debug)]
pub struct Supernode {
    /// Where it runs.
    pub host: Host,
    /// Its state directory.
    pub state: PathBuf,
    /// Its public endpoint.
    pub endpoint: SocketAddr,
    /// The program.
    pub process: Process,
    kit: Kit,
}

impl Supernode {
    /// `zt-supernode init`, then `run`, with a world of its own.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn init(kit: &Kit, host: &Host, address: Ipv4Addr) -> Result<Self, Failed> {
        let endpoint = SocketAddr::from((address, PORT));
        let state = host.dir().join("supernode");
        let mut command = host.command(kit.programs.supernode());
        command.args(["init", "--state-dir"]).arg(&state).args([
            "--endpoint",
            &endpoint.to_string(),
            "--name",
            "lab",
        ]);
        kit.flag(&mut command);
        Outcome::of(&mut command, BIRTH)?
            .good()
            .map_err(|failed| failed.during("zt-supernode init"))?;
        Self::run(kit, host, endpoint, None)
    }

    /// `zt-supernode run` with what is in the state directory.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn run(
        kit: &Kit,
        host: &Host,
        endpoint: SocketAddr,
        world: Option<&Path>,
    ) -> Result<Self, Failed> {
        let state = host.dir().join("supernode");
        let mut command = host.command(kit.programs.supernode());
        command
            .args(["run", "--state-dir"])
            .arg(&state)
            .args(["--listen", &format!("0.0.0.0:{}", endpoint.port())]);
        if let Some(world) = world {
            command.arg("--world").arg(world);
        }
        kit.flag(&mut command);
        let process = serve(host, "supernode", &mut command)?;
        Ok(Self {
            host: host.clone(),
            state,
            endpoint,
            process,
            kit: kit.clone(),
        })
    }

    /// Starts it again after an end.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn restart(&mut self) -> Result<(), Failed> {
        let _gone_already = self.process.kill();
        let again = Self::run(&self.kit, &self.host, self.endpoint, None)?;
        self.process = again.process;
        Ok(())
    }

    /// The world file that the others need.
    pub fn world(&self) -> PathBuf {
        self.state.join("world.json")
    }
}

/// A netconf-master on a host.
#[derive(Debug)]
pub struct Master {
    /// Where it runs.
    pub host: Host,
    /// Its state directory.
    pub state: PathBuf,
    /// The program.
    pub process: Process,
    world: PathBuf,
    kit: Kit,
}

impl Master {
    /// `zt-netconf-master run`.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn run(kit: &Kit, host: &Host, world: &Path) -> Result<Self, Failed> {
        let state = host.dir().join("master");
        let mut command = host.command(kit.programs.master());
        command
            .args(["run", "--state-dir"])
            .arg(&state)
            .arg("--world")
            .arg(world);
        kit.flag(&mut command);
        let process = serve(host, "master", &mut command)?;
        Ok(Self {
            host: host.clone(),
            state,
            process,
            world: world.to_path_buf(),
            kit: kit.clone(),
        })
    }

    /// Starts it again after an end.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn restart(&mut self) -> Result<(), Failed> {
        let _gone_already = self.process.kill();
        self.process = Self::run(&self.kit, &self.host, &self.world)?.process;
        Ok(())
    }

    /// A `zt-cli` command to it, with `--json`, and what came back.
    ///
    /// # Errors
    /// When it does not end within 20 s.
    pub fn cli(&self, arguments: &[&str]) -> Result<Outcome, Failed> {
        let mut command = self.host.command(self.kit.programs.cli());
        command
            .arg("--json")
            .args(arguments)
            .args(["--master", "http://127.0.0.1:9994", "--token-file"])
            .arg(self.state.join("admin.token"));
        Outcome::of(&mut command, COMMAND)
    }

    /// Like [`Master::cli`], and it has to succeed and print JSON.
    ///
    /// # Errors
    /// When it does not.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value, Failed> {
        self.cli(arguments)?
            .good()
            .and_then(|outcome| outcome.json())
            .map_err(|failed| failed.during(&format!("zt-cli {}", arguments.join(" "))))
    }

    /// Creates a private network with a pool.
    ///
    /// # Errors
    /// When the master refuses.
    pub fn create(&self, name: &str, cidr: &str) -> Result<Created, Failed> {
        let network = self.ask(&["network", "create", name, "--cidr", cidr])?;
        Ok(Created {
            id: text(&network, "id")?,
            fingerprint: text(&network, "fingerprint")?,
        })
    }

    /// Makes an invite that authorizes whoever comes with it, as often as wanted.
    ///
    /// # Errors
    /// When the master refuses.
    pub fn invite(&self, network: &Created) -> Result<String, Failed> {
        let invite = self.ask(&["invite", "create", &network.id, "--uses", "0"])?;
        text(&invite, "invite")
    }

    /// Authorizes a member.
    ///
    /// # Errors
    /// When the master refuses.
    pub fn authorize(&self, network: &Created, address: &str) -> Result<(), Failed> {
        self.ask(&["member", "authorize", &network.id, address])
            .map(|_| ())
    }

    /// Takes a member's authorization back.
    ///
    /// # Errors
    /// When the master refuses.
    pub fn deauthorize(&self, network: &Created, address: &str) -> Result<(), Failed> {
        self.ask(&["member", "deauthorize", &network.id, address])
            .map(|_| ())
    }
}

/// A network as its creator knows it.
#[derive(Clone, Debug)]
pub struct Created {
    /// Sixteen hex digits.
    pub id: String,
    /// The controller's fingerprint.
    pub fingerprint: String,
}

impl Created {
    /// `ID#FINGERPRINT`, the pinned name.
    pub fn pinned(&self) -> String {
        format!("{}#{}", self.id, self.fingerprint)
    }
}

/// A node on a host.
#[derive(Debug)]
pub struct Node {
    /// Where it runs.
    pub host: Host,
    /// Its state directory.
    pub state: PathBuf,
    /// The program.
    pub process: Process,
    /// How long it took from the start of the program to `READY=1`; the first time with making an identity.
    pub started_in: Duration,
    world: PathBuf,
    kit: Kit,
}

impl Node {
    /// `zt-node run`.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn run(kit: &Kit, host: &Host, world: &Path) -> Result<Self, Failed> {
        let state = host.dir().join("node");
        let started = Instant::now();
        let mut command = Self::command(kit, host, &state, world);
        let process = serve(host, "node", &mut command)?;
        Ok(Self {
            host: host.clone(),
            state,
            process,
            started_in: started.elapsed(),
            world: world.to_path_buf(),
            kit: kit.clone(),
        })
    }

    /// The command that runs a node with a state directory.
    pub fn command(kit: &Kit, host: &Host, state: &Path, world: &Path) -> Command {
        let mut command = host.command(kit.programs.node());
        command
            .args(["run", "--state-dir"])
            .arg(state)
            .arg("--world")
            .arg(world);
        kit.flag(&mut command);
        command
    }

    /// Starts it again after an end.
    ///
    /// # Errors
    /// When the program does not serve.
    pub fn restart(&mut self) -> Result<(), Failed> {
        let _gone_already = self.process.kill();
        self.process = Self::run(&self.kit, &self.host, &self.world)?.process;
        Ok(())
    }

    /// A `zt-cli` command to this node, with `--json`, and what came back.
    ///
    /// # Errors
    /// When it does not end within the time it was given plus some.
    pub fn cli(&self, arguments: &[&str]) -> Result<Outcome, Failed> {
        let mut command = self.host.command(self.kit.programs.cli());
        command
            .arg("--socket")
            .arg(self.state.join("node.sock"))
            .arg("--json")
            .args(arguments);
        Outcome::of(&mut command, COMMAND)
    }

    /// Like [`Node::cli`], and it has to succeed and print JSON.
    ///
    /// # Errors
    /// When it does not.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value, Failed> {
        self.cli(arguments)?
            .good()
            .and_then(|outcome| outcome.json())
            .map_err(|failed| {
                failed.during(&format!(
                    "zt-cli {} on {}",
                    arguments.join(" "),
                    self.host.name()
                ))
            })
    }

    /// Joins and waits until the network is `ok`.
    ///
    /// # Errors
    /// When it is not within 15 s.
    pub fn join(&self, what: &str) -> Result<Joined, Failed> {
        let outcome = self
            .cli(&["join", what, "--wait", "15"])?
            .good()
            .map_err(|failed| failed.during(&format!("zt-cli join on {}", self.host.name())))?;
        let id = id_of(what, self)?;
        let mut joined = self.joined(&id)?;
        joined.took = outcome.took;
        Ok(joined)
    }

    /// What this node says of a network that is `ok`.
    ///
    /// # Errors
    /// When it is not.
    pub fn joined(&self, id: &str) -> Result<Joined, Failed> {
        let network = self.network(id)?;
        if network["status"] != "ok" {
            return Err(Failed::new(format!("network {id} is not ok: {network}")));
        }
        let ip = network["addresses"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find_map(|cidr| cidr.split('/').next()?.parse().ok())
            .ok_or_else(|| Failed::new(format!("no IPv4 address: {network}")))?;
        Ok(Joined {
            id: id.to_owned(),
            device: text(&network, "device")?,
            ip,
            took: Duration::ZERO,
        })
    }

    /// What `networks` says of one network.
    ///
    /// # Errors
    /// When this node has not joined it.
    pub fn network(&self, id: &str) -> Result<Value, Failed> {
        let networks = self.ask(&["networks"])?;
        networks
            .as_array()
            .into_iter()
            .flatten()
            .find(|network| network["id"] == id)
            .cloned()
            .ok_or_else(|| Failed::new(format!("network {id} is not in {networks}")))
    }

    /// What `peers` says of one peer; null when this node knows none.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn peer(&self, address: &str) -> Result<Value, Failed> {
        let peers = self.ask(&["peers"])?;
        Ok(peers
            .as_array()
            .into_iter()
            .flatten()
            .find(|peer| peer["address"] == address)
            .cloned()
            .unwrap_or(Value::Null))
    }

    /// This node's address.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn address(&self) -> Result<String, Failed> {
        text(&self.ask(&["info"])?, "address")
    }

    /// Waits until it says that a supernode answers.
    ///
    /// # Errors
    /// When none does within 10 s.
    pub fn online(&self) -> Result<(), Failed> {
        until(Duration::from_secs(10), "info never says online", || {
            Ok(self.ask(&["info"])?["online"] == true)
        })
        .map(|_| ())
    }

    /// The world file it was started with.
    pub fn world(&self) -> &Path {
        &self.world
    }
}

/// Where a node is on a network it has joined.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The network.
    pub id: String,
    /// Its device.
    pub device: String,
    /// Its IPv4 address there.
    pub ip: Ipv4Addr,
    /// How long the join took.
    pub took: Duration,
}

/// Starts a program and waits for its `READY=1`.
///
/// # Errors
/// When it ends instead, or says nothing in time.
pub fn serve(host: &Host, name: &str, command: &mut Command) -> Result<Process, Failed> {
    // Short and of this start only: a socket's path has to fit 108 bytes.
    let path = host.dir().join(format!("{name}.ready"));
    let _first_time = fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    command.env("NOTIFY_SOCKET", &path);
    let mut process = host.start(name, command)?;
    let deadline = Instant::now() + BIRTH;
    let mut said = [0; 1024];
    loop {
        if let Ok(length) = socket.recv(&mut said)
            && String::from_utf8_lossy(&said[..length]).contains("READY=1")
        {
            return Ok(process);
        }
        if let Some(code) = process.ended()? {
            return Err(Failed::new(format!(
                "{name} on {} ended with {code}:\n{}",
                host.name(),
                process.log()
            )));
        }
        if Instant::now() >= deadline {
            return Err(Failed::new(format!(
                "{name} on {} is not ready after {BIRTH:?}:\n{}",
                host.name(),
                process.log()
            )));
        }
    }
}

/// Asks until the answer is yes and says how long it took.
///
/// # Errors
/// With `otherwise` when it stays no for `limit`.
pub fn until(
    limit: Duration,
    otherwise: &str,
    mut question: impl FnMut() -> Result<bool, Failed>,
) -> Result<Duration, Failed> {
    let started = Instant::now();
    while !question()? {
        if started.elapsed() >= limit {
            return Err(Failed::new(format!("{otherwise} within {limit:?}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(started.elapsed())
}

/// A text field of a JSON object.
///
/// # Errors
/// When there is none.
pub fn text(object: &Value, field: &str) -> Result<String, Failed> {
    object[field]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Failed::new(format!("no text {field:?} in {object}")))
}

/// The network id of what was joined: an id, an id with fingerprint, or the network joined last by invite.
fn id_of(what: &str, node: &Node) -> Result<String, Failed> {
    if !what.starts_with("zt1-") {
        return Ok(what.split('#').next().unwrap_or(what).to_owned());
    }
    let networks = node.ask(&["networks"])?;
    networks
        .as_array()
        .and_then(|networks| networks.last())
        .ok_or_else(|| Failed::new("no network after a join"))
        .and_then(|network| text(network, "id"))
}

/// The port that every program listens on unless told otherwise.
pub const PORT: u16 = 9993;
/// Longest that a program may take to serve: with luck against it, an identity takes half a minute of a slow core.
const BIRTH: Duration = Duration::from_mins(3);
/// Longest that a command may take.
const COMMAND: Duration = Duration::from_secs(40);
