//! The way: transport, carrier, craft, places and times.

use serde_json::{Map, Value, json};
use time::{Date, PrimitiveDateTime, Time, UtcOffset};

use super::List;
use super::dates::date;
use crate::codes::{MODES, alpha_2, word};
use crate::syntax::Segment;

/// A stop on the way: where, and when it is reached or left.
#[derive(Default)]
struct Stop {
    place: String,
    crossing: Option<String>,
    departure: Option<PrimitiveDateTime>,
    arrival: Option<PrimitiveDateTime>,
}

impl List<'_> {
    /// TDT+20 and the places and times behind it; the day of the last arrival.
    pub(super) fn journey(&mut self, header: &[Segment], data: &mut Map<String, Value>) -> Option<Date> {
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

    /// A UN/LOCODE, or what the caller says it is.
    pub(super) fn place(&mut self, segment: &Segment, element: usize) -> String {
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
        let digits = whole.len() == 12 && whole.bytes().all(|b| b.is_ascii_digit());
        let parsed = digits.then(|| {
            // Instants begin with 1970 and end with 9999, also when they are moved to UTC.
            let date = date(whole.get(..8)?).filter(|date| (1971..=9998).contains(&date.year()))?;
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
