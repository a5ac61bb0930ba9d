//! Writes a courier's file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use ring::digest::{Context, SHA256};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Digest, encode};
use silkgate_message::party::Country;

use super::super::admin::{self, Act, Where};
use super::super::desk::Desk;
use super::super::{Cx, Found};
use super::file::{Answer, Count, FILE_MAX_BYTES, Head, ITEMS_MAX, LINE_MAX_BYTES, Line, VERSION};
use crate::clock;
use crate::receive::first_answer;
use crate::store::message::{self, State};
use crate::store::{Connection, Store, StoreError, courier, outbox, witness};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The partner's state.
    partner: Country,
    /// The file to write; one that is there already is never replaced.
    file: PathBuf,
}

/// Messages looked up at once.
const PAGE: u32 = 200;
/// Times that it begins again because messages expired while it wrote.
const TRIES: u32 = 5;
/// Kept for the last line.
const ROOM_FOR_END: u64 = 1024;
/// What an attempt by courier is noted as.
const ATTEMPT: &str = "written to a courier's file";

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    if args.file.exists() {
        bail!("{}: there is such a file already", args.file.display());
    }
    let desk = Desk::open(cx).await?;
    let Some(partner) = desk.partner(args.partner) else {
        eprintln!("silkgate: {} is no partner", args.partner);
        return Ok(Found::Wrong);
    };
    desk.read_standing(args.partner).await?;
    if let Err(why) = desk.passes(&partner) {
        eprintln!("silkgate: {why:#}");
        return Ok(Found::Wrong);
    }
    let (own, store) = (desk.gateway.country(), &desk.gateway.store);
    for _ in 0..TRIES {
        let part = Part::create(&args.file)?;
        let now = clock::now();
        let written = write(store, &part.file, own, args.partner, now).await;
        let (written, digest) = written.with_context(|| part.path.display().to_string())?;
        let act = Act {
            log: Where::House,
            what: "courier_exported",
            digest: Some(digest),
            about: Some(args.partner),
        };
        if note(cx, store, &act, &written, now).await? {
            // Only now, with the attempts on the disk, is the file there.
            part.finish(&args.file)?;
            desk.close().await?;
            return tell(cx, &args, &written, digest);
        }
    }
    bail!("messages expire faster than they can be written; try again")
}

/// A file in the making, taken away unless it is finished.
struct Part {
    file: File,
    path: PathBuf,
}

impl Part {
    /// In the folder of the file that it becomes; for the owner's eyes only.
    fn create(target: &Path) -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let name = target.file_name().with_context(|| format!("{}: no file name", target.display()))?;
        let random: String = clock::random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = target.with_file_name(format!(".{}.{random}.part", name.to_string_lossy()));
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.with_context(|| path.display().to_string())?;
        Ok(Self { file, path })
    }

    fn finish(self, target: &Path) -> Result<()> {
        if target.exists() {
            bail!("{}: there is such a file by now", target.display());
        }
        std::fs::rename(&self.path, target).with_context(|| target.display().to_string())?;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all())?;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After the renaming there is none of that name.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What a file holds.
#[derive(Default)]
struct Written {
    count: Count,
    bytes: u64,
    messages: Vec<i64>,
    /// Messages and answers that did not fit; they go with the next file, once these are settled.
    left: u64,
    /// What could not be read from the store.
    unreadable: Vec<String>,
}

/// A file in the making: hashed as it is written, up to its largest size.
struct Writing<'f> {
    out: BufWriter<&'f File>,
    hash: Context,
    written: Written,
}

/// Writes the whole file and has it on the disk.
async fn write(
    store: &Store,
    file: &File,
    own: Country,
    to: Country,
    now: Instant,
) -> Result<(Written, Digest)> {
    let mut tx = store.read().await?;
    let (out, hash) = (BufWriter::new(file), Context::new(&SHA256));
    let mut writing = Writing { out, hash, written: Written::default() };
    writing.line(&Line::Courier(Head { v: VERSION, from: own, to, at: now.to_string() }))?;
    for row in witness::all_witnessed(&mut tx).await? {
        if row.partner == to.as_str() {
            writing.line(&Line::Witnessed(String::from_utf8(row.note)?))?;
        }
    }
    writing.answers(&mut tx, to, now).await?;
    writing.messages(store, &mut tx, to, now).await?;
    writing.line(&Line::End(writing.written.count))?;
    writing.out.flush()?;
    file.sync_all()?;
    let digest = Digest(writing.hash.finish().as_ref().try_into().unwrap_or_default());
    Ok((writing.written, digest))
}

impl Writing<'_> {
    /// Answers that are owed, in half of the file at most. Where there are too many the newest go: earlier files had the others.
    async fn answers(&mut self, conn: &mut Connection, to: Country, now: Instant) -> Result<()> {
        let (mut last, skipped) = courier::last_owed(conn, to.as_str(), now, ITEMS_MAX).await?;
        self.written.left += skipped;
        loop {
            let page = courier::owed(conn, to.as_str(), now, last, PAGE).await?;
            let Some(newest) = page.last() else { return Ok(()) };
            last = *newest;
            for seq in page {
                match answer(conn, seq).await {
                    Ok(line) if self.fits(&line, FILE_MAX_BYTES / 2)? => self.written.count.answers += 1,
                    Ok(_) => self.written.left += 1,
                    Err(StoreError::Corrupt(what)) => {
                        self.written.unreadable.push(format!("the answer to message {seq}: {what}"));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Messages that wait, in the order in which they were taken over.
    async fn messages(
        &mut self,
        store: &Store,
        conn: &mut Connection,
        to: Country,
        now: Instant,
    ) -> Result<()> {
        let (mut last, mut full) = (0, false);
        loop {
            let page = courier::pending(conn, to.as_str(), now, last, PAGE).await?;
            let Some(newest) = page.last() else { return Ok(()) };
            last = *newest;
            for seq in page {
                full |= self.written.count.messages >= ITEMS_MAX;
                let line = match store.payload(conn, seq).await {
                    Ok(Some(bytes)) => Line::Message(encode(&bytes)),
                    Ok(None) => {
                        self.written.unreadable.push(format!("message {seq}: its payload is gone"));
                        continue;
                    }
                    Err(error @ StoreError::Unreadable { .. }) => {
                        self.written.unreadable.push(error.to_string());
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                // Behind one that has no room none goes: it may rest on that one.
                full = full || !self.fits(&line, FILE_MAX_BYTES - ROOM_FOR_END)?;
                if full {
                    self.written.left += 1;
                } else {
                    self.written.count.messages += 1;
                    self.written.messages.push(seq);
                }
            }
        }
    }

    /// Writes a line, if the file is not longer than `limit` then.
    fn fits(&mut self, line: &Line, limit: u64) -> Result<bool> {
        let bytes = line.encode()?;
        if bytes.len() > LINE_MAX_BYTES || self.written.bytes + bytes.len() as u64 > limit {
            return Ok(false);
        }
        self.bytes(&bytes)?;
        Ok(true)
    }

    fn line(&mut self, line: &Line) -> Result<()> {
        self.bytes(&line.encode()?)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.hash.update(bytes);
        self.written.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// The answer that the line gives to that message when it comes again.
async fn answer(conn: &mut Connection, seq: i64) -> Result<Line, StoreError> {
    let gone = || StoreError::Corrupt("the message is gone".to_owned());
    let row = message::by_seq(conn, seq).await?.ok_or_else(gone)?;
    let source = row.source.parse().map_err(|_| StoreError::Corrupt("message.source".to_owned()))?;
    let (status, body) = match first_answer(conn, seq).await? {
        Ok(receipt) => (200, receipt),
        Err(problem) => (problem.status, problem.to_json()),
    };
    Ok(Line::Answer(Answer { source, id: row.id.to_string(), status, body: encode(&body) }))
}

/// Notes the attempts and the act in one transaction. False where a message of the file was settled meanwhile as one that was never sent:
/// then the file must not leave.
async fn note(cx: &Cx, store: &Store, act: &Act, written: &Written, now: Instant) -> Result<bool> {
    let mut tx = store.write().await?;
    for seq in &written.messages {
        if outbox::contains(&mut tx, *seq).await? {
            outbox::note_attempt(&mut tx, *seq, now, ATTEMPT).await?;
            continue;
        }
        let state = message::by_seq(&mut tx, *seq).await?.map(|row| row.state);
        if state.is_none_or(|state| matches!(state, State::Expired | State::Returned)) {
            return Ok(false);
        }
    }
    courier::forget_owed(&mut tx, now).await?;
    admin::commit(cx, tx, std::slice::from_ref(act)).await?;
    Ok(true)
}

fn tell(cx: &Cx, args: &Args, written: &Written, digest: Digest) -> Result<Found> {
    for what in &written.unreadable {
        eprintln!("silkgate: left out: {what}; run `silkgate audit verify`");
    }
    let Count { answers, messages } = written.count;
    let report = serde_json::json!({
        "file": args.file.display().to_string(), "to": args.partner, "messages": messages, "receipts": answers,
        "left": written.left, "unreadable": written.unreadable.len(), "bytes": written.bytes,
        "digest": digest.to_string(),
    });
    cx.print(&report, || {
        let left = match written.left {
            0 => String::new(),
            left => format!("\n{left} more did not fit: write another file once these are answered."),
        };
        format!(
            "{}: {messages} message(s) and {answers} answer(s) for {}, {} bytes. Nothing is settled before the answers are back.{left}",
            args.file.display(),
            args.partner,
            written.bytes
        )
    })?;
    Ok(if written.unreadable.is_empty() { Found::Good } else { Found::Wrong })
}
