//! `up`: supernode, netconf-master, node and a first network on this machine, as children of this process.
//!
//! In: an endpoint, a place for state. Out: an invite, the commands to paste elsewhere; then runs until told to stop.
//! Never: a second world made over the first; run again, it goes on with what is there.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use zt_api::master::{InviteSettings, MemberSettings, MemberStatus, Network, NetworkSettings};
use zt_api::{Exit, JoinRequest, MasterClient, NodeClient, Status};

use crate::args::Up;
use crate::children::{Daemon, private_dir, program};
use crate::output::{Failure, Output};

/// How long our own node may take to be a member; it is all on one machine.
const JOIN: Duration = Duration::from_mins(1);

/// `up`.
pub async fn up(up: &Up, output: Output) -> Result<(), Failure> {
    let places = Places::of(&up.state_dir);
    private_dir(&up.state_dir)?;
    let mut stop = Stop::listen()?;
    let mut daemons = Vec::new();
    let ended = tokio::select! {
        ended = serve(up, &places, output, &mut daemons) => ended,
        () = stop.asked() => Ok(()),
    };
    // The node says goodbye through the supernode, so the last started is the first stopped.
    while let Some(daemon) = daemons.pop() {
        daemon.stop().await;
    }
    ended
}

/// Starts everything, tells how to join, and returns only when a daemon fails.
async fn serve(
    up: &Up,
    places: &Places,
    output: Output,
    daemons: &mut Vec<Daemon>,
) -> Result<(), Failure> {
    let mut progress = Progress::new(output);
    if places.world.exists() {
        same_endpoint(&places.world, up.endpoint)?;
    } else {
        init(up, places).await?;
    }
    progress.say("starting the supernode");
    let supernode = Daemon::start(
        "zt-supernode",
        &supernode_arguments(up, places),
        &up.state_dir,
    )?;
    daemons.push(supernode);
    ready(daemons).await?;
    progress.say("starting netconf-master and node (the first time each makes its identity: some seconds of computing)");
    daemons.push(Daemon::start(
        "zt-netconf-master",
        &master_arguments(up, places),
        &up.state_dir,
    )?);
    daemons.push(Daemon::start(
        "zt-node",
        &node_arguments(up, places),
        &up.state_dir,
    )?);
    ready(daemons).await?;
    progress.say("making the network and joining it");
    let report = first_network(up, places).await?;
    progress.done();
    output.show(&report, report_text)?;
    first_failure(daemons).await
}

/// Waits for those daemons that have not said yet that they serve: all but the first, or the only one.
async fn ready(daemons: &mut [Daemon]) -> Result<(), Failure> {
    let from = usize::from(daemons.len() > 1);
    for daemon in &mut daemons[from..] {
        daemon.ready().await?;
    }
    Ok(())
}

async fn first_failure(daemons: &mut [Daemon]) -> Result<(), Failure> {
    let [supernode, master, node] = daemons else {
        return Err(Failure::new(Exit::Failed, "not all daemons were started"));
    };
    tokio::select! {
        failure = supernode.failed() => Err(failure),
        failure = master.failed() => Err(failure),
        failure = node.failed() => Err(failure),
    }
}

/// Makes the supernode's identity and the world. Its progress bar is shown as it is.
async fn init(up: &Up, places: &Places) -> Result<(), Failure> {
    let mut command = tokio::process::Command::new(program("zt-supernode")?);
    command.args(["init", "--state-dir"]).arg(&places.supernode);
    command.args([
        "--endpoint",
        &up.endpoint.to_string(),
        "--name",
        &up.network,
    ]);
    if up.weak_proof_of_work {
        command.arg("--weak-proof-of-work");
    }
    let failed = |e: std::io::Error| Failure::new(Exit::Failed, format!("zt-supernode init: {e}"));
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await
        .map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        "zt-supernode init failed; the reason is above",
    ))
}

/// A world made for another endpoint would send everybody there.
fn same_endpoint(world: &Path, endpoint: SocketAddr) -> Result<(), Failure> {
    let text = std::fs::read_to_string(world)
        .map_err(|e| Failure::new(Exit::State, format!("{}: {e}", world.display())))?;
    if text.contains(&format!("\"{endpoint}\"")) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        format!(
            "{} was made for another endpoint than {endpoint}; give the one of the first time, or another --state-dir",
            world.display()
        ),
    ))
}

/// The network of this name, made if there is none; our node in it; an invite for the next machine.
async fn first_network(up: &Up, places: &Places) -> Result<Report, Failure> {
    let token = crate::master::token(&places.master.join("admin.token"))?;
    let master = MasterClient::new(&format!("http://{}", up.http), token)?;
    let node = NodeClient::new(&places.socket);
    let known = master.networks().await?;
    let network =
        if let Some(network) = known.into_iter().find(|network| network.name == up.network) {
            network
        } else {
            let settings = NetworkSettings {
                name: Some(up.network.clone()),
                ipv4_pools: Some(vec![up.cidr]),
                ..NetworkSettings::default()
            };
            master.create_network(&settings).await?
        };
    let own = node.info().await?.address;
    let member = MemberSettings {
        status: Some(MemberStatus::Authorized),
        name: hostname(),
        ..MemberSettings::default()
    };
    master.put_member(network.id, own, &member).await?;
    let request = JoinRequest {
        fingerprint: Some(network.fingerprint),
        ..JoinRequest::default()
    };
    node.join(network.id, &request).await?;
    let joined = node.settled(network.id, JOIN).await?;
    if joined.status != Status::Ok || joined.device.is_none() {
        return Err(not_joined(up, &node, &joined).await);
    }
    let invite = master
        .create_invite(network.id, &InviteSettings::default())
        .await?
        .invite;
    Ok(report(up, places, &network, &joined, invite))
}

/// Why our own node is not in: the one thing that a person can be told to change, or what the node says.
async fn not_joined(up: &Up, node: &NodeClient, joined: &zt_api::Network) -> Failure {
    let endpoint = up.endpoint;
    if node.info().await.is_ok_and(|info| !info.online) {
        return Failure::new(
            Exit::TimedOut,
            format!(
                "this machine does not reach its own supernode at {endpoint}: is a firewall in between, or a router \
                 that does not lead {endpoint} back inside?"
            ),
        );
    }
    if joined.status == Status::DeviceError {
        return Failure::new(Exit::InUse, crate::join::device_error(joined));
    }
    Failure::new(
        Exit::Failed,
        format!(
            "our own node is not in {}: {}; see zt-node.log in the state directory",
            joined.id, joined.status
        ),
    )
}

fn report(
    up: &Up,
    places: &Places,
    network: &Network,
    joined: &zt_api::Network,
    invite: String,
) -> Report {
    let weak = if up.weak_proof_of_work {
        " --weak-proof-of-work"
    } else {
        ""
    };
    Report {
        network: network.id.to_string(),
        name: network.name.clone(),
        fingerprint: network.fingerprint.to_string(),
        addresses: joined.addresses.iter().map(ToString::to_string).collect(),
        device: joined.device.clone(),
        commands: vec![
            format!("INVITE='{invite}'"),
            format!("zt-node run --state-dir /var/lib/zt/node --invite $INVITE{weak} &"),
            "zt-cli join $INVITE --wait 120".to_owned(),
        ],
        invite,
        http: format!("http://{}", up.http),
        token_file: places.master.join("admin.token"),
        socket: places.socket.clone(),
    }
}

/// What a person needs once everything runs.
#[derive(Serialize)]
struct Report {
    network: String,
    name: String,
    fingerprint: String,
    addresses: Vec<String>,
    device: Option<String>,
    invite: String,
    commands: Vec<String>,
    http: String,
    token_file: PathBuf,
    socket: PathBuf,
}

fn report_text(report: &Report) -> String {
    let default = |path: &Path, usual: &str| path == Path::new(usual);
    let socket = if default(&report.socket, "/var/lib/zt/node/node.sock") {
        String::new()
    } else {
        format!(" --socket {}", report.socket.display())
    };
    let usual = default(&report.token_file, "/var/lib/zt/netconf-master/admin.token");
    let token = if usual {
        String::new()
    } else {
        format!(" --token-file {}", report.token_file.display())
    };
    let master = match report.http.as_str() {
        "http://127.0.0.1:9994" => String::new(),
        other => format!(" --master {other}"),
    };
    format!(
        "network {} ({}) is up; this machine is {} on {}\n\n\
         On another machine, as root (the invite is for one machine, within a day):\n\n  {}\n\n\
         Here, in another terminal:\n\n  \
         zt-cli{socket} peers\n  \
         zt-cli member list {}{master}{token}\n  \
         zt-cli invite create {}{master}{token}\n\n\
         The netconf-master's page and API: {}/ (token in {})\n\
         Ctrl-C stops everything; the same command starts it again.",
        report.name,
        report.network,
        report.addresses.join(" "),
        report.device.as_deref().unwrap_or("-"),
        report.commands.join("\n  "),
        report.network,
        report.network,
        report.http,
        report.token_file.display(),
    )
}

fn supernode_arguments(up: &Up, places: &Places) -> Vec<String> {
    let port = up.endpoint.port();
    // The endpoint may be a router's that forwards to us, so the supernode listens on every address of this machine.
    let any = match up.endpoint.ip() {
        IpAddr::V4(_) => vec![format!("0.0.0.0:{port}")],
        IpAddr::V6(_) => vec![format!("0.0.0.0:{port}"), format!("[::]:{port}")],
    };
    let mut arguments = vec![
        "run".to_owned(),
        "--state-dir".to_owned(),
        text(&places.supernode),
    ];
    for listen in any {
        arguments.extend(["--listen".to_owned(), listen]);
    }
    weak(up, arguments)
}

fn master_arguments(up: &Up, places: &Places) -> Vec<String> {
    let http = up.http.to_string();
    let state = text(&places.master);
    let world = text(&places.world);
    let rest = [
        "run",
        "--state-dir",
        &state,
        "--world",
        &world,
        "--listen",
        "0.0.0.0:0",
        "--http",
        &http,
    ];
    weak(up, rest.into_iter().map(str::to_owned).collect())
}

fn node_arguments(up: &Up, places: &Places) -> Vec<String> {
    let socket = text(&places.socket);
    let state = text(&places.node);
    let world = text(&places.world);
    let rest = [
        "run",
        "--state-dir",
        &state,
        "--world",
        &world,
        "--listen",
        "0.0.0.0:0",
        "--socket",
        &socket,
    ];
    weak(up, rest.into_iter().map(str::to_owned).collect())
}

fn weak(up: &Up, mut arguments: Vec<String>) -> Vec<String> {
    if up.weak_proof_of_work {
        arguments.push("--weak-proof-of-work".to_owned());
    }
    arguments
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn hostname() -> Option<String> {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    (!name.is_empty()).then_some(name)
}

/// Where each daemon keeps its state.
struct Places {
    supernode: PathBuf,
    world: PathBuf,
    master: PathBuf,
    node: PathBuf,
    socket: PathBuf,
}

impl Places {
    fn of(dir: &Path) -> Self {
        let supernode = dir.join("supernode");
        let node = dir.join("node");
        Self {
            world: supernode.join("world.json"),
            supernode,
            master: dir.join("netconf-master"),
            socket: node.join("node.sock"),
            node,
        }
    }
}

/// The signals that end us.
struct Stop {
    signals: [tokio::signal::unix::Signal; 3],
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|e| Failure::new(Exit::Failed, format!("signals cannot be awaited: {e}")))
        };
        Ok(Self {
            signals: [
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::hangup())?,
            ],
        })
    }

    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Tells a person what is going on; silent for scripts and when stderr is no terminal.
struct Progress {
    shown: bool,
    bar: ProgressBar,
}

impl Progress {
    fn new(output: Output) -> Self {
        Self {
            shown: !output.json,
            bar: ProgressBar::hidden(),
        }
    }

    /// Says what is going on now, in place of what was.
    fn say(&mut self, what: &'static str) {
        self.done();
        if self.shown {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            // The template is a constant of ours; without it the default look serves.
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            self.bar = ProgressBar::new_spinner()
                .with_style(style)
                .with_message(what);
            self.bar.enable_steady_tick(Duration::from_millis(120));
        }
    }

    /// Clears the line for what others print.
    fn done(&self) {
        self.bar.finish_and_clear();
    }
}
