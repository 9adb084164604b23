//! A controller in a process of its own that is killed with SIGKILL in the middle of joins, several times.
//!
//! In: nothing. Out: failure when an acknowledged member is lost or an address was given to two.
//! This file is its own child: with a directory as argument it lets members in until it is killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use zt_api::master::NetworkSettings;
use zt_crypto::SecretIdentity;
use zt_crypto::pow::{self, Params};
use zt_engine::Unix;
use zt_netconf_master::{Controller, Sqlite, SqliteOptions, Who};
use zt_wire::message::{NetconfAnswer, NetconfPart, NetconfRequest};
use zt_wire::{Address, Certificate, KeyId, NetworkId};

/// Acknowledgements after which the child is killed.
const KILLS: [usize; 5] = [30, 100, 57, 200, 11];
/// Threads that let members in, so that a kill finds some on their way.
const THREADS: u32 = 4;

fn main() {
    match std::env::args().nth(1) {
        Some(dir) if dir.starts_with('/') => child(Path::new(&dir)),
        // What the test harness of other files understands, such as `--list`, is of no use here.
        _ => acknowledged_members_survive_sigkill(),
    }
}

fn acknowledged_members_survive_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for kill_after in KILLS {
        run_child(dir.path(), kill_after, &mut acknowledged);
    }
    let controller = controller(dir.path());
    let network = network(&controller);
    let members = controller.members(network, None, 100_000).unwrap();
    let mut holders = BTreeMap::new();
    for member in &members {
        for ip in &member.ips {
            let other = holders.insert(*ip, member.address);
            assert_eq!(other, None, "{ip} was given twice");
        }
    }
    for (address, ip) in &acknowledged {
        assert_eq!(
            holders.get(ip),
            Some(address),
            "{address} with {ip} was lost"
        );
    }
    println!(
        "measured: {} kills, {} acknowledged members, {} stored, none lost, no address twice",
        KILLS.len(),
        acknowledged.len(),
        members.len()
    );
    // This file has no test harness; whoever runs all tests counts by this line.
    println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

/// Runs a child until it has acknowledged `kill_after` members, kills it, and notes them.
fn run_child(dir: &Path, kill_after: usize, acknowledged: &mut BTreeMap<Address, IpAddr>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut note = |line: String| {
        // A line that the kill cut in two was not acknowledged.
        if let Some((address, ip)) = line.strip_suffix('.').and_then(|line| line.split_once(' ')) {
            acknowledged.insert(address.parse().unwrap(), ip.parse().unwrap());
        }
    };
    for _ in 0..kill_after {
        note(
            lines
                .next()
                .expect("the child goes on until it is killed")
                .unwrap(),
        );
    }
    child.kill().unwrap();
    lines.map_while(Result::ok).for_each(&mut note);
    child.wait().unwrap();
}

/// Lets members in and says each only after the controller has answered.
fn child(dir: &Path) {
    let controller = controller(dir);
    let network = network(&controller);
    let known = controller.members(network, None, 100_000).unwrap().len();
    let first = u32::try_from(known).unwrap() * 10 + 1;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let controller = &controller;
            scope.spawn(move || {
                for step in 0..100_000 {
                    join(controller, network, first + step * THREADS + thread);
                }
            });
        }
    });
}

fn join(controller: &Controller, network: NetworkId, number: u32) {
    let [a, b, c, d] = number.to_be_bytes();
    let address = Address::from_bytes([1, a, b, c, d]).unwrap();
    let mut key = [1; 32];
    // All keys point at the same place of the pool: every join competes for addresses.
    key[28..].copy_from_slice(&number.to_be_bytes());
    let who = Who {
        key: KeyId::from_bytes(key),
        address,
        endpoint: None,
    };
    let request = NetconfRequest {
        request: 1,
        network,
        token: [0; 16],
        shared_hash: [0; 32],
        serial: 0,
        directory: u64::MAX,
    };
    let mut payload = Vec::new();
    request.write(&mut payload);
    let answer = controller.netconf(&who, &payload, Unix(1)).unwrap().value;
    let answer = NetconfAnswer::parse(&answer.payload).unwrap();
    let certificate = answer.parts.iter().find_map(|part| match part {
        NetconfPart::Certificate(signed) => signed.decode::<Certificate>().ok(),
        _ => None,
    });
    let line = format!("{address} {}.\n", certificate.unwrap().ips[0].ip());
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

fn controller(dir: &Path) -> Controller {
    let store = Sqlite::open(&SqliteOptions::at(dir.join("netconf.db"))).unwrap();
    let params = Params::new(8, 1, 0).unwrap();
    let (secret, verified) = (0..100)
        .find_map(|nonce| {
            let secret = SecretIdentity::from_seed(&[1; 32], nonce);
            let verified = pow::verify(secret.public(), &params).ok()?;
            Some((secret, verified))
        })
        .unwrap();
    Controller::new(Arc::new(store), secret, &verified, [0; 1])
}

/// The network of all runs; the first makes it.
fn network(controller: &Controller) -> NetworkId {
    if let Some(network) = controller.networks(None, 1).unwrap().first() {
        return network.id;
    }
    let settings: NetworkSettings =
        serde_json::from_str(r#"{"public":true,"ipv4_pools":["10.0.0.0/16"]}"#).unwrap();
    controller
        .create_network(&settings, [1; 32], Unix(1))
        .unwrap()
        .value
        .id
}
