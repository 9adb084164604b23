//! What the project wants to reach, as ratios within one run.
//!
//! In: rows. Out: which ratio was found and whether it is enough: the median of the rounds' ratios. Never: figures of
//! two rounds in one ratio.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    figures::{Figures, median},
    table::Row,
};

/// A figure that the project has set itself.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// What.
    pub what: String,
    /// The ratio found; absent where one of the two was not measured.
    pub found: Option<f64>,
    /// The ratio wanted.
    pub wanted: f64,
    /// Whether it is reached.
    pub ok: Option<bool>,
}

type Figure = fn(&Figures) -> Option<f64>;

/// One side of a ratio: a figure of a contender, or what it adds to the cable's.
#[derive(Clone, Copy)]
enum Side {
    Of(&'static str, Figure),
    Added(&'static str, Figure),
    Number(f64),
}

/// What, one side, the other, the least quotient.
type Wanted = (&'static str, Side, Side, f64);

const ONE: Figure = |row| row.tcp_one;
const SMALL: Figure = |row| row.udp_64;
const P50: Figure = |row| row.trip_p50;
const P99: Figure = |row| row.trip_p99;
const CPU: Figure = |row| row.cpu_per_gb;
const AES: Side = Side::Of("zt aes", ONE);

const WANTED: [Wanted; 14] = [
    (
        "TCP one stream, AES / vpncloud",
        AES,
        Side::Of("vpncloud", ONE),
        4.0,
    ),
    (
        "TCP one stream, AES / raw veth",
        AES,
        Side::Of("raw veth", ONE),
        0.4,
    ),
    (
        "TCP one stream, AES / limit",
        AES,
        Side::Of("limit", ONE),
        0.7,
    ),
    (
        "TCP one stream, Salsa20 / vpncloud",
        Side::Of("zt salsa", ONE),
        Side::Of("vpncloud", ONE),
        1.5,
    ),
    (
        "TCP four streams / one",
        Side::Of("zt aes", |row| row.tcp_four),
        AES,
        1.0,
    ),
    (
        "TCP both directions / one",
        Side::Of("zt aes", |row| row.tcp_both),
        AES,
        1.0,
    ),
    (
        "UDP 1400 / vpncloud",
        Side::Of("zt aes", |row| row.udp_1400),
        Side::Of("vpncloud", |row| row.udp_1400),
        3.0,
    ),
    (
        "64-byte packets / vpncloud",
        Side::Of("zt aes", SMALL),
        Side::Of("vpncloud", SMALL),
        3.0,
    ),
    (
        "64-byte packets / tinc",
        Side::Of("zt aes", SMALL),
        Side::Of("tinc", SMALL),
        2.0,
    ),
    (
        "round trip p50 added, vpncloud's / ours",
        Side::Added("vpncloud", P50),
        Side::Added("zt aes", P50),
        1.0,
    ),
    (
        "round trip p99 added, vpncloud's / ours",
        Side::Added("vpncloud", P99),
        Side::Added("zt aes", P99),
        1.0,
    ),
    (
        "CPU per GB, vpncloud's / ours",
        Side::Of("vpncloud", CPU),
        Side::Of("zt aes", CPU),
        5.0,
    ),
    (
        "1 ms / p99 beside 200 Mbit/s",
        Side::Number(1000.0),
        Side::Of("zt aes", |row| row.busy_p99),
        1.0,
    ),
    ("relay / direct", Side::Of("zt relay", ONE), AES, 0.4),
];

/// The targets and what was found.
pub fn targets(rows: &[Row]) -> Vec<Target> {
    WANTED
        .iter()
        .map(|(what, ours, theirs, wanted)| {
            let rounds = rows.iter().map(|row| row.rounds.len()).max().unwrap_or(0);
            let found = median(
                (0..rounds)
                    .filter_map(|round| Some(ours.of(rows, round)? / theirs.of(rows, round)?)),
            );
            Target {
                what: (*what).to_owned(),
                found,
                wanted: *wanted,
                ok: found.map(|found| found >= *wanted),
            }
        })
        .collect()
}

impl Side {
    fn of(self, rows: &[Row], round: usize) -> Option<f64> {
        let look = |name: &str, figure: Figure| {
            let row = rows.iter().find(|row| row.name == name)?;
            figure(row.rounds.get(round)?)
        };
        match self {
            Self::Of(name, figure) => look(name, figure),
            // What is faster than the cable can tell apart counts as a microsecond.
            Self::Added(name, figure) => {
                Some((look(name, figure)? - look("raw veth", figure)?).max(1.0))
            }
            Self::Number(number) => Some(number),
        }
    }
}

/// The targets for people.
pub fn ratios(targets: &[Target]) -> String {
    let mut text = String::new();
    for target in targets {
        let (mark, found) = match (target.ok, target.found) {
            (Some(true), Some(found)) => ("ok  ", format!("{found:.2}")),
            (_, Some(found)) => ("miss", format!("{found:.2}")),
            _ => ("-   ", "not measured".to_owned()),
        };
        let _infallible = writeln!(
            text,
            "  {mark}  {:42} {found:>8}   wanted {:.2}",
            target.what, target.wanted
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, tcp_one: f64) -> Row {
        let figures = Figures {
            tcp_one: Some(tcp_one),
            ..Figures::default()
        };
        Row::new(name, vec![figures])
    }

    #[test]
    fn a_target_is_missed_reached_or_not_measured() {
        let rows = [
            row("raw veth", 1000.0),
            row("zt aes", 500.0),
            row("limit", 1000.0),
        ];
        let targets = targets(&rows);
        let of = |what: &str| {
            targets
                .iter()
                .find(|target| target.what.ends_with(what))
                .expect("a target")
                .ok
        };
        assert_eq!(of("AES / raw veth"), Some(true));
        assert_eq!(of("AES / limit"), Some(false));
        assert_eq!(of("AES / vpncloud"), None);
        let text = ratios(&targets);
        assert!(
            text.contains("ok    TCP one stream, AES / raw veth"),
            "{text}"
        );
    }

    #[test]
    fn a_machine_that_changes_its_speed_between_rounds_changes_no_ratio() {
        let rounds = |figures: [f64; 3]| {
            let round = |tcp_one| Figures {
                tcp_one,
                ..Figures::default()
            };
            figures.map(|figure| round(Some(figure))).to_vec()
        };
        let mut rows = [
            Row::new("raw veth", rounds([1000.0, 400.0, 2000.0])),
            Row::new("zt aes", rounds([500.0, 200.0, 900.0])),
        ];
        let found = |rows: &[Row]| {
            let all = targets(rows);
            all.iter()
                .find(|target| target.what.ends_with("raw veth"))?
                .found
        };
        assert_eq!(found(&rows), Some(0.5));
        rows[1].rounds[1] = Figures::default();
        rows[1].rounds[0] = Figures::default();
        assert_eq!(found(&rows), Some(0.45), "where both were measured");
    }
}
