//! Signatures on all cores: pieces of work run beside the reading of the next page, and are taken back in order.

use std::collections::VecDeque;

use tokio::task::JoinHandle;

use super::report::Finding;
use super::resume::Link;

/// What a piece of work gives.
#[derive(Default)]
pub(super) struct Done {
    pub(super) findings: Vec<Finding>,
    pub(super) payloads: u64,
    pub(super) erased: u64,
    pub(super) receipts: u64,
    pub(super) resumed: u64,
    pub(super) links: Vec<Link>,
    /// Cosignatures: log, partner, size, seconds since 1970.
    pub(super) cosigned: Vec<(i64, String, u64, u64)>,
}

impl Done {
    pub(super) fn find(&mut self, place: &str, what: impl Into<String>) {
        self.findings.push(Finding { place: place.to_owned(), what: what.into() });
    }
}

/// Work under way, oldest first.
pub(super) struct Pool {
    under_way: VecDeque<JoinHandle<Done>>,
    most: usize,
}

impl Pool {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        // Twice the cores: none waits while a page is read, and the memory stays bounded.
        Self { under_way: VecDeque::new(), most: 2 * cores }
    }

    /// Begins a piece. Where as many are under way as may be, the oldest is waited for first, and given back.
    pub(super) async fn begin(&mut self, work: impl FnOnce() -> Done + Send + 'static) -> Option<Done> {
        let oldest = if self.under_way.len() >= self.most { self.oldest().await } else { None };
        self.under_way.push_back(tokio::task::spawn_blocking(work));
        oldest
    }

    /// Waits for the oldest piece; None where nothing is under way.
    pub(super) async fn oldest(&mut self) -> Option<Done> {
        let work = self.under_way.pop_front()?;
        Some(work.await.unwrap_or_else(|_| {
            let mut done = Done::default();
            done.find("audit", "a part of the audit ended before its time; run it again");
            done
        }))
    }
}
