//! `silkgate convert`: from the formats that partners send, and back.

use std::collections::BTreeMap;
use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use silkgate_edifact::{Fault, NOT_CARRIED, Options};
use silkgate_message::json;

use super::{Cx, Found, line};

/// The largest file, in bytes.
const FILE_MAX: u64 = 64 << 20;

/// From other formats to messages of the catalogue, and back.
#[derive(clap::Subcommand)]
pub(crate) enum Convert {
    /// UN/EDIFACT passenger lists (PAXLST D.02B and later) to `manifest.passenger`, and back: a JSON file becomes a
    /// passenger list.
    #[command(
        after_help = "Examples:\n  silkgate convert paxlst list.edi --place AMM=JOAMM --place BGW=IQBGW --offset +03:00 --carrier-country JO\n  \
                            silkgate convert paxlst list.edi --carrier-country JO | silkgate check -\n  silkgate convert paxlst manifest.json > list.edi\n\n\
                            Prints one event a line, without the envelope that `silkgate submit` completes. PAXLST states local times: --offset says\n\
                            how far east of UTC. What is taken for granted or left out is told on standard error.\n\n\
                            Exit codes: 0 converted, 1 the file has faults, 2 it could not be read."
    )]
    Paxlst(Paxlst),
}

/// A passenger list, and what it does not say.
#[derive(clap::Args)]
pub(crate) struct Paxlst {
    /// The file, or - for standard input.
    file: String,
    /// A place by the list's own code: IATA=LOCODE.
    #[arg(long = "place", value_name = "CODE=LOCODE", value_parser = pair)]
    places: Vec<(String, String)>,
    /// The offset of the list's local times from UTC, e.g. +03:00.
    #[arg(long, value_name = "±HH:MM", value_parser = offset, allow_hyphen_values = true)]
    offset: Option<i32>,
    /// The carrier's state, where the list does not say it.
    #[arg(long, value_name = "STATE")]
    carrier_country: Option<String>,
    /// The record; the message's reference unless given.
    #[arg(long)]
    record: Option<String>,
    /// The record's version, for a change or a close-out.
    #[arg(long)]
    record_version: Option<u64>,
    /// The message that a change or a close-out follows.
    #[arg(long, value_name = "ID:DIGEST", value_parser = reference)]
    supersedes: Option<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(code, place)| !code.is_empty() && place.len() == 5);
    parts.map(|(code, place)| (code.to_owned(), place.to_owned())).ok_or("write AMM=JOAMM".to_owned())
}

fn reference(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once(':');
    parts.map(|(id, digest)| (id.to_owned(), digest.to_owned())).ok_or("write ID:DIGEST".to_owned())
}

/// Minutes east of UTC.
fn offset(text: &str) -> Result<i32, String> {
    let wrong = || "write +03:00".to_owned();
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..).and_then(|rest| rest.split_once(':')).ok_or_else(wrong)?;
    let (hours, minutes): (i32, i32) =
        (hours.parse().map_err(|_| wrong())?, minutes.parse().map_err(|_| wrong())?);
    let sound = text.starts_with(['+', '-']) && (0..=14).contains(&hours) && (0..60).contains(&minutes);
    if sound { Ok(sign * (hours * 60 + minutes)) } else { Err(wrong()) }
}

/// Runs the command.
pub(crate) fn run(cx: &Cx, command: Convert) -> Result<Found> {
    let Convert::Paxlst(args) = command;
    let mut bytes = Vec::new();
    let mut source: Box<dyn std::io::Read> = match args.file.as_str() {
        "-" => Box::new(std::io::stdin()),
        file => Box::new(std::fs::File::open(file).with_context(|| file.to_owned())?),
    };
    (&mut source).take(FILE_MAX + 1).read_to_end(&mut bytes).with_context(|| args.file.clone())?;
    if bytes.len() as u64 > FILE_MAX {
        bail!("{}: larger than {} MiB", args.file, FILE_MAX >> 20);
    }
    if bytes.trim_ascii_start().starts_with(b"{") {
        to_edifact(cx, &args, &bytes)
    } else {
        from_edifact(cx, args, &bytes)
    }
}

fn from_edifact(cx: &Cx, args: Paxlst, bytes: &[u8]) -> Result<Found> {
    if args.offset.is_none() {
        eprintln!("{}: note: times are taken as UTC; --offset says how far east of it they are", args.file);
    }
    let options = Options {
        places: args.places.into_iter().collect::<BTreeMap<_, _>>(),
        offset_minutes: args.offset.unwrap_or(0),
        record: args.record,
        version: args.record_version,
        supersedes: args.supersedes,
        carrier_country: args.carrier_country,
    };
    match silkgate_edifact::read(bytes, &options) {
        Ok(lists) => {
            for list in lists {
                tell(&args.file, "note", &list.warnings);
                line(&json!({ "type": "manifest.passenger", "data": list.data }).to_string())?;
            }
            Ok(Found::Good)
        }
        Err(faults) => refuse(cx, &args.file, &faults),
    }
}

fn to_edifact(cx: &Cx, args: &Paxlst, bytes: &[u8]) -> Result<Found> {
    let event = json::parse(bytes).with_context(|| args.file.clone())?;
    let data = event.get("data").unwrap_or(&event);
    match silkgate_edifact::write(data) {
        Ok((text, warnings)) => {
            tell(&args.file, "note", &warnings);
            if !warnings.is_empty() {
                eprintln!("{}: a passenger list never carries: {}", args.file, NOT_CARRIED.join("; "));
            }
            line(text.trim_end())?;
            Ok(Found::Good)
        }
        Err(faults) => refuse(cx, &args.file, &faults),
    }
}

/// Every fault with its place.
fn refuse(cx: &Cx, file: &str, faults: &[Fault]) -> Result<Found> {
    if cx.json {
        let faults: Vec<Value> = faults.iter().map(|fault| json!(fault)).collect();
        line(&json!({ "file": file, "faults": faults }).to_string())?;
    } else {
        tell(file, "error", faults);
    }
    Ok(Found::Wrong)
}

fn tell(file: &str, word: &str, faults: &[Fault]) {
    for fault in faults {
        let place = if fault.line > 0 { format!(":{}:{}", fault.line, fault.column) } else { String::new() };
        let tag = if fault.tag.is_empty() { String::new() } else { format!("{}: ", fault.tag) };
        eprintln!("{file}{place}: {word}[{}]: {tag}{}", fault.code, fault.text);
    }
}
