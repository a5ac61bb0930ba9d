//! The sections of `silkgate.toml`, each with what holds where it says nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// `[partner_plane]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerPlane {
    /// Address and port.
    pub listen: SocketAddr,
    /// What the card tells partners.
    pub endpoint: String,
}

/// `[national_plane]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NationalPlane {
    /// Address and port.
    pub listen: SocketAddr,
}

/// `[operations]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Operations {
    /// Address and port; None: no such plane.
    pub listen: Option<SocketAddr>,
    /// From `/readyz` saying that the gateway stops until the other planes close.
    pub drain_seconds: u64,
}

/// `[pages]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pages {
    /// Address and port on the loopback; None: no such plane.
    #[serde(deserialize_with = "loopback")]
    pub listen: Option<SocketAddr>,
}

/// Plain HTTP leaves no machine.
fn loopback<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let address = Option::<SocketAddr>::deserialize(deserializer)?;
    match address {
        Some(address) if !address.ip().is_loopback() => Err(serde::de::Error::custom(
            "`[pages] listen` is plain HTTP and stands on the loopback only, such as 127.0.0.1:9465; \
             elsewhere the national plane serves the same pages to certificates",
        )),
        address => Ok(address),
    }
}

/// `[limits]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open at once, on each plane.
    pub connections: usize,
    /// Of these, from one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// Of these, of one partner or one client.
    pub connections_per_peer: usize,
    /// Begun by one address.
    pub handshakes_per_second: u32,
    /// For a handshake, from it to the first request, and for a request's head.
    pub handshake_seconds: u64,
    /// For a request's body.
    pub body_seconds: u64,
    /// For an answer to be read.
    pub answer_seconds: u64,
    /// From one request to the next.
    pub idle_seconds: u64,
    /// Under way at once, for each partner and each back end.
    pub requests_per_peer: usize,
    /// Questions that each partner may ask in a second beside its messages.
    pub questions_per_second: u32,
    /// Waiting for their commit.
    pub queue_per_partner: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 12_000,
            connections_per_address: 1024,
            connections_per_peer: 1024,
            handshakes_per_second: 500,
            handshake_seconds: 10,
            body_seconds: 20,
            answer_seconds: 60,
            idle_seconds: 600,
            requests_per_peer: 512,
            questions_per_second: 100,
            queue_per_partner: 1024,
        }
    }
}

/// `[dispatch]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dispatch {
    /// Under way at once, for each partner.
    pub concurrency: usize,
    /// Of these only for urgent messages.
    pub concurrency_urgent: usize,
    /// For one attempt.
    pub attempt_seconds: u64,
    /// First pause.
    pub backoff_first_ms: u64,
    /// Longest pause.
    pub backoff_longest_ms: u64,
    /// Attempts in a row that do not reach a partner, until one at a time is made.
    pub failures_until_open: u32,
    /// Longest pause between these.
    pub probe_longest_ms: u64,
    /// Refusals without receipt until a message is put aside.
    pub refusals_until_dead: u32,
}

impl Default for Dispatch {
    fn default() -> Self {
        Self {
            concurrency: 32,
            concurrency_urgent: 8,
            attempt_seconds: 30,
            backoff_first_ms: 500,
            backoff_longest_ms: 300_000,
            failures_until_open: 5,
            probe_longest_ms: 30_000,
            refusals_until_dead: 10,
        }
    }
}

/// `[witness]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Witness {
    /// Between two showings of a log that grows.
    pub show_seconds: u64,
    /// Between two showings of one that does not: the cosignature tells the partner's clock.
    pub idle_seconds: u64,
}

impl Default for Witness {
    fn default() -> Self {
        Self { show_seconds: 2, idle_seconds: 600 }
    }
}

/// `[reconcile]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reconcile {
    /// Between two readings of a partner's log; 0: never.
    pub every_seconds: u64,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self { every_seconds: 86_400 }
    }
}

/// `[deliveries]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deliveries {
    /// For an acknowledgement.
    pub lease_seconds: u64,
    /// Attempts under way at once to a back end that is told.
    pub push_concurrency: usize,
    /// For its answer.
    pub push_seconds: u64,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self { lease_seconds: 60, push_concurrency: 8, push_seconds: 4 }
    }
}

/// `[retention]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Between two looks for payloads whose retention day has come.
    pub every_seconds: u64,
    /// How long backups of the key store live.
    pub key_backup_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { every_seconds: 3600, key_backup_days: 30 }
    }
}

/// `[approval]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    /// Whether a second operator approves what cannot be taken back.
    pub four_eyes: bool,
}

/// `[syslog]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Syslog {
    /// The collector, `host:port`.
    pub address: String,
    /// Its CA certificates, PEM, relative to the home.
    pub anchors: PathBuf,
    /// What is shown to it, PEM, relative to the home; the key is keys/syslog.key.
    pub certificate: Option<PathBuf>,
    /// How long a connection must stand after an entry was written on it.
    #[serde(default = "half_a_minute")]
    pub confirm_seconds: u64,
}

/// `[timestamp]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timestamp {
    /// `http://` or `https://`.
    pub url: String,
    /// The authority's CA certificates, PEM, relative to the home.
    pub anchors: PathBuf,
    /// The CA certificates of an `https://` server, PEM, relative to the home.
    pub roots: Option<PathBuf>,
    /// Between two time-stamps of one log.
    #[serde(default = "hourly")]
    pub every_seconds: u64,
    /// For one answer.
    #[serde(default = "half_a_minute")]
    pub timeout_seconds: u64,
}

/// `[token]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The PKCS#11 library of its maker.
    pub module: PathBuf,
    /// The token that new keys are made in.
    #[serde(default = "silkgate")]
    pub label: String,
    /// Its PIN, relative to the home; mode 0600.
    #[serde(default = "token_pin")]
    pub pin_file: PathBuf,
}

fn silkgate() -> String {
    "silkgate".to_owned()
}

fn token_pin() -> PathBuf {
    PathBuf::from("keys/token.pin")
}

fn hourly() -> u64 {
    3600
}

fn half_a_minute() -> u64 {
    30
}
