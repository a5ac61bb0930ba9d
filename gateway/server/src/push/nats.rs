//! A delivery by a message in a stream of NATS JetStream. The server's acknowledgement says that the stream has it; the message id lets it
//! know a repeat.

use std::path::Path;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, HeaderMap, header};
use silkgate_message::party::Party;
use tokio::sync::Mutex;

use super::Outcome;
use super::endpoint::Endpoint;
use crate::deliver::Handed;
use crate::line;

/// What subjects begin with.
const PREFIX: &str = "silkgate.deliveries";
/// Room in a message beside its body: subject and headers.
const BESIDE_BYTES: usize = 1024;
/// Messages that the client holds, at most.
const CAPACITY: usize = 64;
/// JetStream's code for a message that is longer than its stream takes.
const TOO_LONG: u64 = 10_054;

/// A NATS server, connected to when something is to be handed over.
pub(super) struct Nats {
    url: String,
    tls: rustls::ClientConfig,
    /// A seed (`SU…`), or a credentials file's text; None where the server asks for neither.
    secret: Option<String>,
    client: Mutex<Option<(Client, Context)>>,
}

impl Nats {
    /// `credentials`: the file of the back end's secret, where there is one.
    pub(super) fn new(endpoint: &Endpoint, credentials: &Path) -> Result<Self, String> {
        let read = std::fs::read_to_string(credentials);
        let secret = match read {
            Ok(secret) => Some(secret.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("{}: {error}", credentials.display())),
        };
        let mut tls = (*endpoint.tls).clone();
        // Not HTTP.
        tls.alpn_protocols = Vec::new();
        Ok(Self { url: format!("tls://{}", endpoint.address), tls, secret, client: Mutex::new(None) })
    }

    pub(super) async fn hand_over(&self, party: &Party, handed: &Handed, within: Duration) -> Outcome {
        let published = tokio::time::timeout(within, self.publish(party, handed)).await;
        let late = || Outcome::Unreached {
            what: format!("no answer within {} s", within.as_millis().div_ceil(1000)),
        };
        let outcome = published.unwrap_or_else(|_| late());
        if matches!(outcome, Outcome::Unreached { .. }) {
            // What it still holds must not be sent later, behind what is sent anew.
            *self.client.lock().await = None;
        }
        outcome
    }

    /// The connection in use, or a new one: one that was lost is not waited for, since it keeps what it was given meanwhile.
    async fn connected(&self) -> Result<(Client, Context), String> {
        let mut slot = self.client.lock().await;
        let whole = |(client, _): &&(Client, Context)| client.connection_state() == State::Connected;
        if let Some(connected) = slot.as_ref().filter(whole) {
            return Ok(connected.clone());
        }
        let fresh = self.connect().await?;
        *slot = Some(fresh.clone());
        Ok(fresh)
    }

    async fn publish(&self, party: &Party, handed: &Handed) -> Outcome {
        let (client, stream) = match self.connected().await {
            Ok(connected) => connected,
            Err(what) => return Outcome::Unreached { what },
        };
        let body = match serde_json::to_vec(&handed.delivery) {
            Ok(body) => body,
            Err(error) => return Outcome::Failed { what: error.to_string() },
        };
        // Sent all the same, it would end the connection.
        if body.len() + BESIDE_BYTES > client.server_info().max_payload {
            return Outcome::Refused { what: "longer than the server's max_payload".to_owned() };
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_ID, handed.delivery.key.as_str());
        headers.insert("Content-Type", "application/json");
        let subject = format!("{PREFIX}.{}.{}", party.as_str().replace('/', "."), handed.message.kind);
        let kept = async { stream.publish_with_headers(subject, headers, body.into()).await?.await };
        match kept.await {
            // Also where the stream had it before: then its first acknowledgement was lost.
            Ok(_) => Outcome::Taken,
            Err(error) => match error.kind() {
                PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => {
                    Outcome::Unreached { what: error.to_string() }
                }
                _ if is_too_long(&error) => Outcome::Refused { what: error.to_string() },
                _ => Outcome::Failed { what: error.to_string() },
            },
        }
    }

    async fn connect(&self) -> Result<(Client, Context), String> {
        let options = match &self.secret {
            None => ConnectOptions::new(),
            Some(secret) if secret.contains("BEGIN NATS USER JWT") => {
                ConnectOptions::with_credentials(secret).map_err(|error| error.to_string())?
            }
            Some(seed) => ConnectOptions::with_nkey(seed.clone()),
        };
        let options = options
            .name("silkgate")
            .require_tls(true)
            .tls_client_config(self.tls.clone())
            .client_capacity(CAPACITY)
            .max_reconnects(1)
            // The operator said which server it is: another one that this one names is not asked.
            .ignore_discovered_servers();
        let client = options.connect(&self.url).await.map_err(|error| line::causes(&error))?;
        let context = jetstream::new(client.clone());
        Ok((client, context))
    }
}

fn is_too_long(error: &async_nats::jetstream::context::PublishError) -> bool {
    let source = std::error::Error::source(error);
    let code = source.and_then(|source| source.downcast_ref::<jetstream::Error>());
    code.is_some_and(|error| error.error_code().0 == TOO_LONG)
}
