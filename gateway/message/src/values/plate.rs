//! Registration plates: script, match key, and the patterns known of some countries.
//!
//! The patterns are of encyclopaedic quality, from the design catalogue, section 2: they warn and
//! never refuse.

use unicode_normalization::UnicodeNormalization as _;

/// ISO 15924, as plates here need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Script {
    /// Latin letters, European digits.
    Latin,
    /// Arabic letters, Arabic-Indic, Persian or European digits.
    Arabic,
}

impl Script {
    /// `Latn` or `Arab`.
    pub fn parse(code: &str) -> Option<Self> {
        match code {
            "Latn" => Some(Script::Latin),
            "Arab" => Some(Script::Arabic),
            _ => None,
        }
    }

    /// Whether every letter and digit is of this script; spaces, hyphens and dots are of none.
    pub fn covers(self, text: &str) -> bool {
        text.chars().all(|c| match c {
            ' ' | '-' | '.' | '·' | '/' | '0'..='9' => true,
            'A'..='Z' | 'a'..='z' => self == Script::Latin,
            '\u{660}'..='\u{669}' | '\u{6F0}'..='\u{6F9}' => self == Script::Arabic,
            '\u{621}'..='\u{64A}' | '\u{671}'..='\u{6D3}' | '\u{6D5}' => {
                self == Script::Arabic && c != '\u{640}'
            }
            c => self == Script::Latin && c.is_alphabetic() && (c as u32) < 0x250,
        })
    }
}

/// The plate folded for matching: NFKC, digits of every kind as 0–9, Latin capitals, and the letters
/// that Arabic and Persian keyboards write differently made one. Nothing else is kept.
pub fn match_key(display: &str) -> String {
    let fold = |c: char| match c {
        '\u{660}'..='\u{669}' => char::from_digit(c as u32 - 0x660, 10),
        '\u{6F0}'..='\u{6F9}' => char::from_digit(c as u32 - 0x6F0, 10),
        '\u{643}' | '\u{6A9}' => Some('\u{643}'),
        '\u{64A}' | '\u{6CC}' | '\u{649}' => Some('\u{64A}'),
        '\u{640}' => None,
        c if c.is_ascii() => c.is_ascii_alphanumeric().then(|| c.to_ascii_uppercase()),
        c => c.is_alphanumeric().then_some(c),
    };
    display.nfkc().filter_map(fold).collect()
}

/// Whether a match key follows its country's pattern; None where none is known.
pub fn fits_grammar(country: &str, key: &str) -> Option<bool> {
    let chars: Vec<char> = key.chars().collect();
    let digits = |from: usize, to: usize| {
        chars.get(from..to).is_some_and(|part| !part.is_empty() && part.iter().all(char::is_ascii_digit))
    };
    let n = chars.len();
    let letters = chars.iter().filter(|c| !c.is_ascii_digit()).count();
    match country {
        // Since 2022: two digits of the governorate, a letter, up to five digits.
        "IQ" => {
            let code = key.get(..2).and_then(|code| code.parse::<u32>().ok());
            let newer = code.is_some_and(|code| (11..=29).contains(&code))
                && chars.get(2).is_some_and(char::is_ascii_uppercase)
                && (4..=8).contains(&n)
                && digits(3, n);
            // Older plates with Arabic letters persist, in many forms.
            Some(newer || chars.iter().any(|c| !c.is_ascii()))
        }
        "JO" => Some(letters == 0 && (2..=7).contains(&n)),
        // Province 01–81, then letters and digits: 1/4–5, 2/3–4, 3/2–3; no Q, W, X.
        "TR" => {
            let province = key.get(..2).and_then(|code| code.parse::<u32>().ok());
            let block = chars.iter().skip(2).take_while(|c| c.is_ascii_uppercase()).count();
            let rest = n.saturating_sub(2 + block);
            let lengths = matches!((block, rest), (1, 4 | 5) | (2, 3 | 4) | (3, 2 | 3));
            let allowed = !key.contains(['Q', 'W', 'X']);
            Some(
                province.is_some_and(|p| (1..=81).contains(&p)) && lengths && allowed && digits(2 + block, n),
            )
        }
        // Three letters of seventeen pairs, and up to four digits.
        "SA" => {
            let latin = "ABJDRSXTEGKLZNHUV";
            let arabic = "ابحدرسصطعقكلمنهوىي";
            let known = chars
                .iter()
                .filter(|c| !c.is_ascii_digit())
                .all(|c| latin.contains(*c) || arabic.contains(*c));
            Some(letters == 3 && (4..=7).contains(&n) && known)
        }
        // Two digits, a Persian letter, three digits, two digits of the region.
        "IR" => Some(n == 8 && letters == 1 && digits(0, 2) && digits(3, 8)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding() {
        assert_eq!(match_key("22 A 12345"), "22A12345");
        assert_eq!(match_key("٢٢ أ ١٢٣"), "22أ123");
        assert_eq!(match_key("۱۲ ی ۳۴۵ - ۶۷"), match_key("12 ي 345 67"));
        assert_eq!(match_key("ك"), match_key("ک"));
        assert_eq!(match_key("aـb"), "AB");
    }

    #[test]
    fn scripts_do_not_mix() {
        assert!(Script::Latin.covers("34 ABC 123") && Script::Arabic.covers("۱۲ ب ۳۴۵ - ۶۷"));
        assert!(!Script::Latin.covers("34 АВС 123"), "Cyrillic look-alikes");
        assert!(!Script::Arabic.covers("22 A ١٢٣") && !Script::Latin.covers("22 أ 123"));
    }

    #[test]
    fn patterns_of_the_region() {
        for (country, key, fits) in [
            ("IQ", "22A12345", true),
            ("IQ", "99A12345", false),
            ("IQ", "22أ123", true),
            ("JO", "1234567", true),
            ("JO", "A123", false),
            ("TR", "34ABC12", true),
            ("TR", "34QAB123", false),
            ("TR", "82A1234", false),
            ("SA", "ABJ1234", true),
            ("SA", "AB1234", false),
            ("IR", "12ب34567", true),
            ("IR", "12ب3456", false),
        ] {
            assert_eq!(fits_grammar(country, key), Some(fits), "{country} {key}");
        }
        assert_eq!(fits_grammar("KW", "anything"), None);
    }
}
