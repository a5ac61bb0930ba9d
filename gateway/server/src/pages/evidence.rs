//! Evidence bundles from the pages: of one message, and of all that a search finds. They hold what messages say, so whoever takes one
//! states why.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame as BodyFrame, SizeHint};
use silkgate_evidence::bundle::{BundleError, MESSAGES_MAX};
use silkgate_evidence::container::BUNDLE_MAX_BYTES;
use silkgate_message::event;
use silkgate_message::problem::{Code, Problem};

use super::failed;
use super::making::Named;
use super::message::reason;
use super::messages::{Asked, Search};
use crate::admission::Place;
use crate::clock;
use crate::evidence::{self, EarlierEdition, Exporter, Step};
use crate::gateway::Gateway;
use crate::http;
use crate::making::{Stage, Told};
use crate::reading::{About, parameters, record, spend, unfit};
use crate::roles::NationalPeer;
use crate::store::message::{self, Message};
use crate::store::search::{self, Filter};
use crate::store::{Connection, StoreError};

/// Messages of a search read at once.
const PAGE: u32 = 1000;
/// For a bundle, from the search to its signature: who asked has it by then, or is told to ask for less.
const DEADLINE: Duration = Duration::from_secs(120);
/// Bytes of a part of the answer.
const PART_BYTES: usize = 64 << 10;

/// `POST /messages/{id}/evidence`: the bundle of all messages of that id.
pub async fn of_message(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    Path(id): Path<String>,
    query: Result<Query<Named>, QueryRejection>,
    request: Request,
) -> Result<Response, Response> {
    let Named { file } = parameters(query)?;
    let Some(id) = event::uuid_v7(&id) else { return Ok(http::not_found().await) };
    let reason = given(&gateway, request).await?;
    let held = [alone(&gateway)?, spend(&gateway, &peer)?];
    let told = gateway.making.begin(peer.certificate, &file);
    in_time(async {
        let what = format!("evidence of message {id}");
        record(&gateway, &peer, About { act: "read_evidence", what, reason }).await?;
        let mut tx = gateway.store.read().await.map_err(failed)?;
        let rows = message::by_id(&mut tx, &id).await.map_err(failed)?;
        told.tell(Stage::Found(rows.len()));
        bundle(&gateway, tx, &rows, &id.to_string(), held, told).await
    })
    .await
}

/// `POST /messages/evidence?…`: one bundle of all that the search finds.
pub async fn of_search(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    query: Result<Query<Asked>, QueryRejection>,
    request: Request,
) -> Result<Response, Response> {
    let asked = parameters(query)?;
    let filter = asked.filter().map_err(unfit)?;
    let reason = given(&gateway, request).await?;
    let held = [alone(&gateway)?, spend(&gateway, &peer)?];
    let told = gateway.making.begin(peer.certificate, &asked.file);
    in_time(async {
        let seqs = all(&gateway, Search::new(filter, None), &told).await.map_err(failed)?;
        // How many were opened stands in the record, also where they were too many and none was.
        let what = match seqs.len() {
            count if count > MESSAGES_MAX => format!("evidence of more than {MESSAGES_MAX} messages"),
            count => format!("evidence of {count} messages"),
        };
        let what = format!("{what}, {}", asked.selection());
        record(&gateway, &peer, About { act: "read_evidence", what, reason }).await?;
        if seqs.len() > MESSAGES_MAX {
            return Err(unfit(BundleError::TooMany.to_string()));
        }
        // None is open while the record waits for its turn. What was found is read again: it may have changed meanwhile.
        let mut tx = gateway.store.read().await.map_err(failed)?;
        let rows = search::among(&mut tx, &Filter::default(), &seqs).await.map_err(failed)?;
        bundle(&gateway, tx, &rows, "evidence", held, told).await
    })
    .await
}

/// What makes a bundle, or its end where it takes too long.
async fn in_time(making: impl Future<Output = Result<Response, Response>>) -> Result<Response, Response> {
    tokio::time::timeout(DEADLINE, making).await.unwrap_or_else(|_| {
        let detail = format!(
            "the bundle was not made within {} s; narrow the search, or run `silkgate evidence export`",
            DEADLINE.as_secs()
        );
        Err(http::problem(&Problem::new(Code::Unavailable).detail(detail)))
    })
}

/// The reason of the form. Without one nothing is looked at.
async fn given(gateway: &Gateway, request: Request) -> Result<Option<String>, Response> {
    let reason = reason(gateway, request).await?;
    reason.map(Some).ok_or_else(|| http::problem(&Problem::new(Code::ReasonMissing)))
}

/// A place for the only bundle that is being made: each may be as large as all that the place allows for.
fn alone(gateway: &Gateway) -> Result<Place, Response> {
    let place = gateway.admission.enter("evidence", BUNDLE_MAX_BYTES);
    place.ok_or_else(|| {
        let detail = "another evidence bundle is being made; try again in a moment";
        http::problem(&Problem::new(Code::Overloaded).detail(detail))
    })
}

/// All that a search finds in order of arrival; one more than a bundle takes where they are too many.
async fn all(gateway: &Gateway, mut search: Search, told: &Told) -> Result<Vec<i64>, StoreError> {
    let mut tx = gateway.store.read().await?;
    let mut seqs = Vec::new();
    loop {
        let found = search.page(gateway, &mut tx, PAGE).await?;
        seqs.extend(found.rows.iter().map(|row| row.seq));
        told.tell(Stage::Found(seqs.len()));
        match found.next {
            Some(next) if seqs.len() <= MESSAGES_MAX => search.go_on(next),
            _ => break,
        }
    }
    seqs.reverse();
    Ok(seqs)
}

/// The file, once it is whole and holds before the judge.
async fn bundle(
    gateway: &Gateway,
    mut tx: Connection,
    rows: &[Message],
    name: &str,
    held: [Place; 2],
    told: Told,
) -> Result<Response, Response> {
    if rows.is_empty() {
        return Err(http::problem(&Problem::new(Code::NotFound)));
    }
    let keys = gateway.keys();
    let exporter = Exporter {
        party: gateway.config.party.clone(),
        country: gateway.country(),
        key: keys.message.clone(),
        certificate: keys.message_certificate.clone(),
    };
    let tell = &mut |step: Step| {
        told.tell(match step {
            Step::Entries { done, of, .. } => Stage::Entries(done, of),
            Step::Messages { done, of } => Stage::Messages(done, of),
        });
    };
    let made = async {
        let gathered = evidence::gather(&gateway.store, &mut tx, &exporter, rows, None, tell).await?;
        drop(tx);
        evidence::seal(gathered, exporter, clock::now(), held).await
    };
    let (made, held) = made.await.map_err(|error| {
        if error.is::<BundleError>() || error.is::<EarlierEdition>() {
            return unfit(error.to_string());
        }
        tracing::error!(error = format!("{error:#}"), "evidence");
        http::problem(&Problem::new(Code::Unavailable).detail(format!("{error:#}")))
    })?;
    told.tell(Stage::Messages(made.messages, made.messages));
    told.whole();
    let mut response = Response::new(Body::new(File::new(made.bytes, held)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.zip\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// A bundle as a body, in parts. All parts share its bytes, so the places in memory are given back once the last part is written or the
/// reader has gone, not when the answer begins.
struct File(Bytes);

/// What the parts of a [`File`] share.
struct Held<H> {
    bytes: Vec<u8>,
    _places: H,
}

impl<H> AsRef<[u8]> for Held<H> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl File {
    fn new<H: Send + 'static>(bytes: Vec<u8>, places: H) -> Self {
        Self(Bytes::from_owner(Held { bytes, _places: places }))
    }
}

impl hyper::body::Body for File {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        let part = self.0.len().min(PART_BYTES);
        Poll::Ready((part > 0).then(|| Ok(BodyFrame::data(self.0.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::admission::Admission;
    use crate::making::Making;
    use silkgate_message::jws::Digest;

    #[tokio::test(start_paused = true)]
    async fn a_bundle_that_takes_too_long_is_given_up_and_said_to_be() {
        let (making, whose) = (Making::default(), Digest([7; 32]));
        let told = making.begin(whose, "");
        let never = async {
            told.tell(Stage::Messages(3, 9));
            std::future::pending::<()>().await;
            told.whole();
            Ok(Response::new(Body::empty()))
        };
        let answer = in_time(never).await.unwrap_err();
        assert_eq!(answer.status(), 503);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["code"], "unavailable");
        assert!(problem["detail"].as_str().unwrap().contains("120 s"), "{problem}");
        assert_eq!(making.newest(&whose).unwrap().end, Some(false));
    }

    #[tokio::test]
    async fn the_place_of_a_bundle_is_held_until_its_last_byte_is_written() {
        let admission = Admission::new(1, 8);
        let enter = || admission.enter("evidence", BUNDLE_MAX_BYTES);
        let mut file = File::new(vec![7; PART_BYTES + 1], enter().unwrap());
        let mut written = Vec::new();
        while let Some(part) = file.frame().await {
            assert!(enter().is_none(), "another one beside it");
            written.push(part.unwrap().into_data().unwrap());
        }
        assert_eq!(written.iter().map(Bytes::len).collect::<Vec<_>>(), [PART_BYTES, 1]);
        drop(file);
        assert!(enter().is_none(), "the parts are not written yet");
        drop(written);
        // A reader that goes away leaves it too.
        drop(File::new(vec![7; 2], enter().unwrap()));
        assert!(enter().is_some());
    }
}
