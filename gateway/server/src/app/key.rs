//! `silkgate key`: one key follows another, with an overlap in which partners with either card verify what we sign.
//!
//! | step | log and witness key | message key |
//! |---|---|---|
//! | `new` | the next one is made; a log key stands on the next card | the next certificate stands on the next card |
//! | `use` | both sign | the next one signs; the certificate before stays on the card |
//! | `retire` | the one before is destroyed and leaves the card | the same |
//!
//! What the old key signed stays good: cards are kept for ever, and evidence carries the card of its time.

use std::fs;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::json;
use silkgate_certs::message_signing;
use silkgate_ledger::{Cosigner, NoteSigner};
use silkgate_message::card::Card;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use time::UtcOffset;

use super::admin::{self, Act, Where};
use super::crl::{self, OwnCrl};
use super::init::{ed25519, save};
use super::{Cx, Found, both_times};
use crate::clock;
use crate::config::Config;
use crate::directory;
use crate::keys::{self, staged};
use crate::store::{Store, partner};

/// Which key.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// Signs messages.
    Message,
    /// Signs checkpoints.
    Log,
    /// Cosigns partners' checkpoints.
    Witness,
}

impl Name {
    const ALL: [Name; 3] = [Name::Message, Name::Log, Name::Witness];

    fn as_str(self) -> &'static str {
        match self {
            Name::Message => "message",
            Name::Log => "log",
            Name::Witness => "witness",
        }
    }
}

/// Keys and their successors.
#[derive(clap::Subcommand)]
pub(crate) enum Key {
    /// List the keys in use and their stages.
    #[command(after_help = "Example:\n  silkgate -d iq key list --json")]
    List,
    /// Make the next key.
    #[command(
        after_help = "Example:\n  silkgate -d iq key new message\n  silkgate -d iq card > iq.card\n\nThen hand the new card to every partner: `silkgate \
                            partner add` takes it. When all have it: `silkgate key use`."
    )]
    New {
        /// message, log or witness.
        name: Name,
    },
    /// Use the next key; the one before stays good beside it.
    #[command(
        after_help = "Example:\n  silkgate -d iq key use message\n\nThe gateway takes it up within seconds. Log and witness sign with both keys until the one before is \
                            retired, so partners with the older card still verify."
    )]
    Use {
        /// message, log or witness.
        name: Name,
    },
    /// Make the list of what our TLS authority has revoked.
    Crl(OwnCrl),
    /// Destroy the key before.
    #[command(
        after_help = "Example:\n  silkgate -d iq key retire message\n\nRefused (exit code 1) before the longest message lifetime has passed since `key use`: what \
                            it signed may still be under way. Where the key was stolen: --stolen retires it at once. Then hand out the next card."
    )]
    Retire {
        /// message, log or witness.
        name: Name,
        /// Do not wait: the key is in other hands.
        #[arg(long)]
        stolen: bool,
    },
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, command: Key) -> Result<Found> {
    match command {
        Key::List => list(cx),
        Key::New { name } => make(cx, name).await,
        Key::Use { name } => begin(cx, name).await,
        Key::Crl(args) => crl::own(cx, args).await,
        Key::Retire { name, stolen } => retire(cx, name, stolen).await,
    }
}

async fn make(cx: &Cx, name: Name) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let next = staged(name.as_str(), "next");
    if cx.home.key(&next).exists() {
        bail!("{} exists: the next {} key is made already", cx.home.key(&next).display(), name.as_str());
    }
    if cx.home.key(&staged(name.as_str(), "previous")).exists() {
        bail!(
            "the {0} key before the present one is not retired yet: `silkgate key retire {0}`",
            name.as_str()
        );
    }
    let mut tx = store.write().await?;
    admin::writable(&mut tx).await?;
    match name {
        Name::Message => {
            let now = clock::now().to_offset(UtcOffset::UTC);
            save(&cx.home, &next, &message_signing(config.country().as_str(), now)?)?;
        }
        Name::Log | Name::Witness => ed25519(&cx.home.key(&next))?,
    }
    let digest = public_digest(cx, &config, name, "next")?;
    admin::commit(cx, tx, &[act("key_new", digest)]).await?;
    let next = match name {
        // The card names the witness key in use only: partners with either card know one of the two.
        Name::Witness => "Then `silkgate key use witness`.",
        Name::Message | Name::Log => {
            "Print the next card (`silkgate card`), hand it to every partner, then `silkgate key use`."
        }
    };
    say(cx, name, "new", digest, next)
}

async fn begin(cx: &Cx, name: Name) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let key = |stage| cx.home.key(&staged(name.as_str(), stage));
    if !key("next").exists() {
        eprintln!("silkgate: there is no next {0} key; `silkgate key new {0}` makes one", name.as_str());
        return Ok(Found::Wrong);
    }
    let digest = public_digest(cx, &config, name, "next")?;
    // Logged first: a change of keys that is logged twice after a crash is better than one that never is.
    admin::commit(cx, store.write().await?, &[act("key_use", digest)]).await?;
    // Each step leaves a key in its place; after a crash the command is repeated.
    fs::write(keys::overlap_file(&cx.home, name.as_str()), keys::AWAITS_START)?;
    if name == Name::Message {
        let certificate = |stage| cx.home.certificate(&staged(name.as_str(), stage));
        succeed(&certificate("previous"), &certificate(""), &certificate("next"))?;
    }
    succeed(&key("previous"), &key(""), &key("next"))?;
    let what = "A running gateway takes it up within seconds. The key before stays good beside it until it is retired: not before the \
                longest message lifetime has passed since then.";
    say(cx, name, "use", digest, what)
}

/// What is in use becomes the one before, and the next one takes its place.
fn succeed(previous: &std::path::Path, present: &std::path::Path, next: &std::path::Path) -> Result<()> {
    if !next.exists() {
        return Ok(());
    }
    if !previous.exists() {
        fs::hard_link(present, previous).with_context(|| previous.display().to_string())?;
    }
    fs::rename(next, present).with_context(|| present.display().to_string())?;
    let folder = present.parent().ok_or_else(|| anyhow!("a key without a folder"))?;
    fs::File::open(folder)?.sync_all().with_context(|| folder.display().to_string())
}

async fn retire(cx: &Cx, name: Name, stolen: bool) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let previous = cx.home.key(&staged(name.as_str(), "previous"));
    if !previous.exists() {
        eprintln!("silkgate: no {} key waits to be retired", name.as_str());
        return Ok(Found::Wrong);
    }
    let overlap = keys::overlap_file(&cx.home, name.as_str());
    let until = fs::read_to_string(&overlap).ok().and_then(|text| Instant::parse(text.trim()));
    if !stolen && until.is_none_or(|until| clock::now() < until) {
        let when = until.map_or_else(
            || "a lifetime after the gateway has taken up the one that follows".to_owned(),
            both_times,
        );
        eprintln!("silkgate: what it signed may be under way until {when}; --stolen does not wait");
        return Ok(Found::Wrong);
    }
    let certificate = cx.home.certificate(&staged(name.as_str(), "previous"));
    if !is_on_a_card(cx, &config, &store, name).await? {
        eprintln!(
            "silkgate: no card of ours names it, by which what it signed is judged: run `silkgate card` first"
        );
        return Ok(Found::Wrong);
    }
    if name != Name::Message || certificate.exists() {
        let digest = public_digest(cx, &config, name, "previous")?;
        let what = if stolen { "key_stolen" } else { "key_retire" };
        admin::commit(cx, store.write().await?, &[act(what, digest)]).await?;
    }
    // The key last: as long as it is there the command can be repeated.
    for file in [&certificate, &overlap, &previous] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| file.display().to_string());
            }
            _ => {}
        }
    }
    let what = "Print the next card and hand it to every partner.";
    cx.print(&json!({ "key": name.as_str(), "step": "retire" }), || {
        format!("The {} key before is destroyed.\n{what}", name.as_str())
    })?;
    Ok(Found::Good)
}

/// SHA-256 of the certificate, or of the public key.
fn public_digest(cx: &Cx, config: &Config, name: Name, stage: &str) -> Result<Digest> {
    let file = staged(name.as_str(), stage);
    if name == Name::Message {
        let certificate = cx.home.certificate(&file);
        // After a crash in the middle of `use` the certificate stands in its place before its key does.
        let in_place = stage == "next" && !certificate.exists();
        let certificate = if in_place { cx.home.certificate("message") } else { certificate };
        return Ok(Digest::of(&keys::one(&certificate)?));
    }
    let pkcs8 = keys::private_key(&cx.home.key(&file))?;
    let public = match name {
        Name::Log => {
            NoteSigner::from_pkcs8(&config.house_origin(), pkcs8.secret_der())?.verifier_key().to_string()
        }
        _ => Cosigner::from_pkcs8(&config.witness_name(), pkcs8.secret_der())?.witness_key().to_string(),
    };
    Ok(Digest::of(public.as_bytes()))
}

/// Whether the key before stands on a card that was printed. Cards are kept for ever, and old evidence is judged by them.
async fn is_on_a_card(cx: &Cx, config: &Config, store: &Store, name: Name) -> Result<bool> {
    let cards = partner::cards(&mut store.read().await?).await?;
    let cards = cards.iter().filter(|(of, _)| of == config.country().as_str());
    let cards: Vec<Card> = cards.filter_map(|(_, bytes)| Card::parse(bytes).ok()).collect();
    let file = staged(name.as_str(), "previous");
    if name == Name::Message {
        // Gone already after a crash at the end of `retire`.
        let certificate = cx.home.certificate(&file);
        let certificate = certificate.exists().then(|| keys::one(&certificate)).transpose()?;
        let named = |der: &[u8]| {
            cards.iter().any(|card| card.content().signing_certificates.iter().any(|c| c == der))
        };
        return Ok(certificate.is_none_or(|der| named(&der)));
    }
    let pkcs8 = keys::private_key(&cx.home.key(&file))?;
    let own: Vec<&Card> = cards.iter().collect();
    Ok(if name == Name::Log {
        let origin = config.house_origin();
        let key = NoteSigner::from_pkcs8(&origin, pkcs8.secret_der())?;
        directory::ever_log_keys(&own, &origin).contains(key.verifier_key())
    } else {
        let key = Cosigner::from_pkcs8(&config.witness_name(), pkcs8.secret_der())?;
        directory::own_witness_keys(&[], &own).contains(key.witness_key())
    })
}

fn act(what: &'static str, digest: Digest) -> Act {
    Act { log: Where::House, what, digest: Some(digest), about: None }
}

fn say(cx: &Cx, name: Name, step: &str, digest: Digest, what: &str) -> Result<Found> {
    let report = json!({ "key": name.as_str(), "step": step, "digest": digest.to_string() });
    cx.print(&report, || format!("{} key {digest}.\n{what}", name.as_str()))?;
    Ok(Found::Good)
}

fn list(cx: &Cx) -> Result<Found> {
    let config = cx.home.config()?;
    let mut rows = Vec::new();
    for name in Name::ALL {
        for (stage, is) in [("previous", "before"), ("", "in use"), ("next", "next")] {
            if cx.home.key(&staged(name.as_str(), stage)).exists() {
                let digest = public_digest(cx, &config, name, stage)?;
                rows.push((name.as_str(), is, digest));
            }
        }
    }
    let report: Vec<_> = rows
        .iter()
        .map(|(key, stage, digest)| json!({ "key": key, "stage": stage, "digest": digest.to_string() }))
        .collect();
    cx.print(&report, || {
        let line = |(key, stage, digest): &(&str, &str, Digest)| format!("{key:<8} {stage:<7} {digest}");
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Found::Good)
}
