//! `silkgate submit`: a back end's message, from the command line.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};
use silkgate_message::party::Party;

use super::client::Client;
use super::{Cx, Found, line};

/// What to submit.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  silkgate -d iq submit alert.json --to JO/public-security\n  silkgate -d iq submit alert.json --to JO/public-security --to SA/border-guard\n\n\
                        FILE holds an event: `type`, `status`, `purpose`, `handling` and `data` at least; the gateway fills in the \
                        rest. One message goes to each recipient. Exit codes: 0 every recipient's gateway accepted (or the \
                        message is queued, with --no-wait), 1 one refused, 2 not submitted or no outcome within --wait."
)]
pub(crate) struct Args {
    /// The event, JSON.
    file: PathBuf,
    /// The recipient; may be given again.
    #[arg(long, required = true, value_name = "PARTY")]
    to: Vec<Party>,
    /// Submit as this authority; its certificate must be under clients/.
    #[arg(long, value_name = "PARTY")]
    from: Option<Party>,
    /// Seconds to wait for the outcome.
    #[arg(long, default_value_t = 30)]
    wait: u64,
    /// Return as soon as the gateway has taken it over.
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// Write ID.jws and ID.receipt into this folder.
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    let config = cx.home.config()?;
    let bytes = std::fs::read(&args.file).with_context(|| args.file.display().to_string())?;
    let event =
        silkgate_message::json::parse(&bytes).map_err(|error| anyhow!("{}: {error}", args.file.display()))?;
    let from = args.from.clone().unwrap_or_else(|| config.party.clone());
    let client = Client::back_end(&cx.home, &config, from.slug())?;
    let mut found = Found::Good;
    let mut unsettled = false;
    for party in &args.to {
        let mut event = event.clone();
        event["recipient"] = json!(party);
        let outcome = one(&client, &args, &event).await?;
        let state = outcome["state"].as_str().unwrap_or("refused");
        match state {
            "receipted" => {}
            "queued" => unsettled |= !args.no_wait,
            _ => found = Found::Wrong,
        }
        if cx.json { line(&outcome.to_string())? } else { line(&readable(party, &outcome))? }
    }
    if unsettled && found == Found::Good {
        return Err(anyhow!(
            "no outcome yet; the gateway goes on trying. `silkgate show ID` tells how it stands"
        ));
    }
    Ok(found)
}

async fn one(client: &Client, args: &Args, event: &Value) -> Result<Value> {
    let answer =
        client.post("/v1/submissions", "application/cloudevents+json", serde_json::to_vec(event)?).await?;
    let mut status = answer.json()?;
    if answer.status != 202 {
        return Ok(status);
    }
    let id = status["id"].as_str().unwrap_or_default().to_owned();
    let started = Instant::now();
    let wait = Duration::from_secs(if args.no_wait { 0 } else { args.wait });
    while status["state"] == "queued" && started.elapsed() < wait {
        let left = (wait - started.elapsed()).as_secs().clamp(1, 20);
        status = client.get(&format!("/v1/submissions/{id}?wait={left}")).await?.json()?;
    }
    if let Some(folder) = &args.save {
        let message = client.get(&format!("/v1/submissions/{id}/message")).await?;
        write(folder, &id, "jws", &message.body)?;
        if let Some(receipt) = status["receipt"].as_str() {
            write(folder, &id, "receipt", receipt.as_bytes())?;
        }
    }
    Ok(status)
}

fn write(folder: &std::path::Path, id: &str, ending: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(format!("{id}.{ending}"));
    std::fs::write(&path, bytes).with_context(|| path.display().to_string())
}

fn readable(party: &Party, outcome: &Value) -> String {
    let text = |name: &str| outcome[name].as_str().unwrap_or_default();
    let Some(state) = outcome["state"].as_str() else {
        // A problem document: the national plane refused it.
        let mut lines =
            vec![format!("{party}: refused, {}: {} {}", text("code"), text("title"), text("detail"))];
        lines.extend(violations(&outcome["violations"]));
        return lines.join("\n");
    };
    let mut lines = vec![format!("{party}: {state}\n  id      {}\n  digest  {}", text("id"), text("digest"))];
    if let Some(code) = outcome["code"].as_str() {
        lines.push(format!("  code    {code}"));
    }
    if let Some(last) = outcome["last_attempt"].as_str().filter(|_| state == "queued") {
        lines.push(format!("  last attempt: {last}"));
    }
    lines.extend(violations(&outcome["problem"]["violations"]));
    lines.join("\n")
}

fn violations(list: &Value) -> Vec<String> {
    let text = |violation: &Value, name: &str| violation[name].as_str().unwrap_or_default().to_owned();
    let line = |v: &Value| format!("  {} {}: {}", text(v, "pointer"), text(v, "rule"), text(v, "text"));
    list.as_array().into_iter().flatten().map(line).collect()
}
