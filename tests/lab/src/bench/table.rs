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
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
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
    text.push_str("TCP, UDP1400 and USO in Mbit/s; round trips in us, those of the cable included; CPU of the whole machine, traffic programs included;\nsystem calls of both ends' programs, counted in the kernel by perf.\n");
    text
}

/// Bars of the figures that matter most, one group per figure.
pub fn picture(rows: &[Row]) -> String {
    const BAR: f64 = 14.0;
    let groups: [Column; 3] = [
        ("TCP, one stream, Mbit/s", |row| row.tcp_one, 0),
        (
            "64-byte packets, thousands per second",
            |row| row.udp_64.map(|rate| rate / 1e3),
            0,
        ),
        (
            "CPU seconds per GB (less is better)",
            |row| row.cpu_per_gb,
            2,
        ),
    ];
    let mut body = String::new();
    let mut y = 10.0;
    for (title, figure, digits) in groups {
        y += 24.0;
        let _infallible = writeln!(
            body,
            "<text x=\"10\" y=\"{y:.0}\" font-weight=\"bold\">{title}</text>"
        );
        let most = rows
            .iter()
            .filter_map(|row| figure(&row.figures))
            .fold(f64::MIN_POSITIVE, f64::max);
        for row in rows {
            let Some(value) = figure(&row.figures) else {
                continue;
            };
            y += BAR + 4.0;
            let colour = if row.name.starts_with("zt") {
                "#1f77b4"
            } else {
                "#9aa5b1"
            };
            let name = row.name.replace('&', "&amp;").replace('<', "&lt;");
            let _infallible = writeln!(
                body,
                "<text x=\"150\" y=\"{y:.0}\" text-anchor=\"end\">{name}</text><rect x=\"158\" y=\"{:.0}\" width=\"{:.0}\" height=\"{BAR}\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{y:.0}\">{value:.digits$}</text>",
                y - BAR + 3.0,
                value / most * 380.0,
                164.0 + value / most * 380.0,
            );
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"620\" height=\"{:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n",
        y + 16.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, tcp_one: f64) -> Row {
        Row {
            name: name.to_owned(),
            figures: Figures {
                tcp_one: Some(tcp_one),
                ..Figures::default()
            },
        }
    }

    #[test]
    fn what_was_not_measured_is_a_dash_and_has_no_bar() {
        let rows = [row("zt aes", 500.0)];
        assert!(table(&rows).contains("  500        -"));
        assert_eq!(picture(&rows).matches("<rect x=").count(), 1);
    }
}
