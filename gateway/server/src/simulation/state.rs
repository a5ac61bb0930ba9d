//! A state's gateway: a process that is started, killed, and started again over the database that it left.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use silkgate_message::party::Country;
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use super::lock;
use super::states::Made;
use super::world::World;
use crate::app::serve::{assemble, national_routes, partner_routes};
use crate::clock::simulated::Process;
use crate::config::{Config, Home, Place};
use crate::gateway::Gateway;
use crate::keys::Keys;
use crate::line::Lines;
use crate::send::Sender;
use crate::standing::Standing;
use crate::store::memory::Memory;
use crate::store::{Open, Store, StoreError};
use crate::{deadlines, dispatch, witness};

/// A state.
pub(super) struct State {
    /// 0 or 1.
    pub(super) number: usize,
    pub(super) country: Country,
    pub(super) home: Home,
    pub(super) config: Config,
    disk: Disk,
    running: Mutex<Option<Running>>,
    starts: AtomicU64,
    skew_ms: AtomicI64,
}

/// What outlives a process.
pub(super) enum Disk {
    Memory { data: Memory, keys: Memory },
    Real { data: Place, keys: Place },
}

/// A process that serves.
#[derive(Clone)]
struct Running {
    process: Arc<Process>,
    gateway: Arc<Gateway>,
    partner: Router,
    national: Router,
}

/// Which plane a request comes in on.
#[derive(Clone, Copy)]
pub(super) enum Plane {
    Partner,
    National,
}

/// An answer: status, `Retry-After` and body.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl State {
    pub(super) fn new(number: usize, made: &Made, disk: Disk) -> Arc<Self> {
        Arc::new(Self {
            number,
            country: made.config.country(),
            home: made.home.clone(),
            config: made.config.clone(),
            disk,
            running: Mutex::default(),
            starts: AtomicU64::new(0),
            skew_ms: AtomicI64::new(0),
        })
    }

    /// A copy of the database that the commands made, in memory.
    pub(super) fn in_memory(number: usize, made: &Made) -> Arc<Self> {
        let copy = |file: &[u8]| Memory::copy(file).expect("a copy of the database");
        Self::new(number, made, Disk::Memory { data: copy(&made.data), keys: copy(&made.keys) })
    }

    /// Opens the store as a process does.
    pub(super) async fn open(&self) -> Result<Store, StoreError> {
        match &self.disk {
            Disk::Memory { data, keys } => Ok(Store::in_memory(data, keys)),
            Disk::Real { data, keys } => Store::open(data, keys, Open::Migrate, Arc::new(|| {})).await,
        }
    }

    /// Runs the gateway, and starts it again whenever it ends.
    pub(super) async fn supervise(self: Arc<Self>, world: Arc<World>) {
        loop {
            let start = self.starts.fetch_add(1, Ordering::SeqCst);
            let seed = world.below(u64::MAX);
            let chance = world.chance.clone();
            let (weak, number) = (Arc::downgrade(&world), self.number);
            let oracle = move |part: &str, point: &str| {
                let fate = chance.decide(part, point)?;
                if let Some(world) = weak.upgrade() {
                    world.note(|| format!("{number} {part}: {point}: {fate:?}"));
                }
                Some(fate)
            };
            let process = Process::new(world.now(), seed, Box::new(oracle));
            process.set_skew(self.skew_ms.load(Ordering::SeqCst));
            world.note(|| format!("{number} starts, {start}"));
            let started =
                tokio::spawn(process.run("start", self.clone().start(world.clone(), process.clone())));
            tokio::select! {
                biased;
                () = process.end() => {}
                ended = started => match ended {
                    Ok(Ok(())) => world.note(|| format!("{number} halts")),
                    Ok(Err(error)) => world.note(|| format!("{number} cannot start: {error:#}")),
                    Err(error) => world.broken(format!("{number} panics: {error}")),
                },
            }
            process.kill();
            *lock(&self.running) = None;
            world.note(|| format!("{number} is down"));
            let longest_ms = if world.is_quiet() || world.now().is_none() { 100 } else { 2000 };
            let down_ms = 20 + world.below(longest_ms);
            tokio::time::sleep(Duration::from_millis(down_ms)).await;
        }
    }

    /// One process: returns when its committer ends, which it does only after a failed commit.
    async fn start(self: Arc<Self>, world: Arc<World>, process: Arc<Process>) -> anyhow::Result<()> {
        let keys = Keys::read(&self.home, &self.config)?;
        let identity = keys.tls.clone();
        let standing = Arc::new(Standing::default());
        let store = self.open().await?;
        let (gateway, committer) = assemble(self.config.clone(), keys, store, standing, None).await?;
        let (from, weak): (usize, Weak<World>) = (self.number, Arc::downgrade(&world));
        let carry = move |to: Country, question| -> std::pin::Pin<Box<dyn Future<Output = _> + Send>> {
            let world = weak.upgrade();
            Box::pin(async move {
                let Some(world) = world else { return Err("the run has ended".to_owned()) };
                world.carry(from, to, question).await
            })
        };
        let lines = Arc::new(Lines::carried(identity, Box::new(carry)));
        let changed = gateway.clone();
        let commits = tokio::spawn(
            process.run("accept", async move { committer.run(|change| changed.changed(&change)).await }),
        );
        let (stop, sender) = (gateway.stop.clone(), Arc::new(Sender::new(gateway.clone(), lines.clone())));
        tokio::spawn(process.run("dispatch", dispatch::run(gateway.clone(), sender, stop.clone())));
        tokio::spawn(process.run("witness", witness::run(gateway.clone(), lines, stop.clone())));
        tokio::spawn(process.run("deadlines", deadlines::run(gateway.clone(), stop)));
        let (partner, national) = (partner_routes(&gateway), national_routes(&gateway));
        *lock(&self.running) = Some(Running { process, gateway, partner, national });
        // Ends with an error only: it is never closed here.
        if let Err(halted) = commits.await? {
            world.note(|| format!("{from} {halted}"));
        }
        Ok(())
    }

    /// Kills the process that runs, if one does.
    pub(super) fn kill(&self) {
        if let Some(running) = lock(&self.running).take() {
            running.process.kill();
        }
    }

    /// Puts the clock wrong, now and at later starts.
    pub(super) fn set_skew(&self, ms: i64) {
        self.skew_ms.store(ms, Ordering::SeqCst);
        if let Some(running) = &*lock(&self.running) {
            running.process.set_skew(ms);
        }
    }

    /// The gateway that runs.
    pub(super) fn gateway(&self) -> Option<Arc<Gateway>> {
        lock(&self.running).as_ref().map(|running| running.gateway.clone())
    }

    /// What the gateway answers; None where it does not run, or ends meanwhile.
    pub(super) async fn serve(&self, plane: Plane, request: Request<Body>) -> Option<Answered> {
        let running = lock(&self.running).clone()?;
        let (router, part) = match plane {
            Plane::Partner => (running.partner, "receive"),
            Plane::National => (running.national, "deliver"),
        };
        let (reply, answer) = oneshot::channel();
        tokio::spawn(running.process.run(part, async move {
            let Ok(response) = router.oneshot(request).await;
            let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            let retry_after = retry_after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let _ = reply.send(Answered { status, retry_after, body });
        }));
        tokio::select! {
            biased;
            () = running.process.end() => None,
            answer = answer => answer.ok(),
        }
    }
}
