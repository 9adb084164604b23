//! Why something in the lab did not work, as one sentence for a person.
//!
//! In: any error of the tools and calls that the lab uses. Out: the sentence. Never: a decision.

use std::{fmt, panic::Location};

/// A failure of the lab or of what it looks at, said so that a person knows what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed(String);

impl Failed {
    /// A failure with its sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// The same failure with what was being done in front of it.
    #[must_use]
    pub fn during(self, act: &str) -> Self {
        Self(format!("{act}: {}", self.0))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl From<std::io::Error> for Failed {
    /// Names the line that asked: the system's own words name no file, and a rare failure is seen once.
    #[track_caller]
    fn from(error: std::io::Error) -> Self {
        Self(format!("{error}, at {}", Location::caller()))
    }
}

impl From<rustix::io::Errno> for Failed {
    #[track_caller]
    fn from(error: rustix::io::Errno) -> Self {
        std::io::Error::from(error).into()
    }
}

impl From<serde_json::Error> for Failed {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("not the JSON that was expected: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Failed;

    #[test]
    fn an_error_of_the_system_names_the_line_that_asked() {
        let asked = || -> Result<(), Failed> { Ok(std::fs::remove_file("/nowhere/at/all")?) };
        let said = asked().expect_err("no such file").to_string();
        assert!(said.contains("No such file"), "{said}");
        assert!(said.contains(file!()), "{said}");
    }
}
