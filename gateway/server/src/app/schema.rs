//! `silkgate schema`: the message types inside the binary.

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use silkgate_message::catalogue::{Catalogue, MessageType, Rule, Severity};
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
}

/// Runs the command.
pub(crate) fn run(cx: &Cx, command: Schema) -> Result<Found> {
    match command {
        Schema::List => list(cx)?,
        Schema::Show { kind, version } => show(cx, find(&kind, version)?)?,
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
