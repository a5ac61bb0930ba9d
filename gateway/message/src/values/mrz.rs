//! Machine-readable zones (ICAO Doc 9303 parts 4 to 7): forms TD1, TD2, TD3, MRV-A and MRV-B, and
//! their check digits (part 3, section 4.9).

/// A field whose check digit does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The document number's digit.
    Number,
    /// The date of birth's.
    Birth,
    /// The date of expiry's.
    Expiry,
    /// The optional data's.
    Optional,
    /// The composite digit.
    Composite,
}

/// What a zone says of its document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mrz {
    /// The document number, without fillers.
    pub number: String,
    /// Every digit that does not fit.
    pub faults: Vec<Fault>,
}

/// Reads a zone. None where it has no known form.
pub fn read(lines: &[&str]) -> Option<Mrz> {
    let sound = |line: &&str| line.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'<');
    if !lines.iter().all(sound) {
        return None;
    }
    let lengths: Vec<usize> = lines.iter().map(|line| line.len()).collect();
    let visa = lines.first()?.starts_with('V');
    match (lines, lengths.as_slice()) {
        ([first, second, _], [30, 30, 30]) => Some(td1(first, second)),
        ([_, second], [36, 36]) => Some(two_lines(second, !visa, 35)),
        ([_, second], [44, 44]) => Some(two_lines(second, !visa, 43)),
        _ => None,
    }
}

fn td1(first: &str, second: &str) -> Mrz {
    let mut faults = Vec::new();
    let number = number(part(first, 5, 14), part(first, 14, 15), part(first, 15, 30), &mut faults);
    check(part(second, 0, 6), part(second, 6, 7), Fault::Birth, &mut faults);
    check(part(second, 8, 14), part(second, 14, 15), Fault::Expiry, &mut faults);
    let composite =
        [part(first, 5, 30), part(second, 0, 7), part(second, 8, 15), part(second, 18, 29)].concat();
    check(&composite, part(second, 29, 30), Fault::Composite, &mut faults);
    Mrz { number, faults }
}

/// The second line of TD2, TD3 and the visas, which have no composite digit; `end` is its place.
fn two_lines(line: &str, with_composite: bool, end: usize) -> Mrz {
    let mut faults = Vec::new();
    let optional = part(line, 28, if end == 43 { 42 } else { 35 });
    let number = number(part(line, 0, 9), part(line, 9, 10), optional, &mut faults);
    check(part(line, 13, 19), part(line, 19, 20), Fault::Birth, &mut faults);
    check(part(line, 21, 27), part(line, 27, 28), Fault::Expiry, &mut faults);
    if with_composite {
        if end == 43 {
            check(optional, part(line, 42, 43), Fault::Optional, &mut faults);
        }
        let composite = [part(line, 0, 10), part(line, 13, 20), part(line, 21, end)].concat();
        check(&composite, part(line, end, end + 1), Fault::Composite, &mut faults);
    }
    Mrz { number, faults }
}

/// A number of more than nine characters goes on in the optional data, its digit before the first
/// filler (Doc 9303 part 5, section 4.2.2, note j). Issuers differ on whether the filler in the
/// digit's own place counts: both are taken.
fn number(field: &str, digit: &str, optional: &str, faults: &mut Vec<Fault>) -> String {
    let rest = optional.split('<').next().unwrap_or_default();
    if digit != "<" || rest.len() < 2 {
        check(field, digit, Fault::Number, faults);
        return field.trim_end_matches('<').to_owned();
    }
    let (rest, digit) = rest.split_at(rest.len() - 1);
    let whole = format!("{field}{rest}");
    if !fits(&whole, digit) && !fits(&format!("{field}<{rest}"), digit) {
        faults.push(Fault::Number);
    }
    whole
}

fn check(field: &str, digit: &str, fault: Fault, faults: &mut Vec<Fault>) {
    if !fits(field, digit) {
        faults.push(fault);
    }
}

/// An empty optional field may have a filler for its digit.
fn fits(field: &str, digit: &str) -> bool {
    let empty = field.bytes().all(|b| b == b'<');
    (empty && digit == "<") || digit.parse() == Ok(check_digit(field))
}

/// Weights 7, 3, 1; A is 10, the filler 0.
fn check_digit(field: &str) -> u32 {
    let value = |c: char| c.to_digit(36).unwrap_or(0);
    field.chars().zip([7, 3, 1].into_iter().cycle()).map(|(c, weight)| value(c) * weight).sum::<u32>() % 10
}

/// A part of a line whose length was checked.
fn part(line: &str, from: usize, to: usize) -> &str {
    line.get(from..to).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// ICAO Doc 9303 parts 3 to 7, as listed in the design catalogue, section 2.
    const SOUND: [(&[&str], &str); 7] = [
        (
            &["P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"],
            "L898902C3",
        ),
        (
            &[
                "I<UTOD231458907<<<<<<<<<<<<<<<",
                "7408122F1204159UTO<<<<<<<<<<<6",
                "ERIKSSON<<ANNA<MARIA<<<<<<<<<<",
            ],
            "D23145890",
        ),
        (&["I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6"], "D23145890"),
        (
            &["V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L8988901C4XXX4009078F96121096ZE184226B<<<<<<"],
            "L8988901C",
        ),
        (&["V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "L8988901C4XXX4009078F9612109<<<<<<<<"], "L8988901C"),
        (
            &[
                "I<UTOD23145890<7349<<<<<<<<<<<",
                "3407127M9507122UTO<<<<<<<<<<<2",
                "STEVENSON<<PETER<<<<<<<<<<<<<<",
            ],
            "D23145890734",
        ),
        (&["I<UTOSTEVENSON<<PETER<<<<<<<<<<<<<<<", "D23145890<UTO3407127M95071227349<<<8"], "D23145890734"),
    ];

    #[test]
    fn published_zones_are_sound() {
        for (lines, number) in SOUND {
            assert_eq!(read(lines), Some(Mrz { number: number.to_owned(), faults: Vec::new() }), "{lines:?}");
        }
        assert_eq!((check_digit("520727"), check_digit("AB2134<<<")), (3, 5));
        // Belgian cards disagree: one counts the filler in the digit's place, one does not.
        assert!(fits("000590240<601", "3") && fits("600001795015", "2"));
    }

    #[test]
    fn each_digit_is_checked() {
        let td3 = SOUND[0].0;
        for (at, faults) in [
            (1, vec![Fault::Number, Fault::Composite]),
            (14, vec![Fault::Birth, Fault::Composite]),
            (22, vec![Fault::Expiry, Fault::Composite]),
            (29, vec![Fault::Optional, Fault::Composite]),
            (43, vec![Fault::Composite]),
        ] {
            let mut line = td3[1].to_owned();
            let other = if &line[at..=at] == "1" { "2" } else { "1" };
            line.replace_range(at..=at, other);
            assert_eq!(read(&[td3[0], &line]).unwrap().faults, faults, "{at}");
        }
        for bad in [&["P<UTO"][..], &[td3[0]], &[td3[0], "l898902c36uto7408122f1204159ze184226b<<<<<10"], &[]]
        {
            assert_eq!(read(bad), None);
        }
    }

    proptest! {
        #[test]
        fn never_panics(lines in proptest::collection::vec("[A-Z0-9<é]{28,46}", 0..4)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let _ = read(&lines);
        }
    }
}
