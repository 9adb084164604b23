//! What strangers and broken wires send: counted, never obeyed, never kept.

mod harness;

use std::net::SocketAddr;
use std::time::Duration;

use harness::Net;
use zt_engine::counters::{Count, Counters};
use zt_engine::interface::Reply;
use zt_engine::{Mono, Role};

const SECOND: Duration = Duration::from_secs(1);
/// At a supernode and at a leaf each: a million together.
const DATAGRAMS: u32 = 500_000;
/// Replayed and mutated ones; each may need an opening.
const MUTATED: u32 = 60_000;

/// A small generator for tests: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.roll().to_be_bytes()[0];
        }
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(most.max(1)).expect("small")).expect("small")
    }
}

/// Everything that a datagram can be counted as.
fn counted(counters: &Counters) -> u64 {
    counters.dropped_in_all()
        + counters.count(Count::CookiesSent)
        + counters.count(Count::DatagramsRx)
        + counters.count(Count::HandshakesAnswered)
}

/// Resident memory of this process, KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("always there");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

fn stranger(dice: &mut Dice) -> SocketAddr {
    let n = dice.roll().to_be_bytes();
    SocketAddr::from(([100, n[0], n[1], n[2]], 1 + u16::from(n[3])))
}

#[test]
fn random_datagrams_are_each_counted_and_disturb_nobody() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, false);
    let two = net.add(11, Role::Leaf, false);
    net.run(SECOND);
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    let mut dice = Dice(7);
    for n in [0, one] {
        let before = counted(&net.hosts[n].counters());
        let memory = resident();
        for _ in 0..DATAGRAMS {
            let mut bytes = vec![0; dice.below(1_500)];
            dice.fill(&mut bytes);
            // Half of them look right in the first bytes.
            if dice.roll() & 1 == 0 && bytes.len() > 8 {
                bytes[0] = 1 + u8::try_from(dice.below(4)).expect("small");
                bytes[1] = 1;
                bytes[2] = 0;
                bytes[3] = 0;
            }
            let from = stranger(&mut dice);
            net.inject(n, from, &mut bytes);
        }
        let after = counted(&net.hosts[n].counters());
        assert_eq!(after - before, u64::from(DATAGRAMS));
        // The other tests of this process run meanwhile; 25 bytes kept per datagram would show.
        let grown = resident().saturating_sub(memory);
        assert!(
            grown < 4_096,
            "{grown} KiB more after half a million datagrams"
        );
    }
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
}

#[test]
fn floods_of_first_messages_get_cookies_until_the_bucket_is_dry_and_leave_nothing() {
    let mut net = Net::new(1);
    let mut dice = Dice(9);
    let from = SocketAddr::from(([100, 1, 2, 3], 4));
    for _ in 0..5_000 {
        let mut bytes = vec![0; 1_200];
        bytes[..2].copy_from_slice(&[1, 1]);
        dice.fill(&mut bytes[8..60]);
        net.inject(0, from, &mut bytes);
    }
    let counters = net.hosts[0].node.counters();
    assert_eq!(counters.count(Count::CookiesSent), 1_024);
    assert_eq!(counters.count(Count::HandshakesAnswered), 0);
    assert_eq!(
        counters.dropped(zt_engine::counters::DropReason::HandshakeRate),
        5_000 - 1_024
    );
    // Nothing waits for a stranger.
    let quiet = net.hosts[0].node.next_deadline();
    assert!(
        quiet.is_none_or(|at| at > net.now + Duration::from_millis(100)),
        "{quiet:?}"
    );
}

#[test]
fn replayed_and_mutated_datagrams_of_a_live_session_change_nothing() {
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, false);
    let two = net.add(11, Role::Leaf, false);
    net.tapped = Some(Vec::new());
    net.run(SECOND);
    for _ in 0..20 {
        assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    }
    net.run(SECOND * 3);
    let captured = net.tapped.take().expect("a capture was asked for");
    assert!(captured.len() > 60);
    let mut dice = Dice(11);
    for round in 0..MUTATED {
        let (to, from, bytes) = &captured[dice.below(captured.len())];
        let mut bytes = bytes.clone();
        match round % 4 {
            0 => {}
            1 => bytes.truncate(dice.below(bytes.len() + 1)),
            2 | 3 => {
                for _ in 0..=dice.below(3) {
                    let at = dice.below(bytes.len());
                    bytes[at] ^= 1 << dice.below(8);
                }
            }
            _ => unreachable!("a remainder of four"),
        }
        net.inject(*to, *from, &mut bytes);
        if round % 1_000 == 0 {
            net.run(Duration::from_millis(300));
        }
    }
    assert!(matches!(net.ping(one, two, SECOND * 3), Reply::Pong(..)));
    assert!(net.now > Mono::ZERO);
}

/// A member's control messages, bent in every way, in its own session.
#[test]
fn mutated_control_messages_of_a_member_are_counted_and_change_nothing() {
    use zt_engine::interface::Command;
    let mut net = Net::new(1);
    let one = net.add(10, Role::Leaf, false);
    let two = net.add(11, Role::Leaf, false);
    net.run(SECOND);
    assert!(matches!(net.ping(one, two, SECOND), Reply::Pong(..)));
    let mut dice = Dice(11);
    let vectors = include_str!("../../../proto-spec/vectors/messages.json");
    let messages: Vec<Vec<u8>> = vectors
        .split("\"hex\": \"")
        .skip(1)
        .map(|rest| {
            let hex = rest.split('"').next().expect("a text").as_bytes();
            let digit = |c: u8| char::from(c).to_digit(16).expect("hex");
            hex.chunks_exact(2)
                .map(|two| u8::try_from(digit(two[0]) * 16 + digit(two[1])).expect("a byte"))
                .collect()
        })
        // Not a GOODBYE, which ends the session as it should.
        .filter(|bytes: &Vec<u8>| bytes.len() > 3 && bytes[0] != 0x14)
        .collect();
    assert!(messages.len() > 50, "the vectors were not found");
    let (to, memory) = (net.address(two), resident());
    for _ in 0..20_000 {
        let mut message = messages[dice.below(messages.len())].clone();
        for _ in 0..dice.below(4) {
            let at = dice.below(message.len());
            message[at] = dice.roll().to_be_bytes()[0];
        }
        if dice.below(4) == 0 {
            message.truncate(dice.below(message.len()).max(1));
        }
        if message[0] != 0x14 {
            net.command(one, Command::Push { to, message });
        }
        net.run(Duration::from_micros(200));
        net.hosts[one].replies.clear();
    }
    net.run(SECOND);
    let grown = resident().saturating_sub(memory);
    assert!(grown < 16_384, "{grown} KiB more");
    assert!(net.hosts[two].node.counters().dropped_in_all() > 1_000);
    assert!(matches!(net.ping(two, one, 5 * SECOND), Reply::Pong(..)));
}
