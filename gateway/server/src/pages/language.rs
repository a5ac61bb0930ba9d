//! Languages of the pages: each is one file under `locales/`, which holds its texts, digits, months and direction.

use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use include_dir::{Dir, include_dir};
use silkgate_message::instant::Instant;
use silkgate_message::values::calendar;
use unic_langid::LanguageIdentifier;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/locales");

/// Every language, English first: it is the one that nobody need ask for.
static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| {
    let mut languages: Vec<Language> = FILES.files().filter_map(Language::read).collect();
    languages.sort_by(|a, b| (a.code != "en", &a.code).cmp(&(b.code != "en", &b.code)));
    languages
});

/// A language in which pages are written.
pub struct Language {
    /// Its tag (BCP 47), the file's name.
    pub code: String,
    bundle: FluentBundle<FluentResource>,
    digits: Vec<char>,
}

/// An argument of a text.
pub type Argument<'a> = (&'static str, FluentValue<'a>);

impl Language {
    fn read(file: &include_dir::File<'_>) -> Option<Self> {
        let path = file.path();
        if path.extension()? != "ftl" {
            return None;
        }
        let code = path.file_stem()?.to_str()?.to_owned();
        let tag: LanguageIdentifier = code.parse().ok()?;
        let mut bundle = FluentBundle::new_concurrent(vec![tag]);
        // A date is put together from parts, and an isolate of isolates has no direction of its own (UAX #9 P2): who says something of
        // a value isolates the value.
        bundle.set_use_isolating(false);
        // What cannot be read is missing: a test holds that nothing is.
        let resource = match FluentResource::try_new(file.contents_utf8()?.to_owned()) {
            Ok(resource) | Err((resource, _)) => resource,
        };
        let _ = bundle.add_resource(resource);
        let mut language = Self { code, bundle, digits: Vec::new() };
        language.digits = language.say("digits", &[]).chars().collect();
        Some(language)
    }

    /// Every language.
    pub fn all() -> &'static [Self] {
        &LANGUAGES
    }

    /// The language of that tag.
    pub fn of(code: &str) -> Option<&'static Self> {
        LANGUAGES.iter().find(|language| language.code == code)
    }

    /// The first one that a reader accepts (`Accept-Language`, RFC 9110 §12.5.4; tags match by their primary language,
    /// RFC 4647 §3.4), or English.
    pub fn accepted(header: &str) -> &'static Self {
        let mut wishes: Vec<(f32, &str)> = header
            .split(',')
            .take(32)
            .filter_map(|wish| {
                let (tag, weight) = wish.split_once(';').unwrap_or((wish, "q=1"));
                let weight = weight.trim().strip_prefix("q=")?.parse().ok()?;
                Some((weight, tag.trim().split('-').next()?))
            })
            .filter(|(weight, _)| *weight > 0.0)
            .collect();
        wishes.sort_by(|a, b| b.0.total_cmp(&a.0));
        let found = wishes
            .iter()
            .find_map(|(_, tag)| LANGUAGES.iter().find(|language| language.code.eq_ignore_ascii_case(tag)));
        found.unwrap_or(&LANGUAGES[0])
    }

    /// A text; its key where the language has none.
    pub fn say(&self, key: &str, arguments: &[Argument<'_>]) -> String {
        self.text(key, arguments).unwrap_or_else(|| key.to_owned())
    }

    /// A text, where there is one.
    pub fn text(&self, key: &str, arguments: &[Argument<'_>]) -> Option<String> {
        let pattern = self.bundle.get_message(key)?.value()?;
        let arguments: FluentArgs<'_> =
            arguments.iter().map(|(name, value)| (*name, value.clone())).collect();
        Some(self.bundle.format_pattern(pattern, Some(&arguments), &mut Vec::new()).into_owned())
    }

    /// `ltr` or `rtl`.
    pub fn direction(&self) -> String {
        self.say("direction", &[])
    }

    /// Digits of the language in the place of ASCII digits. For counts and dates; identifiers stay as they are.
    pub fn in_digits(&self, text: &str) -> String {
        let digit =
            |c: char| c.to_digit(10).and_then(|value| self.digits.get(value as usize)).copied().unwrap_or(c);
        text.chars().map(digit).collect()
    }

    /// A whole number, in groups of three digits.
    pub fn number(&self, number: i64) -> String {
        let digits = number.unsigned_abs().to_string();
        let mut grouped = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                grouped.push_str(&self.say("group-separator", &[]));
            }
            grouped.push(digit);
        }
        let sign = if number < 0 { "\u{2212}" } else { "" };
        format!("{sign}{}", self.in_digits(&grouped))
    }

    /// A day `YYYY-MM-DD` in the Gregorian calendar, as a reader writes it; the text itself where it is no such day.
    pub fn day(&self, date: &str) -> String {
        let parts: Vec<u32> = date.split('-').filter_map(|part| part.parse().ok()).collect();
        match parts[..] {
            [year, month, day] => self.date("month", i64::from(year), month, day),
            _ => date.to_owned(),
        }
    }

    /// The same day in the calendar of Umm al-Qura.
    pub fn hijri(&self, date: &str) -> Option<String> {
        let (year, month, day) = calendar::to_umm_al_qura(date)?;
        let date = self.date("hijri-month", i64::from(year), u32::from(month), u32::from(day));
        Some(self.say("hijri-date", &[("date", date.into())]))
    }

    fn date(&self, months: &str, year: i64, month: u32, day: u32) -> String {
        let month = self.say(&format!("{months}-{month}"), &[]);
        let [day, year] = [day.to_string(), year.to_string()].map(|number| self.in_digits(&number));
        self.say("date", &[("day", day.into()), ("month", month.into()), ("year", year.into())])
    }

    /// An instant to the second, in UTC.
    pub fn instant(&self, at: Instant) -> String {
        let text = at.to_string();
        let time = self.in_digits(text.get(11..19).unwrap_or_default());
        let day = self.day(&at.date());
        self.say("instant", &[("day", day.into()), ("time", time.into())])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use silkgate_message::problem::Code;

    use super::*;

    fn keys(language: &Language) -> BTreeSet<String> {
        let file = FILES.get_file(format!("{}.ftl", language.code)).unwrap();
        let text = file.contents_utf8().unwrap();
        FluentResource::try_new(text.to_owned()).unwrap_or_else(|(_, errors)| panic!("{errors:?}"));
        text.lines()
            .filter_map(|line| line.split_once(" ="))
            .filter(|(key, _)| key.starts_with(|c: char| c.is_ascii_lowercase()))
            .map(|(key, _)| key.to_owned())
            // Of codes the program has English titles itself, and members have English names.
            .filter(|key| !key.starts_with("code-") && !key.starts_with("member-"))
            .collect()
    }

    #[test]
    fn every_code_has_a_meaning_in_every_language() {
        for language in Language::all().iter().filter(|language| language.code != "en") {
            for code in Code::ALL {
                let key = format!("code-{}", code.as_str().replace('_', "-"));
                assert!(language.text(&key, &[]).is_some(), "{}: {key}", language.code);
            }
        }
    }

    #[test]
    fn every_language_says_the_same_things() {
        let english = keys(&LANGUAGES[0]);
        assert!(LANGUAGES.len() >= 2 && english.len() > 50);
        for language in Language::all() {
            let own = keys(language);
            let differ: Vec<_> = english.symmetric_difference(&own).collect();
            assert!(differ.is_empty(), "{}: {differ:?}", language.code);
            assert_eq!(language.digits.len(), 10, "{}", language.code);
            assert!(["ltr", "rtl"].contains(&language.direction().as_str()));
        }
    }

    #[test]
    fn every_text_that_a_page_asks_for_is_there() {
        let english = keys(&LANGUAGES[0]);
        let mut asked = 0;
        let programs = include_dir!("$CARGO_MANIFEST_DIR/src/pages").clone();
        for file in include_dir!("$CARGO_MANIFEST_DIR/templates").files().chain(programs.files()) {
            let text = file.contents_utf8().unwrap().split("#[cfg(test)]").next().unwrap();
            let asks = ["say(\"", "say_of(\"", "count(\"", "part(\""];
            for rest in asks.iter().flat_map(|ask| text.split(ask).skip(1)) {
                let key = rest.split('"').next().unwrap();
                assert!(english.contains(key), "{}: {key}", file.path().display());
                asked += 1;
            }
        }
        assert!(asked > 50, "{asked}");
    }

    #[test]
    fn a_reader_gets_the_language_that_is_asked_for_first() {
        let code = |header| Language::accepted(header).code.as_str();
        assert_eq!(code("ar-IQ,ar;q=0.9,en;q=0.8"), "ar");
        assert_eq!(code("fr, en;q=0.5, ar;q=0.7"), "ar", "weights count, not places");
        assert_eq!(["", "fr", "ar;q=0", "ar;q=x", ";;;,,"].map(code), ["en"; 5]);
        assert!(Language::of("xx").is_none() && Language::of("../en").is_none());
    }

    /// Expected texts: CLDR 48.2, `ar-IQ` and `en`, formats written out.
    #[test]
    fn numbers_and_dates_are_the_languages_own() {
        let (english, arabic) = (Language::of("en").unwrap(), Language::of("ar").unwrap());
        assert_eq!(english.number(1_234_567), "1,234,567");
        assert_eq!(arabic.number(1_234_567), "١٬٢٣٤٬٥٦٧");
        assert_eq!(english.number(-12), "\u{2212}12");
        assert_eq!(english.day("2026-11-28"), "28 November 2026");
        assert_eq!(arabic.day("2026-11-28"), "٢٨ تشرين الثاني ٢٠٢٦");
        assert_eq!(english.hijri("2026-11-28").unwrap(), "18 Jumada II 1448 AH");
        assert_eq!(arabic.hijri("2026-11-28").unwrap(), "١٨ جمادى الآخرة ١٤٤٨ هـ");
        assert_eq!(english.day("unknown"), "unknown");
        let at = Instant::parse("2026-11-28T12:18:59.250Z").unwrap();
        assert_eq!(english.instant(at), "28 November 2026, 12:18:59 UTC");
    }
}
