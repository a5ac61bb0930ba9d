//! What the authority signed: `TSTInfo` (RFC 3161 §2.4.2).

use der::Tag;
use der::asn1::ObjectIdentifier;
use time::{Date, Month, Time};

use crate::TimestampError;
use crate::element::{Element, Elements, context, context_primitive, malformed, plain_algorithm};

const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const WHAT: &str = "the content is no TSTInfo";

/// What a time-stamp states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// SHA-256 of what was time-stamped.
    pub imprint: [u8; 32],
    /// When, in milliseconds since 1970 in UTC; what is finer is cut off.
    pub at_ms: i64,
    /// How far the authority's clock may be off; None: the authority's policy says.
    pub accuracy: Option<Accuracy>,
    /// The token's number at this authority, in lower-case hexadecimal.
    pub serial: String,
    /// The policy under which it was issued: an object identifier with dots.
    pub policy: String,
    /// The request's nonce, the bytes of the INTEGER.
    pub nonce: Option<Vec<u8>>,
    /// The authority's name as a GeneralName in DER, where it states one.
    pub(crate) tsa: Option<Vec<u8>>,
}

/// How far a clock may be off, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accuracy {
    /// Microseconds.
    pub micros: u64,
}

impl Statement {
    /// Reads the DER of a TSTInfo.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, TimestampError> {
        let mut parts = Elements::only(bytes, Tag::Sequence, WHAT)?.inside();
        if parts.next(Tag::Integer, WHAT)?.number(WHAT)? != 1 {
            return Err(malformed("the version is not 1"));
        }
        let policy = parts.next(Tag::ObjectIdentifier, WHAT)?.oid(WHAT)?.to_string();
        let imprint = imprint(&parts.next(Tag::Sequence, WHAT)?)?;
        let serial = parts.next(Tag::Integer, WHAT)?.unsigned(WHAT)?;
        let at_ms = gen_time(parts.next(Tag::GeneralizedTime, WHAT)?.value)?;
        let accuracy = parts.optional(Tag::Sequence, WHAT)?.map(|element| accuracy(&element)).transpose()?;
        // `ordering` means nothing here: one authority's stamps are never compared with each other.
        parts.optional(Tag::Boolean, WHAT)?;
        let nonce = parts.optional(Tag::Integer, WHAT)?;
        let nonce = nonce.map(|nonce| nonce.unsigned(WHAT).map(<[u8]>::to_vec)).transpose()?;
        let tsa = parts.optional(context(0), WHAT)?.map(|tsa| tsa.value.to_vec());
        if let Some(extensions) = parts.optional(context(1), WHAT)? {
            none_critical(&extensions)?;
        }
        parts.end(WHAT)?;
        let serial = serial.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { imprint, at_ms, accuracy, serial, policy, nonce, tsa })
    }
}

/// MessageImprint: we ask for SHA-256 and take nothing else.
fn imprint(element: &Element<'_>) -> Result<[u8; 32], TimestampError> {
    let mut parts = element.inside();
    let algorithm = plain_algorithm(&parts.next(Tag::Sequence, WHAT)?, WHAT)?;
    let hashed = parts.next(Tag::OctetString, WHAT)?.value;
    parts.end(WHAT)?;
    if algorithm != SHA_256 {
        return Err(malformed("the imprint is not of SHA-256"));
    }
    hashed.try_into().map_err(|_| malformed("the imprint is not of SHA-256"))
}

/// An extension that a reader must understand (RFC 5280 §4.2); we know none.
fn none_critical(extensions: &Element<'_>) -> Result<(), TimestampError> {
    for extension in extensions.inside().all(32, WHAT)? {
        let mut parts = extension.inside();
        parts.next(Tag::ObjectIdentifier, WHAT)?;
        if parts.optional(Tag::Boolean, WHAT)?.is_some_and(|critical| critical.value != [0]) {
            return Err(malformed("it has a critical extension that is not known"));
        }
        parts.next(Tag::OctetString, WHAT)?;
        parts.end(WHAT)?;
    }
    Ok(())
}

fn accuracy(element: &Element<'_>) -> Result<Accuracy, TimestampError> {
    let mut parts = element.inside();
    let mut micros = 0;
    // (1..999) of millis and micros is in the standard.
    for (tag, unit, most) in [
        (Tag::Integer, 1_000_000, u32::MAX),
        (context_primitive(0), 1_000, 999),
        (context_primitive(1), 1, 999),
    ] {
        if let Some(part) = parts.optional(tag, WHAT)? {
            let count = part.number(WHAT)?;
            if count > most {
                return Err(malformed(WHAT));
            }
            micros += u64::from(count) * unit;
        }
    }
    parts.end(WHAT)?;
    Ok(Accuracy { micros })
}

/// `YYYYMMDDhhmmss[.s…]Z`, where the fraction does not end in 0 (RFC 3161 §2.4.2).
fn gen_time(text: &[u8]) -> Result<i64, TimestampError> {
    const TIME: &str = "genTime is no GeneralizedTime in UTC";
    let parse = || {
        let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
        let (whole, fraction) = match text.split_once('.') {
            Some((_, fraction)) if fraction.is_empty() || fraction.ends_with('0') => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (text, ""),
        };
        if whole.len() != 14 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        let part = |from: usize, to: usize| whole.get(from..to)?.parse::<u8>().ok();
        let year: i32 = whole.get(..4)?.parse().ok()?;
        let date = Date::from_calendar_date(year, Month::try_from(part(4, 6)?).ok()?, part(6, 8)?).ok()?;
        let time = Time::from_hms(part(8, 10)?, part(10, 12)?, part(12, 14)?).ok()?;
        let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
        let at = date.with_time(time).assume_utc().unix_timestamp().checked_mul(1000)?.checked_add(millis)?;
        (at >= 0).then_some(at)
    };
    parse().ok_or(malformed(TIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gen_time_has_one_form() {
        let at = |text: &str| gen_time(text.as_bytes()).ok();
        assert_eq!(at("19700101000000Z"), Some(0));
        assert_eq!(at("20261124085954.253Z"), Some(1_795_510_794_253));
        assert_eq!(at("20261124085954.2Z"), Some(1_795_510_794_200));
        assert_eq!(at("20261124085954.2539999Z"), Some(1_795_510_794_253));
        for wrong in [
            "20261124085954",
            "20261124085954.Z",
            "20261124085954.250Z",
            "20261124085954+0100",
            "202611240859Z",
            "20261124085960Z",
            "20261324085954Z",
            "20260230085954Z",
            "19691231235959Z",
            "2026112408595\u{0664}Z",
            "Z",
            "",
            "+0261124085954Z",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn accuracy_adds_up() {
        let read = |value| accuracy(&Element { tag: Tag::Sequence, value, whole: value }).map(|a| a.micros);
        assert_eq!(read(&[2, 1, 1, 0x80, 2, 1, 0xf4, 0x81, 1, 100]), Ok(1_500_100));
        assert_eq!(read(&[]), Ok(0));
        assert!(read(&[0x80, 2, 3, 0xe8]).is_err(), "1000 milliseconds");
        assert!(read(&[0x81, 1, 1, 0x80, 1, 1]).is_err(), "out of order");
    }
}
