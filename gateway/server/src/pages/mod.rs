//! Pages for people: what auditors, operators and data-protection officers look at in a browser.
//!
//! Everything is made here, in HTML that needs no script; nothing is fetched from elsewhere. Values that others wrote are
//! escaped by the templates and stand in elements of their own direction (`bdi`, UAX #9 §5.2). What shows data is
//! logged before it is shown, as in [`crate::reading`].

mod assets;
mod chart;
mod check;
mod content;
mod door;
mod evidence;
mod export;
mod frame;
mod growth;
mod language;
mod ledger;
mod making;
mod message;
mod messages;
mod overview;
mod partners;
mod prove;
mod purposes;
mod reads;
mod schemas;

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

pub use assets::asset;
pub use check::{check, form};
pub use door::{enter, humane, link, of_session, ours, switch};
pub use evidence::{of_message as evidence_of_message, of_search as evidence_of_search};
pub use export::export;
pub use ledger::{ledger, log};
pub use making::making;
pub use message::{message, opened};
pub use messages::messages;
pub use overview::overview;
pub use partners::{partner, partners};
pub use prove::proof;
pub use purposes::{legal_bases, purposes};
pub use reads::reads;
pub use schemas::{schema, schemas};

use crate::http;
use crate::store::StoreError;
use silkgate_message::problem::{Code, Problem};

/// Nothing from elsewhere, nothing inline, nothing framed, and forms only to ourselves (CSP level 3).
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page, or the problem that it could not be made.
fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => html_answer(StatusCode::OK, html),
        Err(error) => {
            tracing::error!(%error, "a page");
            http::problem(&Problem::new(Code::Unavailable))
        }
    }
}

fn html_answer(status: StatusCode, html: String) -> Response {
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A store that does not answer.
fn failed(error: StoreError) -> Response {
    tracing::error!(%error, "a page");
    http::problem(&Problem::new(Code::Unavailable))
}
