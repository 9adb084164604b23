//! Frames to measure with.
//!
//! In: sizes, addresses. Out: bytes that the engine and the coalescer take for what they seem. Never: a right TCP checksum.

use std::fmt::Write as _;

use zt_engine::shard::{Offload, TapFrame};
use zt_rules::guards::{Ground, Holder, content};
use zt_rules::{Decider, End, Facts, Fate};
use zt_wire::{Address, Mac, NetworkId, Rights};

/// Payload of a TCP segment that fits a datagram over 1,500 bytes of underlay.
pub const SEGMENT: u16 = 1_380;

/// TCP over IPv4 with `payload` bytes, from one member to another.
pub fn tcp(to: Mac, from: Mac, sequence: u32, payload: usize) -> Vec<u8> {
    let mut frame = [&to.to_bytes()[..], &from.to_bytes(), &[0x08, 0x00]].concat();
    let total = u16::try_from(40 + payload).unwrap_or(u16::MAX);
    frame.extend_from_slice(&[0x45, 0]);
    frame.extend_from_slice(&total.to_be_bytes());
    frame.extend_from_slice(&[0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    // Without its checksum the coalescer joins nothing.
    let (words, _) = frame[14..].as_chunks::<2>();
    let sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    // Ten words carry at most nine.
    let [_, carry, high, low] = sum.to_be_bytes();
    let (folded, over) = u16::from_be_bytes([high, low]).overflowing_add(carry.into());
    frame[24..26].copy_from_slice(&(!(folded + u16::from(over))).to_be_bytes());
    frame.extend_from_slice(&[0x1f, 0x90, 0x1f, 0x91]);
    frame.extend_from_slice(&sequence.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    frame.resize(54 + payload, 0x5a);
    frame
}

/// A super frame as a TAP gives it.
pub fn super_frame(bytes: &[u8]) -> TapFrame<'_> {
    TapFrame {
        bytes,
        offload: Offload::Tcp { segment: SEGMENT },
    }
}

/// A network's rules and one member's way to another: what each frame passes at each end.
pub struct Judge {
    decider: Decider,
    network: NetworkId,
    ends: [Address; 2],
}

impl Judge {
    /// A judge by `count` rules, of which the last accepts and the others look at protocol and port.
    pub fn with(count: usize) -> Self {
        let mut text = String::new();
        for port in 1..count {
            // Writing into a string does not fail.
            let _ = writeln!(text, "drop if udp and port-to {port};");
        }
        if count > 0 {
            text += "accept;\n";
        }
        Self::of(&text)
    }

    /// A judge by this text.
    pub fn of(text: &str) -> Self {
        // The texts and names are ours.
        let address = |text: &str| text.parse::<Address>().expect("an address");
        let ends = [address("89abcdef01"), address("89abcdef02")];
        Self {
            decider: Decider::new(zt_rules::compile(text).expect("a rule text")),
            network: NetworkId::new(ends[0], 1).expect("a network"),
            ends,
        }
    }

    /// Reads a frame and tries guards and rules on it.
    pub fn judge(&self, frame: &[u8]) -> Option<Fate> {
        let facts = Facts::of(frame)?;
        let ground = Ground {
            network: self.network,
            manages_v4: true,
            computes_v6: true,
            routes: &[],
        };
        let holder = Holder {
            address: self.ends[0],
            rights: Rights::NONE,
            ips: &[core::net::IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 1))],
        };
        content(&ground, &facts, &holder).ok()?;
        if self.decider.lets_all_pass() {
            return Some(Fate::WHOLE);
        }
        let (from, to) = (End::bare(self.ends[0]), End::bare(self.ends[1]));
        Some(self.decider.fate(&facts, &from, &to, None))
    }
}
