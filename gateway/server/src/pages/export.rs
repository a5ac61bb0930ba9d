//! The selection of a search as a file: what is known of each message, never what it says.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame as BodyFrame;
use serde_json::json;
use tokio::sync::mpsc;

use super::messages::{Asked, Search};
use crate::gateway::Gateway;
use crate::making::{Stage, Told};
use crate::reading::{About, logged, parameters, unfit};
use crate::roles::NationalPeer;
use crate::store::StoreError;
use crate::store::message::Message;

/// Messages read at once.
const PAGE: u32 = 1000;
/// Pages made before the reader takes the first of them.
const AHEAD: usize = 2;
/// The columns, in their order.
const COLUMNS: [&str; 16] = [
    "committed_at",
    "direction",
    "partner",
    "from",
    "to",
    "type",
    "version",
    "record",
    "purpose",
    "state",
    "code",
    "id",
    "digest",
    "log_entry",
    "signed_at",
    "expires_at",
];

fn values(row: &Message) -> [String; 16] {
    [
        row.at.to_string(),
        row.way.as_str().to_owned(),
        row.partner.clone(),
        row.source.clone(),
        row.recipient.clone(),
        row.kind.clone(),
        row.version.to_string(),
        row.subject.clone(),
        row.purpose.clone().unwrap_or_default(),
        row.state.as_str().to_owned(),
        row.code.clone().unwrap_or_default(),
        row.id.to_string(),
        row.digest.to_string(),
        row.entry.to_string(),
        row.signed_at.to_string(),
        row.expires_at.to_string(),
    ]
}

/// The form of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    Lines,
}

impl Form {
    fn of(text: &str) -> Option<Self> {
        match text {
            "csv" => Some(Self::Csv),
            "jsonl" => Some(Self::Lines),
            _ => None,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Lines => "application/jsonl",
        }
    }

    /// What stands before the first message.
    fn head(self) -> String {
        match self {
            Self::Csv => csv(&COLUMNS.map(str::to_owned)),
            Self::Lines => String::new(),
        }
    }

    fn line(self, row: &Message) -> String {
        let values = values(row);
        match self {
            Self::Csv => csv(&values),
            Self::Lines => {
                let members = COLUMNS.into_iter().zip(values);
                let object: serde_json::Map<_, _> =
                    members.map(|(name, value)| (name.to_owned(), json!(value))).collect();
                format!("{}\n", serde_json::Value::Object(object))
            }
        }
    }
}

/// A record of CSV (RFC 4180 §2). A cell that a spreadsheet would compute is told to be text, since others wrote it.
fn csv(cells: &[String]) -> String {
    let cell = |text: &String| {
        let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let text = if formula { format!("'{text}") } else { text.clone() };
        format!("\"{}\"", text.replace('"', "\"\""))
    };
    format!("{}\r\n", cells.iter().map(cell).collect::<Vec<_>>().join(","))
}

/// `GET /messages/export?format=csv|jsonl&…`: all that the search finds, newest first, as it is read.
pub async fn export(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Response> {
    let asked = parameters(query)?;
    let form = Form::of(&asked.format).ok_or_else(|| unfit("format: csv or jsonl"))?;
    let filter = asked.filter().map_err(unfit)?;
    let what = format!("export of messages {}", asked.address(asked.before.unwrap_or(0)));
    let place = logged(&gateway, &peer, About { act: "read_messages", what, reason: None }).await?;
    let told = gateway.making.begin(peer.certificate, &asked.file);
    let (pages, taken) = mpsc::channel(AHEAD);
    let search = Search::new(filter, asked.before);
    tokio::spawn(async move {
        // Held to the last page: so many exports at once as there is room for.
        let _place = place;
        if let Err(error) = write(&gateway, search, form, &pages, told).await {
            // The answer ends early, without its end mark.
            tracing::error!(%error, "an export");
        }
    });
    let mut response = Response::new(Body::new(Pages(taken)));
    let headers = response.headers_mut();
    let name = if form == Form::Csv { "messages.csv" } else { "messages.jsonl" };
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.kind()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(disposition) = disposition {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

async fn write(
    gateway: &Gateway,
    mut search: Search,
    form: Form,
    pages: &mpsc::Sender<Result<Bytes, StoreError>>,
    told: Told,
) -> Result<(), StoreError> {
    let mut text = form.head();
    let mut count = 0;
    loop {
        // A transaction for each page: a slow reader keeps no old state of the database alive.
        let found = async {
            let mut tx = gateway.store.read().await?;
            search.page(gateway, &mut tx, PAGE).await
        };
        let found = match found.await {
            Ok(found) => found,
            Err(error) => {
                let _ = pages.send(Err(StoreError::Corrupt("the export ended early".into()))).await;
                return Err(error);
            }
        };
        found.rows.iter().for_each(|row| text.push_str(&form.line(row)));
        if !text.is_empty() && pages.send(Ok(std::mem::take(&mut text).into())).await.is_err() {
            // Whoever asked has gone.
            return Ok(());
        }
        count += found.rows.len() as u64;
        told.tell(Stage::Written(count, found.reached.or(found.rows.last().map(|row| row.at))));
        let Some(next) = found.next else {
            told.whole();
            return Ok(());
        };
        search.go_on(next);
    }
}

/// Pages as a body.
struct Pages(mpsc::Receiver<Result<Bytes, StoreError>>);

impl hyper::body::Body for Pages {
    type Data = Bytes;
    type Error = StoreError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, StoreError>>> {
        self.0.poll_recv(context).map(|page| page.map(|page| page.map(BodyFrame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_whatever_it_holds() {
        let cells = ["a", "b,\"c\"", "=1+1", "-2", "@x", "line\nfeed"].map(str::to_owned);
        assert_eq!(csv(&cells), "\"a\",\"b,\"\"c\"\"\",\"'=1+1\",\"'-2\",\"'@x\",\"line\nfeed\"\r\n");
    }
}
