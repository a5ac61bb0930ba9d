//! `silkgate schema`: the message types inside the binary.

mod doc;
mod export;

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use silkgate_message::catalogue::{Catalogue, Change, MessageType, Rule, Severity, changes};
use silkgate_message::jws::Digest;

use super::{Cx, Found, line};

/// The catalogue of message types.
#[derive(clap::Subcommand)]
pub(crate) enum Schema {
    /// List the types with their versions and editions.
    #[command(after_help = "Example:\n  silkgate schema list")]
    List,
    /// Show a type's schema and rules.
    #[command(after_help = "Example:\n  silkgate schema show alert.vehicle")]
    Show {
        /// The type, e.g. alert.vehicle.
        kind: String,
        /// Its version; the newest unless given.
        #[arg(long)]
        version: Option<u32>,
    },
    /// Print an example that passes `silkgate check` as printed.
    #[command(
        after_help = "Example:\n  silkgate schema example alert.vehicle > alert.json && silkgate check alert.json"
    )]
    Example {
        /// The type, e.g. alert.vehicle.
        kind: String,
        /// Its version; the newest unless given.
        #[arg(long)]
        version: Option<u32>,
    },
    /// Print a page about a type for a reader, in Markdown; without a type, the list of all.
    #[command(
        after_help = "Examples:\n  silkgate schema doc alert.person\n  silkgate schema doc --out docs/catalogue"
    )]
    Doc {
        /// The type, e.g. alert.vehicle.
        kind: Option<String>,
        /// Its version; the newest unless given.
        #[arg(long)]
        version: Option<u32>,
        /// Write the pages of all types into this folder.
        #[arg(long, value_name = "DIR", conflicts_with = "kind")]
        out: Option<PathBuf>,
    },
    /// Write every schema as one document that refers to nothing outside itself, for other validators, with
    /// rules and examples.
    #[command(after_help = "Example:\n  silkgate schema export schemas-for-partners")]
    Export {
        /// The folder; made if it is not there.
        folder: PathBuf,
    },
    /// Compare two versions: what is new, what is gone, what breaks.
    #[command(
        after_help = "Example:\n  silkgate schema diff manifest.cargo/1 manifest.cargo/2\n\nExit codes: 0 nothing breaks, 1 data that conformed may no longer, 2 no such type."
    )]
    Diff {
        /// The older one: TYPE/VERSION.
        before: String,
        /// The newer one: TYPE/VERSION.
        after: String,
    },
}

/// Runs the command.
pub(crate) fn run(cx: &Cx, command: Schema) -> Result<Found> {
    match command {
        Schema::List => list(cx)?,
        Schema::Show { kind, version } => show(cx, find(&kind, version)?)?,
        Schema::Doc { out: Some(folder), .. } => doc::write(&folder)?,
        Schema::Doc { kind: Some(kind), version, .. } => line(doc::page(find(&kind, version)?).trim_end())?,
        Schema::Doc { .. } => line(doc::index().trim_end())?,
        Schema::Export { folder } => {
            let count = export::write(&folder)?;
            cx.print(&json!({ "types": count, "folder": folder }), || {
                format!("{count} type versions in {}", folder.display())
            })?;
        }
        Schema::Diff { before, after } => return diff(cx, &before, &after),
        Schema::Example { kind, version } => line(find(&kind, version)?.example().trim_end())?,
    }
    Ok(Found::Good)
}

fn find(kind: &str, version: Option<u32>) -> Result<&'static MessageType> {
    let types = Catalogue::embedded().types();
    let of_kind = types.iter().filter(|t| t.name() == kind && version.is_none_or(|v| v == t.version()));
    of_kind.max_by_key(|t| t.version()).ok_or_else(|| {
        let known = types.iter().map(|t| format!("{} {}", t.name(), t.version())).collect::<Vec<_>>();
        anyhow!("the catalogue holds no such type; it holds {}", known.join(", "))
    })
}

/// What differs; what breaks comes first.
fn diff(cx: &Cx, before: &str, after: &str) -> Result<Found> {
    let version = |text: &str| {
        let (kind, version) = text.split_once('/').unwrap_or((text, ""));
        let version =
            version.parse().map_err(|_| anyhow!("{text}: give TYPE/VERSION, e.g. manifest.cargo/1"));
        version.and_then(|version| find(kind, Some(version)))
    };
    let (before, after) = (version(before)?, version(after)?);
    let mut found = changes(&before.outline(), &after.outline());
    let rules = |t: &MessageType| t.rules().map(|rule| (rule.id.clone(), rule.severity)).collect::<Vec<_>>();
    let (old, new) = (rules(before), rules(after));
    let rule = |(id, severity): &(String, Severity), what: &str, breaking: bool| Change {
        pointer: String::new(),
        what: format!("the rule {id} is {what}"),
        breaking: breaking && *severity == Severity::Error,
    };
    found.extend(new.iter().filter(|rule| !old.contains(rule)).map(|id| rule(id, "new", true)));
    found.extend(old.iter().filter(|rule| !new.contains(rule)).map(|id| rule(id, "gone", false)));
    found.sort_by_key(|change| !change.breaking);
    let breaks = found.iter().any(|change| change.breaking);
    cx.print(&json!({ "breaking": breaks, "changes": found }), || {
        let row = |change: &Change| {
            let word = if change.breaking { "breaking" } else { "        " };
            let place = if change.pointer.is_empty() { "rules" } else { &change.pointer };
            format!("{word}  {place:<44} {}", change.what)
        };
        if found.is_empty() {
            return "No difference.".to_owned();
        }
        found.iter().map(row).collect::<Vec<_>>().join("\n")
    })?;
    Ok(if breaks { Found::Wrong } else { Found::Good })
}

fn describe(message_type: &MessageType) -> Value {
    json!({
        "type": message_type.name(), "version": message_type.version(), "title": message_type.title(),
        "id": message_type.schema_id(), "digest": Digest(message_type.digest()).to_string(),
    })
}

fn list(cx: &Cx) -> Result<()> {
    let types = Catalogue::embedded().types();
    let report: Vec<Value> = types.iter().map(describe).collect();
    cx.print(&report, || {
        let row = |t: &MessageType| format!("{:<20} {:<3} {}", t.name(), t.version(), t.title());
        types.iter().map(row).collect::<Vec<_>>().join("\n")
    })
}

fn show(cx: &Cx, message_type: &MessageType) -> Result<()> {
    let mut report = describe(message_type);
    let schema: Value = serde_json::from_str(message_type.schema_text())?;
    report["schema"] = schema.clone();
    report["rules"] = json!(message_type.rules().collect::<Vec<_>>());
    cx.print(&report, || {
        let schema = serde_json::to_string_pretty(&schema).unwrap_or_default();
        let rule = |rule: &Rule| {
            let word = if rule.severity == Severity::Error { "error" } else { "warning" };
            format!("  {:<40} {word:<8} {}\n  {:<49} {}", rule.id, rule.en, "", rule.ar)
        };
        let rules: Vec<String> = message_type.rules().map(rule).collect();
        format!("{}\n\nRules that the schema cannot state:\n{}", schema, rules.join("\n"))
    })
}
