//! What a run means: which frames crossed, which were rightly stopped, which should have crossed and did not.
//!
//! Owner: nobody. In: what was sent, what was heard. Out: one line for each frame, with its reason.
//! Never: a frame counted as crossed that came changed, twice or out of its order.

use std::format;
use std::string::String;
use std::vec::Vec;

use zt_frames::{KINDS, Needs};
use zt_wire::Address;

use super::{Arrived, Expected};
use crate::interface::{SelftestFrame, SelftestWay, Verdict};

/// The report of the receiver's end, or of the sender's with what the receiver told.
pub(super) fn heard(
    (from, to): (Address, Address),
    frames: &[Expected],
    stopped: &[(u16, String)],
    arrived: &[Arrived],
) -> SelftestWay {
    let nothing = Arrived::default();
    let mut furthest = None;
    let mut lines = Vec::with_capacity(frames.len());
    for (index, frame) in (0_u16..).zip(frames) {
        let came = arrived.get(usize::from(index)).unwrap_or(&nothing);
        let in_order = came.place >= furthest;
        furthest = furthest.max(came.place);
        let unsent = stopped.iter().find(|(number, _)| *number == index);
        let (verdict, why) = match unsent {
            Some((_, reason)) => stopped_by(&frame.name, reason, "the sender"),
            None => judged(&frame.name, came, in_order),
        };
        lines.push(SelftestFrame {
            kind: frame.name.clone(),
            length: frame.length,
            verdict,
            why,
        });
    }
    SelftestWay {
        from,
        to,
        frames: lines,
        moved: false,
    }
}

fn judged(name: &str, came: &Arrived, in_order: bool) -> (Verdict, String) {
    if !came.reason.is_empty() {
        return stopped_by(name, &came.reason, "the receiver");
    }
    match came.times {
        0 => (
            Verdict::Lost,
            String::from("left the sender, never reached the receiver's switch"),
        ),
        _ if came.changed => (Verdict::Changed, String::from("other bytes than were sent")),
        1 if in_order => (Verdict::Crossed, String::new()),
        1 => (
            Verdict::Reordered,
            String::from("came behind a frame that was sent later"),
        ),
        times => (Verdict::Repeated, format!("came {times} times")),
    }
}

fn stopped_by(name: &str, reason: &str, whom: &str) -> (Verdict, String) {
    let needs = KINDS
        .iter()
        .find(|kind| kind.name == name)
        .map_or(Needs::Nothing, |kind| kind.needs);
    if !needs.excuses(reason) {
        return (Verdict::Lost, format!("dropped by {whom}: {reason}"));
    }
    let why = match reason {
        "rule-tx" | "rule-rx" => format!("the network's rules ({reason})"),
        _ => String::from(needs.text()),
    };
    (Verdict::Stopped, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> Address {
        Address::from_bytes([1, 0, 0, 0, n]).expect("an address")
    }

    fn run(names: &[&str], stopped: &[(u16, &str)], arrived: &[Arrived]) -> Vec<Verdict> {
        let frames: Vec<_> = names
            .iter()
            .map(|name| Expected {
                name: String::from(*name),
                length: 60,
            })
            .collect();
        let stopped: Vec<_> = stopped
            .iter()
            .map(|(index, reason)| (*index, String::from(*reason)))
            .collect();
        let way = heard((address(1), address(2)), &frames, &stopped, arrived);
        way.frames.iter().map(|frame| frame.verdict).collect()
    }

    fn came(times: u8, place: u16) -> Arrived {
        Arrived {
            times,
            place: Some(place),
            ..Arrived::default()
        }
    }

    #[test]
    fn only_what_came_whole_once_and_in_order_has_crossed() {
        let changed = Arrived {
            changed: true,
            ..came(1, 5)
        };
        let verdicts = run(
            &["a", "b", "c", "d", "e", "f"],
            &[],
            &[
                came(1, 0),
                came(1, 3),
                came(1, 2),
                came(2, 4),
                Arrived::default(),
                changed,
            ],
        );
        let expected = [
            Verdict::Crossed,
            Verdict::Crossed,
            Verdict::Reordered,
            Verdict::Repeated,
            Verdict::Lost,
            Verdict::Changed,
        ];
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn policy_stops_what_needs_it_and_nothing_else() {
        let refused = |reason: &str| Arrived {
            reason: String::from(reason),
            ..came(1, 0)
        };
        assert_eq!(
            run(&["LLDP"], &[(0, "reserved-group")], &[]),
            [Verdict::Stopped]
        );
        assert_eq!(
            run(&["60 bytes"], &[(0, "frame-size")], &[]),
            [Verdict::Lost]
        );
        assert_eq!(
            run(&["60 bytes"], &[], &[refused("rule-rx")]),
            [Verdict::Stopped]
        );
        assert_eq!(
            run(&["DHCP offer"], &[], &[refused("source-ip")]),
            [Verdict::Lost]
        );
    }
}
