//! HTTP over mutual TLS: the accept loop with its bounds, bodies, and answers.

mod answer;
mod crowd;
mod frames;
mod framing;
mod guarded;
mod pace;

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Version, header};
use axum::response::Response;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls_pki_types::CertificateDer;
use silkgate_message::party::{Country, Party};
use silkgate_message::problem::{Code, Problem};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

pub use answer::{
    any_body, body, body_at_most, bytes, json, method_not_allowed, not_found, problem, receipt,
};

use crate::clock;
use crate::config::Limits;
use crate::tls::{self, Group, Refused};
use answer::closing;
pub use crowd::network;
use crowd::{Crowd, Crowded, Entered};
use guarded::{Guarded, REFUSED, TOO_LARGE};
use pace::{Pace, Patience, Slow};

/// The partner on the other side of a connection, by its certificate.
#[derive(Clone, Copy, Debug)]
pub struct PartnerPeer(pub Country);

/// The back end on the other side of a connection, by its certificate.
#[derive(Clone, Debug)]
pub struct BackEndPeer(pub Party);

/// A connection, as its handshake left it.
pub struct Session {
    /// What the peer has shown.
    pub certificate: CertificateDer<'static>,
    /// In which group keys were exchanged; None: in one that is none of ours.
    pub group: Option<Group>,
    uris: OnceLock<Vec<String>>,
}

impl Session {
    fn new(certificate: CertificateDer<'static>, group: Option<Group>) -> Self {
        Self { certificate, group, uris: OnceLock::new() }
    }

    /// The URI names in the certificate, read once; none where it cannot be read.
    pub fn uris(&self) -> &[String] {
        let read = || silkgate_certs::read_identity(&self.certificate).map(|identity| identity.uris);
        self.uris.get_or_init(|| read().unwrap_or_default())
    }
}

/// What a plane does with its connections.
pub trait Plane: Send + Sync + 'static {
    /// Who the peer is, put into the extensions of each of its requests.
    type Peer: Clone + Send + Sync + 'static;

    /// The TLS settings for the next handshake.
    fn tls(&self) -> Arc<rustls::ServerConfig>;

    /// A handshake is done.
    fn opened(&self, _: &Session) {}

    /// Who the peer is, or why it is not heard. Asked again for every request, so that one who was cut off is out at once,
    /// also on a connection that is open.
    fn peer(&self, session: &Session) -> Result<Self::Peer, Code>;

    /// Whose connections are counted together.
    fn name(&self, peer: &Self::Peer) -> String;

    /// A handshake that failed: someone who is nobody's partner, or a partner with a bad certificate.
    fn stranger(&self, from: IpAddr, refused: &Refused);

    /// A request of a peer that is not heard.
    fn refused(&self, session: &Session, code: Code);

    /// A connection beyond a bound. `is_told`: nobody was told within the last minute.
    fn crowded(&self, bound: &'static str, from: IpAddr, is_told: bool);

    /// A connection that a slow peer lost, or one that sent too much of what carries nothing.
    fn cut(&self, why: &'static str);
}

/// What the connections of one plane share.
struct Shared<P> {
    plane: Arc<P>,
    router: Router,
    limits: Limits,
    crowd: Arc<Crowd>,
    /// When an operator was last told of a bound.
    told_at: AtomicI64,
}

impl<P: Plane> Shared<P> {
    fn refused(&self, crowded: Crowded, from: IpAddr) {
        let (now, told_at) = (clock::now().0, self.told_at.load(Ordering::Relaxed));
        let is_told = now - told_at >= 60_000;
        if is_told {
            self.told_at.store(now, Ordering::Relaxed);
        }
        self.plane.crowded(crowded.code(), from, is_told);
    }
}

/// Serves `router` on `listener` until `stop`, then lets requests under way finish.
pub async fn serve<P: Plane>(
    listener: TcpListener,
    plane: Arc<P>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let crowd = Crowd::new(&limits);
    let shared = Arc::new(Shared { plane, router, limits, crowd, told_at: AtomicI64::new(0) });
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, from) = match accepted {
            Ok((stream, address)) => (stream, address.ip()),
            Err(error) => {
                // Out of descriptors, mostly: wait for some to be freed rather than spin.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        match shared.crowd.enter(from) {
            Ok(entered) => {
                let connection = connection(stream, from, entered, shared.clone(), stop.clone());
                connections.spawn(connection);
            }
            Err(crowded) => shared.refused(crowded, from),
        }
    }
    connections.close();
    // Bounded: what has not finished by then is answered by the sender's retry.
    let _ = tokio::time::timeout(Duration::from_secs(10), connections.wait()).await;
}

/// Connections of a plain plane at once: monitoring and a few browsers.
const PLAIN_MAX: usize = 32;

/// Serves `router` in plain HTTP until `stop`, with the same bounds in time.
/// `longest`: for a whole connection.
pub async fn serve_plain(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    longest: Duration,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(PLAIN_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (Ok((stream, _)), Ok(slot)) = (accepted, slots.clone().try_acquire_owned()) else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (router, builder, pace) = (router.clone(), one(), Pace::new(patience(&limits)));
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let router = router.clone();
                    async move {
                        if let Some(problem) = malformed(&request) {
                            return Ok(closing(self::problem(&problem)));
                        }
                        router.oneshot(request.map(Body::new)).await
                    }
                });
            let serving = builder.serve_connection(TokioIo::new(Guarded::one(stream, pace)), service);
            let _ = tokio::time::timeout(longest, serving).await;
            drop(slot);
        });
    }
}

async fn connection<P: Plane>(
    stream: TcpStream,
    from: IpAddr,
    mut entered: Entered,
    shared: Arc<Shared<P>>,
    stop: CancellationToken,
) {
    // Small answers leave at once.
    let _ = stream.set_nodelay(true);
    let (plane, limits) = (&shared.plane, &shared.limits);
    let deadline = Duration::from_secs(limits.handshake_seconds);
    let handshake = tls::explained(TlsAcceptor::from(plane.tls()).accept(stream));
    let tls = match tokio::time::timeout(deadline, handshake).await {
        Ok(Ok(tls)) => tls,
        Ok(Err((_, refused))) => return plane.stranger(from, &refused),
        Err(_) => return plane.stranger(from, &Refused::late()),
    };
    entered.shook();
    let connected = tls.get_ref().1;
    let is_two = connected.alpn_protocol() == Some(b"h2");
    let group = Group::negotiated(connected);
    let certificate = connected.peer_certificates().and_then(|chain| chain.first()).cloned();
    // Without a certificate the handshake has failed already.
    let Some(certificate) = certificate.map(CertificateDer::into_owned) else {
        return;
    };
    let session = Arc::new(Session::new(certificate, group));
    plane.opened(&session);
    if let Ok(peer) = plane.peer(&session)
        && let Err(crowded) = entered.is_of(plane.name(&peer))
    {
        return shared.refused(crowded, from);
    }
    // A peer that is not heard ends its connection; HTTP/2 knows no `Connection: close`.
    let cut = CancellationToken::new();
    let pace = Pace::new(patience(limits));
    let service = {
        let (shared, cut, pace) = (shared.clone(), cut.clone(), pace.clone());
        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let asked = pace.asked();
            let answer = answer(request, shared.clone(), session.clone(), cut.clone());
            async move { answer.await.map(|response| asked.answered(response)) }
        })
    };
    if is_two {
        let io = TokioIo::new(Guarded::two(tls, pace.clone()));
        attend(two().serve_connection(io, service), &pace, &shared, &stop, &cut).await;
    } else {
        let io = TokioIo::new(Guarded::one(tls, pace.clone()));
        attend(one().serve_connection(io, service), &pace, &shared, &stop, &cut).await;
    }
}

/// For how long requests under way may go on after an idle connection was told to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves one connection until it ends, is told to end, or its peer is too slow.
async fn attend<P: Plane, C>(
    serving: C,
    pace: &Pace,
    shared: &Shared<P>,
    stop: &CancellationToken,
    cut: &CancellationToken,
) where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut serving = pin!(serving);
    let mut lost = pin!(pace.lost());
    let told = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = cut.cancelled() => {}
        }
    };
    let mut told = pin!(told);
    let mut is_told = false;
    let ended = loop {
        tokio::select! {
            ended = serving.as_mut() => break ended,
            () = told.as_mut(), if !is_told => {
                is_told = true;
                serving.as_mut().graceful_shutdown();
            }
            slow = lost.as_mut() => {
                if slow == Slow::Unread {
                    // Nothing more can be said to a peer that does not read.
                    return shared.plane.cut("answer_unread");
                }
                serving.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(FAREWELL, serving).await;
                return;
            }
        }
    };
    if let Err(error) = ended {
        let flood = pace.flood();
        if flood.is_some() {
            shared.plane.cut("http2_flood");
        }
        tracing::debug!(%error, flood, "connection ended early");
    }
}

fn patience(limits: &Limits) -> Patience {
    Patience {
        first: Duration::from_secs(limits.handshake_seconds),
        idle: Duration::from_secs(limits.idle_seconds),
        answer: Duration::from_secs(limits.answer_seconds),
    }
}

fn one() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // [`Pace`] has the time, which tells a head from an idle connection.
        .header_read_timeout(None)
        // One more than [`framing`] lets through: it is the one that refuses.
        .max_headers(framing::FIELDS_MAX + 1)
        .max_buf_size(4 * framing::HEAD_MAX);
    builder
}

fn two() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .max_pending_accept_reset_streams(16)
        .max_local_error_reset_streams(64)
        .max_header_list_size(framing::HEAD_MAX as u32)
        .max_send_buf_size(64 << 10)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

async fn answer<P: Plane>(
    request: hyper::Request<hyper::body::Incoming>,
    shared: Arc<Shared<P>>,
    session: Arc<Session>,
    cut: CancellationToken,
) -> Result<Response, Infallible> {
    if let Some(problem) = malformed(&request) {
        return Ok(closing(self::problem(&problem)));
    }
    let peer = match shared.plane.peer(&session) {
        Ok(peer) => peer,
        Err(code) => {
            shared.plane.refused(&session, code);
            cut.cancel();
            return Ok(closing(problem(&Problem::new(code))));
        }
    };
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    shared.router.clone().oneshot(request).await
}

/// What the framing refused, and what the HTTP/2 library lets through but two readers could understand differently (RFC 9113 §8.3).
fn malformed(request: &hyper::Request<hyper::body::Incoming>) -> Option<Problem> {
    let refused = |what: &str| Some(Problem::new(Code::RequestMalformed).detail(what));
    let headers = request.headers();
    match headers.get(REFUSED).map(|what| what.to_str().unwrap_or_default()) {
        Some(TOO_LARGE) => return Some(Problem::new(Code::HeadTooLarge)),
        Some(what) => return refused(what),
        None => {}
    }
    if request.version() < Version::HTTP_2 {
        return None;
    }
    let uri = request.uri();
    if headers.len() > framing::FIELDS_MAX {
        return Some(Problem::new(Code::HeadTooLarge));
    }
    if !uri.path().starts_with('/') || uri.path().contains('\\') {
        return refused("a target is a path");
    }
    if uri.scheme_str() != Some("https") {
        return refused(":scheme is https");
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if lengths.next().is_some() && lengths.next().is_some() {
        return refused("Content-Length stands twice");
    }
    let authority = uri.authority().map(|authority| authority.as_str());
    let mut hosts = headers.get_all(header::HOST).iter();
    match (authority, hosts.next(), hosts.next()) {
        (_, None, None) if authority.is_none() => refused("Host must stand once"),
        (Some(authority), Some(host), None) if host.as_bytes() != authority.as_bytes() => {
            refused("Host and :authority differ")
        }
        (_, _, Some(_)) => refused("Host must stand once"),
        _ => None,
    }
}
