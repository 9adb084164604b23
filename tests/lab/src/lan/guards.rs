//! What only some members may do: serve leases, announce routers; and what a network eats unless told otherwise.
//!
//! In: a stage. Out: what got through, before and after the permission. Never: a permission left behind.

use super::{
    ground::Seat,
    stage::{PATIENCE, Stage},
};
use crate::{
    Failed, Process,
    zt::{Node, until},
};

/// `dnsmasq` in one office leases an address to `udhcpc` in the other.
pub fn lease(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let _server = dnsmasq(stage)?;
    udhcpc(stage, PATIENT)?.ok_or_else(|| Failed::new("udhcpc has no lease"))
}

/// `dnsmasq` on a member without the right: its offers are dropped, until the right is given.
pub fn lease_needs_the_right(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let _server = dnsmasq(stage)?;
    let before = drops(&stage.ground.nodes[1], "dhcp-server")?;
    if let Some(lease) = udhcpc(stage, "2")? {
        return Err(Failed::new(format!("a lease without the right: {lease}")));
    }
    dropped_since(stage, "dhcp-server", before)?;
    right(stage, "dhcp-server=true")?;
    let lease = udhcpc(stage, PATIENT);
    right(stage, "dhcp-server=false")?;
    let lease = lease?.ok_or_else(|| Failed::new("no lease with the right either"))?;
    Ok(format!("nothing without the right, with it {lease}"))
}

/// `rdisc6` in one office hears `radvd` in the other.
pub fn router(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let _server = radvd(stage)?;
    rdisc6(stage, PATIENT)?.ok_or_else(|| Failed::new("rdisc6 hears no router"))
}

/// `radvd` on a member without the right: its advertisements are dropped, until the right is given.
pub fn router_needs_the_right(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let before = drops(&stage.ground.nodes[1], "router-advertisement")?;
    let _server = radvd(stage)?;
    if let Some(prefix) = rdisc6(stage, "2")? {
        return Err(Failed::new(format!("a router without the right: {prefix}")));
    }
    dropped_since(stage, "router-advertisement", before)?;
    right(stage, "router-advertisement=true")?;
    let prefix = rdisc6(stage, PATIENT);
    right(stage, "router-advertisement=false")?;
    let prefix = prefix?.ok_or_else(|| Failed::new("no router with the right either"))?;
    Ok(format!("nothing without the right, with it {prefix}"))
}

/// `lldpd` on both: neighbours only where the network passes link-local groups.
pub fn neighbours(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let (near, far) = (stage.pair.asks, stage.pair.answers);
    let mut daemons = Vec::new();
    for (role, seat) in [("lldpd-far", far), ("lldpd-near", near)] {
        let home = stage.dir(role)?;
        let often = LLDP_OFTEN.replace("NAME", &lldp_name(&seat));
        let serve = format!("{LLDPD} -I {} &\n{often}", seat.device);
        let mut daemon = stage.start(role, &mut seat.script(&serve, &home))?;
        Stage::until_says(&mut daemon, "asked for the neighbours")?;
        daemons.push(daemon);
    }
    let [a, b, ..] = &stage.ground.nodes;
    let eaten = [drops(a, LINK_LOCAL)?, drops(b, LINK_LOCAL)?];
    until(PATIENCE, "no LLDP frame is eaten by default", || {
        Ok(drops(a, LINK_LOCAL)? > eaten[0] && drops(b, LINK_LOCAL)? > eaten[1])
    })?;
    let name = lldp_name(&far);
    let near = &mut daemons[1];
    if near.log().contains(&name) {
        return Err(Failed::new("a neighbour without the network's leave"));
    }
    link_local(stage, "link-local-groups=true")?;
    let seen = Stage::until_says(near, &name);
    link_local(stage, "link-local-groups=false")?;
    seen.map(|()| "nobody by default, the neighbour with link-local-groups=true".to_owned())
}

fn dnsmasq(stage: &mut Stage<'_>) -> Result<Process, Failed> {
    let far = stage.pair.answers;
    let [a, b, c, _] = far.ip.octets();
    let home = stage.dir("dnsmasq")?;
    let mut command = far.program("dnsmasq", &home);
    command
        .args([
            "-k",
            "-p",
            "0",
            "-C",
            "/dev/null",
            "--user=root",
            "--pid-file=",
        ])
        .args(["--bind-interfaces", "--no-ping", "--dhcp-authoritative"])
        .args([
            "--no-resolv",
            "--no-hosts",
            "--log-facility=-",
            "-i",
            far.device,
        ])
        .arg(format!("--dhcp-range={a}.{b}.{c}.150,{a}.{b}.{c}.199,1h"))
        .arg(format!("--dhcp-leasefile={}/leases", home.display()));
    let mut server = stage.start("dnsmasq", &mut command)?;
    Stage::until_says(&mut server, "sockets bound")?;
    Ok(server)
}

/// Asks for a lease so many times, a second apart; takes it without touching the device.
fn udhcpc(stage: &mut Stage<'_>, tries: &str) -> Result<Option<String>, Failed> {
    let near = stage.pair.asks;
    let home = stage.dir("udhcpc")?;
    let script = stage.file(
        "udhcpc/script",
        "#!/bin/sh\n[ \"$1\" != bound ] || echo \"leased $ip from $serverid\"\n",
    )?;
    std::process::Command::new("chmod")
        .arg("+x")
        .arg(&script)
        .status()?;
    let mut command = near.program("udhcpc", &home);
    command
        .args(["-f", "-q", "-n", "-T", "1", "-t", tries, "-i", near.device])
        .arg("-s")
        .arg(script);
    let said = stage.run("udhcpc", &mut command)?.stdout;
    let lease = said.lines().find_map(|line| line.strip_prefix("leased "));
    let server = stage.pair.answers.ip.to_string();
    Ok(lease
        .filter(|lease| lease.ends_with(&server))
        .map(str::to_owned))
}

fn radvd(stage: &mut Stage<'_>) -> Result<Process, Failed> {
    let far = stage.pair.answers;
    let home = stage.dir("radvd")?;
    // No default route and nothing on-link: what hears it stays as it is.
    let config = format!(
        "interface {} {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultLifetime 0;
         prefix {PREFIX} {{ AdvOnLink off; AdvAutonomous off; }}; }};",
        far.device
    );
    stage.file("radvd/radvd.conf", &config)?;
    let serve = "exec radvd -n -d 3 -m stderr -C $HOME/radvd.conf -p /run/radvd.pid";
    stage.start("radvd", &mut far.script(serve, &home))
}

fn rdisc6(stage: &mut Stage<'_>, tries: &str) -> Result<Option<String>, Failed> {
    let near = stage.pair.asks;
    let home = stage.dir("rdisc6")?;
    let mut command = near.program("rdisc6", &home);
    command.args(["-1", "-r", tries, "-w", "1000", near.device]);
    let said = stage.run("rdisc6", &mut command)?.stdout;
    let from = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("from "));
    Ok(from
        .filter(|_| said.contains(PREFIX))
        .map(|from| format!("{PREFIX} from {from}")))
}

/// The name by which a seat's `lldpd` goes.
fn lldp_name(seat: &Seat<'_>) -> String {
    format!("lldp-{}", seat.ip.octets()[3])
}

/// Gives or takes a right of the one who answers, at home.
fn right(stage: &Stage<'_>, change: &str) -> Result<(), Failed> {
    let ground = stage.ground;
    let address = ground.nodes[1].address()?;
    ground
        .master
        .ask(&["member", "set", &ground.network.id, &address, change])
        .map(|_| ())
}

fn link_local(stage: &Stage<'_>, change: &str) -> Result<(), Failed> {
    let ground = stage.ground;
    ground
        .master
        .ask(&["network", "set", &ground.network.id, change])
        .map(|_| ())
}

/// Waits until the one who answers, at home, has dropped more for this reason: silence alone would prove nothing.
fn dropped_since(stage: &Stage<'_>, reason: &str, before: u64) -> Result<(), Failed> {
    let otherwise = format!("nothing was dropped as {reason}, so nothing was sent");
    until(PATIENCE, &otherwise, || {
        Ok(drops(&stage.ground.nodes[1], reason)? > before)
    })
    .map(|_| ())
}

/// How many frames a node has dropped for a reason.
fn drops(node: &Node, reason: &str) -> Result<u64, Failed> {
    Ok(node.ask(&["counters"])?["drops"][reason]
        .as_u64()
        .unwrap_or(0))
}

const PREFIX: &str = "fd77:77:77:77::/64";
/// Tries, a second apart.
const PATIENT: &str = "15";
const LINK_LOCAL: &str = "reserved-group";
const LLDPD: &str = "mkdir /run/lldpd
lldpd -d -u /run/lldpd.socket -O /dev/null";
const LLDP_OFTEN: &str =
    "until lldpcli -u /run/lldpd.socket configure system hostname NAME; do sleep 0.1; done
echo asked for the neighbours
while :; do
    lldpcli -u /run/lldpd.socket update
    lldpcli -u /run/lldpd.socket show statistics summary
    lldpcli -u /run/lldpd.socket show neighbors
    sleep 0.3
done";
