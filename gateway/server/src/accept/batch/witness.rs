//! A partner shows a checkpoint of its own log: compared with the newest one that we cosigned, and kept, in
//! one transaction. Two histories of one log can never both get our cosignature.

use silkgate_ledger::entry::Kind;
use silkgate_ledger::{Checkpoint, Note, Unfit};
use silkgate_message::jws::Digest;

use super::super::work::{Answer, Shown, entry_at};
use super::{Batch, Draft};
use crate::store::ledger::hash;
use crate::store::witness::{self, Alarm, AlarmKind};
use crate::store::{Connection, StoreError};

impl Batch<'_> {
    pub(super) async fn witness(
        &mut self,
        conn: &mut Connection,
        shown: &Shown,
    ) -> Result<Draft, StoreError> {
        let (origin, partner) = (shown.checkpoint.origin.as_str(), shown.partner.to_string());
        let kept = witness::witnessed(conn, origin).await?;
        let newest = kept.as_deref().map(read).transpose()?;
        let answer = match shown.request.judge(&shown.checkpoint, newest.as_ref()) {
            Ok(()) => {
                witness::put_witnessed(conn, origin, &partner, &shown.cosigned).await?;
                Ok(())
            }
            Err(Unfit::Inconsistent) => {
                let alarm = Alarm::new(
                    &partner,
                    origin,
                    AlarmKind::Fork,
                    self.now,
                    kept.unwrap_or_default(),
                    shown.request.note.encode(),
                );
                // Where no entry may be written the contradiction is not kept either: it will be shown again.
                let is_new = shown.note_alarm && witness::raise(conn, &alarm).await?.is_some();
                if is_new {
                    let mut entry = entry_at(Kind::Admin, self.now);
                    entry.what = Some("alarm".to_owned());
                    entry.digest = Some(hash(Digest(alarm.digest())));
                    entry.to = Some(partner);
                    let house = self.growth.house()?;
                    self.growth.append(conn, house, &entry).await?;
                }
                Err((Unfit::Inconsistent, is_new))
            }
            Err(unfit) => Err((unfit, false)),
        };
        Ok(Draft::Ready(Answer::Witnessed(answer)))
    }
}

fn read(note: &[u8]) -> Result<Checkpoint, StoreError> {
    let unsound = |what: String| StoreError::Corrupt(format!("a checkpoint that we cosigned: {what}"));
    let note = Note::parse(note).map_err(|error| unsound(error.to_string()))?;
    Checkpoint::parse(note.text()).map_err(|error| unsound(error.to_string()))
}
