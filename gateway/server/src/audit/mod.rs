//! The whole-store audit: what is stored is read again, hashed again and compared, once from the first row to the
//! last, in memory that does not grow with the store.

mod coverage;
mod facts;
mod judge;
mod lists;
mod logs;
mod messages;
mod notes;
mod pool;
mod questions;
mod readings;
mod report;
mod resume;
mod settings;
mod sums;
mod timestamps;
mod witnesses;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use silkgate_ledger::{Entry, Hash};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;

use crate::config::Config;
use crate::stated::Said;
use crate::store::kept::Lists;
use crate::store::ledger::{self, Head, hash};
use crate::store::message;
use crate::store::{Connection, Store, StoreError, delivery, erasure, partner, sound};
use facts::Facts;
use logs::Log;
use pool::{Done, Pool};
use readings::Readings;
use resume::Resume;
use sums::{Fact, Side, Sums, Unequal};

pub use facts::OwnKeys;
pub use report::{CosignedReport, LogReport, Report, WitnessReport, WitnessState};

/// Rows read at once.
const PAGE: u32 = 500;

/// How an audit is run.
pub struct Options<'a> {
    /// Our public keys.
    pub keys: OwnKeys,
    /// What only the holder of the log key can tell: what an interrupted run has proved stands under a key made from it.
    pub secret: &'a [u8],
    /// Where an interrupted run says how far it came.
    pub progress_file: &'a Path,
    /// An interrupted run counts for nothing.
    pub fresh: bool,
    /// Of the time-stamping authority, where one is configured.
    pub anchors: Option<&'a [CertificateDer<'static>]>,
}

/// How far a log was read.
pub struct Step<'a> {
    /// The log.
    pub origin: &'a str,
    /// Its key in the store.
    pub log: i64,
    /// Entries read.
    pub entries: u64,
}

struct Audit<'a> {
    store: &'a Store,
    report: Report,
    facts: Arc<Facts>,
    sums: Sums,
    pool: Pool,
    resume: Resume,
    /// The house log.
    house: i64,
    /// The message after which back ends are told of the end of every one.
    told_after: i64,
    /// What the house log states of alarms.
    alarms: Vec<witnesses::Stated>,
    /// Reasons for erasures that the house log states: message id and digest.
    reasons: HashSet<(String, Hash)>,
    /// What the logs say is in force.
    said: Said,
    /// What the channels' logs say of revocation lists, by partner.
    listed: BTreeMap<String, Lists>,
    /// Cards that the house log states.
    cards: HashSet<Hash>,
    /// Reasons that rows have: place, message id and digest.
    noted: Vec<(String, String, Hash)>,
    /// What was read on the national plane.
    readings: Readings,
    /// The newest cosignature by log and partner: size and seconds since 1970.
    cosigned: HashMap<(i64, String), (u64, u64)>,
    observe: &'a mut (dyn FnMut(&Step<'_>) + Send),
}

/// Audits the store in one consistent view of it. What is damaged so that it cannot be read is a finding.
pub async fn verify(
    store: &Store,
    config: &Config,
    options: Options<'_>,
    observe: &mut (dyn FnMut(&Step<'_>) + Send),
) -> Result<Report, StoreError> {
    let mut tx = store.read().await?;
    // First: what is built otherwise cannot be read as if it were not.
    let built = match sound::unsound(&mut tx).await {
        Ok(built) => built,
        Err(error) => vec![unreadable(error, false)?],
    };
    let cards = match partner::cards(&mut tx).await {
        Ok(cards) => cards,
        Err(error) => {
            let mut report = begun(&built);
            report.find("store", unreadable(error, !built.is_empty())?);
            return Ok(report);
        }
    };
    let (facts, unsound) = Facts::new(config, &options.keys, &cards);
    let digests = cards.into_iter().map(|(of, bytes)| (of, hash(Digest::of(&bytes)))).collect::<Vec<_>>();
    let resume = Resume::new(options.progress_file, options.secret, facts.digest(), options.fresh);
    let mut audit = Audit {
        store,
        report: begun(&built),
        facts: Arc::new(facts),
        sums: Sums::new(),
        pool: Pool::new(),
        resume,
        house: 0,
        told_after: 0,
        alarms: Vec::new(),
        reasons: HashSet::new(),
        said: Said::default(),
        listed: BTreeMap::new(),
        cards: HashSet::new(),
        noted: Vec::new(),
        readings: Readings::new(),
        cosigned: HashMap::new(),
        observe,
    };
    loop {
        for named in &unsound {
            audit.report.find(format!("card of {named}"), "the card's signature does not verify");
        }
        let passed = audit.pass(&mut tx, options.anchors).await;
        if passed.is_ok() {
            audit.compare_cards(&digests);
        }
        audit.drain().await;
        if let Err(error) = passed {
            audit.report.find("store", unreadable(error, !built.is_empty())?);
        }
        if !audit.resume.back() {
            break;
        }
        // What an interrupted run verified is no longer what is stored: nothing of it counts.
        audit.report = begun(&built);
        (audit.sums, audit.alarms) = (Sums::new(), Vec::new());
        audit.cosigned.clear();
        audit.readings = Readings::new();
        audit.reasons.clear();
        audit.noted.clear();
        audit.cards.clear();
        audit.said = Said::default();
        audit.listed.clear();
    }
    audit.resume.done();
    Ok(audit.report)
}

/// A report that begins with what is wrong with the database itself.
fn begun(built: &[String]) -> Report {
    let mut report = Report::new();
    for what in built {
        report.find("database", what.as_str());
    }
    report
}

/// What to report where the store could not be read to its end; an error where that is nothing to do with what is stored. A schema that was
/// altered makes statements fail that are right.
fn unreadable(error: StoreError, is_altered: bool) -> Result<String, StoreError> {
    let what =
        if is_altered && error.is_refusal() { error.to_string() } else { error.damage().ok_or(error)? };
    Ok(format!("{what}; the audit could not go beyond it"))
}

impl Audit<'_> {
    /// Everything, once.
    async fn pass(
        &mut self,
        conn: &mut Connection,
        anchors: Option<&[CertificateDer<'static>]>,
    ) -> Result<(), StoreError> {
        let heads = ledger::heads(conn).await?;
        self.set_of_logs(conn, &heads).await?;
        let mut logs = BTreeMap::new();
        for head in &heads {
            logs.insert(head.id, Log::open(self, conn, head.clone()).await?);
        }
        self.messages(conn, &mut logs).await?;
        let mut reports = Vec::new();
        for (id, log) in logs {
            reports.push((id, log.finish(self, conn).await?));
        }
        self.drain().await;
        for (id, mut log) in reports {
            let of_log = self.cosigned.iter().filter(|((log, _), _)| *log == id);
            log.cosigned = of_log.map(|((_, by), (size, time_s))| newest(by, *size, *time_s)).collect();
            log.cosigned.sort_by(|a, b| a.by.cmp(&b.by));
            self.report.logs.push(log);
        }
        self.settings(conn, &heads).await?;
        self.witnesses(conn, &heads).await?;
        self.timestamps(conn, &heads, anchors).await?;
        self.compare_reasons();
        let unequal = self.sums.unequal();
        if !unequal.is_empty() {
            self.name(conn, &heads, unequal).await?;
        }
        Ok(())
    }

    /// There is a house log, a log for each partner and no other, and every row is of one of them.
    async fn set_of_logs(&mut self, conn: &mut Connection, heads: &[Head]) -> Result<(), StoreError> {
        match heads.iter().find(|head| head.partner.is_none()) {
            Some(house) => self.house = house.id,
            None => self.report.find("log", "there is no house log"),
        }
        let partners = partner::all(conn).await?;
        for row in &partners {
            if !heads.iter().any(|head| head.partner.is_some_and(|p| p.as_str() == row.country)) {
                self.report.find("log", format!("there is no log of the channel with {}", row.country));
            }
        }
        for partner in heads.iter().filter_map(|head| head.partner) {
            if !partners.iter().any(|row| row.country == partner.as_str()) {
                self.report.find("log", format!("a log of a channel with {partner}, who is no partner"));
            }
        }
        for (table, log) in ledger::named(conn).await? {
            if !heads.iter().any(|head| head.id == log) {
                self.report.find(format!("{table} {log}"), "rows of a log that is not there");
            }
        }
        Ok(())
    }

    /// Has a piece of work done.
    async fn work(&mut self, work: impl FnOnce() -> Done + Send + 'static) {
        if let Some(done) = self.pool.begin(work).await {
            self.take(done);
        }
    }

    /// Waits for all work under way.
    async fn drain(&mut self) {
        while let Some(done) = self.pool.oldest().await {
            self.take(done);
        }
    }

    fn take(&mut self, done: Done) {
        for finding in done.findings {
            self.report.find(finding.place, finding.what);
        }
        self.report.payloads += done.payloads;
        self.report.erased += done.erased;
        self.report.receipts += done.receipts;
        self.report.resumed += done.resumed;
        for link in &done.links {
            self.resume.take(link);
        }
        for (log, partner, size, time_s) in done.cosigned {
            self.cosigned.insert((log, partner), (size, time_s));
        }
        self.resume.note();
    }

    /// Reads again what the sums do not agree on, and names the places.
    async fn name(
        &mut self,
        conn: &mut Connection,
        heads: &[Head],
        mut unequal: Unequal,
    ) -> Result<(), StoreError> {
        for head in heads {
            let mut next = 0;
            loop {
                let page = ledger::entries(conn, head.id, next, PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                if *last >= head.size {
                    break;
                }
                next = last + 1;
                for (index, body) in page {
                    let Ok(entry) = Entry::parse(&body) else { continue };
                    for (side, fact) in Fact::of_entry(head.id, index, &entry) {
                        unequal.add(side, fact, || format!("entry {}/{index}", head.id));
                    }
                }
            }
        }
        let mut last = i64::MIN;
        loop {
            let page = message::after(conn, last, PAGE).await?;
            let Some(newest) = page.last().map(|row| row.seq) else { break };
            let deliveries = delivery::between(conn, last, newest).await?;
            let erasures = erasure::between(conn, last, newest).await?;
            last = newest;
            for row in &page {
                let place = || format!("message {} ({} {})", row.seq, row.way.as_str(), row.id);
                let of_row = deliveries.iter().filter(|delivery| delivery.seq == row.seq);
                let of_row: Vec<_> = of_row.cloned().collect();
                let handed_over = of_row.iter().flat_map(|found| Fact::of_delivery(self.house, row, found));
                let told = Fact::of_notices(row, &of_row, self.told_after);
                let erased = erasures.iter().find(|(seq, _)| *seq == row.seq);
                let erased = erased.map(|(_, erasure)| Fact::of_erasure(row, erasure));
                for fact in
                    Fact::of_message(self.house, row).into_iter().chain(handed_over).chain(told).chain(erased)
                {
                    unequal.add(Side::Row, fact, place);
                }
            }
        }
        unequal.tell(&mut self.report);
        Ok(())
    }
}

fn newest(by: &str, size: u64, time_s: u64) -> CosignedReport {
    let at = Instant::from_seconds(i64::try_from(time_s).unwrap_or(0)).to_string();
    CosignedReport { by: by.to_owned(), at, size }
}
