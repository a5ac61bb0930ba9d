//! The only writer of messages and log entries of a running gateway.
//!
//! Everything that changes the record of what was exchanged waits here and is committed in turns,
//! one transaction at a time: message, entry, tree, checkpoint and outbox row together. While one
//! transaction commits, the next batch gathers; nothing waits for a timer.

mod append;
mod batch;
mod erase;
mod event;
mod queue;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use silkgate_message::problem::{Code, Problem};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use append::{LogKeys, Logs};
pub use erase::{erase, needed};
pub use event::Event;
pub use work::{
    Answer, Bonds, Bury, DeadAct, DeadLetter, Due, HandOver, Handshake, Note, NoteLog, Outcome, REVOKED,
    Read, Received, Resend, Settlement, Shown, Submission, Verdict, Work, entry_at,
};

use crate::figures::Figures;
use crate::standing::Standing;
use crate::store::{Store, StoreError, bell};
use append::Signed;
use queue::Queue;

/// How long a server is asked what became of a commit, before the gateway stops.
const SETTLE_WAIT: Duration = Duration::from_secs(60);
/// How long who asked waits for the commit: less than a partner's attempt, which then ends with an answer instead of none.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// Jobs in one transaction, at most: what comes just after one began waits for two of them, however many others come.
const BATCH_MAX: usize = 64;
/// What there is no checkpoint without.
const NO_KEY: &str = "the log key cannot be reached";

/// A job and who waits for its answer.
struct Job {
    work: Work,
    reply: oneshot::Sender<Answer>,
}

/// What a finished transaction changed, for those who wait.
#[derive(Debug, Default, Clone, serde::Serialize, serde::Deserialize)]
pub struct Changed {
    /// Recipients with something new to fetch.
    pub recipients: Vec<String>,
    /// Submissions that reached their outcome.
    pub settled: Vec<uuid::Uuid>,
    /// Whether the outbox has something due.
    pub outbox: bool,
    /// Whether a question of ours was asked.
    pub asked: bool,
    /// Whether a log grew.
    pub grown: bool,
    /// What happened to messages: told by the gateway that committed it, and by no other.
    #[serde(skip)]
    pub events: Vec<Event>,
}

/// The way in.
#[derive(Clone)]
pub struct Accept {
    queue: Arc<Queue<Job>>,
    halted: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    standing: Arc<Standing>,
    figures: Arc<Figures>,
}

/// The loop behind [`Accept`].
pub struct Committer {
    queue: Arc<Queue<Job>>,
    halted: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    store: Store,
    logs: Logs,
    standing: Arc<Standing>,
    figures: Arc<Figures>,
}

impl Drop for Committer {
    /// However the loop came to its end, by a panic too.
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

impl Accept {
    /// The way in, and the loop to be run once.
    pub fn new(
        store: Store,
        logs: Logs,
        queue_per_partner: usize,
        standing: Arc<Standing>,
    ) -> (Self, Committer) {
        let queue = Arc::new(Queue::new(queue_per_partner));
        let (halted, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let figures = Arc::new(Figures::default());
        let accept = Self {
            queue: queue.clone(),
            halted: halted.clone(),
            ended: ended.clone(),
            standing: standing.clone(),
            figures: figures.clone(),
        };
        (accept, Committer { queue, halted, ended, store, logs, standing, figures })
    }

    /// Commits `work` and gives its answer, within [`ANSWER_WAIT`]. The work is done even if the caller goes away before.
    pub async fn commit(&self, work: Work) -> Answer {
        if self.halted.load(Ordering::SeqCst) {
            return Answer::Failed(
                Problem::new(Code::Unavailable).detail("a write failed; the gateway must be restarted"),
            );
        }
        if let Some(reason) = work.closed(&self.standing).await {
            return Answer::Failed(Problem::new(Code::Unavailable).detail(reason));
        }
        let (reply, answer) = oneshot::channel();
        let lane = work.lane();
        if self.queue.push(&lane, Job { work, reply }).is_err() {
            return Answer::Failed(Problem::new(Code::Overloaded));
        }
        let failed = |why| Answer::Failed(Problem::new(Code::Unavailable).detail(why));
        match tokio::time::timeout(ANSWER_WAIT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => failed("the gateway is stopping"),
            // The job stays in its place: whoever sends it again is told what became of it.
            Err(_) => {
                failed("the database has not confirmed it yet, and may still do so; send the same again")
            }
        }
    }

    /// Takes no more work; what waits is still committed.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Whether a commit failed: nothing is written until a restart.
    pub fn is_halted(&self) -> bool {
        self.halted.load(Ordering::SeqCst)
    }

    /// Whether the loop has come to its end.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Jobs that wait for their commit, by lane.
    pub fn waiting(&self) -> Vec<(queue::Lane, usize)> {
        self.queue.depths()
    }

    /// What is counted, here and elsewhere.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }
}

/// Why the loop ended before it was closed.
#[derive(Debug, thiserror::Error)]
#[error("{0}; restart the gateway, which reads everything again")]
pub struct Halted(String);

impl Committer {
    /// Commits until the queue is closed and empty. `changed` is called after each commit.
    pub async fn run(mut self, changed: impl Fn(Changed)) -> Result<(), Halted> {
        let (told, teller) = event::teller(self.figures.clone());
        let ended = self.commit_all(changed, told).await;
        // What was committed last is told too. A panic there is no reason to fail here.
        let _ = teller.await;
        ended
    }

    async fn commit_all(
        &mut self,
        changed: impl Fn(Changed),
        told: UnboundedSender<Vec<Event>>,
    ) -> Result<(), Halted> {
        while let Some(jobs) = self.queue.take(BATCH_MAX).await {
            let (works, replies): (Vec<Work>, Vec<_>) =
                jobs.into_iter().map(|job| (job.work, job.reply)).unzip();
            let mut answers = Vec::with_capacity(works.len());
            let mut events = Vec::new();
            match self.batch(&works).await {
                Ok((batch, mut change)) => {
                    answers = batch;
                    events.append(&mut change.events);
                    changed(change);
                }
                Err(Failure::Aborted(error)) => {
                    // Rolled back: nothing of it is there. One job may be at fault; the others
                    // must not suffer from it, so each goes alone.
                    tracing::error!(%error, jobs = works.len(), "batch rolled back; its jobs go one by one");
                    for work in &works {
                        match self.batch(std::slice::from_ref(work)).await {
                            Ok((mut alone, mut change)) => {
                                answers.append(&mut alone);
                                events.append(&mut change.events);
                                changed(change);
                            }
                            Err(Failure::Aborted(error)) => {
                                tracing::error!(%error, "job rolled back");
                                answers.push(Answer::Failed(Problem::new(Code::Unavailable)));
                            }
                            Err(Failure::Away(error)) => {
                                answers.resize_with(works.len(), || away(&error));
                                break;
                            }
                            Err(Failure::End(error)) => return Err(self.halt(error)),
                        }
                    }
                }
                Err(Failure::Away(error)) => {
                    tracing::error!(
                        what = error.what,
                        error = error.why,
                        jobs = works.len(),
                        "nothing was written"
                    );
                    answers.extend(works.iter().map(|_| away(&error)));
                }
                Err(Failure::End(error)) => return Err(self.halt(error)),
            }
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Whoever asked may have gone; the work is done all the same.
                let _ = reply.send(answer);
            }
            // Nobody waits for it, and who tells it does not end before.
            let _ = told.send(events);
        }
        Ok(())
    }

    /// After a failed COMMIT it is unknown what the disk holds. Trying again could acknowledge what
    /// is not there (fsync reports an error once); only a restart reads the truth. The same where what was committed is gone.
    fn halt(&self, error: String) -> Halted {
        self.halted.store(true, Ordering::SeqCst);
        self.queue.close();
        Halted(error)
    }

    async fn batch(&mut self, works: &[Work]) -> Result<(Vec<Answer>, Changed), Failure> {
        let began = Instant::now();
        let mut tx = self.store.write().await.map_err(|error| Failure::Away(Away::database(error)))?;
        let done = batch::run(&mut tx, &mut self.logs, self.store.keys(), &self.standing, works).await;
        match done {
            Ok(done) => {
                let shared = tx.is_shared();
                if shared
                    && let Err(error) = bell::ring(&mut tx, serde_json::to_string(&done.changed).ok()).await
                {
                    self.logs.forget();
                    return Err(Failure::Aborted(error.to_string()));
                }
                match tx.commit().await {
                    // From here on everything answered below survives a power cut.
                    Ok(()) => self.logs.keep(&done.signed),
                    Err(error) if shared => self.settle(&done.signed, error).await?,
                    Err(error) => return Err(unknown(&error)),
                }
                self.figures.committed(works.len(), began.elapsed());
                Ok((done.answers, done.changed))
            }
            // Not tried again, and nothing of it forgotten: only a start asks the witnesses.
            Err(error @ StoreError::Backwards(_)) => Err(Failure::End(error.to_string())),
            Err(error) => {
                self.logs.forget();
                if let Err(error) = tx.rollback().await {
                    tracing::warn!(%error, "rollback failed; the connection is given up");
                }
                match error {
                    // No job is at fault, and each alone would fare the same.
                    StoreError::Unsigned(why) => Err(Failure::Away(Away { what: NO_KEY, why })),
                    error => Err(Failure::Aborted(error.to_string())),
                }
            }
        }
    }

    /// The line to a server broke at a commit: the server knows what became of it. A new transaction waits for the lost one,
    /// which either stands, with its checkpoints, or is gone.
    async fn settle(&mut self, signed: &Signed, error: StoreError) -> Result<(), Failure> {
        tracing::error!(%error, "a commit was not confirmed; the server is asked what became of it");
        let deadline = Instant::now() + SETTLE_WAIT;
        loop {
            let asked = async {
                let mut tx = self.store.write().await?;
                let committed = append::is_committed(&mut tx, signed).await?;
                // This one waits for the synchronous standbys, which the lost one may not have had.
                tx.commit().await?;
                Ok::<_, StoreError>(committed)
            };
            match asked.await {
                Ok(true) => {
                    self.logs.keep(signed);
                    return Ok(());
                }
                Ok(false) => {
                    self.logs.forget();
                    return Err(Failure::Away(Away::database("its last commit was lost")));
                }
                Err(error) if Instant::now() < deadline => {
                    tracing::warn!(%error, "the database cannot be reached");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => return Err(unknown(&error)),
            }
        }
    }
}

fn unknown(error: &StoreError) -> Failure {
    Failure::End(format!("a commit failed, and what it left behind is not known: {error}"))
}

fn away(away: &Away) -> Answer {
    Answer::Failed(Problem::new(Code::Unavailable).detail(format!("{} at present", away.what)))
}

/// What cannot be reached, and why.
struct Away {
    what: &'static str,
    why: String,
}

impl Away {
    fn database(why: impl ToString) -> Self {
        Self { what: "the database cannot be reached", why: why.to_string() }
    }
}

enum Failure {
    /// Nothing was written.
    Aborted(String),
    /// Nothing was written, and nothing can be at present.
    Away(Away),
    /// Nothing may be written any more: it is not known what was, or what was is gone.
    End(String),
}
