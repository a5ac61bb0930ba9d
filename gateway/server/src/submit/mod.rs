//! Our back end's message enters: submissions on the national plane.

mod outcome;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use silkgate_message::agreement::{Agreement, Direction};
use silkgate_message::catalogue::{Catalogue, MessageType, Violation};
use silkgate_message::event::{self, Envelope};
use silkgate_message::instant::Instant;
use silkgate_message::json;
use silkgate_message::jws::{Digest, Jws, encode};
use silkgate_message::party::Party;
use silkgate_message::problem::{Code, Problem};
use uuid::Uuid;

use crate::accept::{Answer, Submission, Work};
use crate::clock;
use crate::conform::{bonds, conform, erase_day, step};
use crate::directory::Directory;
use crate::gateway::Gateway;
use crate::http::{self, BackEndPeer};
use crate::refusals::Read;
use crate::standing::Flow;
use crate::store::message::State as Stands;
use crate::store::question::QuestionState;
pub use outcome::{signed_message, status};

/// The content type of a submission: an event that lacks what the gateway fills in.
const EVENT: &str = "application/cloudevents+json";

/// The answer to a submission, and to a question about one.
#[derive(Serialize, Deserialize, Debug)]
pub struct Status {
    /// The message's id.
    pub id: Uuid,
    /// Its digest, which the next version of the record names in `supersedes`.
    pub digest: String,
    /// Where it stands.
    pub state: Stands,
    /// Why it was refused or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Attempts so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<usize>,
    /// What became of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<String>,
    /// The partner's problem document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Value>,
    /// The partner's receipt (C2SP tlog-proof), verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// How a question stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Asked>,
    /// Warnings that refused nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Violation>,
}

impl Status {
    fn of(id: Uuid, digest: String, state: Stands) -> Self {
        Self {
            id,
            digest,
            state,
            code: None,
            attempts: None,
            last_attempt: None,
            problem: None,
            receipt: None,
            question: None,
            warnings: Vec::new(),
        }
    }
}

/// How a question stands.
#[derive(Serialize, Deserialize, Debug)]
pub struct Asked {
    /// Until when an answer is waited for.
    pub deadline: String,
    /// Whether it came.
    pub state: QuestionState,
    /// The message that answered finally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Uuid>,
}

/// `POST /v1/submissions`.
pub async fn post(
    State(gateway): State<Arc<Gateway>>,
    Extension(BackEndPeer(party)): Extension<BackEndPeer>,
    request: Request,
) -> Response {
    let mut read = Read::default();
    match submit(&gateway, &party, request, &mut read).await {
        Ok(status) => {
            let location = format!("/v1/submissions/{}", status.id);
            let mut response = http::json(202, &status);
            if let Ok(value) = location.parse() {
                response.headers_mut().insert(axum::http::header::LOCATION, value);
            }
            response
        }
        Err(problem) => {
            let (partner, code) = (read.partner.map(|partner| partner.to_string()), problem.code);
            let kind = read.kind.as_deref();
            gateway.figures.submission(partner.as_deref(), kind, "refused", Some(code.as_str()));
            // Too much at once is no verdict: it leaves no entry.
            if !matches!(code, Code::Overloaded | Code::AgreementRate) {
                gateway.refusals.of_submission(&gateway.accept, party.as_str(), &read, code).await;
            }
            http::problem(&problem)
        }
    }
}

async fn submit(
    gateway: &Gateway,
    party: &Party,
    request: Request,
    read: &mut Read,
) -> Result<Status, Box<Problem>> {
    let arrived_at = clock::now();
    let limit = silkgate_message::agreement::BODY_MAX_BYTES as usize;
    let place = gateway.admission.enter(party.as_str(), http::body_at_most(&request, limit));
    let Some(place) = place else {
        gateway.admission.turn_away(party.as_str()).await;
        return Err(Box::new(Problem::new(Code::Overloaded)));
    };
    let body = http::body(request, EVENT, limit, gateway.config.limits.body_seconds);
    let body = body.await.map_err(|(problem, _)| Box::new(problem))?;
    let turn = place.turn().await;
    let prepared = prepare(gateway, party, &body, read);
    // What follows waits for the database, not for a processor.
    drop(turn);
    let (submission, warnings) = prepared?;
    let submission = Submission { arrived_at, ..submission };
    match gateway.accept.commit(Work::Submit(Box::new(submission))).await {
        Answer::Submitted { id, digest, state, again } => {
            if again {
                // The first time was told when it was committed.
                let partner = read.partner.map(|partner| partner.to_string());
                gateway.figures.submission(partner.as_deref(), read.kind.as_deref(), "again", None);
            }
            Ok(Status { warnings, ..Status::of(id, digest.to_string(), state) })
        }
        Answer::Refused(problem) | Answer::Failed(problem) => Err(Box::new(problem)),
        Answer::Received(_) | Answer::Erased { .. } | Answer::Done | Answer::Witnessed(_) => {
            Err(unavailable("no answer"))
        }
    }
}

/// Checks and signs a submission: all of it that costs processor time.
fn prepare(
    gateway: &Gateway,
    party: &Party,
    body: &[u8],
    read: &mut Read,
) -> Result<(Submission, Vec<Violation>), Box<Problem>> {
    let directory = gateway.directory();
    let now = clock::now();
    let checked = check(&directory, party, body, now, read)?;
    let partner = directory.partner(checked.envelope.recipient.country());
    let kind = &checked.envelope.kind;
    let flow = partner.map(|partner| gateway.flow_of(partner, Direction::Send, kind));
    if let Some(Flow::Stop(reason)) = flow {
        return Err(Box::new(Problem::new(Code::Degraded).detail(reason)));
    }
    if partner.is_some_and(|partner| !partner.within_rate_of(Direction::Send, kind)) {
        let detail = format!("clause send {kind}: `rate_per_second` is used up");
        return Err(Box::new(Problem::new(Code::AgreementRate).detail(detail)));
    }
    // One and the same key, also where another is taken up meanwhile.
    let keys = gateway.keys();
    let bytes = keys.message.sign(&checked.payload, now).map_err(|error| {
        tracing::error!(%error, "ALARM: a message cannot be signed");
        unavailable("the message key cannot be reached at present")
    })?;
    if bytes.len() > checked.body_max_bytes {
        let detail = format!(
            "the signed message has {} bytes, the agreement allows {}",
            bytes.len(),
            checked.body_max_bytes
        );
        return Err(Box::new(Problem::new(Code::BodyTooLarge).detail(detail)));
    }
    if let Some(partner) = partner {
        partner.agreement.check_size(Direction::Send, kind, bytes.len())?;
    }
    // Parsed back: what leaves is what a partner will be able to read.
    let jws = Jws::parse(&bytes).map_err(Box::new)?;
    let digest = jws.digest();
    let message_type = checked.message_type;
    let submission = Submission {
        step: step(message_type, &jws.event, &checked.envelope, digest),
        bonds: bonds(message_type, &jws.event),
        erase_day: checked.erase_day,
        arrived_at: now,
        bytes,
        digest,
        signed_at: jws.iat,
        certificate: keys.message_certificate.thumbprint,
        schema: (message_type.version(), Digest(message_type.digest())),
        envelope: checked.envelope,
        request: Digest::of(body),
    };
    Ok((submission, checked.warnings))
}

/// `POST /v1/check`: everything a submission is checked for, and nothing is sent or kept.
pub async fn dry_run(
    State(gateway): State<Arc<Gateway>>,
    Extension(BackEndPeer(party)): Extension<BackEndPeer>,
    request: Request,
) -> Response {
    let limit = silkgate_message::agreement::BODY_MAX_BYTES as usize;
    let body = match http::body(request, EVENT, limit, gateway.config.limits.body_seconds).await {
        Ok(body) => body,
        Err((problem, _)) => return http::problem(&problem),
    };
    match check(&gateway.directory(), &party, &body, clock::now(), &mut Read::default()) {
        Ok(checked) => http::json(200, &json!({ "valid": true, "violations": checked.warnings })),
        Err(problem) => http::problem(&problem),
    }
}

/// A submission past every check that needs no database.
struct Checked {
    envelope: Envelope,
    payload: Vec<u8>,
    message_type: &'static MessageType,
    warnings: Vec<Violation>,
    body_max_bytes: usize,
    erase_day: i64,
}

/// `read`: filled in as far as it comes.
fn check(
    directory: &Directory,
    party: &Party,
    body: &[u8],
    now: Instant,
    read: &mut Read,
) -> Result<Checked, Box<Problem>> {
    let event = json::parse(body).map_err(|error| Box::new(Problem::from(&error)))?;
    let Value::Object(mut event) = event else {
        return Err(Box::new(Problem::new(Code::EventInvalid).detail("a submission is a JSON object")));
    };
    let agreement = partner_of(directory, &event).map(|partner| &partner.agreement);
    fill_in(&mut event, party, now, agreement);
    let event = Value::Object(event);
    let envelope = event::read(&event).map_err(|(violations, _)| {
        Box::new(Problem::new(Code::EventInvalid).detail("the envelope breaks rules").violations(violations))
    })?;
    let country = envelope.recipient.country();
    *read = Read {
        partner: directory.partner(country).map(|partner| partner.country),
        id: Some(envelope.id),
        kind: Some(envelope.kind.clone()),
    };
    if envelope.source != *party {
        let detail = format!("your certificate is for {party}");
        return Err(Box::new(Problem::new(Code::SourceNotYours).detail(detail)));
    }
    let Some(partner) = directory.partner(country).filter(|partner| partner.state != "removed") else {
        let known = directory.partners().filter(|p| p.is_active()).map(|p| p.country.to_string());
        let detail = format!("{country} is none of our partners: {}", known.collect::<Vec<_>>().join(", "));
        return Err(Box::new(Problem::new(Code::PartnerUnknown).detail(detail)));
    };
    let known = &partner.card.content().authorities;
    if !known.is_empty() && !known.contains(&envelope.recipient) {
        let known = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let detail =
            format!("{country}'s card names {known}; if the authority is new there, ask for their new card");
        return Err(Box::new(Problem::new(Code::RecipientUnknown).detail(detail)));
    }
    times(&envelope, partner.agreement.lifetime_ms(), now)?;
    let catalogue = Catalogue::embedded();
    let message_type = catalogue.by_schema_id(&envelope.dataschema).filter(|t| t.name() == envelope.kind);
    let message_type = message_type.ok_or_else(|| {
        let known = catalogue.types().iter().map(MessageType::name).collect::<Vec<_>>().join(", ");
        Box::new(Problem::new(Code::SchemaUnknown).detail(format!("the catalogue holds {known}")))
    })?;
    partner.agreement.check(Direction::Send, &envelope, Some(message_type.version()))?;
    let warnings = conform(message_type, &event)?;
    let payload = serde_json::to_vec(&event).map_err(|_| unavailable("the event cannot be written"))?;
    let body_max_bytes = partner.agreement.body_max_bytes as usize;
    let erase_day = erase_day(&partner.agreement, Direction::Send, message_type, &event, now);
    Ok(Checked { envelope, payload, message_type, warnings, body_max_bytes, erase_day })
}

fn partner_of<'d>(
    directory: &'d Directory,
    event: &Map<String, Value>,
) -> Option<&'d Arc<crate::directory::Partner>> {
    let recipient: Party = event.get("recipient")?.as_str()?.parse().ok()?;
    directory.partner(recipient.country())
}

/// What a back end may leave to the gateway. `status`, `purpose` and `handling` are not among it:
/// whether a message acts, and what it may be used for, is said by who knows.
fn fill_in(event: &mut Map<String, Value>, party: &Party, now: Instant, agreement: Option<&Agreement>) {
    let mut default = |name: &str, value: Value| {
        event.entry(name).or_insert(value);
    };
    default("specversion", json!("1.0"));
    default("datacontenttype", json!("application/json"));
    default("id", json!(clock::uuid_v7(now).to_string()));
    default("source", json!(party.as_str()));
    default("time", json!(now.to_string()));
    default("salt", json!(encode(&clock::random::<16>())));
    // A second less than agreed: `iat` is cut to whole seconds.
    let lifetime_ms = agreement.map_or(3_600_000, Agreement::lifetime_ms) - 1000;
    default("expirytime", json!(now.plus_ms(lifetime_ms).to_string()));
    if let Some(record) = event.get("data").and_then(|data| data.get("recordId")).cloned() {
        event.entry("subject").or_insert(record);
    }
    if let Some(kind) = event.get("type").and_then(Value::as_str) {
        let types = Catalogue::embedded().types().iter().filter(|t| t.name() == kind);
        // The newest version that may be sent to this partner; a refusal names the newest there is.
        let agreed = |version: u32| agreement.is_some_and(|agreement| agreement.sends(kind, version));
        if let Some(newest) = types.max_by_key(|t| (agreed(t.version()), t.version())) {
            let schema = json!(newest.schema_id());
            event.entry("dataschema").or_insert(schema);
        }
    }
}

fn times(envelope: &Envelope, lifetime_ms: i64, now: Instant) -> Result<(), Box<Problem>> {
    let refuse = |code: Code, detail: String| Err(Box::new(Problem::new(code).detail(detail)));
    if envelope.expires_at <= now {
        return refuse(Code::Expired, format!("`expirytime` has passed; the gateway's clock shows {now}"));
    }
    if envelope.expires_at > Instant::from_seconds(now.seconds()).plus_ms(lifetime_ms) {
        return refuse(Code::LifetimeTooLong, format!("at most {} h are agreed", lifetime_ms / 3_600_000));
    }
    if (event::uuid_instant(&envelope.id).0 - now.0).abs() > event::SKEW_MS - 1000 {
        return refuse(Code::IdTimeMismatch, "make the UUIDv7 when you submit, or leave `id` out".to_owned());
    }
    if envelope.time > now.plus_ms(event::SKEW_MS - 1000) {
        return refuse(Code::TimeInFuture, format!("the gateway's clock shows {now}"));
    }
    Ok(())
}

fn unavailable(what: &str) -> Box<Problem> {
    Box::new(Problem::new(Code::Unavailable).detail(what))
}
