//! Commands that carry a whole state: to another kind of database, into a backup and out of it, to another version.

pub(super) mod backup;
mod furnish;
pub(super) mod moving;
pub(super) mod restore;
pub(super) mod upgrade;

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Cx, audit, serve};
use crate::audit::Report;
use crate::clock;
use crate::config::{Config, Place};
use crate::store::carry::{Reached, Side};
use crate::store::{Open, Store};

/// Makes sure that no gateway serves the home, as long as it is held.
fn alone(cx: &Cx) -> Result<File> {
    serve::lock(cx).context("the gateway must be stopped for this; nothing was changed")
}

/// How long a server may take to notice that a gateway is gone.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

/// Makes sure that no gateway on another machine uses a server's database.
async fn unused(place: &Place) -> Result<()> {
    let deadline = now() + NOTICED_WITHIN;
    while Side::others(place).await? > 0 {
        if now() > deadline {
            bail!("{place}: a gateway or a command still uses it; stop every one; nothing was changed");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// The present time as a part of names, to the millisecond: `20261124t093000123z`.
fn moment() -> String {
    let at = clock::now().to_string();
    let at: String = at.chars().filter(char::is_ascii_alphanumeric).collect();
    let (day, time) = at.split_once('T').unwrap_or((&at, ""));
    format!("{day}t{}z", time.trim_end_matches('Z'))
}

/// Audits a database that is not in force yet, with the keys of this home and without asking anybody.
async fn audited(cx: &Cx, config: &Config, (data, keys): (&Place, &Place), how: Open) -> Result<Report> {
    if how == Open::Migrate {
        Store::open(data, keys, how, Arc::new(|| {})).await?.close().await;
    }
    // As a command: unlike a gateway's, its transactions may last.
    let store = Store::open(data, keys, Open::Existing, Arc::new(|| {})).await?;
    let unused = cx.home.path().join("audit.progress.staged");
    let report = audit::recompute(cx, config, &store, (&unused, true), false).await;
    let _ = std::fs::remove_file(&unused);
    store.close().await;
    report
}

/// A file that was made at a place; None: it is a server's.
fn made(place: &Place) -> Option<&Path> {
    if let Place::File(path) = place { Some(path) } else { None }
}

/// A line on the terminal while tables are carried; silent where nobody looks.
struct Progress {
    shown: bool,
    drawn: Option<Instant>,
}

impl Progress {
    fn new(cx: &Cx) -> Self {
        Self { shown: std::io::stderr().is_terminal() && !cx.json, drawn: None }
    }

    fn step(&mut self, step: &Reached<'_>) {
        let now = now();
        let every = Duration::from_millis(250);
        if !self.shown || self.drawn.is_some_and(|drawn| now - drawn < every) {
            return;
        }
        self.drawn = Some(now);
        let _ = write!(std::io::stderr(), "\r\x1b[K{}: {} of {} rows", step.table, step.rows, step.of);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn now() -> Instant {
    Instant::now()
}
