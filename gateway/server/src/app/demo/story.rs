//! What happens between the two states, told as it happens.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use silkgate_ledger::{Receipt, VerifierKey};
use silkgate_message::card::Card;
use silkgate_message::catalogue::Catalogue;
use silkgate_message::jws::{SigningCertificate, SigningKey};
use silkgate_message::problem::Problem;

use super::super::client::Client;
use super::super::{Found, line};
use super::answers::{hit_on, question};
use super::operators::four_eyes;
use super::states::{Pair, State};
use crate::clock;
use crate::directory::channel_keys;
use crate::keys;

pub(super) const EVENT: &str = "application/cloudevents+json";

/// A message that was sent, and what came back.
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) digest: String,
}

/// Where what is to be verified offline is kept.
fn receipts(pair: &Pair) -> Result<std::path::PathBuf> {
    let folder = pair.folder.join("receipts");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Tells the whole story. The finding: whether everything verified in the end.
pub(super) async fn tell(pair: &mut Pair) -> Result<Found> {
    line("Two neighbouring states, each with its own keys, gateway and database:")?;
    for state in [&pair.iq, &pair.jo] {
        let status: Value = serde_json::from_str(&state.silkgate(&["status", "--json"]).await?)?;
        let at = status["partner_plane"]["listen"].as_str().unwrap_or_default();
        let partner = status["partners"][0]["partner"].as_str().unwrap_or_default();
        let says = format!(
            "  {:<7} {}  partner plane {at}, exchanges with {partner}",
            state.name,
            state.home.path().display()
        );
        line(&says)?;
    }
    let mut saved = Vec::new();
    saved.extend(wanted_vehicle(pair).await?);
    saved.extend(question(pair).await?);
    saved.push(manifest(pair).await?);
    saved.push(invalid_manifest(pair).await?);
    let altered = altered_on_the_way(pair).await?;
    sent_twice(pair, &altered).await?;
    four_eyes(pair).await?;
    saved.push(altered);
    verify(pair, &saved).await
}

/// The example of a type, as a back end would submit it: without what the gateway fills in.
pub(super) fn example(kind: &str, to: &str, record: &str) -> Result<Value> {
    let message_type = Catalogue::embedded().newest(kind).context("the catalogue lacks the type")?;
    let mut event: Value = serde_json::from_str(message_type.example())?;
    let members = event.as_object_mut().context("an example is an object")?;
    for filled_in in [
        "id",
        "time",
        "expirytime",
        "salt",
        "source",
        "subject",
        "specversion",
        "datacontenttype",
        "dataschema",
    ] {
        members.remove(filled_in);
    }
    event["recipient"] = json!(to);
    event["status"] = json!("actual");
    event["data"]["recordId"] = json!(record);
    Ok(event)
}

/// Submits and waits for the outcome.
pub(super) async fn submit(back_end: &Client, event: &Value) -> Result<Value> {
    let answer = back_end.post("/v1/submissions", EVENT, serde_json::to_vec(event)?).await?;
    let mut status = answer.json()?;
    if answer.status != 202 {
        bail!("the submission was refused: {status}");
    }
    let id = status["id"].as_str().unwrap_or_default().to_owned();
    let started = Instant::now();
    while status["state"] == "queued" {
        if started.elapsed() > Duration::from_secs(30) {
            bail!("no outcome within 30 s: {status}");
        }
        status = back_end.get(&format!("/v1/submissions/{id}?wait=5")).await?.json()?;
    }
    Ok(status)
}

/// Fetches and acknowledges the next delivery.
pub(super) async fn fetch(back_end: &Client) -> Result<Value> {
    let answer = back_end.get("/v1/deliveries?wait=10").await?.json()?;
    let delivery = answer["deliveries"].get(0).cloned().context("nothing was delivered within 10 s")?;
    let path = format!("/v1/deliveries/{}/ack", delivery["id"].as_str().unwrap_or_default());
    let lease = serde_json::to_vec(&json!({ "lease": delivery["lease"] }))?;
    let acknowledged = back_end.post(&path, "application/json", lease).await?;
    if acknowledged.status != 200 {
        bail!("the acknowledgement was refused: {}", acknowledged.json()?);
    }
    Ok(delivery)
}

/// The key of the log that `issuer` keeps of its channel with `other`.
fn log_keys(issuer: &State, other: &State) -> Result<Vec<VerifierKey>> {
    let card = std::fs::read(issuer.home.path().join("own.card"))?;
    let card = Card::parse(&card)?;
    channel_keys(&card, other.country.parse()?).map_err(|what| anyhow!("{what}"))
}

/// Verifies a receipt and says in one line what it proves.
fn proves(receipt: &[u8], issuer: &State, other: &State) -> Result<String> {
    let verified = Receipt::parse(receipt)?.verify(&log_keys(issuer, other)?)?;
    let verdict = verified.entry.verdict.map_or("?", |verdict| verdict.as_str());
    Ok(format!(
        "receipt: {verdict}, entry {} of {} ({} entries)",
        verified.index, verified.origin, verified.size
    ))
}

pub(super) fn outcome(status: &Value, issuer: &State, other: &State) -> Result<(Sent, String)> {
    let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    let receipt = status["receipt"].as_str().with_context(|| format!("no receipt: {status}"))?;
    Ok((Sent { id: text("id"), digest: text("digest") }, proves(receipt.as_bytes(), issuer, other)?))
}

async fn wanted_vehicle(pair: &Pair) -> Result<Vec<Sent>> {
    line("\nA wanted vehicle, from Iraq's traffic police to Jordan's public security:")?;
    let sender = pair.iq.back_end("IQ/traffic-police")?;
    let receiver = pair.jo.back_end("JO/public-security")?;
    let mut event = example("alert.vehicle", "JO/public-security", "IQ-AV-2026-000123")?;
    std::fs::write(
        pair.folder.join("alert.json"),
        serde_json::to_vec_pretty(&{
            // For later, by hand: another record.
            let mut other = event.clone();
            other["data"]["recordId"] = json!("IQ-AV-2026-000200");
            other
        })?,
    )?;
    let mut sent: Vec<Sent> = Vec::new();
    let mut hit = None;
    for action in ["new", "update", "cancel"] {
        let version = sent.len() + 1;
        event["data"]["action"] = json!(action);
        event["data"]["recordVersion"] = json!(version);
        if let Some(last) = sent.last() {
            event["data"]["supersedes"] = json!({ "messageId": last.id, "digest": last.digest });
        }
        match action {
            "update" => event["data"]["colour"] = json!("silver"),
            "cancel" => {
                let data = &event["data"];
                event["data"] = json!({
                    "action": "cancel", "recordId": data["recordId"], "recordVersion": version,
                    "supersedes": data["supersedes"], "reason": "تم العثور على المركبة وإعادتها إلى صاحبها",
                });
            }
            _ => {}
        }
        let status = submit(&sender, &event).await?;
        let (message, receipt) = outcome(&status, &pair.jo, &pair.iq)?;
        let delivered = fetch(&receiver).await?;
        let data = &delivered["event"]["data"];
        let shown = match data["reason"].as_str() {
            Some(reason) => format!("“{reason}”"),
            None => format!(
                "{} {}, plate {}, {}",
                data["colour"].as_str().unwrap_or_default(),
                data["make"].as_str().unwrap_or_default(),
                data["plate"]["display"].as_str().unwrap_or_default(),
                data["circumstance"].as_str().unwrap_or_default()
            ),
        };
        line(&format!(
            "  {:<7} Jordan holds version {}: {shown}\n          {receipt}",
            data["action"].as_str().unwrap_or_default(),
            data["recordVersion"]
        ))?;
        sent.push(message);
        if action == "update" {
            // Before the cancel: a hit needs a live alert.
            if let Some(alert) = sent.last() {
                hit = Some(hit_on(pair, alert).await?);
            }
        }
    }
    sent.extend(hit);
    Ok(sent)
}

async fn manifest(pair: &Pair) -> Result<Sent> {
    line("\nA pre-arrival cargo manifest, from Jordan's customs to Iraq's:")?;
    let event = example("manifest.cargo", "IQ/general-customs-authority", "JO-MC-2026-0042")?;
    let status = submit(&pair.jo.back_end("JO/customs-department")?, &event).await?;
    let (message, receipt) = outcome(&status, &pair.iq, &pair.jo)?;
    let delivered = fetch(&pair.iq.back_end("IQ/general-customs-authority")?).await?;
    let data = &delivered["event"]["data"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    line(&format!(
        "  new     Iraq holds {}: {} items, {} packages, {} kg from {} for {}\n          {receipt}",
        text(&data["lrn"]),
        data["totals"]["items"],
        data["totals"]["packages"],
        text(&data["totals"]["grossMassKg"]),
        text(&data["consignor"]["name"]),
        text(&data["consignee"]["name"])
    ))?;
    Ok(message)
}

/// Jordan's own gateway would not let this one out. Here a careless system with Jordan's keys sends it
/// straight to Iraq's gateway.
async fn invalid_manifest(pair: &Pair) -> Result<Sent> {
    line("\nAn invalid manifest, signed and sent past Jordan's own checks:")?;
    let mut event = example("manifest.cargo", "IQ/general-customs-authority", "JO-MC-2026-0043")?;
    let now = clock::now();
    event["specversion"] = json!("1.0");
    event["datacontenttype"] = json!("application/json");
    let id = clock::uuid_v7(now).to_string();
    event["id"] = json!(id);
    event["source"] = json!("JO/customs-department");
    event["subject"] = event["data"]["recordId"].clone();
    event["time"] = json!(now.to_string());
    event["expirytime"] = json!(now.plus_ms(3_600_000).to_string());
    event["salt"] = json!(silkgate_message::jws::encode(&clock::random::<16>()));
    event["dataschema"] =
        json!(Catalogue::embedded().newest("manifest.cargo").map(|t| t.schema_id().to_owned()));
    event["data"]["totals"] = json!({ "items": 7, "packages": 130, "grossMassKg": "2050.7" });
    event["data"]["route"] = json!(["SY", "IQ"]);
    event["data"]["eta"] = json!("2026-11-24T03:00:00Z");
    event["data"]["containers"] = json!(["CSQU3054384"]);
    event["data"]["items"][1]["hs"]["code"] = json!("77");
    event["data"].as_object_mut().map(|data| data.remove("carrier"));
    let certificate = SigningCertificate::parse(&keys::one(&pair.jo.home.certificate("message"))?)
        .context("certificate")?;
    let key = keys::private_key(&pair.jo.home.key("message"))?;
    let key = SigningKey::new(key.secret_der(), &certificate).context("message key")?;
    let message = key.sign(&serde_json::to_vec(&event)?, now).context("random bytes")?;
    let answer = pair
        .jo
        .as_partner_of(&pair.iq)?
        .post("/v1/messages", "application/jose+json", message.clone())
        .await?;
    let problem: Problem = serde_json::from_slice(&answer.body)?;
    if problem.violations.is_empty() {
        bail!("Iraq found nothing wrong: {}", problem.code);
    }
    line(&format!("  refused {} {}: Iraq found all of these at once", answer.status.as_u16(), problem.code))?;
    for violation in &problem.violations {
        line(&format!("          {:<34} {}", violation.pointer, violation.text))?;
    }
    let receipt = problem.receipt.context("a refusal has a receipt")?;
    // The refused message never passed Jordan's gateway: its sender keeps message and receipt itself.
    let folder = receipts(pair)?;
    std::fs::write(folder.join(format!("{id}.jws")), &message)?;
    std::fs::write(folder.join(format!("{id}.receipt")), &receipt)?;
    line(&format!("          {}", proves(receipt.as_bytes(), &pair.iq, &pair.jo)?))?;
    Ok(Sent {
        id,
        digest: silkgate_message::jws::Jws::parse(&message)
            .map(|jws| jws.digest().to_string())
            .unwrap_or_default(),
    })
}

async fn altered_on_the_way(pair: &Pair) -> Result<Sent> {
    line(
        "\nA message altered on the wire, by someone who stole both states' TLS keys (but no signing key):",
    )?;
    let mut event = example("alert.vehicle", "JO/public-security", "IQ-AV-2026-000124")?;
    event["data"]["colour"] = json!("red");
    pair.proxy.alter_next_message();
    let status = submit(&pair.iq.back_end("IQ/traffic-police")?, &event).await?;
    let (message, receipt) = outcome(&status, &pair.jo, &pair.iq)?;
    let log = pair.jo.silkgate(&["log", "--partner", "IQ", "--json"]).await?;
    let mut entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_refusal = |entry: &Value| entry["kind"] == "rejected" && entry["code"] == "signature_invalid";
    let refused = entries.rfind(is_refusal);
    let refused = refused.context("Jordan's log holds no refusal of the altered message")?;
    let at = refused["at"].as_str().unwrap_or_default();
    line(&format!("  refused signature_invalid: entry {} of Jordan's log, at {at}", refused["index"]))?;
    let delivered = fetch(&pair.jo.back_end("JO/public-security")?).await?;
    let colour = delivered["event"]["data"]["colour"].as_str().unwrap_or_default();
    line(&format!(
        "  retried Iraq sent the same bytes again, and Jordan holds a {colour} car, as signed\n          {receipt}"
    ))?;
    Ok(message)
}

async fn sent_twice(pair: &Pair, message: &Sent) -> Result<()> {
    line("\nThe same message once more, straight to Jordan's gateway:")?;
    let back_end = pair.iq.back_end("IQ/traffic-police")?;
    let first = back_end.get(&format!("/v1/submissions/{}", message.id)).await?.json()?;
    let bytes = back_end.get(&format!("/v1/submissions/{}/message", message.id)).await?.body;
    let again = pair
        .iq
        .as_partner_of(&pair.jo)?
        .post("/v1/messages", "application/jose+json", bytes.to_vec())
        .await?;
    let same = first["receipt"].as_str().map(str::as_bytes) == Some(&again.body);
    let waiting = pair.jo.back_end("JO/public-security")?.get("/v1/deliveries").await?.json()?;
    let delivered = waiting["deliveries"].as_array().map_or(0, Vec::len);
    if !same || delivered != 0 {
        bail!("the duplicate was not recognised: same receipt {same}, delivered again {delivered}");
    }
    line(&format!(
        "  {}     the very same receipt, byte for byte; {delivered} more deliveries",
        again.status.as_u16()
    ))
}

/// Every receipt and both logs, offline, by the commands that anyone would use.
async fn verify(pair: &Pair, saved: &[Sent]) -> Result<Found> {
    line("\nOffline, from files alone:")?;
    let folder = receipts(pair)?;
    let mut good = 0;
    for message in saved {
        let kept = folder.join(format!("{}.receipt", message.id)).exists();
        for state in [&pair.iq, &pair.jo].into_iter().filter(|_| !kept) {
            // `show` writes the message and its receipt, which both sides hold.
            let place = folder.to_string_lossy();
            state.silkgate(&["show", &message.id, "--save", &place]).await?;
        }
        let file =
            |ending: &str| folder.join(format!("{}.{ending}", message.id)).to_string_lossy().into_owned();
        let card = |name: &str| pair.folder.join(name).to_string_lossy().into_owned();
        let (receipt, jws, iq, jo) = (file("receipt"), file("jws"), card("iq.card"), card("jo.card"));
        pair.iq.silkgate(&["verify", &receipt, "--card", &jo, "--card", &iq, "--message", &jws]).await?;
        good += 1;
    }
    line(&format!("  {good} of {} receipts verify against the cards and the messages", saved.len()))?;
    let mut found = Found::Good;
    for state in [&pair.iq, &pair.jo] {
        let report = state.silkgate(&["audit", "verify", "--json"]).await;
        let Ok(report) = report else {
            line(&format!("  {}'s audit FAILED", state.name))?;
            found = Found::Wrong;
            continue;
        };
        let report: Value = serde_json::from_str(&report)?;
        let logs = report["logs"].as_array().cloned().unwrap_or_default();
        let sizes = logs
            .iter()
            .map(|log| format!("{} ({})", log["origin"].as_str().unwrap_or_default(), log["entries"]));
        line(&format!(
            "  {}'s logs verify, entry by entry: {}",
            state.name,
            sizes.collect::<Vec<_>>().join(", ")
        ))?;
    }
    Ok(found)
}
