//! A table of what was measured, for people and for scripts.
//!
//! In: rows. Out: the table, JSON, and whether everything was good. Never: a measurement.

use std::fmt::Write as _;

use serde::Serialize;

/// What the demo found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Its rows in the order they were made.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was looked at.
    pub what: String,
    /// What was found, with its unit.
    pub found: String,
    /// The figure alone, where there is one; milliseconds, percent or Mbit/s as `found` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<f64>,
    /// Whether it is as it has to be.
    pub ok: bool,
}

impl Report {
    /// Adds a row.
    pub fn row(&mut self, what: &str, found: impl Into<String>, figure: Option<f64>, ok: bool) {
        self.rows.push(Row {
            what: what.to_owned(),
            found: found.into(),
            figure,
            ok,
        });
    }

    /// Adds what could not be found out.
    pub fn failed(&mut self, what: &str, why: &str) {
        self.row(what, why.trim(), None, false);
    }

    /// Whether every row is good, and there is one.
    pub fn ok(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.ok)
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|row| row.what.chars().count())
            .max()
            .unwrap_or(0);
        let mut table = String::new();
        for row in &self.rows {
            let mark = if row.ok { "ok  " } else { "FAIL" };
            let mut lines = row.found.lines();
            let first = lines.next().unwrap_or("");
            let _infallible = writeln!(table, "  {mark}  {:width$}  {first}", row.what);
            for line in lines {
                let _infallible = writeln!(table, "        {:width$}  {line}", "");
            }
        }
        table
    }

    /// The same for scripts.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "ok": self.ok(), "rows": self.rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_without_rows_is_not_good() {
        assert!(!Report::default().ok());
    }

    #[test]
    fn one_bad_row_makes_the_report_bad_and_is_marked() {
        let mut report = Report::default();
        report.row("ping loss", "0 %", Some(0.0), true);
        report.failed("path", "relay");
        assert!(!report.ok());
        assert!(report.table().contains("FAIL  path"));
    }
}
