//! What a commit brought about, told once after it: one line of the log and the figures of monitoring.
//!
//! The ledger is the truth; a line is for whoever watches. A process that dies between the two loses the line.

use std::sync::Arc;

use silkgate_message::agreement::Direction;
use silkgate_message::instant::Instant;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tracing::field::display;
use uuid::Uuid;

use crate::clock;
use crate::figures::{Figures, known_type};
use crate::store::message::State;

/// One event of one message.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub happened: Happened,
    /// The partner's state.
    pub partner: String,
    /// The message.
    pub id: Option<Uuid>,
    /// Its type, as it was written.
    pub kind: Option<String>,
    /// Why not.
    pub code: Option<String>,
    /// The log's origin, and the entry in it; None where there is none.
    pub entry: Option<(String, u64)>,
    /// When that began which ended now.
    pub since: Instant,
}

/// What happened to it.
#[derive(Clone, Debug)]
pub enum Happened {
    /// A partner's, judged.
    Received {
        /// The verdict.
        accepted: bool,
    },
    /// A back end's, taken over.
    Submitted,
    /// One of ours has its outcome.
    Settled(State),
    /// A back end acknowledged it.
    Delivered {
        /// The back end.
        recipient: String,
    },
    /// A question of ours has no final answer at its deadline.
    Unanswered,
}

/// Tells events in their order, in a task of its own: the next batch does not wait for their lines. It ends after the last one
/// when what it is told through is dropped.
pub(super) fn teller(figures: Arc<Figures>) -> (UnboundedSender<Vec<Event>>, JoinHandle<()>) {
    let (told, mut events) = unbounded_channel::<Vec<Event>>();
    let task = tokio::spawn(clock::along(async move {
        while let Some(events) = events.recv().await {
            events.iter().for_each(|event| event.tell(&figures));
        }
    }));
    (told, task)
}

impl Event {
    /// Counts it and writes its line. Nothing of the message but its id and a type of the catalogue is told.
    fn tell(&self, figures: &Figures) {
        let ms = (clock::now().0 - self.since.0).max(0);
        let (partner, kind) = (self.partner.as_str(), self.kind.as_deref());
        let (id, code) = (self.id.map(display), self.code.as_deref().map(display));
        let (log, entry) = self.entry.as_ref().map(|(log, entry)| (display(log), *entry)).unzip();
        let known = known_type(kind);
        match &self.happened {
            Happened::Received { accepted } => {
                let verdict = if *accepted { "accepted" } else { "rejected" };
                figures.message(partner, Direction::Receive, kind, verdict, self.code.as_deref());
                tracing::info!(
                    %partner, id, "type" = %known, %verdict, code, log, entry, ms, "message received"
                );
            }
            Happened::Submitted => {
                figures.submission(Some(partner), kind, "accepted", None);
                tracing::info!(%partner, id, "type" = %known, log, entry, ms, "message submitted");
            }
            Happened::Settled(state) => {
                let verdict = state.as_str();
                figures.message(partner, Direction::Send, kind, verdict, self.code.as_deref());
                if *state == State::Receipted {
                    figures.receipted(partner, ms);
                }
                tracing::info!(
                    %partner, id, "type" = %known, %verdict, code, log, entry, ms, "message settled"
                );
            }
            Happened::Delivered { recipient } => {
                figures.acknowledged(recipient);
                tracing::info!(
                    %partner, id, "type" = %known, %recipient, log, entry, ms, "message delivered"
                );
            }
            Happened::Unanswered => {
                tracing::info!(%partner, id, "type" = %known, ms, "question not answered in time");
            }
        }
    }
}
