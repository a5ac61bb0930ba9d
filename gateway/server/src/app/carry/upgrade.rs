//! `silkgate upgrade`: what this version of the program would do to a home, and doing it behind a backup.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::super::{Cx, Found};
use super::{alone, backup, moment, unused};
use crate::clock;
use crate::config::{Config, Place};
use crate::directory::Directory;
use crate::retention;
use crate::store::carry::{self, Part, Side, Step};
use crate::store::{Open, Store};

/// The version before which payloads stood in the clear.
const ENCRYPTED_SINCE: i64 = 4;

/// Whether only to look.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  silkgate -d iq upgrade --check\n  silkgate -d iq upgrade\n\n--check works beside a running gateway of the older version and changes \
                        nothing. Without it the gateway must be stopped; a\nbackup is written into the home first, then every pending migration is \
                        applied, each in a transaction. `silkgate serve`\nwould apply them as well, without the backup. A database of a newer \
                        program is never touched. See docs/operations/upgrade.md.\n\nExit codes of --check: 0 nothing to do, 1 migrations are pending, 2 \
                        this program cannot run on this home. Without --check:\n0 up to date, 2 could not be done."
)]
pub(crate) struct Args {
    /// Only tell what would be done.
    #[arg(long)]
    check: bool,
    /// Where to write the backup; a file in the home, named by version and time, if left out.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    backup: Option<PathBuf>,
}

/// One of the two databases as it is, and what is to be done to it.
struct Standing {
    part: Part,
    place: Place,
    found: i64,
    pending: Vec<Step>,
}

impl Standing {
    async fn of(part: Part, place: Place) -> Result<Self> {
        // A home from before there were keys has no key store yet; the first start makes it.
        let missing = matches!(&place, Place::File(path) if part == Part::Keys && !path.exists());
        let found = if missing { 0 } else { Side::found(&place).await.with_context(|| place.to_string())? };
        let pending = carry::pending(part, &place, found);
        Ok(Self { part, place, found, pending })
    }

    fn needed(&self) -> i64 {
        self.part.newest()
    }

    /// Why this program cannot use it.
    fn hindrance(&self) -> Option<String> {
        if self.found > self.needed() {
            return Some(format!(
                "{} has schema {}, which is newer than this program ({}): run the newer program, or restore a backup from before the upgrade",
                self.place,
                self.found,
                self.needed()
            ));
        }
        (self.found == 0 && self.part == Part::Data)
            .then(|| format!("{}: there is no state of a gateway", self.place))
    }

    fn told(&self) -> Value {
        json!({
            "place": self.place.to_string(), "schema": self.found, "needed": self.needed(),
            "pending": self.pending.iter().map(|step| json!({
                "version": step.version, "name": step.name, "what": step.what,
            })).collect::<Vec<_>>(),
        })
    }
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    // A setting that is misspelt or no longer known ends here, with its line.
    let config = cx.home.config()?;
    let data = Standing::of(Part::Data, cx.home.database(&config)).await?;
    let keys = Standing::of(Part::Keys, cx.home.key_store(&config)).await?;
    let hindrances: Vec<String> = data.hindrance().into_iter().chain(keys.hindrance()).collect();
    let pending = data.pending.len() + keys.pending.len();
    if !args.check {
        if let Some(hindrance) = hindrances.first() {
            bail!("{hindrance}; nothing was changed");
        }
        return upgrade(cx, &config, (&data, &keys), args.backup).await;
    }
    let room = room(&data)?;
    let report = json!({
        "program": env!("CARGO_PKG_VERSION"), "database": data.told(), "key_store": keys.told(), "room": room,
        "configuration": "every setting is known", "last_backup": last_backup(cx), "hindrances": hindrances,
        "verdict": if !hindrances.is_empty() { "cannot" } else if pending > 0 { "pending" } else { "nothing" },
    });
    cx.print(&report, || text(&report))?;
    if let Some(hindrance) = hindrances.first() {
        bail!("{hindrance}");
    }
    Ok(if pending > 0 { Found::Wrong } else { Found::Good })
}

/// Room on the disk, for files: the backup beside the database, the write-ahead log, and once a whole copy where payloads are to
/// be encrypted.
fn room(data: &Standing) -> Result<Option<Value>> {
    let Place::File(path) = &data.place else { return Ok(None) };
    let size = std::fs::metadata(path).map(|found| found.len()).unwrap_or(0);
    let copies = if data.pending.is_empty() {
        0
    } else if data.found < ENCRYPTED_SINCE {
        3
    } else {
        2
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = rustix::fs::statvfs(folder).with_context(|| folder.display().to_string())?;
    let (needed, free) = (size.saturating_mul(copies), disk.f_bavail.saturating_mul(disk.f_frsize));
    Ok(Some(json!({ "needed_bytes": needed, "free_bytes": free, "enough": free >= needed })))
}

/// What `silkgate backup` noted: when, and which file.
fn last_backup(cx: &Cx) -> Value {
    let noted = std::fs::read_to_string(backup::last(cx)).unwrap_or_default();
    match noted.trim_end().split_once(' ') {
        Some((at, file)) => json!({ "at": at, "file": file, "there": Path::new(file).exists() }),
        None => Value::Null,
    }
}

async fn upgrade(
    cx: &Cx,
    config: &Config,
    (data, keys): (&Standing, &Standing),
    file: Option<PathBuf>,
) -> Result<Found> {
    let _lock = alone(cx)?;
    unused(&data.place).await?;
    let plain = data.found < ENCRYPTED_SINCE;
    let pending: Vec<&Step> = data.pending.iter().chain(&keys.pending).collect();
    if pending.is_empty() {
        cx.print(&json!({ "applied": [], "backup": Value::Null }), || "There is nothing to do.".to_owned())?;
        return Ok(Found::Good);
    }
    let name = format!("before-upgrade-{}-{}.silkgate", data.found, moment());
    let file = file.unwrap_or_else(|| cx.home.path().join(name));
    let mut backups = vec![backup::write(cx, config, Part::Data, &data.place, &file).await?];
    if !keys.pending.is_empty() && keys.found > 0 {
        let file = file.with_extension("keys");
        backups.push(backup::write(cx, config, Part::Keys, &keys.place, &file).await?);
    }
    let applied = async {
        // Each migration is one transaction: a crash leaves a version between, from which the next attempt goes on.
        let store = Store::open(&data.place, &keys.place, Open::Migrate, Arc::new(|| {})).await?;
        let directory = Directory::load(&mut store.read().await?, config.country(), clock::now()).await?;
        retention::encrypt_plain(&store, &directory).await?;
        store.close().await;
        anyhow::Ok(())
    };
    applied.await.with_context(|| {
        format!(
            "the upgrade broke off; give the command again, or restore {} with the older program",
            file.display()
        )
    })?;
    let applied: Vec<_> =
        pending.iter().map(|step| json!({ "version": step.version, "name": step.name })).collect();
    let report = json!({ "applied": applied, "backups": backups, "plain_payloads_in_backup": plain });
    cx.print(&report, || {
        let warning = if plain {
            "\nPayloads stand in the clear in that backup: destroy it as soon as the new version has proved itself."
        } else {
            ""
        };
        format!(
            "Schema {} is {} now: {} migrations applied. The state before is in {}.{warning}\nStart the gateway, and run `silkgate audit verify`.",
            data.found,
            data.needed(),
            applied.len(),
            file.display()
        )
    })?;
    Ok(Found::Good)
}

fn text(report: &Value) -> String {
    let said = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!("silkgate {}", said(&report["program"]))];
    for (what, name) in [("database", "database"), ("key store", "key_store")] {
        let part = &report[name];
        lines.push(format!(
            "{what} {}: schema {}, needed {}",
            said(&part["place"]),
            part["schema"],
            part["needed"]
        ));
        for step in part["pending"].as_array().into_iter().flatten() {
            lines.push(format!(
                "  pending {} {}: {}",
                step["version"],
                said(&step["name"]),
                said(&step["what"])
            ));
        }
    }
    lines.push("configuration: every setting is known; what is left out takes its default".to_owned());
    if let Some(free) = report["room"]["free_bytes"].as_u64() {
        let enough = if report["room"]["enough"] == true { "enough" } else { "NOT ENOUGH" };
        lines.push(format!("disk: {free} bytes free, {} needed: {enough}", report["room"]["needed_bytes"]));
    }
    lines.push(match report["last_backup"]["file"].as_str() {
        Some(file) => {
            let gone = if report["last_backup"]["there"] == true { "" } else { ", which is not there any more" };
            format!("last backup: {}, {file}{gone}", said(&report["last_backup"]["at"]))
        }
        None => "last backup: none is known here; `silkgate upgrade` makes one, `silkgate backup FILE` does so beside the gateway".to_owned(),
    });
    lines.push(match report["verdict"].as_str() {
        Some("nothing") => "Nothing is to be done.".to_owned(),
        Some("pending") => {
            "Stop the gateway and run `silkgate upgrade`, or start the new version, which migrates by itself."
                .to_owned()
        }
        _ => "This program cannot run on this home.".to_owned(),
    });
    lines.join("\n")
}
