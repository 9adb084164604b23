//! A million bad datagrams each at a node and a supernode: alive, no fatter, all counted, and a ping that does not care.
//!
//! In: random bytes and mutated captures. Out: counters, memory, pings. Never: anything else at the same time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use zt_lab::{
    Failed, Host,
    capture::Capture,
    host::joined,
    traffic::{self, Dice},
};
use zt_system_tests::{ensure, measured, story};

const COUNT: u32 = 1_000_000;
/// Datagrams in a burst, and the time it may take: 50,000 a second.
const BURST: u32 = 100;
const PACE: Duration = Duration::from_millis(2);

/// Sends the flood in a paced way: the question is what a datagram costs, not how long a socket's queue is.
fn flood(host: &Host, target: SocketAddr, genuine: Vec<Vec<u8>>, seed: u64) -> Result<u32, Failed> {
    let mut dice = Dice::new(seed);
    let started = Instant::now();
    let sent = traffic::flood(host, target, COUNT, move |serial, bytes| {
        if serial % BURST == 0 {
            let due = PACE * (serial / BURST);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
        if serial % 2 == 0 {
            let length = dice.below(1400);
            dice.fill(bytes, length);
            // Often a type and version that exist, so that it gets past the first look.
            if length > 2 && serial % 4 == 0 {
                bytes[0] = 1 + bytes[0] % 4;
                bytes[1] = 1;
            }
        } else {
            bytes.extend_from_slice(&genuine[dice.below(genuine.len())]);
            for _ in 0..=dice.below(3) {
                let at = dice.below(bytes.len());
                bytes[at] ^= 1 << dice.below(8);
            }
            if dice.below(8) == 0 {
                bytes.truncate(dice.below(bytes.len()));
            }
        }
    })?;
    Ok(sent.sent)
}

/// All that a node counts of datagrams that go no further, and of handshakes.
fn counted(counters: &Value) -> u64 {
    ["drops", "handshakes"]
        .iter()
        .filter_map(|group| counters[group].as_object())
        .flat_map(|group| group.values())
        .filter_map(Value::as_u64)
        .sum()
}

/// Datagrams that this host's kernel threw away because a socket was full.
fn kernel_lost(host: &Host) -> Result<u64, Failed> {
    let text = host.run("cat", &["/proc/net/snmp"])?.stdout;
    let mut udp = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (udp.next().unwrap_or(""), udp.next().unwrap_or(""));
    names
        .split(' ')
        .zip(values.split(' '))
        .find(|(name, _)| *name == "RcvbufErrors")
        .and_then(|(_, value)| value.parse().ok())
        .ok_or_else(|| Failed::new(format!("no RcvbufErrors in {text}")))
}

/// The host's public address.
fn address_of(host: &Host) -> Result<std::net::Ipv4Addr, Failed> {
    host.run("ip", &["-o", "-4", "addr", "show", "dev", "wan"])?
        .stdout
        .split_whitespace()
        .find_map(|word| word.split_once('/')?.0.parse().ok())
        .ok_or_else(|| Failed::new("no address on wan"))
}

#[test]
fn a_million_bad_datagrams_harm_neither_a_node_nor_a_supernode_nor_a_live_ping() {
    story(|town| {
        let wire = Capture::start(town.internet.core().bridge(), "br0")?;
        let couple = town.pair()?;
        couple.meet_directly()?;
        couple.pair().ping(50, Duration::from_millis(5))?;
        let genuine: Vec<Vec<u8>> = wire
            .datagrams()
            .into_iter()
            .map(|datagram| datagram.payload)
            .filter(|payload| payload.len() > 4)
            .collect();
        drop(wire);
        let (enemy, _) = town.internet.public("enemy")?;
        let node_address = address_of(&couple.a.host)?;
        let node = SocketAddr::from((node_address, zt_lab::zt::PORT));
        let supernode = town.supernode.endpoint;
        let before = counted(&couple.a.ask(&["counters"])?);
        let memory = [
            couple.a.process.memory()?.now,
            town.supernode.process.memory()?.now,
        ];
        let started = Instant::now();
        let floods = [(node, 11), (supernode, 12)].map(|(target, seed)| {
            let (host, genuine) = (enemy.clone(), genuine.clone());
            std::thread::spawn(move || flood(&host, target, genuine, seed))
        });
        let pings = couple.pair().ping(300, Duration::from_millis(50))?;
        let [sent, _] = floods.map(joined);
        let sent = u64::from(sent?);
        let took = started.elapsed();
        let after = counted(&couple.a.ask(&["counters"])?);
        let lost = kernel_lost(&couple.a.host)?;
        let grown = [
            couple.a.process.memory()?.now.saturating_sub(memory[0]) >> 10,
            town.supernode
                .process
                .memory()?
                .now
                .saturating_sub(memory[1])
                >> 10,
        ];
        measured(
            "flood",
            format!(
                "{sent} each in {took:?}; pings lost {} of {}; counted {}, full socket {lost}; memory grown by {grown:?} KiB",
                pings.lost(),
                pings.sent,
                after - before
            ),
        );
        ensure(after - before + lost >= sent, || {
            format!(
                "{sent} sent, {} counted, {lost} lost by the kernel",
                after - before
            )
        })?;
        ensure(grown.iter().all(|kib| *kib < 8 << 10), || {
            format!("grown by {grown:?} KiB")
        })?;
        // On a machine with other work the sockets fill, and a ping's datagram may be among those that the
        // kernel throws away: nothing a program can help. Otherwise none is lost.
        let allowed = if lost == 0 { 0 } else { pings.sent / 50 };
        ensure(pings.lost() <= allowed, || format!("{pings:?}"))?;
        couple.pair().first_ping()?;
        town.node("late")?.online()
    });
}
