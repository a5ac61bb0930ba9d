//! The logs for a ministry's own monitoring (SIEM): each entry as a message of syslog (RFC 5424) over TLS (RFC 5425) to one collector.
//!
//! Syslog has no acknowledgements. An entry counts as sent when it was written on a connection that still stood a while afterwards; until
//! then it is sent again on the next one. So each entry comes at least once, in the order of its log, and log and index tell a repeat.

mod collector;
mod confirmed;
mod message;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::breaker::jittered;
use crate::clock;
use crate::gateway::Gateway;
use crate::store::{StoreError, ledger, syslog};
pub use collector::Collector;
use collector::{Down, ended};
use confirmed::Marks;

/// Entries of one log in one write: what is held in memory.
const PAGE: u32 = 256;
/// Between two writes while there is more: an old log that is sent at first must not take the machine from messages.
const PACE: Duration = Duration::from_millis(20);
/// For one write. A collector that takes nothing stalls the stream for so long, and nothing else.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// For the end of a frame, and the words of parting, when the gateway stops.
const PART_WITHIN: Duration = Duration::from_secs(1);
/// The longest pause between two looks at what has grown, and for the duty.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Between two questions for the duty where another gateway has it.
const ASK: Duration = Duration::from_secs(2);
/// Longer than a look and a write.
const DUTY_MS: i64 = 15_000;
/// The first pause after a failure and the longest one; they double.
const BACKOFF_FIRST_MS: u64 = 500;
const BACKOFF_LONGEST_MS: u64 = 60_000;

/// Why a connection was left.
enum Left {
    /// The gateway stops.
    Stopped,
    /// Another gateway on the same database has the duty.
    OtherSends,
    /// It cannot be gone on with.
    Down(Down),
}

impl From<Down> for Left {
    fn from(down: Down) -> Self {
        Left::Down(down)
    }
}

impl From<StoreError> for Left {
    fn from(error: StoreError) -> Self {
        Left::Down(Down {
            fault: "store",
            reason: error.to_string(),
            remedy: "look at the database; /readyz tells more",
        })
    }
}

/// Runs until `stop`. A crash loses nothing: what was not confirmed is sent again.
pub async fn run(gateway: Arc<Gateway>, collector: Collector, stop: CancellationToken) {
    let mut stream = Stream { gateway, collector, stop, told: None, failures: 0 };
    loop {
        let left = stream.send().await;
        stream.gateway.figures.syslog_connected(false);
        let pause = match left {
            Ok(()) | Err(Left::Stopped) => return,
            Err(Left::OtherSends) => ASK,
            Err(Left::Down(down)) => stream.is_down(&down),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stream.stop.cancelled() => return,
        }
    }
}

struct Stream {
    gateway: Arc<Gateway>,
    collector: Collector,
    stop: CancellationToken,
    /// What the log was told last: a fault, or empty where all is well. Told again only when it changes.
    told: Option<&'static str>,
    /// In a row.
    failures: u32,
}

impl Stream {
    /// Tells of it where that is news; the pause until the next attempt.
    fn is_down(&mut self, down: &Down) -> Duration {
        let Down { fault, reason, remedy } = down;
        if self.told.replace(fault) != Some(fault) {
            let address = &self.collector.address;
            tracing::warn!(
                address,
                fault,
                reason,
                remedy,
                "entries are not sent to the collector; they wait in the logs"
            );
        }
        let [byte] = clock::random::<1>();
        let pause = jittered(self.failures, BACKOFF_FIRST_MS, BACKOFF_LONGEST_MS, byte);
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(u64::try_from(pause).unwrap_or(BACKOFF_LONGEST_MS))
    }

    fn is_up(&mut self) {
        self.failures = 0;
        self.gateway.figures.syslog_connected(true);
        if self.told.replace("") != Some("") {
            tracing::info!(address = self.collector.address, "entries are sent to the collector");
        }
    }

    async fn has_duty(&self) -> Result<(), Left> {
        if self.gateway.store.has_duty("syslog", DUTY_MS).await? { Ok(()) } else { Err(Left::OtherSends) }
    }

    /// One connection, from where the logs go on to its end.
    async fn send(&mut self) -> Result<(), Left> {
        self.has_duty().await?;
        let (stop, gateway) = (self.stop.clone(), self.gateway.clone());
        let dialled = tokio::select! {
            dialled = self.collector.dial() => dialled?,
            () = stop.cancelled() => return Err(Left::Stopped),
        };
        let (read, mut write) = tokio::io::split(dialled);
        let mut ended = std::pin::pin!(ended(read));
        let mut at = Places::read(&gateway).await?;
        let mut marks = Marks::new(self.collector.confirm, &at.next);
        let look = marks.every().min(LOOK_MAX);
        let mut looks = tokio::time::interval_at(Instant::now() + look, look);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut grown = gateway.grown.subscribe();
        loop {
            grown.mark_unchanged();
            let page = at.page(&gateway).await?;
            let sent = page.count > 0;
            if sent {
                tokio::select! {
                    biased;
                    down = &mut ended => return Err(down.into()),
                    written = written(&mut write, &page.frames) => written?,
                    () = parting(&stop) => return Err(Left::Stopped),
                }
                at.went(&page);
                gateway.figures.syslog_sent(page.count);
            }
            tokio::select! {
                biased;
                down = &mut ended => return Err(down.into()),
                () = stop.cancelled() => {
                    // Whoever reads knows that nothing is missing between the last frame and the end (RFC 5425 §4.4).
                    let _ = tokio::time::timeout(PART_WITHIN, write.shutdown()).await;
                    return Err(Left::Stopped);
                }
                _ = looks.tick() => {
                    self.has_duty().await?;
                    self.is_up();
                    if let Some(next) = marks.look(Instant::now(), &at.next) {
                        confirm(&gateway, &next).await?;
                    }
                }
                () = tokio::time::sleep(PACE), if sent => {}
                _ = grown.changed(), if !sent => {}
            }
        }
    }
}

/// Whole frames on the wire, or the end of the connection.
async fn written(write: &mut (impl AsyncWrite + Unpin), frames: &[u8]) -> Result<(), Down> {
    let write = async {
        write.write_all(frames).await?;
        write.flush().await
    };
    match tokio::time::timeout(WRITE_WITHIN, write).await {
        Ok(written) => written.map_err(|error| Down::broken(&error)),
        Err(_) => Err(Down::unread(WRITE_WITHIN)),
    }
}

/// Resolves a moment after the gateway was told to stop.
async fn parting(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(PART_WITHIN).await;
}

/// What no connection that ends can lose any more.
async fn confirm(gateway: &Gateway, next: &BTreeMap<i64, u64>) -> Result<(), StoreError> {
    let mut tx = gateway.store.lease().await?;
    syslog::advance(&mut tx, next).await?;
    tx.commit().await
}

/// How far each log was written on this connection.
struct Places {
    next: BTreeMap<i64, u64>,
    /// The log that had its turn last.
    last: i64,
}

/// Entries of one log that are written at once.
struct Page {
    log: i64,
    from: u64,
    count: u64,
    frames: Vec<u8>,
}

impl Places {
    async fn read(gateway: &Gateway) -> Result<Self, StoreError> {
        let mut tx = gateway.store.read().await?;
        Ok(Self { next: syslog::positions(&mut tx).await?, last: i64::MIN })
    }

    fn went(&mut self, page: &Page) {
        self.next.insert(page.log, page.from + page.count);
        self.last = page.log;
    }

    /// The next entries of the log whose turn it is; empty where none has grown.
    async fn page(&self, gateway: &Gateway) -> Result<Page, StoreError> {
        let mut tx = gateway.store.read().await?;
        let mut heads = ledger::heads(&mut tx).await?;
        let from = |head: &ledger::Head| self.next.get(&head.id).copied().unwrap_or(0);
        if let Some(head) = heads.iter().find(|head| from(head) > head.size) {
            // Another database is in the place of the one whose entries were written.
            return Err(StoreError::Backwards(head.origin.clone()));
        }
        heads.retain(|head| from(head) < head.size);
        let head = heads.iter().find(|head| head.id > self.last).or(heads.first());
        let Some(head) = head else { return Ok(Page { log: 0, from: 0, count: 0, frames: Vec::new() }) };
        let from = from(head);
        let until = head.size.min(from + u64::from(PAGE));
        let mut rows = ledger::entries(&mut tx, head.id, from, PAGE).await?.into_iter().peekable();
        let mut frames = Vec::new();
        for index in from..until {
            let body = rows.next_if(|(at, _)| *at == index).map(|(_, body)| body);
            message::frame(&mut frames, &message::message(&gateway.config.host, head, index, body));
        }
        Ok(Page { log: head.id, from, count: until - from, frames })
    }
}
