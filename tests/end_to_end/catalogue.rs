//! The catalogue as others use it: pages, standalone schemas, other validators, differences between versions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use silkgate_message::catalogue::{Catalogue, Severity};
use support::binary;
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(binary()).args(args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect()
}

/// `SILKGATE_BLESS=1` writes docs/catalogue.
#[test]
fn the_pages_are_those_of_the_catalogue() {
    let kept = root().join("docs/catalogue");
    if std::env::var_os("SILKGATE_BLESS").is_some() {
        let _ = fs::remove_dir_all(&kept);
        assert_eq!(run(&["schema", "doc", "--out", &kept.to_string_lossy()]).0, Some(0));
        return;
    }
    let folder = TempDir::new().unwrap();
    assert_eq!(run(&["schema", "doc", "--out", &folder.path().to_string_lossy()]).0, Some(0));
    let (fresh, kept) = (files(folder.path()), files(&kept));
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&fresh), names(&kept), "docs/catalogue is stale: SILKGATE_BLESS=1 makes it anew");
    for (name, text) in &fresh {
        assert_eq!(text, &kept[name], "docs/catalogue/{name} is stale: SILKGATE_BLESS=1 makes it anew");
    }
    let (_, printed) = run(&["schema", "doc", "alert.person"]);
    assert_eq!(printed.trim_end(), fresh["alert.person-1.md"].trim_end());
}

/// Every type of the catalogue stands in docs/catalogue.md with the area that it serves.
#[test]
fn the_map_names_every_type_and_every_area() {
    let map = fs::read_to_string(root().join("docs/catalogue.md")).unwrap();
    for message_type in Catalogue::embedded().types() {
        let row = map.lines().find(|line| line.starts_with(&format!("| [`{}`]", message_type.name())));
        assert!(
            row.is_some_and(|row| row.contains("A1")
                || row.contains("A2")
                || row.contains("A3")
                || row.contains("A4")
                || row.contains("A5")),
            "{}",
            message_type.name()
        );
    }
    for area in ["A1", "A2", "A3", "A4", "A5"] {
        assert!(map.lines().any(|line| line.starts_with("| [`") && line.contains(area)), "{area}");
    }
}

/// Ajv and Python's jsonschema judge every exported example as our own engine judges its schema.
#[test]
fn other_validators_judge_alike() {
    let folder = TempDir::new().unwrap();
    let exported = folder.path().to_string_lossy().into_owned();
    let (code, said) = run(&["schema", "export", &exported, "--json"]);
    let count = serde_json::from_str::<Value>(&said).unwrap()["types"].as_u64().unwrap() as usize;
    assert_eq!((code, count), (Some(0), Catalogue::embedded().types().len()));
    let interop = root().join("target/interop");
    let python = Command::new(interop.join("bin/python"))
        .arg(root().join("tests/interop/judge_schemas.py"))
        .arg(&exported)
        .output()
        .expect("tests/interop/install was run");
    let node = Command::new("node")
        .arg(root().join("tests/interop/judge_schemas.js"))
        .arg(&exported)
        .arg(fs::canonicalize(interop.join("node")).expect("tests/interop/install was run"))
        .output()
        .expect("node runs");
    for (judge, output) in [("Python", python), ("Ajv", node)] {
        assert!(output.status.success(), "{judge}: {}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let mut judged = 0;
        for line in lines.lines() {
            let verdict: Value = serde_json::from_str(line).unwrap();
            let name = verdict["example"].as_str().unwrap();
            let text = fs::read(folder.path().join(name)).unwrap();
            let mut event: Value = serde_json::from_slice(&text).unwrap();
            if name.contains("/reject/") {
                event = event["event"].take();
            }
            let mut parts = name.split('/');
            let (kind, version) = (parts.next().unwrap(), parts.next().unwrap().parse().unwrap());
            let found = Catalogue::embedded().find(kind, version).unwrap().check(&event);
            let ours = found.iter().all(|v| v.severity != Severity::Error || !v.rule.starts_with("schema."));
            assert_eq!(verdict["valid"], ours, "{judge} and we differ on {name}: {found:?}");
            judged += 1;
        }
        assert!(judged > 200, "{judge} judged {judged}");
    }
}

#[test]
fn a_breaking_change_is_named() {
    let (code, said) = run(&["schema", "diff", "manifest.cargo/1", "manifest.cargo/2"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("breaking  /transportDocument") && said.contains("a new member, required"),
        "{said}"
    );
    let (code, said) = run(&["schema", "diff", "crossing.status/1", "crossing.status/2", "--json"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &report["breaking"]), (Some(1), &Value::Bool(true)));
    assert_eq!(report["changes"][0]["pointer"], "/lanes/*/delayMinutes");
    assert_eq!(
        run(&["schema", "diff", "alert.person/1", "alert.person/1"]),
        (Some(0), "No difference.\n".into())
    );
    assert_eq!(run(&["schema", "diff", "alert.person", "alert.person/9"]).0, Some(2));
}
