//! `silkgate key`: one key follows another, with an overlap in which partners with either card verify what we sign.
//!
//! | step | log and witness key | message key |
//! |---|---|---|
//! | `new` | the next one is made; a log key stands on the next card | the next certificate stands on the next card |
//! | `use` | both sign | the next one signs; the certificate before stays on the card |
//! | `retire` | the one before is destroyed and leaves the card | the same |
//!
//! What the old key signed stays good: cards are kept for ever, and evidence carries the card of its time. A TLS key follows
//! under the same authority, so no partner has to know: `use` puts it into the place of the one before at once.
//!
//! Each can be in a file or in a token, and either can follow the other.

mod destroy;
mod list;
mod make;

use std::fs;

use anyhow::{Context as _, Result, anyhow};
use serde_json::json;
use silkgate_ledger::{VerifierKey, WitnessKey};
use silkgate_message::card::Card;
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Algorithm, Digest, SigningCertificate, SigningKey};

use super::admin::{self, Act, Where};
use super::crl::{self, OwnCrl};
use super::{Cx, Found, both_times};
use crate::clock;
use crate::config::Config;
use crate::directory;
use crate::keys::{self, Identity, Key as PrivateKey, staged};
use crate::store::{Store, partner};
use crate::tls;
pub(super) use list::{Row, rows};

/// Which key.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// Signs messages.
    Message,
    /// Signs checkpoints.
    Log,
    /// Cosigns partners' checkpoints.
    Witness,
    /// Connections with partners, as server and as client.
    Tls,
}

impl Name {
    const ALL: [Name; 4] = [Name::Message, Name::Log, Name::Witness, Name::Tls];

    fn as_str(self) -> &'static str {
        match self {
            Name::Message => "message",
            Name::Log => "log",
            Name::Witness => "witness",
            Name::Tls => "tls",
        }
    }

    fn has_certificate(self) -> bool {
        matches!(self, Name::Message | Name::Tls)
    }

    /// How a new one signs.
    fn algorithm(self) -> Algorithm {
        if self.has_certificate() { Algorithm::Es256 } else { Algorithm::EdDsa }
    }
}

/// Keys and their successors.
#[derive(clap::Subcommand)]
pub(crate) enum Key {
    /// List the keys in use and their stages, where each lives, and whether a token is reached.
    #[command(after_help = "Example:\n  silkgate -d iq key list --json")]
    List,
    /// Make the next key.
    #[command(
        after_help = "Example:\n  silkgate -d iq key new message\n  silkgate -d iq card > iq.card\n\nThen hand the new card to every partner: `silkgate \
                            partner add` takes it. When all have it: `silkgate key use`.\n\nIn hardware, by [token] of silkgate.toml, from where it can never be \
                            taken out:\n  silkgate -d iq key new message --token\n\nA TLS key gets its certificate from keys/tls-ca.key, or where that is kept \
                            elsewhere a request for one, certs/tls.next.csr."
    )]
    New {
        /// message, log, witness or tls.
        name: Name,
        /// Make it in a token: the one of this label, or the one of silkgate.toml.
        #[arg(long, value_name = "LABEL", num_args = 0..=1)]
        token: Option<Option<String>>,
    },
    /// Use the next key; the one before stays good beside it.
    #[command(
        after_help = "Example:\n  silkgate -d iq key use message\n\nThe gateway takes it up within seconds. Log and witness sign with both keys until the one before is \
                            retired, so partners with the older card still verify."
    )]
    Use {
        /// message, log, witness or tls.
        name: Name,
    },
    /// Make the list of what our TLS authority has revoked.
    Crl(OwnCrl),
    /// Destroy the key before, also in its token.
    #[command(
        after_help = "Example:\n  silkgate -d iq key retire message\n\nRefused (exit code 1) before the longest message lifetime has passed since `key use`: what \
                            it signed may still be under way. Where the key was stolen: --stolen retires it at once. Then hand out the next card."
    )]
    Retire {
        /// message, log, witness or tls.
        name: Name,
        /// Do not wait: the key is in other hands.
        #[arg(long)]
        stolen: bool,
    },
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, command: Key) -> Result<Found> {
    match command {
        Key::List => list::run(cx),
        Key::New { name, token } => make::run(cx, name, token.as_ref().map(Option::as_deref)).await,
        Key::Use { name } => begin(cx, name).await,
        Key::Crl(args) => crl::own(cx, args).await,
        Key::Retire { name, stolen } => retire(cx, name, stolen).await,
    }
}

async fn begin(cx: &Cx, name: Name) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let key = |stage| cx.home.key(&staged(name.as_str(), stage));
    if !key("next").exists() {
        eprintln!("silkgate: there is no next {0} key; `silkgate key new {0}` makes one", name.as_str());
        return Ok(Found::Wrong);
    }
    if name == Name::Tls && !cx.home.certificate(&staged("tls", "next")).exists() && !is_in_place(cx, name)? {
        eprintln!(
            "silkgate: {} is not there: have {} signed",
            cx.home.certificate(&staged("tls", "next")).display(),
            make::request_file(&cx.home).display()
        );
        return Ok(Found::Wrong);
    }
    fits(cx, &config, name)?;
    let digest = public_digest(cx, &config, name, "next")?;
    // Logged first: a change of keys that is logged twice after a crash is better than one that never is.
    admin::commit(cx, store.write().await?, &[act("key_use", digest)]).await?;
    // Each step leaves a key in its place; after a crash the command is repeated.
    if name != Name::Tls {
        fs::write(keys::overlap_file(&cx.home, name.as_str()), keys::AWAITS_START)?;
    }
    if name.has_certificate() {
        let certificate = |stage| cx.home.certificate(&staged(name.as_str(), stage));
        succeed(&certificate("previous"), &certificate(""), &certificate("next"))?;
    }
    succeed(&key("previous"), &key(""), &key("next"))?;
    if name == Name::Tls {
        let _ = fs::remove_file(make::request_file(&cx.home));
        let what = "A running gateway takes it up within seconds, and open connections go on. Then `silkgate key retire tls`.";
        return say(cx, name, "use", digest, what);
    }
    let what = "A running gateway takes it up within seconds. The key before stays good beside it until it is retired: not before the \
                longest message lifetime has passed since then.";
    say(cx, name, "use", digest, what)
}

/// Whether a `use` that broke off has put the next certificate into its place already.
fn is_in_place(cx: &Cx, name: Name) -> Result<bool> {
    Ok(cx.home.certificate(&staged(name.as_str(), "previous")).exists()
        && next_certificate(cx, name)?.is_some())
}

/// The certificate of the next key. After a crash in the middle of `use` it stands in its place before its key does.
fn next_certificate(cx: &Cx, name: Name) -> Result<Option<Vec<u8>>> {
    let next = cx.home.certificate(&staged(name.as_str(), "next"));
    if next.exists() {
        return Ok(Some(keys::one(&next)?.to_vec()));
    }
    let present = keys::one(&cx.home.certificate(name.as_str()))?;
    let key = PrivateKey::read(&cx.home, &staged(name.as_str(), "next"), name.algorithm())?;
    let certificate = SigningCertificate::parse(&present);
    let fits = certificate.is_some_and(|of| SigningKey::with(key.private(), &of).is_some());
    Ok(fits.then(|| present.to_vec()))
}

/// Refuses a next key that cannot do what the present one does: it is asked for a signature now, and not when a message waits.
fn fits(cx: &Cx, config: &Config, name: Name) -> Result<()> {
    let next = staged(name.as_str(), "next");
    let file = cx.home.key(&next);
    match name {
        Name::Log | Name::Witness => PrivateKey::read(&cx.home, &next, Algorithm::EdDsa).map(drop),
        Name::Message => {
            let certificate = next_certificate(cx, name)?;
            let certificate = certificate.and_then(|der| SigningCertificate::parse(&der));
            let certificate =
                certificate.ok_or_else(|| anyhow!("{}: there is no certificate of it", file.display()))?;
            let key = PrivateKey::read(&cx.home, &next, certificate.algorithm)?;
            let signs = SigningKey::with(key.private(), &certificate).map(drop);
            signs.ok_or_else(|| anyhow!("{}: not the key of the next certificate", file.display()))
        }
        Name::Tls => {
            let next = cx.home.certificate(&next);
            let certificate = if next.exists() { next } else { cx.home.certificate("tls") };
            let identity = Identity::with_key_of(&cx.home, &certificate, &staged("tls", "next"))?;
            let anchor = keys::one(&cx.home.certificate("tls-ca"))?;
            tls::own(&identity.chain, identity.key, vec![anchor], &config.host)
                .with_context(|| format!("{}: partners would not take it", certificate.display()))
        }
    }
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
    if cx.home.key(&staged(name.as_str(), "retired")).exists() {
        // An earlier time this command did not come to its end.
        return destroy::run(cx, name).await;
    }
    if !previous.exists() {
        eprintln!("silkgate: no {} key waits to be retired", name.as_str());
        return Ok(Found::Wrong);
    }
    let overlap = keys::overlap_file(&cx.home, name.as_str());
    let certificate = cx.home.certificate(&staged(name.as_str(), "previous"));
    // What a TLS key signed is over with its handshake.
    let waits = !stolen && name != Name::Tls;
    let until = fs::read_to_string(&overlap).ok().and_then(|text| Instant::parse(text.trim()));
    if waits && until.is_none_or(|until| clock::now() < until) {
        let when = until.map_or_else(
            || "a lifetime after the gateway has taken up the one that follows".to_owned(),
            both_times,
        );
        eprintln!("silkgate: what it signed may be under way until {when}; --stolen does not wait");
        return Ok(Found::Wrong);
    }
    if !is_on_a_card(cx, &config, &store, name).await? {
        eprintln!(
            "silkgate: no card of ours names it, by which what it signed is judged: run `silkgate card` first"
        );
        return Ok(Found::Wrong);
    }
    if !name.has_certificate() || certificate.exists() {
        let digest = public_digest(cx, &config, name, "previous")?;
        let what = if stolen { "key_stolen" } else { "key_retire" };
        admin::commit(cx, store.write().await?, &[act(what, digest)]).await?;
    }
    // The key last: as long as it is there the command can be repeated.
    for file in [&certificate, &overlap] {
        remove(file)?;
    }
    match keys::in_token(&cx.home, &staged(name.as_str(), "previous"))? {
        Some(_) => {
            let retired = cx.home.key(&staged(name.as_str(), "retired"));
            fs::rename(&previous, &retired).with_context(|| retired.display().to_string())?;
            destroy::run(cx, name).await
        }
        None => {
            remove(&previous)?;
            destroyed(cx, name)
        }
    }
}

fn remove(file: &std::path::Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| file.display().to_string())
        }
        _ => Ok(()),
    }
}

fn destroyed(cx: &Cx, name: Name) -> Result<Found> {
    let what = if name == Name::Tls { "" } else { "\nPrint the next card and hand it to every partner." };
    cx.print(&json!({ "key": name.as_str(), "step": "retire" }), || {
        format!("The {} key before is destroyed.{what}", name.as_str())
    })?;
    Ok(Found::Good)
}

/// SHA-256 of the certificate, or of the public key.
fn public_digest(cx: &Cx, config: &Config, name: Name, stage: &str) -> Result<Digest> {
    let file = staged(name.as_str(), stage);
    if name.has_certificate() {
        let certificate = match stage {
            "next" => next_certificate(cx, name)?,
            // It went before its key.
            "retired" => None,
            _ => Some(keys::one(&cx.home.certificate(&file))?.to_vec()),
        };
        if let Some(der) = certificate {
            return Ok(Digest::of(&der));
        }
        let key = PrivateKey::read(&cx.home, &file, name.algorithm())?;
        return Ok(Digest::of(key.private().public_key()));
    }
    let public = PrivateKey::read(&cx.home, &file, Algorithm::EdDsa)?.ed25519()?.public_key();
    let public = match name {
        Name::Log => VerifierKey::new(&config.house_origin(), public)?.to_string(),
        _ => WitnessKey::new(&config.witness_name(), public)?.to_string(),
    };
    Ok(Digest::of(public.as_bytes()))
}

/// Whether the key before stands on a card that was printed. Cards are kept for ever, and old evidence is judged by them.
async fn is_on_a_card(cx: &Cx, config: &Config, store: &Store, name: Name) -> Result<bool> {
    if name == Name::Tls {
        return Ok(true);
    }
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
    let public = PrivateKey::read(&cx.home, &file, Algorithm::EdDsa)?.ed25519()?.public_key();
    let own: Vec<&Card> = cards.iter().collect();
    Ok(if name == Name::Log {
        let origin = config.house_origin();
        directory::ever_log_keys(&own, &origin).contains(&VerifierKey::new(&origin, public)?)
    } else {
        directory::own_witness_keys(&[], &own).contains(&WitnessKey::new(&config.witness_name(), public)?)
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
