//! What we ship and what is in it: no unsafe code of ours, and an SBOM that lists what is linked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::binary;
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every manifest of the repository, also of what is no member of the workspace.
fn manifests(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with("target") && !name.starts_with('.') && name != "node_modules" {
            manifests(&path, found);
        } else if name == "Cargo.toml" {
            found.push(path);
        }
    }
}

/// `forbid` cannot be allowed again further down, so it is enough that each crate has it.
#[test]
fn no_crate_of_ours_may_be_unsafe() {
    let mut found = Vec::new();
    manifests(&root(), &mut found);
    let packages: Vec<String> = found
        .iter()
        .filter(|path| **path != root().join("Cargo.toml"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert!(packages.len() >= 10, "the test must see manifests: {}", packages.len());
    for manifest in &packages {
        let name = manifest.lines().find(|line| line.starts_with("name = ")).unwrap();
        let inherits = manifest.contains("[lints]\nworkspace = true");
        let own = manifest.contains("[lints.rust]\nunsafe_code = \"forbid\"");
        assert!(inherits || own, "{name} does not forbid unsafe code");
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\""));
}

fn bom() -> String {
    let output = Command::new(root().join("deploy/sbom.py"))
        .arg(binary())
        .env("SOURCE_DATE_EPOCH", "1795507200")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_sbom_lists_what_is_linked_and_nothing_else() {
    let text = bom();
    assert_eq!(text, bom(), "the same binary, another SBOM");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("silkgate.cdx.json");
    fs::write(&file, &text).unwrap();
    let judged = Command::new(root().join("target/interop/bin/python"))
        .arg(root().join("tests/interop/judge_sbom.py"))
        .arg(&file)
        .output()
        .expect("tests/interop/install was run");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&[judged.stdout, judged.stderr].concat()));

    let bom: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bom["metadata"]["timestamp"], "2026-11-24T08:00:00Z");
    let components = bom["components"].as_array().unwrap();
    let names: BTreeSet<&str> = components.iter().map(|c| c["name"].as_str().unwrap()).collect();
    let named = |name: &str| components.iter().find(|c| c["name"] == name).unwrap();
    for shipped in ["ring", "rustls", "sqlx", "tokio", "silkgate-message", "silkgate-ledger", "rust-std"] {
        assert!(names.contains(shipped), "{shipped} is missing");
    }
    // Tests, builds and macros.
    for absent in
        ["proptest", "tempfile", "signed_note", "cc", "syn", "serde_derive", "silkgate-tests", "windows-sys"]
    {
        assert!(!names.contains(absent), "{absent} is not linked");
    }
    assert_eq!(named("libsqlite3-sys")["components"][0]["name"], "sqlite");
    assert!(named("ring")["components"][0]["name"].as_str().unwrap().contains("boringssl"));
    for component in components {
        let name = component["name"].as_str().unwrap();
        assert!(component["licenses"][0]["expression"].is_string(), "{name} has no licence");
        let ours = name.starts_with("silkgate") || name == "rust-std";
        assert!(ours || component["hashes"][0]["content"].is_string(), "{name} has no digest");
    }
    // Everything hangs on the application.
    let application = &bom["metadata"]["component"];
    let below: BTreeMap<&str, &Value> = bom["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| (edge["ref"].as_str().unwrap(), &edge["dependsOn"]))
        .collect();
    let (mut reached, mut open) = (BTreeSet::new(), vec![application["bom-ref"].as_str().unwrap()]);
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(below[next].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()));
        }
    }
    let inside = components.iter().flat_map(|c| c["components"].as_array().into_iter().flatten()).count();
    assert_eq!(reached.len(), 1 + components.len() + inside, "something hangs on nothing");
}
