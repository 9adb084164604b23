//! What the lab needs from the system, and how it comes by it.
//!
//! In: the system as it is. Out: packages installed by name, or a failure that says what is missing. Never: a silent skip.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

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

/// Installs the Debian packages that are missing, and gives the version of each.
///
/// # Errors
/// What is missing.
pub fn ensure_packages(
    packages: &[&str],
    progress: &Progress,
) -> Result<BTreeMap<String, String>, Failed> {
    let there = versions(packages)?;
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !there.contains_key(*package))
        .collect();
    if missing.is_empty() {
        return Ok(there);
    }
    install(&missing, progress)?;
    let there = versions(packages)?;
    match missing
        .iter()
        .find(|package| !there.contains_key(**package))
    {
        None => Ok(there),
        Some(package) => Err(Failed::new(format!(
            "apt-get says that it installed {package}, dpkg-query does not know it: look at `dpkg -l {package}`"
        ))),
    }
}

/// The packages among these that are installed, and their versions.
fn versions(packages: &[&str]) -> Result<BTreeMap<String, String>, Failed> {
    if !is_installed("dpkg-query") {
        return Ok(BTreeMap::new());
    }
    let mut command = Command::new("dpkg-query");
    command
        .args([
            "-W",
            "-f",
            "${db:Status-Status} ${Package} ${Version}\n",
            "--",
        ])
        .args(packages);
    // Its exit code is 1 when it has never heard of one of them.
    let said = Outcome::of(&mut command, Duration::from_mins(1))?.stdout;
    let known = said.lines().filter_map(|line| {
        let (package, version) = line.strip_prefix("installed ")?.split_once(' ')?;
        Some((package.to_owned(), version.to_owned()))
    });
    Ok(known.collect())
}

fn install(packages: &[&str], progress: &Progress) -> Result<(), Failed> {
    let names = packages.join(" ");
    if !is_installed("apt-get") {
        return Err(Failed::new(format!(
            "missing, and this is no Debian: install what has {names}"
        )));
    }
    progress.say(&format!("installing Debian packages: {names}"));
    apt("apt-get update -q", &[])?;
    apt(
        &format!("{NO_SERVICES}\napt-get install -q -y --no-install-recommends \"$@\""),
        packages,
    )
}

fn apt(script: &str, packages: &[&str]) -> Result<(), Failed> {
    let mut command = Command::new("sh");
    command
        .args(["-ec", script, "apt"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    let act = script.lines().last().unwrap_or(script);
    Outcome::of(&mut command, Duration::from_mins(10))?
        .good()
        .map(|_| ())
        .map_err(|failed| failed.during(&act.replace("\"$@\"", &packages.join(" "))))
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

/// A daemon's package would start the daemon on this machine; the lab starts it on hosts of its own. Debian's
/// way to say so is a policy file; one of somebody else stays as it is, ours goes with the shell, also after Ctrl-C.
const NO_SERVICES: &str = r#"policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ] || grep -q 'of cargo lab' $policy; then
    trap "rm -f $policy" EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\n# of cargo lab: no daemon is started\nexit 101\n' > $policy
    chmod 755 $policy
fi"#;
