//! Characters that a text may hold, beyond what a portable schema pattern can say.

use unicode_security::MixedScript as _;

/// Whether a character beyond the basic plane shows nothing: musical and shorthand format controls,
/// tags and supplementary variation selectors (`Default_Ignorable_Code_Point`, Unicode 14.0). Those of
/// the basic plane stand in the schema's pattern; not every engine's `\u` reaches further.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Whether an identifier is of one script (UTS #39 §5.1) and holds no tatweel (U+0640), which only
/// stretches a word: two spellings would look like one identifier.
pub fn is_sound_identifier(text: &str) -> bool {
    text.is_single_script() && !text.contains('\u{640}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters() {
        assert!(is_invisible('\u{E0041}') && is_invisible('\u{E0100}') && is_invisible('\u{1D173}'));
        assert!(!"Öztürk هەولێر 𐎠 🚚".chars().any(is_invisible));
    }

    #[test]
    fn identifiers_keep_to_one_script() {
        for sound in ["70-12345", "34 ABC 12", "۱۲ ب ۳۴۵ - ۶۷", "ا ب د ١٢٣٤", "ÖZ-1"] {
            assert!(is_sound_identifier(sound), "{sound}");
        }
        for (bad, why) in [
            ("70-А2345B", "Cyrillic and Latin"),
            ("22 أ ABC", "Arabic and Latin"),
            ("22 A ١٢٣", "Arabic digits after Latin"),
            ("بـ 12345", "tatweel"),
        ] {
            assert!(!is_sound_identifier(bad), "{why}");
        }
    }
}
