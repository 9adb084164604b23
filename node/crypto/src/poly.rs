//! Poly1305 (RFC 8439 §2.5) in 44-bit limbs, two blocks at once.
//!
//! Owner: nobody. In: a one-time key and bytes. Out: the tag.
//! Never: a branch or look-up on secrets; the same key for two texts (the caller's duty).

use zeroize::Zeroize;

/// A number below 2^130 as 44, 44 and 42 bits, perhaps a little more between reductions.
type Limbs = [u64; 3];

/// The tag of `text` under a one-time key.
pub fn tag(key: &[u8; 32], text: &[u8]) -> [u8; 16] {
    let mut r = clamped(key);
    let mut r2 = carried(product(r, r));
    let mut h = [0; 3];
    let pairs = text.chunks_exact(32);
    let rest = pairs.remainder();
    for pair in pairs {
        let (first, second) = pair.split_at(16);
        // (h + m1) r² + m2 r: both products at once keep the multiplier busy.
        h = carried(sum(
            product(added(h, limbs(first, 1)), r2),
            product(limbs(second, 1), r),
        ));
    }
    for block in rest.chunks(16) {
        h = carried(product(added(h, limbs(block, 1)), r));
    }
    let tag = finished(h, &key[16..]);
    r.zeroize();
    r2.zeroize();
    tag
}

/// `r`: 22 of its bits are always zero.
fn clamped(key: &[u8; 32]) -> Limbs {
    let low = little(&key[..8]) & 0x0fff_fffc_0fff_ffff;
    let high = little(&key[8..16]) & 0x0fff_fffc_0fff_fffc;
    split(low, high, 0)
}

/// A block as a number, with a bit set behind its last byte. `end` is 1.
fn limbs(block: &[u8], end: u64) -> Limbs {
    if block.len() == 16 {
        return split(little(&block[..8]), little(&block[8..]), end);
    }
    let mut padded = [0; 16];
    padded[..block.len()].copy_from_slice(block);
    padded[block.len()] = 1;
    split(little(&padded[..8]), little(&padded[8..]), 0)
}

const fn split(low: u64, high: u64, end: u64) -> Limbs {
    [
        low & MASK44,
        ((low >> 44) | (high << 20)) & MASK44,
        (high >> 24) | (end << 40),
    ]
}

const fn added(a: Limbs, b: Limbs) -> Limbs {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

const fn sum(a: [u128; 3], b: [u128; 3]) -> [u128; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// The product modulo 2^130 - 5; what passes 2^132 comes back twenty-fold (4 · 5).
fn product(a: Limbs, b: Limbs) -> [u128; 3] {
    let wide = |x: u64, y: u64| u128::from(x) * u128::from(y);
    let [b0, b1, b2] = b;
    let (s1, s2) = (b1 * 20, b2 * 20);
    [
        wide(a[0], b0) + wide(a[1], s2) + wide(a[2], s1),
        wide(a[0], b1) + wide(a[1], b0) + wide(a[2], s2),
        wide(a[0], b2) + wide(a[1], b1) + wide(a[2], b0),
    ]
}

/// Limbs of about 44 bits again: the sums are below 2^96, so one round of carries is enough for the next product.
#[allow(clippy::cast_possible_truncation)] // Each limb is masked; a carry is below 2^64.
const fn carried(d: [u128; 3]) -> Limbs {
    let d1 = d[1] + (d[0] >> 44);
    let d2 = d[2] + (d1 >> 44);
    let h0 = (d[0] as u64 & MASK44) + (d2 >> 42) as u64 * 5;
    let h1 = (d1 as u64 & MASK44) + (h0 >> 44);
    [h0 & MASK44, h1, d2 as u64 & MASK42]
}

/// Reduces fully and adds the key's second half modulo 2^128.
fn finished(h: Limbs, pad: &[u8]) -> [u8; 16] {
    let [mut h0, mut h1, mut h2] = h;
    for _ in 0..2 {
        h1 += h0 >> 44;
        h0 &= MASK44;
        h2 += h1 >> 44;
        h1 &= MASK44;
        h0 += (h2 >> 42) * 5;
        h2 &= MASK42;
    }
    h1 += h0 >> 44;
    h0 &= MASK44;
    // h - (2^130 - 5), kept when it is not negative.
    let g0 = h0 + 5;
    let g1 = h1 + (g0 >> 44);
    let g2 = (h2 + (g1 >> 44)).wrapping_sub(1 << 42);
    let keep = (g2 >> 63).wrapping_sub(1);
    let select = |h: u64, g: u64| (h & !keep) | (g & keep);
    let (h0, h1, h2) = (
        select(h0, g0 & MASK44),
        select(h1, g1 & MASK44),
        select(h2, g2 & MASK42),
    );
    let number = u128::from(h0) | u128::from(h1) << 44 | u128::from(h2) << 88;
    let second = u128::from(little(&pad[..8])) | u128::from(little(&pad[8..])) << 64;
    number.wrapping_add(second).to_le_bytes()
}

fn little(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

const MASK44: u64 = (1 << 44) - 1;
const MASK42: u64 = (1 << 42) - 1;

#[cfg(test)]
mod tests {
    use poly1305::Poly1305;
    use proptest::prelude::*;
    use salsa20::cipher::KeyInit;

    use super::*;

    fn plain(key: &[u8; 32], text: &[u8]) -> [u8; 16] {
        Poly1305::new(key.into()).compute_unpadded(text).into()
    }

    #[test]
    fn numbers_at_the_edge_of_the_modulus_are_reduced() {
        // RFC 8439 appendix A.3: vectors 7 to 11 sit around 2^130 - 5; r of small value keeps sums there.
        for r in [1u8, 2, 4] {
            let mut key = [0; 32];
            key[0] = r;
            for first in [0xff_u8, 0xfb, 0xfa, 0xfc, 0xfe] {
                for length in [1, 15, 16, 17, 31, 32, 33, 48, 64] {
                    let mut text = vec![0xff; length];
                    text[0] = first;
                    assert_eq!(
                        tag(&key, &text),
                        plain(&key, &text),
                        "r {r} first {first} length {length}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_key_of_ones_and_a_long_text_of_ones_do_not_overflow() {
        let text = vec![0xff; 70_000];
        assert_eq!(tag(&[0xff; 32], &text), plain(&[0xff; 32], &text));
    }

    proptest! {
        #[test]
        fn tags_are_those_of_the_plain_crate(key: [u8; 32], text in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(tag(&key, &text), plain(&key, &text));
        }
    }
}
