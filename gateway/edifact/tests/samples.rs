//! Passenger lists from elsewhere, and our own there and back.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::{Value, json};
use silkgate_edifact::{Fault, Options, read, write};
use silkgate_message::catalogue::{Catalogue, Severity};

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/samples/{name}.txt", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn options(places: &[(&str, &str)], carrier: &str) -> Options {
    Options {
        places: places.iter().map(|(code, place)| ((*code).to_owned(), (*place).to_owned())).collect(),
        carrier_country: Some(carrier.to_owned()),
        ..Options::default()
    }
}

/// What the catalogue says of the data, without warnings.
fn errors(data: &Value) -> Vec<String> {
    let passengers = Catalogue::embedded().find("manifest.passenger", 1).unwrap();
    let found = passengers.check(&json!({ "type": "manifest.passenger", "data": data }));
    let found = found.into_iter().filter(|violation| violation.severity == Severity::Error);
    found.map(|violation| format!("{} {}", violation.rule, violation.pointer)).collect()
}

fn codes(faults: &[Fault]) -> Vec<(&'static str, usize, usize)> {
    faults.iter().map(|fault| (fault.code, fault.line, fault.column)).collect()
}

#[test]
fn an_airline_list_with_local_times_and_iata_places() {
    let mut options = options(&[("PRG", "CZPRG"), ("BCN", "ESBCN")], "CZ");
    options.offset_minutes = 120;
    let found = read(&sample("czech"), &options).unwrap();
    let data = &found[0].data;
    assert_eq!(data["itinerary"][0]["departure"], "2007-10-08T08:45:00Z");
    assert_eq!(
        (&data["service"], &data["mode"], &data["totals"]["travellers"]),
        (&json!("OK688"), &json!("air"), &json!(3))
    );
    let first = &data["travellers"][0];
    assert_eq!(
        (&first["birthDate"], &first["name"]["givenNames"], &first["document"]["docType"]),
        (&json!("1967-06-11"), &json!("JAN PETROVIC"), &json!("identity-card"))
    );
    assert_eq!(data["travellers"][2]["document"]["issuingState"], "SK");
    assert!(found[0].warnings.iter().any(|w| w.code == "issuing_state"), "{:?}", found[0].warnings);
    // The list is of 2007: one passport had expired before the flight was there.
    assert_eq!(errors(data), Vec::<String>::new());
}

#[test]
fn a_list_with_other_service_characters_that_was_cut_short() {
    let places = [("GYD", "AZGYD"), ("MSQ", "BYMSQ"), ("DME", "RUDME")];
    let faults = read(&sample("ediclean-c"), &options(&places, "BY")).unwrap_err();
    assert_eq!(codes(&faults), [("count_wrong", 52, 8), ("count_wrong", 53, 5)]);
    let mended = String::from_utf8(sample("ediclean-c"))
        .unwrap()
        .replace("UNT*152", "UNT*50")
        .replace("CNT*42:130", "CNT*42:3");
    let found = read(mended.as_bytes(), &options(&places, "BY")).unwrap();
    let children: Vec<&Value> =
        found[0].data["travellers"].as_array().unwrap().iter().map(|t| &t["birthDate"]).collect();
    assert_eq!(children, ["2015-12-04", "2013-05-23", "1959-06-10"], "the century is that of the flight");
    let faults = read(mended.as_bytes(), &options(&[("GYD", "AZGYD")], "BY")).unwrap_err();
    assert_eq!(codes(&faults)[0], ("place_unknown", 11, 8), "line 11: LOC*87*MSQ");
}

#[test]
fn a_crew_list_with_a_state_that_does_not_exist() {
    let places = [("IST", "TRIST"), ("GYD", "AZGYD")];
    let faults = read(&sample("ediclean-f"), &options(&places, "TR")).unwrap_err();
    let found = codes(&faults);
    assert!(found.contains(&("country_unknown", 19, 7)), "NAT+2+ABC: {found:?}");
    assert!(found.contains(&("count_wrong", 26, 8)) && found.contains(&("count_wrong", 27, 5)), "{found:?}");
}

#[test]
fn a_land_carriers_list() {
    let found = read(&sample("usa-land"), &options(&[], "CA")).unwrap();
    let data = &found[0].data;
    assert_eq!(
        (&data["mode"], &data["vehicleKind"], &data["plate"]["display"]),
        (&json!("road"), &json!("truck"), &json!("7ABC123"))
    );
    assert_eq!(
        (&data["travellers"][0]["role"], &data["travellers"][1]["nationality"]),
        (&json!("crew"), &json!("US"))
    );
    assert_eq!(
        data["travellers"][0]["document"],
        json!({ "docType": "passport", "number": "15504199", "issuingState": "US" })
    );
    // What a land list has no segment for is asked of the officer by the catalogue.
    assert_eq!(errors(data), ["manifest.passenger.crossing /data/itinerary"]);
}

#[test]
fn each_fault_stands_where_it_is() {
    let good = String::from_utf8(sample("czech")).unwrap();
    let options = options(&[("PRG", "CZPRG"), ("BCN", "ESBCN")], "CZ");
    for (from, to, wanted) in [
        ("DTM+329:670611", "DTM+329:671311", ("date_invalid", 13, 9)),
        ("DTM+189:0710081045", "DTM+189:0710082545", ("date_invalid", 8, 9)),
        ("NAT+2+CZE", "NAT+2+CZX", ("country_unknown", 16, 7)),
        ("ATT+2++F", "ATT+2++Q", ("sex_unknown", 29, 8)),
        ("PAXLST:D:02B", "CUSCAR:D:02B", ("message_type", 2, 7)),
        ("BGM+745", "BGM+999", ("bgm_unknown", 3, 5)),
        ("UNT+37+1", "UNT+37+2", ("reference_differs", 38, 8)),
        ("UNZ+1+REF71'", "UNZ+1+REF71", ("truncated", 39, 1)),
        ("UNZ+1", "UNZ+2", ("count_wrong", 39, 5)),
        ("BGM+745'", "BGM+266+CLOB'", ("supersedes_missing", 3, 5)),
    ] {
        let faults = read(good.replacen(from, to, 1).as_bytes(), &options).unwrap_err();
        assert!(codes(&faults).contains(&wanted), "{to}: {:?}", codes(&faults));
    }
    // No sign is a digit, and what lies outside of all instants is refused instead of falling over.
    for wrong in ["0710?+810845", "2007100810?+5", "197001010000", "999912312359"] {
        let faults = read(good.replacen("0710081045", wrong, 1).as_bytes(), &options).unwrap_err();
        assert!(codes(&faults).contains(&("date_invalid", 8, 9)), "{wrong}: {:?}", codes(&faults));
    }
    assert_eq!(read(b"", &options).unwrap_err()[0].code, "empty");
}

/// Every accepted example of the type goes out and comes back; what stays behind is listed.
#[test]
fn our_own_examples_there_and_back() {
    let folder = format!("{}/../../schemas/manifest.passenger/1/accept", env!("CARGO_MANIFEST_DIR"));
    let mut written = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let event: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let data = &event["data"];
        if data["action"] == "cancel" {
            assert_eq!(write(data).unwrap_err()[0].code, "cancel");
            continue;
        }
        let (text, warnings) = write(data).unwrap();
        let supersedes = data
            .get("supersedes")
            .map(|s| (s["messageId"].as_str().unwrap().to_owned(), s["digest"].as_str().unwrap().to_owned()));
        let options = Options { version: data["recordVersion"].as_u64(), supersedes, ..Options::default() };
        let back = read(text.as_bytes(), &options).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
        assert_eq!(back[0].data, carried(data), "{text}");
        assert_eq!(errors(&back[0].data), Vec::<String>::new());
        assert!(!warnings.is_empty() || data.get("retention").is_none());
        written += 1;
    }
    assert!(written >= 4);
}

/// The data without what `NOT_CARRIED` names, names as their Latin form.
fn carried(data: &Value) -> Value {
    let mut data = data.clone();
    let members = data.as_object_mut().unwrap();
    members.remove("retention");
    let totals = &mut data["totals"];
    if totals.get("crew").is_none() {
        totals["crew"] = json!(0);
    }
    let latin = |text: &str| {
        let plain = silkgate_message::values::transliteration::transliterate(text);
        if text.is_ascii() { text.to_owned() } else { plain.unwrap().replace('<', " ") }
    };
    for place in ["/carrier/name", "/contact/name"] {
        if let Some(name) = data.pointer_mut(place) {
            *name = latin(name.as_str().unwrap()).into();
        }
    }
    for person in data["travellers"].as_array_mut().unwrap() {
        person.as_object_mut().unwrap().remove("birthCalendar");
        let name = &person["name"];
        let part = |member: &str| name[member].as_str().map(latin);
        let mrz = name["mrz"].as_str().filter(|_| name["script"] != "Latn");
        let (surname, given) = match mrz.and_then(|mrz| mrz.split_once("<<")) {
            Some((surname, given)) => (Some(surname.replace('<', " ")), Some(given.replace('<', " "))),
            None => (part("surname"), part("givenNames")),
        };
        person["name"] = json!({ "surname": surname, "givenNames": given, "script": "Latn" });
    }
    data
}

/// An instant that no clock shows has no minute to write: it is told, not left out.
#[test]
fn a_time_that_cannot_be_written_is_a_fault() {
    let example = Catalogue::embedded().find("manifest.passenger", 1).unwrap().example();
    let mut data: Value = serde_json::from_str::<Value>(example).unwrap()["data"].take();
    data["itinerary"][0]["arrival"] = "0026-11-25T10:00:00Z".into();
    assert_eq!(write(&data).unwrap_err()[0].code, "time");
}

proptest! {
    /// Names, numbers and dates of any sound value survive both ways.
    #[test]
    fn what_goes_out_comes_back(
        surname in "[A-Z][A-Z'?+: -]{0,20}[A-Z]", given in "[A-Z][A-Z ]{0,15}[A-Z]",
        number in "[A-Z0-9]{1,20}", year in 1930..2020i32, month in 1..=12u8, day in 1..=28u8,
        seat in "[0-9]{1,2}[A-Z]", bags in 0..50u64,
    ) {
        let mut data: Value = serde_json::from_str(Catalogue::embedded().find("manifest.passenger", 1).unwrap().example()).unwrap();
        let mut data = data["data"].take();
        let person = &mut data["travellers"][0];
        let surname: String = surname.split_whitespace().collect::<Vec<_>>().join(" ");
        let given: String = given.split_whitespace().collect::<Vec<_>>().join(" ");
        person["name"] = json!({ "surname": surname, "givenNames": given, "script": "Latn" });
        person["document"]["number"] = number.into();
        person["birthDate"] = format!("{year}-{month:02}-{day:02}").into();
        person["seat"] = seat.into();
        person["baggage"] = bags.into();
        let (text, _) = write(&data).unwrap();
        let back = read(text.as_bytes(), &Options::default()).unwrap();
        prop_assert_eq!(&back[0].data["travellers"][0], &carried(&data)["travellers"][0]);
    }

    #[test]
    fn a_damaged_list_never_panics(at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<proptest::sample::Index>()) {
        for name in ["czech", "ediclean-c", "ediclean-f", "usa-land"] {
            let mut bytes = sample(name);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = read(&bytes, &Options::default());
            bytes.truncate(cut.index(bytes.len()));
            let _ = read(&bytes, &Options::default());
        }
    }
}
