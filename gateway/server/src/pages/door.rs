//! The way to the pages: one-time links, sessions, the choice of a language, and problems as pages.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use silkgate_message::problem::{Code, Problem};

use super::frame::{Frame, LANGUAGE, cookie};
use super::html_answer;
use super::language::Language;
use crate::clock;
use crate::gateway::Gateway;
use crate::http;
use crate::roles::NationalPeer;
use crate::session::Opened;

/// The session's cookie. Cookies know no ports (RFC 6265 §8.5): two gateways on one machine must not take each other's place.
fn session_cookie(gateway: &Gateway) -> String {
    format!("silkgate_session_{}", gateway.config.pages.listen.map_or(0, |address| address.port()))
}

/// `POST /v1/pages/link`: a link that opens the pages once, in a browser on this machine, as whoever asks.
pub async fn link(State(gateway): State<Arc<Gateway>>, Extension(peer): Extension<NationalPeer>) -> Response {
    let Some(address) = gateway.config.pages.listen else {
        let detail = "no pages are served without a certificate: set `[pages] listen` in silkgate.toml";
        return http::problem(&Problem::new(Code::NotFound).detail(detail));
    };
    match gateway.sessions.link(peer, clock::now()) {
        Some(secret) => http::json(200, &json!({ "url": format!("http://{address}/open/{secret}") })),
        None => http::problem(&Problem::new(Code::Overloaded)),
    }
}

/// `GET /open/{link}` on the plane of the pages.
pub async fn enter(
    State(gateway): State<Arc<Gateway>>,
    Path(link): Path<String>,
    headers: HeaderMap,
) -> Response {
    let name = session_cookie(&gateway);
    match gateway.sessions.open(&link, cookie(&headers, &name), clock::now()) {
        // `Lax`: the link is opened from wherever it was written to. No `Secure`: it is plain HTTP, on the loopback.
        Opened::New(secret) => {
            let cookie = format!("{name}={secret}; Path=/; HttpOnly; SameSite=Lax");
            see_other("/", Some(cookie))
        }
        Opened::Again => see_other("/", None),
        Opened::Refused => http::problem(&Problem::new(Code::LinkUsed)),
    }
}

/// Lets requests of a session in, as whoever it was opened for, while that certificate is registered.
pub async fn of_session(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    // Another name for this address would be another site, whose pages read the answers (DNS rebinding).
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if host != gateway.config.pages.listen.map(|address| address.to_string()).as_deref() {
        return http::problem(&Problem::new(Code::RequestMalformed).detail("the Host is another one"));
    }
    let name = session_cookie(&gateway);
    let session = cookie(request.headers(), &name);
    let peer = session.and_then(|session| gateway.sessions.peer(session, clock::now()));
    let peer = peer.filter(|peer| gateway.directory().is_registered(&peer.certificate));
    match peer {
        Some(peer) => {
            request.extensions_mut().insert(peer);
            next.run(request).await
        }
        None => http::problem(&Problem::new(Code::SessionMissing)),
    }
}

/// Where to go back to.
#[derive(Deserialize)]
pub struct Back {
    #[serde(default)]
    back: String,
}

/// `GET /language/{code}?back=…`
pub async fn switch(Path(code): Path<String>, Query(Back { back }): Query<Back>) -> Response {
    let Some(language) = Language::of(&code) else { return http::not_found().await };
    // Back to a page of ours only: `//host` and `/\host` are other sites, and so is `/<tab>/host`, whose tab a browser leaves out
    // (WHATWG URL, basic URL parser).
    let is_ours = back.starts_with('/')
        && !back[1..].starts_with(['/', '\\'])
        && back.bytes().all(|byte| byte.is_ascii_graphic());
    let back = if is_ours { back.as_str() } else { "/" };
    see_other(back, Some(format!("{LANGUAGE}={}; Path=/; SameSite=Lax; Max-Age=31536000", language.code)))
}

fn see_other(to: &str, cookie: Option<String>) -> Response {
    let mut response = html_answer(StatusCode::SEE_OTHER, String::new());
    let headers = response.headers_mut();
    if let Ok(to) = HeaderValue::from_str(to) {
        headers.insert(header::LOCATION, to);
    }
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    f: &'a Frame,
    title: String,
    detail: String,
    code: String,
}

/// Refuses what another site has the browser do: on the national plane it would show the reader's certificate for any resource.
pub async fn ours(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if is_foreign(&parts) {
        return http::problem(&Problem::new(Code::RequestForeign));
    }
    next.run(Request::from_parts(parts, body)).await
}

/// Shows problems as pages to whoever asks for pages.
pub async fn humane(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let frame = Frame::of(&gateway, &parts);
    let wants_html = parts
        .headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")));
    let response = next.run(Request::from_parts(parts, body)).await;
    if !wants_html || !is_problem(&response) {
        return response;
    }
    problem_page(&frame, response).await
}

/// Whether another site makes the browser ask (Fetch Metadata, W3C): it carries the reader's certificate or cookie. A link
/// that the reader follows is no harm.
fn is_foreign(parts: &Parts) -> bool {
    let header = |name: &str| parts.headers.get(name).map(|value| value.as_bytes());
    let is_ours = matches!(header("sec-fetch-site"), None | Some(b"same-origin" | b"none"));
    let is_followed = parts.method == Method::GET && header("sec-fetch-mode") == Some(b"navigate");
    !is_ours && !is_followed
}

fn is_problem(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes() == b"application/problem+json")
}

async fn problem_page(frame: &Frame, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let read = axum::body::to_bytes(body, 64 << 10).await.unwrap_or_default();
    let problem: serde_json::Value = serde_json::from_slice(&read).unwrap_or_default();
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let code = text("code");
    let title = frame.language.text(&format!("problem-{}", code.replace('_', "-")), &[]);
    let page =
        ProblemPage { f: frame, title: title.unwrap_or_else(|| text("title")), detail: text("detail"), code };
    let html = page.render().unwrap_or_default();
    let mut answer = html_answer(parts.status, html);
    for name in [header::RETRY_AFTER, header::CONNECTION] {
        if let Some(value) = parts.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}
