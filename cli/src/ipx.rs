//! `ipx` and the setting `ipxnet`.
//!
//! In: a client, arguments. Out: who was heard, who answered. Never: an address that nobody asked for.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Serialize;
use zt_api::{Exit, Ipx, IpxEcho, NodeClient};
use zt_wire::{Mac, NetworkId};

use crate::args::{IpxCommand, IpxPing};
use crate::node::unknown_network;
use crate::output::{Failure, Output, or_dash, table};

/// IPX on one network.
#[derive(Serialize)]
struct Line {
    id: String,
    #[serde(flatten)]
    ipx: Ipx,
}

/// `ipx list`, `ipx ping`.
pub async fn ipx(node: &NodeClient, command: &IpxCommand, output: Output) -> Result<(), Failure> {
    match command {
        IpxCommand::List { network } => list(node, *network, output).await,
        IpxCommand::Ping(which) => ping(node, which, output).await,
    }
}

async fn list(
    node: &NodeClient,
    network: Option<NetworkId>,
    output: Output,
) -> Result<(), Failure> {
    let networks = match network {
        Some(network) => vec![network],
        None => node.networks().await?.iter().map(|n| n.id).collect(),
    };
    let mut lines = Vec::new();
    for network in networks {
        let asked = node.ipx(network).await;
        lines.push(Line {
            id: network.to_string(),
            ipx: asked.map_err(|e| unknown_network(e, network))?,
        });
    }
    output.show(&lines, |lines| text(lines))
}

async fn ping(node: &NodeClient, ping: &IpxPing, output: Output) -> Result<(), Failure> {
    let network = ping.network;
    let echoes = node
        .ipx_ping(network, ping.node, ping.limit)
        .await
        .map_err(|e| unknown_network(e, network))?;
    if echoes.is_empty() {
        let whom = or_dash(ping.node);
        let message = match ping.node {
            Some(_) => {
                format!("no answer from {whom} on {network}; `zt-cli ipx list` says who was heard")
            }
            None => format!("nobody answers on {network}; DOSBox and nodes with ipxnet=on do"),
        };
        return Err(Failure::new(Exit::TimedOut, message));
    }
    output.show(&echoes, |echoes| answers(echoes))
}

/// Where `ipxnet=VALUE` says that the server is to be.
pub fn server(value: &str) -> Result<Option<SocketAddr>, Failure> {
    match value {
        "on" | "true" | "yes" | "1" => Ok(Some(DEFAULT)),
        "off" | "false" | "no" | "0" => Ok(None),
        address => address.parse().map(Some).map_err(|_| {
            Failure::new(
                Exit::Usage,
                format!("ipxnet: expected on, off or IP:PORT, found {address}"),
            )
        }),
    }
}

/// A host's number, with colons as a MAC or as the twelve digits that IPX tools print.
pub fn number(text: &str) -> Result<Mac, String> {
    let bad = || format!("expected twelve hex digits or a MAC, found {text}");
    if text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        let value = u64::from_str_radix(text, 16).map_err(|_| bad())?;
        let [_, _, node @ ..] = value.to_be_bytes();
        return Ok(Mac::from_bytes(node));
    }
    text.parse().map_err(|_| bad())
}

fn text(lines: &[Line]) -> String {
    let hosts = lines.iter().flat_map(|line| {
        line.ipx.hosts.iter().map(|host| {
            [
                line.id.clone(),
                host.node.to_string(),
                host.mac.to_string(),
                host.network.clone(),
                host.framing.clone(),
                host.packets.to_string(),
                format!("{} s ago", host.heard_ms_ago / 1000),
            ]
        })
    });
    let head = [
        "NETWORK", "NUMBER", "MAC", "IPX NET", "FRAMING", "PACKETS", "HEARD",
    ];
    let mut parts = vec![table(head, hosts, "no IPX host was heard yet")];
    for line in lines {
        let Some(server) = line.ipx.ipxnet else {
            continue;
        };
        let state = match &line.ipx.ipxnet_error {
            Some(error) => format!("not served: {error}"),
            None => format!("{} clients", line.ipx.clients.len()),
        };
        parts.push(format!("\nipxnet of {} at {server}: {state}", line.id));
        let clients = line.ipx.clients.iter();
        parts.extend(clients.map(|client| format!("  {}  {}", client.node, client.endpoint)));
    }
    parts.join("\n")
}

fn answers(echoes: &[IpxEcho]) -> String {
    let rows = echoes.iter().map(|echo| {
        [
            echo.node.to_string(),
            echo.network.clone(),
            echo.framing.clone(),
            format!("{:.2} ms", echo.rtt_ms),
        ]
    });
    table(["NUMBER", "IPX NET", "FRAMING", "TIME"], rows, "nobody")
}

/// `DOSBox`'s own port, on loopback: the server trusts who reaches it.
const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 213);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_in_both_forms() {
        let mac = Mac::from_bytes([2, 0, 0, 0, 0, 0x1f]);
        assert_eq!(number("02000000001f"), Ok(mac));
        assert_eq!(number("02:00:00:00:00:1f"), Ok(mac));
        for bad in ["", "+2000000001f", "02000000001", "host"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ipxnet_is_on_off_or_an_address() {
        assert_eq!(server("on").unwrap().unwrap().to_string(), "127.0.0.1:213");
        assert_eq!(server("off").unwrap(), None);
        let other = server("127.0.0.1:2213").unwrap().unwrap();
        assert_eq!(other.port(), 2213);
        assert_eq!(server("213").unwrap_err().exit, Exit::Usage);
    }
}
