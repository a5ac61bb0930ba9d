//! HTTP over mutual TLS: the accept loop with its bounds, bodies, and answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use silkgate_message::party::{Country, Party};
use silkgate_message::problem::{Code, Problem};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::config::Limits;

/// The partner on the other side of a connection, by its certificate.
#[derive(Clone, Copy, Debug)]
pub struct PartnerPeer(pub Country);

/// The back end on the other side of a connection, by its certificate.
#[derive(Clone, Debug)]
pub struct BackEndPeer(pub Party);

/// What a plane does with its connections.
pub trait Plane: Send + Sync + 'static {
    /// Who the peer is, put into the extensions of each of its requests.
    type Peer: Clone + Send + Sync + 'static;

    /// The TLS settings for the next handshake.
    fn tls(&self) -> Arc<rustls::ServerConfig>;

    /// Who the peer is. Asked again for every request, so that one who was cut off is out at once,
    /// also on a connection that is open.
    fn peer(&self, certificate: &CertificateDer<'_>) -> Option<Self::Peer>;

    /// A handshake that failed: someone who is nobody's partner, or a partner with a bad certificate.
    fn stranger(&self, reason: String);

    /// A request on a connection whose peer is no longer known.
    fn unknown(&self);
}

/// Serves `router` on `listener` until `stop`, then lets requests under way finish.
pub async fn serve<P: Plane>(
    listener: TcpListener,
    plane: Arc<P>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, mostly: wait for some to be freed rather than spin.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // At the bound the newest connection is dropped: those that are served keep their service.
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            continue;
        };
        let (plane, router, limits, stop) = (plane.clone(), router.clone(), limits.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, plane, router, &limits, stop).await;
            drop(slot);
        });
    }
    connections.close();
    // Bounded: what has not finished by then is answered by the sender's retry.
    let _ = tokio::time::timeout(Duration::from_secs(10), connections.wait()).await;
}

/// Connections of the operations plane at once: monitoring needs few.
const OPERATIONS_MAX: usize = 32;

/// Serves `router` in plain HTTP until `stop`, with the same bounds in time.
pub async fn serve_plain(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(OPERATIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (Ok((stream, _)), Ok(slot)) = (accepted, slots.clone().try_acquire_owned()) else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (router, builder) = (router.clone(), builder(&limits));
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    router.clone().oneshot(request.map(Body::new))
                });
            let serving = builder.serve_connection(TokioIo::new(stream), service);
            // A reading takes moments; whoever keeps a connection open longer connects again.
            let _ = tokio::time::timeout(Duration::from_secs(60), serving).await;
            drop(slot);
        });
    }
}

async fn connection<P: Plane>(
    stream: TcpStream,
    plane: Arc<P>,
    router: Router,
    limits: &Limits,
    stop: CancellationToken,
) {
    // Small answers leave at once.
    let _ = stream.set_nodelay(true);
    let deadline = Duration::from_secs(limits.handshake_seconds);
    let handshake = tokio::time::timeout(deadline, TlsAcceptor::from(plane.tls()).accept(stream)).await;
    let tls = match handshake {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return plane.stranger(error.to_string()),
        Err(_) => return plane.stranger("the handshake took too long".to_owned()),
    };
    let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
    // Without a certificate the handshake has failed already.
    let Some(certificate) = certificate.map(CertificateDer::into_owned) else {
        return;
    };
    // A peer that is no longer known ends its connection; HTTP/2 knows no `Connection: close`.
    let cut = CancellationToken::new();
    let gone = cut.clone();
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        answer(request, plane.clone(), router.clone(), certificate.clone(), cut.clone())
    });
    let builder = builder(limits);
    let serving = builder.serve_connection(TokioIo::new(tls), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        () = gone.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.handshake_seconds))
        .max_headers(64)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .max_header_list_size(16 << 10)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

async fn answer<P: Plane>(
    request: hyper::Request<hyper::body::Incoming>,
    plane: Arc<P>,
    router: Router,
    certificate: CertificateDer<'static>,
    cut: CancellationToken,
) -> Result<Response, Infallible> {
    if let Some(problem) = malformed(&request) {
        return Ok(closing(self::problem(&problem)));
    }
    let Some(peer) = plane.peer(&certificate) else {
        plane.unknown();
        cut.cancel();
        return Ok(closing(problem(&Problem::new(Code::PeerUnknown))));
    };
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    router.oneshot(request).await
}

/// What hyper lets through but two HTTP readers could understand differently (RFC 9112 §3.2, §6.3).
fn malformed(request: &hyper::Request<hyper::body::Incoming>) -> Option<Problem> {
    let refused = |what: &str| Some(Problem::new(Code::HeaderInvalid).detail(what));
    let headers = request.headers();
    if headers.contains_key(header::CONTENT_LENGTH) && headers.contains_key(header::TRANSFER_ENCODING) {
        return refused("Content-Length and Transfer-Encoding exclude each other");
    }
    if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        return refused("Content-Length stands twice");
    }
    if request.version() <= Version::HTTP_11 && headers.get_all(header::HOST).iter().count() != 1 {
        return refused("Host must stand once");
    }
    None
}

/// Tells the peer that the connection ends with this answer.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The most bytes that [`body`] will read of this request.
pub fn body_at_most(request: &Request, limit: usize) -> usize {
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    announced.map_or(limit, |announced: usize| announced.min(limit))
}

/// Reads a body of that content type, of at most `limit` bytes, within `seconds`. The error comes
/// with what was read.
pub async fn body(
    request: Request,
    content_type: &str,
    limit: usize,
    seconds: u64,
) -> Result<Bytes, (Problem, Vec<u8>)> {
    if !has_content_type(request.headers(), content_type) {
        let problem = Problem::new(Code::ContentTypeUnsupported).detail(format!("send {content_type}"));
        return Err((problem, Vec::new()));
    }
    any_body(request, limit, seconds).await
}

/// Reads a body of whatever content type.
pub async fn any_body(request: Request, limit: usize, seconds: u64) -> Result<Bytes, (Problem, Vec<u8>)> {
    let too_large = || Problem::new(Code::BodyTooLarge).detail(format!("the limit is {limit} bytes"));
    let stated =
        request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|stated| stated > limit as u64) {
        // Answered before anything of it is read.
        return Err((too_large(), Vec::new()));
    }
    let mut read = Vec::new();
    let mut body = request.into_body();
    let reading = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::new(Code::BodyIncomplete))?;
            if let Some(data) = frame.data_ref() {
                if read.len() + data.len() > limit {
                    return Err(too_large());
                }
                read.extend_from_slice(data);
            }
        }
        Ok(())
    };
    match tokio::time::timeout(Duration::from_secs(seconds), reading).await {
        Ok(Ok(())) => Ok(read.into()),
        Ok(Err(problem)) => Err((problem, read)),
        Err(_) => {
            let problem = Problem::new(Code::BodyTimeout).detail(format!("within {seconds} s"));
            Err((problem, read))
        }
    }
}

fn has_content_type(headers: &HeaderMap, expected: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}

/// A problem document (RFC 9457). What is no verdict says when to try again; a body that was not
/// read to its end takes the connection with it.
pub fn problem(problem: &Problem) -> Response {
    let mut response = bytes(problem.status, "application/problem+json", problem.to_json());
    let pause = match problem.code {
        Code::RateExceeded | Code::Overloaded => Some("1"),
        Code::Unavailable | Code::Degraded => Some("5"),
        code if code.is_not_yet() => Some("5"),
        _ => None,
    };
    if let Some(seconds) = pause {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    let unread = matches!(problem.code, Code::BodyTooLarge | Code::BodyTimeout | Code::BodyIncomplete);
    if unread { closing(response) } else { response }
}

/// A receipt (C2SP tlog-proof).
pub fn receipt(receipt: Vec<u8>) -> Response {
    bytes(200, "text/plain; charset=utf-8", receipt)
}

/// A JSON answer.
pub fn json(status: u16, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => bytes(status, "application/json", body),
        Err(_) => problem(&Problem::new(Code::Unavailable)),
    }
}

/// An answer of that status, content type and body.
pub fn bytes(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The answer where there is nothing.
pub async fn not_found() -> Response {
    problem(&Problem::new(Code::NotFound))
}

/// The answer to another method.
pub async fn method_not_allowed() -> Response {
    problem(&Problem::new(Code::MethodNotAllowed))
}
