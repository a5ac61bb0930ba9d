//! The audit of time-stamps: each token against the checkpoint of its row.

use rustls_pki_types::CertificateDer;
use silkgate_ledger::Note;
use silkgate_timestamp::Trust;

use super::{Audit, PAGE};
use crate::store::ledger::{self, Head};
use crate::store::timestamp::{self, Stamp};
use crate::store::{Connection, StoreError};

impl Audit<'_> {
    /// Every time-stamp of every log. Without anchors a token shows only that nothing was altered since, and the report says so.
    pub(super) async fn timestamps(
        &mut self,
        conn: &mut Connection,
        heads: &[Head],
        anchors: Option<&[CertificateDer<'static>]>,
    ) -> Result<(), StoreError> {
        let trust = anchors.map_or(Trust::Enclosed, Trust::Anchors);
        self.report.timestamps_anchored = anchors.is_some();
        let mut all = 0;
        for head in heads {
            let (mut last, mut seen) = (0, 0);
            loop {
                let page = timestamp::after(conn, head.id, last, PAGE).await?;
                let Some(newest) = page.last() else { break };
                last = newest.size;
                for stamp in page {
                    seen += 1;
                    let note = ledger::checkpoint(conn, head.id, stamp.size).await?;
                    match check(&stamp, note.as_deref(), &trust) {
                        Ok(()) => self.report.timestamps += 1,
                        Err(what) => self.report.find(format!("timestamp {}/{}", head.id, stamp.size), what),
                    }
                }
            }
            let given = timestamp::given(conn, head.id).await?;
            if seen != given {
                let what = format!("{seen} time-stamps, but {given} were kept");
                self.report.find(format!("timestamps of {}", head.origin), what);
            }
            all += seen;
        }
        // Rows that name no log at all, or a size below its first checkpoint.
        if timestamp::count(conn).await? != all {
            self.report.find("timestamp", "there are time-stamps of no log");
        }
        Ok(())
    }
}

fn check(stamp: &Stamp, note: Option<&[u8]>, trust: &Trust<'_>) -> Result<(), String> {
    let note = note.ok_or("there is no checkpoint of that size")?;
    let note = Note::parse(note).map_err(|error| error.to_string())?;
    let verified = silkgate_timestamp::verify(&stamp.token, note.text().as_bytes(), trust)
        .map_err(|error| error.to_string())?;
    if verified.statement.at_ms == stamp.at.0 {
        Ok(())
    } else {
        Err("`at_ms` is not what the time-stamp states".to_owned())
    }
}
