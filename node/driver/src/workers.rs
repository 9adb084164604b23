//! `--workers`: how many share the sessions.
//!
//! Owner: nobody; a plain value. In: what people type. Out: how many begin, how many there may be.
//! Never: more than the session index can name.

use std::fmt;
use std::str::FromStr;

use zt_engine::shard::WORKERS;

use crate::runtime::Workers;

/// What people type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkerRange {
    /// One up to half of the processors: a worker needs one beside those of the programs that it serves.
    #[default]
    Auto,
    /// From so many up to so many.
    Of(usize, usize),
}

impl WorkerRange {
    /// What it comes to on this machine.
    pub fn workers(self) -> Workers {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self {
            Self::Auto => Workers {
                first: 1,
                most: (cores / 2).clamp(1, WORKERS),
            },
            Self::Of(first, most) => Workers { first, most },
        }
    }
}

impl FromStr for WorkerRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let (first, most) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| text.parse::<usize>().ok();
        match (number(first), number(most)) {
            (Some(first), Some(most)) if 1 <= first && first <= most && most <= WORKERS => {
                Ok(Self::Of(first, most))
            }
            _ => Err(format!(
                "say a number from 1 to {WORKERS}, a range like 1..4, or auto"
            )),
        }
    }
}

impl fmt::Display for WorkerRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Of(first, most) if first == most => first.fmt(f),
            Self::Of(first, most) => write!(f, "{first}..{most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_a_range_and_auto_are_taken_and_written_alike() {
        for (text, range) in [
            ("auto", WorkerRange::Auto),
            ("1", WorkerRange::Of(1, 1)),
            ("3", WorkerRange::Of(3, 3)),
            ("1..16", WorkerRange::Of(1, 16)),
        ] {
            assert_eq!(text.parse(), Ok(range));
            assert_eq!(range.to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        for text in ["", "0", "17", "4..2", "1..", "two", "1..17", "-1"] {
            let refused = text.parse::<WorkerRange>().unwrap_err();
            assert!(refused.contains("1 to 16"), "{text}: {refused}");
        }
    }
}
