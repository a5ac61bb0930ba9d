//! Refusals before a verified signature: logged one by one within a budget, beyond it counted, so
//! that whoever sends rubbish cannot fill the logs. The budget is one for the ledger and for event lines.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use silkgate_ledger::entry::Kind;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;
use silkgate_message::problem::Code;
use tracing::field::display;
use uuid::Uuid;

use crate::accept::{Accept, Note, NoteLog, Work, entry_at};
use crate::clock;
use crate::figures::known_type;
use crate::http::network;
use crate::roles::NationalPeer;
use crate::store::ledger::hash;
use crate::tls::{Refused, Shown};

/// Entries a minute for each partner, in its channel log.
const PER_PARTNER: u32 = 60;
/// Entries a minute for all strangers together, in the house log.
const STRANGERS: u32 = 10;
/// Lines a minute for the strangers of one address (IPv6: one /64), so that one who knocks all the time hides no other.
const PER_ADDRESS: u32 = 10;
/// Addresses a minute with lines of their own; the rest of the minute's strangers are counted.
const ADDRESSES_MAX: usize = 256;
/// Entries a minute for all submissions refused on the national plane, in the house log.
const SUBMISSIONS: u32 = 60;

/// Entries a minute for all requests that the caller's role may not make, in the house log.
const ROLES: u32 = 60;

/// Whose budget.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Account {
    Partner(Country),
    Strangers,
    Submissions,
    Roles,
    /// Peers whose certificate is good and who are not heard all the same: lines only.
    Peers,
}

/// What could be read of a submission before it was refused.
#[derive(Default)]
pub struct Read {
    /// The recipient's state, where it is a partner.
    pub partner: Option<Country>,
    /// The id.
    pub id: Option<Uuid>,
    /// The type, as it was written.
    pub kind: Option<String>,
}

/// The budgets.
#[derive(Default)]
pub struct Refusals(Mutex<HashMap<Account, Minute>>, Mutex<Addresses>);

/// Lines of this minute for the strangers of each address.
#[derive(Default)]
struct Addresses {
    minute: i64,
    told: HashMap<IpAddr, u32>,
}

impl Addresses {
    fn spend(&mut self, from: IpAddr, now: Instant) -> bool {
        let minute = now.0.div_euclid(60_000);
        if self.minute != minute {
            *self = Self { minute, told: HashMap::new() };
        }
        let from = network(from);
        if self.told.len() >= ADDRESSES_MAX && !self.told.contains_key(&from) {
            return false;
        }
        let told = self.told.entry(from).or_default();
        *told = told.saturating_add(1);
        *told <= PER_ADDRESS
    }
}

#[derive(Default)]
struct Minute {
    number: i64,
    logged: u32,
    beyond: HashMap<&'static str, u64>,
}

impl Refusals {
    /// A partner's message refused before its signature was verified.
    pub async fn of_partner(
        &self,
        accept: &Accept,
        partner: Country,
        code: Code,
        body: Option<Digest>,
        jws: Option<Digest>,
    ) {
        let entry = |now: Instant| {
            let mut entry = entry_at(Kind::Rejected, now);
            entry.from = Some(partner.to_string());
            entry.code = Some(code.to_string());
            entry.body = body.map(hash);
            entry.jws = jws.map(hash);
            Note { log: NoteLog::Channel(partner), entry }
        };
        let line = || tracing::info!(%partner, verdict = %"refused", %code, "message refused");
        self.note(accept, Account::Partner(partner), code.as_str(), line, entry).await;
    }

    /// The line of a connection refused by TLS.
    pub fn tell_stranger(&self, from: IpAddr, refused: &Refused) {
        if !self.1.lock().unwrap_or_else(PoisonError::into_inner).spend(from, clock::now()) {
            return;
        }
        let Refused { fault, reason, shown } = refused;
        let (certificate, remedy) = (shown.as_ref().map(Shown::as_str), fault.remedy());
        tracing::info!(
            code = %"tls_stranger",
            fault = %fault.code(),
            reason,
            %from,
            certificate,
            remedy,
            "connection refused"
        );
    }

    /// The entry of a connection refused by TLS.
    pub async fn of_stranger(&self, accept: &Accept) {
        let entry = |now: Instant| {
            let mut entry = entry_at(Kind::Refused, now);
            entry.code = Some("tls_stranger".to_owned());
            Note { log: NoteLog::House, entry }
        };
        // Its line was written when it came.
        self.note(accept, Account::Strangers, "tls_stranger", || {}, entry).await;
    }

    /// A request of a peer whose certificate is good: it was removed, or is the partner of an agreement that its connection does
    /// not fit.
    pub fn of_peer(&self, code: Code, partner: Option<Country>) {
        if self.spend(Account::Peers, code.as_str(), clock::now()) {
            tracing::info!(partner = partner.map(display), %code, "connection refused");
        }
    }

    /// A back end's submission refused.
    pub async fn of_submission(&self, accept: &Accept, source: &str, read: &Read, code: Code) {
        let entry = |now: Instant| {
            let mut entry = entry_at(Kind::Refused, now);
            entry.from = Some(source.to_owned());
            entry.code = Some(code.to_string());
            Note { log: NoteLog::House, entry }
        };
        let line = || {
            let (partner, id) = (read.partner.map(display), read.id.map(display));
            let kind = known_type(read.kind.as_deref());
            tracing::info!(partner, id, "type" = %kind, from = %source, %code, "submission refused");
        };
        self.note(accept, Account::Submissions, code.as_str(), line, entry).await;
    }

    /// A request on the national plane that the caller's role may not make.
    pub async fn of_role(&self, accept: &Accept, peer: &NationalPeer, resource: &str) {
        let code = Code::RoleForbidden;
        let entry = |now: Instant| {
            let mut entry = entry_at(Kind::Refused, now);
            entry.code = Some(code.to_string());
            entry.role = Some(peer.role.code().to_owned());
            entry.cert = Some(hash(peer.certificate));
            Note { log: NoteLog::House, entry }
        };
        let line =
            || tracing::info!(role = peer.role.as_str(), resource, %code, "request of another role refused");
        self.note(accept, Account::Roles, code.as_str(), line, entry).await;
    }

    async fn note(
        &self,
        accept: &Accept,
        account: Account,
        code: &'static str,
        line: impl FnOnce(),
        note: impl FnOnce(Instant) -> Note,
    ) {
        let now = clock::now();
        if self.spend(account, code, now) {
            line();
            // The answer waits for the entry; where the queue is full the refusal goes unlogged
            // rather than unanswered.
            accept.commit(Work::Note(Box::new(note(now)))).await;
        }
    }

    /// Whether this refusal is still within the minute's budget; otherwise it is counted.
    fn spend(&self, account: Account, code: &'static str, now: Instant) -> bool {
        let budget = match account {
            Account::Partner(_) => PER_PARTNER,
            Account::Strangers | Account::Peers => STRANGERS,
            Account::Submissions => SUBMISSIONS,
            Account::Roles => ROLES,
        };
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = accounts.entry(account).or_default();
        let number = now.0.div_euclid(60_000);
        if minute.number != number {
            (minute.number, minute.logged) = (number, 0);
        }
        if minute.logged < budget {
            minute.logged += 1;
            return true;
        }
        *minute.beyond.entry(code).or_default() += 1;
        false
    }

    /// Logs one summary per account and code of what went beyond the budget. Called once a minute.
    pub async fn summarise(&self, accept: &Accept) {
        let counted: Vec<(Account, HashMap<&'static str, u64>)> = {
            let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            accounts
                .iter_mut()
                .map(|(account, minute)| (*account, std::mem::take(&mut minute.beyond)))
                .collect()
        };
        for (account, codes) in counted {
            for (code, n) in codes {
                let partner = if let Account::Partner(partner) = account { Some(partner) } else { None };
                tracing::info!(partner = partner.map(display), code = %code, count = n, "refused beyond the budget");
                let (kind, log, from) = match account {
                    Account::Partner(p) => (Kind::Rejected, NoteLog::Channel(p), Some(p.to_string())),
                    Account::Strangers | Account::Submissions | Account::Roles => {
                        (Kind::Refused, NoteLog::House, None)
                    }
                    Account::Peers => continue,
                };
                let mut entry = entry_at(kind, clock::now());
                (entry.from, entry.code, entry.n) = (from, Some(code.to_owned()), Some(n));
                accept.commit(Work::Note(Box::new(Note { log, entry }))).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_per_address_and_not_for_too_many() {
        let mut addresses = Addresses::default();
        let mut spent = |from: &str, at| {
            let from = from.parse().unwrap();
            (0..100).filter(|_| addresses.spend(from, Instant(at))).count()
        };
        assert_eq!((spent("10.0.0.1", 0), spent("10.0.0.2", 0)), (10, 10));
        assert_eq!((spent("10.0.0.1", 59_999), spent("10.0.0.1", 60_000)), (0, 10));
        assert_eq!((spent("fd00::1", 60_000), spent("fd00::2", 60_000)), (10, 0), "one network");
        let many: usize = (0..400).map(|n| spent(&format!("10.1.{}.{}", n / 256, n % 256), 120_000)).sum();
        assert_eq!(many, 256 * 10);
    }

    #[test]
    fn a_budget_per_minute_and_account() {
        let refusals = Refusals::default();
        let jo = Account::Partner("JO".parse().unwrap());
        let spent =
            |account, at| (0..100).filter(|_| refusals.spend(account, "json_invalid", Instant(at))).count();
        assert_eq!(spent(jo, 0), 60);
        assert_eq!(spent(Account::Strangers, 0), 10);
        assert_eq!(spent(jo, 59_999), 0);
        assert_eq!(spent(jo, 60_000), 60);
        let accounts = refusals.0.lock().unwrap();
        assert_eq!(accounts[&jo].beyond["json_invalid"], 40 + 100 + 40);
    }
}
