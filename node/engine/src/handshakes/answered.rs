//! First messages that were answered a moment ago: the same question gets the same answer, and no second session.
//!
//! Owner: the handshakes. In: first messages with a proven cookie, the answers made to them. Out: the answer again.
//! Never: more than `limits::ANSWERED`; an answer older than `limits::ANSWERED_FOR`.

use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

use zt_crypto::hash256;

use crate::limits;
use crate::time::Mono;

/// Names a first message, whichever way it comes: a hash over all of it, so that nobody can spoil another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question([u8; 32]);

impl Question {
    /// The name of a first message.
    pub(crate) fn of(message: &[u8]) -> Self {
        Self(hash256(message))
    }
}

/// Answers given.
#[derive(Debug, Default)]
pub struct Answered {
    answers: BTreeMap<Question, Option<Vec<u8>>>,
    order: VecDeque<(Mono, Question)>,
}

/// What to do about a first message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Repeat<'a> {
    /// It is new: work it out.
    New,
    /// It is being worked out.
    Underway,
    /// It was answered with this RESPONSE.
    Answer(&'a [u8]),
}

impl Answered {
    /// Looks a first message up and remembers it.
    pub(crate) fn ask(&mut self, now: Mono, question: Question) -> Repeat<'_> {
        self.expire(now);
        if !self.answers.contains_key(&question) {
            self.order.push_back((now, question));
            self.answers.insert(question, None);
            return Repeat::New;
        }
        match self.answers.get(&question) {
            Some(Some(answer)) => Repeat::Answer(answer),
            Some(None) | None => Repeat::Underway,
        }
    }

    /// The answer to it exists.
    pub(crate) fn keep(&mut self, question: &Question, answer: &[u8]) {
        if let Some(kept) = self.answers.get_mut(question) {
            *kept = Some(answer.to_vec());
        }
    }

    /// It gets no answer, at least not now: a repetition is looked at again.
    pub(crate) fn forget(&mut self, question: &Question) {
        self.answers.remove(question);
    }

    /// Lets go of what is older than its time.
    pub(crate) fn expire(&mut self, now: Mono) {
        while let Some((since, question)) = self.order.front()
            && (now.since(*since) >= limits::ANSWERED_FOR || self.order.len() >= limits::ANSWERED)
        {
            self.answers.remove(question);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_once_and_then_repeated_for_a_while() {
        let mut answered = Answered::default();
        let question = Question::of(b"seven");
        assert_eq!(answered.ask(Mono::ZERO, question), Repeat::New);
        assert_eq!(answered.ask(Mono::ZERO, question), Repeat::Underway);
        answered.keep(&question, b"answer");
        assert_eq!(
            answered.ask(Mono::ZERO, question),
            Repeat::Answer(b"answer")
        );
        assert_eq!(
            answered.ask(Mono::ZERO, Question::of(b"eight")),
            Repeat::New
        );
        let later = Mono::ZERO + limits::ANSWERED_FOR;
        assert_eq!(answered.ask(later, question), Repeat::New);
    }

    #[test]
    fn what_got_no_answer_is_looked_at_again() {
        let mut answered = Answered::default();
        let question = Question::of(b"seven");
        assert_eq!(answered.ask(Mono::ZERO, question), Repeat::New);
        answered.forget(&question);
        assert_eq!(answered.ask(Mono::ZERO, question), Repeat::New);
    }

    #[test]
    fn the_oldest_answer_makes_room() {
        let mut answered = Answered::default();
        for sender in 0..=limits::ANSWERED {
            let question = Question::of(&sender.to_be_bytes());
            assert_eq!(answered.ask(Mono::ZERO, question), Repeat::New);
        }
        assert!(answered.answers.len() <= limits::ANSWERED);
        assert_eq!(
            answered.ask(Mono::ZERO, Question::of(&0_usize.to_be_bytes())),
            Repeat::New
        );
    }
}
