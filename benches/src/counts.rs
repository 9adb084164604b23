//! Work to be counted by callgrind: `counts NAME` does it, `counts` lists names with their operations.
//!
//! In: a name. Out: the work, all of it inside `measured`. Never: a clock; `cargo lab counts` compares with `baseline.json`.
#![forbid(unsafe_code)]

mod frames;
#[path = "../../node/engine/tests/dataplane/harness.rs"]
#[expect(dead_code, reason = "the engine's tests use more of it")]
mod harness;

use std::hint::black_box;

use frames::Judge;
use harness::{Pair, at, network};
use zt_crypto::Suites;
use zt_engine::deadlines::Deadlines;
use zt_engine::shard::{Path, PeerHandle, TapFrame};
use zt_engine::{Mono, Timer};
use zt_rules::limits;
use zt_wire::Datagram;

/// Name, operations, work.
type Work = (&'static str, u32, fn());

const WORK: [Work; 12] = [
    ("parse", 1000, parse),
    ("tx-64", 1000, || tx(64)),
    ("tx-1400", 1000, || tx(1_386)),
    ("tx-super-64k", 20, tx_super),
    ("rx-64", 1000, || rx(64)),
    ("rx-1400", 1000, || rx(1_386)),
    ("rx-super-64k", 20, rx_super),
    ("rules-none", 1000, || rules(&Judge::with(0), 1000)),
    ("rules-16", 1000, || rules(&Judge::with(16), 1000)),
    ("rules-1024", 100, || {
        rules(&Judge::with(limits::RULES), 100);
    }),
    ("rules-lan-game", 1000, || {
        rules(&Judge::of("profile lan-game udp 27015;"), 1000);
    }),
    ("timers", 1000, timers),
];

fn main() {
    let wanted = std::env::args().nth(1);
    for (name, operations, work) in WORK {
        match wanted.as_deref() {
            None => println!("{name} {operations}"),
            Some(wanted) if wanted == name => work(),
            Some(_) => {}
        }
    }
}

/// What callgrind counts: from here until it returns.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
    // Keeps the call a call.
    black_box(());
}

fn parse() {
    let mut bytes = vec![0; 1_400];
    bytes[..2].copy_from_slice(&[4, 1]);
    measured(&mut || {
        for _ in 0..1000 {
            black_box(Datagram::parse(black_box(&bytes)).is_ok());
        }
    });
}

fn tx(payload: usize) {
    let mut pair = Pair::with(Suites::ALL, 1_500);
    let frame = pair.frame_ab(&vec![7; payload]);
    let Pair { a, batch, .. } = &mut pair;
    measured(&mut || {
        for _ in 0..1000 {
            batch.clear();
            let frame = TapFrame::plain(&frame);
            black_box(a.shard.tx(at(1), network(), frame, batch, &mut a.notes));
        }
    });
}

fn tx_super() {
    let mut pair = Pair::with(Suites::ALL, 1_500);
    let bytes = frames::tcp(
        pair.b.mac(),
        pair.a.mac(),
        1,
        usize::from(frames::SEGMENT) * 46,
    );
    let Pair { a, batch, .. } = &mut pair;
    measured(&mut || {
        for _ in 0..20 {
            batch.clear();
            let frame = frames::super_frame(&bytes);
            black_box(a.shard.tx(at(1), network(), frame, batch, &mut a.notes));
        }
    });
    assert_eq!(pair.batch.len(), 46, "each segment is one datagram");
}

fn rx(payload: usize) {
    let pair = Pair::with(Suites::ALL, 1_500);
    let frame = pair.frame_ab(&vec![7; payload]);
    receive(pair, TapFrame::plain(&frame), 1000);
}

/// The datagrams of a super frame: each is like the one before it.
fn rx_super() {
    let pair = Pair::with(Suites::ALL, 1_500);
    let payload = usize::from(frames::SEGMENT) * 46;
    let bytes = frames::tcp(pair.b.mac(), pair.a.mac(), 1, payload);
    receive(pair, frames::super_frame(&bytes), 20);
}

/// What this frame becomes on the wire, so many times.
fn receive(mut pair: Pair, frame: TapFrame<'_>, times: usize) {
    let Pair { a, b, batch } = &mut pair;
    let mut datagrams = Vec::new();
    for _ in 0..times {
        batch.clear();
        a.shard.tx(at(1), network(), frame, batch, &mut a.notes);
        datagrams.extend(batch.all());
    }
    let from = Path::Direct(a.at);
    measured(&mut || {
        for bytes in &mut datagrams {
            black_box(b.shard.rx(at(2), from, bytes, &mut b.notes));
        }
    });
}

/// Parse, guards and rules of one frame, as each end does it.
fn rules(judge: &Judge, rounds: u32) {
    let pair = Pair::new();
    let frame = frames::tcp(pair.b.mac(), pair.a.mac(), 1, 64);
    assert!(judge.judge(&frame).is_some(), "guards let it pass");
    measured(&mut || {
        for _ in 0..rounds {
            black_box(judge.judge(black_box(&frame)));
        }
    });
}

fn timers() {
    let mut deadlines = Deadlines::default();
    let moment = |number: u32| Mono::from_nanos(u64::from(number.wrapping_mul(0x9e37_79b9)));
    for peer in 0..1000 {
        deadlines.set(Timer::Tend(PeerHandle(peer)), moment(peer));
    }
    measured(&mut || {
        for peer in 0..1000 {
            deadlines.set(Timer::Tend(PeerHandle(peer)), moment(peer + 7));
            black_box(deadlines.next());
        }
    });
}
