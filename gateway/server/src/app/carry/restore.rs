//! `silkgate restore`: puts a backup in force, and asks the partners what they have seen since it was made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use silkgate_message::instant::Instant;

use super::super::audit::{self, neighbours};
use super::super::{Cx, Found, both_times};
use super::furnish::furnish;
use super::{Progress, alone, audited, moment, unused};
use crate::audit::{Report, WitnessReport, WitnessState};
use crate::clock;
use crate::config::{Config, Place};
use crate::store::archive::{self, About};
use crate::store::carry::{Part, Side};
use crate::store::staged::Staged;
use crate::store::witness::{self, Alarm, AlarmKind};
use crate::store::{Open, Store, erasure, ledger, message, payload};

/// What to restore.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  silkgate -d iq restore /backup/iq-2026-11-24.silkgate\n  silkgate -d iq restore /backup/iq-2026-11-24.silkgate --check\n  \
                        silkgate -d iq restore /backup/iq-2026-11-24.silkgate --keys /backup-of-keys/iq-2026-11-24.keys\n\nThe gateway must be stopped. The \
                        file is verified, made ready beside the present database, audited, and put in force at\none stroke; the former database is \
                        kept aside. Then the partners are asked what they have seen of our logs. Where one has\nseen more than the backup holds, the \
                        home is read-only, the exit code is 1, and `silkgate log recover` is the way out.\n\nOn a new machine: put keys/*.key and \
                        clients/*.key in place, then restore into that folder; silkgate.toml and the\ncertificates come out of the backup. See \
                        docs/operations/backup.md.\n\nExit codes: 0 restored, and no partner that answered has seen more; 1 a partner has, or the backup \
                        does not stand up to\nthe audit; 2 could not be done."
)]
pub(crate) struct Args {
    /// The backup.
    #[arg(required_unless_present = "keys")]
    file: Option<PathBuf>,
    /// A backup of the key store, where that is lost too.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Do not ask the partners now; the gateway asks at its next start.
    #[arg(long)]
    offline: bool,
    /// Only prove that the backup could be restored, beside a running gateway; nothing is changed.
    #[arg(long, requires = "file", conflicts_with_all = ["keys", "offline"])]
    check: bool,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    if args.check {
        let file = args.file.context("--check needs the backup")?;
        return check(cx, &file).await;
    }
    let _lock = alone(cx)?;
    let opened = match &args.file {
        Some(file) => Some((file, archive::open(file, Part::Data).await?)),
        None => None,
    };
    let new_files = match &opened {
        Some((_, (_, about))) if !cx.home.config_file().exists() => furnish(cx, about)?,
        _ => Vec::new(),
    };
    let config = cx.home.config()?;
    let mut report = json!({ "files": new_files });
    if let Some(file) = &args.keys {
        report["keys"] = keys(cx, &config, file).await?;
    }
    let mut found = (Found::Good, Vec::new());
    if let Some((file, (side, about))) = opened {
        found = data(cx, &config, (file, &side, &about), args.offline, &mut report).await?;
    }
    let (found, witnesses) = found;
    cx.print(&report, || text(&report, &witnesses))?;
    Ok(found)
}

/// What a backup is held against before anything is done with it.
fn ours(config: &Config, file: &Path, about: &About) -> Result<()> {
    if about.origin != config.house_origin() {
        bail!(
            "{}: it is a backup of another gateway, whose house log is {}; nothing was changed",
            file.display(),
            about.origin
        );
    }
    Ok(())
}

/// The data of a backup, from the file into force.
async fn data(
    cx: &Cx,
    config: &Config,
    (file, side, about): (&Path, &Side, &About),
    offline: bool,
    report: &mut Value,
) -> Result<(Found, Vec<WitnessReport>)> {
    ours(config, file, about)?;
    let (place, key_place) = (cx.home.database(config), cx.home.key_store(config));
    unused(&place).await?;
    let staged = Staged::begin(&place).await.with_context(|| place.to_string())?;
    let ready = ready(cx, config, (side, about), (&staged, &key_place), offline).await;
    let (audit, lost) = match ready {
        Ok(Ok(ready)) => ready,
        Ok(Err(audit)) => {
            let _ = staged.discard().await;
            refuse(&audit, file);
            return Ok((Found::Wrong, Vec::new()));
        }
        Err(error) => {
            let _ = staged.discard().await;
            return Err(
                error.context(format!("{}: it was not restored; nothing was changed", file.display()))
            );
        }
    };
    let again = to_erase_again(config, cx, about, &staged).await;
    // Up to here the former database is in force, whatever happens; `put_in_force` is the one stroke.
    let kept = staged.put_in_force(&format!("before-restore-{}", moment())).await?;
    report["restored"] = json!({
        "file": file, "at": about.at.to_string(), "database": place.to_string(), "schema": about.schema, "kept_aside": kept,
        "messages": audit.messages, "payloads": audit.payloads, "keys_destroyed": audit.keys_destroyed,
    });
    report["witnesses"] = json!(audit.witnesses);
    report["erase_again"] = json!(again);
    report["asked"] = json!(!offline);
    report["read_only"] = json!(lost > 0);
    let found = if lost > 0 { Found::Wrong } else { Found::Good };
    Ok((found, audit.witnesses))
}

/// Makes the backup ready beside the state in force: migrated, audited, and read-only where a partner has seen more. The
/// inner error is what the audit found.
async fn ready(
    cx: &Cx,
    config: &Config,
    (side, about): (&Side, &About),
    (staged, key_place): (&Staged, &Place),
    offline: bool,
) -> Result<Result<(Report, usize), Report>> {
    let mut progress = Progress::new(cx);
    archive::unpack((side, about), staged.place(), &mut |step| progress.step(step)).await?;
    drop(progress);
    let mut audit = audited(cx, config, (staged.place(), key_place), Open::Migrate).await?;
    if !is_sound(&audit) {
        return Ok(Err(audit));
    }
    audit.findings.clear();
    let store = Store::open(staged.place(), key_place, Open::Existing, Arc::new(|| {})).await?;
    let lost = neighbours::ask(cx, config, &store, offline, &mut audit).await?;
    // What the guard of the next start would do; so the state is read-only before it comes into force.
    for lost in &lost {
        let mut tx = store.write().await?;
        let heads = ledger::heads(&mut tx).await?;
        let head = heads.iter().find(|head| head.origin == lost.origin);
        let held = match head {
            Some(head) => ledger::checkpoint(&mut tx, head.id, head.size).await?.unwrap_or_default(),
            None => Vec::new(),
        };
        let (kind, note) = (AlarmKind::Rollback, lost.note.clone());
        let alarm = Alarm::new(&lost.partner, &lost.origin, kind, clock::now(), held, note);
        witness::raise(&mut tx, &alarm).await?;
        tx.commit().await?;
    }
    store.close().await;
    Ok(Ok((audit, lost.len())))
}

/// Messages that operators erased since, as the former database tells, and whose payloads the backup brings back; none where
/// the former database is gone.
async fn to_erase_again(config: &Config, cx: &Cx, about: &About, staged: &Staged) -> Vec<String> {
    let keys = cx.home.key_store(config);
    let former = cx.home.database(config);
    let found = async {
        let former = Store::open(&former, &keys, Open::Existing, Arc::new(|| {})).await?;
        let erased = erasure::by_operators(&mut former.read().await?, about.at).await;
        former.close().await;
        let store = Store::open(staged.place(), &keys, Open::Existing, Arc::new(|| {})).await?;
        let mut view = store.read().await?;
        let mut again = Vec::new();
        for id in erased? {
            for row in message::by_id(&mut view, &id).await? {
                if payload::key_of(&mut view, row.seq).await?.is_some() {
                    again.push(id.to_string());
                }
            }
        }
        drop(view);
        store.close().await;
        again.dedup();
        anyhow::Ok(again)
    };
    found.await.unwrap_or_default()
}

/// Whether a backup may come into force. What retention has destroyed since it was made is to be expected: the gateway's first
/// look erases it again.
fn is_sound(audit: &Report) -> bool {
    audit.findings.len() as u64 + audit.findings_unlisted == audit.keys_destroyed
}

fn refuse(audit: &Report, file: &Path) {
    for finding in audit.findings.iter().take(20) {
        eprintln!("silkgate: FOUND {}: {}", finding.place, finding.what);
    }
    let more = (audit.findings.len() as u64 + audit.findings_unlisted).saturating_sub(20);
    if more > 0 {
        eprintln!("silkgate: … and {more} more");
    }
    eprintln!("silkgate: {}: the backup does not stand up to the audit; nothing was changed", file.display());
}

/// Proves that a backup could be restored, in a file that goes again.
async fn check(cx: &Cx, file: &Path) -> Result<Found> {
    let config = cx.home.config()?;
    let (side, about) = archive::open(file, Part::Data).await?;
    ours(&config, file, &about)?;
    let key_place = cx.home.key_store(&config);
    let keys = Side::open(&key_place, Part::Keys).await;
    let key_version = match keys {
        Ok(keys) => keys.version().await?,
        Err(error) => return Err(error).context("without the key store no payload can be opened"),
    };
    if key_version != Part::Keys.newest() {
        bail!("the key store has schema {key_version}: run `silkgate upgrade` first");
    }
    let staged = Staged::begin(&Place::File(cx.home.path().join("restore-check"))).await?;
    let audit = async {
        let mut progress = Progress::new(cx);
        archive::unpack((&side, &about), staged.place(), &mut |step| progress.step(step)).await?;
        drop(progress);
        audited(cx, &config, (staged.place(), &key_place), Open::Migrate).await
    };
    let audit = audit.await;
    staged.discard().await?;
    let audit = audit?;
    if !is_sound(&audit) {
        refuse(&audit, file);
        return Ok(Found::Wrong);
    }
    let report = json!({
        "checked": file, "at": about.at.to_string(), "schema": about.schema, "messages": audit.messages,
        "payloads": audit.payloads, "keys_destroyed": audit.keys_destroyed,
    });
    cx.print(&report, || {
        format!(
            "{}: it can be restored. As of {}: {} messages and {} payloads recomputed, everything agrees; of {} payloads the keys were \
             destroyed since. Nothing was changed.",
            file.display(),
            both_times(about.at),
            audit.messages,
            audit.payloads,
            audit.keys_destroyed
        )
    })?;
    Ok(Found::Good)
}

/// The key store, only where there is none: an older one beside a newer database would lack the keys made since.
async fn keys(cx: &Cx, config: &Config, file: &Path) -> Result<Value> {
    let (side, about) = archive::open(file, Part::Keys).await?;
    ours(config, file, &about)?;
    let place = cx.home.key_store(config);
    unused(&place).await?;
    if let Ok(present) = Side::open(&place, Part::Keys).await {
        let mut ignore = |_: &crate::store::carry::Reached<'_>| {};
        let rows: u64 = archive::sums(&present, &mut ignore).await?.iter().map(|sum| sum.rows).sum();
        present.close(None).await?;
        if rows > 0 {
            bail!(
                "{place} holds keys: an older key store would lack those made since {}, and bring back what was destroyed. Restore without \
                 --keys; where the present one is damaged, move it away first. Nothing was changed",
                about.at
            );
        }
    }
    let staged = Staged::begin(&place).await.with_context(|| place.to_string())?;
    let mut progress = Progress::new(cx);
    let unpacked = archive::unpack((&side, &about), staged.place(), &mut |step| progress.step(step)).await;
    drop(progress);
    if let Err(error) = unpacked {
        let _ = staged.discard().await;
        return Err(error).context("the key store was not restored; nothing was changed");
    }
    let kept = staged.put_in_force(&format!("before-restore-{}", moment())).await?;
    Ok(
        json!({ "file": file, "at": about.at.to_string(), "key_store": place.to_string(), "kept_aside": kept }),
    )
}

fn text(report: &Value, witnesses: &[WitnessReport]) -> String {
    let mut lines = Vec::new();
    let said = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let time = |value: &Value| value.as_str().and_then(Instant::parse).map(both_times).unwrap_or_default();
    for file in report["files"].as_array().into_iter().flatten() {
        lines.push(format!("{} was written, as the backup has it", said(file)));
    }
    if let Some(file) = report["keys"]["file"].as_str() {
        let (at, place) = (time(&report["keys"]["at"]), said(&report["keys"]["key_store"]));
        lines.push(format!(
            "{place} is the key store of {at}, from {file}: payloads under keys made since cannot be read"
        ));
    }
    let restored = &report["restored"];
    if restored.is_null() {
        return lines.join("\n");
    }
    lines.push(format!(
        "{} is the state of {}, from {}: {} messages and {} payloads recomputed, everything agrees",
        said(&restored["database"]),
        time(&restored["at"]),
        said(&restored["file"]),
        restored["messages"],
        restored["payloads"]
    ));
    if let Some(kept) = restored["kept_aside"].as_str() {
        lines.push(format!("  What was in force before is kept as {kept}"));
    }
    if restored["keys_destroyed"] != 0 {
        lines.push(format!(
            "  Of {} payloads the day keys were destroyed since: the gateway erases them again at its first look",
            restored["keys_destroyed"]
        ));
    }
    for id in report["erase_again"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        lines.push(format!(
            "  An operator erased {id} since, and its payload is back: `silkgate erase {id} --reason …` again"
        ));
    }
    lines.extend(witnesses.iter().map(audit::seen));
    lines.push(outlook(report, witnesses));
    lines.join("\n")
}

/// What comes next.
fn outlook(report: &Value, witnesses: &[WitnessReport]) -> String {
    let state = |state: WitnessState| {
        witnesses.iter().find(|witness| witness.state == state).map(|witness| witness.partner.clone())
    };
    if report["read_only"] == true {
        let partner = state(WitnessState::Contradicts).unwrap_or_default();
        return format!(
            "\nREAD-ONLY: partners have seen more than this backup holds. Nothing passes until that is given up: if there is a newer database \
             or backup, restore that. Otherwise start the gateway and run `silkgate log recover {partner}` on both sides; then `silkgate \
             reconcile {partner}` names each message that was lost here. Repeat erasures that operators ordered since. See \
             docs/operations/recovery.md."
        );
    }
    if report["asked"] == false {
        return "\nNOBODY WAS ASKED what they have seen since this backup was made (--offline). The next start asks, and goes read-only \
                where a partner has seen more."
            .to_owned();
    }
    match state(WitnessState::Unreachable) {
        Some(partner) => format!(
            "\n{partner} COULD NOT BE ASKED. The next start asks again, nothing passes with a partner before its word, and it goes read-only \
             where one has seen more."
        ),
        None => "No partner has seen more than this backup holds. Start the gateway.".to_owned(),
    }
}
