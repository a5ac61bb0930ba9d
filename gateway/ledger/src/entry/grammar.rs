//! What each text member of an entry may hold. All are ASCII without quotes, backslashes or controls.

use crate::parse_decimal;
use crate::tree::Hash;

/// Longest `code`, `what`, `role` and `rule`, in bytes.
const CODE_MAX: usize = 48;

/// Longest party: two letters, a slash and a slug of 48.
const PARTY_MAX: usize = 51;

/// Longest message type.
const TYPE_MAX: usize = 40;

/// `XX` or `XX/slug`: `^[A-Z]{2}(/[a-z0-9](-?[a-z0-9])*)?$`.
pub(super) fn is_party_or_state(text: &str) -> bool {
    let (state, slug) = match text.split_once('/') {
        Some((state, slug)) => (state, Some(slug)),
        None => (text, None),
    };
    let state_fits = state.len() == 2 && state.bytes().all(|b| b.is_ascii_uppercase());
    let slug_fits = slug.is_none_or(|slug| slug.split('-').all(is_lower_alphanumeric));
    text.len() <= PARTY_MAX && state_fits && slug_fits
}

/// A UUID in lower case with hyphens (RFC 9562 §4).
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

/// `^[a-z]+(\.[a-z]+)+$`.
pub(super) fn is_message_type(text: &str) -> bool {
    text.len() <= TYPE_MAX
        && text.contains('.')
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()))
}

/// `^[a-z0-9_]{1,48}$`.
pub(super) fn is_code(text: &str) -> bool {
    (1..=CODE_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The id of a retention or erasure rule: a code, with dots and hyphens between its parts.
pub(super) fn is_rule(text: &str) -> bool {
    text.len() <= CODE_MAX && text.split(['.', '-']).all(is_code)
}

/// A message id, a digest, or an entry's index: told apart by length, as an index has at most 20 digits.
pub(super) fn is_reference(text: &str) -> bool {
    is_uuid(text) || Hash::parse_base64url(text).is_some() || parse_decimal(text).is_some()
}

fn is_lower_alphanumeric(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(fits: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(fits(text), "{text}");
        }
        for text in bad {
            assert!(!fits(text), "{text}");
        }
    }

    #[test]
    fn parties_and_states() {
        let longest = format!("IQ/{}", "a".repeat(48));
        let too_long = format!("IQ/{}", "a".repeat(49));
        all(
            is_party_or_state,
            &["IQ", "IQ/customs", "TR/border-2", "IQ/0", &longest],
            &[
                "", "iq", "IRQ", "I1", "IQ/", "/a", "IQ/A", "IQ/-a", "IQ/a-", "IQ/a--b", "IQ/a/b", "IQ/ä",
                "IQ/a\"", "IQ/a b", &too_long,
            ],
        );
    }

    #[test]
    fn uuids() {
        all(
            is_uuid,
            &["0199a6f0-7c1b-7def-8123-456789abcdef"],
            &[
                "",
                "0199A6F0-7C1B-7DEF-8123-456789ABCDEF",
                "0199a6f07c1b7def8123456789abcdef",
                "0199a6f0-7c1b-7def-8123-456789abcde",
                "0199a6f0-7c1b-7def-8123-456789abcdeg",
                "0199a6f0_7c1b-7def-8123-456789abcdef",
                "{199a6f0-7c1b-7def-8123-456789abcde}",
            ],
        );
    }

    #[test]
    fn types_codes_and_rules() {
        let longest = format!("a.{}", "b".repeat(38));
        all(
            is_message_type,
            &["alert.vehicle", "a.b.c", &longest],
            &[
                "",
                "alert",
                "alert.",
                ".alert",
                "a..b",
                "Alert.vehicle",
                "a.b1",
                "a.b_c",
                &format!("{longest}b"),
            ],
        );
        all(
            is_code,
            &["a", "rate_limited", "http_429", &"a".repeat(48)],
            &["", "A", "a-b", "a.b", "ä", &"a".repeat(49)],
        );
        all(
            is_rule,
            &["retention", "retention.max-7", "a_b.c"],
            &["", ".", "a.", "-a", "a--b", "A", &"a".repeat(49)],
        );
    }

    #[test]
    fn references() {
        all(
            is_reference,
            &[
                "0",
                "18446744073709551615",
                "0199a6f0-7c1b-7def-8123-456789abcdef",
                "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
            ],
            &["", "00", "-1", "18446744073709551616", "abc", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFV"],
        );
    }
}
