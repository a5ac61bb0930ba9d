//! Messages: search, filters in the address, pages by cursor.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use silkgate_message::agreement::{Agreement, Direction};
use silkgate_message::catalogue::{Catalogue, terms};
use silkgate_message::event;
use silkgate_message::instant::Instant;

use super::frame::Frame;
use super::{failed, page};
use crate::gateway::Gateway;
use crate::reading::{About, logged, parameters, unfit};
use crate::roles::NationalPeer;
use crate::store::message::{self, Message, Way};
use crate::store::search::{self, Filter, Verdict};
use crate::store::{Connection, StoreError};

/// Messages on one page.
const PAGE: u32 = 50;
/// Messages that hold what is searched for and are looked at for a page, where a filter lets only some of them through.
const HOLDERS: usize = 200;
/// Messages looked at for one page: a search that finds little tells how far it came, and goes on from there.
const SCAN: i64 = 100_000;
/// Messages around a time bound that may stand out of its order: a clock may have been put back.
const SLACK: i64 = 2_000;
/// Characters of a parameter.
const TEXT_MAX: usize = 200;

/// What is asked for, as the form sends it; an empty parameter asks for nothing.
#[derive(Deserialize, Default, Clone)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// A message id, a record, or what a message holds: a plate, a VIN, a document's or a container's number.
    q: String,
    purpose: String,
    partner: String,
    direction: String,
    r#type: String,
    verdict: String,
    /// Days `YYYY-MM-DD`, UTC, both included.
    from: String,
    to: String,
    /// The page begins with the newest message before this one.
    pub(super) before: Option<i64>,
    /// Of a file: `csv` or `jsonl`.
    pub(super) format: String,
    /// What the page calls the file, to be told how far it is.
    pub(super) file: String,
}

impl Asked {
    pub(super) fn filter(&self) -> Result<Filter, &'static str> {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let texts = [
            &self.q,
            &self.partner,
            &self.direction,
            &self.r#type,
            &self.verdict,
            &self.from,
            &self.to,
            &self.purpose,
        ];
        if texts.iter().any(|text| text.chars().count() > TEXT_MAX) {
            return Err("a parameter is too long");
        }
        let day = |text: &str| Instant::parse(&format!("{text}T00:00:00Z")).ok_or("a day is YYYY-MM-DD");
        let way = |text: String| {
            let ways = [Way::Received, Way::Sent].into_iter();
            ways.into_iter().find(|way| way.as_str() == text).ok_or("direction: received or sent")
        };
        let verdict = |text: String| {
            let all = Verdict::ALL.into_iter();
            all.into_iter()
                .find(|verdict| verdict.as_str() == text)
                .ok_or("verdict: accepted, rejected, waiting or undelivered")
        };
        let text = given(&self.q);
        let id = text.as_deref().and_then(event::uuid_v7);
        Ok(Filter {
            id,
            partner: given(&self.partner),
            way: given(&self.direction).map(way).transpose()?,
            kind: given(&self.r#type),
            record: text.filter(|_| id.is_none()),
            purpose: given(&self.purpose),
            since: given(&self.from).map(|text| day(&text)).transpose()?,
            until: given(&self.to)
                .map(|text| day(&text).map(|day| Instant::of_day(day.day() + 1)))
                .transpose()?,
            verdict: given(&self.verdict).map(verdict).transpose()?,
        })
    }

    /// The address of the page before `before` with the same filters.
    pub(super) fn address(&self, before: i64) -> String {
        let mut query = self.query();
        query.append_pair("before", &before.to_string());
        format!("/messages?{}", query.finish())
    }

    /// The address of a file with all that the search finds.
    fn file(&self, format: &str) -> String {
        let mut query = self.query();
        query.append_pair("format", format);
        format!("/messages/export?{}", query.finish())
    }

    /// The address that takes the evidence of all that the search finds.
    fn evidence(&self) -> String {
        format!("/messages/evidence?{}", self.query().finish())
    }

    /// The filters alone, for the record.
    pub(super) fn selection(&self) -> String {
        format!("/messages?{}", self.query().finish())
    }

    fn query(&self) -> form_urlencoded::Serializer<'static, String> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("q", &self.q),
            ("partner", &self.partner),
            ("direction", &self.direction),
            ("type", &self.r#type),
            ("verdict", &self.verdict),
            ("purpose", &self.purpose),
            ("from", &self.from),
            ("to", &self.to),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query
    }
}

/// A message in a list.
pub struct Line {
    /// The message.
    pub row: Message,
    /// How its state looks: `good`, `bad` or `wait`.
    pub tone: &'static str,
}

impl From<Message> for Line {
    fn from(row: Message) -> Self {
        Self { tone: tone(&row), row }
    }
}

/// How a message's state looks.
pub(super) fn tone(row: &Message) -> &'static str {
    use message::State::{Accepted, Queued, Receipted};
    match row.state {
        Accepted | Receipted => "good",
        Queued => "wait",
        _ => "bad",
    }
}

#[derive(Template)]
#[template(path = "messages.html")]
struct Page {
    f: Frame,
    asked: Asked,
    partners: Vec<String>,
    kinds: Vec<String>,
    purposes: BTreeSet<String>,
    lines: Vec<Line>,
    /// The next page's address.
    next: Option<String>,
    /// How far was looked, where the page is not full.
    reached: Option<Instant>,
}

/// `GET /messages`
pub async fn messages(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Response> {
    let asked = parameters(query)?;
    let filter = asked.filter().map_err(unfit)?;
    // The terms stand in the row beside the entry, where they can be taken away.
    let what = format!("messages {}", asked.address(asked.before.unwrap_or(0)));
    let _place = logged(&gateway, &peer, About { act: "read_messages", what, reason: None }).await?;
    let mut tx = gateway.store.read().await.map_err(failed)?;
    let found = Search::new(filter, asked.before).page(&gateway, &mut tx, PAGE).await.map_err(failed)?;
    let directory = gateway.directory();
    let mut kinds: Vec<String> =
        Catalogue::embedded().types().iter().map(|kind| kind.name().to_owned()).collect();
    kinds.dedup();
    Ok(page(&Page {
        f,
        partners: directory.partners().map(|partner| partner.country.to_string()).collect(),
        kinds,
        purposes: directory.partners().flat_map(|partner| agreed_purposes(&partner.agreement)).collect(),
        next: found.next.map(|before| asked.address(before)),
        reached: found.reached,
        lines: found.rows.into_iter().map(Line::from).collect(),
        asked,
    }))
}

fn agreed_purposes(agreement: &Agreement) -> Vec<String> {
    let both = [Direction::Receive, Direction::Send].into_iter();
    both.flat_map(|direction| agreement.clauses(direction))
        .flat_map(|clause| clause.purposes.clone())
        .collect()
}

/// A search that goes on where its last page ended.
pub(super) struct Search {
    filter: Filter,
    before: Option<i64>,
}

/// A page of a search.
pub(super) struct Found {
    /// The messages, newest first.
    pub(super) rows: Vec<Message>,
    /// Before which message the next page begins; None: nothing is left.
    pub(super) next: Option<i64>,
    /// How far was looked, where the page is not full.
    pub(super) reached: Option<Instant>,
}

impl Search {
    /// From the newest message on, or from the one before `before`.
    pub(super) fn new(filter: Filter, before: Option<i64>) -> Self {
        Self { filter, before }
    }

    /// Takes the next page.
    pub(super) fn go_on(&mut self, before: i64) {
        self.before = Some(before);
    }

    /// At most `size` messages; fewer, where as many were looked at as one page may.
    pub(super) async fn page(
        &self,
        gateway: &Gateway,
        conn: &mut Connection,
        size: u32,
    ) -> Result<Found, StoreError> {
        let filter = &self.filter;
        let mut before = match filter.until {
            Some(until) => search::seq_at(conn, until).await?.saturating_add(SLACK),
            None => i64::MAX,
        };
        // A reader may write any number into the address.
        before = before.min(self.before.unwrap_or(i64::MAX)).min(message::next_seq(conn).await?).max(1);
        let end = match filter.since {
            Some(since) => (search::seq_at(conn, since).await? - SLACK).max(0),
            None => 0,
        };
        let limit = size as usize + 1;
        let (mut rows, after) = match &filter.record {
            // Of one id there are few, found by an index of their own.
            None if filter.id.is_some() => (search::newest(conn, filter, end, before, size + 1).await?, end),
            // One record has an index of its own, and so has what messages hold.
            Some(text) => {
                let others = Filter { record: None, ..filter.clone() };
                let most = if others.is_open() { limit } else { limit.max(HOLDERS) };
                let held = gateway.store.holding(conn, &terms::meant(text), before, most).await?;
                // Where there may be more of them, nothing below the last one is known.
                let last = held.last().filter(|_| held.len() == most);
                let after = last.map_or(end, |last| (last - 1).max(end));
                let mut rows = search::newest(conn, filter, after, before, size + 1).await?;
                rows.extend(search::among(conn, &others, &held).await?);
                rows.sort_by_key(|row| std::cmp::Reverse(row.seq));
                rows.dedup_by_key(|row| row.seq);
                (rows, after)
            }
            None => {
                let after = (before - 1 - SCAN).max(end);
                (search::newest(conn, filter, after, before, size + 1).await?, after)
            }
        };
        let is_full = rows.len() > size as usize;
        rows.truncate(size as usize);
        let next = match rows.last() {
            Some(last) if is_full => Some(last.seq),
            _ => (after > end).then_some(after + 1),
        };
        let reached = match next {
            Some(seq) if !is_full => message::by_seq(conn, seq).await?.map(|row| row.at),
            _ => None,
        };
        Ok(Found { rows, next, reached })
    }
}
