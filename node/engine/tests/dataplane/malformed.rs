//! A hostile member with a real session: lying lengths, cut headers, claims of 65,535 bytes, fragment bombs.
//!
//! In: the catalog's frames, mutated, sealed with right keys. Out: pass or fail. Never: a datagram without its verdict.

use std::net::Ipv4Addr;

use zt_crypto::handshake::Label;
use zt_crypto::{Hello, Initiator, SealKey, Suites, respond};
use zt_engine::limits;
use zt_engine::shard::{Path, PeerHandle, Sealing, SessionUp, TapFrame, Update, Verdict};
use zt_frames::{End, Ends};
use zt_wire::datagram::{TRANSPORT_HEADER, Transport};

use crate::harness::{Batch, Host, OTHER, at, network, receive, shake};

/// Mutated datagrams.
const MANY: u32 = 1_000_000;
/// The honest member speaks after each of these.
const ROUND: u32 = 20_000;
const HONEST: PeerHandle = PeerHandle(2);
const TAG: usize = 16;

/// A member that seals whatever it likes.
pub struct Hostile {
    seal: SealKey,
    receiver: u32,
    counter: u64,
    dice: u64,
}

impl Hostile {
    /// A member of the network of `host`, with the bridge right so that more of its frames get further.
    pub fn meet(hostile: &mut Host, host: &mut Host) -> Self {
        host.meet(OTHER, hostile, false);
        host.admit(hostile, 1);
        let hello = |index| Hello {
            suites: Suites::LEAST,
            boot: 1,
            index,
        };
        let (mine, theirs) = (0x00aa_0001, 0x00bb_0001);
        let (initiator, first) = Initiator::start(
            &hostile.secret,
            &host.who,
            Label::Init,
            hello(mine),
            &[3; 32],
        )
        .unwrap();
        let responded =
            respond(&host.secret, Label::Init, &first, hello(theirs), &[4; 32]).unwrap();
        let (keys, _) = initiator
            .finish(&hostile.secret, &responded.message2)
            .unwrap();
        host.shard.apply(Update::SessionUp(Box::new(SessionUp {
            peer: OTHER,
            local: theirs,
            remote: mine,
            seal: Sealing::new(responded.keys.seal),
            open: Some(responded.keys.open),
            initiator: false,
            since: at(0).mono,
        })));
        Self {
            seal: keys.seal,
            receiver: theirs,
            counter: 0,
            dice: 0x7a74,
        }
    }

    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.roll() >> 33) % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    pub fn byte(&mut self) -> u8 {
        self.roll().to_be_bytes()[0]
    }

    pub fn sealed(&mut self, body: &[u8]) -> Vec<u8> {
        let header = Transport {
            receiver: self.receiver,
            counter: self.counter,
        };
        let mut datagram = [&header.to_bytes()[..], body, &[0; TAG]].concat();
        self.seal
            .seal(self.counter, &mut datagram[TRANSPORT_HEADER..]);
        self.counter += 1;
        datagram
    }

    /// A FRAME message around a frame, well formed.
    pub fn frame(frame: &[u8], flags: u8, extra: &[u8]) -> Vec<u8> {
        let payload = [&network().to_bytes()[..], &[flags], extra, frame].concat();
        message(1, &payload)
    }

    /// One body, broken in one of many ways.
    fn body(&mut self, frames: &[Vec<u8>]) -> Vec<u8> {
        let chosen = self.below(frames.len());
        let frame = &frames[chosen];
        match self.below(9) {
            // Bytes flipped anywhere in a whole message.
            0 => {
                let mut body = Self::frame(frame, 0, &[]);
                for _ in 0..=self.below(4) {
                    let place = self.below(body.len());
                    body[place] ^= 1 << self.below(8);
                }
                body
            }
            // Bytes flipped in the frame only: its own lengths, versions, types lie.
            1 => {
                let mut frame = frame.clone();
                for _ in 0..=self.below(6) {
                    let place = 12 + self.below(frame.len() - 12);
                    frame[place] = self.byte();
                }
                Self::frame(&frame, 0, &[])
            }
            // Cut anywhere.
            2 => {
                let mut body = Self::frame(frame, 0, &[]);
                body.truncate(self.below(body.len()));
                body
            }
            // A whole message around a cut frame.
            3 => {
                let length = self.below(frame.len());
                Self::frame(&frame[..length], 0, &[])
            }
            // A partial checksum anywhere, MACs elided or not.
            4 => {
                let flags = 2 | self.byte() & 1;
                let offsets = [self.byte() & 7, self.byte(), self.byte() & 7, self.byte()];
                Self::frame(frame, flags, &offsets)
            }
            // A length that lies.
            5 => {
                let mut body = Self::frame(frame, 0, &[]);
                let claim: u16 = if self.below(2) == 0 {
                    u16::MAX
                } else {
                    u16::try_from(self.below(0x1_0000)).unwrap()
                };
                body[1..3].copy_from_slice(&claim.to_be_bytes());
                body
            }
            // Fragments: ids of few, any index and count, of any size: most are never completed.
            6 => {
                let (id, index, count) = (self.byte() & 63, self.byte(), self.byte());
                let size = self.below(1_200);
                let head = [0, 0, 0, id, index & 63, count & 127];
                message(2, &[&head[..], &vec![index; size]].concat())
            }
            // Two fragments that complete: what they make claims to be something else, or more.
            7 => {
                let id = self.byte();
                let whole = Self::frame(frame, 0, &[]);
                let inner = message(2, &[&[0, 0, 0, id, 0, 2][..], &whole].concat());
                let index = self.byte() & 1;
                let half = inner.len() / 2;
                let part = if index == 0 {
                    &inner[..half]
                } else {
                    &inner[half..]
                };
                message(2, &[&[0, 0, 1, id, index, 2][..], part].concat())
            }
            // Relays within relays, and messages of any type around anything.
            _ => {
                let kind = self.byte() & 0x3f;
                let inner = Self::frame(frame, 0, &[]);
                message(kind, &inner)
            }
        }
    }
}

fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    [&[kind][..], &length.to_be_bytes(), payload].concat()
}

fn ends(from: &Host, to: &Host, mtu: u16) -> Ends {
    let end = |host: &Host, n| End {
        mac: host.mac().to_bytes(),
        ip: Ipv4Addr::new(10, 0, 0, n),
    };
    Ends {
        from: end(from, 1),
        to: end(to, 2),
        directed: Ipv4Addr::new(10, 0, 0, 255),
        mtu,
    }
}

/// Resident memory of this process, KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kib.expect("a number")
}

#[test]
fn a_hostile_member_s_malformed_frames_are_counted_drops_and_nobody_else_notices() {
    let mut victim = Host::new(2, false);
    let (mut evil, mut honest) = (Host::new(1, false), Host::new(3, false));
    victim.network_up(true, 9_000);
    honest.network_up(false, 9_000);
    let mut hostile = Hostile::meet(&mut evil, &mut victim);
    victim.meet(HONEST, &honest, false);
    victim.admit(&honest, 0);
    honest.meet(OTHER, &victim, false);
    honest.admit(&victim, 1);
    shake(
        &mut honest,
        &mut victim,
        (OTHER, HONEST),
        at(0),
        Suites::LEAST,
    );
    let frames: Vec<Vec<u8>> = zt_frames::all(&ends(&evil, &victim, 9_000), [9; 6])
        .into_iter()
        .map(|(_, frame)| frame)
        .collect();
    let to_victim = ends(&honest, &victim, 9_000);
    let mut batch = Batch::new();
    let memory = resident();
    let (mut sent, mut dropped, mut delivered) = (0_u32, 0_u64, 0_u64);
    let before = victim.shard.counters().dropped_in_all();
    while sent < MANY {
        // A millisecond of the victim's time for each hundred.
        let now = at(u64::from(sent / 100));
        let body = hostile.body(&frames);
        let mut datagram = hostile.sealed(&body);
        let from = Path::Direct(evil.at);
        match victim.shard.rx(now, from, &mut datagram, &mut victim.notes) {
            Verdict::Drop(_) => dropped += 1,
            Verdict::Deliver { frame, .. } => {
                let length = frame.bytes.len();
                assert!((14..=9_022).contains(&length), "{length} bytes delivered");
                delivered += 1;
            }
            Verdict::Relay(_) => panic!("a leaf relays"),
            Verdict::Share(_) | Verdict::Unvouched { .. } => panic!("nobody here may replicate"),
            Verdict::Stray { .. } | Verdict::Early { .. } => panic!("there is one worker"),
            Verdict::Punt(_) | Verdict::Kept => {}
        }
        victim.notes.clear();
        sent += 1;
        if sent.is_multiple_of(ROUND) {
            let run = [1, 2, 3, 4, 5, sent.to_be_bytes()[2]];
            for frame in zt_frames::burst(&to_victim, run, (20, 1_400)) {
                batch.clear();
                let frame = TapFrame::plain(&frame);
                honest
                    .shard
                    .tx(now, network(), frame, &mut batch, &mut honest.notes);
                let arrived = receive(&mut victim, honest.at, now, &mut batch);
                assert_eq!(arrived.len(), 1, "after {sent} malformed datagrams");
                assert_eq!(arrived[0].frame, frame.bytes);
            }
            honest.notes.clear();
            victim.notes.clear();
        }
    }
    let counted = victim.shard.counters().dropped_in_all() - before;
    assert!(counted >= dropped, "{counted} of {dropped} drops counted");
    assert!(dropped > u64::from(sent) / 4, "{dropped} of {sent} dropped");
    assert!(delivered > 0, "nothing got through: the test tests nothing");
    assert!(victim.shard.learned(network()) <= limits::LEARNED_PER_MEMBER);
    // Assemblies of one peer are capped at 160 KiB, its learned MACs at 4,096; a leak of 50 bytes each would show.
    let grown = resident().saturating_sub(memory);
    assert!(grown < 8_192, "{grown} KiB more after {sent} datagrams");
    println!(
        "{sent} malformed datagrams, {dropped} dropped, {delivered} delivered, {grown} KiB more"
    );
}
