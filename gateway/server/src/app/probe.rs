//! `silkgate partner test`: the way to a partner, step by step.

use std::time::Duration;

use anyhow::{Result, anyhow};
use silkgate_ledger::{Checkpoint, Note};
use silkgate_message::agreement::KeyExchange;
use silkgate_message::party::Country;
use time::format_description::well_known::Rfc2822;
use tokio::net::{TcpStream, lookup_host};

use super::client::Client;
use super::{Cx, Found, admin};
use crate::clock;
use crate::directory::Partner;
use crate::keys::Identity;
use crate::store::{partner, revocation};
use crate::tls::Group;

#[derive(serde::Serialize)]
struct Step {
    step: &'static str,
    passed: bool,
    says: String,
}

/// Runs the command: each step needs the one before.
pub(super) async fn run(cx: &Cx, country: Country) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let mut tx = store.read().await?;
    let rows = partner::all(&mut tx).await?;
    let row = rows.iter().find(|row| row.country == country.as_str());
    let row = row.ok_or_else(|| anyhow!("{country} is no partner"))?;
    let partner = Partner::read(row, config.country(), &revocation::lists(&mut tx).await?)
        .map_err(|what| anyhow!("{what}"))?;
    let identity = Identity::partner_plane(&cx.home)?;
    let mut steps = Vec::new();
    walk(&partner, identity, &mut steps).await;
    let passed = steps.iter().all(|step| step.passed);
    cx.print(&serde_json::json!({ "partner": country, "passed": passed, "steps": steps }), || {
        let line = |step: &Step| {
            format!("{} {:<10} {}", if step.passed { "ok    " } else { "FAILED" }, step.step, step.says)
        };
        steps.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(if passed { Found::Good } else { Found::Wrong })
}

async fn walk(partner: &Partner, identity: Identity, steps: &mut Vec<Step>) {
    let mut say = |step: &'static str, result: Result<String, String>| {
        let passed = result.is_ok();
        steps.push(Step { step, passed, says: result.unwrap_or_else(|says| says) });
        passed
    };
    let address = partner.address.as_str();
    let found = match lookup_host(address).await {
        Ok(found) => found.map(|a| a.to_string()).collect::<Vec<_>>(),
        Err(error) => {
            say(
                "DNS",
                Err(format!(
                    "{address}: {error}. Is the endpoint right? `partner add --connect` overrides it"
                )),
            );
            return;
        }
    };
    say("DNS", Ok(format!("{address} is {}", found.join(", "))));
    let dialled = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(address)).await;
    let dialled = dialled.map_err(|_| "no connection within 5 s: a firewall?".to_owned());
    let dialled =
        dialled.and_then(|stream| stream.map_err(|error| format!("{error}: is their gateway running?")));
    if !say("TCP", dialled.map(|_| format!("connected to {address}"))) {
        return;
    }
    let content = partner.card.content();
    let client = match Client::of_partner(partner, identity) {
        Ok(client) => client,
        Err(error) => {
            say("TLS", Err(format!("{error:#}")));
            return;
        }
    };
    let answer = match client.ask("/v1/channel").await {
        Ok(answer) => answer,
        Err(error) => {
            let hint = "their certificate must hold the card's host under the card's anchor, and they must have added our card";
            say("TLS", Err(format!("{error:#}; {hint}")));
            return;
        }
    };
    say(
        "TLS",
        Ok(format!("mutual TLS 1.3; the certificate is for {} under the card's anchor", content.host)),
    );
    say("keys", exchanged(answer.group, partner.agreement.key_exchange));
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    if answer.status != 200 {
        say("partner", Err(format!("they answer {}: {said}", answer.status)));
        return;
    }
    say("partner", Ok("they know us, and the exchange is active on their side".to_owned()));
    say("clock", skew(&answer.headers));
    say("log", checkpoint(&answer.json().unwrap_or_default(), partner));
    say("agreement", agreement(&answer.json().unwrap_or_default(), partner));
}

/// In which group keys are exchanged, and whether whoever records the line could read it with a quantum computer one day.
fn exchanged(group: Option<Group>, agreed: KeyExchange) -> Result<String, String> {
    let group = group.ok_or("keys were exchanged in a group that is none of ours")?;
    let name = group.as_str();
    Ok(if group.is_post_quantum() {
        format!("exchanged in {name}, which a quantum computer does not open")
    } else if agreed == KeyExchange::Classical {
        format!("exchanged in {name}, as agreed: a quantum computer could open it one day")
    } else {
        format!(
            "exchanged in {name}: they do not offer X25519MLKEM768, and a quantum computer could open this one day"
        )
    })
}

/// The difference of the two clocks by their `Date`, which has whole seconds.
fn skew(headers: &axum::http::HeaderMap) -> Result<String, String> {
    let date = headers.get("date").and_then(|value| value.to_str().ok());
    let date =
        date.and_then(|date| time::OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok());
    let date = date.ok_or("they send no date")?;
    let difference = clock::now().seconds() - date.unix_timestamp();
    if difference.abs() > 120 {
        return Err(format!(
            "the clocks differ by {difference} s; beyond 300 s messages are refused. Check NTP on both sides"
        ));
    }
    Ok(format!("the clocks differ by {difference} s"))
}

fn checkpoint(answer: &serde_json::Value, partner: &Partner) -> Result<String, String> {
    let Some(note) = answer["checkpoint"].as_str() else {
        return Ok("their log of our channel is empty".to_owned());
    };
    let note = Note::parse(note.as_bytes()).map_err(|error| error.to_string())?;
    note.verify(&partner.log_keys).map_err(|error| format!("their checkpoint: {error}"))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
    Ok(format!("{} has {} entries, signed by the card's log key", checkpoint.origin, checkpoint.size))
}

/// What we may send and they do not accept, the commonest surprise.
fn agreement(answer: &serde_json::Value, partner: &Partner) -> Result<String, String> {
    let theirs = answer["receive"].as_array().cloned().unwrap_or_default();
    let mut gaps = Vec::new();
    for clause in &partner.agreement.send {
        let their = theirs.iter().find(|their| their["type"] == clause.kind.as_str());
        for status in &clause.status {
            let holds = their.is_some_and(|t| {
                t["status"].as_array().is_some_and(|s| s.iter().any(|s| s == status.as_str()))
            });
            if !holds {
                gaps.push(format!("{} {}", clause.kind, status.as_str()));
            }
        }
    }
    if gaps.is_empty() {
        Ok("they accept every type and status that we may send".to_owned())
    } else {
        Err(format!("we may send, but they do not accept: {}", gaps.join(", ")))
    }
}
