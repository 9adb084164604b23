//! What a rule set decides for one frame, at either end.
//!
//! In: facts, both ends with their tags. Out: `Outcome`, with the line that decided.
//! Never: an allocation. Both ends decide alike; what they do about a tee or a redirect is the caller's.

use zt_wire::Address;

use crate::facts::Facts;
use crate::{Action, Capability, Rule, RuleSet, Tag};

/// A capability travels in a certificate as the tag with this bit and its number.
pub const CAPABILITY_BIT: u32 = 0x8000_0000;

/// One end of a frame's way: a member and what its certificate carries.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The member.
    pub address: Address,
    /// Tags of its certificate: id and value.
    tags: &'a [(u32, u32)],
    known: &'a [Tag],
}

impl<'a> End<'a> {
    /// A member whose certificate carries `tags`, on a network with these rules.
    pub const fn new(address: Address, tags: &'a [(u32, u32)], rules: &'a RuleSet) -> Self {
        Self {
            address,
            tags,
            known: rules.tags.as_slice(),
        }
    }

    /// A member without tags.
    pub const fn bare(address: Address) -> Self {
        Self {
            address,
            tags: &[],
            known: &[],
        }
    }

    /// The value of a tag: the certificate's, else the rule set's default.
    pub fn tag(&self, id: u32) -> Option<u32> {
        let carried = self
            .tags
            .iter()
            .find(|(tag, _)| *tag == id)
            .map(|(_, value)| *value);
        carried.or_else(|| {
            self.known
                .iter()
                .find(|tag| tag.id == id)
                .and_then(|tag| tag.default)
        })
    }

    /// Whether its certificate grants a capability.
    pub fn can(&self, capability: u32) -> bool {
        self.tags
            .iter()
            .any(|(tag, _)| *tag == capability | CAPABILITY_BIT)
    }
}

/// Whether a frame passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To whom it is addressed.
    Pass,
    /// To this member instead.
    Redirect(Address),
    /// To nobody.
    Drop,
}

/// What was decided, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the frame passes.
    pub verdict: Verdict,
    /// Who gets a copy of how many bytes; the last tee rule that held.
    pub tee: Option<(Address, u16)>,
    /// The 802.1p priority that a rule gave.
    pub priority: Option<u8>,
    /// The line of the rule that decided; `None` when the end of the rules did.
    pub line: Option<u16>,
    /// The capability whose rule decided.
    pub capability: Option<u32>,
}

/// What a receiver gets of a frame, and who else gets some of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// How much of the frame the receiver gets.
    pub gets: Gets,
    /// Who else gets how many bytes.
    pub tee: Option<(Address, u16)>,
    /// The 802.1p priority that a rule gave.
    pub priority: Option<u8>,
}

/// How much of a frame a receiver gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gets {
    /// All of it.
    Whole,
    /// Its first bytes: it is the one that a tee names.
    Head(u16),
    /// Nothing: this member gets it instead.
    Elsewhere(Address),
    /// Nothing.
    Nothing,
}

impl Fate {
    /// The fate of every frame where there are no rules.
    pub const WHOLE: Self = Self {
        gets: Gets::Whole,
        tee: None,
        priority: None,
    };

    /// What an outcome means for the member that it was decided for.
    pub fn of(outcome: &Outcome, from: Address, to: Address) -> Self {
        let gets = match (outcome.verdict, outcome.tee) {
            (Verdict::Pass, _) => Gets::Whole,
            // Who frames are redirected to sends them on.
            (Verdict::Redirect(elsewhere), _) if elsewhere == to || elsewhere == from => {
                Gets::Whole
            }
            (Verdict::Redirect(_) | Verdict::Drop, Some((copy, length))) if copy == to => {
                Gets::Head(length)
            }
            (Verdict::Redirect(elsewhere), _) => Gets::Elsewhere(elsewhere),
            (Verdict::Drop, _) => Gets::Nothing,
        };
        let tee = outcome.tee.filter(|(copy, _)| *copy != to && *copy != from);
        Self {
            gets,
            tee,
            priority: outcome.priority,
        }
    }
}

/// Tries the rules of one network.
#[derive(Clone, Debug, Default)]
pub struct Decider {
    rules: RuleSet,
}

enum Base {
    Decided,
    Open,
}

impl Decider {
    /// A decider for this set.
    pub const fn new(rules: RuleSet) -> Self {
        Self { rules }
    }

    /// The rules it tries.
    pub const fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// Whether every frame passes untouched, so that frames need not be looked at.
    pub const fn lets_all_pass(&self) -> bool {
        self.rules.rules.is_empty()
    }

    /// Decides for a frame from one member to another. For a group address, `to` is each receiver in turn.
    pub fn decide(&self, facts: &Facts, from: &End<'_>, to: &End<'_>) -> Outcome {
        let mut outcome = Outcome {
            verdict: Verdict::Pass,
            tee: None,
            priority: None,
            line: None,
            capability: None,
        };
        if self.lets_all_pass() {
            return outcome;
        }
        outcome.verdict = Verdict::Drop;
        if let Base::Decided = try_rules(&self.rules.rules, facts, from, to, &mut outcome) {
            return outcome;
        }
        let refused_at = outcome.line;
        for Capability { id, rules, .. } in self
            .rules
            .capabilities
            .iter()
            .filter(|granted| from.can(granted.id))
        {
            let decided = matches!(
                try_rules(rules, facts, from, to, &mut outcome),
                Base::Decided
            );
            if decided && outcome.verdict != Verdict::Drop {
                outcome.capability = Some(*id);
                return outcome;
            }
        }
        outcome.verdict = Verdict::Drop;
        outcome.line = refused_at;
        outcome
    }

    /// What one receiver gets. `named`: the other member that the destination MAC names, if any. A redirected or copied
    /// frame still names whom it was sent to, and that member is whom the rules speak of.
    pub fn fate(
        &self,
        facts: &Facts,
        from: &End<'_>,
        to: &End<'_>,
        named: Option<&End<'_>>,
    ) -> Fate {
        let mut fate = Fate::of(&self.decide(facts, from, to), from.address, to.address);
        if matches!(fate.gets, Gets::Nothing | Gets::Elsewhere(_))
            && let Some(named) = named
        {
            let meant = self.decide(facts, from, named);
            match (meant.verdict, meant.tee) {
                (Verdict::Redirect(elsewhere), _) if elsewhere == to.address => {
                    fate.gets = Gets::Whole;
                }
                (_, Some((copy, length))) if copy == to.address => fate.gets = Gets::Head(length),
                (Verdict::Pass | Verdict::Redirect(_) | Verdict::Drop, _) => {}
            }
        }
        fate
    }
}

/// Tries rules in order; `Open` when a break or the end leaves it to capabilities.
fn try_rules(
    rules: &[Rule],
    facts: &Facts,
    from: &End<'_>,
    to: &End<'_>,
    outcome: &mut Outcome,
) -> Base {
    for rule in rules
        .iter()
        .filter(|rule| rule.condition.holds(facts, from, to))
    {
        match rule.action {
            Action::Tee { to, length } => outcome.tee = Some((to, length)),
            Action::Priority { level } => outcome.priority = Some(level),
            Action::Accept => {
                outcome.verdict = Verdict::Pass;
                outcome.line = Some(rule.line);
                return Base::Decided;
            }
            Action::Redirect { to } => {
                outcome.verdict = Verdict::Redirect(to);
                outcome.line = Some(rule.line);
                return Base::Decided;
            }
            Action::Drop => {
                outcome.verdict = Verdict::Drop;
                outcome.line = Some(rule.line);
                return Base::Decided;
            }
            Action::Break => {
                outcome.line = Some(rule.line);
                return Base::Open;
            }
        }
    }
    Base::Open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::ipv4_frame;
    use crate::text::compile;

    const A: &str = "89abcdef01";
    const B: &str = "0123456789";

    fn decide(text: &str, frame: &[u8], tags: [&[(u32, u32)]; 2]) -> Outcome {
        let rules = compile(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let decider = Decider::new(rules);
        let from = End::new(A.parse().unwrap(), tags[0], decider.rules());
        let to = End::new(B.parse().unwrap(), tags[1], decider.rules());
        decider.decide(&Facts::of(frame).unwrap(), &from, &to)
    }

    fn tcp(port: u16) -> Vec<u8> {
        ipv4_frame(6, (40_000, port), 0x02)
    }

    #[test]
    fn no_rules_let_every_frame_pass() {
        assert_eq!(decide("", &tcp(22), [&[], &[]]).verdict, Verdict::Pass);
    }

    #[test]
    fn the_end_of_the_rules_drops() {
        let outcome = decide("accept if arp;", &tcp(22), [&[], &[]]);
        assert_eq!((outcome.verdict, outcome.line), (Verdict::Drop, None));
    }

    #[test]
    fn the_first_rule_that_holds_decides_and_is_named() {
        let text = "drop if port-to 22;\naccept if tcp;\ndrop;";
        assert_eq!(decide(text, &tcp(22), [&[], &[]]).line, Some(1));
        let outcome = decide(text, &tcp(80), [&[], &[]]);
        assert_eq!((outcome.verdict, outcome.line), (Verdict::Pass, Some(2)));
    }

    #[test]
    fn a_capability_opens_what_a_break_closed_but_not_what_a_drop_did() {
        let text = |word: &str| {
            format!(
                "capability admin = 7 {{ accept if port-to 22; }}\n{word} if port-to 22;\naccept;"
            )
        };
        let granted: &[(u32, u32)] = &[(CAPABILITY_BIT | 7, 1)];
        assert_eq!(
            decide(&text("break"), &tcp(22), [granted, &[]]).capability,
            Some(7)
        );
        assert_eq!(
            decide(&text("break"), &tcp(22), [&[], &[]]).verdict,
            Verdict::Drop
        );
        assert_eq!(
            decide(&text("break"), &tcp(22), [&[], granted]).verdict,
            Verdict::Drop,
            "it is the sender's"
        );
        assert_eq!(
            decide(&text("drop"), &tcp(22), [granted, &[]]).verdict,
            Verdict::Drop
        );
    }

    #[test]
    fn tags_of_both_ends_are_compared() {
        let text =
            "tag team = 1 { red = 1; blue = 2; default red; }\naccept if tag team equal;\ndrop;";
        assert_eq!(
            decide(text, &tcp(1), [&[(1, 2)], &[(1, 2)]]).verdict,
            Verdict::Pass
        );
        assert_eq!(
            decide(text, &tcp(1), [&[(1, 2)], &[]]).verdict,
            Verdict::Drop,
            "the default is red"
        );
        assert_eq!(
            decide(text, &tcp(1), [&[(1, 1)], &[]]).verdict,
            Verdict::Pass
        );
        let bits = "tag groups = 2;\naccept if tag groups bits 4;\ndrop;";
        assert_eq!(
            decide(bits, &tcp(1), [&[(2, 6)], &[(2, 5)]]).verdict,
            Verdict::Pass
        );
        assert_eq!(
            decide(bits, &tcp(1), [&[(2, 2)], &[(2, 5)]]).verdict,
            Verdict::Drop
        );
    }

    #[test]
    fn tee_and_priority_go_on_to_the_next_rule() {
        let outcome = decide(
            "tee 89abcdef02 64;\npriority 6 if tcp;\naccept;",
            &tcp(1),
            [&[], &[]],
        );
        assert_eq!(outcome.tee, Some(("89abcdef02".parse().unwrap(), 64)));
        assert_eq!((outcome.priority, outcome.line), (Some(6), Some(3)));
    }

    #[test]
    fn the_lan_game_profile_opens_broadcast_ipx_and_the_chosen_ports_only() {
        let text = "profile lan-game udp 27015, tcp 7777-7780;";
        let pass = |frame: &[u8]| decide(text, frame, [&[], &[]]).verdict == Verdict::Pass;
        assert!(pass(&ipv4_frame(17, (50_000, 27_015), 0)));
        assert!(pass(&ipv4_frame(17, (27_015, 50_000), 0)), "the answer");
        assert!(pass(&tcp(7778)));
        assert!(!pass(&tcp(22)) && !pass(&tcp(445)));
        assert!(
            !pass(&ipv4_frame(6, (7777, 445), 0x02)),
            "a new connection from a game's port"
        );
        assert!(pass(&ipv4_frame(6, (7777, 50_000), 0x12)), "the answer");
        let mut broadcast = ipv4_frame(17, (1, 9), 0);
        broadcast[..6].fill(0xff);
        assert!(pass(&broadcast));
        assert!(pass(
            &[
                &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0x37][..],
                &[0; 46]
            ]
            .concat()
        ));
    }
}
