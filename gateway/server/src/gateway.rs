//! The running gateway: what its parts share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use silkgate_message::agreement::Direction;
use silkgate_message::instant::Instant;
use silkgate_message::party::Country;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::accept::{Accept, Changed, LogKeys};
use crate::admission::{Admission, Questions};
use crate::breaker::Breaker;
use crate::clock;
use crate::config::Config;
use crate::directory::{Directory, HALTED, Partner};
use crate::figures::Figures;
use crate::handshakes::Handshakes;
use crate::keys::{Keys, Part, Reach};
use crate::making::Making;
use crate::refusals::Refusals;
use crate::roles::{ReadBudget, Streams};
use crate::session::Sessions;
use crate::standing::{Flow, Standing};
use crate::stated::{Reader, Reconciliation};
use crate::store::witness::{self, AlarmKind};
use crate::store::{Connection, Store, StoreError, outbox};
use crate::tls;

/// Shared by every part.
pub struct Gateway {
    /// The configuration.
    pub config: Config,
    /// What signs our logs.
    pub log_keys: LogKeys,
    /// The database.
    pub store: Store,
    /// The way to commit.
    pub accept: Accept,
    /// Who is judged next.
    pub admission: Arc<Admission>,
    /// How often each partner may ask beside its messages.
    pub asked: Questions,
    /// Budgets for refusals.
    pub refusals: Refusals,
    /// What each certificate may still read.
    pub reads: ReadBudget,
    /// Streams of events that were recorded.
    pub streams: Streams,
    /// Browsers that look at the pages without a certificate.
    pub sessions: Sessions,
    /// How far files are that were asked for.
    pub making: Making,
    /// Rung when the outbox may have something due.
    pub outbox: Notify,
    /// Rung when a question of ours was asked.
    pub questions: Notify,
    /// Sent when a log grew.
    pub grown: watch::Sender<()>,
    /// Whether partners are reached.
    pub breaker: Breaker,
    /// Whether back ends are reached that are told what is for them.
    pub pushes: Breaker,
    /// What monitoring reads.
    pub figures: Arc<Figures>,
    /// How keys are exchanged with partners.
    pub handshakes: Arc<Handshakes>,
    /// When it started.
    pub started_at: Instant,
    /// How far logs can be relied on.
    pub standing: Arc<Standing>,
    /// Set when the gateway is told to stop, before anything of it stops.
    pub stopping: AtomicBool,
    /// Which keys in tokens are reached.
    pub reach: Reach,
    /// Cancelled when the gateway stops: long polls end at once.
    pub stop: CancellationToken,
    /// What the logs say is in force, as far as they were read.
    stated: tokio::sync::Mutex<Reader>,
    /// Partners whose stored settings are not that, and what it is.
    unstated: ArcSwap<BTreeMap<Country, String>>,
    bells: Bells,
    directory: ArcSwap<Directory>,
    keys: ArcSwap<Keys>,
    partner_tls: tls::PartnerServer,
    national_tls: ArcSwap<rustls::ServerConfig>,
}

/// What a start read.
pub struct InForce {
    /// Everyone known; who is in `unstated` is halted.
    pub directory: Directory,
    /// What the logs say, as far as they were read.
    pub reader: Reader,
    /// Partners whose stored settings are not that, and what it is.
    pub unstated: BTreeMap<Country, String>,
}

impl Gateway {
    /// Puts the parts together.
    pub fn new(
        config: Config,
        keys: Keys,
        log_keys: LogKeys,
        store: Store,
        accept: Accept,
        standing: Arc<Standing>,
        in_force: InForce,
    ) -> anyhow::Result<Self> {
        let InForce { directory, reader, unstated } = in_force;
        let trust: Vec<_> = directory.partners().map(|partner| partner.trust()).collect();
        let partner_tls = tls::PartnerServer::new(keys.tls.chain.clone(), keys.tls.key.clone(), trust)?;
        let national_tls = ArcSwap::new(national_tls(&keys)?);
        let figures = accept.figures().clone();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let admission = Admission::new(processors, config.limits.requests_per_peer);
        let asked = Questions::new(config.limits.questions_per_second);
        let dispatch = &config.dispatch;
        let breaker = || {
            Breaker::new(dispatch.failures_until_open, dispatch.backoff_first_ms, dispatch.probe_longest_ms)
        };
        let (breaker, pushes) = (breaker(), breaker());
        Ok(Self {
            breaker,
            pushes,
            config,
            log_keys,
            keys: ArcSwap::from_pointee(keys),
            national_tls,
            store,
            accept,
            admission,
            asked,
            refusals: Refusals::default(),
            reads: ReadBudget::default(),
            streams: Streams::default(),
            sessions: Sessions::default(),
            making: Making::default(),
            outbox: Notify::new(),
            questions: Notify::new(),
            handshakes: Arc::new(Handshakes::new(figures.clone())),
            figures,
            started_at: clock::now(),
            stopping: AtomicBool::new(false),
            grown: watch::Sender::new(()),
            standing,
            reach: Reach::default(),
            stop: CancellationToken::new(),
            stated: tokio::sync::Mutex::new(reader),
            unstated: ArcSwap::from_pointee(unstated),
            bells: Bells::default(),
            directory: ArcSwap::from_pointee(directory),
            partner_tls,
        })
    }

    /// Our state.
    pub fn country(&self) -> Country {
        self.config.country()
    }

    /// Everyone known, as last read.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    /// Our keys, as last read.
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// Takes other keys, all or none; connections that are open go on. Refused where a partner or a client could not
    /// rely on what is new.
    pub fn take_keys(&self, next: Keys, part: Part) -> Result<(), tls::TlsError> {
        match part {
            Part::Tls => {
                let (tls, host) = (&next.tls, &self.config.host);
                let anchors = next.tls_anchor.iter().cloned().collect();
                tls::own(&tls.chain, tls.key.clone(), anchors, host)?;
                self.partner_tls.show(tls.chain.clone(), tls.key.clone())?;
            }
            Part::National => self.national_tls.store(national_tls(&next)?),
            Part::Log => self.log_keys.replace(next.log.clone()),
            Part::Message | Part::Witness => {}
        }
        self.keys.store(Arc::new(next));
        Ok(())
    }

    /// TLS of the national plane, as last read.
    pub fn national_tls(&self) -> Arc<rustls::ServerConfig> {
        self.national_tls.load_full()
    }

    /// TLS of the partner plane, as last read.
    pub fn partner_tls(&self) -> &tls::PartnerServer {
        &self.partner_tls
    }

    /// Reads partners and clients again if they changed. True where they did.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        let added = self.standing.added();
        let mut tx = self.store.read().await?;
        if crate::store::partner::generation(&mut tx).await? == self.directory.load().generation {
            return Ok(false);
        }
        let mut directory = Directory::load(&mut tx, self.country(), clock::now()).await?;
        let before = self.directory.load_full();
        let unstated = {
            let mut reader = self.stated.lock().await;
            let unstated = reader.judge(&mut tx, &self.keys().log, self.country()).await?;
            for country in unstated.keys() {
                // What was in force may itself be older than what the logs state by now.
                let held = before.partner(*country).filter(|held| reader.said().states(&held.stored));
                directory.hold(*country, held.cloned());
            }
            unstated
        };
        let trust: Vec<_> = directory.partners().map(|partner| partner.trust()).collect();
        if let Err(error) = self.partner_tls.replace(trust) {
            tracing::error!(%error, "the partners' anchors cannot be used; the old ones stay in force");
        }
        let directory = Arc::new(directory);
        let changes = directory.changes_since(&before);
        // Before the change is taken up: where this fails, all of it is done again.
        for (partner, _) in changes.iter().filter(|(_, what)| *what == "agreement") {
            // What waits for the hours of the agreement before.
            let mut lease = self.store.lease().await?;
            outbox::due_now(&mut lease, partner.as_str(), clock::now()).await?;
            lease.commit().await?;
        }
        self.directory.store(directory.clone());
        for (partner, what) in changes {
            tracing::info!(%partner, %what, "partner changed");
        }
        if *self.unstated.swap(Arc::new(unstated.clone())) != unstated {
            self.tell_unstated();
        }
        self.read_standing(&mut tx, added).await?;
        // A command may have brought messages and answers: whoever waits looks again.
        self.changed_perhaps();
        Ok(true)
    }

    /// Partners whose stored settings are not what the logs say, and what it is.
    pub fn unstated(&self) -> Arc<BTreeMap<Country, String>> {
        self.unstated.load_full()
    }

    /// Tells an operator of them.
    pub fn tell_unstated(&self) {
        let directory = self.directory();
        for (partner, what) in self.unstated().iter() {
            let is_halted = directory.partner(*partner).is_none_or(|partner| partner.state == HALTED);
            let stands = if is_halted { "nothing passes with it" } else { "those before stay in force" };
            tracing::error!(
                %partner, code = %"settings_unstated", what, stands,
                "ALARM: settings that no log states: somebody has changed the database"
            );
        }
    }

    /// Reads what the logs have grown by, so that a change of settings does not wait for that.
    pub async fn follow_logs(&self) -> Result<(), StoreError> {
        let mut tx = self.store.read().await?;
        self.stated.lock().await.judge(&mut tx, &self.keys().log, self.country()).await.map(drop)
    }

    /// The digest of what the house log stated last of a part of our keys, as it is written there.
    pub async fn loaded(&self, part: Part) -> Option<String> {
        self.stated.lock().await.said().loaded(part.name()).map(str::to_owned)
    }

    /// The last reconciliations with each partner, the oldest first, as the house log states them: within a minute.
    pub async fn reconciliations(&self) -> BTreeMap<String, Vec<Reconciliation>> {
        self.stated.lock().await.said().reconciled().clone()
    }

    /// Reads the open alarms and operators' words from the store.
    ///
    /// `added`: [`Standing::added`] before the connection's view was taken.
    pub async fn read_standing(&self, conn: &mut Connection, added: u64) -> Result<(), StoreError> {
        let alarms = witness::open_alarms(conn).await?;
        let of = |kind: AlarmKind| {
            let of_kind = alarms.iter().filter(|alarm| alarm.kind == kind);
            of_kind.filter_map(|alarm| alarm.partner.parse().ok()).collect()
        };
        self.standing.set_alarms(added, of(AlarmKind::Fork), of(AlarmKind::Rollback));
        let directory = self.directory();
        let active = directory.partners().filter(|partner| partner.is_active());
        self.standing.await_only(&active.map(|partner| partner.country).collect());
        let (doubts, doubted_at) = self.standing.doubted();
        for (partner, at) in witness::confirmed(conn).await? {
            // A word about the database before counts for nothing.
            if let (Ok(partner), true) = (partner.parse(), doubted_at.is_none_or(|doubted| doubted < at)) {
                self.standing.confirm(partner, doubts);
            }
        }
        Ok(())
    }

    /// Whether any messages pass with a partner at present.
    pub fn flow(&self, partner: &Partner, direction: Direction) -> Flow {
        self.standing.flow(&partner.agreement, partner.agreement.mildest(direction), clock::now())
    }

    /// Whether messages of a type pass.
    pub fn flow_of(&self, partner: &Partner, direction: Direction, kind: &str) -> Flow {
        let degraded = partner.agreement.degraded_of(direction, kind);
        self.standing.flow(&partner.agreement, degraded, clock::now())
    }

    /// Wakes those who wait for what a commit changed.
    pub fn changed(&self, changed: &Changed) {
        for recipient in &changed.recipients {
            self.bells.ring(recipient);
        }
        for id in &changed.settled {
            self.bells.ring(&id.to_string());
        }
        if changed.asked {
            self.questions.notify_one();
        }
        if changed.outbox {
            self.outbox.notify_one();
        }
        if changed.grown {
            self.grown.send_replace(());
        }
    }

    /// Wakes everyone: something may have changed, and nobody knows what.
    pub fn changed_perhaps(&self) {
        self.bells.ring_all();
        self.questions.notify_one();
        self.outbox.notify_one();
        self.grown.send_replace(());
    }

    /// Waits until `rung`, the deadline, or the end of the gateway; true where it is worth looking again.
    pub async fn wait(&self, rung: impl Future<Output = ()>, until: tokio::time::Instant) -> bool {
        tokio::select! {
            biased;
            () = rung => true,
            () = tokio::time::sleep_until(until) => false,
            () = self.stop.cancelled() => false,
        }
    }

    /// Something to wait on: rung when `name`, a recipient or a message id, has news.
    pub fn bell(&self, name: &str) -> Bell<'_> {
        let mut bells = self.bells.0.lock().unwrap_or_else(PoisonError::into_inner);
        let notify = bells.entry(name.to_owned()).or_default().clone();
        Bell { bells: &self.bells, name: name.to_owned(), notify }
    }
}

fn national_tls(keys: &Keys) -> Result<Arc<rustls::ServerConfig>, tls::TlsError> {
    let identity = keys.national.clone();
    tls::national_server(identity.chain, identity.key, keys.national_anchor.clone())
}

/// Who waits for what, by name; a name is here only while someone waits.
#[derive(Default)]
struct Bells(Mutex<HashMap<String, Arc<Notify>>>);

impl Bells {
    fn ring(&self, name: &str) {
        if let Some(notify) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            notify.notify_waiters();
        }
    }

    fn ring_all(&self) {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bells.values().for_each(|notify| notify.notify_waiters());
    }
}

/// A place to wait. Take [`Bell::rung`] before looking, then look, then await it: nothing is missed.
pub struct Bell<'a> {
    bells: &'a Bells,
    name: String,
    notify: Arc<Notify>,
}

impl Bell<'_> {
    /// Resolves when the bell rings after this call.
    pub fn rung(&self) -> std::pin::Pin<Box<tokio::sync::futures::Notified<'_>>> {
        let mut rung = Box::pin(self.notify.notified());
        rung.as_mut().enable();
        rung
    }
}

impl Drop for Bell<'_> {
    fn drop(&mut self) {
        let mut bells = self.bells.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Two hold it when nobody else waits: the map and this one.
        if Arc::strong_count(&self.notify) <= 2 {
            bells.remove(&self.name);
        }
    }
}
