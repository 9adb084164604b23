//! What our devices asked everybody a moment ago and nobody here could answer: it is for members that join just now, too.
//!
//! Owner: the engine. In: ARP requests and neighbour solicitations that left; who has become known. Out: frames to be held.
//! Never: a question older than `limits::QUESTION_FOR`; one for somebody who got it when it was asked.

use std::collections::VecDeque;
use std::vec::Vec;

use zt_wire::{Address, NetworkId};

use crate::engine::Engine;
use crate::limits;
use crate::outbox::HeldFrame;
use crate::shard::{TapFrame, Update};
use crate::time::{Mono, Now};

/// The questions of all networks, oldest first.
#[derive(Debug, Default)]
pub struct Questions(VecDeque<(Mono, NetworkId, HeldFrame)>);

impl Questions {
    /// Remembers a question; asked again, it counts from now on.
    pub fn keep(&mut self, now: Mono, network: NetworkId, frame: &TapFrame<'_>) {
        if frame.bytes.len() > limits::QUESTION_BYTES {
            return;
        }
        self.0.retain(|(since, on, known)| {
            let same = *on == network && *known.bytes == *frame.bytes;
            !same && now.since(*since) < limits::QUESTION_FOR
        });
        let here = |(_, on, _): &(Mono, NetworkId, HeldFrame)| *on == network;
        if self.0.iter().filter(|asked| here(asked)).count() >= limits::QUESTIONS_PER_NETWORK
            && let Some(oldest) = self.0.iter().position(here)
        {
            self.0.remove(oldest);
        }
        if self.0.len() >= limits::QUESTIONS {
            self.0.pop_front();
        }
        self.0.push_back((now, network, HeldFrame::of(frame, None)));
    }

    /// Looks at what the shard will hear: when a member goes, nobody can tell any more who got what, should it come back.
    pub fn heed(&mut self, update: &Update) {
        if let Update::Unlisted { network, .. }
        | Update::MemberOut { network, .. }
        | Update::NetworkDown(network) = update
        {
            self.0.retain(|(_, on, _)| on != network);
        }
    }

    /// What was asked on a network within the last moment.
    fn recent(&self, now: Mono, network: NetworkId) -> impl Iterator<Item = HeldFrame> + use<'_> {
        self.0
            .iter()
            .filter(move |(since, on, _)| {
                *on == network && now.since(*since) < limits::QUESTION_FOR
            })
            .map(|(_, _, frame)| frame.clone())
    }
}

impl Engine {
    /// A member has become known: it gets what was asked just before, once there are session and certificate.
    pub(crate) fn entered(&mut self, now: Now, network: NetworkId, address: Address) {
        let asked: Vec<HeldFrame> = self.questions.recent(now.mono, network).collect();
        for frame in &asked {
            self.hold(now, network, address, frame);
        }
        if !asked.is_empty() {
            self.networks
                .unready(now, network, address, &mut self.actions);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u8) -> NetworkId {
        let controller = Address::from_bytes([1, 0, 0, 0, 1]).expect("an address");
        NetworkId::new(controller, u32::from(n)).expect("a small number")
    }

    fn asked(questions: &Questions, now: Mono, on: u8) -> Vec<Vec<u8>> {
        let recent = questions.recent(now, network(on));
        recent.map(|frame| frame.bytes.to_vec()).collect()
    }

    #[test]
    fn they_are_bounded_for_a_network_in_all_and_in_bytes() {
        let mut questions = Questions::default();
        let keep = |questions: &mut Questions, on: u8, n: usize| {
            let bytes = n.to_be_bytes();
            questions.keep(Mono::ZERO, network(on), &TapFrame::plain(&bytes));
        };
        for n in 0..100 {
            keep(&mut questions, 1, n);
        }
        let kept = asked(&questions, Mono::ZERO, 1);
        assert_eq!(kept.len(), limits::QUESTIONS_PER_NETWORK);
        assert_eq!(
            kept.last().map(Vec::as_slice),
            Some(&99_usize.to_be_bytes()[..])
        );
        for on in 1..=20 {
            for n in 0..100 {
                keep(&mut questions, on, n);
            }
        }
        assert_eq!(questions.0.len(), limits::QUESTIONS);
        let long = [0; limits::QUESTION_BYTES + 1];
        questions.keep(Mono::ZERO, network(30), &TapFrame::plain(&long));
        assert!(asked(&questions, Mono::ZERO, 30).is_empty());
    }

    #[test]
    fn they_are_over_after_a_second_and_count_anew_when_repeated() {
        let mut questions = Questions::default();
        let (first, late) = (Mono::ZERO, Mono::ZERO + limits::QUESTION_FOR);
        let almost = first + limits::QUESTION_FOR / 2;
        questions.keep(first, network(1), &TapFrame::plain(b"once"));
        questions.keep(first, network(1), &TapFrame::plain(b"twice"));
        questions.keep(almost, network(1), &TapFrame::plain(b"twice"));
        assert_eq!(asked(&questions, almost, 1), [&b"once"[..], b"twice"]);
        assert_eq!(asked(&questions, late, 1), [b"twice"]);
    }

    #[test]
    fn on_a_network_that_somebody_leaves_they_are_forgotten() {
        let address = Address::from_bytes([2, 0, 0, 0, 1]).expect("an address");
        let mut questions = Questions::default();
        for on in [1, 2] {
            questions.keep(Mono::ZERO, network(on), &TapFrame::plain(b"who"));
        }
        questions.heed(&Update::Unlisted {
            network: network(1),
            address,
        });
        assert!(asked(&questions, Mono::ZERO, 1).is_empty());
        assert_eq!(asked(&questions, Mono::ZERO, 2), [b"who"]);
    }
}
