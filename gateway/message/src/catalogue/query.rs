//! Rules of `query.request` and `query.response`. That an answer belongs to its question is decided in
//! `relation.rs`.

use serde_json::Value;

use super::parts::{self, repeated, state};
use super::rules::{Findings, instant, is_after_issue, list, text};
use crate::values::calendar::Partial;

pub(super) fn judge_request(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data") else { return };
    findings.add_if(text(data, "action") == Some("update"), "query.request.update", "/data/action");
    findings.add_if(event.get("correlationid").is_some(), "query.request.correlation", "/data");
    let states = state(text(event, "source")).zip(state(text(event, "recipient")));
    findings.add_if(states.is_some_and(|(from, to)| from == to), "query.request.same_state", "/data");
    if let Some(deadline) = instant(data, "deadline") {
        let early = instant(event, "time").is_some_and(|time| deadline <= time);
        let late = instant(event, "expirytime").is_some_and(|expiry| deadline > expiry);
        findings.add_if(early || late, "query.request.deadline", "/data/deadline");
    }
    let questions = list(data, "questions");
    let rule = ("query.request.number_repeated", "/data/questions", "/number");
    repeated(questions, |question| question.get("number")?.as_u64(), rule, findings);
    for (index, question) in questions.iter().enumerate() {
        judge_question(question, &format!("/data/questions/{index}"), event, findings);
    }
}

fn judge_question(question: &Value, place: &str, event: &Value, findings: &mut Findings<'_>) {
    if let Some(about) = text(question, "about") {
        let stated = ["vehicle", "document", "container", "person"];
        let unlike = stated.iter().any(|member| question.get(member).is_some() != (*member == about));
        findings.add_if(unlike, "query.request.about", place);
    }
    if let Some(vehicle) = question.get("vehicle") {
        parts::plate(vehicle.get("plate"), &format!("{place}/vehicle/plate"), findings);
        parts::vin(text(vehicle, "vin"), &format!("{place}/vehicle/vin"), findings);
    }
    parts::container(text(question, "container"), &format!("{place}/container"), findings);
    let Some(person) = question.get("person") else { return };
    parts::birth(person, &format!("{place}/person"), event, findings);
    let mut named = false;
    for (index, name) in list(person, "names").iter().enumerate() {
        let place = format!("{place}/person/names/{index}");
        parts::name(Some(name), &place, findings);
        let whole = |member: &str| text(name, member).is_some_and(|part| part.chars().count() >= 2);
        named |= whole("surname") && whole("givenNames");
        for member in ["surname", "givenNames", "fatherName", "grandfatherName"] {
            let wild = text(name, member)
                .is_some_and(|part| part.contains(['*', '?', '%', '_', '\u{66A}', '\u{61F}']));
            findings.add_if(wild, "query.request.wildcard", format_args!("{place}/{member}"));
        }
    }
    let born = text(person, "birthDate").and_then(Partial::parse).is_some_and(|date| date.day.is_some());
    findings.add_if(!named && !born, "query.request.person_name", format_args!("{place}/person"));
}

pub(super) fn judge_response(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data") else { return };
    findings.add_if(event.get("correlationid").is_none(), "query.response.correlation", "/data");
    findings.add_if(text(data, "action") == Some("update"), "query.response.update", "/data/action");
    let Some(outcome) = text(data, "outcome") else { return };
    let stray = (outcome == "refused") != data.get("refusal").is_some();
    findings.add_if(stray, "query.response.refusal", "/data/refusal");
    let stray = (outcome == "partial") != data.get("moreUntil").is_some();
    findings.add_if(stray, "query.response.partial", "/data/moreUntil");
    let answers = list(data, "answers");
    let rule = ("query.response.question_repeated", "/data/answers", "/question");
    repeated(answers, |answer| answer.get("question")?.as_u64(), rule, findings);
    for (index, answer) in answers.iter().enumerate() {
        let place = format!("/data/answers/{index}/records");
        let records = list(answer, "records");
        match text(answer, "outcome") {
            Some("found") => findings.add_if(records.is_empty(), "query.response.found", &place),
            Some(_) => findings.add_if(!records.is_empty(), "query.response.none", &place),
            None => {}
        }
        for (index, record) in records.iter().enumerate() {
            judge_record(record, &format!("{place}/{index}"), event, findings);
        }
    }
    let any = |wanted: &str| answers.iter().any(|answer| text(answer, "outcome") == Some(wanted));
    let agrees = match outcome {
        "found" => any("found"),
        "none" => !any("found") && !any("refused"),
        "refused" => !any("found"),
        _ => !answers.is_empty(),
    };
    findings.add_if(!agrees, "query.response.answers", "/data/outcome");
}

fn judge_record(record: &Value, place: &str, event: &Value, findings: &mut Findings<'_>) {
    parts::plate(record.get("plate"), &format!("{place}/plate"), findings);
    parts::vin(text(record, "vin"), &format!("{place}/vin"), findings);
    parts::container(text(record, "container"), &format!("{place}/container"), findings);
    parts::name(record.get("name"), &format!("{place}/name"), findings);
    parts::birth(record, place, event, findings);
    let later = text(record, "asOf").is_some_and(|day| is_after_issue(day, event));
    findings.add_if(later, "query.response.as_of", format_args!("{place}/asOf"));
}
