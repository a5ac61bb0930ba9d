//! A traveller: NAD and what follows it.

use serde_json::{Value, json};
use silkgate_message::json::INTEGER_MAX;
use time::Date;

use super::List;
use super::dates::{birth, expiry};
use crate::codes::{DOCUMENTS, ROLES, alpha_2, word};
use crate::syntax::Segment;

impl List<'_> {
    /// NAD and what follows it, until the next.
    pub(super) fn traveller(&mut self, group: &[Segment], number: usize, arrival: Option<Date>) -> Value {
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
                    // Strict JSON has no greater number; the catalogue refuses this one too.
                    person["baggage"] = count.min(INTEGER_MAX).into();
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
}
