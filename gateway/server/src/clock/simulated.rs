//! A simulated process: its clock and random bytes, how it ends, and what becomes of its writes. Every task of a gateway that
//! the tests run belongs to one; a test that runs outside of any sees the world as it is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use silkgate_message::instant::Instant;
use tokio_util::sync::CancellationToken;

tokio::task_local! {
    static HERE: Here;
}

/// Which process a task belongs to, and which part of it it is.
#[derive(Clone)]
pub struct Here {
    /// The process.
    pub process: Arc<Process>,
    /// `accept`, `dispatch`, …
    pub part: &'static str,
}

/// What becomes of a write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fate {
    /// Not done, and reported as failed.
    Lost,
    /// Done, and reported as failed.
    Unreported,
    /// The process is killed before it is done.
    KilledBefore,
    /// The process is killed once it is done.
    KilledAfter,
}

/// Asked before each write: its part and point.
pub type Oracle = dyn Fn(&str, &str) -> Option<Fate> + Send + Sync;

/// A process.
pub struct Process {
    /// When its clock is a simulated one: what it shows, and the runtime's time at that moment.
    clock: Option<(Instant, tokio::time::Instant)>,
    /// How far the clock is wrong.
    skew_ms: AtomicI64,
    random: Mutex<Random>,
    killed: CancellationToken,
    oracle: Box<Oracle>,
    /// What each task has written since its last `BEGIN`, and the one around it.
    written: Mutex<HashMap<Option<tokio::task::Id>, Vec<String>>>,
}

/// What stands in [`Process::written`] where a transaction begins.
const BEGIN: &str = "BEGIN";

impl Process {
    /// A process with a simulated clock, or with the real one.
    pub fn new(clock: Option<Instant>, seed: u64, oracle: Box<Oracle>) -> Arc<Self> {
        Arc::new(Self {
            clock: clock.map(|shows| (shows, tokio::time::Instant::now())),
            skew_ms: AtomicI64::new(0),
            random: Mutex::new(Random::new(seed)),
            killed: CancellationToken::new(),
            oracle,
            written: Mutex::default(),
        })
    }

    /// Runs a task as a part of the process: it never goes on once that is killed.
    pub fn run<F: Future>(
        self: &Arc<Self>,
        part: &'static str,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let here = Here { process: self.clone(), part };
        HERE.scope(here, until_killed(self.killed.clone(), task))
    }

    /// Ends it at once, whatever its tasks are doing.
    pub fn kill(&self) {
        self.killed.cancel();
    }

    /// Resolves when it is killed.
    pub async fn end(&self) {
        self.killed.cancelled().await;
    }

    /// Puts its clock wrong.
    pub fn set_skew(&self, ms: i64) {
        self.skew_ms.store(ms, Ordering::SeqCst);
    }

    /// What its clock shows.
    fn now(&self) -> Option<Instant> {
        let (shows, at) = self.clock?;
        let gone = i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX);
        Some(shows.plus_ms(gone + self.skew_ms.load(Ordering::SeqCst)))
    }

    /// Whether time is simulated.
    fn is_simulated(&self) -> bool {
        self.clock.is_some()
    }

    /// Notes that a transaction begins.
    pub fn begins(&self) {
        let mut written = lock(&self.written);
        let written = written.entry(tokio::task::try_id()).or_default();
        if written.len() > 1000 {
            // Left by transactions that were given up.
            written.clear();
        }
        written.push(BEGIN.to_owned());
    }

    /// Notes a write.
    pub fn writes(&self, what: &str) {
        lock(&self.written).entry(tokio::task::try_id()).or_default().push(what.to_owned());
    }

    /// What the innermost transaction of this task has written; forgotten with this.
    pub fn commits(&self) -> Vec<String> {
        let mut written = lock(&self.written);
        let written = written.entry(tokio::task::try_id()).or_default();
        let begun = written.iter().rposition(|what| what == BEGIN).unwrap_or(0);
        written.split_off(begun).into_iter().filter(|what| what != BEGIN).collect()
    }
}

impl Here {
    /// The process of this task, if it belongs to one.
    pub fn get() -> Option<Here> {
        HERE.try_with(Clone::clone).ok()
    }

    /// What becomes of a write.
    pub fn fate(&self, point: &str) -> Option<Fate> {
        (self.process.oracle)(self.part, point)
    }

    /// Lets up to so many milliseconds pass, so that other tasks get their turn where a disk would give it to them.
    pub async fn pause(&self, ms_max: u64) {
        if self.process.is_simulated() {
            let ms = lock(&self.process.random).below(ms_max + 1);
            if ms > 0 {
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
        }
    }
}

async fn until_killed<F: Future>(killed: CancellationToken, task: F) -> F::Output {
    let done = tokio::select! {
        biased;
        () = killed.cancelled() => None,
        done = task => Some(done),
    };
    match done {
        Some(done) => done,
        // Nothing of it is left; nobody will hear of it again.
        None => std::future::pending().await,
    }
}

/// What the clock of this task's process shows; None outside of any, or where it goes by the real one.
pub fn now() -> Option<Instant> {
    HERE.try_with(|here| here.process.now()).ok().flatten()
}

/// Fills `bytes` from the process's own source; false outside of any simulated one.
pub fn fill(bytes: &mut [u8]) -> bool {
    let filled = HERE.try_with(|here| {
        here.process.is_simulated().then(|| lock(&here.process.random).fill(bytes)).is_some()
    });
    filled.unwrap_or(false)
}

/// A task of its own belongs to the process that starts it.
pub fn along<F: Future>(task: F) -> impl Future<Output = F::Output> {
    let here = Here::get();
    async move {
        match here {
            Some(here) => here.process.run(here.part, task).await,
            None => task.await,
        }
    }
}

/// Numbers from a seed: SplitMix64 (Steele, Lea, Flood 2014). For tests only.
pub struct Random(u64);

impl Random {
    /// Starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
