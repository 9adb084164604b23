//! The table of the bench, the ratios below it, and the picture.
//!
//! In: rows. Out: text, JSON, SVG. Never: a measurement.

use std::fmt::Write as _;

use serde::Serialize;

use super::figures::Figures;

/// A contender and its figures.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its figures: the median of the rounds.
    #[serde(flatten)]
    pub figures: Figures,
    /// The figures of each round; nothing in those in which it did not start.
    #[serde(skip)]
    pub rounds: Vec<Figures>,
}

impl Row {
    /// A contender's row.
    pub fn new(name: &str, rounds: Vec<Figures>) -> Self {
        Self {
            name: name.to_owned(),
            figures: Figures::median(&rounds),
            rounds,
        }
    }
}

type Column = (&'static str, fn(&Figures) -> Option<f64>, usize);

const COLUMNS: [Column; 15] = [
    ("TCP 1", |row| row.tcp_one, 0),
    ("TCP 4", |row| row.tcp_four, 0),
    ("TCP <>", |row| row.tcp_both, 0),
    ("UDP1400", |row| row.udp_1400, 0),
    ("64B k/s", |row| row.udp_64.map(|rate| rate / 1e3), 0),
    ("loss %", |row| row.udp_64_loss, 0),
    ("USO", |row| row.udp_uso, 0),
    ("rtt p50", |row| row.trip_p50, 0),
    ("p99", |row| row.trip_p99, 0),
    ("bulk p50", |row| row.busy_p50, 0),
    ("p99", |row| row.busy_p99, 0),
    ("CPU s/GB", |row| row.cpu_per_gb, 2),
    ("calls/MB", |row| row.calls_per_mb, 0),
    ("RSS MiB", |row| row.rss_mib, 1),
    ("ping ms", |row| row.first_ping_ms, 0),
];

/// The table for people.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}", "");
    for (head, _, _) in COLUMNS {
        let _infallible = write!(text, " {head:>8}");
    }
    text.push('\n');
    for row in rows {
        let _infallible = write!(text, "{:width$}", row.name);
        for (_, figure, digits) in COLUMNS {
            let _infallible = match figure(&row.figures) {
                Some(figure) => write!(text, " {figure:>8.digits$}"),
                None => write!(text, " {:>8}", "-"),
            };
        }
        text.push('\n');
    }
    for note in NOTES {
        text.push_str(note);
        text.push('\n');
    }
    text
}

/// The table as a picture: behind each figure a bar, as long as it is of the column's largest.
pub fn picture(rows: &[Row]) -> String {
    let mut body = String::new();
    for (place, (head, figure, digits)) in (0_u16..).zip(COLUMNS) {
        let left = NAMES + f64::from(place) * CELL;
        let right = left + CELL - GAP;
        text(&mut body, (right, LINE), "end", true, head);
        let all = rows.iter().filter_map(|row| figure(&row.figures));
        let most = all.fold(f64::MIN_POSITIVE, f64::max);
        for (line, row) in (2_u16..).zip(rows) {
            let y = f64::from(line) * LINE;
            let Some(value) = figure(&row.figures) else {
                text(&mut body, (right, y), "end", false, "-");
                continue;
            };
            let colour = if is_ours(row) { "#9ecbf2" } else { "#dde2e8" };
            let _infallible = writeln!(
                body,
                "<rect x=\"{left:.0}\" y=\"{:.0}\" width=\"{:.1}\" height=\"{:.0}\" fill=\"{colour}\"/>",
                y - LINE + 7.0,
                (value / most).clamp(0.0, 1.0) * (CELL - GAP),
                LINE - 3.0,
            );
            let figure = format!("{value:.digits$}");
            text(&mut body, (right, y), "end", false, &figure);
        }
    }
    for (line, row) in (2_u16..).zip(rows) {
        let at = (GAP, f64::from(line) * LINE);
        text(&mut body, at, "start", is_ours(row), &row.name);
    }
    let width = NAMES + CELLS * CELL;
    let mut height = LINE * 2.0;
    for _ in rows {
        height += LINE;
    }
    for note in NOTES {
        text(&mut body, (GAP, height), "start", false, note);
        height += LINE;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn is_ours(row: &Row) -> bool {
    row.name.starts_with("zt")
}

fn text(body: &mut String, (x, y): (f64, f64), anchor: &str, bold: bool, words: &str) {
    let weight = if bold { " font-weight=\"bold\"" } else { "" };
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _infallible = writeln!(
        body,
        "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\"{weight}>{words}</text>"
    );
}

/// Pixels: the column of names, each other column with the gap behind it, a line.
const NAMES: f64 = 150.0;
const CELL: f64 = 68.0;
const GAP: f64 = 6.0;
const LINE: f64 = 20.0;
/// How many columns besides the names.
const CELLS: f64 = 15.0;
const _: () = assert!(COLUMNS.len() == 15);
/// What the figures are.
const NOTES: [&str; 2] = [
    "TCP, UDP1400 and USO in Mbit/s; round trips in us, those of the cable included; CPU of the whole machine, traffic programs included;",
    "system calls of both ends' programs, counted in the kernel by perf.",
];

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
    fn what_was_not_measured_is_a_dash_and_has_no_bar() {
        let rows = [row("zt aes", 500.0)];
        assert!(table(&rows).contains("  500        -"));
        let picture = picture(&rows);
        assert_eq!(picture.matches("<rect x=").count(), 1);
        assert_eq!(picture.matches(">-<").count(), COLUMNS.len() - 1);
        assert!(picture.contains("TCP &lt;>"), "the heads are escaped");
    }
}
