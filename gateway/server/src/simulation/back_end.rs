//! The back ends of a state: they submit versions of records, fetch what comes, acknowledge it, and remember what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::event;
use silkgate_message::instant::Instant;
use uuid::Uuid;

use super::lock;
use super::network::Rates;
use super::state::{Answered, Plane};
use super::world::World;
use crate::clock;
use crate::roles::{NationalPeer, Role};

/// A submission that was answered 202.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    pub(super) from: usize,
    pub(super) id: Uuid,
    pub(super) is_short_lived: bool,
}

/// What a back end was handed over.
#[derive(Default, Debug)]
pub(super) struct HandedOver {
    /// Every message that it was given, by the state that it works for.
    pub(super) given: BTreeSet<(usize, Uuid)>,
    /// Those whose acknowledgement was answered 200.
    pub(super) acknowledged: BTreeSet<(usize, Uuid)>,
}

/// What the back ends of one state do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Records, each in a task of its own.
    pub(super) records: u64,
    /// Versions of each.
    pub(super) versions: u64,
    /// One record in so many expires soon; 0: none.
    pub(super) short_lived: u64,
    /// The longest pause between two submissions, milliseconds.
    pub(super) pause_ms: u64,
    /// What becomes of requests on the national plane.
    pub(super) rates: Rates,
}

impl World {
    /// Submits every version of one record, each once the one before is taken over.
    pub(super) async fn submit_record(self: Arc<Self>, from: usize, load: Load) {
        let number = self.below(1 << 40);
        let is_short_lived = load.short_lived > 0 && self.below(load.short_lived) == 0;
        let mut before = None;
        for version in 1..=load.versions {
            self.pause(load.pause_ms).await;
            let event = self.event(from, number, version, before.as_ref(), is_short_lived);
            let Some((id, digest)) = self.submit(from, &event, load).await else { return };
            let acknowledged = Acknowledged { from, id, is_short_lived };
            lock(&self.witnessed).acknowledged.push(acknowledged);
            before = Some(json!({ "messageId": id, "digest": digest }));
        }
    }

    fn event(
        &self,
        from: usize,
        record: u64,
        version: u64,
        before: Option<&Value>,
        is_short_lived: bool,
    ) -> Value {
        let example = Catalogue::embedded().find("alert.vehicle", 1).expect("a type").example();
        let mut event: Value = serde_json::from_str(example).expect("the example is JSON");
        let now = self.now().unwrap_or_else(clock::now);
        let subject = format!("R-{from}-{record:010x}");
        event["id"] = json!(self.id(now).to_string());
        event["source"] = json!(self.states[from].config.party.as_str());
        event["recipient"] = json!(self.states[1 - from].config.party.as_str());
        event["time"] = json!(now.to_string());
        let lifetime_ms = if is_short_lived { 40_000 } else { 3 * 86_400_000 };
        event["expirytime"] = json!(now.plus_ms(lifetime_ms).to_string());
        event["subject"] = json!(subject);
        event["data"]["recordId"] = json!(subject);
        event["data"]["recordVersion"] = json!(version);
        if let Some(before) = before {
            event["data"]["action"] = json!("update");
            event["data"]["supersedes"] = before.clone();
        }
        event
    }

    fn id(&self, now: Instant) -> Uuid {
        let bytes = std::array::from_fn(|_| self.below(256) as u8);
        uuid::Builder::from_unix_timestamp_millis(u64::try_from(now.0).unwrap_or(0), &bytes).into_uuid()
    }

    /// Submits until it is answered for good: id and digest, or None where it was refused.
    async fn submit(&self, from: usize, event: &Value, load: Load) -> Option<(Uuid, String)> {
        let body = event.to_string();
        let id: Uuid = event["id"].as_str().and_then(event::uuid_v7).expect("an id");
        loop {
            let request = request("POST", "/v1/submissions", "application/cloudevents+json", body.clone());
            let answer = self.ask(from, request, load.rates).await;
            let taken = match answer {
                Some(answer) if answer.status == 202 => Some(answer),
                Some(answer) if !matches!(answer.status, 429 | 503) => {
                    // Refused: this time. An earlier request, whose answer was lost, may have been taken over.
                    let code = String::from_utf8_lossy(&answer.body).into_owned();
                    match self.status(from, &id, load.rates).await {
                        // Then the same again is answered the same, but for what the clock says by now.
                        Some(status) => {
                            if !["id_time_mismatch", "\"expired"].iter().any(|late| code.contains(late)) {
                                self.broken(format!("{from} has taken over {id} and refuses it: {code}"));
                            }
                            Some(status)
                        }
                        None => {
                            self.note(|| format!("{from} refuses {id}: {code}"));
                            return None;
                        }
                    }
                }
                _ => None,
            };
            if let Some(taken) = taken {
                let taken: Value = serde_json::from_slice(&taken.body).expect("a status");
                self.note(|| format!("{from} takes over {id}"));
                return Some((id, taken["digest"].as_str().unwrap_or_default().to_owned()));
            }
            self.pause(2000).await;
        }
    }

    /// Where a submission stands; None where the gateway says that it has none.
    async fn status(&self, from: usize, id: &Uuid, rates: Rates) -> Option<Answered> {
        loop {
            let request = request("GET", &format!("/v1/submissions/{id}"), "", String::new());
            match self.ask(from, request, rates).await {
                Some(answer) if answer.status == 200 => return Some(answer),
                Some(answer) if answer.status == 404 => return None,
                _ => self.pause(1000).await,
            }
        }
    }

    /// Fetches and acknowledges, as long as it is let.
    pub(super) async fn fetch(self: Arc<Self>, to: usize, rates: Rates) {
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        loop {
            let max = 1 + self.below(5);
            let path = format!("/v1/deliveries?wait=20&max={max}");
            let answer = self.ask(to, request("GET", &path, "", String::new()), rates).await;
            let Some(answer) = answer.filter(|answer| answer.status == 200) else {
                self.pause(2000).await;
                continue;
            };
            let body: Value = serde_json::from_slice(&answer.body).expect("deliveries");
            for delivery in body["deliveries"].as_array().expect("deliveries") {
                self.take(to, delivery, &mut newest, rates).await;
            }
        }
    }

    async fn take(&self, to: usize, delivery: &Value, newest: &mut BTreeMap<String, u64>, rates: Rates) {
        let id: Uuid = delivery["id"].as_str().and_then(event::uuid_v7).expect("an id");
        let receipt = delivery["receipt"].as_str().unwrap_or_default().as_bytes();
        self.keep(to, 200, receipt);
        let event = &delivery["event"];
        let (subject, version) =
            (event["subject"].as_str().unwrap_or_default(), &event["data"]["recordVersion"]);
        let version = version.as_u64().unwrap_or(0);
        let last = newest.entry(subject.to_owned()).or_default();
        if version < *last {
            self.broken(format!("{to} is given version {version} of {subject} after {last}"));
        }
        *last = version;
        let is_done = lock(&self.witnessed).handed_over.acknowledged.contains(&(to, id));
        if is_done {
            self.broken(format!("{to} is given {id} again, which it has acknowledged"));
        }
        lock(&self.witnessed).handed_over.given.insert((to, id));
        self.note(|| format!("{to} is given {id}, version {version} of {subject}"));
        if self.fails(12) {
            // Longer than its lease.
            let lease_s = self.states[to].config.deliveries.lease_seconds;
            tokio::time::sleep(Duration::from_secs(lease_s + 2)).await;
        }
        if self.fails(12) {
            return;
        }
        let body = json!({ "lease": delivery["lease"] }).to_string();
        let again = if self.fails(8) { 2 } else { 1 };
        for _ in 0..again {
            let path = format!("/v1/deliveries/{id}/ack");
            let answer = self.ask(to, request("POST", &path, "application/json", body.clone()), rates).await;
            if answer.is_some_and(|answer| answer.status == 200) {
                self.note(|| format!("{to} has acknowledged {id}"));
                lock(&self.witnessed).handed_over.acknowledged.insert((to, id));
            }
        }
    }

    /// Asks the own gateway; None where no answer comes.
    async fn ask(&self, of: usize, mut request: Request<Body>, rates: Rates) -> Option<Answered> {
        self.pause(5).await;
        if self.fails(rates.request_lost) {
            return None;
        }
        let state = &self.states[of];
        let directory = state.gateway()?.directory();
        let (certificate, client) = directory.clients().find(|(_, client)| client.role == Role::BackEnd)?;
        let (role, name) = (client.role, client.subject.clone());
        request.extensions_mut().insert(NationalPeer { role, name, certificate: *certificate });
        let answer = state.serve(Plane::National, request).await;
        if self.fails(rates.answer_lost) {
            return None;
        }
        answer
    }
}

fn request(method: &str, path: &str, content_type: &str, body: String) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, content_type);
    request.body(Body::from(body)).expect("a request")
}
