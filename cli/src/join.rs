//! `join`: asks the node to join a network and, if told to, waits for what comes of it.
//!
//! In: a target, a wait. Out: address, device and how the controller was pinned; or the reason and its exit code.
//! Never: a loop that polls; the daemon answers when there is news.

use core::fmt::Write as _;
use core::time::Duration;
use std::time::Instant;

use zt_api::{ApiError, Exit, JoinRequest, Network, NodeClient, Status};
use zt_wire::NetworkId;

use crate::args::Join;
use crate::output::{Failure, Output, facts};
use crate::target::Target;

/// How often a node that does not listen yet is looked for: soon enough for a person, nothing for the machine.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// `join`.
pub async fn join(node: &NodeClient, join: &Join, output: Output) -> Result<(), Failure> {
    let (network, request) = request(join)?;
    let started = Instant::now();
    ask(
        node,
        network,
        &request,
        join.wait.unwrap_or_default(),
        output,
    )
    .await?;
    let Some(wait) = join.wait else {
        let now = node.settled(network, Duration::ZERO).await?;
        return output.show(&now, asked_text);
    };
    let after = node
        .settled(network, wait.saturating_sub(started.elapsed()))
        .await?;
    match verdict(&after, wait) {
        Ok(()) => output.show(&after, joined_text),
        Err(failure) => Err(failure),
    }
}

/// Asks the node, which may still be starting: the first time it makes its identity before it listens. Nobody tells
/// when another program opens a socket, so this looks again until `wait` is over.
async fn ask(
    node: &NodeClient,
    network: NetworkId,
    request: &JoinRequest,
    wait: Duration,
    output: Output,
) -> Result<(), Failure> {
    let started = Instant::now();
    let mut told = false;
    loop {
        match node.join(network, request).await {
            Err(ApiError::NoDaemon { socket }) if started.elapsed() + LOOK_AGAIN < wait => {
                if !told {
                    output.remark(&format!(
                        "waiting for zt-node to listen on {}",
                        socket.display()
                    ));
                    told = true;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            other => return Ok(other?),
        }
    }
}

fn request(join: &Join) -> Result<(NetworkId, JoinRequest), Failure> {
    match &join.target {
        Target::Id {
            network,
            fingerprint,
        } => {
            let request = JoinRequest {
                fingerprint: *fingerprint,
                token: join.token.clone(),
                invite: None,
            };
            Ok((*network, request))
        }
        Target::Invite { .. } if join.token.is_some() => Err(Failure::new(
            Exit::Usage,
            "an invite carries its own token; leave --token out",
        )),
        Target::Invite { text, invite } => {
            let request = JoinRequest {
                fingerprint: Some(invite.controller_key),
                token: Some(hex(&invite.token)),
                invite: Some(text.clone()),
            };
            Ok((invite.network, request))
        }
    }
}

/// What the end of waiting means.
fn verdict(network: &Network, wait: Duration) -> Result<(), Failure> {
    let id = network.id;
    let seconds = wait.as_secs_f64();
    let (exit, message) = match network.status {
        Status::Ok if network.device.is_some() => return Ok(()),
        Status::Ok => (
            Exit::TimedOut,
            format!("authorized, but the device was not up after {seconds} s; see the node's log"),
        ),
        Status::Denied => (
            Exit::Denied,
            format!(
                "{id} denied this node: it was put out, its invite is spent, or the controller's key is not the one \
                 given; ask who runs the network"
            ),
        ),
        Status::NotFound => (
            Exit::Failed,
            format!(
                "controller {} has no network {id}; is the id right, or was the network deleted?",
                id.controller()
            ),
        ),
        Status::DeviceError => (Exit::InUse, device_error(network)),
        Status::Unreachable => (
            Exit::TimedOut,
            format!(
                "controller {} did not answer within {seconds} s; the node keeps asking, `zt-cli networks` shows when \
                 it is in; `zt-cli info` shows whether this node is online",
                id.controller()
            ),
        ),
        Status::Requesting => (
            Exit::TimedOut,
            format!(
                "not authorized after {seconds} s; the node keeps asking. Who runs the network authorizes this node: \
                 zt-cli member authorize {id} {}",
                network
                    .mac
                    .address_on(id)
                    .map_or_else(|| "ADDRESS".to_owned(), |own| own.to_string())
            ),
        ),
    };
    Err(Failure::new(exit, message))
}

/// What the system said when the device could not be made, and what to do about it.
pub fn device_error(network: &Network) -> String {
    let why = network.device_error.as_deref().unwrap_or("no reason given");
    let denied = ["Permission denied", "not permitted"]
        .iter()
        .any(|said| why.contains(said));
    let next = if denied {
        "; run zt-node as root, or give it CAP_NET_ADMIN"
    } else {
        ""
    };
    format!("the network's device could not be made: {why}{next}")
}

fn joined_text(network: &Network) -> String {
    let addresses: Vec<_> = network.addresses.iter().map(ToString::to_string).collect();
    let addresses = if addresses.is_empty() {
        "none managed".to_owned()
    } else {
        addresses.join(" ")
    };
    let name = if network.name.is_empty() {
        network.id.to_string()
    } else {
        network.name.clone()
    };
    let head = format!("joined {name}");
    let rest = facts(&[
        ("network", network.id.to_string()),
        ("address", addresses),
        ("device", network.device.clone().unwrap_or_default()),
        ("controller", pinned_text(network)),
    ]);
    format!("{head}\n{rest}")
}

fn pinned_text(network: &Network) -> String {
    match (network.pinned, network.pinned_on_first_use) {
        (Some(key), false) => format!("{key} (as given)"),
        (Some(key), true) => format!("{key} (first use: compare it with who runs the network)"),
        (None, _) => "not met yet".to_owned(),
    }
}

fn asked_text(network: &Network) -> String {
    let id = network.id;
    match network.status {
        Status::Ok => joined_text(network),
        Status::Requesting
        | Status::Denied
        | Status::NotFound
        | Status::Unreachable
        | Status::DeviceError => {
            format!(
                "asked to join {id}; status {}; `zt-cli networks` shows what comes of it",
                network.status
            )
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(status: Status, device: Option<&str>) -> Network {
        Network {
            id: "89abcdef01000001".parse().unwrap(),
            name: String::new(),
            status,
            device: device.map(str::to_owned),
            device_error: None,
            mac: "02:00:00:00:00:01".parse().unwrap(),
            mtu: 1500,
            addresses: vec![],
            routes: vec![],
            bridge: false,
            looped: None,
            members_heard: 0,
            pinned: None,
            pinned_on_first_use: false,
            settings: zt_api::Settings::default(),
        }
    }

    #[test]
    fn every_end_of_waiting_has_its_exit_code() {
        let wait = Duration::from_secs(1);
        let exit = |status, device| {
            verdict(&network(status, device), wait)
                .err()
                .map(|failure| failure.exit)
        };
        assert_eq!(exit(Status::Ok, Some("zt0")), None);
        assert_eq!(exit(Status::Ok, None), Some(Exit::TimedOut));
        assert_eq!(exit(Status::Denied, None), Some(Exit::Denied));
        assert_eq!(exit(Status::NotFound, None), Some(Exit::Failed));
        assert_eq!(exit(Status::DeviceError, None), Some(Exit::InUse));
        assert_eq!(exit(Status::Unreachable, None), Some(Exit::TimedOut));
        assert_eq!(exit(Status::Requesting, None), Some(Exit::TimedOut));
    }
}
