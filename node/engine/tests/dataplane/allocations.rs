//! Memory: none is taken per packet.

use allocation_counter::measure;
use zt_engine::shard::{Path, TapFrame, Verdict};

use crate::harness::{Pair, at, network};
use crate::relayed::Trio;

const FRAMES: u64 = 10_000;
const WARM: u64 = 200;

#[test]
fn ten_thousand_frames_both_ways_allocate_nothing() {
    let mut pair = Pair::new();
    let frames = [
        pair.frame_ab(&[1; 1_500]),
        pair.frame_ab(&[2; 64]),
        pair.frame_ba(&[3; 1_500]),
        pair.frame_ba(&[4; 64]),
    ];
    let mut delivered = 0;
    let mut round = |pair: &mut Pair, count: u64| {
        for number in 0..count {
            let now = at(1 + number / 100);
            for frame in &frames {
                let Pair { a, b, batch } = &mut *pair;
                let (from, to) = if frame[..6] == b.mac().to_bytes() {
                    (a, b)
                } else {
                    (b, a)
                };
                batch.clear();
                from.shard.tx(
                    now,
                    network(),
                    TapFrame::plain(frame),
                    batch,
                    &mut from.notes,
                );
                for index in 0..batch.len() {
                    let (_, bytes) = batch.get(index);
                    let verdict = to
                        .shard
                        .rx(now, Path::Direct(from.at), bytes, &mut to.notes);
                    delivered += u64::from(matches!(verdict, Verdict::Deliver { .. }));
                }
                from.notes.clear();
                to.notes.clear();
            }
        }
    };
    // The first frames make the buffers that all later ones use again, and widen the replay windows.
    round(&mut pair, WARM);
    let info = measure(|| round(&mut pair, FRAMES));
    assert_eq!(delivered, 4 * (FRAMES + WARM));
    assert_eq!(info.count_total, 0);
}

#[test]
fn ten_thousand_relayed_frames_allocate_nothing_at_the_relay() {
    let mut trio = Trio::new();
    let frame = trio.pair.frame_ab(&[1; 1_500]);
    let round = |trio: &mut Trio, count: u64| {
        for number in 0..count {
            let now = at(1 + number);
            trio.pair.batch.clear();
            let Pair { a, batch, .. } = &mut trio.pair;
            a.shard
                .tx(now, network(), TapFrame::plain(&frame), batch, &mut a.notes);
            trio.second.clear();
            for index in 0..batch.len() {
                let (_, bytes) = batch.get(index);
                let relay = &mut trio.relay;
                if let Verdict::Relay(forward) =
                    relay
                        .shard
                        .rx(now, Path::Direct(a.at), bytes, &mut relay.notes)
                {
                    relay
                        .shard
                        .forward(now, &forward, bytes, &mut trio.second, &mut relay.notes);
                }
            }
            a.notes.clear();
            trio.relay.notes.clear();
        }
    };
    round(&mut trio, WARM);
    let info = measure(|| round(&mut trio, FRAMES));
    assert_eq!(info.count_total, 0);
}
