//! A read on the national plane: its entry in the house log, and who read what and why beside it.

use silkgate_ledger::entry::Kind;
use silkgate_message::problem::{Code, Problem};

use super::super::work::{Answer, Read, entry_at};
use super::{Batch, Draft};
use crate::clock;
use crate::store::ledger::hash;
use crate::store::reading::{self, Reading, SALT_LEN};
use crate::store::{Connection, StoreError};

impl Batch<'_> {
    pub(super) async fn read(&mut self, conn: &mut Connection, read: &Read) -> Result<Draft, StoreError> {
        let reading = Reading {
            name: read.peer.name.clone(),
            what: read.what.clone(),
            reason: read.reason.clone(),
            salt: clock::random::<SALT_LEN>().to_vec(),
        };
        let Some(digest) = reading.digest() else {
            return Ok(Draft::Ready(Answer::Failed(Problem::new(Code::Unavailable))));
        };
        let mut entry = entry_at(Kind::Admin, self.now);
        entry.what = Some(read.act.to_owned());
        entry.role = Some(read.peer.role.code().to_owned());
        entry.cert = Some(hash(read.peer.certificate));
        entry.digest = Some(hash(digest));
        let house = self.growth.house()?;
        let index = self.growth.append(conn, house, &entry).await?;
        reading::insert(conn, index, &reading).await?;
        Ok(Draft::Ready(Answer::Done))
    }
}
