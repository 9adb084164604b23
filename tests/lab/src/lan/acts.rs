//! The list of rows: name, what it shows, the packages it needs, where it plays.
//!
//! In: nothing. Out: the list. Never: a row in two lanes; two rows in different lanes that can hear each other's question.

use super::{dos, frames, games, ground::Place, guards, services, stage::Stage};
use crate::Failed;

/// One pair of programs.
#[derive(Debug)]
pub struct Act {
    /// Its name, for `--only`.
    pub name: &'static str,
    /// What it shows.
    pub what: &'static str,
    /// Debian packages.
    pub packages: &'static [&'static str],
    /// Where it plays.
    pub places: &'static [Place],
    /// Rows in one lane take turns; lanes run at the same time.
    pub lane: u8,
    /// Plays it and says what was found.
    pub play: fn(&mut Stage<'_>) -> Result<String, Failed>,
}

/// All lanes.
pub const LANES: [u8; 4] = [DOS, GAMES, SERVICES, GUARDS];

/// All rows in the table's order.
pub const ACTS: &[Act] = &[
    Act {
        name: "doom",
        what: "chocolate-doom -localsearch finds chocolate-server",
        packages: &["chocolate-doom", "freedoom"],
        places: BOTH,
        lane: GAMES,
        play: games::doom,
    },
    Act {
        name: "openttd",
        what: "openttd's Search LAN finds openttd -D",
        packages: &["openttd", "openttd-opengfx", "xdotool", "xvfb"],
        places: BOTH,
        lane: GAMES,
        play: games::openttd,
    },
    Act {
        name: "dosbox",
        what: "dosbox ipxnet ping reaches a raw IPX host",
        packages: &["dosbox"],
        places: &[Place::Members],
        lane: DOS,
        play: dos::reaches_a_raw_host,
    },
    Act {
        name: "dosbox-framings",
        what: "dosbox ipxnet ping reaches raw IPX in four framings",
        packages: &["dosbox"],
        places: &[Place::Bridges],
        lane: DOS,
        play: dos::reaches_every_framing,
    },
    Act {
        name: "dosbox-two",
        what: "dosboxes behind two nodes ping each other",
        packages: &["dosbox"],
        places: &[Place::Members],
        lane: DOS,
        play: dos::reaches_another,
    },
    Act {
        name: "dosbox-many",
        what: "several dosboxes on one node, one on another, raw IPX",
        packages: &["dosbox"],
        places: &[Place::Bridges],
        lane: DOS,
        play: dos::several_on_one_node,
    },
    Act {
        name: "dhcp",
        what: "dnsmasq leases to udhcpc",
        packages: &["dnsmasq-base", "udhcpc"],
        places: &[Place::Bridges],
        lane: GUARDS,
        play: guards::lease,
    },
    Act {
        name: "dhcp-guard",
        what: "dnsmasq leases only with the right",
        packages: &["dnsmasq-base", "udhcpc"],
        places: &[Place::Members],
        lane: GUARDS,
        play: guards::lease_needs_the_right,
    },
    Act {
        name: "ra",
        what: "rdisc6 hears radvd",
        packages: &["ndisc6", "radvd"],
        places: &[Place::Bridges],
        lane: GUARDS,
        play: guards::router,
    },
    Act {
        name: "ra-guard",
        what: "radvd is heard only with the right",
        packages: &["ndisc6", "radvd"],
        places: &[Place::Members],
        lane: GUARDS,
        play: guards::router_needs_the_right,
    },
    Act {
        name: "lldp",
        what: "lldpd sees its neighbour only where the network lets it",
        packages: &["lldpd"],
        places: &[Place::Members],
        lane: GUARDS,
        play: guards::neighbours,
    },
    Act {
        name: "pppoe",
        what: "pppoe-discovery finds pppoe-server",
        packages: &["ppp", "pppoe"],
        places: BOTH,
        lane: SERVICES,
        play: services::pppoe,
    },
    Act {
        name: "netbios",
        what: "nmblookup finds nmbd",
        packages: &["samba", "samba-common-bin"],
        places: BOTH,
        lane: SERVICES,
        play: services::netbios,
    },
    Act {
        name: "mdns",
        what: "avahi-resolve finds avahi-daemon, by name and by address",
        packages: &["avahi-daemon", "avahi-utils", "dbus-daemon"],
        places: BOTH,
        lane: SERVICES,
        play: services::mdns,
    },
    Act {
        name: "ssdp",
        what: "upnpc finds miniupnpd",
        packages: &["miniupnpc", "miniupnpd-nftables"],
        places: BOTH,
        lane: SERVICES,
        play: services::ssdp,
    },
    Act {
        name: "arp",
        what: "arping finds an address",
        packages: &["arping"],
        places: BOTH,
        lane: SERVICES,
        play: services::arp,
    },
    Act {
        name: "wake",
        what: "etherwake's call is heard",
        packages: &["etherwake"],
        places: BOTH,
        lane: SERVICES,
        play: services::wake,
    },
    Act {
        name: "frames",
        what: "every kind of frame crosses, once, in order (ours; tcpdump)",
        packages: &["tcpdump"],
        places: BOTH,
        lane: SERVICES,
        play: frames::every_kind,
    },
];

const BOTH: &[Place] = &[Place::Members, Place::Bridges];
const DOS: u8 = 0;
const GAMES: u8 = 1;
const SERVICES: u8 = 2;
const GUARDS: u8 = 3;
