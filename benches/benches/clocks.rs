//! Clocks: cipher suites, splitting and joining, rules. `cargo bench -p zt-benches`.
//!
//! In: nothing. Out: times per operation on this machine. Never: a verdict; counts are what CI compares.

#[path = "../src/frames.rs"]
mod frames;

use divan::{Bencher, black_box, counter::BytesCount};
use zt_crypto::{OpenKey, SealKey, Suite};
use zt_driver::tap::{Arena, Coalescer, Joins, VirtioHeader};
use zt_engine::segment::{Headers, SuperFrame};
use zt_engine::shard::{Offload, TapFrame};
use zt_wire::Mac;

fn main() {
    divan::main();
}

const KEY: [u8; 32] = [7; 32];
const SIZES: [usize; 2] = [64, 1400];
const MAC: Mac = Mac::from_bytes([2, 0, 0, 0, 0, 1]);

#[divan::bench(args = SIZES)]
fn seal_aes(bencher: Bencher<'_, '_>, size: usize) {
    seal(bencher, Suite::Aes256Gcm, size);
}

#[divan::bench(args = SIZES)]
fn seal_salsa(bencher: Bencher<'_, '_>, size: usize) {
    seal(bencher, Suite::XSalsa20Poly1305, size);
}

#[divan::bench(args = SIZES)]
fn open_aes(bencher: Bencher<'_, '_>, size: usize) {
    open(bencher, Suite::Aes256Gcm, size);
}

#[divan::bench(args = SIZES)]
fn open_salsa(bencher: Bencher<'_, '_>, size: usize) {
    open(bencher, Suite::XSalsa20Poly1305, size);
}

/// 64 KiB cut into segments with their headers.
#[divan::bench]
fn split(bencher: Bencher<'_, '_>) {
    let bytes = frames::tcp(MAC, MAC, 1, usize::from(frames::SEGMENT) * 46);
    let mut headers = Headers::new();
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| {
            let parsed = SuperFrame::parse(frames::super_frame(black_box(&bytes)));
            // It is one, by its making.
            let parsed = parsed.expect("a super frame");
            for index in 0..parsed.count() {
                black_box(parsed.segment(index, &mut headers));
            }
        });
}

/// 46 segments joined into one super frame.
#[divan::bench]
fn coalesce(bencher: Bencher<'_, '_>) {
    let size = usize::from(frames::SEGMENT);
    let segments: Vec<Vec<u8>> = (0..46_u32)
        .map(|index| frames::tcp(MAC, MAC, index * u32::from(frames::SEGMENT), size))
        .collect();
    // One buffer, as if just received.
    let buffer = segments.concat();
    let arena = Arena::of(&buffer);
    let joins = Joins {
        tcp: true,
        udp: true,
    };
    let mut coalescer = Coalescer::default();
    let mut parts = 0;
    bencher
        .counter(BytesCount::new(size * segments.len()))
        .bench_local(|| {
            for bytes in buffer.chunks_exact(segments[0].len()) {
                let frame = segment(black_box(bytes));
                if !coalescer.follow(frame, arena) {
                    coalescer.take(frame, VirtioHeader::default(), arena, joins);
                }
            }
            coalescer.flush(&buffer, |frame, buffer| {
                assert_eq!(frame.count(), segments.len(), "they are joined");
                parts += frame.parts(buffer).count();
            });
        });
}

/// What one frame costs at each end: read, guards, and this many rules.
#[divan::bench(args = [0, 16, 1024])]
fn rules(bencher: Bencher<'_, '_>, count: usize) {
    let judge = frames::Judge::with(count);
    let frame = frames::tcp(MAC, MAC, 1, 1_380);
    bencher.bench_local(|| judge.judge(black_box(&frame)));
}

fn seal(bencher: Bencher<'_, '_>, suite: Suite, size: usize) {
    let key = SealKey::new(suite, &KEY);
    let mut buffer = vec![0; size + 16];
    let mut counter = 0;
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        counter += 1;
        key.seal(counter, black_box(&mut buffer));
    });
}

fn open(bencher: Bencher<'_, '_>, suite: Suite, size: usize) {
    let (sealing, opening) = (SealKey::new(suite, &KEY), OpenKey::new(suite, &KEY));
    let mut sealed = vec![0; size + 16];
    sealing.seal(1, &mut sealed);
    bencher
        .counter(BytesCount::new(size))
        .with_inputs(|| sealed.clone())
        .bench_local_refs(|buffer| opening.open(1, black_box(buffer)).is_ok());
}

/// A segment as it comes out of a datagram: its checksum still open.
fn segment(bytes: &[u8]) -> TapFrame<'_> {
    TapFrame {
        bytes,
        offload: Offload::Checksum {
            start: 34,
            offset: 16,
        },
    }
}
