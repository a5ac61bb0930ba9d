//! `silkgate status`: how the gateway stands, also while it is stopped.

use anyhow::Result;
use serde_json::json;
use silkgate_certs::read_identity;
use silkgate_message::instant::Instant;

use super::{Cx, Found, admin, both_times, key};
use crate::clock;
use crate::config::Place;
use crate::keys;
use crate::store::key_exchange::{self, ExchangeRow};
use crate::store::witness::{self, Alarm, AlarmKind};
use crate::store::{Connection, delivery, ledger, message, outbox, partner, proposal, syslog, timestamp};
use crate::tls::Group;

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  silkgate -d iq status --json\n\nReads the store; `running` tells whether a gateway serves this home."
)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, _: Args) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let mut tx = store.read().await?;
    let logs = ledger::heads(&mut tx).await?;
    let mut stamps = Vec::new();
    for head in &logs {
        stamps.push(timestamp::newest(&mut tx, head.id).await?);
    }
    let partners = partner::all(&mut tx).await?;
    let (sending, delivering) = queues(&mut tx).await?;
    let mut dead = message::dead(&mut tx).await?;
    dead.extend(delivery::dead(&mut tx).await?);
    let exchanges = key_exchange::all(&mut tx).await?;
    let (four_eyes, now) = (config.approval.four_eyes, clock::now());
    let proposals = proposal::all(&mut tx).await?;
    let proposed = proposals.iter().filter(|row| row.state == "open" && now <= row.until).count();
    let alarms = witness::open_alarms(&mut tx).await?;
    let unstated = admin::unstated(cx, &config, &store).await.unwrap_or_default();
    let witnessing = witnessing(&mut tx, &logs, &partners).await?;
    let behind = syslog::behind(&mut tx).await?;
    let collector = config.syslog.as_ref();
    let running =
        std::fs::File::open(cx.home.path().join("silkgate.lock")).is_ok_and(|file| file.try_lock().is_err());
    let certificates = certificates(cx)?;
    let mut in_token = key::rows(cx)?;
    in_token.retain(key::Row::is_in_token);
    let place = cx.home.database(&config);
    let database = match &place {
        Place::File(path) => json!({ "kind": "sqlite", "path": path }),
        Place::Server(_) => json!({ "kind": "postgres", "server": place.to_string() }),
    };
    let queue = |(name, count, oldest): &(String, i64, Instant)| json!({ "to": name, "waiting": count, "oldest_at": oldest.to_string() });
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "running": running,
        "party": config.party,
        "host": config.host,
        "database": database,
        "partner_plane": { "listen": config.partner_plane.listen.to_string(), "endpoint": config.partner_plane.endpoint },
        "national_plane": { "listen": config.national_plane.listen.to_string() },
        "approval": { "four_eyes": four_eyes, "waiting": proposed, "recommended": !four_eyes },
        "partners": partners.iter().map(|row| json!({
            "partner": row.country, "state": row.state,
            "unstated": unstated.iter().find(|(country, _)| country.as_str() == row.country).map(|(_, what)| what), "key_exchange": exchanged(&exchanges, &row.country),
        })).collect::<Vec<_>>(),
        "logs": logs.iter().zip(&stamps).map(|(head, stamp)| json!({
            "origin": head.origin, "partner": head.partner, "size": head.size,
            "timestamp": stamp.as_ref().map(|stamp| json!({ "size": stamp.size, "at": stamp.at.to_string() })),
        })).collect::<Vec<_>>(),
        "alarms": alarms.iter().map(|alarm| json!({
            "kind": alarm.kind, "partner": alarm.partner, "origin": alarm.origin, "since": alarm.at.to_string(),
            "ours": String::from_utf8_lossy(&alarm.ours), "theirs": String::from_utf8_lossy(&alarm.theirs),
        })).collect::<Vec<_>>(),
        "witness": witnessing,
        "syslog": collector.map(|collector| json!({
            "address": collector.address,
            "logs": behind.iter().map(|log| json!({
                "origin": log.origin, "next": log.next, "waiting": log.entries(),
                "oldest_at": log.oldest.map(|at| at.to_string()),
            })).collect::<Vec<_>>(),
        })),
        "certificates": certificates.iter().map(|(name, until, days)| {
            json!({ "name": name, "until": until.to_string(), "days_left": days })
        }).collect::<Vec<_>>(),
        "keys_in_tokens": in_token.iter().map(key::Row::json).collect::<Vec<_>>(),
        "queues": {
            "outbox": sending.iter().map(queue).collect::<Vec<_>>(),
            "deliveries": delivering.iter().map(queue).collect::<Vec<_>>(),
            "dead": dead.iter().map(|(partner, count)| json!({ "to": partner, "count": count })).collect::<Vec<_>>(),
        },
    });
    cx.print(&report, || {
        let mut lines = vec![
            format!(
                "silkgate {}: {} ({})",
                env!("CARGO_PKG_VERSION"),
                config.party,
                if running { "running" } else { "stopped" }
            ),
            format!("  partner plane   {} as {}", config.partner_plane.listen, config.partner_plane.endpoint),
            format!("  national plane  {}", config.national_plane.listen),
            format!("  database        {place}"),
        ];
        for alarm in &alarms {
            lines.push(alarm_text(alarm));
        }
        lines.extend(unstated.iter().map(|(country, what)| {
            format!("  ALARM           {country}: {what}; somebody has changed the database (docs/operations/agreements.md)")
        }));
        lines.push(match (four_eyes, proposed) {
            (false, _) => "  approval        by one operator; RECOMMENDED: [approval] four_eyes = true, with two operators \
                           (docs/operations/approval.md)"
                .to_owned(),
            (true, 0) => "  approval        by two operators; nothing waits".to_owned(),
            (true, count) => format!("  approval        by two operators; {count} to be approved: silkgate approve"),
        });
        lines.extend(partners.iter().map(|row| format!("  partner         {} {}", row.country, row.state)));
        lines.extend(exchanges.iter().map(|row| {
            let calls = if row.direction == "in" { "calls with" } else { "is called with" };
            format!("  key exchange    {} {calls} {} since {}", row.partner, group(row), both_times(row.at))
        }));
        lines.extend(logs.iter().zip(&stamps).map(|(head, stamp)| {
            let stamped = match stamp {
                Some(stamp) => format!(", {} of them time-stamped at {}", stamp.size, both_times(stamp.at)),
                None if config.timestamp.is_some() => ", not time-stamped yet".to_owned(),
                None => String::new(),
            };
            format!("  log             {} with {} entries{stamped}", head.origin, head.size)
        }));
        lines.extend(witnessing.iter().map(|cosigned| {
            let state = match cosigned.size {
                Some(size) if size == cosigned.of => "all of it".to_owned(),
                Some(size) => format!("{size} of {} entries", cosigned.of),
                None => "nothing yet".to_owned(),
            };
            format!("  witness         {} has cosigned {state} of {}", cosigned.partner, cosigned.origin)
        }));
        lines.extend(collector.iter().flat_map(|collector| {
            let address = &collector.address;
            behind.iter().map(move |log| {
                let since = log.oldest.map(|at| format!(", the oldest since {}", both_times(at)));
                let waits = match log.entries() {
                    0 => "has all".to_owned(),
                    count => format!("waits for {count} entries{}", since.unwrap_or_default()),
                };
                format!("  syslog          {address} {waits} of {}", log.origin)
            })
        }));
        lines.extend(certificates.iter().map(|(name, until, days)| {
            let alarm = if *days < 30 { "  RENEW NOW" } else { "" };
            format!("  certificate     {name} until {until}, {days} days left{alarm}")
        }));
        lines.extend(in_token.iter().map(|row| format!("  key             {}", row.text())));
        let wait = |what: &str, (name, count, oldest): &(String, i64, Instant)| {
            format!("  {what:<15} {count} for {name}, the oldest since {}", both_times(*oldest))
        };
        lines.extend(sending.iter().map(|queue| wait("to be sent", queue)));
        lines.extend(delivering.iter().map(|queue| wait("to be fetched", queue)));
        let given_up = |(partner, count): &(String, i64)| {
            format!("  given up        {count} for {partner}; `silkgate dead list` names them")
        };
        lines.extend(dead.iter().map(given_up));
        lines.join("\n")
    })?;
    Ok(Found::Good)
}

/// In which group keys are exchanged with a partner, each way, and since when.
fn exchanged(exchanges: &[ExchangeRow], partner: &str) -> serde_json::Value {
    let rows = exchanges.iter().filter(|row| row.partner == partner);
    let shown = |row: &ExchangeRow| {
        (row.direction.clone(), json!({ "group": group(row), "since": row.at.to_string() }))
    };
    rows.map(shown).collect::<serde_json::Map<_, _>>().into()
}

fn group(row: &ExchangeRow) -> &str {
    match Group::of_code(&row.kx) {
        Some(group) => group.as_str(),
        None => &row.kx,
    }
}

fn alarm_text(alarm: &Alarm) -> String {
    let since = both_times(alarm.at);
    match alarm.kind {
        AlarmKind::Rollback => format!(
            "  ALARM           READ-ONLY since {since}: {} has seen a later or another history of {} than this database holds. \
             `silkgate log recover {}` tells the way out",
            alarm.partner, alarm.origin, alarm.partner
        ),
        AlarmKind::Fork => format!(
            "  ALARM           since {since}: {} showed a history of {} that contradicts what it showed before; both checkpoints \
             are kept (--json). Ask {0}'s operator by telephone; `silkgate log recover {0}` once it is explained",
            alarm.partner, alarm.origin
        ),
    }
}

/// How far a partner has cosigned a log of ours.
#[derive(serde::Serialize)]
struct Cosigned {
    partner: String,
    origin: String,
    /// Entries under its newest cosignature.
    size: Option<u64>,
    /// Entries there are.
    of: u64,
}

async fn witnessing(
    conn: &mut Connection,
    logs: &[ledger::Head],
    partners: &[partner::PartnerRow],
) -> Result<Vec<Cosigned>> {
    let mut all = Vec::new();
    for row in partners.iter().filter(|row| row.state != "removed") {
        let shown = |head: &&ledger::Head| head.partner.is_none_or(|partner| partner.as_str() == row.country);
        for head in logs.iter().filter(shown) {
            let size = witness::newest_cosigned(conn, head.id, &row.country).await?;
            let (partner, origin) = (row.country.clone(), head.origin.clone());
            all.push(Cosigned { partner, origin, size, of: head.size });
        }
    }
    Ok(all)
}

type Queue = (String, i64, Instant);

async fn queues(conn: &mut Connection) -> Result<(Vec<Queue>, Vec<Queue>)> {
    Ok((outbox::depth(conn).await?, delivery::depth(conn).await?))
}

/// Our own certificates in use: until when, and the whole days left.
fn certificates(cx: &Cx) -> Result<Vec<(&'static str, Instant, i64)>> {
    let now = clock::now();
    let read = |name: &'static str| {
        let certificate = keys::one(&cx.home.certificate(name))?;
        let until = Instant::from_seconds(read_identity(&certificate)?.not_after.unix_timestamp());
        Ok((name, until, (until.0 - now.0).div_euclid(86_400_000)))
    };
    ["tls", "message", "national", "tls-ca", "national-ca"].into_iter().map(read).collect()
}
