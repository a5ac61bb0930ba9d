//! Strings that deceive, in every text of a message.

use serde_json::{Value, json};
use silkgate_message::catalogue::{Catalogue, Severity};
use silkgate_message::event;
use silkgate_message::problem::Code;
use support::example;

use super::{IQ, JO, Stage, corpus, is_invisible, none_wrong};
use crate::matrix::at_once;

/// Each with whether a free text may be so.
const STRINGS: &[(&str, bool)] = &[
    ("", false),
    (" ", false),
    (" leading", false),
    ("trailing ", false),
    ("tab\tin it", false),
    ("line\nfeed", false),
    ("return\r\nline", false),
    ("NUL\u{0}in it", false),
    ("\u{0}", false),
    ("bell\u{7}", false),
    ("backspace\u{8}\u{8}\u{8}", false),
    ("\u{1b}[31mred\u{1b}[0m", false),
    ("\u{1b}]0;title\u{7}", false),
    ("\u{1b}[2J\u{1b}[H", false),
    ("\u{9b}31mC1", false),
    ("delete\u{7f}", false),
    ("next line\u{85}", false),
    ("right to left \u{202e}gpj.exe", false),
    ("embedding \u{202b}x\u{202c}", false),
    ("isolate \u{2067}x\u{2069}", false),
    ("mark\u{200f}", false),
    ("\u{200e}mark", false),
    ("Arabic mark \u{61c}", false),
    ("zero\u{200b}width", false),
    ("zero\u{200d}joiner", false),
    ("word\u{2060}joiner", false),
    ("\u{feff}byte order mark", false),
    ("soft\u{ad}hyphen", false),
    ("variation\u{fe0f}", false),
    ("grapheme\u{34f}joiner", false),
    ("Hangul filler \u{3164}", false),
    ("half filler \u{ffa0}x", false),
    ("line\u{2028}separator", false),
    ("paragraph\u{2029}separator", false),
    ("no-break end\u{a0}", false),
    ("\u{3000}ideographic", false),
    ("annotation\u{fff9}a\u{fffa}b\u{fffb}", false),
    ("tag\u{e0041}\u{e007f}", false),
    ("supplementary variation\u{e0100}", false),
    ("not a character\u{ffff}", false),
    ("e\u{301} not in NFC", false),
    ("A\u{30a} not in NFC", false),
    ("\u{212b} not in NFC", false),
    ("\u{1100}\u{1161} not in NFC", false),
    ("\u{627}\u{653} not in NFC", false),
    ("Honda", true),
    ("Нonda with a Cyrillic letter", true),
    ("محمد", true),
    ("محمد Honda", true),
    ("هەولێر", true),
    ("İstanbul", true),
    ("日本", true),
    ("🚗", true),
    ("𝓗onda", true),
    ("null", true),
    ("{{7*7}}", true),
    ("${jndi:ldap://127.0.0.1/a}", true),
    ("'; DROP TABLE message; --", true),
    ("<script>alert(1)</script>", true),
    ("../../../../etc/passwd", true),
    ("%00%0a%0d", true),
    ("\\u0000\\n", true),
    ("&lt;&amp;", true),
    ("=cmd|' /C calc'!A0", true),
    ("=HYPERLINK(\"http://127.0.0.1\")", true),
    ("$(id)`id`", true),
    ("%s%n%x", true),
    ("\u{fdfa}", true),
];

/// The way to every text of an event.
fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| texts(item, &format!("{at}/{index}"), found));
        }
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            texts(member, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
        }),
        _ => {}
    }
}

/// What the documented rules make of an event from Iraq, of which one text is not as it was.
fn expected(event: &Value) -> Option<Code> {
    let Ok(envelope) = event::read(event) else { return Some(Code::EventInvalid) };
    if envelope.purpose != "border-management" {
        return Some(Code::AgreementPurpose);
    }
    let Some(message_type) = Catalogue::embedded().by_schema_id(&envelope.dataschema) else {
        return Some(Code::SchemaUnknown);
    };
    let errors = message_type.check(event).into_iter().filter(|found| found.severity == Severity::Error);
    let rules: Vec<String> = errors.map(|found| found.rule).collect();
    match rules.iter().any(|rule| rule.starts_with("schema.")) {
        true => Some(Code::SchemaInvalid),
        false => (!rules.is_empty()).then_some(Code::RulesViolated),
    }
}

/// The event with one text replaced.
fn with(event: &Value, place: &str, text: &str) -> Value {
    let mut event = event.clone();
    *event.pointer_mut(place).unwrap() = json!(text);
    event
}

#[test]
fn hostile_strings_in_every_text_are_judged_by_the_rules() {
    let stage = Stage::begin();
    let naughty = corpus("naughty-strings.json");
    let naughty: Vec<&str> = naughty.iter().map(|text| text.as_str().unwrap()).collect();
    let mut cases: Vec<(&str, String, &str, Option<bool>)> = Vec::new();
    for kind in ["alert.vehicle", "manifest.cargo"] {
        let (mut places, mut free) = (Vec::new(), Vec::new());
        let sound = example(kind, 1, IQ, JO);
        texts(&sound, "", &mut places);
        for (nth, place) in places.into_iter().enumerate() {
            // Where any text will do, a text that may be so is taken.
            let is_free = expected(&with(&sound, &place, "Free text, of any form")).is_none();
            for (at, (text, may_be)) in STRINGS.iter().enumerate() {
                // Of a manifest's many fields each has some; the next test has all in all.
                if kind == "alert.vehicle" || is_free || (nth + at).is_multiple_of(8) {
                    cases.push((kind, place.clone(), text, is_free.then_some(*may_be)));
                }
            }
            if is_free {
                free.push(place);
            }
        }
        // Each of the list in one of the free texts; the next test has all in all.
        let in_turn = naughty.iter().zip(free.iter().cycle());
        cases.extend(in_turn.map(|(text, place)| (kind, place.clone(), *text, None)));
    }
    let found = at_once(&cases, |(kind, place, text, may_be)| {
        let event = with(&example(kind, 1, IQ, JO), place, text);
        let wanted = expected(&event);
        let wanted_code = wanted.map(Code::as_str).unwrap_or_default();
        let answer = stage.send(&stage.payload(event.to_string().as_bytes()));
        let is_taken = answer.status == 200;
        let says = answer.code() == wanted_code && is_taken == wanted.is_none();
        let is_clean = !text.chars().any(|c| c.is_control() || is_invisible(c));
        // What may be so in a text may still break a rule of an identifier, e.g. of a plate.
        let may_be =
            may_be.is_none_or(|may_be| may_be == is_taken || may_be && wanted == Some(Code::RulesViolated));
        let is_fair = may_be && (is_clean || !is_taken);
        // A refusal never repeats what it refuses.
        let repeats = !is_taken && text.len() > 8 && String::from_utf8_lossy(&answer.body).contains(*text);
        let problem =
            format!("{kind} {place} {text:?}: {} {}, not {wanted_code}", answer.status, answer.code());
        (!says || !is_fair || repeats).then_some(problem)
    });
    println!("{} messages: {} strings of our own, {} of the list", cases.len(), STRINGS.len(), naughty.len());
    none_wrong(found);
    stage.is_well();
}

/// Every string in every text, as the gateway's own judgement sees it: nothing panics, nothing invisible passes.
#[test]
fn hostile_strings_in_every_text_never_pass_unseen() {
    let naughty = corpus("naughty-strings.json");
    let strings: Vec<&str> =
        naughty.iter().filter_map(Value::as_str).chain(STRINGS.iter().map(|(text, _)| *text)).collect();
    let mut count = 0;
    for kind in ["alert.vehicle", "manifest.cargo"] {
        let sound = example(kind, 1, IQ, JO);
        let mut places = Vec::new();
        texts(&sound, "", &mut places);
        count += places.len() * strings.len();
        none_wrong(at_once(&places, |place| {
            strings.iter().find_map(|text| {
                let is_clean = !text.chars().any(|c| c.is_control() || is_invisible(c));
                let passes = expected(&with(&sound, place, text)).is_none();
                (passes && !is_clean).then(|| format!("{kind} {place} takes {text:?}"))
            })
        }));
    }
    println!("{count} events");
}
