//! What partners' authorities have revoked: lists are held against who signed them and against the ones before, and put into force with
//! entries in our logs. Where an operator named a source they are fetched. Nothing that a partner says names an address.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use silkgate_ledger::entry::Kind;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;
use silkgate_message::revocation::{RevocationList, is_issued_by};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::accept::{LogKeys, Logs, entry_at};
use crate::clock;
use crate::directory::Partner;
use crate::gateway::Gateway;
use crate::store::kept::{self, Kept};
use crate::store::ledger::hash;
use crate::store::revocation::{self, ListRow, Source};
use crate::store::{Connection, StoreError, partner};
use crate::tls;
use crate::web::Web;

/// The largest list that is taken.
pub const LIST_MAX_BYTES: usize = 8 << 20;
/// Between two looks whether a source is due.
const PAUSE: Duration = Duration::from_secs(5);
/// Between two answers of a source that are asked for; sooner where the list runs out before.
const EVERY_MS: i64 = 3_600_000;
/// The same after a failure.
const AGAIN_MS: i64 = 60_000;
/// For one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How far another clock may be ahead of ours.
const SKEW_S: i64 = 300;
/// Longer than a round takes: one of several gateways fetches.
const DUTY_MS: i64 = 120_000;

/// Lists, and certificates of authorities, each DER.
type Read = (Vec<Vec<u8>>, Vec<Vec<u8>>);

/// Reads lists, and certificates of authorities between an anchor and its list, from PEM, or one list from DER.
fn read(bytes: &[u8]) -> Result<Read, String> {
    if !bytes.starts_with(b"-----") && !bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        return Ok((vec![bytes.to_vec()], Vec::new()));
    }
    let fault = |error: rustls_pki_types::pem::Error| format!("PEM: {error}");
    let mut lists = Vec::new();
    for list in CertificateRevocationListDer::pem_slice_iter(bytes) {
        lists.push(list.map_err(fault)?.to_vec());
    }
    let mut above = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        above.push(certificate.map_err(fault)?.to_vec());
    }
    if lists.is_empty() {
        return Err(format!("it holds no revocation list (PEM section {:?})", SectionKind::Crl));
    }
    Ok((lists, above))
}

/// The lists in `bytes` that are to come into force; the error says why none of them may. One that is held already is left out.
pub fn judge(
    partner: &Partner,
    held: &[ListRow],
    bytes: &[u8],
    now: Instant,
) -> Result<Vec<ListRow>, String> {
    let country = partner.country.to_string();
    let (lists, mut above) = read(bytes)?;
    let held: Vec<&ListRow> = held.iter().filter(|row| row.partner == country).collect();
    above.extend(held.iter().filter_map(|row| row.above.clone()));
    let anchors = &partner.card.content().tls_anchors;
    let between = above.iter().filter(|der| anchors.iter().any(|anchor| is_issued_by(der, anchor)));
    let between: Vec<&Vec<u8>> = between.collect();
    let now_s = OffsetDateTime::from_unix_timestamp(now.seconds()).map_err(|error| error.to_string())?;
    let mut taken = Vec::new();
    for list in lists {
        let read = RevocationList::read(&list).map_err(|error| error.to_string())?;
        let by_anchor = anchors.iter().any(|anchor| RevocationList::is_by(&list, anchor));
        let by_between = between.iter().find(|issuer| RevocationList::is_by(&list, issuer));
        if !by_anchor && by_between.is_none() {
            return Err(format!(
                "no authority of {country}'s card signed it; the list of one below needs its certificate beside it"
            ));
        }
        if read.next_update < now_s {
            return Err(format!(
                "it ran out at {}",
                Instant::from_seconds(read.next_update.unix_timestamp())
            ));
        }
        if read.this_update > now_s + time::Duration::seconds(SKEW_S) {
            let from = Instant::from_seconds(read.this_update.unix_timestamp());
            return Err(format!("it is of {from}, which is still to come: are both clocks right?"));
        }
        let issuer = Digest::of(&read.issuer).0;
        if let Some(before) = held.iter().find(|row| row.issuer == issuer) {
            if before.list == list {
                continue;
            }
            let known = RevocationList::read(&before.list).map_err(|error| error.to_string())?;
            if !read.is_newer_than(&known) {
                return Err(
                    "it is older than the one in force: an authority's lists are counted upward".to_owned()
                );
            }
        }
        taken.push(ListRow {
            partner: country.clone(),
            issuer,
            list,
            above: if by_anchor { None } else { by_between.map(|der| (*der).clone()) },
            next_at: Instant::from_seconds(read.next_update.unix_timestamp()),
            at: now,
        });
    }
    // As TLS will use them: what it could not would keep everybody out.
    let mut trust = partner.trust();
    trust.revocation.lists.extend(taken.iter().map(|row| row.list.clone().into()));
    tls::usable(trust).map_err(|error| error.to_string())?;
    Ok(taken)
}

/// Puts lists into force and keeps them, each with an entry in the house log and one in the channel's, in one transaction.
pub async fn put(
    mut tx: Connection,
    log_keys: impl Into<LogKeys>,
    country: Country,
    lists: &[ListRow],
) -> Result<(), StoreError> {
    let mut logs = Logs::new(log_keys);
    let mut growth = logs.begin(&mut tx).await?;
    for row in lists {
        let mut entry = entry_at(Kind::Admin, clock::now());
        entry.what = Some(kept::ACT.to_owned());
        entry.digest = Some(hash(Digest::of(&row.list)));
        let channel = growth.channel(country)?;
        let index = growth.append(&mut tx, channel, &entry).await?;
        let kept = Kept { entry: index, list: row.list.clone(), above: row.above.clone() };
        kept::insert(&mut tx, channel, &kept).await?;
        entry.to = Some(country.to_string());
        entry.role = Some("operator".to_owned());
        let house = growth.house()?;
        growth.append(&mut tx, house, &entry).await?;
        revocation::put(&mut tx, row).await?;
    }
    growth.finish(&mut tx).await?;
    tx.commit().await
}

/// Fetches until `stop` what operators named sources of.
pub async fn run(gateway: Arc<Gateway>, stop: CancellationToken) {
    loop {
        tokio::select! {
            done = round(&gateway) => {
                if let Err(error) = done {
                    tracing::error!(%error, "revocation lists");
                }
            }
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn round(gateway: &Gateway) -> Result<(), StoreError> {
    let now = clock::now();
    let (sources, lists) = {
        let mut tx = gateway.store.read().await?;
        (revocation::sources(&mut tx).await?, revocation::lists(&mut tx).await?)
    };
    let due = |source: &Source| {
        let ends = lists.iter().filter(|row| row.partner == source.partner).map(|row| row.next_at);
        let pause = if source.failure.is_some() { AGAIN_MS } else { EVERY_MS };
        // Half of what a list has left, so that a source that fails can be asked again before its end.
        let left = ends.map(|end| (end.0 - source.checked_at.0) / 2).min().unwrap_or(EVERY_MS);
        source.checked_at.plus_ms(pause.min(left.max(AGAIN_MS))) <= now
    };
    for source in sources.iter().filter(|source| due(source)) {
        if !gateway.store.has_duty("revocation lists", DUTY_MS).await? {
            return Ok(());
        }
        let failure = fetch(gateway, source, &lists).await.err().map(|error| format!("{error:#}"));
        if let Some(why) = &failure {
            tracing::warn!(
                partner = source.partner,
                url = source.url,
                why,
                "no new revocation list; the old one stays in force"
            );
        }
        let mut tx = gateway.store.lease().await?;
        revocation::put_source(&mut tx, &Source { checked_at: clock::now(), failure, ..source.clone() })
            .await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn fetch(gateway: &Gateway, source: &Source, held: &[ListRow]) -> Result<()> {
    let country: Country =
        source.partner.parse().map_err(|_| anyhow!("the source's partner is no country"))?;
    let directory = gateway.directory();
    let partner = directory.partner(country).ok_or_else(|| anyhow!("{country} is no partner"))?;
    let web = Web::read(&source.url, source.roots.as_deref()).map_err(|what| anyhow!("{what}"))?;
    let bytes = web.get(LIST_MAX_BYTES, ANSWER_WITHIN).await?;
    let lists = judge(partner, held, &bytes, clock::now()).map_err(|what| anyhow!("{what}"))?;
    if lists.is_empty() {
        return Ok(());
    }
    if let Some(reason) = gateway.standing.closed(Some(country)) {
        return Err(anyhow!("{reason}"));
    }
    put(gateway.store.write().await?, gateway.log_keys.clone(), country, &lists)
        .await
        .context("the store")?;
    tracing::info!(partner = %country, count = lists.len(), "revocation lists came into force");
    Ok(())
}

/// Adds a source, which is asked at the next look.
pub async fn add_source(
    tx: &mut Connection,
    country: Country,
    url: &str,
    roots: Option<Vec<u8>>,
) -> Result<(), StoreError> {
    let source = Source {
        partner: country.to_string(),
        url: url.to_owned(),
        roots,
        checked_at: Instant(0),
        failure: None,
    };
    revocation::put_source(tx, &source).await?;
    partner::touch(tx).await
}
