//! Refusals: stable codes, and the problem document (RFC 9457) that carries them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::violation::Violation;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// Every reason to refuse, by its stable snake_case code. A code never changes its meaning.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        pub enum Code { $($(#[doc = $doc])* $name,)* }

        impl Code {
            /// All codes, in the order of the checks.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable code, e.g. `signature_invalid`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code,)* }
            }
            /// The HTTP status it is answered with.
            pub fn status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }
            /// What happened, in a few words that hold no data of the message.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }
            /// The code of that name.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($code => Some(Code::$name),)* _ => None }
            }
        }
    };
}

codes! {
    // Before the signature is verified: no receipt, logged within a budget.
    /// HTTP that two readers could understand differently.
    RequestMalformed = "request_malformed", 400, "The request breaks a rule of HTTP";
    /// The head is larger than the limit.
    HeadTooLarge = "head_too_large", 431, "The head of the request is larger than the limit";
    /// The peer's certificate belongs to no current partner or role.
    PeerUnknown = "peer_unknown", 403, "The certificate belongs to no current partner";
    /// The connection's keys were exchanged without what the agreement wants.
    KeyExchangeWeak = "key_exchange_weak", 403, "The connection's key exchange is weaker than agreed";
    /// The partner is suspended by our operator.
    PartnerSuspended = "partner_suspended", 403, "The partner is suspended";
    /// No such resource.
    NotFound = "not_found", 404, "There is nothing at this address";
    /// The resource does not answer to this method.
    MethodNotAllowed = "method_not_allowed", 405, "The resource does not answer to this method";
    /// The caller's role may not do this.
    RoleForbidden = "role_forbidden", 403, "The certificate's role may not do this";
    /// More messages a second than agreed.
    RateExceeded = "rate_exceeded", 429, "More messages a second than agreed";
    /// More questions a second than one partner may ask beside its messages.
    QuestionsExceeded = "questions_exceeded", 429, "More questions a second than this gateway answers one partner";
    /// More at once than the gateway can take.
    Overloaded = "overloaded", 503, "The gateway has as much as it can take; try again";
    /// The gateway takes nothing new, e.g. after a failed write.
    Unavailable = "unavailable", 503, "The gateway takes nothing new at present";
    /// The body is larger than the limit.
    BodyTooLarge = "body_too_large", 413, "The body is larger than the limit";
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout", 408, "The body did not arrive in time";
    /// The body ended early.
    BodyIncomplete = "body_incomplete", 400, "The body ended early";
    /// Not `application/jose+json`, or the like.
    ContentTypeUnsupported = "content_type_unsupported", 415, "The content type is not the one of this resource";
    /// Not JSON.
    JsonInvalid = "json_invalid", 400, "Not valid JSON";
    /// A member stands twice in one object.
    JsonDuplicateMember = "json_duplicate_member", 400, "A member stands twice in one object";
    /// Nested too deep.
    JsonTooDeep = "json_too_deep", 400, "Nested too deep";
    /// A number that not every reader keeps exactly.
    JsonNumberRange = "json_number_range", 400, "A number is out of range";
    /// A string, list or document with more than any type needs.
    JsonTooLarge = "json_too_large", 400, "A string, a list or the whole holds more than is allowed";
    /// Not a flattened JWS.
    JwsMalformed = "jws_malformed", 400, "Not a flattened JWS (RFC 7515 section 7.2.2)";
    /// A header rule is broken.
    HeaderInvalid = "header_invalid", 400, "The protected header breaks a rule";
    /// The algorithm is none of those accepted.
    AlgorithmRefused = "algorithm_refused", 400, "The signature algorithm is not accepted";
    /// `x5t#S256` names no certificate of this partner.
    CertificateUnknown = "certificate_unknown", 403, "The signing certificate is not registered for this partner";
    /// `alg` is not that of the registered certificate.
    AlgorithmMismatch = "algorithm_mismatch", 403, "The algorithm is not that of the registered certificate";
    /// The signature does not verify.
    SignatureInvalid = "signature_invalid", 403, "The signature does not verify";

    // After a verified signature: logged and receipted, unless marked as no verdict.
    /// The envelope breaks a rule.
    EventInvalid = "event_invalid", 422, "The event envelope breaks a rule";
    /// The id was used for other content.
    IdConflict = "id_conflict", 409, "The id was used before for other content";
    /// Signed before the certificate was valid.
    CertificateNotYetValid = "certificate_not_yet_valid", 403, "The certificate was not yet valid when the message was signed";
    /// Signed after the certificate ran out.
    CertificateExpired = "certificate_expired", 403, "The certificate had expired when the message was signed";
    /// The certificate is revoked.
    CertificateRevoked = "certificate_revoked", 403, "The signing certificate is revoked";
    /// `iat` is ahead of our clock.
    IatInFuture = "iat_in_future", 422, "The message is dated ahead of this gateway's clock";
    /// Past `expirytime`.
    Expired = "expired", 422, "The message has expired";
    /// `expirytime` is later than agreed.
    LifetimeTooLong = "lifetime_too_long", 422, "The message lives longer than agreed";
    /// The UUIDv7 of `id` is not of the time of signing.
    IdTimeMismatch = "id_time_mismatch", 422, "The id is not of the time of signing";
    /// `time` is later than the signature.
    TimeInFuture = "time_in_future", 422, "The event's time is later than its signature";
    /// `source` is no authority of the partner.
    SourceForeign = "source_foreign", 403, "The source is no authority of this partner";
    /// `recipient` is of another state.
    RecipientForeign = "recipient_foreign", 422, "The recipient is of another state";
    /// No back end acts as `recipient`.
    RecipientUnknown = "recipient_unknown", 422, "No back end here acts as this recipient";
    /// No such type or version in the catalogue.
    SchemaUnknown = "schema_unknown", 422, "The catalogue holds no such type and version";
    /// Type not in the agreement.
    AgreementType = "agreement_type", 403, "The agreement does not hold this type in this direction";
    /// Version not in the agreement.
    AgreementVersion = "agreement_version", 403, "The agreement does not hold this version of the type";
    /// `status` not in the agreement.
    AgreementStatus = "agreement_status", 403, "The agreement does not hold this status for the type";
    /// Purpose not in the agreement.
    AgreementPurpose = "agreement_purpose", 403, "The agreement does not hold this purpose for the type";
    /// Authority not in the agreement.
    AgreementAuthority = "agreement_authority", 403, "The agreement does not let this authority take part";
    /// Handling code not in the agreement.
    AgreementHandling = "agreement_handling", 403, "The agreement does not hold this handling code";
    /// Not releasable to the recipient's state.
    Releasability = "releasability", 403, "The message is not releasable to the recipient's state";
    /// Larger than the agreement's clause of its type allows.
    AgreementSize = "agreement_size", 413, "The message is larger than the agreement holds for its type";
    /// Outside the hours of its type: no verdict.
    AgreementHours = "agreement_hours", 503, "Messages of this type wait for their hours";
    /// More messages of its type a second than agreed: no verdict.
    AgreementRate = "agreement_rate", 429, "More messages of this type a second than agreed";
    /// The schema is violated.
    SchemaInvalid = "schema_invalid", 422, "The data break the schema";
    /// A rule is violated.
    RulesViolated = "rules_violated", 422, "The data break a rule";
    /// Not a verdict: the version this one supersedes has not arrived.
    PredecessorMissing = "predecessor_missing", 409, "The version that this one supersedes is not here yet; send again";
    /// A new record under a known id.
    RecordExists = "record_exists", 422, "The record exists already";
    /// The record was cancelled.
    RecordCancelled = "record_cancelled", 422, "The record was cancelled; nothing follows a cancel";
    /// Another authority's record.
    RecordOriginator = "record_originator", 422, "The record belongs to another authority";
    /// The record is of another type.
    RecordType = "record_type", 422, "The record is of another type";
    /// A drill's version after a real one, or the reverse.
    RecordStatus = "record_status", 422, "Earlier versions of the record have another status";
    /// The version is not greater.
    VersionNotGreater = "version_not_greater", 422, "The version is not greater than the last accepted one";
    /// Another version was accepted last.
    SupersedesMismatch = "supersedes_mismatch", 422, "Another version than the one named was accepted last";
    /// The version does not go on from the last one.
    RecordOrder = "record_order", 422, "The version does not go on from the last accepted one";
    /// Longer retention without a new review.
    RetentionLonger = "retention_longer", 422, "An update keeps a record longer only with a later review";
    /// Not a verdict: a message that this one names has not arrived.
    ReferenceMissing = "reference_missing", 409, "A message that this one names is not here yet; send again";
    /// It names a message that was never exchanged.
    ReferenceUnknown = "reference_unknown", 422, "A message that this one names was never exchanged";
    /// It names a message of another kind, content, party or status.
    ReferenceMismatch = "reference_mismatch", 422, "A message that this one names is not what it must be";
    /// It names a record that has ended.
    ReferenceEnded = "reference_ended", 422, "The record that this message is about has ended";
    /// The question has its final answer.
    QuestionAnswered = "question_answered", 422, "The question has its final answer already";

    // Of the national plane and of dispatch.
    /// The back end may not act as this party.
    SourceNotYours = "source_not_yours", 403, "The certificate belongs to another authority";
    /// The recipient's state is no partner.
    PartnerUnknown = "partner_unknown", 422, "The recipient's state is no partner of this gateway";
    /// The lease has run out or was taken by another.
    LeaseLost = "lease_lost", 409, "The lease has run out; fetch the delivery again";
    /// The exchange is halted until the logs can be relied on again.
    Degraded = "degraded", 503, "The exchange is halted until the logs are witnessed again";
    /// Content was asked for without saying why.
    ReasonMissing = "reason_missing", 400, "Content is shown for a reason of 3 to 200 characters";
    /// A parameter is not what the resource takes.
    QueryInvalid = "query_invalid", 400, "A parameter of the request is not what this resource takes";
    /// More reads a minute than one certificate may make.
    ReadsExceeded = "reads_exceeded", 429, "More reads a minute than one certificate may make";
    /// A browser without a session of the pages.
    SessionMissing = "session_missing", 403, "This browser has no session here; ask for a link with `silkgate open`";
    /// A link that was opened before, or has run out.
    LinkUsed = "link_used", 403, "The link was opened already, or has run out";
    /// A request that another site had the browser make.
    RequestForeign = "request_foreign", 403, "The request was made by another site";
    /// Not a request of C2SP tlog-witness.
    WitnessRequestInvalid = "witness_request_invalid", 400, "Not a request to a witness (C2SP tlog-witness)";
    /// No signature of a key of that log.
    CheckpointUnsigned = "checkpoint_unsigned", 403, "The checkpoint carries no signature of that log's key";
    /// The checkpoint contradicts the one cosigned last.
    LogInconsistent = "log_inconsistent", 422, "The checkpoint does not continue the one cosigned last";
    /// An earlier version was refused or has expired.
    PredecessorRefused = "predecessor_refused", 409, "An earlier version was refused or has expired; rebase and submit again";
}

impl Code {
    /// Whether the refusal is a verdict on a message whose signature was verified: then it is
    /// logged, receipted, and the same message gets the same answer for ever.
    pub fn is_verdict(self) -> bool {
        self >= Code::EventInvalid && self <= Code::QuestionAnswered && !self.is_not_yet()
    }

    /// Whether the same bytes may be accepted later: once what they name has arrived, or their hour has come.
    pub fn is_not_yet(self) -> bool {
        matches!(
            self,
            Code::PredecessorMissing | Code::ReferenceMissing | Code::AgreementHours | Code::AgreementRate
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Code::parse(&text).ok_or_else(|| serde::de::Error::custom("unknown code"))
    }
}

/// A problem document (RFC 9457), `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// `https://silkgate.example/problems/<code>`; names the code, is not fetched.
    #[serde(rename = "type")]
    pub kind: String,
    /// [`Code::title`].
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: Code,
    /// What happened to this message and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Every violation found, not only the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
    /// The receipt (C2SP tlog-proof) of a refusal after a verified signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

impl Problem {
    /// The problem of that code, without detail.
    pub fn new(code: Code) -> Self {
        Self {
            kind: format!("https://silkgate.example/problems/{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: String::new(),
            violations: Vec::new(),
            receipt: None,
        }
    }

    /// Says what happened and what to do. Never holds values of the message's data.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// With these violations.
    #[must_use]
    pub fn violations(mut self, violations: Vec<Violation>) -> Self {
        self.violations = violations;
        self
    }

    /// The document's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and lists only: serialisation into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<&crate::json::JsonError> for Problem {
    fn from(error: &crate::json::JsonError) -> Self {
        let code = Code::parse(error.fault.code()).unwrap_or(Code::JsonInvalid);
        let place = if error.pointer.is_empty() { String::new() } else { format!(" (at {})", error.pointer) };
        Self::new(code).detail(format!("{error}{place}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_fit_an_entry() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
            assert!(code.as_str().len() <= 48 && (400..600).contains(&code.status()));
        }
    }

    #[test]
    fn only_what_follows_the_signature_is_a_verdict() {
        assert!(
            Code::IdConflict.is_verdict()
                && Code::RulesViolated.is_verdict()
                && Code::EventInvalid.is_verdict()
        );
        assert!(
            !Code::SignatureInvalid.is_verdict()
                && !Code::PredecessorMissing.is_verdict()
                && !Code::ReferenceMissing.is_verdict()
        );
        assert!(!Code::Overloaded.is_verdict() && !Code::LeaseLost.is_verdict());
    }
}
