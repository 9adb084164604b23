//! Prints what this crate costs on this machine: run with `cargo run --release -p zt-crypto --example figures`.
//!
//! In: nothing. Out: a table. Never: a gate; clocks inform, counts decide.

use std::hint::black_box;
use std::time::{Duration, Instant};

use zt_crypto::pow::{Params, Scratch, Search};
use zt_crypto::sign::verify;
use zt_crypto::{
    Hello, Initiator, Label, OpenKey, SealKey, SigningSecret, Suite, Suites, pow, respond,
};
use zt_wire::{KeyId, NetworkId, Revocation, Signed};

fn main() {
    handshakes();
    signatures();
    suites();
    proof_of_work();
}

fn handshakes() {
    let (alice, _) = Search::new(&[1; 32], Params::WEAK)
        .run()
        .expect("nobody stops the search");
    let (bob, verified) = Search::new(&[2; 32], Params::WEAK)
        .run()
        .expect("nobody stops the search");
    let hello = Hello {
        suites: Suites::ALL,
        boot: 1,
        index: 1,
    };

    let both = mean(|| {
        let (initiator, one) = Initiator::start(&alice, &verified, Label::Init, hello, &[3; 32])
            .expect("a verified peer");
        let responded =
            respond(&bob, Label::Init, &one, hello, &[4; 32]).expect("an honest initiator");
        black_box(
            initiator
                .finish(&alice, &responded.message2)
                .expect("an honest responder"),
        );
    });
    let (_, one) =
        Initiator::start(&alice, &verified, Label::Init, hello, &[3; 32]).expect("a verified peer");
    let half = mean(|| drop(black_box(respond(&bob, Label::Init, &one, hello, &[4; 32]))));
    println!(
        "handshake, both ends       {both:>12.1?}  {:>9.0} ends per second and core",
        2.0 / both.as_secs_f64()
    );
    println!(
        "handshake, responder       {half:>12.1?}  {:>9.0} per second and core",
        1.0 / half.as_secs_f64()
    );
}

fn signatures() {
    let secret = SigningSecret::from_seed(&[5; 32]);
    let bytes = secret.sign(&Revocation {
        network: NetworkId::from_bytes([1; 8]).expect("a network"),
        key: KeyId::from_bytes([3; 32]),
        minimum: 7,
        epoch: 1,
    });
    let signed = Signed::parse(&bytes).expect("signed just now");
    let key = secret.public();
    let check = mean(|| black_box(verify::<Revocation>(&key, &signed)).expect("signed just now"));
    println!(
        "signature, checked         {check:>12.1?}  {:>9.0} per second and core",
        1.0 / check.as_secs_f64()
    );
}

fn suites() {
    for suite in [Suite::XSalsa20Poly1305, Suite::Aes256Gcm] {
        let mut buffer = [7; 1416];
        let (seal, open) = (SealKey::new(suite, &[9; 32]), OpenKey::new(suite, &[9; 32]));
        let mut counter = 0;
        let sealing = mean(|| {
            counter += 1;
            seal.seal(counter, black_box(&mut buffer));
        });
        let both = mean(|| {
            counter += 1;
            seal.seal(counter, black_box(&mut buffer));
            open.open(counter, black_box(&mut buffer))
                .expect("what was just sealed");
        });
        let gigabits = 1400.0 * 8.0 / sealing.as_secs_f64() / 1e9;
        println!(
            "seal 1400 B {suite:<18} {sealing:>8.0?}  {gigabits:>6.2} Gbit/s; seal and open {both:.0?}"
        );
    }
}

fn proof_of_work() {
    let (bob, _) = Search::new(&[2; 32], Params::WEAK)
        .run()
        .expect("nobody stops the search");
    for (memory, passes) in [
        (1024, 1),
        (2048, 1),
        (4096, 1),
        (6144, 1),
        (8192, 1),
        (4096, 2),
    ] {
        let params = Params::new(memory, passes, 32).expect("within the range");
        let search = Search::new(&[5; 32], params);
        let mut scratch = Scratch::new(params);
        let attempt = mean(|| drop(black_box(search.step(&mut scratch))));
        let check = mean(|| _ = black_box(pow::verify(bob.public(), &params)));
        println!(
            "proof of work {memory:>5} KiB x {passes}  try {attempt:>9.2?}  verify {check:>9.2?}"
        );
    }
    let release = Params::RELEASE;
    let mut scratch = Scratch::new(release);
    let search = Search::new(&[6; 32], release);
    let attempt = mean(|| drop(black_box(search.step(&mut scratch))));
    let expected =
        attempt.as_secs_f64() * f64::from(u32::try_from(release.mean_tries()).unwrap_or(u32::MAX));
    println!("release: mean generation {expected:.1} s of one core");
}

/// The mean duration of `act`, over at least 300 ms.
fn mean(mut act: impl FnMut()) -> Duration {
    act();
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_millis(300) {
        (0..8).for_each(|_| act());
        count += 8;
    }
    start.elapsed() / count
}
