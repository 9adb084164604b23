//! The bounds of path MTU: sizes that are tried, how often, how long an answer may take.
//!
//! Owner: nobody; constants. In: nothing. Out: numbers with their reasons.
//! Never: a size that is not a UDP payload.

use core::time::Duration;

/// UDP payload every path is taken to carry: 576 bytes of IPv4 (RFC 791) less 60 of header and 8 of UDP.
pub const MTU_FLOOR: u16 = 508;
/// UDP payload of a path that a handshake went over: INIT has 1,200.
pub const MTU_HANDSHAKE: u16 = 1_200;
/// IP packets on common links, largest first: jumbo, FDDI, Ethernet, `PPPoE`, two tunnels, IPv6's least, what a handshake needs, old serial lines.
pub const MTU_LADDER: [u16; 11] = [
    9_000, 6_144, 4_352, 2_304, 1_500, 1_480, 1_420, 1_340, 1_280, 1_000, 700,
];
/// Bytes of IPv4 and UDP header.
pub const HEADERS_V4: u16 = 28;
/// Bytes of IPv6 and UDP header.
pub const HEADERS_V6: u16 = 48;
/// Largest outer datagram of a relayed one: wherever the relay passes it on, at most 4 pieces on a path of 508.
pub const MTU_RELAYED: u16 = 1_472;
/// A search ends when what passes and what does not are this near.
pub const MTU_STEP: u16 = 4;
/// Sizes tried at once between what passes and what does not: 8,464 / 8 / 8 / 8 / 8 is 2, so four volleys find any size.
pub const MTU_VOLLEY: usize = 7;
/// Volleys of one search: the usual sizes, a doubt, the edge, four or five of [`MTU_VOLLEY`], and as many again where some got lost.
pub const MTU_VOLLEYS: u8 = 20;
/// Volleys in a row of which nothing came back, after which a search is given up.
pub const MTU_SILENT: u8 = 3;
/// Shortest time an answer has; a path's own is three round trips.
pub const MTU_WAIT_SHORTEST: Duration = Duration::from_millis(200);
/// Longest time an answer has.
pub const MTU_WAIT_LONGEST: Duration = Duration::from_millis(700);
/// What was overtaken by a probe sent later may still come this much later, at least; a quarter of the round trip where that is more.
pub const MTU_GRACE_SHORTEST: Duration = Duration::from_millis(15);
/// And at most.
pub const MTU_GRACE_LONGEST: Duration = Duration::from_millis(100);
/// Datagrams above this say that somebody has more to send than a datagram of the floor takes: half of the floor and a little.
pub const MTU_WIDE: u16 = 256;
/// The engine hears of wide datagrams at most this often, per peer.
pub const WIDE_EVERY: Duration = Duration::from_millis(250);
/// Bytes between two of those notes that make a path busy: 2 Mbit/s. A check's 1.5 KiB are 2.3 % of it.
pub const WIDE_BUSY: u32 = 64 << 10;
/// The size in use of a busy path is checked this often. A hole is found after 0.25 s and two round trips, before TCP has repeated twice.
pub const MTU_CHECK_BUSY: Duration = Duration::from_millis(250);
/// The size in use of another path is checked this often while wide datagrams go.
pub const MTU_CHECK: Duration = Duration::from_secs(1);
/// A busy path that carried more within [`MTU_BEST_FOR`] is tried for it this often.
pub const MTU_RAISE_BUSY: Duration = Duration::from_millis(600);
/// Another path that carried more is tried for it this often while wide datagrams go.
pub const MTU_RAISE: Duration = Duration::from_millis(1_500);
/// How long a path that carried more is believed to do so again.
pub const MTU_BEST_FOR: Duration = Duration::from_mins(10);
/// A measured path is tried for more after this, when next used (RFC 8899 `PMTU_RAISE_TIMER`: 600 s).
pub const MTU_AGAIN: Duration = Duration::from_mins(10);
