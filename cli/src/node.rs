//! Commands that ask the node of this machine.
//!
//! In: a client, arguments. Out: printed answers. Never: a decision of the node.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use zt_api::{ApiError, Exit, NodeClient, PathKind, SettingsChange, Trouble};
use zt_wire::{Address, NetworkId};

use crate::args::Ping;
use crate::output::{Failure, Output, facts, line};
use crate::show::node as show;

/// `info`.
pub async fn info(node: &NodeClient, output: Output) -> Result<(), Failure> {
    output.show(&node.info().await?, show::info)
}

/// `networks`.
pub async fn networks(node: &NodeClient, output: Output) -> Result<(), Failure> {
    output.show(&node.networks().await?, |networks| show::networks(networks))
}

/// `peers`.
pub async fn peers(node: &NodeClient, output: Output) -> Result<(), Failure> {
    output.show(&node.peers().await?, |peers| show::peers(peers))
}

/// `paths`.
pub async fn paths(node: &NodeClient, peer: Address, output: Output) -> Result<(), Failure> {
    let paths = node.paths(peer).await.map_err(|e| unknown_peer(e, peer))?;
    output.show(&paths, |paths| show::paths(paths))
}

/// `why`.
pub async fn why(node: &NodeClient, peer: Address, output: Output) -> Result<(), Failure> {
    let why = node.why(peer).await.map_err(|e| unknown_peer(e, peer))?;
    output.show(&why, show::why)
}

/// `counters`.
pub async fn counters(node: &NodeClient, output: Output) -> Result<(), Failure> {
    output.show(&node.counters().await?, show::counters)
}

/// `dump`.
pub async fn dump(node: &NodeClient, file: &Path, output: Output) -> Result<(), Failure> {
    let dump = node.dump().await?;
    let json = serde_json::to_string_pretty(&dump)
        .map_err(|e| Failure::new(Exit::Failed, format!("the dump cannot be written: {e}")))?;
    if file == Path::new("-") {
        return line(&json);
    }
    // It names addresses of people: for the owner's eyes until handed on.
    let mut options = std::fs::OpenOptions::new();
    let opened = options
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(file);
    opened
        .and_then(|mut open| writeln!(open, "{json}"))
        .map_err(|e| Failure::new(Exit::Failed, format!("{}: {e}", file.display())))?;
    let written = serde_json::json!({ "file": file });
    output.show(&written, |_| {
        format!(
            "wrote {}; read it before you hand it on: it names addresses",
            file.display()
        )
    })
}

/// `leave`.
pub async fn leave(node: &NodeClient, network: NetworkId, output: Output) -> Result<(), Failure> {
    node.leave(network)
        .await
        .map_err(|e| unknown_network(e, network))?;
    output.show(&serde_json::json!({ "id": network.to_string() }), |_| {
        format!("left {network}")
    })
}

/// `set`.
pub async fn set(
    node: &NodeClient,
    network: NetworkId,
    settings: &[String],
    output: Output,
) -> Result<(), Failure> {
    let (ipxnet, settings): (Vec<String>, Vec<String>) = settings
        .iter()
        .cloned()
        .partition(|setting| setting.starts_with("ipxnet="));
    let server = match ipxnet.last().and_then(|setting| setting.split_once('=')) {
        Some((_, value)) => Some(crate::ipx::server(value)?),
        None => None,
    };
    let change = settings_change(&settings)?;
    let unknown = |e| unknown_network(e, network);
    if let Some(server) = server {
        node.ipx_serve(network, server).await.map_err(unknown)?;
    }
    node.set(network, change).await.map_err(unknown)?;
    let ipxnet = node.ipx(network).await.map_err(unknown)?.ipxnet;
    let after = node.networks().await?.into_iter().find(|n| n.id == network);
    let settings = after.map(|network| network.settings).unwrap_or_default();
    output.show(&SettingsNow { settings, ipxnet }, |now| {
        let s = now.settings;
        facts(&[
            ("allow-managed", s.allow_managed.to_string()),
            ("allow-global", s.allow_global.to_string()),
            ("allow-default", s.allow_default.to_string()),
            ("allow-dns", s.allow_dns.to_string()),
            ("allow-selftest", s.allow_selftest.to_string()),
            ("lan-mode", s.lan_mode.to_string()),
            (
                "ipxnet",
                now.ipxnet
                    .map_or_else(|| "off".to_owned(), |at| at.to_string()),
            ),
        ])
    })
}

/// What `set` leaves.
#[derive(Serialize)]
struct SettingsNow {
    #[serde(flatten)]
    settings: zt_api::Settings,
    ipxnet: Option<std::net::SocketAddr>,
}

fn settings_change(settings: &[String]) -> Result<SettingsChange, Failure> {
    let mut change = SettingsChange::default();
    for setting in settings {
        let (key, value) = crate::pairs::split(setting)?;
        let slot = match key {
            "allow-managed" => &mut change.allow_managed,
            "allow-global" => &mut change.allow_global,
            "allow-default" => &mut change.allow_default,
            "allow-dns" => &mut change.allow_dns,
            "allow-selftest" => &mut change.allow_selftest,
            "lan-mode" => &mut change.lan_mode,
            _ => {
                return Err(Failure::new(
                    Exit::Usage,
                    format!(
                        "unknown key {key}; expected allow-managed, allow-global, allow-default, allow-dns, allow-selftest, lan-mode or ipxnet"
                    ),
                ));
            }
        };
        *slot = Some(crate::pairs::switch(key, value)?);
    }
    Ok(change)
}

#[derive(Serialize)]
struct PingReport {
    address: String,
    sent: u32,
    received: u32,
    loss_percent: f64,
    rtt_ms: Option<Spread>,
    path: Option<PathKind>,
    replies: Vec<PingLine>,
}

#[derive(Clone, Copy, Serialize)]
struct Spread {
    min: f64,
    avg: f64,
    max: f64,
}

#[derive(Serialize)]
struct PingLine {
    seq: u32,
    rtt_ms: Option<f64>,
    path: Option<PathKind>,
}

/// `ping`.
pub async fn ping(node: &NodeClient, ping: &Ping, output: Output) -> Result<(), Failure> {
    let mut replies = Vec::new();
    for seq in 1..=ping.count {
        let started = Instant::now();
        let one = match node.ping(ping.address, ping.limit).await {
            Ok(reply) => PingLine {
                seq,
                rtt_ms: Some(reply.rtt_ms),
                path: Some(reply.path),
            },
            Err(e) if e.exit() == Exit::TimedOut => PingLine {
                seq,
                rtt_ms: None,
                path: None,
            },
            Err(e) => return Err(unknown_peer(e, ping.address)),
        };
        if !output.json {
            line(&ping_text(ping.address, &one))?;
        }
        replies.push(one);
        if seq < ping.count {
            tokio::time::sleep(ping.interval.saturating_sub(started.elapsed())).await;
        }
    }
    let report = ping_report(ping.address, replies);
    output.show(&report, |r| {
        let loss = format!(
            "{} sent, {} received, {:.0} % lost",
            r.sent, r.received, r.loss_percent
        );
        match r.rtt_ms {
            Some(s) => format!(
                "{loss}; round trip {:.2} / {:.2} / {:.2} ms (min / avg / max)",
                s.min, s.avg, s.max
            ),
            None => loss,
        }
    })?;
    if report.received == 0 {
        let peer = ping.address;
        return Err(Failure::new(
            Exit::TimedOut,
            format!("no answer from {peer}; `zt-cli why {peer}` says what was tried"),
        ));
    }
    Ok(())
}

fn ping_report(address: Address, replies: Vec<PingLine>) -> PingReport {
    let times: Vec<f64> = replies.iter().filter_map(|reply| reply.rtt_ms).collect();
    let sent = u32::try_from(replies.len()).unwrap_or(u32::MAX);
    let received = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let rtt_ms = (received > 0).then(|| Spread {
        min: times.iter().copied().fold(f64::INFINITY, f64::min),
        avg: times.iter().sum::<f64>() / f64::from(received),
        max: times.iter().copied().fold(0.0, f64::max),
    });
    PingReport {
        address: address.to_string(),
        sent,
        received,
        loss_percent: 100.0 * f64::from(sent - received) / f64::from(sent.max(1)),
        rtt_ms,
        path: replies.iter().rev().find_map(|reply| reply.path),
        replies,
    }
}

fn ping_text(peer: Address, one: &PingLine) -> String {
    match (one.rtt_ms, one.path) {
        (Some(rtt), Some(path)) => format!("{peer}: seq {} time {rtt:.2} ms, {path}", one.seq),
        _ => format!("{peer}: seq {} no answer", one.seq),
    }
}

fn unknown_peer(error: ApiError, peer: Address) -> Failure {
    match error {
        ApiError::Answer { body, .. } if body.trouble == Some(Trouble::NoSuchPeer) => Failure::new(
            Exit::Failed,
            format!(
                "no supernode knows {peer}, or its identity could not be verified; is the address right and the machine online?"
            ),
        ),
        other => other.into(),
    }
}

/// The failure to say that a network is not joined.
pub fn unknown_network(error: ApiError, network: NetworkId) -> Failure {
    match error {
        ApiError::Answer { body, .. } if body.trouble == Some(Trouble::NoSuchNetwork) => {
            Failure::new(
                Exit::Failed,
                format!("this node has not joined {network}; `zt-cli networks` lists what it has"),
            )
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_without_answers_has_no_times() {
        let report = ping_report(
            "89abcdef01".parse().unwrap(),
            vec![PingLine {
                seq: 1,
                rtt_ms: None,
                path: None,
            }],
        );
        assert_eq!((report.sent, report.received), (1, 0));
        assert!(report.rtt_ms.is_none());
    }

    #[test]
    fn lan_mode_is_a_switch_like_the_others() {
        let change = settings_change(&["lan-mode=on".into()]).unwrap();
        assert_eq!(change.lan_mode, Some(true));
        let failure = settings_change(&["lan-mode=perhaps".into()]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        let failure = settings_change(&["lanmode=on".into()]).unwrap_err();
        assert!(failure.message.contains("lan-mode"), "{}", failure.message);
    }
}
