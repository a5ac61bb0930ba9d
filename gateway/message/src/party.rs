//! Parties: the authorities that exchange messages, and the states they belong to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A state, by ISO 3166-1 alpha-2 form (two upper-case letters; whether the code is assigned is
/// settled when a partner is added, not here).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country([u8; 2]);

impl Country {
    /// The two letters.
    pub fn as_str(&self) -> &str {
        // Only ASCII letters are ever stored, so this never takes the default.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// An authority: `<ISO 3166-1 alpha-2>/<slug>`, e.g. `IQ/general-customs-authority`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Party(String);

/// The longest slug. It keeps the largest log entry under 512 bytes.
pub const SLUG_MAX: usize = 48;

impl Party {
    /// The state the authority belongs to.
    pub fn country(&self) -> Country {
        let b = self.0.as_bytes();
        // A Party holds at least `XX/s`: `from_str` is the only way to make one.
        Country([b[0], b[1]])
    }

    /// The part after the slash, e.g. `general-customs-authority`.
    pub fn slug(&self) -> &str {
        &self.0[3..]
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no party or country.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartyError {
    /// Not two upper-case letters.
    #[error("a country is two upper-case letters (ISO 3166-1 alpha-2), such as IQ")]
    Country,
    /// Not `XX/slug`.
    #[error(
        "a party is <country>/<slug>, such as IQ/general-customs-authority: slug of a-z, 0-9 and single hyphens, at most {SLUG_MAX} characters"
    )]
    Party,
}

impl FromStr for Country {
    type Err = PartyError;
    fn from_str(text: &str) -> Result<Self, PartyError> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Ok(Self([*a, *b])),
            _ => Err(PartyError::Country),
        }
    }
}

impl FromStr for Party {
    type Err = PartyError;
    fn from_str(text: &str) -> Result<Self, PartyError> {
        let (country, slug) = text.split_once('/').ok_or(PartyError::Party)?;
        Country::from_str(country)?;
        let grammar = !slug.is_empty()
            && slug.len() <= SLUG_MAX
            && slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !slug.starts_with('-')
            && !slug.ends_with('-')
            && !slug.contains("--");
        if grammar { Ok(Self(text.to_owned())) } else { Err(PartyError::Party) }
    }
}

macro_rules! text_conversions {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = PartyError;
            fn try_from(text: String) -> Result<Self, PartyError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.as_str().to_owned()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}
text_conversions!(Country, Party);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        let party: Party = "IQ/general-customs-authority".parse().unwrap();
        assert_eq!(party.country().as_str(), "IQ");
        assert_eq!(party.slug(), "general-customs-authority");
        let too_long = format!("IQ/{}", "a".repeat(SLUG_MAX + 1));
        for bad in [
            "",
            "IQ",
            "IQ/",
            "iq/customs",
            "IRQ/customs",
            "IQ/Customs",
            "IQ/-a",
            "IQ/a-",
            "IQ/a--b",
            "IQ/a/b",
            "IQ/ä",
            &too_long,
        ] {
            assert!(bad.parse::<Party>().is_err(), "{bad}");
        }
    }
}
