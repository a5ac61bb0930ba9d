//! Names as the machine-readable zone writes them (ICAO Doc 9303 part 3, section 6: transliterations
//! recommended for use by states). The tables: `schemas/codes/icao9303-3-*.csv`.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Arabic letters.
pub(crate) const ARABIC: &str = include_str!("../../../../schemas/codes/icao9303-3-arabic.csv");
/// Latin letters beyond A to Z.
pub(crate) const LATIN: &str = include_str!("../../../../schemas/codes/icao9303-3-latin.csv");

const TEH_MARBUTA: char = '\u{629}';
const SHADDA: char = '\u{651}';

/// The forms that the tables recommend for each letter, the first one first.
fn table() -> &'static HashMap<char, Vec<&'static str>> {
    static TABLE: OnceLock<HashMap<char, Vec<&'static str>>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let row = |line: &'static str| {
            let mut cells = line.split(',');
            let letter = u32::from_str_radix(cells.next()?.strip_prefix("U+")?, 16).ok()?;
            Some((char::from_u32(letter)?, cells.next()?.split(['|', '/']).collect()))
        };
        ARABIC.lines().chain(LATIN.lines()).filter_map(row).collect()
    })
}

/// A name of A–Z, `<` between its parts, by the tables' first choices. None where a letter has no form.
pub fn transliterate(name: &str) -> Option<String> {
    let words: Option<Vec<String>> = name.split([' ', '-']).filter(|w| !w.is_empty()).map(word).collect();
    words.filter(|words| !words.is_empty()).map(|words| words.join("<"))
}

fn word(word: &str) -> Option<String> {
    let mut written = String::new();
    let mut last = "";
    let mut ascii = [0; 4];
    let letters: Vec<char> = word.chars().collect();
    for (place, letter) in letters.iter().enumerate() {
        let form = match *letter {
            // The Latin character or sequence before it is repeated.
            SHADDA => last,
            TEH_MARBUTA if place + 1 == letters.len() => "XAH",
            TEH_MARBUTA => "XTA",
            '\'' | '\u{2019}' | '.' | '\u{200C}' => continue,
            letter if letter.is_ascii_alphabetic() => {
                written.push_str(letter.to_ascii_uppercase().encode_utf8(&mut ascii));
                continue;
            }
            letter => {
                let table = table();
                // Fixed tables, never a locale's case mapping: ı and İ are letters of their own.
                let upper = || letter.to_uppercase().next().and_then(|upper| table.get(&upper));
                let forms = table.get(&letter).or_else(upper)?;
                forms.first().copied()?
            }
        };
        written.push_str(form);
        last = form;
    }
    Some(written).filter(|written| !written.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// ICAO Doc 9303-3 section 6.C's own examples, as listed in the design catalogue, section 2.
    #[test]
    fn published_names() {
        for (name, written) in [
            ("ابو بكر محمد بن زكريا الرازي", "ABW<BKR<MXHMD<BN<ZKRYA<ALRAZY"),
            ("جمال عبد الناصر", "JMAL<EBD<ALNAXSSR"),
            ("إسماعيل عزّ الدين", "ISMAEYL<EZZ<ALDYN"),
            ("جميلة نعيمة", "JMYLXAH<NEYMXAH"),
            ("عبد العزيز بن متعب", "EBD<ALEZYZ<BN<MTEB"),
            ("عبّاس", "EBBAS"),
            // By the table; another source has FXDZDZXAH.
            ("فضّة", "FXDZXDZXAH"),
            // Look-alikes: Arabic kaf and yeh, Persian keheh and yeh.
            ("كيان", "KYAN"),
            ("کیان", "XKKXYAAN"),
        ] {
            assert_eq!(transliterate(name).as_deref(), Some(written), "{name}");
        }
    }

    #[test]
    fn latin_names() {
        for (name, written) in [
            ("Öztürk", "OEZTUERK"),
            ("İsmail Çağrı", "ISMAIL<CAGRI"),
            ("Al-Razi", "AL<RAZI"),
            ("O'Neil", "ONEIL"),
        ] {
            assert_eq!(transliterate(name).as_deref(), Some(written), "{name}");
        }
        assert_eq!((transliterate("李"), transliterate(""), transliterate(" - ")), (None, None, None));
    }

    proptest! {
        #[test]
        fn gives_letters_and_fillers_only(name in "\\PC{0,40}") {
            if let Some(written) = transliterate(&name) {
                prop_assert!(written.bytes().all(|b| b.is_ascii_uppercase() || b == b'<'));
            }
        }
    }
}
