//! What an observer of the wire learns, and what a node costs while nothing happens.
//!
//! In: captures of the underlay. Out: whether a secret or a name is in them, how many packets there are.
//! Never: a key.

use std::{collections::HashSet, fs, net::UdpSocket, time::Duration};

use serde_json::Value;
use zt_lab::{
    Failed,
    capture::{Capture, contains},
    zt::Node,
};
use zt_system_tests::{ensure, measured, story};

/// Bytes of a key.
const KEY: usize = 32;

/// Bytes from a text in hex, if it is one.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

/// Every text in a JSON value that is hex of a key's or an address's length, as bytes.
fn names_in(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => found.extend(hex(text).filter(|bytes| bytes.len() >= 5)),
        Value::Array(all) => all.iter().for_each(|one| names_in(one, found)),
        Value::Object(all) => all.values().for_each(|one| names_in(one, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The names that `info` gives a node: address and fingerprint.
fn names_of(node: &Node) -> Result<Vec<Vec<u8>>, Failed> {
    let info = node.ask(&["info"])?;
    ["address", "fingerprint"]
        .iter()
        .map(|field| {
            let name = info[*field].as_str().and_then(hex);
            name.ok_or_else(|| Failed::new(format!("{field} is not hex: {info}")))
        })
        .collect()
}

/// Every run of a key's length in a node's identity file: its keys are among them, whatever the file's form.
fn keys_of(node: &Node) -> Result<HashSet<[u8; KEY]>, Failed> {
    let bytes = fs::read(node.state.join("identity"))?;
    let runs = bytes
        .windows(KEY)
        .filter(|run| run.iter().any(|byte| *byte != 0));
    Ok(runs.filter_map(|run| run.try_into().ok()).collect())
}

#[test]
fn the_wire_shows_no_address_no_network_no_key_and_no_payload() {
    story(|town| {
        let core = Capture::start(town.internet.core().bridge(), "br0")?;
        let (_homes, couple) = town.homes()?;
        couple.meet_directly()?;
        let secret = b"the quick brown fox jumps over a lazy dog";
        let target = (couple.jb.ip, 7777);
        couple.a.host.inside(move || {
            let mouth = UdpSocket::bind(("0.0.0.0", 0))?;
            for _ in 0..20 {
                mouth.send_to(secret, target)?;
            }
            Ok(())
        })?;
        std::thread::sleep(Duration::from_millis(500));
        let seen = core.datagrams();
        ensure(seen.len() > 50, || {
            format!("only {} datagrams captured", seen.len())
        })?;
        let mut needles = vec![secret.to_vec()];
        needles.extend(hex(&couple.network.id));
        needles.extend(hex(&couple.network.fingerprint));
        needles.extend(names_of(&couple.a)?);
        needles.extend(names_of(&couple.b)?);
        let public = fs::read_to_string(town.supernode.state.join("identity.public"))?;
        let before = needles.len();
        names_in(&serde_json::from_str(&public)?, &mut needles);
        ensure(needles.len() > before, || format!("no keys in {public}"))?;
        let mut keys = keys_of(&couple.a)?;
        keys.extend(keys_of(&couple.b)?);
        for datagram in &seen {
            let key = datagram
                .payload
                .windows(KEY)
                .find(|run| keys.contains(*run));
            ensure(key.is_none(), || {
                format!("a key in a datagram to {}: {key:02x?}", datagram.to)
            })?;
        }
        for needle in &needles {
            let ascii: Vec<u8> = needle
                .iter()
                .flat_map(|byte| format!("{byte:02x}").into_bytes())
                .collect();
            for datagram in &seen {
                let shown =
                    contains(&datagram.payload, needle) || contains(&datagram.payload, &ascii);
                ensure(!shown, || {
                    format!(
                        "{needle:02x?} from {} to {}, datagram type {:?}",
                        datagram.from,
                        datagram.to,
                        datagram.payload.first()
                    )
                })?;
            }
        }
        measured(
            "datagrams searched",
            format!("{} for {} names", seen.len(), needles.len()),
        );
        Ok(())
    });
}

#[test]
fn an_idle_node_is_small_and_nearly_silent() {
    story(|town| {
        let network = town.network()?;
        let hosts = [town.internet.public("a")?.0, town.internet.public("b")?.0];
        for host in &hosts {
            // The kernel's own search for routers on the new device would be traffic, not idleness.
            host.sysctl("net.ipv6.conf.default.router_solicitations", "0")?;
        }
        let couple = town.couple_on(network, &hosts)?;
        couple.meet_directly()?;
        // Two whole rounds of keepalives and a rekey, so that it does not matter where the count begins.
        let counting = Duration::from_secs(2 * 112);
        // What a fresh interface says, the search for the path's MTU, and the session with the netconf-master end first.
        std::thread::sleep(Duration::from_secs(80));
        let wire = Capture::start(&couple.a.host, "wan")?;
        std::thread::sleep(counting);
        let mine = couple
            .a
            .host
            .run("ip", &["-o", "-4", "addr", "show", "dev", "wan"])?;
        let sent: Vec<_> = wire
            .datagrams()
            .into_iter()
            .filter(|datagram| mine.stdout.contains(&format!(" {}/", datagram.from.ip())))
            .collect();
        let peer = couple.a.peer(&couple.b.address()?)?;
        ensure(peer["path"]["kind"] == "direct", || {
            format!("no direct peer: {peer}")
        })?;
        let memory = couple.a.process.memory()?;
        let mib = memory.peak / (1 << 20);
        measured(
            "idle node",
            format!("{} packets in {counting:?}, peak {mib} MiB", sent.len()),
        );
        let spelled: Vec<String> = sent
            .iter()
            .map(|datagram| {
                format!(
                    "{} {} bytes type {:?}",
                    datagram.to,
                    datagram.payload.len(),
                    datagram.payload.first()
                )
            })
            .collect();
        ensure(sent.len() * 10 < 2 * 112, || format!("{spelled:#?}"))?;
        ensure(memory.peak < 32 << 20, || format!("{mib} MiB"))
    });
}
