//! What leaves the program: tables and sentences for people, JSON for scripts.
//!
//! In: values. Out: stdout, stderr. Never: half of both; a panic when the reader has gone.

use std::io::Write as _;

use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::{Padding, Style};
use zt_api::{ApiError, Exit};

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// JSON rather than text.
    pub json: bool,
}

impl Output {
    /// Prints a value: as JSON, or the text made from it.
    pub fn show<T: Serialize + ?Sized>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        if self.json {
            let json = serde_json::to_string_pretty(value).map_err(|e| {
                Failure::new(Exit::Failed, format!("the answer cannot be printed: {e}"))
            })?;
            line(&json)
        } else {
            line(text(value).trim_end())
        }
    }

    /// Tells a person what is going on; nothing for scripts.
    pub fn remark(self, text: &str) {
        if !self.json {
            // Nothing can be done when stderr is gone.
            let _ = writeln!(std::io::stderr(), "zt-cli: {text}");
        }
    }

    /// Says why the command failed.
    pub fn fail(self, failure: &Failure) {
        // Nothing can be done when stderr is gone.
        let _ = if self.json {
            let json = serde_json::json!({ "error": failure.message, "exit": failure.exit as u8 });
            writeln!(std::io::stderr(), "{json}")
        } else {
            writeln!(std::io::stderr(), "zt-cli: {}", failure.message)
        };
    }
}

/// Prints a line; a reader that has closed the pipe has all it wanted.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(Failure::new(Exit::Failed, format!("stdout: {e}"))),
    }
}

/// Rows under a header, in columns; `empty` when there are none.
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    empty: &str,
) -> String {
    let mut builder = Builder::default();
    builder.push_record(header);
    let mut count = 0_usize;
    for row in rows {
        builder.push_record(row);
        count += 1;
    }
    if count == 0 {
        return empty.to_owned();
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    table
        .to_string()
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Facts, one a line, their names in a column.
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    facts
        .iter()
        .map(|(name, value)| format!("{name:width$}  {value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A value, or a dash.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Why a command failed and with which code the program ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened and what to do next.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::new(error.exit(), error.to_string())
    }
}
