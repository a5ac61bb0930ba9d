//! A partner's message enters: `POST /v1/messages` on the partner plane.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::{Extension, http::HeaderValue};
use silkgate_message::agreement::Direction;
use silkgate_message::catalogue::{Catalogue, MessageType};
use silkgate_message::event::{self, Envelope, SKEW_MS};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Digest, Jws, SigningCertificate};
use silkgate_message::party::Country;
use silkgate_message::problem::{Code, Problem};
use tracing::field::display;

use crate::accept::{Answer, Bonds, REVOKED, Received, Verdict, Work};
use crate::admission::Place;
use crate::clock;
use crate::conform::{bonds, conform, count, erase_day, step};
use crate::directory::{Directory, Partner};
use crate::figures::known_type;
use crate::gateway::Gateway;
use crate::http::{self, PartnerPeer};
use crate::store::message::{self, State as Stands};
use crate::store::{Connection, StoreError, proof};

/// The content type of a message.
const MESSAGE: &str = "application/jose+json";

/// The answer to a message.
pub struct Answered {
    /// Its receipt, or its problem, with the receipt inside where that is a verdict.
    pub answer: Result<Vec<u8>, Problem>,
    /// Whether the message was known: then it is the first answer again.
    pub is_replay: bool,
}

impl From<Problem> for Answered {
    fn from(problem: Problem) -> Self {
        Self { answer: Err(problem), is_replay: false }
    }
}

/// Handles one message.
pub async fn post(
    State(gateway): State<Arc<Gateway>>,
    Extension(PartnerPeer(country)): Extension<PartnerPeer>,
    request: Request,
) -> Response {
    let began = tokio::time::Instant::now();
    let Answered { answer, is_replay } = on_the_line(&gateway, country, request).await;
    let response = answer.map_or_else(|problem| http::problem(&problem), http::receipt);
    gateway.figures.answered(began.elapsed());
    if is_replay { mark_as_replay(response) } else { response }
}

async fn on_the_line(gateway: &Gateway, country: Country, request: Request) -> Answered {
    let arrived_at = clock::now();
    let directory = gateway.directory();
    let partner = match admit(gateway, &directory, country, Partner::within_rate).await {
        Ok(partner) => partner,
        Err(problem) => return problem.into(),
    };
    let limit = partner.agreement.body_max_bytes as usize;
    let Some(place) = gateway.admission.enter(country.as_str(), http::body_at_most(&request, limit)) else {
        gateway.admission.turn_away(country.as_str()).await;
        return put_off(gateway, country, Problem::new(Code::Overloaded)).into();
    };
    match http::body(request, MESSAGE, limit, gateway.config.limits.body_seconds).await {
        Ok(body) => {
            take(gateway, &directory, partner, body.to_vec(), (arrived_at, false), Some(&place)).await
        }
        Err((problem, read)) => refuse(gateway, country, problem, Some(Digest::of(&read)), None).await,
    }
}

/// A partner's message that a courier brought: judged as on the line; only the rate does not count.
pub async fn couriered(gateway: &Gateway, country: Country, body: Vec<u8>) -> Answered {
    let arrived_at = clock::now();
    let directory = gateway.directory();
    let partner = match admit(gateway, &directory, country, |_| true).await {
        Ok(partner) => partner,
        Err(problem) => return problem.into(),
    };
    let limit = partner.agreement.body_max_bytes as usize;
    if let Some(read) = body.get(..limit).filter(|read| read.len() < body.len()) {
        let problem = Problem::new(Code::BodyTooLarge).detail(format!("the limit is {limit} bytes"));
        return refuse(gateway, country, problem, Some(Digest::of(read)), None).await;
    }
    take(gateway, &directory, partner, body, (arrived_at, true), None).await
}

/// Whether messages of the partner are taken at present.
async fn admit<'d>(
    gateway: &Gateway,
    directory: &'d Directory,
    country: Country,
    within_rate: impl Fn(&Partner) -> bool,
) -> Result<&'d Partner, Problem> {
    let Some(partner) = directory.partner(country).filter(|partner| partner.is_active()) else {
        let problem = Problem::new(Code::PartnerSuspended);
        log_refusal(gateway, country, problem.code, None, None).await;
        return Err(problem);
    };
    if !within_rate(partner) {
        // No verdict, no entry: the same message will do later.
        gateway.admission.turn_away(country.as_str()).await;
        return Err(put_off(gateway, country, Problem::new(Code::RateExceeded)));
    }
    match gateway.flow(partner, Direction::Receive).reason() {
        // No verdict, no entry: the partner sends it again.
        Some(reason) => Err(put_off(gateway, country, Problem::new(Code::Degraded).detail(reason))),
        None => Ok(partner),
    }
}

/// Judges a message's bytes and commits the verdict, whatever way they came, and whether by courier.
async fn take(
    gateway: &Gateway,
    directory: &Directory,
    partner: &Partner,
    body: Vec<u8>,
    (arrived_at, by_courier): (Instant, bool),
    place: Option<&Place>,
) -> Answered {
    let country = partner.country;
    let turn = match place {
        Some(place) => Some(place.turn().await),
        None => None,
    };
    let judged = judged(directory, partner, body);
    // What follows waits for the database, not for a processor.
    drop(turn);
    let received = match judged {
        Ok(judged) => {
            let not_now = not_now(gateway, partner, &judged, by_courier);
            Received { arrived_at, by_courier, not_now, ..judged }
        }
        Err(unverified) => {
            let (problem, body, jws) = *unverified;
            return refuse(gateway, country, problem, body, jws).await;
        }
    };
    let named = Named::of(&received);
    match gateway.accept.commit(Work::Receive(Box::new(received))).await {
        Answer::Received(verdict) => answer(gateway, country, named, verdict).await,
        Answer::Failed(problem) | Answer::Refused(problem) => put_off(gateway, country, problem).into(),
        Answer::Submitted { .. } | Answer::Erased { .. } | Answer::Done | Answer::Witnessed(_) => {
            put_off(gateway, country, Problem::new(Code::Unavailable)).into()
        }
    }
}

/// Why a message that nothing refuses gets no verdict now: the agreement's clause of its type. Only the standing of the logs counts for
/// what a courier brings.
fn not_now(gateway: &Gateway, partner: &Partner, judged: &Received, by_courier: bool) -> Option<Problem> {
    let kind = &judged.envelope.as_ref().ok()?.kind;
    let of_clause =
        |code: Code, what: String| Some(Problem::new(code).detail(format!("clause receive {kind}: {what}")));
    if judged.refusal.is_some() {
        return None;
    }
    if let Some(reason) = gateway.flow_of(partner, Direction::Receive, kind).reason() {
        return of_clause(Code::Degraded, format!("`degraded`: {reason}"));
    }
    if by_courier {
        return None;
    }
    if let Some(until) = partner.agreement.closed_until(Direction::Receive, kind, clock::now()) {
        return of_clause(Code::AgreementHours, format!("`hours`: not before {until}"));
    }
    if !partner.within_rate_of(Direction::Receive, kind) {
        return of_clause(Code::AgreementRate, "`rate_per_second` is used up".to_owned());
    }
    None
}

/// A refusal from before a verified signature, with the digest of the bytes or of what was signed.
type Unverified = (Problem, Option<Digest>, Option<Digest>);

/// All that costs processor time: the signature, and what is checked without the database.
fn judged(directory: &Directory, partner: &Partner, body: Vec<u8>) -> Result<Received, Box<Unverified>> {
    let jws = match Jws::parse(&body) {
        Ok(jws) => jws,
        Err(problem) => return Err(Box::new((problem, Some(Digest::of(&body)), None))),
    };
    let certificate =
        verify(&jws, partner).map_err(|code| Box::new((code.into(), None, Some(jws.digest()))))?;
    Ok(judge(&jws, certificate, directory, partner, body, clock::now()))
}

/// What an event line may tell of a message whose signature was verified.
struct Named {
    id: Option<uuid::Uuid>,
    kind: &'static str,
}

impl Named {
    fn of(received: &Received) -> Self {
        let (id, kind) = match &received.envelope {
            Ok(envelope) => (Some(envelope.id), Some(envelope.kind.as_str())),
            Err(parts) => (parts.id, parts.kind.as_deref()),
        };
        Self { id, kind: known_type(kind) }
    }
}

/// Gives back an answer without a verdict: counted, and no line for each, since nothing but the partner's patience bounds them.
fn put_off(gateway: &Gateway, partner: Country, problem: Problem) -> Problem {
    let code = problem.code.as_str();
    gateway.figures.message(partner.as_str(), Direction::Receive, None, "put_off", Some(code));
    tracing::debug!(%partner, code = %code, "message put off");
    problem
}

/// Answers a refusal from before a verified signature, logged within the partner's budget.
async fn refuse(
    gateway: &Gateway,
    partner: Country,
    problem: Problem,
    body: Option<Digest>,
    jws: Option<Digest>,
) -> Answered {
    log_refusal(gateway, partner, problem.code, body, jws).await;
    problem.into()
}

async fn log_refusal(
    gateway: &Gateway,
    partner: Country,
    code: Code,
    body: Option<Digest>,
    jws: Option<Digest>,
) {
    gateway.figures.message(partner.as_str(), Direction::Receive, None, "refused", Some(code.as_str()));
    gateway.refusals.of_partner(&gateway.accept, partner, code, body, jws).await;
}

/// The signature, by a certificate registered for *this* partner.
fn verify<'p>(jws: &Jws, partner: &'p Partner) -> Result<&'p SigningCertificate, Code> {
    let registered = partner.signing.iter().find(|certificate| certificate.thumbprint == jws.thumbprint);
    let certificate = registered.ok_or(Code::CertificateUnknown)?;
    jws.verify(certificate)?;
    Ok(certificate)
}

/// Every check that needs no database, in the order of the protocol. What it finds holds unless the
/// transaction finds the message to be a replay.
fn judge(
    jws: &Jws,
    certificate: &SigningCertificate,
    directory: &Directory,
    partner: &Partner,
    bytes: Vec<u8>,
    now: Instant,
) -> Received {
    let mut received = Received {
        partner: partner.country,
        arrived_at: now,
        bytes,
        digest: jws.digest(),
        signed_at: jws.iat,
        certificate: certificate.thumbprint,
        certificate_der: certificate.der.clone(),
        generation: directory.generation,
        envelope: Err(event::Fragments::default()),
        schema: None,
        step: None,
        bonds: Bonds::default(),
        erase_day: 0,
        refusal: None,
        not_now: None,
        by_courier: false,
    };
    let envelope = match event::read(&jws.event) {
        Ok(envelope) => envelope,
        Err((violations, parts)) => {
            received.envelope = Err(parts);
            received.refusal =
                Some(Problem::new(Code::EventInvalid).detail(count(&violations)).violations(violations));
            return received;
        }
    };
    let message_type =
        Catalogue::embedded().by_schema_id(&envelope.dataschema).filter(|t| t.name() == envelope.kind);
    received.schema = message_type.map(|t| (t.version(), Digest(t.digest())));
    received.refusal = timely(jws, certificate, &envelope, partner, now)
        .and_then(|()| addressed(&envelope, directory, partner.country))
        .and_then(|()| {
            let version = message_type.map(MessageType::version);
            partner.agreement.check(Direction::Receive, &envelope, version)?;
            partner.agreement.check_size(Direction::Receive, &envelope.kind, received.bytes.len())
        })
        .and_then(|()| message_type.ok_or_else(|| Box::new(Problem::new(Code::SchemaUnknown))))
        .and_then(|t| {
            conform(t, &jws.event)?;
            // Every type's data say what they do to their record; what could not be read must not pass by it.
            let step = step(t, &jws.event, &envelope, jws.digest());
            received.step = Some(step.ok_or_else(|| Box::new(Problem::new(Code::SchemaInvalid)))?);
            received.bonds = bonds(t, &jws.event);
            received.erase_day = erase_day(&partner.agreement, Direction::Receive, t, &jws.event, now);
            Ok(())
        })
        .err()
        .map(|problem| *problem);
    received.envelope = Ok(envelope);
    received
}

fn refusal(code: Code, detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new(code).detail(detail))
}

/// Times: of the certificate, of signing, of expiry, of the id.
fn timely(
    jws: &Jws,
    certificate: &SigningCertificate,
    envelope: &Envelope,
    partner: &Partner,
    now: Instant,
) -> Result<(), Box<Problem>> {
    let lifetime_ms = partner.agreement.lifetime_ms();
    let iat = jws.iat;
    if iat < certificate.not_before {
        return Err(refusal(Code::CertificateNotYetValid, format!("valid from {}", certificate.not_before)));
    }
    if partner.lists.iter().any(|list| list.revokes(&certificate.der)) {
        // RFC 5280 §5.3.2: when it was stolen nobody knows for sure, so no time of signing saves it.
        return Err(refusal(Code::CertificateRevoked, REVOKED));
    }
    if iat > certificate.not_after {
        return Err(refusal(Code::CertificateExpired, format!("valid until {}", certificate.not_after)));
    }
    if iat > now.plus_ms(SKEW_MS) {
        return Err(refusal(
            Code::IatInFuture,
            format!("our clock shows {now}; up to 300 s ahead is accepted"),
        ));
    }
    if envelope.expires_at <= now {
        return Err(refusal(
            Code::Expired,
            format!("`expirytime` is {}, our clock shows {now}", envelope.expires_at),
        ));
    }
    if envelope.expires_at > iat.plus_ms(lifetime_ms) {
        let hours = lifetime_ms / 3_600_000;
        return Err(refusal(
            Code::LifetimeTooLong,
            format!("`expirytime` may be at most {hours} h after `iat`"),
        ));
    }
    if (event::uuid_instant(&envelope.id).0 - iat.0).abs() > SKEW_MS {
        return Err(refusal(Code::IdTimeMismatch, "the UUIDv7's time must be within 300 s of `iat`"));
    }
    if envelope.time > iat.plus_ms(SKEW_MS) {
        return Err(refusal(Code::TimeInFuture, "`time` may be at most 300 s after `iat`"));
    }
    Ok(())
}

/// Parties: the source belongs to the partner, the recipient to us, and someone acts as it.
fn addressed(envelope: &Envelope, directory: &Directory, partner: Country) -> Result<(), Box<Problem>> {
    if envelope.source.country() != partner {
        return Err(refusal(Code::SourceForeign, format!("this connection speaks for {partner}")));
    }
    if envelope.recipient.country() != directory.country {
        return Err(refusal(
            Code::RecipientForeign,
            format!("this gateway receives for {}", directory.country),
        ));
    }
    if !directory.has_back_end(&envelope.recipient) {
        let known = directory.back_ends().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(refusal(Code::RecipientUnknown, format!("known here: {known}")));
    }
    Ok(())
}

/// A first verdict was told when it was committed; what changed nothing is told here.
async fn answer(gateway: &Gateway, partner: Country, named: Named, verdict: Verdict) -> Answered {
    let Named { id, kind } = named;
    let tell = |verdict: &'static str, code: Option<Code>| {
        let code = code.map(Code::as_str);
        gateway.figures.message(partner.as_str(), Direction::Receive, Some(kind), verdict, code);
        let (id, code) = (id.map(display), code.map(display));
        tracing::info!(%partner, id, "type" = %kind, %verdict, code, "message received");
    };
    let seq = match verdict {
        Verdict::Accepted(receipt) => return Answered { answer: Ok(receipt), is_replay: false },
        Verdict::Rejected(problem) => return problem.into(),
        Verdict::NotNow(problem) => {
            tell("put_off", Some(problem.code));
            return problem.into();
        }
        Verdict::Again { seq } => seq,
    };
    tell("again", None);
    let first = async {
        let mut tx = gateway.store.read().await?;
        first_answer(&mut tx, seq).await
    };
    match first.await {
        Ok(answer) => Answered { answer, is_replay: true },
        Err(error) => {
            tracing::error!(%error, seq, "the first answer could not be made again");
            Problem::new(Code::Unavailable).into()
        }
    }
}

fn mark_as_replay(mut response: Response) -> Response {
    response.headers_mut().insert("silkgate-replay", HeaderValue::from_static("true"));
    response
}

/// The answer that a message was given first: its receipt, or its problem with the receipt inside.
pub async fn first_answer(conn: &mut Connection, seq: i64) -> Result<Result<Vec<u8>, Problem>, StoreError> {
    let missing = || StoreError::Corrupt("a known message is gone".into());
    let row = message::by_seq(conn, seq).await?.ok_or_else(missing)?;
    let receipt = proof::witnessed(conn, row.log, row.entry, row.checkpoint).await?;
    if row.state == Stands::Accepted {
        return Ok(Ok(receipt));
    }
    let problem = message::refusal(conn, seq).await?.ok_or_else(missing)?;
    let mut problem: Problem =
        serde_json::from_slice(&problem).map_err(|error| StoreError::Corrupt(format!("refusal: {error}")))?;
    problem.receipt = Some(String::from_utf8_lossy(&receipt).into_owned());
    Ok(Err(problem))
}
