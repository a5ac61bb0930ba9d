//! `silkgate schema export`: for other validators.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;
use silkgate_message::catalogue::{Catalogue, ExampleKind};
use silkgate_message::jws::Digest;

/// Writes each type version as one document that refers to nothing outside itself, with its rules and examples.
pub(super) fn write(folder: &Path) -> Result<usize> {
    let mut index = Vec::new();
    for t in Catalogue::embedded().types() {
        let own = folder.join(t.name()).join(t.version().to_string());
        put(&own.join("schema.json"), &serde_json::to_string_pretty(&t.standalone_schema())?)?;
        put(&own.join("rules.json"), &serde_json::to_string_pretty(&t.rules().collect::<Vec<_>>())?)?;
        for (kind, name) in [(ExampleKind::Accept, "accept"), (ExampleKind::Reject, "reject")] {
            for (example, text) in t.examples(kind) {
                put(&own.join(name).join(format!("{example}.json")), text.trim_end())?;
            }
        }
        index.push(json!({
            "type": t.name(), "version": t.version(), "id": t.schema_id(), "title": t.title(),
            "digest": Digest(t.digest()).to_string(), "schema": format!("{}/{}/schema.json", t.name(), t.version()),
        }));
    }
    put(&folder.join("index.json"), &serde_json::to_string_pretty(&index)?)?;
    Ok(index.len())
}

fn put(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    std::fs::write(path, format!("{text}\n")).with_context(|| path.display().to_string())
}
