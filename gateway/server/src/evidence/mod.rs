//! Evidence bundles of stored messages: gathered, signed, and judged before anybody is given one. The command and the pages make
//! theirs here. The form stands in docs/evidence.md.

mod found;
mod gather;
mod lists;

use std::sync::Arc;

use anyhow::{Result, bail};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{SigningCertificate, SigningKey};
use silkgate_message::party::{Country, Party};

pub use gather::{Gathered, gather};

/// Hears how far the gathering has come.
pub type Tell<'t> = &'t mut (dyn FnMut(Step) + Send);

/// How far it has come.
pub enum Step {
    /// Entries of a log that were read.
    Entries {
        /// So many.
        done: u64,
        /// Of so many.
        of: u64,
        /// The log.
        origin: String,
    },
    /// Messages that were gathered.
    Messages {
        /// So many.
        done: usize,
        /// Of so many.
        of: usize,
    },
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entries { done, of, origin } => write!(f, "{done} of {of} entries of {origin}"),
            Self::Messages { done, of } => write!(f, "{done} of {of} messages"),
        }
    }
}

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

/// A message was judged by an edition that is neither this program's nor in the folder that was given.
#[derive(Debug, thiserror::Error)]
#[error(
    "{kind}: this program no longer holds the edition {digest} that judged a message; run `silkgate evidence export` with \
     `--schemas FOLDER`, the `schemas` folder of the release of then"
)]
pub struct EarlierEdition {
    kind: String,
    digest: String,
}

/// Signs what was gathered at an instant, and judges it. It needs no database. `held` is given back with the file: what bounds how many are
/// made at once is held until this one is, also where nobody waits for it any more.
pub async fn seal<H: Send + 'static>(
    gathered: Gathered,
    exporter: Exporter,
    at: Instant,
    held: H,
) -> Result<(Made, H)> {
    // Signatures by the thousand: not on a thread that answers others.
    let made = tokio::task::spawn_blocking(move || {
        let Gathered { bundle, messages } = gathered;
        let bytes = bundle.finish(&exporter.party, at, &exporter.key)?;
        // What we hand to a judge must hold before one: else the store is at fault, and its audit says where.
        let judged = silkgate_evidence::judge(&bytes, &[]);
        if let Some(failed) = judged.checks.iter().find(|check| !check.passed) {
            bail!(
                "the bundle would not verify ({}: {}); run `silkgate audit verify`",
                failed.check,
                failed.says
            );
        }
        Ok((Made { bytes, messages, checks: judged.checks.len() }, held))
    });
    made.await?
}
