//! Figures that only the running gateway knows, for monitoring: counted where something happens, read by `operations`.
//!
//! Labels are bounded, whatever comes from outside: types are those of the catalogue, codes those of problem documents,
//! partners and back ends those that an operator registered.

mod sheet;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use silkgate_message::agreement::Direction;
use silkgate_message::catalogue::{Catalogue, MessageType};
use silkgate_message::instant::Instant;
use silkgate_message::party::Country;
use silkgate_message::problem::Code;

pub use sheet::{Labels, Sheet};

/// What stands for a name that is none of the known ones.
pub const OTHER: &str = "other";

/// What the last reconciliation with a partner found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reconciled {
    /// When.
    pub at: Instant,
    /// Messages of which both sides tell the same.
    pub both: u64,
    /// Messages of which they tell differently.
    pub differences: u64,
    /// Where the partner's log contradicts itself or what it told before.
    pub inconsistent: u64,
}

type Counts<const N: usize> = Family<[(&'static str, Cow<'static, str>); N], Counter>;
type Times = Family<[(&'static str, String); 1], Histogram, fn() -> Histogram>;

/// The figures.
pub struct Figures {
    messages: Counts<5>,
    submissions: Counts<4>,
    attempts: Counts<2>,
    asked: Counts<2>,
    handed_out: Counts<1>,
    acknowledged: Counts<1>,
    pushes: Counts<2>,
    refused_connections: Counts<2>,
    refused_files: Family<[(&'static str, &'static str); 1], Gauge>,
    handshakes: Counts<3>,
    syslog_connected: Gauge,
    syslog_sent: Counter,
    receive: Histogram,
    commit: Histogram,
    batch: Histogram,
    attempt: Times,
    push: Times,
    receipt: Times,
    reconciled: Mutex<BTreeMap<Country, Reconciled>>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            messages: Family::default(),
            submissions: Family::default(),
            attempts: Family::default(),
            asked: Family::default(),
            handed_out: Family::default(),
            acknowledged: Family::default(),
            pushes: Family::default(),
            refused_connections: Family::default(),
            refused_files: Family::default(),
            handshakes: Family::default(),
            syslog_connected: Gauge::default(),
            syslog_sent: Counter::default(),
            receive: moments(),
            commit: moments(),
            // 1 to 64 jobs, the most that one batch has.
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 7)),
            attempt: Family::new_with_constructor(moments),
            push: Family::new_with_constructor(moments),
            receipt: Family::new_with_constructor(waits),
            reconciled: Mutex::default(),
        }
    }
}

/// From a millisecond to half a minute.
fn moments() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

/// From hundredths of a second to days: a partner may be away.
fn waits() -> Histogram {
    Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0, 21_600.0, 86_400.0])
}

/// The name of a type of the catalogue; what a partner wrote there otherwise is repeated nowhere.
pub fn known_type(kind: Option<&str>) -> &'static str {
    let types = Catalogue::embedded().types().iter().map(MessageType::name);
    kind.and_then(|kind| types.into_iter().find(|name| *name == kind)).unwrap_or(OTHER)
}

fn known_code(code: Option<&str>) -> &'static str {
    code.map_or("none", |code| Code::parse(code).map_or(OTHER, Code::as_str))
}

impl Figures {
    /// A message of a partner was judged, or one of ours has its outcome.
    pub fn message(
        &self,
        partner: &str,
        direction: Direction,
        kind: Option<&str>,
        verdict: &'static str,
        code: Option<&str>,
    ) {
        let direction = match direction {
            Direction::Receive => "received",
            Direction::Send => "sent",
        };
        let labels = [
            ("partner", Cow::Owned(partner.to_owned())),
            ("direction", direction.into()),
            ("type", known_type(kind).into()),
            ("verdict", verdict.into()),
            ("code", known_code(code).into()),
        ];
        self.messages.get_or_create(&labels).inc();
    }

    /// A back end submitted. `partner`: one that is registered.
    pub fn submission(
        &self,
        partner: Option<&str>,
        kind: Option<&str>,
        verdict: &'static str,
        code: Option<&str>,
    ) {
        let labels = [
            ("partner", partner.map_or(Cow::Borrowed(OTHER), |partner| Cow::Owned(partner.to_owned()))),
            ("type", known_type(kind).into()),
            ("verdict", verdict.into()),
            ("code", known_code(code).into()),
        ];
        self.submissions.get_or_create(&labels).inc();
    }

    /// An attempt to send took so long.
    pub fn attempt(&self, partner: &str, outcome: &'static str, took: Duration) {
        let labels = [("partner", Cow::Owned(partner.to_owned())), ("outcome", outcome.into())];
        self.attempts.get_or_create(&labels).inc();
        self.attempt.get_or_create(&[("partner", partner.to_owned())]).observe(took.as_secs_f64());
    }

    /// A receipt came so many milliseconds after its message was submitted.
    pub fn receipted(&self, partner: &str, after_ms: i64) {
        let seconds = after_ms.max(0) as f64 / 1000.0;
        self.receipt.get_or_create(&[("partner", partner.to_owned())]).observe(seconds);
    }

    /// A partner asked beside its messages, and was answered or told to wait.
    pub fn asked(&self, partner: Country, code: Option<Code>) {
        let code = code.map_or("none", Code::as_str);
        self.asked.get_or_create(&[("partner", partner.to_string().into()), ("code", code.into())]).inc();
    }

    /// So many deliveries were given to a back end.
    pub fn handed_out(&self, recipient: &str, count: usize) {
        let labels = [("recipient", Cow::Owned(recipient.to_owned()))];
        self.handed_out.get_or_create(&labels).inc_by(count as u64);
    }

    /// A back end acknowledged a delivery.
    pub fn acknowledged(&self, recipient: &str) {
        self.acknowledged.get_or_create(&[("recipient", Cow::Owned(recipient.to_owned()))]).inc();
    }

    /// An attempt to hand over to a back end that is told took so long.
    pub fn pushed(&self, recipient: &str, outcome: &'static str, took: Duration) {
        let labels = [("recipient", Cow::Owned(recipient.to_owned())), ("outcome", outcome.into())];
        self.pushes.get_or_create(&labels).inc();
        self.push.get_or_create(&[("recipient", recipient.to_owned())]).observe(took.as_secs_f64());
    }

    /// A connection was refused.
    pub fn connection_refused(&self, plane: &'static str, code: &'static str) {
        self.refused_connections.get_or_create(&[("plane", plane.into()), ("code", code.into())]).inc();
    }

    /// Whether changed certificates or keys cannot be used.
    pub fn file_refused(&self, what: &'static str, is_refused: bool) {
        self.refused_files.get_or_create(&[("what", what)]).set(i64::from(is_refused));
    }

    /// A handshake with a partner was done.
    pub fn handshake(&self, partner: &str, direction: &'static str, group: &'static str) {
        let partner = Cow::Owned(partner.to_owned());
        let labels = [("partner", partner), ("direction", direction.into()), ("group", group.into())];
        self.handshakes.get_or_create(&labels).inc();
    }

    /// Whether the collector of syslog is reached by this gateway.
    pub fn syslog_connected(&self, is_connected: bool) {
        self.syslog_connected.set(i64::from(is_connected));
    }

    /// So many entries were written to it.
    pub fn syslog_sent(&self, entries: u64) {
        self.syslog_sent.inc_by(entries);
    }

    /// A partner's message was answered after so long.
    pub fn answered(&self, took: Duration) {
        self.receive.observe(took.as_secs_f64());
    }

    /// So many jobs were committed in one transaction, which took so long.
    pub fn committed(&self, jobs: usize, took: Duration) {
        self.batch.observe(jobs as f64);
        self.commit.observe(took.as_secs_f64());
    }

    /// Notes a reconciliation.
    pub fn note(&self, partner: Country, found: Reconciled) {
        self.reconciled.lock().unwrap_or_else(PoisonError::into_inner).insert(partner, found);
    }

    /// The last one with each partner, since this start.
    pub fn reconciled(&self) -> Vec<(Country, Reconciled)> {
        let all = self.reconciled.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(partner, found)| (*partner, *found)).collect()
    }

    /// Puts what was counted since the start on a sheet.
    pub fn add_to(&self, sheet: &mut Sheet) {
        sheet.add("messages", "Messages by what became of them", self.messages.clone());
        sheet.add("submissions", "Submissions of back ends", self.submissions.clone());
        sheet.add("attempts", "Attempts to send", self.attempts.clone());
        sheet.add("questions", "Questions of partners beside their messages", self.asked.clone());
        sheet.add(
            "deliveries_handed_out",
            "Deliveries given to a back end, repeats among them",
            self.handed_out.clone(),
        );
        sheet.add(
            "deliveries_acknowledged",
            "Deliveries that a back end acknowledged",
            self.acknowledged.clone(),
        );
        let help = "Attempts to hand over to a back end that is told";
        sheet.add("pushes", help, self.pushes.clone());
        let help = "Connections that TLS refused, and requests of peers that are no longer known";
        sheet.add("connections_refused", help, self.refused_connections.clone());
        let help = "Whether changed certificates or keys cannot be used; those before stay in force";
        sheet.add("files_refused", help, self.refused_files.clone());
        let help = "Handshakes with partners, by who called and the group in which keys were exchanged";
        sheet.add("handshakes", help, self.handshakes.clone());
        let help = "1 where this gateway has a connection to the collector of syslog";
        sheet.add("syslog_connected", help, self.syslog_connected.clone());
        let help = "Entries written to the collector of syslog, repeats among them";
        sheet.add("syslog_entries", help, self.syslog_sent.clone());
        sheet.add(
            "receive_duration_seconds",
            "From the head of a partner's message to its answer",
            self.receive.clone(),
        );
        sheet.add("commit_duration_seconds", "One transaction of the committer", self.commit.clone());
        sheet.add("commit_batch_jobs", "Jobs in one transaction", self.batch.clone());
        sheet.add("attempt_duration_seconds", "One attempt to send", self.attempt.clone());
        sheet.add(
            "push_duration_seconds",
            "One attempt to hand over to a back end that is told",
            self.push.clone(),
        );
        let help = "From a submission to the partner's receipt of acceptance";
        sheet.add("submission_to_receipt_seconds", help, self.receipt.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_makes_no_label() {
        let figures = Figures::default();
        for kind in ["alert.vehicle", "made.up", "Ali Hassan\n\"} 1"] {
            for code in [None, Some("record_order"), Some("made_up")] {
                figures.message("JO", Direction::Receive, Some(kind), "rejected", code);
            }
        }
        let mut sheet = Sheet::new();
        figures.add_to(&mut sheet);
        let text = sheet.text().unwrap();
        let counted = text.lines().filter(|line| line.starts_with("silkgate_messages_total{"));
        assert_eq!(counted.count(), 6, "{text}");
        let line = "silkgate_messages_total{partner=\"JO\",direction=\"received\",type=\"other\",verdict=\"rejected\",code=\"other\"} 2";
        assert!(text.contains(line) && !text.contains("Ali") && !text.contains("made"), "{text}");
        // Named before there is anything to tell.
        assert!(text.contains("# TYPE silkgate_attempts counter"), "{text}");
    }
}
