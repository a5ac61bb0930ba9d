//! `silkgate status`: how the gateway stands, also while it is stopped.

use anyhow::Result;
use serde_json::json;
use silkgate_certs::read_identity;
use silkgate_message::instant::Instant;

use super::{Cx, Found, admin, both_times};
use crate::clock;
use crate::keys;
use crate::store::{Connection, delivery, ledger, message, outbox, partner};

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
    let partners = partner::all(&mut tx).await?;
    let (sending, delivering) = queues(&mut tx).await?;
    let dead = message::dead(&mut tx).await?;
    let running =
        std::fs::File::open(cx.home.path().join("silkgate.lock")).is_ok_and(|file| file.try_lock().is_err());
    let certificates = certificates(cx)?;
    let queue = |(name, count, oldest): &(String, i64, Instant)| json!({ "to": name, "waiting": count, "oldest_at": oldest.to_string() });
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "running": running,
        "party": config.party,
        "host": config.host,
        "database": { "kind": "sqlite", "path": cx.home.database(&config) },
        "partner_plane": { "listen": config.partner_plane.listen.to_string(), "endpoint": config.partner_plane.endpoint },
        "national_plane": { "listen": config.national_plane.listen.to_string() },
        "partners": partners.iter().map(|row| json!({ "partner": row.country, "state": row.state })).collect::<Vec<_>>(),
        "logs": logs.iter().map(|head| json!({ "origin": head.origin, "partner": head.partner, "size": head.size })).collect::<Vec<_>>(),
        "certificates": certificates.iter().map(|(name, until, days)| {
            json!({ "name": name, "until": until.to_string(), "days_left": days })
        }).collect::<Vec<_>>(),
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
            format!("  database        {}", cx.home.database(&config).display()),
        ];
        lines.extend(partners.iter().map(|row| format!("  partner         {} {}", row.country, row.state)));
        lines.extend(
            logs.iter().map(|head| format!("  log             {} with {} entries", head.origin, head.size)),
        );
        lines.extend(certificates.iter().map(|(name, until, days)| {
            let alarm = if *days < 30 { "  RENEW NOW" } else { "" };
            format!("  certificate     {name} until {until}, {days} days left{alarm}")
        }));
        let wait = |what: &str, (name, count, oldest): &(String, i64, Instant)| {
            format!("  {what:<15} {count} for {name}, the oldest since {}", both_times(*oldest))
        };
        lines.extend(sending.iter().map(|queue| wait("to be sent", queue)));
        lines.extend(delivering.iter().map(|queue| wait("to be fetched", queue)));
        let given_up = |(partner, count): &(String, i64)| {
            format!("  given up        {count} for {partner}; `silkgate log --partner house` names them")
        };
        lines.extend(dead.iter().map(given_up));
        lines.join("\n")
    })?;
    Ok(Found::Good)
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
