//! What checking costs: each type's own example, judged by the catalogue and by the bare `jsonschema` crate in
//! turn, in one process and on the same bytes. Processor time, one core.

use anyhow::{Context as _, Result, ensure};
use jsonschema::Validator;
use serde_json::{Value, json};
use silkgate_message::catalogue::{Catalogue, MessageType};

use crate::measure::{Spread, cost_us};

/// Measures every type; prints a table or one object.
pub fn run(rounds: usize, as_json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for message_type in Catalogue::embedded().types() {
        let bytes = message_type.example().as_bytes();
        let bare = jsonschema::options()
            .should_validate_formats(true)
            .build(&message_type.standalone_schema())
            .context("the schema compiles")?;
        ensure!(
            by_bare(&bare, bytes) && by_us(message_type, bytes),
            "{}: the example conforms",
            message_type.name()
        );
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // In turns, so that a slow moment of the machine meets both.
        for _ in 0..rounds {
            ours.push(cost_us(|| by_us(message_type, bytes)));
            theirs.push(cost_us(|| by_bare(&bare, bytes)));
        }
        let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs);
        rows.push(json!({
            "type": format!("{}/{}", message_type.name(), message_type.version()), "bytes": bytes.len(),
            "us": Spread::of(ours.iter().copied()).json(), "bare_us": Spread::of(theirs.iter().copied()).json(),
            "ratio": Spread::of(ratios).json(),
        }));
    }
    if as_json {
        println!("{}", json!({ "check": rows }));
        return Ok(());
    }
    println!("{:<24} {:>7} {:>14} {:>12} {:>12} {:>22}", "", "bytes", "messages/s", "µs", "bare µs", "ratio");
    for row in &rows {
        let figure = |name: &str, part: &str| row[name][part].as_f64().unwrap_or(0.0);
        let ratio = |part| figure("ratio", part);
        println!(
            "{:<24} {:>7} {:>14.0} {:>12.1} {:>12.1} {:>22}",
            row["type"].as_str().unwrap_or_default(),
            row["bytes"],
            1e6 / figure("us", "median"),
            figure("us", "median"),
            figure("bare_us", "median"),
            format!("{:.2} ({:.2}–{:.2})", ratio("median"), ratio("min"), ratio("max"))
        );
    }
    Ok(())
}

/// Strict parsing, envelope, schema and rules: what the gateway does.
fn by_us(message_type: &MessageType, bytes: &[u8]) -> bool {
    let Ok(event) = silkgate_message::json::parse(bytes) else { return false };
    let sound = silkgate_message::event::read(&event).is_ok();
    sound && message_type.check(&event).is_empty()
}

fn by_bare(validator: &Validator, bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok_and(|event| validator.validate(&event["data"]).is_ok())
}
