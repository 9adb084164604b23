//! Every limit of the controller, with its arithmetic.
//!
//! Owner: nobody; numbers. A limit that is not here does not exist.

use core::time::Duration;

/// Members that may wait in one network. Each costs its owner a proof of work, and us about 300 bytes.
pub const PENDING_PER_NETWORK: u64 = 10_000;
/// Pools of one network.
pub const POOLS: usize = 16;
/// Managed routes of one network; the wire allows 255.
pub const ROUTES: usize = 128;
/// Name servers of one network.
pub const DNS_SERVERS: usize = 8;
/// Characters of a name or label; the wire allows 255 bytes, four for each.
pub const NAME: usize = 60;
/// Static addresses of one member.
pub const STATIC_IPS: usize = 16;
/// Tags of one member; the wire allows 255.
pub const TAGS: usize = 64;
/// Longest validity of an invite: ten years.
pub const INVITE_SECONDS: u64 = 10 * 365 * 86_400;
/// Addresses of a pool that are tried for one member. Above this fill the pool counts as full.
pub const POOL_PROBES: u32 = 1 << 16;
/// Bytes of directory in one answer: with the rest it stays below the 64 KiB of a message.
pub const DIRECTORY_BYTES: usize = 32 * 1024;
/// Revocations in one answer, newest first: 123 bytes each, 16 KB.
pub const REVOCATIONS: usize = 128;
/// Attempts to decide again when the rows changed meanwhile.
pub const ATTEMPTS: u32 = 16;
/// How long a member waits before it asks again unasked, seconds. Authorization is pushed, so this is only a net.
pub const RETRY_PENDING: u16 = 15;
/// The same for a refused one.
pub const RETRY_REFUSED: u16 = 60;
/// How old a stored `last_seen` may be before it is written again: one write per member and minute at most.
pub const SEEN_AGE: Duration = Duration::from_mins(1);
/// Records in a page of the API unless asked otherwise.
pub const PAGE: usize = 100;
/// Most records in a page.
pub const PAGE_MOST: usize = 1000;
/// Bytes of a request body: flow rules of 128 KiB, each end of a line escaped, beside everything else.
pub const BODY: usize = 320 * 1024;
/// How long the database may take to show that it answers.
pub const READY_PATIENCE: Duration = Duration::from_secs(3);
/// Event streams open at once.
pub const STREAMS: usize = 64;
/// Questions of API and members worked on at once; each may hold a thread that waits for the disk.
pub const API_AT_ONCE: usize = 16;
/// Connections to the API at once.
pub const API_CONNECTIONS: usize = 256;
/// How long a client of the API may take to send its request.
pub const API_PATIENCE: Duration = Duration::from_secs(10);
/// Requests of members worked on at once.
pub const NETCONF_AT_ONCE: usize = 16;
/// Messages on their way to members at once.
pub const PUSHES_AT_ONCE: usize = 64;
/// Members remembered by the pusher. The quietest are forgotten first; they still pull by themselves.
pub const PUSHED_MEMBERS: usize = 100_000;
