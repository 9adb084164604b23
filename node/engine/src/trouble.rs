//! What a person should hear of frames that go no further: who sent them, what is wrong, once per episode.
//!
//! Owner: a network's table. In: each such drop. Out: whether it is news.
//! Never: a line per frame; more memory than `limits::TROUBLES`.

use std::vec::Vec;

use zt_wire::{Address, Mac};

use crate::counters::DropReason;
use crate::limits;
use crate::time::Mono;

/// What is wrong with somebody's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// They carry a source MAC that the member has no right to.
    Claim(Mac),
    /// They carry another member's MAC.
    Forged(Mac),
    /// They are broadcasts, multicasts or unknown unicasts beyond the budget.
    Storm,
    /// A station changes its place too often.
    Flapping(Mac),
    /// They are a DHCP server's, from this MAC, without the right.
    DhcpServer(Mac),
    /// They are a router's advertisements, from this MAC, without the right.
    RouterAdvertisement(Mac),
    /// They carry, from this MAC, an IP address that is not the member's.
    SourceIp(Mac),
    /// They are for a group that bridges keep to themselves.
    ReservedGroup,
}

impl Trouble {
    /// What a drop means for people; most mean nothing.
    pub(crate) const fn of(reason: DropReason, from: Mac, members: bool) -> Option<Self> {
        match reason {
            DropReason::SourceMac if members => Some(Self::Forged(from)),
            DropReason::SourceMac => Some(Self::Claim(from)),
            DropReason::Storm => Some(Self::Storm),
            DropReason::Flapping => Some(Self::Flapping(from)),
            DropReason::DhcpServer => Some(Self::DhcpServer(from)),
            DropReason::RouterAdvertisement => Some(Self::RouterAdvertisement(from)),
            DropReason::SourceIp => Some(Self::SourceIp(from)),
            DropReason::ReservedGroup => Some(Self::ReservedGroup),
            _ => None,
        }
    }
}

/// What was told lately.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Vec<Once>);

#[derive(Clone, Debug)]
struct Once {
    member: Option<Address>,
    reason: DropReason,
    told: Mono,
    last: Mono,
}

impl Told {
    /// Whether this trouble of this member (`None`: our own device's) is to be told now.
    pub(crate) fn is_news(
        &mut self,
        now: Mono,
        member: Option<Address>,
        reason: DropReason,
    ) -> bool {
        let known = self
            .0
            .iter_mut()
            .find(|once| once.member == member && once.reason == reason);
        if let Some(once) = known {
            let paused = now.since(once.last) >= limits::TROUBLE_PAUSE;
            once.last = now;
            if !paused && now.since(once.told) < limits::TROUBLE_AGAIN {
                return false;
            }
            once.told = now;
            return true;
        }
        if self.0.len() >= limits::TROUBLES {
            self.0
                .retain(|once| now.since(once.last) < limits::TROUBLE_PAUSE);
        }
        if self.0.len() >= limits::TROUBLES {
            return false;
        }
        self.0.push(Once {
            member,
            reason,
            told: now,
            last: now,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn an_episode_is_told_once_and_again_when_it_does_not_end() {
        let mut told = Told::default();
        let mut news = 0;
        for second in 0..1_300 {
            news += u32::from(told.is_news(at(second), None, DropReason::Storm));
        }
        assert_eq!(news, 3, "at 0, 600 and 1,200 s");
        assert!(!told.is_news(at(1_305), None, DropReason::Storm));
        assert!(
            told.is_news(at(1_315), None, DropReason::Storm),
            "a new one"
        );
    }

    #[test]
    fn each_member_s_troubles_are_told_apart_up_to_the_limit() {
        let mut told = Told::default();
        let member = |number: u8| Address::from_bytes([1, 2, 3, 4, number]).ok();
        for number in 0..100 {
            let news = told.is_news(at(1), member(number), DropReason::SourceMac);
            assert_eq!(news, usize::from(number) < limits::TROUBLES);
        }
        assert!(told.is_news(at(30), member(99), DropReason::SourceMac));
    }
}
