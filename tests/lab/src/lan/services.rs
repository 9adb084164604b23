//! What homes and offices find each other by: names, access concentrators, addresses, a call to wake up.
//!
//! In: a stage. Out: what the asking program found. Never: an address that it was told.

use std::{net::Ipv4Addr, time::Instant};

use super::stage::{PATIENCE, Stage};
use crate::{Failed, raw};

/// `pppoe-discovery` broadcasts PADI in EtherType 8863; `pppoe-server` offers.
pub fn pppoe(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let (near, far) = (stage.pair.asks, stage.pair.answers);
    let home = stage.dir("server")?;
    let serve = format!(
        "pppoe-server -I {} -C lab-concentrator -S lab -X $HOME/pid\nsleep infinity",
        far.device
    );
    let _server = stage.start("pppoe-server", &mut far.script(&serve, &home))?;
    let discover = || {
        let mut command = near.program("pppoe-discovery", &home);
        command.args(["-I", near.device, "-t", "2", "-a", "1"]);
        command
    };
    let mac = spelled(raw::mac(far.host, far.device)?);
    stage.until_found("pppoe-discovery", discover, |said| {
        let offered = said.contains("lab-concentrator") && said.contains(&mac);
        offered.then(|| format!("lab-concentrator at {mac}"))
    })
}

/// `nmblookup` broadcasts a name in its subnet; `nmbd` that has it answers.
pub fn netbios(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let (near, far) = (stage.pair.asks, stage.pair.answers);
    let home = stage.dir("server")?;
    let name = format!("LAB{}", far.ip.octets()[3]);
    let config = format!(
        "[global]\nnetbios name = {name}\ninterfaces = {}\n{SMB}",
        far.device
    );
    stage.file("server/smb.conf", &config)?;
    let serve = "mkdir /run/samba /run/private
exec nmbd --foreground --no-process-group --debug-stdout -s $HOME/smb.conf";
    let _server = stage.start("nmbd", &mut far.script(serve, &home))?;
    let look_up = || {
        let mut command = near.program("nmblookup", &home);
        command.args(["-s", "/dev/null", &name]);
        command
    };
    let answer = format!("{} {name}<00>", far.ip);
    stage.until_found("nmblookup", look_up, |said| {
        said.contains(&answer).then(|| answer.clone())
    })
}

/// avahi on both: a name and an address are resolved over multicast DNS.
pub fn mdns(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let (near, far) = (stage.pair.asks, stage.pair.answers);
    let name = |ip: Ipv4Addr| format!("lab-{}", ip.octets()[3]);
    let target = name(far.ip);
    let resolve = RESOLVE
        .replace("TARGET", &target)
        .replace("ADDRESS", &far.ip.to_string());
    let mut daemons = Vec::new();
    for (role, seat, then) in [
        ("avahi-far", far, "wait"),
        ("avahi-near", near, resolve.as_str()),
    ] {
        let config = AVAHI
            .replace("NAME", &name(seat.ip))
            .replace("DEVICE", seat.device);
        let home = stage.dir(role)?;
        stage.file(&format!("{role}/avahi.conf"), &config)?;
        stage.file(&format!("{role}/bus.conf"), BUS)?;
        let script = format!("{BUS_AND_AVAHI}\n{then}");
        let mut daemon = stage.start(role, &mut seat.script(&script, &home))?;
        Stage::until_says(&mut daemon, "Server startup complete")?;
        daemons.push(daemon);
    }
    if let Some(asking) = daemons.last_mut() {
        Stage::until_says(asking, &format!("{target}.local\t{}", far.ip))?;
        Stage::until_says(asking, &format!("{}\t{target}.local", far.ip))?;
    }
    Ok(format!("{target}.local is {}, and back", far.ip))
}

/// `upnpc` asks 239.255.255.250 for a gateway over SSDP, as consoles do; `miniupnpd` answers and describes itself.
pub fn ssdp(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let (near, far) = (stage.pair.asks, stage.pair.answers);
    let home = stage.dir("server")?;
    let config = format!("listening_ip={}\n{UPNP}", far.device);
    stage.file("server/upnp.conf", &config)?;
    let serve = "exec miniupnpd -d -f $HOME/upnp.conf -P /run/pid";
    let _server = stage.start("miniupnpd", &mut far.script(serve, &home))?;
    let ask = || {
        let mut command = near.program("upnpc", &home);
        command.args(["-m", near.device, "-s"]);
        command
    };
    let place = format!("http://{}:", far.ip);
    stage.until_found("upnpc", ask, |said| {
        let igd = said
            .lines()
            .find_map(|line| line.strip_prefix("Found valid IGD : "))?;
        igd.starts_with(&place)
            .then(|| format!("a gateway at {igd}"))
    })
}

/// `arping` asks who has an address.
pub fn arp(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let (near, far) = (stage.pair.asks, stage.pair.answers);
    let home = stage.dir("arping")?;
    let address = far.ip.to_string();
    let mac = spelled(raw::mac(far.host, far.device)?);
    let ask = || {
        let mut command = near.program("arping", &home);
        command.args(["-c", "1", "-i", near.device, &address]);
        command
    };
    stage.until_found("arping", ask, |said| {
        let answered = said.to_lowercase().contains(&mac);
        answered.then(|| format!("{address} is at {mac}"))
    })
}

/// `etherwake` sends the call in `EtherType` 0842 to a machine's MAC.
pub fn wake(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let (near, far) = (stage.pair.asks, stage.pair.answers);
    let mac = raw::mac(far.host, far.device)?;
    let mut ear = raw::Port::open(far.host, far.device)?;
    let home = stage.dir("etherwake")?;
    let mut command = near.program("etherwake", &home);
    command.args(["-i", near.device, &spelled(mac)]);
    stage.run("etherwake", &mut command)?.good()?;
    let call = [&[0xff; 6][..], &mac.repeat(16)].concat();
    let heard = ear.hear(Instant::now() + PATIENCE, |frame| {
        frame[..6] == mac && frame[12..14] == [0x08, 0x42] && frame[14..].starts_with(&call)
    })?;
    heard
        .map(|_| format!("{} hears its own call", spelled(mac)))
        .ok_or_else(|| Failed::new("the call is not heard"))
}

/// A MAC as programs print it.
fn spelled(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

const SMB: &str = "workgroup = LAB
bind interfaces only = yes
private dir = /run/private
lock directory = /run/private
state directory = /run/private
cache directory = /run/private
pid directory = /run/private
ncalrpc dir = /run/private/rpc
log file = /run/private/log
disable spoolss = yes
";
/// Its outside is the loopback and an address that nobody asks: nothing is ever mapped.
const UPNP: &str = "ext_ifname=lo
ext_ip=9.9.9.9
enable_upnp=yes
enable_natpmp=no
uuid=7d2f9c1e-6a51-4d7a-9b1e-0a1b2c3d4e5f
";
const AVAHI: &str = "[server]
host-name=NAME
allow-interfaces=DEVICE
use-ipv6=no
[wide-area]
enable-wide-area=no
[publish]
publish-workstation=no
";
/// A bus for this avahi alone, on which everybody may say everything.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="signal"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
  </policy>
</busconfig>
"#;
const BUS_AND_AVAHI: &str = "mkdir /run/dbus /run/avahi-daemon
dbus-daemon --config-file=$HOME/bus.conf --nofork --nopidfile &
while [ ! -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
avahi-daemon --no-drop-root --no-rlimits --no-chroot -f $HOME/avahi.conf &";
const RESOLVE: &str = "until avahi-resolve -4 -n TARGET.local; do sleep 0.2; done
until avahi-resolve -a ADDRESS; do sleep 0.2; done
wait";
