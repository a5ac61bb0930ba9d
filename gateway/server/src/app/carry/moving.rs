//! `silkgate move`: a stopped gateway's state goes to the other kind of database, and is proved to have arrived.

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::super::{Cx, Found};
use super::{Progress, alone, audited, made, moment, unused};
use crate::config::{Config, Place};
use crate::store::carry::{Part, Side, Sum};
use crate::store::staged::{Staged, put_aside};
use crate::store::{Connection, Open};

/// From where to where.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  silkgate -d iq move sqlite postgres --database postgres://silkgate@db.example/iq\n  \
                        silkgate -d iq move sqlite postgres --database postgres://db.example/iq --key-store postgres://keys.example/iq\n  \
                        silkgate -d iq move postgres sqlite\n\nThe gateway must be stopped. Every table goes over in one transaction; then every row is \
                        read on both sides and compared,\nand the new database is audited like `silkgate audit verify --offline`. Only then silkgate.toml \
                        names it, and the old\ndatabase is renamed. Until then nothing has changed, and the command can be repeated. A role needs CREATE on \
                        the\nserver's database. Keep the password in ~/.pgpass or in SILKGATE_DATABASE rather than on the command line.\n\n\
                        Exit codes: 0 moved, 1 the state does not stand up to the audit and was not moved, 2 could not be done."
)]
pub(crate) struct Args {
    /// What the state is on now.
    from: Kind,
    /// Where it goes.
    to: Kind,
    /// The new database: `postgres://HOST/NAME`, empty; or a file in the home that is not there yet.
    #[arg(long, value_name = "URL|FILE", env = "SILKGATE_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// Move the payloads' keys as well: a second database of a server, or a file in the home. Without it they stay.
    #[arg(long, value_name = "URL|FILE", env = "SILKGATE_KEY_STORE", hide_env_values = true)]
    key_store: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A file in the home.
    Sqlite,
    /// A database of a PostgreSQL server.
    Postgres,
}

impl Kind {
    fn of(place: &Place) -> Self {
        if matches!(place, Place::File(_)) { Kind::Sqlite } else { Kind::Postgres }
    }

    fn name(self) -> &'static str {
        if self == Kind::Sqlite { "sqlite" } else { "postgres" }
    }
}

/// One database that goes.
struct Journey {
    part: Part,
    /// What silkgate.toml calls it.
    setting: &'static str,
    /// What is written there.
    stated: String,
    from: Place,
    to: Place,
}

/// A database that stands ready at its new place.
struct Arrived<'a> {
    journey: &'a Journey,
    staged: Staged,
    sums: Vec<Sum>,
    /// Until it ends nobody writes to the old one.
    held: Connection,
    old: Side,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    let config = cx.home.config()?;
    let _lock = alone(cx)?;
    let journeys = journeys(cx, &config, &args)?;
    for journey in &journeys {
        if !Side::is_free(&journey.to).await.with_context(|| journey.to.to_string())? {
            bail!("{} is not empty: the state goes to an empty database; nothing was changed", journey.to);
        }
    }
    let mut arrived = Vec::new();
    for journey in &journeys {
        match carry(cx, journey).await.with_context(|| format!("{}; nothing was changed", journey.to)) {
            Ok(done) => arrived.push(done),
            Err(error) => {
                discard(arrived).await;
                return Err(error);
            }
        }
    }
    let keys = arrived.iter().find(|arrived| arrived.journey.part == Part::Keys);
    let key_place = keys.map_or_else(|| cx.home.key_store(&config), |keys| keys.staged.place().clone());
    let data = arrived.first().map(|data| data.staged.place().clone());
    let audit = match &data {
        Some(data) => audited(cx, &config, (data, &key_place), Open::Existing).await,
        None => bail!("there is nothing to move"),
    };
    let findings = audit.as_ref().map(|report| report.findings.len()).unwrap_or(0);
    if findings > 0 || audit.is_err() {
        discard(arrived).await;
        for finding in audit.context("the audit at the new place")?.findings {
            eprintln!("silkgate: FOUND {}: {}", finding.place, finding.what);
        }
        eprintln!(
            "silkgate: the state does not stand up to the audit: it stays where it is, and nothing was changed"
        );
        return Ok(Found::Wrong);
    }
    let audit = audit?;
    let aside = format!("moved-{}", moment());
    let told = settle(cx, arrived, &aside).await?;
    let report = json!({
        "from": args.from.name(), "to": args.to.name(), "moved": told,
        "audit": { "logs": audit.logs, "messages": audit.messages, "payloads": audit.payloads, "findings": 0 },
    });
    cx.print(&report, || text(&report))?;
    Ok(Found::Good)
}

fn journeys(cx: &Cx, config: &Config, args: &Args) -> Result<Vec<Journey>> {
    let from = cx.home.database(config);
    if Kind::of(&from) != args.from {
        bail!("the state is not on {}: silkgate.toml says {from}", args.from.name());
    }
    let stated = match (&args.database, args.to) {
        (Some(stated), _) => stated.clone(),
        (None, Kind::Sqlite) => "silkgate.db".to_owned(),
        (None, Kind::Postgres) => bail!("--database names the new database: postgres://HOST/NAME"),
    };
    let journey = |part, setting, stated: &str, from: Place| {
        let to = cx.home.place(stated);
        if Kind::of(&to) == Kind::of(&from) {
            bail!("{setting}: {from} and {to} are of one kind; a state moves to the other");
        }
        Ok(Journey { part, setting, stated: stated.to_owned(), from, to })
    };
    let mut all = vec![journey(Part::Data, "database", &stated, from)?];
    if Kind::of(&all[0].to) != args.to {
        bail!("--database {} is not on {}", all[0].to, args.to.name());
    }
    if let Some(stated) = &args.key_store {
        all.push(journey(Part::Keys, "key_store", stated, cx.home.key_store(config))?);
    }
    Ok(all)
}

/// Copies one database into a new one beside its new place, and compares the two row by row.
async fn carry<'a>(cx: &Cx, journey: &'a Journey) -> Result<Arrived<'a>> {
    unused(&journey.from).await?;
    let old = Side::open(&journey.from, journey.part).await?;
    let (found, needed) = (old.version().await?, journey.part.newest());
    if found != needed {
        bail!(
            "{} has schema {found}, this program needs {needed}: run `silkgate upgrade` first",
            journey.from
        );
    }
    let mut held = old.hold().await?;
    let staged = Staged::begin(&journey.to).await?;
    let filled = async {
        let side = Side::create(staged.place(), journey.part, found).await?;
        let mut progress = Progress::new(cx);
        let sums = side.fill(&mut held, &mut |step| progress.step(step)).await?;
        side.close(made(staged.place())).await?;
        anyhow::Ok(sums)
    };
    match filled.await {
        Ok(sums) => Ok(Arrived { journey, staged, sums, held, old }),
        Err(error) => {
            let _ = staged.discard().await;
            Err(error)
        }
    }
}

async fn discard(arrived: Vec<Arrived<'_>>) {
    for arrived in arrived {
        // What stays is taken away by the next attempt.
        let _ = arrived.staged.discard().await;
    }
}

/// Puts the new databases in force, and the old ones out of the way.
async fn settle(cx: &Cx, arrived: Vec<Arrived<'_>>, aside: &str) -> Result<Vec<serde_json::Value>> {
    let file = cx.home.config_file();
    let mut text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let mut old = Vec::new();
    for arrived in arrived {
        // Nobody looks there yet: a crash up to the new configuration leaves the old state in force, untouched, and at the new
        // place a copy of it that nothing names.
        arrived.staged.put_in_force(aside).await?;
        let journey = arrived.journey;
        text = Config::with_setting(&text, journey.setting, &journey.stated)
            .map_err(|what| anyhow::anyhow!("{}: {what}", file.display()))?;
        old.push((journey, arrived.sums, arrived.held, arrived.old));
    }
    let config = Config::parse(&text).map_err(|what| anyhow::anyhow!("{}: {what}", file.display()))?;
    let places = [cx.home.database(&config), cx.home.key_store(&config)];
    let names_server = places.iter().any(|place| matches!(place, Place::Server(_)));
    // Here it becomes safe: until the rename of the configuration the old state is in force, and from then on the new one.
    // Both are the same, and nobody has written to either.
    cx.home.replace_config(&text, names_server).with_context(|| file.display().to_string())?;
    let mut told = Vec::new();
    for (journey, sums, held, side) in old {
        held.rollback().await?;
        side.close(None).await?;
        // A crash before this leaves the old database under its own name; nothing names it any more.
        let kept = put_aside(&journey.from, aside).await?;
        told.push(json!({
            "part": journey.part.as_str(), "from": journey.from.to_string(), "to": journey.to.to_string(),
            "kept_aside": kept, "tables": sums,
        }));
    }
    Ok(told)
}

fn text(report: &serde_json::Value) -> String {
    let mut lines = Vec::new();
    for moved in report["moved"].as_array().into_iter().flatten() {
        let tables = moved["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
        let rows: u64 = tables.iter().filter_map(|table| table["rows"].as_u64()).sum();
        let [from, to, kept] =
            ["from", "to", "kept_aside"].map(|name| moved[name].as_str().unwrap_or_default());
        let what = if moved["part"] == "keys" { "The key store" } else { "The database" };
        lines.push(format!(
            "{what} is at {to} now: {rows} rows in {} tables, read on both sides and equal.",
            tables.len()
        ));
        lines.push(format!("  What was at {from} is kept as {kept}; nothing uses it."));
        if moved["part"] == "keys" {
            lines.push(
                "  It holds keys that retention will destroy: it counts as a backup of the key store. Destroy it within \
                 `key_backup_days`."
                    .to_owned(),
            );
        }
    }
    lines.push(format!(
        "The audit recomputed {} messages and {} payloads at the new place; everything agrees. Start the gateway.",
        report["audit"]["messages"], report["audit"]["payloads"]
    ));
    lines.join("\n")
}
