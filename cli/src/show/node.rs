//! What a node says, as people read it.
//!
//! In: answers of the node. Out: tables and facts. Never: a value that scripts would need and JSON lacks.

use zt_api::{Counters, Info, Loop, Network, Path, Peer, Why};

use crate::output::{facts, or_dash, table};

/// What `info` prints.
pub fn info(info: &Info) -> String {
    let state = match (info.online, info.collision) {
        (true, _) => "online",
        (false, true) => {
            "refused: another key holds this address; stop the node, move its identity away, start again"
        }
        (false, false) => "offline: no supernode answers",
    };
    let list = |endpoints: &[std::net::SocketAddr]| {
        let texts: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
        if texts.is_empty() {
            "-".to_owned()
        } else {
            texts.join(", ")
        }
    };
    let head = facts(&[
        ("address", info.address.to_string()),
        ("fingerprint", info.fingerprint.to_string()),
        ("version", info.version.clone()),
        ("state", state.to_owned()),
        (
            "world",
            format!("{}, serial {}", info.world.name, info.world.serial),
        ),
        ("listen", list(&info.listen)),
        ("seen as", list(&info.observed)),
    ]);
    let rows = info.supernodes.iter().map(|s| {
        [
            s.address.to_string(),
            or_dash(s.endpoint),
            s.rtt_ms.map_or_else(|| "no answer".into(), ms),
        ]
    });
    format!(
        "{head}\n\n{}",
        table(
            ["SUPERNODE", "ENDPOINT", "RTT"],
            rows,
            "this world has no supernodes"
        )
    )
}

/// What `networks` prints.
pub fn networks(networks: &[Network]) -> String {
    let rows = networks.iter().map(|n| {
        let addresses: Vec<_> = n.addresses.iter().map(ToString::to_string).collect();
        let device = n.device.clone().or_else(|| n.device_error.clone());
        [
            n.id.to_string(),
            if n.name.is_empty() {
                "-".into()
            } else {
                n.name.clone()
            },
            with_loop(n),
            or_dash(device),
            if addresses.is_empty() {
                "-".into()
            } else {
                addresses.join(" ")
            },
            n.mtu.to_string(),
            n.members_heard.to_string(),
        ]
    });
    table(
        [
            "NETWORK",
            "NAME",
            "STATUS",
            "DEVICE",
            "ADDRESSES",
            "MTU",
            "HEARD",
        ],
        rows,
        "no networks; join one with `zt-cli join NETWORK-ID` or `zt-cli join INVITE`",
    )
}

/// A network's status, and what the loop guard has found.
fn with_loop(network: &Network) -> String {
    let status = network.status;
    match network.looped {
        None => status.to_string(),
        Some(Loop {
            with: None,
            since_s,
            ..
        }) => {
            format!("{status}, cut off for {since_s} s: the LAN here loops")
        }
        Some(Loop {
            with: Some(member),
            cut_off,
            since_s,
        }) => {
            let who = if cut_off { "cut off" } else { "it is cut off" };
            format!("{status}, {who} for {since_s} s: loop with {member}")
        }
    }
}

/// What `peers` prints.
pub fn peers(peers: &[Peer]) -> String {
    let rows = peers.iter().map(|p| {
        [
            p.address.to_string(),
            p.role.to_string(),
            p.path.kind.to_string(),
            or_dash(p.path.endpoint),
            or_dash(p.path.rtt_ms.map(ms)),
            p.suite.clone().unwrap_or_else(|| "-".into()),
            p.rx_bytes.to_string(),
            p.tx_bytes.to_string(),
        ]
    });
    table(
        [
            "PEER", "ROLE", "PATH", "ENDPOINT", "RTT", "SUITE", "RX BYTES", "TX BYTES",
        ],
        rows,
        "no peers yet",
    )
}

/// What `paths` prints.
pub fn paths(paths: &[Path]) -> String {
    let rows = paths.iter().map(|p| {
        let state = match (p.in_use, p.validated) {
            (true, _) => "in use",
            (false, true) => "proven",
            (false, false) => "not proven",
        };
        [
            p.kind.to_string(),
            or_dash(p.endpoint),
            or_dash(p.via),
            or_dash(p.rtt_ms.map(ms)),
            or_dash(p.mtu),
            state.into(),
        ]
    });
    table(
        ["PATH", "ENDPOINT", "VIA", "RTT", "MTU", "STATE"],
        rows,
        "no path yet; `zt-cli ping ADDRESS` makes one",
    )
}

/// What `why` prints.
pub fn why(why: &Why) -> String {
    let path = match why.path.endpoint {
        Some(endpoint) => format!("{} {endpoint}", why.path.kind),
        None => why.path.kind.to_string(),
    };
    let head = facts(&[
        ("peer", why.address.to_string()),
        ("path", path),
        ("because", why.because.clone()),
        ("our NAT", why.nat.mine.clone()),
        ("their NAT", why.nat.theirs.clone()),
    ]);
    let rows = why.tried.iter().map(|t| {
        [
            t.endpoint.to_string(),
            t.kind.clone(),
            t.result.clone(),
            format!("{} ms", t.at_ms),
        ]
    });
    format!(
        "{head}\n\n{}",
        table(
            ["TRIED", "LEARNED", "RESULT", "AT"],
            rows,
            "no direct endpoint tried yet"
        )
    )
}

/// What `counters` prints.
pub fn counters(counters: &Counters) -> String {
    let groups = [
        ("drops", &counters.drops),
        ("frames", &counters.frames),
        ("datagrams", &counters.datagrams),
        ("handshakes", &counters.handshakes),
        ("fragments", &counters.fragments),
    ];
    let more = counters
        .more
        .iter()
        .map(|(name, group)| (name.as_str(), group));
    let rows = groups.into_iter().chain(more).flat_map(|(name, group)| {
        group
            .iter()
            .filter(|(_, n)| **n > 0)
            .map(move |(key, n)| [name.to_owned(), key.clone(), n.to_string()])
    });
    table(
        ["GROUP", "COUNTER", "VALUE"],
        rows,
        "nothing has happened yet",
    )
}

fn ms(value: f64) -> String {
    format!("{value:.1} ms")
}
