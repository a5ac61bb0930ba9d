//! docs/operations/monitoring.md and what the gateway tells are held against each other, both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manual() -> String {
    std::fs::read_to_string(root().join("docs/operations/monitoring.md")).unwrap()
}

/// The first cells, in backquotes, of the rows of every table under a heading.
fn rows<'a>(manual: &'a str, heading: &str) -> BTreeSet<&'a str> {
    let section = manual.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

/// `metrics`: a reading of any gateway; each figure has its name there, with or without a value.
pub fn the_manual_names_every_figure(metrics: &str) {
    let figures: BTreeMap<String, &str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (format!("{name}{}", if kind == "counter" { "_total" } else { "" }), kind))
        .collect();
    let manual = manual();
    let named = rows(&manual, "Figures");
    assert_eq!(figures.keys().map(String::as_str).collect::<BTreeSet<_>>(), named);
    // What alerts rest on is there too.
    let word = |c: char| c.is_ascii_lowercase() || c == '_';
    for (at, _) in manual.match_indices("silkgate_") {
        let name: String = manual[at..].chars().take_while(|c| word(*c)).collect();
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let known = figures.contains_key(&name)
            || of_histogram.is_some_and(|name| figures.get(name) == Some(&"histogram"));
        assert!(known, "{name} is no figure");
    }
    let codes: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("silkgate_missing{what=\"")?.split('"').next())
        .collect();
    assert_eq!(codes, rows(&manual, "What can be missing"), "the codes of /readyz");
    let labels = metrics.lines().filter_map(|line| line.split_once('{')?.1.split_once('}'));
    for (labels, _) in labels {
        for label in labels.split("\",").filter_map(|label| label.split('=').next()) {
            assert!(label == "le" || manual.contains(&format!("`{label}`")), "the label {label}");
        }
    }
}

#[test]
fn the_manual_names_every_event_line() {
    let manual = manual();
    let told: BTreeSet<&str> = rows(&manual, "Event lines")
        .into_iter()
        .filter(|text| manual.contains(&format!("`{text}` | info")))
        .collect();
    let mut source = String::new();
    read(&root().join("gateway/server/src"), &mut source);
    let written: BTreeSet<&str> = source
        .split("tracing::info!(")
        .skip(1)
        .filter_map(|call| call.split(");").next()?.rsplit('"').nth(1))
        .collect();
    assert!(written.len() > 15, "{written:?}");
    assert_eq!(told, written);
}

fn read(path: &Path, source: &mut String) {
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| read(&entry.unwrap().path(), source));
    } else if path.extension().is_some_and(|ending| ending == "rs") {
        source.push_str(&std::fs::read_to_string(path).unwrap());
    }
}
