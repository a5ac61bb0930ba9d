//! From PAXLST to `manifest.passenger`: the interchange, a message's head and its totals.

mod dates;
mod journey;
mod traveller;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::Fault;
use crate::codes::{ROLES, word};
use crate::syntax::{Segment, segments};

/// What a passenger list does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// UN/LOCODE by the code that the list uses, e.g. `AMM` (IATA) to `JOAMM`.
    pub places: BTreeMap<String, String>,
    /// Minutes east of UTC: PAXLST states local times.
    pub offset_minutes: i32,
    /// `recordId`; the message's reference unless given.
    pub record: Option<String>,
    /// `recordVersion`; 1 unless given.
    pub version: Option<u64>,
    /// The message that a change or a close-out follows: id and digest.
    pub supersedes: Option<(String, String)>,
    /// The carrier's state, where the list does not say it.
    pub carrier_country: Option<String>,
}

/// One passenger list.
#[derive(Clone, Debug)]
pub struct Converted {
    /// `data` of `manifest.passenger`.
    pub data: Value,
    /// Who sent the interchange (UNB).
    pub sender: String,
    /// What was left out or taken for granted.
    pub warnings: Vec<Fault>,
}

/// Reads every PAXLST message of an interchange. All faults at once.
pub fn read(bytes: &[u8], options: &Options) -> Result<Vec<Converted>, Vec<Fault>> {
    let segments = segments(bytes).map_err(|fault| vec![fault])?;
    let mut faults = Vec::new();
    let mut found = Vec::new();
    let sender = segments.iter().find(|s| s.tag.text == "UNB").map_or("", |s| s.get(2, 0)).to_owned();
    let starts: Vec<usize> =
        segments.iter().enumerate().filter(|(_, s)| s.tag.text == "UNH").map(|(at, _)| at).collect();
    for start in &starts {
        let rest = segments.get(*start..).unwrap_or_default();
        let Some(end) = rest.iter().position(|s| s.tag.text == "UNT") else {
            if let Some(head) = rest.first() {
                faults.push(head.fault(1, 0, "truncated", "the message has no UNT"));
            }
            continue;
        };
        let message = rest.get(..=end).unwrap_or_default();
        let mut list = List { options, faults: Vec::new(), warnings: Vec::new() };
        let data = list.message(message);
        if list.faults.is_empty() {
            found.push(Converted { data, sender: sender.clone(), warnings: list.warnings });
        }
        faults.append(&mut list.faults);
    }
    interchange(&segments, starts.len(), &mut faults);
    faults.sort_by_key(|fault| (fault.line, fault.column));
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// Counts and references of the trailers (ISO 9735 UNZ, UNE).
fn interchange(segments: &[Segment], messages: usize, faults: &mut Vec<Fault>) {
    if messages == 0 {
        let text = "the file holds no message (UNH)";
        faults.push(segments.first().map_or(
            Fault {
                line: 1,
                column: 1,
                segment: 0,
                tag: String::new(),
                code: "empty",
                text: text.to_owned(),
            },
            |first| first.fault(1, 0, "empty", text),
        ));
    }
    let groups = segments.iter().filter(|s| s.tag.text == "UNG").count();
    for trailer in segments.iter().filter(|s| s.tag.text == "UNZ") {
        let inside = if groups > 0 { groups } else { messages };
        if trailer.get(1, 0) != inside.to_string() {
            let text = format!("UNZ counts {}, the interchange holds {inside}", trailer.get(1, 0));
            faults.push(trailer.fault(1, 0, "count_wrong", text));
        }
        let head = segments.iter().find(|s| s.tag.text == "UNB").map_or("", |s| s.get(5, 0));
        if trailer.get(2, 0) != head {
            faults.push(trailer.fault(2, 0, "reference_differs", "UNZ names another interchange than UNB"));
        }
    }
}

struct List<'o> {
    options: &'o Options,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl List<'_> {
    fn message(&mut self, message: &[Segment]) -> Value {
        let Some(head) = message.first() else { return Value::Null };
        if head.get(2, 0) != "PAXLST" {
            let text = format!("a passenger list is PAXLST, this is {}", head.get(2, 0));
            self.faults.push(head.fault(2, 0, "message_type", text));
            return Value::Null;
        }
        self.trailer(message);
        let travellers_from =
            message.iter().position(|s| s.tag.text == "NAD" && word(&ROLES, s.get(1, 0)).is_some());
        let totals_from = message.iter().position(|s| s.tag.text == "CNT").unwrap_or(message.len());
        let travellers_from = travellers_from.unwrap_or(totals_from).min(totals_from);
        let (header, rest) = message.split_at(travellers_from);
        let (people, totals) = rest.split_at(totals_from - travellers_from);
        let mut data = Map::new();
        self.header(head, header, &mut data);
        let arrival = self.journey(header, &mut data);
        let mut travellers = Vec::new();
        for group in groups(people, |s| s.tag.text == "NAD") {
            travellers.push(self.traveller(group, travellers.len() + 1, arrival));
        }
        self.totals(totals, &travellers, head, &mut data);
        data.insert("travellers".into(), travellers.into());
        Value::Object(data)
    }

    fn trailer(&mut self, message: &[Segment]) {
        let (Some(head), Some(trailer)) = (message.first(), message.last()) else { return };
        if trailer.get(1, 0) != message.len().to_string() {
            let text =
                format!("UNT counts {} segments, the message has {}", trailer.get(1, 0), message.len());
            self.faults.push(trailer.fault(1, 0, "count_wrong", text));
        }
        if trailer.get(2, 0) != head.get(1, 0) {
            self.faults.push(trailer.fault(2, 0, "reference_differs", "UNT names another message than UNH"));
        }
    }

    /// BGM (745 passenger list, 250 crew list, 266 flight close-out), reporting party, carrier.
    fn header(&mut self, head: &Segment, header: &[Segment], data: &mut Map<String, Value>) {
        let begin = header.iter().find(|s| s.tag.text == "BGM");
        let stage = match begin.map(|s| (s.get(1, 0), s.get(2, 0))) {
            Some(("745", "CP")) => "change",
            Some(("745" | "250" | "10" | "336", _)) => "original",
            Some(("266", _)) => "close-out",
            Some((other, _)) => {
                let text = format!("BGM is 745, 250 or 266, this is {other}");
                self.faults.extend(begin.map(|s| s.fault(1, 0, "bgm_unknown", text)));
                return;
            }
            None => return self.faults.push(head.fault(1, 0, "bgm_missing", "the message has no BGM")),
        };
        let original = stage == "original";
        let record = self.options.record.clone().unwrap_or_else(|| head.get(1, 0).to_owned());
        data.insert("action".into(), if original { "new" } else { "update" }.into());
        data.insert("recordId".into(), record.into());
        data.insert(
            "recordVersion".into(),
            self.options.version.unwrap_or(if original { 1 } else { 2 }).into(),
        );
        data.insert("stage".into(), stage.into());
        match (&self.options.supersedes, original) {
            (Some((id, digest)), false) => {
                data.insert("supersedes".into(), json!({ "messageId": id, "digest": digest }));
            }
            (None, false) => {
                let text = "a change or close-out follows an earlier message, which a passenger list does not name: give --supersedes ID:DIGEST";
                self.faults.extend(begin.map(|s| s.fault(1, 0, "supersedes_missing", text)));
            }
            _ => {}
        }
        for (index, party) in header.iter().enumerate().filter(|(_, s)| s.is("NAD", "MS")) {
            let phones = header.iter().skip(index + 1).take_while(|s| s.tag.text == "COM");
            let phone = phones.flat_map(phones_of).find_map(|phone| e164(&phone));
            match phone {
                Some(phone) => {
                    let name = party.components(4).join(" ").trim().to_owned();
                    let mut contact = json!({ "telephone": phone });
                    if !name.is_empty() {
                        contact["name"] = name.into();
                    }
                    data.insert("contact".into(), contact);
                }
                None => self.warnings.push(party.fault(
                    1,
                    0,
                    "contact_left_out",
                    "no telephone number with its country code (+…)",
                )),
            }
        }
    }

    /// CNT+42 passengers, CNT+41 crew.
    fn totals(
        &mut self,
        totals: &[Segment],
        travellers: &[Value],
        head: &Segment,
        data: &mut Map<String, Value>,
    ) {
        let crew = travellers.iter().filter(|t| t["role"] == "crew").count();
        let passengers = travellers.len() - crew;
        for (qualifier, found) in [("42", passengers), ("41", crew)] {
            for segment in totals.iter().filter(|s| s.is("CNT", qualifier)) {
                if segment.get(1, 1) != found.to_string() {
                    let text =
                        format!("CNT+{qualifier} states {}, the list holds {found}", segment.get(1, 1));
                    self.faults.push(segment.fault(1, 1, "count_wrong", text));
                }
            }
        }
        if totals.iter().all(|s| !s.is("CNT", "42") && !s.is("CNT", "41")) {
            self.warnings.push(head.fault(
                1,
                0,
                "totals_missing",
                "the list states no total (CNT); counted instead",
            ));
        }
        data.insert("totals".into(), json!({ "travellers": passengers, "crew": crew }));
    }
}

/// The pieces of a list that begin where `begins` says.
fn groups(segments: &[Segment], begins: impl Fn(&Segment) -> bool) -> Vec<&[Segment]> {
    let starts: Vec<usize> =
        segments.iter().enumerate().filter(|(_, s)| begins(s)).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([segments.len()]);
    starts.iter().zip(ends).filter_map(|(from, to)| segments.get(*from..to)).collect()
}

/// Telephone numbers of COM: components in pairs of number and kind, repeated as elements.
fn phones_of(segment: &Segment) -> Vec<String> {
    let pairs = (1..=3).map(|element| (segment.get(element, 0), segment.get(element, 1)));
    pairs.filter(|(_, kind)| *kind == "TE").map(|(number, _)| number.to_owned()).collect()
}

/// ITU-T E.164 with its plus sign, without the marks between digits.
fn e164(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let whole =
        text.trim_start().starts_with('+') && (7..=15).contains(&digits.len()) && !digits.starts_with('0');
    whole.then(|| format!("+{digits}"))
}
