//! In which group keys were exchanged with a partner: an entry in the house log where that is another than before.

use silkgate_ledger::entry::Kind;
use silkgate_message::problem::{Code, Problem};

use super::super::work::{Answer, Handshake, entry_at};
use super::{Batch, Draft};
use crate::store::key_exchange::{self, ExchangeRow};
use crate::store::{Connection, StoreError};
use crate::tls::{Group, Side};

/// For which the way back from a fall waits, and a change among groups of one kind. A fall does not wait.
const PAUSE_MS: i64 = 3_600_000;

impl Batch<'_> {
    /// Judged here and not in memory alone: a gateway that starts again, or another one on the same database, says nothing twice.
    pub(super) async fn handshake(
        &mut self,
        conn: &mut Connection,
        done: &Handshake,
    ) -> Result<Draft, StoreError> {
        let Handshake { partner, side, group } = *done;
        let before = key_exchange::find(conn, partner.as_str(), side.as_str()).await?;
        if let Some(before) = before {
            let is_fall = Group::of_code(&before.kx).is_some_and(|before| group.is_weaker_than(before));
            if before.kx == group.code() {
                return Ok(Draft::Ready(Answer::Done));
            }
            if !is_fall && self.now < before.at.plus_ms(PAUSE_MS) {
                return Ok(Draft::Ready(Answer::Refused(Problem::new(Code::RateExceeded))));
            }
        }
        let mut entry = entry_at(Kind::Admin, self.now);
        entry.what = Some("key_exchange".to_owned());
        entry.code = Some(group.code().to_owned());
        match side {
            Side::In => entry.from = Some(partner.to_string()),
            Side::Out => entry.to = Some(partner.to_string()),
        }
        let house = self.growth.house()?;
        self.growth.append(conn, house, &entry).await?;
        let row = ExchangeRow {
            partner: partner.to_string(),
            direction: side.as_str().to_owned(),
            kx: group.code().to_owned(),
            at: self.now,
        };
        key_exchange::put(conn, &row).await?;
        Ok(Draft::Ready(Answer::Done))
    }
}
