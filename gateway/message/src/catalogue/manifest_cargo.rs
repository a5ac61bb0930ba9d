//! Rules of `manifest.cargo`. Where a rule follows one of the EU's ICS2 or the UK's HMRC, its number
//! stands beside it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::codes::{is_hs6, is_locode};
use super::rules::{Findings, list, text};
use crate::instant::Instant;
use crate::values::text::is_sound_identifier;
use crate::values::{awb, imo, iso6346, mass};

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data").filter(|data| text(data, "action") != Some("cancel")) else {
        return;
    };
    totals(data, findings);
    route(data, findings);
    transport(data, findings);
    containers(data, findings);
    for (index, item) in list(data, "items").iter().enumerate() {
        judge_item(index, item, findings);
    }
    let split = data.get("split").and_then(Value::as_bool).unwrap_or(false);
    // ICS2 C3001.
    findings.add_if(
        split && data.get("previousMrn").is_none(),
        "manifest.cargo.split_mrn",
        "/data/previousMrn",
    );
}

/// Version 2 names the transport document.
pub(super) fn judge_2(event: &Value, findings: &mut Findings<'_>) {
    judge(event, findings);
    let Some(data) = event.get("data").filter(|data| text(data, "action") != Some("cancel")) else {
        return;
    };
    let Some(document) = data.get("transportDocument") else { return };
    let (Some(kind), Some(mode)) = (text(document, "type"), text(data, "mode")) else { return };
    let fits = match kind {
        "air-waybill" => mode == "air",
        "bill-of-lading" => matches!(mode, "sea" | "inland-waterway"),
        "cim" => mode == "rail",
        "cmr" | "tir-carnet" => mode == "road",
        _ => true,
    };
    findings.add_if(!fits, "manifest.cargo.document_mode", "/data/transportDocument/type");
    if let Some(number) =
        text(document, "number").filter(|number| kind == "air-waybill" && !awb::is_valid(number))
    {
        let hint = awb::check_digit(number).map(|digit| format!("the check digit would have to be {digit}"));
        findings.add_with_hint("manifest.cargo.awb_check_digit", "/data/transportDocument/number", hint);
    }
}

fn totals(data: &Value, findings: &mut Findings<'_>) {
    let items = list(data, "items");
    let mut numbers = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let repeated =
            item.get("number").and_then(Value::as_u64).is_some_and(|number| !numbers.insert(number));
        findings.add_if(repeated, "manifest.cargo.item_numbers", format_args!("/data/items/{index}/number"));
    }
    if let Some(seals) = data.get("sealCount").and_then(Value::as_u64) {
        let found = list(data, "seals").len() as u64;
        findings.add_if(seals != found, "manifest.cargo.seal_count", "/data/sealCount");
    } else {
        findings.add_if(!list(data, "seals").is_empty(), "manifest.cargo.seal_count", "/data/sealCount");
    }
    let Some(totals) = data.get("totals") else { return };
    // HMRC 8206.
    if let Some(stated) = totals.get("items").and_then(Value::as_u64)
        && stated != items.len() as u64
    {
        let hint = Some(format!("there are {}", items.len()));
        findings.add_with_hint("manifest.cargo.total_items", "/data/totals/items", hint);
    }
    // HMRC 8109 and 8116: stated exactly where there are packages.
    let packages: Vec<u64> = items
        .iter()
        .flat_map(|item| list(item, "packages"))
        .filter_map(|package| package.get("count").and_then(Value::as_u64))
        .collect();
    let stated = totals.get("packages").and_then(Value::as_u64);
    let sum = packages.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
    if stated != (!packages.is_empty()).then_some(sum) {
        let hint = Some(if packages.is_empty() {
            "no item has packages".to_owned()
        } else {
            format!("the sum is {sum}")
        });
        findings.add_with_hint("manifest.cargo.total_packages", "/data/totals/packages", hint);
    }
    let masses: Option<Vec<u64>> = items.iter().map(|item| mass::grams(text(item, "grossMassKg")?)).collect();
    if let (Some(masses), Some(stated)) = (masses, text(totals, "grossMassKg").and_then(mass::grams)) {
        let sum = masses.into_iter().fold(0u64, u64::saturating_add);
        if sum != stated {
            let hint = Some(format!("the sum is {}", mass::kilograms(sum)));
            findings.add_with_hint("manifest.cargo.total_mass", "/data/totals/grossMassKg", hint);
        }
    }
}

fn route(data: &Value, findings: &mut Findings<'_>) {
    let instant = |name: &str| text(data, name).and_then(Instant::parse);
    // ICS2 R3053.
    if let (Some(departed), Some(eta)) = (instant("departedAt"), instant("eta")) {
        findings.add_if(eta < departed, "manifest.cargo.eta", "/data/eta");
    }
    let countries: Vec<&str> = list(data, "route").iter().filter_map(Value::as_str).collect();
    for (member, end, rule) in [
        // ICS2 R3013 and R3014.
        ("loading", countries.first(), "manifest.cargo.route_start"),
        ("unloading", countries.last(), "manifest.cargo.route_end"),
    ] {
        let Some(place) = text(data, member) else { continue };
        findings.add_if(!is_locode(place), "manifest.cargo.locode", format_args!("/data/{member}"));
        if let (Some(country), Some(end)) = (place.get(..2), end) {
            findings.add_if(country != *end, rule, "/data/route");
        }
    }
    let repeats = countries.windows(2).any(|pair| matches!(pair, [a, b] if a == b));
    findings.add_if(repeats, "manifest.cargo.route_repeat", "/data/route");
    if let Some(country) = text(data, "firstCrossing").and_then(|crossing| crossing.get(..2)) {
        let outside = !countries.is_empty() && !countries.contains(&country);
        findings.add_if(outside, "manifest.cargo.first_crossing", "/data/firstCrossing");
    }
}

fn transport(data: &Value, findings: &mut Findings<'_>) {
    let Some(transport) = data.get("transport") else {
        return;
    };
    let identification = transport.get("identification");
    let scheme = identification.and_then(|identification| text(identification, "scheme"));
    let place = "/data/transport/identification";
    match text(data, "mode") {
        // HMRC 8107 and 8114.
        Some("sea" | "inland-waterway") => {
            findings.add_if(
                !matches!(scheme, Some("imo" | "eni")),
                "manifest.cargo.sea_identification",
                place,
            );
        }
        // HMRC 8113.
        Some("air") => findings.add_if(identification.is_some(), "manifest.cargo.air_identification", place),
        Some("road" | "rail") => {
            findings.add_if(
                !matches!(scheme, Some("plate" | "wagon")),
                "manifest.cargo.land_identification",
                place,
            );
        }
        _ => {}
    }
    let Some(value) = identification.and_then(|identification| text(identification, "value")) else {
        return;
    };
    let place = "/data/transport/identification/value";
    findings.add_if(!is_sound_identifier(value), "manifest.cargo.identification_text", place);
    if scheme == Some("imo") && !imo::is_valid(value) {
        let hint = imo::check_digit(value).map(|digit| format!("the check digit would have to be {digit}"));
        findings.add_with_hint("manifest.cargo.imo_check_digit", place, hint);
    }
}

fn containers(data: &Value, findings: &mut Findings<'_>) {
    for (index, container) in list(data, "containers").iter().enumerate() {
        let Some(number) = container.as_str() else {
            continue;
        };
        let place = format!("/data/containers/{index}");
        match iso6346::check(number) {
            Some(iso6346::Check::Valid) | None => {}
            Some(iso6346::Check::ValidTen) => findings.add("manifest.cargo.container_ten", place),
            Some(iso6346::Check::Expected(digit)) => {
                let hint = Some(format!("the check digit would have to be {digit}"));
                findings.add_with_hint("manifest.cargo.container_check_digit", place, hint);
            }
        }
    }
    for (index, item) in list(data, "items").iter().enumerate() {
        if let Some(container) = item.get("container") {
            let listed = list(data, "containers").contains(container);
            findings.add_if(
                !listed,
                "manifest.cargo.container_unlisted",
                format_args!("/data/items/{index}/container"),
            );
        }
    }
}

fn judge_item(index: usize, item: &Value, findings: &mut Findings<'_>) {
    let place = format!("/data/items/{index}");
    if let Some(code) = item.get("hs").and_then(|hs| text(hs, "code")) {
        findings.add_if(!is_hs6(code), "manifest.cargo.hs_code", format_args!("{place}/hs/code"));
    }
    let unnumbered = item.get("dangerousGoodsClass").is_some() && item.get("unNumber").is_none();
    findings.add_if(unnumbered, "manifest.cargo.dangerous_goods", format_args!("{place}/unNumber"));
}
