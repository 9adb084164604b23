//! What the lab needs from the system, and how it comes by it.
//!
//! In: the system as it is. Out: packages installed by name, or a failure that says what is missing. Never: a silent skip.

use std::{path::Path, process::Command, time::Duration};

use crate::{Failed, Outcome, process, progress::Progress};

/// Tools and the Debian packages that have them.
const TOOLS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ping", "iputils-ping"),
    ("setpriv", "util-linux"),
    ("tcpdump", "tcpdump"),
    ("cc", "build-essential"),
];

/// Installs the Debian packages that are missing, saying which, and checks what no package can give.
///
/// # Errors
/// What is missing and what to do about it.
pub fn ensure(progress: &Progress) -> Result<(), Failed> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failed::new(
            "network namespaces and TAP devices need root: run this as root",
        ));
    }
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(tool, _)| !is_installed(tool))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        install(&missing, progress)?;
    }
    kernel_has_what_is_needed()
}

/// Installs one tool's Debian package unless the tool is there.
///
/// # Errors
/// What is missing.
pub fn ensure_tool(tool: &str, package: &str, progress: &Progress) -> Result<(), Failed> {
    if is_installed(tool) {
        return Ok(());
    }
    install(&[package], progress)
}

fn install(packages: &[&str], progress: &Progress) -> Result<(), Failed> {
    let names = packages.join(" ");
    if !is_installed("apt-get") {
        return Err(Failed::new(format!(
            "missing, and this is no Debian: install what has {names}"
        )));
    }
    progress.say(&format!("installing Debian packages: {names}"));
    apt(&["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<(), Failed> {
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    let line = process::spelled(&command);
    Outcome::of(&mut command, Duration::from_mins(10))?
        .good()
        .map(|_| ())
        .map_err(|failed| failed.during(&line))
}

fn kernel_has_what_is_needed() -> Result<(), Failed> {
    if !Path::new("/dev/net/tun").exists() {
        return Err(Failed::new(
            "no /dev/net/tun: load it with `modprobe tun`, or give this container the device (--device /dev/net/tun)",
        ));
    }
    let name = format!("zt-{:x}-probe", std::process::id());
    process::tool("ip", &["netns", "add", &name]).map_err(|failed| {
        failed.during("no network namespaces: a container needs CAP_SYS_ADMIN (--privileged)")
    })?;
    let tap = process::tool(
        "ip",
        &["-n", &name, "tuntap", "add", "probe0", "mode", "tap"],
    )
    .map_err(|failed| failed.during("no TAP devices: the kernel needs the module `tun`"));
    let rules = "add table ip t; add chain ip t c { type nat hook postrouting priority 100; }; add rule ip t c masquerade";
    let nft = process::tool("ip", &["netns", "exec", &name, "nft", rules]).map_err(|failed| {
        failed.during("no nftables with NAT: the kernel needs the modules nf_tables and nft_masq")
    });
    let gone = process::tool("ip", &["netns", "del", &name]);
    tap.and(nft).and(gone).map(|_| ())
}

/// Whether a program is on the path, or where Debian keeps those for root.
pub fn is_installed(tool: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|dir| Path::new(dir).join(tool).exists())
}
