//! The floors of the house: imports go downward only (docs/ARCHITECTURE.md).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Modules of the server crate by floor, lowest first. Modules on one floor may not import each other
/// unless they stand in the list of pairs below.
const FLOORS: &[&[&str]] = &[
    &["clock", "config", "roles"],
    &["tls", "keys", "standing", "breaker", "admission", "figures", "session", "making"],
    &["store", "http"],
    &["accept", "directory", "evidence"],
    &["refusals", "handshakes", "stated"],
    &["conform", "judge"],
    &["gateway", "audit"],
    &["line", "web"],
    &["send"],
    &[
        "receive",
        "reading",
        "submit",
        "deliver",
        "channel",
        "tiles",
        "witness",
        "operations",
        "dispatch",
        "deadlines",
        "retention",
        "findable",
        "revocation",
        "stamp",
    ],
    &["push", "pages", "syslog"],
    &["app"],
    &["simulation"],
];

/// Imports within a floor: downward by intent, too few to be a floor of their own.
const BESIDE: &[(&str, &str)] = &[];

#[test]
fn imports_go_downward_only() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/server/src");
    let floor: BTreeMap<&str, usize> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, names)| names.iter().map(move |name| (*name, floor)))
        .collect();
    let mut seen = 0;
    for (module, text) in modules(&sources) {
        let Some(own) = floor.get(module.as_str()) else {
            assert_eq!(
                module, "main",
                "the module {module} has no floor: give it one here and in docs/ARCHITECTURE.md"
            );
            continue;
        };
        for imported in imports(&text) {
            let Some(other) = floor.get(imported.as_str()) else { continue };
            seen += 1;
            let beside = BESIDE.contains(&(module.as_str(), imported.as_str()));
            assert!(
                imported == module || other < own || beside,
                "{module} imports {imported}, which is not below it"
            );
        }
    }
    assert!(seen > 40, "the test must see imports: {seen}");
}

#[test]
fn sql_stands_in_store_only_and_the_clock_in_clock_only() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/server/src");
    for (module, text) in modules(&sources) {
        if module != "store" {
            assert!(!text.contains("sqlx::"), "{module} speaks SQL");
        }
        if module != "clock" {
            assert!(!text.contains("now_utc") && !text.contains("SystemTime"), "{module} reads the clock");
        }
    }
}

#[test]
fn the_pure_crates_do_not_know_each_other_nor_anything_above() {
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway");
    for package in ["message", "ledger", "timestamp"] {
        let manifest = fs::read_to_string(gateway.join(package).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        let dependencies = dependencies.split("[dependencies]").nth(1).unwrap();
        for absent in ["silkgate-", "silkgate.workspace", "tokio", "sqlx"] {
            assert!(!dependencies.contains(absent), "{package} depends on {absent}");
        }
        for (module, text) in modules(&gateway.join(package).join("src")) {
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for io in ["std::fs", "std::net", "async fn", "now_utc", "SystemTime"] {
                assert!(!text.contains(io), "{package}::{module} uses {io}");
            }
        }
    }
}

#[test]
fn the_judge_of_evidence_needs_no_gateway() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/evidence");
    let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
    for absent in ["silkgate-certs", "silkgate.workspace", "tokio", "sqlx"] {
        assert!(!dependencies.contains(absent), "evidence depends on {absent}");
    }
    for (module, text) in modules(&package.join("src")) {
        for io in ["std::fs", "std::net", "async fn", "now_utc", "SystemTime"] {
            assert!(!text.contains(io), "evidence::{module} uses {io}");
        }
    }
}

/// Each top-level module with all its text.
fn modules(sources: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut text = String::new();
        read(&path, &mut text);
        if !text.is_empty() {
            found.push((name, text));
        }
    }
    found
}

fn read(path: &Path, text: &mut String) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            read(&entry.unwrap().path(), text);
        }
    } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
        text.push_str(&fs::read_to_string(path).unwrap());
    }
}

/// The names behind `crate::`, also in braces.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for name in names {
            let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(name.len());
            found.push(name[..end].to_owned());
        }
    }
    found
}
