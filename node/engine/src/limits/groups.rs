//! The bounds of subscriptions to multicast groups and of replication.
//!
//! Owner: nobody; constants. In: nothing. Out: numbers with their reasons.
//! Never: a group forgotten sooner than a router would forget it.

use core::time::Duration;

/// A list of groups that changes again this soon waits, so that a program that joins twenty groups tells once or twice.
pub const SUBSCRIBE_EVERY: Duration = Duration::from_millis(200);
/// A list is repeated after this when nobody said that it came; doubles.
pub const SUBSCRIBE_FIRST_WAIT: Duration = Duration::from_millis(300);
/// The longest wait for that; a session that is dead has ended after six of these.
pub const SUBSCRIBE_LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The kernel is asked at most this often what the device listens to.
pub const GROUPS_LOOK_EVERY: Duration = Duration::from_millis(100);
/// A group that a report named is kept for this until the kernel's list names it, too: many times what the look takes.
pub const GROUP_UNCONFIRMED_FOR: Duration = Duration::from_secs(10);
/// A group behind a bridge is forgotten after this: 2 x 125 s between queries and 10 s for the answer (RFC 3376 §8.4).
pub const GROUP_HEARD_FOR: Duration = Duration::from_secs(260);
/// A station left a group behind a bridge: others have this to answer the router's question (RFC 3376 §8.8: 2 x 1 s).
pub const GROUP_LEFT_AFTER: Duration = Duration::from_secs(2);
/// Replicators that one frame is shared with: 8 x 128 members are more than a thousand.
pub const REPLICATORS_USED: usize = 8;
/// Replicators that a member keeps sessions with, so that the first frame after a quiet hour finds one.
pub const REPLICATORS_KEPT: usize = 2;
/// How often it looks whether it still has them.
pub const REPLICATORS_KEPT_EVERY: Duration = Duration::from_secs(20);
/// Fewest members in a share: below this, the frame itself is most of what a share costs.
pub const SHARE_LEAST: usize = 16;
/// A replicator shows at most this often that it is there.
pub const REPLICATOR_SHOWS_EVERY: Duration = Duration::from_millis(100);
/// A replicator that was sent something and is unheard for this gets no share: five times the above, and a long round trip.
pub const REPLICATOR_SILENT: Duration = Duration::from_millis(500);
/// Frames wait this long for a replicator to become ready: a cold handshake through a relay takes 0.5 s.
pub const SHARES_HELD_FOR: Duration = Duration::from_millis(1_500);
/// After that nobody waits for one for this long.
pub const REPLICATORS_MISSED_FOR: Duration = Duration::from_mins(1);
/// Frames that wait for replicators, and frames that wait for their origin's certificate, in all.
pub const SHARES_HELD: usize = 256;
/// A certificate is asked for again after this; doubles.
pub const VOUCH_FIRST_WAIT: Duration = Duration::from_millis(300);
/// Tries to get one: 0.3 + 0.6 + 1.2 + 2.4 s, about as long as frames wait.
pub const VOUCH_TRIES: u8 = 4;
/// Certificates told to others per second: 2,048 x about 300 bytes = 5 Mbit/s, when everybody speaks for the first time.
pub const VOUCHES_PER_SECOND: u32 = 2_048;
