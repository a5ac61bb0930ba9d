//! `silkgate evidence`: what proves a message, in one file.

mod query;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use silkgate_evidence::bundle::MESSAGES_MAX;
use silkgate_message::event;

use super::init::write_private;
use super::{Cx, Found, admin};
use crate::evidence::{self, Exporter};
use crate::store::message;
use crate::store::search::{self, Filter};
use crate::{clock, keys};

/// Evidence bundles.
#[derive(clap::Subcommand)]
pub(crate) enum Evidence {
    /// Write one file with message, proofs, cards, schemas, rules and a summary page.
    #[command(
        after_help = "Examples:\n  silkgate -d iq evidence export 0192f1a0-7b3c-7def-8123-456789abcdef\n  \
                            silkgate -d iq evidence export --query partner=JO,type=alert.vehicle,verdict=rejected --out case.zip\n  \
                            silkgate -d iq evidence export --query record=IQ-2026-000123,since=2026-11-01T00:00:00Z\n\n\
                            The file is a ZIP that `silkgate verify FILE` and docs/verify.py judge anywhere, offline; index.html in it is\n\
                            for reading. Reads the database only, also beside a running gateway.\n\n\
                            Exit codes: 0 written, 1 no such message, 2 it could not be written."
    )]
    Export(Export),
}

/// Which messages, and where to.
#[derive(clap::Args)]
pub(crate) struct Export {
    /// The message's id.
    #[arg(required_unless_present = "query", conflicts_with = "query")]
    id: Option<String>,
    /// Every message that fits all of: id=ID, partner=STATE, type=TYPE, record=ID, since=INSTANT, until=INSTANT,
    /// verdict=accepted|rejected; joined by commas.
    #[arg(long, value_name = "FILTERS", value_parser = query::parse)]
    query: Option<Filter>,
    /// The file to write; it must not exist. ID.zip or evidence.zip, unless given.
    #[arg(long, short = 'o', value_name = "FILE")]
    out: Option<PathBuf>,
    /// The `schemas` folder of an earlier release, for messages that were judged by its edition.
    #[arg(long, value_name = "FOLDER")]
    schemas: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, Evidence::Export(args): Evidence) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let (key, certificate) = keys::message(&cx.home)?;
    let mut tx = store.read().await?;
    let (rows, name) = match (&args.query, &args.id) {
        (Some(filter), _) => {
            (search::matching(&mut tx, filter, MESSAGES_MAX + 1).await?, "evidence".to_owned())
        }
        (None, id) => {
            let id = id.as_deref().unwrap_or_default();
            let uuid = event::uuid_v7(id)
                .ok_or_else(|| anyhow!("`{id}` is no message id (a UUIDv7 in lower case)"))?;
            (message::by_id(&mut tx, &uuid).await?, id.to_owned())
        }
    };
    if rows.is_empty() {
        eprintln!("silkgate: there is no such message");
        return Ok(Found::Wrong);
    }
    if rows.len() > MESSAGES_MAX {
        bail!("more than {MESSAGES_MAX} messages fit; narrow the query");
    }
    let exporter =
        Exporter { country: config.country(), party: config.party, key: Arc::new(key), certificate };
    let mut tell = |done: evidence::Step| eprintln!("silkgate: {done}");
    let schemas = args.schemas.as_deref();
    let gathered = evidence::gather(&store, &mut tx, &exporter, &rows, schemas, &mut tell).await?;
    drop(tx);
    let (made, ()) = evidence::seal(gathered, exporter, clock::now(), ()).await?;
    let path = args.out.unwrap_or_else(|| PathBuf::from(format!("{name}.zip")));
    // Evidence that is there already is never replaced. Messages are personal data: for the owner's eyes only.
    write_private(&path, &made.bytes, 0o600)?;
    let report = serde_json::json!({
        "file": path.display().to_string(), "bytes": made.bytes.len(), "messages": made.messages, "checks": made.checks,
    });
    cx.print(&report, || {
        format!(
            "{}: {} message(s), {} bytes, {} checks passed. `silkgate verify` or docs/verify.py judges it anywhere.",
            path.display(),
            made.messages,
            made.bytes.len(),
            made.checks
        )
    })?;
    Ok(Found::Good)
}
