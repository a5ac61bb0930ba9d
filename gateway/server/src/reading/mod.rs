//! What auditors and data-protection officers read: resources of the national plane, and nothing is ever changed by one.
//!
//! Each read is in the house log before its answer leaves: who, in which role, what and why. One that cannot be logged is refused.

mod checks;
mod events;
mod log;
mod message;
mod reads;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use silkgate_message::problem::{Code, Problem};

pub use checks::checks;
pub use events::{events, line};
pub use log::{Which, checkpoint, entries};
pub use message::{content, fit_reason, message};
pub use reads::reads;

use crate::accept::{Answer, Read, Work};
use crate::admission::Place;
use crate::clock;
use crate::gateway::Gateway;
use crate::http;
use crate::roles::{NationalPeer, READS_PER_MINUTE};
use crate::store::StoreError;

/// Entries or reads in one answer, at most.
const PAGE_MAX: u32 = 1000;

/// How many where the request does not say.
fn page() -> u32 {
    100
}

/// What a read may hold in memory.
const ANSWER_BYTES: usize = 2 << 20;

/// What somebody is about to read.
pub struct About {
    /// The `what` of the entry.
    pub act: &'static str,
    /// What is looked at.
    pub what: String,
    /// What for.
    pub reason: Option<String>,
}

/// Logs a read. Only what comes back lets it be answered; it is a place in memory as well.
pub async fn logged(gateway: &Gateway, peer: &NationalPeer, about: About) -> Result<Place, Response> {
    let place = spend(gateway, peer)?;
    record(gateway, peer, about).await?;
    Ok(place)
}

/// Takes one of the reads of a certificate's minute, and a place in memory: for a read that looks for something before it can say what it
/// will open.
pub fn spend(gateway: &Gateway, peer: &NationalPeer) -> Result<Place, Response> {
    if !gateway.reads.spend(peer.certificate, clock::now()) {
        let detail = format!("at most {READS_PER_MINUTE} a minute with one certificate");
        return Err(http::problem(&Problem::new(Code::ReadsExceeded).detail(detail)));
    }
    let place = gateway.admission.enter("national reads", ANSWER_BYTES);
    place.ok_or_else(|| http::problem(&Problem::new(Code::Overloaded)))
}

/// Logs a read that was taken already. Where it cannot be, nothing may be opened.
pub async fn record(gateway: &Gateway, peer: &NationalPeer, about: About) -> Result<(), Response> {
    let About { act, what, reason } = about;
    let read = Read { peer: peer.clone(), act, what, reason };
    match gateway.accept.commit(Work::Read(Box::new(read))).await {
        Answer::Done => Ok(()),
        Answer::Failed(problem) | Answer::Refused(problem) => Err(http::problem(&problem)),
        _ => Err(http::problem(&Problem::new(Code::Unavailable))),
    }
}

/// The parameters, or what is wrong with them.
pub fn parameters<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Response> {
    query.map(|Query(parameters)| parameters).map_err(|error| unfit(error.body_text()))
}

/// A parameter that this resource does not take.
pub fn unfit(what: impl Into<String>) -> Response {
    http::problem(&Problem::new(Code::QueryInvalid).detail(what.into()))
}

/// The answer, which nobody keeps on the way.
async fn answer<T: serde::Serialize>(read: Result<Option<T>, StoreError>) -> Response {
    match read {
        Ok(Some(found)) => {
            let mut response = http::json(200, &found);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Ok(None) => http::not_found().await,
        Err(error) => {
            tracing::error!(%error, "a read");
            http::problem(&Problem::new(Code::Unavailable))
        }
    }
}
