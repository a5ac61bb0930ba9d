//! `silkgate verify`: judges a receipt or an evidence bundle offline.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use silkgate_evidence::{Check, container};
use silkgate_ledger::Receipt;
use silkgate_message::card::{Card, Fingerprint};
use silkgate_message::jws::{Jws, SigningCertificate};
use silkgate_message::party::Country;

use super::{Cx, Found, line, verify_timestamp};
use crate::directory;
use crate::store::ledger::hash;

/// What to verify.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  silkgate verify alert.receipt --card jo.card --message alert.jws\n  silkgate verify evidence.zip \
                        --fingerprint IQ=7K3M-9QXT-… --fingerprint JO=PTG1-1HXP-…\n  silkgate verify --timestamp jo.tst --checkpoint jo.checkpoint --tsa tsa-ca.pem\n\nNeeds the files only: no gateway, no \
                        database, no network. With a receipt, give the sender's card too, and the message's signature is verified as \
                        well. An evidence bundle holds everything itself; pin the fingerprints that the states published. \
                        Exit codes: 0 every check passed, 1 one failed, 2 a file could not be read."
)]
pub(crate) struct Args {
    /// A receipt (C2SP tlog-proof), or evidence bundles (ZIP).
    #[arg(required_unless_present = "timestamp", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Of a receipt: the card of the gateway that issued it; may be given again for the sender's.
    #[arg(long)]
    card: Vec<PathBuf>,
    /// Of a receipt: the signed message that it is for.
    #[arg(long)]
    message: Option<PathBuf>,
    /// Of a bundle: the fingerprint of a state's card key, as that state published it.
    #[arg(long, value_name = "STATE=FINGERPRINT", value_parser = pin)]
    fingerprint: Vec<(Country, Fingerprint)>,
    #[command(flatten)]
    timestamp: verify_timestamp::TimestampArgs,
}

/// How a receipt begins (C2SP tlog-proof); whatever is neither, and comes without a card, is no bundle either.
const RECEIPT: &[u8] = b"c2sp.org/tlog-proof";

fn pin(text: &str) -> Result<(Country, Fingerprint), String> {
    let (country, fingerprint) = text.split_once('=').ok_or("STATE=FINGERPRINT, such as IQ=7K3M-9QXT-…")?;
    let country = country.parse().map_err(|error| format!("{error}"))?;
    Ok((country, fingerprint.parse().map_err(|error| format!("{error}"))?))
}

/// Runs the command.
pub(crate) fn run(cx: &Cx, args: &Args) -> Result<Found> {
    if args.files.is_empty() {
        return verify_timestamp::run(cx, &args.timestamp);
    }
    let mut good = true;
    let mut reports = Vec::new();
    for path in &args.files {
        let bytes = read(path)?;
        let is_bundle = bytes.starts_with(&container::MAGIC);
        let is_receipt = !is_bundle && (!args.card.is_empty() || bytes.starts_with(RECEIPT));
        let (checks, what) = if is_receipt { receipt(&bytes, args)? } else { bundle(&bytes, args)? };
        let passed = checks.iter().all(|check| check.passed);
        good &= passed;
        if !cx.json {
            line(&text(path, &checks, what, args.files.len() > 1))?;
        }
        reports.push(serde_json::json!({ "file": path, "valid": passed, "checks": checks }));
    }
    if cx.json {
        let one = reports.len() == 1;
        let whole = || serde_json::json!({ "valid": good, "files": reports });
        let one = reports
            .first()
            .filter(|_| one)
            .map(|report| serde_json::json!({ "valid": report["valid"], "checks": report["checks"] }));
        line(&one.unwrap_or_else(whole).to_string())?;
    }
    Ok(if good { Found::Good } else { Found::Wrong })
}

fn read(path: &PathBuf) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
    if size > container::BUNDLE_MAX_BYTES as u64 {
        bail!("{}: larger than any bundle", path.display());
    }
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn text(path: &std::path::Path, checks: &[Check], what: &str, several: bool) -> String {
    let mut lines: Vec<String> = several.then(|| format!("{}:", path.display())).into_iter().collect();
    for check in checks {
        let mark = if check.passed { "ok    " } else { "FAILED" };
        let about = check.message.as_ref().map(|number| format!("[{number}] ")).unwrap_or_default();
        lines.push(format!("{mark} {about}{}", check.says));
    }
    let passed = checks.iter().all(|check| check.passed);
    lines.push(if passed { format!("The {what} is good.") } else { format!("The {what} proves NOTHING.") });
    lines.join("\n")
}

/// An evidence bundle, from the file alone.
fn bundle(bytes: &[u8], args: &Args) -> Result<(Vec<Check>, &'static str)> {
    if !args.card.is_empty() || args.message.is_some() {
        bail!("--card and --message belong to a receipt; a bundle holds cards and messages itself");
    }
    Ok((silkgate_evidence::judge(bytes, &args.fingerprint).checks, "bundle"))
}

/// A receipt, with the cards and the message given.
fn receipt(bytes: &[u8], args: &Args) -> Result<(Vec<Check>, &'static str)> {
    if args.files.len() > 1 || !args.fingerprint.is_empty() {
        bail!("a receipt is verified alone, by --card and without --fingerprint");
    }
    if args.card.is_empty() {
        bail!("a receipt is verified with the card of the gateway that issued it: give it with --card");
    }
    let cards: Vec<Card> = args
        .card
        .iter()
        .map(|path| Card::parse(&read(path)?).map_err(|error| anyhow!("{}: {error}", path.display())))
        .collect::<Result<_>>()?;
    let message = args.message.as_ref().map(read).transpose()?;
    Ok((judge(bytes, &cards, message.as_deref()), "receipt"))
}

/// Every check, in order; the first failure ends them, since the others rest on it.
fn judge(receipt: &[u8], cards: &[Card], message: Option<&[u8]>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut say = |check: &'static str, result: Result<String, String>| {
        let passed = result.is_ok();
        checks.push(Check { check, passed, says: result.unwrap_or_else(|says| says), message: None });
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
