//! `/metrics`: what was counted since the start, and what the store and the standing of the logs show at this moment.

use std::collections::BTreeMap;
use std::time::Duration;

use silkgate_message::agreement::Direction;
use silkgate_message::instant::Instant;

use super::{certificates, ready};
use crate::breaker::LineFigure;
use crate::clock;
use crate::figures::{Labels, Reconciled, Sheet};
use crate::gateway::Gateway;
use crate::standing::Flow;
use crate::store::witness::{self, Alarm, AlarmKind};
use crate::store::{StoreError, delivery, ledger, message, outbox, syslog, timestamp};

/// How long a reading waits for the store; the rest is told without it.
const WITHIN: Duration = Duration::from_secs(5);

/// What the store holds.
#[derive(Default)]
struct Stored {
    heads: Vec<ledger::Head>,
    /// By log and partner: entries under the newest cosignature.
    cosigned: Vec<(Labels, i64)>,
    stamped: Vec<(Labels, i64)>,
    /// Where there is a collector.
    behind: Vec<syslog::Behind>,
    alarms: Vec<Alarm>,
    sending: Vec<(String, i64, Instant)>,
    delivering: Vec<(String, i64, Instant)>,
    dead: Vec<(String, i64)>,
}

/// Everything there is to tell.
pub(super) async fn read(gateway: &Gateway) -> Sheet {
    let stored = match tokio::time::timeout(WITHIN, stored(gateway)).await {
        Ok(Ok(stored)) => Some(stored),
        Ok(Err(error)) => {
            tracing::error!(%error, "metrics");
            None
        }
        Err(_) => None,
    };
    let missing = ready::missing(gateway).await;
    let mut sheet = Sheet::new();
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    sheet.gauge("build_info", "1, with the version of the program", [(version, 1)]);
    let started = gateway.started_at.seconds();
    sheet.value("start_time_seconds", "When the gateway started, since 1970", started);
    let codes = ready::CODES.iter().map(|code| {
        let is_missing = missing.iter().any(|missing| missing.what == *code);
        (vec![("what", (*code).to_owned())], i64::from(is_missing))
    });
    sheet.gauge("missing", "1 for what keeps the gateway from taking messages, as /readyz names it", codes);
    let readable = i64::from(stored.is_some());
    let help = "1 where the store could be read; otherwise what it holds is left out here";
    sheet.value("store_readable", help, readable);
    gateway.figures.add_to(&mut sheet);
    logs(&mut sheet, stored.as_ref());
    queues(&mut sheet, gateway, stored.as_ref());
    standing(&mut sheet, gateway, stored.as_ref());
    expiry(&mut sheet, gateway);
    reconciled(&mut sheet, gateway);
    sheet
}

async fn stored(gateway: &Gateway) -> Result<Stored, StoreError> {
    let mut tx = gateway.store.read().await?;
    let heads = ledger::heads(&mut tx).await?;
    let mut cosigned = Vec::new();
    for partner in gateway.directory().partners() {
        let shown = |head: &&ledger::Head| head.partner.is_none_or(|of| of == partner.country);
        for head in heads.iter().filter(shown) {
            let newest = witness::newest_cosigned(&mut tx, head.id, partner.country.as_str()).await?;
            let labels = vec![("origin", head.origin.clone()), ("partner", partner.country.to_string())];
            cosigned.push((labels, ledger::signed(newest.unwrap_or(0))));
        }
    }
    let mut stamped = Vec::new();
    for head in &heads {
        let newest = timestamp::newest(&mut tx, head.id).await?;
        let size = ledger::signed(newest.map_or(0, |stamp| stamp.size));
        stamped.push((vec![("origin", head.origin.clone())], size));
    }
    let has_collector = gateway.config.syslog.is_some();
    Ok(Stored {
        behind: if has_collector { syslog::behind(&mut tx).await? } else { Vec::new() },
        cosigned,
        stamped,
        alarms: witness::open_alarms(&mut tx).await?,
        sending: outbox::depth(&mut tx).await?,
        delivering: delivery::depth(&mut tx).await?,
        dead: message::dead(&mut tx).await?,
        heads,
    })
}

fn logs(sheet: &mut Sheet, stored: Option<&Stored>) {
    let none = Stored::default();
    let stored = stored.unwrap_or(&none);
    let sizes = stored.heads.iter();
    let sizes = sizes.map(|head| (vec![("origin", head.origin.clone())], ledger::signed(head.size)));
    sheet.gauge("log_entries", "Entries of each log", sizes);
    let help = "Entries under the newest cosignature of a partner";
    sheet.gauge("log_cosigned_entries", help, stored.cosigned.clone());
    let help = "Entries under the newest time-stamp";
    sheet.gauge("log_timestamped_entries", help, stored.stamped.clone());
    let origin = |behind: &syslog::Behind| vec![("origin", behind.origin.clone())];
    let rows = stored.behind.iter().map(|behind| (origin(behind), ledger::signed(behind.entries())));
    let help = "Entries that do not count as sent to the collector of syslog yet";
    sheet.gauge("syslog_waiting_entries", help, rows);
    let age =
        |behind: &syslog::Behind| behind.oldest.map_or(0, |oldest| (clock::now().0 - oldest.0).max(0) / 1000);
    let rows = stored.behind.iter().map(|behind| (origin(behind), age(behind)));
    let help = "Age of the oldest of them";
    sheet.gauge("syslog_oldest_age_seconds", help, rows);
}

/// Waiting messages and the age of the oldest, with zeros for those who have none: a line that goes away tells nothing.
fn queues(sheet: &mut Sheet, gateway: &Gateway, stored: Option<&Stored>) {
    let now = clock::now();
    let directory = gateway.directory();
    let partners: Vec<String> = directory.partners().map(|partner| partner.country.to_string()).collect();
    let recipients: Vec<String> = directory.back_ends().map(ToString::to_string).collect();
    let zeros = |names: &[String]| -> BTreeMap<String, (i64, i64)> {
        let names = names.iter().filter(|_| stored.is_some());
        names.map(|name| (name.clone(), (0, 0))).collect()
    };
    let depths = |names: &[String], rows: Option<&Vec<(String, i64, Instant)>>| {
        let mut all = zeros(names);
        let age = |oldest: Instant| (now.0 - oldest.0).max(0) / 1000;
        let rows = rows.into_iter().flatten();
        all.extend(rows.map(|(name, count, oldest)| (name.clone(), (*count, age(*oldest)))));
        all
    };
    let labelled = |label: &'static str, rows: &BTreeMap<String, (i64, i64)>, pick: fn((i64, i64)) -> i64| {
        rows.iter().map(|(name, row)| (vec![(label, name.clone())], pick(*row))).collect::<Vec<_>>()
    };
    let sending = depths(&partners, stored.map(|stored| &stored.sending));
    let help = "Messages that wait to be sent";
    sheet.gauge("outbox_messages", help, labelled("partner", &sending, |row| row.0));
    let help = "Age of the oldest message that waits to be sent";
    sheet.gauge("outbox_oldest_age_seconds", help, labelled("partner", &sending, |row| row.1));
    let delivering = depths(&recipients, stored.map(|stored| &stored.delivering));
    let help = "Messages that a back end has not acknowledged";
    sheet.gauge("deliveries_waiting", help, labelled("recipient", &delivering, |row| row.0));
    let help = "Age of the oldest message that a back end has not acknowledged";
    sheet.gauge("deliveries_oldest_age_seconds", help, labelled("recipient", &delivering, |row| row.1));
    let mut dead = zeros(&partners);
    let rows = stored.iter().flat_map(|stored| &stored.dead);
    dead.extend(rows.map(|(name, count)| (name.clone(), (*count, 0))));
    sheet.gauge("dead_messages", "Messages that were given up", labelled("partner", &dead, |row| row.0));
    let now = clock::now();
    let reached = |label: &'static str, names: Vec<String>, lines: Vec<LineFigure>| {
        let away =
            move |name: &String| lines.iter().any(|line| line.name == *name && line.open_since.is_some());
        names
            .into_iter()
            .map(|name| (vec![(label, name.clone())], i64::from(!away(&name))))
            .collect::<Vec<_>>()
    };
    let help = "0 where attempts in a row did not reach the partner: one at a time looks whether it is back";
    sheet.gauge("partner_reached", help, reached("partner", partners.clone(), gateway.breaker.figures(now)));
    let told = directory.pushes().iter().map(|push| push.party.clone()).collect();
    let help = "0 where attempts in a row did not reach a back end that is told what is for it";
    sheet.gauge("back_end_reached", help, reached("recipient", told, gateway.pushes.figures(now)));
    let mut lanes: BTreeMap<String, usize> = BTreeMap::from([(String::new(), 0)]);
    for partner in &partners {
        lanes.extend([(partner.clone(), 0), (format!("{partner} out"), 0)]);
    }
    lanes.extend(gateway.accept.waiting());
    let name = |lane: String| if lane.is_empty() { "gateway".to_owned() } else { lane };
    let jobs = lanes
        .into_iter()
        .map(|(lane, jobs)| (vec![("lane", name(lane))], i64::try_from(jobs).unwrap_or(i64::MAX)));
    sheet.gauge("commit_queue_jobs", "Jobs that wait for their commit", jobs);
}

fn standing(sheet: &mut Sheet, gateway: &Gateway, stored: Option<&Stored>) {
    let now = clock::now();
    let directory = gateway.directory();
    let of_partner = |partner: &crate::directory::Partner| vec![("partner", partner.country.to_string())];
    let passes = directory.partners().map(|partner| {
        let open = gateway.standing.closed(Some(partner.country)).is_none();
        let passes = partner.is_active() && open && gateway.flow(partner, Direction::Send) == Flow::Normal;
        (of_partner(partner), i64::from(passes))
    });
    sheet.gauge("messages_pass", "1 where messages pass with the partner at present", passes);
    let unstated = gateway.unstated();
    let rows = directory.partners();
    let rows = rows.map(|partner| (of_partner(partner), i64::from(unstated.contains_key(&partner.country))));
    let help = "1 where the partner's stored settings are not what our logs say is in force";
    sheet.gauge("settings_unstated", help, rows.collect::<Vec<_>>());
    let ages = directory.partners().map(|partner| {
        let since = gateway.standing.uncosigned_since(partner.country);
        (of_partner(partner), since.map_or(0, |since| (now.0 - since.0).max(0) / 1000))
    });
    let help = "Age of the oldest entry of the channel that the partner has not cosigned";
    sheet.gauge("uncosigned_age_seconds", help, ages);
    let open = stored.iter().flat_map(|stored| {
        [AlarmKind::Fork, AlarmKind::Rollback].map(|kind| {
            let count = stored.alarms.iter().filter(|alarm| alarm.kind == kind).count();
            (vec![("kind", kind.as_str().to_owned())], i64::try_from(count).unwrap_or(i64::MAX))
        })
    });
    sheet.gauge("alarms_open", "Contradicting histories that no operator has settled", open);
    let read_only = i64::from(gateway.standing.read_only().is_some());
    sheet.value("read_only", "1 where nothing is written", read_only);
}

fn expiry(sheet: &mut Sheet, gateway: &Gateway) {
    let now = clock::now();
    let rows = certificates::all(gateway).into_iter().map(|certificate| {
        let labels = vec![
            ("certificate", certificate.name.to_owned()),
            ("holder", certificate.holder),
            ("sha256", certificate.sha256),
        ];
        (labels, certificate.until.seconds() - now.seconds())
    });
    sheet.gauge("certificate_remaining_seconds", "Until the certificate runs out; below 0 after it", rows);
    let keys = gateway.reach.all().into_iter();
    let keys = keys.map(|(name, why)| (vec![("what", name)], i64::from(why.is_none())));
    sheet.gauge("token_reachable", "0 where a key in a token is not reached", keys.collect::<Vec<_>>());
    let directory = gateway.directory();
    let lists = directory.partners().filter_map(|partner| {
        let end = partner.lists_end()?;
        Some((vec![("partner", partner.country.to_string())], end.seconds() - now.seconds()))
    });
    let help = "Until the first revocation list of a partner's authorities runs out, its grace left aside";
    sheet.gauge("crl_remaining_seconds", help, lists.collect::<Vec<_>>());
}

fn reconciled(sheet: &mut Sheet, gateway: &Gateway) {
    let reconciled = gateway.figures.reconciled();
    let figure = |pick: fn(&Reconciled) -> i64| {
        let rows = reconciled.iter();
        rows.map(|(partner, found)| (vec![("partner", partner.to_string())], pick(found))).collect::<Vec<_>>()
    };
    let help = "When last reconciled, since 1970";
    sheet.gauge("reconcile_time_seconds", help, figure(|found| found.at.seconds()));
    let help = "Messages of which both sides tell the same";
    sheet.gauge("reconcile_agreeing_messages", help, figure(|found| ledger::signed(found.both)));
    let help = "Messages of which they tell differently";
    sheet.gauge("reconcile_differing_messages", help, figure(|found| ledger::signed(found.differences)));
    let help = "Where the partner's log contradicts itself or what it told before";
    sheet.gauge("reconcile_inconsistencies", help, figure(|found| ledger::signed(found.inconsistent)));
}
