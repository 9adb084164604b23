//! Frames back to back: what shows loss, doubling and reordering under load.
//!
//! Owner: nobody. In: ends, a run, how many and how long. Out: frames with consecutive numbers.
//! Never: a broadcast: a storm's budget is another matter.

use crate::draft::Draft;
use crate::{Ends, Mark};

/// Many small frames: how many, and their length.
pub const SMALL: (u16, usize) = (2_000, 200);
/// Fewer large frames: how many, and their length.
pub const LARGE: (u16, usize) = (500, 1_400);

/// Unicast frames of one length, numbered from zero.
pub fn burst(ends: &Ends, run: [u8; 6], (count, length): (u16, usize)) -> Vec<Vec<u8>> {
    (0..count)
        .map(|index| {
            let mark = Mark { run, index };
            Draft { ends, mark }.size(length)
        })
        .collect()
}
