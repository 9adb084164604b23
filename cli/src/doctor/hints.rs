//! What could stand between a broadcast and those who wait for it.
//!
//! In: the kernel's and the node's answers, a few settings under /proc and /etc. Out: sentences.
//! Never: a firewall's rules read; a setting changed.

use std::net::{IpAddr, Ipv4Addr};

use zt_api::Lan;

use super::kernel::Kernel;
use super::{Destination, Known};

/// Everything that is worth a sentence.
pub fn hints(kernel: &Kernel, known: &Known, destinations: &[Destination]) -> Vec<String> {
    let mut hints = Vec::new();
    match known.state.as_str() {
        "running" => {}
        "not-running" => hints.push(
            "the node is not running (zt-node run): its devices are gone, and which networks there are is not known"
                .to_owned(),
        ),
        why => hints.push(format!("the node does not answer: {why}")),
    }
    if let Some(lan) = &known.lan {
        hints.extend(of_lan_mode(lan, destinations));
    }
    if known.lan.as_ref().is_none_or(|lan| lan.device.is_none())
        && kernel
            .devices
            .iter()
            .all(|device| device.name != LAN_DEVICE)
        && kernel.lan_rules().next().is_some()
    {
        hints.push(
            "routing rules of a killed node are left; they lead to an empty table and change nothing, and the next \
             start of zt-node removes them"
                .to_owned(),
        );
    }
    let broadcast = destinations.iter().find(|it| is_broadcast(it.to));
    if let Some(error) = broadcast.and_then(|it| it.error.as_ref()) {
        hints.push(format!(
            "a program that sends to 255.255.255.255 gets `{error}`: there is no default route; lan-mode=on or a \
             default route gives it a way"
        ));
    }
    let overlays = known.networks.iter().filter_map(|it| it.device.as_deref());
    for device in overlays {
        if is_strict(device) {
            hints.push(format!(
                "{device} has rp_filter=1 (strict): what members behind bridges send from other subnets is dropped; \
                 sysctl -w net.ipv4.conf.{device}.rp_filter=2 lets it in"
            ));
        }
        if ufw_is_on() {
            hints.push(format!(
                "ufw is on: answers and broadcasts of others come in only where its rules allow it; ufw allow in on \
                 {device}"
            ));
        }
    }
    hints
}

fn of_lan_mode(lan: &Lan, destinations: &[Destination]) -> Vec<String> {
    let mut hints = Vec::new();
    if let Some(trouble) = &lan.trouble {
        hints.push(format!("LAN mode does not work: {trouble}"));
    }
    for network in &lan.networks {
        let (id, device) = (network.id, &network.device);
        match network.state.as_str() {
            "no-device" => hints.push(format!(
                "{id} waits: its device {device} is not up; `zt-cli networks` says why"
            )),
            "no-address" => hints.push(format!(
                "{id} waits: {device} has no IPv4 address to send from; give the network addresses, or the device one"
            )),
            "bridged" => hints.push(format!(
                "{id} needs no copy: {device} is a port of the bridge that broadcasts leave by"
            )),
            _ => {}
        }
    }
    let broadcast = destinations.iter().find(|it| is_broadcast(it.to));
    if lan.device.is_some()
        && let Some(found) = broadcast.filter(|it| it.device != lan.device)
    {
        hints.push(format!(
            "LAN mode is on, but a rule before it decides: {}",
            found.rule.as_deref().unwrap_or("(none is seen)")
        ));
    }
    if lan.device.is_some() && lan.broadcast.is_none() {
        hints.push(
            "nothing but the overlay is reached: without a default route this machine has no LAN for broadcasts"
                .to_owned(),
        );
    }
    hints
}

fn is_broadcast(to: IpAddr) -> bool {
    to == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// The kernel takes the larger of the device's setting and that for all.
fn is_strict(device: &str) -> bool {
    let setting = |name: &str| -> u8 {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/rp_filter");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    };
    setting("all").max(setting(device)) == 1
}

fn ufw_is_on() -> bool {
    std::fs::read_to_string("/etc/ufw/ufw.conf")
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "ENABLED=yes"))
}

/// The node's device for LAN mode.
const LAN_DEVICE: &str = "ztlan";
