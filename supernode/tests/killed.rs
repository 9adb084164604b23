//! The registry in a process of its own that is killed with SIGKILL in the middle of 1,000 claims, several times.
//!
//! In: nothing. Out: failure when an acknowledged claim is lost or an address was given to two keys.
//! This file is its own child: with a directory as argument it claims until it is killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use zt_supernode::registry::{Claim, ClaimResult, DurableRegistry, Limits};
use zt_wire::{Address, Identity, KeyId};

/// Addresses; each is claimed by two keys, in an order that differs from address to address.
const ADDRESSES: u32 = 1_000;
/// Claims in flight at a time: enough that several share a commit, few enough that a kill finds some on their way.
const IN_FLIGHT: usize = 24;
/// Acknowledgements after which the child is killed, counted from its start.
const KILLS: [usize; 5] = [37, 150, 420, 700, 933];

fn main() {
    match std::env::args().nth(1) {
        Some(dir) if dir.starts_with('/') => child(Path::new(&dir)),
        // What the test harness of other files understands, such as `--list`, is of no use here.
        _ => acknowledged_claims_survive_sigkill(),
    }
}

fn acknowledged_claims_survive_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for kill_after in KILLS {
        let heard = run_child(dir.path(), Some(kill_after), &mut acknowledged);
        assert!(
            heard >= kill_after,
            "the child ended by itself after {heard} answers"
        );
    }
    run_child(dir.path(), None, &mut acknowledged);
    assert_eq!(
        acknowledged.len(),
        ADDRESSES as usize,
        "each address has a holder in the end"
    );
    let registry =
        DurableRegistry::open(&dir.path().join("registry.redb"), Limits::default()).unwrap();
    assert_eq!(registry.held(), Ok(u64::from(ADDRESSES)));
    for (place, key) in &acknowledged {
        assert_eq!(
            registry.whois(address(*place)),
            Ok(Some(identity(*key))),
            "address {place} was lost"
        );
    }
    println!(
        "measured: {} kills, {} acknowledged claims, none lost, none given twice",
        KILLS.len(),
        acknowledged.len()
    );
    // This file has no test harness; whoever runs all tests counts by this line.
    println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

/// Runs a child until it has given so many answers, or to its end. Notes every acknowledgement; one that contradicts
/// an earlier one fails the test.
fn run_child(
    dir: &Path,
    kill_after: Option<usize>,
    acknowledged: &mut BTreeMap<u32, u32>,
) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut heard = 0;
    for line in lines {
        // The last line may be cut by the kill; what was not heard whole was not acknowledged.
        let Some((place, key)) = line.ok().as_deref().and_then(parse) else {
            continue;
        };
        let holder = *acknowledged.entry(place).or_insert(key);
        assert_eq!(holder, key, "address {place} was given to two keys");
        heard += 1;
        if Some(heard) == kill_after {
            kill(&mut child);
        }
    }
    child.wait().unwrap();
    heard
}

fn kill(child: &mut Child) {
    // SIGKILL: no destructor runs, nothing is flushed.
    child.kill().unwrap();
}

fn child(dir: &Path) {
    let registry = DurableRegistry::open(&dir.join("registry.redb"), Limits::default()).unwrap();
    let (window_in, window_out) = mpsc::sync_channel::<()>(IN_FLIGHT);
    let window_out = std::sync::Arc::new(std::sync::Mutex::new(window_out));
    for turn in 0..2 {
        for place in 0..ADDRESSES {
            // Even places are first claimed by the even key, odd ones by the odd key.
            let key = 2 * place + (place + turn) % 2;
            window_in.send(()).unwrap();
            let window_out = std::sync::Arc::clone(&window_out);
            registry.claim(claim(place, key), move |result| {
                if result.unwrap() == ClaimResult::Granted {
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "granted {place} {key};").unwrap();
                    out.flush().unwrap();
                }
                window_out.lock().unwrap().recv().unwrap();
            });
        }
    }
}

fn parse(line: &str) -> Option<(u32, u32)> {
    let (place, key) = line
        .strip_prefix("granted ")?
        .strip_suffix(';')?
        .split_once(' ')?;
    Some((place.parse().ok()?, key.parse().ok()?))
}

fn claim(place: u32, key: u32) -> Claim {
    let identity = identity(key);
    let mut id = [0; 32];
    id[..4].copy_from_slice(&key.to_be_bytes());
    Claim {
        address: address(place),
        key: KeyId::from_bytes(id),
        identity,
        from: None,
    }
}

fn address(place: u32) -> Address {
    let [a, b, c, d] = place.to_be_bytes();
    Address::from_bytes([1, a, b, c, d]).unwrap()
}

fn identity(key: u32) -> Identity {
    Identity::new([1; 32], [2; 32], u64::from(key))
}
