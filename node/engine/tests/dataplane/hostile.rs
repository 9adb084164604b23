//! Bombs of fragments: authentic ones, from a member who lies about what is to come.
//!
//! In: `zt_engine::shard`. Out: pass or fail. Never: a network, a clock.

use allocation_counter::measure;
use zt_engine::counters::DropReason;
use zt_engine::shard::{Path, TapFrame, To, Verdict};
use zt_wire::message::{Fragment, Message};

use crate::harness::{OTHER, Pair, at};

/// Sends what was sealed; how many frames came out.
fn deliver(pair: &mut Pair, now: u64) -> usize {
    let Pair { a, b, batch } = pair;
    let mut frames = 0;
    for index in 0..batch.len() {
        let (_, bytes) = batch.get(index);
        let verdict = b.shard.rx(at(now), Path::Direct(a.at), bytes, &mut b.notes);
        frames += usize::from(matches!(verdict, Verdict::Deliver { .. }));
    }
    b.notes.clear();
    frames
}

fn fragment(pair: &mut Pair, now: u64, id: u32, place: (u8, u8), bytes: &[u8]) {
    let (index, count) = place;
    let message = Message::Fragment(Fragment {
        id,
        index,
        count,
        bytes,
    })
    .to_vec();
    pair.batch.clear();
    let Pair { a, batch, .. } = pair;
    let to = To {
        peer: OTHER,
        path: None,
        whole: true,
    };
    // A count of 0 or 1 cannot be written as a message; all others are sealed and sent.
    let _ = a.shard.send(at(now), to, &message, batch, &mut a.notes);
    a.notes.clear();
}

#[test]
fn a_million_bytes_of_bombs_take_little_memory_and_no_frame_of_others() {
    let mut pair = Pair::new();
    let bytes = [0x66; 1_400];
    let honest = pair.frame_ab(&[9; 1_500]);
    let mut dice: u64 = 1;
    let mut roll = |bound: u64| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % bound
    };
    let info = measure(|| {
        for number in 0..20_000_u64 {
            let now = 10 + number / 50;
            // Ids near and far, places in and out of order, counts up to all that a byte can say.
            let id = u32::try_from(0x8000_0000 + roll(5_000)).unwrap();
            let count = u8::try_from(roll(256)).unwrap();
            let index = u8::try_from(roll(256)).unwrap();
            let len = usize::try_from(1 + roll(1_400)).unwrap();
            fragment(&mut pair, now, id, (index, count), &bytes[..len]);
            assert_eq!(deliver(&mut pair, now), 0);
        }
    });
    assert!(info.bytes_max < 1 << 20, "{} bytes at most", info.bytes_max);
    assert!(
        info.bytes_current < 1 << 20,
        "{} bytes stay",
        info.bytes_current
    );
    let counters = pair.b.shard.counters();
    for reason in [
        DropReason::Malformed,
        DropReason::FragmentBad,
        DropReason::FragmentFull,
        DropReason::FragmentExpired,
    ] {
        assert!(counters.dropped(reason) > 0, "{reason:?}");
    }
    // Once its lies have expired, the same member's frames come whole.
    let arrived = pair.a_to_b(at(5_000), TapFrame::plain(&honest));
    let arrived = arrived.len() + pair.a_to_b(at(5_001), TapFrame::plain(&honest)).len();
    assert!(arrived >= 1, "the pair is usable afterwards");
}
