//! A delivery by a signed request to the back end's own server. What it answers is its acknowledgement.

use std::time::Duration;

use axum::http::{HeaderName, Method};

use super::Outcome;
use super::endpoint::Endpoint;
use super::signature::{self, PushKey};
use crate::clock;
use crate::deliver::Delivery;
use crate::line::{Answer, Question, Wire};

/// The content type of a delivery.
const DELIVERY: &str = "application/json";
/// Idle connections kept.
const IDLE_MAX: usize = 4;

/// The server of a back end.
pub(super) struct Webhook {
    wire: Wire,
    key: PushKey,
    uri: String,
    path: String,
}

impl Webhook {
    pub(super) fn new(endpoint: &Endpoint, key: PushKey) -> Result<Self, String> {
        let Endpoint { name, address, authority, path, tls, .. } = endpoint;
        let wire = Wire::new(tls.clone(), name, address, authority, IDLE_MAX)?;
        Ok(Self { wire, key, uri: format!("https://{authority}{path}"), path: path.clone() })
    }

    pub(super) async fn hand_over(&self, delivery: &Delivery, within: Duration) -> Outcome {
        let body = match serde_json::to_vec(delivery) {
            Ok(body) => body,
            Err(error) => return Outcome::Failed { what: error.to_string() },
        };
        let signed = signature::sign(&self.key, &self.uri, DELIVERY, &body, clock::now());
        let fields = vec![
            (HeaderName::from_static("content-digest"), signed.digest),
            (HeaderName::from_static("signature-input"), signed.input),
            (HeaderName::from_static("signature"), signed.signature),
        ];
        let question = Question {
            method: Method::POST,
            path: self.path.clone(),
            content_type: DELIVERY,
            fields,
            body,
            within,
            answer_max_bytes: 0,
        };
        match self.wire.ask(question).await {
            Ok(answer) => judge(&answer),
            Err(what) => Outcome::Unreached { what },
        }
    }
}

/// What a status says. Only what can be the message's own fault counts against it: a server that is set up wrongly, or being
/// exchanged, costs no message.
fn judge(answer: &Answer) -> Outcome {
    let what = format!("status {}", answer.status);
    match answer.status {
        200..=299 => Outcome::Taken,
        429 | 503 => Outcome::Busy { what, after: answer.retry_after },
        // RFC 9110 §15.5.1, §15.5.14, §15.5.16, §15.5.21: the request's form, size, media type or content.
        400 | 413 | 415 | 422 => Outcome::Refused { what },
        _ => Outcome::Failed { what },
    }
}
