//! How many first messages each source may still send: token buckets.
//!
//! Owner: the handshakes. In: a source and the present. Out: yes or no.
//! Never: more than `limits::BUCKETS` sources; the one that came first is forgotten first.

use std::collections::{BTreeMap, VecDeque};

use crate::handshakes::origin::Block;
use crate::limits;
use crate::time::Mono;

/// Token buckets by source block.
#[derive(Debug, Default)]
pub struct Buckets {
    levels: BTreeMap<Block, Level>,
    order: VecDeque<Block>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Tokens left, in thousandths.
    millis: u64,
    at: Mono,
}

const FULL: u64 = limits::BUCKET_DEPTH as u64 * 1_000;

impl Buckets {
    /// Takes one token of `source`; false when there is none.
    pub fn take(&mut self, now: Mono, source: Block) -> bool {
        if !self.levels.contains_key(&source) {
            self.admit(now, source);
        }
        let Some(level) = self.levels.get_mut(&source) else {
            return false;
        };
        let passed = u64::try_from(now.since(level.at).as_millis()).unwrap_or(u64::MAX);
        if passed > 0 {
            let gained = passed.saturating_mul(u64::from(limits::BUCKET_PER_SECOND));
            level.millis = level.millis.saturating_add(gained).min(FULL);
            level.at = now;
        }
        if level.millis < 1_000 {
            return false;
        }
        level.millis -= 1_000;
        true
    }

    fn admit(&mut self, now: Mono, source: Block) {
        if self.order.len() >= limits::BUCKETS
            && let Some(oldest) = self.order.pop_front()
        {
            self.levels.remove(&oldest);
        }
        self.order.push_back(source);
        self.levels.insert(
            source,
            Level {
                millis: FULL,
                at: now,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::shard::Path;

    fn block(text: &str) -> Block {
        Block::of(&Path::Direct(text.parse().expect("an endpoint")))
    }

    #[test]
    fn a_source_runs_dry_and_refills() {
        let mut buckets = Buckets::default();
        let source = block("192.0.2.1:9");
        let taken = (0..5_000)
            .filter(|_| buckets.take(Mono::ZERO, source))
            .count();
        assert_eq!(taken, limits::BUCKET_DEPTH as usize);
        let later = Mono::ZERO + Duration::from_millis(500);
        let again = (0..5_000).filter(|_| buckets.take(later, source)).count();
        assert_eq!(again, limits::BUCKET_PER_SECOND as usize / 2);
    }

    #[test]
    fn one_source_does_not_dry_another() {
        let mut buckets = Buckets::default();
        while buckets.take(Mono::ZERO, block("192.0.2.1:9")) {}
        assert!(
            !buckets.take(Mono::ZERO, block("192.0.2.1:10")),
            "the port does not matter"
        );
        assert!(buckets.take(Mono::ZERO, block("192.0.2.2:9")));
        while buckets.take(Mono::ZERO, block("[2001:db8::1]:9")) {}
        assert!(
            !buckets.take(Mono::ZERO, block("[2001:db8::2]:9")),
            "one /64 is one source"
        );
    }

    #[test]
    fn many_sources_never_grow_the_table() {
        let mut buckets = Buckets::default();
        for n in 0..20_000_u32 {
            let ip = core::net::Ipv4Addr::from(n);
            buckets.take(Mono::ZERO, Block::of(&Path::Direct((ip, 1).into())));
        }
        assert_eq!(buckets.levels.len(), limits::BUCKETS);
        assert_eq!(buckets.order.len(), limits::BUCKETS);
    }
}
