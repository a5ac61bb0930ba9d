//! `silkgate verify`: judges a receipt offline.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use silkgate_ledger::Receipt;
use silkgate_message::card::Card;
use silkgate_message::jws::{Jws, SigningCertificate};

use super::{Cx, Found, verify_timestamp};
use crate::directory;
use crate::store::ledger::hash;

/// What to verify.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  silkgate verify alert.receipt --card jo.card --message alert.jws\n  \
                        silkgate verify --timestamp jo.tst --checkpoint jo.checkpoint --tsa tsa-ca.pem\n\nNeeds the files only: no gateway, no \
                        database, no network. Give the sender's card too, and the message's signature is verified as \
                        well. Exit codes: 0 every check passed, 1 one failed, 2 a file could not be read.")]
pub(crate) struct Args {
    /// The receipt (C2SP tlog-proof).
    #[arg(required_unless_present = "timestamp")]
    receipt: Option<PathBuf>,
    /// The card of the gateway that issued the receipt; may be given again for the sender's.
    #[arg(long, required_unless_present = "timestamp")]
    card: Vec<PathBuf>,
    /// The signed message that the receipt is for.
    #[arg(long)]
    message: Option<PathBuf>,
    #[command(flatten)]
    timestamp: verify_timestamp::TimestampArgs,
}

/// One check, in a sentence.
#[derive(serde::Serialize)]
pub(super) struct Check {
    pub(super) check: &'static str,
    pub(super) passed: bool,
    pub(super) says: String,
}

/// Runs the command.
pub(crate) fn run(cx: &Cx, args: &Args) -> Result<Found> {
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| path.display().to_string());
    let Some(receipt) = &args.receipt else { return verify_timestamp::run(cx, &args.timestamp) };
    let cards: Vec<Card> = args
        .card
        .iter()
        .map(|path| Card::parse(&read(path)?).map_err(|error| anyhow!("{}: {error}", path.display())))
        .collect::<Result<_>>()?;
    let message = args.message.as_ref().map(read).transpose()?;
    let checks = judge(&read(receipt)?, &cards, message.as_deref());
    let passed = checks.iter().all(|check| check.passed);
    cx.print(&serde_json::json!({ "valid": passed, "checks": checks }), || {
        let line =
            |check: &Check| format!("{} {}", if check.passed { "ok    " } else { "FAILED" }, check.says);
        let mut lines: Vec<String> = checks.iter().map(line).collect();
        lines.push(if passed {
            "The receipt is good.".into()
        } else {
            "The receipt proves NOTHING.".to_owned()
        });
        lines.join("\n")
    })?;
    Ok(if passed { Found::Good } else { Found::Wrong })
}

/// Every check, in order; the first failure ends them, since the others rest on it.
fn judge(receipt: &[u8], cards: &[Card], message: Option<&[u8]>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut say = |check: &'static str, result: Result<String, String>| {
        let passed = result.is_ok();
        checks.push(Check { check, passed, says: result.unwrap_or_else(|says| says) });
        passed
    };
    let parsed = Receipt::parse(receipt).map_err(|error| format!("not a receipt: {error}"));
    let receipt = match parsed {
        Ok(receipt) => receipt,
        Err(says) => {
            say("format", Err(says));
            return checks;
        }
    };
    say("format", Ok("The file is a C2SP tlog-proof that carries a log entry.".into()));
    let keys: Vec<_> = channel_keys(&receipt, cards).flatten().collect();
    let verified = match receipt.verify(&keys) {
        Ok(verified) => verified,
        Err(error) => {
            say("checkpoint", Err(format!("{error} ({})", error.code())));
            return checks;
        }
    };
    say(
        "checkpoint",
        Ok(format!(
            "The checkpoint of {} with {} entries is signed by that log's key.",
            verified.origin, verified.size
        )),
    );
    say("inclusion", Ok(format!("The log holds the entry at index {}.", verified.index)));
    let entry = &verified.entry;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".into());
    let verdict = entry.verdict.map_or("no verdict", |verdict| verdict.as_str());
    let code = entry.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    say(
        "entry",
        Ok(format!(
            "At {} it states: {} {} from {} to {}, {verdict}{code}.",
            entry.at,
            text(&entry.message_type),
            text(&entry.id),
            text(&entry.from),
            text(&entry.to)
        )),
    );
    let Some(message) = message else { return checks };
    let jws = match Jws::parse(message) {
        Ok(jws) => jws,
        Err(problem) => {
            say("message", Err(format!("the message cannot be read: {} {}", problem.code, problem.detail)));
            return checks;
        }
    };
    let same = entry.jws == Some(hash(jws.digest()));
    let digest = if same {
        Ok(format!("The message's digest {} is the entry's.", jws.digest()))
    } else {
        Err("the entry is about another message: the digests differ".to_owned())
    };
    if !say("message", digest) {
        return checks;
    }
    if let Some(certificate) = signer(&jws, cards) {
        let signed = match jws.verify(&certificate) {
            Ok(()) => {
                Ok("The message's signature verifies with the certificate on the sender's card.".to_owned())
            }
            Err(code) => Err(format!("the message's signature does not verify: {code}")),
        };
        say("signature", signed);
    }
    checks
}

/// The keys that may sign the receipt's log: each card's, under the origin that the receipt claims,
/// where that origin belongs to the card.
fn channel_keys<'c>(
    receipt: &'c Receipt,
    cards: &'c [Card],
) -> impl Iterator<Item = Vec<silkgate_ledger::VerifierKey>> + 'c {
    let text = receipt.proof().checkpoint.text();
    let partner = text.lines().next().and_then(|origin| origin.rsplit('/').next()?.parse().ok());
    cards.iter().filter_map(move |card| directory::channel_keys(card, partner?).ok())
}

fn signer(jws: &Jws, cards: &[Card]) -> Option<SigningCertificate> {
    let certificates = cards.iter().flat_map(|card| &card.content().signing_certificates);
    certificates.filter_map(|der| SigningCertificate::parse(der)).find(|c| c.thumbprint == jws.thumbprint)
}
