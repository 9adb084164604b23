//! Every bound of the engine: queues, tables, retries, timers, each with the arithmetic behind it.
//!
//! Owner: nobody; constants. In: nothing. Out: numbers with their reasons.
//! Never: a limit that is not here. Reaching one is a counted drop, never an allocation.

use core::time::Duration;

// --- Peers -----------------------------------------------------------------------------------------------------

/// Peers a leaf or a controller remembers; the quietest without a session is forgotten first. 4,096 × about 1 KiB = 4 MiB.
pub const PEERS: usize = 4_096;
/// Peers a supernode remembers: each attached node is one. 1,048,576 × about 1 KiB = 1 GiB at most.
pub const PEERS_SUPERNODE: usize = 1 << 20;
/// Peers kept across restarts: 512 × about 130 bytes = 66 KiB of file.
pub const PEERS_SAVED: usize = 512;
/// How often the saved peers are written at most. A restart may miss one minute of acquaintances.
pub const SAVE_PEERS_EVERY: Duration = Duration::from_mins(1);
/// Frames held for one peer that is not ready yet: 64 × 1,514 bytes = 97 KiB; a TCP window's first flight is 10.
pub const HELD_FRAMES_PER_PEER: usize = 64;
/// Bytes of frames held for all peers together: 4 MiB of an idle budget of 32 MiB.
pub const HELD_BYTES: usize = 4 << 20;
/// Oldest frame worth sending once its peer is ready: a TCP SYN is repeated after 1 s, ARP after 1 s, so 5 s of cold start suffice.
pub const HELD_FOR: Duration = Duration::from_secs(5);
/// Bytes of frames that wait at a lane until the node has dealt with their senders' certificates: 700 full frames.
pub const EARLY_BYTES: usize = 1 << 20;
/// Bytes of control messages of one peer that wait while a signature of it is checked: 2,000 certificates, as many as
/// its budget admits at once.
pub const PROVING_BYTES_PER_PEER: usize = 512 << 10;
/// The same of all peers together.
pub const PROVING_BYTES: usize = 4 << 20;
/// The same of the controller of a network that we have joined: 20,000 revocations at once.
pub const PROVING_BYTES_OF_CONTROLLER: usize = 4 << 20;
/// Questions of the device (ARP, neighbour discovery) remembered for members that join just now, per network.
pub const QUESTIONS_PER_NETWORK: usize = 16;
/// Those of all networks together: 64 × 256 bytes = 16 KiB.
pub const QUESTIONS: usize = 64;
/// A longer question is not remembered: ARP has 42 bytes, a solicitation with two options 102, and padding or tags come to either.
pub const QUESTION_BYTES: usize = 256;
/// How long it is remembered: the kernel asks again after 1 s.
pub const QUESTION_FOR: Duration = Duration::from_secs(1);
/// A direct peer without frames for this long lapses (its session is dropped without a word lost).
pub const LAPSE_DIRECT: Duration = Duration::from_mins(10);
/// A relayed or controller peer without frames for this long lapses.
pub const LAPSE_OTHER: Duration = Duration::from_mins(5);
/// A controller that a member has had no question for lapses: what it has to say it brings by itself.
pub const LAPSE_CONTROLLER: Duration = Duration::from_mins(1);
/// When sessions move to other workers, the renewals are spread over this time.
pub const MOVE_WITHIN: Duration = Duration::from_secs(2);
/// A leaf unheard for this long is dropped by a supernode: three keepalives of 30 s, a rekey round and a margin.
pub const LAPSE_AT_SUPERNODE: Duration = Duration::from_mins(3);
/// A peer nobody asks for and without a session is forgotten after this.
pub const FORGET_AFTER: Duration = Duration::from_hours(1);

// --- Handshakes ------------------------------------------------------------------------------------------------

/// Handshakes of our own in flight. A supernode restart makes each of its siblings one; a leaf has one per peer.
pub const INITIATIONS: usize = 1_024;
/// Tries of a handshake, whose wait doubles with every second: 2 × (0.25 + 0.5 + 1 + 2) + 0.25 = 7.75 s until given up.
pub const INIT_TRIES: u8 = 8;
/// Wait after the first try.
pub const INIT_FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait between two tries.
pub const INIT_LONGEST_WAIT: Duration = Duration::from_secs(8);
/// After giving up on a leaf that frames still want, the next attempt waits this long.
pub const INIT_REST: Duration = Duration::from_secs(5);
/// Half-received initiations (one of two parts): 256 × 1,200 bytes = 300 KiB, only with a proven cookie.
pub const INIT_PARTS: usize = 256;
/// How long a first part waits for its second: both are sent back to back, so a second is generous.
pub const INIT_PART_FOR: Duration = Duration::from_secs(1);
/// First messages whose answer is remembered: 1,024 × 1,162 bytes = 1.2 MiB at most, only with a proven cookie.
pub const ANSWERED: usize = 1024;
/// For how long: the tries of one attempt that cross their answers, 0.25 + 0.5 + 1 + 2 s and a second.
pub const ANSWERED_FOR: Duration = Duration::from_secs(5);
/// Initiations being answered on the work pool: 256 × (0.3 ms of curve and lattice work + 10 ms proof of work) = 2.6 s of one core.
pub const RESPONDING: usize = 256;
/// Sources remembered by the token bucket: 4,096 × 48 bytes = 200 KiB. A full table forgets the oldest.
pub const BUCKETS: usize = 4_096;
/// First messages one source may send at once: 1,024 nodes behind one relay or NAT after its restart.
pub const BUCKET_DEPTH: u32 = 1_024;
/// First messages one source may send per second after that: 256 × 0.3 ms = 8 % of one core.
pub const BUCKET_PER_SECOND: u32 = 256;
/// Keys are renewed after this (SPEC: 120 s).
pub const REKEY_AFTER: Duration = Duration::from_mins(2);
/// Keys are erased after this (SPEC: 180 s).
pub const KEYS_DIE_AFTER: Duration = Duration::from_mins(3);
/// Keys that were replaced are erased so long after the first datagram under the new ones was opened.
pub const REPLACED_KEYS_LINGER: Duration = Duration::from_secs(10);
/// Tries of a rekey inside the session before a handshake outside of it.
pub const REKEY_TRIES: u8 = 3;
/// The end that did not begin the session renews it this much later, should the other have failed to.
pub const REKEY_GRACE: Duration = Duration::from_secs(20);
/// A rekey without answer is tried again after this: 120 + 5 × 10 = 170 s leaves one more full handshake before 180 s.
pub const REKEY_RETRY: Duration = Duration::from_secs(10);

// --- Paths -----------------------------------------------------------------------------------------------------

/// Candidate endpoints of one peer: 8 local + 4 reflexive + 4 heard.
pub const CANDIDATES: usize = 16;
/// Endpoints in one PATHS or RENDEZVOUS message.
pub const ENDPOINTS: usize = 12;
/// When probes of a new candidate leave, after it became known. Both ends start within half a round trip of each other.
pub const PROBE_AT: [Duration; 6] = [
    Duration::from_millis(0),
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(350),
    Duration::from_millis(750),
    Duration::from_millis(1_500),
];
/// A candidate is silent when this passed after its last probe.
pub const PROBE_SILENT_AFTER: Duration = Duration::from_secs(2);
/// First pause between two rounds of probes of a relayed peer in use; doubles up to [`PROBE_ROUND_LONGEST`].
pub const PROBE_ROUND_FIRST: Duration = Duration::from_secs(5);
/// Rounds go on while a frame went within this.
pub const PROBE_WHILE_USED: Duration = Duration::from_mins(1);
/// Longest pause between two rounds of probes.
pub const PROBE_ROUND_LONGEST: Duration = Duration::from_mins(5);
/// Wait for the answer to a probe that checks a path in use.
pub const PROBE_CHECK_WAIT: Duration = Duration::from_millis(500);
/// Unanswered checks after which a path is dead: sending unheard 1.5 s + 2 × 0.5 s = 2.5 s, under the 3 s promised.
pub const PROBE_CHECKS: u8 = 2;
/// Sending this long without hearing makes a check.
pub const UNHEARD: Duration = Duration::from_millis(1_500);
/// Silence of a path in use after which a keepalive leaves: many NATs forget a UDP mapping after 30 s.
pub const KEEPALIVE: Duration = Duration::from_secs(28);
/// The end that did not begin the session waits this much longer with it: the other's PING makes it send a PONG.
pub const KEEPALIVE_GRACE: Duration = Duration::from_secs(2);
/// A rendezvous is asked for again after this at the earliest, per peer.
pub const RENDEZVOUS_EVERY: Duration = Duration::from_secs(10);
/// Pairs a supernode remembers having introduced: 65,536 × 40 bytes = 2.6 MiB.
pub const RENDEZVOUS_PAIRS: usize = 65_536;
/// Probes of one train of a trial, and of as many single ones against it.
pub const CANARY_TRAIN: usize = 4;
/// Rounds of a trial whose first train did not come back whole.
pub const CANARY_ROUNDS: usize = 4;
/// Trains are given up when of 16 probes each so many more came back singly: four standard deviations on a path that
/// loses 10 % each way. Where only the first datagram of a train arrives, 12 more come back.
pub const CANARY_MORE: usize = 9;
/// A path is tried this long after it was chosen: the search for its MTU comes first.
pub const CANARY_AFTER: Duration = Duration::from_secs(2);
/// Wait for the answers to a train, or to the last single probe.
pub const CANARY_WAIT: Duration = Duration::from_millis(500);
/// Pause between single probes, so that they are no train.
pub const CANARY_GAP: Duration = Duration::from_millis(20);
/// Trains that were given up are tried again after this.
pub const CANARY_AGAIN: Duration = Duration::from_mins(5);
/// Reflections remembered, one per supernode and path.
pub const REFLECTIONS: usize = 32;
/// Attempts kept for `why`, per peer.
pub const TRIED: usize = 24;

// --- Supernodes ------------------------------------------------------------------------------------------------

/// Supernodes of a world that a node attaches to; a world may list more, the nearest are used.
pub const SUPERNODES: usize = 16;
/// Tries of one handshake with a supernode, 0.25 + 0.5 + 0.5 + 1 s, before it rests a while.
pub const ATTACH_TRIES: u8 = 4;
/// A supernode that does not answer is tried again after this, doubling.
pub const ATTACH_FIRST: Duration = Duration::from_secs(1);
/// Longest pause between two tries of a supernode: one that comes back carries again within 10 + 2 s.
pub const ATTACH_LONGEST: Duration = Duration::from_secs(10);
/// A claim without answer is repeated after this.
pub const CLAIM_RETRY: Duration = Duration::from_secs(2);
/// A supernode whose round trip is better by this factor (percent) takes over; smaller changes do not flap.
pub const NEARER_PERCENT: u32 = 70;
/// Questions to the host program open at once.
pub const TICKETS: usize = 8_192;
/// Relayed bytes per second and source at a supernode: 10 Gbit/s. A relay that has too much to do shares by itself.
pub const RELAY_BYTES_PER_SECOND: u64 = 1_250_000_000;

// --- WHOIS -----------------------------------------------------------------------------------------------------

/// Addresses asked for at once.
pub const WHOIS_OPEN: usize = 1_024;
/// Who waits for one address.
pub const WHOIS_WAITERS: usize = 64;
/// When a question is repeated, to all supernodes: 0.5 + 1 + 2 + 4 = 7.5 s until "no such peer".
pub const WHOIS_FIRST_WAIT: Duration = Duration::from_millis(500);
/// Tries of one question.
pub const WHOIS_TRIES: u8 = 4;
/// WHOIS questions a supernode answers per node and second: the first broadcast on a network of a thousand asks for all of
/// them, and its frames wait for five seconds. 2,000 x 120 bytes = 2 Mbit/s, inside the session.
pub const WHOIS_PER_SECOND: u32 = 2_000;

// --- Work and commands -----------------------------------------------------------------------------------------

/// Pieces of slow work open at once.
pub const WORK_OPEN: usize = 2_048;
/// Commands waiting for something (ping, push).
pub const COMMANDS_OPEN: usize = 4_096;
/// Longest wait of one ping.
pub const PING_LONGEST: Duration = Duration::from_mins(1);
/// How long a push tries to reach its member.
pub const PUSH_FOR: Duration = Duration::from_secs(10);
/// Control messages held for a peer without session, per peer.
pub const HELD_MESSAGES: usize = 16;
/// Steps of engine and shard answering each other within one call; more is a bug and stops there, counted.
pub const QUIET_STEPS: usize = 100_000;
/// How long a supernode waits for its siblings' answers to a WHOIS.
pub const SIBLING_WAIT: Duration = Duration::from_millis(400);
/// Longest pause between two introductions of one pair.
pub const RENDEZVOUS_LONGEST: Duration = Duration::from_mins(5);
/// A claim that was refused is tried again after this: an operator may have made room.
pub const CLAIM_REFUSED: Duration = Duration::from_mins(10);

// --- Selftest --------------------------------------------------------------------------------------------------

/// A run lasts this long at most: 256 frames at 8 each 10 ms take 0.3 s, a direct path is waited for 2.5 s, and questions are repeated.
pub const SELFTEST_FOR: Duration = Duration::from_secs(20);
/// Longest wait of one who asks for a test.
pub const SELFTEST_LONGEST: Duration = Duration::from_mins(2);
/// A result is kept this long, should its message be lost.
pub const SELFTEST_KEPT: Duration = Duration::from_secs(10);
/// Stragglers are waited for this long: longer than any path's jitter.
pub const SELFTEST_GRACE: Duration = Duration::from_millis(300);
/// A question without an answer is repeated after this.
pub const SELFTEST_AGAIN: Duration = Duration::from_millis(400);
/// Unanswered questions, while pings are answered, after which the other end is taken to know no selftest: 3.2 s.
pub const SELFTEST_ASKS: u32 = 8;
/// Frames leave in groups this far apart.
pub const SELFTEST_EVERY: Duration = Duration::from_millis(10);
/// Frames of one group: 8 of 9,014 bytes are 72 KB, a third of a socket's usual buffer.
pub const SELFTEST_AT_ONCE: usize = 8;
/// A direct path is waited for this long: probes take 1.5 s, and frames that change paths may change places.
pub const SELFTEST_DIRECT_WITHIN: Duration = Duration::from_millis(2_500);

mod data;
mod groups;
mod mtu;

pub use data::*;
pub use groups::*;
pub use mtu::*;
