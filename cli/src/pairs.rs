//! `KEY=VALUE` as people type it after `set`.
//!
//! In: texts. Out: checked values, or a usage failure that names the key. Never: a value taken half.

use core::str::FromStr;

use zt_api::Exit;

use crate::output::Failure;

/// The two sides of `KEY=VALUE`.
pub fn split(pair: &str) -> Result<(&str, &str), Failure> {
    pair.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| Failure::new(Exit::Usage, format!("expected KEY=VALUE, found {pair}")))
}

/// true or false, also as on/off, yes/no, 1/0.
pub fn switch(key: &str, value: &str) -> Result<bool, Failure> {
    match value {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(Failure::new(
            Exit::Usage,
            format!("{key}: expected true or false, found {value}"),
        )),
    }
}

/// One value.
pub fn value<T: FromStr>(key: &str, value: &str) -> Result<T, Failure>
where
    T::Err: core::fmt::Display,
{
    value
        .parse()
        .map_err(|e| Failure::new(Exit::Usage, format!("{key}: {e}, found {value}")))
}

/// Values between commas; the empty text is the empty list.
pub fn list<T: FromStr>(key: &str, text: &str) -> Result<Vec<T>, Failure>
where
    T::Err: core::fmt::Display,
{
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| value(key, part.trim()))
        .collect()
}
