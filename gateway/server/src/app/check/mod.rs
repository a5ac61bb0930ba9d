//! `silkgate check`: events against schema and rules, without a gateway. The judgement is the gateway's own.

mod input;
mod progress;
mod report;
mod structured;
mod text;

use anyhow::Result;
use silkgate_message::catalogue::{Catalogue, MessageType};

use super::{Cx, Found};
use crate::judge;
use input::Input;
use progress::Progress;
use report::{Format, Tally};

const EXAMPLES: &str = "\
Examples:
  silkgate check alert.json manifest.json
  silkgate check outbox/ 'archive/2026-*/*.jsonl'
  silkgate schema example alert.vehicle | silkgate check --format json -
  silkgate check --type manifest.cargo data-alone.json
  silkgate check --format junit outbox/ > check.xml

A file holds one event, whole or as it is submitted, its `data` alone, or a signed message; a file that ends in
.jsonl or .ndjson, and standard input, may hold one in each line. A signed message's signature is not verified:
that needs its sender's card. Judged against the event's own `time`, never today's clock.

Exit codes: 0 all conform, 1 violations, 2 something could not be checked.";

/// What to check.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Files, folders, patterns such as 'in/*.json', or - for standard input.
    #[arg(required = true)]
    inputs: Vec<String>,
    /// The type of data that do not say it: alert.vehicle, or alert.vehicle/1 for a version.
    #[arg(long = "type", value_name = "TYPE", value_parser = type_of)]
    kind: Option<&'static MessageType>,
    /// How to report; --json is --format json.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// One message in each line, whatever the file is called.
    #[arg(long)]
    lines: bool,
}

fn type_of(text: &str) -> Result<&'static MessageType, String> {
    let (name, version) = text.split_once('/').map_or((text, None), |(name, version)| (name, Some(version)));
    let catalogue = Catalogue::embedded();
    let found = match version.map(str::parse) {
        None => catalogue.newest(name),
        Some(Ok(version)) => catalogue.find(name, version),
        Some(Err(_)) => None,
    };
    found.ok_or_else(|| format!("the catalogue holds {}", judge::known_types()))
}

/// Runs the command.
pub(crate) fn run(cx: &Cx, args: Args) -> Result<Found> {
    let format = args.format.unwrap_or(if cx.json { Format::Json } else { Format::Text });
    let mut reporter = report::reporter(format);
    let mut tally = Tally::default();
    let mut progress = Progress::new();
    reporter.begin()?;
    for input in input::expand(&args.inputs) {
        let documents = match input.and_then(|input| Input::documents(input, args.lines)) {
            Ok(documents) => documents,
            Err(error) => {
                tally.unchecked += 1;
                reporter.unchecked(&format!("{error:#}"))?;
                continue;
            }
        };
        for document in documents {
            match document {
                Ok(document) => {
                    progress.advance(document.bytes.len());
                    let judged = judge::judge(document, args.kind);
                    tally.count(&judged);
                    reporter.judged(&judged)?;
                }
                Err(error) => {
                    tally.unchecked += 1;
                    reporter.unchecked(&format!("{error:#}"))?;
                }
            }
        }
    }
    progress.clear();
    reporter.end(&tally)?;
    if tally.unchecked > 0 {
        anyhow::bail!("{} could not be checked", tally.unchecked);
    }
    Ok(if tally.invalid > 0 { Found::Wrong } else { Found::Good })
}
