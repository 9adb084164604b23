//! The bounds of the data plane and of the networks room.
//!
//! Owner: nobody; constants. In: nothing. Out: numbers with their reasons.
//! Never: a limit of shard, switch, fragments or networks that is not here.

use core::time::Duration;

// --- Frames ----------------------------------------------------------------------------------------------------

/// Fragments of one frame on a network whose MTU is up to 1,500: 1,538 / 467 = 4 on the floor path, relayed 4.
pub const FRAME_FRAGMENTS: usize = 8;
/// Fragments of one frame on a network with a larger MTU: 9,038 / 1,159 = 8 on a path of 1,200, relayed 9; on the floor path 7,472 bytes go.
pub const FRAME_FRAGMENTS_LARGE: usize = 16;
/// Fragments of one control message: 64 × 1,159 = 74 KiB, more than a message's length field can say; 29 KiB on the floor path.
pub const CONTROL_FRAGMENTS: usize = 64;
/// Messages in assembly per peer. Ids are consecutive, so the 33rd takes the place of the oldest.
pub const ASSEMBLIES_PER_PEER: usize = 32;
/// Bytes in assembly per peer: two of the largest control messages.
pub const ASSEMBLY_BYTES_PER_PEER: usize = 160 << 10;
/// Messages in assembly for all peers together.
pub const ASSEMBLIES: usize = 1_024;
/// Bytes in assembly for all peers together: 4 MiB of an idle budget of 32 MiB.
pub const ASSEMBLY_BYTES: usize = 4 << 20;
/// Buffers larger than this are not kept for the next message: 16 fragments of 1,472.
pub const ASSEMBLY_BUFFER_KEPT: usize = 24 << 10;
/// Room of all buffers kept for the next message: 1 MiB, 40 of the largest.
pub const ASSEMBLY_KEPT: usize = 1 << 20;
/// How long a message may be incomplete. Siblings leave back to back; 1 s covers a queue of 1 s (bufferbloat).
pub const ASSEMBLY_FOR: Duration = Duration::from_secs(1);
/// Smallest TCP payload we cut a super frame down to, so that a segment needs no fragment (RFC 9293: default MSS 536).
pub const SEGMENT_FLOOR: usize = 536;
/// Bytes of messages on the path of most people, UDP over IPv4 in 1,500 bytes: 1,472 less 32.
pub const USUAL_ROOM: usize = 1_440;
/// VLAN tags beyond the MTU: 802.1Q and Q-in-Q, 4 bytes each.
pub const TAG_BYTES: usize = 8;

// --- Switch ----------------------------------------------------------------------------------------------------

/// Members per network: 65,536 × about 200 bytes = 13 MiB.
pub const MEMBERS: usize = 65_536;
/// Learned MACs per network: hardware switches of an office hold 8,192.
pub const LEARNED: usize = 8_192;
/// Learned MACs per bridging member.
pub const LEARNED_PER_MEMBER: usize = 4_096;
/// A learned MAC is forgotten after this silence (IEEE 802.1D: 300 s).
pub const LEARNED_FOR: Duration = Duration::from_mins(5);
/// A station that changes its place more often than this is held: a laptop that roams does so once in a while.
pub const FLAP_MOVES: u8 = 5;
/// Within this time.
pub const FLAP_WITHIN: Duration = Duration::from_secs(10);
/// A station that flaps stays at one place for this long: twice the time in which a loop is found and cut.
pub const FLAP_HOLD: Duration = Duration::from_secs(10);
/// Broadcasts, multicasts and unknown unicasts per second and member: a game of 16 with 35 frames a second each makes 560.
pub const STORM_FRAMES: u64 = 2_000;
/// Their bytes per second and member: a video stream of 20 Mbit/s.
pub const STORM_BYTES: u64 = 2_500_000;
/// Seconds of either that may be saved up: 4,000 frames back to back pass.
pub const STORM_SAVED: u64 = 2;
/// How often a bridging member probes for loops: 60 bytes a second on its LAN, nothing on the Internet.
pub const LOOP_PROBE_EVERY: Duration = Duration::from_secs(1);
/// For how long a probe may come back: a LAN takes milliseconds, a relay's detour and a busy machine the rest.
pub const LOOP_TOKEN_FOR: Duration = Duration::from_secs(3);
/// Probes that are remembered as sent: one a second for `LOOP_TOKEN_FOR`, and one.
pub const LOOP_TOKENS: usize = 4;
/// Probes heard that are looked at, per network and second: eight other members on one LAN.
pub const LOOP_PROBES_PER_SECOND: u8 = 8;
/// Members that loops are remembered with, per network.
pub const LOOP_PARTNERS: usize = 16;
/// A member that is cut off is connected again after this without proof of a loop: four probes lost in a row are no accident.
pub const LOOP_CLEAR: Duration = Duration::from_secs(5);
/// How often both ends of a loop say that it began or ended, a second apart.
pub const LOOP_WORDS: u8 = 3;
/// Without a station behind the device for this long, nothing is probed for: as long as a learned MAC is remembered.
pub const BRIDGING_FOR: Duration = Duration::from_mins(5);
/// The engine hears that there are stations behind the device at most this often.
pub const BRIDGING_EVERY: Duration = Duration::from_secs(30);
/// An endpoint that leads into the network itself is not tried for this long.
pub const TUNNEL_FOR: Duration = Duration::from_mins(1);
/// The engine hears of the same such endpoint at most this often.
pub const TUNNEL_EVERY: Duration = Duration::from_secs(1);
/// Troubles remembered per network, so that each is told once: 64 × 48 bytes.
pub const TROUBLES: usize = 64;
/// A trouble is told anew after a pause of this length.
pub const TROUBLE_PAUSE: Duration = Duration::from_secs(10);
/// A trouble that lasts is told again after this.
pub const TROUBLE_AGAIN: Duration = Duration::from_mins(10);
/// Members that a network's rules may name for copies of one frame: a capture, an inspector, and some to spare.
pub const COPIES: usize = 8;
/// Pairs a relay remembers having told the engine about: 4,096 × 24 bytes.
pub const RELAY_PAIRS: usize = 4_096;
/// The engine hears of the same relayed pair at most this often.
pub const RELAY_PAIR_EVERY: Duration = Duration::from_secs(10);
/// The engine hears of the same missing destination at most this often.
pub const NO_ROUTE_EVERY: Duration = Duration::from_secs(1);
/// The engine hears of datagrams from the same other endpoint at most this often, per peer.
pub const HEARD_EVERY: Duration = Duration::from_secs(1);
/// The engine hears that nothing came back at most this often, per peer.
/// Shorter than the silence that makes a check, so that none is noticed late.
pub const WAITING_EVERY: Duration = Duration::from_secs(1);
/// The engine hears of a sender without certificate at most this often, per peer.
pub const UNCERTIFIED_EVERY: Duration = Duration::from_millis(200);
/// Hops of a fresh RELAY (SPEC: 3).
pub const RELAY_HOPS: u8 = 3;
/// Most a source may have saved up of its relay quota: 5 ms of 10 Gbit/s, two full socket buffers.
pub const RELAY_BURST: u64 = 6 << 20;
/// An overloaded relay shares what it can carry anew after this.
pub const RELAY_WINDOW: Duration = Duration::from_millis(5);
/// Bytes per source and window that an overloaded relay still carries: 26 Mbit/s.
pub const RELAY_SHARE_LEAST: u64 = 16_384;

// --- Networks --------------------------------------------------------------------------------------------------

/// Networks joined at once.
pub const NETWORKS: usize = 64;
/// First wait for a controller's answer; doubles.
pub const NETCONF_FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait between two questions while there is no answer.
pub const NETCONF_LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Without an answer for this long, the status is unreachable: a cold handshake through a relay takes 0.5 s, so 4 s covers three tries.
pub const NETCONF_UNREACHABLE: Duration = Duration::from_secs(4);
/// A waiting member asks again after this when no push came.
pub const NETCONF_PENDING: Duration = Duration::from_secs(20);
/// A denied member asks again after this.
pub const NETCONF_DENIED: Duration = Duration::from_mins(1);
/// A member asks for news after this when no hint came: 1 packet in 10 minutes.
pub const NETCONF_REFRESH: Duration = Duration::from_mins(10);
/// Spread of the members' questions after a hint: 1,000 members in 1 s = 1 ms of controller time each.
pub const HINT_JITTER: Duration = Duration::from_secs(1);
/// Share of that spread per listed member: ten members ask within 10 ms.
pub const HINT_PER_MEMBER: Duration = Duration::from_millis(1);
/// First wait for a member's certificate after ours was sent; doubles.
pub const CREDENTIAL_FIRST_WAIT: Duration = Duration::from_millis(300);
/// A certificate sent less than this ago may still be underway: longer than any path takes.
pub const CREDENTIAL_UNDERWAY: Duration = Duration::from_secs(2);
/// Tries to exchange certificates with one member.
pub const CREDENTIAL_TRIES: u8 = 6;
/// The same peer gets our certificate on its demand at most this often.
pub const CREDENTIAL_EVERY: Duration = Duration::from_millis(200);
/// A peer may bring a certificate, revocation or world this often: 250 × 41 us = 1 % of the worker that checks the signatures.
pub const SIGNED_EVERY: Duration = Duration::from_millis(4);
/// So much of that may be used ahead: 2,000 at once, as when a thousand members speak through one replicator for the first time.
pub const SIGNED_AHEAD: Duration = Duration::from_secs(8);
/// Who brought a signature that does not hold gets no other one checked for this long: 8 us of work a second each.
pub const BAD_SIGNATURE_REST: Duration = Duration::from_secs(5);
/// Certificates kept per network: 65,536 × about 300 bytes = 20 MiB at most.
pub const CERTIFICATES: usize = 65_536;
/// Revocations kept per network; the controller repeats them with each epoch.
pub const REVOCATIONS: usize = 16_384;
