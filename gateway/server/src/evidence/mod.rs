//! Evidence bundles of stored messages: gathered, signed, and judged before anybody is given one. The command and the pages make
//! theirs here. The form stands in docs/evidence.md.

mod gather;
mod lists;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{SigningCertificate, SigningKey};
use silkgate_message::party::{Country, Party};

use crate::store::message::Message;
use crate::store::{Connection, Store};

/// Hears in words how far the gathering has come.
pub type Tell<'t> = &'t mut (dyn FnMut(String) + Send);

/// Who makes a bundle.
pub struct Exporter {
    /// The authority.
    pub party: Party,
    /// Its state.
    pub country: Country,
    /// Signs the manifest.
    pub key: Arc<SigningKey>,
    /// The certificate of `key`.
    pub certificate: SigningCertificate,
}

/// A bundle that holds before the judge.
pub struct Made {
    /// The file.
    pub bytes: Vec<u8>,
    /// Messages in it.
    pub messages: usize,
    /// Checks that it passed.
    pub checks: usize,
}

/// Makes the bundle of these messages at an instant. `schemas`: the folder of an earlier release, for messages that were judged by its
/// edition. An error that is a [`silkgate_evidence::bundle::BundleError`] says that they are too many or too large.
pub async fn make(
    store: &Store,
    conn: &mut Connection,
    exporter: Exporter,
    rows: &[Message],
    schemas: Option<&Path>,
    at: Instant,
    tell: Tell<'_>,
) -> Result<Made> {
    let gathered = gather::gather(store, conn, exporter.country, rows, schemas, tell).await?;
    if !gathered.has_certificate(exporter.country, &exporter.certificate) {
        bail!(
            "our signing certificate is on no card of ours yet: print the card with `silkgate card`, and hand it to partners"
        );
    }
    let messages = gathered.messages;
    // Signatures by the thousand: not on a thread that answers others.
    let made = tokio::task::spawn_blocking(move || {
        let bytes = gathered.bundle.finish(&exporter.party, at, &exporter.key)?;
        // What we hand to a judge must hold before one: else the store is at fault, and its audit says where.
        let judged = silkgate_evidence::judge(&bytes, &[]);
        if let Some(failed) = judged.checks.iter().find(|check| !check.passed) {
            bail!(
                "the bundle would not verify ({}: {}); run `silkgate audit verify`",
                failed.check,
                failed.says
            );
        }
        Ok(Made { bytes, messages, checks: judged.checks.len() })
    });
    made.await?
}
