//! Names as the machine-readable zone writes them (ICAO Doc 9303 part 3, section 6: transliterations
//! recommended for use by states). The tables: `schemas/codes/icao9303-3-*.csv`.

use std::sync::OnceLock;

/// Arabic letters.
pub(crate) const ARABIC: &str = include_str!("../../../../schemas/codes/icao9303-3-arabic.csv");
/// Latin letters beyond A to Z.
pub(crate) const LATIN: &str = include_str!("../../../../schemas/codes/icao9303-3-latin.csv");

const TEH_MARBUTA: char = '\u{629}';
const SHADDA: char = '\u{651}';

/// The first letter of the tables, and the one behind their last.
const LETTERS: std::ops::Range<u32> = 0xC0..0x1E9F;

/// The first form that the tables recommend for a letter.
fn form(letter: char) -> Option<&'static str> {
    static TABLE: OnceLock<Vec<Option<&'static str>>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table = vec![None; LETTERS.len()];
        for line in ARABIC.lines().chain(LATIN.lines()) {
            let mut cells = line.split(',');
            let letter = cells.next().and_then(|cell| cell.strip_prefix("U+"));
            let letter = letter.and_then(|hex| u32::from_str_radix(hex, 16).ok());
            let place = letter.and_then(|letter| letter.checked_sub(LETTERS.start));
            if let Some(place) = place.and_then(|place| table.get_mut(place as usize)) {
                *place = cells.next().and_then(|forms| forms.split(['|', '/']).next());
            }
        }
        table
    });
    let place = u32::from(letter).checked_sub(LETTERS.start)?;
    table.get(place as usize).copied().flatten()
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
        let written_as = match *letter {
            // The Latin character or sequence before it is repeated.
            SHADDA => last,
            TEH_MARBUTA if place + 1 == letters.len() => "XAH",
            TEH_MARBUTA => "XTA",
            '\'' | '\u{2019}' | '.' | '\u{200C}' => continue,
            letter if letter.is_ascii_alphabetic() => {
                written.push_str(letter.to_ascii_uppercase().encode_utf8(&mut ascii));
                continue;
            }
            // Fixed tables, never a locale's case mapping: ı and İ are letters of their own.
            letter => form(letter).or_else(|| form(letter.to_uppercase().next()?))?,
        };
        written.push_str(written_as);
        last = written_as;
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
