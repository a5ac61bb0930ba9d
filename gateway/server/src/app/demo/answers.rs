//! What the two states tell each other of what they were told: a hit, a question and its answer.

use anyhow::Result;
use serde_json::json;

use super::super::line;
use super::states::Pair;
use super::story::{EVENT, Sent, example, fetch, outcome, submit};
use crate::clock;

/// Jordan stops the car and tells the alert's owner.
pub(super) async fn hit_on(pair: &Pair, alert: &Sent) -> Result<Sent> {
    let mut event = example("hit.notice", "IQ/traffic-police", "JO-HN-2026-0007")?;
    event["data"]["matchedAt"] = json!(clock::now().to_string());
    event["data"]["alert"] = json!({
        "messageId": alert.id, "digest": alert.digest, "recordId": "IQ-AV-2026-000123", "type": "alert.vehicle",
    });
    let status = submit(&pair.jo.back_end("JO/public-security")?, &event).await?;
    let (message, receipt) = outcome(&status, &pair.iq, &pair.jo)?;
    let delivered = fetch(&pair.iq.back_end("IQ/traffic-police")?).await?;
    let data = &delivered["event"]["data"];
    line(&format!(
        "  hit     Iraq learns: {} at {}, an {} match\n          {receipt}",
        data["actionTaken"].as_str().unwrap_or_default(),
        data["crossing"].as_str().unwrap_or_default(),
        data["matchType"].as_str().unwrap_or_default()
    ))?;
    Ok(message)
}

/// Jordan asks, Iraq answers once.
pub(super) async fn question(pair: &Pair) -> Result<Vec<Sent>> {
    line("\nA question, from Jordan's public security to Iraq's traffic police:")?;
    let (asker, asked) = (pair.jo.back_end("JO/public-security")?, pair.iq.back_end("IQ/traffic-police")?);
    let mut event = example("query.request", "IQ/traffic-police", "JO-QR-2026-0003")?;
    let deadline = clock::now().plus_ms(3_600_000).to_string();
    event["data"]["deadline"] = json!(deadline);
    let (first, receipt) = outcome(&submit(&asker, &event).await?, &pair.iq, &pair.jo)?;
    let got = fetch(&asked).await?;
    let count = got["event"]["data"]["questions"].as_array().map_or(0, Vec::len);
    line(&format!(
        "  asked   Iraq holds {count} questions, to be answered by {deadline}\n          {receipt}"
    ))?;
    let mut event = example("query.response", "JO/public-security", "IQ-QA-2026-0003")?;
    event["correlationid"] = got["id"].clone();
    event["data"] = json!({
        "action": "new", "recordId": "IQ-QA-2026-0003", "recordVersion": 1, "outcome": "none",
        "answers": [{ "question": 1, "outcome": "none" }],
    });
    let (second, receipt) = outcome(&submit(&asked, &event).await?, &pair.jo, &pair.iq)?;
    let got = fetch(&asker).await?;
    let result = got["event"]["data"]["outcome"].as_str().unwrap_or_default().to_owned();
    line(&format!("  answer  Jordan holds the final answer: {result}\n          {receipt}"))?;
    event["data"]["recordId"] = json!("IQ-QA-2026-0004");
    let again = asked.post("/v1/submissions", EVENT, serde_json::to_vec(&event)?).await?.json()?;
    line(&format!("  refused {}: one final answer is given", again["code"].as_str().unwrap_or_default()))?;
    Ok(vec![first, second])
}
