//! One entry of a log as a message of syslog (RFC 5424), and the frame that it goes in.

use silkgate_ledger::{Entry, Kind};

use crate::reading;
use crate::store::ledger::Head;

/// `log audit` (RFC 5424 §6.2.1).
const FACILITY: u8 = 13;
/// The structured data's id. No enterprise number is registered for Silkgate yet: this one is that of documentation (RFC 5612).
const SD_ID: &str = "silkgate@32473";
/// What stands where nothing is known (RFC 5424 §6).
const NIL: &str = "-";
/// The MSGID of an entry that is not there or cannot be read.
const DAMAGED: &str = "damaged";

/// How much somebody should care (RFC 5424 §6.2.1). Few steps: who judges has the entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Severity {
    /// Somebody has to look at once.
    Alert = 1,
    /// Something was given up.
    Warning = 4,
    /// Not what every message brings: a refusal, an act of an operator, a read.
    Notice = 5,
    /// The ordinary life of a message.
    Informational = 6,
}

fn severity(entry: &Entry) -> Severity {
    match entry.kind {
        // Two histories of one log.
        Kind::Admin if entry.what.as_deref() == Some("alarm") => Severity::Alert,
        Kind::Dead => Severity::Warning,
        Kind::Admin | Kind::Refused | Kind::Rejected | Kind::Expired | Kind::Dropped => Severity::Notice,
        Kind::Sent | Kind::Received | Kind::Receipted | Kind::Delivered | Kind::Erased => {
            Severity::Informational
        }
    }
}

/// The message that tells of the entry at `index`, in US-ASCII and in one line. `body`: the entry as it is stored; None: it is missing.
///
/// An entry that is missing or cannot be read makes a message of its own: one row that somebody damaged must neither end the stream nor
/// go by in silence.
pub(super) fn message(host: &str, head: &Head, index: u64, body: Option<Vec<u8>>) -> String {
    let log = head.partner.map_or_else(|| "house".to_owned(), |partner| partner.to_string());
    let index_text = index.to_string();
    let mut params = vec![("log", log.as_str()), ("index", &index_text)];
    let told = match body {
        None => Err("missing"),
        Some(body) => {
            let entry = Entry::parse(&body).ok();
            entry.zip(reading::line(&head.origin, index, body).ok()).ok_or("unreadable")
        }
    };
    let (entry, line) = match told {
        Ok(told) => told,
        Err(why) => {
            let (pri, data) = (pri(Severity::Alert), structured(&params));
            let line = format!(r#"{{"log":"{}","index":{index},"damaged":"{why}"}}"#, head.origin);
            return format!("<{pri}>1 {NIL} {host} silkgate {NIL} {DAMAGED} {data} {line}");
        }
    };
    params.extend(entry.what.as_deref().map(|what| ("what", what)));
    params.extend(entry.code.as_deref().map(|code| ("code", code)));
    let (pri, at, kind, data) = (pri(severity(&entry)), entry.at, entry.kind.as_str(), structured(&params));
    format!("<{pri}>1 {at} {host} silkgate {NIL} {kind} {data} {line}")
}

fn pri(severity: Severity) -> u8 {
    FACILITY * 8 + severity as u8
}

/// One element (RFC 5424 §6.3).
fn structured(params: &[(&str, &str)]) -> String {
    let params: String =
        params.iter().map(|(name, value)| format!(" {name}=\"{}\"", escaped(value))).collect();
    format!("[{SD_ID}{params}]")
}

/// A PARAM-VALUE: `"`, `\` and `]` stand behind a `\` (RFC 5424 §6.3.3).
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// Appends a message in its frame: its length in bytes, a space, and the message (RFC 5425 §4.3, RFC 6587 §3.4.1).
pub(super) fn frame(frames: &mut Vec<u8>, message: &str) {
    frames.extend_from_slice(format!("{} {message}", message.len()).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use silkgate_ledger::UtcMillis;
    use silkgate_ledger::tree::EMPTY_ROOT;

    use super::*;

    fn head(partner: Option<&str>) -> Head {
        Head {
            id: 1,
            origin: "gw.iq.example/IQ/JO".to_owned(),
            partner: partner.map(|partner| partner.parse().unwrap()),
            size: 20,
            root: EMPTY_ROOT,
            signed: 0,
            cosigned: 0,
            witnessed: 0,
            alarms: 0,
            lists_from: 0,
        }
    }

    fn entry(kind: Kind) -> Entry {
        let mut entry = Entry::new(kind, UtcMillis::parse("2026-11-24T09:30:00.123Z").unwrap());
        entry.id = Some("01a20d81-c7bd-7df7-bf7c-a7e8983eeab7".to_owned());
        entry
    }

    #[test]
    fn a_message_has_the_form_of_rfc_5424() {
        let body = entry(Kind::Dead).encode().unwrap();
        let text = String::from_utf8(body.clone()).unwrap();
        let message = message("gw.iq.example", &head(Some("JO")), 12, Some(body));
        // As the examples of §6.5: <PRI>VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG.
        let header = "<108>1 2026-11-24T09:30:00.123Z gw.iq.example silkgate - dead";
        let data = r#"[silkgate@32473 log="JO" index="12"]"#;
        let line = format!(r#"{{"log":"gw.iq.example/IQ/JO","index":12,"entry":{text}}}"#);
        assert_eq!(message, format!("{header} {data} {line}"));
        let mut frames = Vec::new();
        frame(&mut frames, "abc");
        frame(&mut frames, "de");
        assert_eq!(frames, b"3 abc2 de");
    }

    #[test]
    fn every_collector_takes_the_longest_message() {
        let (mut entry, code) = (entry(Kind::Refused), Some("a".repeat(48)));
        (entry.what, entry.code) = (code.clone(), code);
        let body = entry.encode().unwrap();
        // An entry is shorter than 512 bytes, and a host name than 254.
        let longer = 511 - body.len();
        let host = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        let head = Head { origin: format!("{host}/IQ/house"), ..head(None) };
        let told = message(&host, &head, u64::MAX, Some(body));
        // RFC 5425 §4.3.1.
        assert!(told.contains(" refused [") && told.len() + longer < 2048, "{}", told.len());
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_more_than_informational() {
        let mut alarm = entry(Kind::Admin);
        alarm.what = Some("alarm".to_owned());
        alarm.code = Some("fork".to_owned());
        let told = message("gw.iq.example", &head(None), 3, Some(alarm.encode().unwrap()));
        assert!(told.starts_with("<105>1 "), "{told}");
        assert!(
            told.contains(r#"[silkgate@32473 log="house" index="3" what="alarm" code="fork"] {"#),
            "{told}"
        );
        for (kind, pri) in [(Kind::Sent, 110), (Kind::Delivered, 110), (Kind::Dropped, 109)] {
            assert_eq!(FACILITY * 8 + severity(&entry(kind)) as u8, pri, "{kind:?}");
        }
    }

    #[test]
    fn an_entry_that_is_damaged_is_told_and_nothing_of_it_repeated() {
        let text = String::from_utf8(entry(Kind::Dead).encode().unwrap()).unwrap();
        for (body, why) in [
            (None, "missing"),
            (Some(text.replace("dead", "dread").into_bytes()), "unreadable"),
            (Some(b"\n1 <0>1 forged \xff".to_vec()), "unreadable"),
        ] {
            let told = message("gw.iq.example", &head(Some("JO")), 7, body);
            let line = format!(r#"{{"log":"gw.iq.example/IQ/JO","index":7,"damaged":"{why}"}}"#);
            let data = r#"[silkgate@32473 log="JO" index="7"]"#;
            assert_eq!(told, format!("<105>1 - gw.iq.example silkgate - damaged {data} {line}"));
        }
    }

    /// The other way round, as a reader does it.
    fn unescaped(text: &str) -> Option<String> {
        let (mut value, mut chars) = (String::new(), text.chars());
        while let Some(c) = chars.next() {
            match c {
                '"' | ']' => return None,
                '\\' => value.push(chars.next().filter(|c| matches!(c, '"' | '\\' | ']'))?),
                c => value.push(c),
            }
        }
        Some(value)
    }

    proptest! {
        #[test]
        fn what_was_escaped_is_read_again(value in "(\\PC|[\"\\\\\\]])*") {
            prop_assert_eq!(unescaped(&escaped(&value)), Some(value));
        }
    }
}
