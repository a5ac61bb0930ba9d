//! Machine-readable zones and passenger lists.

use silkgate_edifact::{Options, read, write};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::json;
use silkgate_message::values::mrz::{self, Fault};
use silkgate_message::violation::Severity;

use crate::choice;

pub(crate) const MRZ_WORDS: &[&str] = &[
    "<",
    "<<<<<<<<<<",
    "P<UTO",
    "V<UTO",
    "I<UTO",
    "0",
    "A",
    "Z9",
    "\n",
    "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
    "é",
];

pub(crate) const PAXLST_WORDS: &[&str] = &[
    "UNA:+.? '",
    "UNA*:.# ;",
    "UNB+UNOA:4+A+B+071008:0500+REF'",
    "UNH+1+PAXLST:D:05B:UN:IATA'",
    "BGM+745'",
    "BGM+745+CP'",
    "BGM+266+CLOB'",
    "NAD+MS+++X'",
    "COM+?+962791234567:TE'",
    "NAD+CA+C:S++X+++++JOR'",
    "TDT+20+688+3+:coach++OK:::X+++7:::ABC:JOR'",
    "TDT+20+OK688'",
    "LOC+125+IQTRB'",
    "LOC+87+JOKRM'",
    "LOC+17+JOKRM'",
    "DTM+189:202611240900:203'",
    "DTM+232:9912312359:201'",
    "DTM+189:999912312359:203'",
    "DTM+232:000001010000:203'",
    "NAD+FL+++A:B'",
    "NAD+FM+1++A'",
    "ATT+2++M'",
    "DTM+329:2610:610'",
    "DTM+329:670611'",
    "DTM+36:991231'",
    "NAT+2+IRQ'",
    "MEA+CT++:18446744073709551615'",
    "DOC+P:110:111+A1'",
    "DOC+ZZZ:110:ZZZ:RESIDENCE-PERMIT+A1'",
    "LOC+91+IRQ'",
    "RFF+SEA:1A'",
    "RFF+AVF:X'",
    "CNT+42:1'",
    "CNT+41:0'",
    "UNT+9+1'",
    "UNZ+1+REF'",
    "?'",
    "+",
    ":",
    "+1",
    "\u{feff}",
    "\u{85}",
];

/// A zone: a number out of it, and a check digit that fits and is changed fits no more. And the zone that an issuer makes of a number.
pub fn mrz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines: Vec<&str> = text.lines().collect();
    made(text);
    let Some(zone) = mrz::read(&lines) else { return };
    assert!(
        zone.number.len() <= 24
            && zone.number.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'<')
    );
    assert!(!zone.number.ends_with('<') || zone.number.len() >= 9);
    assert!(zone.faults.len() <= 5);
    // Line and places of the digits (ICAO Doc 9303 parts 4 to 7), and what is found where one is wrong.
    let (line, digits): (usize, &[(usize, Fault)]) = match (lines.len(), lines.last().map(|line| line.len()))
    {
        (3, _) => (1, &[(6, Fault::Birth), (14, Fault::Expiry), (29, Fault::Composite)]),
        _ => (1, &[(9, Fault::Number), (19, Fault::Birth), (27, Fault::Expiry)]),
    };
    for (at, fault) in digits {
        let now = lines[line].as_bytes()[*at];
        if !now.is_ascii_digit() || zone.faults.contains(fault) {
            continue;
        }
        let other = char::from(b'0' + (now - b'0' + 1 + u8::try_from(choice(data) % 9).unwrap()) % 10);
        let mut altered = lines[line].to_owned();
        altered.replace_range(*at..=*at, &other.to_string());
        let mut altered_lines = lines.clone();
        altered_lines[line] = &altered;
        let found = mrz::read(&altered_lines).unwrap();
        assert!(found.faults.contains(fault), "{fault:?} at {at}: {altered_lines:?}");
    }
}

/// What an issuer would print (TD3), with digits by a table of our own: it is read as it was meant.
fn made(text: &str) {
    let known: String =
        text.chars().filter(|c| c.is_ascii_uppercase() || c.is_ascii_digit()).take(35).collect();
    let Some((number, rest)) = known.split_at_checked(9) else { return };
    let Some((birth, rest)) = rest.split_at_checked(6) else { return };
    let Some((expiry, optional)) = rest.split_at_checked(6) else { return };
    let optional = format!("{optional:<<14}");
    let optional = &optional[..14];
    let digit = |field: &str| {
        let value = |b: u8| {
            if b.is_ascii_digit() {
                b - b'0'
            } else if b == b'<' {
                0
            } else {
                b - b'A' + 10
            }
        };
        let weighed = field.bytes().enumerate().map(|(at, b)| u32::from(value(b)) * [7, 3, 1][at % 3]);
        weighed.sum::<u32>() % 10
    };
    let number_part = format!("{number}{}", digit(number));
    let dates = (format!("{birth}{}", digit(birth)), format!("{expiry}{}", digit(expiry)));
    let end = format!("{optional}{}", digit(optional));
    let composite = digit(&format!("{number_part}{}{}{end}", dates.0, dates.1));
    let line = format!("{number_part}UTO{}F{}{end}{composite}", dates.0, dates.1);
    let zone = mrz::read(&["P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", &line]).unwrap();
    assert_eq!((zone.number.as_str(), zone.faults.as_slice()), (number, &[][..]), "{line}");
}

/// A passenger list: faults stand in the file; data that the catalogue takes can be written, and is then read as the same list.
pub fn paxlst(data: &[u8]) {
    let places = [
        ("PRG", "CZPRG"),
        ("BCN", "ESBCN"),
        ("GYD", "AZGYD"),
        ("MSQ", "BYMSQ"),
        ("DME", "RUDME"),
        ("IST", "TRIST"),
    ];
    let options = Options {
        places: places.map(|(code, place)| (code.to_owned(), place.to_owned())).into(),
        offset_minutes: [0, 180, -720, 840][choice(data) % 4],
        supersedes: Some(("0192f1a0-7b3c-7def-8123-456789abcdef".to_owned(), "A".repeat(43))),
        carrier_country: Some("IQ".to_owned()),
        ..Options::default()
    };
    let found = match read(data, &options) {
        Ok(found) => found,
        Err(faults) => {
            assert!(!faults.is_empty(), "refused, and no reason");
            let lines = data.split(|byte| *byte == b'\n').count();
            assert!(faults.iter().all(
                |fault| (1..=lines).contains(&fault.line) && (1..=data.len() + 1).contains(&fault.column)
            ));
            return;
        }
    };
    for list in found {
        assert_eq!(json::parse(list.data.to_string().as_bytes()).as_ref(), Ok(&list.data), "no strict JSON");
        let passengers = Catalogue::embedded().find("manifest.passenger", 1).unwrap();
        let event = serde_json::json!({ "type": "manifest.passenger", "data": list.data });
        let violations = passengers.check(&event);
        if violations.iter().any(|violation| violation.severity == Severity::Error) {
            continue;
        }
        let Ok((text, _)) = write(&list.data) else { continue };
        let options =
            Options { version: list.data["recordVersion"].as_u64(), offset_minutes: 0, ..options.clone() };
        let again = read(text.as_bytes(), &options).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
        assert_eq!(again.len(), 1);
        let (second, _) = write(&again[0].data).unwrap();
        assert_eq!(second, text, "written twice, and otherwise");
        // Other letters go as ICAO Doc 9303 writes them, and do not come back.
        if !list.data.to_string().is_ascii() {
            continue;
        }
        assert_eq!(again[0].data["travellers"], list.data["travellers"], "{text}");
        assert_eq!(again[0].data["itinerary"], list.data["itinerary"], "{text}");
    }
}
