//! `silkgate convert paxlst`, and another reader of what it writes.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::binary;
use tempfile::TempDir;

fn run(args: &[&str]) -> Output {
    Command::new(binary()).args(args).output().unwrap()
}

fn path(relative: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(relative).to_string_lossy().into_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_passenger_list_becomes_a_manifest_that_conforms() {
    let folder = TempDir::new().unwrap();
    let sample = path("gateway/edifact/samples/czech.txt");
    let places =
        ["--place", "PRG=CZPRG", "--place", "BCN=ESBCN", "--carrier-country", "CZ", "--offset", "+02:00"];
    let output = run(&[&["convert", "paxlst", &sample], &places[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("czech.txt:11:5: note[issuing_state]"));
    let event: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(event["data"]["itinerary"][0]["arrival"], "2007-10-08T11:10:00Z");
    let file = folder.path().join("manifest.json");
    std::fs::write(&file, &output.stdout).unwrap();
    assert_eq!(run(&["check", &file.to_string_lossy()]).status.code(), Some(0));
    let wrong = run(&["convert", "paxlst", &path("gateway/edifact/samples/ediclean-f.txt"), "--json"]);
    let faults: Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    let found: Vec<(u64, &str)> = faults["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| (fault["line"].as_u64().unwrap(), fault["code"].as_str().unwrap()))
        .collect();
    assert_eq!(found[..2], [(8, "carrier_country_missing"), (9, "place_unknown")], "{faults}");
    assert_eq!(run(&["convert", "paxlst", "no-such-file"]).status.code(), Some(2));
}

#[test]
fn what_we_write_others_read() {
    let folder = TempDir::new().unwrap();
    let (json, edi) = (folder.path().join("manifest.json"), folder.path().join("list.edi"));
    std::fs::write(&json, run(&["schema", "example", "manifest.passenger"]).stdout).unwrap();
    let written = run(&["convert", "paxlst", &json.to_string_lossy()]);
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    std::fs::write(&edi, &written.stdout).unwrap();
    let output = Command::new(path("target/interop/bin/python"))
        .args(["-W", "ignore", &path("tests/interop/pydifact_reads.py"), &edi.to_string_lossy()])
        .output()
        .expect("tests/interop/install was run");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let segments: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&Value> =
        segments.iter().filter(|s| s[0] == "NAD" && s[1] != "MS" && s[1] != "CA").map(|s| &s[4]).collect();
    assert_eq!(names.len(), 3);
    assert_eq!(*names[0], serde_json::json!(["EBD ALNAXSSR", "JMAL"]));
    assert!(segments.iter().any(|s| s[0] == "CNT" && s[1] == serde_json::json!(["42", "2"])));
}
