//! `silkgate serve`: runs the gateway until it is told to stop.

mod national;
mod planes;
mod reload;
mod tokens;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use silkgate_message::agreement::Direction;
use silkgate_message::instant::Instant;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Cx, Found, logging, reconcile, stop_signal};
use crate::accept::{Accept, Committer, Halted, LogKeys, Logs};
use crate::clock;
use crate::config::Config;
use crate::directory::Directory;
use crate::gateway::{Gateway, InForce};
use crate::http;
use crate::keys::{self, Keys, Part};
use crate::line::Lines;
use crate::send::Sender;
use crate::stamp::{self, Authority};
use crate::standing::Standing;
use crate::stated::Reader;
use crate::store::bell::{Ear, Heard};
use crate::store::{Open, Store, StoreError, delivery, outbox, witness as store_witness};
use crate::syslog::Collector;
use crate::{deadlines, dispatch, findable, operations, push, retention, revocation, syslog, witness};
pub(crate) use national::national_routes;
use national::{National, page_routes};
use planes::Partners;
pub(crate) use planes::partner_routes;

/// A message's, where there is no partner yet: seven days.
const LIFETIME_MS: i64 = 7 * 86_400_000;

/// After which the line that brings news of other gateways is opened anew: two claims were not heard on it.
const SILENCE: Duration = Duration::from_secs(12);
/// For which a gateway claims the key store for itself and its like.
const CLAIM_MS: i64 = 15_000;
/// From when on before its end a revocation list is an alarm.
const CRL_EARLY_MS: i64 = 24 * 3_600_000;
/// What must not be.
const OTHER_KEYS: &str = "another gateway uses this database with another key store";
/// How often that is renewed.
const CLAIM_EVERY: Duration = Duration::from_secs(5);

/// For a connection of the operations plane: a reading takes moments, and whoever needs longer connects again.
const READING: Duration = Duration::from_secs(60);
/// For one of a browser: it may take all that a search finds.
const EXPORT: Duration = Duration::from_secs(3600);

/// How often changes to partners and clients are looked for.
const REFRESH: Duration = Duration::from_millis(250);

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  silkgate -d iq serve\n\nStops on SIGTERM or SIGINT, after requests under way have finished. \
                        Logs to standard error; RUST_LOG=silkgate=debug shows more."
)]
pub(crate) struct Args {}

/// Runs the gateway.
pub(crate) async fn run(cx: &Cx, _: Args) -> Result<Found> {
    let _logging = logging::start(cx.json);
    let stopped = stop_signal();
    let config = cx.home.config()?;
    let _lock = lock(cx)?;
    let files = reload::Files::now(&cx.home);
    let collector = config.syslog.as_ref().map(|settings| Collector::new(&cx.home, settings)).transpose()?;
    let (gateway, committer, tsa) = open(cx, config).await?;
    let (strangers, refused) = mpsc::channel(64);
    let partner_plane = Arc::new(Partners { gateway: gateway.clone(), strangers: strangers.clone() });
    let national_plane = Arc::new(National::new(&gateway, strangers));
    let operations_listener = match gateway.config.operations.listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let partner_listener = bind(gateway.config.partner_plane.listen).await?;
    let national_listener = bind(gateway.config.national_plane.listen).await?;
    let pages_listener = match gateway.config.pages.listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    tracing::info!(
        partner_plane = %partner_listener.local_addr()?,
        national_plane = %national_listener.local_addr()?,
        party = %gateway.config.party,
        version = %env!("CARGO_PKG_VERSION"),
        "serving"
    );
    let stop = gateway.stop.clone();
    let watched = CancellationToken::new();
    if let Some(listener) = operations_listener {
        // It outlives the other planes: a stop is watched to its end.
        let limits = gateway.config.limits.clone();
        tokio::spawn(http::serve_plain(
            listener,
            operations::routes(&gateway),
            limits,
            READING,
            watched.clone(),
        ));
    }
    if let Some(listener) = pages_listener {
        let (routes, limits) = (page_routes(&gateway), gateway.config.limits.clone());
        tokio::spawn(http::serve_plain(listener, routes, limits, EXPORT, stop.clone()));
    }
    let limits = gateway.config.limits.clone();
    let commits = commit_on_a_thread(committer, gateway.clone())?;
    let (identity, idle_max) = (gateway.keys().tls.clone(), gateway.config.dispatch.concurrency);
    let lines = Arc::new(Lines::new(identity, idle_max, gateway.handshakes.clone()));
    let planes = [
        tokio::spawn(http::serve(
            partner_listener,
            partner_plane,
            partner_routes(&gateway),
            limits.clone(),
            stop.clone(),
        )),
        tokio::spawn(http::serve(
            national_listener,
            national_plane,
            national_routes(&gateway),
            limits,
            stop.clone(),
        )),
        tokio::spawn(dispatch::run(
            gateway.clone(),
            Arc::new(Sender::new(gateway.clone(), lines.clone())),
            stop.clone(),
        )),
        tokio::spawn(revocation::run(gateway.clone(), stop.clone())),
        tokio::spawn(push::run(gateway.clone(), cx.home.clone(), stop.clone())),
        tokio::spawn(reload::run(gateway.clone(), cx.home.clone(), files, lines.clone(), stop.clone())),
        tokio::spawn(tokens::run(gateway.clone(), stop.clone())),
        tokio::spawn(witness::run(gateway.clone(), lines, stop.clone())),
        tokio::spawn(reconcile::regularly(gateway.clone())),
        tokio::spawn(deadlines::run(gateway.clone(), stop.clone())),
        tokio::spawn(retention::run(gateway.clone(), stop.clone())),
        tokio::spawn(findable::run(gateway.clone(), stop.clone())),
        tokio::spawn(tend(gateway.clone(), refused, stop.clone())),
        tokio::spawn(hear(gateway.clone(), stop.clone())),
        tokio::spawn(time_stamps(gateway.clone(), tsa, stop.clone())),
        tokio::spawn(collect(gateway.clone(), collector, stop.clone())),
    ];
    let mut commits = commits;
    let ended = tokio::select! {
        () = told_to_stop(&gateway, stopped) => None,
        ended = &mut commits => Some(ended),
    };
    stop.cancel();
    if let Some(ended) = ended {
        // The committer ends by itself only after a failed commit: nothing may go on.
        let halted = ended.context("the committer died")?;
        tracing::error!("stopped: nothing may be written any more");
        return halted.map(|()| Found::Good).map_err(Into::into);
    }
    for plane in planes {
        plane.await.context("a part of the gateway died")?;
    }
    gateway.accept.close();
    commits.await.context("the committer died")??;
    gateway.store.drop_duties().await?;
    watched.cancel();
    gateway.store.close().await;
    tracing::info!("stopped");
    Ok(Found::Good)
}

/// Commits on a thread of its own, until the queue is closed: it waits for the database many times a commit, and a thread is woken for
/// less than a task. Nothing comes back where it panicked.
fn commit_on_a_thread(
    committer: Committer,
    gateway: Arc<Gateway>,
) -> Result<oneshot::Receiver<Result<(), Halted>>> {
    let (runtime, (done, ended)) = (tokio::runtime::Handle::current(), oneshot::channel());
    std::thread::Builder::new().name("committer".to_owned()).spawn(move || {
        // Nobody listens where the process is about to end.
        let _ = done.send(runtime.block_on(committer.run(|changed| gateway.changed(&changed))));
    })?;
    Ok(ended)
}

/// Reads everything, goes on where a process that died stopped, and puts the parts together.
async fn open(cx: &Cx, config: Config) -> Result<(Arc<Gateway>, Committer, Option<Authority>)> {
    let keys = Keys::read(&cx.home, &config)?;
    let tsa = config.timestamp.as_ref().map(|settings| Authority::new(&cx.home, settings)).transpose()?;
    let standing = Arc::new(Standing::default());
    let store = open_store(cx, &config, Open::Migrate, &standing).await?;
    let stated = cx.home.stated();
    let (gateway, committer) = assemble(config, keys, store, standing, Some((&stated, true))).await?;
    keys::begin_overlap(&cx.home, &Part::ALL, overlap_end(&gateway))?;
    Ok((gateway, committer, tsa))
}

/// Until when what is signed now may be under way.
fn overlap_end(gateway: &Gateway) -> Instant {
    let lifetimes = gateway.directory().partners().map(|partner| partner.agreement.lifetime_ms()).max();
    clock::now().plus_ms(lifetimes.unwrap_or(LIFETIME_MS))
}

/// The gateway on an open store, and the loop that grows its logs. What a crash left is put in order; nothing runs yet.
pub(crate) async fn assemble(
    config: Config,
    keys: Keys,
    store: Store,
    standing: Arc<Standing>,
    stated: Option<(&Path, bool)>,
) -> Result<(Arc<Gateway>, Committer)> {
    recover(&store).await?;
    let (gateway, committer) = join(config, keys, store, standing, stated).await?;
    retention::encrypt_plain(&gateway.store, &gateway.directory()).await?;
    await_witnesses(&gateway).await?;
    Ok((gateway, committer))
}

/// The gateway on an open store that may be in use, and a loop that grows its logs in turns with others. `stated`: the file that says
/// how far the logs were read for what is in force, and whether this process writes it.
pub(super) async fn join(
    config: Config,
    keys: Keys,
    store: Store,
    standing: Arc<Standing>,
    stated: Option<(&Path, bool)>,
) -> Result<(Arc<Gateway>, Committer)> {
    let in_force = {
        let mut tx = store.read().await?;
        let mut directory = Directory::load(&mut tx, config.country(), clock::now()).await?;
        let (file, keeps) = stated.unzip();
        let mut reader = Reader::open(&mut tx, file, keeps == Some(true)).await?;
        let unstated = reader.judge(&mut tx, &keys.log, config.country()).await?;
        unstated.keys().for_each(|country| directory.hold(*country, None));
        InForce { directory, reader, unstated }
    };
    let log_keys = LogKeys::from(keys.log.clone());
    let logs = Logs::new(log_keys.clone());
    let queue = config.limits.queue_per_partner;
    let (accept, committer) = Accept::new(store.clone(), logs, queue, standing.clone());
    let gateway = Arc::new(Gateway::new(config, keys, log_keys, store, accept, standing, in_force)?);
    Ok((gateway, committer))
}

/// Opens the store, for a process that makes keys and takes messages.
pub(super) async fn open_store(
    cx: &Cx,
    config: &Config,
    how: Open,
    standing: &Arc<Standing>,
) -> Result<Store> {
    let (place, key_place) = (cx.home.database(config), cx.home.key_store(config));
    let reconnected = standing.clone();
    let store = Store::open(&place, &key_place, how, Arc::new(move || reconnected.doubt())).await?;
    if !store.claim_keys(CLAIM_MS).await? {
        bail!(
            "{OTHER_KEYS}: give both the same one, `key_store = \"postgres://…\"`, or stop the other and wait {} s",
            CLAIM_MS / 1000
        );
    }
    Ok(store)
}

/// Resolves when the planes are to close. Before that `/readyz` says so, for as long as a balancer needs to see it.
async fn told_to_stop(gateway: &Gateway, signal: impl Future<Output = ()>) {
    signal.await;
    gateway.stopping.store(true, Ordering::SeqCst);
    tracing::info!("stopping");
    tokio::time::sleep(Duration::from_secs(gateway.config.operations.drain_seconds)).await;
}

/// Hears what other gateways on the same database have committed, and wakes those who wait for it here.
async fn hear(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut ear: Option<Ear> = None;
    loop {
        let heard = async {
            match &mut ear {
                // Every gateway is heard every few seconds: silence is that of a line that is gone. It is opened anew.
                Some(line) => match tokio::time::timeout(SILENCE, line.hear()).await {
                    Ok(heard) => Ok(Some(heard?)),
                    Err(_) => {
                        ear = None;
                        Ok(Some(Heard::Perhaps))
                    }
                },
                None => {
                    ear = gateway.store.listen().await?;
                    Ok::<_, StoreError>(ear.is_some().then_some(Heard::Perhaps))
                }
            }
        };
        let heard = tokio::select! {
            heard = heard => heard,
            () = stop.cancelled() => return,
        };
        match heard {
            // A file: nobody else is there.
            Ok(None) => return,
            Ok(Some(Heard::Text(text))) => match serde_json::from_str(&text) {
                Ok(changed) => gateway.changed(&changed),
                // Of another version of the gateway.
                Err(_) => gateway.changed_perhaps(),
            },
            Ok(Some(Heard::Nothing)) => {}
            Ok(Some(Heard::Perhaps)) => gateway.changed_perhaps(),
            Err(error) => {
                tracing::warn!(%error, "the database tells no news; looking for them instead");
                ear = None;
                gateway.changed_perhaps();
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }
}

/// Nothing to do where no authority is configured.
async fn time_stamps(gateway: Arc<Gateway>, tsa: Option<Authority>, stop: CancellationToken) {
    if let Some(tsa) = tsa {
        stamp::run(gateway, tsa, stop).await;
    }
}

/// Nothing to do where no collector is configured.
async fn collect(gateway: Arc<Gateway>, collector: Option<Collector>, stop: CancellationToken) {
    if let Some(collector) = collector {
        syslog::run(gateway, collector, stop).await;
    }
}

/// One gateway per home: two would fight over leases and ports.
pub(super) fn lock(cx: &Cx) -> Result<File> {
    let path = cx.home.path().join("silkgate.lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    file.try_lock().map_err(|_| anyhow!("{}: another gateway serves this home", path.display()))?;
    Ok(file)
}

/// After a crash: leases of the dead process are freed, and the ordinary path goes on from there. Those in a database that
/// other gateways use run out by themselves.
async fn recover(store: &Store) -> Result<()> {
    let mut tx = store.write().await?;
    if !tx.is_shared() {
        outbox::free_leases(&mut tx).await?;
    }
    outbox::line_up(&mut tx).await?;
    delivery::line_up(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Nothing is written before the partners that witnessed our logs have told what they saw last: an older
/// database that was put back is noticed here, before it can go on.
async fn await_witnesses(gateway: &Gateway) -> Result<()> {
    let mut tx = gateway.store.read().await?;
    let known = store_witness::witnesses(&mut tx).await?;
    let directory = gateway.directory();
    let active = known.iter().filter_map(|country| country.parse().ok());
    let active = active.filter(|country| directory.partner(*country).is_some_and(|p| p.is_active()));
    gateway.standing.await_word(active);
    gateway.read_standing(&mut tx, gateway.standing.added()).await?;
    alarm(gateway);
    Ok(())
}

/// Says again what an operator must not miss.
fn alarm(gateway: &Gateway) {
    gateway.tell_unstated();
    if let Some(reason) = gateway.standing.read_only() {
        tracing::error!(reason, "ALARM still open");
    }
    for partner in gateway.directory().partners().filter(|partner| partner.is_active()) {
        if let Some(reason) = gateway.flow(partner, Direction::Receive).reason() {
            tracing::error!(partner = %partner.country, reason, "ALARM: messages do not pass");
        }
    }
    for partner in gateway.directory().partners().filter(|partner| partner.is_active()) {
        if let Some(until) = partner.lists_end().filter(|until| until.0 - clock::now().0 < CRL_EARLY_MS) {
            tracing::error!(partner = %partner.country, %until, "ALARM: a revocation list runs out, and then nobody of the partner comes in");
        }
    }
    for (what, reason) in gateway.reach.all() {
        if let Some(reason) = reason {
            tracing::error!(what, reason, "ALARM: a key in a token is not reached");
        }
    }
    for line in gateway.breaker.figures(clock::now()) {
        let (partner, failures) = (&line.name, line.failures);
        if let Some(since) = line.open_since {
            tracing::warn!(partner, failures, %since, "the partner is not reached");
        } else if let Some(until) = line.put_off_until {
            tracing::info!(partner, %until, "the partner asked for time");
        }
    }
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Keeps the directory fresh, and the budgets of refusals.
async fn tend(gateway: Arc<Gateway>, mut refused: mpsc::Receiver<()>, stop: CancellationToken) {
    let mut refresh = tokio::time::interval(REFRESH);
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    let mut claim = tokio::time::interval(CLAIM_EVERY);
    loop {
        tokio::select! {
            _ = refresh.tick() => {
                match gateway.refresh().await {
                    Ok(true) => tracing::debug!("partners and clients read again"),
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "partners could not be read; the old ones stay in force"),
                }
                gateway.handshakes.note(&gateway.accept).await;
            }
            _ = claim.tick() => match gateway.store.claim_keys(CLAIM_MS).await {
                Ok(alone) => {
                    gateway.standing.set_other_keys((!alone).then_some(OTHER_KEYS));
                    if !alone {
                        tracing::error!("ALARM: {OTHER_KEYS}: neither can read what the other takes; nothing is written");
                    }
                }
                Err(error) => tracing::warn!(%error, "the database cannot be reached"),
            },
            _ = minute.tick() => {
                if let Err(error) = gateway.follow_logs().await {
                    tracing::warn!(%error, "our logs could not be read for what is in force");
                }
                alarm(&gateway);
                gateway.refusals.summarise(&gateway.accept).await;
            }
            Some(()) = refused.recv() => {
                gateway.refusals.of_stranger(&gateway.accept).await;
            }
            () = stop.cancelled() => break,
        }
    }
    gateway.refusals.summarise(&gateway.accept).await;
}
