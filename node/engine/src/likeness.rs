//! Whether the first bytes of two things are the same wherever they count, told by a few words at once.
//!
//! Owner: whoever keeps one. In: bytes, and which of them count. Out: yes or no. Never: an allocation, a byte beyond its span.

use core::ops::Range;

/// What others are to be like.
#[derive(Clone, Debug)]
pub struct Likeness {
    /// The bytes where they count, zero elsewhere.
    head: [u64; WORDS],
    mask: [u64; WORDS],
}

impl Likeness {
    /// Bytes that are looked at; what is shorter is like nothing.
    pub const SPAN: usize = WORDS * 8;

    /// What is like `head` in its `first` bytes and those that `also` names, but for those that `except` does. `None`
    /// where they reach beyond [`Self::SPAN`].
    pub fn of(
        head: &[u8; Self::SPAN],
        first: usize,
        also: impl IntoIterator<Item = Range<usize>>,
        except: impl IntoIterator<Item = Range<usize>>,
    ) -> Option<Self> {
        let mut mask = [0; Self::SPAN];
        mask.get_mut(..first)?.fill(u8::MAX);
        for range in also {
            mask.get_mut(range)?.fill(u8::MAX);
        }
        for range in except {
            mask.get_mut(range)?.fill(0);
        }
        let mask = words(&mask);
        let mut head = words(head);
        for (word, mask) in head.iter_mut().zip(mask) {
            *word &= mask;
        }
        Some(Self { head, mask })
    }

    /// Whether these bytes are like it.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let (chunks, _) = bytes.as_chunks::<8>();
        let Some(chunks) = chunks.first_chunk::<WORDS>() else {
            return false;
        };
        let other = chunks.iter().zip(&self.head).zip(&self.mask);
        let other = other.fold(0, |other, ((chunk, head), mask)| {
            other | ((u64::from_ne_bytes(*chunk) & mask) ^ head)
        });
        other == 0
    }
}

fn words(bytes: &[u8; Likeness::SPAN]) -> [u64; WORDS] {
    let (chunks, _) = bytes.as_chunks::<8>();
    let mut words = [0; WORDS];
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u64::from_ne_bytes(*chunk);
    }
    words
}

/// FRAME's header with MACs and checksum, and what IPv6 and TCP have up to the flags: 28 and 56 bytes. At a device
/// Ethernet, IPv6 and TCP with timestamps: 86 bytes.
const WORDS: usize = 11;
const _: () = assert!(Likeness::SPAN >= 28 + 56 && Likeness::SPAN >= 86);

#[cfg(test)]
mod tests {
    use core::iter::{empty, once};

    use super::*;

    const SPAN: usize = Likeness::SPAN;

    #[test]
    fn only_bytes_that_count_make_a_difference() {
        let head = core::array::from_fn(|at| u8::try_from(at).expect("88"));
        let likeness = Likeness::of(&head, 10, once(20..SPAN), once(4..6)).expect("inside");
        assert!(likeness.holds(&head));
        for at in 0..SPAN {
            let mut other = head;
            other[at] ^= 0x80;
            let counts = !(4..6).contains(&at) && !(10..20).contains(&at);
            assert_eq!(likeness.holds(&other), !counts, "byte {at}");
        }
        assert!(!likeness.holds(&head[..SPAN - 1]), "too short");
        assert!(likeness.holds(&[&head[..], &[1; 9]].concat()));
    }

    #[test]
    fn what_lies_beyond_its_span_is_not_looked_at() {
        let head = [0; SPAN];
        assert!(Likeness::of(&head, SPAN + 1, empty(), empty()).is_none());
        assert!(Likeness::of(&head, SPAN, once(SPAN..SPAN + 2), empty()).is_none());
    }
}
