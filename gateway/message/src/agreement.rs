//! What two states agreed to exchange, per partner and direction, in TOML.

mod diff;
mod hours;

use serde::{Deserialize, Serialize};

use crate::event::{Envelope, Status};
use crate::instant::Instant;
use crate::party::{Country, Party};
use crate::problem::{Code, Problem};

pub use diff::{Difference, diff};
pub use hours::Window;

/// The agreement with one partner. Each side holds its own; what both allow is what passes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// The partner's state.
    pub partner: Country,
    /// The longest time from signing to `expirytime`, in hours.
    #[serde(default = "defaults::lifetime_hours")]
    pub lifetime_hours: u32,
    /// The largest message from the partner, in bytes; at most 10 MiB.
    #[serde(default = "defaults::body_max_bytes")]
    pub body_max_bytes: u32,
    /// Messages a second from the partner, averaged over ten seconds.
    #[serde(default = "defaults::rate_per_second")]
    pub rate_per_second: u32,
    /// How many days a payload is kept, where its clause or its own `retention.deleteBy` does not end it sooner.
    #[serde(default = "defaults::retention_days")]
    pub retention_days: u32,
    /// How long entries of our log of the channel may stand without the partner's cosignature, in hours.
    #[serde(default = "defaults::witness_hours")]
    pub witness_hours: u32,
    /// For how many hours a revocation list of the partner's authorities is believed after its end. Beyond it nobody comes in.
    #[serde(default)]
    pub crl_grace_hours: u32,
    /// What becomes of messages beyond that, and where the partner's log contradicts itself.
    #[serde(default)]
    pub degraded: Degraded,
    /// In which groups TLS exchanges keys. Left out where it is as it always was: the digest of an old agreement stays what it is.
    #[serde(default, skip_serializing_if = "KeyExchange::is_default")]
    pub key_exchange: KeyExchange,
    /// What the partner may send us.
    #[serde(default)]
    pub receive: Vec<Clause>,
    /// What we may send the partner.
    #[serde(default)]
    pub send: Vec<Clause>,
}

/// What becomes of messages while the partner's or our log cannot be relied on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Degraded {
    /// They pass all the same.
    Accept,
    /// Ours wait to be sent, the partner's are put off.
    #[default]
    Queue,
    /// Neither side's are taken.
    Stop,
}

impl Degraded {
    /// The mode of that name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "accept" => Some(Degraded::Accept),
            "queue" => Some(Degraded::Queue),
            "stop" => Some(Degraded::Stop),
            _ => None,
        }
    }
}

/// How TLS exchanges keys with the partner: X25519MLKEM768 is a hybrid of X25519 and ML-KEM-768 (draft-ietf-tls-ecdhe-mlkem).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyExchange {
    /// The hybrid is offered first; a partner that lacks it is spoken to all the same.
    #[default]
    HybridFirst,
    /// The hybrid and nothing else: a connection without it carries nothing.
    HybridOnly,
    /// We do not offer the hybrid.
    Classical,
}

impl KeyExchange {
    /// The policy of that name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "hybrid_first" => Some(Self::HybridFirst),
            "hybrid_only" => Some(Self::HybridOnly),
            "classical" => Some(Self::Classical),
            _ => None,
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One type in one direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// The message type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its versions.
    pub versions: Vec<u32>,
    /// `test`, `exercise`, `actual`.
    pub status: Vec<Status>,
    /// The purposes it may be used for.
    pub purposes: Vec<String>,
    /// The handling codes it may carry.
    pub handling: Vec<String>,
    /// How many days its payloads are kept at most, where that is less than the agreement's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// The sending authorities; empty: each of the sending state.
    #[serde(default)]
    pub senders: Vec<Party>,
    /// The receiving authorities; empty: each of the receiving state.
    #[serde(default)]
    pub recipients: Vec<Party>,
    /// The states that a message may name in `releasableto`; empty: whichever.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releasable_to: Vec<Country>,
    /// The largest message, in bytes, where that is less than the agreement's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_max_bytes: Option<u32>,
    /// Messages a second, averaged over ten, where that is less than the agreement's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
    /// When they pass; empty: at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Window>,
    /// What becomes of them while a log cannot be relied on, where that is not as in the agreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Degraded>,
}

mod defaults {
    pub(super) fn lifetime_hours() -> u32 {
        7 * 24
    }
    pub(super) fn body_max_bytes() -> u32 {
        1 << 20
    }
    pub(super) fn rate_per_second() -> u32 {
        20_000
    }
    pub(super) fn retention_days() -> u32 {
        5 * 365
    }
    pub(super) fn witness_hours() -> u32 {
        24
    }
}

/// The largest message any agreement may allow.
pub const BODY_MAX_BYTES: u32 = 10 << 20;

/// The longest retention any agreement may allow, in days.
pub const RETENTION_MAX_DAYS: u32 = 100 * 366;

/// Windows of hours in one clause, at most.
pub const HOURS_MAX: usize = 32;

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the partner to us.
    Receive,
    /// From us to the partner.
    Send,
}

impl Direction {
    /// Its name in agreements.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Receive => "receive",
            Direction::Send => "send",
        }
    }
}

impl Agreement {
    /// An agreement that allows nothing.
    pub fn empty(partner: Country) -> Self {
        Self {
            partner,
            lifetime_hours: defaults::lifetime_hours(),
            body_max_bytes: defaults::body_max_bytes(),
            rate_per_second: defaults::rate_per_second(),
            retention_days: defaults::retention_days(),
            witness_hours: defaults::witness_hours(),
            crl_grace_hours: 0,
            degraded: Degraded::default(),
            key_exchange: KeyExchange::default(),
            receive: Vec::new(),
            send: Vec::new(),
        }
    }

    /// Reads the TOML; the error is a sentence with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        let agreement: Agreement = toml::from_str(text).map_err(|error| error.to_string())?;
        if agreement.body_max_bytes > BODY_MAX_BYTES {
            return Err(format!("body_max_bytes is at most {BODY_MAX_BYTES}"));
        }
        if agreement.lifetime_hours == 0 || agreement.lifetime_hours > 24 * 366 {
            return Err("lifetime_hours is from 1 to 8784".to_owned());
        }
        if agreement.witness_hours == 0 || agreement.witness_hours > 24 * 366 {
            return Err("witness_hours is from 1 to 8784".to_owned());
        }
        let clauses = || agreement.receive.iter().chain(&agreement.send);
        let mut caps = clauses().filter_map(|clause| clause.retention_days).chain([agreement.retention_days]);
        if caps.any(|days| days == 0 || days > RETENTION_MAX_DAYS) {
            return Err(format!("retention_days is from 1 to {RETENTION_MAX_DAYS}"));
        }
        for direction in [Direction::Receive, Direction::Send] {
            let clauses = agreement.clauses(direction);
            for (place, clause) in clauses.iter().enumerate() {
                let (kind, way) = (&clause.kind, direction.as_str());
                if clauses.iter().take(place).any(|before| before.kind == *kind) {
                    return Err(format!("{way} {kind} stands twice"));
                }
                let is_zero = [clause.body_max_bytes, clause.rate_per_second].contains(&Some(0));
                if is_zero || clause.hours.len() > HOURS_MAX {
                    return Err(format!(
                        "{way} {kind}: body_max_bytes and rate_per_second are above 0, and hours are at most {HOURS_MAX}"
                    ));
                }
            }
        }
        for clause in clauses() {
            if let Some(code) =
                clause.handling.iter().find(|code| !matches!(code.as_str(), "H0" | "H1" | "H2" | "H3"))
            {
                return Err(format!("{}: handling code {code} is none of H0, H1, H2, H3", clause.kind));
            }
        }
        Ok(agreement)
    }

    /// The TOML that [`Agreement::parse`] reads.
    pub fn to_toml(&self) -> String {
        // Tables of strings and numbers only: serialisation cannot fail.
        toml::to_string(self).unwrap_or_default()
    }

    /// The clauses of one direction.
    pub fn clauses(&self, direction: Direction) -> &[Clause] {
        match direction {
            Direction::Receive => &self.receive,
            Direction::Send => &self.send,
        }
    }

    /// `lifetime_hours` in milliseconds.
    pub fn lifetime_ms(&self) -> i64 {
        i64::from(self.lifetime_hours) * 3_600_000
    }

    /// The day from whose beginning on (UTC) a payload taken at `at` is to be erased: the agreement's cap, the
    /// clause's, or the day after the record's own `retention.deleteBy`, whichever comes first.
    pub fn retention_day(
        &self,
        direction: Direction,
        kind: &str,
        delete_by: Option<&str>,
        at: Instant,
    ) -> i64 {
        let clause = self.clauses(direction).iter().find(|clause| clause.kind == kind);
        let cap = clause.and_then(|clause| clause.retention_days).unwrap_or(self.retention_days);
        let capped = at.day() + i64::from(cap.min(self.retention_days));
        let stated = delete_by.and_then(|date| Instant::parse(&format!("{date}T00:00:00Z")));
        stated.map_or(capped, |date| capped.min(date.day() + 1))
    }

    /// Whether this version of a type may be sent.
    pub fn sends(&self, kind: &str, version: u32) -> bool {
        let clauses = self.clauses(Direction::Send).iter();
        clauses.filter(|clause| clause.kind == kind).any(|clause| clause.versions.contains(&version))
    }

    /// Checks an envelope; the refusal names the clause. `version`: of its type, where the catalogue holds the schema
    /// that it names.
    pub fn check(
        &self,
        direction: Direction,
        envelope: &Envelope,
        version: Option<u32>,
    ) -> Result<(), Box<Problem>> {
        let way = direction.as_str();
        let refuse = |code: Code, name: &str| {
            let clause = format!("clause {way} {}: `{name}` does not hold it", envelope.kind);
            Err(Box::new(Problem::new(code).detail(clause)))
        };
        let Some(clause) = self.clauses(direction).iter().find(|clause| clause.kind == envelope.kind) else {
            return refuse(Code::AgreementType, "type");
        };
        if version.is_some_and(|version| !clause.versions.contains(&version)) {
            return refuse(Code::AgreementVersion, "versions");
        }
        if !clause.status.contains(&envelope.status) {
            return refuse(Code::AgreementStatus, "status");
        }
        if !clause.purposes.contains(&envelope.purpose) {
            return refuse(Code::AgreementPurpose, "purposes");
        }
        if !clause.senders.is_empty() && !clause.senders.contains(&envelope.source) {
            return refuse(Code::AgreementAuthority, "senders");
        }
        if !clause.recipients.is_empty() && !clause.recipients.contains(&envelope.recipient) {
            return refuse(Code::AgreementAuthority, "recipients");
        }
        if envelope.handling.iter().any(|code| !clause.handling.contains(code)) {
            return refuse(Code::AgreementHandling, "handling");
        }
        let allowed =
            |state: &Country| clause.releasable_to.is_empty() || clause.releasable_to.contains(state);
        if !envelope.releasable_to.iter().all(allowed) {
            return refuse(Code::Releasability, "releasable_to");
        }
        let to = envelope.recipient.country();
        if !envelope.releasable_to.is_empty() && !envelope.releasable_to.contains(&to) {
            let detail = "`releasableto` does not name the recipient's state";
            return Err(Box::new(Problem::new(Code::Releasability).detail(detail)));
        }
        Ok(())
    }

    /// Checks the size of a message of that type; the refusal names the clause.
    pub fn check_size(&self, direction: Direction, kind: &str, bytes: usize) -> Result<(), Box<Problem>> {
        let most = self.clause(direction, kind).and_then(|clause| clause.body_max_bytes);
        match most.filter(|most| bytes > *most as usize) {
            None => Ok(()),
            Some(most) => {
                let detail = format!(
                    "clause {} {kind}: `body_max_bytes` is {most}, the message has {bytes}",
                    direction.as_str()
                );
                Err(Box::new(Problem::new(Code::AgreementSize).detail(detail)))
            }
        }
    }

    /// Until when messages of that type wait for their hours; None: they pass now.
    pub fn closed_until(&self, direction: Direction, kind: &str, now: Instant) -> Option<Instant> {
        hours::closed_until(&self.clause(direction, kind)?.hours, now)
    }

    /// The clause of a type.
    pub fn clause(&self, direction: Direction, kind: &str) -> Option<&Clause> {
        self.clauses(direction).iter().find(|clause| clause.kind == kind)
    }

    /// What becomes of messages of a type while a log cannot be relied on.
    pub fn degraded_of(&self, direction: Direction, kind: &str) -> Degraded {
        self.clause(direction, kind).and_then(|clause| clause.degraded).unwrap_or(self.degraded)
    }

    /// The mildest of these modes in one direction.
    pub fn mildest(&self, direction: Direction) -> Degraded {
        let modes = self.clauses(direction).iter().filter_map(|clause| clause.degraded);
        modes.chain([self.degraded]).min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        partner = "JO"
        [[send]]
        type = "alert.vehicle"
        versions = [1]
        status = ["test"]
        purposes = ["border-management"]
        handling = ["H0", "H1"]
        recipients = ["JO/public-security"]
    "#;

    fn envelope() -> Envelope {
        Envelope {
            id: uuid::Uuid::nil(),
            source: "IQ/traffic-police".parse().unwrap(),
            recipient: "JO/public-security".parse().unwrap(),
            kind: "alert.vehicle".into(),
            subject: "A".into(),
            time: Default::default(),
            dataschema: String::new(),
            expires_at: Default::default(),
            purpose: "border-management".into(),
            handling: vec!["H1".into()],
            status: Status::Test,
            releasable_to: vec![],
            correlation_id: None,
        }
    }

    #[test]
    fn each_clause_refuses_by_its_name() {
        let agreement = Agreement::parse(TEXT).unwrap();
        let check = |edit: fn(&mut Envelope), version: u32| {
            let mut envelope = envelope();
            edit(&mut envelope);
            agreement.check(Direction::Send, &envelope, Some(version)).map_err(|problem| problem.code)
        };
        assert_eq!(check(|_| (), 1), Ok(()));
        assert_eq!(check(|_| (), 2), Err(Code::AgreementVersion));
        assert_eq!(check(|e| e.kind = "alert.person".into(), 1), Err(Code::AgreementType));
        assert_eq!(check(|e| e.status = Status::Actual, 1), Err(Code::AgreementStatus));
        assert_eq!(check(|e| e.purpose = "tax".into(), 1), Err(Code::AgreementPurpose));
        assert_eq!(check(|e| e.recipient = "JO/customs".parse().unwrap(), 1), Err(Code::AgreementAuthority));
        assert_eq!(check(|e| e.handling = vec!["H1".into(), "H2".into()], 1), Err(Code::AgreementHandling));
        assert_eq!(check(|e| e.releasable_to = vec!["SA".parse().unwrap()], 1), Err(Code::Releasability));
        assert_eq!(check(|e| e.releasable_to = vec!["JO".parse().unwrap()], 1), Ok(()));
        let receive =
            agreement.check(Direction::Receive, &envelope(), Some(1)).map_err(|problem| problem.code);
        assert_eq!(receive, Err(Code::AgreementType));
    }

    #[test]
    fn prints_what_it_reads_and_refuses_what_it_does_not_know() {
        let agreement = Agreement::parse(TEXT).unwrap();
        assert_eq!(Agreement::parse(&agreement.to_toml()).unwrap(), agreement);
        assert!(Agreement::parse("partner = \"JO\"\nlifetime = 3").is_err());
        assert!(Agreement::parse("partner = \"JO\"\nbody_max_bytes = 10485761").is_err());
        assert!(Agreement::parse("partner = \"Jordan\"").is_err());
        assert!(Agreement::parse("partner = \"JO\"\nretention_days = 0").is_err());
        assert!(Agreement::parse(&format!("{TEXT}\nretention_days = 36601")).is_err());
    }

    #[test]
    fn the_key_exchange_has_three_names_and_an_old_agreement_keeps_its_bytes() {
        let mut agreement = Agreement::parse(TEXT).unwrap();
        assert_eq!(agreement.key_exchange, KeyExchange::HybridFirst);
        assert!(!agreement.to_toml().contains("key_exchange"), "its digest would be another");
        for (name, policy) in [
            ("hybrid_first", KeyExchange::HybridFirst),
            ("hybrid_only", KeyExchange::HybridOnly),
            ("classical", KeyExchange::Classical),
        ] {
            let read = Agreement::parse(&format!("partner = \"JO\"\nkey_exchange = \"{name}\"")).unwrap();
            assert_eq!((read.key_exchange, KeyExchange::parse(name)), (policy, Some(policy)));
            agreement.key_exchange = policy;
            assert_eq!(Agreement::parse(&agreement.to_toml()).unwrap(), agreement);
        }
        for name in ["", "Classical", "post-quantum", "hybrid"] {
            assert!(Agreement::parse(&format!("partner = \"JO\"\nkey_exchange = \"{name}\"")).is_err());
            assert_eq!(KeyExchange::parse(name), None);
        }
    }

    #[test]
    fn the_earliest_of_agreement_clause_and_record_ends_a_payload() {
        let mut agreement = Agreement::parse(TEXT).unwrap();
        let at = Instant::parse("2026-11-24T23:59:59Z").unwrap();
        let day = |agreement: &Agreement, delete_by: Option<&str>| {
            let day = agreement.retention_day(Direction::Send, "alert.vehicle", delete_by, at);
            Instant::of_day(day).date()
        };
        assert_eq!(day(&agreement, None), "2031-11-23", "five years of 365 days");
        // The record says when it is to be deleted at the latest: it may still be used on that day.
        assert_eq!(day(&agreement, Some("2027-11-24")), "2027-11-25");
        assert_eq!(day(&agreement, Some("2040-01-01")), "2031-11-23");
        assert_eq!(day(&agreement, Some("no date")), "2031-11-23");
        agreement.retention_days = 10;
        assert_eq!(day(&agreement, Some("2027-11-24")), "2026-12-04");
        agreement.send[0].retention_days = Some(20);
        assert_eq!(day(&agreement, None), "2026-12-04", "a clause never lengthens the agreement's");
        agreement.send[0].retention_days = Some(3);
        assert_eq!(day(&agreement, None), "2026-11-27");
        let other = agreement.retention_day(Direction::Receive, "alert.vehicle", None, at);
        assert_eq!(Instant::of_day(other).date(), "2026-12-04", "the other direction has its own");
    }
}
