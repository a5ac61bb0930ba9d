//! `silkgate card`: what we hand to partners.

use std::fs;

use anyhow::{Context as _, Result, anyhow};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use silkgate_ledger::VerifierKey;
use silkgate_message::card::{Card, CardContent, LogKey, SchemaRef};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::jws::{Algorithm, Digest, encode};

use super::admin::{self, Act, Where};
use super::{Cx, Found, line};
use crate::clock;
use crate::config::Config;
use crate::directory;
use crate::keys;
use crate::store::partner;

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  silkgate -d iq card > iq.card\n\nThe card goes to standard output, the fingerprint to standard error (with --json \
                        both to standard output). Hand the card over by any way; read the fingerprint over the telephone. The \
                        card is signed anew, with the next version, only where what it says has changed."
)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, _: Args) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let mut tx = store.write().await?;
    let file = cx.home.path().join("own.card");
    let before = match fs::read(&file) {
        Ok(bytes) => {
            Some((Card::parse(&bytes).map_err(|error| anyhow!("{}: {error}", file.display()))?, bytes))
        }
        Err(_) => None,
    };
    let authorities: Vec<_> = {
        let clients = partner::clients(&mut tx).await?;
        let mut parties: Vec<_> = clients
            .iter()
            .filter(|row| row.role == "backend")
            .filter_map(|row| row.subject.parse().ok())
            .collect();
        parties.sort();
        parties.dedup();
        parties
    };
    let content = content(cx, &config, authorities, before.as_ref().map(|(card, _)| card))?;
    let bytes = match before {
        Some((card, bytes)) if says_the_same(card.content(), &content) => bytes,
        _ => {
            let key = keys::private_key(&cx.home.key("card"))?;
            let bytes = Card::sign(&content, key.secret_der())
                .ok_or_else(|| anyhow!("the card cannot be signed: its key cannot be read, or what it says breaks a rule of cards"))?;
            let digest = Digest::of(&bytes);
            partner::keep_card(&mut tx, config.country().as_str(), &digest, &bytes, clock::now()).await?;
            fs::write(&file, &bytes).with_context(|| file.display().to_string())?;
            let act = Act { log: Where::House, what: "own_card", digest: Some(digest), about: None };
            admin::commit(cx, tx, &[act]).await?;
            bytes
        }
    };
    let card = Card::parse(&bytes).map_err(|error| anyhow!("{error}"))?;
    if cx.json {
        let report = serde_json::json!({
            "card": String::from_utf8_lossy(&bytes), "fingerprint": card.fingerprint().to_string(),
            "version": card.content().version,
        });
        line(&report.to_string())?;
    } else {
        line(String::from_utf8_lossy(&bytes).trim_end())?;
        eprintln!("fingerprint: {}", card.fingerprint());
    }
    Ok(Found::Good)
}

fn content(
    cx: &Cx,
    config: &Config,
    authorities: Vec<silkgate_message::party::Party>,
    before: Option<&Card>,
) -> Result<CardContent> {
    let house = config.house_origin();
    let key = |name: &str, origin: &str| -> Result<VerifierKey> {
        let key = keys::Key::read(&cx.home, name, Algorithm::EdDsa)?.ed25519()?;
        VerifierKey::new(origin, key.public_key()).map_err(|error| anyhow!("{name} key: {error}"))
    };
    let present = keys::witness(&cx.home, config)?.into_iter().next();
    let witness = present.ok_or_else(|| anyhow!("there is no witness key"))?.witness_key().clone();
    // Cards once named the same key as one that signs notes; such a card needs no successor for that.
    let known = before.map(|card| card.content().witness.clone());
    let known = known.filter(|key| directory::witness_key(key).is_ok_and(|known| known == witness));
    let witness =
        known.unwrap_or_else(|| LogKey { origin: witness.name().to_owned(), key: witness.to_string() });
    // The card key may be offline: then only an unchanged card can be printed, and its key is known.
    let card_key = match (before, cx.home.key("card").exists()) {
        (Some(card), false) => card.content().card_key.clone(),
        _ => {
            let pkcs8 = keys::private_key(&cx.home.key("card"))?;
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8.secret_der());
            encode(pair.map_err(|_| anyhow!("the card key cannot be read"))?.public_key().as_ref())
        }
    };
    // The oldest first: while one key follows another its place on the card stays the same.
    let stages =
        |name: &'static str| ["previous", "", "next"].into_iter().map(move |stage| keys::staged(name, stage));
    let logs = stages("log").filter(|name| cx.home.key(name).exists());
    let logs = logs.map(|name| Ok(LogKey { origin: house.clone(), key: key(&name, &house)?.to_string() }));
    let certificates = stages("message").filter(|name| cx.home.certificate(name).exists());
    let certificates = certificates.map(|name| Ok(keys::one(&cx.home.certificate(&name))?.to_vec()));
    let schemas = Catalogue::embedded().types().iter().map(|t| SchemaRef {
        kind: t.name().to_owned(),
        version: t.version(),
        id: t.schema_id().to_owned(),
        digest: Digest(t.digest()).to_string(),
    });
    Ok(CardContent {
        v: 1,
        country: config.country(),
        name: config.party.to_string(),
        host: config.host.clone(),
        endpoints: vec![config.partner_plane.endpoint.clone()],
        authorities,
        tls_anchors: vec![keys::one(&cx.home.certificate("tls-ca"))?.to_vec()],
        signing_certificates: certificates.collect::<Result<_>>()?,
        logs: logs.collect::<Result<_>>()?,
        witness,
        schemas: schemas.collect(),
        version: before.map_or(1, |card| card.content().version + 1),
        previous: before.map(|card| Digest(card.digest()).to_string()),
        issued_at: clock::now().to_string(),
        card_key,
    })
}

/// Whether a card would say nothing new.
fn says_the_same(old: &CardContent, new: &CardContent) -> bool {
    let mut new = new.clone();
    (new.version, new.previous, new.issued_at) = (old.version, old.previous.clone(), old.issued_at.clone());
    *old == new
}
