//! `silkgate check`, as an integrator uses it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::{binary, sign};
use tempfile::TempDir;

/// An alert with five faults; its lines are what the report must name.
const BAD: &str = "{\n  \"type\": \"alert.vehicle\",\n  \"data\": {\n    \"action\": \"new\",\n    \"recordId\": \"IQ-1\",\n    \"recordVersion\": 1,\n    \"category\": \"cra\",\n    \"circumstance\": \"stolen\",\n    \"actionToTake\": \"seize\",\n    \"eventDate\": \"1448-02-01\",\n    \"vin\": \"1M8GDM9A1KP042788\",\n    \"color\": \"white\",\n    \"make\": \"Hon\u{202e}da\"\n  }\n}\n";

fn check(folder: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(binary())
        .current_dir(folder)
        .arg("check")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A child that ends without reading is no failure here.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn example(kind: &str) -> String {
    let output = Command::new(binary()).args(["schema", "example", kind]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn one_line(text: &str) -> String {
    serde_json::from_str::<Value>(text).unwrap().to_string()
}

#[test]
fn every_violation_is_shown_with_its_line_and_a_way_to_mend_it() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("bad.json"), BAD).unwrap();
    let output = check(folder.path(), &["bad.json"], "");
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    for wanted in [
        "bad.json:7:17: error[schema.enum]",
        "  7 |     \"category\": \"cra\",\n    |                 ^^^^^\n  at /data/category\n  hint: did you mean `car`?",
        "bad.json:10:18: error[schema.pattern]: Must be as described: A Gregorian date.",
        "Hijri",
        "bad.json:11:12: warning[alert.vehicle.vin_check_digit]",
        "hint: the ninth character would have to be X",
        "bad.json:12:5: error[schema.unevaluatedProperties]",
        "did you mean `colour`?",
        "Hon<U+202E>da",
        "1 message: 0 conform, 1 does not; 4 errors, 1 warning",
    ] {
        assert!(text.contains(wanted), "{wanted}\nis not in\n{text}");
    }
    assert!(
        !text.contains('\u{202e}') && !text.contains('\u{1b}'),
        "no control character, no colour in a pipe"
    );
}

#[test]
fn json_names_each_violation_and_the_exit_code_tells_the_rest() {
    let folder = TempDir::new().unwrap();
    for args in [&["--format", "json", "-"][..], &["--json", "-"]] {
        let output = check(folder.path(), args, BAD);
        assert_eq!(output.status.code(), Some(1));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["valid"], &report["summary"]["errors"]), (&json!(false), &json!(4)));
        let first = &report["violations"][0];
        assert_eq!(
            (&first["pointer"], &first["rule"], &first["line"], &first["column"]),
            (&json!("/data/category"), &json!("schema.enum"), &json!(7), &json!(17))
        );
    }
    let output = check(folder.path(), &["--json", "-"], &example("alert.vehicle"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["valid"]), (Some(0), &json!(true)));
    let output = check(folder.path(), &["--json", "nothing.json"], "");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(report["unchecked"][0].as_str().unwrap().contains("nothing.json"));
    for (text, rule, line) in [
        ("{\n\"a\": 1,\n\"a\": 2}", "json_duplicate_member", 3),
        ("{\n\"a\":: 1}", "json_invalid", 2),
        ("\u{feff}{}", "json_invalid", 1),
        ("{\"type\": \"alert.vehicel\", \"data\": {}}", "schema_unknown", 1),
    ] {
        let output = check(folder.path(), &["--json", "-"], text);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        let found = &report["violations"][0];
        assert_eq!((&found["rule"], &found["line"]), (&json!(rule), &json!(line)), "{found}");
    }
}

#[test]
fn build_servers_and_editors_can_read_it() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("bad.json"), BAD).unwrap();
    std::fs::write(folder.path().join("good.json"), example("manifest.passenger")).unwrap();
    let sarif = check(folder.path(), &["--format", "sarif", "bad.json", "good.json"], "");
    let log: Value = serde_json::from_slice(&sarif.stdout).unwrap();
    assert_eq!((sarif.status.code(), &log["version"]), (Some(1), &json!("2.1.0")));
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 5);
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(
        (&place["region"]["startLine"], &place["artifactLocation"]["uri"]),
        (&json!(7), &json!("bad.json"))
    );
    let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(results.iter().all(|result| rules.iter().any(|rule| rule["id"] == result["ruleId"])));
    let junit = check(folder.path(), &["--format", "junit", "bad.json", "good.json", "missing.json"], "");
    assert_eq!(junit.status.code(), Some(2));
    let script = "import sys,json,xml.etree.ElementTree as e; t=e.fromstring(sys.stdin.buffer.read()); \
                  print(json.dumps([len(list(t.iter(n))) for n in ('testcase','failure','error','system-out')]))";
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(&junit.stdout).unwrap();
    assert_eq!(said(&python.wait_with_output().unwrap()).trim(), "[3, 4, 1, 1]");
}

#[test]
fn folders_patterns_lines_data_alone_and_signed_messages() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let inner = path.join("in/deep");
    std::fs::create_dir_all(&inner).unwrap();
    let alert = example("alert.vehicle");
    std::fs::write(path.join("in/a.json"), &alert).unwrap();
    std::fs::write(inner.join("b.json"), example("risk.notice")).unwrap();
    std::fs::write(path.join("in/note.txt"), "no message").unwrap();
    let bad = one_line(BAD);
    std::fs::write(path.join("in/many.jsonl"), format!("{}\n\n{bad}\n", one_line(&alert))).unwrap();
    let report = |args: &[&str], input: &str| -> Value {
        let mut all = vec!["--json"];
        all.extend_from_slice(args);
        serde_json::from_slice(&check(path, &all, input).stdout).unwrap()
    };
    let all = report(&["in"], "");
    assert_eq!((&all["summary"]["checked"], &all["summary"]["invalid"]), (&json!(4), &json!(1)));
    assert!(
        all["violations"].as_array().unwrap().iter().all(|v| v["line"] == 3 && v["file"] == "in/many.jsonl")
    );
    assert_eq!(report(&["in/*.json"], "")["summary"]["checked"], 1);
    assert_eq!(report(&["in/**/*.json"], "")["summary"]["checked"], 2);
    let lines = format!("{}\n{bad}\n{}\n", one_line(&alert), one_line(&alert));
    assert_eq!(
        report(&["-"], &lines)["summary"],
        json!({"checked": 3, "valid": 2, "invalid": 1, "errors": 4, "warnings": 1, "unchecked": 0})
    );
    // Data alone: the type is told by its members, or by the caller.
    let mut data = serde_json::from_str::<Value>(&alert).unwrap()["data"].take();
    assert_eq!(report(&["-"], &data.to_string())["valid"], true);
    data["colour"] = json!("plaid");
    let found = report(&["--type", "alert.vehicle/1", "-"], &data.to_string());
    assert_eq!(
        (&found["violations"][0]["pointer"], &found["violations"][0]["type"]),
        (&json!("/colour"), &json!("alert.vehicle/1"))
    );
    assert_eq!(report(&["-"], "{\"x\": 1}")["violations"][0]["rule"], "schema_unknown");
    // Every type is known by its data alone.
    for kind in Command::new(binary()).args(["schema", "list", "--json"]).output().map(|o| o.stdout).iter() {
        for listed in serde_json::from_slice::<Vec<Value>>(kind).unwrap() {
            let event: Value = serde_json::from_str(&example(listed["type"].as_str().unwrap())).unwrap();
            let found = report(&["-"], &event["data"].to_string());
            assert_eq!(found["valid"], true, "{}: {found}", listed["type"]);
        }
    }
    let home = support::Home::init(path, "IQ/traffic-police");
    let mut event: Value = serde_json::from_str(&alert).unwrap();
    let signed = sign(&home.message_key(), &event);
    std::fs::write(path.join("good.jws"), &signed.bytes).unwrap();
    assert_eq!(report(&["good.jws"], "")["valid"], true);
    event["data"]["colour"] = json!("plaid");
    std::fs::write(path.join("bad.jws"), sign(&home.message_key(), &event).bytes).unwrap();
    let found = report(&["bad.jws"], "");
    assert_eq!(
        (&found["violations"][0]["pointer"], &found["violations"][0]["in"]),
        (&json!("/data/colour"), &json!("payload"))
    );
    let nothing = check(path, &["in/note.txt", "none/*.json"], "");
    assert_eq!(nothing.status.code(), Some(2));
}

/// The judgement depends on the event alone: an old one is judged as of its own time.
#[test]
fn todays_clock_judges_nothing() {
    let folder = TempDir::new().unwrap();
    let mut event: Value = serde_json::from_str(&example("alert.vehicle")).unwrap();
    event["time"] = json!("2019-01-02T00:00:00Z");
    event["data"]["eventDate"] = json!("2019-01-01");
    assert_eq!(check(folder.path(), &["-"], &event.to_string()).status.code(), Some(0));
    event["data"]["eventDate"] = json!("2019-01-04");
    assert_eq!(check(folder.path(), &["-"], &event.to_string()).status.code(), Some(1));
}
