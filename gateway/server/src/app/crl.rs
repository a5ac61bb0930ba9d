//! `silkgate partner crl` and `silkgate key crl`: what partners' authorities have revoked, and what ours has.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::json;
use silkgate_certs::Authority;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;
use silkgate_message::revocation::{RevocationList, is_issued_by, serial};
use time::{OffsetDateTime, UtcOffset};

use super::admin::{self, Act, Where};
use super::approval::{self, Plan};
use super::init::replace;
use super::{Cx, Found, both_times};
use crate::config::Home;
use crate::directory::Partner;
use crate::store::revocation::{self as store, ListRow};
use crate::store::{kept, partner, revocation::Source};
use crate::web::Web;
use crate::{clock, keys, revocation};

/// What a partner's authorities have revoked.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  silkgate -d iq partner crl JO jo-tls.crl\n  silkgate -d iq partner crl JO --url http://crl.jo.example/tls.crl\n  \
                        silkgate -d iq partner crl JO\n  silkgate -d iq partner crl JO --none --as samira\n\nFiles are PEM or DER; the list of an authority below the card's needs its certificate in \
                        the same PEM file. Once one list is in force every certificate of the partner's chains must stand under one that has \
                        not run out (its agreement's crl_grace_hours longer), or nobody comes in. A running gateway follows within a moment, also \
                        on open connections. A source is asked once an hour. Without file and option it shows what is in force. \
                        Exit code 1: a list was refused, and the old one stays."
)]
pub(super) struct PartnerCrl {
    /// The partner's state.
    country: Country,
    /// Lists to put into force.
    files: Vec<PathBuf>,
    /// Fetch them there from now on: http://… or https://…
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The authorities by which an https:// source is known, PEM.
    #[arg(long, value_name = "FILE", requires = "url")]
    roots: Option<PathBuf>,
    /// Look nothing up any more: takes every list and source away, and what they revoked comes in again. Where four eyes are needed, two
    /// operators decide.
    #[arg(long, conflicts_with_all = ["files", "url"])]
    none: bool,
}

/// Runs `partner crl`.
pub(super) async fn of_partner(cx: &Cx, args: PartnerCrl) -> Result<Found> {
    let (config, db) = admin::open(cx).await?;
    let country = args.country;
    if args.none {
        return none(cx, country, None).await;
    }
    let mut tx = db.write().await?;
    let rows = partner::all(&mut tx).await?;
    let row = rows.iter().find(|row| row.country == country.as_str());
    let row = row.ok_or_else(|| anyhow!("{country} is no partner"))?;
    let mut held = store::lists(&mut tx).await?;
    let read = Partner::read(row, config.country(), &held).map_err(|what| anyhow!("{what}"))?;
    let mut taken = Vec::new();
    for file in &args.files {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        match revocation::judge(&read, &held, &bytes, clock::now()) {
            Ok(lists) => {
                held.retain(|row| {
                    !lists.iter().any(|list| list.partner == row.partner && list.issuer == row.issuer)
                });
                held.extend(lists.iter().cloned());
                taken.extend(lists);
            }
            Err(why) => {
                eprintln!("silkgate: {}: {why}. Nothing was changed", file.display());
                return Ok(Found::Wrong);
            }
        }
    }
    let source = match &args.url {
        Some(url) => {
            let roots = args.roots.as_deref().map(read_file).transpose()?;
            Web::read(url, roots.as_deref()).map_err(|what| anyhow!("--url: {what}"))?;
            Some((url, roots))
        }
        None => None,
    };
    admin::writable(&mut tx).await?;
    if taken.is_empty() {
        tx.rollback().await?;
    } else {
        revocation::put(tx, keys::log(&cx.home)?, country, &taken).await?;
    }
    if let Some((url, roots)) = source {
        let mut tx = db.write().await?;
        revocation::add_source(&mut tx, country, url, roots).await?;
        let digest = Some(Digest::of(url.as_bytes()));
        let act = Act { log: Where::House, what: "crl_source", digest, about: Some(country) };
        admin::commit(cx, tx, &[act]).await?;
    }
    let sources = store::sources(&mut db.read().await?).await?;
    show(cx, country, &held, &sources)?;
    Ok(Found::Good)
}

/// Takes every list and source of a partner away: what they revoked comes in again. `before`: the lists that were in force when this was
/// proposed.
pub(super) async fn none(cx: &Cx, country: Country, before: Option<&[String]>) -> Result<Found> {
    let (config, db) = admin::open(cx).await?;
    let mut tx = db.write().await?;
    partner::all(&mut tx)
        .await?
        .iter()
        .find(|row| row.country == country.as_str())
        .ok_or_else(|| anyhow!("{country} is no partner"))?;
    let held = store::lists(&mut tx).await?;
    let held = held.iter().filter(|list| list.partner == country.as_str());
    let mut held: Vec<String> = held.map(|list| Digest::of(&list.list).to_string()).collect();
    held.sort();
    if before.is_some_and(|before| before != held) {
        bail!("the revocation lists of {country} have changed since this was proposed: propose it anew");
    }
    let plan = Plan::CrlNone { partner: country, lists: held };
    let Some(mut tx) = approval::stands(cx, &config, tx, &plan).await? else { return Ok(Found::Good) };
    let gone = store::clear(&mut tx, country.as_str()).await?;
    let digest = Some(Digest::of(b""));
    let act = |log, about| Act { log, what: kept::NONE, digest, about };
    admin::commit(cx, tx, &[act(Where::House, Some(country)), act(Where::Channel(country), None)]).await?;
    cx.print(&json!({ "partner": country, "removed": gone }), || {
        format!("{gone} lists of {country} are out of force: nothing is looked up any more")
    })?;
    Ok(Found::Good)
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn show(cx: &Cx, country: Country, held: &[ListRow], sources: &[Source]) -> Result<()> {
    let of = |partner: &str| partner == country.as_str();
    let lists: Vec<_> = held
        .iter()
        .filter(|row| of(&row.partner))
        .map(|row| (row, RevocationList::read(&row.list).ok()))
        .collect();
    let sources: Vec<_> = sources.iter().filter(|source| of(&source.partner)).collect();
    let report = json!({
        "partner": country,
        "lists": lists.iter().map(|(row, list)| json!({
            "sha256": Digest::of(&row.list).to_string(), "until": row.next_at.to_string(), "since": row.at.to_string(),
            "revoked": list.as_ref().map(|list| list.serials.len()),
        })).collect::<Vec<_>>(),
        "sources": sources.iter().map(|source| json!({
            "url": source.url, "checked": (source.checked_at.0 > 0).then(|| source.checked_at.to_string()), "failure": source.failure,
        })).collect::<Vec<_>>(),
    });
    cx.print(&report, || {
        let list = |(row, list): &(&ListRow, Option<RevocationList>)| {
            let revoked = list.as_ref().map_or(0, |list| list.serials.len());
            format!("  list of {revoked} revoked certificates, until {}", both_times(row.next_at))
        };
        let source = |source: &&Source| {
            let state = source.failure.clone().unwrap_or_else(|| {
                if source.checked_at.0 > 0 {
                    format!("asked {}", both_times(source.checked_at))
                } else {
                    "not asked yet".to_owned()
                }
            });
            format!("  source {}: {state}", source.url)
        };
        let mut lines = vec![format!("{country}:")];
        lines.extend(lists.iter().map(list));
        lines.extend(sources.iter().map(source));
        if lines.len() == 1 {
            lines.push("  no list in force: revocation is not looked up".to_owned());
        }
        lines.join("\n")
    })
}

/// What our own TLS authority has revoked.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  silkgate -d iq key crl\n  silkgate -d iq key crl --revoke old-tls.pem --days 7\n\nWrites certs/tls.crl, which partners take with \
                        `silkgate partner crl IQ tls.crl`, or fetch where you publish it. Make it anew before it runs out: partners that hold one \
                        let nobody in after its end."
)]
pub(super) struct OwnCrl {
    /// A certificate that our TLS authority issued, PEM.
    #[arg(long, value_name = "FILE")]
    revoke: Vec<PathBuf>,
    /// How long the list holds.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
}

/// Runs `key crl`.
pub(super) async fn own(cx: &Cx, args: OwnCrl) -> Result<Found> {
    let (_, db) = admin::open(cx).await?;
    let now = clock::now().to_offset(UtcOffset::UTC);
    let until = now + time::Duration::days(i64::from(args.days));
    let (mut number, mut revoked) = before(&cx.home)?;
    let anchor = keys::one(&cx.home.certificate("tls-ca"))?;
    for file in &args.revoke {
        let certificate = keys::one(file)?;
        if !is_issued_by(&certificate, &anchor) {
            bail!("{}: our TLS authority did not issue it", file.display());
        }
        let serial = serial(&certificate).ok_or_else(|| anyhow!("{}: no certificate", file.display()))?;
        if !revoked.iter().any(|(known, _)| *known == serial) {
            revoked.push((serial, now));
        }
    }
    number += 1;
    let text = |path: PathBuf| std::fs::read_to_string(&path).with_context(|| path.display().to_string());
    let authority = Authority::load(&text(cx.home.certificate("tls-ca"))?, &text(cx.home.key("tls-ca"))?)?;
    let list = authority.revocation_list(number, &revoked, now, until)?;
    let act = Act { log: Where::House, what: "own_crl", digest: Some(Digest::of(&list)), about: None };
    admin::commit(cx, db.write().await?, &[act]).await?;
    let file = own_file(&cx.home);
    replace(&file, pem::encode(&pem::Pem::new("X509 CRL", list)).as_bytes(), 0o644)?;
    let until = Instant::from_seconds(until.unix_timestamp());
    let report =
        json!({ "file": file, "number": number, "revoked": revoked.len(), "until": until.to_string() });
    cx.print(&report, || {
        format!("{}: {} revoked certificates, until {}", file.display(), revoked.len(), both_times(until))
    })?;
    Ok(Found::Good)
}

fn own_file(home: &Home) -> PathBuf {
    home.certificate("tls").with_extension("crl")
}

type Revoked = Vec<(Vec<u8>, OffsetDateTime)>;

/// Number and content of the list before.
fn before(home: &Home) -> Result<(u64, Revoked)> {
    let file = own_file(home);
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((0, Vec::new())),
        Err(error) => return Err(error).with_context(|| file.display().to_string()),
    };
    let block = pem::parse(&bytes).with_context(|| file.display().to_string())?;
    let list = RevocationList::read(block.contents()).with_context(|| file.display().to_string())?;
    let number = list
        .number
        .iter()
        .try_fold(0_u64, |number, byte| number.checked_mul(256)?.checked_add(u64::from(*byte)));
    let number = number.ok_or_else(|| anyhow!("{}: its number is not one of ours", file.display()))?;
    // When each was revoked stands in the list before; that it is, is what counts.
    Ok((number, list.serials.into_iter().map(|serial| (serial, list.this_update)).collect()))
}
