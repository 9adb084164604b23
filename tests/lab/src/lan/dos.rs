//! DOSBox through the nodes' `ipxnet`: to machines that speak IPX on the wire, to other DOSBoxes, several on one node.
//!
//! In: a stage. Out: what `ipxnet ping` in DOSBox printed. Never: an answer that DOSBox did not print itself.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    ground::Seat,
    stage::{PATIENCE, Stage},
};
use crate::{
    Failed, Host, Process,
    ipx::{self, Framing},
    raw,
    zt::{Node, until},
};

/// DOSBox at home reaches a machine at the other home that speaks raw IPX, as Windows 95 and old `NetWare` do.
pub fn reaches_a_raw_host(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let [a, ..] = &stage.ground.nodes;
    let far = stage.pair.answers;
    let mac = raw::mac(far.host, far.device)?;
    serve_ipxnet(stage, &[a])?;
    let machines = [Machine {
        seat: far,
        mac,
        framing: Framing::Raw8023,
    }];
    let near = stage.pair.asks.host.clone();
    let answered = with_machines(&machines, || ping_until(stage, &near, &[mac]))?;
    Ok(format!("802.3 raw; {answered}"))
}

/// Four machines in an office, each in a framing of its own.
pub fn reaches_every_framing(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let [a, ..] = &stage.ground.nodes;
    serve_ipxnet(stage, &[a])?;
    let far = stage.pair.answers;
    let machines: Vec<Machine<'_>> = (1..)
        .zip(Framing::ALL)
        .map(|(number, framing)| Machine {
            seat: far,
            mac: [2, 0, 0x81, 0x37, 0, number],
            framing,
        })
        .collect();
    let macs: Vec<[u8; 6]> = machines.iter().map(|machine| machine.mac).collect();
    let near = a.host.clone();
    with_machines(&machines, || ping_until(stage, &near, &macs))
}

/// A DOSBox at each home; both ask, both answer.
pub fn reaches_another(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let [a, b, ..] = &stage.ground.nodes;
    let mut answers = Vec::new();
    for (asks, waits) in [(a, b), (b, a)] {
        // A DOSBox that ends says goodbye to nobody: the servers start anew, too.
        serve_ipxnet(stage, &[a, b])?;
        let mac = own_mac(stage, waits)?;
        let _until_asked = waiting(stage, "waiting", waits)?;
        answers.push(ping_until(stage, &asks.host, &[mac])?);
    }
    Ok(answers.join("; back "))
}

/// Three DOSBoxes on one node, one on another, a machine behind that one's bridge: the first hears all the others.
pub fn several_on_one_node(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let [_, _, c, d] = &stage.ground.nodes;
    serve_ipxnet(stage, &[c, d])?;
    let far = stage.pair.answers;
    let machine = Machine {
        seat: far,
        mac: raw::mac(far.host, far.device)?,
        framing: Framing::Llc8022,
    };
    let _second = waiting(stage, "second", c)?;
    let _third = waiting(stage, "third", c)?;
    let _fourth = waiting(stage, "fourth", d)?;
    let mut expected: Vec<[u8; 6]> = clients(c, &stage.ground.network.id)?;
    expected.extend(clients(d, &stage.ground.network.id)?);
    expected.push(machine.mac);
    let near = c.host.clone();
    with_machines(&[machine], || ping_until(stage, &near, &expected))
}

/// A machine of the time: it answers a ping in the framing that it speaks, and hears no other.
struct Machine<'a> {
    seat: Seat<'a>,
    mac: [u8; 6],
    framing: Framing,
}

impl Machine<'_> {
    /// Says hello as a machine does that starts, then answers until it is switched off.
    fn live(&self, off: &AtomicBool) -> Result<(), Failed> {
        let mut port = raw::Port::open(self.seat.host, self.seat.device)?;
        let hello = packet(ALL, self.mac, HELLO);
        port.send(&ipx::carry(self.framing, ALL, self.mac, &hello))?;
        while !off.load(Ordering::Relaxed) {
            let moment = Instant::now() + Duration::from_millis(50);
            let heard = port.hear(moment, |frame| {
                let packet = ipx::packet(self.framing, frame);
                packet.is_some_and(|packet| packet[10..16] == ALL && packet[16..18] == ECHO)
            })?;
            let asking = heard.as_deref().and_then(|frame| {
                let node = ipx::packet(self.framing, frame)?.get(22..28)?;
                Some((frame.get(6..12)?.try_into().ok()?, node.try_into().ok()?))
            });
            if let Some((mac, node)) = asking {
                let answer = packet(node, self.mac, ECHO);
                port.send(&ipx::carry(self.framing, mac, self.mac, &answer))?;
            }
        }
        Ok(())
    }
}

/// Does something while machines are on.
fn with_machines<T>(
    machines: &[Machine<'_>],
    act: impl FnOnce() -> Result<T, Failed>,
) -> Result<T, Failed> {
    let off = AtomicBool::new(false);
    thread::scope(|scope| {
        let lives: Vec<_> = machines
            .iter()
            .map(|machine| scope.spawn(|| machine.live(&off)))
            .collect();
        let done = act();
        off.store(true, Ordering::Relaxed);
        for life in lives {
            life.join()
                .unwrap_or_else(|_| Err(Failed::new("a machine panicked")))?;
        }
        done
    })
}

/// An IPX packet without data from this node to that one.
fn packet(to: [u8; 6], from: [u8; 6], socket: [u8; 2]) -> Vec<u8> {
    let mut packet = vec![0xff, 0xff, 0, 30, 0, 0];
    for node in [to, from] {
        packet.extend([0; 4]);
        packet.extend(node);
        packet.extend(socket);
    }
    packet
}

/// A DOSBox that is connected and waits at its prompt, as one does in a game's menu.
fn waiting(stage: &mut Stage<'_>, name: &str, node: &Node) -> Result<Process, Failed> {
    let network = stage.ground.network.id.clone();
    let before = clients(node, &network)?.len();
    let home = stage.dir(name)?;
    let process = stage.start(name, &mut dosbox(&node.host, &home, "")?)?;
    until(PATIENCE, "DOSBox is not a client of ipxnet", || {
        Ok(clients(node, &network)?.len() > before)
    })?;
    Ok(process)
}

/// Runs a DOSBox that pings until every one of these has answered; gives what it printed of them.
fn ping_until(stage: &mut Stage<'_>, host: &Host, expected: &[[u8; 6]]) -> Result<String, Failed> {
    let home = stage.dir("asking")?;
    // Three questions, as a player repeats one; each waits 1.5 s.
    let asks = "ipxnet ping >> c:\\answers.txt\n".repeat(3);
    let mut command = dosbox(host, &home, &format!("{asks}exit\n"))?;
    let _earlier = std::fs::remove_file(home.join(ANSWERS));
    stage.run("dosbox", &mut command)?;
    let printed = std::fs::read_to_string(home.join(ANSWERS))
        .map_err(|_| Failed::new("DOSBox wrote no answers: it did not come up"))?;
    let answers: Vec<&str> = printed
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("Response"))
        .collect();
    let found: Vec<&str> = expected
        .iter()
        .filter_map(|mac| {
            let from = as_dosbox_prints(*mac);
            answers.iter().copied().find(|line| line.contains(&from))
        })
        .collect();
    if found.len() == expected.len() {
        return Ok(match found.as_slice() {
            [one] => (*one).to_owned(),
            all => format!("{} of {} answer", all.len(), expected.len()),
        });
    }
    let wanted: Vec<String> = expected.iter().map(|mac| as_dosbox_prints(*mac)).collect();
    Err(Failed::new(format!(
        "{} of {} answer; wanted: {}; DOSBox printed:\n{}",
        found.len(),
        expected.len(),
        wanted.join(" | "),
        answers.join("\n")
    )))
}

/// DOSBox on a host: no picture, no sound, connected to the node's `ipxnet`, then what `then` says.
fn dosbox(host: &Host, home: &Path, then: &str) -> Result<Command, Failed> {
    let file = home.join("dosbox.conf");
    let text = format!(
        "{SETTINGS}[autoexec]\nmount c {}\nc:\nipxnet connect 127.0.0.1\n{then}",
        home.display()
    );
    std::fs::write(&file, text)?;
    let seat = Seat {
        host,
        device: "",
        ip: std::net::Ipv4Addr::LOCALHOST,
    };
    let mut command = seat.program("dosbox", home);
    command.arg("-conf").arg(file);
    Ok(command)
}

/// Puts `ipxnet` on at these nodes and off at all others, so that nobody answers who is not in the row.
fn serve_ipxnet(stage: &Stage<'_>, on: &[&Node]) -> Result<(), Failed> {
    let id = &stage.ground.network.id;
    for node in &stage.ground.nodes {
        node.ask(&["set", id, "ipxnet=off"])?;
        if on.iter().any(|wanted| std::ptr::eq(*wanted, node)) {
            node.ask(&["set", id, "ipxnet=on"])?;
        }
    }
    Ok(())
}

/// The numbers of the DOSBoxes that a node serves.
fn clients(node: &Node, network: &str) -> Result<Vec<[u8; 6]>, Failed> {
    let list = node.ask(&["ipx", "list", network])?;
    list[0]["clients"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|client| parsed(client["node"].as_str().unwrap_or_default()))
        .collect()
}

fn own_mac(stage: &Stage<'_>, node: &Node) -> Result<[u8; 6], Failed> {
    let network = node.network(&stage.ground.network.id)?;
    parsed(network["mac"].as_str().unwrap_or_default())
}

fn parsed(mac: &str) -> Result<[u8; 6], Failed> {
    let bytes: Vec<u8> = mac
        .split(':')
        .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    <[u8; 6]>::try_from(bytes).map_err(|_| Failed::new(format!("no MAC: {mac:?}")))
}

/// DOSBox takes an IPX node for an IPv4 address and a port.
fn as_dosbox_prints(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a}.{b}.{c}.{d}, port {} ", u16::from_be_bytes([e, f]))
}

const ALL: [u8; 6] = [0xff; 6];
/// The socket on which DOSBox asks and answers.
const ECHO: [u8; 2] = [0, 2];
/// Any other: that of a program which nobody asked.
const HELLO: [u8; 2] = [0x40, 0x01];
/// DOS names are upper case.
const ANSWERS: &str = "ANSWERS.TXT";
const SETTINGS: &str = "[sdl]
output=surface
[dosbox]
memsize=4
[cpu]
cycles=1000
[mixer]
nosound=true
[midi]
mididevice=none
[speaker]
pcspeaker=false
[sblaster]
sbtype=none
[ipx]
ipx=true
";
