//! From PAXLST to `manifest.passenger`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use silkgate_message::values::calendar::Partial;
use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};

use crate::Fault;
use crate::codes::{DOCUMENTS, MODES, ROLES, alpha_2, word};
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

/// A stop on the way: where, and when it is reached or left.
#[derive(Default)]
struct Stop {
    place: String,
    crossing: Option<String>,
    departure: Option<PrimitiveDateTime>,
    arrival: Option<PrimitiveDateTime>,
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

    /// TDT+20 and the places and times behind it; the day of the last arrival.
    fn journey(&mut self, header: &[Segment], data: &mut Map<String, Value>) -> Option<Date> {
        let Some(transport) = header.iter().find(|s| s.is("TDT", "20") || s.is("TDT", "11")) else {
            self.faults
                .extend(header.first().map(|s| s.fault(1, 0, "tdt_missing", "the message has no TDT+20")));
            return None;
        };
        let mode = transport.get(3, 0).trim_start_matches('0');
        // An airline's list leaves the mode out.
        let mode = if mode.is_empty() { Some("air") } else { word(&MODES, mode) };
        let Some(mode) = mode else {
            self.faults.push(transport.fault(
                3,
                0,
                "mode_unknown",
                "the mode is 1 sea, 2 rail, 3 road or 4 air",
            ));
            return None;
        };
        data.insert("mode".into(), mode.into());
        let service: String = transport.get(2, 0).split_whitespace().collect();
        if !service.is_empty() {
            data.insert("service".into(), service.clone().into());
        }
        self.carrier(header, transport, &service, data);
        self.craft(transport, mode, data);
        let mut stops: Vec<Stop> = Vec::new();
        for segment in header {
            match (segment.tag.text.as_str(), segment.get(1, 0)) {
                // 3227: 125 last departure abroad, 87 first arrival, 92 on the way, 130 last destination.
                ("LOC", "125" | "87" | "92" | "130") => {
                    let place = self.place(segment, 2);
                    let again = stops.last().is_some_and(|stop| stop.place == place);
                    if !again {
                        stops.push(Stop { place, ..Stop::default() });
                    }
                }
                // 3227: 17 border crossing place.
                ("LOC", "17") => {
                    if let Some(stop) = stops.last_mut() {
                        stop.crossing = Some(segment.get(2, 0).to_owned());
                    }
                }
                ("DTM", "189" | "232") => {
                    let time = self.time(segment);
                    if let Some(stop) = stops.last_mut() {
                        if segment.get(1, 0) == "189" { stop.departure = time } else { stop.arrival = time }
                    }
                }
                _ => {}
            }
        }
        self.itinerary(transport, &stops, data);
        stops.iter().rev().find_map(|stop| stop.arrival).map(PrimitiveDateTime::date)
    }

    fn itinerary(&mut self, transport: &Segment, stops: &[Stop], data: &mut Map<String, Value>) {
        let mut legs: Vec<Value> = Vec::new();
        for pair in stops.windows(2) {
            let [from, to] = pair else { continue };
            // Two airports of one stop between flights: no leg between them.
            let (Some(departure), Some(arrival)) = (from.departure, to.arrival) else {
                let text = format!(
                    "{} to {} lacks its departure (DTM+189) or arrival (DTM+232)",
                    from.place, to.place
                );
                self.faults.push(transport.fault(1, 0, "time_missing", text));
                continue;
            };
            let mut leg = json!({
                "from": from.place, "to": to.place,
                "departure": self.instant(departure), "arrival": self.instant(arrival),
            });
            if let Some(crossing) = &to.crossing {
                leg["crossing"] = crossing.clone().into();
            }
            legs.push(leg);
        }
        if legs.is_empty() && stops.len() < 2 {
            self.faults.push(transport.fault(
                1,
                0,
                "route_missing",
                "the list names no departure (LOC+125) and arrival (LOC+87)",
            ));
        }
        data.insert("itinerary".into(), legs.into());
    }

    /// NAD+CA where it is there, else the carrier of TDT, else the airline in the flight's number.
    fn carrier(
        &mut self,
        header: &[Segment],
        transport: &Segment,
        service: &str,
        data: &mut Map<String, Value>,
    ) {
        let party = header.iter().find(|s| s.is("NAD", "CA"));
        let stated = [
            party.map_or("", |s| s.get(4, 0)),
            transport.get(5, 3),
            transport.get(5, 0),
            service.get(..2).unwrap_or(""),
        ];
        let name = stated.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        let country = party.and_then(|s| alpha_2(s.get(9, 0))).map(str::to_owned);
        let Some(country) = country.or_else(|| self.options.carrier_country.clone()) else {
            let text = "the carrier's state is not in the list: give --carrier-country";
            return self.faults.push(transport.fault(5, 0, "carrier_country_missing", text));
        };
        let mut carrier = json!({ "name": name, "country": country });
        if let Some(party) = party.filter(|s| !s.get(2, 0).is_empty()) {
            let scheme = if party.get(2, 1).is_empty() { "CARRIER" } else { party.get(2, 1) };
            carrier["identifier"] = json!({ "scheme": scheme, "value": party.get(2, 0) });
        }
        data.insert("carrier".into(), carrier);
    }

    /// C222: the plate of a road vehicle, the IMO number of a ship.
    fn craft(&mut self, transport: &Segment, mode: &str, data: &mut Map<String, Value>) {
        let identification = transport.get(8, 0);
        match mode {
            "road" => {
                let country = alpha_2(transport.get(8, 4));
                match (identification, country) {
                    ("", _) => self.faults.push(transport.fault(
                        8,
                        0,
                        "plate_missing",
                        "a road vehicle is named by its plate (C222)",
                    )),
                    (_, None) => {
                        let text = "the plate's state is missing or unknown (C222, nationality)";
                        self.faults.push(transport.fault(8, 4, "country_unknown", text));
                    }
                    (plate, Some(country)) => {
                        let key = silkgate_message::values::plate::match_key(plate);
                        let plate = json!({ "display": plate, "script": "Latn", "registrationCountry": country, "matchKey": key });
                        data.insert("plate".into(), plate);
                    }
                }
                let kind = transport.get(4, 1).to_ascii_lowercase();
                let known = ["coach", "minibus", "car", "taxi", "truck"].contains(&kind.as_str());
                if !known && !kind.is_empty() {
                    self.warnings.push(transport.fault(
                        4,
                        1,
                        "vehicle_kind",
                        "not one of COACH, MINIBUS, CAR, TAXI, TRUCK: taken as COACH",
                    ));
                }
                data.insert("vehicleKind".into(), if known { kind } else { "coach".to_owned() }.into());
            }
            "sea" if !identification.is_empty() => {
                data.insert("imo".into(), identification.into());
            }
            _ => {}
        }
    }

    /// NAD and what follows it, until the next.
    fn traveller(&mut self, group: &[Segment], number: usize, arrival: Option<Date>) -> Value {
        let Some(head) = group.first() else { return Value::Null };
        let role = word(&ROLES, head.get(1, 0)).unwrap_or_else(|| {
            let text = "a traveller is FL passenger, FM crew, DDU or DDT in transit";
            self.faults.push(head.fault(1, 0, "role_unknown", text));
            "passenger"
        });
        let parts = head.components(4);
        let surname = parts.first().copied().unwrap_or_default();
        if surname.is_empty() {
            self.faults.push(head.fault(4, 0, "name_missing", "a traveller has at least a surname"));
        }
        let given: Vec<&str> =
            parts.iter().skip(1).take(2).copied().filter(|part| !part.is_empty()).collect();
        let mut name = json!({ "surname": surname, "script": "Latn" });
        if !given.is_empty() {
            name["givenNames"] = given.join(" ").into();
        }
        // C082 may number the traveller; what is none of our numbers is counted instead.
        let stated = head.get(2, 0).parse().ok().filter(|stated| (1..=9999).contains(stated));
        let mut person = json!({ "number": stated.unwrap_or(number), "role": role, "name": name });
        let mut documents = Vec::new();
        let mut in_document = false;
        for segment in group.iter().skip(1) {
            in_document |= segment.tag.text == "DOC";
            if segment.tag.text == "DOC" {
                documents.push(self.document(segment));
                continue;
            }
            match (in_document, documents.last_mut()) {
                (true, Some(Some(document))) => self.document_part(segment, document, arrival),
                (true, _) => {}
                (false, _) => self.attribute(segment, &mut person, arrival),
            }
        }
        let known: Vec<Value> = documents.into_iter().flatten().collect();
        // One document is carried: the first that is no visa, for a visa stands in a passport.
        let chosen = known.iter().position(|d| d["docType"] != "visa").unwrap_or(0);
        for _ in known.iter().skip(1) {
            self.warnings.push(head.fault(
                1,
                0,
                "document_left_out",
                "of several documents the first travel document is carried",
            ));
        }
        match known.into_iter().nth(chosen) {
            Some(mut document) => {
                if document["issuingState"].is_null() {
                    document["issuingState"] = person["nationality"].clone();
                    self.warnings.push(head.fault(
                        1,
                        0,
                        "issuing_state",
                        "LOC+91 is missing: taken as the nationality",
                    ));
                }
                person["document"] = document;
            }
            None => {
                self.faults.push(head.fault(1, 0, "document_missing", "the traveller has no document (DOC)"))
            }
        }
        for (member, what) in [("sex", "ATT+2"), ("birthDate", "DTM+329"), ("nationality", "NAT+2")] {
            if person[member].is_null() && self.faults.iter().all(|f| f.segment < head.number) {
                let text = format!("the traveller has no {what}");
                self.faults.push(head.fault(1, 0, "member_missing", text));
            }
        }
        person
    }

    fn attribute(&mut self, segment: &Segment, person: &mut Value, arrival: Option<Date>) {
        match (segment.tag.text.as_str(), segment.get(1, 0)) {
            ("ATT", "2") => match segment.get(3, 0) {
                "M" | "F" => person["sex"] = segment.get(3, 0).into(),
                "X" | "U" => person["sex"] = "X".into(),
                _ => self.faults.push(segment.fault(3, 0, "sex_unknown", "ATT+2 is M, F, X or U")),
            },
            ("DTM", "329") => match birth(segment.get(1, 1), segment.get(1, 2), arrival) {
                Some(date) => person["birthDate"] = date.into(),
                None => self.faults.push(segment.fault(
                    1,
                    1,
                    "date_invalid",
                    "a birth date is YYMMDD, CCYYMMDD, CCYYMM or CCYY, and exists",
                )),
            },
            ("NAT", "2") => match alpha_2(segment.get(2, 0)) {
                Some(country) => person["nationality"] = country.into(),
                None => self.faults.push(segment.fault(
                    2,
                    0,
                    "country_unknown",
                    "the nationality is no ISO 3166-1 code",
                )),
            },
            ("MEA", "CT") => {
                if let Some(count) = segment.components(3).iter().find_map(|text| text.parse::<u64>().ok()) {
                    person["baggage"] = count.into();
                }
            }
            ("LOC", "178") => person["embark"] = self.place(segment, 2).into(),
            ("LOC", "179") => person["disembark"] = self.place(segment, 2).into(),
            ("RFF", "AVF") => person["bookingReference"] = segment.get(1, 1).into(),
            ("RFF", "SEA") => person["seat"] = segment.get(1, 1).into(),
            _ => {}
        }
    }

    fn document(&mut self, segment: &Segment) -> Option<Value> {
        let number = segment.get(2, 0);
        if number.is_empty() {
            // An empty DOC stands in some carriers' lists for "none".
            self.warnings.push(segment.fault(
                2,
                0,
                "document_empty",
                "a document without a number is left out",
            ));
            return None;
        }
        let stated = segment.get(1, 3).to_ascii_lowercase();
        let by_name =
            ["residence-permit", "driving-licence", "seafarers-book", "refugee-document", "laissez-passer"];
        let kind = word(&DOCUMENTS, segment.get(1, 0)).or(by_name.into_iter().find(|name| *name == stated));
        let Some(kind) = kind else {
            let text = "no travel document that is known: P, I, A, C or V, or ZZZ with its name; left out";
            self.warnings.push(segment.fault(1, 0, "document_unknown", text));
            return None;
        };
        Some(json!({ "docType": kind, "number": number }))
    }

    fn document_part(&mut self, segment: &Segment, document: &mut Value, arrival: Option<Date>) {
        match (segment.tag.text.as_str(), segment.get(1, 0)) {
            ("DTM", "36") => match expiry(segment.get(1, 1), arrival) {
                Some(date) => document["expiry"] = date.into(),
                None => self.faults.push(segment.fault(
                    1,
                    1,
                    "date_invalid",
                    "an expiry is YYMMDD or CCYYMMDD, and exists",
                )),
            },
            ("LOC", "91") => match alpha_2(segment.get(2, 0)) {
                Some(country) => document["issuingState"] = country.into(),
                None => self.faults.push(segment.fault(
                    2,
                    0,
                    "country_unknown",
                    "the issuing state is no ISO 3166-1 code",
                )),
            },
            _ => {}
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

    /// A UN/LOCODE, or what the caller says it is.
    fn place(&mut self, segment: &Segment, element: usize) -> String {
        let code = segment.get(element, 0);
        if let Some(known) = self.options.places.get(code) {
            return known.clone();
        }
        if code.len() != 5 {
            let text = format!("{code} is no UN/LOCODE; say which it is with --place {code}=LOCODE");
            self.faults.push(segment.fault(element, 0, "place_unknown", text));
        }
        code.to_owned()
    }

    /// DTM in format 201 (YYMMDDHHMM) or 203 (CCYYMMDDHHMM); its length tells, for senders mix them up.
    fn time(&mut self, segment: &Segment) -> Option<PrimitiveDateTime> {
        let text = segment.get(1, 1);
        let whole = if text.len() == 10 { format!("20{text}") } else { text.to_owned() };
        let parsed = (whole.len() == 12).then(|| {
            let date = date(whole.get(..8)?)?;
            let time =
                Time::from_hms(whole.get(8..10)?.parse().ok()?, whole.get(10..)?.parse().ok()?, 0).ok()?;
            Some(PrimitiveDateTime::new(date, time))
        });
        let parsed = parsed.flatten();
        if parsed.is_none() {
            let text = "a time is YYMMDDHHMM (201) or CCYYMMDDHHMM (203), and exists";
            self.faults.push(segment.fault(1, 1, "date_invalid", text));
        }
        parsed
    }

    /// Local time as an instant in UTC.
    fn instant(&self, local: PrimitiveDateTime) -> String {
        let offset =
            UtcOffset::from_whole_seconds(self.options.offset_minutes * 60).unwrap_or(UtcOffset::UTC);
        let at = local.assume_offset(offset).to_offset(UtcOffset::UTC);
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:00Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute()
        )
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

/// CCYYMMDD.
fn date(text: &str) -> Option<Date> {
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<u8>().ok();
    let month = Month::try_from(part(4..6)?).ok()?;
    Date::from_calendar_date(text.get(..4)?.parse().ok()?, month, part(6..8)?)
        .ok()
        .filter(|_| text.len() == 8)
}

/// A date of birth; with two digits of the year, the last such year before the arrival. Format codes as in
/// UN/EDIFACT 2379: 610 is CCYYMM, what has no code goes by its length.
fn birth(text: &str, format: &str, arrival: Option<Date>) -> Option<String> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole = match text.len() {
        6 if format == "610" => format!("{}-{}", text.get(..4)?, text.get(4..)?),
        6 => century(text, arrival?)?,
        4 => text.to_owned(),
        8 => format!("{}-{}-{}", text.get(..4)?, text.get(4..6)?, text.get(6..)?),
        _ => return None,
    };
    Partial::parse(&whole).map(|_| whole)
}

fn century(text: &str, arrival: Date) -> Option<String> {
    let year: i32 = text.get(..2)?.parse().ok()?;
    let (month, day) = (text.get(2..4)?, text.get(4..6)?);
    let this = arrival.year() / 100 * 100 + year;
    let later = format!("{this:04}-{month}-{day}") > arrival.to_string();
    Some(format!("{:04}-{month}-{day}", if later { this - 100 } else { this }))
}

/// An expiry: two digits of the year lie within fifty years of the arrival.
fn expiry(text: &str, arrival: Option<Date>) -> Option<String> {
    let text = match text.len() {
        6 => {
            let base = arrival.map_or(2000, |day| day.year() / 100 * 100);
            format!("{:04}{}", base + text.get(..2)?.parse::<i32>().ok()?, text.get(2..)?)
        }
        _ => text.to_owned(),
    };
    date(&text).map(|date| date.to_string())
}
