//! `silkgate backup`: the state in one file, taken in one view beside a running gateway.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::super::{Cx, Found, both_times};
use super::Progress;
use crate::clock;
use crate::config::{Config, Place};
use crate::store::archive::{self, About};
use crate::store::carry::{Part, Side};
use silkgate_message::instant::Instant;

/// Where to.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  silkgate -d iq backup /backup/iq-2026-11-24.silkgate\n  silkgate -d iq backup --keys /backup-of-keys/iq-2026-11-24.keys\n\nWorks \
                        beside a running gateway, and writes the same file for SQLite and PostgreSQL: a backup of one restores into the\nother. Payloads \
                        in it stay encrypted. In it are every table, silkgate.toml (without passwords) and the certificates;\nNOT in it are \
                        private keys (keys/*.key, clients/*.key: copy them once, offline) and the payloads' keys, which --keys\nbacks up into a \
                        file of its own. Keep the two apart, and no backup of the keys for longer than `key_backup_days`.\nNo file is ever \
                        overwritten. `silkgate restore FILE --check` proves that a backup is good. See docs/operations/backup.md."
)]
pub(crate) struct Args {
    /// The file to write.
    #[arg(required_unless_present = "keys")]
    file: Option<PathBuf>,
    /// Back the key store up into this file.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    let config = cx.home.config()?;
    if args.file == args.keys {
        bail!("data and keys go into two files, best on two machines");
    }
    let mut done = Vec::new();
    // The data first: every key that its payloads are under is in the key store by then.
    if let Some(file) = &args.file {
        done.push(write(cx, &config, Part::Data, &cx.home.database(&config), file).await?);
    }
    if let Some(file) = &args.keys {
        done.push(write(cx, &config, Part::Keys, &cx.home.key_store(&config), file).await?);
    }
    cx.print(&json!({ "backups": done }), || done.iter().map(text).collect::<Vec<_>>().join("\n"))?;
    Ok(Found::Good)
}

/// Backs one database up.
pub(super) async fn write(cx: &Cx, config: &Config, part: Part, place: &Place, file: &Path) -> Result<Value> {
    let side = Side::open(place, part).await.with_context(|| place.to_string())?;
    let about = About {
        part,
        schema: 0,
        at: clock::now(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        origin: config.house_origin(),
        sums: Vec::new(),
        files: if part == Part::Data { files(cx, config)? } else { Vec::new() },
    };
    let mut progress = Progress::new(cx);
    let about = archive::write(file, &side, about, &mut |step| progress.step(step)).await;
    drop(progress);
    let about = about.with_context(|| format!("{}: there is no backup", file.display()))?;
    side.close(None).await?;
    let bytes = std::fs::metadata(file).map(|found| found.len()).unwrap_or(0);
    if part == Part::Data {
        // Only to remind: `silkgate upgrade --check` tells it.
        let _ = std::fs::write(last(cx), format!("{} {}\n", about.at, file.display()));
    }
    Ok(json!({
        "file": file, "part": part.as_str(), "at": about.at.to_string(), "schema": about.schema, "bytes": bytes,
        "tables": about.sums, "files": about.files.iter().map(|(name, _)| name).collect::<Vec<_>>(),
    }))
}

/// Where the newest backup of the data is noted.
pub(super) fn last(cx: &Cx) -> PathBuf {
    cx.home.path().join("backup.last")
}

/// What of the home an operator needs on a new machine and anybody may see.
fn files(cx: &Cx, config: &Config) -> Result<Vec<(String, Vec<u8>)>> {
    let file = cx.home.config_file();
    let mut text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let places = [("database", cx.home.database(config)), ("key_store", cx.home.key_store(config))];
    for (setting, place) in places.iter().filter(|(_, place)| matches!(place, Place::Server(_))) {
        text = Config::with_setting(&text, setting, &place.without_password())
            .map_err(|what| anyhow::anyhow!("{}: {what}", file.display()))?;
    }
    let mut files = vec![("silkgate.toml".to_owned(), text.into_bytes())];
    for folder in ["certs", "clients"] {
        let Ok(entries) = std::fs::read_dir(cx.home.path().join(folder)) else { continue };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_file() && name.ends_with(".pem") {
                let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
                files.push((format!("{folder}/{name}"), bytes));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn text(done: &Value) -> String {
    let [file, part, at] = ["file", "part", "at"].map(|name| done[name].as_str().unwrap_or_default());
    let at = Instant::parse(at).map(both_times).unwrap_or_default();
    let tables = done["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: u64 = tables.iter().filter_map(|table| table["rows"].as_u64()).sum();
    let what = if part == "keys" {
        "the payloads' keys. Whoever has this file and a backup of the data can read the payloads: keep them apart, and destroy it \
         within `key_backup_days`"
    } else {
        "the whole database, silkgate.toml and the certificates. Private keys and the payloads' keys are not in it"
    };
    format!("{file}: {what}.\n  As of {at}: {rows} rows in {} tables, {} bytes.", tables.len(), done["bytes"])
}
