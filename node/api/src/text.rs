//! Serde for values that JSON carries as the text people write: addresses, network ids, keys, MACs.
//!
//! Use as `#[serde(with = "text")]`, or `text::option` for an `Option`. Never: another form of the same value.

use core::fmt::Display;
use core::str::FromStr;

use serde::{Deserialize as _, Deserializer, Serializer};

/// Writes a value as its text.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads a value from its text.
///
/// # Errors
/// The text is not such a value.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr,
    T::Err: Display,
    D: Deserializer<'de>,
{
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// The same for an `Option`: `null` is `None`.
pub mod option {
    use core::fmt::Display;
    use core::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes a value as its text, or `null`.
    ///
    /// # Errors
    /// Those of the serializer.
    // Serde's `with` hands over a reference to the field, whatever its type.
    #[allow(clippy::ref_option)]
    pub fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a value from its text, or `None` from `null`.
    ///
    /// # Errors
    /// The text is not such a value.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        Option::<String>::deserialize(deserializer)?
            .map(|text| text.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}
