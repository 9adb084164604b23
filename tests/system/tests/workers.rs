//! Several workers: each does its share, no flow changes its order, nothing is lost, and people see nothing of it.
//!
//! In: nodes with `--workers`. Out: what arrived in which order, and which threads worked. Never: a claim about speed.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use zt_lab::{
    Failed, Host,
    host::joined,
    traffic,
    zt::{Kit, Node, until},
};
use zt_system_tests::{Couple, ensure, kit, measured, story_with};

const SECONDS: Duration = Duration::from_secs(2);
const FLOWS: u16 = 24;
const EACH: u32 = 2_000;

fn workers(workers: &str) -> Kit {
    Kit {
        workers: Some(workers.to_owned()),
        ..kit()
    }
}

/// How often each worker's thread went to sleep: what has nothing to do does so once.
fn woken(node: &Node) -> Result<BTreeMap<String, u64>, Failed> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{}/task", node.process.pid()))? {
        let task = task?.path();
        let name = fs::read_to_string(task.join("comm"))?.trim().to_owned();
        let status = fs::read_to_string(task.join("status"))?;
        let slept = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0);
        if name.starts_with("zt-worker") {
            threads.insert(name, slept);
        }
    }
    Ok(threads)
}

/// Segments that came out of order to TCP of this host since its namespace was made.
fn out_of_order(host: &Host) -> Result<u64, Failed> {
    let figures = host
        .run("nstat", &["-a", "-z", "-s", "TcpExtTCPOFOQueue"])?
        .good()?;
    let line = figures
        .stdout
        .lines()
        .find(|line| line.starts_with("TcpExtTCPOFOQueue"))
        .ok_or_else(|| Failed::new("nstat does not tell of TCP's order"))?;
    let count = line.split_whitespace().nth(1).and_then(|n| n.parse().ok());
    count.ok_or_else(|| Failed::new(format!("nstat says {line}")))
}

/// Sends numbered datagrams in many flows at once, paced; what came, flow by flow.
fn many_flows(from: &Host, to: &Host, at: SocketAddr) -> Result<BTreeMap<u16, Vec<u32>>, Failed> {
    let socket = traffic::patient(to, at)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let heard = to.beside(move || {
        let mut flows: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
        let mut room = [0; 2048];
        loop {
            match socket.recv_from(&mut room) {
                Ok((_, from)) => {
                    let number = u32::from_be_bytes([room[0], room[1], room[2], room[3]]);
                    flows.entry(from.port()).or_default().push(number);
                    if flows.values().map(Vec::len).sum::<usize>()
                        == usize::from(FLOWS) * EACH as usize
                    {
                        return Ok(flows);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Half a second without any.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(flows),
                Err(error) => return Err(error.into()),
            }
        }
    });
    let sent = from.beside(move || {
        let sockets: Vec<UdpSocket> = (0..FLOWS)
            .map(|_| {
                let socket = UdpSocket::bind(("0.0.0.0", 0))?;
                socket.connect(at)?;
                Ok(socket)
            })
            .collect::<Result<_, Failed>>()?;
        let mut datagram = [0x5a; 300];
        for number in 0..EACH {
            datagram[..4].copy_from_slice(&number.to_be_bytes());
            for socket in &sockets {
                socket.send(&datagram)?;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    });
    joined(sent)?;
    joined(heard)
}

fn in_order(couple: &Couple) -> Result<(), Failed> {
    let (a, b) = (&couple.a.host, &couple.b.host);
    let at = SocketAddr::from((couple.jb.ip, 7_777));
    let flows = many_flows(a, b, at)?;
    let all: Vec<u32> = (0..EACH).collect();
    ensure(flows.len() == usize::from(FLOWS), || {
        format!("{} of {FLOWS} flows came", flows.len())
    })?;
    for (port, numbers) in &flows {
        ensure(*numbers == all, || {
            let first = numbers.iter().zip(&all).find(|(came, due)| came != due);
            format!(
                "flow {port}: {} of {EACH}, first wrong {first:?}",
                numbers.len()
            )
        })?;
    }
    Ok(())
}

#[test]
fn each_worker_does_its_share_and_every_flow_keeps_its_order() {
    story_with(workers("3"), |town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let before = woken(&couple.a)?;
        in_order(&couple)?;
        for pair in [couple.pair(), couple.pair().turned()] {
            let rate = pair.tcp(SECONDS)?;
            measured("TCP, three workers, Mbit/s", format!("{:.0}", rate / 1e6));
        }
        for host in [&couple.a.host, &couple.b.host] {
            let late = out_of_order(host)?;
            ensure(late == 0, || format!("{late} segments out of order"))?;
        }
        let after = woken(&couple.a)?;
        ensure(after.len() == 3, || format!("threads {after:?}"))?;
        // Its device gave the frames of twenty-four flows to three queues.
        let worked = after
            .iter()
            .filter(|(name, count)| **count > before[*name] + 20);
        let worked = worked.count();
        ensure(worked >= 2, || {
            format!("{worked} of three workers did something: {before:?}, {after:?}")
        })?;
        Ok(())
    });
}

#[test]
fn through_a_relay_each_datagram_finds_the_worker_of_its_session() {
    story_with(workers("4"), |town| {
        let (homes, couple) = town.homes()?;
        couple.pair().first_ping()?;
        drop(homes);
        in_order(&couple)?;
        let counters = couple.b.ask(&["counters"])?;
        let unknown = &counters["drops"]["unknown-session"];
        ensure(unknown == 0, || format!("{counters}"))
    });
}

#[test]
fn what_cannot_be_is_refused_and_two_programs_do_not_share_a_port() {
    story_with(workers("2"), |town| {
        let node = town.node("first")?;
        let state = node.host.dir().join("second");
        let mut second = Node::command(&town.kit, &node.host, &state, node.world());
        let outcome = zt_lab::Outcome::of(&mut second, Duration::from_secs(20))?;
        ensure(outcome.code == 4, || format!("{outcome:?}"))?;
        ensure(
            outcome.stderr.contains("choose another with --listen"),
            || format!("{outcome:?}"),
        )?;
        let said = node
            .host
            .run(town.kit.programs.node(), &["run", "--workers", "17"])?;
        ensure(said.code == 2 && said.stderr.contains("1 to 16"), || {
            format!("{said:?}")
        })
    });
}

#[test]
fn a_node_that_may_grow_begins_with_one_worker() {
    story_with(workers("1..2"), |town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        ensure(woken(&couple.a)?.len() == 1, || "more than one".to_owned())?;
        let pings = traffic::ping(
            &couple.a.host,
            &couple.jb.ip.to_string(),
            20,
            Duration::from_millis(20),
            56,
        )?;
        ensure(pings.lost() == 0, || format!("{pings:?}"))?;
        until(Duration::from_secs(1), "the node never ends", || {
            Ok(couple.a.ask(&["info"])?["online"] == true)
        })
        .map(|_| ())
    });
}
