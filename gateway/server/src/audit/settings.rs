//! Settings in force, held against what the logs say came into force: partners, agreements, clients.

use std::collections::BTreeSet;

use super::Audit;
use crate::store::ledger::Head;
use crate::store::{Connection, StoreError, partner, revocation};

impl Audit<'_> {
    /// What is in force is what the logs say came into force last.
    pub(super) async fn settings(&mut self, conn: &mut Connection, heads: &[Head]) -> Result<(), StoreError> {
        let said = std::mem::take(&mut self.said);
        let (rows, lists) = (partner::all(conn).await?, revocation::lists(conn).await?);
        for difference in said.differences(&rows, &lists) {
            self.report.find(difference.place, difference.what);
        }
        let listed = std::mem::take(&mut self.listed);
        self.lists(conn, heads, listed).await?;
        let registered = partner::clients(conn).await?;
        let registered: BTreeSet<String> = registered.iter().map(|row| row.certificate.to_string()).collect();
        for digest in registered.symmetric_difference(said.clients()) {
            let what = if registered.contains(digest) {
                "is registered, and the house log does not state it"
            } else {
                "is registered by the house log, and is not there"
            };
            self.report.find("client", format!("the certificate {digest} {what}"));
        }
        Ok(())
    }
}
